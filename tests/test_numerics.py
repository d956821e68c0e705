"""Training gives the same digits under the pins, and the check sees other digits.

Stored outputs can be compared exactly only if both hold: a second run agrees, and
a run with another arithmetic does not. Otherwise the check would be red on good
notebooks, or blind. Where bits cannot agree, numbers are compared with a tolerance,
and what is further off, missing or false is still seen.
"""

import json
import shutil

import kernels
import nbformat
import nbval_strict
import notebooks
import pytest

can_pin = pytest.mark.skipif(
    kernels.obstacle() is not None, reason=str(kernels.obstacle())
)

SET_UP = """\
import os

from d2l_rnn.models import rnn_model
from d2l_rnn.sampling import ConsecutiveBatches
from d2l_rnn.text import load_corpus
from d2l_rnn.training import train

corpus = load_corpus("alice29")
print(len(corpus.vocab), "symbols,", os.environ["OMP_NUM_THREADS"], "thread")"""
TRAIN = """\
batches = ConsecutiveBatches(corpus.ids[:2000], batch_size=16, num_steps=20)
model = rnn_model(len(corpus.vocab), num_hiddens=64)
history = train(model, batches, epochs=3, lr=1.0, clip=1.0)
print(*history.train_perplexity, sep="\\n")"""
AFTER = 'print(history.num_epochs, "epochs")'

#: A plugin for the check's own pytest: the instruction sets of another machine.
OTHER_MACHINE = """\
import kernels

kernels.PINS.update(DNNL_MAX_CPU_ISA="SSE41", OPENBLAS_CORETYPE="Prescott")
"""


#: The same, asked for by a reader.
SIMULATED = {
    "D2L_RNN_NUMERICS": "tolerant",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Prescott",
}


