"""A Python that has imported the libraries and none of our code: what tests run as a command is a fork of it.

That spares each command the start of Python, torch and Snakemake, most of what a small one takes. The fork gets the
command's own folder, environment and module path, so that it imports the project it stands in.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

LIBRARIES = (
    *(
        "torch",
        "torch._dynamo",
        "foolbox",
        "pyautoattack",
        "safetensors.torch",
        "sklearn.datasets",
        "scipy.stats",
    ),
    *("pandas", "pyarrow.parquet", "jinja2", "yaml", "pydantic", "matplotlib.figure", "snakemake.cli"),
)


@functools.cache
def _server() -> subprocess.Popen[str]:
    """Start the Python of this test process; it ends with it."""
    server = subprocess.Popen(
        [sys.executable, __file__],
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)
    return server


def run(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Do what Python with these arguments, `-m MODULE ...` or `-c CODE`, does in a folder and environment."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as place:
        printed = [Path(place) / name for name in ("out", "err")]
        asked = {
            "arguments": list(arguments),
            "folder": os.fspath(folder),
            "environment": dict(environment),
            "printed": list(map(os.fspath, printed)),
        }
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        out, err = (path.read_text(encoding="utf-8") for path in printed)
    return subprocess.CompletedProcess(list(arguments), status, out, err)


def _become(folder: str, environment: Mapping[str, str], printed: Sequence[str]) -> None:
    """Be in the command's place: its folder, environment, standard streams and module path."""
    for stream, path in ((0, os.devnull), (1, printed[0]), (2, printed[1])):
        opened = os.open(path, os.O_RDONLY if stream == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, stream)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    sys.path[:1] = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]


def _do(arguments: Sequence[str]) -> int:
    """Run a command to its end and return its exit status. What was imported is not taken apart: that takes long."""
    sys.argv = list(arguments[1:])
    status = 0
    try:
        if arguments[0] == "-m":
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def main() -> None:
    """Serve what is asked, one command after the other."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for library in LIBRARIES:
            importlib.import_module(library)
    gc.freeze()
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            _become(asked["folder"], asked["environment"], asked["printed"])
            os._exit(_do(asked["arguments"]))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
