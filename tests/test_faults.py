"""The checks of notebooks and book see each fault that is planted in a copy.

A check that cannot fail checks nothing. So a notebook is made with one cell for
each fault: as it is, it is green, and with the faults planted every cell is red.
"""

import re
import shutil
from pathlib import Path

import book
import kernels
import nbformat
import notebooks
import pytest
import structure
import yaml

ROOT = Path(__file__).resolve().parents[1]

SET_UP = """\
import sys
from d2l_rnn.plotting import plot_curves, set_figure_style

set_figure_style()
losses = [3.5, 2.25, 1.5]"""
PRINT = 'print(f"perplexity {losses[-1]:.2f}")'
PLOT = 'ax = plot_curves({"rnn": losses}, xlabel="epoch", ylabel="perplexity")'
STDERR = 'print("careful", file=sys.stderr);'


def stream(name, text):
    return nbformat.v4.new_output("stream", name=name, text=text)


def figure(**data):
    return nbformat.v4.new_output("display_data", data=data)


ERROR = nbformat.v4.new_output(
    "error", ename="ZeroDivisionError", evalue="division by zero"
)
BITMAP = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}
HIDDEN_BITMAP = {
    "image/svg+xml": '<svg><image href="data:image/png;base64,iVBO"/></svg>'
}


def digit(cell):
    """Change the last digit of what a cell printed."""
    (printed,) = cell.outputs
    assert printed.text == "perplexity 1.50\n"
    printed.text = "perplexity 1.51\n"


def curve(cell):
    """Move the first point of a curve down by a thousandth of a pixel."""
    data = cell.outputs[0].data
    line = re.compile(r'(<path d="M \S+ )(\S+)( \nL \S+ \S+ \nL \S+ \S+ \n" clip-path)')
    (match,) = line.finditer(data["image/svg+xml"])
    moved = f"{match[1]}{float(match[2]) + 0.001:.6f}{match[3]}"
    data["image/svg+xml"] = line.sub(lambda _: moved, data["image/svg+xml"])


def outputs(*stored):
    """Store other outputs than those that the cell gave."""
    return lambda cell: cell.update(outputs=list(stored))


def source(text, *stored):
    """Have the cell do something else, and store what that may give."""
    return lambda cell: cell.update(source=text, outputs=list(stored))


def exempt(*, tag=None, comment=""):
    """Mark a cell as one whose output is not to be compared."""

    def plant(cell):
        digit(cell)
        cell.source = comment + cell.source
        cell.metadata["tags"] = [tag] if tag else []

    return plant


EXEMPT = "no cell is exempt from the comparison"
CHANGED = "stored: perplexity 1.51"

