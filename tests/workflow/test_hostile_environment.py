"""Whatever a user's environment is set to, the tables and figures have the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from project import Project

VARIABLES = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "MATPLOTLIBRC": "/nowhere/matplotlibrc",
    "MPLCONFIGDIR": "/nowhere",
    "GIT_DIR": "/nowhere/.git",
    "GIT_WORK_TREE": "/nowhere",
    "PYTHONOPTIMIZE": "2",
    "PYTHONSTARTUP": "/nowhere/startup.py",
    "PYTHONHASHSEED": "7",
    "PYTHONIOENCODING": "latin-1",
    "OMP_NUM_THREADS": "7",
    "OMP_DYNAMIC": "TRUE",
    "MKL_CBWR": "COMPATIBLE",
    "CUDA_VISIBLE_DEVICES": "",
    "CUDA_LAUNCH_BLOCKING": "1",
    "TORCH_LOGS": "+all",
    "LC_ALL": "tr_TR.ISO-8859-9",
    "LANG": "tr_TR.ISO-8859-9",
    "XDG_DATA_HOME": "/nowhere",
    "TMPDIR": "/nowhere",
    "HOME": "/proc",  # in which not even root can make a folder
    "BASH_ENV": "/nowhere",
    "CDPATH": "/",
}
MATPLOTLIBRC = "font.size: 30\naxes.grid: True\nlines.linewidth: 9\nsvg.fonttype: path\n"


@pytest.mark.release
def test_no_setting_of_the_user_s_is_in_a_result(
    finished: Project, fresh: Callable[..., Project], tmp_path: Path
) -> None:
    site = tmp_path / "site"
    (site / "matplotlib").mkdir(parents=True)
    (site / "sitecustomize.py").write_text("import os\nos.environ['MPLBACKEND'] = 'none'\n")
    (site / "matplotlib/matplotlibrc").write_text(MATPLOTLIBRC)
    folders = {
        "PYTHONPATH": site,
        "XDG_CONFIG_HOME": site,
        "XDG_CACHE_HOME": tmp_path,
    }  # Snakemake needs the last
    project = fresh(environment=VARIABLES | {name: str(path) for name, path in folders.items()})
    (project.path / "matplotlibrc").write_text(MATPLOTLIBRC)
    project.cold().make()  # so that the driver's own start meets them too
    assert project.tables() == finished.tables()
    for figure in sorted((finished.path / "results/tiny/figures").glob("*.svg")):
        again = project.path / figure.relative_to(finished.path)
        assert again.read_bytes() == figure.read_bytes(), figure.name
