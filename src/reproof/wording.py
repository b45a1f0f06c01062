"""The words in which papers, attacks, settings, parameters and numbers are shown to people. Imports nothing heavy."""

from __future__ import annotations

import math
import re

ATTACKS = {
    "none": "No attack",
    "fgsm": "FGSM",
    "bim": "BIM",
    "mim": "MIM",
    "pgd": "PGD",
    "carlini_wagner": "C&W",
    "deepfool": "DeepFool",
    "jsma": "JSMA",
    "gradient_ensemble": "Gradient ensemble",
    "random_noise": "Random noise",
    "fgsm_bpda": "FGSM through the purifier",
    "pgd_bpda": "PGD through the purifier",
    "worst_case": "Worst case",
    "worst_case_unbounded": "Worst case without a budget",
    "autoattack": "AutoAttack",
    "square": "Square",
}
SETTINGS = {"white_box": "White-box", "adaptive": "Adaptive", "black_box": "Black-box", "all": "All attacks"}
NORMS = {"linf": "L∞", "l2": "L2", "l0": "L0"}
SYMBOLS = {"epsilon": "ε", "alpha": "α", "beta": "β", "kappa": "κ", "zeta": "ζ"}
DATASETS = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "svhn": "SVHN",
    "ilsvrc": "ILSVRC",
}
ARCHITECTURES = {
    "lenet": "LeNet",
    "cnn6": "CNN-6",
    "vgg": "VGG",
    "resnet": "ResNet",
    "wide_resnet": "Wide ResNet",
    "dkd_mnist": "DKD’s network for MNIST",
    "dkd_cifar10": "DKD’s network for CIFAR-10",
}
"""`vgg19` is `VGG-19` by its family."""
DEFENSES = {
    "undefended": "undefended",
    "fgsm_training": "FGSM training",
    "pgd_training": "PGD training",
    "input_gradient": "input gradient regularisation",
    "decision_surface": "decision surface regularisation",
    "adaptive_diversity": "adaptive diversity promoting",
    "prototype_conformity": "prototype conformity",
    "adaptive_gravity": "adaptive gravity",
    "defensive_features": "defensive features",
    "polarised_contrastive": "polarised contrastive loss",
    "defensive_features+polarised_contrastive": "defensive features with polarised contrastive loss",
    "dynamic_training": "dynamic adversarial training",
    "domain_adaptation": "adversarial training with domain adaptation",
    "superimposition": "superimposition",
    "virtual_adversarial": "virtual adversarial training",
    "independent_ensemble": "independent ensemble",
    "distilled_ensemble": "distilled ensemble",
    "diverse_ensemble": "diverse ensemble",
    "magnet": "MagNet",
    "pixel_defend": "PixelDefend",
    "defense_gan": "Defense-GAN",
}
TRAININGS = {
    "clean": "clean images",
    "fgsm": "FGSM examples",
    "pgd": "PGD examples",
    "carlini_wagner": "C&W examples",
}
SOURCES = {"member": "one member at a time", "members": "all members together"}
PAPERS = {
    "mustafa_pcl": ("Mustafa", ""),
    "hassanin_dfl": ("Hassanin", ""),
    "seiler_superimposition": ("Seiler", ""),
    "mirzaeian_gravity": ("Mirzaeian", "gravity"),
    "mirzaeian_dkd": ("Mirzaeian", "DKD"),
}
"""Author, and the method where the author and the year name two papers."""
GATES = {
    "iterative_vs_single_step": "Iterative against one step",
    "white_box_vs_transfer": "White box against transfer",
    "white_box_vs_noise": "White box against noise",
    "white_box_vs_gradient_free": "White box against search",
    "monotone_in_epsilon": "Larger budgets",
    "unbounded_budget": "No bound",
    "more_steps": "More steps",
    "more_restarts": "More restarts",
    "adaptive_vs_plain": "Adaptive against plain",
    "autoattack_vs_gradients": "AutoAttack against gradients",
    "paper_attack_vs_worst_case": "Papers’ attack against all",
    "zero_gradients": "Zero gradients",
    "saturated_loss": "Saturated loss",
    "probabilities": "Softmax twice",
    "randomness": "Random answers",
}
"""Red flags (red_flags.GATES) in the words that head a column."""
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
        elif name == "psnr":
            words.append(f"equal PSNR of {value} dB")
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


def paper(key: str, year: int) -> str:
    """Return a paper's short name: `Mustafa 2019`."""
    author, method = PAPERS.get(key, (key.replace("_", " ").capitalize(), ""))
    return f"{author} {year} ({method})" if method else f"{author} {year}"


def dataset(name: str) -> str:
    """Return a data set's name for people."""
    return DATASETS.get(name, name.replace("_", " "))


def architecture(name: str) -> str:
    """Return a network's name for people: `vgg19` is `VGG-19`."""
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    family = name.rstrip("0123456789")
    if family in ARCHITECTURES:
        return f"{ARCHITECTURES[family]}-{name.removeprefix(family)}"
    return name.replace("_", " ")


def defense(name: str) -> str:
    """Return a defense's name for people: `superimposition[beta=2,4]` is `superimposition (β = 2, 4)`."""
    plain, bracket, variant = name.partition("[")
    words = DEFENSES.get(plain) or plain.replace("_", " ")
    if not bracket:
        return words
    key, equals, value = variant.removesuffix("]").partition("=")
    if not equals:
        return f"{words} ({key.replace('_', ' ')})"
    return f"{words} ({SYMBOLS.get(key, key)} = {value.replace(',', ', ')})"


def training(name: str) -> str:
    """Return for people what a network was trained on."""
    return TRAININGS.get(name, name.replace("_", " "))


def measure(value: float | None, unit: str = "percent") -> str:
    """Return a value for people, as claims in this unit are printed: a fraction of 1 in percent is `37.5`."""
    if value is None:
        return "?"
    if unit in ("percent", "points"):
        return f"{100 * value:.1f}"
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
