from d2l_rnn.classifiers import SequenceClassifier
from d2l_rnn.datasets import (
    LabelledBatches,
    MemoryBatches,
    load_digits,
    load_snippets,
    pad,
    windows,
)
from d2l_rnn.models import LastStep, rnn_model
from d2l_rnn.text import load_corpus
from d2l_rnn.training import evaluate, train

import numpy as np
import pytest
from mxnet import nd


def test_the_label_is_the_first_symbol_and_comes_back_nowhere():
    batches = MemoryBatches(20, num_symbols=5, batch_size=16, num_batches=3)
    seen = set()
    for X, Y in batches:
        X, Y = X.asnumpy(), Y.asnumpy()
        assert X.shape == (16, 21)
        assert (X[:, :1] == Y).all()
        assert (X[:, 0] < 5).all()
        assert ((X[:, 1:] >= 5) & (X[:, 1:] < batches.vocab_size)).all()
        seen |= set(X[:, 0].tolist())
    assert seen == set(range(5))


def read(batches):
    return np.concatenate([X.asnumpy() for X, _ in batches])


def test_epochs_differ_and_seeds_repeat():
    batches = MemoryBatches(4, seed=3)
    first, second = read(batches), read(batches)
    assert (first != second).any()
    assert (first == read(MemoryBatches(4, seed=3))).all()
    assert (first != read(MemoryBatches(4, seed=4))).any()


@pytest.mark.parametrize(
    "argument", ["gap", "num_symbols", "batch_size", "num_batches"]
)
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_sizes_are_checked(argument, value):
    with pytest.raises((TypeError, ValueError), match=f"{argument} .*{value}"):
        MemoryBatches(**{"gap": 5, argument: value})


def test_last_step_answers_once():
    inner = rnn_model(10, 4)
    model = LastStep(inner)
    X = nd.array(np.arange(6).reshape(2, 3), dtype="int32")
    everything, state = inner(X, inner.begin_state(2))
    answer, after = model(X, model.begin_state(2))
    assert answer.shape == (1, 2, 10)
    assert (answer[0] == everything[-1]).asnumpy().all()
    assert (after[0] == state[0]).asnumpy().all()
    assert model.params is inner.params


# --- what ships --------------------------------------------------------------------


def test_the_digits_are_images_and_labels():
    digits = load_digits()
    assert digits.x_train.shape == (8000, 28, 28)
    assert digits.x_test.shape == (2000, 28, 28)
    assert digits.x_train.dtype == np.uint8
    assert digits.y_train.dtype == np.int32
    assert digits.x_train.max() == 255
    for labels in (digits.y_train, digits.y_test):
        shares = np.bincount(labels, minlength=10) / len(labels)
        assert len(shares) == 10
        assert (np.abs(shares - 0.1) < 0.03).all()
    seen = {image.tobytes() for image in digits.x_train}
    assert not any(image.tobytes() in seen for image in digits.x_test)


def test_the_snippets_are_balanced_and_apart():
    reviews = load_snippets()
    assert (len(reviews.train_texts), len(reviews.test_texts)) == (8485, 2061)
    assert len(reviews.train_labels) == 8485
    assert set(reviews.train_labels.tolist()) == set(reviews.test_labels.tolist())
    for labels in (reviews.train_labels, reviews.test_labels):
        assert 0.49 < labels.mean() < 0.51
    assert all(text.strip() for text in reviews.train_texts + reviews.test_texts)


# --- windows and padding -----------------------------------------------------------


def test_the_fable_has_201_windows_of_three_of_which_two_contexts_are_ambiguous():
    fable = load_corpus("belling_the_cat", tokenize=str.split)
    X, Y = windows(fable.ids, 3)
    assert (X.shape, Y.shape, X.dtype) == ((201, 3), (201, 1), np.int32)
    assert (X[1:, :2] == X[:-1, 1:]).all()
    assert (Y[:-1, 0] == X[1:, 2]).all()
    following = {}
    for x, y in zip(X.tolist(), Y[:, 0].tolist(), strict=True):
        following.setdefault(tuple(x), set()).add(y)
    assert sum(len(ys) > 1 for ys in following.values()) == 2


