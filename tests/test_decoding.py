"""Drawing text, from stub models whose probabilities are given."""

from d2l_rnn.decoding import choose, generate
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
    with pytest.raises(ValueError, match="rng is needed to draw"):
        choose(np.log(PROBS), temperature=0.5)
