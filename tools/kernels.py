"""How a kernel of the course is started: its variables and its arguments.

Needs nothing but the standard library, so that a server can read it at once.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KERNEL_FOLDER = ROOT / "_build" / "kernel"


def _load_numerics():
    """Load the package's module of that name, but not the package, hence MXNet."""
    path = ROOT / "d2l_rnn" / "_numerics.py"
    spec = importlib.util.spec_from_file_location("_numerics", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_numerics = _load_numerics()
obstacle = _numerics.obstacle

#: The variables that pin arithmetic, as far as this machine can follow them.
PINS = _numerics.pins()

#: "exact", "tolerant", or unset: exact wherever arithmetic can be pinned.
SWITCH = "D2L_RNN_NUMERICS"

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
    """Return the environment of a notebook's kernel, the same on every machine.

    Where a tolerant comparison is asked for, the caller's pins stand: so another
    machine can be simulated.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(_DROPPED)
    }
    pins = dict(PINS)
    if os.environ.get(SWITCH) == "tolerant":
        pins |= {name: os.environ[name] for name in PINS if name in os.environ}
    return (
        inherited
        | pins
        | {
            "D2L_RNN_PROGRESS": "0",
            "IPYTHONDIR": str(KERNEL_FOLDER / "ipython"),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "MPLCONFIGDIR": str(KERNEL_FOLDER / "matplotlib"),
            "PYTHONHASHSEED": "0",
        }
    )


_PROBE = """
import d2l_rnn
from mxnet import nd
nd.Activation(nd.ones(8), act_type="tanh").wait_to_read()
"""


def unheeded():
    """Ask the libraries which instruction sets they use; say where that is no pin."""
    loud = {"DNNL_VERBOSE": "1", "OPENBLAS_VERBOSE": "2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        env=kernel_environment() | loud,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        return f"d2l_rnn cannot be tried: {done.stdout[-500:]}"
    used = {
        "DNNL_MAX_CPU_ISA": re.findall(r"cpu,isa:(?:Intel )?(.*)", done.stdout),
        "OPENBLAS_CORETYPE": re.findall(r"Core: (\S+)", done.stdout),
    }
    for name, found in used.items():
        others = {isa.replace(".", "") for isa in found} - {PINS.get(name)}
        if others or not found:
            told = ", ".join(sorted(others)) or "nothing"
            return f"{name}={PINS.get(name)} is set, and the library says {told}"
    return None


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
