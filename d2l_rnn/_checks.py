"""Checks of arguments, with messages that name the argument, value and remedy."""

import numbers

import numpy as np


def check_positive_int(name, value, *, unit=""):
    """Return ``value`` as an int, or say that ``name`` must be a whole number ≥ 1.

    >>> check_positive_int("batch_size", 32)
    32
    >>> check_positive_int("batch_size", 0)
    Traceback (most recent call last):
    ...
    ValueError: batch_size must be a whole number of at least 1, got 0
    """
    what = f"{name} must be a whole number{unit} of at least 1, got {value!r}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(what)
    if value < 1:
        raise ValueError(what)
    return int(value)


def check_number(name, value, low, high=float("inf"), *, open_low=False):
    """Return ``value`` as a float, or say which range ``name`` must lie in.

    >>> check_number("lr", 0.5, 0, open_low=True)
    0.5
    """
    interval = f"{'above' if open_low else 'at least'} {low}"
    if high != float("inf"):
        interval += f" and at most {high}"
    what = f"{name} must be a finite number {interval}, got {value!r}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(what)
    inside = low < value <= high if open_low else low <= value <= high
    if not (np.isfinite(value) and inside):
        raise ValueError(what)
    return float(value)


def check_ids(name, ids, vocab_size=None):
    """Return ``ids`` as a one-dimensional int32 array of symbol indices.

    >>> check_ids("ids", [2, 0, 1], vocab_size=3)
    array([2, 0, 1], dtype=int32)
    """
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError(
            f"{name} must be one sequence of indices, got an array of shape "
            f"{array.shape}"
        )
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise TypeError(
            f"{name} must hold whole numbers (symbol indices), got "
            f"{array.dtype}; encode a text with vocab.encode(text) first"
        )
    if array.size and vocab_size is not None:
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= vocab_size:
            raise ValueError(
                f"{name} must lie in 0..{vocab_size - 1}, got values from {low} "
                f"to {high}; encode the text with the model's own vocabulary"
            )
    return array.astype(np.int32)
