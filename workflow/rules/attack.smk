# Images that only their own model is shown are removed once that was done; the others are kept.
rule attack:
    input:
        data=lambda wildcards: attack_job(wildcards).inputs["data"],
        model=lambda wildcards: attack_job(wildcards).inputs["model"],
        transfer_from=lambda wildcards: attack_job(wildcards).inputs["transfer_from"],
    output:
        adversarial=driver.temporary_unless_kept(
            PLAN, f"{PLAN.folder}/adversarial/{{model}}/seed{{seed}}/{{suite}}.safetensors", temp
        ),
        record=f"{PLAN.folder}/adversarial/{{model}}/seed{{seed}}/{{suite}}.record.json",
    log:
        f"{PLAN.folder}/logs/attack/{{model}}-seed{{seed}}-{{suite}}.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=lambda wildcards: driver.gpus(workflow),
        runtime=driver.LONG_MINUTES,
    params:
        job=lambda wildcards: attack_job(wildcards).expectation,
    shell:
        "python -m reproof attack {output.adversarial} --expect {params.job} --threads {threads} 2> {log}"


# A source is a model, or several on which the images are made together.
use rule attack as attack_for_transfer with:
    output:
        adversarial=f"{PLAN.folder}/transfer/{{model}}/seed{{seed}}/{{suite}}.safetensors",
        record=f"{PLAN.folder}/transfer/{{model}}/seed{{seed}}/{{suite}}.record.json",
    log:
        f"{PLAN.folder}/logs/attack_for_transfer/{{model}}-seed{{seed}}-{{suite}}.log",
    wildcard_constraints:
        model="|".join(map(re.escape, PLAN.all_sources)),
