"""Clipping against `gluon.utils.clip_global_norm` and NumPy."""

from d2l_rnn.clipping import clip_gradients, global_norm

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mxnet import gluon, nd

quick = settings(deadline=None, max_examples=60)

# Of ordinary size: gluon adds 1e-8 to the norm, which counts beside a tiny one.
numbers = st.floats(-100, 100, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3)
shapes = hnp.array_shapes(max_dims=3, max_side=4)
gradients = st.lists(
    hnp.arrays(np.float32, shapes, elements=numbers), min_size=1, max_size=4
)
thetas = st.floats(0.01, 1000)


def to_nd(grads):
    return [nd.array(grad) for grad in grads]


def norm_of(grads):
    """Return the norm in float64, of all gradients laid end to end."""
    return np.linalg.norm(np.concatenate([np.ravel(g).astype(float) for g in grads]))


@given(gradients, thetas)
@quick
def test_clipping_is_gluons(grads, theta):
    ours, theirs = to_nd(grads), to_nd(grads)
    norm = clip_gradients(ours, theta)
    assert norm == pytest.approx(gluon.utils.clip_global_norm(theirs, theta), rel=1e-6)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.asnumpy(), other.asnumpy(), rtol=1e-4)


@given(gradients, thetas)
@quick
def test_the_norm_before_comes_back_and_the_norm_after_is_at_most_theta(grads, theta):
    clipped = to_nd(grads)
    norm = clip_gradients(clipped, theta)
    assert isinstance(norm, float)
    assert norm == pytest.approx(norm_of(grads), rel=1e-6)
    after = norm_of([grad.asnumpy() for grad in clipped])
    assert after == pytest.approx(min(norm, theta), rel=1e-5)


@given(gradients, thetas)
@quick
def test_the_direction_stays(grads, theta):
    clipped = to_nd(grads)
    norm = clip_gradients(clipped, theta)
    for before, after in zip(grads, clipped, strict=True):
        expected = before.astype(float) * min(1, theta / max(norm, 1e-30))
        np.testing.assert_allclose(after.asnumpy(), expected, rtol=1e-5)


@given(gradients, st.floats(1.001, 100))
@quick
def test_small_gradients_are_left_alone(grads, factor):
    same = to_nd(grads)
    clip_gradients(same, max(norm_of(grads), 0.1) * factor)
    for before, after in zip(grads, same, strict=True):
        np.testing.assert_array_equal(before, after.asnumpy())


def test_a_norm_of_just_theta_is_left_alone():
    grads = [nd.array([3.0, 4.0])]
    assert clip_gradients(grads, 5) == 5.0
    assert grads[0].asnumpy().tolist() == [3.0, 4.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_gradients_that_are_not_finite_are_left_as_they_are(bad):
    values = [np.array([3.0, bad], np.float32), np.array([[400.0]], np.float32)]
    grads = to_nd(values)
    assert not np.isfinite(clip_gradients(grads, 1.0))
    for before, after in zip(values, grads, strict=True):
        np.testing.assert_array_equal(before, after.asnumpy())


@given(gradients)
@quick
def test_the_global_norm_is_that_of_one_long_vector(grads):
    arrays = to_nd(grads)
    assert global_norm(arrays) == pytest.approx(norm_of(grads), rel=1e-6)
    for before, after in zip(grads, arrays, strict=True):
        np.testing.assert_array_equal(before, after.asnumpy())


@pytest.mark.parametrize(
    ("theta", "error"),
    [
        (0, ValueError),
        (-1.0, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("1", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_theta_must_be_above_zero(theta, error):
    grads = [nd.array([3.0, 4.0])]
    with pytest.raises(error, match="theta must be a finite number above 0, got") as e:
        clip_gradients(grads, theta)
    assert str(e.value).endswith(repr(theta))
    assert grads[0].asnumpy().tolist() == [3.0, 4.0]
