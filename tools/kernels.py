"""How a kernel of the course is started: its variables and its arguments.

Needs nothing but the standard library, so that a server can read it at once.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KERNEL_FOLDER = ROOT / "_build" / "kernel"


def _load_pins():
    """Read the package's pins without importing the package, hence MXNet."""
    path = ROOT / "d2l_rnn" / "_numerics.py"
    spec = importlib.util.spec_from_file_location("_numerics", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.PINS)


PINS = _load_pins()

#: Variables of the caller that could change an output, or hide one: ipykernel
#: does not watch the C libraries' stderr where it finds PYTEST_CURRENT_TEST.
_DROPPED = (
    "DNNL_",
    "IPYTHON",
    "KMP_",
    "MKL_",
    "MPL",
    "MXNET_",
    "NPY_",
    "OMP_",
    "OPENBLAS_",
)
_DROPPED += ("PYTEST_", "PYTHON")
_KEPT = {"PYTHONHOME", "PYTHONPATH"}


def kernel_environment():
    """Return the environment of a notebook's kernel, the same on every machine."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(_DROPPED)
    }
    return (
        inherited
        | PINS
        | {
            "D2L_RNN_PROGRESS": "0",
            "IPYTHONDIR": str(KERNEL_FOLDER / "ipython"),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "MPLCONFIGDIR": str(KERNEL_FOLDER / "matplotlib"),
            "PYTHONHASHSEED": "0",
        }
    )


#: No history file, which kernels that run at once would share.
KERNEL_ARGUMENTS = ["--HistoryManager.hist_file=:memory:"]


def prepare_kernels():
    """Build Matplotlib's list of fonts, or the first figure says so on stderr."""
    if any((KERNEL_FOLDER / "matplotlib").glob("fontlist-*.json")):
        return
    (KERNEL_FOLDER / "matplotlib").mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-c", "import matplotlib.font_manager"],
        env=kernel_environment() | {"MPLBACKEND": "agg"},
        stderr=subprocess.DEVNULL,
        check=True,
    )
