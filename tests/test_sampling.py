"""Minibatches of the positions 0, 1, 2, …, where every rule can be read off."""

from collections import Counter

from d2l_rnn.sampling import ConsecutiveBatches, RandomBatches

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

KINDS = (RandomBatches, ConsecutiveBatches)
both = pytest.mark.parametrize("kind", KINDS)
quick = settings(deadline=None, max_examples=40)

kinds = st.sampled_from(KINDS)
sizes = st.integers(1, 5)
lengths = st.integers(1, 7)
extras = st.integers(0, 60)
seeds = st.integers(0, 2**32)

# Pearson's statistic exceeds these for one fair sample in a thousand.
CHI_SQUARE = {5: 20.52, 9: 27.88}


def positions(kind, size, length, extra, seed=0):
    """Return a sampler of the text 0, 1, 2, … that is `extra` above the shortest."""
    num_tokens = (size + 1) * length + extra
    return kind(np.arange(num_tokens), size, length, seed=seed)


def epoch(batches):
    """Return one epoch as two arrays (num_batches, batch_size, num_steps)."""
    pairs = [(X.asnumpy(), Y.asnumpy()) for X, Y in batches]
    return tuple(np.array(arrays) for arrays in zip(*pairs, strict=True))


def offset_of(batches, X):
    """Return an epoch's offset: it and the windows' places differ by whole windows."""
    return int(X.min()) % batches.num_steps


def chi_square(counts, num_values):
    counts = [Counter(counts)[value] for value in range(num_values)]
    expected = sum(counts) / num_values
    return sum((count - expected) ** 2 / expected for count in counts)


@given(kinds, sizes, lengths, extras, seeds)
@quick
def test_labels_are_the_inputs_one_later_in_the_text(kind, size, length, extra, seed):
    batches = positions(kind, size, length, extra, seed)
    for X, Y in batches:
        assert X.shape == Y.shape == (size, length)
        assert X.dtype == Y.dtype == np.int32
        X, Y = X.asnumpy(), Y.asnumpy()
        assert (np.diff(X, axis=1) == 1).all()
        assert (Y == X + 1).all()
        assert X.min() >= 0
        assert Y.max() < len(batches.ids)


@given(kinds, sizes, lengths, extras, seeds)
@quick
def test_a_batch_holds_the_text_at_its_positions(kind, size, length, extra, seed):
    where = positions(kind, size, length, extra, seed)
    text = np.random.default_rng(seed).integers(50, size=len(where.ids))
    X, Y = epoch(kind(text.tolist(), size, length, seed=seed))
    at_X, at_Y = epoch(where)
    np.testing.assert_array_equal(X, text[at_X])
    np.testing.assert_array_equal(Y, text[at_Y])


@given(kinds, sizes, lengths, extras, seeds)
@quick
def test_an_epoch_never_reads_a_token_twice(kind, size, length, extra, seed):
    batches = positions(kind, size, length, extra, seed)
    for _ in range(2):
        X, _ = epoch(batches)
        assert len(np.unique(X)) == X.size


@given(sizes, lengths, extras, seeds)
@quick
def test_rows_of_consecutive_batches_go_on_where_they_ended(size, length, extra, seed):
    batches = positions(ConsecutiveBatches, size, length, extra, seed)
    for _ in range(2):
        X, _ = epoch(batches)
        assert (X[1:, :, 0] == X[:-1, :, -1] + 1).all()
        assert 0 <= X[0, 0, 0] < length


@given(sizes, lengths, extras, seeds)
@quick
def test_random_windows_lie_on_one_grid_and_fill_batches(size, length, extra, seed):
    batches = positions(RandomBatches, size, length, extra, seed)
    X, _ = epoch(batches)
    offset = offset_of(batches, X)
    assert (X[:, :, 0] % length == offset).all()
    whole_windows = (len(batches.ids) - 1 - offset) // length
    assert 0 <= whole_windows - X.size // length < size


@given(kinds, sizes, lengths, extras, seeds)
@quick
def test_coverage_is_what_was_read(kind, size, length, extra, seed):
    batches = positions(kind, size, length, extra, seed)
    predictable = len(batches.ids) - 1
    X, _ = epoch(batches)
    offset = offset_of(batches, X)
    assert batches.num_batches(offset) == len(X)
    assert batches.coverage(offset) == pytest.approx(X.size / predictable)
    assert predictable - X.size < (size + 1) * length


@given(st.integers(2, 5), lengths, extras, seeds)
@quick
def test_consecutive_rows_leave_out_only_their_ends(size, length, extra, seed):
    batches = positions(ConsecutiveBatches, size, length, extra, seed)
    X, _ = epoch(batches)
    starts, stops = X[0, :, 0], X[-1, :, -1] + 1
    (gap,) = set(starts[1:] - stops[:-1])
    assert 0 <= gap < length
    before, after = starts[0], len(batches.ids) - 1 - (stops[-1] + gap)
    assert 0 <= before + after < length + size


@both
@given(sizes, lengths, st.integers(1, 3))
@quick
def test_the_stated_bound_is_the_worst_case(kind, size, length, num_batches):
    bound = (size + 1) * length
    worst = 0
    for num_tokens in range(bound * num_batches, bound * (num_batches + 2)):
        batches = kind(np.arange(num_tokens), size, length)
        shares = [batches.coverage(offset) for offset in range(length)]
        worst = max(worst, round((1 - min(shares)) * (num_tokens - 1)))
    assert worst == bound - 2


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 30))
@settings(deadline=None, max_examples=20)
def test_over_epochs_only_the_texts_end_stays_unread(size, length, extra):
    batches = positions(ConsecutiveBatches, size, length, extra)
    read = np.unique(np.concatenate([epoch(batches)[0].ravel() for _ in range(40)]))
    np.testing.assert_array_equal(read, np.arange(len(read)))
    assert len(batches.ids) - 1 - len(read) < length + size


