"""Run the Dockerfile's steps here, on a copy of the project in an empty folder.

Usage: ``python tools/recipe.py [--without-apt] FOLDER``. What FROM, apt and CMD
would do is left to Docker (apt is run where it is wanted and allowed); COPY takes
the files that git knows. This shows that the recipe holds, without Docker.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def instructions(text):
    r"""Return pairs of instruction and argument, continued lines joined.

    >>> instructions("# a\nFROM x\nRUN a && \\\n    b\n")
    [('FROM', 'x'), ('RUN', 'a &&     b')]
    """
    lines = text.replace("\\\n", "").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and line[0] != "#"]
    return [(name, argument) for name, argument in steps]


def copy_files(root, folder):
    """Copy the files that git knows, or would, to an empty folder."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=root, capture_output=True, check=True, text=True)
    for name in filter(None, done.stdout.split("\0")):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)


def follow(steps, folder, *, apt):
    """Carry out the steps in ``folder``; stop at the first that fails."""
    env = {
        k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")
    }
    for name, argument in steps:
        if name == "COPY":
            copy_files(ROOT, folder)
        elif name == "RUN" and ("apt-get" not in argument or apt):
            print(f"RUN {argument}", flush=True)
            if subprocess.call(["bash", "-ec", argument], cwd=folder, env=env) != 0:
                return f"this step failed: RUN {argument}"
        else:
            print(f"({name} {argument})", flush=True)
    return None


def main():
    """Follow the recipe; return 1 where a step fails."""
    parser = argparse.ArgumentParser(description="Run the Dockerfile's steps here.")
    parser.add_argument("--without-apt", action="store_true")
    parser.add_argument("folder", type=Path, help="an empty folder, or a new one")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if any(options.folder.iterdir()):
        parser.error(f"{options.folder} is not empty")
    steps = instructions((ROOT / "Dockerfile").read_text("utf-8"))
    problem = follow(steps, options.folder.resolve(), apt=not options.without_apt)
    print(problem or "All steps passed.")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
