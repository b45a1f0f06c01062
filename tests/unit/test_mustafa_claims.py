"""Mustafa's claims against a second transcription, typed column by column, and against themselves."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from reproof import registry
from reproof.claims import FOLDER, SEPARATOR, papers, read_claims
from reproof.settings import AdversarialTraining
from reproof.training_settings import TrainingSettings

CLAIMS = read_claims(FOLDER / "mustafa_pcl" / "claims.csv")
(PAPER,) = [paper for paper in papers() if paper.key == "mustafa_pcl"]
DATASETS = ("mnist", "cifar10", "cifar100", "fashion_mnist", "svhn")
# Table 2's rows, as (defense, training).
ROWS = (
    ("undefended", "clean"),
    ("prototype_conformity", "clean"),
    ("prototype_conformity", "fgsm"),
    ("prototype_conformity", "pgd"),
)


def cells(table, **fixed):
    found = [c for c in CLAIMS if c.table == table and all(getattr(c, k) == v for k, v in fixed.items())]
    return {c.quantity: c.printed.strip("()") for c in found}


def cell(table, **fixed):
    (printed,) = cells(table, **fixed).values()
    return printed


# (setting, attack) -> the column of Table 2 from top to bottom, four rows for each data set.
TABLE_2 = {
    ("white_box", "none"): """98.71 99.53 99.44 99.28  90.80 90.45 91.28 91.89  72.65 71.90 69.11 68.32
        91.51 91.32 91.03 91.30  93.45 94.36 94.18 94.36""",
    ("white_box", "fgsm"): """4.9 31.1 53.1 49.8  21.4 67.7 75.8 74.9  20.0 56.9 61.3 60.9
        8.7 29.0 55.1 47.2  30.6 69.3 80.1 76.5""",
    ("white_box", "carlini_wagner"): """0.2 29.1 40.9 46.0  0.6 37.3 45.7 51.8  1.1 31.1 35.2 36.7
        0.2 23.9 41.7 44.6  7.1 39.2 51.9 54.8""",
    ("white_box", "mim"): """0.01 24.7 37.0 41.4  0.0 33.2 44.7 49.3  3.52 28.7 33.3 33.7
        0.0 21.8 40.6 41.3  7.3 41.0 45.6 47.1""",
    ("white_box", "pgd"): """0.0 19.9 34.5 39.8  0.01 27.2 42.5 46.7  0.17 25.9 31.4 36.1
        0.0 20.3 35.3 40.7  9.6 33.7 40.5 47.7""",
    ("black_box", "bim"): """17.8 72.7 81.0 81.9  30.1 83.7 87.6 88.3  34.3 64.5 65.2 66.1
        29.3 79.0 87.0 88.0  30.3 73.1 87.4 88.2""",
    ("black_box", "carlini_wagner"): """20.9 77.2 82.3 83.5  31.8 83.3 87.4 88.2  37.1 64.1 65.7 66.7
        30.8 79.2 87.7 88.2  31.4 76.4 88.0 89.2""",
    ("black_box", "mim"): """14.8 74.5 81.4 82.8  30.9 81.9 88.2 88.5  35.5 64.8 65.5 66.1
        29.5 78.4 87.9 88.3  33.5 74.0 87.6 88.6""",
    ("black_box", "pgd"): """11.9 69.5 78.2 80.8  29.1 76.4 84.5 88.8  30.7 62.8 63.4 66.7
        26.0 76.3 85.2 89.7  21.5 70.1 84.4 89.3""",
}


@pytest.mark.parametrize(("setting", "attack"), TABLE_2)
def test_table_2_by_columns(setting, attack):
    typed = iter(TABLE_2[setting, attack].split())
    for dataset in DATASETS:
        for defense, training in ROWS:
            place = {"dataset": dataset, "defense": defense, "training": training}
            assert cell("Table 2", setting=setting, attack=attack, **place) == next(typed), place
    assert next(typed, None) is None


# The two columns that are left, read by rows from the bottom upwards.
TABLE_2_REST = {
    "svhn": "48.8 88.7  47.4 90.1  37.1 77.4  6.2 48.1",
    "fashion_mnist": "40.1 88.2  37.5 89.1  22.0 84.8  0.1 46.7",
    "cifar100": "34.1 65.9  32.3 66.1  28.0 65.3  4.2 40.9",
    "cifar10": "46.0 88.5  45.9 88.9  32.6 85.5  0.0 39.0",
    "mnist": "40.3 85.2  36.6 85.6  23.3 78.3  0.0 23.0",
}


@pytest.mark.parametrize("dataset", TABLE_2_REST)
def test_table_2_bim_and_transferred_fgsm(dataset):
    typed = iter(TABLE_2_REST[dataset].split())
    for defense, training in reversed(ROWS):
        place = {"dataset": dataset, "defense": defense, "training": training}
        assert cell("Table 2", setting="white_box", attack="bim", **place) == next(typed)
        assert cell("Table 2", setting="black_box", attack="fgsm", **place) == next(typed)


# attack -> adaptive and conventional accuracy, clean, FGSM and PGD training, CIFAR-10 then F-MNIST.
TABLE_3 = {
    "pgd": "27.09 27.2  41.32 42.5  44.75 46.7   19.5 20.3  34.7 35.3  39.7 40.7",
    "mim": "32.84 33.2  43.77 44.7  47.31 49.3   20.3 21.8  39.3 40.6  40.7 41.3",
    "bim": "31.29 32.6  44.05 45.9  44.85 46.0   21.7 22.0  36.0 37.5  40.1 40.1",
    "fgsm": "66.90 67.7  74.24 75.8  74.31 74.9   28.1 29.0  53.3 55.1  46.0 47.2",
}


@pytest.mark.parametrize("attack", TABLE_3)
def test_table_3_by_columns(attack):
    typed = iter(TABLE_3[attack].split())
    for dataset in ("cifar10", "fashion_mnist"):
        for training in ("clean", "fgsm", "pgd"):
            for setting in ("adaptive", "white_box"):
                place = {"dataset": dataset, "training": training, "setting": setting}
                assert cell("Table 3", attack=attack, **place) == next(typed), place


# Column -> Table 9 from the bottom row upwards: PGD, C&W, MIM, BIM, FGSM, clean; large budgets first.
TABLE_9 = {
    "Ours_p*": "80.2 93.9  46.0 91.2 97.6  82.0 93.0  77.3 92.1  77.9 96.5  99.3",
    "Ours_f*": "78.8 93.7  39.7 87.3 97.1  80.2 92.7  76.5 92.0  80.0 97.2  99.4",
    "Ours": "62.5 83.6  29.1 80.4 97.7  77.7 92.1  76.3 90.2  70.6 97.1  99.5",
    "Pang et al. [29]": "41.0 82.8  23.8 78.1 97.3  77.5 92.0  73.6 88.5  52.8 96.3  99.5",
    "Ross et al. [33]": "44.2 77.0  20.0 75.3 88.1  29.3 83.7  32.1 87.9  60.4 91.6  99.2",
    "Yu et al. [43]": "- -  37.6 79.1 89.2  - -  77.1 88.1  70.3 91.6  98.4",
    "AdvTrain [17]*": "31.9 62.7  17.0 39.2 71.1  28.8 64.5  18.7 62.0  52.7 73.0  99.1",
    "Baseline": "6.3 50.7  0.2 30.6 61.6  16.1 58.3  12.2 22.5  12.9 58.3  98.7",
}
ROWS_9 = [
    *[("pgd", f"epsilon={e}") for e in ("0.15", "0.1")],
    *[("carlini_wagner", f"c={c}") for c in ("10", "1", "0.1")],
    *[("mim", f"epsilon={e}") for e in ("0.15", "0.1")],
    *[("bim", f"epsilon={e}") for e in ("0.15", "0.1")],
    *[("fgsm", f"epsilon={e}") for e in ("0.2", "0.1")],
    ("none", ""),
]


@pytest.mark.parametrize("column", TABLE_9)
def test_table_9_by_columns(column):
    typed = TABLE_9[column].split()
    found = [cell("Table 9", column=column, attack=attack, parameters=text) for attack, text in ROWS_9]
    assert found == typed


def test_rows_and_columns_are_those_of_the_paper():
    shapes = {}
    for table in ("Table 2", "Table 3", "Table 9"):
        found = [c for c in CLAIMS if c.table == table]
        shapes[table] = (len({c.row for c in found}), len({c.column for c in found}), len(found))
        assert Counter((c.row, c.column) for c in found).most_common(1)[0][1] == 1
    assert shapes == {"Table 2": (20, 11, 220), "Table 3": (6, 9, 54), "Table 9": (12, 8, 96)}
    assert [c.quantity for c in CLAIMS if c.value is None] == [
        ("mnist", "cnn6", "decision_surface", "clean", "white_box", attack, f"epsilon={e}", "accuracy")
        for attack in ("mim", "pgd")
        for e in ("0.1", "0.15")
    ]
    assert (
        list(dict.fromkeys(c.table for c in CLAIMS))
        == ["Table 2", "Table 3", "Table 9"]
        == list(PAPER.tables)
    )


def test_keys_of_the_columns_and_groups():
    for c in CLAIMS:
        assert c.architecture == ("cnn6" if c.dataset in ("mnist", "fashion_mnist") else "resnet110")
        large = c.dataset in ("mnist", "fashion_mnist")
        if c.table == "Table 2" and c.attack != "none":
            budget = ("c=10" if large else "c=0.1") if c.attack == "carlini_wagner" else None
            assert c.parameters == (budget or ("epsilon=0.3" if large else "epsilon=0.03"))
            assert c.column.startswith("White-Box" if c.setting == "white_box" else "Black-Box")
            assert ("VGG-19" in c.note) == (c.setting == "black_box")
        if c.table == "Table 3" and c.attack != "none":
            assert c.parameters == ("epsilon=0.3" if large else f"epsilon={8 / 255!r}")
        if c.table != "Table 9":
            training = {"AdvTrain_FGSM": "fgsm", "AdvTrain_PGD": "pgd", "(first)": "fgsm", "(second)": "pgd"}
            assert c.training == training.get(
                c.row.split(SEPARATOR)[1].split()[-1].removeprefix("Ours* "), "clean"
            )
    keys = {
        c.column: (c.defense, c.training, c.evidence.split(" [")[0]) for c in CLAIMS if c.table == "Table 9"
    }
    assert keys == {
        "Baseline": ("undefended", "clean", "measured"),
        "AdvTrain [17]*": ("fgsm_training", "fgsm", "measured"),
        "Yu et al. [43]": ("decision_surface", "clean", "copied from Yu et al."),
        "Ross et al. [33]": ("input_gradient", "clean", "measured"),
        "Pang et al. [29]": ("adaptive_diversity", "clean", "copied from Pang et al."),
        "Ours": ("prototype_conformity", "clean", "measured"),
        "Ours_f*": ("prototype_conformity", "fgsm", "measured"),
        "Ours_p*": ("prototype_conformity", "pgd", "measured"),
    }


def test_accuracy_falls_with_the_budget():
    curves = defaultdict(list)
    for c in CLAIMS:
        if c.table == "Table 9" and c.attack != "none" and c.value is not None:
            curves[c.column, c.attack].append((float(c.parameters.split("=")[1]), c.value))
    assert len(curves) == 8 * 5 - 2
    for place, curve in curves.items():
        values = [value for _, value in sorted(curve)]
        assert values == sorted(values, reverse=True), place
        assert len(values) == (3 if place[1] == "carlini_wagner" else 2)


def test_nothing_beats_clean_accuracy():
    clean = {(c.table, c.dataset, c.defense, c.training): c.value for c in CLAIMS if c.attack == "none"}
    for c in CLAIMS:
        if c.value is not None:
            assert c.value <= clean[c.table, c.dataset, c.defense, c.training], c.claim_id


def test_table_3_repeats_table_2_in_parentheses():
    for dataset in ("cifar10", "fashion_mnist"):
        for training in ("clean", "fgsm", "pgd"):
            for attack in ("none", "fgsm", "bim", "mim", "pgd"):
                place = {
                    "dataset": dataset,
                    "training": training,
                    "attack": attack,
                    "setting": "white_box",
                    "defense": "prototype_conformity",
                }
                assert cell("Table 3", **place) == cell("Table 2", **place)
    assert any("Table 3" in found.places and "Table 2" in found.places for found in PAPER.contradictions)


def test_what_tables_2_and_9_both_print():
    """Clean accuracy agrees after rounding, C&W at c = 10 but for Ours_f, a contradiction on record."""
    second = {c.quantity: c for c in CLAIMS if c.table == "Table 2"}
    both = [(second[c.quantity], c) for c in CLAIMS if c.table == "Table 9" and c.quantity in second]
    assert len(both) == 8
    unlike = [(a.printed, b.printed) for a, b in both if abs(a.value - b.value) > 0.0005001]
    assert unlike == [("40.9", "39.7")]
    (recorded,) = [found for found in PAPER.contradictions if "39.7" in found.values]
    assert recorded.values == ("39.7", "40.9")


def value(table, dataset, defense, training, attack, parameters, setting="white_box"):
    place = {"dataset": dataset, "defense": defense, "training": training, "setting": setting}
    return float(cell(table, attack=attack, parameters=parameters, **place))


def test_contradictions_say_what_the_tables_hold():
    """The numbers in paper.yaml's contradictions that lie in these tables, looked up again."""
    text = " ".join(word for found in PAPER.contradictions for word in found.values)
    ours = ("prototype_conformity", "pgd")
    for dataset, attack, budget in (
        ("cifar10", "bim", "epsilon=0.03"),
        ("cifar100", "bim", "epsilon=0.03"),
        ("cifar100", "mim", "epsilon=0.03"),
        ("fashion_mnist", "bim", "epsilon=0.3"),
        ("svhn", "mim", "epsilon=0.03"),
    ):
        other, pgd = (value("Table 2", dataset, *ours, kind, budget) for kind in (attack, "pgd"))
        assert other < pgd, "PGD is not the strongest attack here"
        assert f"{attack.upper()} {other}" in text
    for dataset in DATASETS[1:]:
        row = cells("Table 2", dataset=dataset, defense=ours[0], training=ours[1], setting="black_box")
        pgd = max(float(printed) for printed in row.values())
        assert any(key[5] == "pgd" and float(printed) == pgd for key, printed in row.items())
        assert f"{pgd}" in text
    baseline = ("Table 9", "mnist", "undefended", "clean")
    assert value(*baseline, "pgd", "epsilon=0.1") > value(*baseline, "bim", "epsilon=0.1")
    assert value(*baseline, "pgd", "epsilon=0.15") < value(*baseline, "bim", "epsilon=0.15")
    assert value(*baseline, "mim", "epsilon=0.1") == value(*baseline, "fgsm", "epsilon=0.1") == 58.3
    assert f"{8 / 255:.4f}" in text


