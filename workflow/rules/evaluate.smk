rule evaluate:
    input:
        data=lambda wildcards: evaluate_job(wildcards).inputs["data"],
        model=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/model.safetensors",
        adversarial=lambda wildcards: evaluate_job(wildcards).inputs["adversarial"],
    output:
        outcomes=f"{PLAN.folder}/outcomes/{{model}}/seed{{seed}}/{{threat}}.parquet",
        examples=f"{PLAN.folder}/outcomes/{{model}}/seed{{seed}}/{{threat}}.examples.safetensors",
        record=f"{PLAN.folder}/outcomes/{{model}}/seed{{seed}}/{{threat}}.record.json",
    log:
        f"{PLAN.folder}/logs/evaluate/{{model}}-seed{{seed}}-{{threat}}.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        job=lambda wildcards: evaluate_job(wildcards).expectation,
    shell:
        "python -m reproof evaluate {output.outcomes} --expect {params.job} --threads {threads} 2> {log}"
