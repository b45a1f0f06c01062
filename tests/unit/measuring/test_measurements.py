"""From parquet outcomes to measurements and summary, on cases small enough to count by hand."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reproof.csv_tables import MEASUREMENTS, SUMMARY
from reproof.errors import ArtifactError
from reproof.measuring import measurements
from reproof.measuring.intervals import paired, wilson
from reproof.measuring.outcomes import IDENTITY, read_outcomes
from tests.hand_made_outcomes import BLACK, CLEAN, TYPES, WHITE, at, rows, write
from tests.hand_made_tables import changed, frame
from tests.hand_made_tables import rows as rows_of


def measure(outcomes):
    """Return the measurements as objects."""
    return rows_of(MEASUREMENTS, measurements.measure(outcomes))


def summarise(measured):
    """Return the summary of such objects as objects."""
    return rows_of(SUMMARY, measurements.summarise(frame(MEASUREMENTS, measured)))


@pytest.fixture
def files(tmp_path):
    return [
        write(tmp_path / "net" / "white_box.parquet", WHITE),
        write(tmp_path / "net" / "black_box.parquet", BLACK, threat="black_box"),
    ]


def counts(found):
    return {
        (row.setting, row.attack, row.parameters): (row.correct, row.total)
        for row in found
        if row.metric == "accuracy"
    }


def test_counts_by_hand(files):
    assert counts(measure(read_outcomes(files))) == {
        ("white_box", "none", ""): (3, 4),
        ("white_box", "fgsm", "epsilon=0.1"): (2, 4),
        ("white_box", "fgsm", "epsilon=0.3"): (2, 4),
        ("white_box", "pgd", "epsilon=0.3"): (3, 3),
        ("white_box", "carlini_wagner", "c=10"): (0, 2),
        ("black_box", "fgsm", "epsilon=0.3"): (3, 4),
        # Images 2, 1 and 0 each fall to one attack: each attack leaves two or more, together they leave none.
        ("all", "worst_case", "norm=linf epsilon=0.1"): (2, 4),
        ("all", "worst_case", "norm=linf epsilon=0.3"): (0, 3),
        ("all", "worst_case_unbounded", ""): (0, 2),
        # In one setting: image 0 withstands white-box attacks, and falls to the black-box one.
        ("white_box", "worst_case_in_setting", "norm=linf epsilon=0.1"): (2, 4),
        ("white_box", "worst_case_in_setting", "norm=linf epsilon=0.3"): (1, 3),
        ("black_box", "worst_case_in_setting", "norm=linf epsilon=0.3"): (2, 4),
    }


def test_distance_is_that_of_the_successful_images(tmp_path):
    content = [
        *rows("none", CLEAN),
        *rows(
            "carlini_wagner",
            {0: 0, 1: 9, 2: 9, 3: 7},
            "c=10",
            norm="l2",
            l2={0: 100.0, 1: 1.5, 2: 2.5, 3: 50.0},
        ),
        *rows("carlini_wagner", {0: 0, 1: 1}, "c=1", norm="l2"),
    ]
    found = measure(read_outcomes([write(tmp_path / "a.parquet", content)]))
    (row,) = [row for row in found if row.metric == "l2_mean"]
    assert (row.parameters, row.value) == ("c=10", 2.0)
    assert (row.correct, row.total, row.low, row.high) == (None, None, None, None)
    assert "worst_case" not in {row.attack for row in found}, "attacks without epsilon have no worst case"


def test_worst_case_of_one_norm_and_of_shared_images_only(tmp_path):
    content = [
        *rows("none", CLEAN),
        *at("pgd", 0.5, {0: 0, 1: 1, 2: 2, 3: 7}, norm="l2"),
        *at("fgsm", 0.1, {0: 0, 1: 1, 2: 9}),
        *at("bim", 0.2, {0: 0, 1: 1}),
    ]
    found = counts(measure(read_outcomes([write(tmp_path / "a.parquet", content)])))
    worst = {key[2]: value for key, value in found.items() if key[1] == "worst_case"}
    assert worst == {
        "norm=l2 epsilon=0.5": (3, 4),
        "norm=linf epsilon=0.1": (2, 3),
        "norm=linf epsilon=0.2": (2, 2),
    }


def test_worst_case_begins_with_the_clean_image(files):
    """Image 3 is wrong clean and right under the one attack there is: it does not stand."""
    found = counts(measure(read_outcomes(files[1:])))
    assert found["black_box", "fgsm", "epsilon=0.3"] == (3, 4)
    assert found["all", "worst_case", "norm=linf epsilon=0.3"] == (2, 4)


def test_disjoint_images_have_no_worst_case(tmp_path):
    content = [*rows("none", CLEAN), *at("fgsm", 0.1, {0: 0}), *at("bim", 0.1, {1: 1})]
    with pytest.raises(ArtifactError, match="no image is shared"):
        measure(read_outcomes([write(tmp_path / "a.parquet", content)]))


def test_measurements_carry_their_interval_and_owner(files):
    first = next(row for row in measure(read_outcomes(files)) if row.attack == "pgd")
    assert (first.low, first.high) == wilson(3, 3)
    assert (first.study, first.dataset, first.architecture, first.defense) == (
        "tiny",
        "mnist",
        "cnn6",
        "undefended",
    )
    assert (first.training, first.model, first.seed, first.source, first.value) == (
        "clean",
        "net",
        0,
        "net",
        1.0,
    )


def test_parameters_are_sorted_as_numbers(tmp_path):
    content = [*rows("none", CLEAN)]
    for c in ("10", "2", "0.5"):
        content += rows("carlini_wagner", {0: 0}, f"c={c}", norm="l2")
    found = measure(read_outcomes([write(tmp_path / "a.parquet", content)]))
    assert [row.parameters for row in found if row.attack == "carlini_wagner"] == ["c=0.5", "c=2", "c=10"]


INCONSISTENT = {
    "label": ([{**BLACK[0], "label": 4}, *BLACK[1:]], {}, "image 0 has label 4, elsewhere .* 0"),
    "clean prediction": (
        [{**BLACK[0], "clean_prediction": 4}, *BLACK[1:]],
        {},
        "image 0 has clean prediction 4",
    ),
    "prediction of an attacked image": (
        [*BLACK[:-1], {**BLACK[-1], "clean_prediction": 3}],
        {},
        "image 3 has clean prediction 3",
    ),
    "image twice": ([*BLACK, BLACK[-1]], {}, "an image twice for black_box fgsm epsilon=0.3 from vgg19"),
    "attack twice": (
        [{**row, "setting": "white_box", "source": "net"} for row in BLACK if row["attack"] != "none"],
        {},
        "white_box fgsm epsilon=0.3 .*once more",
    ),
    "other owner": (BLACK, {"architecture": "lenet"}, "says architecture 'lenet'"),
    "unknown owner": (BLACK, {"threat": None}, "does not say whose"),
    "missing column": (
        [{k: v for k, v in r.items() if k != "l2"} for r in BLACK],
        {},
        "lacks the columns l2",
    ),
    "empty cell": ([{**BLACK[0], "adversarial_prediction": None}, *BLACK[1:]], {}, "1 empty cells"),
}


@pytest.mark.parametrize(("content", "identity", "message"), INCONSISTENT.values(), ids=INCONSISTENT)
def test_refuses_outcomes_that_contradict_each_other(tmp_path, content, identity, message):
    good = write(tmp_path / "a_white_box.parquet", WHITE)
    bad = write(tmp_path / "b_black_box.parquet", content, **identity)
    if identity.get("threat", "") is None:
        pq.write_table(pq.read_table(bad).replace_schema_metadata({}), bad)
    with pytest.raises(ArtifactError, match=message) as caught:
        read_outcomes([good, bad])
    assert str(bad) in str(caught.value)


def test_refuses_files_that_are_no_parquet(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 truncated")
    with pytest.raises(ArtifactError, match=r"a\.parquet: is no readable parquet"):
        read_outcomes([tmp_path / "a.parquet"])
    with pytest.raises(ArtifactError, match=r"b\.parquet"):
        read_outcomes([tmp_path / "b.parquet"])


def test_refuses_attacked_images_without_a_clean_row(tmp_path):
    content = [*rows("none", {0: 0, 1: 1}), *at("fgsm", 0.1, {0: 0, 2: 2})]
    with pytest.raises(ArtifactError, match=r"1 images .* no row without attack"):
        read_outcomes([write(tmp_path / "a.parquet", content)])


def test_seeds_and_models_stay_apart(tmp_path):
    paths = [
        write(tmp_path / "0.parquet", rows("none", CLEAN)),
        write(tmp_path / "1.parquet", rows("none", CLEAN), seed=1),
        write(tmp_path / "2.parquet", rows("none", CLEAN), model="other"),
    ]
    found = measure(read_outcomes(paths))
    assert [(row.model, row.seed) for row in found] == [("net", 0), ("net", 1), ("other", 0)]
    assert [(row.model, row.seeds, row.correct, row.total) for row in summarise(found)] == [
        ("net", 2, 6, 8),
        ("other", 1, 3, 4),
    ]


def measurement(seed, correct, total, **changes):
    low, high = wilson(correct, total)
    values = {
        **dict.fromkeys(("study", "dataset", "architecture", "defense", "training", "model"), "x"),
        "seed": seed,
        "setting": "white_box",
        "source": "x",
        "attack": "pgd",
        "parameters": "epsilon=0.3",
        "metric": "accuracy",
        "value": correct / total,
        "correct": correct,
        "total": total,
        "low": low,
        "high": high,
        **changes,
    }
    return SimpleNamespace(**values)


def test_summary_of_seeds():
    (row,) = summarise([measurement(1, 700, 1000), measurement(0, 500, 1000), measurement(2, 600, 1000)])
    assert (row.seeds, row.value, row.correct, row.total) == (3, pytest.approx(0.6), 1800, 3000)
    assert (row.low, row.high) == pytest.approx((0.351586, 0.848414), abs=1e-6)
    assert (row.value_min, row.value_max) == (0.5, 0.7)


def test_summary_is_the_mean_over_seeds_not_over_images():
    (row,) = summarise([measurement(0, 90, 100), measurement(1, 500, 1000)])
    assert (row.value, row.correct, row.total) == (pytest.approx(0.7), 590, 1100)
    assert (row.low, row.high) == (0.5, 0.9)


def test_summary_of_one_seed_is_the_measurement():
    (row,) = summarise([measurement(0, 30, 100)])
    assert (row.value, row.low, row.high, row.seeds) == (0.3, *wilson(30, 100), 1)
    with pytest.raises(ArtifactError, match="twice"):
        summarise([measurement(0, 30, 100), measurement(0, 30, 100)])


def test_summary_of_distances():
    nothing = {"metric": "l2_mean", "correct": None, "total": None, "low": None, "high": None}
    one = changed(measurement(0, 1, 1), value=1.5, **nothing)
    two = changed(measurement(1, 1, 1), value=2.5, **nothing)
    (row,) = summarise([one, two])
    assert (row.value, row.low, row.high, row.correct) == (2.0, 1.5, 2.5, None)
    (row,) = summarise([one])
    assert (row.value, row.low, row.high, row.total) == (1.5, None, None, None)


def black(attack, epsilon, predictions, **other):
    """Return the rows of images made on `other`, which a model is shown."""
    made = at(attack, epsilon, predictions, source="other")
    return [{**row, "setting": "black_box", "threat": "black_box", **other} for row in made]


def failing(content, *images):
    """Return the rows with a vote that failed on these images."""
    return [{**row, "failed": row["image"] in images} for row in content]


def of(found, metric):
    """Return value, count, total of a metric's rows by what was attacked how."""
    return {
        (row.setting, row.source, row.attack, row.parameters): (row.value, row.correct, row.total)
        for row in found
        if row.metric == metric
    }


