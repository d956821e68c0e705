"""The mutation runs: what they change, and that they tell caught from survived."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import mutants
import mutations
import nbformat
import notebook_mutants
import notebooks
import pytest
import yaml
from notebooks import NotebookFault

TOOLS = Path(mutants.__file__).parent

MODULE = '''\
"""A toy."""

__all__ = ["bound"]


def bound(x: int = 7):
    """Return x, or 3 where it is above.

    >>> bound(1)
    1
    """
    if x > 3:
        x = 3
    return x
'''
WEAK = "from toy.bound import bound\n\n\ndef test_it():\n    assert callable(bound)\n"
GOOD = """\
from toy.bound import bound


def test_it():
    assert [bound(x) for x in (2, 2.5, 3, 3.5, 4, 5)] == [2, 2.5, 3, 3, 3, 3]
    assert bound() == 3
"""
#: Those that no test could notice, and the others.
EQUIVALENT = {
    "bound: def bound(x: int=7): → def bound(x: int=8):",
    "bound: def bound(x: int=7): → def bound(x: int=6):",
    "bound: if x > 3: → if x >= 3:",
}
FAULTS = {
    "bound: if x > 3: → if not x > 3:",
    "bound: if x > 3: → if x < 3:",
    "bound: if x > 3: → if x > 4:",
    "bound: if x > 3: → if x > 2:",
    "bound: x = 3 → pass",
    "bound: x = 3 → x = 4",
    "bound: x = 3 → x = 2",
    "bound: return x → return None",
}

RUN = """\
import json, sys
from pathlib import Path

import pytest

import mutants
from mutations import mutants_of

root, folder = map(Path, sys.argv[1:])
sys.path.insert(0, str(folder))
where = mutants.Copy(root, folder, "toy")
sources = {name: text for name, (_, text) in mutants_of(sys.stdin.read()).items()}
sources["endless"] = "while True: pass"
sources["broken"] = "import nothing_of_this_name"
found = {k: where.run("bound", v, ["test_bound"], 2)[0] for k, v in sources.items()}
print(json.dumps(found))
"""


def run_toy(folder, test):
    """Return the verdicts on the toy's mutants, and on the toy itself."""
    root = folder / "root"
    (root / "toy").mkdir(parents=True)
    (root / "tests").mkdir()
    (root / "toy" / "__init__.py").touch()
    (root / "toy" / "bound.py").write_text(MODULE)
    (root / "tests" / "test_bound.py").write_text(test)
    command = [sys.executable, "-c", RUN, root, folder / "copy"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=TOOLS, input=MODULE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (root / "toy" / "bound.py").read_text() == MODULE
    assert (folder / "copy" / "toy" / "bound.py").read_text() == MODULE
    found = json.loads(done.stdout)
    assert (found.pop("endless"), found.pop("broken")) == ("timed out", "caught")
    assert set(found) == EQUIVALENT | FAULTS
    return {name for name, verdict in found.items() if verdict == "survived"}


def test_a_good_test_catches_all_but_what_changes_nothing(tmp_path):
    assert run_toy(tmp_path, GOOD) == EQUIVALENT


def test_a_test_that_checks_little_lets_faults_survive(tmp_path):
    seen_by_the_example = {
        "bound: if x > 3: → if not x > 3:",
        "bound: if x > 3: → if x < 3:",
        "bound: return x → return None",
    }
    assert run_toy(tmp_path, WEAK) == (EQUIVALENT | FAULTS) - seen_by_the_example


def test_mutants_are_single_changes_of_code_that_runs():
    found = mutations.mutants_of(MODULE)
    assert set(found) == EQUIVALENT | FAULTS
    for _, source in found.values():
        tree = ast.parse(source)
        assert ast.get_docstring(tree) == "A toy."
        assert "__all__ = ['bound']" in source
    lines = {line for line, _ in found.values()}
    assert lines == {6, 12, 13, 14}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a and (not b)", ["a or not b", "a and b"]),
        ("a == b or a is None", ["a != b or a is None", "a == b or a is not None"]),
        ("f(a, k=True)", ["f(a)", "f(a, k=False)"]),
        ("max(-a, 2)", ["min(-a, 2)", "max(a, 2)", "max(-a, 3)", "max(-a, 1)"]),
        ("a if b else c", ["a if not b else c"]),
        ("a * b // c", ["a * b * c", "a / b // c"]),
    ],
)
def test_an_expression_has_these_mutants(before, after):
    found = mutations.mutants_of(f"def f(a, b, c):\n    return {before}\n")
    lines = {name.partition(" → return ")[2] for name in found} - {"None"}
    assert lines >= set(after)


