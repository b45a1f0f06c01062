"""Comparisons of the prose over the cells of hand-made papers: as printed, and beside hand-made verdicts."""

from __future__ import annotations

import pytest

from reproof.claims.paper import papers
from reproof.judging.difference import Difference
from reproof.judging.statements import judge_statements
from reproof.judging.verdicts import Verdict
from tests.hand_made_papers import write_paper

DEFENSES = {
    "ours": "prototype_conformity",
    "second": "adaptive_gravity",
    "third": "magnet",
    "fourth": "pixel_defend",
}
STATEMENT = {"key": "better", "place": "Sec. 1", "words": "better", "relation": "more"}
OURS, OTHERS = ["table_1.ours.*"], ["table_1.*"]


def cells(printed):
    """Return cells of `{"ours.fgsm": "20"}`: row and column, which is the attack."""
    for name, text in printed.items():
        row, column = name.split(".")
        yield {
            "row": row,
            "column": column,
            "defense": DEFENSES[row],
            "attack": column,
            "printed": text,
            "certainty": "lost" if text == "?" else "certain",
        }


def verdict(name, value, low=None, high=None, word="reproduced", differences=(), **key) -> Verdict:
    return Verdict(
        claim_id=f"p.table_1.{name}",
        paper="p",
        table="Table 1",
        row="",
        column="",
        claimed=None,
        verdict=word,
        differences=tuple(differences),
        measured=value,
        low=low,
        high=high,
        **key,
    )


WIDTH = Difference("architecture", "cnn6 (width 0.25)", "cnn6")
IMAGES = Difference("images", "300", "10000")
EPOCHS = Difference("epochs", "1", "2")
COMPARED = Difference("compared", "", "")


def judged(tmp_path, printed, *verdicts, left=OURS, right=OTHERS, **statement):
    right = [] if "value" in statement else right
    statements = [STATEMENT | {"left": left, "right": right, **statement}]
    write_paper(tmp_path, *cells(printed), statements=statements)
    (found,) = judge_statements(papers(tmp_path), verdicts)
    return found


TWO = {"ours.pgd": "50.0", "second.pgd": "30.0"}
IN_PRINT = [
    ("20.0", "19.9", {}, True),
    ("20.0", "20.0", {}, True),
    ("19.95", "20.0", {}, True),
    ("19.9", "20.0", {}, False),
    ("19.95", "20.0", {"tolerance": 0}, False),
    ("19.0", "20.0", {"tolerance": 0.01}, True),
    ("30.0", "20.0", {"margin": 0.1}, True),
    ("29.9", "20.0", {"margin": 0.1}, False),
    ("20.0", "30.0", {"relation": "less", "margin": 0.1}, True),
    ("20.0", "29.9", {"relation": "less", "margin": 0.1}, False),
    ("30.0", "20.0", {"relation": "less", "margin": 0.1}, False),
    ("19.9", "20.0", {"relation": "less"}, True),
    ("20.1", "20.0", {"relation": "less"}, False),
    ("20.0", "20.4", {"relation": "about"}, True),
    ("20.4", "20.0", {"relation": "about"}, True),
    ("20.0", "20.6", {"relation": "about"}, False),
    ("20.6", "20.0", {"relation": "about"}, False),
    ("30.4", "20.0", {"relation": "about", "margin": 0.1}, True),
    ("31.0", "20.0", {"relation": "about", "margin": 0.1}, False),
    ("10.0", "20.0", {"relation": "about", "margin": 0.1}, False),
    ("10.0", "20.0", {"relation": "about", "margin": -0.1}, True),
    ("14.14", "10.00", {"scale": "relative", "margin": 0.414}, True),
    ("14.10", "10.00", {"scale": "relative", "margin": 0.414}, False),
    ("50.0", "40.0", {"scale": "relative", "margin": 0.25}, True),
    ("50.0", "40.0", {"scale": "absolute", "margin": 0.25}, False),
    ("20.0", "40.0", {"scale": "relative", "margin": 0.5, "relation": "less"}, True),
    ("21.0", "40.0", {"scale": "relative", "margin": 0.5, "relation": "less"}, False),
    ("21.0", "20.0", {"scale": "relative", "margin": 0.05, "relation": "about", "tolerance": 0.001}, True),
]


