"""What holds for any text, seed and rows."""

import math

from d2l_rnn.datasets import pad
from d2l_rnn.decoding import beam_search, generate
from d2l_rnn.metrics import bits_per_token, perplexity
from d2l_rnn.ngrams import NGramModel
from d2l_rnn.sampling import RandomBatches
from d2l_rnn.text import Vocab, characters

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

quick = settings(deadline=None, max_examples=40)
unicode_texts = st.text(min_size=1, max_size=60)


@given(unicode_texts, st.text(max_size=20))
@quick
def test_any_unicode_comes_back_and_what_is_unknown_becomes_unk(text, other):
    vocab = Vocab(text, unk=True, pad=True)
    assert vocab.decode(vocab.encode(text)) == text
    known = [c if c in text else "<unk>" for c in characters(other)]
    assert vocab.decode(vocab.encode(other)) == "".join(known)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 30), st.integers(0, 2**40))
@quick
def test_no_epoch_repeats_a_window(batch_size, num_steps, extra, seed):
    ids = np.arange((batch_size + 1) * num_steps + extra)
    batches = RandomBatches(ids, batch_size, num_steps, seed=seed)
    for _ in range(3):
        starts = [int(x) for X, _ in batches for x in X.asnumpy()[:, 0]]
        assert len(starts) == len(set(starts)) > 0


@given(unicode_texts, unicode_texts, st.integers(1, 4))
@quick
def test_perplexity_is_at_least_one_and_does_not_depend_on_the_cuts(seen, read, order):
    vocab = Vocab(seen + read)
    model = NGramModel(order, len(vocab)).fit(vocab.encode(seen))
    losses = -model.log_prob(vocab.encode(read))
    whole = perplexity(math.fsum(losses), len(losses))
    assert 1 <= whole < math.inf
    assert math.isclose(2 ** bits_per_token(math.fsum(losses), len(losses)), whole)
    for cut in range(1, len(read)):
        total = math.fsum([math.fsum(losses[:cut]), math.fsum(losses[cut:])])
        assert math.isclose(perplexity(total, len(losses)), whole)


@given(unicode_texts, st.integers(1, 3), st.integers(0, 2**40), st.floats(0, 5))
@quick
def test_a_text_is_a_function_of_its_seed(text, order, seed, temperature):
    vocab = Vocab(text)
    model = NGramModel(order, len(vocab)).fit(vocab.encode(text))
    options = {"temperature": temperature, "seed": seed}
    first = generate(model, vocab, text[:3], 8, **options)
    assert first == generate(model, vocab, text[:3], 8, **options)
    assert first.startswith(text[:3])
    assert len(first) == len(text[:3]) + 8


@given(unicode_texts, st.integers(1, 3), st.integers(1, 6))
@quick
def test_a_beam_of_width_one_is_greedy_after_any_text(text, order, length):
    vocab = Vocab(text)
    model = NGramModel(order, len(vocab)).fit(vocab.encode(text))
    (best,) = beam_search(model, vocab, text[0], length, beam_width=1)
    assert best.text == generate(model, vocab, text[0], length)


@given(
    st.lists(st.lists(st.integers(1, 99), max_size=6), max_size=5),
    st.sampled_from(["back", "front"]),
)
@quick
def test_padded_rows_come_back(rows, side):
    table = pad(rows, 6, side=side)
    assert [row[row != 0].tolist() for row in table] == rows