@can_pin
def test_training_is_reproduced_and_another_arithmetic_is_seen(
    make_notebook, strict_check, tmp_path, monkeypatch, capfd
):
    one = make_notebook("one", SET_UP, TRAIN, AFTER)
    tag(one, {2: ["training-log"]})
    two = shutil.copy(one, one.with_name("two.ipynb"))
    assert notebooks.run([one, two], jobs=2) == 0
    assert one.read_bytes() == two.read_bytes()

    cells = json.loads(one.read_text("utf-8"))["cells"]
    printed = [cell["outputs"][0]["text"] for cell in cells]
    assert printed[0] == ["74 symbols, 1 thread\n"]
    perplexities = [float(line) for line in printed[1]]
    assert len(perplexities) == 3
    assert perplexities[2] < perplexities[0] < 74

    assert strict_check(one) == (0, {"one": {1: None, 2: None, 3: None}})
    assert "OMP_NUM_THREADS=1" in capfd.readouterr().out

    (tmp_path / "other_machine.py").write_text(OTHER_MACHINE, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    status, found = strict_check(one, options="-p other_machine")
    assert "DNNL_MAX_CPU_ISA=SSE41" in capfd.readouterr().out
    assert status == 1
    assert [number for number, fault in found["one"].items() if fault] == [2]
    assert f"stored: {perplexities[0]}"[:20] in found["one"][2]

    for name, value in SIMULATED.items():
        monkeypatch.setenv(name, value)
    assert strict_check(one) == (0, {"one": {1: None, 2: None, 3: None}})
    assert capfd.readouterr().out.count("compared with a TOLERANCE") == 1


def tag(path, tags):
    """Give code cells, by their numbers, these tags."""
    notebook = nbformat.read(path, as_version=4)
    for number, names in tags.items():
        notebook.cells[number - 1].metadata["tags"] = names
    nbformat.write(notebook, path)


def printing(text, stored, *tags):
    """Return a cell that prints a text, and has stored another."""
    output = nbformat.v4.new_output("stream", name="stdout", text=f"{stored}\n")
    cell = nbformat.v4.new_code_cell(f"print({text!r})", outputs=[output])
    cell.metadata["tags"] = list(tags)
    return cell


def silent(cell, **changes):
    """Return a cell with something changed."""
    cell.update(changes)
    return cell


LOG, CHAOS = "training-log", ("training-log", "chaotic")
#: What other arithmetic does to an output: it must pass.
ROUNDED = [
    printing("norm 0.50001, error 3e-08", "norm 0.50000, error 5e-08"),
    printing("perplexity  9.95 of 74", "perplexity 10.20 of 74", LOG),
    printing("largest norm 1,059", "largest norm 1,100", LOG),
    printing("a strange was", "the island had", *CHAOS),
]
#: What no arithmetic excuses: it must fail.
WRONG = {
    "a number off by a percent": printing("norm 0.505", "norm 0.500"),
    "a whole number": printing("74 symbols", "75 symbols"),
    "a perplexity off by a fifth": printing("at 10.0", "at 12.0", LOG),
    "a number fewer": printing("1.0 2.0", "1.0 2.0 3.0", LOG),
    "another word": printing("training 10.0", "held out 10.0", LOG),
    "no number at all": printing("nan", "10.0", LOG),
    "nothing stored": silent(printing("10.0", "10.0", LOG), outputs=[]),
    "nothing printed": silent(printing("10.0", "10.0", *CHAOS), source="1;"),
    "a failing assert": silent(
        printing("10.0", "10.0", *CHAOS), source="print(10.0)\nassert 10.0 < 9"
    ),
}


def test_a_tolerant_comparison_sees_what_rounding_does_not_excuse(
    tmp_path, strict_check, subtests, monkeypatch
):
    cells = [*ROUNDED, *WRONG.values()]
    for number, cell in enumerate(cells, start=1):
        cell["execution_count"] = number
    path = tmp_path / "other.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    monkeypatch.setenv("D2L_RNN_NUMERICS", "tolerant")
    status, found = strict_check(path)
    assert status == 1
    messages = list(found["other"].values())
    assert messages[: len(ROUNDED)] == [None] * len(ROUNDED)
    for name, message in zip(WRONG, messages[len(ROUNDED) :], strict=True):
        with subtests.test(msg=name):
            assert message, "the check passed"


@pytest.fixture
def machine(monkeypatch):
    """Return a function that sets what this machine can do, and what is asked for."""

    def be(asked, obstacle=None, unheeded=None):
        monkeypatch.setenv(kernels.SWITCH, asked)
        monkeypatch.setattr(kernels, "obstacle", lambda: obstacle)
        monkeypatch.setattr(kernels, "unheeded", lambda: unheeded)

    return be


def test_tolerance_is_for_those_who_need_it_or_ask(machine):
    reason = nbval_strict.reason_for_tolerance
    machine("")
    assert reason() is None
    machine("exact")
    assert reason() is None
    machine("tolerant")
    assert "asks for it" in reason()
    machine("", obstacle="this machine is aarch64")
    assert reason() == "this machine is aarch64"
    machine("", unheeded="OPENBLAS_CORETYPE=Haswell is set, and the library says Zen")
    assert "says Zen" in reason()


@pytest.mark.parametrize(
    ("asked", "fault", "words"),
    [
        ("exact", {"obstacle": "no AVX2"}, "=exact cannot be met: no AVX2"),
        ("exact", {"unheeded": "says Zen"}, "=exact cannot be met: says Zen"),
        ("loose", {}, "must be 'exact' or 'tolerant', got 'loose'"),
    ],
)
def test_a_machine_that_should_be_exact_does_not_fall_back(
    machine, asked, fault, words
):
    machine(asked, **fault)
    with pytest.raises(pytest.UsageError, match=words):
        nbval_strict.reason_for_tolerance()


@can_pin
def test_the_libraries_are_asked_whether_they_heed_the_pins(monkeypatch):
    assert kernels.unheeded() is None
    monkeypatch.setattr(kernels, "PINS", kernels.PINS | {"OPENBLAS_CORETYPE": "None"})
    told = kernels.unheeded()
    assert told.startswith("OPENBLAS_CORETYPE=None is set, and the library says ")


def test_ci_asks_for_exactness_where_there_is_avx2():
    script = (kernels.ROOT / ".ci" / "run").read_text("utf-8")
    assert 'export D2L_RNN_NUMERICS="${D2L_RNN_NUMERICS:-exact}"' in script
