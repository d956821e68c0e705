from d2l_rnn.datasets import MemoryBatches
from d2l_rnn.models import LastStep, rnn_model

import numpy as np
import pytest
from mxnet import nd


def test_the_label_is_the_first_symbol_and_comes_back_nowhere():
    batches = MemoryBatches(20, num_symbols=5, batch_size=16, num_batches=3)
    seen = set()
    for X, Y in batches:
        X, Y = X.asnumpy(), Y.asnumpy()
        assert X.shape == (16, 21)
        assert (X[:, :1] == Y).all()
        assert (X[:, 0] < 5).all()
        assert ((X[:, 1:] >= 5) & (X[:, 1:] < batches.vocab_size)).all()
        seen |= set(X[:, 0].tolist())
    assert seen == set(range(5))


def read(batches):
    return np.concatenate([X.asnumpy() for X, _ in batches])


def test_epochs_differ_and_seeds_repeat():
    batches = MemoryBatches(4, seed=3)
    first, second = read(batches), read(batches)
    assert (first != second).any()
    assert (first == read(MemoryBatches(4, seed=3))).all()
    assert (first != read(MemoryBatches(4, seed=4))).any()


@pytest.mark.parametrize(
    "argument", ["gap", "num_symbols", "batch_size", "num_batches"]
)
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_sizes_are_checked(argument, value):
    with pytest.raises((TypeError, ValueError), match=f"{argument} .*{value}"):
        MemoryBatches(**{"gap": 5, argument: value})


def test_last_step_answers_once():
    inner = rnn_model(10, 4)
    model = LastStep(inner)
    X = nd.array(np.arange(6).reshape(2, 3), dtype="int32")
    everything, state = inner(X, inner.begin_state(2))
    answer, after = model(X, model.begin_state(2))
    assert answer.shape == (1, 2, 10)
    assert (answer[0] == everything[-1]).asnumpy().all()
    assert (after[0] == state[0]).asnumpy().all()
    assert model.params is inner.params
