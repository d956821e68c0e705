"""Measure what sharing a training step costs on this machine, and what it gains.

python tools/measure_scaling.py

Writes book/measured/results/scaling_out.json: seconds of an exchange of gradients
between two workers over loopback by their number, tokens per second of one process
and of a job of two by the rows of a minibatch, and the memory of a kernel and of the
server of a JupyterLab. The chapter book/measured/scaling_out reads it. Nothing else
should run meanwhile: as other load only slows, each call on the same machine keeps what
an earlier one measured faster.
"""

import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jupyter_client.manager import start_new_kernel

from d2l_rnn.distributed import Group, launch
from d2l_rnn.models import GluonModel, gluon_layer
from d2l_rnn.sampling import ConsecutiveBatches
from d2l_rnn.text import load_corpus
from d2l_rnn.training import train

# isort: split
import mxnet as mx  # after the package, which pins its numerics

TOOLS = Path(__file__).resolve().parent
RESULTS = TOOLS.parent / "book" / "measured" / "results"
RESULTS /= "scaling_out.json"
NUM_WORKERS, NUM_STEPS = 2, 35
GRADIENTS = [1, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000]
ROWS = [2, 4, 8, 16, 32, 64]


def main():
    """Measure and write, or work as a part of the job that measures."""
    if os.environ.get("DMLC_ROLE") == "worker":
        return work(Path(sys.argv[1]))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "job.json")
        launch([sys.executable, __file__, str(path)], NUM_WORKERS)
        found = json.loads(path.read_text("utf-8"))
    found["alone"] = {str(rows): tokens_per_second(rows) for rows in ROWS}
    found["megabytes"] = {"kernel": kernel_memory(), "server": server_memory()}
    results = {
        "machine": machine(),
        "model": {
            "kind": "LSTM, 256 units, embedding 64, 73 symbols",
            "num_params": new_model().num_params,
            "num_steps": NUM_STEPS,
        },
        "num_workers": NUM_WORKERS,
    } | keep_faster(found)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(RESULTS.read_text("utf-8"))


def keep_faster(found):
    """Return the measurements, each replaced by a stored one that is faster."""
    stored = json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}
    if stored.get("machine") != machine():
        return found
    for name, worst in (("exchange", math.inf), ("job", 0), ("alone", 0)):
        better = min if worst else max
        for key, value in found[name].items():
            found[name][key] = better(value, stored[name].get(key, worst))
    return found


def work(path):
    """Measure as one worker; the first writes what it found."""
    with Group() as group:
        exchange = {n: seconds_of_exchange(group, n) for n in GRADIENTS}
        job = {rows: tokens_per_second(rows, group) for rows in ROWS}
        if group.rank == 0:
            path.write_text(json.dumps({"exchange": exchange, "job": job}), "utf-8")


def seconds_of_exchange(group, num_gradients):
    """Return the seconds of the fastest of many exchanges."""
    grads, seconds = [mx.nd.ones(num_gradients)], []
    for _ in range(60):
        start = time.perf_counter()
        group.reduce(1.0, 1, grads)
        mx.nd.waitall()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def new_model():
    """Return the model whose steps are timed."""
    return GluonModel(gluon_layer("lstm", 256), 73, embed_size=64)


def tokens_per_second(rows, group=None):
    """Return those of the fastest epoch of a few steps, of all workers together.

    Whatever else runs on the machine makes a step slower, never faster.
    """
    num_steps = 8 if rows > 8 else 20  # of training, in each epoch
    length = (num_steps * rows + 1) * NUM_STEPS
    ids = load_corpus("doctor_moreau", first=length).ids
    batches, options = ConsecutiveBatches(ids, rows, NUM_STEPS), {}
    if group is not None:
        batches, options = group.share(batches), {"reduce": group.reduce}
    history = train(new_model(), batches, epochs=8, lr=0.1, clip=1, **options)
    return max(history.tokens_per_second)


def kernel_memory():
    """Return the most megabytes that a kernel held while it trained a model."""
    manager, client = start_new_kernel()
    code = "from d2l_rnn import plotting\nimport measure_scaling\n"
    code += "measure_scaling.tokens_per_second(32)"
    try:
        code = f"import sys; sys.path.append({str(TOOLS)!r})\n{code}"
        reply = client.execute(code, reply=True, timeout=300)
        assert reply["content"]["status"] == "ok"
        return most_megabytes(manager.provisioner.pid)
    finally:
        manager.shutdown_kernel(now=True)


def server_memory():
    """Return the most megabytes that a JupyterLab's server held after its start."""
    options = ["--no-browser", "--ip=127.0.0.1", "--ServerApp.log_level=ERROR"]
    command = [sys.executable, "-m", "jupyterlab", *options, "--allow-root"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        time.sleep(15)
        assert server.poll() is None
        return most_megabytes(server.pid)
    finally:
        server.kill()
        server.wait()


def most_megabytes(pid):
    """Return the peak of a process's resident memory, as Linux tells it."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def machine():
    """Describe this machine, as far as times depend on it."""
    info = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (info.read_text("utf-8") if info.exists() else "").splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "mxnet": mx.__version__,
    }


if __name__ == "__main__":
    sys.exit(main())
