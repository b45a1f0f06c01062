rule train:
    input:
        data=lambda wildcards: PLAN.train(wildcards.model, int(wildcards.seed)).inputs["data"],
    output:
        model=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/model.safetensors",
        history=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/history.csv",
        record=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/record.json",
    params:
        job=lambda wildcards: job_arguments(PLAN.train(wildcards.model, int(wildcards.seed))),
    log:
        f"{PLAN.folder}/logs/train/{{model}}-seed{{seed}}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=1,
    shell:
        "python -m reproof train {output.model} {params.job} --threads {threads} 2> >(tee {log} >&2)"
