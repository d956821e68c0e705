"""Training gives the same digits under the pins, and the check sees other digits.

Stored outputs can be compared exactly only if both hold: a second run agrees, and
a run with another arithmetic does not. Otherwise the check would be red on good
notebooks, or blind.
"""

import json
import shutil

import nbval_strict
import notebooks
import pytest

pytestmark = pytest.mark.skipif(
    not nbval_strict.can_pin(),
    reason="without AVX2 this machine cannot follow the pinned instruction set",
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


def test_training_is_reproduced_and_another_arithmetic_is_seen(
    make_notebook, strict_check, tmp_path, monkeypatch, capfd
):
    one = make_notebook("one", SET_UP, TRAIN, AFTER)
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