@pytest.mark.parametrize(("left", "right", "statement", "holds"), IN_PRINT)
def test_in_print(tmp_path, left, right, statement, holds):
    found = judged(tmp_path, {"ours.pgd": left, "second.pgd": right}, **statement)
    assert found.in_print == ("holds" if holds else "does not hold")
    assert (found.print_pairs, found.print_holding) == (1, int(holds))
    assert (found.print_left, found.print_right) == ("p.table_1.ours.pgd", "p.table_1.second.pgd")


@pytest.mark.parametrize(
    ("scale", "difference"), [("absolute", 0.2), ("relative", 2 / 3)], ids=["absolute", "relative"]
)
def test_the_words_of_a_statement(tmp_path, scale, difference):
    found = judged(tmp_path, TWO, key="pgd_gain", place="Sec. 5.2", scale=scale)
    assert (found.statement_id, found.paper, found.place) == ("p.pgd_gain", "p", "Sec. 5.2")
    assert found.print_difference == pytest.approx(difference)
    assert (found.measured, found.judgement, found.differences) == ("not measured", "", ())
    assert (found.measured_pairs, found.measured_holding, found.measured_difference) == (0, 0, None)
    assert (found.measured_left, found.measured_right) == ("", "")


def test_a_number_instead_of_claims(tmp_path):
    printed = {"ours.pgd": "95.0", "ours.fgsm": "89.0"}
    found = judged(tmp_path, printed, verdict("ours.pgd", 0.8), value=0.9)
    assert (found.in_print, found.print_pairs, found.print_holding) == ("does not hold", 2, 1)
    assert (found.print_left, found.print_right) == ("p.table_1.ours.fgsm", "")
    assert found.print_difference == pytest.approx(-0.01)
    assert (found.measured, found.measured_pairs, found.measured_right) == ("does not hold", 1, "")


def test_a_claim_is_never_compared_with_itself(tmp_path):
    three = {"ours.pgd": "10", "second.pgd": "20", "third.pgd": "30"}
    found = judged(tmp_path, three, left=["*"], right=["*"])
    assert (found.print_pairs, found.print_holding) == (6, 3)


@pytest.mark.parametrize("against", ["each", "best", "worst"])
def test_a_claim_alone_has_no_pair(tmp_path, against):
    found = judged(tmp_path, {"ours.pgd": "10"}, against=against)
    assert (found.in_print, found.print_pairs, found.print_difference) == ("not measured", 0, None)


FOUR = {"ours.fgsm": "50", "ours.pgd": "20", "second.fgsm": "40", "second.pgd": "10"}


@pytest.mark.parametrize(
    ("pair_by", "pairs", "holding"),
    [([], 4, 3), (["attack"], 2, 2), (["attack", "defense"], 0, 0), (["dataset", "attack"], 2, 2)],
)
def test_pairs_agree_in_columns(tmp_path, pair_by, pairs, holding):
    found = judged(tmp_path, FOUR, right=["table_1.second.*"], pair_by=pair_by)
    assert (found.print_pairs, found.print_holding) == (pairs, holding)


@pytest.mark.parametrize(
    ("against", "pairs", "holding", "word", "right"),
    [
        ("each", 2, 1, "does not hold", "third"),
        ("best", 1, 0, "does not hold", "third"),
        ("worst", 1, 1, "holds", "second"),
    ],
)
def test_against_each_the_best_or_the_worst(tmp_path, against, pairs, holding, word, right):
    printed = {"ours.pgd": "20", "second.pgd": "10", "third.pgd": "30"}
    found = judged(tmp_path, printed, against=against)
    assert (found.print_pairs, found.print_holding, found.in_print) == (pairs, holding, word)
    assert found.print_right == f"p.table_1.{right}.pgd"