class TestRefusals:
    def test_a_refused_image_is_wrong_and_counted(self, tmp_path):
        content = [
            *rows("none", {**CLEAN, 2: -1}),
            *at("fgsm", 0.1, {0: -1, 1: 1, 2: -1, 3: 7}),
            *at("pgd", 0.1, {0: 0, 1: 1}),
        ]
        content = [{**row, "clean_prediction": -1} if row["image"] == 2 else row for row in content]
        found = measure(read_outcomes([write(tmp_path / "a.parquet", content)]))
        assert of(found, "refused") == {
            ("white_box", "", "none", ""): (0.25, 1, 4),
            ("white_box", "net", "fgsm", "epsilon=0.1"): (0.5, 2, 4),
            ("white_box", "net", "pgd", "epsilon=0.1"): (0.0, 0, 2),
            ("white_box", "", "worst_case_in_setting", "norm=linf epsilon=0.1"): (0.5, 1, 2),
            ("all", "", "worst_case", "norm=linf epsilon=0.1"): (0.5, 1, 2),
        }
        assert of(found, "wrong_accepted") == {
            ("white_box", "", "none", ""): (0.25, 1, 4),
            ("white_box", "net", "fgsm", "epsilon=0.1"): (0.25, 1, 4),
            ("white_box", "net", "pgd", "epsilon=0.1"): (0.0, 0, 2),
            ("white_box", "", "worst_case_in_setting", "norm=linf epsilon=0.1"): (0.0, 0, 2),
            ("all", "", "worst_case", "norm=linf epsilon=0.1"): (0.0, 0, 2),
        }
        refused = next(row for row in found if row.metric == "refused" and row.attack == "fgsm")
        assert (refused.low, refused.high) == wilson(2, 4)
        assert counts(found)["white_box", "none", ""] == (2, 4)
        assert counts(found)["white_box", "fgsm", "epsilon=0.1"] == (1, 4)
        assert counts(found)["all", "worst_case", "norm=linf epsilon=0.1"] == (1, 2)

    def test_in_a_worst_case_an_image_is_as_bad_as_the_worst_attack_makes_it(self, tmp_path):
        """Image 0 is right throughout, 1 refused, 2 refused once and wrong once, 3 wrong clean and refused attacked."""
        white = [
            *at("fgsm", 0.1, {0: 0, 1: -1, 2: -1, 3: -1}),
            *at("pgd", 0.3, {0: 0, 1: 1, 2: 7, 3: -1}),
            *rows("carlini_wagner", {0: -1, 1: 1, 2: 2, 3: 7}, "c=1", norm="l2"),
            *rows("carlini_wagner", {0: 5, 1: -1, 2: 2, 3: 7}, "c=2", norm="l2"),
        ]
        paths = [
            write(tmp_path / "a.parquet", [*rows("none", CLEAN), *white]),
            write(tmp_path / "b.parquet", black("fgsm", 0.3, {0: 0, 1: 5, 2: 2, 3: 3}), threat="black_box"),
        ]
        found = measure(read_outcomes(paths))
        three = [of(found, metric) for metric in ("accuracy", "refused", "wrong_accepted")]
        places = {place for place in three[0] if "worst_case" in place[2]}
        assert {place: [one[place][1] for one in three] for place in places} == {
            ("all", "", "worst_case", "norm=linf epsilon=0.1"): [1, 2, 1],
            ("all", "", "worst_case", "norm=linf epsilon=0.3"): [1, 0, 3],
            ("white_box", "", "worst_case_in_setting", "norm=linf epsilon=0.1"): [1, 2, 1],
            ("white_box", "", "worst_case_in_setting", "norm=linf epsilon=0.3"): [1, 1, 2],
            ("black_box", "", "worst_case_in_setting", "norm=linf epsilon=0.3"): [2, 0, 2],
            ("all", "", "worst_case_unbounded", ""): [1, 1, 2],
        }
        for place in three[0]:
            assert sum(one[place][0] for one in three) == pytest.approx(1)

    def test_members_that_an_ensemble_is_attacked_through_share_their_mean(self, tmp_path):
        content = [
            *rows("none", CLEAN),
            *at("fgsm", 0.1, {0: -1, 1: -1, 2: 7, 3: 7}, source="one"),
            *at("fgsm", 0.1, {0: 0, 1: -1, 2: -1, 3: -1}, source="two"),
        ]
        found = measure(read_outcomes([write(tmp_path / "a.parquet", content)]))
        place = ("white_box", "member", "fgsm", "epsilon=0.1")
        assert of(found, "accuracy")[place] == (1 / 8, None, 4)
        assert of(found, "refused")[place] == (5 / 8, None, 4)
        assert of(found, "wrong_accepted")[place] == (2 / 8, None, 4)

    def test_a_model_that_never_refuses_has_no_such_row(self, files):
        found = measure(read_outcomes(files))
        assert of(found, "refused") == of(found, "wrong_accepted") == {}

    def test_who_refuses_adversarial_images_alone_is_seen_to_answer_clean_ones(self, tmp_path):
        content = [*rows("none", CLEAN), *at("fgsm", 0.1, {0: 0, 1: -1, 2: 2, 3: 7})]
        found = of(measure(read_outcomes([write(tmp_path / "a.parquet", content)])), "refused")
        assert found["white_box", "", "none", ""] == (0.0, 0, 4)
        assert found["white_box", "net", "fgsm", "epsilon=0.1"] == (0.25, 1, 4)


