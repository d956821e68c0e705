"""nbval without its holes: a pytest plugin that the root's conftest.py loads.

nbval runs each cell of a notebook as a test and compares its outputs with the
stored ones. Left alone it passes a cell that was never run, ignores bitmaps,
metadata and the order of outputs, accepts a stored error or warning, lets a tag
or a comment exempt a cell, and lets the user's settings change the kernel. Here
every cell runs under pinned numerics in the Python that runs pytest, and all of
its outputs must be exactly the stored ones.

Where arithmetic cannot be pinned, outputs are compared with a tolerance, and the
summary says so. D2L_RNN_NUMERICS=exact fails instead, =tolerant asks for it.
"""

import os
from collections import Counter, defaultdict
from functools import partial

import kernels
import nbformat
import nbval.plugin
import notebooks
import pytest
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, RunningKernel, start_new_kernel
from outputs import (
    COMPUTED,
    TRAINED,
    blind_spots,
    differences,
    exactly,
    merge_streams,
    output_faults,
    roughly,
)

#: nbval's options that would compare less, or run in another kernel.
REFUSED = ("nbval_lax", "nbval_sanitize_with", "nbval_kernel_name", "nbdime")

OUTPUTS = {"display_data", "error", "execute_result", "stream"}
REDRAWS = {"clear_output", "update_display_data"}

#: Why outputs are compared with a tolerance; None where they are compared exactly.
TOLERANCE = pytest.StashKey()
#: Property of a test's report: digits that were changed to try the comparison.
CHANGED = "changed digits"


def reason_for_tolerance():
    """Say why bits need not agree here; None where they must.

    Raises pytest.UsageError where exactness is asked for and cannot be had.
    """
    asked = os.environ.get(kernels.SWITCH, "")
    if asked == "tolerant":
        return f"{kernels.SWITCH}=tolerant asks for it"
    if asked not in ("", "exact"):
        raise pytest.UsageError(
            f"{kernels.SWITCH} must be 'exact' or 'tolerant', got {asked!r}"
        )
    reason = kernels.obstacle() or kernels.unheeded()
    if asked and reason:
        raise pytest.UsageError(f"{kernels.SWITCH}=exact cannot be met: {reason}")
    return reason


class PinnedKernel(RunningKernel):
    """A kernel that also notes what nbval overlooks in its messages."""

    def __init__(self, folder, startup_timeout):
        self.faults = []
        self.running = None
        self.km, self.kc = start_new_kernel(
            startup_timeout=startup_timeout,
            kernel_name=CURRENT_ENV_KERNEL_NAME,
            cwd=str(folder),
            extra_arguments=kernels.KERNEL_ARGUMENTS,
            **notebooks.kernel_options(),
        )
        self._ensure_iopub_up()

    def execute_cell_input(self, cell_input, allow_stdin=None):
        """Run a cell with history, without which a trailing ``;`` does nothing."""
        self.running = self.kc.execute(
            cell_input,
            store_history=True,
            allow_stdin=allow_stdin,
            stop_on_error=False,
        )
        return self.running

    def get_message(self, stream, timeout=None):
        """Pass a message on to nbval, noting what cannot be compared."""
        message = super().get_message(stream, timeout)
        kind, parent = message["msg_type"], message["parent_header"].get("msg_id")
        if kind in REDRAWS:
            self.faults.append(
                f"the cell redraws its output ({kind}); show the final state once"
            )
        elif kind in OUTPUTS and self.running and parent != self.running:
            self.faults.append(
                "an earlier cell's output came after its end; wait for it there"
            )
        elif kind == "execute_reply" and message["content"].get("payload"):
            self.faults.append("the cell opens a pager or a new cell; delete that")
        return message

    def late_stderr(self):
        """Return what was written to stderr below Python and is still on its way.

        The kernel reads the C libraries' stderr through a pipe, at leisure: within
        a notebook the next cell would get it, and after the last cell nobody. So
        a mark is sent through the same pipe, and awaited.
        """
        mark, text = "(the end)", ""
        self.kc.execute(f"import os; os.write(2, b'{mark}')", silent=True)
        while mark not in text:
            message = super().get_message("iopub", timeout=30)
            if message["content"].get("name") == "stderr":
                text += message["content"]["text"]
        return text.partition(mark)[0]


class StrictNotebook(nbval.plugin.IPyNbFile):
    """A notebook, each of whose code cells is a test."""

    def setup(self):
        """Start a fresh kernel in the notebook's folder."""
        timeout = self.config.option.nbval_kernel_startup_timeout
        self.kernel = PinnedKernel(self.path.parent, timeout)
        self.sanitize_patterns = {}

    def collect(self):
        """Yield the code cells, counted from 1 as their execution counts are."""
        self.nb = nbformat.read(self.path, as_version=4)
        nbformat.validate(self.nb)
        for number, cell in enumerate(notebooks.code_cells(self.nb), start=1):
            yield StrictCell.from_parent(
                self,
                name=f"Cell {number}",
                cell_num=number,
                cell=cell,
                options=defaultdict(bool, check=True),
            )


