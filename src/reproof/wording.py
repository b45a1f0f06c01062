"""The words in which attacks, settings, parameters and numbers are shown to people.

What a plugin is called its own file says; of what is not built here, the papers' `terms`. Imports nothing heavy.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

from reproof import registry
from reproof.settings.baseline import CLEAN
from reproof.settings.parameters import Parameters
from reproof.settings.source_names import AGGREGATED, MEMBER, parts
from reproof.settings.table_words import NO_ATTACK, WORST_CASE, WORST_IN_SETTING, WORST_UNBOUNDED

MEASURED = {
    NO_ATTACK: "No attack",
    WORST_CASE: "Worst case",
    WORST_IN_SETTING: "Worst case of one setting",
    WORST_UNBOUNDED: "Worst case without a budget",
}
"""What stands in a table's column `attack` and is none."""
SETTINGS = {"white_box": "White-box", "adaptive": "Adaptive", "black_box": "Black-box", "all": "All attacks"}
NORMS = {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "L0"}
SYMBOLS = {"epsilon": "ε", "alpha": "α", "beta": "β", "kappa": "κ", "zeta": "ζ"}
SOURCES = {MEMBER: "one member at a time", AGGREGATED: "all members together"}
UNITS = {
    "percent": ("percent", " %"),
    "fraction": ("fractions of 1", ""),
    "points": ("percentage points", " points"),
    "images": ("numbers of images", " images"),
    "min:s": ("minutes:seconds", " min"),
    "h:min": ("hours:minutes", " h"),
    "rounds": ("numbers of rounds", ""),
    "levels": ("grey levels of 255", " of 255"),
    "distance": ("L2 distances", ""),
}
"""How a claim is printed -> its words for a heading, and what follows a number."""


def attack(name: str, kind: str = "") -> str:
    """Return an attack's name for people, also of a config entry: `pgd_converged` is `PGD converged`.

    kind: the config entry's; where it is not known, the one that the entry is named after.
    """
    return _attack(registry.places(), name, kind)


@functools.cache
def _attack(_places: tuple[Path, ...], name: str, kind: str) -> str:
    if name in MEASURED:
        return MEASURED[name]
    kind = kind or kind_of(name)
    words = registry.title("attacks", kind)
    if words is None:
        return _term("attacks", name)
    if not f"{name}_".startswith(f"{kind}_"):
        return f"{words} ({name.replace('_', ' ')})"
    ending = name.removeprefix(kind).removeprefix("_")
    return f"{words} {_ending(ending)}" if ending else words


def _ending(ending: str) -> str:
    for name in registry.names("defenses"):
        declared = registry.defense(name)
        for word, words in () if declared is None else declared.endings.items():
            if f"{ending}_".startswith(f"{word}_"):
                rest = ending.removeprefix(word).removeprefix("_").replace("_", " ")
                return f"{words}, {rest}" if rest else words
    return ending.replace("_", " ")


def attack_inside(name: str, kind: str = "") -> str:
    """Return an attack's name for the middle of a sentence: `random noise`, but `Square`, which is a name."""
    words = attack(name, kind)
    return words.lower() if " " in words and words == words.capitalize() else words


def kind_of(entry: str) -> str:
    """Return the kind of attack that a config entry is named after: `pgd` of `pgd_converged`; itself without one."""
    kinds = [kind for kind in registry.names("attacks") if f"{entry}_".startswith(f"{kind}_")]
    return max(kinds, key=len, default=entry)


def setting(name: str) -> str:
    """Return a threat setting's name for people."""
    return SETTINGS.get(name, name.replace("_", " "))


def parameters(text: str) -> str:
    """Return parameters for people: `norm=linf epsilon=0.3` is `L∞, ε = 0.3`."""
    words = {"norm": "{0}", "psnr": "equal PSNR of {1} dB"}
    return ", ".join(
        words.get(name, f"{SYMBOLS.get(name, name)} = {{1}}").format(NORMS.get(value, value), value)
        for name, value in Parameters.parse(text).items
    )


