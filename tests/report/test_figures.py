"""Figures: the same bytes twice, safe to inline side by side, and drawn from the right numbers."""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import made_up_study
import numpy as np
import pytest
from made_up_study import frame
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox
from safetensors.numpy import save_file

import reproof.report
from reproof.errors import ArtifactError
from reproof.figures import draw as figures_draw
from reproof.figures import robustness, training
from reproof.figures import style as figures_style
from reproof.figures.examples import example_images
from reproof.figures.latent_space import latent_space
from reproof.figures.rounds import centroid_paths, rounds
from reproof.report import DrawnFigure
from reproof.report.contents import empty

SVG = "{http://www.w3.org/2000/svg}"


def row(
    attack: str, parameters: str, value: float, setting: str = "white_box", model: str = "m"
) -> dict[str, str]:
    return {
        "model": model,
        "metric": "accuracy",
        "setting": setting,
        "source": "vgg19" if setting == "black_box" else "",
        "attack": attack,
        "parameters": parameters,
        "value": str(value),
        "low": str(max(value - 0.1, 0)),
        "high": str(min(value + 0.1, 1)),
    }


def marks(svg: str, colour: str) -> list[tuple[float, float]]:
    """Return where the markers of one colour stand, legend apart, from left to right."""
    root = ElementTree.fromstring(svg)
    places = []
    for group in root.iter(f"{SVG}g"):
        uses = group.findall(f"{SVG}use")
        style = group.get("style") or (uses[0].get("style") if uses else "") or ""
        if len(uses) > 1 and colour in style:
            places += [(float(use.attrib["x"]), float(use.attrib["y"])) for use in uses]
    return sorted(places)


def test_same_inputs_same_bytes(tree: made_up_study.Tree, tmp_path: Path) -> None:
    assert made_up_study.write(tmp_path).drawn == tree.drawn


def test_draws_what_the_page_needs(tree: made_up_study.Tree) -> None:
    kinds = (
        "accuracy_against_epsilon_white_box",
        "accuracy_against_epsilon_black_box_vgg19",
        "training_curves",
    )
    per_model = [
        f"{kind}_{model.name}" for kind in ("latent_space", "examples") for model in made_up_study.MODELS
    ]
    assert set(tree.drawn) == {*kinds, *per_model}
    # One adaptive attack at one budget is no curve.
    assert "accuracy_against_epsilon_adaptive" not in tree.drawn


def test_figures_can_stand_on_one_page(tree: made_up_study.Tree) -> None:
    ids = [found for svg in tree.drawn.values() for found in re.findall(r' id="([^"]+)"', svg)]
    assert len(ids) == len(set(ids)) > 50
    for name, svg in tree.drawn.items():
        own = set(re.findall(r' id="([^"]+)"', svg))
        used = set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)\)", svg))
        assert used <= own, name
        figure = DrawnFigure.from_svg(name, svg)
        assert figure.title
        assert figure.caption
        assert "<style" not in svg
        assert "<metadata" not in svg
        assert len(svg) < 200_000
        # Colours come from the page: no text is painted in a colour of its own, no placeholder is left.
        assert not re.search(r"#01020[3-6]|#040506", svg)
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        texts = list(root.iter(f"{SVG}text"))
        assert texts
        assert all("fill: currentColor" in (text.get("style") or "") for text in texts)


