"""Small pictures of claims, as inline SVG in the page's own colours: claimed against measured, four numbers on a line.

Colour is the verdict's word, and so is the place: below the diagonal is lower, above it higher. Shape is the grade:
a disc of grade A, a diamond of B, a cross of C; what is undecided is hollow. What the counts beside a picture leave out
is faint and has no colour, so that marks and counts agree.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from reproof import wording
from reproof.claims.claim import Claim
from reproof.claims.vocabulary import METRICS
from reproof.report.evidence import Evidence
from reproof.report.verdict_words import JUDGED

SIZE, LEFT, TOP, SIDE = 240, 38, 8, 188
"""The picture's side, where its square of both axes begins, and how long that is; in its own units."""
LINE = 150
"""How long the line of four numbers is, from 0 to 100 %."""
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Dot:
    """One claim in the picture; accuracies as fractions."""

    claim: Claim
    claimed: float
    measured: float
    low: float
    high: float
    word: str
    grade: str
    left: float | None
    """What all attacks together leave."""
    words: str


def dots(evidence: Iterable[Evidence]) -> list[Dot]:
    """Return what can be drawn of some claims: accuracies, as the papers print them and as they were measured."""
    found = []
    for one in evidence:
        claim, row = one.claim, one.row
        if (
            METRICS[claim.metric].compared == "accuracy"
            and claim.value is not None
            and claim.unit != "images"
        ):
            left = one.left
            found.append(
                Dot(
                    claim,
                    claim.value,
                    row.measured,
                    row.low,
                    row.high,
                    one.word,
                    one.grade,
                    None if left is None else left.value,
                    _told(one),
                )
            )
    return found


def _told(found: Evidence) -> str:
    claim = found.claim
    under = f", {wording.parameters(claim.parameters)}" if claim.parameters else ""
    attack = f"{wording.attack(claim.attack)}{under}, {wording.setting(claim.setting).lower()}"
    left = f"; {found.left.of} leave {100 * found.left.value:.1f} %" if found.left else ""
    return (
        f"{wording.dataset(claim.dataset)}, {wording.defense(claim.defense)}, {attack}: claimed "
        f"{wording.printed(claim.printed, claim.unit)}, measured {found.measured} {found.interval} in {found.run}: "
        f"{found.word}, grade {found.grade}{left}"
    )


def scatter(name: str, key: str, drawn: Sequence[Dot], rest: Sequence[Dot] = (), *, linked: bool) -> Markup:
    """Return the picture of a paper's claims: claimed across, measured up. linked: each dot leads to its cell.

    rest: claims that are not counted beside the picture, faint and in no colour.
    """
    judged = [dot for dot in drawn if dot.word in JUDGED]
    others = [dot for dot in [*drawn, *rest] if dot.word not in JUDGED]
    faint = [dot for dot in rest if dot.word in JUDGED]
    parts = [
        _axes("claimed, %", "measured, %"),
        *(_dot(dot, "c-rest", linked=linked) for dot in faint),
        _path("c-cross", "".join(_cross(_x(dot.claimed), _y(dot.measured)) for dot in others)),
        _path(
            "c-interval",
            "".join(f"M{_x(dot.claimed):.1f} {_y(dot.high):.1f}V{_y(dot.low):.1f}" for dot in judged),
        ),
        _path("c-left", "".join(_bar(dot) for dot in judged if dot.left is not None)),
        *(_dot(dot, f"c-dot w-{dot.word}", linked=linked) for dot in judged),
    ]
    described = (
        f"Each of {len(judged)} judged claims at what was claimed (across) and measured (up). {_counts(judged)}"
        + (f" {len(faint)} faint marks: its other judged claims." if faint else "")
        + (f" {len(others)} crosses: another experiment was measured." if others else "")
    )
    return Markup(
        '<svg class="picture scatter" viewBox="0 0 {size} {size}" role="group" aria-labelledby="p-{key}-t p-{key}-d">'
        '<title id="p-{key}-t">{name}: claimed against measured</title><desc id="p-{key}-d">{desc}</desc>{parts}</svg>'
    ).format(size=SIZE, key=key, name=name, desc=described, parts=Markup("").join(parts))


def _counts(judged: Sequence[Dot]) -> str:
    fell = {word: sum(dot.word == word for dot in judged) for word in JUDGED}
    return f"{wording.listed(f'{count} {word}' for word, count in fell.items())}."


def _x(value: float) -> float:
    return LEFT + SIDE * value


def _y(value: float) -> float:
    return TOP + SIDE * (1 - value)