class TestNearestPrototype:
    """Labels are 0, 1, 2, 3; the model is wrong on image 3 without an attack."""

    def test_its_accuracy_and_what_it_gains_on_the_same_images(self, tmp_path):
        said = {
            "none": {0: 0, 1: 1, 2: 9, 3: 3},  # loses image 2, wins image 3
            "fgsm": {0: 0, 1: 9, 2: 2, 3: 3},  # wins 2 and 3, which the model lost
        }
        content = [
            {**row, "nearest_prototype": said[row["attack"]][row["image"]]}
            for row in [*rows("none", CLEAN), *at("fgsm", 0.1, {0: 0, 1: 5, 2: 5, 3: 7})]
        ]
        found = measure(read_outcomes([write(tmp_path / "a.parquet", content)]))
        clean, attacked = ("white_box", "", "none", ""), ("white_box", "net", "fgsm", "epsilon=0.1")
        assert of(found, "nearest_prototype_accuracy") == {clean: (0.75, 3, 4), attacked: (0.75, 3, 4)}
        assert of(found, "nearest_prototype_gain") == {clean: (0.0, None, 4), attacked: (0.5, None, 4)}
        gain = next(r for r in found if r.metric == "nearest_prototype_gain" and r.attack == "none")
        assert (gain.low, gain.high) == paired(1, 1, 4)
        assert counts(found)["white_box", "none", ""] == (3, 4), "the model's own accuracy stays"

    def test_a_method_without_it_has_no_such_row(self, tmp_path, files):
        for paths in (
            files,
            [write(tmp_path / "a.parquet", [{**r, "nearest_prototype": None} for r in WHITE])],
        ):
            found = measure(read_outcomes(paths))
            assert not [row for row in found if row.metric.startswith("nearest_prototype")]

    def test_a_column_that_is_empty_in_places_is_refused(self, tmp_path):
        content = [{**row, "nearest_prototype": row["image"] or None} for row in rows("none", CLEAN)]
        with pytest.raises(ArtifactError, match="should hold a class in every row, or in none"):
            read_outcomes([write(tmp_path / "a.parquet", content)])


