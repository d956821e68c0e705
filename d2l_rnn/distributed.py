"""Training shared by several processes: each takes its rows of every minibatch.

A job is a scheduler, a server that adds up gradients, and workers, which are all
started by `launch`. A worker's program trains as any other; only its minibatches are
a share, and its gradients are exchanged for the sums over all workers::

    with Group() as group:
        batches = group.share(ConsecutiveBatches(ids, batch_size=32, num_steps=35))
        train(model, batches, epochs=3, lr=1, clip=1, reduce=group.reduce)

The exchange is MXNet's own key-value store, "dist_sync".
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import mxnet as mx
from mxnet import nd

from d2l_rnn._checks import check_number, check_offers, check_positive_int, check_type

__all__ = ["Group", "RowShare", "WorkerLost", "launch"]


class RowShare:
    """One worker's rows of every minibatch.

    Rows keep their worker, so that states can be carried from minibatch to minibatch.
    Shares differ by a row at most.

    Parameters
    ----------
    batches : RandomBatches, ConsecutiveBatches, LabelledBatches, …
    rank : int
        Which share: 0 … num_workers - 1.
    num_workers : int

    >>> from d2l_rnn.sampling import ConsecutiveBatches
    >>> for rank in range(2):
    ...     share = RowShare(ConsecutiveBatches(range(30), 3, 5), rank, 2)
    ...     print([X.asnumpy().tolist() for X, Y in share])
    [[[4, 5, 6, 7, 8]]]
    [[[12, 13, 14, 15, 16], [20, 21, 22, 23, 24]]]
    """

    def __init__(self, batches, rank, num_workers):
        self.batches, self.rank = batches, rank
        self.num_workers = check_positive_int("num_workers", num_workers)
        if rank not in range(num_workers):
            raise ValueError(f"rank must lie in 0..{num_workers - 1}, got {rank!r}")
        remedy = "use RandomBatches, ConsecutiveBatches or LabelledBatches"
        check_offers("batches", batches, ("carries_state", "__iter__"), remedy)

    def __getattr__(self, name):
        if name == "batches":  # not there yet
            raise AttributeError(name)
        return getattr(self.batches, name)

    @property
    def epoch(self):
        """How many epochs were begun."""
        return self.batches.epoch

    @epoch.setter
    def epoch(self, value):
        self.batches.epoch = value

    def __iter__(self):
        for X, Y in self.batches:
            num_rows = X.shape[0]
            if num_rows < self.num_workers:
                raise ValueError(
                    f"batches yield a minibatch of {num_rows} rows for "
                    f"{self.num_workers} workers: use a larger batch_size, fewer "
                    "workers, or data that fill the last minibatch"
                )
            start, stop = (
                num_rows * k // self.num_workers for k in (self.rank, self.rank + 1)
            )
            yield X[start:stop], Y[start:stop]


class Group:
    """The workers of a job, seen from one of them. Use it in a ``with`` block.

    If the block fails, the process ends at once with exit code 1: MXNet would wait at
    its end for the others, which wait for it.

    Attributes
    ----------
    rank : int
        Which worker this is: 0 … num_workers - 1.
    num_workers : int
    store : mxnet.kvstore.KVStore
        What the workers exchange arrays by. Given to ``gluon.Trainer``, which sends the
        first weights and the first gradients unordered, it may mix them up.

    Raises
    ------
    RuntimeError
        This process was not started by `launch`.
    """

    def __init__(self):
        if "D2L_RNN_SIGNS" not in os.environ:
            raise RuntimeError(
                "this process is no worker of a job: start its program with "
                "launch(command, num_workers)"
            )
        self.rank = int(os.environ["DMLC_TASK_ID"])
        self._sign = Path(os.environ["D2L_RNN_SIGNS"], str(self.rank))
        self._sign.touch()
        _end_with_launcher()
        self.store = mx.kv.create("dist_sync")  # waits until all are there
        self.num_workers = self.store.num_workers
        self._keys = {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if error[0] is not None:
            traceback.print_exception(*error)
            sys.stderr.flush()
            os._exit(1)

    def share(self, batches):
        """Return this worker's rows of ``batches``, which all must make alike."""
        return RowShare(batches, self.rank, self.num_workers)

    def reduce(self, loss, size, grads):
        """Exchange a mean loss over some tokens and its gradients for the joint ones.

        Each worker sends sums over its tokens, not means: shares may differ. With
        gradients g_k of the mean over n_k tokens the joint one is Σ n_k g_k / Σ n_k.

        Parameters
        ----------
        loss : float
            The mean over this worker's tokens.
        size : int
            How many these are.
        grads : list of NDArray
            Changed in place.

        Returns
        -------
        (float, int)
            The mean loss over the tokens of all workers, and their number.
        """
        self._sign.touch()
        sums = [nd.array([loss * size, size]), *(grad * size for grad in grads)]
        keys = self._keys_for(sums)
        self.store.push(keys, sums)
        self.store.pull(keys, out=sums)
        total, size = sums[0].asnumpy().tolist()
        for grad, joint in zip(grads, sums[1:], strict=True):
            grad[:] = joint / size
        return total / size, int(size)

    def _keys_for(self, arrays):
        """Return a place in the store for each array, the same for the same shapes."""
        shapes = tuple(array.shape for array in arrays)
        if shapes not in self._keys:
            start = sum(map(len, self._keys))
            self._keys[shapes] = list(range(start, start + len(shapes)))
            self.store.init(self._keys[shapes], arrays)
        return self._keys[shapes]


