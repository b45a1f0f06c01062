# reproof: from a study (config.yaml, and what --configfile lays over it) to its page.
# Rules are thin: src/reproof/plan/jobs.py says what each job reads, writes and must know.


include: "workflow/rules/study.smk"


rule all:
    default_target: True
    input:
        list(PLAN.report().outputs.values()),
        [job.outputs["model"] for job in PLAN.jobs(["train", "assemble"])],


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/attack.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/surface.smk"
include: "workflow/rules/report.smk"
