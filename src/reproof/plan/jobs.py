"""From a study to its jobs: what each reads, writes and must know, and a digest of the code it runs.

Imports no torch. One relation explains every experiment: a suite of attacks is made on a source model; a
threat shows it to a target. White-box and adaptive threats have source = target.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from reproof import registry
from reproof.plan.job import Job
from reproof.settings.source_names import AGGREGATED, JOINT, MEMBER, parts
from reproof.study.model import Choice, Model, Study, ThreatSettings

PACKAGE = Path(__file__).parents[1]
REFERENCES = PACKAGE.parents[1] / "reference"
"""Large runs that are committed with the code; every page shows them."""
RULES = ("prepare", "train", "assemble", "attack", "evaluate", "surface", "tabulate", "draw", "report")

P = ParamSpec("P")
T = TypeVar("T")


def _once(method: Callable[Concatenate[Plan, P], T]) -> Callable[Concatenate[Plan, P], T]:
    """Keep what a method of the plan returns: a plan never changes, and Snakemake asks again at every job."""

    @functools.wraps(method)
    def kept(self: Plan, /, *arguments: P.args, **named: P.kwargs) -> T:
        key = (method.__name__, arguments, tuple(named.items()))
        if key not in self._kept:
            self._kept[key] = method(self, *arguments, **named)
        return cast(T, self._kept[key])

    return kept


class Plan:
    """All jobs of a study. Methods named like the rules return one job each."""

    def __init__(self, study: Study, root: str = "results"):
        self.study = study
        self.folder = f"{root}/{study.name}"
        self._kept: dict[Any, Any] = {}

    # Who attacks whom.

    def attacks_on(self, source: str, suite: str) -> dict[str, Choice]:
        """Return the suite's attacks; none where the model lacks the suite's view, or the members that it asks for.

        source: a model, or several joined by `+`, on which the suite is made together.
        """
        if JOINT in source:
            return self.study.suite_attacks[suite]
        chosen, model = self.study.suites[suite], self.study.models[source]
        if chosen.view not in ("logits", *model.views):
            return {}
        if chosen.members == "aggregated" and not model.members:
            return {}
        return self.study.suite_attacks[suite]

    @_once
    def threats_on(self, target: str) -> dict[str, ThreatSettings]:
        """Return the threats that a model stands under."""
        found = {}
        for name, threat in self.study.threats.items():
            named = threat.targets is None or target in threat.targets
            if not named or target in threat.exclude:
                continue
            sources, dataset = self.sources(target, threat), self.study.models[target].dataset
            made_on = {model for source in sources for model in parts(source)}
            if any(self.study.models[model].dataset != dataset for model in made_on):
                continue
            if threat.dataset not in (None, dataset):
                continue
            if any(self.attacks_on(source, threat.suite) for source in sources):
                found[name] = threat
        return found

    def sources(self, target: str, threat: ThreatSettings) -> tuple[str, ...]:
        """Return where a threat's images for a target are made: on models, or on several together, joined by `+`.

        None where the target is the only source, or is attacked through members and has none.
        """
        if threat.source == MEMBER:
            return self.study.models[target].members
        return threat.makers(target) if threat.others else (target,)

    @functools.cached_property
    def all_sources(self) -> tuple[str, ...]:
        """Return all that a suite may be made on: every model, then the groups attacked together, joined by `+`."""
        groups = [JOINT.join(threat.together) for threat in self.study.threats.values() if threat.together]
        return (*self.study.models, *dict.fromkeys(groups))

    def suites_on(self, source: str) -> list[str]:
        """Return the suites that are made on a source, sorted."""
        return sorted(self._suites.get(source, ()))

    @functools.cached_property
    def _suites(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for target in self.study.models:
            for threat in self.threats_on(target).values():
                for source in self.sources(target, threat):
                    found.setdefault(source, set()).add(threat.suite)
        return found

    # Paths.

    def data_path(self, dataset: str) -> str:
        """Return the prepared data set's path."""
        return f"{self.folder}/data/{dataset}.safetensors"

    def model_folder(self, model: str, seed: int) -> str:
        """Return the folder of a trained model."""
        return f"{self.folder}/models/{model}/seed{seed}"

    @_once
    def transfers(self, source: str, suite: str) -> bool:
        """Say whether a suite made on a source is shown to other models too."""
        return any(
            threat.suite == suite
            and (source in threat.makers(target="") or (threat.source == MEMBER and source in self._members))
            for threat in self.study.threats.values()
        )

    @functools.cached_property
    def _members(self) -> frozenset[str]:
        return frozenset(name for model in self.study.models.values() for name in model.members)

    def adversarial_path(self, source: str, seed: int, suite: str) -> str:
        """Return the path of the images that a suite made on a source model.

        What is shown to other models lies apart and is kept: a new model must not have it made again, and with it
        the outcomes of all the others.
        """
        folder = "transfer" if self.transfers(source, suite) else "adversarial"
        return f"{self.folder}/{folder}/{source}/seed{seed}/{suite}.safetensors"

    def outcome_path(self, target: str, seed: int, threat: str) -> str:
        """Return the path of a target's outcomes under a threat."""
        return f"{self.folder}/outcomes/{target}/seed{seed}/{threat}.parquet"

    def table_path(self, table: str) -> str:
        """Return the path of a table."""
        return f"{self.folder}/tables/{table}.csv"

    def surface_path(self, model: str, seed: int) -> str:
        """Return the path of a model's losses around test images."""
        return f"{self.folder}/surfaces/{model}/seed{seed}.csv"

    @property
    def page_path(self) -> str:
        """Return the path of the study's page."""
        return f"report/{self.study.name}.html"

    # Jobs.

    def _job(self, rule: str, name: str, **facts: Any) -> Job:
        return Job(rule=rule, name=name, arguments=tuple(self.study.arguments), **facts)

    @_once
    def prepare(self, dataset: str) -> Job:
        """Return the job that prepares a data set."""
        choice = self.study.datasets[dataset]
        path = self.data_path(dataset)
        return self._job(
            "prepare",
            dataset,
            inputs={},
            outputs={"data": path, "record": path.replace(".safetensors", ".record.json")},
            slice={"dataset": dataset, "settings": choice.dump(), "data_root": self.study.data_root},
            modules=("reproof.stages.prepare", f"reproof.datasets.{choice.kind}"),
        )

    def _network(self, model: Model) -> dict[str, Any]:
        """Return what it takes to build a model again."""
        return {
            "model": model.name,
            "dataset": model.dataset,
            "architecture": model.architecture.dump(),
            "defense": model.defense_stanza,
            **({"members": list(model.members)} if model.members else {}),
        }

    def _network_modules(self, model: Model) -> tuple[str, ...]:
        return (
            f"reproof.architectures.{model.architecture.kind}",
            *(f"reproof.defenses.{kind}" for kind in model.defense_kinds),
        )

    def tracing(self) -> dict[tuple[str, ...], list[str]]:
        """Return the models by the traces that their training leaves: one rule of Snakemake makes each group."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for name in self.trained:
            groups.setdefault(self.study.models[name].traces, []).append(name)
        return groups

    @property
    def trained(self) -> list[str]:
        """Return the models that a training makes."""
        return [name for name, model in self.study.models.items() if not model.members]

    @property
    def assembled(self) -> list[str]:
        """Return the models that are put together from trained ones."""
        return [name for name, model in self.study.models.items() if model.members]

    @property
    def surfaced(self) -> list[str]:
        """Return the models whose loss surfaces are measured."""
        wanted = self.study.surfaces
        return [name for name in self.study.models if wanted is not None and name in (wanted.models or ())]

    def make(self, model: str, seed: int) -> Job:
        """Return the job that makes a model's weights, whether it is trained or put together."""
        return self.assemble(model, seed) if self.study.models[model].members else self.train(model, seed)

    @_once
    def train(self, model: str, seed: int) -> Job:
        """Return the job that trains a model."""
        chosen = self.study.models[model]
        folder = self.model_folder(model, seed)
        return self._job(
            "train",
            f"{model} seed {seed}",
            inputs={
                "data": (self.data_path(chosen.dataset),),
                **({"beside": self._weights(chosen.beside, seed)} if chosen.beside else {}),
            },
            outputs={
                "model": f"{folder}/model.safetensors",
                "history": f"{folder}/history.csv",
                **{f"trace_{name}": f"{folder}/{name}.csv" for name in chosen.traces},
                "record": f"{folder}/record.json",
            },
            slice={
                **self._network(chosen),
                **self._others("beside", chosen.beside),
                "training": chosen.training.model_dump(mode="json"),
                "seed": seed + chosen.seed_offset,
            },
            modules=(
                "reproof.stages.train",
                *self._network_modules(chosen),
                *self._other_modules(chosen.beside),
            ),
            seed=seed,
        )

    @_once
    def assemble(self, model: str, seed: int) -> Job:
        """Return the job that puts an ensemble together from its trained members."""
        chosen = self.study.models[model]
        folder = self.model_folder(model, seed)
        return self._job(
            "assemble",
            f"{model} seed {seed}",
            inputs={
                "data": (self.data_path(chosen.dataset),),
                "members": self._weights(chosen.members, seed),
            },
            outputs={
                "model": f"{folder}/model.safetensors",
                "separation": f"{folder}/separation.csv",
                "record": f"{folder}/record.json",
            },
            slice={**self._network(chosen), **self._others("networks", chosen.members), "seed": seed},
            modules=(
                "reproof.stages.assemble",
                *self._network_modules(chosen),
                *self._other_modules(chosen.members),
            ),
            seed=seed,
        )

    def _weights(self, models: Sequence[str], seed: int) -> tuple[str, ...]:
        return tuple(f"{self.model_folder(name, seed)}/model.safetensors" for name in models)

    def _others(self, key: str, models: Sequence[str]) -> dict[str, Any]:
        """Return what it takes to build other models again, under a key; nothing where there are none."""
        return {key: [self._network(self.study.models[name]) for name in models]} if models else {}

    def _other_modules(self, models: Sequence[str]) -> tuple[str, ...]:
        found = {module for name in models for module in self._network_modules(self.study.models[name])}
        return tuple(sorted(found))

    @_once
    def attack(self, source: str, seed: int, suite: str) -> Job:
        """Return the job that makes a suite's adversarial images on a source: a model, or several joined by `+`."""
        models = parts(source)
        chosen = self.study.models[models[0]]
        path = self.adversarial_path(source, seed, suite)
        attacks = self.attacks_on(source, suite)
        return self._job(
            "attack",
            f"{source} seed {seed} {suite}",
            inputs={
                "data": (self.data_path(chosen.dataset),),
                "model": self._weights(models, seed),
            },
            outputs={"adversarial": path, "record": path.replace(".safetensors", ".record.json")},
            slice={
                **(
                    self._network(chosen)
                    if len(models) == 1
                    else {"model": source, "dataset": chosen.dataset, **self._others("together", models)}
                ),
                "seed": seed,
                "suite": suite,
                "attacks": {name: attack.dump() for name, attack in attacks.items()},
                "images": self.study.suites[suite].images,
                "view": self.study.suites[suite].view,
                **({"aggregated": True} if self.study.suites[suite].members == "aggregated" else {}),
                "batch_size": self.study.attack_batch_size,
                "skip_misclassified": not self.transfers(source, suite),
            },
            modules=(
                "reproof.stages.attack",
                *(self._network_modules(chosen) if len(models) == 1 else self._other_modules(models)),
                *sorted({f"reproof.attacks.{attack.kind}" for attack in attacks.values()}),
            ),
            seed=seed,
        )

    @_once
    def evaluate(self, target: str, seed: int, threat: str) -> Job:
        """Return the job that shows a threat's images to a target model."""
        chosen = self.study.models[target]
        rule = self.study.threats[threat]
        sources = self.sources(target, rule)
        path = self.outcome_path(target, seed, threat)
        attacks = self.attacks_on(sources[0], rule.suite)
        stem = path.removesuffix(".parquet")
        return self._job(
            "evaluate",
            f"{target} seed {seed} {threat}",
            inputs={
                "data": (self.data_path(chosen.dataset),),
                "model": (f"{self.model_folder(target, seed)}/model.safetensors",),
                "adversarial": tuple(self.adversarial_path(source, seed, rule.suite) for source in sources),
            },
            outputs={
                "outcomes": path,
                "examples": f"{stem}.examples.safetensors",
                "record": f"{stem}.record.json",
            },
            slice={
                **self._network(chosen),
                "study": self.study.name,
                "dataset_key": self.study.datasets[chosen.dataset].settings.key,
                "architecture_key": chosen.architecture_key,
                "defense_key": chosen.defense_key,
                "training_key": chosen.training_key,
                "seed": seed,
                "threat": threat,
                "setting": rule.setting,
                "sources": [self.source_name(source, rule) for source in sources],
                "view": self.study.suites[rule.suite].view,
                "attacks": {name: attack.dump() for name, attack in attacks.items()},
                "examples": self.study.examples,
            },
            modules=(
                "reproof.stages.evaluate",
                *self._network_modules(chosen),
            ),
            seed=seed,
        )

    def source_name(self, source: str, threat: ThreatSettings) -> str:
        """Return what tables call the source of a threat's images."""
        return AGGREGATED if self.study.suites[threat.suite].members == "aggregated" else source

    @_once
    def outcomes(self) -> list[Job]:
        """Return every evaluate job."""
        return [
            self.evaluate(target, seed, threat)
            for target in self.study.models
            for seed in self.study.seeds
            for threat in self.threats_on(target)
        ]

    @_once
    def surface(self, model: str, seed: int) -> Job:
        """Return the job that measures a model's loss around test images; KeyError for one that is not surfaced."""
        wanted = self.study.surfaces
        if wanted is None or wanted.beside is None or model not in self.surfaced:
            raise KeyError(model)
        chosen, path = self.study.models[model], self.surface_path(model, seed)
        return self._job(
            "surface",
            f"{model} seed {seed}",
            inputs={
                "data": (self.data_path(chosen.dataset),),
                "model": self._weights((model,), seed),
                "beside": self._weights((wanted.beside,), seed),
            },
            outputs={"surface": path, "record": path.replace(".csv", ".record.json")},
            slice={
                **self._network(chosen),
                **self._others("beside", (wanted.beside,)),
                "seed": seed,
                "surfaces": wanted.model_dump(mode="json", exclude={"models", "beside"}),
                "batch_size": self.study.attack_batch_size,
            },
            modules=(
                "reproof.stages.surface",
                *self._network_modules(chosen),
                *self._other_modules((wanted.beside,)),
            ),
            seed=seed,
        )

    @_once
    def tabulate(self) -> Job:
        """Return the job that counts outcomes and judges claims."""
        folder = f"{self.folder}/tables"
        return self._job(
            "tabulate",
            self.study.name,
            inputs={"outcomes": tuple(job.outputs["outcomes"] for job in self.outcomes())},
            outputs={
                **{
                    table: self.table_path(table)
                    for table in (
                        "measurements",
                        "summary",
                        "verdicts",
                        "statements",
                        "red_flags",
                        "checklist",
                        "per_class",
                        "per_image",
                    )
                },
                "record": f"{folder}/record.json",
            },
            slice={
                "study": self.study.name,
                "tolerance": self.study.tolerance,
                "attacks": {name: attack.dump() for name, attack in self.study.attacks.items()},
                "narrowed": self._narrowed(),
                "budgets": {name: self._budget(model) for name, model in self.study.models.items()},
                "checklist": {
                    "models": {name: self._subject(model) for name, model in self.study.models.items()},
                    "threats": {name: threat.setting for name, threat in self.study.threats.items()},
                },
            },
            modules=("reproof.stages.tabulate",),
            data_files=_paper_files(),
        )

    def _narrowed(self) -> list[dict[str, Any]]:
        """Return the attacks whose suite sets them otherwise than their stanza, and whom they meet where."""
        found = []
        for target in self.study.models:
            for threat in self.threats_on(target).values():
                sources = self.sources(target, threat)
                for attack, choice in self.attacks_on(sources[0], threat.suite).items():
                    if choice != self.study.attacks[attack]:
                        found += [
                            {
                                "model": target,
                                "setting": threat.setting,
                                "source": self.source_name(source, threat),
                                "attack": attack,
                                "settings": choice.dump(),
                            }
                            for source in (*sources, *([MEMBER] if threat.source == MEMBER else []))
                        ]
        return found

    def _budget(self, model: Model) -> dict[str, Any]:
        """Return what a verdict lists when it differs from the paper's own budget."""
        return {
            "model": model.name,
            "dataset": self.study.datasets[model.dataset].settings.key,
            "architecture": model.architecture_key,
            "width": getattr(model.architecture.settings, "width", 1.0),
            "epochs": self.epochs(model),
            "defense": model.defense_key,
            "training": model.training_key,
            "train_images": self.study.datasets[model.dataset].settings.sizes()["train"],
            "seeds": len(self.study.seeds),
        }

    def _subject(self, model: Model) -> dict[str, Any]:
        """Return what the checklist asks of a model (checklist.Subject)."""
        data = self.study.datasets[model.dataset].settings
        return {
            "dataset": data.key,
            "architecture": model.architecture_key,
            "defense": model.defense_key,
            "training": model.training_key,
            "added_training": model.training.adversarial.attack if model.training.adversarial else "",
            "classes": len(data.class_names),
            "views": list(model.views),
            "members": len(model.members),
        }

    def epochs(self, model: Model) -> int:
        """Return a model's epochs, of an ensemble the most that a member has."""
        return max(self.study.models[name].training.epochs for name in (model.members or (model.name,)))

    @_once
    def draw(self) -> Job:
        """Return the job that draws the figures, from every table and from the first seed's files."""
        folder = f"{self.folder}/figures"
        seed = self.study.seeds[0]
        shown = {}
        for target in self.study.models:
            white_box = [
                name for name, threat in self.threats_on(target).items() if threat.setting == "white_box"
            ]
            if white_box:
                shown[target] = white_box[0]
        evaluations = [self.evaluate(target, seed, threat) for target, threat in shown.items()]
        trained = [self.train(name, seed) for name in self.trained]
        traced: dict[str, list[str]] = {}
        for name in self.trained:
            for trace in self.study.models[name].traces:
                traced.setdefault(trace, []).append(name)
        return self._job(
            "draw",
            self.study.name,
            inputs={
                "tables": (self.table_path("summary"),),
                "outcomes": tuple(job.outputs["outcomes"] for job in evaluations),
                "examples": tuple(job.outputs["examples"] for job in evaluations),
                "histories": tuple(job.outputs["history"] for job in trained),
                "separations": tuple(
                    self.assemble(name, seed).outputs["separation"] for name in self.assembled
                ),
                "surfaces": tuple(self.surface_path(name, seed) for name in self.surfaced),
                **{
                    f"trace_{trace}": tuple(
                        self.train(name, seed).outputs[f"trace_{trace}"] for name in names
                    )
                    for trace, names in traced.items()
                },
            },
            outputs={"figures": f"{folder}/index.json", "record": f"{folder}/record.json"},
            slice={
                "study": self.study.name,
                "titles": {name: model.title for name, model in self.study.models.items()},
                "class_names": {
                    name: list(self.study.datasets[model.dataset].settings.class_names)
                    for name, model in self.study.models.items()
                },
                "identities": {
                    name: [
                        self.study.datasets[model.dataset].settings.key,
                        model.architecture_key,
                        model.defense_key,
                        model.training_key,
                    ]
                    for name, model in self.study.models.items()
                },
                "ensembles": {name: self._ensemble(self.study.models[name]) for name in self.assembled},
                "surroundings": self._surroundings(),
                "models": {
                    "histories": self.trained,
                    "separations": self.assembled,
                    "surfaces": self.surfaced,
                    "outcomes": list(shown),
                    "traces": traced,
                },
            },
            modules=("reproof.stages.draw",),
        )

    def _surroundings(self) -> dict[str, Any] | None:
        """Return what figures must know of the loss surfaces beside their numbers; None where there are none."""
        wanted = self.study.surfaces
        if wanted is None or wanted.beside is None or not self.surfaced:
            return None
        return {
            "beside": self.study.models[wanted.beside].title,
            "own": wanted.beside in self.surfaced,
            "clipped": wanted.clip,
        }

    def _ensemble(self, model: Model) -> dict[str, Any]:
        """Return what figures tell an ensemble by; `at` is its last member's value of the setting that is swept."""
        last = self.study.models[model.members[-1]].defense
        swept = last.settings.swept if last.kind == model.defense.kind else ""
        return {
            "title": model.title,
            "kind": model.defense.kind,
            "members": list(model.members),
            "swept": swept,
            "at": float(getattr(last.settings, swept)) if swept else None,
        }

    @_once
    def report(self) -> Job:
        """Return the job that renders the page."""
        return self._job(
            "report",
            self.study.name,
            inputs={
                "tables": tuple(self.tabulate().outputs.values()),
                "figures": tuple(self.draw().outputs.values()),
                "records": tuple(
                    job.outputs["record"]
                    for job in self.jobs(("prepare", "train", "assemble", "attack", "evaluate", "surface"))
                ),
            },
            outputs={"page": self.page_path},
            slice={
                "study": self.study.source,
                "files": list(self.study.files),
                "overrides": self.study.overrides,
                "deviations": {
                    kind: registry.deviations(kind)
                    for kind in sorted(
                        {kind for model in self.study.models.values() for kind in model.defense_kinds}
                    )
                },
            },
            modules=("reproof.stages.report", *_sections()),
            data_files=(*_paper_files(), *_files(PACKAGE / "report"), *_files(REFERENCES)),
        )

    def jobs(self, rules: Sequence[str] = RULES) -> Iterator[Job]:
        """Yield every job of these rules, in the order of the DAG."""
        study = self.study
        used = {model.dataset for model in study.models.values()}
        makers: dict[str, Any] = {
            "prepare": lambda: (self.prepare(dataset) for dataset in study.datasets if dataset in used),
            "train": lambda: (self.train(model, seed) for model in self.trained for seed in study.seeds),
            "assemble": lambda: (
                self.assemble(model, seed) for model in self.assembled for seed in study.seeds
            ),
            "attack": lambda: (
                self.attack(source, seed, suite)
                for source in self.all_sources
                for seed in study.seeds
                for suite in self.suites_on(source)
            ),
            "evaluate": self.outcomes,
            "surface": lambda: (self.surface(model, study.seeds[0]) for model in self.surfaced),
            "tabulate": lambda: [self.tabulate()],
            "draw": lambda: [self.draw()],
            "report": lambda: [self.report()],
        }
        for rule in rules:
            yield from makers[rule]()


def _files(folder: Path) -> tuple[Path, ...]:
    return tuple(
        sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    )


def _sections() -> Iterator[str]:
    """Yield the page's sections: plug-ins, which no module imports by name."""
    for path in sorted((PACKAGE / "report" / "sections").glob("[!_]*.py")):
        yield f"reproof.report.sections.{path.stem}"


def _paper_files() -> tuple[Path, ...]:
    return _files(PACKAGE / "papers")
