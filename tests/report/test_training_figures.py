"""Figures of training: from the right columns, the right way up, and the same bytes twice."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.ours import needs

from reproof.csv_tables import ROUNDS as ROUNDS_TABLE
from reproof.errors import ArtifactError
from reproof.figures import draw as figures_draw
from reproof.figures import rounds as figures_rounds
from reproof.figures import training
from reproof.figures.training import Identity
from reproof.report.contents import empty

SVG = "{http://www.w3.org/2000/svg}"
ROUNDS = 8
ICC = {"head": (2.0, 3.0, 2.5, 4.0, 5.0, 4.5, 6.0, 7.0), "tail": (1.0, 1.1, 1.5, 1.4, 1.6, 1.9, 2.0, 2.2)}
ICD = {"head": (1.0, 2.0, 4.0, 3.0, 5.0, 8.0, 6.0, 9.0), "tail": (3.0, 4.0, 5.0, 6.0, 5.5, 7.0, 6.5, 5.0)}
ACCURACY = (0.90, 0.95, 0.97, 0.96, 0.98, 0.99, 0.965, 0.94)
PASSED = {2, 3, 4, 5, 6}
FRONT, CHOSEN = (2, 5), 5
PGD = {2: 0.40, 5: 0.55}


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def rounds_file(
    path: Path, chosen: Sequence[int] = (CHOSEN,), pgd: Mapping[int, float] = PGD, **scales: float
) -> Path:
    return write(
        path,
        (
            {
                "round": number,
                "epoch": 2 * number,
                "gamma": 0.5,
                "accuracy": ACCURACY[number],
                **{
                    f"{layer}_{measure}": value
                    for layer in ICC
                    for measure, value in (
                        ("icc", ICC[layer][number] * scales.get(layer, 1)),
                        ("icd_min", ICD[layer][number] * scales.get(layer, 1)),
                        ("icd_mean", 99),
                        ("icd_max", 99),
                    )
                },
                "passed": int(number in PASSED),
                "pareto": int(number in FRONT),
                "pgd_accuracy": pgd.get(number, ""),
                "chosen": int(number in chosen),
            }
            for number in range(ROUNDS)
        ),
    )


def drawn(path: Path) -> str:
    svg = figures_rounds.rounds("gravity", "Adaptive gravity", path)
    assert svg is not None
    return svg


def uses(svg: str, colour: str) -> list[tuple[float, float, bool]]:
    """Return where marks of a colour stand, and whether they are filled with it."""
    found = []
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        for use in group.findall(f"{SVG}use"):
            style = use.get("style") or group.get("style") or ""
            if colour in style:
                filled = "fill-opacity: 0" not in style
                found.append((float(use.attrib["x"]), float(use.attrib["y"]), filled))
    return found


def lines(svg: str, colour: str) -> list[list[tuple[float, float]]]:
    """Return the points of each stroke of a colour, pieces apart; legends are short and left out."""
    found = []
    for path in ElementTree.fromstring(svg).iter(f"{SVG}path"):
        if f"stroke: {colour}" in path.get("style", "") and "clip-path" in path.attrib:
            for piece in path.attrib["d"].split("M")[1:]:
                numbers = [float(number) for number in re.findall(r"-?[\d.]+", piece)]
                found.append(pairs(numbers))
    return found


def pairs(numbers: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def ramp(step: int) -> str:
    return f"var(--ramp-{step + 1},"


def plane_marks(svg: str) -> np.ndarray:
    """Return where each round stands in the plane: the marks of its colour's step that the lower left panel holds."""
    steps = np.rint(np.linspace(0, 9, ROUNDS)).astype(int)
    everything = [uses(svg, ramp(int(step))) for step in steps]
    width = float(ElementTree.fromstring(svg).attrib["viewBox"].split()[2])
    places = []
    for found in everything:
        inside = [(x, y) for x, y, _ in found if x < width / 2 and y < 400]
        assert len(inside) == 1
        places += inside
    return np.array(places)


