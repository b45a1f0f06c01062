"""The warm process of one driver: it imports what jobs need and reads the plan once; jobs are its forks.

It may only import and plan. Forks of a process that ever ran a parallel region hang, those of one that touched a GPU
cannot use it, and of its threads a fork has none: once it has more than one, jobs start by themselves.

A fork has the job's own standard streams, environment, umask, limits and process group, so that signals, logs and
exit status are what they are without it. It ends when the process that asked (reproof.warm_client) is gone. The warm
process ends with its driver, however that ends, and when code or study are not what it has read: the next job starts
another one.

It stays in its driver's process group, deaf to interrupts. From another group of the session, the end of a fork would
hang up a driver that is halted: the kernel takes its group for one that nobody can wake any more.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import resource
import select
import shlex
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from reproof import artifacts, plugin_folders, surroundings
from reproof.warm_client import GO, LISTENER, driver

if TYPE_CHECKING:
    from reproof.plan.jobs import Plan

COLD = b"c"
"""Answer to a job that has to start by itself."""
PACKAGE = Path(__file__).parent
SECONDS = 10.0
"""So long is waited for what a job asks: it comes at once, or the job was killed."""
OWN_VARIABLES = frozenset({"_", "SHLVL", "PWD", "OLDPWD"})
"""Environment variables that a job may have otherwise than this process: no library reads them while it is loaded."""
FORKED_THREADS = ("jemalloc_bg_thd",)
"""Threads that stop around a fork and start again on both sides: that of jemalloc, pyarrow's allocator."""


@dataclass(frozen=True)
class Request:
    """What a job inherits from the process that asks for it."""

    executable: str
    folder: str
    umask: int
    arguments: list[str]
    environment: dict[str, str]
    streams: list[int]
    """Its standard input, output and error, as descriptors of this process."""
    process: int
    """The number of the process that asks."""


class WarmProcess:
    """What was imported and planned for the jobs of one study, and whether it still holds."""

    def __init__(self) -> None:
        self.folder, self.environment = str(Path.cwd()), inherited(os.environ)
        surroundings.clear()
        self.paths = [PACKAGE, PACKAGE.parents[1] / "reference"]
        read = stamps(self.paths)
        from reproof import arguments, cli
        from reproof.plan.jobs import Plan

        chosen = arguments.parser().parse_args(["plan", *shlex.split(os.environ.get(cli.STUDY, ""))])
        files = [Path("config.yaml"), *chosen.configfile]
        self.paths += files
        self.read = read | stamps(files)
        self.plan = Plan(cli.load_study(chosen.configfile, chosen.config))
        own = self.plan.own_files
        self.paths += own
        self.read |= stamps(own)

    def is_current(self) -> bool:
        """Say whether code and study are what they were before they were read."""
        return stamps(self.paths) == self.read

    def is_ready(self, request: Request) -> bool:
        """Import what a job and its like need; say whether a fork would do what the job does that starts by itself.

        What is wrong with a job makes it start by itself, and say so.
        """
        from reproof import arguments, cli
        from reproof.plan.model_jobs import IMPORTED_LATE

        same = (request.executable, request.folder) == (sys.executable, self.folder)
        if not same or inherited(request.environment) != self.environment:
            return False
        try:
            chosen = arguments.parser().parse_args(request.arguments)
            job = cli.find(self.plan, chosen.command, chosen.output)
            if chosen.configfile or chosen.config or chosen.expect != job.expectation:
                return False
            for module in (*job.modules, IMPORTED_LATE.get(job.rule, "reproof")):
                plugin_folders.import_plug_in(module)
                importlib.import_module(module)
        except (Exception, SystemExit):
            return False
        return len(threads()) == 1

    def serve(self, channel: socket.socket) -> None:
        """Answer a job: a fork does it, or it starts by itself."""
        channel.settimeout(SECONDS)
        try:
            request = receive(channel)
        except (OSError, ValueError):
            return
        if self.is_ready(request):
            gc.freeze()
            if os.fork() == 0:
                do(request, channel, self.plan)
        else:
            refuse(channel)
        close(request.streams)


