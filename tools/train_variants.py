"""Train every recurrent cell at equal parameter count; store the perplexities.

python tools/train_variants.py [CELLS...]    all cells without names

Writes book/gated/results/lstm_variants.json after each run, so that an
interrupted call loses at most one. Runs of cells that are not named are kept.
Numerics are pinned by d2l_rnn, so the stored numbers come out again to the last
bit; the chapter book/gated/lstm_variants recomputes some of them.
"""

import argparse
import json
from pathlib import Path

from d2l_rnn.metrics import perplexity
from d2l_rnn.models import rnn_model
from d2l_rnn.sampling import ConsecutiveBatches
from d2l_rnn.text import load_corpus
from d2l_rnn.training import evaluate, train

RESULTS = Path(__file__).parents[1] / "book" / "gated" / "results"
RESULTS /= "lstm_variants.json"

#: Units of each cell, chosen so that all have about 39,700 parameters. The cell
#: lstm+1 is an LSTM whose forget bias starts at 1.
NUM_HIDDENS = {
    "rnn": 139,
    "gru": 76,
    "lstm": 64,
    "peephole": 64,
    "cifg": 76,
    "no_forget": 76,
    "depth_gated": 43,
    "clockwork": 140,
    "lstm+1": 64,
}

SETTINGS = {
    "corpus": "doctor_moreau",
    "train_chars": 60_000,
    "valid_chars": 5_000,
    "batch_size": 32,
    "num_steps": 35,
    "epochs": 5,
    "optimizer": "adam",
    "lr": 0.01,
    "clip": 1.0,
    "seeds": [0, 1, 2],
}


def variant_texts():
    """Return the vocabulary's size, the training text and the held-out text."""
    s = SETTINGS
    corpus = load_corpus(s["corpus"], first=s["train_chars"] + s["valid_chars"])
    cut = s["train_chars"]
    return len(corpus.vocab), corpus.ids[:cut], corpus.ids[cut:]


def train_variant(name, seed):
    """Train one cell with one seed; return its scores and the model.

    The seed fixes the initial weights and the offsets of the epochs. The learning
    rate falls in a straight line to 0.
    """
    vocab_size, text, held_out = variant_texts()
    s, num_hiddens = SETTINGS, NUM_HIDDENS[name]
    cell, _, forget_bias = name.partition("+")
    model = rnn_model(vocab_size, num_hiddens, cell=cell, seed=seed)
    if forget_bias:
        model.params["b_h"][num_hiddens : 2 * num_hiddens] = float(forget_bias)
    batches = ConsecutiveBatches(text, s["batch_size"], s["num_steps"], seed=seed)
    num_updates = s["epochs"] * batches.num_batches(0)
    history = train(
        model,
        batches,
        epochs=s["epochs"],
        lr=lambda step: s["lr"] * (1 - step / num_updates),
        optimizer=s["optimizer"],
        clip=s["clip"],
    )
    scores = {
        "train_perplexity": history.train_perplexity[-1],
        "valid_perplexity": perplexity(*evaluate(model, held_out)),
    }
    return scores, model


def main():
    """Train the cells named on the command line, and store what comes out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", metavar="CELLS")
    names = parser.parse_args().cells or list(NUM_HIDDENS)
    if unknown := set(names) - set(NUM_HIDDENS):
        parser.error(f"unknown {sorted(unknown)}; known: {', '.join(NUM_HIDDENS)}")
    runs = _stored_runs()
    for seed in SETTINGS["seeds"]:
        for cell in names:
            scores, model = train_variant(cell, seed)
            runs[cell, seed] = {"cell": cell, "seed": seed, **scores}
            runs[cell, seed]["num_params"] = model.num_params
            _store(runs)
            print(runs[cell, seed], flush=True)


def _stored_runs():
    """Return the stored runs by cell and seed; none if the settings differ."""
    if not RESULTS.is_file():
        return {}
    stored = json.loads(RESULTS.read_text("utf-8"))
    if (stored["settings"], stored["num_hiddens"]) != (SETTINGS, NUM_HIDDENS):
        return {}
    return {(run["cell"], run["seed"]): run for run in stored["runs"]}


def _store(runs):
    order = {cell: i for i, cell in enumerate(NUM_HIDDENS)}
    rows = sorted(runs.values(), key=lambda run: (order[run["cell"]], run["seed"]))
    results = {"settings": SETTINGS, "num_hiddens": NUM_HIDDENS, "runs": rows}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
