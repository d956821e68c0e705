"""One step of each recurrent network, as a pure function.

The job of a step function is to take what the current input contributes and the
state before, and to return the state after:

    step(XW, state, params) -> state

Shapes: ``XW`` is X_t · W_xh + b_h, (batch_size, num_gates × num_hiddens): the
contribution of the inputs does not depend on the state, so `unroll`'s callers
compute it for all steps in one product. ``state`` is a tuple whose first member is
the hidden state H, (batch_size, num_hiddens).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mxnet import nd

from d2l_rnn._checks import (
    check_arrays,
    check_number,
    check_offers,
    check_positive_int,
    check_type,
    shown,
)

__all__ = [
    "CELLS",
    "Cell",
    "cifg_step",
    "clockwork_step",
    "depth_gated_step",
    "draw_weights",
    "gru_cudnn_step",
    "gru_step",
    "init_cell",
    "lstm_step",
    "no_forget_step",
    "peephole_step",
    "rnn_step",
    "unroll",
]


def _checked(step):
    """Have a step function say what does not fit, also where MXNet would stretch it."""

    @functools.wraps(step)
    def checked_step(XW, state, params):
        try:
            if _fits(XW.shape, *[array.shape for array in state]):
                return step(XW, state, params)
        except Exception:  # of any kind, since anything may have been passed
            pass
        raise _misfit(step.__name__, XW, state, params)

    return checked_step


def _fits(XW, H, *others):
    """Return whether these shapes are those of an input and of a state."""
    same = all(shape == H for shape in others)
    return same and len(XW) == len(H) == 2 and XW[0] == H[0] and not XW[1] % H[1]


def _misfit(name, XW, state, params):
    """Return an error that says what a step function was given."""
    check_type("XW", XW, nd.NDArray, "an NDArray (batch_size, num_gates × num_hiddens)")
    shapes = [array.shape for array in check_arrays("state", state)]
    check_type("params", params, dict, "a dict of NDArrays by name")
    given = {key: getattr(array, "shape", array) for key, array in params.items()}
    return ValueError(
        f"XW of shape {XW.shape}, state of shapes {shapes} and params of shapes "
        f"{given} do not fit {name}: XW must be (batch_size, num_gates × num_hiddens), "
        "each array of the state (batch_size, num_hiddens), and params those that "
        "init_cell makes for this cell, all of one dtype"
    )


@_checked
def rnn_step(XW, state, params):
    """Take one step of the plain recurrent network (Elman 1990).

    H_t = tanh(X_t · W_xh + H_{t−1} · W_hh + b_h)

    >>> params = {"W_hh": nd.zeros((3, 3))}
    >>> (H,) = rnn_step(nd.ones((2, 3)), (nd.zeros((2, 3)),), params)
    >>> H[0].asnumpy().round(3).tolist()
    [0.7620000243186951, 0.7620000243186951, 0.7620000243186951]
    """
    (H,) = state
    return (_tanh(XW + nd.dot(H, params["W_hh"])),)


@_checked
def gru_step(XW, state, params):
    """Take one step of the gated recurrent unit (Cho et al. 2014).

    R, Z = σ(X_t · W_x + H_{t−1} · W_hrz + b), the reset and update gates;
    H̃ = tanh(X_t · W_xc + (R ⊙ H_{t−1}) · W_hc + b_c), the candidate;
    H_t = Z ⊙ H_{t−1} + (1 − Z) ⊙ H̃.

    The reset gate acts *before* the product, as in the paper. ``XW`` holds the
    contributions to R, Z and H̃, in this order.
    """
    (H,) = state
    num_hiddens = H.shape[1]
    X_rz = nd.slice_axis(XW, axis=1, begin=0, end=2 * num_hiddens)
    X_c = nd.slice_axis(XW, axis=1, begin=2 * num_hiddens, end=None)
    R, Z = _split(_sigmoid(X_rz + nd.dot(H, params["W_hrz"])), 2)
    candidate = _tanh(X_c + nd.dot(R * H, params["W_hc"]))
    return (Z * H + (1 - Z) * candidate,)


@_checked
def gru_cudnn_step(XW, state, params):
    """Take one step of the GRU as cuDNN and ``gluon.rnn.GRU`` define it.

    The reset gate acts *after* the product, which has a bias of its own:
    H̃ = tanh(X_t · W_xc + b_c + R ⊙ (H_{t−1} · W_hc + b_hc)). One product serves
    all gates, but it is another model than `gru_step`.
    """
    (H,) = state
    X_r, X_z, X_c = _split(XW, 3)
    H_r, H_z, H_c = _split(nd.dot(H, params["W_hh"]), 3)
    R, Z = _sigmoid(X_r + H_r), _sigmoid(X_z + H_z)
    candidate = _tanh(X_c + R * (H_c + params["b_hc"]))
    return (Z * H + (1 - Z) * candidate,)


@_checked
def lstm_step(XW, state, params):
    """Take one step of the LSTM (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    I, F, O = σ(X_t · W_x + H_{t−1} · W_h + b), the input, forget and output gates;
    C̃ = tanh(X_t · W_xc + H_{t−1} · W_hc + b_c), the candidate;
    C_t = F ⊙ C_{t−1} + I ⊙ C̃;  H_t = O ⊙ tanh(C_t).

    ``XW`` holds the contributions to I, F, C̃ and O, in gluon's order.
    """
    H, C = state
    gates_I, gates_F, candidate, gates_O = _split(XW + nd.dot(H, params["W_hh"]), 4)
    C = _sigmoid(gates_F) * C + _sigmoid(gates_I) * _tanh(candidate)
    return _sigmoid(gates_O) * _tanh(C), C


@_checked
def peephole_step(XW, state, params):
    """Take one step of the LSTM with peepholes (Gers & Schmidhuber 2000).

    The gates see the cell too: I and F get w_ci ⊙ C_{t−1} and w_cf ⊙ C_{t−1}, O
    gets w_co ⊙ C_t. With all three vectors zero it is `lstm_step`.
    """
    H, C = state
    gates_I, gates_F, candidate, gates_O = _split(XW + nd.dot(H, params["W_hh"]), 4)
    I = _sigmoid(gates_I + params["w_ci"] * C)
    F = _sigmoid(gates_F + params["w_cf"] * C)
    C = F * C + I * _tanh(candidate)
    return _sigmoid(gates_O + params["w_co"] * C) * _tanh(C), C


@_checked
def cifg_step(XW, state, params):
    """Take one step of the LSTM with coupled input and forget gates, I = 1 − F.

    ``XW`` holds the contributions to F, C̃ and O (Greff et al. 2017).
    """
    H, C = state
    gates_F, candidate, gates_O = _split(XW + nd.dot(H, params["W_hh"]), 3)
    F = _sigmoid(gates_F)
    C = F * C + (1 - F) * _tanh(candidate)
    return _sigmoid(gates_O) * _tanh(C), C


@_checked
def no_forget_step(XW, state, params):
    """Take one step of the LSTM of 1997, whose forget gate is the constant 1.

    ``XW`` holds the contributions to I, C̃ and O.
    """
    H, C = state
    gates_I, candidate, gates_O = _split(XW + nd.dot(H, params["W_hh"]), 3)
    C = C + _sigmoid(gates_I) * _tanh(candidate)
    return _sigmoid(gates_O) * _tanh(C), C


@_checked
def depth_gated_step(XW, state, params):
    """Take one step of two LSTM layers joined by a depth gate (Yao et al. 2015).

    The upper layer's cell takes in the lower one's directly:
    D = σ(X · W_xd + b_d + w_cd ⊙ C_{t−1} + w_ld ⊙ C_t^below), where X is the lower
    layer's hidden state, and C_t = D ⊙ C_t^below + F ⊙ C_{t−1} + I ⊙ C̃.

    The state is (H, C) of the upper layer, then (H, C) of the lower one. With the
    depth gate closed (b_d → −∞) this is a plain stack of two layers.
    """
    H, C, H_below, C_below = state
    below = {"W_hh": params["W_hh"]}
    H_below, C_below = lstm_step(XW, (H_below, C_below), below)
    XW = nd.dot(H_below, params["W_xh_up"]) + params["b_h_up"]
    gates_I, gates_F, candidate, gates_O = _split(XW + nd.dot(H, params["W_hh_up"]), 4)
    gates_D = nd.dot(H_below, params["W_xd"]) + params["b_d"]
    D = _sigmoid(gates_D + params["w_cd"] * C + params["w_ld"] * C_below)
    C = D * C_below + _sigmoid(gates_F) * C + _sigmoid(gates_I) * _tanh(candidate)
    return _sigmoid(gates_O) * _tanh(C), C, H_below, C_below


@_checked
def clockwork_step(XW, state, params):
    """Take one step of the clockwork network (Koutník et al. 2014).

    Hidden units come in equal modules with periods 1, 2, 4 and 8 steps: a module
    changes only at steps that its period divides, and hears only from modules as
    slow as itself or slower. The second state counts the steps, in every entry.
    """
    H, clock = state
    periods = _periods(H.shape[1])
    # Row: from which unit. Column: to which one.
    heard = nd.array(periods[:, None] >= periods[None, :], dtype=H.dtype)
    due = nd.broadcast_mod(clock, nd.array(periods[None, :], dtype=H.dtype)) == 0
    update = _tanh(XW + nd.dot(H, params["W_hh"] * heard))
    return nd.where(due, update, H), clock + 1


def _periods(num_hiddens, periods=(1, 2, 4, 8)):
    """Return each unit's period, modules in order.

    >>> _periods(8)
    array([1., 1., 2., 2., 4., 4., 8., 8.], dtype=float32)
    """
    modules = np.array_split(np.arange(num_hiddens), len(periods))
    return np.repeat(periods, [len(m) for m in modules]).astype(np.float32)


def _sigmoid(x):
    return nd.Activation(x, act_type="sigmoid")


def _tanh(x):
    # nd.Activation is nd.tanh with vectorized arithmetic, several times faster.
    return nd.Activation(x, act_type="tanh")


def _split(x, num_gates):
    # Four slices of a matrix take MXNet a third less time than one nd.split.
    width = x.shape[1] // num_gates
    return [
        nd.slice_axis(x, axis=1, begin=k * width, end=(k + 1) * width)
        for k in range(num_gates)
    ]


@dataclass(frozen=True)
class Cell:
    """A step function, and what its parameters and state must look like.

    ``recurrent`` gives the shapes of the parameters besides W_xh and b_h, in units
    of num_hiddens: (1, 4) stands for (num_hiddens, 4 × num_hiddens).
    """

    step: Callable
    num_gates: int
    num_states: int
    recurrent: dict


#: The cells by name.
CELLS = {
    "rnn": Cell(rnn_step, 1, 1, {"W_hh": (1, 1)}),
    "gru": Cell(gru_step, 3, 1, {"W_hrz": (1, 2), "W_hc": (1, 1)}),
    "gru_cudnn": Cell(gru_cudnn_step, 3, 1, {"W_hh": (1, 3), "b_hc": (1,)}),
    "lstm": Cell(lstm_step, 4, 2, {"W_hh": (1, 4)}),
    "peephole": Cell(
        peephole_step, 4, 2, {"W_hh": (1, 4), "w_ci": (1,), "w_cf": (1,), "w_co": (1,)}
    ),
    "cifg": Cell(cifg_step, 3, 2, {"W_hh": (1, 3)}),
    "no_forget": Cell(no_forget_step, 3, 2, {"W_hh": (1, 3)}),
    "depth_gated": Cell(
        depth_gated_step,
        4,
        4,
        {
            "W_hh": (1, 4),
            "W_xh_up": (1, 4),
            "W_hh_up": (1, 4),
            "b_h_up": (4,),
            "W_xd": (1, 1),
            "b_d": (1,),
            "w_cd": (1,),
            "w_ld": (1,),
        },
    ),
    "clockwork": Cell(clockwork_step, 1, 2, {"W_hh": (1, 1)}),
}


def init_cell(cell, num_inputs, num_hiddens, *, rng, scale):
    """Return a cell's parameters: matrices drawn from N(0, scale²), vectors zero.

    Parameters
    ----------
    cell : Cell
    num_inputs, num_hiddens : int
    rng : numpy.random.Generator
    scale : float

    Returns
    -------
    dict of NDArray
        W_xh (num_inputs, num_gates × num_hiddens), b_h (num_gates × num_hiddens,),
        and the recurrent ones of the cell.

    >>> rng = np.random.default_rng(0)
    >>> params = init_cell(CELLS["lstm"], 3, 2, rng=rng, scale=0.1)
    >>> {name: param.shape for name, param in params.items()}
    {'W_xh': (3, 8), 'W_hh': (2, 8), 'b_h': (8,)}
    """
    check_type("cell", cell, Cell, "one of CELLS, such as CELLS['lstm']")
    num_hiddens = check_positive_int("num_hiddens", num_hiddens)
    num_inputs = check_positive_int("num_inputs", num_inputs)
    width = cell.num_gates * num_hiddens
    params = {"W_xh": draw_weights(num_inputs, width, rng=rng, scale=scale)}
    for name, shape in cell.recurrent.items():
        shape = tuple(k * num_hiddens for k in shape)
        is_matrix = len(shape) == 2
        params[name] = (
            draw_weights(*shape, rng=rng, scale=scale) if is_matrix else nd.zeros(shape)
        )
    return params | {"b_h": nd.zeros(width)}


def draw_weights(num_rows, num_columns, *, rng, scale):
    """Return a matrix of independent draws from N(0, scale²).

    NumPy draws the same numbers whatever the number of threads; ``nd.random`` does
    not.

    >>> rng = np.random.default_rng(0)
    >>> draw_weights(2, 3, rng=rng, scale=0.01).shape
    (2, 3)
    """
    num_rows = check_positive_int("num_rows", num_rows)
    num_columns = check_positive_int("num_columns", num_columns)
    scale = check_number("scale", scale, 0)
    check_offers("rng", rng, ["normal"], "numpy.random.default_rng(seed) makes one")
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
    check_type("step", step, Callable, "a function (XW, state, params) -> state")
    if not isinstance(XW, nd.NDArray) or XW.ndim != 3 or not XW.shape[0]:
        raise ValueError(
            "XW must be an NDArray (num_steps, batch_size, num_gates × num_hiddens) "
            f"with at least one step, got {shown(XW)}"
        )
    num_steps = XW.shape[0]
    steps = nd.split(XW, num_outputs=num_steps, axis=0, squeeze_axis=True)
    outputs = []
    for XW_t in [steps] if num_steps == 1 else steps:
        state = step(XW_t, state, params)
        outputs.append(state[0])
    return nd.stack(*outputs), state
