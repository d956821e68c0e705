"""Language models that count: n-grams with Laplace or Kneser–Ney smoothing."""

import math
from collections import Counter

import numpy as np

from d2l_rnn._checks import (
    check_choice,
    check_ids,
    check_number,
    check_positive_int,
    shown,
)

__all__ = ["NGramModel"]


class NGramModel:
    """An n-gram model: each symbol given the order − 1 symbols before it.

    An n-gram is n symbols in a row, so a model of order n is a Markov chain of
    order n − 1. There are two ways to turn the count c(h, x) of a symbol x after a
    context h, and their sum c(h), into a probability above 0 for all V symbols:

    ``"laplace"``
        p(x | h) = (c(h, x) + alpha) / (c(h) + alpha V), as if every symbol had
        been seen alpha times more.
    ``"kneser_ney"``
        p(x | h) = (max(c(h, x) − d, 0) + d N(h) p(x | h′)) / c(h). Every count
        gives up the discount d, and what the N(h) different symbols seen after h
        give up goes to h′, which is h without its oldest symbol. There a symbol
        counts once for each different symbol it was seen after. Below the empty
        context lies 1 / V. After a context never seen, p(x | h) = p(x | h′).
        (Kneser & Ney 1995, in the interpolated form of Chen & Goodman 1999.)

    The first symbols of a text have fewer than order − 1 before them. They are
    counted and predicted after the shorter context that is there; Kneser–Ney takes
    the start of the text for one more symbol to be seen after.

    Parameters
    ----------
    order : int
        n, the length of the longest n-gram: 1 for unigrams, 2 for bigrams.
    vocab_size : int
        V; symbols are the indices 0 … V − 1.
    smoothing : {"kneser_ney", "laplace"}
    discount : float
        d of Kneser–Ney, between 0 and 1.
    alpha : float
        Pseudo-count of Laplace, above 0.

    Attributes
    ----------
    counts : dict
        From a context (tuple of 0 … order − 1 indices) to a dict from each symbol
        seen after it to its count: under Kneser–Ney the plain count for contexts
        of order − 1 symbols, the number of different symbols before it for shorter.
    totals : collections.Counter
        From a context to the sum of its counts.

    >>> model = NGramModel(2, vocab_size=3, smoothing="laplace")
    >>> model.fit([0, 1, 0, 2, 0, 1]).counts[(0,)]
    {1: 2, 2: 1}
    >>> model.probs([0]).round(3)
    array([0.167, 0.5  , 0.333])
    """

    def __init__(
        self, order, vocab_size, *, smoothing="kneser_ney", discount=0.75, alpha=1.0
    ):
        self.order = check_positive_int("order", order)
        self.vocab_size = check_positive_int("vocab_size", vocab_size)
        kinds = ("kneser_ney", "laplace")
        self.smoothing = check_choice("smoothing", smoothing, kinds)
        self.discount = check_number("discount", discount, 0, 1, open_low=True)
        if self.discount == 1:
            raise ValueError("discount must be below 1, got 1: try 0.75")
        self.alpha = check_number("alpha", alpha, 0, open_low=True)
        self.counts, self.totals = {}, Counter()

    def __repr__(self):
        return (
            f"NGramModel({self.order}, {self.vocab_size}, smoothing={self.smoothing!r})"
        )

    def fit(self, ids):
        """Forget all counts, count the n-grams of ``ids`` and return the model."""
        ids = self._text(ids)
        self.counts, self.totals = {}, Counter()
        for context, symbol in self._windows(ids):
            self._count(context, symbol)
        return self

    def probs(self, context):
        """Return p(x | context) for every symbol x.

        Parameters
        ----------
        context : sequence of int
            At most order − 1 indices, the latest last. Fewer ask the lower order.

        Returns
        -------
        numpy.ndarray of float64, shape (vocab_size,)
            All above 0, sum 1.

        Raises
        ------
        ValueError
            The context is longer than order − 1, so the model can't use it all.
        """
        self._check_fitted()
        context = tuple(check_ids("context", context, self.vocab_size).tolist())
        if len(context) >= self.order:
            raise ValueError(
                f"context must hold at most order - 1 = {self.order - 1} symbols, got "
                f"{len(context)}: drop the oldest {len(context) - self.order + 1}"
            )
        return np.array([self._prob(context, x) for x in range(self.vocab_size)])

    def log_prob(self, ids, context=()):
        """Return the natural logarithm of each symbol's probability.

        Parameters
        ----------
        ids : sequence of int, length T
        context : sequence of int
            The text before ``ids``, of any length; its last order − 1 count. With
            none, the first symbols are predicted from the shorter contexts there.

        Returns
        -------
        numpy.ndarray of float64, shape (T,), in nats
        """
        self._check_fitted()
        ids = self._text(ids)
        before = check_ids("context", context, self.vocab_size).tolist()
        windows = self._windows([*before, *ids], first=len(before))
        return np.log([self._prob(context, symbol) for context, symbol in windows])

    def perplexity(self, ids, context=()):
        """Return exp of the mean loss in nats, as `log_prob` conditions it.

        >>> model = NGramModel(1, vocab_size=4, smoothing="laplace").fit([0, 1, 2, 3])
        >>> round(model.perplexity([2, 2, 0]), 6)
        4.0
        """
        return math.exp(-self.log_prob(ids, context).mean())

    def bits_per_token(self, ids, context=()):
        """Return the mean loss in bits: log2 of the perplexity."""
        return -self.log_prob(ids, context).mean() / math.log(2)

    def prequential_log_prob(self, ids):
        """Predict each symbol from those before it, then count it: one pass.

        The model starts from nothing and ends as `fit` would leave it, so no
        symbol is ever predicted with the help of itself or what follows. This is
        how an adaptive compressor sees a text (Dawid 1984 named it prequential).

        Returns
        -------
        numpy.ndarray of float64, shape (T,), in nats

        >>> model = NGramModel(1, vocab_size=2, smoothing="laplace")
        >>> np.exp(model.prequential_log_prob([0, 0, 1])).round(3)
        array([0.5  , 0.667, 0.25 ])
        """
        ids = self._text(ids)
        self.counts, self.totals = {}, Counter()
        probs = []
        for context, symbol in self._windows(ids):
            probs.append(self._prob(context, symbol))
            self._count(context, symbol)
        return np.log(probs)

    def begin_state(self, batch_size=1):
        """Return the state before a text: ``(context,)`` with an empty context."""
        if check_positive_int("batch_size", batch_size) != 1:
            raise ValueError(
                f"batch_size must be 1 for an n-gram model, got {batch_size}"
            )
        return ((),)

    def next_log_probs(self, ids, state=None):
        """Read ``ids`` after ``state`` and predict what follows.

        Returns
        -------
        (numpy.ndarray of float64, shape (vocab_size,), tuple)
            Natural logarithms of the probabilities of the next symbol, and the
            state after ``ids``: ``(context,)``, the last order − 1 indices read.

        >>> model = NGramModel(3, vocab_size=2).fit([0, 0, 1, 0, 0, 1])
        >>> log_probs, state = model.next_log_probs([1, 0, 0])
        >>> int(log_probs.argmax()), state
        (1, ((0, 0),))
        """
        context = self._context(state)
        read = (*context, *self._text(ids))
        context = read[max(0, len(read) - self.order + 1) :]
        return np.log(self.probs(context)), (context,)

    def _text(self, ids):
        ids = check_ids("ids", ids, self.vocab_size).tolist()
        if not ids:
            raise ValueError("ids is empty: a text needs at least one symbol")
        return ids

    def _check_fitted(self):
        if not self.counts:
            raise RuntimeError("the NGramModel has no counts yet: call fit(ids) first")

    def _windows(self, ids, first=0):
        """Yield (context, symbol) for each position of ``ids`` from ``first`` on."""
        for t in range(first, len(ids)):
            yield tuple(ids[max(0, t - self.order + 1) : t]), ids[t]

    def _count(self, context, symbol):
        """Count ``symbol`` after ``context`` and after its shorter ends."""
        for start in range(len(context) + 1):
            after = self.counts.setdefault(context[start:], {})
            seen = after.get(symbol, 0)
            after[symbol] = seen + 1
            self.totals[context[start:]] += 1
            if seen and self.smoothing == "kneser_ney":
                break  # no new predecessor: shorter contexts learn nothing

    def _prob(self, context, symbol):
        """Return p(symbol | context), growing the context from the empty one."""
        if self.smoothing == "laplace":
            seen = self.counts.get(context, {}).get(symbol, 0)
            total = self.totals[context] + self.alpha * self.vocab_size
            return (seen + self.alpha) / total
        p = 1 / self.vocab_size
        for start in range(len(context), -1, -1):
            h = context[start:]
            if h not in self.counts:
                break  # unseen, and so is every longer one
            after = self.counts[h]
            kept = max(after.get(symbol, 0) - self.discount, 0)
            p = (kept + self.discount * len(after) * p) / self.totals[h]
        return p

    def _context(self, state):
        if state is None:
            return ()
        if not isinstance(state, tuple) or len(state) != 1:
            raise ValueError(
                "state must be (context,), as an earlier call returned it, got "
                f"{shown(state)}"
            )
        return tuple(check_ids("state", state[0], self.vocab_size).tolist())
