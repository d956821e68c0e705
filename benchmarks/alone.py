"""Take training steps of an LSTM in a process of its own.

Usage: ``python alone.py scratch|gluon NUM_STEPS VOCAB_SIZE NUM_HIDDENS BATCH_SIZE``.
Prints by how many megabytes they raised the process's memory (a peak never goes down
again), and the milliseconds of the quickest.
"""

import sys
import time

from d2l_rnn.models import GluonModel, gluon_layer, rnn_model
from d2l_rnn.training import _forward_backward

from mxnet import nd


def status(name):
    """Return a line of what Linux knows of this process, in megabytes."""
    with open("/proc/self/status", encoding="utf-8") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines[name].split()[0]) / 1024


def main(kind, *sizes):
    """Take some steps and print what they needed."""
    num_steps, vocab_size, num_hiddens, batch_size = map(int, sizes)
    if kind == "gluon":
        model = GluonModel(gluon_layer("lstm", num_hiddens), vocab_size, embed_size=64)
    else:
        model = rnn_model(vocab_size, num_hiddens, cell="lstm")
    X = nd.zeros((batch_size, num_steps), dtype="int32")
    nd.waitall()
    before, times = status("VmRSS"), []
    for _ in range(4):
        start = time.perf_counter()
        _forward_backward(model, X, X, model.begin_state(batch_size))
        nd.waitall()
        times.append((time.perf_counter() - start) * 1000)
    print(status("VmHWM") - before, min(times))


if __name__ == "__main__":
    main(*sys.argv[1:])