def straight(values: Sequence[float], places: Sequence[float]) -> float:
    """Return the slope of places over values, which must lie on a line."""
    slope, offset = np.polyfit(values, places, 1)
    assert np.allclose(slope * np.array(values) + offset, places, atol=0.1)
    return float(slope)


def product(table: Mapping[str, Sequence[float]]) -> np.ndarray:
    values: np.ndarray = np.array(table["head"]) * np.array(table["tail"])
    return values


def test_plane_has_icc_to_the_right_and_icd_up(tmp_path: Path) -> None:
    svg = drawn(rounds_file(tmp_path / "rounds.csv"))
    places = plane_marks(svg)
    across = straight(list(product(ICC)), list(places[:, 0]))
    up = straight(list(product(ICD)), list(places[:, 1]))
    assert across > 0 > up, "SVG's y points down"
    with pytest.raises(AssertionError):
        straight(list(product(ICD)), list(places[:, 0]))
    # Scales of the layers go out: the largest head times the largest tail divides both.
    assert np.allclose(plane_marks(drawn(rounds_file(tmp_path / "scaled.csv", tail=3))), places, atol=0.1)


def test_plane_is_normalised_by_the_largest_head_and_the_largest_tail(tmp_path: Path) -> None:
    table = ROUNDS_TABLE.read(rounds_file(tmp_path / "rounds.csv"))
    spread, distance = (figures_rounds._normalised(table, measure) for measure in ("icc", "icd_min"))
    assert spread.iloc[-1] == pytest.approx(1.0)
    assert spread[2] == pytest.approx(2.5 * 1.5 / (7 * 2.2))
    # Head and tail are largest in different rounds, so that no product reaches 1.
    assert distance[5] == pytest.approx(8 * 7 / (9 * 7))


@pytest.mark.parametrize("chosen", [5, 2, 6])
def test_chosen_round_has_the_ring_and_the_upright_lines(chosen: int, tmp_path: Path) -> None:
    svg = drawn(rounds_file(tmp_path / "rounds.csv", (chosen,)))
    places = plane_marks(svg)
    rings = [(x, y) for x, y, filled in uses(svg, "stroke: currentColor; stroke-width: 1.3") if not filled]
    near = [
        number for number, place in enumerate(places) for ring in rings if np.allclose(place, ring, atol=0.1)
    ]
    assert near == [chosen]
    assert f"Round {chosen} was chosen" in svg
    assert ">chosen round<" in svg
    upright = [line for line in lines(svg, "currentColor") if len(line) == 2 and line[0][0] == line[1][0]]
    dashed = {line[0][0] for line in upright if line[0][1] != line[1][1]}
    curves = [line for line in lines(svg, "var(--series-1") if len(line) == ROUNDS]
    curves += [line for line in lines(svg, "var(--series-3") if len(line) == ROUNDS]
    assert len(curves) == 3, "head's ICD and ICC, and accuracy"
    for curve in curves:
        assert any(abs(curve[chosen][0] - x) < 0.1 for x in dashed)


def test_no_round_chosen_is_no_ring(tmp_path: Path) -> None:
    svg = drawn(rounds_file(tmp_path / "rounds.csv", ()))
    assert "was chosen" not in svg
    assert ">chosen round<" not in svg
    assert not uses(svg, "stroke: currentColor; stroke-width: 1.3")


def test_layers_are_not_swapped_and_stand_in_their_panels(tmp_path: Path) -> None:
    svg = drawn(rounds_file(tmp_path / "rounds.csv"))
    for colour, layer in (("var(--series-1", "head"), ("var(--series-2", "tail")):
        first, second = sorted(line for line in lines(svg, colour) if len(line) == ROUNDS)
        for curve, table in ((first, ICD), (second, ICC)):
            assert straight(list(table[layer]), [y for _, y in curve]) < 0
            assert straight(list(range(ROUNDS)), [x for x, _ in curve]) > 0
    (accuracy,) = (line for line in lines(svg, "var(--series-3") if len(line) == ROUNDS)
    slope = straight(list(ACCURACY), [y for _, y in accuracy])
    (threshold,) = lines(svg, "var(--series-9")
    assert threshold[0][1] == threshold[1][1]
    lowest = min(ACCURACY[number] for number in PASSED)
    assert threshold[0][1] == pytest.approx(accuracy[0][1] + slope * (lowest - ACCURACY[0]), abs=0.1)


