"""A digest of a user's files tells any two contents apart, and reads what has not changed no second time."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from reproof.errors import StudyError
from reproof.plan import file_digest


@pytest.fixture(autouse=True)
def _own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_digest, "MEMORY", tmp_path / "memory/own_files.json")
    monkeypatch.setattr(file_digest, "_known", {})


def folder(path: Path) -> Path:
    for name in ("day/0.png", "day/1.png", "night/0.png"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(name)
    return path


def test_a_file_s_is_that_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(b"abc")
    assert file_digest.of(path) == hashlib.sha256(b"abc").hexdigest()
    times = path.stat()
    path.write_bytes(b"abd")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file_digest.of(path) == hashlib.sha256(b"abd").hexdigest(), "of the same size and time"


def test_a_folder_s_changes_with_each_file_and_name_in_it(tmp_path: Path) -> None:
    found = {file_digest.of(folder(tmp_path / "a"))}
    assert found == {file_digest.of(folder(tmp_path / "b"))}, "wherever it lies"
    (tmp_path / "b/day/1.png").write_text("other")
    found.add(file_digest.of(tmp_path / "b"))
    (tmp_path / "b/day/1.png").rename(tmp_path / "b/night/1.png")
    found.add(file_digest.of(tmp_path / "b"))
    (tmp_path / "b/night/1.png").unlink()
    found.add(file_digest.of(tmp_path / "b"))
    assert len(found) == 4
    (tmp_path / "b/.DS_Store").write_text("x")
    assert file_digest.of(tmp_path / "b") in found


def test_what_is_large_is_read_once_by_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(b"x" * file_digest.LARGE)
    before = file_digest.of(path)
    read: list[Path] = []
    real = file_digest._hash
    monkeypatch.setattr(file_digest, "_known", {})
    monkeypatch.setattr(file_digest, "_hash", lambda one: read.append(one) or real(one))
    assert file_digest.of(path) == before
    assert read == []
    path.write_bytes(b"y" * file_digest.LARGE)
    assert file_digest.of(path) != before
    assert read == [path]


def test_a_memory_that_cannot_be_read_is_made_anew(tmp_path: Path) -> None:
    folder(tmp_path / "a")
    file_digest.MEMORY.parent.mkdir()
    file_digest.MEMORY.write_text("{")
    assert file_digest.of(tmp_path / "a") == file_digest.of(tmp_path / "a")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nowhere.pt: cannot be read"):
        file_digest.of(tmp_path / "nowhere.pt")