def test_windows_are_a_copy():
    ids = np.arange(6, dtype=np.int32)
    X, _ = windows(ids, 2)
    X[:] = 9
    assert ids.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("side", "cut", "rows"),
    [
        ("back", "back", [[1, 2, 9], [3, 4, 5], [9, 9, 9]]),
        ("back", "front", [[1, 2, 9], [4, 5, 6], [9, 9, 9]]),
        ("front", "back", [[9, 1, 2], [3, 4, 5], [9, 9, 9]]),
        ("front", "front", [[9, 1, 2], [4, 5, 6], [9, 9, 9]]),
    ],
)
def test_rows_are_filled_and_cut_at_the_end_asked_for(side, cut, rows):
    sequences = [[1, 2], np.array([3, 4, 5, 6]), []]
    table = pad(sequences, 3, side=side, cut=cut, value=9)
    assert (table.tolist(), table.dtype) == (rows, np.int32)


def test_no_sequences_give_no_rows():
    assert pad([], 4).shape == (0, 4)


# --- labelled batches --------------------------------------------------------------


def test_an_epoch_holds_every_row_once_with_its_label():
    X, Y = np.arange(22).reshape(11, 2), np.arange(11)
    batches = LabelledBatches(X, Y, 4, seed=3)
    orders = []
    for _ in range(2):
        pairs = [(x.asnumpy(), y.asnumpy()) for x, y in batches]
        assert [len(x) for x, _ in pairs] == [4, 4, 3]
        rows = np.concatenate([y[:, 0] for _, y in pairs])
        assert (np.concatenate([x for x, _ in pairs]) == X[rows]).all()
        assert sorted(rows.tolist()) == list(range(11))
        orders.append(rows.tolist())
    assert orders[0] != orders[1]
    again = [y.asnumpy()[:, 0] for _, y in LabelledBatches(X, Y, 4, seed=3)]
    assert np.concatenate(again).tolist() == orders[0]


def test_without_shuffling_rows_keep_their_order():
    batches = LabelledBatches(np.zeros((5, 1, 2)), [4, 3, 2, 1, 0], 2, shuffle=False)
    for _ in range(2):
        assert [y.asnumpy()[:, 0].tolist() for _, y in batches] == [[4, 3], [2, 1], [0]]


@pytest.mark.parametrize(
    ("X", "dtype"),
    [
        (np.zeros((2, 3), dtype=np.int64), np.int32),
        (np.zeros((2, 3, 4)), np.float32),
        (np.zeros((2, 3, 4), dtype=np.uint8), np.float32),
    ],
)
def test_indices_stay_whole_and_vectors_become_floats(X, dtype):
    ((x, y),) = LabelledBatches(X, [0, 1], 2)
    assert (x.dtype, y.dtype, y.shape) == (dtype, np.int32, (2, 1))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: windows([1, 2, 3], 3), ValueError, "ids must hold more than size = 3"),
        (lambda: windows([1, 2, 3], 0), ValueError, "size must be a whole number"),
        (lambda: windows([0.5, 1.5], 1), TypeError, "ids must hold whole numbers"),
        (lambda: pad([[1]], 0), ValueError, "length must be a whole number"),
        (lambda: pad([[1]], 2, side="left"), ValueError, "side must be one of"),
        (lambda: pad([[1]], 2, cut="end"), ValueError, "cut must be one of"),
        (lambda: pad([["a"]], 2), TypeError, "sequences must hold whole numbers"),
        (lambda: LabelledBatches([[1]], [0, 1], 2), ValueError, "as many labels Y"),
        (lambda: LabelledBatches([], [], 2), ValueError, "X is empty"),
        (lambda: LabelledBatches([1, 2], [0, 1], 2), ValueError, r"X must be of shape"),
        (lambda: LabelledBatches([[1]], [-1], 2), ValueError, "labels from 0 on, got"),
        (lambda: LabelledBatches([[1]], [0.5], 2), TypeError, "Y must hold whole num"),
        (lambda: LabelledBatches([[1]], [0], 0), ValueError, "batch_size must be"),
    ],
)
def test_what_makes_no_batches_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_labelled_batches_train_and_hold_out():
    rng = np.random.default_rng(0)
    X = rng.integers(1, 5, size=(64, 6))
    Y = X[:, 0] > 2
    held_out = LabelledBatches(X[48:], Y[48:].astype(int), 16, shuffle=False)
    model = SequenceClassifier(8, 2, vocab_size=5, embed_size=4)
    batches = LabelledBatches(X[:48], Y[:48].astype(int), 16)
    options = {"epochs": 30, "lr": 0.02, "optimizer": "adam", "valid": held_out}
    history = train(model, batches, **options)
    assert len(history.valid_perplexity) == 30
    assert history.valid_perplexity[-1] < 1.05 < 1.7 < history.valid_perplexity[0]
    loss, count = evaluate(model, held_out)
    assert count == 16
    assert np.exp(loss / count) == pytest.approx(history.valid_perplexity[-1])
