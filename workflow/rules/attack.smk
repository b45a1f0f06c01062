rule attack:
    input:
        data=lambda wildcards: PLAN.attack(wildcards.model, int(wildcards.seed), wildcards.suite).inputs["data"],
        model=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/model.safetensors",
    output:
        adversarial=driver.keep_or_temp(
            PLAN, f"{PLAN.folder}/adversarial/{{model}}/seed{{seed}}/{{suite}}.safetensors", temp
        ),
        record=f"{PLAN.folder}/adversarial/{{model}}/seed{{seed}}/{{suite}}.record.json",
    params:
        job=lambda wildcards: job_arguments(PLAN.attack(wildcards.model, int(wildcards.seed), wildcards.suite)),
    log:
        f"{PLAN.folder}/logs/attack/{{model}}-seed{{seed}}-{{suite}}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=1,
    shell:
        "python -m reproof attack {output.adversarial} {params.job} --threads {threads} 2> >(tee {log} >&2)"
