"""The answer: the best evidence of each claim, sentences that say no more than it, and others' numbers of the same model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_up_study import frame
from tests.hand_made_papers import read_paper
from tests.ours import needs

from reproof.claims.independent import IndependentMeasurement
from reproof.claims.paper import Paper
from reproof.judging.difference import Difference, dump
from reproof.reference import Reference
from reproof.report import ReportData, ShownModel
from reproof.report.answer import PaperAnswer, answer
from reproof.report.contents import THIS_RUN, empty
from reproof.report.evidence import ALL_ATTACKS, BestEvidence, attacked_directly
from reproof.report.judged_claims import JudgedClaims
from reproof.report.shown_verdict import HAMPERED

KEY = "mustafa_pcl"
"""The paper that the examples' defense, prototype conformity, says it is of."""
PGD, BIM, CLEAN, BLACK = (f"{KEY}.table_1.ours.{name}" for name in ("pgd", "bim", "clean", "black"))
CELLS: tuple[Mapping[str, str], ...] = (
    {},
    {"column": "BIM", "attack": "bim", "printed": "30.0"},
    {"column": "Clean", "attack": "none", "parameters": "", "printed": "99.0"},
    {"column": "Black", "setting": "black_box", "source": "vgg19", "printed": "70.0"},
    {"row": "Baseline", "column": "PGD", "defense": "undefended", "printed": "5.0"},
    {"row": "Copied", "column": "PGD", "evidence": "copied from Yu et al. [43]", "parameters": "epsilon=0.2"},
)


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    found: Paper = read_paper(tmp_path, *CELLS, key=KEY, thesis="It holds.", headlines=[PGD, CLEAN])
    return found


def judged(key: str, word: str, grade: str, **told: Any) -> dict[str, Any]:
    """Return a row of verdicts.csv: 10 % measured, between 8 % and 12 %, unless told otherwise."""
    place = {"model": "ours", "measured": 0.10, "low": 0.08, "high": 0.12, "margin": 0.02}
    return {"claim_id": key, "verdict": word, "grade": grade, **place} | told


def data(
    paper: Paper,
    verdicts: Iterable[Mapping[str, Any]],
    references: Mapping[str, Iterable[Mapping[str, Any]]] | None = None,
    *,
    dataset: str = "mnist",
    independent: Iterable[IndependentMeasurement] = (),
) -> ReportData:
    """Return what the page is made of, with the verdicts of this run and of reference runs on MNIST."""
    runs = [
        Reference(
            title,
            {"title": title, "budget": "", "models": {"ours": {"dataset": "mnist"}}},
            {"verdicts": frame("verdicts", rows)},
            {},
        )
        for title, rows in (references or {}).items()
    ]
    return ReportData(
        study="tiny",
        title="Tiny",
        description="",
        settings={},
        data_set={},
        seeds=[0],
        models=[ShownModel("ours", "Ours", dataset, "cnn6", "prototype_conformity", "clean")],
        attacks=[],
        threats=[],
        summary=empty("summary"),
        measurements=empty("measurements"),
        verdicts=frame("verdicts", verdicts),
        papers=[paper],
        trails=[],
        records={},
        references=runs,
        independent=tuple(independent),
    )


def told(paper: Paper, *verdicts: Mapping[str, Any], **more: Any) -> PaperAnswer:
    (found,) = answer(data(paper, verdicts, **more)).papers
    return found


def of(paper: Paper, key: str, **told: Any) -> tuple[str, str, str]:
    """Return the run, the word and the grade of a claim's best evidence."""
    (chosen,) = [one for one in paper.claims if one.claim_id == key]
    found = BestEvidence(data(paper, **told)).of(chosen)
    return ("", "", "") if found is None else (found.run, found.word, found.grade)


def test_the_better_grade_stands_in_front_whatever_its_word(paper: Paper) -> None:
    own = [judged(PGD, "reproduced", "B")]
    assert of(paper, PGD, verdicts=own, references={"Large": [judged(PGD, "lower", "A")]}) == (
        "Large",
        "lower",
        "A",
    )
    assert of(paper, PGD, verdicts=own, references={"Large": [judged(PGD, "lower", "C")]}) == (
        THIS_RUN,
        "reproduced",
        "B",
    )


def test_of_one_grade_more_seeds_count_more_and_then_this_run(paper: Paper) -> None:
    seeds = {"seed_words": "lower, lower, lower"}
    own, one = [judged(PGD, "higher", "B")], [judged(PGD, "lower", "B")]
    assert of(paper, PGD, verdicts=own, references={"One": one})[0] == THIS_RUN
    several = {"One": one, "Three": [judged(PGD, "lower", "B", **seeds)]}
    assert of(paper, PGD, verdicts=own, references=several)[0] == "Three"


