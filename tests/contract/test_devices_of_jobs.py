"""Every job that asks for a device does all its work there: each rule on the processor, then on a pretend accelerator."""

from __future__ import annotations

import re
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from project import JOINT
from torch import nn

from reproof import artifacts, cli, device, registry
from reproof.plan.jobs import RULES, Plan
from reproof.plan.model_jobs import ON_DEVICE
from reproof.study import reader
from tests.ours import here
from tests.pretend_accelerator import DEVICE, MixedDevicesError, pretending

VOTING = next(
    (name for name in registry.names("defenses") if registry.settings_class("defenses", name).votes), None
)
JOINED = "gradient_ensemble, steps: 2" if here("attacks", "gradient_ensemble") else "fgsm"
WEIGHTS = "weights.safetensors"
STUDY = f"""\
study: tiny
smoke: true
seeds: [0]
dataset: digits
attack_batch_size: 4
datasets:
  digits: {{kind: digits, image_size: 8, test_images: 12, validation_images: 1761}}
architecture: {{kind: cnn6, width: 0.0625}}
training: {{epochs: 1, batch_size: 12, optimizer: adam, learning_rate: 2e-3, channels_last: false, validation: false}}
models:
  plain: {{defense: {{kind: undefended}}}}
  other: {{defense: {{kind: undefended}}, seed_offset: 10}}
  viewed: {{defense: {{kind: {JOINT}}}}}
  loaded: {{defense: {{kind: undefended}}, weights: {{path: {WEIGHTS}, whole: true}}}}
  {f"pair: {{defense: {{kind: {VOTING}}}, members: [plain, other]}}" if VOTING else ""}
attacks:
  fgsm: {{kind: fgsm, epsilons: [0.1, 0.3]}}
  pgd: {{kind: pgd, epsilons: [0.3], steps: 2}}
  joined: {{kind: {JOINED}, epsilons: [0.3]}}
suites:
  papers: {{attacks: [fgsm, pgd], images: 4}}
  adaptive: {{attacks: [pgd], images: 4, view: joint}}
  jointly: {{attacks: [joined], images: 4}}
  {"sums: {attacks: [fgsm], images: 4, members: aggregated}" if VOTING else ""}
threats:
  white_box: {{setting: white_box, suite: papers, targets: [viewed, loaded{", pair" if VOTING else ""}]}}
  adaptive: {{setting: adaptive, suite: adaptive, targets: [viewed]}}
  black_box: {{setting: black_box, suite: papers, source: plain, targets: [other]}}
  together: {{setting: black_box, suite: jointly, together: [plain, other], targets: [viewed]}}
  {"aggregated: {setting: white_box, suite: sums, targets: [pair]}" if VOTING else ""}
surfaces: {{models: [plain], beside: other, points: 2, image: 1, images: 3, epsilons: [0, 0.2], clip: true}}
"""


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Plan]]:
    """Return the folders, with their plans, in which all was done: on the processor, and on the accelerator."""
    found = {}
    for name, chosen in (("processor", nullcontext(torch.device("cpu"))), ("accelerator", pretending())):
        folder = tmp_path_factory.mktemp(name)
        (folder / "study.yaml").write_text(STUDY)
        with pytest.MonkeyPatch.context() as patch, chosen as place:
            patch.chdir(folder)
            patch.setattr(device, "choose", lambda threads, place=place: place)
            plan = Plan(reader.load([Path("study.yaml")]))
            for job in plan.jobs(["prepare", *ON_DEVICE]):
                if job.rule == "load":
                    shutil.copy(plan.train("plain", 0).outputs["model"], WEIGHTS)
                cli.do(job, None, 1, plan)
        found[name] = folder, plan
    return found


def read(path: Path) -> tuple[Any, Any]:
    """Return a file's numbers, and its words."""
    if path.suffix == ".safetensors":
        tensors, metadata = artifacts.read_tensors(path)
        return [tensors, list(metadata.get("probe", {}).values())], sorted(tensors)
    if path.suffix in (".parquet", ".csv"):
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        numbers = table.select_dtypes("number").fillna(-1.0)
        words = table.drop(columns=numbers.columns).astype(str)
        return torch.tensor(numbers.to_numpy(dtype=float)), [list(numbers), *words.to_numpy().tolist()]
    return [], path.read_text()


@pytest.mark.parametrize("rule", ON_DEVICE)
def test_its_jobs_leave_the_same_files(rule: str, plans: dict[str, tuple[Path, Plan]]) -> None:
    (here, plan), (there, _) = plans["processor"], plans["accelerator"]
    jobs = list(plan.jobs([rule]))
    assert jobs or (rule == "assemble" and not VOTING)
    for job in jobs:
        for kind, path in job.outputs.items():
            if kind != "record":
                expected, words = read(here / path)
                found, other_words = read(there / path)
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, equal_nan=True)
                assert other_words == words


@pytest.mark.parametrize("rule", ON_DEVICE)
def test_a_network_that_was_left_behind_stops_it(
    rule: str, plans: dict[str, tuple[Path, Plan]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plan = plans["accelerator"]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(device, "choose", lambda threads: DEVICE)
    monkeypatch.setattr(nn.Module, "to", lambda network, *_, **__: network)
    for job in list(plan.jobs([rule]))[:1]:
        with pretending(), pytest.raises(MixedDevicesError):
            cli.do(job, None, 1, plan)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_asks_for_a_device_where_it_is_said_to_and_else_sends_no_tensor_anywhere(rule: str) -> None:
    text = (registry.PACKAGE / "stages" / f"{rule}.py").read_text(encoding="utf-8")
    assert ("device.claim(run)" in text) == (rule in ON_DEVICE)
    if rule not in ON_DEVICE:
        assert not re.search(r"\.to\(|\bdevice\b|\bcuda\b", text)
