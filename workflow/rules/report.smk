rule tabulate:
    input:
        **PLAN.tabulate().inputs,
    output:
        **PLAN.tabulate().outputs,
    log:
        f"{PLAN.folder}/logs/tabulate.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        job=PLAN.tabulate().expectation,
    shell:
        "python -m reproof tabulate --expect {params.job} --threads {threads} 2> {log}"


rule draw:
    input:
        **PLAN.draw().inputs,
    output:
        **PLAN.draw().outputs,
    log:
        f"{PLAN.folder}/logs/draw.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        job=PLAN.draw().expectation,
    shell:
        "python -m reproof draw --expect {params.job} --threads {threads} 2> {log}"


rule report:
    input:
        **PLAN.report().inputs,
    output:
        **PLAN.report().outputs,
    log:
        f"{PLAN.folder}/logs/report.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        job=PLAN.report().expectation,
    shell:
        "python -m reproof report --expect {params.job} --threads {threads} 2> {log}"
