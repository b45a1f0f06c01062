"""Ask the driver's warm process for a fork that does this job: that spares the start of Python and torch.

One warm process serves one driver and one Python (reproof.warm_process); the first job that needs it starts it.
Whatever is not as it should be makes the job start by itself, as it does on a cluster, with `REPROOF_WARM=0` and by
hand. Imports no more than a start of Python has read anyway: a job waits for this, and every job pays for it.
"""
# Pathlib alone would take a third of the time that a job waits for this.
# ruff: noqa: PTH102, PTH108, PTH109

from __future__ import annotations

import _socket
import os
import stat
import sys
from binascii import crc32

DRIVER = "REPROOF_DRIVER"
"""Environment variable `host:pid` of the Snakemake that started a job; the job ends when it is gone."""
WARM = "REPROOF_WARM"
"""Environment variable with the folder of a driver's warm processes; `0` where each job starts by itself."""
LISTENER = 3
"""File descriptor on which a warm process is asked."""
RULES = ("prepare", "train", "load", "assemble", "attack", "evaluate", "surface")
"""The rules of many jobs. The others have one each, and torch no place in them."""
GO = b"g"
"""Answer of a fork that does the job; its exit status in digits follows. Any other answer: start by yourself."""
KILLED = 137


def driver() -> int | None:
    """Return the process number of the Snakemake on this machine that started this job, if one did."""
    host, _, pid = os.environ.get(DRIVER, "").partition(":")
    return int(pid) if host == _socket.gethostname() and pid.isdigit() else None


def ask(arguments: list[str]) -> int | None:
    """Have a warm process do a job; return its exit status, or None where the job has to start by itself.

    Libraries read the number of threads while they are loaded, and a process with threads cannot be forked: a job
    of more than one thread starts by itself.
    """
    folder = os.environ.get(WARM, "0")
    threads = os.environ.get("OMP_NUM_THREADS")
    if folder == "0" or driver() is None or threads != "1" or not arguments or arguments[0] not in RULES:
        return None
    try:
        channel = _connect(f"{_private(folder)}/{crc32(os.fsencode(sys.executable)):08x}")
        _send(channel, arguments)
        if channel.recv(1) != GO:
            return None
    except OSError:
        return None
    status = _wait(channel)
    if not status:
        print("reproof: the job's process was killed, perhaps because memory ran out", file=sys.stderr)
    return int(status or KILLED)


def _private(folder: str) -> str:
    """Make a folder that only this user can enter; PermissionError where there is another one in its place."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise PermissionError(folder) from None
    return folder


def _connect(path: str) -> _socket.socket:
    """Return a connection to the warm process at a path, which is started where there is none.

    ConnectionRefusedError where it was killed: what killed it may do so again.
    """
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        channel.connect(path)
    except FileNotFoundError:
        _start(path)
        channel.connect(path)
    return channel


def _start(path: str) -> None:
    """Start a warm process that listens at a path, unless another job has done so meanwhile.

    The socket listens before it has this name, so that whoever finds it is heard; what is asked while the new process
    imports is answered afterwards.
    """
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    own = f"{path}.{os.getpid()}"
    listener.bind(own)
    try:
        listener.listen(128)
        os.link(own, path)
    except FileExistsError:
        return
    finally:
        os.unlink(own)
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "reproof.warm_process", path],
        os.environ,
        file_actions=[
            *((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)),
            (os.POSIX_SPAWN_DUP2, listener.fileno(), LISTENER),
        ],
    )
    listener.close()


def _send(channel: _socket.socket, arguments: list[str]) -> None:
    """Send what a job inherits: standard streams, working directory, umask, arguments, environment."""
    umask = os.umask(0o077)
    os.umask(umask)
    environment = [f"{key}={value}" for key, value in os.environ.items()]
    words = [sys.executable, os.getcwd(), f"{umask:o}", str(len(arguments)), *arguments, *environment]
    message = os.fsencode("\0".join(words))
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
    channel.sendmsg([len(message).to_bytes(8, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
    channel.sendall(message)


def _wait(channel: _socket.socket) -> bytes:
    """Return the exit status that the fork sends last; empty when it was killed.

    An interrupt from the keyboard meets the fork too, which stands in this process's group, and ends it in order.
    """
    status = b""
    while True:
        try:
            part = channel.recv(16)
        except KeyboardInterrupt:
            continue
        except OSError:
            return b""
        if not part:
            return status
        status += part
