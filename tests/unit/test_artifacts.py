from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

from reproof import artifacts, provenance
from reproof.errors import ArtifactError


def record(folder: Path, *names: str) -> None:
    files = {
        name: {"sha256": artifacts.sha256(folder / name), "bytes": (folder / name).stat().st_size}
        for name in names
    }
    artifacts.write_json(folder / "record.json", {"files": files})


def dead_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    artifacts.write_text(path, "first")
    with pytest.raises(RuntimeError), artifacts.writing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "first"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_reader_never_sees_a_half_written_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with artifacts.writing(path) as temporary:
        temporary.write_text("new, half of")
        assert path.read_text() == "old"
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_leftovers_of_dead_jobs_are_swept_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    dead = tmp_path / f".file.txt.{dead_process()}.part"
    living = tmp_path / f".file.txt.{os.getppid()}.part"
    other = tmp_path / f".other.txt.{dead_process()}.part"
    for path in (dead, living, other):
        path.write_text("x")
    artifacts.write_text(tmp_path / "file.txt", "done")
    assert {entry.name for entry in tmp_path.iterdir()} == {"file.txt", living.name, other.name}


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
@pytest.mark.parametrize("name", ["true", "x) S 1"])
def test_a_process_that_ended_and_was_not_waited_for_is_dead(name: str, tmp_path: Path) -> None:
    """As a driver that was killed in a container whose first process waits for nobody."""
    (tmp_path / name).symlink_to(shutil.which("true") or "")
    ended = subprocess.Popen(["true"], executable=tmp_path / name)
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert f"({name}) Z" in Path(f"/proc/{ended.pid}/stat").read_text()
    assert not artifacts.process_lives(ended.pid)
    assert ended.wait() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_a_process_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "x) Z 1").symlink_to(shutil.which("cat") or "")
    with subprocess.Popen(
        ["cat"], executable=tmp_path / "x) Z 1", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as living:
        assert living.stdin is not None
        assert living.stdout is not None
        living.stdin.write(b"begun\n")
        living.stdin.flush()
        assert living.stdout.readline() == b"begun\n"
        assert "(x) Z 1) " in Path(f"/proc/{living.pid}/stat").read_text()
        assert artifacts.process_lives(living.pid)
        living.kill()


def test_a_number_that_no_process_has_is_dead_and_a_stranger_s_process_lives() -> None:
    assert not artifacts.process_lives(10**30)
    assert artifacts.process_lives(1)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no room left on the disk"),
        (errno.EDQUOT, "no room left on the disk"),
        (errno.EACCES, "Make"),
        (errno.EROFS, "may not be written"),
        (errno.EIO, "Nothing half-written is kept"),
    ],
)
def test_write_failure_says_how_to_mend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "file.txt"
    path.write_text("old")
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(ArtifactError, match=words) as caught:
        artifacts.write_text(path, "new")
    assert str(path) in str(caught.value)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_system_error_inside_safetensors_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", refuse)
    path = tmp_path / "weights.safetensors"
    with pytest.raises(ArtifactError, match="no room left"):
        artifacts.write_tensors(path, {"a": torch.zeros(2)}, {})
    assert list(tmp_path.iterdir()) == []


def test_tensors_and_metadata_come_back(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    tensors = {"a": torch.arange(6).view(2, 3).t(), "b": torch.zeros(0, 3)}
    artifacts.write_tensors(path, tensors, {"facts": {"x": [1, 2.5, None]}})
    found, metadata = artifacts.read_tensors(path)
    assert metadata == {"facts": {"x": [1, 2.5, None]}}
    assert torch.equal(found["a"], tensors["a"])
    assert found["b"].shape == (0, 3)
    umask = os.umask(0o027)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask, "a group may read it where the user's umask lets it"


def test_tensors_and_metadata_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    facts = {name: name for name in "abcdefgh"}
    written = set()
    for number in range(20):
        path = tmp_path / f"{number}.safetensors"
        artifacts.write_tensors(path, {"b": torch.ones(2), "a": torch.zeros(3)}, facts)
        written.add(path.read_bytes())
    assert len(written) == 1


KINDS = ("uint8", "int8", "bool", "int16", "uint16", "int32", "uint32", "int64", "uint64")
KINDS += ("float16", "bfloat16", "float32", "float64")


def in_parts(tensor: torch.Tensor, rows: int) -> artifacts.Pieces:
    parts = (tensor[start : start + rows] for start in range(0, len(tensor), rows))
    return artifacts.Pieces(tensor.dtype, tuple(tensor.shape), parts)


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 100])
def test_a_tensor_in_parts_is_written_as_in_one(tmp_path: Path, rows: int) -> None:
    images = torch.arange(7 * 3 * 5 * 5).to(torch.uint8).reshape(7, 3, 5, 5)
    rest = {"train": torch.arange(5), "labels": torch.arange(7), "test": torch.tensor([6])}
    facts = {"name": 'é " \\ \n \x01 \x7f', "description": {"mean": (0.1, 1e-9)}}
    artifacts.write_tensors(tmp_path / "whole", {"images": images, **rest}, facts)
    artifacts.stream_tensors(tmp_path / "parts", {"images": in_parts(images, rows), **rest}, facts)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    found, metadata = artifacts.read_tensors(tmp_path / "parts")
    assert torch.equal(found["images"], images)
    assert metadata == json.loads(json.dumps(facts))


