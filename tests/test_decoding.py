"""Drawing text, from stub models whose probabilities are given."""

import itertools
from dataclasses import FrozenInstanceError

from d2l_rnn.decoding import Hypothesis, beam_search, choose, generate, log_prob
from d2l_rnn.models import rnn_model
from d2l_rnn.ngrams import NGramModel
from d2l_rnn.text import Vocab

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

quick = settings(deadline=None, max_examples=60)

PROBS = np.array([0.1, 0.4, 0.2, 0.3])
CHI_SQUARE = 16.27  # three degrees of freedom, exceeded once in a thousand

scores = st.lists(st.floats(-50, 0) | st.just(-np.inf), min_size=1, max_size=8).filter(
    lambda values: max(values) > -np.inf
)


class Fixed:
    """A model with the same probabilities whatever it read."""

    def __init__(self, probs=PROBS):
        self.log_probs, self.vocab_size = np.log(probs), len(probs)

    def next_log_probs(self, ids, state=None):
        return self.log_probs, state


class NextInTurn:
    """A model sure that symbol k + 1 follows k; its state is all it was fed."""

    vocab_size = 4

    def __init__(self):
        self.fed = []

    def next_log_probs(self, ids, state=()):
        self.fed.append((state, list(ids)))
        probs = np.full(4, 0.01)
        probs[(ids[-1] + 1) % 4] = 0.97
        return np.log(probs), (*state, *ids)


class Always:
    """A source of "random" numbers that returns one value."""

    def __init__(self, value):
        self.value = value

    def random(self):
        return self.value


VOCAB = Vocab("abcd")


def chi_square(drawn, probs):
    expected = len(drawn) * np.asarray(probs)
    return ((np.bincount(drawn, minlength=len(probs)) - expected) ** 2 / expected).sum()


def draws(log_probs, temperature, number=4000):
    rng = np.random.default_rng(0)
    return [choose(log_probs, temperature=temperature, rng=rng) for _ in range(number)]


@given(scores)
@quick
def test_temperature_zero_takes_the_likeliest(log_probs):
    chosen = choose(np.array(log_probs), temperature=0)
    assert type(chosen) is int
    assert chosen == log_probs.index(max(log_probs))


@pytest.mark.parametrize("temperature", [0.5, 1, 2.0, 7])
def test_draws_follow_the_probabilities_to_the_power_of_one_over_temperature(
    temperature,
):
    powers = PROBS ** (1 / temperature)
    drawn = draws(np.log(PROBS), temperature)
    assert chi_square(drawn, powers / powers.sum()) < CHI_SQUARE


def test_draws_at_a_high_temperature_are_uniform():
    assert chi_square(draws(np.log(PROBS), 1e6), np.full(4, 0.25)) < CHI_SQUARE


@pytest.mark.parametrize("temperature", [0.01, 1e-6, 1e-300, 5e-324])
def test_draws_at_a_low_temperature_are_greedy(temperature):
    assert set(draws(np.log(PROBS), temperature, number=200)) == {1}


@given(scores, st.floats(0.1, 10), st.floats(0, 1, exclude_max=True))
@quick
def test_a_draw_is_the_inverse_of_the_distribution_function(
    log_probs, temperature, number
):
    chosen = choose(np.array(log_probs), temperature=temperature, rng=Always(number))
    probs = np.exp(np.array(log_probs) / temperature - max(log_probs) / temperature)
    probs /= probs.sum()
    assert probs[chosen] > 0
    assert probs[:chosen].sum() <= number + 1e-9
    assert number - 1e-9 <= probs[: chosen + 1].sum()


@given(scores, st.floats(0.1, 10))
@quick
def test_what_is_impossible_is_never_drawn(log_probs, temperature):
    for number in (0.0, 1 - 2**-53):
        chosen = choose(
            np.array(log_probs), temperature=temperature, rng=Always(number)
        )
        assert log_probs[chosen] > -np.inf


