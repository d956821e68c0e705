"""Comparing the time of programs on a machine that others use too."""

import time
from collections.abc import Callable

from mxnet import nd

from d2l_rnn._checks import check_positive_int, check_type

__all__ = ["least_seconds"]


def least_seconds(actions, repeats=5):
    """Return the least processor time of each of several actions, run in turn.

    Noise adds to a time and never takes away, so the least is nearest to the truth;
    and a slow minute of the machine hits all that take turns alike. Only work of this
    process counts: what other programs do does not, nor does waiting.

    Parameters
    ----------
    actions : dict of callables without arguments, by name
        Each is called once before, to warm up, and then ``repeats`` times.
    repeats : int

    Returns
    -------
    dict
        Seconds by name.

    >>> found = least_seconds({"little": lambda: sum(range(9)),
    ...                        "much": lambda: sum(range(9999))})
    >>> found["much"] > 2 * found["little"]
    True
    """
    check_type("actions", actions, dict, "a dict of functions by name")
    repeats = check_positive_int("repeats", repeats)
    for name, action in actions.items():
        what = "a function without arguments (put 'lambda:' before a call)"
        check_type(f"actions[{name!r}]", action, Callable, what)
        action()  # a first time to warm up, not counted
    seconds = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            nd.waitall()
            start = time.process_time()
            action()
            nd.waitall()  # MXNet works behind Python's back
            seconds[name].append(time.process_time() - start)
    return {name: min(values) for name, values in seconds.items()}
