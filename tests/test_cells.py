"""Step functions against formulas in NumPy, gluon's layers and finite differences."""

from d2l_rnn.cells import CELLS, draw_weights, init_cell, rnn_step, unroll

import numpy as np
import pytest
from mxnet import autograd, gluon, nd

NUM_STEPS, BATCH_SIZE, NUM_INPUTS, NUM_HIDDENS = 5, 3, 4, 6


def draw(*shape, seed=0):
    """Return an array of numbers of about 1, float64."""
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def arrays(values, dtype="float32"):
    return {name: nd.array(value, dtype=dtype) for name, value in values.items()}


def rnn_values():
    """Return inputs, a first state and parameters with a bias that is not zero."""
    return {
        "X": draw(NUM_STEPS, BATCH_SIZE, NUM_INPUTS),
        "H": draw(BATCH_SIZE, NUM_HIDDENS),
        "W_xh": 0.5 * draw(NUM_INPUTS, NUM_HIDDENS),
        "W_hh": 0.5 * draw(NUM_HIDDENS, NUM_HIDDENS),
        "b_h": draw(NUM_HIDDENS),
    }


def numpy_rnn(X, H, W_xh, W_hh, b_h):
    """Return all hidden states, straight from the formula."""
    states = []
    for X_t in X:
        H = np.tanh(X_t @ W_xh + H @ W_hh + b_h)
        states.append(H)
    return np.array(states)


def our_rnn(p):
    return unroll(rnn_step, nd.dot(p["X"], p["W_xh"]) + p["b_h"], (p["H"],), p)


def a_loss(outputs, last):
    """Return a number that depends on every output, and on the last state by itself."""
    weights = draw(*outputs.shape, seed=1), draw(*last.shape, seed=2)
    if isinstance(last, nd.NDArray):
        weights = [nd.array(weight, dtype=last.dtype) for weight in weights]
    return (weights[0] * outputs).sum() + (weights[1] * last).sum()


