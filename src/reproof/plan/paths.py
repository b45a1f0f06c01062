"""Where a study's files lie, relative to the project's folder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paths:
    """The paths of one study. folder: `results/{study}`."""

    study: str
    folder: str

    def data(self, dataset: str) -> str:
        """Return the prepared data set's path."""
        return f"{self.folder}/data/{dataset}.safetensors"

    def model_folder(self, model: str, seed: int) -> str:
        """Return the folder of a trained model."""
        return f"{self.folder}/models/{model}/seed{seed}"

    def weights(self, model: str, seed: int) -> str:
        """Return the path of a model's weights, trained or put together."""
        return f"{self.model_folder(model, seed)}/model.safetensors"

    def adversarial(self, source: str, seed: int, suite: str, *, shared: bool) -> str:
        """Return the path of the images that a suite made on a source.

        shared: they are shown to other models. Such images lie apart and are kept: a new model must not have them
        made again, and with them the outcomes of all the others.
        """
        return (
            f"{self.folder}/{'transfer' if shared else 'adversarial'}/{source}/seed{seed}/{suite}.safetensors"
        )

    def outcome(self, target: str, seed: int, threat: str) -> str:
        """Return the path of a target's outcomes under a threat."""
        return f"{self.folder}/outcomes/{target}/seed{seed}/{threat}.parquet"

    def table(self, table: str) -> str:
        """Return the path of a table."""
        return f"{self.folder}/tables/{table}.csv"

    def surface(self, model: str, seed: int) -> str:
        """Return the path of a model's losses around test images."""
        return f"{self.folder}/surfaces/{model}/seed{seed}.csv"

    @property
    def page(self) -> str:
        """Return the path of the study's page."""
        return f"report/{self.study}.html"

    @property
    def report(self) -> dict[str, str]:
        """Return the page's path, and those of the answer beside it: for programs, and for people."""
        return {
            "page": self.page,
            "answer": f"{self.folder}/answer.json",
            "answer_text": f"{self.folder}/answer.md",
        }
