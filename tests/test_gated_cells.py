"""The gated cells and stacks against gluon, closed forms and finite differences."""

import dataclasses

from d2l_rnn import cells
from d2l_rnn.cells import CELLS, init_cell, unroll
from d2l_rnn.models import GluonModel, rnn_model

import numpy as np
import pytest
from mxnet import autograd, gluon, nd

STEPS, BATCH, INPUTS, HIDDENS = 6, 3, 5, 8


def draw(*shape, seed=0, scale=0.5, dtype="float32"):
    rng = np.random.default_rng(seed)
    return nd.array(rng.normal(0, scale, shape), dtype=dtype)


def make(name, *, seed=0, dtype="float32"):
    """Return a cell's parameters, inputs and state, none of them zero."""
    rng = np.random.default_rng(seed)
    kind = CELLS[name]
    params = init_cell(kind, INPUTS, HIDDENS, rng=rng, scale=0.5)
    params = {
        key: nd.array(rng.normal(0, 0.5, p.shape), dtype=dtype)
        for key, p in params.items()
    }
    state = tuple(
        nd.array(rng.normal(0, 0.5, (BATCH, HIDDENS)), dtype=dtype)
        for _ in range(kind.num_states)
    )
    if name == "clockwork":
        state = (state[0], nd.zeros((BATCH, HIDDENS), dtype=dtype))
    return params, draw(STEPS, BATCH, INPUTS, seed=seed + 1, dtype=dtype), state


def run(name, params, X, state):
    XW = nd.dot(X, params["W_xh"]) + params["b_h"]
    return unroll(CELLS[name].step, XW, state, params)


def assert_close(a, b, tolerance=1e-5):
    assert np.abs(a.asnumpy() - b.asnumpy()).max() < tolerance


