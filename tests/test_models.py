"""Scratch and gluon models against each other and against the formulas in NumPy."""

from d2l_rnn.metrics import cross_entropy
from d2l_rnn.models import GluonModel, LanguageModel, ScratchModel, rnn_model
from d2l_rnn.training import evaluate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import autograd, gluon, nd

VOCAB_SIZE, NUM_HIDDENS = 7, 5
TEXT = [3, 0, 6, 6, 2, 5, 1, 4, 0, 3, 3, 6]

LAYERS = {
    "RNN": lambda: gluon.rnn.RNN(NUM_HIDDENS, activation="tanh"),
    "GRU": lambda: gluon.rnn.GRU(NUM_HIDDENS),
    "LSTM": lambda: gluon.rnn.LSTM(NUM_HIDDENS),
    "two layers": lambda: gluon.rnn.LSTM(NUM_HIDDENS, num_layers=2),
}


def scratch_model(seed=1):
    """Return a scratch model whose biases are not zero either."""
    model = rnn_model(VOCAB_SIZE, NUM_HIDDENS, seed=seed)
    model.params["b_h"][:] = np.linspace(-1, 1, NUM_HIDDENS)
    model.params["b_q"][:] = np.linspace(2, -1, VOCAB_SIZE)
    return model


def gluon_copy(scratch):
    """Return a gluon model with the weights of a scratch model."""
    weights = scratch.get_weights()
    model = GluonModel(LAYERS["RNN"](), VOCAB_SIZE)
    model.set_weights(
        {
            "l0_i2h_weight": weights["W_xh"].T,
            "l0_h2h_weight": weights["W_hh"].T,
            "l0_i2h_bias": weights["b_h"],
            "l0_h2h_bias": nd.zeros(NUM_HIDDENS),
            "output_weight": weights["W_hq"].T,
            "output_bias": weights["b_q"],
        }
    )
    return model


