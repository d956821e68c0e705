"""n-gram models against `Counter`, closed forms and a literal Kneser–Ney."""

import math
from collections import Counter

from d2l_rnn.ngrams import NGramModel
from d2l_rnn.text import load_corpus

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

V = 4
SMOOTHINGS = ("kneser_ney", "laplace")
texts = st.lists(st.integers(0, V - 1), min_size=1, max_size=40)
orders = st.integers(1, 5)
smoothings = st.sampled_from(SMOOTHINGS)
contexts = st.lists(st.integers(0, V - 1), max_size=4)
discounts = st.floats(0.01, 0.99)


def kneser_ney(text, context, x, order, discount):
    """Interpolated Kneser–Ney straight from the formula, by scanning the text."""
    text = ["start"] * (order - 1) + list(text)

    def ngrams(n):
        return [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]

    def count(gram):
        if len(gram) == order:
            return ngrams(order).count(gram)
        return len({g[0] for g in ngrams(len(gram) + 1) if g[1:] == gram})

    def p(h):
        lower = p(h[1:]) if h else 1 / V
        counts = [count((*h, y)) for y in range(V)]
        if sum(counts) == 0:
            return lower
        different = sum(c > 0 for c in counts)
        kept = max(counts[x] - discount, 0)
        return (kept + discount * different * lower) / sum(counts)

    return p(tuple(context))


@given(texts, orders, smoothings, contexts)
def test_probabilities_sum_to_one_after_any_context(text, order, smoothing, context):
    model = NGramModel(order, V, smoothing=smoothing).fit(text)
    probs = model.probs(context[: order - 1])
    assert probs.shape == (V,)
    assert probs.min() > 0
    assert math.isclose(probs.sum(), 1, abs_tol=1e-12)


@given(texts, st.integers(1, 4), contexts, discounts)
def test_kneser_ney_is_the_formula(text, order, context, discount):
    context = context[: order - 1]
    probs = NGramModel(order, V, discount=discount).fit(text).probs(context)
    literal = [kneser_ney(text, context, x, order, discount) for x in range(V)]
    np.testing.assert_allclose(probs, literal, rtol=1e-12)


def flat(counts, length):
    """Return the counts after contexts of one length as a Counter of n-grams."""
    return Counter(
        {
            (*context, x): count
            for context, after in counts.items()
            for x, count in after.items()
            if len(context) == length
        }
    )


@given(texts, orders)
def test_counts_are_those_of_a_counter(text, order):
    laplace = NGramModel(order, V, smoothing="laplace").fit(text)
    for n in range(1, order + 1):
        grams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
        assert flat(laplace.counts, n - 1) == Counter(grams)
    kneser_ney = NGramModel(order, V).fit(text)
    assert flat(kneser_ney.counts, order - 1) == Counter(grams)
    for context, after in kneser_ney.counts.items():
        assert kneser_ney.totals[context] == sum(after.values())


@given(texts, orders, contexts, st.floats(0.01, 10))
def test_laplace_closed_form(text, order, context, alpha):
    context = tuple(context[: order - 1])
    n = len(context) + 1
    grams = Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))
    total = sum(grams[(*context, x)] for x in range(V))
    expected = [(grams[(*context, x)] + alpha) / (total + alpha * V) for x in range(V)]
    model = NGramModel(order, V, smoothing="laplace", alpha=alpha).fit(text)
    np.testing.assert_allclose(model.probs(context), expected, rtol=1e-12)


@given(texts)
def test_order_one_ignores_what_came_before(text):
    model = NGramModel(1, V, discount=0.75).fit(text)
    counts = Counter(text)
    expected = [
        (max(counts[x] - 0.75, 0) + 0.75 * len(counts) / V) / len(text)
        for x in range(V)
    ]
    np.testing.assert_allclose(model.probs([]), expected, rtol=1e-12)
    np.testing.assert_allclose(
        model.log_prob(text, context=[0, 1]), np.log(expected)[text]
    )


