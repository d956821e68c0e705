"""Recorded graphs against the function that was recorded, to the last bit."""

from d2l_rnn.cells import CELLS
from d2l_rnn.models import GluonModel, gluon_layer, rnn_model
from d2l_rnn.replay import Replay
from d2l_rnn.sampling import ConsecutiveBatches
from d2l_rnn.training import train

import numpy as np
import pytest
from mxnet import autograd, nd

IDS = np.random.default_rng(0).integers(0, 7, 200)
SMALL = {"vocab_size": 7, "num_hiddens": 8}


def trained(*, replay, **options):
    model = rnn_model(**SMALL, **options)
    if not replay:
        model.forward = model.forward.forward
    batches = ConsecutiveBatches(IDS, 2, 5)
    log = train(model, batches, epochs=1, lr=1, clip=1, valid=IDS[:30])
    return model, log.valid_perplexity


@pytest.mark.parametrize("stacked", [False, True], ids=["one layer", "stack"])
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_training_is_the_same_to_the_last_bit(cell, stacked):
    options = {"num_layers": 2, "bidirectional": True} if stacked else {}
    plain, score = trained(replay=False, cell=cell, **options)
    recorded, same_score = trained(replay=True, cell=cell, **options)
    assert same_score == score
    for name, param in plain.params.items():
        assert (param == recorded.params[name]).asnumpy().all(), name


def test_each_shape_is_recorded_once_and_few_are_kept():
    calls = []

    def forward(X, state, params):
        calls.append(X.shape)
        return X * params["w"], (state[0] + 1,)

    replay = Replay(forward)
    for size in [*range(1, 12), 11, 11]:
        X = nd.ones(size)
        logits, (state,) = replay(X, (nd.zeros(1),), {"w": nd.array([3])})
        assert logits.asnumpy().tolist() == [3] * size
        assert state.asscalar() == 1
    assert calls == [(size,) for size in range(1, 12)]
    assert len(replay.graphs) == Replay.MAX_GRAPHS


def test_what_makes_its_own_arrays_is_run_as_it_is():
    def forward(X, state, params):
        return X * nd.array([1, 2]), state

    replay = Replay(forward)
    logits, _ = replay(nd.array([3, 4]), (nd.zeros(1),), {})
    assert logits.asnumpy().tolist() == [3, 8]
    assert list(replay.graphs.values()) == [None]


def test_an_earlier_result_stays_when_the_graph_runs_again():
    model = rnn_model(**SMALL, cell="lstm")
    first, state = model(nd.array([[1, 2]], dtype="int32"), model.begin_state(1))
    before = first.asnumpy(), [part.asnumpy() for part in state]
    for _ in range(3):
        model(nd.array([[3, 4]], dtype="int32"), state)
    nd.waitall()
    assert (first.asnumpy() == before[0]).all()
    for part, kept in zip(state, before[1], strict=True):
        assert (part.asnumpy() == kept).all()


def test_dropout_drops_in_training_alone():
    model = rnn_model(**SMALL, num_layers=2, dropout=0.5)
    X, state = nd.array([[1, 2, 3]], dtype="int32"), model.begin_state(1)
    outside = [model(X, state)[0].asnumpy() for _ in range(2)]
    assert (outside[0] == outside[1]).all()
    with autograd.record():
        inside = [model(X, state)[0].asnumpy() for _ in range(2)]
    assert (inside[0] != inside[1]).any()


def test_recording_draws_no_numbers():
    import mxnet as mx

    draws = []
    for warm in (False, True):
        model = rnn_model(**SMALL, num_layers=2, dropout=0.5)
        X, state = nd.array([[1, 2, 3]], dtype="int32"), model.begin_state(1)
        if warm:
            model(X, state)
        mx.random.seed(1)
        with autograd.record():
            draws.append(model(X, state)[0].asnumpy())
    assert (draws[0] == draws[1]).all()


def test_replaced_parameters_are_seen():
    model = rnn_model(**SMALL)
    X, state = nd.array([[1, 2, 3]], dtype="int32"), model.begin_state(1)
    before = model(X, state)[0]
    model.params["b_q"] = model.params["b_q"] + 1
    assert np.allclose((model(X, state)[0] - before).asnumpy(), 1, atol=1e-5)


@pytest.mark.parametrize("embed_size", [None, 3])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_gluons_cells_take_the_steps_of_its_fused_layer(cell, num_layers, embed_size):
    layer = gluon_layer(cell, 8, num_layers=num_layers)
    model = GluonModel(layer, 7, embed_size=embed_size)
    _, state = model(nd.array([[1, 2, 3]], dtype="int32"), model.begin_state(1))
    scores, after = model.next_log_probs([4], state)
    logits, expected = model(nd.array([[4]], dtype="int32"), state)
    expected_scores = nd.log_softmax(logits)[0, 0].asnumpy()
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)
    for ours, theirs in zip(after, expected, strict=True):
        np.testing.assert_allclose(ours.asnumpy(), theirs.asnumpy(), atol=1e-5)