def test_the_best_of_each_pairing(tmp_path):
    """Under FGSM ours leads the best by 1 point, under PGD by 5; of all attacks together it would not."""
    printed = {"ours.fgsm": "51", "ours.pgd": "25", "second.fgsm": "50", "third.fgsm": "1", "second.pgd": "2"}
    found = judged(tmp_path, {**printed, "third.pgd": "20"}, against="best", pair_by=["attack"])
    assert (found.in_print, found.print_pairs, found.print_difference) == ("holds", 2, pytest.approx(0.01))
    assert (found.print_left, found.print_right) == ("p.table_1.ours.fgsm", "p.table_1.second.fgsm")


@pytest.mark.parametrize(
    ("fgsm", "pgd", "words", "tightest"),
    [
        (
            "60",
            "45",
            {"all": "holds", "some": "holds", "mean": "holds"},
            {"all": "pgd", "some": "fgsm", "mean": "pgd"},
        ),
        (
            "60",
            "35",
            {"all": "does not hold", "some": "holds", "mean": "holds"},
            {"all": "pgd", "some": "fgsm"},
        ),
        ("45", "20", {"all": "does not hold", "some": "holds", "mean": "does not hold"}, {"some": "fgsm"}),
        (
            "20",
            "35",
            {"all": "does not hold", "some": "does not hold", "mean": "does not hold"},
            {"some": "pgd", "all": "fgsm"},
        ),
    ],
)
@pytest.mark.parametrize("holds_for", ["all", "some", "mean"])
def test_for_all_some_or_the_mean(tmp_path, fgsm, pgd, words, tightest, holds_for):
    printed = {"ours.fgsm": fgsm, "ours.pgd": pgd, "second.fgsm": "40", "second.pgd": "40"}
    found = judged(tmp_path, printed, right=["*.second.*"], pair_by=["attack"], holds_for=holds_for)
    assert found.in_print == words[holds_for]
    if holds_for in tightest:
        assert found.print_left == f"p.table_1.ours.{tightest[holds_for]}"


@pytest.mark.parametrize(
    ("relation", "margin", "expected"),
    [("more", 0.0, "second"), ("less", 0.0, "fourth"), ("about", 0.0, "fourth"), ("about", 0.3, "second")],
)
def test_shows_the_pair_that_is_nearest_to_failing(tmp_path, relation, margin, expected):
    printed = {"ours.pgd": "50", "second.pgd": "45", "third.pgd": "40", "fourth.pgd": "15"}
    found = judged(tmp_path, printed, relation=relation, margin=margin)
    assert found.print_right == f"p.table_1.{expected}.pgd"


def test_cells_without_a_number_make_no_pair(tmp_path):
    printed = {"ours.fgsm": "-", "ours.pgd": "20", "second.pgd": "?", "third.pgd": "10"}
    found = judged(tmp_path, printed, verdict("ours.fgsm", 0.9), verdict("second.pgd", 0.9))
    assert (found.in_print, found.print_pairs, found.measured_pairs) == ("holds", 1, 0)


def test_a_share_of_nothing_is_no_pair(tmp_path):
    printed = {"ours.pgd": "20", "second.pgd": "0.0", "third.pgd": "10"}
    relative = {"scale": "relative", "margin": 1}
    measured = [verdict("ours.pgd", 0.5), verdict("second.pgd", 0.1)]
    found = judged(tmp_path, printed, *measured, **relative)
    assert (found.in_print, found.print_pairs, found.print_right) == ("holds", 1, "p.table_1.third.pgd")
    assert (found.measured, found.measured_pairs) == ("not measured", 0), "another pair is no substitute"


def test_a_share_of_a_measured_nothing_has_a_reason(tmp_path):
    found = judged(tmp_path, TWO, verdict("ours.pgd", 0.5), verdict("second.pgd", 0.0), scale="relative")
    assert (found.in_print, found.measured) == ("holds", "not measured")
    assert found.differences == (Difference("zero_share", "", ""),)