@given(texts, texts, orders, smoothings)
def test_log_prob_is_the_chain_rule_over_probs(text, held_out, order, smoothing):
    model = NGramModel(order, V, smoothing=smoothing).fit(text)
    log_probs = model.log_prob(held_out, context=text)
    whole = text + held_out
    for i, log_prob in enumerate(log_probs):
        t = len(text) + i
        context = whole[max(0, t - order + 1) : t]
        assert math.isclose(log_prob, math.log(model.probs(context)[whole[t]]))
    mean = -log_probs.mean()
    assert math.isclose(model.perplexity(held_out, text), math.exp(mean))
    assert math.isclose(model.bits_per_token(held_out, text), mean / math.log(2))


@given(texts, texts, orders, smoothings)
def test_only_the_last_symbols_of_a_text_count(text, before, order, smoothing):
    model = NGramModel(order, V, smoothing=smoothing).fit(text)
    last = before[max(0, len(before) - order + 1) :]
    np.testing.assert_array_equal(
        model.log_prob(text, context=before), model.log_prob(text, context=last)
    )
    first = model.log_prob(text, context=before)[0]
    assert math.isclose(first, math.log(model.probs(last)[text[0]]))


@given(texts, orders, smoothings)
def test_prequential_is_refitting_before_each_symbol(text, order, smoothing):
    model = NGramModel(order, V, smoothing=smoothing)
    log_probs = model.prequential_log_prob(text)
    assert math.isclose(log_probs[0], -math.log(V))
    for t in range(1, len(text)):
        before = NGramModel(order, V, smoothing=smoothing).fit(text[:t])
        expected = before.log_prob(text[t : t + 1], context=text[:t])
        assert math.isclose(log_probs[t], expected[0])
    assert model.counts == NGramModel(order, V, smoothing=smoothing).fit(text).counts


@given(texts, texts, orders, smoothings)
def test_reading_in_pieces_is_reading_at_once(text, more, order, smoothing):
    model = NGramModel(order, V, smoothing=smoothing).fit(text)
    at_once, end = model.next_log_probs(text + more)
    assert model.begin_state() == ((),)
    _, state = model.next_log_probs(text, model.begin_state())
    for symbol in more:
        in_pieces, state = model.next_log_probs([symbol], state)
    np.testing.assert_array_equal(at_once, in_pieces)
    assert state == end
    assert len(state[0]) == min(order - 1, len(text + more))


@given(texts, texts, orders, smoothings, st.permutations(range(V)))
def test_the_names_of_symbols_do_not_matter(text, held_out, order, smoothing, new):
    model = NGramModel(order, V, smoothing=smoothing)
    plain = model.fit(text).log_prob(held_out)
    renamed = model.fit([new[x] for x in text]).log_prob([new[x] for x in held_out])
    np.testing.assert_allclose(plain, renamed, rtol=1e-12)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_all_symbols_equally_often_gives_the_vocabulary_size(smoothing):
    model = NGramModel(1, 27, smoothing=smoothing).fit(range(27))
    assert math.isclose(model.perplexity([5, 5, 26]), 27)
    assert math.isclose(model.bits_per_token([5, 5, 26]), math.log2(27))


def test_fit_forgets_what_was_counted_before():
    model = NGramModel(3, V)
    twice = model.fit([0, 1, 2, 3, 3]).fit([1, 0, 1])
    assert twice is model
    assert model.counts == NGramModel(3, V).fit([1, 0, 1]).counts