def test_accuracy_is_drawn_to_scale() -> None:
    summary = [
        row("none", "", 1.0),
        row("fgsm", "epsilon=0.1", 0.75),
        row("fgsm", "epsilon=0.3", 0.25),
        row("fgsm", "epsilon=0.2", 0.5),
        row("pgd", "epsilon=0.2", 0.9, setting="black_box"),
        row("carlini_wagner", "c=10", 0.0),
    ]
    svg = robustness.accuracy_against_epsilon(frame("summary", summary), {"m": "A model"}, "white_box")
    assert svg is not None
    places = np.array(marks(svg, "--series-1"))
    assert places.shape == (4, 2)
    assert np.allclose(np.diff(places[:, 0]), np.diff(places[:, 0])[0], atol=0.05)
    # SVG's y points down: a fall of 25 points each time.
    steps = np.diff(places[:, 1])
    assert np.allclose(steps, steps[0], atol=0.05)
    assert steps[0] > 5
    assert marks(svg, "--series-2") == []
    assert (
        robustness.accuracy_against_epsilon(frame("summary", summary), {"m": "A model"}, "black_box") is None
    )
    assert (
        robustness.accuracy_against_epsilon(frame("summary", summary), {"other": "Another"}, "white_box")
        is None
    )


def test_what_no_attack_made_wrong_and_accepted_is_a_line_of_its_own() -> None:
    worst = {epsilon: f"norm=linf epsilon={epsilon}" for epsilon in (0.1, 0.2, 0.3)}
    right = [
        row("worst_case", worst[e], value, "all") for e, value in zip(worst, (0.5, 0.25, 0.0), strict=True)
    ]
    fgsm = [row("fgsm", f"epsilon={e}", 0.5) for e in worst]
    refuses = [
        {**row("worst_case", worst[e], value, "all"), "metric": metric}
        for metric, values in (("refused", (0.5, 0.25, 0.5)), ("wrong_accepted", (0.0, 0.5, 0.5)))
        for e, value in zip(worst, values, strict=True)
    ]
    words = "worst case, right or refused"
    for more in ([], refuses):
        summary = frame("summary", [row("none", "", 1.0), *fgsm, *right, *more])
        svg = robustness.accuracy_against_epsilon(summary, {"m": "A model"}, "white_box")
        assert svg is not None
        assert (words in svg) == ("A refused image is not right" in svg) == bool(more)
        paths = [path.get("d") or "" for path in ElementTree.fromstring(svg).iter(f"{SVG}path")]
        lines = [
            np.array(re.findall(r"-?[\d.]+", path), dtype=float).reshape(-1, 2)
            for path in paths
            if "L" in path
        ]
        falls = {
            tuple(np.round(np.diff(line[:, 1]) / np.diff(line[:, 0]), 3)) for line in lines if len(line) == 3
        }
        # Of 100, 50 and 50 percent at even distances the first step falls, the second is level.
        assert any(first > 0 and second == 0 for first, second in falls) == bool(more)


def test_a_curve_up_to_one_is_drawn_over_the_root_of_epsilon() -> None:
    """0.01, 0.09, 0.25 and 1 lie as 1, 3, 5 and 10 do."""
    summary = [row("pgd", f"epsilon={e}", 0.5) for e in (0.01, 0.09, 0.25, 1)]
    svg = robustness.accuracy_against_epsilon(
        frame("summary", [row("none", "", 0.5), *summary]), {"m": "A model"}, "white_box"
    )
    assert svg is not None
    across = np.array(marks(svg, "--series-1"))[:, 0]
    assert np.allclose((across - across[0]) / (across[-1] - across[0]), [0, 0.1, 0.3, 0.5, 1], atol=0.01)
    assert "root of ε" in svg
    near = robustness.accuracy_against_epsilon(
        frame("summary", [row("none", "", 0.5), *summary[:3]]), {"m": "A model"}, "white_box"
    )
    assert near is not None
    assert "root of ε" not in near


def test_latent_space_shows_the_strongest_pgd(tree: made_up_study.Tree) -> None:
    svg = tree.drawn["latent_space_prototype_conformity"]
    assert ">PGD, ε = 0.3: 17 of 40 right<" in svg
    assert ">clean: 38 of 40 right<" in svg
    root = ElementTree.fromstring(svg)
    glyphs = [use for use in root.iter(f"{SVG}use") if "y" in use.attrib]
    per_class = [group for group in root.iter(f"{SVG}g") if "--series" in (group.get("style") or "")]
    assert len(per_class) == 2 * made_up_study.CLASSES
    assert sum(len(group.findall(f"{SVG}use")) for group in per_class) == 2 * made_up_study.IMAGES
    assert len(glyphs) > 2 * made_up_study.IMAGES


