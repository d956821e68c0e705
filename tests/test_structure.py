"""The book's files follow the rules of tools/structure.py."""

from pathlib import Path

import pytest
import structure

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("rule", structure.RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule):
    problems = rule(ROOT)
    assert not problems, "\n" + "\n".join(problems)


def test_every_chapter_is_seen():
    """An empty book would pass every rule."""
    paths = {str(notebook.path) for notebook in structure.notebooks(ROOT)}
    assert "book/language_models/text_and_sampling.ipynb" in paths
    assert "book/recurrent/rnn_from_scratch.ipynb" in paths


def test_public_names_are_those_of_the_modules():
    names = structure.public_names(ROOT)
    assert names["train"] == "d2l_rnn.training"
    assert names["clip_gradients"] == "d2l_rnn.clipping"
    assert "_prepare" not in names
