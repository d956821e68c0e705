"""Make ``.venv`` from ``requirements.lock`` where it is missing or out of date.

Usage: ``python3 tools/bootstrap.py``, which is what ``make setup`` runs.

It uses uv where uv is found and pip otherwise. It needs nothing but the
standard library, and says in one sentence what to do where the course cannot
run; so it must be understood by Pythons older and newer than the course's own.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")
LOCK = os.path.join(ROOT, "requirements.lock")
PROJECT = os.path.join(ROOT, "pyproject.toml")
STAMP = os.path.join(VENV, "setup.json")

OLDEST, NEWEST = (3, 10), (3, 13)
PYTHON_NAMES = ("python3.11", "python3.12", "python3.13", "python3.10")

#: Shared libraries that MXNet's wheels leave to the system, and the remedy.
SYSTEM_LIBRARIES = {
    "x86_64": (
        ("libgomp.so.1", "libquadmath.so.0"),
        "install them (Debian, Ubuntu: 'apt-get install libgomp1 libquadmath0')",
    ),
    "aarch64": (
        ("libgomp.so.1", "libarmpl_lp64_mp.so", "libamath.so", "libastring.so"),
        "install libgomp and the Arm Performance Libraries, or use an x86-64 container",
    ),
}


class SetupError(Exception):
    """What went wrong, in a sentence for the person at the terminal."""

    def __init__(self, message, exit_code):
        super().__init__(message)
        self.exit_code = exit_code


def python_problem(version, implementation="CPython", which=shutil.which):
    """Say why this Python will not do and what would, or return None."""
    if implementation == "CPython" and OLDEST <= tuple(version[:2]) <= NEWEST:
        return None
    found = next((name for name in PYTHON_NAMES if which(name)), None)
    remedy = (
        f"'make setup PYTHON={found}' uses the one found here"
        if found
        else "install one (Debian, Ubuntu: python3 and python3-venv) "
        "and name it, as in 'make setup PYTHON=python3.11'"
    )
    here = f"{implementation} {'.'.join(map(str, version[:3]))}"
    return f"The course needs CPython 3.10 to 3.13, but this is {here}: {remedy}."


def platform_problem(system, machine, libc="glibc"):
    """Say why MXNet has no wheel for this machine, or return None."""
    if system == "Linux" and machine in SYSTEM_LIBRARIES and libc == "glibc":
        return None
    if system == "Darwin" and machine == "x86_64":
        return None
    remedy = {
        "Windows": "install WSL 2 and run the course inside it",
        "Darwin": "use an x86-64 Linux container, such as Debian",
    }.get(system, "use an x86-64 Linux container with glibc, such as Debian")
    here = f"{system} {machine}"
    if system == "Linux" and libc != "glibc":
        here += " without glibc"
    return (
        "MXNet 1.9.1 runs on Linux (x86-64, aarch64) and on macOS (Intel), "
        f"but this is {here}: {remedy}."
    )


def venv_problem(version, has_module=lambda name: find_spec(name) is not None):
    """Say what is missing to make a virtual environment, or return None."""
    missing = [name for name in ("venv", "ensurepip") if not has_module(name)]
    if not missing:
        return None
    return (
        f"This Python {version[0]}.{version[1]} has no {' and no '.join(missing)}, "
        "so .venv cannot be made: install what is missing (Debian, Ubuntu: "
        "'apt-get install python3-venv') or uv."
    )


def find_problem(uv):
    """Return the first reason why set-up cannot begin, or None."""
    return (
        python_problem(sys.version_info, platform.python_implementation())
        or platform_problem(
            platform.system(), platform.machine(), platform.libc_ver()[0]
        )
        or (None if uv else venv_problem(sys.version_info))
    )


def load_library(name):
    """Load a shared library, or raise OSError."""
    import ctypes  # not every Python has it

    ctypes.CDLL(name)


def library_note(system, machine, load=load_library):
    """Name the system libraries that MXNet needs and lacks here, or return None.

    The book can be read without them, so they do not stop the set-up.
    """
    if system != "Linux":
        return None
    names, remedy = SYSTEM_LIBRARIES[machine]
    missing = []
    for name in names:
        try:
            load(name)
        except (ImportError, OSError):
            missing.append(name)
    if not missing:
        return None
    return f"Note: without {', '.join(missing)} no notebook can run: {remedy}."


def file_digest(path):
    """Return the SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def wanted_stamp():
    """Describe the environment that the files here ask for."""
    return {
        "root": ROOT,
        "python": platform.python_version(),
        "lock": file_digest(LOCK),
        "project": file_digest(PROJECT),
    }


