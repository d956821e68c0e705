"""Train the networks of the leaderboard; store their weights and how they came about.

python tools/train_leaderboard.py [ROWS...]    all rows without names

Writes book/measured/weights/ROW-SEED.safetensors, in half precision, and a .json of
the same name. A row that is there already, made with the same settings, is left
alone; an interrupted one goes on from its last epoch, kept in _build/leaderboard.
Numerics are pinned by d2l_rnn: the same version of the package trains a row to the
same weights again, to the last bit. Another version may round otherwise; rows are not
trained anew for that.
The chapter book/measured/leaderboard scores them. The name alice29 stands for one
pass over that text from nothing: book/measured/results/alice29_online.npz.
"""

import argparse
import hashlib
import json
import math
from collections import Counter
from functools import cache
from pathlib import Path

from d2l_rnn.checkpoint import save_model
from d2l_rnn.models import rnn_model
from d2l_rnn.regularized import RegularizedModel
from d2l_rnn.sampling import ConsecutiveBatches
from d2l_rnn.text import Vocab, load_corpus, words
from d2l_rnn.training import prequential_log_prob, train

# isort: split
import mxnet as mx  # after the package, which pins its numerics
import numpy as np

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "book" / "measured" / "weights"
RESULTS = WEIGHTS.parent / "results"
RUNS = ROOT / "_build" / "leaderboard"

#: What the rows of a text have in common; a row may say otherwise.
CHARACTERS = {
    "text": "doctor_moreau",
    "share": 0.8,
    "batch_size": 32,
    "num_steps": 64,
    "epochs": 20,
    "lr": 4e-3,
    "average": None,
}
SHORT = CHARACTERS | {"batch_size": 16, "num_steps": 35, "lr": 3e-3, "average": 0.99}

#: One layer of 256 units, dropout on what leaves it.
PLAIN = {"num_hiddens": 256, "embed_size": 64, "dropout": 0.25}

#: Two such layers, with all kinds of dropout.
DEEP = PLAIN | {"num_layers": 2, "input_dropout": 0.1, "recurrent_dropout": 0.1}

#: One layer twice as wide, with much dropout of all kinds, trained for longer.
BEST = {
    "cell": "lstm",
    "num_hiddens": 512,
    "embed_size": 64,
    "input_dropout": 0.2,
    "dropout": 0.5,
    "recurrent_dropout": 0.25,
}
LONG = {"epochs": 60, "average": 0.995}

#: The package's own cells, one layer, one-hot input, nothing dropped: for comparison
#: with each other. Small minibatches make many steps of few epochs.
OWN = {"num_hiddens": 256}
QUICK = CHARACTERS | {"batch_size": 16, "num_steps": 35, "epochs": 5, "lr": 1e-2}

#: For texts of thousands of different symbols, which most of the weights belong to.
MANY = {
    "cell": "lstm",
    "num_hiddens": 256,
    "embed_size": 128,
    "input_dropout": 0.3,
    "dropout": 0.5,
    "recurrent_dropout": 0.3,
    "tied": True,
}

#: The rows: number of seeds, model, training.
ROWS = {
    "rnn": (3, PLAIN | {"cell": "rnn"}, CHARACTERS),
    "gru": (3, PLAIN | {"cell": "gru"}, CHARACTERS),
    "lstm": (3, PLAIN | {"cell": "lstm"}, CHARACTERS),
    "deep-gru": (1, DEEP | {"cell": "gru"}, CHARACTERS | {"epochs": 30}),
    "deep-lstm": (1, DEEP | {"cell": "lstm"}, CHARACTERS | {"epochs": 30}),
    "own-lstm": (3, OWN | {"cell": "lstm"}, QUICK),
    "own-peephole": (3, OWN | {"cell": "peephole"}, QUICK),
    "own-cifg": (3, OWN | {"cell": "cifg"}, QUICK),
    "own-gru": (3, OWN | {"cell": "gru"}, QUICK),
    "best": (1, BEST, CHARACTERS | LONG),
    "best-90": (1, BEST, CHARACTERS | LONG | {"share": 0.9}),
    "words": (1, MANY, SHORT | {"text": "words"}),
    "song-ci": (1, MANY, SHORT | {"text": "song_ci", "epochs": 14}),
}


#: One pass over a text from nothing. The settings are the best of five that were
#: tried on the first 20,000 characters of asyoulik.
ONLINE = {
    "model": {"num_hiddens": 256, "embed_size": 32},
    "training": {"num_steps": 10, "lr": 5e-3},
}


