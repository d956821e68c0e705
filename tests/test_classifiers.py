"""Sequence classifiers, against gluon's own layers and arithmetic by hand."""

from d2l_rnn.classifiers import SequenceClassifier
from d2l_rnn.metrics import cross_entropy

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd

CELLS = ["rnn", "gru", "lstm"]
TABLE = nd.array([[5, 2, 7, 1], [3, 4, 0, 0], [6, 0, 0, 0]], dtype="int32")
ROWS = [[5, 2, 7, 1], [3, 4], [6]]


def classifier(**options):
    """Return a small classifier with weights large enough to tell cases apart."""
    settings = {"vocab_size": 8, "embed_size": 3, "seed": 1} | options
    model = SequenceClassifier(4, 3, **settings)
    rng = np.random.default_rng(2)
    for param in model.params.values():
        param[:] = rng.normal(size=param.shape)
    return model


def logits(model, X):
    return model(X, model.begin_state(len(X)))[0][0].asnumpy()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("read", ["last", "mean", "max"])
def test_padding_changes_nothing(cell, bidirectional, num_layers, read):
    model = classifier(
        cell=cell, bidirectional=bidirectional, num_layers=num_layers, read=read
    )
    padded = logits(model, TABLE)
    for row, scores in zip(ROWS, padded, strict=True):
        alone = logits(model, nd.array([row], dtype="int32"))[0]
        np.testing.assert_allclose(scores, alone, atol=1e-5)


def test_read_at_the_end_padding_counts():
    padded = logits(classifier(read="end"), TABLE)
    last = logits(classifier(read="last"), TABLE)
    np.testing.assert_allclose(padded[0], last[0], atol=1e-6)
    assert np.abs(padded[1:] - last[1:]).max() > 0.1


@pytest.mark.parametrize("read", ["last", "end"])
def test_one_layer_is_gluons_own(read):
    model = classifier(read=read)
    layer = gluon.rnn.LSTM(4, input_size=3)
    layer.initialize()
    for name, param in layer.collect_params().items():
        short = name.split("_", 1)[1]
        param.set_data(model.params[short])
    row = TABLE[:1]
    embedded = nd.take(model.params["embedding_weight"], row)
    vector = layer(nd.swapaxes(embedded, 0, 1))[-1]
    weight, bias = model.params["output_weight"], model.params["output_bias"]
    expected = (nd.dot(vector, weight.T) + bias).asnumpy()
    np.testing.assert_allclose(logits(model, row), expected, atol=1e-5)


@pytest.mark.parametrize("read", ["last", "end"])
def test_both_directions_are_gluons_own(read):
    model = classifier(bidirectional=True, read=read)
    layer = gluon.rnn.LSTM(4, input_size=3, bidirectional=True)
    layer.initialize()
    for name, param in layer.collect_params().items():
        param.set_data(model.params[name.split("_", 1)[1]])
    row = TABLE[:1]
    embedded = nd.take(model.params["embedding_weight"], row)
    state = layer.begin_state(1)
    outputs, (H, _) = layer(nd.swapaxes(embedded, 0, 1), state)
    found = model.outputs(row).asnumpy()
    np.testing.assert_allclose(found, outputs.asnumpy(), atol=1e-5)
    vector = nd.concat(H[0], H[1], dim=1)
    weight, bias = model.params["output_weight"], model.params["output_bias"]
    expected = (nd.dot(vector, weight.T) + bias).asnumpy()
    np.testing.assert_allclose(logits(model, row), expected, atol=1e-5)


def test_mean_and_max_are_over_the_real_symbols():
    for read, pool in (("mean", np.mean), ("max", np.max)):
        model = classifier(read=read)
        outputs = model.outputs(TABLE).asnumpy()
        for i, row in enumerate(ROWS):
            vector = pool(outputs[: len(row), i], axis=0)
            weight = model.params["output_weight"].asnumpy()
            bias = model.params["output_bias"].asnumpy()
            expected = weight @ vector + bias
            np.testing.assert_allclose(logits(model, TABLE)[i], expected, atol=1e-5)


def test_a_row_of_padding_alone_counts_as_one_symbol():
    model = classifier(read="mean", bidirectional=True)
    X = nd.zeros((1, 5), dtype="int32")
    assert model.lengths(X).asnumpy().tolist() == [1]
    assert np.isfinite(logits(model, X)).all()
    np.testing.assert_allclose(logits(model, X), logits(model, X[:, :1]), atol=1e-6)


def test_a_zero_inside_is_no_padding():
    X = nd.array([[3, 0, 4, 0]], dtype="int32")
    assert classifier().lengths(X).asnumpy().tolist() == [3]


