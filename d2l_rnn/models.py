"""Language models: symbols in, a score for every possible next symbol out.

Every model here can be trained by `training.train` and drawn from by `decoding`.
It offers

- ``model(X, state) -> (logits, state)``: X holds indices, (batch_size, num_steps);
  logits are time-major, (num_steps, batch_size, vocab_size);
- ``model.begin_state(batch_size)``: a tuple of zero NDArrays;
- ``model.params``: its weights by name, with gradients attached;
- ``model.next_log_probs(ids, state)``: one text at a time, for decoding.
"""

from collections.abc import Callable

import numpy as np
from mxnet import gluon, init, nd

from d2l_rnn._checks import (
    check_arrays,
    check_choice,
    check_count,
    check_ids,
    check_number,
    check_positive_int,
    check_range,
    check_type,
    shown,
)
from d2l_rnn.cells import CELLS, draw_weights, init_cell, unroll
from d2l_rnn.replay import Replay

__all__ = ["GluonModel", "LanguageModel", "LastStep", "ScratchModel", "rnn_model"]


class LanguageModel:
    """What all neural language models share. Subclasses define the forward pass."""

    #: The arguments the model was made with, for `checkpoint`; None if made by hand.
    settings = None

    def __init__(self, params, vocab_size):
        self.params = check_type("params", params, dict, "a dict of NDArrays by name")
        self.vocab_size = check_positive_int("vocab_size", vocab_size)

    def __call__(self, X, state):
        raise NotImplementedError

    def begin_state(self, batch_size=1):
        raise NotImplementedError

    @property
    def num_params(self):
        """How many numbers training adjusts."""
        return sum(param.size for param in self.params.values())

    def _read(self, X, state):
        """Call the model outside of training, with indices that were checked."""
        return self(X, state)

    def get_weights(self):
        """Return a copy of the weights, for `set_weights`."""
        return {name: param.copy() for name, param in self.params.items()}

    def set_weights(self, weights):
        """Copy weights from a dict of NDArrays or NumPy arrays of the same shapes."""
        check_weights(weights, self.params)
        for name, param in self.params.items():
            param[:] = weights[name]

    def next_log_probs(self, ids, state=None):
        """Feed ``ids`` after ``state``; return how the text may go on.

        Parameters
        ----------
        ids : sequence of int, at least one
        state : tuple, optional
            As returned by an earlier call; without it the text begins here.

        Returns
        -------
        (numpy.ndarray of shape (vocab_size,), tuple)
            Natural logarithms of the probabilities of the next symbol, float64,
            and the state after ``ids``.
        """
        ids = check_ids("ids", ids, self.vocab_size)
        if not len(ids):
            raise ValueError("ids is empty: feed at least one symbol")
        state = self.begin_state(1) if state is None else state
        # For one index nd.array takes four times as long, and this is done for every
        # symbol that is drawn.
        X = nd.from_numpy(ids[None].astype(np.int32))
        logits, state = self._read(X, state)
        scores = logits.asnumpy()[-1, 0].astype(np.float64)
        scores -= scores.max()
        return scores - np.log(np.exp(scores).sum()), state


def check_weights(weights, params):
    """Say which of ``weights`` do not fit ``params``, NDArrays by name."""
    check_type("weights", weights, dict, "a dict of arrays by name")
    if set(weights) != set(params):
        raise ValueError(
            f"weights must have the names {sorted(params)}, got "
            f"{sorted(map(str, weights))}"
        )
    for name, param in params.items():
        array, kinds = weights[name], (nd.NDArray, np.ndarray)
        check_type(f"weights[{name!r}]", array, kinds, "an NDArray or a NumPy array")
        if tuple(array.shape) != param.shape:
            raise ValueError(
                f"weights[{name!r}] must have shape {param.shape}, got "
                f"{tuple(array.shape)}"
            )


