"""Times are compared in turns, and the least of each counts."""

from d2l_rnn import timing

import pytest


def test_actions_take_turns_and_the_least_time_counts(monkeypatch):
    clock, taken = [0.0], []
    costs = {"a": iter([9, 3, 1, 2]), "b": iter([9, 5, 4, 6])}

    def action(name):
        taken.append(name)
        clock[0] += next(costs[name])

    monkeypatch.setattr(timing.time, "process_time", lambda: clock[0])
    actions = {"a": lambda: action("a"), "b": lambda: action("b")}
    found = timing.least_seconds(actions, repeats=3)
    assert found == {"a": 1, "b": 4}  # the first times warm up and do not count
    assert taken == ["a", "b"] * 4


def test_work_that_mxnet_does_later_counts():
    a = timing.nd.ones((600, 600))
    products = {n: lambda n=n: [timing.nd.dot(a, a) for _ in range(n)] for n in (1, 20)}
    found = timing.least_seconds(products)
    assert found[20] > 4 * found[1]


def test_no_actions_take_no_time():
    assert timing.least_seconds({}) == {}


def test_an_action_that_fails_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        timing.least_seconds({"bad": lambda: 1 / 0})