@cache
def read_text(name):
    """Return a text's vocabulary and indices.

    Words that the first 80 % of the novel do not hold twice become <unk>: what a
    model knows of is settled by the text it is trained on.
    """
    if name != "words":
        corpus = load_corpus(name)
        return corpus.vocab, corpus.ids
    tokens = load_corpus("doctor_moreau", tokenize=words).tokens
    counts = Counter(tokens[: int(0.8 * len(tokens))])
    vocab = Vocab([token for token in counts if counts[token] > 1], unk=True)
    return vocab, vocab.encode(tokens)


def make_model(options, vocab_size, seed):
    """Return an untrained model: of the package's own cells if nothing is embedded."""
    make = RegularizedModel if "embed_size" in options else rnn_model
    return make(vocab_size, seed=seed, **options)


def cosine(lr, num_updates, warm_up=100):
    """Return a schedule: up in a straight line, then down to 0 as half a cosine."""

    def rate(step):
        falling = (1 + math.cos(math.pi * step / num_updates)) / 2
        return lr * falling * min(1, (step + 1) / warm_up)

    return rate


def train_row(name, seed):
    """Train one row with one seed; write its weights; return what to record."""
    _, options, training = ROWS[name]
    vocab, ids = read_text(training["text"])
    ids = ids[: int(training["share"] * len(ids))]
    model = make_model(options, len(vocab), seed)
    batches = ConsecutiveBatches(
        ids, training["batch_size"], training["num_steps"], seed=seed
    )
    num_updates = training["epochs"] * batches.num_batches(0)
    mx.random.seed(seed + 1)
    history = train(
        model,
        batches,
        epochs=training["epochs"],
        lr=cosine(training["lr"], num_updates + 1),
        optimizer="adam",
        clip=1.0,
        average=training["average"],
        checkpoint=RUNS / f"{name}-{seed}.run",
    )
    if history.interrupted:
        raise SystemExit("interrupted: the same command goes on from the last epoch")
    num_read = batches.num_batches(0) * batches.batch_size * batches.num_steps
    file = WEIGHTS / f"{name}-{seed}.safetensors"
    save_model(file, model, vocab, dtype="float16")
    return {
        "row": name,
        "seed": seed,
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "num_params": model.num_params,
        "num_tokens": len(ids),
        "seconds": round(sum(num_read / x for x in history.tokens_per_second)),
        "train_bits": math.log2(history.train_perplexity[-1]),
        "model": options,
        "training": training,
    }


def main():
    """Train the rows named on the command line that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROWS")
    known = [*ROWS, "alice29"]
    names = parser.parse_args().rows or known
    if unknown := set(names) - set(known):
        parser.error(f"unknown {sorted(unknown)}; known: {', '.join(known)}")
    for folder in (RUNS, WEIGHTS, RESULTS):
        folder.mkdir(parents=True, exist_ok=True)
    if "alice29" in names:
        names.remove("alice29")
        record = RESULTS / "alice29_online.json"
        if not record.is_file() or json.loads(record.read_text("utf-8")) != ONLINE:
            learn_online(record)
    for name in names:
        for seed in range(ROWS[name][0]):
            if not is_stored(name, seed):
                store(train_row(name, seed))


def learn_online(record):
    """Predict and learn alice29 in one pass; store the log-probabilities.

    Half precision keeps 3 digits of each; their sum does not notice.
    """
    vocab, ids = read_text("alice29")
    model = RegularizedModel(len(vocab), **ONLINE["model"])
    log_probs = prequential_log_prob(model, ids, **ONLINE["training"])
    np.savez_compressed(record.with_suffix(".npz"), log_probs=np.float16(log_probs))
    record.write_text(json.dumps(ONLINE, indent=1) + "\n", "utf-8")
    print("alice29", f"{-log_probs.mean() / math.log(2):.3f} bits per character")


def is_stored(name, seed):
    """Return whether a row's weights are there, made with the settings above."""
    record = WEIGHTS / f"{name}-{seed}.json"
    if not record.is_file():
        return False
    run, (_, model, training) = json.loads(record.read_text("utf-8")), ROWS[name]
    return (run["model"], run["training"]) == (model, training)


def store(run):
    """Write down how a row came about, beside its weights."""
    name = f"{run['row']}-{run['seed']}"
    text = json.dumps(run, indent=1) + "\n"
    (WEIGHTS / f"{name}.json").write_text(text, "utf-8")
    print(name, f"{run['train_bits']:.3f} bits in training", flush=True)


if __name__ == "__main__":
    main()
