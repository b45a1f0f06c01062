rule prepare:
    output:
        data=f"{PLAN.folder}/data/{{dataset}}.safetensors",
        record=f"{PLAN.folder}/data/{{dataset}}.record.json",
    log:
        f"{PLAN.folder}/logs/prepare/{{dataset}}.log",
    priority: 100
    conda:
        ENVIRONMENT
    threads: lambda wildcards: 16 if PLAN.study.datasets[wildcards.dataset].settings.streams else 1
    params:
        job=lambda wildcards: PLAN.prepare(wildcards.dataset).expectation,
    shell:
        "python -m reproof prepare {output.data} --expect {params.job} --threads {threads} 2> {log}"
