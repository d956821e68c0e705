"""Every public name answers bad input with a message that teaches.

A row is a call, the exception that must come of it, and words that its message must
hold. `refuses` makes rows of a function, good arguments, and wrong values for some of
them; the name of the argument is then among the words.
"""

import importlib
import inspect
import pkgutil
import traceback

import d2l_rnn
from d2l_rnn import (
    archives,
    cells,
    checkpoint,
    classifiers,
    clipping,
    datasets,
    decoding,
    diagrams,
    distributed,
    export,
    metrics,
    mixtures,
    models,
    ngrams,
    plotting,
    regularized,
    replay,
    sampling,
    source,
    text,
    timing,
    training,
)

import numpy as np
import pytest
from matplotlib import pyplot as plt
from mxnet import gluon, nd

#: Public names without a row, and why.
NO_ROW = {
    "cells.CELLS": "a constant",
    "cells.Cell": "a record of this package's own",
    "datasets.Digits": "a record that load_digits and load_mnist make",
    "datasets.Reviews": "a record that load_snippets and load_imdb make",
    "decoding.Hypothesis": "a record that beam_search makes",
    "text.Corpus": "a record that load_corpus makes",
    "distributed.Group.reduce": "runs in a worker of a job only",
    "distributed.Group.share": "hands its argument to RowShare",
    "distributed.WorkerLost": "an exception",
    "replay.Replay.__call__": "passes on what the models have checked",
    "training.History": "a record that train makes",
    "training.TrainingDiverged": "an exception",
    "models.LanguageModel.begin_state": "for subclasses to define",
}
#: Arguments without a row, and why. Neither need those that are on or off have one.
NO_WRONG = {
    "classifiers.SequenceClassifier.__call__ state": "is not read",
    "diagrams.Diagram.arrow points": "has rows of its own",
    "models.LanguageModel.__call__ X": "for subclasses to read",
    "models.LanguageModel.__call__ state": "for subclasses to read",
}

ROWS, TRIED = [], set()
V, T = ValueError, TypeError
NAN, INF, BIG = float("nan"), float("inf"), 10**5000


def name_of(thing):
    return f"{thing.__module__}.{thing.__qualname__}".removeprefix("d2l_rnn.")


def row(thing, call, error, *words):
    """Note that a call, which tries this public thing, must fail with these words."""
    name = name_of(thing)
    ROWS.append(pytest.param(name, call, error, words, id=f"{name}-{len(ROWS)}"))


def refuses(thing, good, /, **wrong):
    """Note that a call with good arguments but one fails, for each of the wrong ones.

    ``wrong`` gives each argument's tables: wrong value, exception, words.
    """
    for argument, table in wrong.items():
        for value, error, *words in table:
            TRIED.add(f"{name_of(thing)} {argument}")
            arguments = {**good, argument: value}
            call = lambda arguments=arguments: thing(**arguments)  # noqa: E731
            row(thing, call, error, argument, *words)


def table(words, *wrong):
    """Return rows of wrong values and exceptions, whose message names the value."""
    return [(value, error, f"{words}, got {value!r}") for value, error in wrong]


WHOLE = (2.5, T), ("3", T), ([3], T)
SIZE = table(" of at least 1", (0, V), (-1, V), (True, T), (None, T), *WHOLE)
SOME_SIZE = [row for row in SIZE if row[0] is not None]  # where None stands for none
COUNT = table("a whole number of at least 0", (-1, V), (False, T), (None, T), *WHOLE)
NUMBER = [(BIG, V, "finite"), *table("", (NAN, V), (INF, V), ("1", T), (True, T))]
ABOVE_0 = [(bad, V, "a finite number above 0", f"got {bad}") for bad in (0, -1.5)]
ABOVE_0 += NUMBER
FROM_0 = [*NUMBER, *table(" a finite number at least 0", (-1, V))]
SHARE = [*FROM_0, (1, V, "below 1, got 1"), (None, T, "got None")]
TEXT = table("must be a string", (None, T), (5, T), (NAN, T), (b"a", T), (["a"], T))
CHOICE = [
    (bad, V, "must be one of", f"got {bad!r}") for bad in ("ltsm", "花", None, ["gru"])
]
FUNCTION = [(bad, T, "must be a function", f"got {bad!r}") for bad in ("f", None, 5)]
LIST = "one sequence of indices"
INDICES = [
    ("abc", V, LIST, "vocab.encode"),
    *((bad, V, LIST) for bad in (None, 5, [[0, 1]], [[0], [0, 1]], {1: 2})),
    *((bad, T, "whole numbers") for bad in ([0.5, 1], [NAN], ["a", "b"], [2**70])),
    ([0, 2**40], V, "from 0 to 1099511627776"),
]
IN_3 = [*INDICES, ([0, 3], V, "0..2", "0 to 3"), ([0, -1], V, "0..2", "-1 to 0")]
PATH = [
    *table("must be a string or a Path", (None, T), (5, T), (b"a", T), (["a"], T)),
    ("花" * 90, V, "give a path"),
    ("a\0b", V, "give a path"),
    ("~nobody0/a", V, "'~nobody0/a'", "give a path"),
]
FILE = [*PATH, ("none", FileNotFoundError, "'none'"), ("garbage", V, "garbage'")]
NEW_FILE = [
    *PATH,
    (".", V, "is a folder"),
    ("none/a.js", FileNotFoundError, "'none/a.js' lies in a folder that is not there"),
]