def test_examples_show_images_and_what_was_added(tmp_path: Path) -> None:
    clean = np.full((2, 1, 4, 4), 102, dtype=np.uint8)
    attacked = np.full((2, 1, 4, 4), 0.4, dtype=np.float32)
    attacked[0, 0, 0, 0] = 0.6
    attacked[1, 0, 1, 1] = 0.3
    weaker = np.full((2, 1, 4, 4), 0.4, dtype=np.float32)
    path = tmp_path / "examples.safetensors"
    save_file(
        {
            "clean": clean,
            "labels": np.array([0, 1]),
            "pgd/epsilon=0.2": attacked,
            "predictions/pgd/epsilon=0.2": np.array([2, 1]),
            "pgd/epsilon=0.1": weaker,
            "predictions/pgd/epsilon=0.1": np.array([0, 1]),
        },
        path,
    )
    svg = example_images("m", "A model", path, ["cat", "dog", "bird"])
    assert svg is not None
    assert ">✗ bird<" in svg
    assert ">✓ dog<" in svg
    assert ">PGD<" in svg.replace("\n", "")
    assert "ε = 0.1" not in svg
    (encoded,) = re.findall(r'href="data:image/png;base64,([^"]+)"', svg)
    mosaic = np.asarray(imread(io.BytesIO(base64.b64decode(encoded))) * 255).round().astype(int)
    opaque = mosaic[..., 3] == 255
    assert opaque.sum() == 3 * 2 * 16
    rows = np.flatnonzero(opaque.any(axis=1)).reshape(3, 4)
    columns = np.flatnonzero(opaque.any(axis=0)).reshape(2, 4)
    shown = mosaic[..., 0]
    assert (shown[np.ix_(rows[0], columns[0])] == 102).all()
    assert shown[rows[1][0], columns[0][0]] == 153
    assert shown[rows[1][1], columns[1][1]] == 76
    # The largest change (+0.2) fills the scale; half as much the other way reaches half as far from grey.
    assert "× 2.5" in svg
    assert shown[rows[2][0], columns[0][0]] == 255
    assert abs(shown[rows[2][1], columns[1][1]] - 64) <= 1
    assert abs(shown[rows[2][3], columns[0][3]] - 128) <= 1


def test_examples_in_colour(tmp_path: Path) -> None:
    clean = np.zeros((1, 3, 4, 4), dtype=np.float32)
    clean[0, 0] = 1.0
    path = tmp_path / "examples.safetensors"
    save_file(
        {
            "clean": clean,
            "labels": np.array([0]),
            "fgsm/epsilon=0.1": clean,
            "predictions/fgsm/epsilon=0.1": np.array([0]),
        },
        path,
    )
    svg = example_images("m", "A model", path, [])
    assert svg is not None
    (encoded,) = re.findall(r'href="data:image/png;base64,([^"]+)"', svg)
    mosaic = imread(io.BytesIO(base64.b64decode(encoded)))
    assert tuple(mosaic[mosaic[..., 3] > 0][0]) == (1.0, 0.0, 0.0, 1.0)