def test_rounds_below_the_threshold_are_hollow_and_the_front_is_joined(tmp_path: Path) -> None:
    svg = drawn(rounds_file(tmp_path / "rounds.csv"))
    places = plane_marks(svg)
    steps = np.rint(np.linspace(0, 9, ROUNDS)).astype(int)
    for number, step in enumerate(steps):
        (filled,) = {full for x, y, full in uses(svg, ramp(int(step))) if np.allclose((x, y), places[number])}
        assert filled == (number in PASSED)
    front = [
        line
        for line in lines(svg, "currentColor")
        if len(line) == len(FRONT) and np.allclose(line, places[list(FRONT)], atol=0.1)
    ]
    assert len(front) == 1


def test_pgd_has_a_panel_where_rounds_were_attacked(tmp_path: Path) -> None:
    svg = drawn(rounds_file(tmp_path / "rounds.csv"))
    assert ">accuracy under PGD, %<" in svg
    steps = np.rint(np.linspace(0, 9, ROUNDS)).astype(int)
    width = float(ElementTree.fromstring(svg).attrib["viewBox"].split()[2])
    found = {}
    for number, step in enumerate(steps):
        right = [(x, y) for x, y, _ in uses(svg, ramp(int(step))) if x > width / 2 and y < 390]
        if right:
            (found[number],) = right
    assert set(found) == set(PGD)
    assert found[5][1] < found[2][1]
    assert found[5][0] > found[2][0]
    without = drawn(rounds_file(tmp_path / "none.csv", pgd={}))
    assert "PGD" not in without


def test_layers_far_apart_are_both_legible(tmp_path: Path) -> None:
    svg = drawn(rounds_file(tmp_path / "rounds.csv", tail=300))
    for colour in ("var(--series-1", "var(--series-2"):
        for curve in lines(svg, colour):
            if len(curve) == ROUNDS:
                assert np.ptp([y for _, y in curve]) > 10


@pytest.mark.parametrize("count", [1, 2, 51])
def test_any_number_of_rounds_stays_small(count: int, tmp_path: Path) -> None:
    rows = [
        dict.fromkeys(ROUNDS_TABLE.names, 1 + number) | {"round": number, "accuracy": 0.9}
        for number in range(count)
    ]
    svg = drawn(write(tmp_path / "rounds.csv", rows))
    assert f">round {count - 1}<" in svg
    assert len(svg) < 60_000
    path = centroids_file(tmp_path / "centroids.csv", count)
    paths = figures_rounds.centroid_paths("gravity", "Adaptive gravity", path, [])
    assert paths is not None
    assert len(paths) < 50_000


def centroid(layer: str, label: int, number: int) -> tuple[float, float]:
    """Return a place that moves outward: along a ray in the head, half as fast and downward in the tail."""
    if layer == "head":
        return (1.0 + number) * (label + 1), (1.0 + number) * 2 - label
    return 10.0 + 0.5 * number, -number * (label + 1.0)


def centroids_file(path: Path, count: int = 4, classes: int = 3, each: int = 1) -> Path:
    return write(
        path,
        (
            {"round": number, "layer": layer, "class": label, "x": x + 100 * index, "y": y}
            for layer in ("tail", "head")
            for number in range(count)
            for label in range(classes)
            for index in range(each)
            for x, y in (centroid(layer, label, number),)
        ),
    )