def test_a_statement_is_left_out_unless_a_name_would_be_unknown():
    text = "def f(a):\n    b = a\n    a = b + a\n    if a in b:\n        raise E\n"
    names = set(mutations.mutants_of(text))
    assert "f: a = b + a → pass" in names
    assert "f: raise E → pass" in names
    assert "f: b = a → pass" not in names


def test_new_tests_need_only_see_the_survivors():
    found = {"a": "caught", "b": "survived", "c": "timed out"}
    kept = {"source": "s", "tests": "t", "found": found}
    assert mutants.remembered(kept, "s", "t") == found
    assert mutants.remembered(kept, "s", "other") == {"a": "caught"}
    assert mutants.remembered(kept, "other", "t") == {}
    assert mutants.remembered({}, "s", "t") == {}


def test_the_summary_counts_and_lists():
    found = {"a": "caught", "b": "survived", "c": "timed out", "d": "survived"}
    all_of_them = {name: (10, "") for name in "abcde"}
    lines, share = mutants.summary("toy", all_of_them, found, {"d": "it is the same"})
    assert share == pytest.approx(2 / 3)
    assert lines == [
        "toy: 4 of 5 mutants, 1 of them equivalent; 1 caught, 1 timed out, "
        "1 survived: 66.7%",
        "    d2l_rnn/toy.py:10: b",
    ]


# Notebooks

PLOT = """\
from d2l_rnn.plotting import plot_curves, set_figure_style

set_figure_style()
plot_curves({"rnn": [3.5, 2.25, 1.5]}, xlabel="epoch", ylabel="perplexity");"""


def test_a_changed_digit_and_a_moved_curve_are_seen_in_their_cells(make_notebook):
    path = make_notebook("good", "print(3.25)", "x = 1", PLOT, "6 * 7")
    assert notebooks.run([path], jobs=1) == 0
    before = path.read_bytes()
    problems = notebook_mutants.run([path], path.parent / "copies")
    assert problems == {path: None}
    assert path.read_bytes() == before


def test_a_change_that_is_not_seen_is_told(make_notebook, monkeypatch, capsys):
    path = make_notebook("good", "print(3.25)", "x = 1")
    assert notebooks.run([path], jobs=1) == 0

    def blind(paths, jobs):
        good = nbformat.read(path, as_version=4)
        nbformat.write(good, paths[0])
        return notebooks_check(paths, jobs)

    notebooks_check = notebooks.check
    monkeypatch.setattr(notebooks, "check", blind)
    problems = notebook_mutants.run([path], path.parent / "copies")
    assert "failed: cells []" in problems[path]
    assert "MISSED" in capsys.readouterr().out


def test_one_digit_is_changed_in_a_copy(make_notebook):
    path = make_notebook("good", "print('epoch 10')", "7")
    assert notebooks.run([path], jobs=1) == 0
    copy, planted = notebook_mutants.mutate(path, path.parent / "copies", seed=0)
    number, old, new = planted["text"]
    assert (int(old) + 1) % 10 == int(new)
    one, other = (
        path.read_text("utf-8"),
        notebooks.normalized(nbformat.read(copy, as_version=4)),
    )
    assert [(a, b) for a, b in zip(one, other, strict=True) if a != b] == [(old, new)]
    assert number in (1, 2)


def test_a_notebook_without_digits_is_named(make_notebook):
    path = make_notebook("wordy", "print('words')")
    assert notebooks.run([path], jobs=1) == 0
    with pytest.raises(NotebookFault, match="no stored output holds a digit"):
        notebook_mutants.mutate(path, path.parent / "copies", seed=0)


def test_mutants_that_were_judged_are_still_there():
    judged = yaml.safe_load(mutants.EQUIVALENT.read_text("utf-8"))
    assert set(judged) <= set(mutants.TESTS)
    for module, reasons in judged.items():
        source = (mutants.ROOT / "d2l_rnn" / f"{module}.py").read_text("utf-8")
        assert set(reasons) <= set(mutations.mutants_of(source))
        assert all(reasons.values())
