rule tabulate:
    input:
        **PLAN.tabulate().inputs,
    output:
        **PLAN.tabulate().outputs,
    log:
        f"{PLAN.folder}/logs/tabulate.log",
    conda:
        "../../environment.yml"
    threads: 1
    params:
        job=job_arguments(PLAN.tabulate()),
    shell:
        "python -m reproof tabulate {params.job} --threads {threads} 2> >(tee {log} >&2)"


rule draw:
    input:
        **PLAN.draw().inputs,
    output:
        **PLAN.draw().outputs,
    log:
        f"{PLAN.folder}/logs/draw.log",
    conda:
        "../../environment.yml"
    threads: 1
    params:
        job=job_arguments(PLAN.draw()),
    shell:
        "python -m reproof draw {params.job} --threads {threads} 2> >(tee {log} >&2)"


rule report:
    input:
        **PLAN.report().inputs,
    output:
        **PLAN.report().outputs,
    log:
        f"{PLAN.folder}/logs/report.log",
    conda:
        "../../environment.yml"
    threads: 1
    params:
        job=job_arguments(PLAN.report()),
    shell:
        "python -m reproof report {params.job} --threads {threads} 2> >(tee {log} >&2)"
