"""What we found: sentences from hand-made verdicts, accuracies and records, where a wrong count would show."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import made_up_study
import pytest
from made_up_study import frame
from tests.ours import needs
from tests.unfolded import render

from reproof import registry
from reproof.claims.claim import Claim
from reproof.claims.paper import Paper
from reproof.report import ReportData, ShownModel, Trail, TrailFile, conclusions
from reproof.report.contents import empty
from reproof.report.shared import Shared
from reproof.settings.defense import DefenseSettings

DEFENSES = {
    "plain": "undefended",
    "ours": "prototype_conformity",
    "theirs": "adaptive_gravity",
    "ours_too": "prototype_conformity[released_code]",
    "madry": "pgd_training",
}
PROPOSED = {"undefended": "", "prototype_conformity": "mustafa_pcl", "adaptive_gravity": "mirzaeian_gravity"}
"""What defenses' files declare of themselves; whether these are there is none of these tests' business."""


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = SimpleNamespace(
        names=lambda family: list(PROPOSED) if family == "defenses" else [],
        settings_class=lambda family, name: SimpleNamespace(paper=PROPOSED[name]),
    )
    monkeypatch.setattr(conclusions, "registry", stand_in)


def claim(number: int, **changes: Any) -> Claim:
    known = dataclasses.asdict(made_up_study.papers()[0].claims[0])
    known |= {
        "claim_id": f"mustafa_pcl.{number}",
        "paper": "mustafa_pcl",
        "value": 0.5,
        "evidence": "measured",
    }
    known |= {"dataset": "digits", "attack": "pgd", "parameters": "epsilon=0.3"}
    return Claim(**{**known, **changes})


def paper(claims: Sequence[Claim]) -> Paper:
    return made_up_study.papers()[0].model_copy(update={"key": "mustafa_pcl", "claims": tuple(claims)})


def accuracy(model: str, value: float, attack: str = "worst_case", parameters: str = "") -> dict[str, Any]:
    place = {"study": "s", "dataset": "digits", "architecture": "cnn6", "defense": "x", "training": "clean"}
    worst = attack == "worst_case"
    return {
        **place,
        **{"setting": "all" if worst else "white_box", "source": "", "attack": attack, "metric": "accuracy"},
        **{"parameters": parameters or ("norm=linf epsilon=0.3" if worst else ""), "model": model},
        **{"value": str(value), "correct": str(round(100 * value)), "total": "100", "low": "", "high": ""},
        **{"seeds": "1", "value_min": str(value), "value_max": str(value)},
    }


def told(
    *,
    claims: Sequence[Claim] = (),
    verdicts: Mapping[int, Mapping[str, Any]] | None = None,
    rows: Sequence[Mapping[str, Any]] = (),
    seconds: Mapping[str, Sequence[float]] | None = None,
    models: Mapping[str, Mapping[str, Any]] | None = None,
    shared: Sequence[str] = (),
) -> dict[str, str]:
    """Return the sentences without their links."""
    known = {name: {"defense": defense} for name, defense in DEFENSES.items()}
    made = [
        ShownModel(
            **{"name": name, "title": name, "dataset": "digits", "architecture": "cnn6", "training": "clean"}
            | dict(changes)
        )
        for name, changes in (models or known).items()
    ]
    trails, records = [], {}
    for name, times in (seconds or {}).items():
        for seed, time in enumerate(times):
            path = f"results/s/models/{name}/seed{seed}/model.safetensors"
            records[path] = {"seconds": time, "device_shared": name in shared}
            for setting in ("white_box", "adaptive"):
                trails.append(Trail(name, seed, setting, (TrailFile("data", "d"), TrailFile("model", path))))
    data = ReportData(
        *("s", "S", "", {}, {}, (0,), made, [], [], frame("summary", rows), empty("measurements")),
        verdicts=frame(
            "verdicts",
            [{"claim_id": f"mustafa_pcl.{number}", **row} for number, row in (verdicts or {}).items()],
        ),
        papers=[paper(claims)],
        trails=trails,
        records=records,
    )
    (found,) = conclusions.conclusions(Shared(data))
    assert found.name == data.paper_names["mustafa_pcl"]
    return {each.term: re.sub(r"<[^>]*>", "", str(each.words)) for each in found.findings}


def fell(*rows: str) -> dict[int, dict[str, Any]]:
    """Return verdicts written `word, grade, share, stable`, numbered from 0."""
    names = ("verdict", "grade", "training_share", "stable")
    return {number: dict(zip(names, row.split(", "), strict=False)) for number, row in enumerate(rows)}


def test_grade_a_alone_is_the_headline_and_b_is_counted_apart() -> None:
    claims = [
        *(claim(number) for number in range(9)),
        claim(9, dataset="mnist"),
        claim(10, dataset="mnist"),
        claim(11, evidence="copied from X"),
        claim(12, attack="none", parameters=""),
        claim(13, value=None),
    ]
    words = fell(
        "reproduced, A",
        "lower, A",
        "lower, A",
        "undecided, A",
        "higher, B, 0.01, yes",
        "reproduced, B, 0.15, no",
        "higher, B, 0.04",
        "undecided, B",
    )
    words |= {8: {"verdict": "not measured"}, 9: {"verdict": "not comparable", "grade": "C"}}
    words |= {number: {"verdict": "reproduced", "grade": "A"} for number in (11, 12, 13)}
    assert told(claims=claims, verdicts=words)["Under its own attacks"] == (
        "1 of 4 claims of grade A reproduced, 2 lower, 0 higher, 1 undecided; grade B at 1 % to 15 % of the paper’s "
        "epochs (3 of them): 1 reproduced, 2 higher, 1 undecided (1 stable, 1 not stable, 1 not tried at half of "
        "that training). Of 11 own claims under attack, 9 are on digits (1 of these not measured). 1 more is of "
        "grade C: another experiment was measured, shown and not judged."
    )


def test_grade_b_is_no_headline() -> None:
    found = told(claims=[claim(0)], verdicts=fell("reproduced, B, 0.5"))["Under its own attacks"]
    assert found.startswith(
        "No claim was judged at grade A; grade B at 50 % of the paper’s epochs: 1 reproduced "
        "(none of them tried at half of that training). "
    )


def test_a_paper_of_other_data_has_no_comparable_claim() -> None:
    claims = [claim(0, dataset="cifar10"), claim(1, dataset="cifar10")]
    assert told(claims=claims, verdicts=fell("not comparable, C"))["Under its own attacks"] == (
        "No claim was judged at grade A. Of 2 own claims under attack, 0 are on digits. 1 more is of grade C: "
        "another experiment was measured, shown and not judged."
    )


def test_what_is_left_is_the_range_over_the_papers_own_defenses() -> None:
    """Gravity and PGD training are not Mustafa's, the undefended model stands apart."""
    left = {"plain": 0.01, "ours": 0.4, "theirs": 0.9, "ours_too": 0.05, "madry": 0.6}
    rows = [accuracy(name, value) for name, value in left.items()]
    assert told(rows=rows)["Under all attacks"] == (
        "All attacks together up to L∞, ε = 0.3: 5.0 % to 40.0 % of the images withstand every attack of the "
        "study, over 2 defenses; undefended 1.0 %."
    )


