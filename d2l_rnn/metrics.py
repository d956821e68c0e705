"""How good a model is: losses summed over tokens, and what follows from them."""

import math

import numpy as np
from mxnet import autograd, nd

from d2l_rnn._checks import (
    check_ids,
    check_positive_int,
    check_range,
    check_type,
    shown,
)

__all__ = [
    "accuracy",
    "bits_per_token",
    "cross_entropy",
    "perplexity",
    "repetition_rate",
]


def cross_entropy(logits, labels):
    """Return −log softmax(logits)[label] for each token, in nats.

    Computed through `log_softmax`: a softmax written out and then its logarithm
    overflows for logits that are merely large.

    Parameters
    ----------
    logits : NDArray, shape (..., vocab_size)
    labels : NDArray of int, from 0 to vocab_size − 1, shape (...)

    Returns
    -------
    NDArray, shape (...)

    >>> cross_entropy(nd.zeros((2, 4)), nd.array([0, 3])).asnumpy().round(4)
    array([1.3863, 1.3863], dtype=float32)
    """
    _check_labels(logits, labels)
    return _CrossEntropy(labels)(logits)


class _CrossEntropy(autograd.Function):
    """The loss with its gradient in closed form: softmax(logits) − one-hot(label).

    MXNet's own gradient, through `pick` and `log_softmax`, takes longer.
    """

    def __init__(self, labels):
        super().__init__()
        self.labels = labels

    def forward(self, logits):
        self.save_for_backward(logits)
        return -nd.pick(nd.log_softmax(logits, axis=-1), self.labels, axis=-1)

    def backward(self, grad):
        (logits,) = self.saved_tensors
        difference = nd.softmax(logits, axis=-1)
        difference -= nd.one_hot(self.labels, logits.shape[-1], dtype=logits.dtype)
        difference *= grad.expand_dims(-1)
        return difference


def perplexity(total_loss, num_tokens):
    """Return exp(total_loss / num_tokens).

    Sum the loss over all tokens first and take the exponential once: a mean of
    exponentials of minibatches is another, larger number.

    Parameters
    ----------
    total_loss : float
        Negative log-likelihood in nats, summed over the tokens.
    num_tokens : int

    Returns
    -------
    float
        From 1 (certain and right) over the vocabulary size (uniform) to infinity.

    >>> round(perplexity(3 * math.log(27), 3), 6)
    27.0
    """
    num_tokens = check_positive_int("num_tokens", num_tokens)
    total_loss = _as_float(total_loss)
    # In single precision the loss of a sure model may come out just below 0.
    if -1e-5 * num_tokens < total_loss < 0:
        total_loss = 0.0
    if math.isnan(total_loss) or total_loss < 0:
        raise ValueError(
            f"total_loss must be a sum of −log p, at least 0, got {total_loss}"
        )
    mean = total_loss / num_tokens
    return math.exp(mean) if mean < 700 else math.inf


def bits_per_token(total_loss, num_tokens):
    """Return the loss in bits per token: log2 of the perplexity.

    For characters these are the bits per character in which compressors are
    measured.

    >>> bits_per_token(3 * math.log(8), 3)
    3.0
    """
    num_tokens = check_positive_int("num_tokens", num_tokens)
    total_loss = _as_float(total_loss)
    if math.isnan(total_loss) or total_loss <= -1e-5 * num_tokens:
        raise ValueError(
            f"total_loss must be a sum of −log p, at least 0, got {total_loss}"
        )
    return total_loss / num_tokens / math.log(2)


def accuracy(logits, labels):
    """Return the share of tokens whose largest logit is the label's.

    Parameters
    ----------
    logits : NDArray or numpy.ndarray, shape (..., num_classes)
    labels : NDArray or numpy.ndarray of int, shape (...)

    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    logits, labels = _numpy("logits", logits), _numpy("labels", labels)
    if logits.ndim < 1 or logits.shape[:-1] != labels.shape or labels.size == 0:
        raise ValueError(
            f"labels must have the shape {logits.shape[:-1]} and hold at least one "
            f"token, got {labels.shape}"
        )
    if np.isnan(logits).any():
        raise ValueError("logits hold nan: a model that diverged has no accuracy")
    check_range("labels", labels, logits.shape[-1])
    return float(np.mean(logits.argmax(axis=-1) == labels))


def repetition_rate(tokens, n=4):
    """Return the share of a text's n-grams that occurred before in it.

    0 where every n-gram is new; near 1 where the text runs in a circle.

    Parameters
    ----------
    tokens : str, or sequence of tokens
        At least n.
    n : int

    >>> repetition_rate("abcabcabcabc", n=3)
    0.7
    >>> repetition_rate("abcdefghijkl", n=3)
    0.0
    """
    n = check_positive_int("n", n)
    kinds = (str, list, tuple, np.ndarray)
    check_type("tokens", tokens, kinds, "a text or a list of tokens")
    if isinstance(tokens, np.ndarray):
        tokens = check_ids("tokens", tokens).tolist()
    try:
        set(tokens)
    except TypeError:
        raise TypeError(
            f"tokens must be strings or numbers, got {shown(tokens)}"
        ) from None
    runs = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    if not runs:
        raise ValueError(f"tokens must hold at least n = {n}, got {len(tokens)}")
    return 1 - len(set(runs)) / len(runs)


def _check_labels(logits, labels):
    """Check that there is one label for each row of logits, and a logit for each label.

    MXNet would take the nearest logit for a label that is out of range.
    """
    for name, values in (("logits", logits), ("labels", labels)):
        check_type(name, values, nd.NDArray, "an NDArray: nd.array(…) makes one")
    shape = logits.shape
    if shape[:-1] != labels.shape:
        raise ValueError(
            f"labels must have the shape {shape[:-1]} of logits without its "
            f"last axis, got {labels.shape}: time-major logits go with Y.T"
        )
    check_range("labels", labels, shape[-1])


def _numpy(name, values):
    """Return an NDArray or array of numbers as a NumPy array."""
    values = values.asnumpy() if isinstance(values, nd.NDArray) else values
    check_type(name, values, np.ndarray, "an NDArray or a NumPy array")
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, got {values.dtype}")
    return values


def _as_float(total_loss):
    """Return a loss in double precision; what MXNet or NumPy summed is an array."""
    try:
        return float(None if isinstance(total_loss, str) else total_loss)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(
            f"total_loss must be a number, got {shown(total_loss)}"
        ) from None
