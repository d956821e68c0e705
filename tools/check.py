"""Prove the project: run the stages of ``make test`` and time each.

Usage: ``python tools/check.py [STAGE ...]``; without a name, all stages run.
A failed stage does not keep the later ones from running.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = [sys.executable]
PYTEST = [*PYTHON, "-m", "pytest"]
STRUCTURE = "tests/test_structure.py"
FAULTS = "tests/test_faults.py"
IN_BROWSER = ("browser", "live", "playground", "reading")
BROWSER = [f"tests/test_{name}.py" for name in IN_BROWSER]
DOCTESTS = ["--doctest-modules", "tests", "d2l_rnn", "tools", "benchmarks"]
OTHERS = [f"--ignore={path}" for path in (STRUCTURE, FAULTS, *BROWSER)]

#: The commands of each stage, in the order in which they run.
STAGES = {
    "lint": [
        [*PYTHON, "-m", "ruff", "check"],
        [*PYTHON, "-m", "ruff", "format", "--check"],
    ],
    "unit": [[*PYTEST, "-n2", "--dist=loadfile", *DOCTESTS, *OTHERS]],
    "structure": [[*PYTEST, STRUCTURE]],
    "notebooks": [
        [*PYTHON, "tools/notebooks.py", "check"],
        [*PYTEST, "-n2", FAULTS],  # that the check fails where it must
    ],
    "book": [[*PYTHON, "tools/book.py", "--all"]],
    "browser": [[*PYTEST, "-n2", "--dist=loadgroup", *BROWSER]],
}

#: Settings of the caller's shell that could change what a stage finds.
DISTURBING = ("PYTEST_ADDOPTS", "PYTHONHOME", "PYTHONPATH", "PYTHONWARNINGS")


def run_stage(name):
    """Run the commands of one stage; return whether all passed, and the seconds."""
    print(f"\n=== {name} ===", flush=True)
    env = {key: value for key, value in os.environ.items() if key not in DISTURBING}
    start = time.perf_counter()
    codes = [subprocess.call(command, cwd=ROOT, env=env) for command in STAGES[name]]
    return not any(codes), time.perf_counter() - start


def main():
    """Run the stages asked for; return 1 if any failed."""
    parser = argparse.ArgumentParser(description="Prove the project.")
    parser.add_argument(
        "stages", metavar="STAGE", nargs="*", help=f"one of {', '.join(STAGES)}"
    )
    asked = parser.parse_args().stages
    unknown = [name for name in asked if name not in STAGES]
    if unknown:
        parser.error(
            f"no stage is called {unknown[0]!r}: choose of {', '.join(STAGES)}"
        )
    chosen = [name for name in STAGES if name in asked or not asked]
    try:
        results = {name: run_stage(name) for name in chosen}
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    print()
    for name, (passed, seconds) in results.items():
        print(f"{name:<10} {seconds:7.1f} s  {'passed' if passed else 'FAILED'}")
    return 0 if all(passed for passed, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
