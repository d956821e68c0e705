"""Run, check and edit the course's notebooks.

python tools/notebooks.py run [PATHS...]     re-execute and write normalized
python tools/notebooks.py check [PATHS...]   run again and compare every output
python tools/notebooks.py edit PATH          unpack to text in _build/edit/
python tools/notebooks.py update PATH        pack that text back into the notebook
python tools/notebooks.py normalized [PATHS...]   say which were not written by 'run'

A notebook runs with pinned numerics in its own folder, from a fresh kernel.
Without paths, ``run`` and ``check`` take every notebook under book/.
"""

import argparse
import asyncio
import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext
import nbformat
from jupyter_client.manager import AsyncKernelManager
from jupytext.combine import combine_inputs_with_outputs
from kernels import (
    KERNEL_ARGUMENTS,
    SWITCH,
    kernel_environment,
    obstacle,
    prepare_kernels,
)
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager
from outputs import merge_streams, output_faults

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
EDIT = ROOT / "_build" / "edit"

#: Seconds that one cell may take.
CELL_TIMEOUT = 180

#: Cell metadata that means something; the rest is left by editors.
CELL_METADATA = {"deletable", "editable", "mystnb", "tags"}

KERNELSPEC = {
    "display_name": "Python 3 (ipykernel)",
    "language": "python",
    "name": "python3",
}
LANGUAGE_INFO = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}


def kernel_options():
    """Return how to start a kernel; jupyter's own warnings are not shown."""
    return {"env": kernel_environment(), "stderr": subprocess.DEVNULL}


class NotebookFault(Exception):
    """A notebook that cannot be committed as it is."""


def execute(notebook, folder):
    """Run all cells of ``notebook`` in a fresh kernel; raise on any fault."""
    cells = code_cells(notebook)
    for number, cell in enumerate(cells, start=1):
        if not cell.source.strip():
            raise NotebookFault(f"code cell {number} is empty; delete it")
    manager = AsyncKernelManager(
        kernel_name=CURRENT_ENV_KERNEL_NAME,
        kernel_spec_manager=NbvalKernelspecManager(),
    )
    client = NotebookClient(
        notebook,
        extra_arguments=KERNEL_ARGUMENTS,
        km=manager,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
        skip_cells_with_tag="",  # no tag keeps a cell from being run
        timeout=CELL_TIMEOUT,
    )
    try:
        asyncio.run(client.async_execute(cleanup_kc=True, **kernel_options()))
    except (CellControlSignal, DeadKernelError) as error:
        number = sum(cell.execution_count is not None for cell in cells)
        raise NotebookFault(f"code cell {max(number, 1)}: {error}") from error
    faults = [
        f"code cell {number}: {fault}"
        for number, cell in enumerate(cells, start=1)
        for fault in output_faults(cell.outputs)
    ]
    if faults:
        raise NotebookFault("\n".join(faults))


def code_cells(notebook):
    """Return the code cells, which are counted from 1 in every message."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def normalized(notebook):
    """Return the text of a notebook with nothing that varies between machines."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNELSPEC, "language_info": LANGUAGE_INFO}
    )
    for position, cell in enumerate(notebook.cells):
        kept = {k: v for k, v in cell.metadata.items() if k in CELL_METADATA}
        cell.metadata = nbformat.from_dict(kept)
        if not cell.get("id"):
            text = f"{position} {cell.source}".encode()
            cell.id = hashlib.sha256(text).hexdigest()[:8]
        if cell.cell_type == "code":
            cell.outputs = merge_streams(cell.outputs)
    return nbformat.writes(notebook) + "\n"


def write(path, text):
    """Replace a file in one step, and only where its content changes."""
    data = text.encode("utf-8")
    if path.exists() and path.read_bytes() == data:
        return
    draft = path.with_name(path.name + ".new")
    draft.write_bytes(data)
    os.replace(draft, path)


def run_one(path):
    """Re-execute one notebook and write it; return its problem, if any."""
    start = time.perf_counter()
    try:
        notebook = nbformat.read(path, as_version=4)
        for cell in code_cells(notebook):
            cell.execution_count, cell.outputs = None, []
        execute(notebook, path.parent)
        write(path, normalized(notebook))
    except NotebookFault as fault:
        return f"{shown(path)}: {fault}\nThe file was left as it was."
    print(f"{time.perf_counter() - start:7.1f} s  {shown(path)}", flush=True)
    return None