class ScratchModel(LanguageModel):
    """A language model from a forward function and its parameters.

    Parameters
    ----------
    forward : callable
        ``forward(X, state, params) -> (logits, state)``, shapes as above.
    params : dict of NDArray
        Gradients are attached here.
    vocab_size, num_hiddens : int
    num_states : int
        How many arrays (batch_size, num_hiddens) a state holds: 1 for H, 2 for
        H and C.
    """

    def __init__(self, forward, params, *, vocab_size, num_hiddens, num_states=1):
        super().__init__(params, vocab_size)
        what = "a function (X, state, params) -> (logits, state)"
        self.forward = check_type("forward", forward, Callable, what)
        self.num_hiddens = check_positive_int("num_hiddens", num_hiddens)
        self.num_states = check_count("num_states", num_states)
        for param in check_arrays("params", params.values()):
            param.attach_grad()

    def __call__(self, X, state):
        if self.settings:  # a forward pass of your own may take what it likes
            check_inputs(X, self.vocab_size)
        return self._read(X, state)

    def _read(self, X, state):
        if self.settings:
            check_state(self, state, X.shape[0])
        return self.forward(X, state, self.params)

    def begin_state(self, batch_size=1):
        shapes = self._state_shapes(check_positive_int("batch_size", batch_size))
        return tuple(nd.zeros(shape) for shape in shapes)

    def _state_shapes(self, batch_size):
        """Return the shapes of the arrays of a state."""
        return [(batch_size, self.num_hiddens)] * self.num_states


class LastStep(LanguageModel):
    """A model that answers once, after the last symbol of each sequence.

    Its logits have the shape (1, batch_size, vocab_size), to go with labels Y of
    shape (batch_size, 1). The weights are those of the model inside.

    >>> model = LastStep(rnn_model(vocab_size=10, num_hiddens=4))
    >>> logits, _ = model(nd.zeros((2, 5), dtype="int32"), model.begin_state(2))
    >>> logits.shape
    (1, 2, 10)
    """

    def __init__(self, model):
        check_type("model", model, LanguageModel, "a LanguageModel")
        super().__init__(model.params, model.vocab_size)
        self.model = model
        if model.settings:
            self.settings = {"kind": "LastStep", "model": model.settings}

    def __call__(self, X, state):
        logits, state = self.model(X, state)
        return logits[-1:], state

    def begin_state(self, batch_size=1):
        return self.model.begin_state(batch_size)


def rnn_model(
    vocab_size,
    num_hiddens,
    *,
    cell="rnn",
    num_layers=1,
    dropout=0.0,
    bidirectional=False,
    seed=0,
    scale=None,
):
    """Return a language model built from this package's own cells.

    Its input is one-hot, computed as a row lookup: a one-hot row times W_xh is a
    row of W_xh. The parameters of the first layer are called W_xh, W_hh, …; those
    of the layer above l1_W_xh, …; those of a backward direction r0_W_xh, ….

    Parameters
    ----------
    vocab_size, num_hiddens : int
    cell : str
        A name in `cells.CELLS`.
    num_layers : int
        Layers, each fed with the hidden states of the one below.
    dropout : float
        Share of a layer's outputs set to 0 in training, between layers only.
    bidirectional : bool
        Whether a second network reads each window from its end. Its outputs know
        what comes next, so this is no language model: it is for filling in.
    seed : int
    scale : float, optional
        Standard deviation of the initial weights; 1/√num_hiddens if not given, which
        keeps the size of the state about the same from step to step.

    >>> model = rnn_model(vocab_size=10, num_hiddens=4)
    >>> logits, state = model(nd.zeros((2, 5), dtype="int32"), model.begin_state(2))
    >>> logits.shape, state[0].shape, model.num_params
    ((5, 2, 10), (2, 4), 110)
    >>> rnn_model(10, 4, cell="lstm", num_layers=2).num_params
    434
    """
    cell, seed = check_choice("cell", cell, CELLS), check_count("seed", seed)
    vocab_size = check_positive_int("vocab_size", vocab_size)
    num_hiddens = check_positive_int("num_hiddens", num_hiddens)
    num_layers = check_positive_int("num_layers", num_layers)
    dropout = check_dropout(dropout)
    kind, rng = CELLS[cell], np.random.default_rng(seed)
    scale = num_hiddens**-0.5 if scale is None else scale
    directions = 2 if bidirectional else 1
    params, width = {}, vocab_size
    for layer in range(num_layers):
        for prefix in _prefixes(layer, bidirectional):
            drawn = init_cell(kind, width, num_hiddens, rng=rng, scale=scale)
            params |= {prefix + name: param for name, param in drawn.items()}
        width = directions * num_hiddens
    params["W_hq"] = draw_weights(width, vocab_size, rng=rng, scale=scale)
    params["b_q"] = nd.zeros(vocab_size)

    def forward(X, state, params):
        inputs, after = X.T, ()
        for layer in range(num_layers):
            if layer:
                inputs = nd.Dropout(inputs, p=dropout)
            outputs = []
            for prefix in _prefixes(layer, bidirectional):
                before, state = state[: kind.num_states], state[kind.num_states :]
                H, last = _run_layer(kind, inputs, before, params, prefix)
                outputs.append(H)
                after += last
            inputs = nd.concat(*outputs, dim=2) if bidirectional else H
        return _add_bias(nd.dot(inputs, params["W_hq"]), params["b_q"]), after

    model = ScratchModel(
        Replay(forward),
        params,
        vocab_size=vocab_size,
        num_hiddens=num_hiddens,
        num_states=kind.num_states * num_layers * directions,
    )
    model.settings = {
        "kind": "rnn_model",
        "vocab_size": vocab_size,
        "num_hiddens": num_hiddens,
        "cell": cell,
        "num_layers": num_layers,
        "dropout": dropout,
        "bidirectional": bool(bidirectional),
    }
    return model


