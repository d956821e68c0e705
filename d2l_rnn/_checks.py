"""Checks of arguments, with messages that name the argument, value and remedy."""

import math
import numbers
import os
import sys
from collections.abc import Collection
from pathlib import Path

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
    return _whole(name, value, 1, math.inf, f"{unit} of at least 1")


def check_count(name, value, *, below=None):
    """Return ``value`` as an int, or say that it must be from 0 on, or in 0..below − 1.

    >>> check_count("offset", 5, below=5)
    Traceback (most recent call last):
    ...
    ValueError: offset must be a whole number in 0..4, got 5
    """
    if below is None:
        return _whole(name, value, 0, math.inf, " of at least 0")
    return _whole(name, value, 0, below - 1, f" in 0..{below - 1}")


def _whole(name, value, low, high, which):
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if is_whole and low <= value <= high:
        return int(value)
    error = ValueError if is_whole else TypeError
    raise error(f"{name} must be a whole number{which}, got {shown(value)}")


def check_number(name, value, low, high=math.inf, *, open_low=False):
    """Return ``value`` as a float, or say which range ``name`` must lie in.

    >>> check_number("lr", 0.5, 0, open_low=True)
    0.5
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if is_number and abs(value) <= sys.float_info.max:
        if low < value <= high or (value == low and not open_low):
            return float(value)
    interval = f" {'above' if open_low else 'at least'} {low}" * (low > -math.inf)
    if high != math.inf:
        interval += f" and at most {high}"
    error = ValueError if is_number else TypeError
    raise error(f"{name} must be a finite number{interval}, got {shown(value)}")


def check_ids(name, ids, vocab_size=None):
    """Return ``ids`` as a one-dimensional int32 array of symbol indices.

    >>> check_ids("ids", [2, 0, 1], vocab_size=3)
    array([2, 0, 1], dtype=int32)
    """
    if isinstance(ids, str):
        raise ValueError(
            f"{name} must be one sequence of indices, got the text {shown(ids)}: "
            "encode it with vocab.encode(text) first"
        )
    array = _array(ids)
    if array is None or array.ndim != 1:
        raise ValueError(f"{name} must be one sequence of indices, got {shown(ids)}")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise TypeError(
            f"{name} must hold whole numbers (symbol indices), got "
            f"{array.dtype}; encode a text with vocab.encode(text) first"
        )
    if array.size:
        low, high = int(array.min()), int(array.max())
        if vocab_size is not None and (low < 0 or high >= vocab_size):
            raise ValueError(
                f"{name} must lie in 0..{vocab_size - 1}, got values from {low} "
                f"to {high}; encode the text with the model's own vocabulary"
            )
        if max(-low, high) >= 2**31:
            raise ValueError(
                f"{name} must be symbol indices below 2**31, got values from {low} to "
                f"{high}"
            )
    return array.astype(np.int32)


def check_range(name, indices, size):
    """Refuse indices outside 0..size − 1, which MXNet would clip in silence.

    It takes about 10 µs where the array is there, and waits for it where it is not.

    >>> check_range("labels", np.array([[0, 4]]), 3)
    Traceback (most recent call last):
    ...
    ValueError: labels must hold whole numbers in 0..2, got values from 0 to 4
    """
    values = indices.asnumpy() if is_ndarray(indices) else indices
    if not values.size:
        raise ValueError(f"{name} must hold at least one index, got {shown(indices)}")
    low, high = values.min(), values.max()
    is_whole = values.dtype.kind in "biu" or not (values % 1).any()
    if not (low >= 0 and high < size and is_whole):
        raise ValueError(
            f"{name} must hold whole numbers in 0..{size - 1}, got values from {low} "
            f"to {high}"
        )


def check_numbers(name, values, *, ndim=None, finite=True):
    """Return numbers as an array of so many dimensions, at least one number.

    >>> check_numbers("values", [[1, 2], [3]], ndim=2)
    Traceback (most recent call last):
    ...
    ValueError: values must be a 2-D table of finite numbers, got [[1, 2], [3]]
    """
    array = _array(values)
    kind = {None: "an array", 1: "a list", 2: "a 2-D table"}[ndim]
    if (
        array is None
        or array.dtype.kind not in "biuf"
        or ndim not in (None, array.ndim)
        or (finite and not np.isfinite(array).all())
    ):
        raise ValueError(
            f"{name} must be {kind} of {'finite ' * finite}numbers, got {shown(values)}"
        )
    if not array.size:
        raise ValueError(f"{name} is empty: give at least one number")
    return array


def check_choice(name, value, choices):
    """Return ``value``, or list the names that ``name`` may have.

    >>> check_choice("cut", "end", ("back", "front"))
    Traceback (most recent call last):
    ...
    ValueError: cut must be one of ['back', 'front'], got 'end'
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {sorted(choices)}, got {shown(value)}")
    return value


