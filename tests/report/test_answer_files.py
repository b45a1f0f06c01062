"""The answer beside the page: for programs, for a review, for a terminal; and who opens the page."""

from __future__ import annotations

import json
import webbrowser
from dataclasses import replace
from pathlib import Path

import made_up_study
import pytest
import yaml

from reproof import cli
from reproof.provenance import ROOT
from reproof.report import answer, answer_files
from reproof.report.answer import Answer, ModelAnswer


@pytest.fixture(scope="module")
def found(tree: made_up_study.Tree) -> Answer:
    """Return an answer whose first paper has three headlines: judged, clean, not measured."""
    data = made_up_study.report_data(tree)
    first, *others = data.papers
    headlines = ("made_up.7", "made_up.5", "made_up.12")
    told = first.model_copy(update={"headlines": headlines, "thesis": "It | holds."})
    return answer.answer(replace(data, papers=[told, *others]))


def test_the_json_holds_what_the_page_says(found: Answer) -> None:
    told = json.loads(answer_files.as_json(found))
    assert told["sentence"] == found.sentence
    (paper,) = [one for one in told["papers"] if one["key"] == "made_up"]
    (tally,) = [one.tally for one in found.papers if one.key == "made_up"]
    assert paper["own_numbers"] == {
        "A": dict(tally.same),
        "B": dict(tally.near),
        "C": tally.other,
        "not measured": tally.unmeasured,
    }
    pgd, _, mnist = paper["headlines"]
    assert pgd["claim"] == "made_up.7"
    assert pgd["claimed"] == pytest.approx(0.199)
    assert pgd["measured"] == pytest.approx(17 / 40)
    assert (pgd["printed"], pgd["told"]) == ("19.9 %", "42.5 %")
    assert pgd["low"] < pgd["measured"] < pgd["high"]
    assert (mnist["measured"], mnist["left"], mnist["others"], mnist["run"]) == (None, None, None, "")
    assert mnist["verdict"] == "not measured"


def test_the_markdown_is_one_table_a_paper_whose_cells_no_text_breaks(found: Answer) -> None:
    lines = answer_files.as_markdown(found).splitlines()
    rows = [line for line in lines if line.startswith("| ") and "Headline" not in line]
    assert len(rows) == 3
    bars = [line.replace("\\|", "").count("|") for line in rows]
    assert bars == [6, 6, 6]
    assert "**It claims.** It \\| holds." in lines
    assert "19.9 %" in rows[0]
    assert "42.5 %" in rows[0]
    assert "not measured" in rows[2]


def test_nothing_of_a_text_is_markup(found: Answer) -> None:
    text = answer_files.as_markdown(Answer("x", "A <b>*bold*</b>", "two\nlines", ()))
    assert text == "# A \\<b>\\*bold\\*\\</b>: the answer\n\ntwo lines\n"
    assert found.papers


def test_a_terminal_gets_a_line_a_paper(found: Answer) -> None:
    told = json.loads(answer_files.as_json(found))
    one, other, unjudged = (
        {"name": name, "of": of, "short": short}
        for name, of, short in (
            ("One 2001", answer.DIRECT, "grade B: 1 lower"),
            ("Another 2002", "its numbers", "grade A: 1 lower"),
            ("Third", "", "not measured"),
        )
    )
    head = f"{sum(told['judged_by'].values())} of the papers' own numbers were judged, 19 of them by this run"
    assert [*answer_files.in_lines({**told, "papers": [one, other, unjudged]})] == [
        head,
        "Where nothing else is said, of the paper's own defense, attacked directly:",
        "One 2001      grade B: 1 lower",
        "Another 2002  its numbers, grade A: 1 lower",
        "Third         not measured",
    ]
    assert [*answer_files.in_lines({**told, "papers": [unjudged]})] == [head, "Third  not measured"]
    assert told["papers"][0]["short"] == found.papers[0].short


@pytest.mark.parametrize("count", [3, 33, 333])
def test_no_line_is_wider_than_a_terminal(found: Answer, count: int) -> None:
    """Mirzaeian 2022 has the longest name: its line fits; one with more digits goes on below its verdict."""
    told = json.loads(answer_files.as_json(found))
    short = f"grade B: 0 reproduced, {count} lower, {count} higher, {count} undecided"
    told["papers"] = [{"name": "Mirzaeian 2022 (gravity)", "of": answer.DIRECT, "short": short}]
    _, _, *lines = answer_files.in_lines(told)
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) == (1 if count == 3 else 2)
    assert " ".join(line.strip() for line in lines) == f"Mirzaeian 2022 (gravity)  {short}"
    assert all(line.startswith(" " * 26) for line in lines[1:])


