"""Data sets that are not running text."""

import numpy as np
from mxnet import nd

from d2l_rnn._checks import check_positive_int

__all__ = ["MemoryBatches"]


class MemoryBatches:
    """Sequences that ask for their first symbol after a gap (a made-up task).

    Row: one symbol to remember, 0 … num_symbols − 1, then ``gap`` distractors drawn
    from as many others. Label: the first symbol. A model that has forgotten it can
    only guess, right once in num_symbols. (After the long-lag tasks of Hochreiter &
    Schmidhuber 1997.)

    Parameters
    ----------
    gap : int
        Steps between the symbol and the question.
    num_symbols : int
        Symbols to choose from; the vocabulary has twice as many.
    batch_size, num_batches : int
        Rows of a minibatch, and minibatches of an epoch.
    seed : int
        Epochs differ, but the same seed gives the same ones.

    >>> batches = MemoryBatches(3, num_symbols=4, batch_size=2, num_batches=1)
    >>> (X, Y), = batches
    >>> X.asnumpy().tolist(), Y.asnumpy().tolist()
    ([[3, 6, 5, 5], [2, 4, 4, 4]], [[3], [2]])
    """

    #: A sequence says nothing about the next one.
    carries_state = False

    def __init__(self, gap, *, num_symbols=8, batch_size=32, num_batches=50, seed=0):
        self.gap = check_positive_int("gap", gap, unit=" of steps")
        self.num_symbols = check_positive_int("num_symbols", num_symbols)
        self.batch_size = check_positive_int("batch_size", batch_size)
        self.num_batches = check_positive_int("num_batches", num_batches)
        self.seed = seed
        self.epoch = 0

    @property
    def vocab_size(self):
        """Symbols to remember and distractors together."""
        return 2 * self.num_symbols

    def __iter__(self):
        rng = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        for _ in range(self.num_batches):
            shape = (self.batch_size, self.gap)
            first = rng.integers(self.num_symbols, size=(self.batch_size, 1))
            noise = rng.integers(self.num_symbols, self.vocab_size, size=shape)
            X = np.concatenate([first, noise], axis=1)
            yield nd.array(X, dtype="int32"), nd.array(first, dtype="int32")