def test_what_was_measured_on_another_data_set_is_no_evidence(paper: Paper) -> None:
    own = [judged(PGD, "not comparable", "C")]
    assert of(paper, PGD, verdicts=own, dataset="digits") == ("", "", "")
    assert of(paper, PGD, verdicts=own)[2] == "C"
    assert of(paper, PGD, verdicts=[judged(PGD, "not measured", "")]) == ("", "", "")


@pytest.mark.parametrize(
    ("key", "value", "of_which"), [(PGD, 0.01, ALL_ATTACKS), (BLACK, 0.6, "all black-box attacks")]
)
def test_transferred_images_are_held_to_their_own_setting(
    paper: Paper, key: str, value: float, of_which: str
) -> None:
    left = {f"strongest_{end}": 0.6 for end in ("value", "low", "high")}
    left |= {f"overall_{end}": 0.01 for end in ("value", "low", "high")}
    (chosen,) = [one for one in paper.claims if one.claim_id == key]
    found = BestEvidence(data(paper, [judged(key, "lower", "B", **left)])).of(chosen)
    assert found is not None
    assert found.left is not None
    assert (found.left.value, found.left.of) == (value, of_which)
    none = BestEvidence(data(paper, [judged(key, "lower", "B")])).of(chosen)
    assert none is not None
    assert none.left is None


@needs("defenses/prototype_conformity")
def test_its_own_defense_attacked_directly(paper: Paper) -> None:
    assert [one.claim_id for one in attacked_directly(paper.claims[:5])] == [PGD, BIM]


@needs("defenses/prototype_conformity")
def test_the_sentences_say_every_word_and_what_was_not_judged(paper: Paper) -> None:
    left = {"overall_value": 0.1, "overall_low": 0.05}
    found = told(
        paper,
        judged(PGD, "lower", "B", training_share=0.04, overall_high=0.198, **left),
        judged(BIM, "undecided", "B", training_share=0.04, undecided_by="images", overall_high=0.31, **left),
        judged(CLEAN, "not comparable", "C"),
        judged(f"{KEY}.table_1.copied.pgd", "reproduced", "A"),
    )
    assert found.verdict == (
        "Its own defense, attacked directly, at grade B (another training, strength of the attack or released network, "
        "4 % of the paper’s epochs): 0 reproduced, 1 lower, 0 higher, 1 undecided. All attacks together, within the same "
        "budget, leave less than was claimed in 1 of the 2 numbers that they were run for.",
        "In all, 2 of its 5 own numbers could be judged, at grade B: 0 reproduced, 1 lower, 0 higher, 1 undecided.",
        "1 was measured in another experiment (grade C), and not judged.",
        "2 were not measured on the data set that the paper names.",
    )
    assert (found.of, found.short) == (
        "its defense, attacked directly",
        "grade B: 0 reproduced, 1 lower, 0 higher, 1 undecided",
    )


def test_grade_a_and_b_are_never_added_up(paper: Paper) -> None:
    whole = answer(data(paper, [judged(BLACK, "reproduced", "A"), judged(CLEAN, "lower", "B")]))
    assert whole.sentence == (
        "2 of the 5 numbers that 1 paper measured could be judged, at grade A (the paper’s own experiment): 1 "
        "reproduced, 0 lower, 0 higher, 0 undecided; at grade B (another training, strength of the "
        "attack or released network): 0 reproduced, 1 lower, 0 higher, 0 undecided. Of these, 2 from this run."
    )


@needs("defenses/prototype_conformity")
def test_a_number_under_a_hampered_attack_says_so_beside_its_word_and_in_the_paper_s_verdict(
    paper: Paper,
) -> None:
    """In the run and on the model whose red flag it is; a clean accuracy, or what was not judged, has no such attack."""
    at = {"setting": "white_box", "attack": "pgd", "parameters": "epsilon=0.3"}
    verdicts = [judged(PGD, "higher", "B", **at), judged(BIM, "lower", "B", **{**at, "attack": "bim"})]
    flag = {"model": "ours", "gate": "zero_gradients", "raised": True, "evidence": "At white-box PGD."}
    flags = frame("red_flags", [{**flag, "rows": "white_box pgd epsilon=0.3"}])
    made = data(paper, verdicts)
    for flagged, count in (
        (replace(made, flags=flags), 1),
        (made, 0),
        (replace(made, flags=flags.assign(model="b")), 0),
        (replace(made, flags=flags.assign(rows="white_box pgd epsilon=0.1")), 0),
        (replace(made, flags=flags.assign(rows="white_box pgd epsilon=0.3 from other")), 0),
    ):
        (found,) = answer(flagged).papers
        (headline, _) = found.headlines
        assert (HAMPERED in headline.verdict.remarks) == (count == 1)
        assert JudgedClaims(flagged).shown(headline.claim).remarks == headline.verdict.remarks
        said = "; 1 of these 2 under an attack that was hampered (1 of them higher)."
        assert [said in sentence for sentence in found.verdict[:2]] == [count == 1] * 2
        assert (said[:-1] in answer(flagged).sentence) == (count == 1)
    unjudged = replace(data(paper, [judged(PGD, "not comparable", "C", **at)]), flags=flags)
    assert answer(unjudged).papers[0].headlines[0].verdict.remarks == ()