class TestFailedMajorities:
    def test_images_are_counted_with_an_interval_of_counts(self, tmp_path):
        content = [*failing(rows("none", CLEAN), 3), *failing(at("fgsm", 0.1, {0: 0, 1: 1, 2: 2}), 0, 2)]
        found = measure(read_outcomes([write(tmp_path / "a.parquet", content)]))
        assert of(found, "failed_majorities") == {
            ("white_box", "", "none", ""): (1, None, 4),
            ("white_box", "net", "fgsm", "epsilon=0.1"): (2, None, 3),
        }
        row = next(row for row in found if row.metric == "failed_majorities" and row.attack == "fgsm")
        assert (row.low, row.high) == pytest.approx(tuple(3 * end for end in wilson(2, 3)))
        assert 0 < row.low < 2 < row.high <= 3
        assert of(found, "refused") == {}, "the first member answers"

    def test_a_vote_that_never_fails_says_so_and_one_network_says_nothing(self, tmp_path, files):
        path = write(tmp_path / "a.parquet", failing([*rows("none", CLEAN), *at("fgsm", 0.1, {0: 0})]))
        found = of(measure(read_outcomes([path])), "failed_majorities")
        assert set(found.values()) == {(0, None, 4), (0, None, 1)}
        assert of(measure(read_outcomes(files)), "failed_majorities") == {}

    def test_an_empty_column_is_that_of_one_network(self, tmp_path):
        content = [{**row, "failed": None} for row in [*rows("none", CLEAN), *at("fgsm", 0.1, {0: 0})]]
        found = measure(read_outcomes([write(tmp_path / "a.parquet", content)]))
        assert of(found, "failed_majorities") == {}

    def test_a_failed_vote_that_refuses_is_both(self, tmp_path):
        content = [*failing(rows("none", CLEAN)), *failing(at("fgsm", 0.1, {0: -1, 1: 1, 2: -1}), 0, 2)]
        found = measure(read_outcomes([write(tmp_path / "a.parquet", content)]))
        place = ("white_box", "net", "fgsm", "epsilon=0.1")
        assert of(found, "refused")[place] == (2 / 3, 2, 3)
        assert of(found, "failed_majorities")[place] == (2, None, 3)

    def test_over_seeds_it_is_the_mean_count_and_all_images(self, tmp_path):
        paths = [
            write(tmp_path / f"{seed}.parquet", failing(rows("none", CLEAN), *images), seed=seed)
            for seed, images in enumerate([(0,), (0, 1, 2)])
        ]
        (row,) = [r for r in summarise(measure(read_outcomes(paths))) if r.metric == "failed_majorities"]
        assert (row.value, row.correct, row.total, row.seeds) == (2.0, None, 8, 2)
        assert (row.low, row.high, row.value_min, row.value_max) == (1, 3, 1, 3)

    @pytest.mark.parametrize("broken", [None, "yes", 1])
    def test_a_damaged_column_is_refused(self, tmp_path, monkeypatch, broken):
        content = failing([*rows("none", CLEAN), *at("fgsm", 0.1, {0: 0})], 1)
        if broken is None:
            content[2]["failed"] = None
            message = "column failed should say true or false .* it is bool, with 1 empty cells"
        else:
            monkeypatch.setitem(TYPES, "failed", pa.string() if broken == "yes" else pa.int32())
            content = [{**row, "failed": broken} for row in content]
            message = "column failed should say true or false .* it is (string|int32), with 0 empty cells"
        with pytest.raises(ArtifactError, match=f"a.parquet: {message}"):
            read_outcomes([write(tmp_path / "a.parquet", content)])


