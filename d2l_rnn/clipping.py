"""Gradient clipping by the global norm."""

from mxnet import nd

from d2l_rnn._checks import check_arrays, check_number

__all__ = ["clip_gradients", "global_norm"]


def global_norm(grads):
    """Return the Euclidean norm of all gradients taken as one long vector.

    >>> global_norm([nd.array([3.0]), nd.array([[0.0, 4.0]])])
    5.0
    """
    flat = [grad.reshape(-1) for grad in check_arrays("grads", grads)]
    return float(nd.add_n(*[nd.dot(g, g) for g in flat]).sqrt().asscalar())


def clip_gradients(grads, theta):
    """Scale gradients in place so that their global norm is at most theta.

    g ← min(1, theta / ‖g‖) · g, where ‖g‖ is taken over all gradients together
    (Pascanu, Mikolov & Bengio 2013, algorithm 1). The direction stays.

    Parameters
    ----------
    grads : list of NDArray
        Changed in place. Gradients that are not finite are left as they are.
    theta : float
        The largest norm allowed, above 0.

    Returns
    -------
    float
        The norm *before* clipping.

    >>> grads = [nd.array([3.0]), nd.array([[0.0, 4.0]])]
    >>> clip_gradients(grads, theta=1.0)
    5.0
    >>> round(global_norm(grads), 6)
    1.0
    """
    theta = check_number("theta", theta, 0, open_low=True)
    norm = global_norm(grads)
    if theta < norm < float("inf"):
        for grad in grads:
            grad *= theta / norm
    return norm
