"""Write environment.yml and environment-cpu.yml: conda gives Python and pip, pip gives every pin of requirements.lock.

The pins stand in the files themselves. Snakemake copies a file elsewhere before conda reads it, so that a reference
(`-r requirements.lock`, `-e .`) would point nowhere; and it hashes the file's text, so that a comment in it
would make every environment anew. That is why the files have neither.

Python is 3.11: the oldest that is supported, and the one for which every pin has been run. pip is pinned
because it is what reads the rest.

environment-cpu.yml has the same versions without CUDA, as `make install TORCH=cpu` has them (tools/set_up.sh).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONDA_PINS = ("python=3.11.11", "pip=25.0.1")
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
CPU_BUILDS = {
    "torch": ("sys_platform == 'linux'", "sys_platform != 'linux'"),
    "torchvision": (
        "sys_platform == 'linux' and platform_machine == 'x86_64'",
        "sys_platform != 'linux' or platform_machine != 'x86_64'",
    ),
}
"""Where PyTorch's index has a build without CUDA that is called so (+cpu), and where not: there none has CUDA."""


def environment(lock: str, *, cpu: bool = False) -> str:
    """Return the text of environment.yml for a lock file's text. cpu: of environment-cpu.yml."""
    pins = [line.strip() for line in lock.splitlines() if line.strip() and not line.startswith("#")]
    if cpu:
        pins = [f"--extra-index-url {TORCH_INDEX}", *_without_cuda(pins)]
    lines = ["name: reproof", "channels:", "  - conda-forge", "  - nodefaults", "dependencies:"]
    lines += [f"  - {pin}" for pin in CONDA_PINS]
    lines += ["  - pip:", *(f"      - {pin}" for pin in pins)]
    return "\n".join(lines) + "\n"


def _without_cuda(pins: Iterable[str]) -> Iterator[str]:
    """Yield the pins without what only CUDA needs, and of torch's two the builds without it."""
    only_with_cuda = (ROOT / "tools/only_with_cuda.txt").read_text(encoding="utf-8").strip()
    for pin in pins:
        name = pin.partition("==")[0]
        if name in CPU_BUILDS:
            with_build, without = CPU_BUILDS[name]
            yield f"{pin}+cpu ; {with_build}"
            yield f"{pin} ; {without}"
        elif not re.match(only_with_cuda, pin):
            yield pin


if __name__ == "__main__":
    lock_text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (ROOT / "environment.yml").write_text(environment(lock_text), encoding="utf-8")
    (ROOT / "environment-cpu.yml").write_text(environment(lock_text, cpu=True), encoding="utf-8")
