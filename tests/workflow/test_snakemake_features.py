"""What Snakemake offers beside running jobs works on a finished study."""

from __future__ import annotations

from project import Project


def test_a_finished_study_is_told_to_have_no_changes(finished: Project) -> None:
    """`--list-changes params`, of which Snakemake alone names a file of every job."""
    assert "results/" not in finished.make("--list-changes", "params")
    head, *rows = [
        line.split("\t") for line in finished.run("--summary").stdout.splitlines() if line.count("\t") > 3
    ]
    plans = {row[head.index("output_file")]: row[head.index("plan")] for row in rows}
    assert {"results/tiny/models/plain/seed0/model.safetensors", "report/tiny.html"} <= set(plans)
    assert set(plans.values()) == {"no update"}


def test_changed_settings_are_listed_and_outputs_can_be_counted_for_deletion(changeable: Project) -> None:
    changeable.edit("config.yaml", "steps: 2", "steps: 3")
    listed = {
        line
        for line in changeable.make("--list-changes", "params").splitlines()
        if line.startswith(("results/", "report/"))
    }
    assert "results/tiny/outcomes/plain/seed0/white_box.parquet" in listed
    assert not {path for path in listed if path.startswith("results/tiny/models/")}
    doomed = changeable.make("--delete-all-output", "--dry-run")
    assert "Would delete results/tiny/models/plain/seed0/model.safetensors" in doomed
    assert (changeable.path / "results/tiny/models/plain/seed0/model.safetensors").exists()