def test_the_rnn_step_is_its_formula():
    X, H, W_xh, W_hh, b_h = rnn_values().values()
    XW = nd.array(X[0] @ W_xh + b_h)
    (after,) = rnn_step(XW, (nd.array(H),), {"W_hh": nd.array(W_hh)})
    expected = np.tanh(X[0] @ W_xh + H @ W_hh + b_h)
    np.testing.assert_allclose(after.asnumpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("num_steps", [1, 2, NUM_STEPS])
def test_the_unrolled_rnn_is_its_formula(num_steps):
    values = rnn_values()
    values["X"] = values["X"][:num_steps]
    outputs, (last,) = our_rnn(arrays(values))
    expected = numpy_rnn(**values)
    np.testing.assert_allclose(outputs.asnumpy(), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(last.asnumpy(), expected[-1], rtol=0, atol=1e-6)


def test_the_rnn_is_gluons_with_its_gradients():
    ours = arrays(rnn_values())
    layer = gluon.rnn.RNN(NUM_HIDDENS, activation="tanh", input_size=NUM_INPUTS)
    layer.initialize()
    layer.l0_i2h_weight.set_data(ours["W_xh"].T)
    layer.l0_h2h_weight.set_data(ours["W_hh"].T)
    layer.l0_i2h_bias.set_data(ours["b_h"])
    layer.l0_h2h_bias.set_data(nd.zeros(NUM_HIDDENS))
    X, H = ours["X"].copy(), ours["H"].expand_dims(0)
    for array in (*ours.values(), X, H):
        array.attach_grad()

    with autograd.record():
        outputs, (last,) = our_rnn(ours)
        a_loss(outputs, last).backward()
    with autograd.record():
        their_outputs, (their_last,) = layer(X, [H])
        a_loss(their_outputs, their_last[0]).backward()

    pairs = {
        "outputs": (outputs, their_outputs),
        "last state": (last, their_last[0]),
        "X": (ours["X"].grad, X.grad),
        "H": (ours["H"].grad, H.grad[0]),
        "W_xh": (ours["W_xh"].grad, layer.l0_i2h_weight.grad().T),
        "W_hh": (ours["W_hh"].grad, layer.l0_h2h_weight.grad().T),
        "b_h": (ours["b_h"].grad, layer.l0_i2h_bias.grad()),
    }
    for name, (mine, theirs) in pairs.items():
        mine, theirs = mine.asnumpy(), theirs.asnumpy()
        assert np.abs(theirs).max() > 0.1
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", ["X", "H", "W_xh", "W_hh", "b_h"])
def test_gradients_are_finite_differences(name):
    values = rnn_values()

    def loss(change):
        states = numpy_rnn(**values | {name: values[name] + change})
        return a_loss(states, states[-1])

    params = arrays(values, dtype="float64")
    for param in params.values():
        param.attach_grad()
    with autograd.record():
        outputs, (last,) = our_rnn(params)
        a_loss(outputs, last).backward()

    numeric, step = np.zeros_like(values[name]), 1e-4
    for place in np.ndindex(numeric.shape):
        change = np.zeros_like(numeric)
        change[place] = step
        numeric[place] = (loss(change) - loss(-change)) / (2 * step)
    gradient = params[name].grad.asnumpy()
    assert gradient.dtype == np.float64
    np.testing.assert_allclose(gradient, numeric, rtol=0, atol=1e-7)


def test_unroll_hands_every_state_to_the_next_step():
    """A step that adds up and counts: unrolled, it is NumPy's cumulative sum."""

    def step(XW, state, params):
        H, count = state
        return H + params["scale"] * XW, count + 1

    XW = draw(NUM_STEPS, BATCH_SIZE, NUM_HIDDENS)
    start = (nd.ones((BATCH_SIZE, NUM_HIDDENS)), nd.zeros((BATCH_SIZE, 1)))
    outputs, (last, count) = unroll(step, nd.array(XW), start, {"scale": 3})
    expected = 1 + 3 * np.cumsum(XW, axis=0)
    np.testing.assert_allclose(outputs.asnumpy(), expected, rtol=1e-5)
    np.testing.assert_array_equal(last.asnumpy(), outputs[-1].asnumpy())
    np.testing.assert_array_equal(count.asnumpy(), np.full((BATCH_SIZE, 1), NUM_STEPS))


def start(cell, name):
    """Return a cell's parameters and a state, both drawn."""
    rng = np.random.default_rng(1)
    params = init_cell(cell, NUM_INPUTS, NUM_HIDDENS, rng=rng, scale=0.5)
    if name == "clockwork":  # counts its steps in the second state
        return params, (nd.array(draw(BATCH_SIZE, NUM_HIDDENS)), nd.zeros((3, 6)))
    states = draw(cell.num_states, BATCH_SIZE, NUM_HIDDENS)
    return params, tuple(nd.array(state) for state in states)


@pytest.mark.parametrize("name", CELLS)
def test_unrolled_is_step_by_step_and_piece_by_piece(name):
    cell = CELLS[name]
    params, state = start(cell, name)
    width = cell.num_gates * NUM_HIDDENS
    XW = nd.array(draw(NUM_STEPS, BATCH_SIZE, width))
    outputs, last = unroll(cell.step, XW, state, params)
    assert outputs.shape == (NUM_STEPS, BATCH_SIZE, NUM_HIDDENS)
    assert [s.shape for s in last] == [(BATCH_SIZE, NUM_HIDDENS)] * cell.num_states

    first, between = unroll(cell.step, XW[:2], state, params)
    second, end = unroll(cell.step, XW[2:], between, params)
    in_pieces = nd.concat(first, second, dim=0)
    np.testing.assert_array_equal(in_pieces.asnumpy(), outputs.asnumpy())
    for t in range(NUM_STEPS):
        state = cell.step(XW[t], state, params)
        np.testing.assert_array_equal(state[0].asnumpy(), outputs[t].asnumpy())
    for by_step, by_piece, at_once in zip(state, end, last, strict=True):
        np.testing.assert_array_equal(by_step.asnumpy(), at_once.asnumpy())
        np.testing.assert_array_equal(by_piece.asnumpy(), at_once.asnumpy())


@pytest.mark.parametrize("name", CELLS)
def test_rows_of_a_minibatch_do_not_mix(name):
    cell = CELLS[name]
    params, state = start(cell, name)
    XW = nd.array(draw(NUM_STEPS, BATCH_SIZE, cell.num_gates * NUM_HIDDENS))
    together, _ = unroll(cell.step, XW, state, params)
    for b in range(BATCH_SIZE):
        row = tuple(s[b : b + 1] for s in state)
        alone, _ = unroll(cell.step, XW[:, b : b + 1], row, params)
        np.testing.assert_allclose(
            alone[:, 0].asnumpy(), together[:, b].asnumpy(), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("name", CELLS)
def test_first_parameters_are_drawn_matrices_and_zero_vectors(name):
    cell = CELLS[name]
    rng = np.random.default_rng(0)
    params = init_cell(cell, 30, 50, rng=rng, scale=0.2)
    assert params["W_xh"].shape == (30, cell.num_gates * 50)
    assert params["b_h"].shape == (cell.num_gates * 50,)
    for param in params.values():
        values = param.asnumpy()
        assert values.dtype == np.float32
        if values.ndim == 1:
            assert not values.any()
        else:
            assert abs(values.mean()) < 5 * 0.2 / values.size**0.5
            assert abs(values.std() / 0.2 - 1) < 5 / (2 * values.size) ** 0.5


def test_weights_are_numpys_draws():
    drawn = draw_weights(3, 4, rng=np.random.default_rng(7), scale=0.5)
    expected = np.random.default_rng(7).normal(0, 0.5, (3, 4))
    np.testing.assert_array_equal(drawn.asnumpy(), expected.astype(np.float32))
    assert not draw_weights(3, 4, rng=np.random.default_rng(7), scale=0).asnumpy().any()
