# The log's index names what a method's training leaves beside the history; the tables lie beside it.
if PLAN.trained:

    rule train:
        input:
            data=lambda wildcards: train_job(wildcards).inputs["data"],
            beside=lambda wildcards: train_job(wildcards).inputs.get("beside", ()),
        output:
            model=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/model.safetensors",
            history=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/history.csv",
            training_log=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/training_log.json",
            record=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/record.json",
        log:
            f"{PLAN.folder}/logs/train/{{model}}-seed{{seed}}.log",
        wildcard_constraints:
            model="|".join(PLAN.trained),
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            gpu=lambda wildcards: driver.gpus(workflow),
            runtime=driver.LONG_MINUTES,
        params:
            job=lambda wildcards: train_job(wildcards).expectation,
        shell:
            "python -m reproof train {output.model} --expect {params.job} --threads {threads} 2> {log}"


# Weights that were trained elsewhere are read, checked and kept; first, so that what is wrong with them is said first.
if PLAN.loaded:

    rule load:
        input:
            data=lambda wildcards: load_job(wildcards).inputs["data"],
        output:
            model=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/model.safetensors",
            record=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/record.json",
        log:
            f"{PLAN.folder}/logs/load/{{model}}-seed{{seed}}.log",
        wildcard_constraints:
            model="|".join(PLAN.loaded),
        priority: 100
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            gpu=lambda wildcards: driver.gpus(workflow),
            runtime=driver.LONG_MINUTES,
        params:
            job=lambda wildcards: load_job(wildcards).expectation,
        shell:
            "python -m reproof load {output.model} --expect {params.job} --threads {threads} 2> {log}"


# An ensemble is not trained: it is put together from its members.
if PLAN.assembled:

    rule assemble:
        input:
            data=lambda wildcards: assemble_job(wildcards).inputs["data"],
            members=lambda wildcards: assemble_job(wildcards).inputs["members"],
        output:
            model=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/model.safetensors",
            separation=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/separation.csv",
            record=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/record.json",
        log:
            f"{PLAN.folder}/logs/assemble/{{model}}-seed{{seed}}.log",
        wildcard_constraints:
            model="|".join(PLAN.assembled),
        conda:
            ENVIRONMENT
        threads: 1
        params:
            job=lambda wildcards: assemble_job(wildcards).expectation,
        shell:
            "python -m reproof assemble {output.model} --expect {params.job} --threads {threads} 2> {log}"