BETWEEN = {"ours.pgd": (0.5, 0.45, 0.55), "second.pgd": (0.3, 0.25, 0.35)}
"""Absolute: 0.1 to 0.3. Relative: 0.45 / 0.35 - 1 = 0.286 to 0.55 / 0.25 - 1 = 1.2."""


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ({}, "holds"),
        ({"margin": 0.1}, "holds"),
        ({"margin": 0.101}, "undecided"),
        ({"margin": 0.3}, "undecided"),
        ({"margin": 0.301}, "does not hold"),
        ({"relation": "less"}, "does not hold"),
        ({"relation": "less", "margin": -0.2}, "undecided"),
        ({"relation": "less", "margin": -0.3}, "holds"),
        ({"relation": "about", "margin": 0.2, "tolerance": 0.1}, "holds"),
        ({"relation": "about", "margin": 0.2, "tolerance": 0.05}, "undecided"),
        ({"relation": "about", "margin": 0.31}, "does not hold"),
        ({"relation": "about"}, "does not hold"),
        ({"scale": "relative", "margin": 0.28}, "holds"),
        ({"scale": "relative", "margin": 0.29}, "undecided"),
        ({"scale": "relative", "margin": 1.19}, "undecided"),
        ({"scale": "relative", "margin": 1.21}, "does not hold"),
    ],
)
def test_measured_intervals(tmp_path, statement, word):
    found = judged(tmp_path, TWO, *(verdict(name, *values) for name, values in BETWEEN.items()), **statement)
    assert (found.measured, found.judgement, found.differences) == (word, word, ())
    assert (found.measured_pairs, found.measured_holding) == (1, int(word == "holds"))
    relative = statement.get("scale") == "relative"
    assert found.measured_difference == pytest.approx(2 / 3 if relative else 0.2)


def test_a_share_of_what_may_be_nothing_has_no_upper_end(tmp_path):
    measured = [verdict("ours.pgd", 0.5, 0.45, 0.55), verdict("second.pgd", 0.1, 0.0, 0.2)]
    found = judged(tmp_path, TWO, *measured, scale="relative", margin=100)
    assert found.measured == "undecided"


def test_values_without_an_interval_stand_for_themselves(tmp_path):
    found = judged(tmp_path, TWO, verdict("ours.pgd", 0.5), verdict("second.pgd", 0.4), margin=0.1)
    assert (found.measured, found.measured_difference) == ("holds", pytest.approx(0.1))


def test_the_mean_of_intervals(tmp_path):
    """The means reach from 0 to 0.2, although one pair alone is undecided."""
    measured = [
        verdict("ours.fgsm", 0.6, 0.5, 0.7),
        verdict("second.fgsm", 0.4),
        verdict("ours.pgd", 0.4, 0.3, 0.5),
        verdict("second.pgd", 0.4),
    ]
    shared = {"right": ["*.second.*"], "pair_by": ["attack"], "holds_for": "mean"}
    for number, (margin, word) in enumerate(((0.0, "holds"), (0.1, "undecided"), (0.21, "does not hold"))):
        (tmp_path / str(number)).mkdir()
        assert judged(tmp_path / str(number), FOUR, *measured, **shared, margin=margin).measured == word


def test_of_another_experiment_it_is_not_comparable(tmp_path):
    found = judged(
        tmp_path,
        TWO | {"third.pgd": "10"},
        verdict("ours.pgd", 0.5, word="not comparable", differences=[WIDTH, IMAGES], grade="C"),
        verdict("second.pgd", 0.3, word="not comparable", differences=[WIDTH, EPOCHS], grade="C"),
        verdict("third.pgd", 0.3, word="higher", differences=[Difference("seeds", "1", "5")], grade="A"),
    )
    assert (found.measured, found.judgement, found.measured_holding) == ("not comparable", "holds", 2)
    assert (found.grade, found.differences) == ("", (WIDTH, IMAGES, EPOCHS, Difference("seeds", "1", "5")))