MODELS = {
    "scratch": scratch_model,
    "gluon": lambda: gluon_copy(scratch_model()),
    "embedding": lambda: GluonModel(LAYERS["LSTM"](), VOCAB_SIZE, embed_size=3),
    "two layers": lambda: GluonModel(LAYERS["two layers"](), VOCAB_SIZE),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def minibatch(batch_size=3, num_steps=4):
    ids = np.random.default_rng(0).integers(VOCAB_SIZE, size=(batch_size, num_steps))
    return nd.array(ids, dtype="int32")


def numpy_logits(weights, X, H):
    """Return logits and last state from one-hot rows and plain products, float64."""
    w = {name: param.asnumpy().astype(float) for name, param in weights.items()}
    logits = []
    for t in range(X.shape[1]):
        one_hot = np.eye(VOCAB_SIZE)[X[:, t]]
        H = np.tanh(one_hot @ w["W_xh"] + H @ w["W_hh"] + w["b_h"])
        logits.append(H @ w["W_hq"] + w["b_q"])
    return np.array(logits), H


@pytest.mark.parametrize("make", ["scratch", "gluon"])
def test_logits_and_state_are_the_formulas(make):
    model = MODELS[make]()
    X, first = minibatch(), np.random.default_rng(1).normal(size=(3, NUM_HIDDENS))
    logits, last = numpy_logits(scratch_model().params, X.asnumpy(), first)
    state = nd.array(first).reshape(model.begin_state(3)[0].shape)
    outputs, (after,) = model(X, (state,))
    np.testing.assert_allclose(outputs.asnumpy(), logits, rtol=0, atol=1e-5)
    after = after.asnumpy().reshape(3, NUM_HIDDENS)
    np.testing.assert_allclose(after, last, rtol=0, atol=1e-5)


def test_scratch_and_gluon_agree_through_the_same_interface():
    scratch, other = scratch_model(), gluon_copy(scratch_model())
    assert other.num_params == scratch.num_params + NUM_HIDDENS  # a second bias
    assert evaluate(other, TEXT)[0] == pytest.approx(evaluate(scratch, TEXT)[0])
    state, other_state = None, None
    for symbol in TEXT:
        log_probs, state = scratch.next_log_probs([symbol], state)
        other_log_probs, other_state = other.next_log_probs([symbol], other_state)
        np.testing.assert_allclose(other_log_probs, log_probs, rtol=0, atol=1e-5)


def test_scratch_and_gluon_have_the_same_gradients():
    scratch, other = scratch_model(), gluon_copy(scratch_model())
    X, Y = minibatch(), minibatch()[:, ::-1]
    for model in (scratch, other):
        with autograd.record():
            logits, _ = model(X, model.begin_state(3))
            cross_entropy(logits, Y.T).mean().backward()
    mine = {name: param.grad.asnumpy() for name, param in scratch.params.items()}
    theirs = {name: param.grad.asnumpy() for name, param in other.params.items()}
    pairs = {
        "W_xh": theirs["l0_i2h_weight"].T,
        "W_hh": theirs["l0_h2h_weight"].T,
        "b_h": theirs["l0_i2h_bias"],
        "W_hq": theirs["output_weight"].T,
        "b_q": theirs["output_bias"],
    }
    assert set(pairs) == set(mine)
    for name, gradient in pairs.items():
        assert np.abs(gradient).max() > 1e-3
        np.testing.assert_allclose(mine[name], gradient, rtol=0, atol=1e-5)


def test_models_share_the_interface(model):
    logits, state = model(minibatch(3, 4), model.begin_state(3))
    assert isinstance(model, LanguageModel)
    assert logits.shape == (4, 3, VOCAB_SIZE)
    assert [s.shape for s in state] == [s.shape for s in model.begin_state(3)]
    assert isinstance(state, tuple)
    assert not any(s.asnumpy().any() for s in model.begin_state(3))
    assert model.num_params == sum(p.size for p in model.get_weights().values())
    assert all(p.grad is not None for p in model.params.values())


def test_rows_of_a_minibatch_do_not_mix(model):
    X = minibatch()
    together, _ = model(X, model.begin_state(3))
    for b in range(3):
        alone, _ = model(X[b : b + 1], model.begin_state(1))
        np.testing.assert_allclose(
            alone[:, 0].asnumpy(), together[:, b].asnumpy(), rtol=0, atol=1e-5
        )


def test_step_by_step_is_all_at_once(model):
    at_once, end = model.next_log_probs(TEXT)
    state = None
    for symbol in TEXT:
        step_by_step, state = model.next_log_probs([symbol], state)
    np.testing.assert_allclose(step_by_step, at_once, rtol=0, atol=1e-5)
    for one, other in zip(state, end, strict=True):
        np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), rtol=0, atol=1e-5)


