"""What Snakemake offers beside running jobs works on a finished study."""

from __future__ import annotations

from project import Project


def test_a_finished_study_has_no_changes_and_knows_its_files(finished: Project) -> None:
    """Of unchanged parameters Snakemake alone would list a file of every job."""
    assert "results/" not in finished.make("--list-changes", "params")
    head, *rows = [
        line.split("\t") for line in finished.run("--summary").stdout.splitlines() if line.count("\t") > 3
    ]
    plans = {row[head.index("output_file")]: row[head.index("plan")] for row in rows}
    model = "results/tiny/models/plain/seed0/model.safetensors"
    assert {model, "report/tiny.html"} <= set(plans)
    assert set(plans.values()) == {"no update"}
    assert f"Would delete {model}" in finished.make("--delete-all-output", "--dry-run")
    assert (finished.path / model).exists()