def test_held_out_bits_of_order_six():
    ids = load_corpus("doctor_moreau").ids
    cut = len(ids) * 9 // 10
    model = NGramModel(6, 73).fit(ids[:cut])
    bits = model.bits_per_token(ids[cut:], context=ids[:cut])
    assert abs(bits - 2.111) < 0.001


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: NGramModel(0, V), ValueError, "order must be .* at least 1, got 0"),
        (lambda: NGramModel(-2, V), ValueError, "order must be .* got -2"),
        (lambda: NGramModel(2.0, V), TypeError, "order must be .* got 2.0"),
        (lambda: NGramModel(2, 0), ValueError, "vocab_size must be .* got 0"),
        (
            lambda: NGramModel(2, V, smoothing="none"),
            ValueError,
            r"smoothing must be one of \['kneser_ney', 'laplace'\], got 'none'",
        ),
        (lambda: NGramModel(2, V, discount=0), ValueError, "discount .* got 0"),
        (lambda: NGramModel(2, V, discount=1), ValueError, "discount .* got 1"),
        (lambda: NGramModel(2, V, discount=1.5), ValueError, "discount .* got 1.5"),
        (lambda: NGramModel(2, V, alpha=0), ValueError, "alpha .* above 0, got 0"),
        (lambda: NGramModel(2, V, alpha=-1), ValueError, "alpha .* got -1"),
        (lambda: NGramModel(2, V).fit([]), ValueError, "ids is empty"),
        (lambda: NGramModel(2, V).fit([0, 4]), ValueError, r"ids must lie in 0\.\.3"),
        (lambda: NGramModel(2, V).fit([-1]), ValueError, r"ids must lie in 0\.\.3"),
        (lambda: NGramModel(2, V).fit("ab"), ValueError, "ids must be one sequence"),
        (lambda: NGramModel(2, V).fit([0.5]), TypeError, "ids must hold whole"),
        (lambda: NGramModel(2, V).probs([0]), RuntimeError, r"call fit\(ids\) first"),
        (lambda: NGramModel(2, V).log_prob([0]), RuntimeError, "call fit"),
        (lambda: NGramModel(2, V).perplexity([0]), RuntimeError, "call fit"),
        (lambda: NGramModel(2, V).next_log_probs([0]), RuntimeError, "call fit"),
        (lambda: NGramModel(2, V).fit([0]).next_log_probs([]), ValueError, "is empty"),
        (lambda: NGramModel(2, V).prequential_log_prob([]), ValueError, "ids is empty"),
        (
            lambda: NGramModel(3, V).fit([0]).probs([0, 1, 2, 3]),
            ValueError,
            "context must hold at most order - 1 = 2 symbols, got 4: drop the oldest 2",
        ),
        (lambda: NGramModel(3, V).fit([0]).probs([9]), ValueError, "context must lie"),
        (lambda: NGramModel(3, V).fit([0]).log_prob([]), ValueError, "ids is empty"),
        (lambda: NGramModel(3, V).fit([0]).log_prob([7]), ValueError, "ids must lie"),
        (
            lambda: NGramModel(3, V).fit([0]).log_prob([0], context=[7]),
            ValueError,
            "context must lie",
        ),
        (lambda: NGramModel(3, V).begin_state(2), ValueError, "batch_size must be 1"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_failed_fit_loses_nothing():
    model = NGramModel(2, V).fit([0, 1, 2])
    before = model.probs([0])
    for bad in ([], [9], [0.5]):
        with pytest.raises((ValueError, TypeError)):
            model.fit(bad)
    np.testing.assert_array_equal(model.probs([0]), before)


def test_a_model_says_what_it_is():
    assert repr(NGramModel(3, 5)) == "NGramModel(3, 5, smoothing='kneser_ney')"


def test_a_context_as_long_as_the_order_is_too_long():
    model = NGramModel(2, 3).fit([0, 1, 2, 0])
    assert model.probs([1]).sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="at most order - 1 = 1 symbols, got 2"):
        model.probs([0, 1])


def test_a_prequential_score_forgets_what_was_fitted():
    text = [0, 1, 2, 0, 1, 1, 0]
    fresh = NGramModel(3, 3).prequential_log_prob(text)
    fitted = NGramModel(3, 3).fit([2, 2, 1, 0, 2]).prequential_log_prob(text)
    np.testing.assert_array_equal(fitted, fresh)