#: From a fault to the cell that gets it, how, and words of the message.
FAULTS = {
    "a changed digit": (PRINT, digit, [CHANGED, "run:    perplexity 1.50"]),
    "a changed curve": (PLOT, curve, ["display_data of image/svg+xml, line"]),
    "another curve": (
        PLOT,
        lambda cell: cell.update(source=PLOT.replace("losses", "losses[::-1]")),
        ["display_data of image/svg+xml, line"],
    ),
    "an error": (
        PRINT,
        source("1 / 0"),
        ["Cell execution caused", "ZeroDivisionError"],
    ),
    "an error, stored too": (
        PRINT,
        source("1 / 0", ERROR),
        ["stored: the cell raises ZeroDivisionError: division by zero"],
    ),
    "a stored error": (PRINT, outputs(ERROR), ["stored: the cell raises"]),
    "stderr": (PRINT, source(STDERR), ["the run's:      stderr"]),
    "stderr, stored too": (
        PRINT,
        source(STDERR, stream("stderr", "careful\n")),
        ["stored: the cell writes to stderr: 'careful'"],
    ),
    "a warning": (
        PRINT,
        source('import warnings\n\nwarnings.warn("careful")'),
        ["the run's:      stderr"],
    ),
    "an output not stored": (
        PRINT,
        outputs(),
        ["stored outputs: none", "the run's:      stdout"],
    ),
    "an output no longer printed": (
        PRINT,
        lambda cell: cell.update(source="losses[-1];"),
        ["stored outputs: stdout", "the run's:      none"],
    ),
    "a cell that was not run": (
        PRINT,
        lambda cell: cell.update(execution_count=None, outputs=[]),
        ["the cell was committed without being run"],
    ),
    "a cell run out of order": (
        PRINT,
        lambda cell: cell.update(execution_count=1),
        ["the cell's execution count is 1 and should be"],
    ),
    "an empty cell": (PRINT, source(""), ["the cell is empty"]),
    "a bitmap": (PLOT, outputs(figure(**BITMAP)), ["an output of type image/png"]),
    "a bitmap in a figure": (
        PLOT,
        outputs(figure(**HIDDEN_BITMAP)),
        ["a bitmap inside a figure"],
    ),
    "a redrawn output": (
        PRINT,
        source("from IPython.display import clear_output\n\nclear_output()"),
        ["the cell redraws its output (clear_output)"],
    ),
    "a memory address": (
        PRINT,
        source('"0x7f0123456789"', stream("stdout", "0x7f0123456789")),
        ["the memory address 0x7f0123456789"],
    ),
    **{
        f"tag {name}": (PRINT, exempt(tag=name), [EXEMPT, CHANGED])
        for name in ("nbval-ignore-output", "nbval-skip", "raises-exception")
    },
    "a comment": (
        PRINT,
        exempt(comment="# NBVAL_IGNORE_OUTPUT\n"),
        [EXEMPT, CHANGED],
    ),
    # Such text comes late. It is in the last cell, after which nobody would look.
    "stderr below Python": (
        PRINT,
        source('import os\n\nos.write(2, b"careful\\n");'),
        ["stderr"],
    ),
}


@pytest.mark.skipif(kernels.obstacle() is not None, reason=str(kernels.obstacle()))
def test_each_fault_is_red_and_the_untouched_copy_green(
    make_notebook, strict_check, subtests
):
    cells = [SET_UP, PRINT, *(text for text, _, _ in FAULTS.values())]
    good = make_notebook("good", *cells)
    assert notebooks.run([good], jobs=1) == 0

    notebook = nbformat.read(good, as_version=4)
    for cell, (_, plant, _) in zip(notebook.cells[2:], FAULTS.values(), strict=True):
        plant(cell)
    bad = good.with_name("bad.ipynb")
    nbformat.write(notebook, bad)

    status, found = strict_check(good, bad)
    assert status == 1
    assert found["good"] == dict.fromkeys(range(1, len(cells) + 1))
    assert (found["bad"].pop(1), found["bad"].pop(2)) == (None, None)
    for (name, (_, _, words)), message in zip(
        FAULTS.items(), found["bad"].values(), strict=True
    ):
        with subtests.test(msg=name):
            assert message, "the check passed"
            assert [part for part in words if part not in message] == []


#: A plugin for the check's own pytest, of which it does not know.
BLIND = """\
import outputs

everything = outputs.parts
outputs.parts = lambda found: [
    (label, text) for label, text in everything(found) if not label.endswith("html")
]
"""