def _prefixes(layer, bidirectional):
    """Return what the names of a layer's parameters begin with, per direction.

    >>> _prefixes(0, False), _prefixes(1, True)
    ([''], ['l1_', 'r1_'])
    """
    forward = f"l{layer}_" if layer else ""
    return [forward, f"r{layer}_"] if bidirectional else [forward]


def _run_layer(kind, inputs, state, params, prefix):
    """Run one layer in one direction over indices (2-D) or hidden states (3-D)."""
    own = {name: params[prefix + name] for name in ("W_xh", "b_h", *kind.recurrent)}
    if inputs.ndim == 2:
        XW = nd.take(own["W_xh"], inputs)
    else:
        XW = nd.dot(inputs, own["W_xh"])
    XW = _add_bias(XW, own["b_h"])
    backward = prefix.startswith("r")
    H, state = unroll(kind.step, XW.flip(0) if backward else XW, state, own)
    return (H.flip(0) if backward else H), state


def _add_bias(products, b):
    """Return ``products + b``, b as the weights of one more input, which is always 1.

    Its gradient is then a product of matrices too. That of a broadcast sum takes
    MXNet several times as long.

    >>> _add_bias(nd.zeros((1, 2, 3)), nd.array([1, 2, 3])).asnumpy().tolist()
    [[[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]]
    """
    ones = nd.ones_like(nd.slice_axis(products, axis=-1, begin=0, end=1))
    return products + nd.dot(ones, b.expand_dims(0))


def check_call(model, X, state):
    """Check what a model is called with: indices X, and a state of its shapes."""
    check_inputs(X, model.vocab_size)
    check_state(model, state, X.shape[0])


def check_state(model, state, batch_size):
    """Check that a state has the shapes that a model wants for so many rows."""
    wanted = model._state_shapes(batch_size)
    is_list = isinstance(state, (tuple, list))
    given = [getattr(s, "shape", s) for s in state] if is_list else shown(state)
    if given != wanted:
        error = ValueError if is_list else TypeError
        raise error(
            f"state must hold NDArrays of shapes {wanted}, got {given}: begin with "
            f"model.begin_state({batch_size})"
        )