@pytest.mark.parametrize(("second", "word"), [(0.6, "does not hold"), (0.4, "undecided")])
def test_pairs_that_can_be_compared_decide_what_they_can(tmp_path, second, word):
    """One foreign pair of two once made the whole statement incomparable."""
    foreign = verdict("third.pgd", 0.3, word="not comparable", differences=[WIDTH], grade="C")
    found = judged(
        tmp_path,
        TWO | {"third.pgd": "10"},
        verdict("ours.pgd", 0.5, grade="A"),
        verdict("second.pgd", second, grade="B", differences=[EPOCHS]),
        foreign,
    )
    assert (found.measured, found.measured_pairs, found.grade) == (word, 1, "B")
    assert found.differences == (Difference("pairs", "1", "2"), EPOCHS)


def test_a_foreign_rival_leaves_open_what_only_it_could_settle(tmp_path):
    foreign = verdict("third.pgd", 0.3, word="not comparable", differences=[WIDTH], grade="C")
    printed = {**TWO, "third.pgd": "10"}
    own, other = verdict("ours.pgd", 0.5), verdict("second.pgd", 0.4)
    found = judged(tmp_path, printed, own, other, foreign, against="best")
    assert (found.measured, found.differences) == ("undecided", (COMPARED,))


WEAKER = Difference("attack.steps", "5", "10", "B")
STRONGER = Difference("attack.steps", "50", "10", "B")
UNKNOWN = Difference("attack.step_size", "0.5", "0.1", "B")


@pytest.mark.parametrize(
    ("ours", "others", "left", "right", "word"),
    [
        (0.5, 0.3, (), (), "holds"),
        (0.5, 0.3, (WEAKER,), (WEAKER,), "holds"),  # alike, as they are
        (0.5, 0.3, (WEAKER,), (), "undecided"),  # the paper's attack may leave less of ours
        (0.3, 0.5, (WEAKER,), (), "does not hold"),  # and less still
        (0.5, 0.3, (), (WEAKER,), "holds"),
        (0.5, 0.3, (STRONGER,), (), "holds"),
        (0.3, 0.5, (STRONGER,), (), "undecided"),
        (0.5, 0.3, (), (STRONGER,), "undecided"),
        (0.5, 0.3, (UNKNOWN,), (), "undecided"),
        (0.3, 0.5, (UNKNOWN,), (), "undecided"),
        (0.5, 0.3, (WEAKER,), (STRONGER,), "undecided"),
    ],
)
@pytest.mark.parametrize("against", ["each", "best", "worst"])
def test_sides_that_met_attacks_of_another_strength_bound_what_can_be_said(
    tmp_path, ours, others, left, right, word, against
):
    found = judged(
        tmp_path,
        TWO,
        verdict("ours.pgd", ours, ours - 0.01, ours + 0.01, differences=left, grade="B"),
        verdict("second.pgd", others, others - 0.01, others + 0.01, differences=right, grade="B"),
        left=["table_1.ours.pgd"],
        right=["table_1.second.pgd"],
        against=against,
    )
    assert found.measured == word
    assert COMPARED not in found.differences


@pytest.mark.parametrize(
    ("differences", "relation", "word"),
    [
        ((), "more", "holds"),
        ((WEAKER,), "more", "undecided"),
        ((STRONGER,), "more", "holds"),
        ((WEAKER,), "less", "undecided"),
        ((STRONGER,), "less", "does not hold"),
    ],
)
def test_a_number_is_no_measurement_under_the_same_attack(tmp_path, differences, relation, word):
    left = verdict("ours.pgd", 0.5, 0.49, 0.51, differences=differences, grade="B")
    found = judged(tmp_path, TWO, left, left=["table_1.ours.pgd"], value=0.4, relation=relation)
    assert found.measured == word


def test_says_why_nothing_was_measured(tmp_path):
    found = judged(
        tmp_path,
        TWO,
        verdict("ours.pgd", 0.5, differences=[EPOCHS]),
        verdict(
            "second.pgd",
            None,
            word="not measured",
            differences=[Difference("lacks.defense", "", "adaptive_gravity")],
        ),
    )
    assert (found.measured, found.judgement) == ("not measured", "")
    assert found.differences == (Difference("lacks.defense", "", "adaptive_gravity"),)


