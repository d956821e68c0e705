"""Count the jobs that MXNet's race spoils, on an idle and on a busy machine.

python tools/measure_race.py

Runs jobs of two workers, one at a time and several at once, in two ways: gluon.Trainer
is given the store of the group, or the gradients are summed by Group.reduce. Writes to
book/measured/results/scaling_race.json how many ended with other parameters than one
process. The chapter book/measured/scaling_out reads it.
"""

import json
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from d2l_rnn.clipping import clip_gradients
from d2l_rnn.distributed import Group, launch
from d2l_rnn.metrics import cross_entropy
from d2l_rnn.models import GluonModel, gluon_layer
from d2l_rnn.sampling import ConsecutiveBatches
from d2l_rnn.text import load_corpus

# isort: split
import numpy as np  # after the package, which pins its numerics
from measure_scaling import RESULTS, machine
from mxnet import autograd, gluon

NUM_JOBS, AT_ONCE, NUM_WORKERS, NUM_ROWS = 40, (1, 4), 2, 15


def main():
    """Count and write, or work as a part of a job."""
    if os.environ.get("DMLC_ROLE") == "worker":
        way, path = sys.argv[1:]
        with Group() as group:
            weights = train(group, way)
            if group.rank == 0:
                np.save(path, weights)
        return
    right = train()
    results = {
        "machine": machine(),
        "num_workers": NUM_WORKERS,
        "jobs": NUM_JOBS,
        "wrong": {
            way: {str(at_once): count_wrong(way, at_once, right) for at_once in AT_ONCE}
            for way in ("store", "reduce")
        },
    }
    path = RESULTS.with_name("scaling_race.json")
    path.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(path.read_text("utf-8"))


def count_wrong(way, at_once, right):
    """Run jobs, several at once; return how many end with other weights."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(at_once) as pool:
        paths = [Path(folder, f"{job}.npy") for job in range(NUM_JOBS)]
        commands = [[sys.executable, __file__, way, str(path)] for path in paths]
        list(pool.map(partial(launch, num_workers=NUM_WORKERS, wait=600), commands))
        return sum(int(abs(np.load(path) - right).max() > 1e-5) for path in paths)


def train(group=None, way=None):
    """Train a small LSTM for an epoch; return its weights as one vector."""
    corpus = load_corpus("doctor_moreau", first=6_000)
    layer = gluon_layer("lstm", 32)
    model = GluonModel(layer, len(corpus.vocab), embed_size=16, seed=1)
    blocks = [model.layer, model.output, model.embedding]
    params = [p for block in blocks for p in block.collect_params().values()]
    store = group.store if way == "store" else None
    trainer = gluon.Trainer(
        params, "sgd", {"learning_rate": 1}, kvstore=store, update_on_kvstore=False
    )
    batches, state = ConsecutiveBatches(corpus.ids, NUM_ROWS, num_steps=20), None
    for X, Y in group.share(batches) if group else batches:
        state = state or model.begin_state(len(X))
        with autograd.record():
            logits, state = model(X, [s.detach() for s in state])
            losses = cross_entropy(logits, Y.T)
            # The Trainer's store adds up what it finds.
            size = NUM_ROWS * Y.shape[1] if store else Y.size
            loss = losses.sum() / size
        loss.backward()
        grads = [param.grad() for param in params]
        if store:
            trainer.allreduce_grads()
        elif way == "reduce":
            group.reduce(loss.asscalar(), Y.size, grads)
        clip_gradients(grads, 0.15)
        trainer.update(batch_size=1)
    return np.concatenate([p.data().asnumpy().ravel() for p in params])


if __name__ == "__main__":
    sys.exit(main())
