"""What is done otherwise on a GPU, decided and tested without one."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from reproof import device, provenance
from reproof.errors import TrainingError

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    monkeypatch.setattr(device, "_users", found)
    return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Return what torch is asked for of deterministic algorithms, and put its own switches back.

    It is not done: torch imports its compiler for that, for seconds.
    """
    monkeypatch.setenv(device.WORKSPACE, "")
    monkeypatch.delenv(device.WORKSPACE)
    found: list[Any] = []
    monkeypatch.setattr(
        torch, "use_deterministic_algorithms", lambda mode, *, warn_only: found.append((mode, warn_only))
    )
    kept = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield found
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = kept
    torch.backends.cudnn.deterministic = False


def test_a_free_gpu_is_taken_first_and_a_used_one_is_shared(tmp_path: Path, users: list[Any]) -> None:
    assert [device.enter(2, tmp_path) for _ in range(2)] == [0, 1]
    assert not any(one.shared for one in users)
    third = device.enter(2, tmp_path)
    assert [one.shared for one in users] == [third == 0, third == 1, True]


def test_two_that_come_at_once_both_know(
    tmp_path: Path, users: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that is made a shared one is free for a moment, in which another may take it and believe to be alone."""
    flock, free = fcntl.flock, [True]

    def lock(descriptor: int, how: int) -> None:
        if how == fcntl.LOCK_SH and free:
            free.pop()
            flock(descriptor, fcntl.LOCK_UN)
            assert device.enter(1, tmp_path) == 0
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", lock)
    device.enter(1, tmp_path)
    assert not free
    assert [one.shared for one in users] == [True, True]


def test_who_has_left_is_no_longer_there_but_shared_it_was(tmp_path: Path, users: list[Any]) -> None:
    device.enter(1, tmp_path)
    device.enter(1, tmp_path)
    first, second = users
    os.close(second._descriptor)  # as its process does when it ends
    assert first.shared
    os.close(first._descriptor)
    device.enter(1, tmp_path)
    assert not users[2].shared


def test_float32_is_no_tensorfloat_on_a_gpu(asked: list[Any]) -> None:
    torch.backends.cudnn.allow_tf32 = True
    device.settle(CPU, deterministic=True)
    assert torch.backends.cudnn.allow_tf32
    assert not asked
    device.settle(GPU, deterministic=False)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not asked


def test_kernels_repeat_where_the_study_asks_for_it(asked: list[Any]) -> None:
    device.settle(GPU, deterministic=True)
    assert torch.backends.cudnn.deterministic
    assert asked == [(True, True)]
    assert os.environ[device.WORKSPACE] == ":4096:8"


@pytest.mark.parametrize(
    ("kind", "choice", "last"),
    [
        ("cpu", "auto", True),
        ("cuda", "auto", True),
        ("mps", "auto", False),
        ("cuda", False, False),
        ("mps", True, True),
    ],
)
def test_memory_format(kind: str, choice: Any, last: bool) -> None:
    found = device.channels_last(torch.device(kind), choice)
    assert found == (torch.channels_last if last else torch.contiguous_format)


def test_bfloat16_is_refused_where_the_gpu_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(TrainingError, match="precision: float32"):
        device.mixed_precision(GPU, "bfloat16")
    with device.mixed_precision(CPU, "bfloat16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with device.mixed_precision(CPU, "float32"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize(
    ("where", "precision", "architecture", "unit", "slow"),
    [
        (CPU, "bfloat16", "x86_64", False, True),
        (CPU, "bfloat16", "x86_64", True, False),
        (CPU, "bfloat16", "aarch64", False, False),
        (CPU, "float32", "x86_64", False, False),
        (GPU, "bfloat16", "x86_64", False, False),
    ],
)
def test_a_processor_that_is_slow_in_bfloat16_is_told(
    where: torch.device, precision: Any, architecture: str, unit: bool, slow: bool
) -> None:
    said = device.slow_precision(where, precision, {"architecture": architecture, "amx_bf16": unit})
    assert ("float32 would be faster" in (said or "")) == slow


def test_torch_says_what_a_processor_can() -> None:
    assert {"architecture", "amx_bf16"} <= set(torch.cpu.get_capabilities()) or platform.machine() != "x86_64"


def test_a_record_says_what_a_gpu_held_and_whether_it_was_shared(
    tmp_path: Path, users: list[Any], asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Properties:
        total_memory = 80 * 2**30

    monkeypatch.setattr(device, "choose", lambda threads: GPU)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda chosen: "Pretend 80 GB")
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda chosen: 3 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda chosen: Properties)
    device.enter(1, tmp_path)
    run = provenance.Run(job={"job": {"deterministic": True}})
    assert device.claim(run) == GPU
    assert run.device == "GPU: Pretend 80 GB"
    expected = {"device_memory_bytes": 3 * 2**30, "device_total_bytes": 80 * 2**30}
    assert run.device_facts() == {**expected, "device_shared": False, "deterministic_kernels": True}
    device.enter(1, tmp_path)  # another job joins
    assert run.device_facts()["device_shared"]


def test_a_record_of_a_processor_says_nothing_of_it() -> None:
    run = provenance.Run(job={"job": {}})
    assert device.claim(run) == CPU
    assert run.device_facts() == {}
