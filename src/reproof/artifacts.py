"""Files under results/: written whole or not at all, hashed into a record, verified before they are used."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from reproof.errors import ArtifactError

if TYPE_CHECKING:
    from torch import Tensor, dtype

_LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)\.part")
_FILE_NAME = re.compile(r"[^/\0\ud800-\udfff]+")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; it becomes `path` when the block ends well, else it is removed.

    Leftovers of killed jobs beside it are removed. ArtifactError names the remedy for a full disk or a
    folder that cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ArtifactError(_explain(path, error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _explain(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{path}: no room left on the disk. Free some space and run the same command again; nothing is lost."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path}: may not be written ({error.strerror}). Make {path.parent} writable and run again."
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return f"{path}: a file stands where a folder should be, or the reverse. Move it away and run again."
    return f"{path}: could not be written: {error}. Nothing half-written is kept; run the same command again."


def _sweep(path: Path) -> None:
    """Remove temporary files for `path` whose process is gone."""
    for entry in path.parent.iterdir():
        found = _LEFTOVER.fullmatch(entry.name)
        if found and found["name"] == path.name and not process_lives(int(found["pid"])):
            entry.unlink(missing_ok=True)


def process_lives(pid: int) -> bool:
    """Say whether a process with this number runs on this machine; one that ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # somebody else's
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # no Linux, or hidden
        return True
    state = told.rpartition(")")[2].split()[0]  # behind its name, which stands in brackets and may hold some
    return state not in ("Z", "X")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON with sorted keys, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the JSON in a file; ArtifactError when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing. Run snakemake again to make it.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is damaged ({error}). Delete it and run snakemake again.") from error


def read_record(path: Path) -> dict[str, Any]:
    """Return a record; ArtifactError when it is missing, damaged, or JSON of another shape than a record's."""
    record = read_json(path)
    if not isinstance(record, dict) or not _has_shape(record):
        raise ArtifactError(f"{path} is damaged (it is no record). Delete it and run snakemake again.")
    return record