def zeros(*shape, dtype="float32"):
    return nd.zeros(shape, dtype=dtype)


ABC, IDS, ROW = text.Vocab("abc"), [0, 1, 2] * 4, zeros(2, 3, dtype="int32")
RNG = np.random.default_rng(0)
NET = models.rnn_model(3, 2)
GLUON = models.GluonModel(gluon.rnn.GRU(2), 3, embed_size=2)
LAST = models.LastStep(NET)
READER = classifiers.SequenceClassifier(2, 3, vocab_size=5, embed_size=2)
VECTORS = classifiers.SequenceClassifier(2, 3, num_inputs=2)
COUNTED = ngrams.NGramModel(2, 3).fit(IDS)
BATCHES = sampling.RandomBatches(IDS, 1, 2)

# --- text

refuses(text.characters, {}, text=TEXT)
refuses(text.words, {}, text=TEXT)
STRINGS = [
    *table("must be a string or a list of strings", (5, T), (None, T), (NAN, T)),
    (["a", None], T, "must be strings, got None"),
    ([["a"]], T, "must be strings, got ['a']"),
    ([0, 1], T, "must be strings, got 0"),
]
refuses(text.Vocab, {"tokens": "a"}, tokens=STRINGS, max_size=SOME_SIZE)
refuses(text.Vocab, {}, tokens=[("", V, "is empty", "at least one symbol")])
refuses(ABC.encode, {}, tokens=[*STRINGS, ("aé花", V, "'é'", "'花'", "unk=True")])
refuses(ABC.decode, {}, indices=INDICES)
refuses(ABC.decode, {}, indices=[([3], V, "0..2", "got 3"), ([-1], V, "got -1")])
refuses(ABC.decode, {"indices": [1]}, sep=TEXT)
refuses(
    text.load_corpus,
    {"source": "alice29"},
    source=[
        *PATH[:4],
        *PATH[5:],
        ("花" * 90, V, "the name of a file"),
        ("To be, or not to be.\n" * 90, V, "got a text itself", "Vocab(text)"),
        ("", V, "folder"),
        ("alice", V, "alice29, asyoulik", "check the name"),
        ("a/b.txt", FileNotFoundError, "'a/b.txt'", "check the name or the path"),
        ("garbage", V, "is not UTF-8 text", "save it as UTF-8"),
    ],
    first=SOME_SIZE,
    tokenize=[*FUNCTION, (len, T, "what tokenize returns must be")],
    clean=[FUNCTION[0], FUNCTION[2], (len, T, "what clean returns must be a string")],
)

# --- sampling and datasets

for kind in (sampling.RandomBatches, sampling.ConsecutiveBatches):
    good = {"ids": IDS, "batch_size": 1, "num_steps": 2}
    refuses(kind, good, ids=[*INDICES, ([], V, "hold 0 tokens", "longer text")])
    refuses(kind, good, batch_size=[*SIZE, (10**9, V, "ids hold 12 tokens")])
    refuses(kind, good, num_steps=SIZE, seed=COUNT)
OFFSET = table("a whole number in 0..1", (2, V), (-1, V), *WHOLE)
refuses(BATCHES.num_batches, {}, offset=OFFSET)
refuses(BATCHES.coverage, {}, offset=OFFSET)
refuses(datasets.windows, {"ids": IDS, "size": 2}, ids=INDICES, size=SIZE)
refuses(datasets.windows, {"size": 2}, ids=[([], V, "more than size = 2", "got 0")])
refuses(
    datasets.pad,
    {"sequences": [[1]], "length": 2},
    sequences=[
        *table("a list of sequences of indices", (5, T), ("abc", T), (None, T)),
        *(([bad], *error) for bad, *error in INDICES),
    ],
    length=SIZE,
    side=CHOICE,
    cut=CHOICE,
    value=table("in 0..2147483647", (-1, V), (2**40, V), (None, T), *WHOLE),
)
NUMBERS = "an array of finite numbers"
refuses(
    datasets.LabelledBatches,
    {"X": [[1]], "Y": [0], "batch_size": 1},
    X=[
        *table(NUMBERS, (None, V), ("ab", V), ([[1], [1, 2]], V), ([[NAN]], V)),
        ([], V, "is empty"),
        ([1, 2], V, "must be of shape (n, num_steps)", "(2,)"),
        ([[2**40]], V, "must be symbol indices below 2**31"),
    ],
    Y=[
        *table(NUMBERS, (None, V), (["pos"], V), ([NAN], V)),
        ([0, 1], V, "as many labels Y", "2 labels"),
        ([], V, "is empty"),
        ([-1], V, "must hold labels from 0 on, got -1"),
        ([0.5], T, "whole numbers"),
    ],
    batch_size=SIZE,
    seed=COUNT,
)
sizes = dict.fromkeys(("gap", "num_symbols", "batch_size", "num_batches"), SIZE)
refuses(datasets.MemoryBatches, {"gap": 2}, **sizes, seed=COUNT)

# --- metrics, timing and clipping

