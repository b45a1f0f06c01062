"""The jobs from data to models: prepare a data set, train a model, read its weights, or put it together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reproof.plan import facts
from reproof.plan.job import Job
from reproof.plan.once import once
from reproof.plan.paths import Paths
from reproof.study.model import Study

ON_DEVICE = ("train", "load", "assemble", "attack", "evaluate", "surface")
"""Rules whose jobs compute on a GPU where there is one."""

IMPORTED_LATE = {"train": "torch._dynamo", "evaluate": "pandas"}
"""What a rule's jobs import only while they work, and pay most for."""


class ModelJobs:
    """The part of a plan that makes data sets and models. Methods named like the rules return one job each."""

    def __init__(self, study: Study, root: str):
        self.study = study
        self.folder = f"{root}/{study.name}"
        self.paths = Paths(study.name, self.folder)
        self.data_path, self.model_folder = self.paths.data, self.paths.model_folder
        models = study.models.items()
        self.assembled = [name for name, model in models if model.members]
        """The models that are put together from others."""
        self.loaded = [name for name, model in models if model.weights is not None]
        """The models whose weights are there already, in a file of their own."""
        self.trained = [name for name in study.models if name not in (*self.assembled, *self.loaded)]
        """The models that a training makes."""

    @property
    def own_files(self) -> list[Path]:
        """Return the user's own files and folders that the jobs depend on, files that these import among them."""
        found = [Path(file) for file in self.study.own_files]
        return [
            *found,
            *(one for one in facts.own_code(self.study, list(self.study.models)) if one not in found),
        ]

    def _job(self, rule: str, name: str, **parts: Any) -> Job:
        if self.study.deterministic and rule in ON_DEVICE:
            parts["slice"] = {**parts["slice"], "deterministic": True}
        return Job(rule=rule, name=name, arguments=tuple(self.study.arguments), **parts)

    def _weights(self, models: Iterable[str], seed: int) -> tuple[str, ...]:
        return tuple(self.paths.weights(model, seed) for model in models)

    @once
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
            data_files=tuple(map(Path, choice.settings.files)),
        )

    def make(self, model: str, seed: int) -> Job:
        """Return the job that makes a model's weights, whether it is trained, read, or put together."""
        chosen = self.study.models[model]
        if chosen.weights is not None:
            return self.load(model, seed)
        return self.assemble(model, seed) if chosen.members else self.train(model, seed)

    @once
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
                "training_log": f"{folder}/training_log.json",
                "record": f"{folder}/record.json",
            },
            slice={
                **facts.network(chosen),
                **facts.networks(self.study, "beside", chosen.beside),
                "training": chosen.training.model_dump(mode="json"),
                "seed": seed + chosen.seed_offset,
            },
            modules=(
                "reproof.stages.train",
                *facts.network_modules(chosen),
                *facts.networks_modules(self.study, chosen.beside),
            ),
            data_files=facts.own_code(self.study, (model, *chosen.beside)),
            seed=seed,
        )

    @once
    def load(self, model: str, seed: int) -> Job:
        """Return the job that reads a model's weights from its own file, checks them, and measures clean accuracy."""
        chosen = self.study.models[model]
        if chosen.weights is None:
            raise KeyError(model)
        folder, file = self.model_folder(model, seed), chosen.weights.path
        return self._job(
            "load",
            f"{model} seed {seed}",
            inputs={"data": (self.data_path(chosen.dataset),)},
            outputs={"model": f"{folder}/model.safetensors", "record": f"{folder}/record.json"},
            slice={
                **facts.network(chosen),
                "weights": chosen.weights.model_dump(mode="json"),
                "batch_size": self.study.attack_batch_size,
            },
            modules=("reproof.stages.load", *facts.network_modules(chosen)),
            data_files=(*facts.own_code(self.study, (model,)), Path(file)),
            seed=seed,
        )

    @once
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
            slice={
                **facts.network(chosen),
                **facts.networks(self.study, "networks", chosen.members),
                "seed": seed,
            },
            modules=(
                "reproof.stages.assemble",
                *facts.network_modules(chosen),
                *facts.networks_modules(self.study, chosen.members),
            ),
            data_files=facts.own_code(self.study, (model, *chosen.members)),
            seed=seed,
        )
