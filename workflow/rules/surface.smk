# How the loss lies around test images, for the models that the study names.
if PLAN.surfaced:

    rule surface:
        input:
            data=lambda wildcards: surface_job(wildcards).inputs["data"],
            model=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/model.safetensors",
            beside=lambda wildcards: surface_job(wildcards).inputs["beside"],
        output:
            surface=f"{PLAN.folder}/surfaces/{{model}}/seed{{seed}}.csv",
            record=f"{PLAN.folder}/surfaces/{{model}}/seed{{seed}}.record.json",
        log:
            f"{PLAN.folder}/logs/surface/{{model}}-seed{{seed}}.log",
        wildcard_constraints:
            model="|".join(PLAN.surfaced),
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            gpu=lambda wildcards: driver.gpus(workflow),
            runtime=driver.LONG_MINUTES,
        params:
            job=lambda wildcards: surface_job(wildcards).expectation,
        shell:
            "python -m reproof surface {output.surface} --expect {params.job} --threads {threads} 2> {log}"
