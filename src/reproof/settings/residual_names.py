"""The names of residual networks: He's by their depth alone, others by all that sets them apart."""

from __future__ import annotations

import re

FOUR_STAGES = (18, 34, 50, 101, 152)
"""Depths of He's networks of four stages (He 2016, Table 1); those from 50 have bottlenecks."""
_STEMS = {"_7x7": "7 × 7 stem", "_pool": "pooling after the stem"}
_KEY = re.compile(
    r"resnet(?P<depth>[1-9]\d*)(?P<block>_basic|_bottleneck)?(?P<stages>_cifar|_imagenet)?"
    r"(?P<blocks>_blocks\d+(?:_\d+)*)?(?P<stem>_7x7|_pool)?(?P<hidden>_fc\d+(?P<linear>_linear)?)?"
    r"(?P<preactivation>_preactivation)?"
)


def residual_key(
    depth: int,
    *,
    block: str,
    stem: str,
    blocks: tuple[int, ...] | None,
    stem_pool: bool,
    hidden: int,
    hidden_relu: bool,
    pre_activation: bool,
) -> str:
    """Return resnet110 for He's network of a depth, and what sets another one apart behind it.

    blocks: of each stage, where they are not those that the depth makes; else None. The other arguments are the
    settings of `architectures/resnet.py`. The plain names of four stages have a stem of 3 x 3, as is usual for
    images of 32 x 32: He's for large images is `resnet50_7x7`.
    """
    usual_stem = "imagenet" if depth in FOUR_STAGES else "cifar"
    usual_block = "bottleneck" if depth in FOUR_STAGES[2:] else "basic"
    parts = [f"resnet{depth}"]
    if block != usual_block:
        parts.append(block)
    if stem != usual_stem:
        parts.append(stem)
    if blocks is not None:
        parts.append("blocks" + "_".join(map(str, blocks[:1] if len(set(blocks)) == 1 else blocks)))
    if stem_pool:
        parts.append("7x7" if stem == "imagenet" else "pool")
    if hidden:
        parts.append(f"fc{hidden}")
        if not hidden_relu:
            parts.append("linear")
    if pre_activation:
        parts.append("preactivation")
    return "_".join(parts)


def residual_title(key: str) -> str | None:
    """Return `ResNet-110 (bottleneck, FC(1024))` for `resnet110_bottleneck_fc1024`; None of another network's key.

    Of every depth that there can be: 6 n + 2, 9 n + 2, 18, 34; of any where the blocks are named.
    """
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    depth = int(found["depth"])
    regular = depth > 7 and (depth - 2) % 3 == 0
    if not (regular or depth in FOUR_STAGES or found["blocks"]):
        return None
    words = [found[part].removeprefix("_") for part in ("block", "stages") if found[part]]
    if found["blocks"]:
        words.append("blocks " + found["blocks"].removeprefix("_blocks").replace("_", ", "))
    if found["stem"]:
        words.append(_STEMS[found["stem"]])
    if found["hidden"]:
        units = found["hidden"].removeprefix("_fc").removesuffix("_linear")
        words.append(f"FC({units})" + (" without ReLU" if found["linear"] else ""))
    if found["preactivation"]:
        words.append("pre-activation")
    return f"ResNet-{depth}" + (f" ({', '.join(words)})" if words else "")