def budget(epsilon: float, norm: str = "linf") -> str:
    """Return a budget for people, as it was written: `ε = 8/255`, and in another norm `L2, ε = 0.5`."""
    said: dict[str, str | float] = {} if norm == "linf" else {"norm": norm}
    return parameters(str(Parameters.of(**said, epsilon=epsilon)))


def dataset(name: str) -> str:
    """Return a data set's name for people."""
    return registry.title("datasets", name) or _term("datasets", name)


def architecture(name: str) -> str:
    """Return a network's name for people: `vgg19` is `VGG-19`."""
    return registry.title("architectures", name) or _term("architectures", name)


def defense(name: str) -> str:
    """Return a defense's name for people: `superimposition[beta=2,4]` is `superimposition (β = 2, 4)`."""
    return " with ".join(map(_one_defense, parts(name)))


def _one_defense(name: str) -> str:
    plain, bracket, variant = name.partition("[")
    words = registry.title("defenses", plain) or _term("defenses", plain)
    if not bracket:
        return words
    key, equals, value = variant.removesuffix("]").partition("=")
    if not equals:
        return f"{words} ({key.replace('_', ' ')})"
    return f"{words} ({SYMBOLS.get(key, key)} = {value.replace(',', ', ')})"


def training(name: str) -> str:
    """Return for people what a network was trained on: `FGSM examples`."""
    if name == CLEAN:
        return "clean images"
    return f"{attack(name)} examples" if registry.title("attacks", name) else name.replace("_", " ")


def _term(family: registry.Family, key: str) -> str:
    """Return what the papers call something that is not built here; without them its key without underscores."""
    return registry.terms(family).get(key) or key.replace("_", " ")


def measure(value: float | None, unit: str = "percent") -> str:
    """Return a value for people, as claims in this unit are printed: a fraction of 1 in percent is `37.5`."""
    if value is None:
        return "?"
    if unit == "percent":
        return f"{100 * value:.1f}"
    if unit == "points":
        return f"{100 * value:.2f}"
    if unit == "fraction":
        return f"{value:.3f}"
    if unit == "levels":
        return f"{255 * value:.1f}"
    if unit in ("min:s", "h:min"):
        whole = round(value if unit == "min:s" else value / 60)
        return (
            f"{whole // 60:d}:{whole % 60:02d}" if unit == "min:s" else f"{whole // 60:02d}:{whole % 60:02d}"
        )
    if unit in ("images", "rounds"):
        return f"{value:.0f}" if value == round(value) else f"{value:.1f}"
    return f"{value:.3g}"


def interval(low: float | None, high: float | None, unit: str = "percent") -> str:
    """Return `[24.2–53.0]`, or nothing where no interval was computed."""
    if low is None or high is None:
        return ""
    return f"[{measure(low, unit)}–{measure(high, unit)}]"


def printed(text: str, unit: str) -> str:
    """Return what a paper prints, with its unit where the print has none: `98.71 %`, `6:43m`, `?`."""
    return text + UNITS[unit][1] if text.strip("()")[-1:].isdigit() else text


def difference(value: float, unit: str = "percent", relative: bool = False) -> str:
    """Return a difference with its sign: `+18.8 points`, `−0.012`; `+41.4 %` of the second where relative."""
    sign = "−" if value < 0 else "+"
    if relative:
        return f"{sign}{100 * abs(value):.1f} %"
    if unit in ("percent", "points"):  # two digits, as papers print, without a zero at the end
        return f"{sign}{re.sub('0$', '', f'{100 * abs(value):.2f}')} points"
    return f"{sign}{measure(abs(value), unit)}{UNITS[unit][1]}"


def duration(seconds: float) -> str:
    """Return a duration with the two units that matter: `0.8 s`, `42 s`, `3 min 20 s`, `5 h 12 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def memory(size: float) -> str:
    """Return a size in bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def counted(count: int, noun: str) -> str:
    """Return `3 images`, `1 image`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(words: Iterable[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    *first, last = [*words] or [""]
    return f"{', '.join(first)} and {last}" if first else last