def test_gains_that_the_text_computes_from_the_tables():
    """41.4 % over the second best on MNIST under PGD (Sec. 5.2) is 62.5 over 44.2: no contradiction."""
    pgd = {c.column: c.value for c in CLAIMS if c.table == "Table 9" and c.parameters == "epsilon=0.15"}
    assert pgd["Ours"] / pgd["Ross et al. [33]"] - 1 == pytest.approx(0.414, abs=0.0005)


def test_readings_name_settings_that_exist():
    """A reading's setting is a field of the plugin that it names, so that a reader can change it."""
    assert len(PAPER.readings) >= 10
    for reading in PAPER.readings:
        first, _, rest = reading.setting.partition(".")
        if first == "training":
            known = set(TrainingSettings.model_fields)
            known |= {f"adversarial.{name}" for name in AdversarialTraining.model_fields}
        elif first == "attacks":
            kind, _, rest = rest.partition(".")
            known = set(registry.settings_class("attacks", kind).model_fields)
        elif first == "prototype_conformity":
            known = set(registry.settings_class("defenses", first).model_fields)
        else:
            assert reading.setting in ("none", "seeds")
            continue
        assert rest in known, reading.setting


def test_attack_protocol_uses_the_attacks_own_words():
    for kind, stated in PAPER.attacks.items():
        fields = registry.settings_class("attacks", kind).model_fields
        assert set(stated) <= set(fields), kind


def test_budgets_cover_every_data_set():
    assert set(PAPER.budgets) == {c.dataset for c in CLAIMS}
    assert PAPER.budgets["mnist"].epochs == 50 + 300
    assert PAPER.budgets["cifar10"].epochs == 200 + 300