def _has_shape(record: dict[str, Any]) -> bool:
    files, inputs = record.get("files", {}), record.get("inputs", {})
    return (
        all(isinstance(record.get(key, ""), str) for key in ("rule", "name", "digest"))
        and isinstance(inputs, dict)
        and all(isinstance(digest, str) for digest in inputs.values())
        and isinstance(files, dict)
        and all(
            _FILE_NAME.fullmatch(name)
            and isinstance(listed, dict)
            and type(listed.get("bytes")) is int
            and isinstance(listed.get("sha256"), str)
            for name, listed in files.items()
        )
    )


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors as safetensors; `metadata` travels as JSON in its header.

    All of it under one key: the header's keys come in another order at every writing.
    """
    from safetensors import SafetensorError

    header = {"reproof": json.dumps(metadata, sort_keys=True)}
    plain: dict[str, Tensor] = {}
    places: set[int] = set()
    for key, tensor in tensors.items():
        kept = tensor.detach().cpu().contiguous()
        place = kept.untyped_storage().data_ptr()
        plain[key] = kept.clone() if place in places else kept  # parameters that two layers share
        places.add(place)
    with writing(path) as temporary:
        try:
            save_readable(plain, temporary, header)
        except SafetensorError as error:
            number = re.search(
                r"os error (\d+)", str(error)
            )  # safetensors hides the system's error in its text
            raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error


def save_readable(tensors: dict[str, Tensor], path: Path, header: dict[str, str]) -> None:
    """Write a safetensors file that others may read as far as the user's umask lets them; the library's may not be."""
    from safetensors.torch import save_file

    path.touch()
    mode = path.stat().st_mode
    save_file(tensors, path, metadata=header)
    path.chmod(mode)


@dataclass(frozen=True)
class Pieces:
    """A tensor that may be larger than memory: it arrives in parts along its first axis."""

    dtype: dtype
    shape: tuple[int, ...]
    parts: Iterable[Tensor]


_CODES = {
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "float32": "F32",
    "uint32": "U32",
    "int32": "I32",
    "bfloat16": "BF16",
    "float16": "F16",
    "uint16": "U16",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
"""Names of number types in safetensors, in the order in which it lays tensors out; equal ones follow their names."""


def stream_tensors(path: Path, tensors: Mapping[str, Tensor | Pieces], metadata: Mapping[str, Any]) -> None:
    """Write the file that write_tensors would write, byte for byte, with one part at a time in memory.

    ValueError when the parts of a tensor do not add up to its shape.
    """
    kinds = list(_CODES)
    names = {key: str(tensor.dtype).removeprefix("torch.") for key, tensor in tensors.items()}
    ordered = sorted(tensors, key=lambda key: (kinds.index(names[key]), key))
    header: dict[str, Any] = {"__metadata__": {"reproof": json.dumps(metadata, sort_keys=True)}}
    end = 0
    for key in ordered:
        start, shape = end, list(tensors[key].shape)
        end += math.prod(shape) * tensors[key].dtype.itemsize
        header[key] = {"dtype": _CODES[names[key]], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with writing(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for key in ordered:
            _stream(file, key, tensors[key])


def _stream(file: BinaryIO, key: str, tensor: Tensor | Pieces) -> None:
    import torch

    parts = tensor.parts if isinstance(tensor, Pieces) else (tensor[None],)
    shape = tensor.shape if isinstance(tensor, Pieces) else (1, *tensor.shape)
    rows = 0
    for part in parts:
        if part.dtype != tensor.dtype or part.shape[1:] != tuple(shape[1:]):
            raise ValueError(f"{key}: a part is {part.dtype} {tuple(part.shape)}, not {tensor.dtype} {shape}")
        rows += len(part)
        plain = part.detach().cpu().contiguous().reshape(-1)
        file.write(plain.view(torch.uint8).numpy().data)
    if rows != shape[0]:
        raise ValueError(f"{key}: its parts have {rows} rows, not {shape[0]}")


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the metadata of a safetensors file that has been verified."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})["reproof"])
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, metadata
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}). Delete it and run snakemake again.") from error


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing. Run snakemake again to make it.") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error}).") from error


def record_path(artifact: Path) -> Path:
    """Return the record of an artifact: `{first part of the name}.record.json`, or the folder's `record.json`."""
    own = artifact.with_name(f"{artifact.name.split('.')[0]}.record.json")
    return own if own.exists() else artifact.with_name("record.json")


def verify(artifact: Path, record: Path | None = None) -> str:
    """Return the artifact's SHA-256 after comparing it with its record, or with another one that is to list it.

    ArtifactError, with the remedy, when the file or its record is missing, truncated or was edited.
    """
    path = record or record_path(artifact)
    if not artifact.exists():
        raise ArtifactError(f"{artifact} is missing. Delete {path} too and run snakemake again to make both.")
    if not path.exists():
        raise ArtifactError(
            f"{artifact} has no record ({path} is missing), so nothing says how it was made. "
            f"Delete it (rm {artifact}) and run snakemake again."
        )
    listed = read_record(path).get("files", {}).get(artifact.name)
    if listed is None:
        raise ArtifactError(f"{path} does not list {artifact.name}. Delete both and run snakemake again.")
    size = artifact.stat().st_size
    if size != listed["bytes"]:
        raise ArtifactError(
            f"{artifact} has {size} bytes, its record says {listed['bytes']}: it was truncated or edited. "
            f"Delete it (rm {artifact}) and run snakemake again; it will be made anew."
        )
    digest = sha256(artifact)
    if digest != listed["sha256"]:
        raise ArtifactError(
            f"{artifact} is not the file that was recorded (its SHA-256 differs): it was edited or damaged. "
            f"Delete it (rm {artifact}) and run snakemake again; it will be made anew."
        )
    return digest