ARRAY = [([[0.0]], T, "must be an NDArray"), (None, T, "must be an NDArray")]
NDARRAY = [*ARRAY, (np.zeros((2, 3)), T, "must be an NDArray: nd.array")]
LABELS = [(nd.array([0, bad]), V, "0..2", str(bad)) for bad in (3, -1, 0.5, NAN)]
LABELS += [(zeros(3), V, "must have the shape (2,)", "got (3,)")]
good = {"logits": zeros(2, 3), "labels": zeros(2)}
refuses(metrics.cross_entropy, good, logits=NDARRAY, labels=NDARRAY + LABELS)
refuses(metrics.accuracy, good, logits=ARRAY, labels=ARRAY + LABELS)
nan = nd.array([[NAN, 1, 1]] * 2), V, "hold nan"
refuses(metrics.accuracy, good, logits=[nan, (np.full((2, 3), "a"), T, "hold numbers")])
empty = {"logits": np.zeros((0, 2)), "labels": np.zeros(0)}
row(metrics.accuracy, lambda: metrics.accuracy(**empty), V, "at least one", "(0,)")
LOSS = [
    *table("a sum of −log p, at least 0", (NAN, V), (-3.0, V), (-INF, V)),
    *table("a number", ("three", T), ("3", T), (None, T), ([1], T)),
    (zeros(2), T, "a number, got a NDArray of shape (2,)"),
]
for measure in (metrics.perplexity, metrics.bits_per_token):
    good = {"total_loss": 3.0, "num_tokens": 3}
    refuses(measure, good, total_loss=LOSS, num_tokens=SIZE)
refuses(
    metrics.repetition_rate,
    {"tokens": "abcd"},
    tokens=[
        *table("a text or a list of tokens", (5, T), (None, T)),
        ("ab", V, "at least n = 4, got 2"),
        ([[1]] * 9, T, "must be strings or numbers"),
        (np.zeros((9, 9)), V, LIST),
    ],
    n=SIZE,
)
good = {"actions": {"a": abs}, "repeats": 1}
actions = [
    *table("a dict of functions by name", ([abs], T), (abs, T), (None, T)),
    *[({"a": bad}, T, "actions['a'] must be a function", "lambda") for bad in (5, "")],
]
refuses(timing.least_seconds, good, actions=actions, repeats=SIZE)
GRADS = [
    ([], V, "is empty", "at least one"),
    *table("must be a list of NDArrays", (5, T), (None, T), ("ab", T)),
    (zeros(2), T, "got a NDArray of shape (2,)"),
    ((g for g in [zeros(2)]), T, "a list", "generator"),
    ([np.ones(2)], T, "NDArrays only", "nd.array"),
    ([zeros(2), None], T, "NDArrays only, got None"),
]
refuses(clipping.global_norm, {}, grads=GRADS)
good = {"grads": [zeros(2)], "theta": 1}
refuses(clipping.clip_gradients, good, grads=GRADS, theta=ABOVE_0)

# --- cells

for name, cell in cells.CELLS.items():
    fit, h = "do not fit", zeros(2, 8)
    params = cells.init_cell(cell, 3, 8, rng=RNG, scale=0.1)
    state = (h,) * cell.num_states
    refuses(
        getattr(cells, f"{name}_step"),
        {"XW": zeros(2, 8 * cell.num_gates), "state": state, "params": params},
        XW=[
            *((bad, T, "must be an NDArray (batch_size") for bad in (None, [[0.0]])),
            (np.zeros((2, 8)), T, "must be an NDArray"),
            *((zeros(*s), V, fit, str(s)) for s in ((2, 7), (2, 1), (1, 8), (8,))),
            (zeros(2, 3, 4), V, fit, "(2, 3, 4)"),
        ],
        state=[
            *table("a list of NDArrays", (None, T), (5, T)),
            ((), V, "is empty"),
            ((None,) * cell.num_states, T, "NDArrays only"),
            ((h,) * 5, V, fit),
            ((zeros(1, 8),) * cell.num_states, V, fit, "(1, 8)"),
            ((zeros(2, 3),) * cell.num_states, V, fit, "(2, 3)"),
        ],
        params=[
            *table("a dict of NDArrays by name", (None, T), (["W_hh"], T)),
            ({}, V, fit, "params of shapes {}", "init_cell"),
            (dict.fromkeys(params), V, fit, "None"),
            (dict.fromkeys(params, zeros(2, 3)), V, fit, "(2, 3)"),
        ],
    )
DRAW = {"rng": RNG, "scale": 0.1}
RNGS = [(bad, T, "must offer", repr(bad), "default_rng") for bad in (5, None, "a")]
draw = {"scale": [*FROM_0, (None, T, "finite")], "rng": RNGS}
good = {"num_rows": 2, "num_columns": 2} | DRAW
refuses(cells.draw_weights, good, num_rows=SIZE, num_columns=SIZE, **draw)
good = {"cell": cells.CELLS["rnn"], "num_inputs": 2, "num_hiddens": 2} | DRAW
refuses(cells.init_cell, good, num_inputs=SIZE, num_hiddens=SIZE, **draw)
bad = [(bad, T, "one of CELLS", f"got {bad!r}") for bad in ("lstm", None)]
refuses(cells.init_cell, good, cell=bad)
params = cells.init_cell(cells.CELLS["lstm"], 3, 2, **DRAW)
good = {"step": cells.lstm_step, "XW": zeros(2, 1, 8), "params": params}
refuses(
    cells.unroll,
    good | {"state": (zeros(1, 2),) * 2},
    step=FUNCTION,
    XW=[
        *((bad, V, "(num_steps, batch_size") for bad in (None, zeros(1, 8))),
        (np.zeros((2, 1, 8)), V, "must be an NDArray (num_steps, batch_size"),
        (zeros(2, 1, 8)[:0], V, "with at least one step"),
        (zeros(2, 1, 7), V, "XW of shape (1, 7)", "do not fit"),
    ],
    state=[(5, T, "must be a list of NDArrays, got 5"), ((), V, "is empty")],
    params=[({}, V, "do not fit")],
)

