"""tools/notebooks.py: running, normalizing and editing notebooks."""

import json

import kernels
import nbformat
import notebooks
import pytest


@pytest.fixture
def unpack_to(tmp_path, monkeypatch):
    """The folder of unpacked texts, one of the test's own."""
    monkeypatch.setattr(notebooks, "EDIT", tmp_path / "edit")
    return tmp_path / "edit"


def load(path):
    return json.loads(path.read_text("utf-8"))


def stored(path, *sources):
    """Write a notebook as if it had been run, each cell printing its number."""
    cells = [nbformat.v4.new_markdown_cell("# A title\n\nSome words.")]
    for number, source in enumerate(sources, start=1):
        output = nbformat.v4.new_output("stream", name="stdout", text=f"{number}\n")
        cells.append(
            nbformat.v4.new_code_cell(source, execution_count=number, outputs=[output])
        )
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebooks.write(path, notebooks.normalized(notebook))


def test_run_stores_outputs_and_a_second_run_changes_no_byte(make_notebook):
    path = make_notebook("good", "print('one')\nprint('two')", "6 * 7", "8;")
    assert notebooks.run([path], jobs=1) == 0
    once = path.read_bytes()
    cells = load(path)["cells"]
    assert [cell["execution_count"] for cell in cells] == [1, 2, 3]
    assert cells[0]["outputs"][0]["text"] == ["one\n", "two\n"]
    assert cells[1]["outputs"][0]["data"] == {"text/plain": ["42"]}
    assert cells[2]["outputs"] == []
    assert notebooks.run([path], jobs=1) == 0
    assert path.read_bytes() == once


def test_a_faulty_notebook_is_left_as_it_was(make_notebook, capsys):
    sources = {
        "raises": "1 / 0",
        "warns": "import warnings\n\nwarnings.warn('careful')",
        "empty": "  ",
    }
    paths = [make_notebook(name, "x = 1", bad) for name, bad in sources.items()]
    before = [path.read_bytes() for path in paths]
    assert notebooks.run(paths, jobs=2) == 1
    assert [path.read_bytes() for path in paths] == before
    problems = capsys.readouterr().err
    assert "raises.ipynb: code cell 2" in problems
    assert "ZeroDivisionError" in problems
    assert "warns.ipynb: code cell 2: the cell writes to stderr" in problems
    assert "empty.ipynb: code cell 2 is empty; delete it" in problems


def test_kernels_get_the_pins_and_none_of_the_callers_settings(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MXNET_ENGINE_TYPE", "NaiveEngine")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    environment = kernels.kernel_environment()
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment.items() >= kernels.PINS.items()
    assert not {"MXNET_ENGINE_TYPE", "PYTHONWARNINGS"} & set(environment)


def test_what_varies_between_machines_is_not_written():
    pieces = [
        nbformat.v4.new_output("stream", name="stdout", text=text)
        for text in ("a", "b\n")
    ]
    cell = nbformat.v4.new_code_cell("print('ab')", outputs=pieces)
    cell.metadata = {"tags": ["x"], "collapsed": False, "execution": {"at": "noon"}}
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata = {"kernelspec": {"name": "mine"}, "widgets": {}}
    text = notebooks.normalized(notebook)
    written = json.loads(text)
    assert text.endswith("}\n")
    assert written["metadata"]["kernelspec"] == notebooks.KERNELSPEC
    assert set(written["metadata"]) == {"kernelspec", "language_info"}
    assert written["cells"][0]["metadata"] == {"tags": ["x"]}
    assert [output["text"] for output in written["cells"][0]["outputs"]] == [["ab\n"]]
    again = nbformat.reads(text, as_version=4)
    assert notebooks.normalized(again) == text


def test_cells_without_an_id_get_the_same_one_every_time():
    cells = [{"cell_type": "markdown", "metadata": {}, "source": "Hello"}] * 2
    old = json.dumps(
        {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    )
    texts = [notebooks.normalized(nbformat.reads(old, as_version=4)) for _ in range(2)]
    ids = {cell["id"] for cell in json.loads(texts[0])["cells"]}
    assert texts[0] == texts[1]
    assert len(ids) == 2


def test_edit_and_update_give_the_same_bytes_back(tmp_path, unpack_to):
    path = tmp_path / "chapter.ipynb"
    stored(path, "print(1)", "print(2)")
    before = path.read_bytes()
    assert notebooks.edit(path) == unpack_to / "chapter.md"
    notebooks.update(path)
    assert path.read_bytes() == before


def test_update_drops_the_outputs_of_changed_cells_only(tmp_path, unpack_to):
    path = tmp_path / "chapter.ipynb"
    stored(path, "print(1)", "print(2)", "print(3)")
    before = {cell["id"]: cell for cell in load(path)["cells"]}
    text_path = notebooks.edit(path)
    text = text_path.read_text("utf-8")
    text = text.replace("Some words.", "Other words.")
    text = text.replace("print(2)", "print(1 + 1)")
    text += "\n```{code-cell} ipython3\n:tags: [new]\n\nprint(4)\n```\n"
    text_path.write_text(text, "utf-8")
    notebooks.update(path)
    title, one, two, three, four = load(path)["cells"]
    assert [cell["id"] for cell in (title, one, two, three)] == list(before)
    assert "Other words." in title["source"]
    assert (one, three) == (before[one["id"]], before[three["id"]])
    for cell in (two, four):
        assert (cell["execution_count"], cell["outputs"]) == (None, [])
    assert four["metadata"] == {"tags": ["new"]}


def test_edit_keeps_a_text_that_was_not_packed_yet(tmp_path, unpack_to):
    path = tmp_path / "chapter.ipynb"
    stored(path, "print(1)")
    text_path = notebooks.edit(path)
    mine = text_path.read_text("utf-8") + "\nMore words.\n"
    text_path.write_text(mine, "utf-8")
    with pytest.raises(notebooks.NotebookFault, match="differs from the notebook"):
        notebooks.edit(path)
    assert text_path.read_text("utf-8") == mine
    notebooks.edit(path, force=True)
    assert "More words" not in text_path.read_text("utf-8")


def test_update_without_a_text_says_what_to_do(tmp_path, unpack_to):
    path = tmp_path / "chapter.ipynb"
    stored(path, "print(1)")
    with pytest.raises(notebooks.NotebookFault, match="run 'edit' first"):
        notebooks.update(path)


def test_a_path_that_is_no_notebook_is_named(tmp_path, capsys):
    assert notebooks.main(["run", str(tmp_path / "missing.ipynb")]) == 1
    assert "missing.ipynb is not a notebook" in capsys.readouterr().err
    assert notebooks.main(["check", str(tmp_path)]) == 1
    assert f"no notebook in {tmp_path}" in capsys.readouterr().err


def test_a_notebook_that_run_has_not_written_is_named(make_notebook, tmp_path, capsys):
    good = tmp_path / "good.ipynb"
    stored(good, "print(1)", "print(2)")
    assert notebooks.not_normalized([good]) == 0
    edited = tmp_path / "edited.ipynb"
    edited.write_text(good.read_text("utf-8").replace(" ", "  ", 1), "utf-8")
    unrun = make_notebook("unrun", "print(1)")
    assert notebooks.not_normalized([good, edited, unrun]) == 1
    named = capsys.readouterr().err
    assert "edited.ipynb" in named
    assert "unrun.ipynb" in named
    assert "good.ipynb" not in named