def found_stamp():
    """Return what the finished .venv says about itself, or None."""
    if not os.path.exists(VENV_PYTHON):
        return None
    try:
        with open(STAMP, encoding="utf-8") as file:
            stamp = json.load(file)
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None


def plan(found, wanted):
    """Return what must be installed: nothing, the package or everything.

    >>> plan(None, {"lock": "a", "project": "b"})
    'everything'
    >>> plan({"lock": "a", "project": "old"}, {"lock": "a", "project": "b"})
    'package'
    """
    if found == wanted:
        return "nothing"
    if found and dict(found, project=None) == dict(wanted, project=None):
        return "package"
    return "everything"


def run(command):
    """Run a command in the project, undisturbed by another environment's settings."""
    disturbing = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "PIP_USER", "PIP_TARGET")
    env = {name: value for name, value in os.environ.items() if name not in disturbing}
    if subprocess.call(command, cwd=ROOT, env=env) != 0:
        raise SetupError(
            "Set-up stopped, because this failed (its own words are above): "
            f"{' '.join(command)}; when that is mended, run 'make setup' again.",
            1,
        )


def remove_venv():
    """Remove .venv, which may be unfinished or another Python's."""
    if os.path.islink(VENV) or os.path.isfile(VENV):
        os.unlink(VENV)
    elif os.path.exists(VENV):
        print("Removing the .venv that is unfinished or out of date.", flush=True)
        shutil.rmtree(VENV)


def install_everything(uv):
    """Make .venv anew and install the locked packages."""
    # Asked for by .venv's own Python, set-up goes on with the one beneath it.
    base = getattr(sys, "_base_executable", None) or sys.executable
    remove_venv()
    if uv:
        run([uv, "venv", "--quiet", "--no-project", "--python", base, VENV])
        sync = [uv, "pip", "sync", "--python", VENV_PYTHON, "--require-hashes"]
        run([*sync, LOCK])
    else:
        run([base, "-m", "venv", VENV])
        print("This takes about a minute, more on a slow line.", flush=True)
        # The lock is complete, and takes a newer NumPy than MXNet asks for.
        pip = [VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
        pip += ["--quiet", "--no-deps", "--require-hashes"]
        run([*pip, "--requirement", LOCK])


def install_package(uv):
    """Install d2l_rnn so that changes to its files count at once."""
    options = ["--no-deps", "--no-build-isolation", "--editable", ROOT]
    if uv:
        run([uv, "pip", "install", "--quiet", "--python", VENV_PYTHON, *options])
    else:
        run([VENV_PYTHON, "-m", "pip", "install", "--quiet", *options])


def set_up():
    """Bring .venv up to date and return what had to be installed."""
    uv = shutil.which("uv")
    problem = find_problem(uv)
    if problem:
        raise SetupError(problem, 2)
    found, wanted = found_stamp(), wanted_stamp()
    todo = plan(found, wanted)
    if todo == "nothing":
        print(".venv is up to date.")
        return todo
    note = library_note(platform.system(), platform.machine())
    if note:
        print(note, file=sys.stderr)
    start = time.time()
    print(f"Setting up .venv with {'uv' if uv else 'pip'} ...", flush=True)
    if found:
        os.unlink(STAMP)  # .venv counts as unfinished until the last step is done
    if todo == "everything":
        install_everything(uv)
    install_package(uv)
    with open(STAMP, "w", encoding="utf-8") as file:
        json.dump(wanted, file, indent=1)
    print(f"Set up .venv in {time.time() - start:.0f} s.")
    return todo


def main():
    """Set up; return the exit code: 1 where a step failed, 2 where none can begin."""
    try:
        set_up()
    except SetupError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"Set-up stopped: {error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Set-up interrupted: 'make setup' begins it anew.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
