"""Several models as one: mixtures of what they expect, with fitted weights."""

import numpy as np
from mxnet import nd

from d2l_rnn._checks import check_ids, check_numbers, check_positive_int, check_type
from d2l_rnn.models import LanguageModel

__all__ = ["fit_weights", "mix", "token_log_probs"]


def token_log_probs(model, ids, context, *, num_rows=16):
    """Return the log-probability of each token of a text, in its order.

    The text is cut into ``num_rows`` pieces that are read side by side, which is
    several times faster than one after the other. So that no piece begins without a
    past, each is read on from as many tokens before it as ``context`` holds.

    Parameters
    ----------
    model : LanguageModel
    ids : sequence of int, length T
    context : sequence of int
        The text before ``ids``, at least one token. Longer ones cost time and bring
        the result nearer to that of one pass from the beginning.
    num_rows : int

    Returns
    -------
    numpy.ndarray of float64, shape (T,), in nats

    >>> from d2l_rnn.models import rnn_model
    >>> model = rnn_model(4, 3, scale=0)
    >>> np.exp(token_log_probs(model, [2, 0, 1], [3], num_rows=2)).round(3)
    array([0.25, 0.25, 0.25])
    """
    check_type("model", model, LanguageModel, "a LanguageModel")
    ids = check_ids("ids", ids, model.vocab_size)
    context = check_ids("context", context, model.vocab_size)
    num_rows = check_positive_int("num_rows", num_rows)
    for name, value in (("ids", ids), ("context", context)):
        if not len(value):
            raise ValueError(f"{name} is empty: give at least one token")
    text, before = np.concatenate([context, ids]), len(context)
    length = -(-len(ids) // num_rows)
    starts = np.minimum(length * np.arange(num_rows), max(0, len(ids) - length))
    rows = starts[:, None] + np.arange(before + length)
    X, Y = nd.array(text[rows[:, :-1]], dtype="int32"), text[rows[:, before:]]
    scores, state = [], model.begin_state(num_rows)
    for start in range(0, X.shape[1], 100):
        logits, state = model(X[:, start : start + 100], state)
        scores.append(nd.log_softmax(logits).asnumpy())
    scores = np.concatenate(scores)[before - 1 :].swapaxes(0, 1)
    picked = np.take_along_axis(scores, Y[:, :, None], axis=2)[:, :, 0]
    log_probs = np.empty(len(ids))
    for start, row in zip(starts, picked, strict=True):
        log_probs[start : start + length] = row
    return log_probs


def mix(log_probs, weights):
    """Return log(Σ wₖ pₖ) for each token.

    Parameters
    ----------
    log_probs : sequence of K arrays of shape (T,)
        What each model gave the tokens that came, in nats.
    weights : sequence of K floats
        At least 0, sum 1: then the mixture is a distribution too.

    Returns
    -------
    numpy.ndarray of float64, shape (T,)

    >>> np.exp(mix(np.log([[0.5, 0.2], [0.1, 0.4]]), [0.75, 0.25])).round(3)
    array([0.4 , 0.25])
    """
    log_probs = _check_log_probs(log_probs)
    weights = check_numbers("weights", weights)
    if weights.shape != log_probs.shape[:1]:
        raise ValueError(
            f"weights must hold one number for each of {len(log_probs)} models, got "
            f"shape {weights.shape}"
        )
    if not (weights.min() >= 0 and abs(weights.sum() - 1) < 1e-6):
        raise ValueError(
            f"weights must be at least 0 and sum to 1, got {weights.tolist()}: "
            "fit_weights finds such"
        )
    best = log_probs.max(axis=0)
    return best + np.log(weights @ np.exp(log_probs - best))


def fit_weights(log_probs, num_rounds=200):
    """Return the weights that give these tokens the highest likelihood.

    Each round gives a model the share of the tokens that the mixture owes to it:
    the EM algorithm (Dempster, Laird & Rubin 1977), which never gets worse. Fit
    them on held-out text: on the training text the model that overfits most would
    get all the weight.

    Parameters
    ----------
    log_probs : sequence of K arrays of shape (T,)
    num_rounds : int

    Returns
    -------
    numpy.ndarray of K floats, sum 1

    >>> fit_weights(np.log([[0.9, 0.1, 0.9], [0.5, 0.5, 0.5]])).round(2)
    array([0.42, 0.58])
    """
    log_probs = _check_log_probs(log_probs)
    weights = np.full(len(log_probs), 1 / len(log_probs))
    for _ in range(check_positive_int("num_rounds", num_rounds)):
        shares = np.exp(log_probs - mix(log_probs, weights)) * weights[:, None]
        weights = shares.mean(axis=1)
        weights /= weights.sum()
    return weights


def _check_log_probs(log_probs):
    log_probs = check_numbers("log_probs", log_probs, finite=False).astype(float)
    if log_probs.ndim != 2:
        raise ValueError(
            "log_probs must hold one array of equal length for each model, got shape "
            f"{log_probs.shape}"
        )
    if not (log_probs <= 1e-5).all():  # single precision may round to just above 0
        raise ValueError(
            "log_probs must be logarithms of probabilities, so at most 0, got "
            f"{log_probs.max()}"
        )
    if (log_probs.max(axis=0) == -np.inf).any():
        raise ValueError(
            "log_probs must be finite for one model at least at each token: smooth it"
        )
    return log_probs
