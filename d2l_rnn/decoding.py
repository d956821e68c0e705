"""Drawing text from a model, one symbol after the other, and searching for it.

Works with any model that offers ``vocab_size`` and ``next_log_probs(ids, state)``:
the neural models of `models` and the counting models of `ngrams`.
"""

from dataclasses import dataclass

import numpy as np

from d2l_rnn._checks import (
    check_count,
    check_number,
    check_offers,
    check_positive_int,
    check_type,
    shown,
)
from d2l_rnn._progress import progress

__all__ = ["Hypothesis", "beam_search", "choose", "generate", "log_prob"]


def choose(log_probs, *, temperature, rng=None, top_k=None, top_p=None):
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
    top_k : int, optional
        Draw from the so many likeliest symbols only (Fan et al. 2018).
    top_p : float, optional
        Draw from the nucleus only: the fewest likeliest symbols whose probability,
        at this temperature, reaches top_p (Holtzman et al. 2020). With ``top_k`` the
        nucleus is that of the symbols which top_k keeps.

    >>> choose(np.log([0.2, 0.5, 0.3]), temperature=0)
    1
    >>> rng = np.random.default_rng(0)
    >>> [choose(np.log([0.2, 0.5, 0.3]), temperature=1, rng=rng) for _ in range(5)]
    [1, 1, 0, 0, 2]
    >>> rng = np.random.default_rng(0)
    >>> log_probs = np.log([0.2, 0.5, 0.3])
    >>> [choose(log_probs, temperature=1, top_p=0.7, rng=rng) for _ in range(5)]
    [2, 1, 1, 1, 2]
    """
    temperature = check_number("temperature", temperature, 0)
    log_probs = _check_log_probs(log_probs)
    if temperature == 0:
        return int(np.argmax(log_probs))
    check_offers("rng", rng, ["random"], "numpy.random.default_rng(seed) makes one")
    with np.errstate(over="ignore"):  # exp(−∞) = 0 is right
        weights = np.exp((log_probs - np.max(log_probs)) / temperature)
    if top_k is not None or top_p is not None:
        weights = _keep_likeliest(weights, top_k, top_p)
    cumulative = np.cumsum(weights)
    drawn = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    return int(min(drawn, len(cumulative) - 1))


def _check_log_probs(log_probs):
    """Return a list of logarithms of probabilities as an array, once it is one."""
    values = np.asarray(log_probs)
    if values.ndim != 1 or values.dtype.kind not in "iuf" or not values.size:
        raise ValueError(
            "log_probs must be one logarithm of a probability for each symbol, got "
            f"{shown(log_probs)}"
        )
    if not -np.inf < values.max() < np.inf:
        raise ValueError(
            "log_probs must be finite for at least one symbol, and neither nan nor "
            f"infinite for any, got a maximum of {values.max()}: did the model diverge?"
        )
    return values


def _keep_likeliest(weights, top_k, top_p):
    """Set all weights to 0 but the top_k largest, and of these all but the nucleus.

    Of equal weights the one with the smaller index counts as larger.

    >>> _keep_likeliest(np.array([0.1, 0.4, 0.2, 0.3]), None, 0.6)
    array([0. , 0.4, 0. , 0.3])
    """
    order = np.argsort(-weights, kind="stable")
    if top_k is not None:
        order = order[: check_positive_int("top_k", top_k)]
    if top_p is not None:
        top_p = check_number("top_p", top_p, 0, 1, open_low=True)
        reached = np.cumsum(weights[order])
        order = order[: np.searchsorted(reached, top_p * reached[-1]) + 1]
    kept = np.zeros_like(weights)
    kept[order] = weights[order]
    return kept


def generate(
    model, vocab, prefix, length, *, temperature=0.0, top_k=None, top_p=None, seed=0
):
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
    temperature, top_k, top_p
        See `choose`; temperature 0 is greedy.
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
    ids = _encode(model, vocab, prefix)
    rng = np.random.default_rng(check_count("seed", seed))
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    log_probs, state = model.next_log_probs(ids)
    for _ in progress(range(length), "drawing"):
        ids.append(choose(log_probs, rng=rng, **options))
        log_probs, state = model.next_log_probs(ids[-1:], state)
    return _decode(vocab, ids, prefix)


@dataclass(frozen=True)
class Hypothesis:
    """A continuation that beam search kept.

    ``text`` is the prefix and the continuation, ``ids`` the indices of the
    continuation alone, ``log_prob`` their log-likelihood in nats, and ``score`` what
    hypotheses are ranked by.
    """

    text: str
    ids: tuple
    log_prob: float
    score: float


def beam_search(
    model, vocab, prefix, length, *, beam_width, length_power=0.0, end=None
):
    """Search for a likely continuation, keeping several candidates at each step.

    Each candidate is extended by every symbol, and the ``beam_width`` likeliest
    extensions are kept. An extension that ends in ``end`` leaves the beam for the
    list of finished hypotheses, and the beam has one place less (Sutskever, Vinyals
    & Le 2014). A beam of width 1 is greedy decoding; a beam as wide as the vocabulary
    finds the likeliest two symbols for certain.

    Parameters
    ----------
    model, vocab, prefix
        As for `generate`.
    length : int
        At most so many symbols.
    beam_width : int
    length_power : float
        Hypotheses are ranked by log-likelihood / (number of symbols)**length_power.
        At 0 short ones win, since each symbol makes a text less likely; 1 ranks by
        the mean. It matters only with ``end``, when lengths differ.
    end : str, optional
        The symbol that ends a hypothesis.

    Returns
    -------
    list of Hypothesis
        At most ``beam_width``, the best first.

    >>> from d2l_rnn.models import rnn_model
    >>> from d2l_rnn.text import Vocab
    >>> vocab = Vocab("ab")
    >>> model = rnn_model(len(vocab), 2, scale=0)
    >>> best, second = beam_search(model, vocab, "b", 2, beam_width=2)
    >>> best.text, second.text, round(best.log_prob, 4)
    ('baa', 'bab', -1.3863)
    """
    length = check_positive_int("length", length)
    beam_width = check_positive_int("beam_width", beam_width)
    length_power = check_number("length_power", length_power, 0)
    prefix_ids = _encode(model, vocab, prefix)
    last = None if end is None else int(_encode(model, vocab, [end], "end")[0])
    log_probs, state = model.next_log_probs(prefix_ids)
    beam, finished = [((), 0.0, log_probs, state)], []
    for step in range(1, length + 1):
        extensions = _best_extensions(beam, beam_width - len(finished))
        beam, parents = [], beam
        for parent, symbol, total in extensions:
            ids = (*parents[parent][0], symbol)
            if symbol == last or step == length:
                finished.append((ids, total))
            else:
                following = model.next_log_probs([symbol], parents[parent][3])
                beam.append((ids, total, *following))
        if not beam:
            break
    hypotheses = [
        Hypothesis(
            _decode(vocab, prefix_ids + list(ids), prefix),
            ids,
            total,
            total / len(ids) ** length_power,
        )
        for ids, total in finished
    ]
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)


def _best_extensions(beam, width):
    """Return (candidate, symbol, log-likelihood) of the likeliest extensions.

    Impossible ones are left out. Of equal ones the first candidate's first symbol
    comes first.
    """
    totals = np.stack([total + log_probs for _, total, log_probs, _ in beam])
    order = np.argsort(-totals, axis=None, kind="stable")[:width]
    pairs = zip(*np.unravel_index(order, totals.shape), strict=True)
    return [
        (int(parent), int(symbol), float(totals[parent, symbol]))
        for parent, symbol in pairs
        if totals[parent, symbol] > -np.inf
    ]


def log_prob(model, vocab, prefix, continuation):
    """Return the natural logarithm of the probability of a continuation.

    Parameters
    ----------
    model, vocab, prefix
        As for `generate`.
    continuation : str, or list of tokens
        At least one symbol.

    >>> from d2l_rnn.models import rnn_model
    >>> from d2l_rnn.text import Vocab
    >>> round(log_prob(rnn_model(2, 2, scale=0), Vocab("ab"), "a", "bab"), 4)
    -2.0794
    """
    ids = _encode(model, vocab, prefix)
    following = _encode(model, vocab, continuation, "continuation")
    log_probs, state = model.next_log_probs(ids)
    total = 0.0
    for i in following[:-1]:
        total += log_probs[i]
        log_probs, state = model.next_log_probs([i], state)
    return float(total + log_probs[following[-1]])


def _encode(model, vocab, text, name="prefix"):
    """Return the indices of a text, at least one, as a list."""
    wanted = ("vocab_size", "next_log_probs")
    check_offers("model", model, wanted, "use one of models or ngrams")
    check_offers("vocab", vocab, ("encode", "decode"), "use a text.Vocab")
    check_type(name, text, (str, list, tuple), "a string or a list of tokens")
    if len(vocab) != model.vocab_size:
        raise ValueError(
            f"vocab has {len(vocab)} symbols, the model {model.vocab_size}: use the "
            "vocabulary the model was trained with"
        )
    if not len(text):
        raise ValueError(f"{name} is empty: give at least one symbol")
    try:
        return [int(i) for i in vocab.encode(text)]
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error


def _decode(vocab, ids, prefix):
    """Return the text of the indices, in the prefix's manner."""
    return vocab.decode(ids, sep="" if isinstance(prefix, str) else " ")
