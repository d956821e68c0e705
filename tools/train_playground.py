"""Train and export the models of the playground.

python tools/train_playground.py [NAMES...]    all models without names

Writes book/_static/models/NAME.js for each, and models.json, which says how each
came about, how well it predicts unseen text, and what its file's SHA-256 is. The
numbers are those of the exported float16 weights. Numerics are pinned by d2l_rnn:
the same version of the package makes the same files again, to the last bit.
"""

import argparse
import hashlib
import json
import math
from functools import cache
from pathlib import Path

from d2l_rnn.export import (
    export_arrays,
    export_model,
    export_text,
    import_model,
    import_text,
    influence,
)
from d2l_rnn.metrics import bits_per_token
from d2l_rnn.models import GLUON_LAYERS, GluonModel, gluon_layer
from d2l_rnn.sampling import ConsecutiveBatches
from d2l_rnn.text import load_corpus
from d2l_rnn.training import evaluate, train

FOLDER = Path(__file__).parents[1] / "book" / "_static" / "models"
RECORD = FOLDER / "models.json"

#: The last tenth of each corpus is never trained on.
CORPORA = {"english": "doctor_moreau", "chinese": "song_ci"}
TRAIN_SHARE = 0.9
MAX_ORDER = 6

#: What the networks of a language have in common.
COMMON = {
    "english": {
        "embed_size": 48,
        "dropout": 0.2,
        "batch_size": 32,
        "num_steps": 50,
        "optimizer": "adam",
        "lr": 0.004,
        "clip": 1.0,
        "epochs": 14,
        "seed": 0,
    },
    "chinese": {
        "embed_size": 32,
        "dropout": 0.2,
        "batch_size": 16,
        "num_steps": 35,
        "optimizer": "adam",
        "lr": 0.004,
        "clip": 1.0,
        "epochs": 10,
        "seed": 0,
    },
}

#: English GRU and LSTM have about as many parameters as each other.
NUM_HIDDENS = {
    "english-rnn": 256,
    "english-gru": 256,
    "english-lstm": 224,
    "chinese-rnn": 96,
    "chinese-gru": 96,
    "chinese-lstm": 96,
}

#: Whose every prediction is traced back to the characters before it. It is in the
#: last tenth of the novel.
SENTENCE = (
    "Slowly, slowly, the boat drove past towards\n"
    "the west. I would have swum out to it,"
)


@cache
def texts(language):
    """Return the vocabulary, the training text and the held-out text."""
    corpus = load_corpus(CORPORA[language])
    cut = int(TRAIN_SHARE * len(corpus))
    return corpus.vocab, corpus.ids[:cut], corpus.ids[cut:]


def train_network(name):
    """Train one network, from a learning rate that falls along a half cosine."""
    language, _, kind = name.partition("-")
    vocab, text, held_out = texts(language)
    s = COMMON[language]
    model = GluonModel(
        gluon_layer(kind, NUM_HIDDENS[name]),
        len(vocab),
        embed_size=s["embed_size"],
        dropout=s["dropout"],
        seed=s["seed"],
    )
    batches = ConsecutiveBatches(text, s["batch_size"], s["num_steps"], seed=s["seed"])
    num_updates = s["epochs"] * batches.num_batches(0)
    history = train(
        model,
        batches,
        epochs=s["epochs"],
        lr=lambda step: s["lr"] * _half_cosine(step / num_updates),
        optimizer=s["optimizer"],
        clip=s["clip"],
        valid=held_out,
    )
    return model, history


def _half_cosine(part):
    return max((1 + math.cos(math.pi * min(part, 1))) / 2, 1e-4)


def export_network(name):
    """Train a network and write it; return what there is to record."""
    language, _, kind = name.partition("-")
    vocab, _, held_out = texts(language)
    model, history = train_network(name)
    print([round(p, 2) for p in history.valid_perplexity], flush=True)
    path = FOLDER / f"{name}.js"
    export_model(model, vocab, path)
    exported, _ = import_model(path)
    bits = bits_per_token(*evaluate(exported, held_out))
    return {
        "kind": kind,
        **COMMON[language],
        "num_hiddens": NUM_HIDDENS[name],
        "num_params": model.num_params,
        "train_perplexity": history.train_perplexity[-1],
        "bits_per_character": bits,
    }


def export_counts(name):
    """Write the text that the counting models of a language count."""
    language = name.partition("-")[0]
    vocab, text, held_out = texts(language)
    path = FOLDER / f"{name}.js"
    export_text(text, vocab, path, max_order=MAX_ORDER)
    bits = []
    for order in range(1, MAX_ORDER + 1):
        model, _ = import_text(path, order)
        bits.append(model.bits_per_token(held_out[1:], held_out[:1]))
        print(name, order, bits[-1], flush=True)
    return {"kind": "ngram", "bits_per_character": bits}


def export_influence(name):
    """Write what each character of a sentence changes in later predictions."""
    vocab, _, _ = texts("english")
    arrays = {}
    for kind in GLUON_LAYERS:
        model, _ = import_model(FOLDER / f"english-{kind}.js")
        arrays[kind] = influence(model, vocab.encode(SENTENCE))
    export_arrays(arrays, FOLDER / f"{name}.js", text=SENTENCE)
    return {"kind": "influence", "text": SENTENCE}


#: What writes each file, in the order in which they depend on each other.
EXPORTS = {
    **dict.fromkeys(NUM_HIDDENS, export_network),
    **{f"{language}-text": export_counts for language in CORPORA},
    "english-influence": export_influence,
}


def main():
    """Make the files named on the command line, and record how they came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAMES")
    names = parser.parse_args().names or list(EXPORTS)
    if unknown := set(names) - set(EXPORTS):
        parser.error(f"unknown {sorted(unknown)}; known: {', '.join(EXPORTS)}")
    FOLDER.mkdir(exist_ok=True)
    for name in names:
        language = name.partition("-")[0]
        _, text, held_out = texts(language)
        made = EXPORTS[name](name)
        data = (FOLDER / f"{name}.js").read_bytes()
        record = json.loads(RECORD.read_text("utf-8")) if RECORD.is_file() else {}
        record[name] = {
            "corpus": CORPORA[language],
            "train_chars": len(text),
            "held_out_chars": len(held_out),
            **made,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        ordered = {key: record[key] for key in EXPORTS if key in record}
        RECORD.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
        print(name, len(data), made.get("bits_per_character"), flush=True)


if __name__ == "__main__":
    main()
