"""Prove that the strict check sees one wrong digit in every notebook.

Usage: ``python tools/notebook_mutants.py [-j JOBS] [--seed N] [NOTEBOOK ...]``

In a copy of each notebook one digit of a stored text output is changed and, where
there are figures, one number in a path of a stored SVG, in another cell. The copy is
checked as ``make test`` checks the notebook, and exactly the changed cells must fail.
Without names, all notebooks of the book are taken, which takes as long as to check
them. Copies lie under _build, among links to what stands beside the notebook.
"""

import argparse
import os
import random
import re
import shutil
import sys
from unittest.mock import patch
from xml.etree import ElementTree

import nbformat
import notebooks
from kernels import SWITCH
from notebooks import ROOT, NotebookFault, code_cells, notebooks_of, shown

FOLDER = ROOT / "_build" / "notebook_mutants"
SVG = "image/svg+xml"
DIGIT = re.compile(r"[0-9]")
#: The last digit of a coordinate of a path.
COORDINATE = re.compile(r'(?<= d=")[^"]*?\d+\.\d*(\d)')


def texts(cell):
    """Yield (holder, key) of each stored text of a cell that shows no figure."""
    if not any(SVG in output.get("data", {}) for output in cell.outputs):
        for output in cell.outputs:
            if output.output_type == "stream":
                yield output, "text"
            elif "text/plain" in output.get("data", {}):
                yield output.data, "text/plain"


def figures(cell):
    """Yield (holder, key) of each stored figure of a cell."""
    for output in cell.outputs:
        if SVG in output.get("data", {}):
            yield output.data, SVG


def plant(notebook, outputs, pattern, rng):
    """Change one digit of a notebook's outputs; return cell, old and new digit.

    The pattern's last group, or all of it, is the digit. None where it is nowhere.
    """
    places = [
        (number, holder, key, match.span(pattern.groups))
        for number, cell in enumerate(code_cells(notebook), start=1)
        for holder, key in outputs(cell)
        for match in pattern.finditer(holder[key])
    ]
    if not places:
        return None
    number, holder, key, (start, stop) = rng.choice(places)
    old = holder[key][start:stop]
    new = str((int(old) + 1) % 10)
    holder[key] = holder[key][:start] + new + holder[key][stop:]
    return number, old, new


def mutate(path, folder, seed):
    """Write a changed copy of a notebook; return its path and the changed cells."""
    notebook = nbformat.read(path, as_version=4)
    rng = random.Random(f"{seed} {path.stem}")
    planted = {
        "text": plant(notebook, texts, DIGIT, rng),
        "figure": plant(notebook, figures, COORDINATE, rng),
    }
    planted = {kind: fault for kind, fault in planted.items() if fault}
    if "text" not in planted:
        raise NotebookFault(f"{shown(path)}: no stored output holds a digit")
    place = folder / path.parent.name
    place.mkdir(parents=True, exist_ok=True)
    for other in path.parent.iterdir():
        link = place / other.name
        if other.suffix != ".ipynb" and not link.exists():
            link.symlink_to(other)
    changed = place / path.name
    nbformat.write(notebook, changed)
    return changed, planted


def failures(report, paths):
    """Return {path: numbers of the cells that failed} from a report of the check."""
    found = {path: set() for path in paths}
    seen = dict.fromkeys(paths, 0)
    by_name = {f"{path.parent.name}.{path.stem}": path for path in paths}
    for case in ElementTree.parse(report).iter("testcase"):
        parts = case.get("classname").removesuffix(".ipynb").split(".")
        path = by_name[".".join(parts[-2:])]
        seen[path] += 1
        if any(part.tag in ("failure", "error", "skipped") for part in case):
            found[path].add(int(case.get("name").removeprefix("Cell ")))
    return found, seen


def run(paths, folder, *, seed=0, jobs=1):
    """Check changed copies of notebooks; return {path: what is wrong, or None}."""
    shutil.rmtree(folder, ignore_errors=True)
    copies = {path: mutate(path, folder, seed) for path in paths}
    report = folder / "report.xml"
    settings = {"PYTEST_ADDOPTS": f"--junitxml={report}", SWITCH: "exact"}
    with patch.dict(os.environ, settings):
        for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
            os.environ.pop(name, None)
        notebooks.check([copy for copy, _ in copies.values()], jobs)
    found, seen = failures(report, [copy for copy, _ in copies.values()])
    problems = {}
    for path, (copy, planted) in copies.items():
        wanted = {number for number, _, _ in planted.values()}
        told = ", ".join(
            f"{kind} of cell {number}: {old} → {new}"
            for kind, (number, old, new) in planted.items()
        )
        if found[copy] == wanted and seen[copy]:
            problems[path] = None
            print(f"caught  {shown(path)}: {told}")
        else:
            problems[path] = f"{told}; failed: cells {sorted(found[copy])}"
            print(f"MISSED  {shown(path)}: {problems[path]}")
    return problems


def main():
    """Read the command line; return 1 where a change was not seen as such."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", help="notebooks or folders")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="at a time (2)")
    parser.add_argument("--seed", type=int, default=0, help="which digits change (0)")
    options = parser.parse_args()
    try:
        paths = notebooks_of(options.paths)
        problems = run(paths, FOLDER, seed=options.seed, jobs=options.jobs)
    except NotebookFault as fault:
        print(fault, file=sys.stderr)
        return 1
    return 1 if any(problems.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