PLAIN = {"defense": "votes", "model": "plain"}
BOOSTED = {"defense": "votes[boosted]", "model": "boosted"}


class TestGain:
    def gains(self, tmp_path, plain, boosted, *, before=PLAIN, after=BOOSTED):
        paths = [
            write(tmp_path / "plain.parquet", [*rows("none", CLEAN), *plain], **before),
            write(tmp_path / "boosted.parquet", [*rows("none", CLEAN), *boosted], **after),
        ]
        return [row for row in measure(read_outcomes(paths)) if row.metric == "accuracy_gain"]

    def test_it_is_the_difference_on_the_same_images_with_a_paired_interval(self, tmp_path):
        plain = black("fgsm", 0.1, {0: 0, 1: 9, 2: 9, 3: 9})
        boosted = black("fgsm", 0.1, {0: 9, 1: 1, 2: 2, 3: 9})
        (row,) = self.gains(tmp_path, plain, boosted)
        assert (row.model, row.defense, row.setting, row.source) == (
            "boosted",
            "votes[boosted]",
            "black_box",
            "other",
        )
        assert (row.attack, row.parameters) == ("fgsm", "epsilon=0.1")
        assert (row.value, row.correct, row.total) == (0.25, None, 4)
        assert (row.low, row.high) == paired(1, 2, 4)
        (loss,) = self.gains(tmp_path / "x", boosted, plain)
        assert loss.value == -0.25

    def test_images_that_differ_are_not_paired(self, tmp_path):
        plain = black("fgsm", 0.1, {0: 0, 1: 9, 2: 9})
        for boosted in (
            black("fgsm", 0.1, {0: 0, 1: 1}),
            black("fgsm", 0.1, {1: 1, 2: 2, 3: 3}),
            black("fgsm", 0.2, {0: 0, 1: 1, 2: 2}),
            black("pgd", 0.1, {0: 0, 1: 1, 2: 2}),
        ):
            assert self.gains(tmp_path, plain, boosted) == []

    def test_white_box_images_are_made_for_each_vote(self, tmp_path):
        same = at("fgsm", 0.1, {0: 0, 1: 9}, source="one")
        assert self.gains(tmp_path, same, same) == []

    @pytest.mark.parametrize(
        "other",
        [
            {"seed": 1},
            {"training": "pgd"},
            {"architecture": "lenet"},
            {"defense": "other_votes"},
            {"members": ["a", "c"]},
        ],
    )
    def test_only_the_same_networks_are_compared(self, tmp_path, other):
        shown = black("fgsm", 0.1, {0: 0, 1: 9})
        members = {"members": ["a", "b"]}
        before, after = {**PLAIN, **members}, {**BOOSTED, **members}
        assert len(self.gains(tmp_path / "same", shown, shown, before=before, after=after)) == 1
        assert self.gains(tmp_path, shown, shown, before={**before, **other}, after=after) == []

    def test_two_ensembles_of_one_method_are_kept_apart(self, tmp_path):
        clean = rows("none", CLEAN)
        paths = []
        for name, right in (("a", 1), ("b", 9)):
            for defense, prediction in (("votes", right), ("votes[boosted]", 1)):
                shown = black("fgsm", 0.1, {0: 0, 1: prediction})
                paths.append(
                    write(
                        tmp_path / f"{name}{len(paths)}.parquet",
                        [*clean, *shown],
                        defense=defense,
                        model=f"{name}_{len(paths)}",
                        members=[name],
                    )
                )
        found = [row for row in measure(read_outcomes(paths)) if row.metric == "accuracy_gain"]
        assert {row.model: row.value for row in found} == {"a_1": 0.0, "b_3": 0.5}

    def test_over_seeds_it_is_the_mean(self, tmp_path):
        paths = []
        for seed, better in ((0, 9), (1, 2)):
            for whose, third in ((PLAIN, 9), (BOOSTED, better)):
                shown = black("fgsm", 0.1, {0: 0, 1: 1, 2: third, 3: 9})
                name = f"{whose['model']}{seed}.parquet"
                paths.append(write(tmp_path / name, [*rows("none", CLEAN), *shown], seed=seed, **whose))
        (row,) = [r for r in summarise(measure(read_outcomes(paths))) if r.metric == "accuracy_gain"]
        assert (row.value, row.seeds, row.total, row.correct) == (0.125, 2, 8, None)
        assert (row.low, row.high) == (0.0, 0.25)