def start_and_end(svg: str, last: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last places of all centroids, from left to right, legend apart."""
    height = float(ElementTree.fromstring(svg).attrib["viewBox"].split()[3])
    first, final = (
        np.array(sorted((x, y) for x, y, _ in uses(svg, ramp(step)) if y < height - 25)) for step in (0, last)
    )
    return first, final


def test_centroids_go_from_square_to_disc_in_their_layer(tmp_path: Path) -> None:
    path = centroids_file(tmp_path / "centroids.csv")
    svg = figures_rounds.centroid_paths("gravity", "Adaptive gravity", path, ["cat", "dog"])
    assert svg is not None
    texts = ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert [text for text in texts if "layer" in text] == ["head layer", "tail layer"]
    for word in ("cat", "dog", "2"):
        assert texts.count(word) >= 2, "in each layer"
    first, last = start_and_end(svg)
    assert len(first) == len(last) == 6
    middle = float(ElementTree.fromstring(svg).attrib["viewBox"].split()[2]) / 2
    for layer in ("head", "tail"):
        shown = np.concatenate(
            [places[(places[:, 0] < middle) == (layer == "head")] for places in (first, last)]
        )
        wanted = np.array([centroid(layer, label, number) for number in (0, 3) for label in range(3)])
        wanted = np.concatenate([sorted_left(wanted[:3]), sorted_left(wanted[3:])])
        across = straight(list(wanted[:, 0]), list(sorted_like(shown, wanted)[:, 0]))
        up = straight(list(wanted[:, 1]), list(sorted_like(shown, wanted)[:, 1]))
        assert across == pytest.approx(-up, rel=0.02), "one unit is as long in both directions"
        assert across > 0


def sorted_left(places: np.ndarray) -> np.ndarray:
    return places[np.lexsort((-places[:, 1], places[:, 0]))]


def sorted_like(shown: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return shown places with each half in the order of the wanted ones: from left to right, upper ones first."""
    half = len(wanted) // 2
    return np.concatenate(
        [part[np.lexsort((part[:, 1], np.round(part[:, 0])))] for part in np.split(shown, [half])]
    )


def test_paths_run_in_the_order_of_rounds_and_colours(tmp_path: Path) -> None:
    path = centroids_file(tmp_path / "centroids.csv")
    rows = path.read_text(encoding="utf-8").splitlines()
    shuffled = tmp_path / "shuffled.csv"
    shuffled.write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n", encoding="utf-8")
    for file in (path, shuffled):
        svg = figures_rounds.centroid_paths("gravity", "Adaptive gravity", file, [])
        assert svg is not None
        first, last = start_and_end(svg)
        # Three steps between four rounds: the first, the middle and the last colour, three classes in two layers.
        for step in (0, 4, 9):
            pieces = lines(svg, f"var(--ramp-{step + 1},")
            assert [len(piece) for piece in pieces] == [2] * 6
        begins = sorted(piece[0] for piece in lines(svg, "var(--ramp-1,"))
        ends = sorted(piece[-1] for piece in lines(svg, "var(--ramp-10,"))
        assert np.allclose(begins, first, atol=0.1)
        assert np.allclose(ends, last, atol=0.1)


def test_several_centroids_of_a_class_have_paths_of_their_own(tmp_path: Path) -> None:
    path = centroids_file(tmp_path / "centroids.csv", each=2)
    svg = figures_rounds.centroid_paths("gravity", "Adaptive gravity", path, [])
    assert svg is not None
    first, last = start_and_end(svg)
    assert len(first) == len(last) == 12
    widest = max(
        abs(piece[0][0] - piece[-1][0]) for step in (1, 5, 10) for piece in lines(svg, f"var(--ramp-{step},")
    )
    assert widest < 60, "no line leads from one centroid to another"


def history_file(path: Path, loss: float, train: float, validation: float | None) -> Path:
    return write(
        path,
        (
            {
                "epoch": epoch,
                "loss": loss / epoch,
                "train_accuracy": train * epoch / 4,
                "validation_accuracy": "" if validation is None else validation * epoch / 4,
                "learning_rate": 0.1,
            }
            for epoch in range(1, 5)
        ),
    )


def identities(*models: str) -> dict[str, Identity]:
    """Return models such as `resnet18/undefended/pgd`, under these names."""
    return {model: Identity("digits", *model.split("/")) for model in models}


HASSANIN = (
    "resnet50/undefended/pgd",
    "resnet18/undefended/pgd",
    "resnet18/defensive_features/pgd",
    "resnet50/defensive_features/pgd",
)
OTHERS = ("cnn6/undefended/clean", "cnn6/adaptive_gravity/clean", "vgg19/undefended/clean")


@needs("defenses/pgd_training", "defenses/superimposition")
@pytest.mark.parametrize(
    ("models", "wanted"),
    [
        ((*OTHERS, *HASSANIN), HASSANIN),
        (OTHERS, ()),
        (HASSANIN[:3], ()),
        (HASSANIN[2:], ()),
        (
            (*HASSANIN, "resnet50/adaptive_gravity/clean", "resnet50/polarised_contrastive/pgd"),
            HASSANIN,
        ),
        (
            (
                *HASSANIN,
                "resnet50/polarised_contrastive/pgd",
                "resnet50/defensive_features+polarised_contrastive/pgd",
            ),
            (
                *HASSANIN,
                "resnet50/polarised_contrastive/pgd",
                "resnet50/defensive_features+polarised_contrastive/pgd",
            ),
        ),
        (
            ("a/pgd_training/pgd", "b/pgd_training/pgd", "a/superimposition/pgd", "b/superimposition/pgd"),
            ("a/pgd_training/pgd", "b/pgd_training/pgd", "a/superimposition/pgd", "b/superimposition/pgd"),
        ),
    ],
    ids=["others apart", "nothing shared", "one network", "no base", "not shared", "combined", "trained"],
)
def test_networks_that_can_be_compared(models: Sequence[str], wanted: Sequence[str]) -> None:
    assert set(training.comparable(identities(*models))) == set(wanted)


@needs("architectures/resnet")
def test_networks_stand_in_columns_with_and_without(tmp_path: Path) -> None:
    histories = {
        model: history_file(tmp_path / f"{index}.csv", 1.0 + index, 0.5 + 0.1 * index, 0.4 + 0.1 * index)
        for index, model in enumerate(HASSANIN)
    }
    made = training.networks_compared(histories, identities(*HASSANIN))
    (svg,) = made.values()
    assert list(made) == ["training_by_network_digits"]
    assert svg is not None
    texts = ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert [text for text in texts if text.startswith("ResNet")] == ["ResNet-18", "ResNet-50"]
    for colour, (left, right) in (("var(--series-1", (1, 0)), ("var(--series-2", (2, 3))):
        curves = sorted(lines(svg, colour), key=lambda line: (round(line[0][0]), -max(y for _, y in line)))
        assert len(curves) == 6
        for index, column in ((left, curves[:3]), (right, curves[3:])):
            accuracy, error, loss = column
            train, validation = 0.5 + 0.1 * index, 0.4 + 0.1 * index
            assert straight([1, 2, 3, 4], [y for _, y in accuracy]) < 0
            assert straight([1, 2, 3, 4], [y for _, y in error]) > 0
            assert straight([1, 1 / 2, 1 / 3, 1 / 4], [y for _, y in loss]) < 0
            # Both panels are as high: accuracy and error move in the ratio of what they show.
            ratio = (accuracy[0][1] - accuracy[-1][1]) / (error[-1][1] - error[0][1])
            assert ratio == pytest.approx(validation / train, rel=0.02)


def test_networks_of_other_data_sets_stand_apart(tmp_path: Path) -> None:
    found = {
        f"{dataset} {name}": identity._replace(dataset=dataset)
        for dataset in ("mnist", "cifar10")
        for name, identity in identities(*HASSANIN).items()
    }
    histories = {
        name: history_file(tmp_path / f"{index}.csv", 1, 0.5, 0.5) for index, name in enumerate(found)
    }
    made = training.networks_compared(histories, found)
    assert list(made) == ["training_by_network_mnist", "training_by_network_cifar10"]
    svg = made["training_by_network_cifar10"]
    assert svg is not None
    assert "CIFAR-10" in svg
    # No model of the digits: two on MNIST, two on CIFAR-10 are nothing to compare.
    mixed = dict(itertools.chain(list(found.items())[:2], list(found.items())[6:]))
    assert training.networks_compared(histories, mixed) == {}


@pytest.mark.parametrize("count", [8, 22])
def test_training_curves_of_many_models_fit_a_page(count: int, tmp_path: Path) -> None:
    path = history_file(tmp_path / "history.csv", 2.0, 0.9, 0.8)
    silent = history_file(tmp_path / "silent.csv", 2.0, 0.9, None)
    titles = {f"m{index}": f"Model {index} of the study" for index in range(count)}
    histories = {model: silent if model == "m3" else path for model in titles}
    svg = training.training_curves(histories, titles)
    assert svg is not None
    for title in titles.values():
        assert f">{title}<" in svg
    width, height = (float(part) for part in ElementTree.fromstring(svg).attrib["viewBox"].split()[2:])
    assert width <= 800
    assert height <= 950
    assert len([line for line in lines(svg, "var(--series-1") if len(line) == 4]) == count - 1
    assert len([line for line in lines(svg, "var(--series-2") if len(line) == 4]) == count


def test_draw_finds_training_logs_and_names_them_by_model(tmp_path: Path) -> None:
    histories = {
        model: history_file(tmp_path / f"{index}.csv", 1.0, 0.5, 0.5) for index, model in enumerate(HASSANIN)
    }
    inputs = figures_draw.FigureInputs(
        summary=empty("summary"),
        titles={model: model for model in HASSANIN},
        class_names={HASSANIN[0]: ["cat", "dog", "frog"]},
        histories=histories,
        identities=identities(*HASSANIN),
        training_logs={
            "rounds": {HASSANIN[1]: rounds_file(tmp_path / "rounds.csv")},
            "centroids": {HASSANIN[0]: centroids_file(tmp_path / "centroids.csv")},
            "unheard_of": {HASSANIN[0]: tmp_path / "nowhere.csv"},
        },
    )
    made = figures_draw.draw(inputs)
    assert list(made) == [
        "training_curves",
        "training_by_network_digits",
        f"rounds_{HASSANIN[1]}",
        f"centroid_paths_{HASSANIN[0]}",
    ]
    assert ">frog<" in made[f"centroid_paths_{HASSANIN[0]}"]
    assert figures_draw.draw(inputs) == made


def test_a_trace_without_rows_is_no_figure(tmp_path: Path) -> None:
    rounds, centroids = tmp_path / "rounds.csv", tmp_path / "centroids.csv"
    rounds.write_text(",".join(ROUNDS_TABLE.names) + "\n", encoding="utf-8")
    centroids.write_text("round,layer,class,x,y\n", encoding="utf-8")
    assert figures_rounds.rounds("m", "A model", rounds) is None
    assert figures_rounds.centroid_paths("m", "A model", centroids, []) is None


@pytest.mark.parametrize(
    ("draw", "content"),
    [
        (lambda path: figures_rounds.rounds("m", "A model", path), "round,accuracy\n0,1\n"),
        (
            lambda path: figures_rounds.centroid_paths("m", "A", path, []),
            "round,layer,class,x,y\n0,head,a,1,1\n",
        ),
        (lambda path: training.training_curves({"m": path}, {"m": "A"}), "epoch,loss\n1,2\n"),
        (lambda path: training.training_curves({"m": path}, {"m": "A"}), ""),
    ],
    ids=["column", "word", "history", "empty"],
)
def test_files_that_lack_something_are_named(
    draw: Callable[[Path], str | None], content: str, tmp_path: Path
) -> None:
    path = tmp_path / "odd.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"odd\.csv: "):
        draw(path)