@pytest.mark.parametrize("shift", [-1000.0, 1000.0])
def test_log_probs_need_not_be_normalized(shift):
    assert draws(np.log(PROBS) + shift, 1, 200) == draws(np.log(PROBS), 1, 200)


def test_greedy_text_repeats_the_likeliest_symbol():
    assert generate(Fixed(), VOCAB, "ca", 5) == "cabbbbb"


def test_the_prefix_is_fed_at_once_and_then_each_symbol_after_the_state():
    model = NextInTurn()
    assert generate(model, VOCAB, "db", 5) == "dbcdabc"
    assert model.fed[0] == ((), [3, 1])
    fed = [3, 1, 2, 3, 0, 1]
    for k, (state, ids) in enumerate(model.fed[1:5]):
        assert state == tuple(fed[: k + 2])
        assert ids == [fed[k + 2]]


def test_generated_symbols_follow_the_probabilities():
    text = generate(Fixed(), VOCAB, "a", 4000, temperature=1.0, seed=1)
    assert len(text) == 4001
    assert chi_square(VOCAB.encode(text[1:]), PROBS) < CHI_SQUARE


def test_the_same_seed_gives_the_same_text():
    def text(seed):
        return generate(Fixed(), VOCAB, "a", 40, temperature=1, seed=seed)

    assert text(3) == text(3)
    assert len({text(seed) for seed in range(10)}) == 10
    assert generate(Fixed(), VOCAB, "a", 40, temperature=1) == text(0)


def test_a_low_temperature_gives_the_greedy_text():
    model = rnn_model(4, 8, seed=2)
    greedy = generate(model, VOCAB, "abc", 30)
    assert generate(model, VOCAB, "abc", 30, temperature=1e-9, seed=5) == greedy
    assert generate(model, VOCAB, "abc", 30, temperature=3, seed=5) != greedy


def test_a_counting_model_goes_on_with_its_cycle():
    vocab = Vocab("abc")
    model = NGramModel(3, 3).fit(vocab.encode("abc" * 9))
    assert generate(model, vocab, "ab", 7) == "abcabcabc"


def test_a_list_gives_tokens_joined_by_spaces():
    vocab = Vocab(["the", "old", "mouse", "said"])
    assert vocab.tokens[1] == "old"
    assert generate(Fixed(), vocab, ["the", "mouse"], 2) == "the mouse old old"


def test_a_prefix_symbol_outside_the_vocabulary_becomes_unk_where_there_is_one():
    vocab = Vocab("bcd", unk=True)
    model = NextInTurn()
    assert generate(model, vocab, "dxx", 2) == "d<unk><unk>bc"
    assert model.fed[0] == ((), [3, 0, 0])


@pytest.mark.parametrize("prefix", ["abxaz", ["a", "x", "z"]])
def test_a_prefix_symbol_outside_the_vocabulary_is_an_error(prefix):
    model = NextInTurn()
    with pytest.raises(ValueError, match="not in the vocabulary: 'x', 'z'") as caught:
        generate(model, VOCAB, prefix, 3)
    assert "prefix" in str(caught.value)
    assert "unk=True" in str(caught.value)
    assert not model.fed


@pytest.mark.parametrize("prefix", ["", []])
def test_an_empty_prefix_is_an_error(prefix):
    with pytest.raises(ValueError, match="prefix is empty: give at least one symbol"):
        generate(Fixed(), VOCAB, prefix, 3)


def test_the_vocabulary_must_be_the_models():
    with pytest.raises(ValueError, match="vocab has 5 symbols, the model 4: use the"):
        generate(Fixed(), Vocab("abcde"), "a", 3)


@pytest.mark.parametrize(
    ("length", "error"), [(0, ValueError), (-5, ValueError), (2.5, TypeError)]
)
def test_length_must_be_a_positive_integer(length, error):
    with pytest.raises(error, match=f"length must be .* at least 1, got {length}"):
        generate(Fixed(), VOCAB, "a", length)