class TestMembers:
    CONTENT = (
        *rows("none", CLEAN),
        *at("fgsm", 0.1, {0: 0, 1: 1, 2: 2, 3: 9}),
        *at("fgsm", 0.1, {0: 0, 1: 1, 2: 9, 3: 9}, source="a"),
        *at("fgsm", 0.1, {0: 9, 1: 9, 2: 9, 3: 9}, source="b"),
        *at("fgsm", 0.1, {0: 0, 1: 1, 2: 2, 3: 3}, source="c"),
        *at("fgsm", 0.1, {0: 0, 1: 9, 2: 9, 3: 9}, source="members"),
    )

    def test_their_mean_stands_beside_each(self, tmp_path):
        found = of(measure(read_outcomes([write(tmp_path / "a.parquet", self.CONTENT)])), "accuracy")
        attacked = {key[1]: value for key, value in found.items() if key[2] == "fgsm"}
        assert attacked == {
            "net": (0.75, 3, 4),
            "a": (0.5, 2, 4),
            "b": (0.0, 0, 4),
            "c": (1.0, 4, 4),
            "members": (0.25, 1, 4),
            "member": (0.5, None, 4),
        }
        assert found["all", "", "worst_case", "norm=linf epsilon=0.1"] == (0.0, 0, 4)

    def test_their_interval_is_that_of_as_many_images_not_of_all_together(self, tmp_path):
        found = measure(read_outcomes([write(tmp_path / "a.parquet", self.CONTENT)]))
        (mean,) = [row for row in found if row.source == "member"]
        assert (mean.low, mean.high) == wilson(2, 4)
        assert mean.setting == "white_box"

    def test_each_attack_and_parameter_has_its_own(self, tmp_path):
        content = [
            *self.CONTENT,
            *at("fgsm", 0.2, {0: 0, 1: 9}, source="a"),
            *rows("carlini_wagner", {0: 0, 1: 1}, "c=1", norm="l2", source="b"),
        ]
        found = of(measure(read_outcomes([write(tmp_path / "a.parquet", content)])), "accuracy")
        assert {key[2:]: value for key, value in found.items() if key[1] == "member"} == {
            ("fgsm", "epsilon=0.1"): (0.5, None, 4),
            ("fgsm", "epsilon=0.2"): (0.5, None, 2),
            ("carlini_wagner", "c=1"): (1.0, None, 2),
        }

    def test_a_model_attacked_as_a_whole_or_by_transfer_has_no_such_mean(self, files, tmp_path):
        content = [*rows("none", CLEAN), *at("fgsm", 0.1, {0: 0}, source="members")]
        for paths in (files, [write(tmp_path / "x.parquet", content)]):
            assert "member" not in {row.source for row in measure(read_outcomes(paths))}

    def test_names_of_trials_say_on_what_they_were_made(self, tmp_path):
        (found,) = read_outcomes([write(tmp_path / "a.parquet", self.CONTENT)])
        assert len({trial.name for trial in found.trials}) == len(found.trials) == 5
        assert {trial.name for trial in found.trials if trial.source in ("net", "a")} == {
            "white_box fgsm epsilon=0.1",
            "white_box fgsm epsilon=0.1 from a",
        }


