# One rule for all models, and one more for each set of traces that trainings leave.
for traces, models in PLAN.tracing().items():

    rule:
        name:
            "_".join(["train", *traces])
        input:
            data=lambda wildcards: training(wildcards).inputs["data"],
            beside=lambda wildcards: training(wildcards).inputs.get("beside", ()),
        output:
            **{f"trace_{name}": f"{PLAN.folder}/models/{{model}}/seed{{seed}}/{name}.csv" for name in traces},
            model=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/model.safetensors",
            history=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/history.csv",
            record=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/record.json",
        log:
            f"{PLAN.folder}/logs/train/{{model}}-seed{{seed}}.log",
        wildcard_constraints:
            model="|".join(models),
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            gpu=lambda wildcards: driver.gpus(workflow),
        params:
            job=lambda wildcards: training(wildcards).expectation,
        shell:
            "python -m reproof train {output.model} --expect {params.job} --threads {threads} 2> >(tee {log} >&2)"


# An ensemble is not trained: it is put together from its members.
if PLAN.assembled:

    rule assemble:
        input:
            data=lambda wildcards: joining(wildcards).inputs["data"],
            members=lambda wildcards: joining(wildcards).inputs["members"],
        output:
            model=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/model.safetensors",
            separation=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/separation.csv",
            record=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/record.json",
        log:
            f"{PLAN.folder}/logs/assemble/{{model}}-seed{{seed}}.log",
        wildcard_constraints:
            model="|".join(PLAN.assembled),
        conda:
            "../../environment.yml"
        threads: 1
        params:
            job=lambda wildcards: joining(wildcards).expectation,
        shell:
            "python -m reproof assemble {output.model} --expect {params.job} --threads {threads} 2> >(tee {log} >&2)"