class WorkerLost(RuntimeError):
    """A process of the job died, never came or stands still; the job was ended."""


def launch(command, num_workers, *, wait=120):
    """Run a program as the workers of a job on this machine, and wait for its end.

    All processes talk over the loopback interface at free ports. When this function
    is left, none of them runs any more, whether the job ended, failed or was stopped
    with Ctrl-C.

    Parameters
    ----------
    command : list of str
        The program and its arguments, such as ``[sys.executable, "train.py"]``.
    num_workers : int
    wait : float
        Seconds that a worker may take to come, or for one step.

    Raises
    ------
    WorkerLost
        A process died, did not come in time or stands still. The message says which
        and how. Started again, training goes on from its checkpoint, if
        `training.train` was told of one.
    """
    check_type("command", command, (list, tuple), "a list of strings")
    for part in command:
        check_type("command", part, (str, os.PathLike), "a list of strings")
    if not command:
        raise ValueError("command is empty: name a program, such as sys.executable")
    num_workers = check_positive_int("num_workers", num_workers)
    wait = check_number("wait", wait, 0, open_low=True)
    processes = {}
    with tempfile.TemporaryDirectory() as folder:
        job = {
            "DMLC_PS_ROOT_URI": "127.0.0.1",
            "DMLC_PS_ROOT_PORT": str(_free_port()),
            "DMLC_NODE_HOST": "127.0.0.1",
            "DMLC_INTERFACE": "lo",
            "DMLC_NUM_SERVER": "1",
            "DMLC_NUM_WORKER": str(num_workers),
            "D2L_RNN_SIGNS": folder,
        }
        serve = [sys.executable, "-c", SERVE]
        members = {role: (serve, {"DMLC_ROLE": role}) for role in SERVICES}
        for rank in range(num_workers):
            own = {"DMLC_ROLE": "worker", "DMLC_TASK_ID": str(rank)}
            members[f"worker {rank}"] = command, own
        try:
            for name, (program, own) in members.items():
                # Only the first worker writes to the terminal: errors, its progress.
                log = None if name == "worker 0" else Path(folder, f"{name}.log")
                processes[name] = _start(program, job | own, log)
            _watch(processes, Path(folder), wait)
        finally:
            for process in processes.values():
                _end(process)


SERVICES = ("scheduler", "server")
#: The program of scheduler and server: with their role set, MXNet does the work as it
#: is imported. Its standard input ends with the launcher, and so do they.
SERVE = """
import os, threading
threading.Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()
import d2l_rnn
"""


def _end_with_launcher():
    """End this process when the launcher does, however that ends."""

    def watch():
        if not os.read(0, 1):
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _start(command, variables, log):
    with contextlib.ExitStack() as stack:
        return subprocess.Popen(
            command,
            env=os.environ | variables,
            stdin=subprocess.PIPE,
            stderr=stack.enter_context(log.open("wb")) if log else None,
            start_new_session=True,  # its own group; Ctrl-C is the launcher's
        )


def _end(process):
    """End a process and those that it started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    process.stdin.close()


def _watch(processes, folder, wait):
    """Return when all workers have ended well; raise `WorkerLost` if one can't."""
    workers = [name for name in processes if name not in SERVICES]
    news = {name: (0, time.monotonic()) for name in workers}
    while True:
        codes = {name: process.poll() for name, process in processes.items()}
        for name, code in codes.items():
            if code:
                raise _lost(f"{name} {_how(code)}", folder / f"{name}.log")
        running = [name for name in workers if codes[name] is None]
        if not running:
            return
        for name in running:
            stamp = _last_sign(folder / name.split()[1])
            if stamp != news[name][0]:
                news[name] = stamp, time.monotonic()
        # All wait for the slowest, which gave its last sign before the others.
        slowest = min(running, key=news.get)
        stamp, since = news[slowest]
        if time.monotonic() - since > wait:
            what = "took no step" if stamp else "did not come"
            raise _lost(
                f"{slowest} {what} within {wait:g} s (allow a slow machine more: "
                f"wait=…)",
                folder / f"{slowest}.log",
            )
        time.sleep(0.02)


def _last_sign(path):
    """Return when a worker touched its file, 0 if it never did."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _how(code):
    """Say how a process ended.

    >>> _how(-9), _how(3)
    ('was killed by SIGKILL', 'ended with exit code 3')
    """
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _lost(what, log):
    """Return the error, with the last words that the process wrote to its log."""
    words = log.read_text("utf-8", "replace").strip() if log.exists() else ""
    last = f"\nIts last words:\n{words[-2000:]}" if words else ""
    return WorkerLost(
        f"{what}. All processes of the job were ended. Start it again: with "
        f"train(checkpoint=…) it goes on from the last epoch that was written.{last}"
    )
