"""What a printed number means in its unit, and what half of its last digit is."""

from __future__ import annotations

import pytest

from reproof.errors import ClaimError
from tests.hand_made_papers import cell, claim, read_claims, write_claims

MINUS = "−"
KINDS = {
    "percent": {"metric": "accuracy"},
    "train percent": {"metric": "train_error", "unit": "percent"},
    "fraction": {"metric": "accuracy"},
    "confidence": {"metric": "confidence", "unit": "fraction"},
    "points": {"metric": "accuracy_gain"},
    "images": {"metric": "failed_majorities"},
    "rounds": {"metric": "chosen_round"},
    "levels": {"metric": "strongest_epsilon"},
    "distance": {"metric": "l2_mean"},
    "min:s": {"metric": "epoch_seconds"},
    "h:min": {"metric": "seconds_to_accuracy", "parameters": "accuracy=0.5"},
}


def read(tmp_path, kind, printed, value, **changes):
    made = cell(**{"unit": kind, **KINDS[kind], "printed": printed, "value": value, **changes})
    (found,) = read_claims(write_claims(tmp_path, made))
    return found


MEANT = [
    ("percent", "98.71", "0.9871", 0.00005),
    ("percent", "98.7%", "0.987", 0.0005),
    ("percent", "98.7 %", "0.987", 0.0005),
    ("percent", "(67.7)", "0.677", 0.0005),
    ("percent", "(67.7%)", "0.677", 0.0005),
    ("percent", "91", "0.91", 0.005),
    ("percent", "0.01", "0.0001", 0.00005),
    ("percent", "0.0", "0", 0.0005),
    ("percent", "100", "1", 0.005),
    ("train percent", "3.25", "0.0325", 0.00005),
    ("fraction", "0.9885", "0.9885", 0.00005),
    ("fraction", "(0.98)", "0.98", 0.005),
    ("fraction", "1", "1", 0.5),
    ("confidence", "0.7", "0.7", 0.05),
    ("points", "3.2", "0.032", 0.0005),
    ("points", "-3.2%", "-0.032", 0.0005),
    ("points", f"{MINUS}100", "-1", 0.005),
    ("images", "112", "112", 0.5),
    ("rounds", "37", "37", 0.5),
    ("levels", "8", repr(8 / 255), 0.5 / 255),
    ("levels", "16.5", repr(16.5 / 255), 0.05 / 255),
    ("distance", "1.52", "1.52", 0.005),
    ("min:s", "6:43m", "403", 0.5),
    ("min:s", "6:43 m", "403", 0.5),
    ("min:s", "0:05", "5", 0.5),
    ("h:min", "00:59h", "3540", 30),
    ("h:min", "12:01", "43260", 30),
]


@pytest.mark.parametrize(("kind", "printed", "value", "half"), MEANT, ids=[f"{m[0]} {m[1]}" for m in MEANT])
def test_a_printed_number_means_its_value(tmp_path, kind, printed, value, half):
    found = read(tmp_path, kind, printed, value)
    assert (found.printed, found.value) == (printed, float(value))
    assert found.half_digit == pytest.approx(half, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "printed", "value", "meant"),
    [
        ("percent", "19.9", "0.19", "0.199"),
        ("percent", "0.01", "0.01", "0.0001"),
        ("percent", "19.90", "0.1991", "0.199"),
        ("fraction", "0.9885", "0.009885", "0.9885"),
        ("points", "3.2", "0.32", "0.032"),
        ("points", "-3.2", "0.032", "-0.032"),
        ("points", f"{MINUS}3.2", "0.032", "-0.032"),
        ("images", "112", "1.12", "112"),
        ("rounds", "37", "36", "37"),
        ("levels", "8", "0.08", "0.0313725"),
        ("distance", "1.52", "0.0152", "1.52"),
        ("min:s", "6:43m", "643", "403"),
        ("min:s", "6:43m", "6.43", "403"),
        ("min:s", "6:43m", "24180", "403"),
        ("h:min", "00:59h", "59", "3540"),
        ("h:min", "01:30h", "90", "5400"),
    ],
)
def test_refuses_another_value_than_the_printed(tmp_path, kind, printed, value, meant):
    with pytest.raises(ClaimError, match="line 2, column value") as caught:
        read(tmp_path, kind, printed, value)
    unit = "percent" if kind == "train percent" else kind
    assert str(caught.value).endswith(
        f"{value} does not mean the printed {printed!r} in {unit}, which is {meant}"
    )