@pytest.mark.parametrize(
    ("temperature", "error"),
    [
        (-1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("1", TypeError),
        (None, TypeError),
    ],
)
def test_temperature_must_not_be_negative(temperature, error):
    message = "temperature must be a finite number at least 0, got"
    with pytest.raises(error, match=message) as caught:
        generate(Fixed(), VOCAB, "a", 3, temperature=temperature)
    assert repr(temperature) in str(caught.value)


def test_drawing_needs_a_source_of_random_numbers():
    with pytest.raises(TypeError, match="rng must offer random, got None"):
        choose(np.log(PROBS), temperature=0.5)


# --- top-k and nucleus -------------------------------------------------------------


def drawn(count=4000, **options):
    """Return the shares of the symbols in many draws from `PROBS`."""
    rng = np.random.default_rng(5)
    draws = [
        choose(np.log(PROBS), temperature=1, rng=rng, **options) for _ in range(count)
    ]
    return np.bincount(draws, minlength=4) / count


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_k": 1}, [1]),
        ({"top_k": 2}, [1, 3]),
        ({"top_k": 9}, [0, 1, 2, 3]),
        ({"top_p": 0.4}, [1]),
        ({"top_p": 0.41}, [1, 3]),
        ({"top_p": 0.9}, [1, 2, 3]),
        ({"top_p": 1}, [0, 1, 2, 3]),
        ({"top_k": 2, "top_p": 0.5}, [1]),  # 0.4 is 0.57 of what top_k keeps
        ({"top_k": 3, "top_p": 0.78}, [1, 2, 3]),
    ],
)
def test_only_the_likeliest_are_drawn_each_in_its_share(options, kept):
    expected = np.zeros(4)
    expected[kept] = PROBS[kept] / PROBS[kept].sum()
    found = drawn(**options)
    assert set(np.flatnonzero(found)) == set(kept)
    assert np.abs(found - expected).max() < 0.035  # over four standard errors


def test_the_nucleus_is_that_of_the_temperature():
    rng = np.random.default_rng(0)
    sharp = [
        choose(np.log(PROBS), temperature=0.1, top_p=0.9, rng=rng) for _ in range(50)
    ]
    assert set(sharp) == {1}  # 0.4^10 : 0.3^10 is 18 : 1


@pytest.mark.parametrize("number", [5, 100])  # short arrays are sorted otherwise
def test_of_equal_symbols_the_first_are_kept(number):
    rng = np.random.default_rng(0)
    equal = np.log(np.full(number, 1 / number))
    draws = {choose(equal, temperature=1, top_k=2, rng=rng) for _ in range(50)}
    assert draws == {0, 1}


def test_greedy_needs_no_filter():
    assert choose(np.log(PROBS), temperature=0, top_k=3, top_p=0.1) == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"top_k": 0}, ValueError, "top_k must be a whole number of at least 1, got 0"),
        ({"top_k": 2.5}, TypeError, "top_k must be a whole number"),
        ({"top_p": 0}, ValueError, "top_p must be .* above 0 and at most 1, got 0"),
        ({"top_p": 1.1}, ValueError, "top_p must be .* at most 1, got 1.1"),
        ({"top_p": float("nan")}, ValueError, "top_p must be a finite number"),
        ({"top_p": "all"}, TypeError, "top_p must be a finite number"),
    ],
)
def test_filters_out_of_range_are_named(options, error, message):
    with pytest.raises(error, match=message):
        generate(Fixed(), Vocab("abcd"), "a", 3, temperature=1, **options)


@quick
@given(scores, st.integers(1, 9), st.floats(0.01, 1), st.integers(0, 99))
def test_what_is_drawn_is_possible_and_among_the_likeliest(values, k, p, seed):
    log_probs = np.array(values)
    rng = np.random.default_rng(seed)
    index = choose(log_probs, temperature=1, top_k=k, top_p=p, rng=rng)
    weights = np.exp(log_probs - log_probs.max())
    assert weights[index] > 0
    assert (weights > weights[index]).sum() < k