def check_type(name, value, kinds, remedy):
    """Return ``value``, or say what ``name`` must be and how to come by it.

    >>> check_type("text", 5, str, "a string")
    Traceback (most recent call last):
    ...
    TypeError: text must be a string, got 5
    """
    if not isinstance(value, kinds):
        raise TypeError(f"{name} must be {remedy}, got {shown(value)}")
    return value


def check_offers(name, value, attributes, remedy):
    """Return ``value``, or say which attributes ``name`` must have.

    >>> check_offers("vocab", "abc", ("encode", "decode"), "use a Vocab")
    Traceback (most recent call last):
    ...
    TypeError: vocab must offer encode and decode, got 'abc': use a Vocab
    """
    if isinstance(value, type) or not all(hasattr(value, a) for a in attributes):
        raise TypeError(
            f"{name} must offer {' and '.join(attributes)}, got {shown(value)}: "
            f"{remedy}"
        )
    return value


def check_path(name, path):
    """Return ``path`` as a Path, ``~`` spelled out, or say why it can't be one.

    >>> check_path("path", 5)
    Traceback (most recent call last):
    ...
    TypeError: path must be a string or a Path, got 5
    """
    check_type(name, path, (str, os.PathLike), "a string or a Path")
    try:
        path = Path(path).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # who opens or writes it will tell
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name} {shown(str(path))} can't be the name of a file ({error}): give a "
            "path"
        ) from None
    return path


def check_new_file(name, path):
    """Return ``path`` as a Path, or say why no file can be written there."""
    path = check_path(name, path)
    if path.is_dir():
        raise ValueError(f"{name} {str(path)!r} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{name} {str(path)!r} lies in a folder that is not there: make it first"
        )
    return path


def check_arrays(name, arrays):
    """Return a collection of NDArrays as a list, or say that ``name`` must be one.

    >>> from mxnet import nd
    >>> [array.shape for array in check_arrays("grads", [nd.zeros(3)])]
    [(3,)]
    """
    if not isinstance(arrays, Collection) or isinstance(arrays, (str, dict)):
        raise TypeError(f"{name} must be a list of NDArrays, got {shown(arrays)}")
    if not arrays:
        raise ValueError(f"{name} is empty: give at least one NDArray")
    for array in arrays:
        if not is_ndarray(array):
            raise TypeError(
                f"{name} must hold NDArrays only, got {shown(array)}: nd.array(…) "
                "makes one"
            )
    return list(arrays)


def is_ndarray(value):
    """Return whether this is an NDArray, without MXNet, which texts do not need."""
    return hasattr(value, "asnumpy") and not isinstance(value, type)


def _array(values):
    """Return values as a NumPy array, None where rows have several lengths."""
    try:
        return np.asarray(values.asnumpy() if is_ndarray(values) else values)
    except (TypeError, ValueError):
        return None


def shown(value):
    """Return how a message names a value: its repr, its kind where that is long.

    >>> print(shown("a" * 100), shown(np.zeros((2, 3))), sep="; ")
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaa… (a str); a ndarray of shape (2, 3)
    """
    if is_ndarray(value) or isinstance(value, np.ndarray):
        return f"a {type(value).__name__} of shape {value.shape}"
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = ""
    short = 0 < len(text) <= 60
    return text if short else f"{text[:30]}… (a {type(value).__name__})"
