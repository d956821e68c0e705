"""Losses and what follows from them, against closed forms in NumPy."""

import math

from d2l_rnn.metrics import (
    accuracy,
    bits_per_token,
    cross_entropy,
    perplexity,
    repetition_rate,
)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mxnet import autograd, nd

quick = settings(deadline=None, max_examples=60)


@st.composite
def scored(draw, bound=30):
    """Draw logits (num_steps, batch_size, vocab_size) and labels for them."""
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=4))
    floats = st.floats(-bound, bound, width=32)
    logits = draw(hnp.arrays(np.float32, shape, elements=floats))
    ids = st.integers(0, shape[-1] - 1)
    return logits, draw(hnp.arrays(np.int32, shape[:-1], elements=ids))


def closed_form(logits, labels):
    """Return log Σ exp(o) − o[label] in float64, o measured from its maximum."""
    scores = logits.astype(float) - logits.max(-1, keepdims=True)
    log_sum = np.log(np.exp(scores).sum(-1))
    return log_sum - np.take_along_axis(scores, labels[..., None], -1)[..., 0]


@quick
@given(scored(), st.sampled_from(["float32", "float64"]))
def test_the_gradient_of_cross_entropy_is_the_one_that_mxnet_derives(case, dtype):
    logits, labels = nd.array(case[0], dtype=dtype), nd.array(case[1])
    weights = nd.arange(1, labels.size + 1, dtype=dtype).reshape(labels.shape)
    grads = []
    for loss in (
        cross_entropy,
        lambda x, y: -nd.pick(nd.log_softmax(x, axis=-1), y, axis=-1),
    ):
        logits.attach_grad()
        with autograd.record():
            total = (weights * loss(logits * 2, labels)).sum()
        total.backward()
        grads.append(logits.grad.asnumpy())
    assert np.allclose(*grads, atol=1e-5 * labels.size)


@given(scored())
@quick
def test_cross_entropy_is_the_closed_form(case):
    logits, labels = case
    losses = cross_entropy(nd.array(logits), nd.array(labels, dtype="int32")).asnumpy()
    assert losses.shape == labels.shape
    np.testing.assert_allclose(losses, closed_form(*case), rtol=1e-4, atol=1e-5)


@given(scored(bound=2.0**99))
@quick
def test_large_logits_do_not_overflow(case):
    logits, labels = case
    losses = cross_entropy(nd.array(logits), nd.array(labels, dtype="int32")).asnumpy()
    assert np.isfinite(losses).all()
    np.testing.assert_allclose(losses, closed_form(*case), rtol=1e-4, atol=1e-5)


def test_an_impossible_label_costs_what_its_logit_lacks():
    (loss,) = cross_entropy(nd.array([[0.0, 1e4]]), nd.array([0])).asnumpy()
    assert loss == pytest.approx(1e4)


def test_a_certain_model_has_perplexity_one():
    """MXNet's log_softmax may come out above 0 by a rounding error."""
    losses = cross_entropy(nd.array([[1e4, 0.0, 0.0]] * 50), nd.zeros(50)).asnumpy()
    assert perplexity(losses.sum(dtype="float64"), 50) == pytest.approx(1, abs=1e-5)


def test_labels_must_fit_the_logits():
    logits, labels = nd.zeros((5, 2, 7)), nd.zeros((2, 5))
    with pytest.raises(
        ValueError, match=r"labels .* \(5, 2\) .* got \(2, 5\): .* Y\.T"
    ):
        cross_entropy(logits, labels)


@given(st.integers(1, 5000), st.integers(1, 500))
@quick
def test_a_uniform_models_perplexity_is_the_vocabulary_size(vocab_size, num_tokens):
    losses = cross_entropy(nd.zeros((num_tokens, vocab_size)), nd.zeros(num_tokens))
    total = losses.asnumpy().sum(dtype="float64")
    assert perplexity(total, num_tokens) == pytest.approx(vocab_size, rel=1e-5)
    bits = bits_per_token(total, num_tokens)
    assert bits == pytest.approx(math.log2(vocab_size), rel=1e-5, abs=1e-5)


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=50))
@quick
def test_perplexity_is_the_inverse_geometric_mean_of_the_probabilities(probs):
    total = sum(-math.log(p) for p in probs)
    expected = math.prod(p ** (-1 / len(probs)) for p in probs)
    assert perplexity(total, len(probs)) == pytest.approx(expected, rel=1e-9)
    assert 2 ** bits_per_token(total, len(probs)) == pytest.approx(expected, rel=1e-9)