# --- models

LAYERS = [(bad, T, "must be a gluon.rnn layer") for bad in ("gru", None, gluon.rnn.GRU)]
LAYERS += [
    (gluon.rnn.GRU(2, layout="NTC"), V, "must have the layout 'TNC', got 'NTC'"),
    (gluon.rnn.GRU(2, dropout=0.5), V, "has dropout=0.5", "leave it out"),
]
OPTIONS = {"dropout": SHARE, "seed": COUNT}
refuses(
    models.rnn_model,
    {"vocab_size": 3, "num_hiddens": 2},
    vocab_size=SIZE,
    num_hiddens=SIZE,
    num_layers=SIZE,
    cell=CHOICE,
    scale=FROM_0,
    **OPTIONS,
)
good = {"layer": gluon.rnn.GRU(2), "vocab_size": 3}
more = {"embed_size": SOME_SIZE, "vocab_size": SIZE}
refuses(models.GluonModel, good, layer=LAYERS, **more, **OPTIONS)
good = {"num_hiddens": 2, "num_classes": 3}
sizes = dict.fromkeys(("num_hiddens", "num_classes", "num_layers"), SIZE)
reader = classifiers.SequenceClassifier
refuses(reader, good | {"num_inputs": 2}, **sizes, cell=CHOICE, read=CHOICE, **OPTIONS)
refuses(reader, good | {"vocab_size": 5, "embed_size": 2}, embed_size=SIZE)
refuses(reader, good | {"embed_size": 2}, vocab_size=SOME_SIZE)
refuses(reader, good, num_inputs=[*SOME_SIZE, (None, V, "give either vocab_size")])
refuses(reader, good | {"num_inputs": 2}, num_classes=[(1, V, "at least 2, got 1")])
good = {"vocab_size": 3, "num_hiddens": 2, "embed_size": 2}
sizes = dict.fromkeys((*good, "num_layers"), SIZE)
shares = {"input_dropout": SHARE, "recurrent_dropout": SHARE}
refuses(regularized.RegularizedModel, good, cell=CHOICE, **sizes, **shares, **OPTIONS)
PARAMS = table("a dict of NDArrays by name", ([], T), (None, T))
refuses(models.LanguageModel, {"params": {}}, vocab_size=SIZE)
refuses(models.LanguageModel, {"vocab_size": 2}, params=PARAMS)
bare = models.LanguageModel({}, 2)
row(bare.__call__, lambda: bare(ROW, ()), NotImplementedError)
refuses(
    models.ScratchModel,
    {"forward": len, "params": {"W": zeros(1)}, "vocab_size": 2, "num_hiddens": 2},
    forward=FUNCTION,
    params=[*PARAMS, ({}, V, "is empty"), ({"W": np.zeros(2)}, T, "NDArrays only")],
    vocab_size=SIZE,
    num_hiddens=SIZE,
    num_states=COUNT,
)
NO_MODEL = (None, 5, "rnn", models.LastStep)
MODEL = [(bad, T, "must be a LanguageModel") for bad in NO_MODEL]
refuses(models.LastStep, {}, model=MODEL)

STATE = "must hold NDArrays of shapes"
STATES = [(bad, T, STATE, "model.begin_state(2)") for bad in (None, 3, zeros(2, 2))]
for bad in ((), (None,), (zeros(5, 2),), (zeros(1, 5, 2),), (zeros(2, 2),) * 3):
    STATES.append((bad, V, STATE, "model.begin_state(2)"))
FORM = "must be an NDArray (batch_size, num_steps"
INPUTS = [(bad, T, FORM) for bad in (None, "ab", [[0, 1]], np.zeros((2, 3), dtype=int))]
INPUTS += [(zeros(3), V, FORM), (zeros(2, 3, 4), V, FORM, "got a NDArray of shape")]
OUTSIDE = [nd.array([[0, bad]] * 2) for bad in (9, -1, 0.5, NAN)]
OUTSIDE = [(bad, V, "must hold whole numbers in 0..") for bad in OUTSIDE]
deep = models.rnn_model(3, 2, cell="lstm", num_layers=2)
thin = regularized.RegularizedModel(3, 2, embed_size=2)
for model in (NET, deep, LAST, GLUON, thin, models.GluonModel(gluon.rnn.LSTM(2), 3)):
    good = {"X": ROW, "state": model.begin_state(2)}
    refuses(model.__call__, good, X=INPUTS + OUTSIDE, state=STATES)
    refuses(model.begin_state, {}, batch_size=SIZE)
refuses(READER.begin_state, {}, batch_size=SIZE)
for call in (READER.__call__, READER.outputs, READER.lengths):
    refuses(call, {}, X=INPUTS + OUTSIDE)
for call in (VECTORS.__call__, VECTORS.outputs, VECTORS.lengths):
    bad = [(ROW, V, FORM + ", 2)"), (zeros(2, 3, 5), V, FORM + ", 2)", "(2, 3, 5)")]
    refuses(call, {}, X=[*INPUTS, *bad])
