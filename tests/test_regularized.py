"""The regularized model, against gluon's layers and masks drawn by hand."""

from d2l_rnn.metrics import cross_entropy
from d2l_rnn.models import gluon_layer
from d2l_rnn.regularized import RegularizedModel

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd

CELLS = ["rnn", "gru", "lstm"]
X = nd.array([[5, 2, 7, 1, 0], [3, 4, 0, 0, 6]], dtype="int32")


def model(**options):
    """Return a small model with weights large enough to tell cases apart."""
    settings = {"embed_size": 3, "seed": 1} | options
    made = RegularizedModel(8, 4, **settings)
    rng = np.random.default_rng(2)
    for param in made.params.values():
        param[:] = rng.normal(size=param.shape)
    return made


def logits(made, X=X):
    return made(X, made.begin_state(X.shape[0]))[0].asnumpy()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_its_layers_are_gluons(cell, num_layers):
    made = model(cell=cell, num_layers=num_layers)
    inputs = nd.take(made.params["embedding"], X.T)
    for n in range(num_layers):
        layer = gluon_layer(cell, 4, input_size=inputs.shape[2])
        layer.initialize()
        names = {"i2h_weight": "W_x", "h2h_weight": "W_h"}
        names |= {"i2h_bias": "b_x", "h2h_bias": "b_h"}
        for name, param in layer.collect_params().items():
            short = name.split("l0_")[1]
            param.set_data(made.params[f"l{n}_{names[short]}"])
        inputs = layer(inputs)
    expected = nd.dot(inputs, made.params["W_q"].T) + made.params["b_q"]
    np.testing.assert_allclose(logits(made), expected.asnumpy(), atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_a_text_may_be_read_in_pieces(cell):
    made = model(cell=cell, num_layers=2)
    first, state = made(X[:, :2], made.begin_state(2))
    second, _ = made(X[:, 2:], state)
    whole = nd.concat(first, second, dim=0).asnumpy()
    np.testing.assert_allclose(logits(made), whole, atol=1e-5)


def test_tied_weights_are_the_embedding():
    made = model(tied=True)
    assert "W_q" not in made.params
    untied = model()
    for name in set(untied.params) - {"W_q"}:
        untied.params[name][:] = made.params[name]
    product = nd.dot(made.params["embedding"], made.params["W_tie"])
    untied.params["W_q"][:] = product
    np.testing.assert_allclose(logits(made), logits(untied), atol=1e-4)
    assert made.num_params == untied.num_params - 8 * 4 + 3 * 4


def in_training(made, X=X):
    mx.random.seed(1)
    with autograd.record():
        return made(X, made.begin_state(X.shape[0]))[0].asnumpy()


DROPPED = ["input_dropout", "dropout", "recurrent_dropout"]


@pytest.mark.parametrize("name", DROPPED)
def test_dropout_acts_in_training_only(name):
    made, plain = model(num_layers=2, **{name: 0.5}), model(num_layers=2)
    np.testing.assert_array_equal(logits(made), logits(plain))
    assert np.abs(in_training(made) - logits(plain)).max() > 0.1


def test_without_dropout_training_sees_the_same_scores():
    np.testing.assert_array_equal(in_training(model()), logits(model()))


def test_a_vector_loses_the_same_numbers_at_all_steps():
    """A model that passes its embedding on shows the mask, scaled by 1 / (1 - p)."""
    made = RegularizedModel(8, 8, embed_size=8, cell="rnn", input_dropout=0.5)
    weights = {name: np.zeros(param.shape) for name, param in made.params.items()}
    weights["embedding"][:] = 1e-3  # where tanh(x) = x
    weights["l0_W_x"] = weights["W_q"] = np.eye(8)
    made.set_weights(weights)
    scores = in_training(made) * 1e3
    assert set(scores.round(3).ravel().tolist()) == {0.0, 2.0}
    assert (scores == scores[:1]).all()
    assert (scores[:, 0] != scores[:, 1]).any()


def test_the_same_recurrent_weights_are_missing_at_all_steps():
    """From a state of ones, each unit counts the weights that are left to it."""
    made = RegularizedModel(8, 6, embed_size=2, cell="rnn", recurrent_dropout=0.5)
    weights = {name: np.zeros(param.shape) for name, param in made.params.items()}
    weights["l0_W_h"][:] = 1e-3
    weights["W_q"][:6] = np.eye(6)
    made.set_weights(weights)
    mx.random.seed(3)
    with autograd.record():
        scores, _ = made(X[:, :1], (nd.ones((1, 2, 6)),))
    left = (scores.asnumpy()[0, :, :6] * 1e3).round(3)
    assert set(left.ravel().tolist()) <= {2.0 * k for k in range(7)}
    assert (left[0] == left[1]).all()  # one mask for the whole minibatch
    assert 0 < left.sum() < 2 * 2 * 36


def test_the_gradient_reaches_every_weight():
    made = model(num_layers=2, dropout=0.2, recurrent_dropout=0.2, tied=True)
    mx.random.seed(4)
    with autograd.record():
        scores, _ = made(X, made.begin_state(2))
        cross_entropy(scores, X.T).mean().backward()
    for name, param in made.params.items():
        assert np.abs(param.grad.asnumpy()).sum() > 0, name


def test_initial_weights_are_those_of_the_seed():
    one, same, other = (
        RegularizedModel(8, 4, embed_size=3, seed=seed) for seed in (1, 1, 2)
    )
    for name, param in one.params.items():
        np.testing.assert_array_equal(param.asnumpy(), same.params[name].asnumpy())
    assert (one.params["W_q"] != other.params["W_q"]).asnumpy().any()
    bias = one.params["l0_b_x"].asnumpy()
    assert bias.tolist() == [0] * 4 + [1] * 4 + [0] * 8
