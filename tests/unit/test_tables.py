"""From parquet outcomes to the tables, on cases small enough to count by hand."""

from __future__ import annotations

import dataclasses
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reproof.claims import Paper
from reproof.errors import ArtifactError
from reproof.intervals import wilson
from reproof.statements import StatementVerdict
from reproof.tables import (
    IDENTITY,
    MEASUREMENT_COLUMNS,
    STATEMENT_COLUMNS,
    SUMMARY_COLUMNS,
    VERDICT_COLUMNS,
    from_csv,
    measure,
    read_outcomes,
    summarise,
    tabulate,
    to_csv,
)
from reproof.verdicts import Budget, Measurement, Summary, Verdict
from tests.hand_made_papers import DESCRIPTION, claim

# Four test images of labels 0, 1, 2, 3; the last is misclassified clean.
LABELS = {0: 0, 1: 1, 2: 2, 3: 3}
CLEAN = {0: 0, 1: 1, 2: 2, 3: 7}
TYPES = {
    "image": pa.int32(),
    "label": pa.int16(),
    "clean_prediction": pa.int16(),
    "adversarial_prediction": pa.int16(),
    "epsilon": pa.float64(),
    "l2": pa.float32(),
}


def rows(
    attack, predictions, parameters="", *, epsilon=None, norm="linf", kind=None, source="net", l2=1.0, **other
):
    return [
        {
            "image": image,
            "label": LABELS[image],
            "setting": "white_box",
            "threat": "white_box",
            "source": "" if attack == "none" else source,
            "attack": attack,
            "kind": kind or attack,
            "view": "" if attack == "none" else "logits",
            "norm": "" if attack == "none" else norm,
            "parameters": parameters,
            "epsilon": epsilon,
            "clean_prediction": CLEAN[image],
            "adversarial_prediction": prediction,
            "l2": l2 if isinstance(l2, float) else l2[image],
            **other,
        }
        for image, prediction in predictions.items()
    ]


def at(attack, epsilon, predictions, **other):
    return rows(attack, predictions, f"epsilon={epsilon}", epsilon=epsilon, **other)


def write(path, content, **identity):
    whose = {
        "study": "tiny",
        "dataset": "mnist",
        "architecture": "cnn6",
        "defense": "undefended",
        "training": "clean",
        "model": "net",
        "seed": 0,
        "threat": "white_box",
        **identity,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {n: pa.array([r[n] for r in content], type=TYPES.get(n, pa.string())) for n in content[0]}
    )
    pq.write_table(table.replace_schema_metadata({"reproof": json.dumps(whose)}), path)
    return path


WHITE = [
    *rows("none", CLEAN),
    *at("fgsm", 0.1, {0: 0, 1: 1, 2: 5, 3: 7}),
    *at("fgsm", 0.3, {0: 0, 1: 5, 2: 2, 3: 7}),
    *at("pgd", 0.3, {0: 0, 1: 1, 2: 2}),
    *rows("carlini_wagner", {0: 9, 1: 9}, "c=10", norm="l2", l2={0: 1.5, 1: 2.5}),
]
# Image 3 is right by accident once it is perturbed.
BLACK = [
    {**row, "setting": "black_box", "threat": "black_box"}
    for row in [*rows("none", CLEAN), *at("fgsm", 0.3, {0: 5, 1: 1, 2: 2, 3: 3}, source="vgg19")]
]


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


def test_order_of_files_and_rows_changes_nothing(tmp_path, files):
    expected = tabulate(read_outcomes(files), [], {}).files()
    assert tabulate(read_outcomes(files[::-1]), [], {}).files() == expected
    shuffled = random.Random(1).sample(WHITE, len(WHITE))
    again = [write(tmp_path / "again" / "white_box.parquet", shuffled), files[1]]
    assert tabulate(read_outcomes(again), [], {}).files() == expected


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
    return Measurement(**values)


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
    one = dataclasses.replace(measurement(0, 1, 1), value=1.5, **nothing)
    two = dataclasses.replace(measurement(1, 1, 1), value=2.5, **nothing)
    (row,) = summarise([one, two])
    assert (row.value, row.low, row.high, row.correct) == (2.0, 1.5, 2.5, None)
    (row,) = summarise([one])
    assert (row.value, row.low, row.high, row.total) == (1.5, None, None, None)


