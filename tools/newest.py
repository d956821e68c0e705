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

from licenses import locked

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "_build" / "newest"
STAGES = ("lint", "unit", "structure", "book")

#: How the package itself is added, without asking for others.
OWN = ("--no-deps", "--no-build-isolation", "--editable", ".")


def differences(before, after):
    """Return a line for each package whose version is another one, or that is new.

    >>> differences({"a": "1", "b": "1"}, {"a": "1", "b": "2", "c": "3"})
    ['b: 1 -> 2', 'c: not locked -> 3']
    """
    return [
        f"{name}: {before.get(name, 'not locked')} -> {version}"
        for name, version in after.items()
        if before.get(name) != version
    ]


def main():
    """Resolve, install, test; return the exit status."""
    uv = shutil.which("uv")
    if uv is None:
        print("'make newest' needs uv: install it first.", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    resolved, venv = FOLDER / "requirements.txt", FOLDER / "venv"
    python = venv / "bin" / "python"
    resolve = [uv, "pip", "compile", "--quiet", "--upgrade", "--no-header"]
    resolve += ["--python", sys.executable, "--output-file", str(resolved)]
    steps = [
        [*resolve, "requirements.in"],
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)],
        [uv, "pip", "sync", "--quiet", "--python", str(python), str(resolved)],
        [uv, "pip", "install", "--quiet", "--python", str(python), *OWN],
    ]
    for step in steps:
        if subprocess.call(step, cwd=ROOT) != 0:
            return 1
    before, after = (
        locked(path.read_text("utf-8"))
        for path in (ROOT / "requirements.lock", resolved)
    )
    newer = differences(before, after)
    print(*newer, f"{len(newer)} packages differ from the lock.", sep="\n", flush=True)
    stages = sys.argv[1:] or STAGES
    env = os.environ | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.call([str(python), "tools/check.py", *stages], cwd=ROOT, env=env)


if __name__ == "__main__":
    sys.exit(main())
