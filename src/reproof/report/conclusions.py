"""What we found, per paper: sentences computed from verdicts, summary and records, without a word beyond them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from reproof import registry, wording
from reproof.claims.claim import Claim
from reproof.claims.paper import Paper
from reproof.figures import parameters
from reproof.reference import OWN_ATTACKS
from reproof.report.budgets import GREY
from reproof.report.contents import MeasuredRow, ReportData, ShownModel, rows
from reproof.report.grids import Grids
from reproof.report.judged_claims import JudgedClaims
from reproof.report.shared import Shared
from reproof.report.tally import told as in_words
from reproof.settings.table_words import WORST_CASE as WORST


@dataclass(frozen=True)
class Finding:
    """One sentence."""

    term: str
    """What it is about, in a few words."""
    words: Markup


@dataclass(frozen=True)
class Conclusion:
    """A paper's sentences."""

    key: str
    name: str
    title: str
    findings: tuple[Finding, ...]


def conclusions(shared: Shared) -> list[Conclusion]:
    """Return what was found, paper by paper."""
    return Conclusions(shared.data, shared.grids, shared.paper_tables.judged).all()


class Conclusions:
    """Computes the sentences of each paper."""

    def __init__(self, data: ReportData, grids: Grids, judged: JudgedClaims):
        self._data = data
        self._grids = grids
        self._judged = judged
        self._datasets = list(dict.fromkeys(model.dataset for model in data.models))

    def all(self) -> list[Conclusion]:
        """Return each paper's sentences."""
        names = self._data.paper_names
        return [
            Conclusion(paper.key, names[paper.key], paper.title, tuple(self._findings(paper)))
            for paper in self._data.papers
        ]

    def _findings(self, paper: Paper) -> Iterator[Finding]:
        yield Finding(OWN_ATTACKS, self._own_attacks(paper))
        own = [model for model in self._data.models if _proposed(model) == paper.key]
        if not own:
            yield Finding("Its defenses", Markup("None of its own defenses is in this study."))
            return
        for dataset in self._datasets:
            models = [model for model in own if model.dataset == dataset]
            place = f" on {wording.dataset(dataset)}" if len(self._datasets) > 1 else ""
            if models:
                yield Finding(f"Under all attacks{place}", self._strongest(paper, models))
                yield Finding(f"Clean accuracy{place}", self._clean(models))
                yield Finding(f"Cost{place}", self._cost(models))

    # Claims.

    def _own_attacks(self, paper: Paper) -> Markup:
        attacked = [
            claim
            for claim in paper.claims
            if claim.value is not None and not claim.copied and claim.attack != "none"
        ]
        here = [claim for claim in attacked if claim.dataset in self._datasets]
        tally = self._judged.tally(attacked)
        places = wording.listed([wording.dataset(name) for name in self._datasets])
        sentences = [
            in_words(tally),
            f"of {len(attacked)} own claims under attack, {len(here)} are on {places}"
            f"{self._still_open(here) if here else ''}",
        ]
        if tally.other:
            others = f"{tally.other} more {'is' if tally.other == 1 else 'are'}"
            sentences.append(f"{others} of grade C: another experiment was measured, shown and not judged")
        return escape(" ".join(f"{text[0].upper()}{text[1:]}." for text in sentences))

    def _still_open(self, claims: Sequence[Claim]) -> str:
        left = sum(self._judged.verdict(claim) == "not measured" for claim in claims)
        return f" ({left} of these not measured)" if left else ""

    # Measurements.

    def _rows(self, attack: str, models: Iterable[ShownModel]) -> dict[tuple[str, str], MeasuredRow]:
        summary = self._data.summary
        chosen = summary[
            (summary["attack"] == attack)
            & (summary["metric"] == "accuracy")
            & summary["model"].isin([model.name for model in models])
        ]
        return {(row.model, row.parameters): row for row in rows(chosen)}

    def _strongest(self, paper: Paper, models: Sequence[ShownModel]) -> Markup:
        baselines = {model.name: base for model in models if (base := self._undefended(model)) is not None}
        met = self._rows(WORST, [*models, *baselines.values()])
        own = {name for name, _ in met} & {model.name for model in models}
        budgets = {text for name, text in met if name in own}
        if not budgets:
            return Markup("No attack with a budget was run against its defenses.")
        budget = max(budgets, key=lambda text: self._rank(paper, text))
        left = [met[model.name, budget] for model in models if (model.name, budget) in met]
        words = Markup("{} up to {}: {} of the images withstand every attack of the study, over {}").format(
            "All attacks together",
            wording.parameters(budget),
            self._range(left),
            wording.counted(len(left), "defense"),
        )
        undefended = [
            met[base.name, budget] for base in _unique(baselines.values()) if (base.name, budget) in met
        ]
        if undefended:
            words += Markup("; undefended {}").format(self._range(undefended))
        if len(left) < len(models):
            words += f"; {len(models) - len(left)} more not attacked within it"
        return words + "."

    def _rank(self, paper: Paper, text: str) -> tuple[bool, bool, bool, float]:
        """Order budgets: those that the paper names first, L-infinity before others, then by size. Papers name those.

        One of GREY and more, which a sanity check asks for, would say nothing of a paper, whoever names it.
        """
        size = parameters.epsilon(text)
        linf = parameters.norm(text) == "linf"
        named = linf and size in {parameters.epsilon(claim.parameters) for claim in paper.claims}
        return size < GREY, named, linf, size if named else -size

    def _clean(self, models: Sequence[ShownModel]) -> Markup:
        pairs = [(model, base) for model in models if (base := self._undefended(model)) is not None]
        clean = self._rows("none", [each for pair in pairs for each in pair])
        found = [
            (clean[model.name, ""], clean[base.name, ""])
            for model, base in pairs
            if (model.name, "") in clean and (base.name, "") in clean
        ]
        if not found:
            own = list(self._rows("none", models).values())
            if not own:
                return Markup("Not measured.")
            return Markup("{}, over {}; no undefended model of their network is in this study.").format(
                self._range(own), wording.counted(len(own), "defense")
            )
        changes = sorted(own.value - base.value for own, base in found)
        ends = list(dict.fromkeys(wording.difference(change) for change in (changes[0], changes[-1])))
        bases = list({base.model: base for _, base in found}.values())
        lower = sum(change < 0 for change in changes)
        return Markup("{} against the undefended model ({}), over {}; lower for {}.").format(
            " to ".join(ends), self._range(bases), wording.counted(len(found), "defense"), lower
        )

    def _cost(self, models: Sequence[ShownModel]) -> Markup:
        ratios, bases = [], {}
        for model in models:
            base = self._undefended(model)
            own, plain = self._seconds(model), self._seconds(base) if base is not None else None
            if own is not None and plain is not None and base is not None and plain > 0:
                ratios.append(own / plain)
                bases[base.name] = plain
        if not ratios:
            return Markup(
                "Training times cannot be compared: no record of them, or of an undefended model’s."
            )
        ends = list(dict.fromkeys(f"{ratio:.2g}" for ratio in (min(ratios), max(ratios))))
        times = list(dict.fromkeys(wording.duration(second) for second in sorted(bases.values())))
        return Markup("Training took {} times as long as the undefended model’s ({}), over {}.").format(
            " to ".join(ends), " and ".join(times), wording.counted(len(ratios), "defense")
        )

    def _seconds(self, model: ShownModel) -> float | None:
        """Return the mean seconds of a model's training over its seeds; an ensemble's are its members' together."""
        folder = f"/models/{model.name}/"
        paths = {
            file.path
            for trail in self._data.trails
            if trail.model == model.name
            for file in trail.files
            if file.stage == "model" and folder in file.path
        }
        members = [str(name) for name in model.settings.get("members", ())]
        totals = []
        for path in sorted(paths):
            made = [path, *(path.replace(folder, f"/models/{name}/") for name in members)]
            records = [self._data.records.get(file, {}) for file in made]
            if not all("seconds" in record and not record.get("device_shared") for record in records):
                return None  # not recorded, or of a GPU that other jobs used too
            totals.append(sum(float(record["seconds"]) for record in records))
        return sum(totals) / len(totals) if totals else None

    def _undefended(self, model: ShownModel) -> ShownModel | None:
        """Return the undefended model, trained on clean images, of the same data set and network."""
        return next(
            (
                other
                for other in self._data.models
                if (other.defense, other.training) == ("undefended", "clean")
                and (other.dataset, other.architecture) == (model.dataset, model.architecture)
                and other.resources.get("width") == model.resources.get("width")
            ),
            None,
        )

    def _range(self, found: Sequence[MeasuredRow]) -> Markup:
        """Return the least and the largest of some accuracies, each linked to its card."""
        order = sorted(found, key=lambda row: row.value)
        ends = order[:1] if order[0].value == order[-1].value else [order[0], order[-1]]
        linked = []
        for row in ends:
            number = self._grids.number(row)
            linked.append(
                Markup('<a class="number plain" href="#{}" data-card="{}">{} %</a>').format(
                    number.card, number.ordinal, number.text
                )
            )
        return Markup(" to ").join(linked)


def _proposed(model: ShownModel) -> str:
    """Return the paper that proposes a model's defense; empty where papers only compare with it."""
    for part in model.defense.split("+"):
        kind = part.partition("[")[0]
        if kind in registry.names("defenses"):
            paper = getattr(registry.settings_class("defenses", kind), "paper", "")
            if paper and not model.defense.endswith("[member]"):
                return str(paper)
    return ""


def _unique(models: Iterable[ShownModel]) -> list[ShownModel]:
    return list({model.name: model for model in models}.values())
