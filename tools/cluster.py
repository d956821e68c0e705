"""Train a language model in several processes on this machine, and alone.

python tools/cluster.py 2

Both must end with the same parameters. A job that was stopped goes on, when started
again, from the checkpoint in the folder --out, which holds the model in the end.
"""

import argparse
import os
import sys
from pathlib import Path

from d2l_rnn.checkpoint import load_model, save_model
from d2l_rnn.distributed import Group, WorkerLost, launch
from d2l_rnn.models import GluonModel, gluon_layer
from d2l_rnn.sampling import ConsecutiveBatches
from d2l_rnn.text import load_corpus
from d2l_rnn.training import train

ROOT = Path(__file__).resolve().parent.parent
#: The largest difference of a parameter that rounding may cause.
TOLERANCE = 1e-5


def main():
    """Run the job, then the same training alone; return 1 if they disagree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workers", type=int, help="how many processes share the rows")
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "cluster")
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    if os.environ.get("DMLC_ROLE") == "worker":
        return work(args)
    args.out.mkdir(parents=True, exist_ok=True)
    begun = " goes on" if checkpoint(args).exists() else ""
    print(f"A job of {args.workers} workers{begun}:", flush=True)
    try:
        launch([sys.executable, *sys.argv], args.workers)
    except (ValueError, WorkerLost) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted: start it again, and it goes on.", file=sys.stderr)
        return 130
    checkpoint(args).unlink()
    return compare(args)


def checkpoint(args):
    """Return the path of the job's checkpoint."""
    return args.out / "run.safetensors"


def learn(args, *, share=lambda batches: batches, **options):
    """Train a new model; return it and the history."""
    corpus = load_corpus("doctor_moreau", first=20_000)
    model = GluonModel(gluon_layer("lstm", 64), len(corpus.vocab), embed_size=32)
    # An odd number of rows: two shares differ.
    batches = share(ConsecutiveBatches(corpus.ids, batch_size=31, num_steps=25))
    return model, train(model, batches, epochs=args.epochs, lr=1, clip=0.3, **options)


def work(args):
    """Train as one worker of the job; the first keeps the model."""
    with Group() as group:
        model, history = learn(
            args, share=group.share, reduce=group.reduce, checkpoint=checkpoint(args)
        )
        if group.rank == 0:
            save_model(args.out / "model.safetensors", model)
            tell(history)


def compare(args):
    """Train alone; return 0 if the job came to the same parameters."""
    print("One process with all rows:", flush=True)
    alone, history = learn(args)
    tell(history)
    model, _ = load_model(args.out / "model.safetensors")
    largest = max(
        abs(param - model.params[name]).max().asscalar()
        for name, param in alone.params.items()
    )
    verdict = "the same" if largest <= TOLERANCE else "NOT the same"
    print(
        f"Largest difference of {alone.num_params:,} parameters: {largest:.1e}, so "
        f"they are {verdict} to {TOLERANCE:.0e}."
    )
    return 0 if largest <= TOLERANCE else 1


def tell(history):
    """Print what training came to."""
    share = sum(history.clipped) / history.num_epochs
    print(f"  {history}, {share:.0%} of the steps clipped", flush=True)


if __name__ == "__main__":
    sys.exit(main())