def test_identity_is_complete():
    assert set(IDENTITY) == {
        "study",
        "dataset",
        "architecture",
        "defense",
        "training",
        "model",
        "seed",
        "threat",
    }


class TestFoolingSets:
    """Attacks of which only the images count that fool all the networks they were made on."""

    def files(self, tmp_path, fooling, **identity):
        content = [
            *rows("none", CLEAN),
            *at("ensemble", 0.3, {0: 0, 1: 5, 2: 2, 3: 3}, source="a+b"),
            *at("fgsm", 0.3, {0: 0, 1: 1, 2: 2, 3: 3}, source="a+b"),
        ]
        for row in content:
            row["setting"] = "black_box"
            row["fooling_set"] = fooling.get(row["image"]) if row["attack"] == "ensemble" else None
        return write(tmp_path / f"{len(identity)}{sum(fooling.values())}.parquet", content, **identity)

    @pytest.fixture(autouse=True)
    def typed(self, monkeypatch):
        monkeypatch.setitem(TYPES, "fooling_set", pa.bool_())

    def test_are_counted_with_their_originals(self, tmp_path):
        """Of images 1, 2 and 3 the model has 2 and 3 right when perturbed, 1 and 2 when clean."""
        path = self.files(tmp_path, {0: False, 1: True, 2: True, 3: True})
        found = {
            (row.attack, row.metric): row for row in measure(read_outcomes([path])) if row.source == "a+b"
        }
        assert {key for key in found if key[0] == "fgsm"} == {("fgsm", "accuracy")}
        for metric in ("fooling_set_accuracy", "fooling_set_clean_accuracy"):
            row = found["ensemble", metric]
            assert (row.value, row.correct, row.total) == (2 / 3, 2, 3)
            assert (row.low, row.high) == wilson(2, 3)
            assert (row.setting, row.parameters) == ("black_box", "epsilon=0.3")
        assert found["ensemble", "accuracy"].value == 0.75, "over all images, as of every attack"
        one = self.files(tmp_path, {0: False, 1: True, 2: False, 3: False})
        by_metric = {
            row.metric: row.correct for row in measure(read_outcomes([one])) if row.attack == "ensemble"
        }
        assert by_metric == {"accuracy": 3, "fooling_set_accuracy": 0, "fooling_set_clean_accuracy": 1}

    def test_an_empty_set_has_no_row(self, tmp_path):
        path = self.files(tmp_path, dict.fromkeys(CLEAN, False))
        assert not [row for row in measure(read_outcomes([path])) if row.metric.startswith("fooling_set")]

    def test_the_network_they_were_made_on_has_no_row(self, tmp_path):
        content = [*rows("none", CLEAN), *at("ensemble", 0.3, {0: 5, 1: 5})]
        content = [{**row, "fooling_set": None if row["attack"] == "none" else True} for row in content]
        found = measure(read_outcomes([write(tmp_path / "own.parquet", content)]))
        assert not [row for row in found if row.metric.startswith("fooling_set")]

    def test_seeds_are_pooled_though_their_sets_differ_in_size(self, tmp_path):
        paths = [
            self.files(tmp_path, {0: False, 1: True, 2: True, 3: True}, seed=0),
            self.files(tmp_path, {0: False, 1: True, 2: False, 3: False}, seed=1),
            self.files(tmp_path, dict.fromkeys(CLEAN, False), seed=2),
        ]
        (row,) = [r for r in summarise(measure(read_outcomes(paths))) if r.metric == "fooling_set_accuracy"]
        assert (row.seeds, row.correct, row.total) == (2, 2, 4)
        assert row.value == pytest.approx((2 / 3 + 0) / 2)

    def test_half_a_column_is_refused(self, tmp_path):
        path = self.files(tmp_path, {0: False, 1: True})
        with pytest.raises(ArtifactError, match="column fooling_set should say true or false of all rows"):
            read_outcomes([path])

    def test_another_type_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setitem(TYPES, "fooling_set", pa.int32())
        path = self.files(tmp_path, dict.fromkeys(CLEAN, 1))
        with pytest.raises(ArtifactError, match="column fooling_set should be true, false or empty"):
            read_outcomes([path])


