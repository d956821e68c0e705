"""A new chapter from the template passes the rules and runs."""

import shutil
import subprocess
import sys

import chapter
import notebooks
import pytest
import structure
import yaml
from notebooks import NotebookFault


@pytest.fixture
def root(tmp_path):
    """A copy of the project's contents without chapters."""
    shutil.copy(chapter.ROOT / "_toc.yml", tmp_path)
    (tmp_path / "book").mkdir()
    return tmp_path


def test_a_new_chapter_keeps_all_rules_and_runs(root):
    path = chapter.create("gated/my_cell", root)
    assert path == root / "book" / "gated" / "my_cell.ipynb"
    contents = {
        "format": "jb-book",
        "root": "book/gated/my_cell",
    }
    (root / "_toc.yml").write_text(yaml.safe_dump(contents), "utf-8")
    shutil.copytree(chapter.ROOT / "d2l_rnn", root / "d2l_rnn")
    assert notebooks.run([path], jobs=1) == 0
    for rule in structure.RULES:
        assert rule(root) == [], rule.__name__
    config = ["--config", chapter.ROOT / "book" / "ruff.toml", "--no-cache"]
    for action in (["check"], ["format", "--check"]):
        assert (
            subprocess.call([sys.executable, "-m", "ruff", *action, *config, path]) == 0
        )
    assert "My Cell" in path.read_text("utf-8")
    for word in ("SLUG", "TITLE"):
        assert word not in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_cell", "NAME must begin with a part"),
        ("attention/my_cell", "must begin with a part .*gated"),
        ("gated/", "NAME must end in a name in lower case"),
        ("gated/My_cell", "NAME must end in a name in lower case"),
        ("gated/../x", "NAME must end in a name in lower case"),
        ("gated/a b", "NAME must end in a name in lower case"),
    ],
)
def test_names_that_cannot_be_are_refused(name, message, root):
    with pytest.raises(NotebookFault, match=message):
        chapter.create(name, root)
    assert not list(root.rglob("*.ipynb"))


def test_a_chapter_is_not_overwritten(root):
    path = chapter.create("gated/my_cell", root)
    path.write_text("mine", "utf-8")
    with pytest.raises(NotebookFault, match="is already there"):
        chapter.create("gated/my_cell", root)
    assert path.read_text("utf-8") == "mine"