def _axes(across: str, up: str) -> Markup:
    """Return frame, diagonal, ticks and the names of the axes."""
    end, bottom = LEFT + SIDE, TOP + SIDE
    ticks = "".join(f"M{_x(tick):.1f} {bottom}v4M{LEFT} {_y(tick):.1f}h-4" for tick in TICKS)
    lines = _path("c-frame", f"M{LEFT} {TOP}V{bottom}H{end}{ticks}") + _path(
        "c-diagonal", f"M{LEFT} {bottom}L{end} {TOP}"
    )
    labels = [
        f'<text x="{_x(tick):.1f}" y="{bottom + 15}" text-anchor="middle">{100 * tick:.0f}</text>'
        f'<text x="{LEFT - 7}" y="{_y(tick) + 4:.1f}" text-anchor="end">{100 * tick:.0f}</text>'
        for tick in (0.0, 0.5, 1.0)
    ]
    middle = TOP + SIDE / 2
    labels.append(f'<text x="{LEFT + SIDE / 2}" y="{bottom + 30}" text-anchor="middle">{across}</text>')
    labels.append(f'<text transform="translate(11 {middle}) rotate(-90)" text-anchor="middle">{up}</text>')
    return lines + Markup("".join(labels))


def _path(name: str, line: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(name, line) if line else Markup("")


def _cross(x: float, y: float) -> str:
    return f"M{x - 2.5:.1f} {y - 2.5:.1f}l5 5m0-5l-5 5"


def _bar(dot: Dot) -> str:
    return f"M{_x(dot.claimed) - 4:.1f} {_y(dot.left or 0.0):.1f}h8"


def shape(grade: str, x: float, y: float) -> str:
    """Return the outline of a grade's mark around a point: a disc of A, a diamond of B, a cross of C."""
    if grade == "A":
        return f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0-8 0z"
    return f"M{x - 4.5:.1f} {y:.1f}l4.5-4.5 4.5 4.5-4.5 4.5z" if grade == "B" else _cross(x, y)


def _dot(dot: Dot, name: str, *, linked: bool) -> Markup:
    mark = _path(name, shape(dot.grade, _x(dot.claimed), _y(dot.measured)))
    told = Markup("<title>{}</title>{}").format(dot.words, mark)
    if not linked:
        return Markup("<g>{}</g>").format(told)
    # xlink:href, since scripts ask the links with a plain href for their `hash`, which those of SVG do not have.
    return Markup('<a xlink:href="#cell-{}" tabindex="-1">{}</a>').format(dot.claim.claim_id, told)


@dataclass(frozen=True)
class ModelDot:
    """One network: what it gets right of clean images, and under all attacks together; as fractions."""

    title: str
    kind: Literal["undefended", "proposed", "compared"]
    """Undefended, with a defense that a paper here proposes, or with one that papers compare with."""
    clean: float
    left: float


def plane(name: str, key: str, drawn: Sequence[ModelDot]) -> Markup:
    """Return the picture of a study's networks: clean accuracy across, what all attacks leave up."""
    outlines: Mapping[str, Callable[[float, float], str]] = {
        "undefended": _ring,
        "proposed": functools.partial(shape, "B"),
        "compared": functools.partial(shape, "A"),
    }
    marks = [
        Markup("<g><title>{}: {:.1f} % of clean images, {:.1f} % under all attacks</title>{}</g>").format(
            dot.title,
            100 * dot.clean,
            100 * dot.left,
            _path(f"c-dot m-{dot.kind}", outlines[dot.kind](_x(dot.clean), _y(dot.left))),
        )
        for dot in drawn
    ]
    return Markup(
        '<svg class="picture scatter" viewBox="0 0 {size} {size}" role="img" aria-labelledby="p-{key}-t p-{key}-d">'
        '<title id="p-{key}-t">{name}: what all attacks leave against clean accuracy</title>'
        '<desc id="p-{key}-d">Each of {count} networks at its accuracy on clean images (across) and under all attacks '
        "together (up).</desc>{parts}</svg>"
    ).format(
        size=SIZE,
        key=key,
        name=name,
        count=len(drawn),
        parts=_axes("clean, %", "under all attacks, %") + Markup("").join(marks),
    )


def _ring(x: float, y: float) -> str:
    return f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0-8 0zm1.5 0a2.5 2.5 0 1 1 5 0a2.5 2.5 0 1 1-5 0z"


def line(claimed: float, found: Evidence | None, others: float | None) -> Markup:
    """Return a headline's numbers on a line from 0 to 100 %: a ring claimed, a mark measured, a bar left, a star found.

    The numbers stand beside it in words, so it is hidden from a screen reader.
    """
    parts = [_path("c-frame", f"M5 14H{5 + LINE}M5 10v8M{5 + LINE} 10v8")]
    at = 5 + LINE * claimed
    if found is not None:
        x = 5 + LINE * float(found.row.measured)
        word = found.word.replace(" ", "-")
        parts.append(_path("c-gap", f"M{at:.1f} 14H{x:.1f}"))
        if found.left is not None:
            parts.append(_path("c-left", f"M{5 + LINE * found.left.value:.1f} 7v14"))
        parts.append(_path(f"c-dot w-{word}", shape(found.grade, x, 14)))
    if others is not None:
        x = 5 + LINE * others
        parts.append(_path("c-others", f"M{x:.1f} 5l3-4h-6zM{x:.1f} 5V14"))
    parts.append(Markup('<circle class="c-claimed" cx="{:.1f}" cy="14" r="4"/>').format(at))
    return Markup(
        '<svg class="picture four" viewBox="0 0 {} 24" aria-hidden="true" focusable="false">{}</svg>'
    ).format(LINE + 10, Markup("").join(parts))