def run(paths, jobs):
    """Re-execute notebooks, ``jobs`` at a time; return the exit status."""
    prepare_kernels()
    asked = os.environ.get(SWITCH) == "tolerant" and f"{SWITCH}=tolerant"
    if reason := obstacle() or asked:
        print(f"Do not commit the numbers of this run: {reason}.", file=sys.stderr)
    with ThreadPoolExecutor(jobs) as pool:
        problems = [problem for problem in pool.map(run_one, paths) if problem]
    print(*problems, sep="\n\n", end="\n" if problems else "", file=sys.stderr)
    return 1 if problems else 0


def check(paths, jobs):
    """Run notebooks again and compare every output; return the exit status."""
    tools = str(Path(__file__).parent)
    search = os.pathsep.join(filter(None, [tools, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "pytest", "-p", "nbval_strict", "--nbval"]
    command += [f"--nbval-cell-timeout={CELL_TIMEOUT}", "-q", "--tb=short"]
    command += ["-n", str(min(jobs, len(paths))), "--dist=loadscope"]
    # Two notebooks outside pytest's root would have the same name, and one be lost.
    root = os.path.commonpath([ROOT, *paths])
    command += ["-c", ROOT / "pyproject.toml", f"--rootdir={root}", *paths]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": search}
    ).returncode


def edit(path, *, force=False):
    """Unpack a notebook to MyST Markdown and return the text's path."""
    text_path = EDIT / path.with_suffix(".md").name
    text = jupytext.writes(nbformat.read(path, as_version=4), fmt="md:myst")
    if text_path.exists() and text_path.read_text("utf-8") != text and not force:
        raise NotebookFault(
            f"{shown(text_path)} differs from the notebook; pack it with "
            f"'update {shown(path)}' or overwrite it with 'edit --force'"
        )
    text_path.parent.mkdir(parents=True, exist_ok=True)
    write(text_path, text)
    return text_path


def update(path):
    """Pack the edited text into the notebook; unchanged cells keep their outputs."""
    text_path = EDIT / path.with_suffix(".md").name
    if not text_path.exists():
        raise NotebookFault(f"{shown(text_path)} is missing; run 'edit' first")
    source = jupytext.reads(text_path.read_text("utf-8"), fmt="md:myst")
    stored = nbformat.read(path, as_version=4)
    sources = {cell.get("id"): cell.source for cell in stored.cells}
    combined = combine_inputs_with_outputs(source, stored, fmt="md:myst")
    for cell in code_cells(combined):
        if sources.get(cell.get("id")) != cell.source:
            cell.execution_count, cell.outputs = None, []
    write(path, normalized(combined))


def not_normalized(paths):
    """Name the notebooks that 'run' has not written; return the exit status."""
    found = []
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        unrun = [c for c in code_cells(notebook) if c.execution_count is None]
        if unrun or path.read_text("utf-8") != normalized(notebook):
            found.append(path)
    for path in found:
        print(f"{shown(path)}: run 'make notebooks NB={shown(path)}'", file=sys.stderr)
    return 1 if found else 0


def shown(path):
    """Return a path as a reader of the repository would write it."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def notebooks_of(paths):
    """Return the notebooks among and below ``paths``; all of the book's if none."""
    found = []
    for path in [Path(path).resolve() for path in paths] or [BOOK]:
        if not path.exists() or (path.is_file() and path.suffix != ".ipynb"):
            raise NotebookFault(f"{shown(path)} is not a notebook or a folder of them")
        below = [path] if path.is_file() else sorted(path.rglob("*.ipynb"))
        found += [p for p in below if ".ipynb_checkpoints" not in p.parts]
    if not found:
        raise NotebookFault(f"no notebook in {', '.join(map(str, paths)) or 'book/'}")
    return found


def main(arguments=None):
    """Read the command line and do what it says; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "check", "normalized"):
        command = commands.add_parser(name)
        command.add_argument("paths", nargs="*", help="notebooks or folders")
        command.add_argument("-j", "--jobs", type=int, default=2, help="at a time (2)")
    for name in ("edit", "update"):
        command = commands.add_parser(name)
        command.add_argument("path", help="a notebook")
        if name == "edit":
            command.add_argument("--force", action="store_true", help="overwrite")
    options = parser.parse_args(arguments)
    try:
        if options.command == "normalized":
            return not_normalized(notebooks_of(options.paths))
        if options.command in ("run", "check"):
            action = {"run": run, "check": check}[options.command]
            return action(notebooks_of(options.paths), options.jobs)
        (path,) = notebooks_of([options.path])
        if options.command == "edit":
            print(shown(edit(path, force=options.force)))
        else:
            update(path)
            print(f"{shown(path)} is updated; run it again before you commit it")
    except NotebookFault as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
