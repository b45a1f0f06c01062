"""From a study to its jobs: what each reads, writes and must know, and a digest of the code it runs.

Imports no torch. `paths` says where things lie, `threats` who attacks whom, `facts` what slices say of models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from reproof import registry
from reproof.csv_tables import SCHEMAS
from reproof.plan import experiments, facts, page_code
from reproof.plan.job import Job
from reproof.plan.model_jobs import ModelJobs
from reproof.plan.once import once
from reproof.plan.threats import Threats
from reproof.settings.source_names import parts
from reproof.study.model import Model, Study

RULES = (
    "prepare",
    "train",
    "load",
    "assemble",
    "attack",
    "evaluate",
    "surface",
    "tabulate",
    "draw",
    "report",
)


class Plan(ModelJobs):
    """All jobs of a study. Methods named like the rules return one job each.

    It answers for its parts too: whoever holds a plan asks it where a file lies, and who attacks whom.
    """

    def __init__(self, study: Study, root: str = "results"):
        super().__init__(study, root)
        paths = self.paths
        self.threats = threats = Threats(study)
        self.outcome_path, self.table_path = paths.outcome, paths.table
        self.attacks_on, self.threats_on, self.suites_on = (
            threats.attacks_on,
            threats.threats_on,
            threats.suites_on,
        )
        self.sources, self.source_name, self.transfers = (
            threats.sources,
            threats.source_name,
            threats.transfers,
        )
        wanted = study.surfaces
        self.surfaced = [
            name for name in study.models if wanted is not None and name in (wanted.models or ())
        ]
        """The models whose loss surfaces are measured."""

    @property
    def all_sources(self) -> tuple[str, ...]:
        """Return all that a suite may be made on: every model, then the groups attacked together."""
        return self.threats.all_sources

    def adversarial_path(self, source: str, seed: int, suite: str) -> str:
        """Return the path of the images that a suite made on a source."""
        return self.paths.adversarial(source, seed, suite, shared=self.transfers(source, suite))

    def epochs(self, model: Model) -> int:
        """Return a model's epochs, of an ensemble the most that a member has."""
        return facts.epochs(self.study, model)

    @once
    def attack(self, source: str, seed: int, suite: str) -> Job:
        """Return the job that makes a suite's adversarial images on a source: a model, or several joined by `+`."""
        models = parts(source)
        chosen, path = self.study.models[models[0]], self.adversarial_path(source, seed, suite)
        attacks, others = self.attacks_on(source, suite), self.threats.transfer_from(source, suite)
        return self._job(
            "attack",
            f"{source} seed {seed} {suite}",
            inputs={
                "data": (self.data_path(chosen.dataset),),
                "model": self._weights(models, seed),
                "transfer_from": self._weights(others, seed),
            },
            outputs={"adversarial": path, "record": path.replace(".safetensors", ".record.json")},
            slice={
                **(
                    facts.network(chosen)
                    if len(models) == 1
                    else {
                        "model": source,
                        "dataset": chosen.dataset,
                        **facts.networks(self.study, "together", models),
                    }
                ),
                "seed": seed,
                "suite": suite,
                "attacks": {name: attack.dump() for name, attack in attacks.items()},
                "images": self.study.suites[suite].images,
                "view": self.study.suites[suite].view,
                **facts.networks(self.study, "transfer_from", others),
                **({"aggregated": True} if self.study.suites[suite].members == "aggregated" else {}),
                "batch_size": self.study.attack_batch_size,
                "skip_misclassified": not self.transfers(source, suite),
            },
            modules=(
                "reproof.stages.attack",
                *(
                    facts.network_modules(chosen)
                    if len(models) == 1
                    else facts.networks_modules(self.study, models)
                ),
                *facts.networks_modules(self.study, others),
                *sorted(
                    {
                        f"reproof.attacks.{kind}"
                        for attack in attacks.values()
                        for kind in facts.run_by(attack)
                    }
                ),
            ),
            data_files=facts.own_code(self.study, (*models, *others)),
            seed=seed,
        )

    @once
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
                "model": self._weights((target,), seed),
                "adversarial": tuple(self.adversarial_path(source, seed, rule.suite) for source in sources),
            },
            outputs={
                "outcomes": path,
                "examples": f"{stem}.examples.safetensors",
                "record": f"{stem}.record.json",
            },
            slice={
                **facts.network(chosen),
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
                *facts.network_modules(chosen),
            ),
            data_files=facts.own_code(self.study, (target,)),
            seed=seed,
        )

    @once
    def outcomes(self) -> list[Job]:
        """Return every evaluate job."""
        return [
            self.evaluate(target, seed, threat)
            for target in self.study.models
            for seed in self.study.seeds
            for threat in self.threats_on(target)
        ]

    @once
    def surface(self, model: str, seed: int) -> Job:
        """Return the job that measures a model's loss around test images; KeyError for one that is not surfaced."""
        wanted = self.study.surfaces
        if wanted is None or wanted.beside is None or model not in self.surfaced:
            raise KeyError(model)
        chosen, path = self.study.models[model], self.paths.surface(model, seed)
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
                **facts.network(chosen),
                **facts.networks(self.study, "beside", (wanted.beside,)),
                "seed": seed,
                "surfaces": wanted.model_dump(mode="json", exclude={"models", "beside"}),
                "batch_size": self.study.attack_batch_size,
            },
            modules=(
                "reproof.stages.surface",
                *facts.network_modules(chosen),
                *facts.networks_modules(self.study, (wanted.beside,)),
            ),
            data_files=facts.own_code(self.study, (model, wanted.beside)),
            seed=seed,
        )

    @once
    def tabulate(self) -> Job:
        """Return the job that counts outcomes, reads what trainings left, and judges claims."""
        folder = f"{self.folder}/tables"
        shown = [name for name in self.trained if self.threats_on(name)]
        histories = [(name, seed) for name in shown for seed in self.study.seeds]
        logs = [(name, seed) for name, seed in histories if self.study.models[name].training_log]
        assembled = [(name, seed) for name in self.assembled for seed in self.study.seeds]
        return self._job(
            "tabulate",
            self.study.name,
            inputs={
                "outcomes": tuple(job.outputs["outcomes"] for job in self.outcomes()),
                "histories": tuple(self.train(*one).outputs["history"] for one in histories),
                "training_logs": tuple(self.train(*one).outputs["training_log"] for one in logs),
                "separations": tuple(self.assemble(*one).outputs["separation"] for one in assembled),
            },
            outputs={
                **{table: self.table_path(table) for table in SCHEMAS},
                "record": f"{folder}/record.json",
            },
            slice={
                "study": self.study.name,
                "trainings": {
                    "histories": list(map(list, histories)),
                    "training_logs": list(map(list, logs)),
                },
                "separations": [
                    {**facts.separated(self.study, self.study.models[name]), "seed": seed}
                    for name, seed in assembled
                ],
                "plug_ins": facts.all_plug_ins(),
                "titles_of_claims": facts.titles(),
                "looks": self.study.looks,
                "attacks": {name: attack.dump() for name, attack in self.study.attacks.items()},
                "suite_overrides": facts.suite_overrides(self.study, self.threats),
                "experiments": {
                    name: experiments.experiment(self.study, model)
                    for name, model in self.study.models.items()
                },
                "checklist": {
                    "models": {
                        name: facts.subject(self.study, model) for name, model in self.study.models.items()
                    },
                    "threats": {name: threat.setting for name, threat in self.study.threats.items()},
                },
            },
            modules=("reproof.stages.tabulate",),
            data_files=page_code.paper_files(),
        )

    @once
    def draw(self) -> Job:
        """Return the job that draws the figures, from every table and from the first seed's files."""
        folder = f"{self.folder}/figures"
        seed = self.study.seeds[0]
        shown = self._shown
        evaluations = [self.evaluate(target, seed, threat) for target, threat in shown.items()]
        trained = [self.train(name, seed) for name in self.trained]
        logging = [name for name in self.trained if self.study.models[name].training_log]
        return self._job(
            "draw",
            self.study.name,
            inputs={
                "tables": (self.table_path("summary"),),
                "outcomes": tuple(job.outputs["outcomes"] for job in evaluations),
                "examples": tuple(job.outputs["examples"] for job in evaluations),
                "histories": tuple(job.outputs["history"] for job in trained),
                "training_logs": tuple(self.train(name, seed).outputs["training_log"] for name in logging),
                "separations": tuple(
                    self.assemble(name, seed).outputs["separation"] for name in self.assembled
                ),
                "surfaces": tuple(self.paths.surface(name, seed) for name in self.surfaced),
            },
            outputs={"figures": f"{folder}/index.json", "record": f"{folder}/record.json"},
            slice={
                **facts.figures(self.study),
                "plug_ins": facts.plug_ins(self.study),
                "models": {
                    "histories": self.trained,
                    "training_logs": logging,
                    "separations": self.assembled,
                    "surfaces": self.surfaced,
                    "outcomes": list(shown),
                },
            },
            modules=("reproof.stages.draw",),
        )

    @property
    def _shown(self) -> dict[str, str]:
        """Return the models that have a white-box threat, with the first of them."""
        found: dict[str, str] = {}
        for target in self.study.models:
            for name, threat in self.threats_on(target).items():
                if threat.setting == "white_box":
                    found.setdefault(target, name)
        return found

    @once
    def report(self) -> Job:
        """Return the job that renders the page, and the answer beside it."""
        return self._job(
            "report",
            self.study.name,
            inputs={
                "tables": tuple(self.tabulate().outputs.values()),
                "figures": tuple(self.draw().outputs.values()),
                "records": tuple(
                    job.outputs["record"]
                    for job in self.jobs(
                        ("prepare", "train", "load", "assemble", "attack", "evaluate", "surface")
                    )
                ),
            },
            outputs=self.paths.report,
            slice={
                "study": self.study.source,
                "files": list(self.study.files),
                "overrides": self.study.overrides,
                "plug_ins": facts.all_plug_ins(),
                "titles_of_claims": facts.titles(),
                "deviations": {
                    kind: registry.deviations(kind)
                    for kind in sorted(
                        {kind for model in self.study.models.values() for kind in model.defense_kinds}
                    )
                },
            },
            modules=("reproof.stages.report", *page_code.sections()),
            data_files=page_code.files(),
        )

    def jobs(self, rules: Sequence[str] = RULES) -> Iterator[Job]:
        """Yield every job of these rules, in the order of the DAG."""
        study = self.study
        used = dict.fromkeys(model.dataset for model in study.models.values())
        makers: dict[str, Any] = {
            "prepare": lambda: (self.prepare(dataset) for dataset in study.datasets if dataset in used),
            "train": lambda: (self.train(model, seed) for model in self.trained for seed in study.seeds),
            "load": lambda: (self.load(model, seed) for model in self.loaded for seed in study.seeds),
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