def test_cost_needs_two_models_with_seconds() -> None:
    summary = [
        row("worst_case", f"norm=linf epsilon={epsilon}", value, "all", model)
        for model, value in (("a", 0.5), ("b", 0.25))
        for epsilon in (0.1, 0.3)
    ]
    titles = {"a": "First", "b": "Second"}
    assert robustness.cost_against_robustness(frame("summary", summary), titles, {"a": 10.0}) is None
    svg = robustness.cost_against_robustness(frame("summary", summary), titles, {"a": 10.0, "b": 100.0})
    assert svg is not None
    assert "up to ε = 0.3" in svg
    assert ">First<" in svg
    refused = [{**one, "metric": "refused", "value": "0.9"} for one in summary]
    both = frame("summary", [*summary, *refused])
    assert robustness.cost_against_robustness(both, titles, {"a": 10.0, "b": 100.0}) == svg
    both_lost = [{**one, "value": "0.0"} if "0.3" in one["parameters"] else one for one in summary]
    svg = robustness.cost_against_robustness(frame("summary", both_lost), titles, {"a": 10.0, "b": 100.0})
    assert svg is not None
    assert "up to ε = 0.1" in svg, "the budget that tells the models apart"


def test_each_norm_has_a_figure_of_its_own() -> None:
    linf = [row("pgd", f"epsilon={epsilon}", 0.5 - epsilon) for epsilon in (0.1, 0.3)]
    l2 = [row("pgd_l2", f"norm=l2 epsilon={epsilon}", 0.3) for epsilon in (0.5, 3)]
    worst = [row("worst_case", f"norm={norm} epsilon=0.3", 0.1, "all") for norm in ("linf", "l2")]
    kept = {**row("worst_case", "norm=l2 epsilon=0.3", 0.05, "all"), "metric": "wrong_accepted"}
    titles = {"m": "A model"}
    summary = frame("summary", [row("none", "", 0.9), *linf, *l2, *worst, kept])
    figures = figures_draw.draw(figures_draw.FigureInputs(summary=summary, titles=titles, class_names={}))
    assert set(figures) == {"accuracy_against_epsilon_white_box", "accuracy_against_epsilon_white_box_l2"}
    usual, other = figures.values()
    assert "L2 budgets" in other
    assert "ε, L2" in other
    assert "L2" not in usual
    assert "dotted" in other
    assert "dotted" not in usual
    whole = [
        robustness.accuracy_against_epsilon(
            frame("summary", [row("none", "", 0.9), *part]), titles, "white_box"
        )
        for part in ([*linf, worst[0]], [*l2, worst[1]])
    ]
    assert whole == [usual, None], "what is measured in L2 changes nothing in the figure of L-infinity"
    (points,) = [marks(other, colour) for colour in ("--series-1",)]
    assert len(points) == 3, "no attack, and two budgets"


def test_cost_is_compared_at_an_linf_budget() -> None:
    summary = [
        row("worst_case", f"norm={norm} epsilon={epsilon}", value, "all", model)
        for model, value in (("a", 0.5), ("b", 0.25))
        for norm, epsilon in (("linf", 0.1), ("l2", 3))
    ]
    titles, seconds = {"a": "First", "b": "Second"}, {"a": 10.0, "b": 100.0}
    svg = robustness.cost_against_robustness(frame("summary", summary), titles, seconds)
    assert svg is not None
    assert "up to ε = 0.1" in svg
    assert robustness.cost_against_robustness(frame("summary", summary[1::2]), titles, seconds) is None


def test_cost_tells_many_models_apart() -> None:
    """With 22 models ten colours and ten markers come round again: each has a number, written once at its point."""
    titles = {f"m{index}": f"Model {index}" for index in range(22)}
    summary = [
        row("worst_case", f"norm=linf epsilon={epsilon}", 0.02 * (index % 5) * epsilon, "all", model)
        for index, model in enumerate(titles)
        for epsilon in (0.1, 0.3)
    ]
    seconds = {model: 5.0 + index % 7 for index, model in enumerate(titles)}
    svg = robustness.cost_against_robustness(frame("summary", summary), titles, seconds)
    assert svg is not None
    found = ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    for index in range(22):
        assert found.count(f"Model {index}") == 1
        assert found.count(str(index + 1)) >= 2, "in the list, and at the point"
    assert len(marks(svg, "--series-1")) == 22