def test_images_of_a_given_psnr_have_no_distance_and_no_ball(tmp_path):
    content = [*rows("none", CLEAN), *rows("fgsm", {0: 5, 1: 1}, "psnr=20", epsilon=None, l2=3.0)]
    found = measure(read_outcomes([write(tmp_path / "psnr.parquet", content)]))
    assert {(row.attack, row.metric) for row in found} == {("none", "accuracy"), ("fgsm", "accuracy")}


def test_order_of_files_and_rows_changes_nothing(tmp_path, files):
    expected = measure(read_outcomes(files))
    assert measure(read_outcomes(files[::-1])) == expected
    shuffled = random.Random(1).sample(WHITE, len(WHITE))
    again = [write(tmp_path / "again" / "white_box.parquet", shuffled), files[1]]
    assert measure(read_outcomes(again)) == expected
    assert summarise(expected[::-1]) == summarise(expected)


EIGHT = 8 / 255


class TestPrintOfBudgets:
    """Epsilon is a number in the outcomes; its print is that of the parameters, as the study wrote it."""

    def content(self, *texts):
        attacked = [
            rows(attack, {0: 0, 1: 1, 2: 2, 3: 7}, f"epsilon={text}", epsilon=EIGHT)
            for attack, text in zip(("fgsm", "pgd"), texts, strict=False)
        ]
        return [*rows("none", CLEAN), *(row for part in attacked for row in part)]

    def test_it_reaches_the_tables(self, tmp_path):
        (one,) = read_outcomes([write(tmp_path / "a.parquet", self.content("8/255"))])
        (trial,) = one.trials
        assert (trial.parameters, trial.epsilon, str(trial.epsilon)) == ("epsilon=8/255", EIGHT, "8/255")
        assert {row.parameters for row in measure([one])} == {
            "", "epsilon=8/255", "norm=linf epsilon=8/255"
        }  # fmt: skip

    def test_two_prints_of_one_budget_are_one_worst_case(self, tmp_path):
        (one,) = read_outcomes([write(tmp_path / "a.parquet", self.content("8/255", repr(EIGHT)))])
        worst = [row.parameters for row in measure([one]) if row.attack == "worst_case"]
        assert worst == ["norm=linf epsilon=8/255"]

    def test_one_attack_in_two_prints_of_one_budget_stands_twice(self, tmp_path):
        paths = [
            write(tmp_path / "a.parquet", self.content("8/255")),
            write(tmp_path / "b.parquet", self.content(repr(EIGHT)), threat="again"),
        ]
        with pytest.raises(ArtifactError, match=r"white_box fgsm .* once more"):
            read_outcomes(paths)

    def test_parameters_that_are_none_are_refused(self, tmp_path):
        content = [*rows("none", CLEAN), *rows("fgsm", {0: 0}, "8/255", epsilon=EIGHT)]
        with pytest.raises(ArtifactError, match=r"a\.parquet: column parameters: '8/255' should read name="):
            read_outcomes([write(tmp_path / "a.parquet", content)])