def test_generate_hands_the_filters_on():
    model, vocab = Fixed(), Vocab("abcd")
    text = generate(model, vocab, "a", 200, temperature=1, top_k=2, seed=1)
    assert set(text[1:]) == {"b", "d"}
    text = generate(model, vocab, "a", 200, temperature=1, top_p=0.9, seed=1)
    assert set(text[1:]) == {"b", "c", "d"}


# --- beam search -------------------------------------------------------------------


class Chain:
    """A first-order model: the next symbol's probabilities depend on the last one."""

    def __init__(self, rows):
        self.rows = np.log(rows)
        self.vocab_size = len(rows)

    def next_log_probs(self, ids, state=None):
        return self.rows[ids[-1]], (state or ()) + tuple(ids)


# From a: b is likelier than c, but after b everything is equally likely.
TRAP = Chain(
    np.array([[1, 5, 4, 0.01], [3, 3, 3, 1], [0.01, 0.01, 9, 1], [1, 1, 1, 7]])
    / np.array([[10.01], [10], [10.02], [10]])
)
ABCD = Vocab("abcd")


def random_chain(size=4, seed=0):
    rows = np.random.default_rng(seed).dirichlet(np.ones(size), size=size)
    return Chain(rows)


def exhaustive(model, vocab, prefix, length):
    """Return the likeliest continuation, by trying them all."""
    texts = map("".join, itertools.product(vocab.tokens, repeat=length))
    return max(texts, key=lambda text: log_prob(model, vocab, prefix, text))


def test_a_beam_finds_what_greedy_misses():
    assert generate(TRAP, ABCD, "a", 2) == "aba"
    best = beam_search(TRAP, ABCD, "a", 2, beam_width=2)[0]
    assert best.text == "acc" == "a" + exhaustive(TRAP, ABCD, "a", 2)
    assert best.log_prob == pytest.approx(np.log(4 / 10.01 * 9 / 10.02))
    assert best.ids == (2, 2)


@pytest.mark.parametrize("seed", range(20))
def test_a_beam_of_width_one_is_greedy(seed):
    model = random_chain(seed=seed)
    (only,) = beam_search(model, ABCD, "ca", 12, beam_width=1)
    assert only.text == generate(model, ABCD, "ca", 12)
    assert only.log_prob == pytest.approx(log_prob(model, ABCD, "ca", only.text[2:]))


@pytest.mark.parametrize("seed", range(20))
def test_a_beam_as_wide_as_the_vocabulary_searches_two_steps_in_full(seed):
    model = random_chain(seed=seed)
    best = beam_search(model, ABCD, "b", 2, beam_width=4)[0]
    assert best.text == "b" + exhaustive(model, ABCD, "b", 2)


def test_a_beam_as_wide_as_all_texts_ranks_them_all():
    model = random_chain(3)
    vocab = Vocab("abc")
    found = beam_search(model, vocab, "a", 4, beam_width=81)
    assert len({h.text for h in found}) == 81
    totals = [h.log_prob for h in found]
    assert totals == sorted(totals, reverse=True)
    assert np.exp(totals).sum() == pytest.approx(1)


def test_an_end_symbol_ends_a_hypothesis_and_its_length_counts():
    # b ends a text with probability 0.3; otherwise a goes on, all but certainly.
    model = Chain(np.array([[0.7, 0.3], [0.5, 0.5]]))
    vocab = Vocab("ab")
    short = beam_search(model, vocab, "a", 3, beam_width=3, end="b")
    assert [h.text for h in short] == ["aaaa", "ab", "aab"]
    assert [h.score for h in short] == [h.log_prob for h in short]
    assert short[1].log_prob == pytest.approx(np.log(0.3))
    by_mean = beam_search(model, vocab, "a", 3, beam_width=3, end="b", length_power=1)
    assert [h.text for h in by_mean] == ["aaaa", "aab", "ab"]
    assert by_mean[1].score == pytest.approx(np.log(0.7 * 0.3) / 2)


