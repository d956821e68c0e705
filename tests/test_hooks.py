"""What git checks before a commit: each hook passes what is here and stops a fault."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CONFIG = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
HOOKS = {hook["id"]: hook for repo in CONFIG["repos"] for hook in repo["hooks"]}
NOTEBOOK = ROOT / "book" / "measured" / "speed.ipynb"
MODULE = ROOT / "d2l_rnn" / "clipping.py"


def run(name, *paths):
    """Run a hook on files, as git would; return its exit code and which it changed."""
    python, *rest = shlex.split(HOOKS[name]["entry"])
    assert python == ".venv/bin/python"
    before = [path.read_bytes() for path in paths]
    command = [sys.executable, *rest, *map(str, paths)]
    code = subprocess.run(command, cwd=ROOT, capture_output=True).returncode
    after = [path.read_bytes() for path in paths]
    return code, [new != old for new, old in zip(after, before, strict=True)]


def edited(tmp_path, **changes):
    """Return a copy of a notebook whose first cell of code is changed."""
    book = json.loads(NOTEBOOK.read_text("utf-8"))
    cell = next(cell for cell in book["cells"] if cell["cell_type"] == "code")
    cell |= changes
    path = tmp_path / "edited.ipynb"
    path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path


@pytest.mark.parametrize("name", ["ruff-format", "ruff"])
def test_code_and_notebooks_pass_as_they_are(name):
    assert HOOKS[name]["types_or"] == ["python", "jupyter"]
    assert run(name, MODULE, NOTEBOOK) == (0, [False, False])


def test_code_is_formatted(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("x = [ 1,2 ]\n", "utf-8")
    notebook = edited(tmp_path, source=["x = [ 1,2 ]"])
    assert run("ruff-format", module, notebook)[1] == [True, True]
    assert module.read_text("utf-8") == "x = [1, 2]\n"
    assert '"x = [1, 2]"' in notebook.read_text("utf-8")


def test_code_is_linted(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("print(missing)\n", "utf-8")
    assert run("ruff", module)[0] == 1
    assert run("ruff", edited(tmp_path, source=["print(missing)"]))[0] == 1


def test_notebooks_must_be_normalized_and_run(tmp_path):
    assert run("normalized", NOTEBOOK) == (0, [False])
    for change in ({"execution_count": None}, {"metadata": {"scrolled": True}}):
        assert run("normalized", edited(tmp_path, **change)) == (1, [False])


def test_hooks_see_the_files_they_are_for():
    for notebook in (ROOT / "book").rglob("*.ipynb"):
        name = notebook.relative_to(ROOT).as_posix()
        for hook in ("normalized", "structure"):
            assert re.search(HOOKS[hook]["files"], name)
    assert re.search(HOOKS["structure"]["files"], "_toc.yml")
    assert not re.search(HOOKS["structure"]["files"], "d2l_rnn/text.py")
    assert not HOOKS["structure"]["pass_filenames"]
    *_, tests = shlex.split(HOOKS["structure"]["entry"])
    assert (ROOT / tests).is_file()
