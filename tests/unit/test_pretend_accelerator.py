"""The pretend accelerator refuses what CUDA refuses, and nothing that CUDA allows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tests.pretend_accelerator import DEVICE, MixedDevicesError, pretending

MIXED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "adding": lambda far, near: far + near,
    "adding in place": lambda far, near: near.add_(far),
    "adding up in a number": lambda far, near: torch.zeros(()).add_(far.sum()),
    "joining": lambda far, near: torch.cat([far, near]),
    "joining numbers": lambda far, near: torch.stack([far.sum(), near.sum()]),
    "choosing": lambda far, near: torch.where(near > 0, far, far),
    "multiplying": lambda far, near: far @ near.T,
    "a layer": lambda far, near: nn.Linear(3, 2)(far),
    "labels": lambda far, near: cross_entropy(far, torch.tensor([0, 1])),
    "weights of a loss": lambda far, near: cross_entropy(far, far.argmax(dim=1), weight=near[0]),
    "an index on the accelerator": lambda far, near: near[far[:, 0] > 0],
    "setting rows": lambda far, near: far.__setitem__(torch.tensor([0]), near[:1]),
    "scattering": lambda far, near: far.scatter_(1, near[:, :1].long(), 1.0),
    "drawing": lambda far, near: torch.rand(3, device=DEVICE, generator=torch.Generator()),
    "drawing in place": lambda far, near: far.uniform_(generator=torch.Generator()),
    "drawing here": lambda far, near: torch.randperm(3, generator=torch.Generator(DEVICE)),
    "a network's own tensor": lambda far, near: setattr(far, "data", near),
}
ALLOWED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "a number": lambda far, near: far + torch.tensor(2.0),
    "a number in its place": lambda far, near: far.masked_fill(far > 0, torch.tensor(2.0)),
    "an index of the processor": lambda far, near: far[torch.tensor([0, 1])],
    "a mask of the processor": lambda far, near: far[near > 0],
    "drawing": lambda far, near: torch.rand(
        3, device=DEVICE, generator=torch.Generator(DEVICE).manual_seed(0)
    ),
    "drawing like another": lambda far, near: torch.rand_like(far),
    "a tensor of numbers": lambda far, near: torch.tensor([1.0, 2.0], device=DEVICE),
    "a new tensor": lambda far, near: far.new_tensor([1.0, 2.0]),
    "a copy": lambda far, near: copy.deepcopy(far),
    "sending": lambda far, near: near.to(far.device),
    "a layer": lambda far, near: nn.Linear(3, 2).to(DEVICE)(far),
    "inference": lambda far, near: torch.inference_mode()(lambda: far[far[:, 0] > 5])(),
}


def tensors() -> tuple[Tensor, Tensor]:
    near = torch.tensor([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]])
    return near.to(DEVICE), near


@pytest.mark.parametrize("what", MIXED)
def test_both_sides_do_not_mix(what: str) -> None:
    with pretending(), pytest.raises(MixedDevicesError):
        MIXED[what](*tensors())


@pytest.mark.parametrize("what", ALLOWED)
def test_what_cuda_allows_stays_on_the_accelerator(what: str) -> None:
    with pretending():
        assert ALLOWED[what](*tensors()).device == DEVICE


def test_numbers_come_back_by_a_transfer_alone() -> None:
    with pretending():
        far, near = tensors()
        assert torch.equal(far.cpu(), near)
        assert far.tolist() == near.tolist()
        assert float(far.sum()) == 5.0
        near[0] = far[1]
        assert near[0].tolist() == [4.0, 5.0, -6.0]
        for make in (far.numpy, lambda: np.asarray(far)):
            with pytest.raises(TypeError, match="cpu"):
                make()


def test_a_step_of_training_is_the_processor_s() -> None:
    """Also after backward passes on the processor, which decide how many devices torch's engine knows."""
    found = []
    for device in (torch.device("cpu"), DEVICE):
        with pretending():
            torch.manual_seed(0)
            network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).to(device)
            optimizer = torch.optim.Adam(network.parameters(), 0.1)
            cross_entropy(
                network(torch.eye(3, device=device)), torch.tensor([0, 1, 1], device=device)
            ).backward()
            optimizer.step()
            found.append({name: value.cpu() for name, value in network.state_dict().items()})
    torch.testing.assert_close(found[1], found[0])


def test_afterwards_torch_is_as_it_was() -> None:
    before = (torch.Generator, torch.autocast, torch.inference_mode, torch.is_autocast_enabled)
    with pretending():
        pass
    assert (torch.Generator, torch.autocast, torch.inference_mode, torch.is_autocast_enabled) == before
    assert not torch.__future__.get_swap_module_params_on_conversion()
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.ones(2, device=DEVICE)