def test_the_budget_is_the_largest_that_the_paper_names() -> None:
    """At ε = 1, which a sanity check asks for, nothing is left of anything; 0.3 is the claims'."""
    rows = [
        accuracy("ours", value, parameters=f"norm=linf epsilon={e}") for e, value in ((0.1, 0.8), (0.3, 0.4))
    ]
    rows += [accuracy("ours", 0, parameters="norm=linf epsilon=1")]
    rows += [accuracy("ours", 0.2, parameters="norm=l2 epsilon=0.3")]
    claims = [claim(1), claim(2, parameters="epsilon=0.1")]
    assert "up to L∞, ε = 0.3: 40.0 %" in told(claims=claims, rows=rows)["Under all attacks"]
    unbounded = [*claims, claim(3, parameters="epsilon=1")]  # such as Mustafa's "unbounded" one
    assert "up to L∞, ε = 0.3: 40.0 %" in told(claims=unbounded, rows=rows)["Under all attacks"]
    other = [claim(1, parameters="epsilon=0.1")]
    assert "up to L∞, ε = 0.1: 80.0 %" in told(claims=other, rows=rows)["Under all attacks"]
    # The papers' budgets are of L-infinity: an L2 budget of the same size is none of theirs.
    apart = [accuracy("ours", 0.8, parameters="norm=linf epsilon=0.1"), rows[-1]]
    assert "up to L∞, ε = 0.1: 80.0 %" in told(claims=claims[:1], rows=apart)["Under all attacks"]


def test_a_defense_without_a_worst_case_is_counted_apart() -> None:
    found = told(rows=[accuracy("ours", 0.4), accuracy("plain", 0)])["Under all attacks"]
    assert "over 1 defense; undefended 0.0 %; 1 more not attacked within it." in found
    assert told()["Under all attacks"] == "No attack with a budget was run against its defenses."


