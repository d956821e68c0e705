"""Importing the package pins the numerics first, or says why it cannot work."""

import ast
import builtins
import json
import os
import platform
import subprocess
import sys
import types
from pathlib import Path

import d2l_rnn
from d2l_rnn import _numerics

import mxnet
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PINNED = {name: os.environ.get(name) for name in _numerics.PINS}

# A stand-in for MXNet that notes what it finds when it is loaded.
NOTES = """
import json, os, numpy
names = "bool int float object complex str".split()
print(json.dumps({
    "environ": {k: os.environ.get(k) for k in %r},
    "names": [n for n in names if n not in numpy.__dict__],
}))
nd = None
"""


def run(code, tmp_path, *, mxnet=None, numpy=None, **environ):
    """Run code in a new Python with stand-ins for MXNet and NumPy, no pins set."""
    for name, source in (("mxnet", mxnet), ("numpy", numpy)):
        if source is not None:
            (tmp_path / f"{name}.py").write_text(source)
    env = {k: v for k, v in os.environ.items() if k not in _numerics.PINS}
    done = subprocess.run(
        # NumPy warns of instruction sets that this machine has not anyway.
        [sys.executable, "-W", "error", "-W", "ignore::ImportWarning", "-c", code],
        env=env | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"} | environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr.strip()


def last_line(output):
    return output.splitlines()[-1]


def test_numerics_are_pinned_and_names_restored_before_mxnet_loads(tmp_path):
    notes = NOTES % list(_numerics.PINS)
    status, output, error = run("import d2l_rnn", tmp_path, mxnet=notes)
    assert (status, error) == (0, "")
    found = json.loads(output)
    assert found["names"] == []
    assert found["environ"] == {
        "DNNL_MAX_CPU_ISA": "AVX2",
        "NPY_DISABLE_CPU_FEATURES": (
            "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"
        ),
        "OPENBLAS_CORETYPE": "Haswell",
        "OMP_NUM_THREADS": "1",
    }


@pytest.mark.parametrize(
    "machine",
    [
        "import platform; platform.machine = lambda: 'aarch64'",
        "import pathlib; pathlib.Path.read_text = lambda path: 'flags: sse4_1 avx fma'",
        "import pathlib; pathlib.Path.exists = lambda path: False",
    ],
)
def test_without_avx2_only_the_number_of_threads_is_pinned(tmp_path, machine):
    """OpenBLAS would believe that there is AVX2, and crash."""
    notes = NOTES % list(_numerics.PINS)
    code = f"{machine}; import d2l_rnn"
    status, output, error = run(code, tmp_path, mxnet=notes)
    assert (status, error) == (0, "")
    assert json.loads(output)["environ"] == dict.fromkeys(_numerics.PINS) | {
        "OMP_NUM_THREADS": "1"
    }


@pytest.mark.parametrize(
    ("machine", "flags", "words"),
    [
        ("x86_64", "fpu sse4_1 avx avx2 fma", None),
        ("AMD64", "fpu sse4_1 avx avx2 fma", None),
        ("x86_64", "fpu sse4_1 avx fma", "no AVX2"),
        ("x86_64", "fpu sse4_1 avx avx2", "no AVX2"),
        ("aarch64", "fp asimd", "aarch64, not x86-64"),
        ("x86_64", None, "does not say"),
    ],
)
def test_machines_that_cannot_follow_the_pins(
    tmp_path, monkeypatch, machine, flags, words
):
    cpuinfo = tmp_path / "cpuinfo"
    if flags:
        cpuinfo.write_text(f"processor: 0\nflags: {flags}\n")
    monkeypatch.setattr(_numerics, "_CPUINFO", cpuinfo)
    monkeypatch.setattr(_numerics.platform, "machine", lambda: machine)
    if words:
        assert words in _numerics.obstacle()
        assert _numerics.pins() == {"OMP_NUM_THREADS": "1"}
    else:
        assert _numerics.obstacle() is None
        assert _numerics.pins() == _numerics.PINS


def test_what_the_reader_set_is_left_alone(tmp_path):
    notes = NOTES % list(_numerics.PINS)
    _, output, _ = run("import d2l_rnn", tmp_path, mxnet=notes, OMP_NUM_THREADS="2")
    assert json.loads(output)["environ"] == _numerics.PINS | {"OMP_NUM_THREADS": "2"}


def test_mxnet_imported_first_is_an_error_with_a_remedy(tmp_path):
    code = "import mxnet, d2l_rnn"
    status, _, error = run(code, tmp_path, mxnet="nd = None", OMP_NUM_THREADS="1")
    assert status != 0
    assert last_line(error) == (
        "ImportError: mxnet was imported before d2l_rnn, too late to pin its numerics "
        "(DNNL_MAX_CPU_ISA, NPY_DISABLE_CPU_FEATURES, OPENBLAS_CORETYPE not set). "
        "Restart Python and import d2l_rnn first."
    )


def test_mxnet_imported_first_is_right_where_the_pins_are_set(tmp_path):
    code = "import mxnet, d2l_rnn"
    assert run(code, tmp_path, mxnet="nd = None", **_numerics.PINS) == (0, "", "")


def test_mxnet_that_failed_to_load_first_is_too_late_as_well(tmp_path):
    """A failed import leaves the library loaded, and MXNet's inner modules behind."""
    code = "import sys; sys.modules['mxnet.base'] = sys; import d2l_rnn"
    status, _, error = run(code, tmp_path, mxnet="nd = None", OMP_NUM_THREADS="1")
    assert status != 0
    assert last_line(error).startswith("ImportError: ")
    assert "Restart Python and import d2l_rnn first" in error


@pytest.mark.parametrize(
    ("stand_ins", "reason"),
    [
        (
            {"mxnet": "raise OSError('libgomp.so.1: cannot open shared object file')"},
            "MXNet cannot be loaded (libgomp.so.1: cannot open shared object file)",
        ),
        (
            {"mxnet": "raise ModuleNotFoundError(\"No module named 'mxnet'\")"},
            "MXNet cannot be loaded (No module named 'mxnet')",
        ),
        (
            {"numpy": "raise ImportError('no wheel')"},
            "NumPy cannot be imported (no wheel)",
        ),
    ],
)
def test_what_cannot_be_loaded_is_named_with_the_remedies(tmp_path, stand_ins, reason):
    status, _, error = run("import d2l_rnn", tmp_path, **stand_ins)
    assert status != 0
    message = last_line(error)
    assert message.startswith(f"ImportError: d2l_rnn cannot start: {reason}. This is ")
    assert "Python {}.{}.".format(*sys.version_info) in message
    for remedy in ("'make setup'", "WSL 2", "Linux container", "apt-get install"):
        assert remedy in message


def test_here_the_package_is_ready():
    assert all(PINNED.values())
    assert mxnet.nd.ones((2, 2)).sum().asscalar() == 4
    assert d2l_rnn.__version__


def test_numpy_has_the_names_that_mxnet_uses():
    own = {"bool": np.bool_} if np.__version__.startswith("2.") else {}
    for name in ("bool", "int", "float", "object", "complex", "str"):
        assert vars(np)[name] is own.get(name, getattr(builtins, name))
    assert repr(np.array([0.5])[0]) == "0.5"


def fake_numpy(version):
    numpy = types.ModuleType("numpy")
    numpy.__version__ = version
    numpy.bool = "NumPy's own"
    for meaning in _numerics._NUMPY_1.values():
        if isinstance(meaning, str):
            setattr(numpy, meaning, f"numpy.{meaning}")
    numpy.printing = {}
    numpy.set_printoptions = numpy.printing.update
    return numpy


def test_names_that_numpy_2_lost_come_back():
    numpy = fake_numpy("2.1.3")
    _numerics._restore_names(numpy)
    assert numpy.int is int
    assert numpy.bool == "NumPy's own"
    assert numpy.product == "numpy.prod"
    assert numpy.row_stack == "numpy.vstack"
    assert numpy.NaN != numpy.NaN
    assert numpy.PINF == -numpy.NINF == float("inf")
    assert numpy.mirr is None
    assert numpy.printing == {"legacy": "1.25"}


def test_numpy_1_gets_only_pythons_types():
    numpy = fake_numpy("1.26.4")
    before = set(vars(numpy))
    _numerics._restore_names(numpy)
    assert set(vars(numpy)) - before == {"int", "float", "object", "complex", "str"}
    assert numpy.printing == {}


@pytest.mark.parametrize("before", [{}, {"scipy": "as it was"}])
def test_a_module_is_hidden_for_a_while(before, monkeypatch):
    monkeypatch.setattr(sys, "modules", dict(before))
    with _numerics._without("scipy", "scipy.sparse"):
        assert sys.modules == {"scipy": None, "scipy.sparse": None}
    assert sys.modules == before


def test_mxnet_does_without_scipy(tmp_path):
    code = """
import warnings
warnings.simplefilter("ignore")  # MXNet's own, of names that NumPy gave up
import d2l_rnn
warnings.simplefilter("error")
import mxnet, scipy.sparse
print(mxnet.nd.array([1]).sum())
"""
    status, output, error = run(code, tmp_path)
    assert (status, error) == (0, "")
    assert "[1.]" in output


def imports(path):
    """Return the modules that a file imports, at the top or inside of functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_tools_can_read_the_pins_without_numpy_and_mxnet():
    tree = ast.parse((ROOT / "d2l_rnn" / "_numerics.py").read_text(encoding="utf-8"))
    tops = [node for node in tree.body if isinstance(node, ast.Import)]
    names = {alias.name for node in tops for alias in node.names}
    assert names <= sys.stdlib_module_names
    assert not any(isinstance(node, ast.ImportFrom) for node in tree.body)


ORDER = """
_numerics _checks _progress text ngrams sampling cells replay models mixtures
regularized classifiers clipping metrics timing checkpoint training distributed decoding
datasets archives export plotting diagrams source __init__
""".split()
MODULES = sorted((ROOT / "d2l_rnn").glob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_imports_run_one_way(path):
    assert path.stem in ORDER, "put the new module into the order above"
    before = ORDER[: ORDER.index(path.stem)]
    own = {name for name in imports(path) if name.split(".")[0] == "d2l_rnn"}
    assert own <= {f"d2l_rnn.{name}" for name in before}


def test_only_plotting_needs_matplotlib():
    users = {p.stem for p in MODULES if any("matplotlib" in n for n in imports(p))}
    assert users == {"plotting"}


def test_freed_memory_is_kept_for_the_next_step():
    code = """
import resource
import numpy
{}

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

numpy.ones(1_000_000), numpy.ones(1_000_000)
before = faults()
for _ in range(20):
    numpy.ones(1_000_000)
print(faults() - before)
"""
    asked = {}
    for name in ("import d2l_rnn", ""):
        command = [sys.executable, "-c", code.format(name)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        asked[name] = int(done.stdout)
    # Where the C library is another, both ask alike.
    assert asked["import d2l_rnn"] < asked[""] / 10 or platform.libc_ver()[0] != "glibc"