@both
def test_offsets_are_uniform_over_epochs(kind):
    batches = kind(np.arange(20), batch_size=1, num_steps=10, seed=3)
    offsets = [offset_of(batches, epoch(batches)[0]) for _ in range(1000)]
    assert chi_square(offsets, 10) < CHI_SQUARE[9]


@both
def test_first_offsets_are_uniform_over_seeds(kind):
    offsets = []
    for seed in range(1000):
        batches = kind(np.arange(20), batch_size=1, num_steps=10, seed=seed)
        offsets.append(offset_of(batches, epoch(batches)[0]))
    assert chi_square(offsets, 10) < CHI_SQUARE[9]


def test_every_random_window_comes_first_equally_often():
    batches = RandomBatches(np.arange(7), batch_size=2, num_steps=1, seed=5)
    epochs = np.array([epoch(batches)[0].ravel() for _ in range(600)])
    assert epochs.shape == (600, 6)
    assert chi_square(epochs[:, 0].tolist(), 6) < CHI_SQUARE[5]
    assert chi_square(epochs[:, 5].tolist(), 6) < CHI_SQUARE[5]


@both
def test_epochs_differ(kind):
    batches = kind(np.arange(200), batch_size=2, num_steps=10)
    assert len({epoch(batches)[0].tobytes() for _ in range(20)}) > 5


@given(kinds, sizes, lengths, extras, seeds)
@quick
def test_the_same_seed_repeats_all_epochs(kind, size, length, extra, seed):
    one = positions(kind, size, length, extra, seed)
    other = positions(kind, size, length, extra, seed)
    for _ in range(3):
        np.testing.assert_array_equal(epoch(one), epoch(other))


@both
def test_another_seed_gives_another_epoch(kind):
    epochs = {epoch(positions(kind, 2, 10, 99, seed))[0].tobytes() for seed in range(9)}
    assert len(epochs) > 3


@both
def test_an_epoch_left_early_does_not_change_the_next(kind):
    left, whole = positions(kind, 2, 5, 50), positions(kind, 2, 5, 50)
    next(iter(left))
    epoch(whole)
    np.testing.assert_array_equal(epoch(left), epoch(whole))


@both
def test_epochs_are_counted_and_can_be_returned_to(kind):
    batches, later = positions(kind, 2, 10, 99), positions(kind, 2, 10, 99)
    epochs = [epoch(batches) for _ in range(3)]
    assert batches.epoch == 3
    later.epoch = 2
    np.testing.assert_array_equal(epoch(later), epochs[2])


@both
def test_the_seed_is_zero_where_none_is_given(kind):
    given_none = kind(np.arange(129), 2, 10)
    np.testing.assert_array_equal(epoch(given_none), epoch(positions(kind, 2, 10, 99)))


def test_how_many_batches_there_are_is_for_each_kind_to_say():
    general = RandomBatches.__base__(range(20), 2, 5)
    with pytest.raises(NotImplementedError):
        general.coverage(0)


def test_only_consecutive_batches_carry_the_state():
    assert ConsecutiveBatches.carries_state
    assert not RandomBatches.carries_state


@both
@given(sizes, lengths)
@quick
def test_the_shortest_text_is_enough_at_every_offset(kind, size, length):
    batches = positions(kind, size, length, 0)
    assert all(batches.num_batches(offset) >= 1 for offset in range(length))
    assert len(epoch(batches)[0]) >= 1


@both
@given(sizes, lengths, st.data())
@quick
def test_a_shorter_text_is_refused(kind, size, length, data):
    needed = (size + 1) * length
    num_tokens = data.draw(st.integers(0, needed - 1))
    with pytest.raises(ValueError, match=r"longer text, or a smaller") as caught:
        kind(range(num_tokens), size, length)
    message = str(caught.value)
    assert f"ids hold {num_tokens} tokens, fewer than the {needed}" in message
    assert f"batch_size ({size}) or num_steps ({length})" in message


@both
@pytest.mark.parametrize("name", ["batch_size", "num_steps"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, ValueError),
        (-3, ValueError),
        (np.int64(0), ValueError),
        (2.0, TypeError),
        (True, TypeError),
        ("3", TypeError),
        (None, TypeError),
    ],
)
def test_sizes_must_be_positive_integers(kind, name, value, error):
    arguments = {"batch_size": 2, "num_steps": 3, name: value}
    with pytest.raises(error) as caught:
        kind(range(100), **arguments)
    wanted = f"{name} must be a whole number of at least 1, got {value!r}"
    assert str(caught.value) == wanted


@both
def test_sizes_may_be_numpy_integers(kind):
    X, _ = epoch(kind(range(20), np.int64(2), np.int32(3)))
    assert X.shape[1:] == (2, 3)


@both
@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (np.zeros((5, 20), int), ValueError, r"ids must be one sequence.*\(5, 20\)"),
        ("to be or not to be", ValueError, "ids must be one sequence"),
        (list("to be or not to be"), TypeError, r"vocab\.encode\(text\) first"),
        (np.arange(30.0), TypeError, "ids must hold whole numbers.*float64"),
    ],
)
def test_ids_must_be_one_sequence_of_indices(kind, ids, error, message):
    with pytest.raises(error, match=message):
        kind(ids, 2, 3)