def check_inputs(X, vocab_size, num_inputs=None):
    """Check X: indices, (batch_size, num_steps), or vectors of num_inputs numbers.

    MXNet would take the nearest symbol for an index that is out of range.
    """
    vector = () if num_inputs is None else (num_inputs,)
    is_array = isinstance(X, nd.NDArray)
    if not is_array or X.ndim != 2 + len(vector) or X.shape[2:] != vector:
        form = ", ".join(["batch_size", "num_steps", *map(str, vector)])
        error = ValueError if is_array else TypeError
        raise error(
            f"X must be an NDArray ({form}){'' if vector else ' of indices'}, got "
            f"{shown(X)}: nd.array(…) makes one"
        )
    if not vector:
        check_range("X", X, vocab_size)


def check_dropout(dropout, name="dropout"):
    """Return ``dropout`` as a float, or say that it must lie in 0 ≤ dropout < 1."""
    dropout = check_number(name, dropout, 0)
    if dropout >= 1:
        raise ValueError(f"{name} must be below 1, got {dropout}: try 0.5")
    return dropout


class GluonModel(LanguageModel):
    """Embedding or one-hot → a gluon recurrent layer → a dense output layer.

    Parameters
    ----------
    layer : gluon.rnn.RNN, GRU or LSTM
        Not initialized yet, layout TNC, without dropout of its own: on the CPU
        MXNet 1.9.1 does not apply it. Mind that ``gluon.rnn.RNN`` has ReLU units
        unless it is told ``activation='tanh'``.
    vocab_size : int
    embed_size : int, optional
        Width of the embedding. Without it the input is one-hot.
    dropout : float
        Share of inputs and outputs of the recurrent layer set to 0 in training.
    seed : int
        Fixes the initial weights, drawn uniformly by Glorot & Bengio's rule
        (embedding: N(0, 0.1²)); biases are 0.

    >>> layer = gluon.rnn.RNN(4, activation="tanh")
    >>> model = GluonModel(layer, vocab_size=10)
    >>> logits, state = model(nd.zeros((2, 5), dtype="int32"), model.begin_state(2))
    >>> logits.shape, state[0].shape, model.num_params
    ((5, 2, 10), (1, 2, 4), 114)
    """

    def __init__(self, layer, vocab_size, *, embed_size=None, dropout=0.0, seed=0):
        check_type("layer", layer, tuple(GLUON_LAYERS.values()), "a gluon.rnn layer")
        if layer._layout != "TNC":
            raise ValueError(f"layer must have the layout 'TNC', got {layer._layout!r}")
        if layer._dropout:
            raise ValueError(
                f"layer has dropout={layer._dropout}, which MXNet 1.9.1 does not apply "
                "on the CPU: leave it out, and use rnn_model(…, num_layers, dropout) "
                "for dropout between layers"
            )
        vocab_size = check_positive_int("vocab_size", vocab_size)
        rng = np.random.default_rng(check_count("seed", seed))
        self.layer = layer
        self.cell = _gluon_cell(layer)
        self.embed_size = embed_size
        self.drop = gluon.nn.Dropout(check_dropout(dropout))
        self.output = gluon.nn.Dense(vocab_size, flatten=False)
        blocks = [layer, self.output]
        if embed_size is not None:
            check_positive_int("embed_size", embed_size)
            self.embedding = gluon.nn.Embedding(vocab_size, embed_size)
            blocks.append(self.embedding)
        for block in blocks:
            block.initialize(init.Zero())
            block.hybridize(static_alloc=True)
        super().__init__({}, vocab_size)
        self(nd.zeros((1, 1), dtype="int32"), self.begin_state(1))  # fixes all shapes
        # gluon puts a count of all layers so far before each name: leave that out.
        roles = {"output_": self.output, "embedding_": getattr(self, "embedding", None)}
        for prefix, block in {"": layer, **roles}.items():
            for name, param in sorted(block.collect_params().items() if block else ()):
                self.params[prefix + name[len(block.prefix) :]] = param.data()
        draw_glorot(self.params, rng)
        self.weights = dict(self.params)  # also those that a reader takes out of params
        self.one_step = Replay(self._one_step)
        self.settings = {
            "kind": "GluonModel",
            "layer": type(layer).__name__,
            "layer_options": _layer_options(layer),
            "vocab_size": vocab_size,
            "embed_size": embed_size,
            "dropout": dropout,
        }

    def __call__(self, X, state):
        check_call(self, X, state)
        if self.embed_size is None:
            inputs = nd.one_hot(X.T, self.vocab_size)
        else:
            inputs = self.embedding(X.T)
        outputs, state = self.layer(self.drop(inputs), list(state))
        return self.output(self.drop(outputs)), tuple(state)

    def begin_state(self, batch_size=1):
        batch_size = check_positive_int("batch_size", batch_size)
        return tuple(self.layer.begin_state(batch_size))

    def _state_shapes(self, batch_size):
        """Return the shapes of the arrays of a state."""
        return [info["shape"] for info in self.layer.state_info(batch_size)]

    def _read(self, X, state):
        if X.shape[1] > 1 or self.layer._dir == 2:
            return self(X, state)
        check_state(self, state, X.shape[0])
        return self.one_step(X, state, self.weights)

    def _one_step(self, X, state, weights):
        """Read one symbol by gluon's cells.

        The fused layer packs its weights anew at every call, which takes longer than
        one step.
        """
        inputs = X.reshape(-1)
        if self.embed_size is None:
            inputs = nd.one_hot(inputs, self.vocab_size)
        else:
            inputs = nd.take(weights["embedding_weight"], inputs)
        after = []
        for k in range(self.layer._num_layers):
            parts = [
                nd.slice_axis(s, axis=0, begin=k, end=k + 1).reshape((-3, 0))
                for s in state
            ]
            own = {n[3:]: w for n, w in weights.items() if n.startswith(f"l{k}_")}
            inputs, parts = self.cell.hybrid_forward(nd, inputs, parts, **own)
            after.append(parts)
        logits = nd.FullyConnected(
            inputs,
            weights["output_weight"],
            weights["output_bias"],
            num_hidden=self.vocab_size,
        )
        stacked = (nd.stack(*parts) for parts in zip(*after, strict=True))
        return logits.expand_dims(0), tuple(stacked)


