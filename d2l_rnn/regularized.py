"""A language model with the dropout that small texts ask for."""

import numpy as np
from mxnet import nd

from d2l_rnn._checks import check_choice, check_count, check_positive_int
from d2l_rnn.models import LanguageModel, check_call, check_dropout, draw_glorot

__all__ = ["RegularizedModel"]

#: Gates, arrays of state and the name that `nd.RNN` has for each cell.
_CELLS = {"rnn": (1, 1, "rnn_tanh"), "gru": (3, 1, "gru"), "lstm": (4, 2, "lstm")}


class RegularizedModel(LanguageModel):
    """Embedding → recurrent layers → output layer, each with dropout of its own.

    Dropout that draws anew at each step drowns what a state carries from step to
    step. So here a mask is drawn once a minibatch and holds for all its steps:

    - over the numbers of a vector, on embeddings, between layers and on outputs
      (variational dropout: Gal & Ghahramani 2016);
    - over the weights from state to state, before they are used
      (DropConnect: Wan et al. 2013; for LSTMs: Merity et al. 2018).

    Masks are drawn by MXNet's generator: `mx.random.seed` fixes them. Outside
    `autograd.record` nothing is dropped.

    Parameters
    ----------
    vocab_size, num_hiddens, embed_size : int
    cell : {"lstm", "gru", "rnn"}
        The layers are MXNet's fused ones, run one by one; RNN units are tanh.
    num_layers : int
    input_dropout : float
        Share of the numbers of each embedded symbol set to 0 in training.
    dropout : float
        The same for what leaves each layer.
    recurrent_dropout : float
        Share of the weights from state to state set to 0 in training.
    tied : bool
        Whether the output layer uses the embedding as its weights, after one
        product that turns num_hiddens into embed_size (Press & Wolf 2017).
    seed : int
        Fixes the initial weights, drawn by Glorot & Bengio's rule (embedding:
        N(0, 0.1²)). Biases are 0, but 1 at an LSTM's forget gates.

    >>> model = RegularizedModel(10, 4, embed_size=3, num_layers=2, dropout=0.5)
    >>> logits, state = model(nd.zeros((2, 5), dtype="int32"), model.begin_state(2))
    >>> logits.shape, [s.shape for s in state], model.num_params
    ((5, 2, 10), [(1, 2, 4), (1, 2, 4), (1, 2, 4), (1, 2, 4)], 384)
    """

    def __init__(
        self,
        vocab_size,
        num_hiddens,
        *,
        embed_size,
        cell="lstm",
        num_layers=1,
        input_dropout=0.0,
        dropout=0.0,
        recurrent_dropout=0.0,
        tied=False,
        seed=0,
    ):
        check_choice("cell", cell, _CELLS)
        rng = np.random.default_rng(check_count("seed", seed))
        self.num_hiddens = check_positive_int("num_hiddens", num_hiddens)
        self.num_layers = check_positive_int("num_layers", num_layers)
        self.num_gates, self.num_states, self.mode = _CELLS[cell]
        self.input_dropout = check_dropout(input_dropout, "input_dropout")
        self.dropout = check_dropout(dropout)
        self.recurrent_dropout = check_dropout(recurrent_dropout, "recurrent_dropout")
        width = check_positive_int("embed_size", embed_size)
        shapes = {"embedding": (check_positive_int("vocab_size", vocab_size), width)}
        gates = self.num_gates * num_hiddens
        for layer in range(num_layers):
            shapes[f"l{layer}_W_x"] = (gates, width)
            shapes[f"l{layer}_W_h"] = (gates, num_hiddens)
            shapes[f"l{layer}_b_x"] = shapes[f"l{layer}_b_h"] = (gates,)
            width = num_hiddens
        if tied:
            shapes["W_tie"] = (embed_size, num_hiddens)
        else:
            shapes["W_q"] = (vocab_size, num_hiddens)
        shapes["b_q"] = (vocab_size,)
        params = {name: nd.zeros(shape) for name, shape in shapes.items()}
        super().__init__(params, vocab_size)
        draw_glorot(params, rng)
        for name, param in params.items():
            if cell == "lstm" and name.endswith("_b_x"):
                param[num_hiddens : 2 * num_hiddens] = 1
            param.attach_grad()
        self.settings = {
            "kind": "RegularizedModel",
            "vocab_size": vocab_size,
            "num_hiddens": num_hiddens,
            "embed_size": embed_size,
            "cell": cell,
            "num_layers": num_layers,
            "input_dropout": input_dropout,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "tied": bool(tied),
        }

    def __call__(self, X, state):
        check_call(self, X, state)
        params, after = self.params, ()
        inputs = nd.take(params["embedding"], X.T)
        inputs = _drop_vectors(inputs, self.input_dropout)
        for layer in range(self.num_layers):
            before, state = state[: self.num_states], state[self.num_states :]
            inputs, *last = self._run_layer(f"l{layer}_", inputs, before)
            inputs = _drop_vectors(inputs, self.dropout)
            after += tuple(last)
        if "W_tie" in params:
            inputs = nd.dot(inputs, params["W_tie"].T)
            W_q = params["embedding"]
        else:
            W_q = params["W_q"]
        return nd.dot(inputs, W_q.T) + params["b_q"], after

    def _run_layer(self, prefix, inputs, state):
        """Return a layer's outputs and the arrays of its last state."""
        W_x, W_h, b_x, b_h = (
            self.params[prefix + name] for name in ("W_x", "W_h", "b_x", "b_h")
        )
        W_h = nd.Dropout(W_h, p=self.recurrent_dropout)
        weights = nd.concat(W_x.reshape(-1), W_h.reshape(-1), b_x, b_h, dim=0)
        return nd.RNN(
            inputs,
            weights,
            *state,
            state_size=self.num_hiddens,
            num_layers=1,
            mode=self.mode,
            state_outputs=True,
        )

    def begin_state(self, batch_size=1):
        shapes = self._state_shapes(check_positive_int("batch_size", batch_size))
        return tuple(nd.zeros(shape) for shape in shapes)

    def _state_shapes(self, batch_size):
        """Return the shapes of the arrays of a state."""
        shape = (1, batch_size, self.num_hiddens)
        return [shape] * (self.num_layers * self.num_states)


def _drop_vectors(inputs, share):
    """Set the same numbers of a vector to 0 at all steps; (steps, batch, width)."""
    return nd.Dropout(inputs, p=share, axes=(0,)) if share else inputs
