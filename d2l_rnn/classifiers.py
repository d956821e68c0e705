"""A recurrent network that reads a sequence and answers once."""

import numpy as np
from mxnet import gluon, init, nd

from d2l_rnn._checks import check_choice, check_count, check_positive_int
from d2l_rnn.models import (
    LanguageModel,
    check_dropout,
    check_inputs,
    draw_glorot,
    gluon_layer,
)

__all__ = ["SequenceClassifier"]

#: How one vector is made of a layer's outputs.
_READS = ("last", "end", "mean", "max")


class SequenceClassifier(LanguageModel):
    """Embedding or vectors → recurrent layers → one vector → a score for each class.

    Its logits have the shape (1, batch_size, num_classes), to go with labels Y of
    shape (batch_size, 1). Two classes get one output unit z: their logits are
    (0, z), whose softmax is the sigmoid of z.

    Parameters
    ----------
    num_hiddens : int
        Units of each layer and direction.
    num_classes : int
        At least 2.
    vocab_size, embed_size : int, optional
        For inputs X of indices, (batch_size, num_steps), where 0 is padding at the
        back, as of ``Vocab(…, pad=True)``.
    num_inputs : int, optional
        For inputs X of vectors, (batch_size, num_steps, num_inputs), without padding.
    cell : str
        "rnn" (tanh), "gru" or "lstm". The forget gates' biases start at 1.
    num_layers : int
    bidirectional : bool
        Whether a second layer beside each reads the sequence, without its padding,
        from its end.
    read : str
        The vector is the output at the "last" real symbol (of a backward layer: at
        the first, where it has read everything), the output at the "end", padding
        included, or the "mean" or "max" over the real symbols.
    dropout : float
        Share of the inputs, of the outputs and of what passes between layers that is
        set to 0 in training. The state is left alone.
    seed : int

    >>> model = SequenceClassifier(4, 2, vocab_size=10, embed_size=3)
    >>> X = nd.array([[5, 2, 7], [3, 0, 0]], dtype="int32")
    >>> logits, _ = model(X, model.begin_state(2))
    >>> logits.shape, model.num_params
    ((1, 2, 2), 179)
    """

    def __init__(
        self,
        num_hiddens,
        num_classes,
        *,
        vocab_size=None,
        embed_size=None,
        num_inputs=None,
        cell="lstm",
        num_layers=1,
        bidirectional=False,
        read="last",
        dropout=0.0,
        seed=0,
    ):
        read = check_choice("read", read, _READS)
        rng = np.random.default_rng(check_count("seed", seed))
        if (vocab_size is None) == (num_inputs is None):
            raise ValueError(
                "give either vocab_size and embed_size, for indices, or num_inputs, "
                f"for vectors: got vocab_size={vocab_size!r}, num_inputs={num_inputs!r}"
            )
        self.num_hiddens = check_positive_int("num_hiddens", num_hiddens)
        self.num_classes = check_positive_int("num_classes", num_classes)
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {num_classes}")
        num_layers = check_positive_int("num_layers", num_layers)
        self.read, self.bidirectional = read, bool(bidirectional)
        self.drop = gluon.nn.Dropout(check_dropout(dropout))
        self.embedding, width = None, num_inputs
        if num_inputs is None:
            width = check_positive_int("embed_size", embed_size)
            check_positive_int("vocab_size", vocab_size)
            self.embedding = gluon.nn.Embedding(vocab_size, width)
        else:
            check_positive_int("num_inputs", num_inputs)
        directions = ("l", "r") if bidirectional else ("l",)
        self.layers = {}
        for layer in range(num_layers):
            for direction in directions:
                name = f"{direction}{layer}_"
                self.layers[name] = gluon_layer(cell, num_hiddens, input_size=width)
            width = len(directions) * num_hiddens
        num_outputs = 1 if num_classes == 2 else num_classes
        self.output = gluon.nn.Dense(num_outputs, flatten=False, in_units=width)
        super().__init__(self._collect(), num_classes)
        draw_glorot(self.params, rng)
        if cell == "lstm":
            for name in self.layers:
                self.params[name + "i2h_bias"][num_hiddens : 2 * num_hiddens] = 1

        self.settings = {
            "kind": "SequenceClassifier",
            "num_hiddens": num_hiddens,
            "num_classes": num_classes,
            "vocab_size": vocab_size,
            "embed_size": embed_size,
            "num_inputs": num_inputs,
            "cell": cell,
            "num_layers": num_layers,
            "bidirectional": self.bidirectional,
            "read": read,
            "dropout": dropout,
        }

    def __call__(self, X, state=()):
        vector = self.drop(self._read(self.outputs(X), self.lengths(X)))
        scores = self.output(vector).expand_dims(0)
        if self.num_classes == 2:
            scores = nd.concat(nd.zeros_like(scores), scores, dim=2)
        return scores, state

    def begin_state(self, batch_size=1):
        """Return (): each sequence is read from its beginning."""
        check_positive_int("batch_size", batch_size)
        return ()

    def lengths(self, X):
        """Return how many steps of each row come before its padding, at least 1."""
        check_inputs(X, self.settings["vocab_size"], self.settings["num_inputs"])
        if self.embedding is None:
            return nd.full(X.shape[0], X.shape[1])
        positions = nd.arange(1, X.shape[1] + 1).expand_dims(0)
        is_real = (X != 0).astype("float32")
        return nd.maximum(nd.max(positions * is_real, axis=1), 1)

    def outputs(self, X):
        """Return the last layer's outputs, (num_steps, batch_size, width).

        Width is num_hiddens, or twice that with the backward direction second.
        """
        lengths = self.lengths(X)
        inputs = X if self.embedding is None else self.embedding(X)
        inputs = nd.swapaxes(inputs, 0, 1)
        for name, layer in self.layers.items():
            if name.startswith("l"):
                below = self.drop(inputs)
                inputs = layer(below)
            else:
                after = _reverse(layer(_reverse(below, lengths)), lengths)
                inputs = nd.concat(inputs, after, dim=2)
        return inputs

    def _read(self, outputs, lengths):
        """Make one vector, (batch_size, width), of the outputs of each row."""
        if self.read == "last":
            last = nd.SequenceLast(outputs, lengths, use_sequence_length=True)
            return self._both_ends(last, outputs)
        if self.read == "end":
            return self._both_ends(outputs[-1], outputs)
        fill = 0 if self.read == "mean" else -np.inf
        real = nd.SequenceMask(outputs, lengths, use_sequence_length=True, value=fill)
        if self.read == "max":
            return real.max(axis=0)
        return real.sum(axis=0) / lengths.expand_dims(1)

    def _both_ends(self, last, outputs):
        """Take the backward half, if there is one, from the first step."""
        if not self.bidirectional:
            return last
        split = self.num_hiddens
        return nd.concat(last[:, :split], outputs[0][:, split:], dim=1)

    def _collect(self):
        """Initialize the blocks; return their parameters by name."""
        blocks = {**self.layers, "output_": self.output, "embedding_": self.embedding}
        params = {}
        for prefix, block in blocks.items():
            if block is None:
                continue
            block.initialize(init.Zero())
            block.hybridize(static_alloc=True)
            for name, param in sorted(block.collect_params().items()):
                short = name[len(block.prefix) :].removeprefix("l0_")
                params[prefix + short] = param.data()
        return params


def _reverse(sequence, lengths):
    """Turn each row around, leaving its padding where it is."""
    return nd.SequenceReverse(sequence, lengths, use_sequence_length=True)