class StrictCell(nbval.plugin.IPyNbCell):
    """A code cell, which must run and print exactly what is stored."""

    def runtest(self):
        """Run the cell and report every fault of what is stored and what came."""
        faults = stored_faults(self.cell, self.cell_num)
        kernel, timed_out_before = self.parent.kernel, self.parent.timed_out
        kernel.faults.clear()
        try:
            super().runtest()
        except nbval.plugin.NbCellError as error:
            faults.append("\n".join(filter(None, [str(error), error.inner_traceback])))
        else:
            if self.parent.timed_out and not timed_out_before:
                faults.append("the cell took too long and went on after the interrupt")
        faults += kernel.faults
        is_last = self.cell is notebooks.code_cells(self.parent.nb)[-1]
        if is_last and kernel.is_alive() and (late := kernel.late_stderr()):
            faults.append(f"the cell, or one before it, writes to stderr: {late!r}")
        if faults:
            self.raise_cell_error("\n".join(faults))

    def compare_outputs(self, test, ref, skip_compare=None):
        """Compare everything, exactly wherever arithmetic can be pinned."""
        if self.config.stash[TOLERANCE]:
            same = partial(roughly, tags=self.cell.metadata.get("tags", []))
            self.comparison_traceback = differences(ref, test, same=same)
        else:
            self.comparison_traceback = differences(ref, test, same=exactly)
            if not self.comparison_traceback:
                self.try_comparison(ref, test)
        return not self.comparison_traceback

    def try_comparison(self, ref, test):
        """Change a digit of each stored text in turn: each time it must be seen."""
        changed, missed = blind_spots(ref, test)
        self.user_properties.append((CHANGED, changed))
        self.comparison_traceback = [
            f"a changed digit in {label} is not seen: the comparison is blind to it"
            for label in missed
        ]


def stored_faults(cell, number):
    """Return what is wrong with a cell as committed, before it is run."""
    faults = [f"stored: {fault}" for fault in output_faults(cell.outputs)]
    if not cell.source.strip():
        faults.append("the cell is empty; delete it")
    if cell.execution_count is None:
        faults.append("the cell was committed without being run; run 'make notebooks'")
    elif cell.execution_count != number:
        faults.append(
            f"the cell's execution count is {cell.execution_count} and should be "
            f"{number}; run 'make notebooks'"
        )
    counts = {
        output.execution_count
        for output in cell.outputs
        if output.output_type == "execute_result"
    }
    if counts - {cell.execution_count}:
        faults.append("a result's execution count is not its cell's; run it again")
    markers = [
        *nbval.plugin.find_comment_markers(cell.source),
        *nbval.plugin.find_metadata_tags(cell.metadata),
    ]
    if any(marker != ("check", True) for marker in markers):
        faults.append("no cell is exempt from the comparison; delete its nbval mark")
    return faults


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(parent):
    """Put the strict class in the place of nbval's."""
    collected = yield
    return [
        StrictNotebook.from_parent(parent, path=collector.path)
        if isinstance(collector, nbval.plugin.IPyNbFile)
        else collector
        for collector in collected
    ]


def pytest_configure(config):
    """Refuse what would weaken the comparison; keep the order of streams."""
    for name in REFUSED:
        if getattr(config.option, name, None):
            option = name.replace("_", "-")
            raise pytest.UsageError(f"--{option} would compare less; leave it out")
    nbval.plugin.coalesce_streams = merge_streams
    if config.option.nbval:
        is_worker = hasattr(config, "workerinput")
        reason = config.workerinput["why"] if is_worker else reason_for_tolerance()
        config.stash[TOLERANCE] = reason
        if not is_worker:
            kernels.prepare_kernels()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Tell xdist's workers how outputs are compared, so that all do the same."""
    node.workerinput["why"] = node.config.stash.get(TOLERANCE, None)


def exactness(reason):
    """Say how exact the comparison was."""
    if not reason:
        pins = ", ".join(f"{name}={value}" for name, value in kernels.PINS.items())
        return f"all outputs compared exactly, under {pins}"
    return (
        f"compared with a TOLERANCE, not exactly: {reason}. Numbers may be off by "
        f"{COMPUTED[0]:.1%}, in cells that train by {TRAINED[0]:.0%}; figures and "
        "chaotic cells must be there; all asserts must hold"
    )


def pytest_terminal_summary(terminalreporter, config):
    """Print how exact the comparison was, and the seconds that each notebook took."""
    if not config.option.nbval:
        return
    seconds, changed = Counter(), 0
    for reports in terminalreporter.stats.values():
        for report in reports:
            path = getattr(report, "location", [""])[0]
            if path.endswith(".ipynb"):
                seconds[path] += report.duration
                if report.when == "call":
                    changed += dict(report.user_properties).get(CHANGED, 0)
    terminalreporter.section("notebooks, strict")
    terminalreporter.line(exactness(config.stash[TOLERANCE]))
    if changed:
        terminalreporter.line(f"{changed} stored digits changed in turn, each seen")
    for path, spent in seconds.most_common():
        terminalreporter.line(f"{spent:7.1f} s  {path}")
