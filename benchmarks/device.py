"""How busy training keeps a device: seconds per epoch, and the share of them that kernels run.

Trains through the project's own loop, on random images of each data set's size: one epoch to warm up, one to time,
one under PyTorch's profiler, which counts the time that kernels run (the loop uses one stream, so that they never
overlap). `busy` is that time over the timed epoch's; without a GPU there are no kernels and none is printed. Targets,
on one H200: LeNet and CNN-6 at least 60 % busy, ResNet-18 with PGD-7 under 20 s an epoch.

    PYTHONPATH=src python benchmarks/device.py [--images 50000] [--only lenet] [--profile 12]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from reproof import device
from reproof.data.dataset import DataDescription, Dataset, Split
from reproof.models import build
from reproof.settings.adversarial_training import AdversarialTraining
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train

DIGITS = DataDescription(channels=1, height=28, width=28, classes=10, mean=(0.13,), std=(0.31,))
OBJECTS = DataDescription(
    channels=3, height=32, width=32, classes=10, mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26)
)
HELD_OUT = 10
WARM_UP, TIMED, PROFILED = range(3)


@dataclass(frozen=True)
class Case:
    """What is trained, and on images of which size."""

    architecture: str
    options: dict[str, Any]
    data: DataDescription
    training: dict[str, Any] = field(default_factory=dict)


PGD_7 = {"attack": "pgd", "epsilon": 8 / 255, "steps": 7, "share": 1}
RESNET_18 = {"depth": 18, "stem": "imagenet", "pre_activation": True}
CASES = {
    "lenet": Case("lenet", {}, DIGITS),
    "cnn6": Case("cnn6", {}, DIGITS),
    "cnn6_bfloat16": Case("cnn6", {}, DIGITS, {"precision": "bfloat16"}),
    "resnet18_pgd7": Case("resnet", RESNET_18, OBJECTS, {"adversarial": PGD_7}),
    "resnet18_pgd7_bfloat16": Case(
        "resnet", RESNET_18, OBJECTS, {"adversarial": PGD_7, "precision": "bfloat16"}
    ),
}


def make_data(count: int, description: DataDescription) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    size = (count + HELD_OUT, description.channels, description.height, description.width)
    images = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
    everything = torch.arange(count + HELD_OUT)
    splits: dict[Split, torch.Tensor] = {
        "train": everything[:count],
        "validation": everything[count:],
        "test": everything[:0],
    }
    return Dataset("random", images, everything % description.classes, splits, description)


def measure(case: Case, data: Dataset, on: torch.device, batch_size: int) -> tuple[float, profile]:
    """Return the seconds of the timed epoch, and the profile of the one behind it."""
    training: dict[str, Any] = {
        "epochs": 3,
        "batch_size": batch_size,
        "learning_rate": 1e-6,
        "validation": False,
    }
    training |= case.training
    if "adversarial" in training:
        training["adversarial"] = AdversarialTraining.model_validate(training["adversarial"])
    network = {"architecture": {"kind": case.architecture, **case.options}, "defense": {"kind": "undefended"}}
    defense, trainee = build.build(network, data.description, seed=0)
    begun: list[float] = []
    activities = [ProfilerActivity.CUDA if on.type == "cuda" else ProfilerActivity.CPU]
    with ExitStack() as stack:
        watch = profile(activities=activities)

        def noting(hook: Callable[..., None]) -> Callable[..., None]:
            def noted(*arguments: Any) -> None:
                if on.type == "cuda":
                    torch.cuda.synchronize(on)
                begun.append(time.perf_counter())
                if len(begun) == PROFILED + 1:
                    stack.enter_context(watch)
                hook(*arguments)

            return noted

        for name in ("begin_epoch", "finish"):
            setattr(defense, name, noting(getattr(defense, name)))
        train(defense, trainee, data, TrainingSettings(**training), seed=0, device=on, progress=False)
    return begun[TIMED + 1] - begun[TIMED], watch


def main() -> None:
    parser = argparse.ArgumentParser(description="how busy training keeps a device")
    parser.add_argument("--images", type=int, default=50_000, help="an epoch's")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--only", choices=CASES, action="append")
    parser.add_argument(
        "--profile", type=int, default=0, metavar="ROWS", help="print so many operations of each"
    )
    chosen = parser.parse_args()
    on = device.choose(torch.get_num_threads())
    print(f"{device.words(on)}; {chosen.images} images an epoch, batches of {chosen.batch_size}")
    print(f"{'':26}{'seconds':>9}{'images/s':>10}{'busy':>7}")
    for name in chosen.only or CASES:
        case = CASES[name]
        seconds, watched = measure(case, make_data(chosen.images, case.data), on, chosen.batch_size)
        busy = "–"
        events = watched.key_averages()
        if on.type == "cuda":
            busy = f"{sum(event.self_device_time_total for event in events) / 1e6 / seconds:.0%}"
        print(f"{name:26}{seconds:9.2f}{chosen.images / seconds:10,.0f}{busy:>7}", flush=True)
        if chosen.profile:
            key = "self_cpu_time_total" if on.type == "cpu" else "self_cuda_time_total"
            print(events.table(sort_by=key, row_limit=chosen.profile))


if __name__ == "__main__":
    main()