@pytest.mark.parametrize(
    ("holds_for", "measured", "word"),
    [
        ("all", 0.5, "undecided"),
        ("all", 0.3, "does not hold"),
        ("some", 0.5, "holds"),
        ("some", 0.3, "undecided"),
        ("mean", 0.5, "undecided"),
        ("mean", 0.3, "undecided"),
    ],
)
def test_pairs_that_were_not_measured_leave_it_open(tmp_path, holds_for, measured, word):
    found = judged(
        tmp_path,
        FOUR,
        verdict("ours.fgsm", measured),
        verdict("second.fgsm", 0.4),
        verdict("ours.pgd", 0.9),
        verdict("second.pgd", None, word="not measured", differences=[EPOCHS]),
        right=["*.second.*"],
        pair_by=["attack"],
        holds_for=holds_for,
    )
    assert (found.measured, found.differences) == (word, (Difference("pairs", "1", "2"),))
    assert (found.print_pairs, found.measured_pairs) == (2, 1)


@pytest.mark.parametrize(
    ("holds_for", "words", "word"),
    [
        ("all", ("holds", "undecided"), "undecided"),
        ("all", ("undecided", "does not hold"), "does not hold"),
        ("some", ("undecided", "does not hold"), "undecided"),
        ("some", ("undecided", "holds"), "holds"),
    ],
)
def test_an_undecided_pair_among_others(tmp_path, holds_for, words, word):
    values = {"holds": (0.6,), "undecided": (0.4, 0.3, 0.5), "does not hold": (0.2,)}
    measured = [
        verdict(f"ours.{attack}", *values[one]) for attack, one in zip(("fgsm", "pgd"), words, strict=True)
    ]
    found = judged(tmp_path, FOUR, *measured, value=0.4, holds_for=holds_for)
    assert (found.measured, found.measured_holding) == (word, words.count("holds"))


@pytest.mark.parametrize(
    ("against", "relation", "ours", "word"),
    [
        ("best", "more", 0.5, "undecided"),
        ("best", "more", 0.3, "does not hold"),
        ("best", "less", 0.3, "holds"),
        ("best", "less", 0.5, "undecided"),
        ("best", "about", 0.4, "undecided"),
        ("worst", "more", 0.5, "holds"),
        ("worst", "more", 0.3, "undecided"),
        ("worst", "less", 0.3, "undecided"),
        ("worst", "less", 0.5, "does not hold"),
    ],
)
@pytest.mark.parametrize("scale", ["absolute", "relative"])
def test_the_best_may_be_one_that_was_not_measured(tmp_path, against, relation, ours, word, scale):
    """Of two competitors the one measured leaves 40 %: the better one may leave more, the worse one less."""
    printed = {**TWO, "third.pgd": "10"}
    measured = [verdict("ours.pgd", ours), verdict("third.pgd", 0.4)]
    found = judged(tmp_path, printed, *measured, against=against, relation=relation, scale=scale)
    assert (found.measured, found.measured_right) == (word, "p.table_1.third.pgd")
    assert found.differences == (COMPARED,)


@pytest.mark.parametrize(
    ("against", "relation", "wide"), [("best", "more", (0.29, 0.1, 0.6)), ("worst", "less", (0.61, 0.4, 0.9))]
)
def test_the_best_of_several_may_be_the_least_certain(tmp_path, against, relation, wide):
    near = (0.3, 0.29, 0.31) if against == "best" else (0.6, 0.59, 0.61)
    printed = {**TWO, "third.pgd": "10"}
    measured = [verdict("ours.pgd", 0.5), verdict("second.pgd", *near), verdict("third.pgd", *wide)]
    found = judged(tmp_path, printed, *measured, against=against, relation=relation)
    assert (found.measured, found.measured_right) == ("undecided", "p.table_1.second.pgd")