W = NET.get_weights()
FIT = "must have shape (3,), got (4,)"
refuses(
    NET.set_weights,
    {},
    weights=[
        *table("a dict of arrays by name", (None, T), ([1], T)),
        ({}, V, "must have the names ['W_hh'"),
        ({5: 1}, V, "got ['5']"),
        (W | {"b_q": zeros(4)}, V, "['b_q'] must have shape (3,), got (4,)"),
        (W | {"b_q": [0, 0, 0]}, T, "['b_q'] must be an NDArray"),
        (W | {"b_q": None}, T, "['b_q'] must be an NDArray"),
    ],
)
SOME_IN_3 = [*IN_3, ([], V, "is empty")]
bad = [(state, T, STATE) for state in (5, "a")] + [((), V, STATE)]
refuses(NET.next_log_probs, {"ids": [0]}, ids=SOME_IN_3, state=bad)

# --- n-grams

good = {"order": 2, "vocab_size": 3}
refuses(ngrams.NGramModel, good, order=SIZE, vocab_size=SIZE, smoothing=CHOICE)
ONE = [entry for entry in ABOVE_0 if entry[0] not in (INF, BIG)]
refuses(ngrams.NGramModel, good, discount=[*ONE, (1, V, "below 1")], alpha=ABOVE_0)
for name in ("fit", "log_prob", "perplexity", "bits_per_token", "prequential_log_prob"):
    fresh = ngrams.NGramModel(2, 3).fit(IDS)
    refuses(getattr(fresh, name), {}, ids=SOME_IN_3)
for name in ("log_prob", "perplexity", "bits_per_token"):
    refuses(getattr(COUNTED, name), {"ids": IDS}, context=IN_3)
refuses(COUNTED.probs, {}, context=[*IN_3, ([0, 1], V, "order - 1 = 1", "oldest 1")])
unfit = ngrams.NGramModel(2, 3)
row(unfit.probs, lambda: unfit.probs([0]), RuntimeError, "call fit(ids) first")
batch = [*SIZE, (2, V, "must be 1", "got 2")]
refuses(COUNTED.begin_state, {}, batch_size=batch)
context = [(bad, V, "must be (context,)") for bad in (5, (), "a", ((0,), 1))]
context += [(((9,),), V, "0..2"), (((0.5,),), T, "whole numbers")]
refuses(COUNTED.next_log_probs, {"ids": [0]}, ids=SOME_IN_3, state=context)

# --- decoding

LOGS = [(bad, V, "one logarithm") for bad in ([], "ab", None, np.zeros((2, 2)))]
LOGS += [([bad, 0.0], V, "a maximum of", str(bad)) for bad in (NAN, INF)]
LOGS += [([-INF, -INF], V, "a maximum of -inf")]
CUTS = {"top_k": SOME_SIZE, "top_p": [*ONE, (1.1, V, "at most 1, got 1.1")]}
HEAT = [*FROM_0, (None, T, "a finite number at least 0, got None")]
good = {"log_probs": np.log([0.5, 0.25, 0.25]), "temperature": 1, "rng": RNG}
refuses(decoding.choose, good, log_probs=LOGS, temperature=HEAT, rng=RNGS, **CUTS)
refuses(decoding.choose, good | {"temperature": 0}, log_probs=LOGS)
OFFERS = [(bad, T, "must offer") for bad in NO_MODEL]
VOCABS = [(bad, T, "must offer encode and decode") for bad in (None, 5, {"a": 0})]
VOCABS += [(text.Vocab("ab"), V, "has 2 symbols, the model 3")]
START = table("a string or a list of tokens", (None, T), (5, T), (NAN, T), (b"a", T))
START += [("", V, "is empty"), ("花", V, "'花'"), ([0, 1], T, "must be strings, got 0")]
good = {"model": NET, "vocab": ABC, "prefix": "a"}
same = {"model": OFFERS, "vocab": VOCABS, "prefix": START}
long = good | {"length": 2}
warm = long | {"temperature": 1}
refuses(decoding.generate, long, **same, length=SIZE, temperature=HEAT, seed=COUNT)
refuses(decoding.generate, warm, **CUTS)
wide = {"beam_width": SIZE, "length_power": [*FROM_0, (None, T, "finite")]}
ends = {"end": [("花", V, "'花'"), (5, T, "got 5")]}
beam = long | {"beam_width": 2}
refuses(decoding.beam_search, beam, **same, length=SIZE, **wide, **ends)
refuses(decoding.log_prob, good | {"continuation": "a"}, **same, continuation=START)

# --- training