def test_next_probabilities_are_the_softmax_of_the_last_logits(model):
    log_probs, _ = model.next_log_probs(TEXT)
    logits, _ = model(nd.array([TEXT], dtype="int32"), model.begin_state(1))
    expected = np.exp(logits[-1, 0].asnumpy().astype(float))
    assert log_probs.shape == (VOCAB_SIZE,)
    assert log_probs.dtype == np.float64
    assert abs(np.exp(log_probs).sum() - 1) < 1e-12
    np.testing.assert_allclose(np.exp(log_probs), expected / expected.sum())


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=3, max_size=3))
@settings(deadline=None, max_examples=40)
def test_probabilities_sum_to_one_whatever_the_logits(scores):
    model = rnn_model(3, 2, scale=0)
    model.params["b_q"][:] = scores
    log_probs, _ = model.next_log_probs([0])
    assert abs(np.exp(log_probs).sum() - 1) < 1e-12
    differences = np.array(scores) - max(scores)
    np.testing.assert_allclose(
        log_probs - log_probs.max(), differences, rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("vocab_size", [1, 2, 27, 1000])
def test_a_model_without_weights_is_uniform(vocab_size):
    scratch = rnn_model(vocab_size, 3, scale=0)
    layer = GluonModel(gluon.rnn.GRU(3), vocab_size)
    for param in layer.params.values():
        param[:] = 0
    for model in (scratch, layer):
        log_probs, _ = model.next_log_probs([0])
        np.testing.assert_allclose(log_probs, -np.log(vocab_size), atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("embed_size", [None, 4])
def test_parameters_are_counted(name, embed_size):
    model = GluonModel(LAYERS[name](), VOCAB_SIZE, embed_size=embed_size)
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4, "two layers": 4}[name]
    n, width = NUM_HIDDENS, embed_size or VOCAB_SIZE
    expected = gates * n * (width + n + 2) + (n + 1) * VOCAB_SIZE
    expected += gates * n * (n + n + 2) if name == "two layers" else 0
    expected += embed_size * VOCAB_SIZE if embed_size else 0
    assert model.num_params == expected


def test_the_scratch_parameters_are_counted():
    n = NUM_HIDDENS
    expected = n * (VOCAB_SIZE + n + 1) + (n + 1) * VOCAB_SIZE
    assert rnn_model(VOCAB_SIZE, n).num_params == expected


def test_weights_go_from_one_model_to_another_built_alike(model, request):
    other = MODELS[request.node.callspec.params["model"]]()
    for param in other.params.values():
        param[:] = 0.5
    other.set_weights(model.get_weights())
    np.testing.assert_array_equal(
        other.next_log_probs(TEXT)[0], model.next_log_probs(TEXT)[0]
    )


def test_got_weights_are_copies_and_set_weights_copies(model):
    before, _ = model.next_log_probs(TEXT)
    weights = model.get_weights()
    for weight in weights.values():
        weight[:] = 1
    np.testing.assert_array_equal(model.next_log_probs(TEXT)[0], before)
    model.set_weights({name: weight.asnumpy() for name, weight in weights.items()})
    ones, _ = model.next_log_probs(TEXT)
    assert not np.array_equal(ones, before)
    model.set_weights(weights)
    for weight in weights.values():
        weight[:] = 2
    np.testing.assert_array_equal(model.next_log_probs(TEXT)[0], ones)


def test_set_weights_keeps_gradients_attached(model):
    model.set_weights(model.get_weights())
    X = minibatch()
    with autograd.record():
        logits, _ = model(X, model.begin_state(3))
        cross_entropy(logits, X.T).mean().backward()
    assert all(np.abs(p.grad.asnumpy()).sum() > 0 for p in model.params.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("W_hh"), r"names \['W_hh', 'W_hq', .* got \['W_hq', 'W_xh'"),
        (lambda w: w.update(W=nd.zeros(1)), r"weights must have the names .*'W', "),
        (
            lambda w: w.update(b_q=nd.zeros(VOCAB_SIZE + 1)),
            r"weights\['b_q'\] must have shape \(7,\), got \(8,\)",
        ),
        (
            lambda w: w.update(W_xh=np.zeros((NUM_HIDDENS, VOCAB_SIZE))),
            r"weights\['W_xh'\] must have shape \(7, 5\), got \(5, 7\)",
        ),
    ],
)
def test_wrong_weights_are_named_and_none_is_set(change, message):
    model = scratch_model()
    before, _ = model.next_log_probs(TEXT)
    weights = {name: param + 1 for name, param in model.get_weights().items()}
    change(weights)
    with pytest.raises(ValueError, match=message):
        model.set_weights(weights)
    np.testing.assert_array_equal(model.next_log_probs(TEXT)[0], before)


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: rnn_model(VOCAB_SIZE, NUM_HIDDENS, seed=seed),
        lambda seed: GluonModel(LAYERS["LSTM"](), VOCAB_SIZE, embed_size=4, seed=seed),
    ],
    ids=["scratch", "gluon"],
)
def test_the_seed_fixes_the_first_weights(make):
    first, same, other = (
        {name: param.asnumpy() for name, param in make(seed).params.items()}
        for seed in (3, 3, 4)
    )
    for name, values in first.items():
        np.testing.assert_array_equal(values, same[name])
        if values.ndim == 1:
            assert not values.any()
        else:
            assert not np.array_equal(values, other[name])


