"""Data sets that are not running text, and how they become minibatches."""

import csv
import gzip
from dataclasses import dataclass

import numpy as np
from mxnet import nd

from d2l_rnn._checks import (
    check_choice,
    check_count,
    check_ids,
    check_numbers,
    check_positive_int,
    check_type,
)
from d2l_rnn.text import DATA

__all__ = [
    "Digits",
    "LabelledBatches",
    "MemoryBatches",
    "Reviews",
    "load_digits",
    "load_snippets",
    "pad",
    "windows",
]


@dataclass(frozen=True)
class Digits:
    """Images x, uint8 of shape (n, 28, 28), and labels y, int32 of shape (n,)."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    def __repr__(self):
        return f"Digits({len(self.y_train)} train, {len(self.y_test)} test)"


@dataclass(frozen=True)
class Reviews:
    """Texts, a list of str, and labels, int32 of shape (n,): 1 positive, 0 negative."""

    train_texts: list
    train_labels: np.ndarray
    test_texts: list
    test_labels: np.ndarray

    def __repr__(self):
        return f"Reviews({len(self.train_texts)} train, {len(self.test_texts)} test)"


def load_digits():
    """Return the shipped 10,000 images of MNIST, 8,000 to train on and 2,000 to test.

    They all come from the official training set, so that no score on these 2,000 is
    a score on the official test set: `archives.load_mnist` reads that.

    >>> digits = load_digits()
    >>> digits, digits.x_train.shape, digits.y_test[:5].tolist()
    (Digits(8000 train, 2000 test), (8000, 28, 28), [3, 9, 8, 3, 8])
    """
    with np.load(DATA / "mnist10k.npz", allow_pickle=False) as arrays:
        parts = {name: arrays[name] for name in arrays.files}
    labels = {name: parts[name].astype(np.int32) for name in ("y_train", "y_test")}
    return Digits(**(parts | labels))


def load_snippets():
    """Return the shipped one-sentence movie reviews, 8,485 to train on, 2,061 to test.

    >>> reviews = load_snippets()
    >>> reviews, float(reviews.test_labels.mean().round(2))
    (Reviews(8485 train, 2061 test), 0.5)
    """
    path = DATA / "movie_snippets.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    parts = []
    for split in ("train", "test"):
        kept = [row for row in rows if row["split"] == split]
        parts.append([row["text"] for row in kept])
        parts.append(np.array([int(row["label"]) for row in kept], dtype=np.int32))
    return Reviews(*parts)


def windows(ids, size):
    """Return every run of ``size`` symbols, and the symbol that follows each.

    Parameters
    ----------
    ids : sequence of int
    size : int

    Returns
    -------
    (numpy.ndarray of int32, shape (n, size), and of shape (n, 1))
        n is ``len(ids) - size``.

    >>> X, Y = windows([5, 6, 7, 8, 9], 3)
    >>> X.tolist(), Y.tolist()
    ([[5, 6, 7], [6, 7, 8]], [[8], [9]])
    """
    ids, size = check_ids("ids", ids), check_positive_int("size", size)
    if len(ids) <= size:
        raise ValueError(
            f"ids must hold more than size = {size} symbols, got {len(ids)}: use a "
            "longer text or a smaller size"
        )
    runs = np.lib.stride_tricks.sliding_window_view(ids, size + 1)
    return runs[:, :-1].copy(), runs[:, -1:].copy()


def pad(sequences, length, *, side="back", cut="back", value=0):
    """Return sequences of indices as one table of rows of equal length.

    Parameters
    ----------
    sequences : list of sequences of int
    length : int
    side : str
        Where short rows are filled up: "back" or "front".
    cut : str
        Where long rows lose symbols: "back" or "front".
    value : int
        The index to fill up with.

    Returns
    -------
    numpy.ndarray of int32, shape (len(sequences), length)

    >>> pad([[1, 2], [3, 4, 5, 6]], 3).tolist()
    [[1, 2, 0], [3, 4, 5]]
    >>> pad([[1, 2], [3, 4, 5, 6]], 3, side="front", cut="front").tolist()
    [[0, 1, 2], [4, 5, 6]]
    """
    length = check_positive_int("length", length)
    side = check_choice("side", side, ("back", "front"))
    cut = check_choice("cut", cut, ("back", "front"))
    value = check_count("value", value, below=2**31)
    kinds = (list, tuple, np.ndarray)
    check_type("sequences", sequences, kinds, "a list of sequences of indices")
    table = np.full((len(sequences), length), value, dtype=np.int32)
    for row, sequence in zip(table, sequences, strict=True):
        ids = check_ids("sequences", sequence)
        ids = ids[:length] if cut == "back" else ids[-length:]
        start = 0 if side == "back" else length - len(ids)
        row[start : start + len(ids)] = ids
    return table


class LabelledBatches:
    """Minibatches of sequences that have one label each, for `training.train`.

    Parameters
    ----------
    X : numpy.ndarray, shape (n, num_steps) of indices or (n, num_steps, num_inputs)
    Y : sequence of int, n labels
    batch_size : int
        The last minibatch holds what is left over, so that every row is used.
    shuffle : bool
        Whether each epoch has an order of its own.
    seed : int
        Epochs differ, but the same seed gives the same ones.

    >>> batches = LabelledBatches(np.arange(6).reshape(3, 2), [1, 0, 1], 2, seed=2)
    >>> [(X.asnumpy().tolist(), Y.asnumpy().tolist()) for X, Y in batches]
    [([[4, 5], [0, 1]], [[1], [1]]), ([[2, 3]], [[0]])]
    """

    #: A sequence says nothing about the next one.
    carries_state = False

    def __init__(self, X, Y, batch_size, *, seed=0, shuffle=True):
        self.X, Y = check_numbers("X", X), check_numbers("Y", Y)
        self.Y = check_ids("Y", Y.ravel())
        if self.X.ndim not in (2, 3) or len(self.X) != len(self.Y) or not len(self.Y):
            raise ValueError(
                "X must be of shape (n, num_steps) or (n, num_steps, num_inputs), with "
                f"n at least 1 and as many labels Y, got X of shape {self.X.shape} and "
                f"{len(self.Y)} labels"
            )
        if self.Y.min() < 0:
            raise ValueError(f"Y must hold labels from 0 on, got {self.Y.min()}")
        is_index = np.issubdtype(self.X.dtype, np.integer) and self.X.ndim == 2
        self.dtype = "int32" if is_index else "float32"
        if is_index:
            check_ids("X", self.X.ravel())
        self.batch_size = check_positive_int("batch_size", batch_size)
        self.seed, self.shuffle, self.epoch = check_count("seed", seed), shuffle, 0

    def __iter__(self):
        rows = np.arange(len(self.Y))
        if self.shuffle:
            np.random.default_rng([self.seed, self.epoch]).shuffle(rows)
        self.epoch += 1
        for start in range(0, len(rows), self.batch_size):
            chosen = rows[start : start + self.batch_size]
            X = nd.array(self.X[chosen], dtype=self.dtype)
            yield X, nd.array(self.Y[chosen, None], dtype="int32")


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
        self.seed = check_count("seed", seed)
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
