"""Minibatches of a long text: random windows, or rows that continue.

Both kinds cut a sequence of n indices into inputs X and labels Y of shape
(batch_size, num_steps), where Y is X one step later. Each pass over the data
(an epoch) starts at a new random offset of 0 to num_steps − 1, so that the cuts,
and the few tokens left out, differ from epoch to epoch.
"""

import numpy as np
from mxnet import nd

from d2l_rnn._checks import check_count, check_ids, check_positive_int

__all__ = ["ConsecutiveBatches", "RandomBatches"]


class _Batches:
    """What both samplers share: checks, the offset of each epoch, iteration."""

    def __init__(self, ids, batch_size, num_steps, *, seed=0):
        self.ids = check_ids("ids", ids)
        self.batch_size = check_positive_int("batch_size", batch_size)
        self.num_steps = check_positive_int("num_steps", num_steps)
        self.seed = check_count("seed", seed)
        self.epoch = 0
        needed = (self.batch_size + 1) * self.num_steps
        if len(self.ids) < needed:
            raise ValueError(
                f"ids hold {len(self.ids)} tokens, fewer than the {needed} that one "
                f"minibatch needs at any offset ((batch_size + 1) × num_steps): use a "
                f"longer text, or a smaller batch_size ({batch_size}) or num_steps "
                f"({num_steps})"
            )

    def __iter__(self):
        rng = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        offset = int(rng.integers(self.num_steps))
        for rows in self._windows(offset, rng):
            yield (
                nd.array(self.ids[rows], dtype="int32"),
                nd.array(self.ids[rows + 1], dtype="int32"),
            )

    def num_batches(self, offset):
        """Return how many minibatches an epoch with this offset has."""
        return self._num_batches(check_count("offset", offset, below=self.num_steps))

    def _num_batches(self, offset):
        raise NotImplementedError

    def coverage(self, offset):
        """Return which share of the n − 1 predictable tokens an epoch predicts."""
        used = self.num_batches(offset) * self.batch_size * self.num_steps
        return used / (len(self.ids) - 1)


class RandomBatches(_Batches):
    """Windows that do not overlap, in random order.

    Neighbors in a minibatch have nothing to do with each other, nor has a
    minibatch with the next: each must start from a fresh state.

    An epoch leaves out the tokens before the offset, fewer than num_steps behind
    the last whole window, and the windows that do not fill a minibatch: together
    fewer than (batch_size + 1) × num_steps.

    Parameters
    ----------
    ids : sequence of int, length n
        The text as indices.
    batch_size, num_steps : int
        Windows in a minibatch, and tokens in a window.
    seed : int
        Fixes offsets and order; epochs differ all the same.

    >>> batches = RandomBatches(range(30), batch_size=2, num_steps=5, seed=1)
    >>> for X, Y in batches:
    ...     print(X.asnumpy().tolist(), Y.asnumpy().tolist())
    [[22, 23, 24, 25, 26], [2, 3, 4, 5, 6]] [[23, 24, 25, 26, 27], [3, 4, 5, 6, 7]]
    [[7, 8, 9, 10, 11], [12, 13, 14, 15, 16]] [[8, 9, 10, 11, 12], [13, 14, 15, 16, 17]]
    """

    #: Whether the state after one minibatch belongs before the next.
    carries_state = False

    def _num_batches(self, offset):
        return (len(self.ids) - 1 - offset) // self.num_steps // self.batch_size

    def _windows(self, offset, rng):
        """Yield arrays (batch_size, num_steps) of positions in the text."""
        num_windows = (len(self.ids) - 1 - offset) // self.num_steps
        starts = offset + self.num_steps * rng.permutation(num_windows)
        for k in range(self.num_batches(offset)):
            chosen = starts[k * self.batch_size : (k + 1) * self.batch_size]
            yield chosen[:, None] + np.arange(self.num_steps)


class ConsecutiveBatches(_Batches):
    """Rows that continue: row b of a minibatch goes on where it ended before.

    The text is laid in batch_size long rows, which are read in step. The state
    after one minibatch is therefore the right one before the next. Its *value* is
    carried over; the gradient is cut there (`detach`), or the graph would grow
    without end.

    An epoch leaves out fewer than num_steps + batch_size tokens at the two ends of
    the text, and fewer than num_steps at the end of each row: together fewer than
    (batch_size + 1) × num_steps. Rows are equally long at every offset, so the gaps
    move with it, and over epochs only tokens at the very end stay unread.

    Parameters are those of `RandomBatches`.

    >>> batches = ConsecutiveBatches(range(30), batch_size=2, num_steps=5, seed=2)
    >>> for X, Y in batches:
    ...     print(X.asnumpy().tolist())
    [[4, 5, 6, 7, 8], [16, 17, 18, 19, 20]]
    [[9, 10, 11, 12, 13], [21, 22, 23, 24, 25]]
    """

    carries_state = True

    def _num_batches(self, offset):
        return (len(self.ids) - self.num_steps) // self.batch_size // self.num_steps

    def _windows(self, offset, rng):
        """Yield arrays (batch_size, num_steps) of positions in the text."""
        row_length = (len(self.ids) - self.num_steps) // self.batch_size
        starts = offset + row_length * np.arange(self.batch_size)
        for k in range(self.num_batches(offset)):
            steps = np.arange(k * self.num_steps, (k + 1) * self.num_steps)
            yield starts[:, None] + steps