@pytest.mark.parametrize(
    ("name", "layer"),
    [("lstm", gluon.rnn.LSTM(HIDDENS)), ("gru_cudnn", gluon.rnn.GRU(HIDDENS))],
)
def test_cell_equals_gluon(name, layer):
    params, X, state = make(name)
    layer.initialize()
    layer(X, layer.begin_state(BATCH))
    layer.l0_i2h_weight.set_data(params["W_xh"].T)
    layer.l0_i2h_bias.set_data(params["b_h"])
    layer.l0_h2h_weight.set_data(params["W_hh"].T)
    bias = nd.zeros(params["W_hh"].shape[1])
    if name == "gru_cudnn":
        bias[2 * HIDDENS :] = params["b_hc"]
    layer.l0_h2h_bias.set_data(bias)
    outputs, after = run(name, params, X, state)
    theirs, their_after = layer(X, [s.expand_dims(0) for s in state])
    assert_close(outputs, theirs)
    for ours, other in zip(after, their_after, strict=True):
        assert_close(ours, other[0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_gru_is_the_paper_s():
    """Reset before the product, written out in NumPy."""
    params, X, state = make("gru", dtype="float64")
    W = {name: param.asnumpy() for name, param in params.items()}
    H = state[0].asnumpy()
    h = HIDDENS
    for x in X.asnumpy():
        XW = x @ W["W_xh"] + W["b_h"]
        R = sigmoid(XW[:, :h] + H @ W["W_hrz"][:, :h])
        Z = sigmoid(XW[:, h : 2 * h] + H @ W["W_hrz"][:, h:])
        candidate = np.tanh(XW[:, 2 * h :] + (R * H) @ W["W_hc"])
        H = Z * H + (1 - Z) * candidate
    outputs, (last,) = run("gru", params, X, state)
    assert np.abs(last.asnumpy() - H).max() < 1e-12
    assert_close(outputs[-1], last, 1e-15)


def test_the_two_grus_differ():
    params, X, state = make("gru")
    other = {
        "W_xh": params["W_xh"],
        "b_h": params["b_h"],
        "W_hh": nd.concat(params["W_hrz"], params["W_hc"], dim=1),
        "b_hc": nd.zeros(HIDDENS),
    }
    ours, _ = run("gru", params, X, state)
    theirs, _ = run("gru_cudnn", other, X, state)
    assert np.abs((ours - theirs).asnumpy()).max() > 0.01


def test_zero_peepholes_are_no_peepholes():
    params, X, state = make("peephole")
    for name in ("w_ci", "w_cf", "w_co"):
        params[name][:] = 0
    assert_close(run("peephole", params, X, state)[0], run("lstm", params, X, state)[0])


@pytest.mark.parametrize("name", ["w_ci", "w_cf", "w_co"])
def test_each_peephole_matters(name):
    params, X, state = make("peephole")
    before = run("peephole", params, X, state)[0]
    params[name][:] = 0
    after = run("peephole", params, X, state)[0]
    assert np.abs((before - after).asnumpy()).max() > 1e-3


def numpy_lstm(XW, H, C, W_hh, *, peepholes=(0, 0, 0), depth=0):
    """Take a step in NumPy; ``depth`` is what a depth gate lets into the cell."""
    w_ci, w_cf, w_co = peepholes
    I, F, candidate, O = np.split(XW + H @ W_hh, 4, axis=1)
    after = sigmoid(F + w_cf * C) * C + sigmoid(I + w_ci * C) * np.tanh(candidate)
    after = after + depth
    return sigmoid(O + w_co * after) * np.tanh(after), after


def numbers(params, X, state):
    """Return the same in NumPy."""
    values = {name: param.asnumpy() for name, param in params.items()}
    return values, X.asnumpy(), [part.asnumpy() for part in state]


def test_peepholes_are_the_paper_s():
    """I and F see the cell before the step, O sees it after."""
    params, X, state = make("peephole", dtype="float64")
    W, xs, (H, C) = numbers(params, X, state)
    peepholes = W["w_ci"], W["w_cf"], W["w_co"]
    for x in xs:
        XW = x @ W["W_xh"] + W["b_h"]
        H, C = numpy_lstm(XW, H, C, W["W_hh"], peepholes=peepholes)
    _, after = run("peephole", params, X, state)
    for ours, expected in zip(after, (H, C), strict=True):
        assert np.abs(ours.asnumpy() - expected).max() < 1e-12


def test_the_depth_gate_is_the_paper_s():
    """It sees the lower hidden state, the upper cell before and the lower after."""
    params, X, state = make("depth_gated", dtype="float64")
    W, xs, (H, C, H_below, C_below) = numbers(params, X, state)
    for x in xs:
        XW = x @ W["W_xh"] + W["b_h"]
        H_below, C_below = numpy_lstm(XW, H_below, C_below, W["W_hh"])
        D = H_below @ W["W_xd"] + W["b_d"] + W["w_cd"] * C + W["w_ld"] * C_below
        XW = H_below @ W["W_xh_up"] + W["b_h_up"]
        H, C = numpy_lstm(XW, H, C, W["W_hh_up"], depth=sigmoid(D) * C_below)
    _, after = run("depth_gated", params, X, state)
    for ours, expected in zip(after, (H, C, H_below, C_below), strict=True):
        assert np.abs(ours.asnumpy() - expected).max() < 1e-12


def _blocks(array, num_gates):
    return nd.split(array, num_outputs=num_gates, axis=array.ndim - 1)


def test_cifg_ties_the_input_to_the_forget_gate():
    """1 − σ(x) = σ(−x): an LSTM whose input gate has the opposite weights."""
    params, X, state = make("cifg")
    full = {}
    for name, param in params.items():
        F, candidate, output = _blocks(param, 3)
        full[name] = nd.concat(-F, F, candidate, output, dim=param.ndim - 1)
    assert_close(run("cifg", params, X, state)[0], run("lstm", full, X, state)[0])


def test_no_forget_gate_is_one_that_stays_open():
    params, X, state = make("no_forget")
    full = {}
    for name, param in params.items():
        gate, candidate, output = _blocks(param, 3)
        forget = nd.ones_like(gate) * (40 if name == "b_h" else 0)
        full[name] = nd.concat(gate, forget, candidate, output, dim=param.ndim - 1)
    assert_close(run("no_forget", params, X, state)[0], run("lstm", full, X, state)[0])


def test_a_closed_depth_gate_leaves_a_plain_stack():
    params, X, (H, C, H_below, C_below) = make("depth_gated")
    params["b_d"][:] = -60
    for name in ("W_xd", "w_cd", "w_ld"):
        params[name][:] = 0
    lower, _ = run("lstm", params, X, (H_below, C_below))
    upper = {
        "W_xh": params["W_xh_up"],
        "W_hh": params["W_hh_up"],
        "b_h": params["b_h_up"],
    }
    plain, _ = run("lstm", upper, lower, (H, C))
    assert_close(
        run("depth_gated", params, X, (H, C, H_below, C_below))[0], plain, 1e-6
    )
    params["b_d"][:] = 0
    opened = run("depth_gated", params, X, (H, C, H_below, C_below))[0]
    assert np.abs((opened - plain).asnumpy()).max() > 0.01


def test_clockwork_with_all_periods_one_is_the_plain_network(monkeypatch):
    params, X, state = make("clockwork")
    ones = np.ones(HIDDENS, dtype=np.float32)
    monkeypatch.setattr(cells, "_periods", lambda num_hiddens: ones)
    assert_close(
        run("clockwork", params, X, state)[0], run("rnn", params, X, state[:1])[0]
    )


def test_clockwork_modules_wait_for_their_turn():
    params, X, state = make("clockwork")
    outputs = run("clockwork", params, X, state)[0].asnumpy()
    before = np.concatenate([state[0].asnumpy()[None], outputs[:-1]])
    changed = np.abs(outputs - before).max(axis=1) > 0
    for step in range(STEPS):
        for unit, period in enumerate([1, 1, 2, 2, 4, 4, 8, 8]):
            assert changed[step, unit] == (step % period == 0)


def test_the_clock_counts_the_steps():
    params, X, state = make("clockwork")
    _, (_, clock) = run("clockwork", params, X, state)
    assert (clock.asnumpy() == STEPS).all()


def test_slow_modules_do_not_hear_fast_ones():
    params, X, state = make("clockwork")
    before = run("clockwork", params, X, state)[0].asnumpy()
    params["W_hh"][:2, 2:] = 7  # from the fastest module to the others
    after = run("clockwork", params, X, state)[0].asnumpy()
    assert (before == after).all()
    params["W_hh"][2:, :2] = 7  # from the others to the fastest
    assert (before != run("clockwork", params, X, state)[0].asnumpy()).any()


@pytest.mark.parametrize("name", sorted(CELLS))
def test_gradients_equal_finite_differences(name):
    params, X, state = make(name, dtype="float64")
    weights = draw(STEPS, BATCH, HIDDENS, seed=9, dtype="float64")
    for param in params.values():
        param.attach_grad()

    def loss():
        return (run(name, params, X, state)[0] * weights).sum()

    with autograd.record():
        value = loss()
    value.backward()
    rng = np.random.default_rng(1)
    for param in params.values():
        place = tuple(int(rng.integers(size)) for size in param.shape)
        kept, delta = param[place].asscalar(), 1e-6
        param[place] = kept + delta
        up = loss().asscalar()
        param[place] = kept - delta
        down = loss().asscalar()
        param[place] = kept
        expected = (up - down) / (2 * delta)
        assert param.grad[place].asscalar() == pytest.approx(
            expected, rel=1e-5, abs=1e-7
        )


def copy_to_gluon(model, other, prefixes):
    """Copy a scratch stack's weights into gluon's layer and decoder."""
    for prefix, name in prefixes.items():
        params = model.params
        values = {
            "i2h_weight": params[prefix + "W_xh"].T,
            "i2h_bias": params[prefix + "b_h"],
            "h2h_weight": params[prefix + "W_hh"].T,
            "h2h_bias": nd.zeros_like(params[prefix + "b_h"]),
        }
        for key, value in values.items():
            getattr(other.layer, f"{name}_{key}").set_data(value)
    other.output.weight.set_data(model.params["W_hq"].T)
    other.output.bias.set_data(model.params["b_q"])


@pytest.mark.parametrize(
    ("options", "prefixes"),
    [
        ({"num_layers": 2}, {"": "l0", "l1_": "l1"}),
        ({"bidirectional": True}, {"": "l0", "r0_": "r0"}),
        (
            {"num_layers": 2, "bidirectional": True},
            {"": "l0", "r0_": "r0", "l1_": "l1", "r1_": "r1"},
        ),
    ],
)
def test_stacks_equal_gluon(options, prefixes):
    model = rnn_model(10, HIDDENS, cell="lstm", **options)
    other = GluonModel(gluon.rnn.LSTM(HIDDENS, **options), 10)
    copy_to_gluon(model, other, prefixes)
    X = nd.array(np.random.default_rng(0).integers(10, size=(BATCH, STEPS)))
    ours, state = model(X.astype("int32"), model.begin_state(BATCH))
    theirs, _ = other(X.astype("int32"), other.begin_state(BATCH))
    assert_close(ours, theirs)
    assert len(state) == 2 * len(prefixes)


def test_dropout_acts_between_layers_only():
    X = nd.zeros((BATCH, STEPS), dtype="int32")

    def outputs(model):
        with autograd.record():
            return model(X, model.begin_state(BATCH))[0].asnumpy()

    one = rnn_model(10, HIDDENS, dropout=0.5)
    assert (outputs(one) == outputs(one)).all()
    two = rnn_model(10, HIDDENS, num_layers=2, dropout=0.5)
    assert (outputs(two) != outputs(two)).any()
    quiet = [two(X, two.begin_state(BATCH))[0].asnumpy() for _ in range(2)]
    assert (quiet[0] == quiet[1]).all()


@pytest.mark.parametrize("dropout", [-0.1, 1, 1.5, float("nan")])
def test_dropout_must_be_a_share(dropout):
    with pytest.raises(ValueError, match="dropout"):
        rnn_model(10, HIDDENS, dropout=dropout)


def test_a_fused_layer_s_own_dropout_does_nothing_and_is_refused():
    layer = gluon.rnn.LSTM(HIDDENS, num_layers=2, dropout=0.5)
    layer.initialize()
    X = draw(STEPS, BATCH, INPUTS)
    with autograd.record():
        one, two = layer(X).asnumpy(), layer(X).asnumpy()
    assert (one == two).all()
    with pytest.raises(ValueError, match=r"layer has dropout=0\.5, .* rnn_model"):
        GluonModel(gluon.rnn.LSTM(HIDDENS, num_layers=2, dropout=0.5), 10)


def test_what_a_cell_needs_cannot_be_changed_by_chance():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CELLS["lstm"].num_gates = 3


def test_unknown_cell_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"cell must be one of .*'lstm'.* got 'mlp'"):
        rnn_model(10, HIDDENS, cell="mlp")