def laid_out(paint: Callable[[Figure], None], size: tuple[float, float]) -> tuple[list[Bbox], list[Any]]:
    """Return the figure's edges and what each panel and legend takes, texts included, as it was saved; the panels."""
    kept: list[Figure] = []

    def keep(figure: Figure) -> None:
        paint(figure)
        kept.append(figure)

    figures_style.render("name", "title", "description", keep, size)
    (figure,) = kept
    taken = [part.get_tightbbox() for part in (*figure.axes, *figure.legends)]
    assert all(box is not None for box in taken)
    return [figure.bbox, *(box for box in taken if box is not None)], figure.axes


def assert_apart(edges: Bbox, *taken: Bbox) -> None:
    for box in taken:
        assert edges.x0 - 0.5 <= box.x0 < box.x1 <= edges.x1 + 0.5
        assert edges.y0 - 0.5 <= box.y0 < box.y1 <= edges.y1 + 0.5
    for first, second in itertools.combinations(taken, 2):
        shared = Bbox.intersection(first, second)
        assert shared is None or min(shared.width, shared.height) < 0.5


@pytest.mark.parametrize("arranged", [True, False])
def test_panels_and_their_texts_lie_apart(arranged: bool) -> None:
    """By numbers of lines and characters, or measured by Matplotlib: once, and as it is saved."""
    lines = (1, 2, 1, 3, 1, 1, 1)

    def paint(figure: Figure) -> None:
        axes = figures_style.panels(figure, len(lines), sharey=True)
        for panel, count in zip(axes, lines, strict=True):
            panel.plot([0, 1], [-12_000, 80_000], label="what is drawn in the panel")
            panel.set_xlim(0, 1)
            panel.set_title("\n".join(["The title of a model"] * count))
            panel.set_xlabel("ε, levels of 255")
        for panel in axes[:: figures_style.across(len(lines))]:
            panel.set_ylabel("accuracy, %")
        rows = figures_style.legend(figure, axes)
        if arranged:
            figures_style.arrange(figure, axes, rows)

    boxes, panels = laid_out(paint, figures_style.panel_size(len(lines)))
    assert len(boxes) == 1 + len(lines) + 1
    assert_apart(*boxes)
    heights = {round(panel.get_position().height, 4) for panel in panels}
    assert len(heights) == 1
    assert min(heights) > 0.2, "more than the room between them"


def test_a_figure_is_laid_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    execute, asked = ConstrainedLayoutEngine.execute, []
    monkeypatch.setattr(
        ConstrainedLayoutEngine, "execute", lambda self, figure: asked.append(figure) or execute(self, figure)
    )

    def paint(figure: Figure) -> None:
        figures_style.panels(figure, 1, sharey=True)

    laid_out(paint, (3, 2))
    assert len(asked) == 1
    laid_out(
        lambda figure: figures_style.arrange(figure, figures_style.panels(figure, 1, sharey=True)), (3, 2)
    )
    assert len(asked) == 1


@pytest.mark.parametrize("count", [1, 3, 22])
def test_legends_fit_their_figure(count: int) -> None:
    attacks = ("random_noise", "fgsm", "bim", "mim", "pgd", "pgd_converged", "worst_case")
    summary = [
        row(attack, f"epsilon={epsilon}", 0.5, "all" if attack == "worst_case" else "white_box", f"m{index}")
        for index in range(count)
        for attack in attacks
        for epsilon in (0.1, 0.2)
    ]
    titles = {f"m{index}": f"Prototype conformity {index} + FGSM training" for index in range(count)}
    svg = robustness.accuracy_against_epsilon(frame("summary", summary), titles, "white_box")
    assert svg is not None
    root = ElementTree.fromstring(svg)
    width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])
    assert width <= 800
    assert height <= 900
    for text in root.iter(f"{SVG}text"):
        if "x" in text.attrib and "rotate" not in text.get("transform", ""):
            anchor = 0.5 if "middle" in text.attrib["style"] else 1.0 if "end" in text.attrib["style"] else 0
            length = 6 * len("".join(text.itertext()))
            left = float(text.attrib["x"]) - anchor * length
            assert -6 <= left <= left + length <= width + 6, "".join(text.itertext())


