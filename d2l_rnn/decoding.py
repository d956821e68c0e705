"""Drawing text from a model, one symbol after the other.

Works with any model that offers ``vocab_size`` and ``next_log_probs(ids, state)``:
the neural models of `models` and the counting models of `ngrams`.
"""

import numpy as np

from d2l_rnn._checks import check_number, check_positive_int
from d2l_rnn._progress import progress

__all__ = ["choose", "generate"]


def choose(log_probs, *, temperature, rng=None):
    """Return the index of the next symbol.

    Parameters
    ----------
    log_probs : numpy.ndarray, shape (vocab_size,)
        Natural logarithms of the probabilities.
    temperature : float
        0 takes the likeliest symbol (greedy). Otherwise probabilities are raised to
        the power 1 / temperature and normalized: 1 leaves them as they are, less
        sharpens, more flattens them.
    rng : numpy.random.Generator, optional
        Needed above temperature 0.

    >>> choose(np.log([0.2, 0.5, 0.3]), temperature=0)
    1
    >>> rng = np.random.default_rng(0)
    >>> [choose(np.log([0.2, 0.5, 0.3]), temperature=1, rng=rng) for _ in range(5)]
    [1, 1, 0, 0, 2]
    """
    temperature = check_number("temperature", temperature, 0)
    if temperature == 0:
        return int(np.argmax(log_probs))
    if rng is None:
        raise ValueError(f"rng is needed to draw at temperature {temperature}")
    with np.errstate(over="ignore"):  # exp(−∞) = 0 is right
        scaled = (log_probs - np.max(log_probs)) / temperature
    cumulative = np.cumsum(np.exp(scaled))
    drawn = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    return int(min(drawn, len(cumulative) - 1))


def generate(model, vocab, prefix, length, *, temperature=0.0, seed=0):
    """Continue a prefix: warm up on it, then draw symbol after symbol.

    Parameters
    ----------
    model : language model
    vocab : Vocab
        The one the model was trained with.
    prefix : str, or list of tokens
        At least one symbol. A symbol outside the vocabulary is an error, unless the
        vocabulary has ``<unk>``.
    length : int
        How many symbols to draw.
    temperature : float
        See `choose`; 0 is greedy.
    seed : int

    Returns
    -------
    str
        The prefix and its continuation; tokens of a list are joined by spaces.

    >>> from d2l_rnn.models import rnn_model
    >>> from d2l_rnn.text import Vocab
    >>> vocab = Vocab("abc")
    >>> generate(rnn_model(len(vocab), 2, scale=0), vocab, "cab", 4)
    'cabaaaa'
    """
    length = check_positive_int("length", length)
    if len(vocab) != model.vocab_size:
        raise ValueError(
            f"vocab has {len(vocab)} symbols, the model {model.vocab_size}: use the "
            "vocabulary the model was trained with"
        )
    if not len(prefix):
        raise ValueError("prefix is empty: give at least one symbol to start from")
    try:
        ids = [int(i) for i in vocab.encode(prefix)]
    except ValueError as error:
        raise ValueError(f"prefix: {error}") from error
    rng = np.random.default_rng(seed)
    log_probs, state = model.next_log_probs(ids)
    for _ in progress(range(length), "drawing"):
        ids.append(choose(log_probs, temperature=temperature, rng=rng))
        log_probs, state = model.next_log_probs(ids[-1:], state)
    return vocab.decode(ids, sep="" if isinstance(prefix, str) else " ")