@pytest.mark.parametrize(
    ("kind", "printed"),
    [
        ("percent", "about 20"),
        ("percent", "(98.71"),
        ("percent", "98.71)"),
        ("percent", "98,71"),
        ("percent", "98.71%%"),
        ("percent", "%"),
        ("percent", "()"),
        ("percent", "98.7 ± 0.1"),
        ("percent", "--"),
        ("percent", "–"),
        ("percent", "??"),
        ("fraction", "98%"),
        ("points", "+-3"),
        ("images", "12%"),
        ("rounds", "3rd"),
        ("levels", "8/255"),
        ("min:s", "6:60m"),
        ("min:s", "6:3m"),
        ("min:s", "6.43"),
        ("min:s", "6:43h"),
        ("h:min", "0:59m"),
        ("h:min", "0:99h"),
        ("h:min", "59"),
    ],
)
def test_refuses_a_print_that_is_not_in_its_unit(tmp_path, kind, printed):
    with pytest.raises(ClaimError, match=r"line 2, column printed: .* is no number printed as") as caught:
        read(tmp_path, kind, printed, "0.5")
    assert repr(printed) in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "printed", "value", "message"),
    [
        ("percent", "19.9", "19.9", r"19.9 lies outside \[0, 1\]; fractions, not percentages$"),
        ("percent", "100.1", "1.001", r"outside \[0, 1\];"),
        ("percent", "-19.9", "-0.199", r"outside \[0, 1\];"),
        ("percent", "19.9", "nan", "outside"),
        ("percent", "19.9", "x", "'x' is no number"),
        ("confidence", "1.5", "1.5", r"outside \[0, 1\];"),
        ("points", "100.1", "1.001", r"outside \[-1, 1\];"),
        ("points", "-100.1", "-1.001", r"outside \[-1, 1\];"),
        ("images", "-1", "-1", r"outside \[0, ∞\)$"),
        ("images", "1", "inf", r"outside \[0, ∞\)$"),
        ("levels", "256", repr(256 / 255), r"outside \[0, 1\]$"),
        ("distance", "-1", "-1", "outside"),
    ],
)
def test_refuses_values_that_the_metric_cannot_have(tmp_path, kind, printed, value, message):
    with pytest.raises(ClaimError, match=f"line 2, column value: .*{message}"):
        read(tmp_path, kind, printed, value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("printed", ["-", "-/-", "?"])
def test_a_dash_or_a_lost_cell_has_no_value(tmp_path, kind, printed):
    found = read(tmp_path, kind, printed, "", certainty="lost" if printed == "?" else "certain")
    assert (found.printed, found.value, found.half_digit) == (printed, None, 0)


@pytest.mark.parametrize(
    ("printed", "value", "certainty", "message"),
    [
        (
            "-",
            "0",
            "certain",
            "column value: is empty where, and only where, one of '-', '-/-', '[?]' is printed",
        ),
        ("-/-", "0", "certain", "column value: is empty where"),
        ("19.9", "", "certain", "column value: is empty where"),
        ("?", "0.199", "lost", "column value: is empty where"),
        ("?", "", "certain", "column certainty: is 'lost' where, and only where, '[?]' is printed"),
        ("?", "", "unsure", "column certainty: is 'lost'"),
        ("19.9", "0.199", "lost", "column certainty: is 'lost'"),
        ("-", "", "lost", "column certainty: is 'lost'"),
    ],
)
def test_only_dashes_and_lost_cells_have_no_value(tmp_path, printed, value, certainty, message):
    with pytest.raises(ClaimError, match=f"line 2, {message}"):
        read(tmp_path, "percent", printed, value, certainty=certainty)


@pytest.mark.parametrize("printed", ["67.7", "67.7%", "(67.7)"])
def test_signs_and_parentheses_are_no_digits(printed):
    assert claim(printed=printed).half_digit == pytest.approx(0.0005)