def test_texts_are_text_whatever_they_hold() -> None:
    summary = [row("none", "", 1.0), row("fgsm", "epsilon=0.1", 0.5), row("fgsm", "epsilon=0.2", 0.2)]
    svg = robustness.accuracy_against_epsilon(
        frame("summary", summary), {"m": "costs $5$ & <b>"}, "white_box"
    )
    assert svg is not None
    texts = ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert "costs $5$ & <b>" in texts


def test_nothing_to_draw_is_no_figure() -> None:
    inputs = figures_draw.FigureInputs(summary=empty("summary"), titles={"m": "A model"}, class_names={})
    assert figures_draw.draw(inputs) == {}


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: latent_space("m", "A model", path, []),
        lambda path: example_images("m", "A model", path, []),
        lambda path: training.training_curves({"m": path}, {"m": "A model"}),
        lambda path: rounds("m", "A model", path),
        lambda path: centroid_paths("m", "A model", path, []),
    ],
    ids=["outcomes", "examples", "history", "rounds", "centroids"],
)
@pytest.mark.parametrize("content", [b"\xff\x00 not what it should be", None], ids=["damaged", "missing"])
def test_unreadable_files_are_named(
    tmp_path: Path, draw: Callable[[Path], str | None], content: bytes | None
) -> None:
    path = tmp_path / "odd.file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"odd\.file cannot be read"):
        draw(path)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["series", "ramp"])
def test_lines_stand_out_from_the_paper(scheme: str, kind: str) -> None:
    style = (Path(reproof.report.__file__).parent / "style.css").read_text(encoding="utf-8")
    light, dark = style.split("@media (prefers-color-scheme: dark)", 1)
    part = light if scheme == "light" else dark.split("* { box-sizing", 1)[0]
    paper = re.findall(r"--paper: (#\w{6})", part)[0]
    own = figures_style.SERIES if kind == "series" else figures_style.RAMP
    lines = list(own) if scheme == "light" else re.findall(rf"--{kind}-\d+: (#\w{{6}})", part)
    assert len(lines) == len(own) == 10
    assert all(contrast(colour, paper) >= 3 for colour in lines)
    if kind == "ramp":  # an order that is seen without colours too
        grey = [contrast(colour, "#000000") for colour in lines]
        assert grey == sorted(grey)


def contrast(first: str, second: str) -> float:
    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, bright = sorted((luminance(first), luminance(second)))
    return (bright + 0.05) / (dark + 0.05)


def test_each_source_of_transfer_has_its_own_figure() -> None:
    summary = [row("none", "", 0.99)]
    for source, values in (("vgg19", (0.9, 0.8)), ("undefended", (0.4, 0.1))):
        for epsilon, value in zip((0.1, 0.2), values, strict=True):
            summary.append({**row("pgd", f"epsilon={epsilon}", value, "black_box"), "source": source})
    titles = {"m": "A model", "vgg19": "VGG-19"}
    drawn = {
        source: robustness.accuracy_against_epsilon(frame("summary", summary), titles, "black_box", source)
        for source in ("vgg19", "undefended")
    }
    for source, svg in drawn.items():
        assert svg is not None
        assert len(marks(svg, figures_style.SERIES[0])) == 3, "no attack and two budgets, of one source"
        assert f"black-box from {titles.get(source, source)}" in svg
    assert drawn["vgg19"] != drawn["undefended"]
    made = figures_draw.draw(
        figures_draw.FigureInputs(summary=frame("summary", summary), titles=titles, class_names={})
    )
    assert [name for name in made if "black_box" in name] == [
        "accuracy_against_epsilon_black_box_undefended",
        "accuracy_against_epsilon_black_box_vgg19",
    ]