def test_tables_have_the_promised_columns(files):
    assert ",".join(MEASUREMENT_COLUMNS) == (
        "study,dataset,architecture,defense,training,seed,setting,source,attack,parameters,metric,value,correct,"
        "total,low,high,model"
    )
    assert ",".join(SUMMARY_COLUMNS) == (
        "study,dataset,architecture,defense,training,seeds,setting,source,attack,parameters,metric,value,correct,"
        "total,low,high,model,value_min,value_max"
    )
    assert ",".join(VERDICT_COLUMNS) == (
        "claim_id,claimed,measured,low,high,verdict,differences,paper,table,row,column,model,"
        "strongest_attack,strongest_value,strongest_low,strongest_high,strongest_verdict"
    )
    assert ",".join(STATEMENT_COLUMNS) == (
        "statement_id,paper,place,in_print,print_pairs,print_holding,print_left,print_right,print_difference,"
        "measured,measured_pairs,measured_holding,measured_left,measured_right,measured_difference,judgement,"
        "differences"
    )
    text = tabulate(read_outcomes(files), [], {}).files()["measurements.csv"]
    # Wilson's interval of 3 of 4 by the closed form, to full precision.
    line = "tiny,mnist,cnn6,undefended,clean,0,white_box,,none,,accuracy,0.75,3,4,"
    assert text.splitlines()[0] == ",".join(MEASUREMENT_COLUMNS)
    (clean,) = [row for row in text.splitlines() if row.startswith(line)]
    assert [float(x) for x in clean.split(",")[-3:-1]] == list(wilson(3, 4))
    assert text.endswith("\n")
    assert "\r" not in text


def test_csv_reads_back_the_same(files):
    tables = tabulate(read_outcomes(files), [PAPER], {"net": Budget("net", "mnist", "cnn6", 1, 3)})
    texts = tables.files()
    assert from_csv(texts["measurements.csv"], Measurement, "m") == tables.measurements
    assert from_csv(texts["summary.csv"], Summary, "s") == tables.summary
    assert from_csv(texts["verdicts.csv"], Verdict, "v") == tables.verdicts
    with pytest.raises(ArtifactError, match="columns are not those of summary"):
        from_csv(texts["measurements.csv"], Summary, "m.csv")
    for damaged in (
        "tiny,mnist\n",
        texts["measurements.csv"].splitlines()[1].replace(",0,", ",zero,") + "\n",
    ):
        with pytest.raises(ArtifactError, match=r"m\.csv, line 2"):
            from_csv(",".join(MEASUREMENT_COLUMNS) + "\n" + damaged, Measurement, "m.csv")


def test_csv_quotes_and_blanks():
    assert to_csv([{"a": 0.1 + 0.2, "b": None}, {"a": True, "b": 'x, "y"'}], ["b", "a"]) == (
        'b,a\n,0.30000000000000004\n"x, ""y""",true\n'
    )


def stated(row, **changes):
    place = {"row": row, "defense": "undefended", "attack": "fgsm"}
    return claim(**{**place, **changes})


PAPER = Paper(
    **{
        **DESCRIPTION,
        "key": "p",
        "tables": {},
        "budgets": {"mnist": {"epochs": 5}},
        "claims": (
            stated("b", printed="95.0"),
            stated("c", printed="-"),
            stated("d", printed="?", certainty="lost"),
            stated("a", printed="50.0"),
        ),
        "statements": [
            {
                "key": "better",
                "place": "Sec. 1",
                "words": "b, c and d are better than a",
                "left": ["*.pgd"],
                "right": ["table_1.a.pgd"],
                "relation": "more",
            }
        ],
    }
)


def test_verdicts_of_all_claims_but_dashes(files):
    budgets = {"net": Budget("net", "mnist", "cnn6", 1, 3)}
    verdicts = tabulate(read_outcomes(files), [PAPER], budgets).verdicts
    assert [(v.claim_id, v.verdict, v.measured, v.strongest_value) for v in verdicts] == [
        ("p.table_1.a.pgd", "reproduced", 0.5, 0.0),
        ("p.table_1.b.pgd", "lower", 0.5, 0.0),
    ]
    assert verdicts[0].differences == "epochs: 3 of 5"


def test_statements_are_judged_by_the_verdicts(files):
    tables = tabulate(read_outcomes(files), [PAPER], {"net": Budget("net", "mnist", "cnn6", 1, 3)})
    (better,) = tables.statements
    assert better == StatementVerdict(
        statement_id="p.better",
        paper="p",
        place="Sec. 1",
        in_print="holds",
        print_pairs=1,
        print_holding=1,
        print_left="p.table_1.b.pgd",
        print_right="p.table_1.a.pgd",
        print_difference=pytest.approx(0.45),
        measured="undecided",
        measured_pairs=1,
        measured_holding=0,
        measured_left="p.table_1.b.pgd",
        measured_right="p.table_1.a.pgd",
        measured_difference=0.0,
        judgement="undecided",
        differences="",
    )
    header, line = tables.files()["statements.csv"].splitlines()
    assert header == ",".join(STATEMENT_COLUMNS)
    cells = dict(zip(header.split(","), line.split(","), strict=True))
    assert cells["print_difference"] == repr(better.print_difference)
    assert (cells["print_pairs"], cells["measured_difference"], cells["differences"]) == ("1", "0.0", "")


def test_statements_of_no_measurements_have_empty_cells():
    (line,) = tabulate([], [PAPER], {}).files()["statements.csv"].splitlines()[1:]
    assert line.endswith(
        ",not measured,0,0,,,,,defense undefended was not built in this study; data set mnist is not in this study"
    )


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