def main(path: str) -> None:
    """Serve the jobs that ask at a path until their driver is gone, or what was read is no longer so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.closerange(LISTENER + 1, os.sysconf("SC_OPEN_MAX"))
    snakemake = driver()
    assert snakemake is not None
    with socket.socket(fileno=LISTENER) as listener:
        listener.setblocking(False)
        try:
            warm: WarmProcess | None = WarmProcess()
        except Exception:
            warm = None  # every job starts by itself, and says what is wrong
        try:
            while artifacts.process_lives(snakemake):
                asked = select.select([listener], [], [], 0.5)[0]
                with contextlib.suppress(ChildProcessError):
                    while os.waitpid(-1, os.WNOHANG)[0]:
                        pass
                if not asked:
                    continue
                channel, _ = listener.accept()
                with channel:
                    if warm is None:
                        refuse(channel)
                    elif warm.is_current():
                        warm.serve(channel)
                    else:
                        break
        finally:
            Path(path).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                Path(path).parent.rmdir()


def receive(channel: socket.socket) -> Request:
    """Return what is asked; OSError or ValueError where it is not asked whole, or by another user."""
    process, user, _ = struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    head, streams, _, _ = socket.recv_fds(channel, 8, 3)
    try:
        if user != os.getuid() or len(streams) != 3:
            raise PermissionError(f"asked by user {user}")
        message, size = bytearray(), int.from_bytes(head, "big")
        while len(message) < size:
            part = channel.recv(size - len(message))
            if not part:
                raise ConnectionError("the job was killed")
            message += part
        executable, folder, umask, count, *words = os.fsdecode(bytes(message)).split("\0")
        arguments, variables = words[: int(count)], words[int(count) :]
        environment = dict(variable.split("=", 1) for variable in variables)
        return Request(executable, folder, int(umask, 8), arguments, environment, streams, process)
    except BaseException:
        close(streams)
        raise


def close(descriptors: Sequence[int]) -> None:
    """Close file descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


def threads() -> list[str]:
    """Return the names of this process's threads, but for those that care for forks themselves."""
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    return [name for name in names if name not in FORKED_THREADS]


def refuse(channel: socket.socket) -> None:
    """Tell a job, if it is still there, to start by itself."""
    with contextlib.suppress(OSError):
        channel.sendall(COLD)


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that a fork and a job that starts by itself must have alike."""
    return {key: value for key, value in environment.items() if key not in OWN_VARIABLES}


def stamps(paths: Iterable[Path]) -> dict[str, tuple[int, ...]]:
    """Return what tells an edited file from the same one, for files and for all files in folders."""
    found: dict[str, tuple[int, ...]] = {}
    todo = [os.fspath(path) for path in paths]
    while todo:
        path = todo.pop()
        try:
            with os.scandir(path) as entries:
                todo += [entry.path for entry in entries if entry.name != "__pycache__"]
        except NotADirectoryError:
            now = Path(path).stat()
            found[path] = (now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
        except FileNotFoundError:
            continue
    return found


def do(request: Request, channel: socket.socket, plan: Plan) -> NoReturn:
    """Do a job in this fork, tell its exit status to the process that asked, and end."""
    status = 1
    try:
        try:
            inherit(request)
        except (OSError, ValueError):
            refuse(channel)
            os._exit(0)
        channel.settimeout(None)
        channel.sendall(GO)
        threading.Thread(target=_end_with, args=(channel,), daemon=True, name="client-watch").start()
        from reproof import cli

        status = cli.main(request.arguments, plan)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        with contextlib.suppress(OSError):
            channel.sendall(str(status).encode())
        os._exit(status)


def inherit(request: Request) -> None:
    """Become what the process that asked has started: its group, limits, umask, environment and standard streams.

    OSError or ValueError where that is not allowed, or the process is gone.
    """
    os.close(LISTENER)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setpgid(0, os.getpgid(request.process))
    for name in dir(resource):
        if name.startswith("RLIMIT_"):
            limit = getattr(resource, name)
            resource.setrlimit(limit, resource.prlimit(request.process, limit))
    os.umask(request.umask)
    os.environ.update(request.environment)
    surroundings.clear()
    sys.argv[1:] = request.arguments
    for number, stream in enumerate(request.streams):
        os.dup2(stream, number)
    close(request.streams)


def _end_with(channel: socket.socket) -> NoReturn:
    """End this process at once when the one that asked is gone: nobody waits for the job any more."""
    with contextlib.suppress(OSError):
        channel.recv(1)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