def test_a_run_of_few_models_tells_how_they_did() -> None:
    """A study of one's own is about its model: that stands first."""
    mine = ModelAnswer("mine", "My model", 0.94, (("L∞, ε = 0.1", 0.19), ("L∞, ε = 0.3", 0.0)))
    few, many = (
        json.loads(
            answer_files.as_json(
                Answer("x", "X", "", (), tuple(replace(mine, name=str(n)) for n in range(count)))
            )
        )
        for count in (1, 4)
    )
    assert few["models"]["0"] == {
        "title": "My model", "clean": 0.94, "left": {"L∞, ε = 0.1": 0.19, "L∞, ε = 0.3": 0.0},
    }  # fmt: skip
    first, second, third = answer_files.in_lines(few)
    assert first == "My model: 94.0 % of clean images right; left under all attacks together: 19.0 %"
    assert second == "  (L∞, ε = 0.1), 0.0 % (L∞, ε = 0.3)"
    assert third.startswith("0 of the papers' own numbers")
    assert len(list(answer_files.in_lines(many))) == 1


def test_models_are_those_of_the_summary(tree: made_up_study.Tree) -> None:
    data = made_up_study.report_data(tree)
    found = {one.name: one for one in answer.answer(data).models}
    rows = data.summary[(data.summary["metric"] == "accuracy") & (data.summary["attack"] == "none")]
    assert {name: one.clean for name, one in found.items()} == dict(
        zip(rows["model"], rows["value"], strict=True)
    )
    assert any(one.left for one in found.values())


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Answer) -> Path:
    """Stand in a project whose default study has its page and its answer."""
    (tmp_path / "config.yaml").write_bytes(Path("config.yaml").read_bytes())
    for path, text in (
        ("report/digits.html", "x" * 2048),
        ("results/digits/answer.json", answer_files.as_json(found)),
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_answer_ends_with_the_page_and_its_size(
    finished: Path, capsys: pytest.CaptureFixture[str], found: Answer
) -> None:
    assert cli.main(["answer"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-2] == [*answer_files.in_lines(json.loads(answer_files.as_json(found)))]
    assert lines[-2:] == [
        "The page: report/digits.html (2 KiB)",
        "The answer alone: results/digits/answer.md",
    ]


def test_an_answer_that_is_older_than_the_study_says_so(
    finished: Path, capsys: pytest.CaptureFixture[str], found: Answer
) -> None:
    record = finished / "results/digits/tables/record.json"
    record.parent.mkdir()
    record.write_text('{"rule": "tabulate", "name": "digits", "digest": "of other code"}')
    assert cli.main(["answer"]) == 0
    *_, answer_alone, changed, where, so, command = capsys.readouterr().out.splitlines()
    assert answer_alone.startswith("The answer alone")
    assert (changed, where) == (
        "The study, its code or a file has changed since:",
        "  results/digits/tables/record.json",
    )
    assert so == "This makes the answer anew:"
    assert command.startswith("  snakemake")


def test_a_long_name_leaves_room_for_its_verdict(found: Answer) -> None:
    told = json.loads(answer_files.as_json(found))
    verdict = {"of": answer.DIRECT, "short": "grade B: 0 reproduced, 1 lower, 0 higher, 0 undecided"}
    told["papers"] = [{"name": "A" * 200, **verdict}, {"name": "One 2001", **verdict}]
    _, _, *lines = answer_files.in_lines(told)
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) <= 10


@pytest.mark.parametrize(
    "text",
    [
        '{"papers": [{"name": "Old", "short": "x"}], "models": {}, "judged_by": {}}',
        '{"papers": [], "models": {"a": {"title": "A", "clean": "0.9", "left": {}}}, "judged_by": {}}',
        "[]",
    ],
)
def test_an_answer_of_another_version_says_how_it_is_made_anew(
    finished: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (finished / "results/digits/answer.json").write_text(text)
    assert cli.main(["answer"]) != 0
    told = capsys.readouterr().err
    assert "results/digits/answer.json holds no answer, or one of another version" in told
    assert "snakemake" in told


@pytest.mark.parametrize("there", [True, False])
def test_open_says_where_the_page_is_if_there_is_no_browser(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], there: bool
) -> None:
    asked: list[str] = []

    def browser(address: str) -> bool:
        asked.append(address)
        return there

    monkeypatch.setattr(webbrowser, "open", browser)
    assert cli.main(["open"]) == 0
    page = finished / "report/digits.html"
    assert asked == [page.as_uri()]
    told = "opened report/digits.html" if there else f"no browser was found here; the page is {page}"
    assert capsys.readouterr().out == told + "\n"


@pytest.mark.parametrize("command", ["open", "answer"])
def test_without_a_page_they_say_how_to_make_it(
    finished: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (finished / "report/digits.html").unlink()
    assert cli.main([command]) == 1
    assert "report/digits.html is not there yet" in capsys.readouterr().err


def test_ci_publishes_what_a_run_of_the_default_study_makes() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    commands = [step.get("run", "") for step in jobs["page"]["steps"]]
    assert "make report" in commands
    copied = {
        word
        for line in "\n".join(commands).splitlines()
        for word in line.split()[1:-1]
        if line.startswith("cp ")
    }
    assert copied == set(cli.Plan(cli.load_study([], [])).report().outputs.values())
    assert jobs["publish"]["needs"] == "page"
    assert jobs["page"]["needs"] == ["test", "check"], "nothing is published that fails a test"
