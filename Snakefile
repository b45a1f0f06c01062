# reproof: from a study (config.yaml, and what --configfile lays over it) to its page.
# Rules are thin: src/reproof/plan/jobs.py says what each job reads, writes and must know.


include: "workflow/rules/study.smk"


# All that the page rests on, so that what is lost of it is made anew; not the images, which weigh most.
rule all:
    default_target: True
    input:
        [job.outputs.values() for job in PLAN.jobs(driver.KEPT)],


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/attack.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/surface.smk"
include: "workflow/rules/report.smk"
