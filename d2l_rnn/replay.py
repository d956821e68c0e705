"""Running a model's forward function as one recorded graph."""

from collections.abc import Callable

from mxnet import autograd, nd

from d2l_rnn._checks import check_type

__all__ = ["Replay"]


class Replay:
    """A forward function that Python runs once, and MXNet alone from then on.

    Called from Python, each operator costs some 20 µs before it begins to compute.
    So the function is run once, with zeros, for each new set of shapes. What
    autograd notes of that run is a graph, and the graph is one operator. Gluon's
    `hybridize` does the same for its blocks.

    A function that makes arrays of its own, other than by operators on those it was
    given, has no such graph. It is run as it is.

    Parameters
    ----------
    forward : callable
        ``forward(X, state, params) -> (logits, state)``, without side effects.

    >>> double = Replay(lambda X, state, params: (X * params["w"], (state[0] + X,)))
    >>> arguments = nd.array([1, 2]), (nd.ones(2),), {"w": nd.array([2, 2])}
    >>> double(*arguments)[0].asnumpy(), len(double.graphs)
    (array([2., 4.], dtype=float32), 1)
    """

    #: So many graphs are kept, of the shapes that came last.
    MAX_GRAPHS = 8

    def __init__(self, forward):
        what = "a function (X, state, params) -> (logits, state)"
        self.forward = check_type("forward", forward, Callable, what)
        self.graphs = {}

    def __call__(self, X, state, params):
        arrays = [X, *state, *params.values()]
        key = tuple((array.shape, array.dtype) for array in arrays)
        if key not in self.graphs:
            while len(self.graphs) >= self.MAX_GRAPHS:
                del self.graphs[next(iter(self.graphs))]
            self.graphs[key] = _record(self.forward, X, state, params)
        graph = self.graphs[key]
        if graph is None:
            return self.forward(X, state, params)
        operator, order = graph
        logits, *state = operator(*[arrays[i] for i in order])
        return logits, tuple(state)


def _record(forward, X, state, params):
    """Return the function as an operator, and which arrays it takes in which order."""
    stand_ins = [nd.zeros_like(array) for array in (X, *state, *params.values())]
    for array in stand_ins:
        array.attach_grad()
    num_data = 1 + len(state)
    named = dict(zip(params, stand_ins[num_data:], strict=True))
    with autograd.record(train_mode=False):  # without drawing masks of dropout
        logits, after = forward(stand_ins[0], tuple(stand_ins[1:num_data]), named)
        flat = [output.reshape(-1) for output in (logits, *after)]
        joined = nd.concat(*flat, dim=0)
    # The graph's outputs are what was flattened, two levels below its end.
    graph = autograd.get_symbol(joined).get_children().get_children()
    names = [autograd.get_symbol(array).name for array in stand_ins]
    if not set(graph.list_inputs()) <= set(names):
        return None  # it holds an array that came from elsewhere
    order = [names.index(name) for name in graph.list_inputs()]
    flags = {
        "static_alloc": True,
        "static_shape": True,
        "data_indices": [i for i, at in enumerate(order) if at < num_data],
        "param_indices": [i for i, at in enumerate(order) if at >= num_data],
    }
    return nd.CachedOp(graph, flags.items()), order