BOTH = [
    (sampling.RandomBatches([0, 1, 3] * 4, 1, 2), V, ".ids must lie in 0..2", "0 to 3"),
    (datasets.LabelledBatches([[1]], [3], 1), V, ".Y must lie in 0..2"),
]
good = {"model": NET, "batches": BATCHES, "epochs": 1, "lr": 1, "valid": IDS}
OWN = [(bad, T, "must offer carries_state", "RandomBatches") for bad in (None, 5, IDS)]
PAIR = [*IN_3, ([0], V, "at least 2 tokens"), ([], V, "at least 2 tokens")]
refuses(
    training.train,
    good,
    model=OFFERS,
    batches=OWN + BOTH,
    epochs=SIZE,
    lr=[
        *ABOVE_0,
        (None, T, "above 0, got None"),
        (lambda step: NAN, V, "must be a finite number above 0, got nan"),
        (lambda step: 1 - step, V, "(1) must be a finite number above 0, got 0"),
    ],
    optimizer=[
        *table("must be the name of one of MXNet's", (None, T), (5, T)),
        ("sdg", V, "must be one of", "adam", "got 'sdg'"),
    ],
    clip=ABOVE_0,
    valid=[entry for entry in PAIR if entry[0] is not None] + BOTH,
    patience=SOME_SIZE,
    average=SHARE[:-1],
    reduce=[(5, T, "must be a function (loss, size, grads)", "got 5")],
    checkpoint=NEW_FILE[1:],
)
blind = good | {"valid": None, "patience": 1}
row(training.train, lambda: training.train(**blind), V, "patience needs valid")
good = {"model": NET, "data": IDS}
refuses(training.evaluate, good, model=OFFERS, data=PAIR + BOTH, num_steps=SIZE)
strange = [datasets.LabelledBatches([[bad]], [0], 1) for bad in (5, -1)]
for mute in (*strange, datasets.MemoryBatches(2)):
    call = lambda mute=mute: training.train(READER, mute, epochs=1, lr=1)  # noqa: E731
    row(training.train, call, V, "X must hold whole numbers in 0..4")

good = {"model": NET, "ids": IDS, "num_steps": 2, "lr": 1}
more = {"num_steps": SIZE, "lr": ABOVE_0, "clip": ABOVE_0}
refuses(training.prequential_log_prob, good, model=OFFERS, ids=PAIR, **more)
bad = [("sdg", V, "must be one of", "adam", "got 'sdg'")]
refuses(training.prequential_log_prob, good, optimizer=bad)

# --- distributed and replay

good = {"batches": BATCHES, "rank": 0, "num_workers": 1}
bad = [(bad, V, "must lie in 0..0", f"got {bad!r}") for bad in (1, -1, "0", None)]
refuses(distributed.RowShare, good, batches=OWN, rank=bad, num_workers=SIZE)
row(distributed.Group, distributed.Group, RuntimeError, "launch(command, num_workers)")
bad = [(bad, T, "must be a list of strings") for bad in (None, 5, "train.py", [5])]
bad.append(([], V, "is empty"))
more = {"num_workers": SIZE, "wait": ABOVE_0}
refuses(
    distributed.launch, {"command": ["true"], "num_workers": 1}, command=bad, **more
)
refuses(replay.Replay, {}, forward=FUNCTION)

# --- mixtures

good = {"model": NET, "ids": [0], "context": [1]}
some = {"ids": SOME_IN_3, "context": SOME_IN_3, "num_rows": SIZE}
refuses(mixtures.token_log_probs, good, model=MODEL, **some)
PAIRS = [
    *((bad, V, "an array of numbers") for bad in (None, "ab", [["a"]], [[0], [0, 1]])),
    ([], V, "is empty"),
    ([-1.0, -2.0], V, "one array of equal length", "(2,)"),
    ([[0.5]], V, "at most 0, got 0.5"),
    ([[NAN]], V, "logarithms"),
    ([[-INF, -1.0]], V, "finite for one model"),
]
refuses(mixtures.fit_weights, {"log_probs": [[-1]]}, log_probs=PAIRS, num_rounds=SIZE)
bad = [
    *table("an array of finite numbers", (None, V), ("a", V), ([NAN], V)),
    ([0.5, 0.5], V, "one number for each of 1 models", "(2,)"),
    ([0.5], V, "at least 0 and sum to 1, got [0.5]"),
]
refuses(
    mixtures.mix, {"log_probs": [[-1]], "weights": [1]}, log_probs=PAIRS, weights=bad
)

# --- files: checkpoint, export, archives

A = {"a": np.zeros(2)}
good = {"path": "a", "arrays": A, "info": {}}
refuses(
    checkpoint.write,
    good,
    path=NEW_FILE,
    arrays=[
        (None, T, "must be a dict"),
        ({5: np.zeros(2)}, T, "a name in arrays must be a string"),
        ({"a": [0.0]}, T, "['a'] must be a NumPy array"),
        ({"a": zeros(2)}, T, ".asnumpy()"),
        ({"a": np.array(["x"])}, T, "['a'] must be a NumPy array of numbers"),
    ],
    info=[(bad, T, "must") for bad in (None, "info", {"a": {1}}, {"a": np.zeros(2)})],
)
refuses(checkpoint.read, {}, path=FILE)
refuses(checkpoint.load_model, {}, path=FILE)
hand = models.ScratchModel(len, {"W": zeros(1)}, vocab_size=2, num_hiddens=2)
refuses(
    checkpoint.save_model,
    {"path": "a", "model": NET},
    path=NEW_FILE,
    model=[*MODEL, (hand, V, "put together by hand", "write(path, arrays, info)")],
    vocab=[(bad, T, "must be a text.Vocab") for bad in (5, "abc", ["a"])],
    dtype=CHOICE,
)
EMBEDDING = [(bad, V, "must be a GluonModel with an") for bad in (*NO_MODEL, NET)]
refuses(
    export.export_model,
    {"model": GLUON, "vocab": ABC, "path": "a.js"},
    model=EMBEDDING,
    path=NEW_FILE,
    vocab=[
        *((bad, T, "must be a text.Vocab") for bad in (None, "abc")),
        (text.Vocab(["ab", "c", "d"]), V, "each one character"),
        (text.Vocab("ab"), V, "3 symbols"),
    ],
)
refuses(
    export.influence,
    {"model": GLUON, "ids": IDS},
    model=EMBEDDING,
    ids=[*IN_3, ([0], V, "at least 2 symbols")],
)
refuses(
    export.export_text,
    {"ids": IDS, "vocab": ABC, "path": "a.js"},
    ids=IN_3,
    vocab=[(bad, T, "must be a text.Vocab") for bad in (None, "abc")],
    path=NEW_FILE,
    discount=[*ONE, (2, V, "at most 1, got 2")],
    max_order=SIZE,
)
BAD_NAMES = [(bad, V, ".js", repr(bad)) for bad in ("a.txt", "a b.js", 'a".js', "a")]
refuses(
    export.export_arrays,
    {"arrays": A, "path": "a.js"},
    path=NEW_FILE + BAD_NAMES,
    arrays=[
        (None, T, "must be a dict"),
        ({"a": ["x"]}, V, "an array of numbers"),
        ({"a": None}, V, "an array of numbers"),
        ({"a": [NAN]}, V, "float16 cannot"),
    ],
    more=[({1}, T, "must hold what JSON can")],
)
OTHER = "is not a script that this module wrote with "
for reader in (export.import_model, export.import_text, export.import_arrays):
    more = {"order": 2} if reader is export.import_text else {}
    refuses(reader, more, path=FILE)

    def crossed(reader=reader, more=more):
        if reader is export.import_arrays:
            export.export_text(IDS, ABC, "b.js")
        else:
            export.export_arrays(A, "b.js")
        return reader("b.js", **more)

    row(reader, crossed, V, OTHER + reader.__name__.replace("import", "export"))