def test_statements_keep_their_order_and_look_into_other_papers(tmp_path):
    first = [STATEMENT | {"key": key, "left": OURS, "right": ["old.*"]} for key in ("z", "a")]
    write_paper(tmp_path, *cells({"ours.pgd": "50"}), key="new", year=2022, statements=first)
    old = [STATEMENT | {"left": OURS, "right": ["new.table_1.ours.pgd"]}]
    write_paper(tmp_path, *cells({"ours.pgd": "40"}), key="old", year=2018, statements=old)
    found = judge_statements(papers(tmp_path), [])
    assert [(one.statement_id, one.paper, one.in_print) for one in found] == [
        ("old.better", "old", "does not hold"),
        ("new.z", "new", "holds"),
        ("new.a", "new", "holds"),
    ]
    assert found[1].print_right == "old.table_1.ours.pgd"


def test_settings_of_several_attacks_are_told_apart(tmp_path):
    steps = Difference("attack.steps", "200", "1000")
    measured = [
        verdict("ours.fgsm", 0.5, word="not comparable", differences=[steps], attack="fgsm"),
        verdict("ours.pgd", 0.5, word="not comparable", differences=[steps, IMAGES], attack="pgd"),
        verdict("second.fgsm", 0.4),
        verdict("second.pgd", 0.4),
    ]
    found = judged(tmp_path, FOUR, *measured, right=["*.second.*"], pair_by=["attack"])
    assert found.differences == (
        Difference("attack.fgsm.steps", "200", "1000"),
        Difference("attack.pgd.steps", "200", "1000"),
        IMAGES,
    )


def test_pairs_agree_in_parameters_whatever_their_print(tmp_path):
    made = [*cells({"ours.pgd": "50"}), *cells({"second.pgd": "40"})]
    for one, text in zip(made, ("epsilon=8/255", f"epsilon={8 / 255}"), strict=True):
        one["parameters"] = text
    statement = STATEMENT | {"left": OURS, "right": OTHERS, "pair_by": ["parameters"]}
    write_paper(tmp_path, *made, statements=[statement])
    (found,) = judge_statements(papers(tmp_path), [])
    assert (found.in_print, found.print_pairs) == ("holds", 1)


LOST_TWO = {"ours.pgd": "?", "second.pgd": "?", "third.pgd": "40.0"}


@pytest.mark.parametrize(
    ("ours", "grade", "word"),
    [(0.5, "A", "holds"), (0.1, "B", "does not hold"), (0.5, "C", "not comparable")],
)
def test_a_statement_on_lost_numbers_alone_is_judged_as_measured(tmp_path, ours, grade, word):
    verdicts = [
        verdict("ours.pgd", ours, word="not claimed", grade=grade),
        verdict("second.pgd", 0.3, word="not claimed", grade="A"),
    ]
    found = judged(tmp_path, LOST_TWO, *verdicts, right=["table_1.second.*"])
    assert (found.in_print, found.print_pairs) == ("not measured", 0)
    assert (found.measured, found.measured_pairs) == (word, 1)
    assert (found.measured_left, found.measured_right) == ("p.table_1.ours.pgd", "p.table_1.second.pgd")


def test_beside_printed_numbers_a_lost_one_makes_no_pair(tmp_path):
    verdicts = [
        verdict("ours.pgd", 0.5, word="not claimed", grade="A"),
        verdict("third.pgd", 0.4),
    ]
    found = judged(tmp_path, LOST_TWO, *verdicts)
    assert (found.measured, found.measured_pairs) == ("not measured", 0)


def test_half_of_a_statement_on_lost_numbers_is_undecided(tmp_path):
    printed = {"ours.pgd": "?", "ours.fgsm": "?", "second.pgd": "?", "second.fgsm": "?"}
    verdicts = [verdict("ours.pgd", 0.5, word="not claimed"), verdict("second.pgd", 0.3, word="not claimed")]
    found = judged(tmp_path, printed, *verdicts, right=["table_1.second.*"], pair_by=["attack"])
    assert (found.measured, found.measured_pairs) == ("undecided", 1)
    assert Difference("pairs", "1", "2") in found.differences
