rule attack:
    input:
        data=lambda wildcards: crafting(wildcards).inputs["data"],
        model=f"{PLAN.folder}/models/{{model}}/seed{{seed}}/model.safetensors",
    output:
        adversarial=driver.keep_or_temp(
            PLAN, f"{PLAN.folder}/adversarial/{{model}}/seed{{seed}}/{{suite}}.safetensors", temp
        ),
        record=f"{PLAN.folder}/adversarial/{{model}}/seed{{seed}}/{{suite}}.record.json",
    log:
        f"{PLAN.folder}/logs/attack/{{model}}-seed{{seed}}-{{suite}}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=1,
    params:
        job=lambda wildcards: job_arguments(crafting(wildcards)),
    shell:
        "python -m reproof attack {output.adversarial} {params.job} --threads {threads} 2> >(tee {log} >&2)"
