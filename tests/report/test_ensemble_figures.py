"""The figure of ensembles: margins and accuracies at the right places, each set of members once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_up_study import frame
from matplotlib.figure import Figure
from tests.ours import needs

from reproof.errors import ArtifactError
from reproof.figures import ensembles as figures_ensembles
from reproof.figures.ensembles import DrawnEnsemble, latent_separation
from reproof.report.contents import empty


def files(folder: Path, **margins: float) -> dict[str, Path]:
    """Write separation.csv of each ensemble: a pair, a member, and the mean that is drawn."""
    found = {}
    for name, margin in margins.items():
        found[name] = folder / f"{name}.csv"
        found[name].write_text(
            "first,second,margin,separable\n"
            f"a,b,{margin + 5},true\na,all others,{margin + 7},true\nmean,,{margin},true\n"
        )
    return found


def clean(**accuracies: float) -> pd.DataFrame:
    """Return summary rows without attack, and one of an attack that must not be drawn."""
    rows = [
        {"model": name, "attack": "none", "metric": "accuracy", "value": str(value), "low": str(value - 0.02),
         "high": str(value + 0.01)}
        for name, value in accuracies.items()
    ]  # fmt: skip
    return frame("summary", [*rows, *({**row, "attack": "fgsm", "value": "0.01"} for row in rows)])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Keep the figures that are painted."""
    kept: list[Figure] = []

    def render(
        name: str, title: str, description: str, paint: Callable[[Figure], None], size: Any, **_: Any
    ) -> str:
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        kept.append(figure)
        return title

    monkeypatch.setattr(figures_ensembles, "render", render)
    return kept


def curves(panel: Any) -> dict[str, tuple[list[float], list[float]]]:
    found = {}
    for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
        line = handle[0] if isinstance(handle, tuple) else handle
        found[label] = ([float(x) for x in line.get_xdata()], [float(y) for y in line.get_ydata()])
    return found


def one(kind: str, *members: str, at: float | None = None) -> DrawnEnsemble:
    return DrawnEnsemble(f"{kind} {at}", kind, members, "zeta" if at is not None else "", at)


@needs("defenses/independent_ensemble", "defenses/diverse_ensemble")
def test_each_set_of_members_is_a_point_once(tmp_path: Path, drawn: list[Figure]) -> None:
    ensembles = {
        "plain": one("independent_ensemble", "a", "b"),
        "boosted": one("independent_ensemble", "a", "b"),
        "diverse": one("diverse_ensemble", "a", "c", at=0.9),
    }
    paths = files(tmp_path, plain=3.0, boosted=3.0, diverse=8.0)
    assert latent_separation(ensembles, paths, clean(plain=0.9, boosted=0.91, diverse=0.8)) is not None
    left, right = drawn[0].axes
    assert curves(left) == {
        "independent ensemble": ([0.0], [3.0]),
        "diverse ensemble": ([1.0], [8.0]),
    }
    assert {label: y for label, (_, y) in curves(right).items()} == {
        "independent ensemble": [90.0],
        "diverse ensemble": [80.0],
    }


@needs("defenses/independent_ensemble", "defenses/diverse_ensemble")
def test_a_swept_setting_is_the_axis_and_the_others_lie_across(tmp_path: Path, drawn: list[Figure]) -> None:
    ensembles = {
        "high": one("diverse_ensemble", "a", "h", at=0.9),
        "low": one("diverse_ensemble", "a", "l", at=0.1),
        "alone": one("independent_ensemble", "a", "b"),
    }
    paths = files(tmp_path, high=9.0, low=4.0, alone=2.0)
    latent_separation(ensembles, paths, clean(high=0.7, low=0.9, alone=0.95))
    left, right = drawn[0].axes
    assert left.get_xlabel() == "ζ"
    assert curves(left)["diverse ensemble"] == ([0.1, 0.9], [4.0, 9.0])
    assert curves(left)["independent ensemble"][1] == [2.0, 2.0]
    assert curves(right)["diverse ensemble"][0] == [0.1, 0.9]
    assert curves(right)["diverse ensemble"][1] == pytest.approx([90.0, 70.0])


def test_nothing_is_drawn_without_ensembles_or_their_accuracy(tmp_path: Path, drawn: list[Figure]) -> None:
    assert latent_separation({}, {}, clean(a=0.9)) is None
    ensembles = {"plain": one("independent_ensemble", "a", "b")}
    assert latent_separation(ensembles, files(tmp_path, plain=3.0), empty("summary")) is None
    assert drawn == []


def test_a_file_without_the_mean_is_named(tmp_path: Path) -> None:
    path = tmp_path / "separation.csv"
    path.write_text("first,second,margin,separable\na,b,3,true\n")
    with pytest.raises(ArtifactError, match=r"separation\.csv"):
        latent_separation({"plain": one("independent_ensemble", "a", "b")}, {"plain": path}, clean(plain=0.9))


def test_same_inputs_make_the_same_svg(tmp_path: Path) -> None:
    ensembles = {"plain": one("independent_ensemble", "a", "b")}
    paths = files(tmp_path, plain=3.0)
    first = latent_separation(ensembles, paths, clean(plain=0.9))
    assert first is not None
    assert first.startswith("<svg")
    assert latent_separation(ensembles, paths, clean(plain=0.9)) == first
