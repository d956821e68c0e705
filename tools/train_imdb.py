"""Train a classifier on your own copy of the IMDB movie reviews, at full size.

python tools/train_imdb.py aclImdb_v1.tar.gz
python tools/train_imdb.py imdb.npz --word-index imdb_word_index.json

A validation part is cut from the training reviews; the test reviews are scored once,
at the end. After each epoch the folder --out holds run.safetensors, from which
--resume goes on as if nothing had happened, and model.safetensors, the best model so
far with its vocabulary, for `checkpoint.load_model`. An epoch takes about a minute.
"""

import argparse
import hashlib
import json
import math
import sys
import time
from pathlib import Path

import numpy as np

from d2l_rnn._checks import check_positive_int
from d2l_rnn.archives import load_imdb
from d2l_rnn.checkpoint import save_model
from d2l_rnn.classifiers import SequenceClassifier
from d2l_rnn.datasets import LabelledBatches, pad
from d2l_rnn.metrics import accuracy
from d2l_rnn.text import Vocab, words
from d2l_rnn.training import TrainingDiverged, train

# isort: split
import mxnet as mx  # after the package, which pins its numerics

#: Arguments that a run may change when it goes on.
FREE = ("path", "word_index", "out", "resume", "epochs", "patience")


def parse(argv):
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("path", type=Path, help="aclImdb_v1.tar.gz, or Keras's imdb.npz")
    add("--word-index", type=Path, help="Keras's imdb_word_index.json, for imdb.npz")
    add(
        "--out", type=Path, help="folder to write to; imdb_run beside PATH if not given"
    )
    add("--resume", action="store_true", help="go on from the last epoch in --out")
    add("--epochs", type=int, default=10, help="passes over the training part")
    add("--patience", type=int, default=2, help="epochs to wait for a better score")
    add("--valid-share", type=float, default=0.1, help="of the training reviews")
    add("--vocab-size", type=int, default=10_000, help="words, with <pad> and <unk>")
    add("--length", type=int, default=200, help="words read of a review")
    add(
        "--cut", choices=("front", "back"), default="front", help="where it loses words"
    )
    add("--embed-size", type=int, default=32, help="width of the embedding")
    add("--num-hiddens", type=int, default=100, help="units of the LSTM")
    add("--read", default="max", help="last, end, mean or max: see SequenceClassifier")
    add("--bidirectional", action="store_true", help="read from both ends")
    add("--dropout", type=float, default=0.3, help="share of inputs and outputs")
    add("--batch-size", type=int, default=64, help="reviews in a minibatch")
    add("--lr", type=float, default=0.002, help="learning rate of Adam")
    add("--seed", type=int, default=0, help="of weights, order, dropout and split")
    args = parser.parse_args(argv)
    if args.out is None:
        args.out = args.path.parent / "imdb_run"
    return args


def prepare(args):
    """Return the vocabulary, and minibatches to train on, to validate and to test."""
    reviews = load_imdb(args.path, word_index=args.word_index)
    texts, labels = reviews.train_texts, reviews.train_labels
    order = np.random.default_rng(args.seed).permutation(len(texts))
    cut = round(len(texts) * args.valid_share)
    if not 0 < cut < len(texts):
        raise ValueError(
            f"--valid-share {args.valid_share} of {len(texts)} training reviews "
            "leaves nothing to train on or to validate with: try 0.1"
        )
    valid, part = order[:cut], order[cut:]
    known = (word for i in part for word in words(texts[i]))
    vocab = Vocab(known, unk=True, pad=True, max_size=args.vocab_size)

    def batches(texts, labels, **options):
        ids = [vocab.encode(words(text)) for text in texts]
        X = pad(ids, args.length, cut=args.cut)
        return LabelledBatches(X, labels, args.batch_size, **options)

    return (
        vocab,
        batches([texts[i] for i in part], labels[part], seed=args.seed),
        batches([texts[i] for i in valid], labels[valid], shuffle=False),
        batches(reviews.test_texts, reviews.test_labels, shuffle=False),
    )


def check_settings(args, batches):
    """Store what a run depends on; refuse to go on from a run that differs in it."""
    settings = {k: v for k, v in vars(args).items() if k not in FREE}
    data = batches.X.tobytes() + batches.Y.tobytes()
    settings["data"] = hashlib.sha256(data).hexdigest()
    file = args.out / "settings.json"
    if not (args.out / "run.safetensors").exists():
        args.out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings, indent=1) + "\n", "utf-8")
        return
    if not args.resume:
        raise ValueError(
            f"--out {str(args.out)!r} holds a run already: go on with --resume, or "
            "name another folder"
        )
    stored = json.loads(file.read_text("utf-8"))
    changed = [name for name, value in settings.items() if stored.get(name) != value]
    if changed:
        raise ValueError(
            f"--resume: the run in {str(args.out)!r} was begun with other "
            f"{', '.join(changed)} (see settings.json there): give the same, or name "
            "another folder"
        )


def fit(args, vocab, batches, valid):
    """Train epoch by epoch; return the best model, or None after Ctrl-C."""
    mx.random.seed(args.seed)
    model = SequenceClassifier(
        args.num_hiddens,
        2,
        vocab_size=len(vocab),
        embed_size=args.embed_size,
        read=args.read,
        bidirectional=args.bidirectional,
        dropout=args.dropout,
        seed=args.seed,
    )
    print(f"{model.num_params:,} parameters, {len(batches.Y):,} reviews to train on")
    for epoch in range(1, check_positive_int("epochs", args.epochs) + 1):
        start = time.perf_counter()
        history = train(
            model,
            batches,
            epochs=epoch,
            lr=args.lr,
            optimizer="adam",
            clip=1.0,
            valid=valid,
            patience=args.patience,
            checkpoint=args.out / "run.safetensors",
        )
        if history.interrupted:
            return None
        if history.num_epochs < epoch:
            print(f"no better for {args.patience} epochs: stopped")
            break
        if history.num_epochs == epoch:
            save_model(args.out / "model.safetensors", model, vocab)
            print(
                f"epoch {epoch}: {math.log(history.train_perplexity[-1]):.4f} nats a "
                f"review, validation {math.log(history.valid_perplexity[-1]):.4f}, "
                f"{time.perf_counter() - start:.0f} s",
                flush=True,
            )
    return model


def score(model, batches):
    """Return the accuracy, its standard error, and the number of reviews."""
    shares = []
    for X, Y in batches:
        logits, _ = model(X, model.begin_state(len(X)))
        shares.append((accuracy(logits, Y.T), Y.size))
    size = sum(n for _, n in shares)
    share = math.fsum(share * n for share, n in shares) / size
    return share, math.sqrt(share * (1 - share) / size), size


def main(argv=None):
    """Train, print the accuracies, and return the exit status."""
    args = parse(argv)
    run = args.out / "run.safetensors"
    try:
        vocab, batches, valid, test = prepare(args)
        check_settings(args, batches)
        model = fit(args, vocab, batches, valid)
        if model is not None:
            for name, part in (("validation", valid), ("test", test)):
                share, error, size = score(model, part)
                print(f"{name} accuracy {share:.4f} ± {error:.4f} ({size:,} reviews)")
            return 0
    except (ValueError, OSError, TrainingDiverged) as error:
        print(f"train_imdb: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    stored = f"{run} keeps the epochs that were completed: --resume goes on from it"
    print(f"interrupted; {stored if run.exists() else 'no epoch was completed'}")
    return 130


if __name__ == "__main__":
    sys.exit(main())