@pytest.mark.parametrize("name", ["a", 'é\n"', "labels of an odd length"])
def test_every_kind_of_number_is_laid_out_as_safetensors_does(tmp_path: Path, name: str) -> None:
    tensors = {
        f"{name}{kind}{n}": torch.ones(n, 3, dtype=getattr(torch, kind)) for kind in KINDS for n in (2, 1)
    }
    tensors |= {
        "empty": torch.zeros(0, 4),
        "single": torch.tensor(2.5),
        "turned": torch.arange(6).view(2, 3).t(),
    }
    for number in range(1, len(tensors), 5):
        some = dict(list(tensors.items())[-number:])
        artifacts.write_tensors(tmp_path / "whole", some, {})
        artifacts.stream_tensors(tmp_path / "parts", some, {})
        assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([torch.zeros(2, 3)], "its parts have 2 rows, not 4"),
        ([torch.zeros(2, 3)] * 3, "its parts have 6 rows, not 4"),
        ([], "its parts have 0 rows, not 4"),
        ([torch.zeros(4, 2)], r"a part is torch\.float32 \(4, 2\)"),
        ([torch.zeros(4, 3, dtype=torch.int32)], r"a part is torch\.int32"),
    ],
)
def test_parts_that_do_not_make_the_tensor_are_refused(
    tmp_path: Path, parts: list[torch.Tensor], words: str
) -> None:
    pieces = artifacts.Pieces(torch.float32, (4, 3), parts)
    with pytest.raises(ValueError, match=words):
        artifacts.stream_tensors(tmp_path / "t", {"a": pieces}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_between_parts_leaves_nothing(tmp_path: Path) -> None:
    def parts() -> Iterator[torch.Tensor]:
        yield torch.zeros(2, 3)
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "t").write_text("old")
    with pytest.raises(ArtifactError, match="no room left"):
        artifacts.stream_tensors(tmp_path / "t", {"a": artifacts.Pieces(torch.float32, (4, 3), parts())}, {})
    assert (tmp_path / "t").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_verify_accepts_what_was_recorded(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    record(tmp_path, "a.bin")
    assert artifacts.verify(tmp_path / "a.bin") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of "abc", FIPS 180-2
    )


def test_own_record_goes_before_the_folders(tmp_path: Path) -> None:
    (tmp_path / "a.examples.bin").write_bytes(b"abc")
    record(tmp_path, "a.examples.bin")
    own = json.loads((tmp_path / "record.json").read_text())
    artifacts.write_json(tmp_path / "a.record.json", own)
    (tmp_path / "record.json").write_text("{}")
    artifacts.verify(tmp_path / "a.examples.bin")