def test_the_beam_stops_when_all_have_ended():
    class Counting(Fixed):
        calls = 0

        def next_log_probs(self, ids, state=None):
            self.calls += 1
            return super().next_log_probs(ids, state)

    model = Counting(np.array([0.02, 0.98]))
    (only,) = beam_search(model, Vocab("ab"), "a", 50, beam_width=1, end="b")
    assert (only.text, model.calls) == ("ab", 1)


def test_what_cannot_be_is_no_hypothesis():
    model = Fixed(np.array([1.0, 1.0]))
    model.log_probs = np.array([0.0, -np.inf])
    found = beam_search(model, Vocab("ab"), "a", 3, beam_width=4)
    assert [h.text for h in found] == ["aaaa"]


def test_a_beam_over_n_grams_and_a_network_and_words():
    text = "the cat sat on the mat and the cat ran"
    vocab = Vocab(text.split())
    ngrams = NGramModel(2, len(vocab)).fit(vocab.encode(text.split()))
    network = rnn_model(len(vocab), 3, cell="lstm", scale=2.0)
    for model in (ngrams, network):
        found = beam_search(model, vocab, ["the"], 3, beam_width=3)
        assert len(found) == 3
        for h in found:
            again = log_prob(model, vocab, ["the"], h.text.split()[1:])
            assert h.log_prob == pytest.approx(again, abs=1e-5)
    assert beam_search(ngrams, vocab, ["the"], 1, beam_width=1)[0].text == "the cat"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"beam_width": 0}, ValueError, "beam_width must be a whole number"),
        ({"beam_width": 1.0}, TypeError, "beam_width must be a whole number"),
        ({"length_power": -1}, ValueError, "length_power must be .* at least 0"),
        ({"end": "z"}, ValueError, "end: tokens hold symbols .* 'z'"),
        ({"end": "ab"}, ValueError, "end: tokens hold symbols .* 'ab'"),
        ({"length": 0}, ValueError, "length must be a whole number"),
        ({"prefix": ""}, ValueError, "prefix is empty"),
        ({"vocab": Vocab("ab")}, ValueError, "vocab has 2 symbols, the model 4"),
    ],
)
def test_what_a_beam_cannot_do_is_named(options, error, message):
    arguments = {"vocab": ABCD, "prefix": "a", "length": 2, "beam_width": 2} | options
    vocab, prefix, length = (arguments.pop(n) for n in ("vocab", "prefix", "length"))
    with pytest.raises(error, match=message):
        beam_search(TRAP, vocab, prefix, length, **arguments)


def test_log_prob_is_that_of_the_n_gram_model_itself():
    vocab = Vocab("abracadabra")
    model = NGramModel(3, len(vocab)).fit(vocab.encode("abracadabra"))
    expected = model.log_prob(vocab.encode("cadab"), context=vocab.encode("bra"))
    assert log_prob(model, vocab, "bra", "cadab") == pytest.approx(np.sum(expected))
    with pytest.raises(ValueError, match="continuation is empty"):
        log_prob(model, vocab, "bra", "")


def test_a_hypothesis_says_what_it_is():
    hypothesis = Hypothesis("ab", (1,), -1.0, -1.0)
    assert hypothesis.text == "ab"
    with pytest.raises(FrozenInstanceError):
        hypothesis.text = "ba"


def test_of_many_equal_extensions_the_first_are_kept():
    vocab = Vocab(map(chr, range(1000, 1100)))
    model = Fixed(np.full(100, 0.01))
    found = beam_search(model, vocab, vocab.tokens[0], 1, beam_width=5)
    assert [h.ids for h in found] == [(0,), (1,), (2,), (3,), (4,)]
