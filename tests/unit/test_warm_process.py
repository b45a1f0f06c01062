"""What the warm process may and may not do, and what its forks inherit; whole jobs: tests/workflow/test_warm_jobs.py."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reproof import plugin_folders, snakemake_driver, warm_client, warm_process
from tests.ours import needs

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}

ONLY_IMPORTS = """
import os, sys
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from reproof import warm_process
from reproof.warm_client import RULES

class Forbidden(TorchDispatchMode):
    def __torch_dispatch__(self, function, *others):
        raise AssertionError(f"{function} was run")

def refuse(name):
    raise AssertionError(f"{name} was called")

for place, names in ((torch.cuda, ("init", "_lazy_init", "is_available", "device_count", "set_device")),
                     (torch._C, ("_cuda_init", "_cuda_getDeviceCount"))):
    for name in names:
        setattr(place, name, lambda *arguments, name=name: refuse(name))
environment = dict(os.environ)
with Forbidden():
    warm = warm_process.WarmProcess()
    for rule in RULES:
        for job in warm.plan.jobs([rule]):
            arguments = [rule, next(iter(job.outputs.values())), "--expect", job.expectation]
            asked = warm_process.Request(sys.executable, os.getcwd(), 0, arguments, environment, [], 0)
            assert warm.is_ready(asked), job
assert "torch._dynamo" in sys.modules
assert len(warm_process.threads()) == 1
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
torch.set_num_threads(2)
images = torch.rand(64, 8, 32, 32, requires_grad=True)
torch.nn.functional.conv2d(images, torch.rand(16, 8, 3, 3)).square().sum().backward()
os._exit(0)
"""


@needs("architectures/file", "datasets/arrays")
def test_a_file_of_the_user_s_that_changes_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, code, images, plug-ins: what it has read of them is not what a job must do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPROOF_STUDY", raising=False)
    text = (ROOT / "studies/own_model.yaml").read_text(encoding="utf-8")
    Path("config.yaml").write_text(text.replace("alone: true", "plugins: [mine]"), encoding="utf-8")
    Path("studies/own").mkdir(parents=True)
    Path("mine/attacks").mkdir(parents=True)
    shutil.copy(ROOT / "studies/own/network.py", "studies/own/network.py")
    for name in ("weights.pt", "test.npz"):
        Path("studies/own", name).write_bytes(b"x")
    for change in (
        "studies/own/weights.pt",
        "studies/own/test.npz",
        "studies/own/network.py",
        "mine/attacks/a.py",
    ):
        warm = warm_process.WarmProcess()
        assert warm.is_current()
        with Path(change).open("ab") as file:
            file.write(b"# other\n")
        assert not warm.is_current(), change
    plugin_folders.use(())


def test_it_only_imports() -> None:
    """All jobs of the default study: no operation of torch, no GPU, no thread; its forks compute on two threads."""
    done = subprocess.run(
        [sys.executable, "-c", ONLY_IMPORTS],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_its_client_imports_next_to_nothing() -> None:
    code = "import sys; before = {*sys.modules}; import reproof.warm_client; print(*{*sys.modules} - before)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    light = {"reproof", "reproof.warm_client", "_socket", "binascii", "__future__"}
    assert "reproof.warm_client" in done.stdout.split()
    assert {*done.stdout.split()} <= light


INHERITS = """
import json, os, resource, sys
from reproof.warm_process import Request, inherit