def test_clean_accuracy_is_against_the_undefended_model() -> None:
    clean = {"plain": 0.98, "ours": 0.95, "ours_too": 0.99, "theirs": 0.1}
    rows = [accuracy(name, value, "none") for name, value in clean.items()]
    assert told(rows=rows)["Clean accuracy"] == (
        "−3.0 points to +1.0 points against the undefended model (98.0 %), over 2 defenses; lower for 1."
    )


@pytest.mark.parametrize(
    "change",
    [{"architecture": "vgg19"}, {"training": "fgsm"}, {"dataset": "mnist"}, {"resources": {"width": 0.5}}],
)
def test_another_network_is_no_undefended_counterpart(change: dict[str, Any]) -> None:
    models = {"plain": {"defense": "undefended", **change}, "ours": {"defense": "prototype_conformity"}}
    rows = [accuracy("plain", 0.98, "none"), accuracy("ours", 0.95, "none")]
    found = told(rows=rows, models=models, seconds={"plain": [10], "ours": [20]})
    term = next(term for term in found if term.startswith("Clean accuracy"))
    assert found[term] == ("95.0 %, over 1 defense; no undefended model of their network is in this study.")
    assert "cannot be compared" in found[term.replace("Clean accuracy", "Cost")]


def test_cost_is_the_mean_over_seeds_beside_the_undefended_models() -> None:
    """Each model stands on two trails of a seed; its seconds count once. 30 / 10 and 15 / 10."""
    seconds = {"plain": [8, 12], "ours": [20, 40], "ours_too": [15, 15], "theirs": [1000, 1000]}
    assert told(seconds=seconds)["Cost"] == (
        "Training took 1.5 to 3 times as long as the undefended model’s (10 s), over 2 defenses."
    )
    assert "cannot be compared" in told(seconds={"ours": [20]})["Cost"]
    packed = told(seconds=seconds, shared=["ours_too"])["Cost"]
    assert packed.startswith("Training took 3 times as long"), (
        "of a GPU that others used nothing was measured"
    )


def test_an_ensemble_costs_what_its_members_cost() -> None:
    models = {
        "plain": {"defense": "undefended"},
        "first": {"defense": "undefended", "architecture": "other"},
        "second": {"defense": "prototype_conformity[member]", "architecture": "other"},
        "vote": {"defense": "prototype_conformity", "settings": {"members": ["first", "second"]}},
    }
    seconds = {"plain": [10], "first": [12], "second": [17], "vote": [1]}
    found = told(models=models, seconds=seconds)
    assert found["Cost"].startswith("Training took 3 times as long")
    without = {name: times for name, times in seconds.items() if name != "second"}
    assert "cannot be compared" in told(models=models, seconds=without)["Cost"]


def test_a_paper_whose_defenses_are_not_built_says_so() -> None:
    found = told(models={"plain": {"defense": "undefended"}, "theirs": {"defense": "adaptive_gravity"}})
    assert found["Its defenses"] == "None of its own defenses is in this study."
    assert set(found) == {"Under its own attacks", "Its defenses"}


@needs("sections/study_run")
def test_the_page_shows_them_after_the_run_with_a_warning_where_the_study_is_small(
    tree: made_up_study.Tree,
) -> None:
    data = made_up_study.report_data(tree)
    paper_of_ours = data.papers[0].model_copy(update={"key": "mustafa_pcl", "claims": ()})
    large = dataclasses.replace(data, warning="", papers=[*data.papers, paper_of_ours])
    html = render(large)
    assert html.index('<section id="run">') < html.index('<section id="found">')
    section = html.split('<section id="found">')[1].split("</section>")[0]
    assert section.count("<article") == len(large.papers)
    assert "a small study" not in section
    assert "a small study" in render(data).split('<section id="found">')[1].split("</section>")[0]
    # The numbers lead to cards that are on the page.
    links = re.findall(r'href="#(card-[^"]+)"', section)
    assert links
    assert all(f'id="{link}"' in html for link in links)


def test_who_proposes_a_defense_is_what_its_file_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conclusions, "registry", registry)
    papers = {}
    for name in registry.names("defenses"):
        declared = registry.settings_class("defenses", name)
        assert issubclass(declared, DefenseSettings)
        papers[name] = declared.paper
        model = {"name": "m", "title": "m", "dataset": "digits", "architecture": "cnn6", "training": "clean"}
        assert conclusions._proposed(ShownModel(**model, defense=name)) == declared.paper
        assert conclusions._proposed(ShownModel(**model, defense=f"{name}[boosted]")) == declared.paper
        assert conclusions._proposed(ShownModel(**model, defense=f"{name}[member]")) == ""
    assert any(papers.values())
