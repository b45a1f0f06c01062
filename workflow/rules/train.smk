rule train:
    input:
        data=lambda wildcards: training(wildcards).inputs["data"],
    output:
        model=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/model.safetensors",
        history=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/history.csv",
        record=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/record.json",
    log:
        f"{PLAN.folder}/logs/train/{{model}}-seed{{seed}}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=lambda wildcards: driver.gpus(workflow),
    params:
        job=lambda wildcards: training(wildcards).expectation,
    shell:
        "python -m reproof train {output.model} --expect {params.job} --threads {threads} 2> >(tee {log} >&2)"
