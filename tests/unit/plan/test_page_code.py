"""What the page and the tables stand on beside code: what others found renews the page, and no table."""

from __future__ import annotations

from pathlib import Path

import pytest

from reproof.claims import independent
from reproof.plan import page_code
from reproof.plan.jobs import Plan
from reproof.study import reader
from tests.ours import papers_here

ROOT = Path(__file__).parents[3]


def test_what_others_found_is_data_of_the_page_alone() -> None:
    plan = Plan(reader.load([ROOT / "config.yaml"]))
    assert independent.FILE in plan.report().data_files
    assert independent.FILE not in plan.tabulate().data_files
    claims = sorted(independent.FILE.parent.glob("*/claims.csv"))
    assert [path.parent.name for path in claims] == sorted(paper.key for paper in papers_here())
    assert set(claims) <= set(plan.tabulate().data_files) <= set(plan.report().data_files)


def test_an_edit_of_it_makes_the_page_stale_and_no_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "papers"
    (folder / "one").mkdir(parents=True)
    (folder / "one" / "claims.csv").write_text("a claim")
    file = folder / "independent.csv"
    file.write_text("a measurement")
    monkeypatch.setattr(page_code, "PACKAGE", tmp_path)

    def digests() -> tuple[str, str]:
        plan = Plan(reader.load([ROOT / "config.yaml"]))
        return plan.report().digest, plan.tabulate().digest

    page, tables = digests()
    file.write_text("another measurement")
    assert digests()[0] != page
    assert digests()[1] == tables
    (folder / "one" / "claims.csv").write_text("another claim")
    assert digests()[1] != tables
