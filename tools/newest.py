"""Resolve the newest versions that requirements.in allows, and run the tests on them.

Usage: ``python tools/newest.py [STAGE ...]``, which is what ``make newest`` runs: a
look ahead, in ``_build/newest``, that changes neither the lock nor ``.venv``. The
stages are those of ``make test``; lint, unit, structure and book if none is named,
since outputs may well differ between versions.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "_build" / "newest"
STAGES = ("lint", "unit", "structure", "book")

#: How the package itself is added, without asking for others.
OWN = ("--no-deps", "--no-build-isolation", "--editable", ".")


def pins(text):
    r"""Return the exact versions of a compiled list by name.

    >>> pins("a==1.0\n    # via b\nb==2 ; python_version < '4'\n")
    {'a': '1.0', 'b': '2'}
    """
    lines = [line.split(" ;")[0] for line in text.splitlines() if "==" in line]
    return dict(line.rstrip(" \\").split("==") for line in lines if line[0].isalnum())


def main():
    """Resolve, install, test; return the exit status."""
    uv = shutil.which("uv")
    if uv is None:
        print("'make newest' needs uv: install it first.", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    resolved, venv = FOLDER / "requirements.txt", FOLDER / "venv"
    python = venv / "bin" / "python"
    compiled = [uv, "pip", "compile", "--quiet", "--upgrade", "--no-header"]
    steps = [
        [*compiled, "requirements.in", "--output-file", str(resolved)],
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)],
        [uv, "pip", "sync", "--quiet", "--python", str(python), str(resolved)],
        [uv, "pip", "install", "--quiet", "--python", str(python), *OWN],
    ]
    for step in steps:
        if subprocess.call(step, cwd=ROOT) != 0:
            return 1
    locked = pins((ROOT / "requirements.lock").read_text("utf-8"))
    newer = {
        name: version
        for name, version in pins(resolved.read_text("utf-8")).items()
        if locked.get(name) != version
    }
    for name, version in newer.items():
        print(f"{name}: {locked.get(name, 'not locked')} -> {version}")
    print(f"{len(newer)} packages differ from the lock.", flush=True)
    stages = sys.argv[1:] or STAGES
    env = os.environ | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.call([str(python), "tools/check.py", *stages], cwd=ROOT, env=env)


if __name__ == "__main__":
    sys.exit(main())
