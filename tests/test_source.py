"""The source that a chapter shows is the file's, without the docstring."""

import ast
import inspect
import re
import sys
import textwrap
from importlib import util
from pathlib import Path

from d2l_rnn import cells, clipping, metrics, sampling, training
from d2l_rnn.source import show_source

import pytest

ROOT = Path(__file__).resolve().parent.parent

FUNCTIONS = [
    clipping.clip_gradients,
    cells.rnn_step,
    metrics.perplexity,
    training.train,
    sampling._Batches,
    sampling.ConsecutiveBatches,
    training.History,
    training.TrainingDiverged,
    sampling.RandomBatches.num_batches,
]
everything = pytest.mark.parametrize("thing", FUNCTIONS, ids=lambda f: f.__qualname__)

FOREIGN = '''
import functools
from dataclasses import dataclass


def twice(times):
    return lambda function: functools.wraps(function)(lambda *x: times * function(*x))


@twice(
    times=2,
)
@twice(3)
def checked(x):
    """Say x."""
    return x


@dataclass
class Point:
    """A place."""

    x: float = 0


class Base:
    def start(self):
        """Begin."""


class Model(Base):
    """A model."""

    def start(self):
        print("first")
        print("second")

    @twice(2)
    def turn(self):
        return 1

    def stop(self):
        """End."""
        return """not a
        docstring"""


def undocumented(x):
    return x + 1
'''


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """Return a module that lies outside of the package."""
    path = tmp_path / "foreign.py"
    path.write_text(FOREIGN)
    spec = util.spec_from_file_location("foreign", path)
    module = util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "foreign", module)
    spec.loader.exec_module(module)
    return module


def shown(thing, **options):
    """Return file, line and code that are shown."""
    text = show_source(thing, **options).data
    pattern = r"`([^`]+)`, line (\d+)\n\n```python\n(.*)\n```"
    name, line, code = re.fullmatch(pattern, text, re.DOTALL).groups()
    return name, int(line), code


def without_docstring(thing):
    """Return a definition's syntax tree, its own docstring taken out."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    if ast.get_docstring(tree) is not None:
        tree.body = tree.body[1:]
    if hasattr(thing, "__wrapped__"):
        tree.decorator_list = []
    return ast.dump(tree)


@everything
def test_the_code_is_the_definition_without_its_docstring(thing):
    _, _, code = shown(thing)
    assert ast.dump(ast.parse(code).body[0]) == without_docstring(thing)
    if thing.__doc__:
        assert thing.__doc__.strip().splitlines()[0] not in code


@everything
def test_the_file_and_the_line_are_right(thing):
    name, line, code = shown(thing)
    assert name.startswith("d2l_rnn/")
    there = (ROOT / name).read_text(encoding="utf-8").splitlines()[line - 1]
    assert there.strip() == code.splitlines()[0]


@everything
def test_the_docstring_can_be_kept(thing):
    if hasattr(thing, "__wrapped__"):
        pytest.skip("a decorator is left out")
    _, _, code = shown(thing, doc=True)
    assert code == textwrap.dedent(inspect.getsource(thing)).rstrip()


def test_a_decorator_that_wraps_is_left_out_and_others_stay(foreign):
    for thing, first in (
        (foreign.checked, "def checked(x):"),
        (foreign.Model.turn, "def turn(self):"),
        (foreign.Point, "@dataclass"),
    ):
        _, line, code = shown(thing)
        assert code.splitlines()[0] == first
        assert FOREIGN.splitlines()[line - 1].strip() == first
    _, _, code = shown(foreign.checked, doc=True)
    assert code == 'def checked(x):\n    """Say x."""\n    return x'


def test_comments_and_blank_lines_are_kept():
    _, _, code = shown(cells.unroll)
    lines = inspect.getsource(cells.unroll).splitlines()
    assert code.splitlines()[-5:] == lines[-5:]


def test_code_from_elsewhere_is_named_without_its_folder(foreign):
    name, line, code = shown(foreign.undocumented)
    assert name == "foreign.py"
    assert FOREIGN.splitlines()[line - 1] == "def undocumented(x):"
    assert code == "def undocumented(x):\n    return x + 1"


def test_an_inherited_docstring_takes_no_line_away(foreign):
    _, _, code = shown(foreign.Model.start)
    assert code == ('def start(self):\n    print("first")\n    print("second")')


def test_only_the_docstring_goes(foreign):
    _, _, code = shown(foreign.Model.stop)
    assert code.startswith('def stop(self):\n    return """not a')
    _, _, code = shown(foreign.Model)
    assert '"""A model."""' not in code
    assert '"""End."""' in code


@pytest.mark.parametrize("thing", [len, dict, 3, "train", clipping])
def test_what_has_no_definition_is_named(thing):
    with pytest.raises(TypeError, match="thing must be a function or class") as caught:
        show_source(thing)
    assert repr(thing) in str(caught.value)