@pytest.mark.parametrize(
    ("data", "words"), [(b"ab", "2 bytes"), (b"abcd", "4 bytes"), (b"abd", "SHA-256"), (b"", "0 bytes")]
)
def test_verify_refuses_what_changed(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    record(tmp_path, "a.bin")
    (tmp_path / "a.bin").write_bytes(data)
    with pytest.raises(ArtifactError, match=words):
        artifacts.verify(tmp_path / "a.bin")


def test_verify_refuses_a_file_that_its_record_does_not_list(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    record(tmp_path, "a.bin")
    (tmp_path / "b.bin").write_bytes(b"abc")
    with pytest.raises(ArtifactError, match=r"does not list b\.bin"):
        artifacts.verify(tmp_path / "b.bin")


GOOD = {"bytes": 3, "sha256": "0"}


@pytest.mark.parametrize(
    "damage",
    [
        *(3, None, [], "words", {"rule": []}, {"name": None}, {"inputs": []}, {"inputs": {"a": 1}}),
        *({"files": files} for files in ([], None, {"a.bin": "x"}, {"a.bin": None}, {"../a.bin": GOOD})),
        *({"files": {"b.bin": GOOD, "a.bin": {**GOOD, key: value}}} for key in GOOD for value in (None, 0.5, True)),
        *({"files": {"a.bin": {key: GOOD[key]}}} for key in GOOD),
    ],
)  # fmt: skip
def test_json_of_another_shape_is_a_damaged_record(damage: object, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    artifacts.write_json(tmp_path / "record.json", damage)
    with pytest.raises(
        ArtifactError, match=r"record\.json is damaged \(it is no record\). Delete it and run"
    ):
        artifacts.verify(tmp_path / "a.bin")


def test_a_record_of_endless_depth_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("[" * 100_000)
    with pytest.raises(ArtifactError, match=r"record\.json is damaged"):
        artifacts.read_record(tmp_path / "record.json")


def test_record_is_written_only_when_the_job_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    with pytest.raises(RuntimeError), provenance.recording(path, {"rule": "train"}) as run:
        run.wrote(tmp_path / "x").write_text("x")
        raise RuntimeError
    assert not path.exists()


def test_record_says_what_was_read_and_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.bin").write_bytes(b"abc")
    record(tmp_path / "in", "a.bin")
    with provenance.recording(tmp_path / "record.json", {"rule": "train", "seed": 3}, threads=2) as run:
        run.read(tmp_path / "in/a.bin")
        run.wrote(tmp_path / "out.bin").write_bytes(b"abc")
    found = artifacts.read_json(tmp_path / "record.json")
    assert found["inputs"] == {str(tmp_path / "in/a.bin"): artifacts.sha256(tmp_path / "in/a.bin")}
    assert found["files"] == {"out.bin": {"bytes": 3, "sha256": artifacts.sha256(tmp_path / "in/a.bin")}}
    assert (found["rule"], found["seed"], found["threads"]) == ("train", 3, 2)
    assert found["peak_memory_bytes"] > 1 << 20
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Give a checkout with one commit, in `tmp_path/ours`, by the git command that works on it."""
    ours = tmp_path / "ours"
    ours.mkdir()

    def git(*words: str) -> str:
        name = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", "-C", str(ours), *name, *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    (ours / "config.yaml").write_text("a: 1\n")
    shutil.copy(provenance.ROOT / ".gitattributes", ours)
    (ours / "src/reproof").mkdir(parents=True)
    shutil.copy(provenance.ROOT / "src/reproof/archived_commit.txt", ours / "src/reproof")
    git("add", "-A")
    git("commit", "-qm", "x")
    provenance.code.cache_clear()
    yield git
    provenance.code.cache_clear()


def test_commit_and_local_changes(checkout: Callable[..., str], tmp_path: Path) -> None:
    ours, head = tmp_path / "ours", checkout("rev-parse", "HEAD")
    (ours / "notes.txt").write_text("no code")
    assert provenance.code(ours) == provenance.Code(head, False)
    provenance.code.cache_clear()
    (ours / "config.yaml").write_text("a: 2\n")
    assert provenance.code(ours) == provenance.Code(head, True)


def test_commit_of_another_repository_around_it_is_not_ours(
    checkout: Callable[..., str], tmp_path: Path
) -> None:
    inside = tmp_path / "ours/unpacked"
    inside.mkdir()
    found = provenance.code(inside)
    assert (found.commit, found.dirty) == ("unknown", None)
    assert "neither a Git checkout" in found.why


def test_commit_of_an_archive_is_written_into_it(checkout: Callable[..., str], tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    checkout("archive", "-o", str(tmp_path / "a.tar"), "HEAD")
    subprocess.run(["tar", "-xf", str(tmp_path / "a.tar"), "-C", str(unpacked)], check=True)
    found = provenance.code(unpacked)
    assert (found.commit, found.dirty) == (checkout("rev-parse", "HEAD"), None)
    assert "archive" in found.why


def test_commit_is_unknown_and_says_why(
    checkout: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "ours"
    said = "fatal: detected dubious ownership in repository at '/ours'\nTo add an exception, call:"
    (tmp_path / "git").write_text(f'#!/bin/sh\necho "{said}" >&2\nexit 128\n')
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    dubious = provenance.Code("unknown", None, "detected dubious ownership in repository at '/ours'")
    assert provenance.code(ours) == dubious
    provenance.code.cache_clear()
    monkeypatch.setenv("PATH", str(ours))
    assert provenance.code(ours) == provenance.Code("unknown", None, "git is not installed")


def test_commit_is_ours_whatever_git_s_variables_say(
    checkout: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = checkout("rev-parse", "HEAD")
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", str(other)], check=True)
    for name, value in {"GIT_DIR": other / ".git", "GIT_WORK_TREE": other, "GIT_INDEX_FILE": "x"}.items():
        monkeypatch.setenv(name, str(value))
    assert provenance.code(tmp_path / "ours") == provenance.Code(head, False)


def test_tensors_that_share_memory_are_written_each(tmp_path: Path) -> None:
    """Two layers of a network may have one weight."""
    weight = torch.arange(6.0).reshape(2, 3)
    artifacts.write_tensors(
        tmp_path / "t.safetensors", {"a": weight, "b": weight, "c": weight.T, "d": weight[1]}, {}
    )
    found, _ = artifacts.read_tensors(tmp_path / "t.safetensors")
    assert torch.equal(found["a"], weight)
    assert torch.equal(found["b"], weight)
    assert torch.equal(found["c"], weight.T)
    assert torch.equal(found["d"], weight[1])