def test_scratch_weights_have_the_standard_deviation_asked_for():
    for scale, expected in ((None, 100**-0.5), (0.01, 0.01)):
        params = rnn_model(200, 100, scale=scale).params
        for name in ("W_xh", "W_hh", "W_hq"):
            deviation = float(params[name].asnumpy().std())
            assert deviation == pytest.approx(expected, rel=0.05)


def test_gluon_weights_are_drawn_by_glorots_rule():
    model = GluonModel(gluon.rnn.GRU(60), vocab_size=50, embed_size=80)
    for name, param in model.params.items():
        values = param.asnumpy()
        if name.startswith("embedding"):
            assert values.std() == pytest.approx(0.1, rel=0.05)
        elif values.ndim == 2:
            bound = (6 / sum(values.shape)) ** 0.5
            assert 0.98 * bound < np.abs(values).max() <= bound * (1 + 1e-6)
            assert values.std() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_dropout_acts_in_training_only():
    model = GluonModel(LAYERS["LSTM"](), VOCAB_SIZE, dropout=0.5)
    plain = GluonModel(LAYERS["LSTM"](), VOCAB_SIZE)
    X, state = minibatch(), model.begin_state(3)
    expected = plain(X, state)[0].asnumpy()
    np.testing.assert_array_equal(model(X, state)[0].asnumpy(), expected)
    with autograd.record():
        trained = model(X, state)[0].asnumpy()
    assert not np.allclose(trained, expected)


def test_a_scratch_state_has_as_many_arrays_as_asked_for():
    model = ScratchModel(
        lambda X, state, params: (None, state),
        {"W": nd.zeros((2, 2))},
        vocab_size=2,
        num_hiddens=4,
        num_states=3,
    )
    assert [s.shape for s in model.begin_state(5)] == [(5, 4)] * 3


def test_the_base_class_leaves_the_forward_pass_open():
    model = LanguageModel({}, 3)
    for call in (lambda: model(minibatch(), ()), model.begin_state):
        with pytest.raises(NotImplementedError):
            call()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rnn_model(0, 4), ValueError, "vocab_size must be .* got 0"),
        (lambda: rnn_model(4.0, 4), TypeError, r"vocab_size must be .* got 4\.0"),
        (lambda: rnn_model(4, -1), ValueError, "num_hiddens must be .* got -1"),
        (lambda: rnn_model(4, "8"), TypeError, "num_hiddens must be .* got '8'"),
        (lambda: rnn_model(4, 4, cell="rnm"), ValueError, "one of .*'rnn'.* got 'rnm'"),
        (
            lambda: GluonModel(LAYERS["RNN"](), 0),
            ValueError,
            "vocab_size must be .* got 0",
        ),
        (
            lambda: GluonModel(LAYERS["RNN"](), 4, embed_size=0),
            ValueError,
            "embed_size must be .* got 0",
        ),
    ],
)
def test_wrong_sizes_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([], ValueError, "ids is empty: feed at least one symbol"),
        ([0, 7], ValueError, r"ids must lie in 0\.\.6, got values from 0 to 7"),
        ([-1], ValueError, r"ids must lie in 0\.\.6, got values from -1 to -1"),
        ([0.0, 1.0], TypeError, "ids must hold whole numbers .* got float64"),
        ([[0, 1]], ValueError, r"ids must be one sequence .* got \[\[0, 1\]\]"),
        (list("ab"), TypeError, r"encode a text with vocab\.encode\(text\) first"),
    ],
)
def test_wrong_ids_are_named(model, ids, error, message):
    with pytest.raises(error, match=message):
        model.next_log_probs(ids)