def test_a_comparison_that_overlooks_something_is_red(
    make_notebook, strict_check, tmp_path, monkeypatch, capfd
):
    """Each check changes every stored text in turn, and has to see it."""
    show = 'from IPython.display import HTML\n\nprint(1.5)\nHTML("<b>2.5</b>")'
    path = make_notebook("any", show, "print(3)\nprint('none')")
    assert notebooks.run([path], jobs=1) == 0
    assert strict_check(path) == (0, {"any": {1: None, 2: None}})
    # "1.5", "<b>2.5</b>" and, without a digit, <IPython…>; then "3"
    assert "3 stored digits changed in turn, each seen" in capfd.readouterr().out
    (tmp_path / "blind.py").write_text(BLIND, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    status, found = strict_check(path, options="-p blind")
    assert status == 1
    assert "a changed digit in text/html is not seen" in found["any"][1]
    assert found["any"][2] is None


@pytest.mark.parametrize("option", ["--nbval-lax", "--nbval-kernel-name=python3"])
def test_an_option_that_weakens_the_check_is_refused(option, make_notebook, capfd):
    path = make_notebook("any", "1")
    status = pytest.main([str(path), "-p", "nbval_strict", "--nbval", option])
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "would compare less" in capfd.readouterr().err


# Faults that are seen in the sources.


@pytest.fixture
def chapters(tmp_path):
    """A folder like the repository's, with the package and two good chapters."""
    (tmp_path / "d2l_rnn").symlink_to(ROOT / "d2l_rnn")
    (tmp_path / "book").mkdir()

    def write(name, *sources):
        cells = [nbformat.v4.new_code_cell(text) for text in sources]
        path = tmp_path / "book" / f"{name}.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return tmp_path

    write("one", "import d2l_rnn.text\nfrom mxnet import nd", "def rnn(X):\n    pass")
    write("two", "from d2l_rnn.text import Vocab", "def gru(X):\n    pass")
    return write


def test_two_good_chapters_are_green(chapters):
    root = chapters("three", "import d2l_rnn")
    assert structure.package_comes_first(root) == []
    assert structure.package_is_not_redefined(root) == []
    assert structure.functions_are_defined_once(root) == []


@pytest.mark.parametrize(
    "cell",
    [
        "import mxnet as mx\nimport d2l_rnn",
        "from mxnet import nd\n\nfrom d2l_rnn.text import Vocab",
        "try:\n    import mxnet\nfinally:\n    import d2l_rnn",
        "import numpy as np",
    ],
)
def test_a_first_cell_that_imports_mxnet_first(chapters, cell):
    (problem,) = structure.package_comes_first(chapters("bad", cell))
    assert problem.startswith("book/bad.ipynb, code cell 1: import d2l_rnn here")


@pytest.mark.parametrize(
    "cell",
    [
        "def clip_gradients(grads, theta):\n    return grads",
        "if True:\n\n    class clip_gradients:\n        pass",
        "clip_gradients = lambda grads, theta: grads",
    ],
)
def test_a_chapter_that_redefines_a_function_of_the_package(chapters, cell):
    root = chapters("bad", "import d2l_rnn", cell)
    (problem,) = structure.package_is_not_redefined(root)
    assert problem.startswith("book/bad.ipynb, code cell 2: defines clip_gradients")
    assert "d2l_rnn.clipping has" in problem


def test_two_chapters_that_define_the_same_function(chapters):
    root = chapters("bad", "import d2l_rnn", "x = 1", "def rnn(X, H):\n    return H")
    (problem,) = structure.functions_are_defined_once(root)
    assert "book/bad.ipynb, code cell 3 and book/one.ipynb, code cell 2" in problem
    assert "both define rnn" in problem


# Faults that the book's build sees.

PAGE = """\
# A page

```{figure} picture.svg
:name: fig-picture
A picture.
```

See {numref}`fig-picture`, {cite:p}`elman1990` and [the figure](#fig-picture).

```{bibliography}
```
"""
BROKEN = """
See {numref}`fig-missing`, {cite:p}`nobody1900` and [nothing](nowhere.md).

![no picture](missing.svg)

### A heading two levels down
"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


def build(root, page, monkeypatch):
    """Build a book of one page with the settings of the real one."""
    for name in ("_ext", "_static", "_templates", "references.bib"):
        place = ROOT / "book" / name
        (shutil.copytree if place.is_dir() else shutil.copy)(
            place, root / "book" / name
        )
    shutil.copy(ROOT / "_config.yml", root)
    toc = {"format": "jb-book", "root": "book/index"}
    (root / "_toc.yml").write_text(yaml.safe_dump(toc), "utf-8")
    (root / "book" / "index.md").write_text(page, "utf-8")
    (root / "book" / "picture.svg").write_text(SVG, "utf-8")
    monkeypatch.setattr(book, "ROOT", root)
    monkeypatch.setattr(book, "BUILD", root / "_build")
    return book.build(everything=True)


def test_a_page_without_faults_is_built(tmp_path, monkeypatch):
    assert build(tmp_path, PAGE, monkeypatch) == 0


def test_a_warning_fails_the_build(tmp_path, monkeypatch, capfd):
    assert build(tmp_path, PAGE + BROKEN, monkeypatch) != 0
    warnings = capfd.readouterr().err
    for words in (
        "fig-missing",
        "nobody1900",
        "nowhere.md",
        "missing.svg",
        "Non-consecutive header level",
    ):
        assert words in warnings
