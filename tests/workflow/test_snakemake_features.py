"""What Snakemake offers beside running jobs works on a finished study; those that take long were tried by hand."""

from __future__ import annotations

from project import Project


def test_a_finished_study_has_no_changes_and_can_be_listed_for_deletion(finished: Project) -> None:
    """Of unchanged parameters Snakemake alone would list a file of every job."""
    assert "results/" not in finished.make("--list-changes", "params")
    model = "results/tiny/models/plain/seed0/model.safetensors"
    doomed = finished.make("--delete-all-output", "--dry-run")
    assert f"Would delete {model}" in doomed
    assert "Would delete report/tiny.html" in doomed
    assert (finished.path / model).exists()