def test_the_limits_of_perplexity():
    assert perplexity(0.0, 10) == 1.0
    assert perplexity(-0.0, 10) == 1.0
    assert perplexity(math.inf, 10) == math.inf
    assert perplexity(1e6, 10) == perplexity(709.9, 1) == math.inf
    assert perplexity(600.0, 1) == pytest.approx(math.exp(600))
    assert perplexity(2 * 699.99, 2) == pytest.approx(math.exp(699.99))
    assert perplexity(700.0, 1) == math.inf


@pytest.mark.parametrize("measure", [perplexity, bits_per_token])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_total_in_another_type_is_used_in_double_precision(measure, kind):
    value = measure(kind(1.1), 3)
    assert type(value) is float
    assert value == measure(float(kind(1.1)), 3)


@pytest.mark.parametrize("measure", [perplexity, bits_per_token])
@pytest.mark.parametrize(
    ("num_tokens", "error"),
    [(0, ValueError), (-1, ValueError), (2.5, TypeError), ("3", TypeError)],
)
def test_num_tokens_must_be_a_positive_integer(measure, num_tokens, error):
    with pytest.raises(error, match="num_tokens must be a whole number") as caught:
        measure(1.0, num_tokens)
    assert str(caught.value).endswith(f"got {num_tokens!r}")


@pytest.mark.parametrize(("measure", "least"), [(perplexity, 1), (bits_per_token, 0)])
def test_each_token_may_be_rounded_a_little_below_zero(measure, least):
    assert measure(-9e-6 * 1000, 1000) == pytest.approx(least, abs=2e-5)
    with pytest.raises(ValueError, match="total_loss must be"):
        measure(-1.1e-5 * 1000, 1000)


@pytest.mark.parametrize("total", [math.nan, -1.0, -math.inf])
def test_a_loss_cannot_be_negative_or_nan(total):
    with pytest.raises(ValueError, match=f"total_loss must be .* got {total}"):
        perplexity(total, 3)


@given(scored())
@quick
def test_accuracy_counts_the_hits(case):
    logits, labels = case
    hits = [
        list(row).index(max(row)) == label
        for row, label in zip(
            logits.reshape(-1, logits.shape[-1]), labels.ravel(), strict=True
        )
    ]
    expected = sum(hits) / len(hits)
    assert accuracy(logits, labels) == pytest.approx(expected)
    assert accuracy(nd.array(logits), nd.array(labels)) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(2,), (3, 2), (0,)])
def test_accuracy_needs_one_label_a_token(shape):
    logits = np.zeros((3, 4)) if shape != (0,) else np.zeros((0, 4))
    with pytest.raises(ValueError, match="and hold at least one token, got") as caught:
        accuracy(logits, np.zeros(shape))
    message = str(caught.value)
    assert message.startswith(f"labels must have the shape {(len(logits),)} and")
    assert message.endswith(f"got {shape}")


@pytest.mark.parametrize(
    ("tokens", "n", "rate"),
    [("aaaa", 1, 0.75), ("aaaaa", 4, 0.5), ("abab", 2, 1 / 3), ("abcd", 4, 0)],
)
def test_repetition_is_the_share_of_runs_seen_before(tokens, n, rate):
    assert repetition_rate(tokens, n) == pytest.approx(rate)
    assert repetition_rate(list(tokens), n) == pytest.approx(rate)


def test_a_text_without_a_run_has_no_rate():
    with pytest.raises(ValueError, match="tokens must hold at least n = 4, got 3"):
        repetition_rate("abc")


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (1.5, TypeError)])
def test_the_length_of_a_run_must_be_a_positive_integer(n, error):
    with pytest.raises(error, match=f"n must be a whole number of .* got {n}"):
        repetition_rate("abcabc", n)


def test_bits_of_a_loss_that_is_no_number_are_refused():
    with pytest.raises(ValueError, match="total_loss must be a sum"):
        bits_per_token(float("nan"), 3)


def test_labels_of_another_shape_are_told_all_axes_that_they_want():
    with pytest.raises(ValueError, match=r"the shape \(2, 3\) and .* got \(2,\)"):
        accuracy(np.zeros((2, 3, 4)), np.zeros(2))


def test_one_token_has_logits_of_one_dimension_at_least():
    assert accuracy(np.array([0.1, 0.9]), np.array(1)) == 1
    with pytest.raises(ValueError, match="labels must have the shape"):
        accuracy(np.array(3.0), np.array(0))
