"""What must hold before MXNet loads: pinned numerics, NumPy names, a working wheel.

This module imports nothing but the standard library until `prepare` is called,
so that tools can read `PINS` without loading MXNet.
"""

import builtins
import contextlib
import ctypes
import os
import pathlib
import platform
import sys

#: Environment variables under which training is bit-reproducible on x86-64
#: machines with AVX2: the instruction sets of oneDNN, OpenBLAS and NumPy, and the
#: number of threads, on which the order of floating-point sums depends.
PINS = {
    "DNNL_MAX_CPU_ISA": "AVX2",
    "NPY_DISABLE_CPU_FEATURES": (
        "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"
    ),
    "OPENBLAS_CORETYPE": "Haswell",
    "OMP_NUM_THREADS": "1",
}

#: Where Linux lists what its processor can do.
_CPUINFO = pathlib.Path("/proc/cpuinfo")

#: Names that NumPy 1.24 removed and MXNet 1.9.1 uses: Python's own types.
_BUILTINS = ("bool", "int", "float", "object", "complex", "str")

#: Names that NumPy 2 removed and MXNet 1.9.1 looks up, with what they stood for.
#: None: MXNet only lists them among the functions it could replace.
_NUMPY_1 = {
    **dict.fromkeys(("NAN", "NaN"), float("nan")),
    **dict.fromkeys(("PINF", "Inf", "infty"), float("inf")),
    "NINF": -float("inf"),
    "NZERO": -0.0,
    "PZERO": 0.0,
    "alltrue": "all",
    "sometrue": "any",
    "product": "prod",
    "cumproduct": "cumprod",
    "in1d": "isin",
    "row_stack": "vstack",
    "round_": "round",
    "msort": "sort",
    "float_": "float64",
    "unicode_": "str_",
    **dict.fromkeys(
        ("mirr", "npv", "pmt", "ppmt", "pv", "rate", "irr", "nper", "fv", "ipmt")
    ),
}


def obstacle():
    """Say why this machine cannot follow the pinned instruction set; None if it can."""
    machine = platform.machine()
    if machine not in ("x86_64", "AMD64"):
        return f"this machine is {machine}, not x86-64"
    if not _CPUINFO.exists():
        return f"{platform.system()} does not say what its processor can do"
    if not {"avx2", "fma"} <= set(_CPUINFO.read_text().split()):
        return "this machine's processor has no AVX2"
    return None


def pins():
    """Return the variables to set here.

    Without AVX2 that is the number of threads alone: OpenBLAS would take ``Haswell``
    at its word, and Python would end with "Illegal instruction".
    """
    if obstacle():
        return {"OMP_NUM_THREADS": PINS["OMP_NUM_THREADS"]}
    return dict(PINS)


def prepare():
    """Pin the numerics, mend NumPy's names and load MXNet.

    A variable that is already set is left alone: a reader may want all threads.

    Raises
    ------
    ImportError
        MXNet was imported before `d2l_rnn`, or it cannot be loaded here; the
        message says why and what to do.
    """
    if any(name.split(".")[0] == "mxnet" for name in sys.modules):
        if not hasattr(sys.modules.get("mxnet"), "nd"):
            raise ImportError(
                "an earlier import of mxnet failed and left parts of it behind. "
                "Restart Python and import d2l_rnn first."
            )
        late = [name for name in pins() if os.environ.get(name) is None]
        if late:
            raise ImportError(
                "mxnet was imported before d2l_rnn, too late to pin its numerics "
                f"({', '.join(late)} not set). Restart Python and import d2l_rnn first."
            )
        return
    for name, value in pins().items():
        os.environ.setdefault(name, value)
    _keep_freed_memory()
    try:
        import numpy
    except ImportError as error:
        raise ImportError(_advice(f"NumPy cannot be imported ({error})")) from error
    _restore_names(numpy)
    try:
        with _without("scipy", "scipy.sparse", "scipy.stats"):
            import mxnet  # noqa: F401
    except (ImportError, OSError, AttributeError) as error:
        raise ImportError(_advice(f"MXNet cannot be loaded ({error})")) from error


def _keep_freed_memory():
    """Have the C library keep what is freed, for the next step of a training.

    glibc hands large blocks back to the system and asks for them anew, page by page:
    3,000 times in a step of a network of 256 units, a tenth of its time. The price is
    memory: two fifths more where a step needs most, at windows of 560 steps.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        for threshold in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            mallopt(threshold, 2**30)


@contextlib.contextmanager
def _without(*names):
    """Hide modules from MXNet, which does without SciPy and uses old names of it.

    With them it would warn each time it makes an array.
    """
    absent = object()
    before = {name: sys.modules.get(name, absent) for name in names}
    sys.modules.update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name, module in before.items():
            if module is absent:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def _restore_names(numpy):
    """Give NumPy the names back that MXNet expects, and NumPy 1's way to print."""
    for name in _BUILTINS:
        if name not in numpy.__dict__:
            setattr(numpy, name, getattr(builtins, name))
    if numpy.__version__.startswith("1."):
        return
    numpy.set_printoptions(legacy="1.25")  # 0.5, not np.float64(0.5)
    for name, meaning in _NUMPY_1.items():
        if name not in numpy.__dict__:
            value = getattr(numpy, meaning) if isinstance(meaning, str) else meaning
            setattr(numpy, name, value)


def _advice(reason):
    """Say what failed, on which machine, and what would work."""
    here = (
        f"Python {platform.python_version()} on "
        f"{platform.system()} {platform.machine()}"
    )
    return (
        f"d2l_rnn cannot start: {reason}. This is {here}. The course needs "
        "Python 3.10 to 3.13, mxnet 1.9.1, numpy 1.26 (2.1 on Python 3.13) and, on "
        "Python 3.12 and later, setuptools, on Linux (x86-64, aarch64) or macOS "
        "(Intel). 'make setup' installs them; on Windows use WSL 2, on Apple "
        "silicon an x86-64 Linux container. If a system library is missing, "
        "install it (Debian, Ubuntu: 'apt-get install libgomp1 libquadmath0')."
    )
