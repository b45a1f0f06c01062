"""Write environment.yml: conda gives Python and pip, pip gives every pin of requirements.lock.

The pins stand in the file itself. Snakemake copies it elsewhere before conda reads it, so that a reference
(`-r requirements.lock`, `-e .`) would point nowhere; and it hashes the file's text, so that a comment in it
would make every environment anew. That is why the file has neither.

Python is 3.11: the oldest that is supported, and the one for which every pin has been run. pip is pinned
because it is what reads the rest.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONDA_PINS = ("python=3.11.11", "pip=25.0.1")


def environment(lock: str) -> str:
    """Return environment.yml's text for a lock file's text."""
    pins = [line.strip() for line in lock.splitlines() if line.strip() and not line.startswith("#")]
    lines = ["name: reproof", "channels:", "  - conda-forge", "  - nodefaults", "dependencies:"]
    lines += [f"  - {pin}" for pin in CONDA_PINS]
    lines += ["  - pip:", *(f"      - {pin}" for pin in pins)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    lock_text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (ROOT / "environment.yml").write_text(environment(lock_text), encoding="utf-8")