refuses(export.import_text, {"path": "a.js"}, order=SIZE)
for reader in (archives.read_idx, archives.load_imdb, archives.load_imdb_ids):
    refuses(reader, {}, path=FILE)
refuses(archives.load_mnist, {}, folder=FILE)
refuses(archives.load_imdb, {"path": "garbage"}, word_index=FILE[1:])

# --- figures

AXES = [(bad, T, "must be matplotlib's Axes") for bad in (5, "a")]
LEVELS = [
    ([1], T, "must be a dict"),
    ({"a": "b"}, T, "['a'] must be a finite number"),
    ({"a": NAN}, V, "['a'] must be a finite number, got nan"),
]
LIMIT = table("must be a finite number", (NAN, V), ("1", T))
NO_NUMBERS = (5, "abc", None, ["a"], [[1], [1, 2]])
refuses(
    plotting.plot_curves,
    {"curves": {"a": [1]}, "xlabel": "x", "ylabel": "y"},
    curves=[
        ([1, 2], T, "must be a dict"),
        (None, T, "must be a dict"),
        ({}, V, "is empty"),
        ({"a": []}, V, "['a'] is empty"),
        *(({"a": bad}, V, "['a'] must be a list of numbers") for bad in NO_NUMBERS),
        ({"a": ([1], [1, 2])}, V, "as many x as y, got 1 and 2"),
        ({"a": ([1], [1], [1])}, V, "a pair (x, y)"),
    ],
    xlabel=TEXT,
    ylabel=TEXT,
    ax=AXES,
    reference=LEVELS,
    log=[("z", V, "must be"), (None, V, "must be"), (5, V, "must be")],
)
good = {"values": [1, 2], "xlabel": "x"}
bad = [(bad, V, "a list of finite numbers") for bad in (5, "abc", [NAN], [INF], [[1]])]
bad += [([], V, "is empty")]
edges = [([0, NAN], V, "a list of finite numbers"), (["a"], V, "a list of finite")]
bins = [entry for entry in SIZE if entry[0] != [3]] + edges
refuses(plotting.plot_histogram, good, values=bad, bins=bins, mark=LEVELS, ax=AXES)
refuses(plotting.plot_histogram, good, xlabel=TEXT)
low = [([bad, 1], V, "must be above 0", str(bad)) for bad in (0, -1)]
refuses(plotting.plot_histogram, good | {"log": True}, values=low)
good = {"matrix": [[1, 2], [3, 4]], "xlabel": "x", "ylabel": "y"}
bad = [(bad, V, "a 2-D table of numbers") for bad in (*NO_NUMBERS, [], [1], [["a"]])]
bad += [([[]], V, "is empty")]
ticks = [(bad, V, "must be 2 labels") for bad in (["a"], "abc", 5)]
refuses(plotting.plot_heatmap, good, matrix=bad, xticks=ticks, yticks=ticks, ax=AXES)
limits = {"vmin": LIMIT, "vmax": LIMIT}
refuses(plotting.plot_heatmap, good, xlabel=TEXT, ylabel=TEXT, **limits)
swapped = [(2, V, "must be at most vmax, got 2 and 1")]
refuses(plotting.plot_heatmap, good | {"vmax": 1}, vmin=swapped)

# --- diagrams