def test_two_classes_have_one_sigmoid_unit():
    model = SequenceClassifier(4, 2, vocab_size=8, embed_size=3)
    assert model.params["output_weight"].shape == (1, 4)
    scores, _ = model(TABLE, ())
    assert scores.shape == (1, 3, 2)
    z = scores[0, :, 1].asnumpy()
    assert (scores[0, :, 0].asnumpy() == 0).all()
    for label, p in ((1, 1 / (1 + np.exp(-z))), (0, 1 / (1 + np.exp(z)))):
        loss = cross_entropy(scores, nd.full((1, 3), label, dtype="int32"))
        np.testing.assert_allclose(loss.asnumpy()[0], -np.log(p), atol=1e-5)


def test_parameters_are_counted():
    # 4 gates; weights of inputs and state, and gluon's two biases.
    one = 4 * 100 * (32 + 100 + 2)
    model = SequenceClassifier(100, 2, vocab_size=10_000, embed_size=32)
    assert model.num_params == 320_000 + one + 101
    deep = SequenceClassifier(5, 10, num_inputs=28, num_layers=2, bidirectional=True)
    first, second = 4 * 5 * (28 + 5 + 2), 4 * 5 * (10 + 5 + 2)
    assert deep.num_params == 2 * first + 2 * second + 10 * 10 + 10


def test_lstm_forget_gates_start_open():
    model = SequenceClassifier(4, 3, num_inputs=2, bidirectional=True)
    for name in ("l0_i2h_bias", "r0_i2h_bias"):
        expected = [0] * 4 + [1] * 4 + [0] * 8
        assert model.params[name].asnumpy().tolist() == expected
    gru = SequenceClassifier(4, 3, num_inputs=2, cell="gru")
    assert not gru.params["l0_i2h_bias"].asnumpy().any()


def test_vectors_are_read_to_the_last_step():
    X = nd.array(np.random.default_rng(0).normal(size=(2, 6, 3)))
    model = SequenceClassifier(4, 3, num_inputs=3)
    assert model.outputs(X).shape == (6, 2, 4)
    assert model.lengths(X).asnumpy().tolist() == [6, 6]
    blank = nd.zeros((2, 6, 3))
    assert model.lengths(blank).asnumpy().tolist() == [6, 6]


def test_dropout_acts_in_training_on_outputs_not_on_the_state():
    mx.random.seed(0)
    model = classifier(dropout=0.5)
    calm = logits(model, TABLE)
    np.testing.assert_array_equal(calm, logits(model, TABLE))
    with autograd.train_mode():
        noisy = [logits(model, TABLE) for _ in range(2)]
    assert np.abs(noisy[0] - noisy[1]).max() > 0.1


def test_every_parameter_gets_a_gradient():
    model = classifier(cell="gru", num_layers=2, bidirectional=True, read="mean")
    with autograd.record():
        scores, _ = model(TABLE, ())
        loss = cross_entropy(scores, nd.array([[0, 1, 2]])).mean()
    loss.backward()
    for name, param in model.params.items():
        assert np.abs(param.grad.asnumpy()).sum() > 0, name


def test_the_seed_fixes_the_weights():
    def weights(seed):
        model = SequenceClassifier(4, 3, num_inputs=2, seed=seed)
        return np.concatenate([p.asnumpy().ravel() for p in model.params.values()])

    assert (weights(0) == weights(0)).all()
    assert (weights(0) != weights(1)).any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cell": "elman"}, ValueError, "cell must be one of .*, got 'elman'"),
        ({"read": "first"}, ValueError, "read must be one of .*, got 'first'"),
        ({"num_inputs": 3}, ValueError, "give either vocab_size and embed_size"),
        ({"vocab_size": None}, ValueError, "give either vocab_size and embed_size"),
        ({"embed_size": None}, TypeError, "embed_size must be a whole number"),
        ({"vocab_size": 0}, ValueError, "vocab_size must be a whole number"),
        ({"num_layers": 0}, ValueError, "num_layers must be a whole number"),
        ({"dropout": 1}, ValueError, "dropout must be below 1"),
        ({"dropout": -0.1}, ValueError, "dropout must be a finite number"),
    ],
)
def test_what_makes_no_classifier_is_named(options, error, message):
    settings = {"vocab_size": 8, "embed_size": 3} | options
    with pytest.raises(error, match=message):
        SequenceClassifier(4, 3, **settings)


@pytest.mark.parametrize(
    ("num_hiddens", "num_classes", "message"),
    [(0, 3, "num_hiddens must be"), (4, 1, "num_classes must be at least 2, got 1")],
)
def test_sizes_out_of_range_are_named(num_hiddens, num_classes, message):
    with pytest.raises(ValueError, match=message):
        SequenceClassifier(num_hiddens, num_classes, num_inputs=3)
