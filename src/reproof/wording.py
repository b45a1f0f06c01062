"""The words in which attacks, settings, parameters and numbers are shown to people. Imports nothing heavy."""

from __future__ import annotations

import math

ATTACKS = {
    "none": "No attack",
    "fgsm": "FGSM",
    "bim": "BIM",
    "mim": "MIM",
    "pgd": "PGD",
    "carlini_wagner": "C&W",
    "deepfool": "DeepFool",
    "jsma": "JSMA",
    "random_noise": "Random noise",
    "worst_case": "Worst case",
    "autoattack": "AutoAttack",
}
SETTINGS = {"white_box": "White-box", "adaptive": "Adaptive", "black_box": "Black-box", "all": "All attacks"}
NORMS = {"linf": "L∞", "l2": "L2", "l0": "L0"}
SYMBOLS = {"epsilon": "ε", "alpha": "α", "beta": "β", "kappa": "κ"}
METRICS = {"accuracy": "accuracy", "l2_mean": "mean L2 of the successful examples"}


def attack(name: str) -> str:
    """Return an attack's name for people: `pgd_converged` is `PGD converged`."""
    if name in ATTACKS:
        return ATTACKS[name]
    first, _, rest = name.partition("_")
    if first in ATTACKS and rest:
        return f"{ATTACKS[first]} {rest.replace('_', ' ')}"
    return name.replace("_", " ")


def setting(name: str) -> str:
    """Return a threat setting's name for people."""
    return SETTINGS.get(name, name.replace("_", " "))


def parameters(text: str) -> str:
    """Return parameters for people: `norm=linf epsilon=0.3` is `L∞, ε = 0.3`."""
    words = []
    for item in text.split():
        name, equals, value = item.partition("=")
        if not equals:
            words.append(item)
        elif name == "norm":
            words.append(NORMS.get(value, value))
        else:
            words.append(f"{SYMBOLS.get(name, name)} = {_fraction(value)}")
    return ", ".join(words)


def _fraction(value: str) -> str:
    """Return `8/255` for what was printed so and is stored as 0.03137254901960784."""
    try:
        levels = float(value) * 255
    except ValueError:
        return value
    return f"{round(levels)}/255" if len(value) > 8 and abs(levels - round(levels)) < 1e-9 else value


def parameter(text: str, name: str) -> str | None:
    """Return one parameter's text out of `norm=linf epsilon=0.3`; None where it is not given."""
    for item in text.split():
        key, equals, value = item.partition("=")
        if equals and key == name:
            return value
    return None


def number(text: str | None) -> float | None:
    """Return the number in a table's cell; None for an empty cell."""
    if text is None or not text.strip():
        return None
    value = float(text)
    return None if math.isnan(value) else value


def measure(value: float | None, metric: str = "accuracy") -> str:
    """Return a measurement for people: a fraction in percent with one decimal, a length with three digits."""
    if value is None:
        return "?"
    return f"{100 * value:.1f}" if metric == "accuracy" else f"{value:.3g}"


def interval(low: float | None, high: float | None, metric: str = "accuracy") -> str:
    """Return `[24.2–53.0]`, or nothing where no interval was computed."""
    if low is None or high is None:
        return ""
    return f"[{measure(low, metric)}–{measure(high, metric)}]"


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
