"""One step of each recurrent network, as a pure function.

The job of a step function is to take what the current input contributes and the
state before, and to return the state after:

    step(XW, state, params) -> state

Shapes: ``XW`` is X_t · W_xh + b_h, (batch_size, num_gates × num_hiddens): the
contribution of the inputs does not depend on the state, so `unroll`'s callers
compute it for all steps in one product. ``state`` is a tuple whose first member is
the hidden state H, (batch_size, num_hiddens).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mxnet import nd

__all__ = ["CELLS", "Cell", "draw_weights", "init_cell", "rnn_step", "unroll"]


def rnn_step(XW, state, params):
    """Take one step of the plain recurrent network (Elman 1990).

    H_t = tanh(X_t · W_xh + H_{t−1} · W_hh + b_h)

    >>> params = {"W_hh": nd.zeros((3, 3))}
    >>> (H,) = rnn_step(nd.ones((2, 3)), (nd.zeros((2, 3)),), params)
    >>> H[0].asnumpy().round(3).tolist()
    [0.7620000243186951, 0.7620000243186951, 0.7620000243186951]
    """
    (H,) = state
    # nd.Activation is nd.tanh with vectorized arithmetic, several times faster.
    return (nd.Activation(XW + nd.dot(H, params["W_hh"]), act_type="tanh"),)


@dataclass(frozen=True)
class Cell:
    """A step function, and what its parameters and state must look like."""

    step: Callable
    num_gates: int
    num_states: int


#: The cells by name.
CELLS = {"rnn": Cell(rnn_step, num_gates=1, num_states=1)}


def init_cell(cell, num_inputs, num_hiddens, *, rng, scale):
    """Return a cell's parameters, weights drawn from N(0, scale²), biases zero.

    Parameters
    ----------
    cell : Cell
    num_inputs, num_hiddens : int
    rng : numpy.random.Generator
    scale : float

    Returns
    -------
    dict of NDArray
        W_xh (num_inputs, num_gates × num_hiddens), W_hh (num_hiddens, the same),
        b_h (the same,).
    """
    width = cell.num_gates * num_hiddens
    return {
        "W_xh": draw_weights(num_inputs, width, rng=rng, scale=scale),
        "W_hh": draw_weights(num_hiddens, width, rng=rng, scale=scale),
        "b_h": nd.zeros(width),
    }


def draw_weights(num_rows, num_columns, *, rng, scale):
    """Return a matrix of independent draws from N(0, scale²).

    NumPy draws the same numbers whatever the number of threads; ``nd.random`` does
    not.

    >>> rng = np.random.default_rng(0)
    >>> draw_weights(2, 3, rng=rng, scale=0.01).shape
    (2, 3)
    """
    weights = rng.normal(0, scale, (num_rows, num_columns))
    return nd.array(weights.astype(np.float32))


def unroll(step, XW, state, params):
    """Apply a step function along time.

    Parameters
    ----------
    step : callable
        One of this module's step functions.
    XW : NDArray, shape (num_steps, batch_size, num_gates × num_hiddens)
        What the inputs contribute at each step.
    state : tuple of NDArray, shape (batch_size, num_hiddens) each
        The state before the first step.
    params : dict of NDArray

    Returns
    -------
    (NDArray of shape (num_steps, batch_size, num_hiddens), tuple)
        The hidden states of all steps, and the state after the last.
    """
    num_steps = XW.shape[0]
    steps = nd.split(XW, num_outputs=num_steps, axis=0, squeeze_axis=True)
    outputs = []
    for XW_t in [steps] if num_steps == 1 else steps:
        state = step(XW_t, state, params)
        outputs.append(state[0])
    return nd.stack(*outputs), state
