"""What is measured: each group is a function from the sizes to rows of a table."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import ladder
import peers
from d2l_rnn._numerics import PINS
from d2l_rnn.clipping import clip_gradients
from d2l_rnn.decoding import generate
from d2l_rnn.metrics import cross_entropy, perplexity
from d2l_rnn.models import GluonModel, gluon_layer, rnn_model
from d2l_rnn.sampling import ConsecutiveBatches
from d2l_rnn.text import Vocab, load_corpus
from d2l_rnn.training import _forward_backward, _Run, train
from measure import side_by_side, version

import numpy as np
from mxnet import autograd, nd

FULL = {
    "batch_size": 32,
    "num_steps": 35,
    "num_hiddens": 256,
    "vocab_size": 1027,
    "embed_size": 64,
    "text": 10_000,
    "symbols": 300,
    "rounds": 5,
    "product": 1024,
    "hiddens": [64, 128, 256, 512],
    "batches": [8, 16, 32, 64, 128],
    "steps": [9, 18, 35, 70, 140],
    "vocabularies": [64, 256, 1027, 4096],
    "layers": [1, 2, 3],
    "truncations": [35, 70, 140, 280, 560],
}
TINY = FULL | {
    "batch_size": 2,
    "num_steps": 3,
    "num_hiddens": 4,
    "vocab_size": 50,
    "embed_size": 3,
    "text": 60,
    "symbols": 3,
    "rounds": 1,
    "product": 8,
    "hiddens": [2, 4],
    "batches": [1, 2],
    "steps": [2, 3],
    "vocabularies": [10, 20],
    "layers": [1, 2],
    "truncations": [2, 4],
}
CELLS = ("rnn", "gru", "lstm")


class Skipped(Exception):
    """A group, or a part of it, cannot be measured here; the message says why."""


class Pairs(list):
    """Minibatches made beforehand, whose rows continue."""

    carries_state = True


def song(sizes):
    """Return the indices of the recipe's text: Chinese poems, and so many symbols."""
    text = load_corpus("song_ci", first=sizes["text"]).tokens
    vocab = Vocab(text, unk=True, max_size=sizes["vocab_size"])
    return vocab.encode(text)


