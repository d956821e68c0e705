"""One LSTM language model, computed in slower and faster ways.

Each rung is a function ``(X, state, params) -> (logits, state)``, as `ScratchModel`
takes it, and all give the same numbers. The parameters are those of
``rnn_model(…, cell="lstm")``; the first two rungs want each gate's own, as `separate`
cuts them out. The rungs above are the package itself.
"""

from functools import partial

from d2l_rnn.models import GluonModel, ScratchModel, gluon_layer, rnn_model

from mxnet import nd

GATES = "IFCO"  # in the order in which the joined matrices hold them


def separate(params):
    """Return the parameters with one matrix for each gate, copied."""
    parts = {name: params[name].copy() for name in ("W_hq", "b_q")}
    for name in ("W_xh", "W_hh", "b_h"):
        columns = nd.split(params[name], num_outputs=4, axis=-1)
        for gate, part in zip(GATES, columns, strict=True):
            parts[name[:-1] + gate] = part.copy()
    return parts


def naive_loop(X, state, params):
    """Compute everything at every step: one-hot rows, four gates, the output."""
    H, C = state
    outputs = []
    for x in X.T:
        row, part = nd.one_hot(x, params["W_xI"].shape[0]), {}
        for k in GATES:
            part[k] = nd.dot(row, params["W_x" + k]) + nd.dot(H, params["W_h" + k])
            part[k] = part[k] + params["b_" + k]
        C = nd.sigmoid(part["F"]) * C + nd.sigmoid(part["I"]) * nd.tanh(part["C"])
        H = nd.sigmoid(part["O"]) * nd.tanh(C)
        outputs.append(nd.dot(H, params["W_hq"]) + params["b_q"])
    return nd.stack(*outputs), (H, C)


def hoisted(X, state, params):
    """Look the inputs up before the loop, compute all outputs after it."""
    H, C = state
    steps = {}
    for k in GATES:
        inputs = nd.take(params["W_x" + k], X.T) + params["b_" + k]
        steps[k] = nd.split(inputs, X.shape[1], squeeze_axis=True, axis=0)
    states = []
    for t in range(X.shape[1]):
        part = {k: steps[k][t] + nd.dot(H, params["W_h" + k]) for k in GATES}
        C = nd.sigmoid(part["F"]) * C + nd.sigmoid(part["I"]) * nd.tanh(part["C"])
        H = nd.sigmoid(part["O"]) * nd.tanh(C)
        states.append(H)
    return nd.dot(nd.stack(*states), params["W_hq"]) + params["b_q"], (H, C)


def one_product(X, state, params):
    """Multiply the state by all four gates' matrices at once."""
    H, C = state
    inputs = nd.take(params["W_xh"], X.T) + params["b_h"]
    states = []
    for XW in nd.split(inputs, X.shape[1], squeeze_axis=True, axis=0):
        joined = XW + nd.dot(H, params["W_hh"])
        part = dict(zip(GATES, nd.split(joined, 4, axis=1), strict=True))
        C = nd.sigmoid(part["F"]) * C + nd.sigmoid(part["I"]) * nd.tanh(part["C"])
        H = nd.sigmoid(part["O"]) * nd.tanh(C)
        states.append(H)
    return nd.dot(nd.stack(*states), params["W_hq"]) + params["b_q"], (H, C)


def rungs(vocab_size, num_hiddens):
    """Return the models of all rungs by name, with the same weights."""
    sizes = {"vocab_size": vocab_size, "num_hiddens": num_hiddens}
    recorded = rnn_model(**sizes, cell="lstm")
    scratch = partial(ScratchModel, **sizes, num_states=2)
    copies = recorded.get_weights
    return {
        "naive loop": scratch(naive_loop, separate(copies())),
        "hoisted": scratch(hoisted, separate(copies())),
        "one product": scratch(one_product, copies()),
        "faster operators": scratch(recorded.forward.forward, copies()),
        "recorded": recorded,
        "fused": fused_like(recorded),
    }


def fused_like(model):
    """Return Gluon's fused layer with the weights of an LSTM model."""
    fused = GluonModel(gluon_layer("lstm", model.num_hiddens), model.vocab_size)
    params = model.params
    fused.set_weights(
        {
            "l0_i2h_weight": params["W_xh"].T,
            "l0_h2h_weight": params["W_hh"].T,
            "l0_i2h_bias": params["b_h"],
            "l0_h2h_bias": nd.zeros_like(params["b_h"]),
            "output_weight": params["W_hq"].T,
            "output_bias": params["b_q"],
        }
    )
    return fused


def step_flops(vocab_size, num_hiddens, batch_size, num_steps, *, num_gates=4):
    """Return how many multiplications and additions a training step needs.

    Counted are the products of matrices: the state's with all gates' matrices, and
    the output layer's. Looking an input up costs none. Going back costs each product
    twice more: once for the gradient of either factor.

    >>> step_flops(71, 256, 32, 35) / 1e9
    1.8837504
    """
    a_row = num_hiddens * (num_gates * num_hiddens + vocab_size)
    return 3 * 2 * batch_size * num_steps * a_row