def test_what_is_left_under_the_strongest_has_its_interval(paper: Paper) -> None:
    left = {f"overall_{end}": value for end, value in (("value", 0.63), ("low", 0.394), ("high", 0.865))}
    headline = told(paper, judged(PGD, "higher", "B", **left)).headlines[0]
    assert (headline.left, headline.left_interval) == ("63.0 %", "[39.4–86.5]")
    assert told(paper, judged(PGD, "higher", "B")).headlines[0].left_interval == ""


def test_the_sentence_says_which_run_judged(paper: Paper) -> None:
    references = {
        "Large": [judged(PGD, "lower", "B"), judged(BIM, "lower", "B")],
        "Other": [judged(CLEAN, "lower", "B")],
    }
    other = [judged(BLACK, "not comparable", "C")]
    assert answer(data(paper, other, references)).sentence.endswith(
        " Of these, 2 from “Large” and 1 from “Other”; none from this run. None was tested in its paper’s own "
        "experiment (grade A)."
    )
    assert "Of these" not in answer(data(paper, other)).sentence


@pytest.mark.parametrize(
    ("verdicts", "short", "first"),
    [
        ([], "not measured", "None of its 5 own numbers could be judged."),
        (
            [judged(PGD, "not comparable", "C")],
            "not judged: not the paper’s own experiment (grade C)",
            "None of its 5 own numbers could be judged.",
        ),
    ],
    ids=["nothing", "grade C"],
)
def test_without_a_judged_claim_it_says_so(
    paper: Paper, verdicts: list[dict[str, Any]], short: str, first: str
) -> None:
    found = told(paper, *verdicts)
    assert found.short == short
    assert found.verdict[0] == first


def test_a_headline_of_grade_c_says_what_was_another(paper: Paper) -> None:
    other = [Difference("architecture", "lenet", "cnn6", "C"), Difference("training.epochs", "4", "350", "B")]
    (attacked, clean) = told(paper, judged(PGD, "not comparable", "C", differences=dump(other))).headlines
    assert attacked.why == "not the paper’s own experiment: network: LeNet, not CNN-6"
    assert (attacked.claimed, attacked.measured) == ("19.9 %", "10.0 %")
    assert (clean.claimed, clean.measured, clean.left, clean.why) == ("99.0 %", "not measured", "", "")


def others(**changes: Any) -> IndependentMeasurement:
    known: dict[str, Any] = {
        "defense": "prototype_conformity",
        "training": "",
        "dataset": "mnist",
        "architecture": "CNN-6",
        "same_model": KEY,
        "model": "its weights",
        "norm": "linf",
        "epsilon": "0.3",
        "attack": "pgd",
        "details": "",
        "clean": "",
        "robust": "20",
        "unit": "percent",
        "source": "somebody",
        "checked": True,
        "note": "",
    }
    return IndependentMeasurement(**known | changes)


def number(paper: Paper, *measured: IndependentMeasurement) -> str:
    found = told(paper, independent=measured).headlines[0].others
    return "" if found is None else found.number


def test_others_count_only_for_the_very_model_and_where_they_were_read(paper: Paper) -> None:
    assert number(paper, others()) == "20 %"
    assert number(paper, others(same_model="no")) == ""
    assert number(paper, others(checked=False)) == ""
    assert number(paper, others(dataset="cifar10")) == ""
    assert number(paper, others(clean="98", attack="none", norm="", epsilon="", robust="")) == ""


@needs("attacks/autoattack")
def test_of_others_the_hardest_search_counts_and_then_the_least(paper: Paper) -> None:
    hardest = others(attack="autoattack", robust="8.5")
    assert number(paper, others(robust="1"), hardest, others(robust="0.5")) == "8.5 %"
    assert number(paper, others(robust="10"), others(robust="9")) == "9 %"