def d2lzh(sizes):
    """Time a training step of d2lzh 1.0.0's own function against `train`."""
    if version("d2lzh") is None:
        raise Skipped("d2lzh is not installed: 'make peers' installs it")
    ids = song(sizes)
    B, T = sizes["batch_size"], sizes["num_steps"]
    recipe = {"batch_size": B, "num_steps": T, "lr": 1e2, "clip": 1e-2}
    shape = {name: sizes[name] for name in ("num_hiddens", "vocab_size")}
    # The piece of the text that our sampler reads from its first offset on.
    offset = int(np.random.default_rng([0, 0]).integers(T))
    their_ids = ids[offset : offset + (len(ids) - T) // B * B].tolist()
    num_batches = ConsecutiveBatches(ids, B, T).num_batches(offset)

    def ours(model):
        batches = ConsecutiveBatches(ids, B, T)
        log = train(model, batches, epochs=1, lr=recipe["lr"], clip=recipe["clip"])
        return log.train_perplexity[0]

    actions = {}
    networks = (peers.plain_rnn, peers.plain_gru, peers.plain_lstm)
    for cell, network in zip(CELLS, networks, strict=True):
        model = rnn_model(**shape, cell=cell, scale=0.01)
        weights = peers.plain_params(model)
        actions[cell, "d2lzh"] = partial(
            peers.train_with_d2lzh, network, weights, their_ids, **shape, **recipe
        )
        actions[cell, "ours"] = partial(ours, model)
    timed = side_by_side(actions, rounds=sizes["rounds"], per=num_batches)
    return _compared(timed, "d2lzh", "ours")


def torch(sizes):
    """Time a training step of gluon's layers against PyTorch's."""
    if version("torch") is None:
        raise Skipped("torch is not installed: 'make peers' installs it")
    ids = song(sizes)
    batches = ConsecutiveBatches(ids, sizes["batch_size"], sizes["num_steps"])
    pairs, recipe = Pairs(batches), {"lr": 1.0, "clip": 1.0}

    def ours(model):
        return train(model, pairs, epochs=1, **recipe).train_perplexity[0]

    actions, tensor = {}, None
    for cell in CELLS:
        layer = gluon_layer(cell, sizes["num_hiddens"])
        model = GluonModel(layer, sizes["vocab_size"], embed_size=sizes["embed_size"])
        twin = peers.torch_twin(model)
        tensor = tensor or peers.import_torch().tensor
        theirs = [tuple(tensor(a.asnumpy()).long() for a in pair) for pair in pairs]
        actions[cell, "torch"] = partial(peers.train_with_torch, twin, theirs, **recipe)
        actions[cell, "ours"] = partial(ours, model)
    timed = side_by_side(actions, rounds=sizes["rounds"], per=len(pairs))
    return _compared(timed, "torch", "ours")


def layers(sizes):
    """Time the recurrent layer alone, and output layer and loss, in both libraries."""
    if version("torch") is None:
        raise Skipped("torch is not installed: 'make peers' installs it")
    T, B, H, E = (
        sizes[n] for n in ("num_steps", "batch_size", "num_hiddens", "embed_size")
    )
    rng, tensor = np.random.default_rng(0), peers.import_torch().tensor
    inputs, hidden = rng.normal(size=(T, B, E)), rng.normal(size=(T, B, H))
    labels = rng.integers(0, sizes["vocab_size"], (T, B))
    actions = {}
    for cell in CELLS:
        model = GluonModel(gluon_layer(cell, H), sizes["vocab_size"], embed_size=E)
        twin = peers.torch_twin(model)
        X, state = _variable(inputs), list(model.begin_state(B))
        actions[f"{cell} layer", "torch"] = partial(
            peers.torch_layer, twin, tensor(inputs).float()
        )
        actions[f"{cell} layer", "ours"] = partial(_layer, model.layer, X, state)
    actions["output and loss", "torch"] = partial(
        peers.torch_output, twin, tensor(hidden).float(), tensor(labels)
    )
    Y = nd.array(labels, dtype="int32")
    actions["output and loss", "ours"] = partial(_output, model, _variable(hidden), Y)
    timed = side_by_side(actions, rounds=sizes["rounds"])
    return [
        {"part": part, "who": who} | _without_result(times)
        for (part, who), times in timed.items()
    ]


def _variable(values):
    array = nd.array(values.astype(np.float32))
    array.attach_grad()
    return array


def _layer(layer, X, state):
    with autograd.record():
        outputs, _ = layer(X, state)
        total = outputs.sum()
    total.backward()


def _output(model, H, Y):
    with autograd.record():
        loss = cross_entropy(model.output(H), Y).mean()
    loss.backward()


def _compared(timed, theirs, ours):
    """Return rows, with the perplexities both came to and the ratio of the medians."""
    rows = []
    for (cell, who), times in timed.items():
        row = {"cell": cell, "who": who} | times
        row["perplexity"] = row.pop("returned")
        if who == ours:
            other = timed[cell, theirs]
            row["times as fast"] = round(other["median"] / times["median"], 2)
            if not np.isclose(row["perplexity"], other["returned"], rtol=1e-4):
                raise ArithmeticError(
                    f"{cell}: {theirs} came to perplexity {other['returned']}, "
                    f"{ours} to {row['perplexity']}: not the same training"
                )
        rows.append(row)
    return rows


def decoding(sizes):
    """Time the drawing of symbols, one at a time, at temperature 1."""
    vocab = load_corpus("doctor_moreau", first=25_000).vocab
    H, options = sizes["num_hiddens"], {"temperature": 1.0, "seed": 1}
    models = {(cell, "scratch"): rnn_model(len(vocab), H, cell=cell) for cell in CELLS}
    for cell in CELLS:
        models[cell, "gluon"] = GluonModel(
            gluon_layer(cell, H), len(vocab), embed_size=sizes["embed_size"]
        )
    actions = {
        name: partial(generate, model, vocab, "The ", sizes["symbols"], **options)
        for name, model in models.items()
    }
    timed = side_by_side(actions, rounds=sizes["rounds"], per=sizes["symbols"])
    return [
        {"cell": cell, "model": kind}
        | _without_result(times)
        | {"symbols per second": round(1000 / times["median"])}
        for (cell, kind), times in timed.items()
    ]


def _without_result(times):
    return {name: value for name, value in times.items() if name != "returned"}


def parts(sizes):
    """Time the parts of a training step: which share is not the model's?"""
    ids = song(sizes)
    batches = ConsecutiveBatches(ids, sizes["batch_size"], sizes["num_steps"])
    X, Y = next(iter(batches))
    rows = []
    for cell in CELLS:
        model = rnn_model(sizes["vocab_size"], sizes["num_hiddens"], cell=cell)
        run = _Run(model, batches, 1.0, "sgd", 1.0)
        state = model.begin_state(sizes["batch_size"])
        grads = [param.grad for param in model.params.values()]
        loss = _forward_backward(model, X, Y, state)[0]
        actions = {
            "minibatch": lambda: len(list(batches)),
            "forward and backward": partial(_forward_backward, model, X, Y, state),
            "clipping": partial(clip_gradients, grads, 1.0),
            "update": run.descend,
            "metrics": partial(perplexity, loss * Y.size, Y.size),
        }
        timed = side_by_side(actions, rounds=sizes["rounds"])
        count = timed["minibatch"]["returned"]
        for name in ("median", "low", "high", "wall"):
            timed["minibatch"][name] = round(timed["minibatch"][name] / count, 3)
        total = sum(times["median"] for times in timed.values())
        for name, times in timed.items():
            share = round(times["median"] / total, 4)
            rows.append({"cell": cell, "part": name} | _without_result(times))
            rows[-1]["share"] = share
    return rows


def growth(sizes):
    """Time a training step of an LSTM while one size changes at a time."""
    names = ("num_hiddens", "batch_size", "num_steps", "vocab_size")
    base = {name: sizes[name] for name in names} | {"num_layers": 1}
    varied = {
        "num_hiddens": sizes["hiddens"],
        "batch_size": sizes["batches"],
        "num_steps": sizes["steps"],
        "vocab_size": sizes["vocabularies"],
        "num_layers": sizes["layers"],
    }
    rows = []
    for name, values in varied.items():
        actions = {value: _step(base | {name: value}) for value in values}
        timed = side_by_side(actions, rounds=sizes["rounds"])
        for value, times in timed.items():
            rows.append({"size": name, "value": value} | _without_result(times))
    return rows


def _step(sizes):
    """Return an action that takes one training step at these sizes."""
    kinds = ("vocab_size", "num_hiddens", "num_layers")
    model = rnn_model(cell="lstm", **{name: sizes[name] for name in kinds})
    rng = np.random.default_rng(0)
    shape = (sizes["batch_size"], sizes["num_steps"])
    X, Y = (
        nd.array(rng.integers(0, sizes["vocab_size"], shape), dtype="int32")
        for _ in "XY"
    )
    run = _Run(model, [], 1.0, "sgd", 1.0)
    state = model.begin_state(sizes["batch_size"])

    def step():
        _forward_backward(model, X, Y, state)
        clip_gradients([param.grad for param in model.params.values()], 1.0)
        run.descend()

    return step


def rungs(sizes):
    """Time a training step on each rung of the ladder, and its share of the peak."""
    vocab_size = len(load_corpus("doctor_moreau", first=25_000).vocab)
    H, B, T = (sizes[name] for name in ("num_hiddens", "batch_size", "num_steps"))
    rng = np.random.default_rng(0)
    X, Y = (nd.array(rng.integers(0, vocab_size, (B, T)), dtype="int32") for _ in "XY")
    actions = {
        name: partial(_forward_backward, model, X, Y, model.begin_state(B))
        for name, model in ladder.rungs(vocab_size, H).items()
    }
    n = sizes["product"]
    square = nd.array(rng.normal(size=(n, n)).astype(np.float32))
    actions["matrix product"] = partial(nd.dot, square, square)
    timed = side_by_side(actions, rounds=4 * sizes["rounds"])
    flops = ladder.step_flops(vocab_size, H, B, T)
    peak = 2 * n**3 / timed["matrix product"]["median"] / 1e6  # GFLOP/s
    rows = []
    for name, times in timed.items():
        count = 2 * n**3 if name == "matrix product" else flops
        reached = count / times["median"] / 1e6
        rows.append({"rung": name} | _without_result(times))
        rows[-1] |= {"GFLOP": round(count / 1e9, 3), "GFLOP/s": round(reached, 1)}
        rows[-1]["share of the peak"] = round(reached / peak, 3)
    return rows


def memory(sizes):
    """Measure what a training step adds to the memory of a fresh process."""
    rows = []
    for kind in ("scratch", "gluon"):
        for num_steps in sizes["truncations"]:
            megabytes, _ = _alone(kind, sizes | {"num_steps": num_steps})
            row = {"model": kind, "num_steps": num_steps, "MB": round(megabytes, 1)}
            rows.append(row)
    return rows


def threads(sizes):
    """Time a training step with one thread and with all, each in a fresh process."""
    rows = []
    for kind in ("scratch", "gluon"):
        for count in sorted({1, os.cpu_count()}):
            _, milliseconds = _alone(kind, sizes, OMP_NUM_THREADS=str(count))
            row = {"model": kind, "threads": count, "fastest": round(milliseconds, 2)}
            rows.append(row)
    return rows


def _alone(kind, sizes, **environment):
    """Run alone.py; return the megabytes and milliseconds that it prints."""
    names = ("num_steps", "vocab_size", "num_hiddens", "batch_size")
    script = Path(__file__).with_name("alone.py")
    command = [sys.executable, script, kind, *(str(sizes[name]) for name in names)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | PINS | environment,
    )
    return tuple(map(float, done.stdout.split()))


GROUPS = {
    "d2lzh": d2lzh,
    "torch": torch,
    "layers": layers,
    "rungs": rungs,
    "decoding": decoding,
    "parts": parts,
    "growth": growth,
    "memory": memory,
    "threads": threads,
}