NAMES = [([], V, "one label for each"), ("abc", V, "label"), (["a"], V, "['a']")]
NAMES += [(5, T, "a list of labels")]
STEPS = [([3], V, "time steps (1, 2), got 3"), (["1"], V, "got '1'")]
STEPS += [(5, T, "a list of time steps"), ("1", T, "a list of time steps")]
named = {"inputs": NAMES, "outputs": NAMES, "lit": STEPS}
refuses(diagrams.draw_unrolled, {"num_steps": 2}, num_steps=SIZE, **named)
PARTS = [([bad], V, "parts of the cell") for bad in ("forgt", "reset", ["forget"])]
PARTS += [(bad, T, "a list of parts of the cell") for bad in ("forget", 5)]
refuses(diagrams.draw_cell, {"kind": "lstm"}, kind=CHOICE, lit=PARTS)
good = {"width": 5, "height": 5, "title": "t"}
refuses(diagrams.Diagram, good, width=SIZE, height=SIZE, title=TEXT)
PLACE = [*NUMBER, (None, T, "must be a finite number, got None")]
place = {"x": 1, "y": 1, "label": "H"}
points = {"x": PLACE, "y": PLACE, "label": TEXT}
drawing = diagrams.Diagram(9, 9, "t")
refuses(drawing.box, place, **points, width=SIZE, height=SIZE)
refuses(drawing.circle, place, **points, radius=SIZE)
anchor = [("left", V, "must be one of ['end', 'middle', 'start'], got 'left'")]
refuses(drawing.text, place, **points, anchor=anchor, size=SIZE)
for points, error, words in (
    ((), V, "points must be at least 2, got 0"),
    (((1, 1),), V, "points must be at least 2, got 1"),
    (((1, 1), (1, 1)), V, "points must end in two that differ"),
    (((1, 1), 5), T, "a point must be two numbers (x, y), got 5"),
    (((1, 1), (1, 2, 3)), T, "a point must be two numbers (x, y), got (1, 2, 3)"),
    (((1, 1), (1, NAN)), V, "y of a point must be a finite number, got nan"),
):
    row(drawing.arrow, lambda points=points: drawing.arrow(*points), error, words)
NODES = {"x": (30, 30, "box"), "y": (150, 30, "circle")}
KIND = "must be one of ['box', 'circle'], got 'bx'"
refuses(
    diagrams.draw_graph,
    {"nodes": NODES, "edges": [], "title": "t"},
    nodes=[
        (None, T, "must be a dict"),
        ({}, V, "is empty"),
        ({5: (1, 1, "box")}, T, "a name of nodes must be a string"),
        ({"x": (1, 1)}, V, "['x'] must be (x, y, kind)"),
        ({"x": (1, NAN, "box")}, V, "y of nodes['x'] must be a finite number"),
        ({"x": (1, "1", "box")}, T, "y of nodes['x'] must be a finite number"),
        ({"x": (1, 1, "bx")}, V, "the kind of nodes['x']", KIND),
    ],
    edges=[
        (5, T, "must be a list of (name, name)"),
        (["xy"], V, "must be pairs of two of the nodes"),
        ([("x", "z")], V, "got ('x', 'z')"),
        ([("x", "x")], V, "got ('x', 'x')"),
    ],
    lit=[(["z"], V, "must name nodes (x, y), got 'z'"), ("x", T, "a list of nodes")],
    title=TEXT,
)
THING = [(bad, T, "must be a function or class written in Python") for bad in (5, len)]
refuses(source.show_source, {}, thing=THING)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "garbage").write_bytes(bytes(range(256)))
    yield
    plt.close("all")


@pytest.mark.parametrize(("name", "call", "error", "words"), ROWS)
def test_bad_input_is_answered_in_words(name, call, error, words):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    for word in words:
        assert word in message
    assert len(message) < 600
    everything = "".join(traceback.format_exception(caught.value))
    for strange in ("Stack trace", "Check failed", "MXNetError", "AssertionError"):
        assert strange not in everything


def public_names():
    """Yield the public functions and classes, and the classes' public methods.

    Functions without parameters have no wrong ones.
    """
    for module in pkgutil.iter_modules(d2l_rnn.__path__):
        found = importlib.import_module(f"d2l_rnn.{module.name}")
        for name in getattr(found, "__all__", ()):
            thing = getattr(found, name)
            if not inspect.isfunction(thing) or inspect.signature(thing).parameters:
                yield f"{module.name}.{name}"
            methods = inspect.getmembers(thing, inspect.isfunction)
            for method, function in methods if inspect.isclass(thing) else ():
                home = function.__module__
                asked = len(inspect.signature(function).parameters) > 1
                public = method == "__call__" or not method.startswith("_")
                if home.startswith("d2l_rnn.") and asked and public:
                    yield f"{home.removeprefix('d2l_rnn.')}.{function.__qualname__}"


def arguments():
    """Yield the arguments of all public names that have a row."""
    for name in set(public_names()) - set(NO_ROW):
        module, *rest = name.split(".")
        thing = importlib.import_module(f"d2l_rnn.{module}")
        for part in rest:
            thing = getattr(thing, part)
        for parameter in inspect.signature(thing).parameters.values():
            if parameter.name != "self" and not isinstance(parameter.default, bool):
                yield f"{name} {parameter.name}"


def test_every_public_name_has_a_row():
    names, covered = set(public_names()), {param.values[0] for param in ROWS}
    assert sorted(names - covered - set(NO_ROW)) == []
    assert sorted(covered - names) == []
    assert sorted(set(NO_ROW) - names | set(NO_ROW) & covered) == []


def test_every_argument_has_a_row():
    found = set(arguments())
    assert sorted(found - TRIED - set(NO_WRONG)) == []
    assert sorted(set(NO_WRONG) - found | set(NO_WRONG) & TRIED) == []
