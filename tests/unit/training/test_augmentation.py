from __future__ import annotations

import pytest
import torch

from reproof.training.augmentation import shift_and_mirror


def images(count: int = 200) -> torch.Tensor:
    return torch.randint(1, 256, (count, 3, 5, 6), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


@pytest.mark.parametrize("mirror", [False, True])
def test_each_image_is_a_crop_of_its_padded_self(mirror: bool) -> None:
    before = images()
    after = shift_and_mirror(before, 2, mirror, torch.Generator().manual_seed(0))
    assert after.shape == before.shape
    assert after.dtype == torch.uint8
    padded = torch.nn.functional.pad(before, (2, 2, 2, 2))
    found = set()
    for image, result in zip(padded, after, strict=True):
        matches = [
            (top, left, flip)
            for top in range(5)
            for left in range(5)
            for flip in (False, True)
            if torch.equal(result, crop(image, top, left, flip))
        ]
        assert matches
        found.add(matches[0])
    assert {flip for _, _, flip in found} == ({False, True} if mirror else {False})
    assert {top for top, _, _ in found} == {left for _, left, _ in found} == set(range(5))


def crop(image: torch.Tensor, top: int, left: int, flip: bool) -> torch.Tensor:
    cropped = image[:, top : top + 5, left : left + 6]
    return cropped.flip(2) if flip else cropped


def test_draws_depend_on_the_generator_alone_and_leave_the_input() -> None:
    before = images()
    kept = before.clone()
    first = shift_and_mirror(before, 2, True, torch.Generator().manual_seed(3))
    torch.rand(7)
    again = shift_and_mirror(before, 2, True, torch.Generator().manual_seed(3))
    other = shift_and_mirror(before, 2, True, torch.Generator().manual_seed(4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, kept)