client, stream = map(int, sys.argv[1:])
os.dup2(stream, 3)
environment = {**os.environ, "REPROOF_TOLD": "yes", "UNLISTED": "x"}
asked = Request("", "", 0o027, ["train", "x"], environment, [os.dup(stream) for _ in range(3)], client)
inherit(asked)
umask = os.umask(0)
print(json.dumps([umask, os.environ["REPROOF_TOLD"] + os.environ.get("UNLISTED", ""), sys.argv[1:], os.getpgid(0), resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""


def test_a_fork_inherits_what_the_job_has() -> None:
    """Its standard output too: what the script prints arrives in a pipe of the job's."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, process_group=0
    ) as client:
        resource.prlimit(client.pid, resource.RLIMIT_NOFILE, (123, 456))
        reading, writing = os.pipe()
        subprocess.run(
            [sys.executable, "-c", INHERITS, str(client.pid), str(writing)],
            env=ENVIRONMENT,
            pass_fds=[writing],
            check=True,
        )
        os.close(writing)
        with os.fdopen(reading) as told:
            assert json.load(told) == [0o027, "yes", ["train", "x"], client.pid, [123, 456]]
        client.kill()


def message(*words: str) -> bytes:
    return "\0".join(words).encode()


def asked(*sent: bytes, streams: int = 3) -> warm_process.Request:
    """Return what a warm process makes of what one end of a connection sends before it closes."""
    ours, other = socket.socketpair()
    with ours:
        with other:
            socket.send_fds(other, [sent[0]], [2] * streams)
            for part in sent[1:]:
                other.sendall(part)
        return warm_process.receive(ours)


def test_a_request_arrives_whole_or_not_at_all() -> None:
    whole = message("python", "folder", "22", "2", "train", "a b", "A=1", "B=x=\n y")
    head = len(whole).to_bytes(8, "big")
    found = asked(head, whole[:10], whole[10:])
    assert (found.executable, found.folder, found.umask) == ("python", "folder", 0o22)
    assert (found.arguments, found.environment) == (["train", "a b"], {"A": "1", "B": "x=\n y"})
    assert (found.process, len(found.streams)) == (os.getpid(), 3)
    warm_process.close(found.streams)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for wrong in ((head, whole[:-5]), (head,), ((3).to_bytes(8, "big"), b"a\0b")):
        with pytest.raises((OSError, ValueError)):
            asked(*wrong)
    with pytest.raises(OSError, match="user"):
        asked(head, whole, streams=2)
    assert len(list(Path("/proc/self/fd").iterdir())) == before, "nothing of what was refused stays open"


def test_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = message("python", "folder", "22", "0")
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    with pytest.raises(PermissionError, match=f"user {mine}"):
        asked(len(whole).to_bytes(8, "big"), whole)


def test_every_edit_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "__pycache__").mkdir()
    file, single = tmp_path / "a/b.py", tmp_path.with_name("single.yaml")
    file.write_text("1")
    single.write_text("1")
    seen = [warm_process.stamps([tmp_path, single])]

    def now() -> dict[str, tuple[int, ...]]:
        seen.append(warm_process.stamps([tmp_path, single]))
        return seen[-1]

    (tmp_path / "__pycache__/b.pyc").write_text("cache")
    assert now() == seen[-2]
    times = file.stat()
    file.write_text("2")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert now() != seen[-2], "same size, same time of writing"
    (tmp_path / "a/new.py").write_text("")
    assert now() != seen[-2]
    (tmp_path / "a/new.py").unlink()
    assert now() == seen[-3]
    single.write_text("22")
    assert now() != seen[-2]
    single.unlink()
    assert now() != seen[-2]


@pytest.mark.parametrize(("temporary", "main", "off", "place"), [
    ("/tmp", True, "", "/tmp"),
    ("/tmp/" + "deep/" * 30, True, "", "/tmp"),
    ("/nowhere", True, "", "/tmp"),
    ("/tmp", True, "0", None),
    ("/tmp", False, "", None),
])  # fmt: skip
def test_where_a_driver_has_its_jobs_ask(
    temporary: str, main: bool, off: str, place: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nowhere for a job on a cluster, which reads the Snakefile too, and for a user who wants none."""
    for name in (warm_client.WARM, warm_client.DRIVER, "REPROOF_STUDY", "PATH"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setenv(warm_client.WARM, off)
    monkeypatch.setattr("tempfile.gettempdir", lambda: temporary)
    for name in ("_hold", "_compare_records", "speak"):
        monkeypatch.setattr(snakemake_driver, name, lambda *_: None)
    settings = SimpleNamespace(deployment_method=set())
    plan: Any = SimpleNamespace(study=SimpleNamespace(arguments=()), folder="results/tiny")
    snakemake_driver.prepare(SimpleNamespace(is_main_process=main, deployment_settings=settings), plan)
    found = os.environ[warm_client.WARM]
    if place is None:
        assert found == "0"
    else:
        assert Path(found).parent == Path(place)
        assert not Path(found).exists()
        assert snakemake_driver.warm_folder() != found, "nobody can know it before"


def test_a_job_asks_only_where_it_may(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried: list[str] = []

    def connect(path: str) -> Any:
        tried.append(path)
        raise ConnectionRefusedError

    monkeypatch.setattr(warm_client, "_connect", connect)
    here = {
        warm_client.WARM: str(tmp_path / "w"),
        warm_client.DRIVER: f"{socket.gethostname()}:1",
        "OMP_NUM_THREADS": "1",
    }
    for changed in (
        {},
        {warm_client.WARM: "0"},
        {warm_client.DRIVER: "elsewhere:1"},
        {"OMP_NUM_THREADS": "2"},
    ):
        for key, value in {**here, **changed}.items():
            monkeypatch.setenv(key, value)
        assert warm_client.ask(["train", "x"]) is None
        assert warm_client.ask(["plan"]) is None
        assert warm_client.ask([]) is None
    assert len(tried) == 1
    assert Path(tried[0]).parent == tmp_path / "w"