#: The gluon layers by the name of their cell.
GLUON_LAYERS = {"rnn": gluon.rnn.RNN, "gru": gluon.rnn.GRU, "lstm": gluon.rnn.LSTM}


def gluon_layer(cell, num_hiddens, **options):
    """Return a new gluon layer; an RNN's units are tanh, not ReLU as by default.

    >>> gluon_layer("rnn", 4)._mode, gluon_layer("gru", 4)._mode
    ('rnn_tanh', 'gru')
    """
    check_choice("cell", cell, GLUON_LAYERS)
    if cell == "rnn":
        options = {"activation": "tanh"} | options
    return GLUON_LAYERS[cell](num_hiddens, **options)


def _gluon_cell(layer):
    """Return gluon's cell that takes one step of a layer."""
    size, mode = layer._hidden_size, layer._mode
    if mode.startswith("rnn_"):
        return gluon.rnn.RNNCell(size, activation=mode.removeprefix("rnn_"))
    return {"gru": gluon.rnn.GRUCell, "lstm": gluon.rnn.LSTMCell}[mode](size)


def _layer_options(layer):
    """Return the arguments that make a gluon layer like this one.

    >>> _layer_options(gluon.rnn.RNN(4, 2, activation="tanh"))
    {'hidden_size': 4, 'num_layers': 2, 'bidirectional': False, 'activation': 'tanh'}
    """
    options = {
        "hidden_size": layer._hidden_size,
        "num_layers": layer._num_layers,
        "bidirectional": layer._dir == 2,
    }
    if layer._mode.startswith("rnn_"):
        options["activation"] = layer._mode.removeprefix("rnn_")
    return options


def draw_glorot(params, rng):
    """Draw weights by Glorot & Bengio's rule, embeddings from N(0, 0.1²); no biases."""
    for name, param in params.items():
        if param.ndim < 2:
            continue
        if "embedding" in name:
            values = rng.normal(0, 0.1, param.shape)
        else:
            bound = np.sqrt(6 / sum(param.shape))
            values = rng.uniform(-bound, bound, param.shape)
        param[:] = values.astype(np.float32)
