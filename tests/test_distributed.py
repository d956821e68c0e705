"""Several processes train as one does; what goes wrong is told, and nothing stays."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from d2l_rnn import distributed
from d2l_rnn.checkpoint import load_model, read
from d2l_rnn.datasets import LabelledBatches
from d2l_rnn.distributed import Group, RowShare, WorkerLost, launch
from d2l_rnn.sampling import ConsecutiveBatches

import numpy as np
import pytest
from mxnet import nd

ROOT = Path(__file__).resolve().parent.parent
IDS = np.random.default_rng(0).integers(5, size=200)


# Shares


@pytest.mark.parametrize("num_workers", [1, 2, 3, 7])
def test_shares_are_the_rows_in_order_and_differ_by_one_at_most(num_workers):
    def batches():
        return ConsecutiveBatches(IDS, batch_size=7, num_steps=4, seed=3)

    shares = [RowShare(batches(), rank, num_workers) for rank in range(num_workers)]
    for whole, *parts in zip(batches(), *shares, strict=True):
        for i, joint in enumerate(whole):
            rows = [part[i].asnumpy() for part in parts]
            np.testing.assert_array_equal(np.concatenate(rows), joint.asnumpy())
            sizes = [len(r) for r in rows]
            assert max(sizes) - min(sizes) <= 1


def test_a_share_is_as_its_batches_otherwise():
    batches = ConsecutiveBatches(IDS, batch_size=4, num_steps=4)
    share = RowShare(batches, 0, 2)
    assert share.carries_state
    assert share.ids is batches.ids
    share.epoch = 5
    assert batches.epoch == share.epoch == 5
    with pytest.raises(AttributeError):
        share.nothing  # noqa: B018


def test_fewer_rows_than_workers_are_refused():
    batches = LabelledBatches(np.zeros((5, 3), dtype=int), [0] * 5, batch_size=4)
    share = iter(RowShare(batches, 1, 2))
    assert next(share)[0].shape == (2, 3)
    with pytest.raises(ValueError, match=r"minibatch of 1 rows for 2 workers: use a"):
        next(share)


@pytest.mark.parametrize("rank", [-1, 2, 0.5, None])
def test_a_rank_lies_among_the_workers(rank):
    with pytest.raises(ValueError, match=r"rank must lie in 0\.\.1, got"):
        RowShare([], rank, 2)


# The exchange, with a store in place of the other workers


class Store:
    """Adds what two other workers send; both are given beforehand."""

    def __init__(self, *others):
        self.others = others
        self.known = []

    def init(self, keys, values):
        assert not set(keys) & set(self.known)
        self.known += keys

    def push(self, keys, values):
        assert set(keys) <= set(self.known)
        self.sums = [
            nd.add_n(value, *(other[i] for other in self.others))
            for i, value in enumerate(values)
        ]

    def pull(self, keys, out):
        for array, total in zip(out, self.sums, strict=True):
            array[:] = total


def test_means_over_unequal_shares_become_the_joint_mean(tmp_path):
    group = Group.__new__(Group)
    group._keys, group._sign = {}, tmp_path / "0"
    # Sums over 10 and 20 tokens: mean losses 2 and 4, mean gradients 1 and -1.
    group.store = Store(
        [nd.array([20, 10]), nd.array([10, 10])],
        [nd.array([80, 20]), nd.array([-20, -20])],
    )
    for _ in range(2):
        grads = [nd.array([3.0, 0.0])]
        loss, size = group.reduce(5.0, 30, grads)
        assert (loss, size) == (pytest.approx((150 + 20 + 80) / 60), 60)
        assert isinstance(size, int)
        np.testing.assert_allclose(grads[0].asnumpy(), [80 / 60, -10 / 60], rtol=1e-6)
    assert group.store.known == [0, 1]
    assert group._sign.exists()
    # Another model has other places in the store.
    group.store.others = ([nd.array([1, 1]), nd.array([1]), nd.array([1])],)
    assert group.reduce(1.0, 1, [nd.ones(1), nd.ones(1)]) == (1, 2)
    assert group.store.known == [0, 1, 2, 3, 4]


def test_only_a_worker_of_a_job_has_a_group():
    with pytest.raises(RuntimeError, match=r"no worker of a job: .* launch\(command"):
        Group()


# Jobs


def members(launcher):
    """Return the process ids of a launcher's children by their part in the job."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            environ = (entry / "environ").read_bytes().decode().split("\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if parent == launcher:
            variables = dict(v.split("=", 1) for v in environ if "=" in v)
            role, rank = variables.get("DMLC_ROLE"), variables.get("DMLC_TASK_ID")
            if role:
                found[role if rank is None else f"{role} {rank}"] = int(entry.name)
    return found


def listening(pids):
    """Return the addresses at which processes listen, as the kernel writes them."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(link)
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return [line[1] for line in lines if line[3] == "0A" and line[9] in inodes]


def eventually(condition, seconds=900):
    """Wait until a condition holds; return what it gave."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return result


EPOCHS = ("--epochs", "8")


@pytest.fixture
def start():
    """Return a function that starts a job; what still runs in the end is killed."""
    with contextlib.ExitStack() as stack:

        def start(folder):
            job = subprocess.Popen(
                [sys.executable, "tools/cluster.py", "2", "--out", folder, *EPOCHS],
                cwd=ROOT,
                env=os.environ | {"D2L_RNN_PROGRESS": "0", "PYTHONWARNINGS": "ignore"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(job)
            stack.callback(job.kill)
            return job

        yield start


def wait_for_epoch(job, folder, epoch):
    """Return the job's members when a number of epochs has been written."""
    path = folder / "run.safetensors"

    def written():
        assert job.poll() is None, job.communicate()
        return path.exists() and len(read(path)[1]["history"]["clipped"]) >= epoch

    eventually(written)
    pids = members(job.pid)
    assert set(pids) == {"scheduler", "server", "worker 0", "worker 1"}
    return pids


def gone(pids):
    return not any(Path(f"/proc/{pid}").exists() for pid in pids.values())


def test_a_job_that_loses_a_worker_ends_as_one_process_does(start, tmp_path):
    through, broken = tmp_path / "through", tmp_path / "broken"
    job = start(through)
    output, errors = job.communicate(timeout=900)
    assert (job.returncode, errors) == (0, "")
    assert "so they are the same to 1e-05" in output
    assert [path.name for path in through.iterdir()] == ["model.safetensors"]

    job = start(broken)
    pids = wait_for_epoch(job, broken, 1)
    addresses = listening(pids.values())
    assert len(addresses) >= 4
    assert {a.partition(":")[0] for a in addresses} == {"0100007F"}  # 127.0.0.1
    os.kill(pids["worker 1"], signal.SIGKILL)
    output, errors = job.communicate(timeout=900)
    assert job.returncode == 1
    assert errors.startswith("worker 1 was killed by SIGKILL. All processes of the job")
    assert gone(pids)
    for port in (int(a.partition(":")[2], 16) for a in addresses):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))

    job = start(broken)
    output, errors = job.communicate(timeout=900)
    assert (job.returncode, errors) == (0, "")
    assert output.startswith("A job of 2 workers goes on:\n")
    assert "so they are the same to 1e-05" in output
    # Two summands have one order, so that the joint gradients agree in every bit.
    assert_same_bits(through / "model.safetensors", broken / "model.safetensors")


def assert_same_bits(one, other):
    one, other = load_model(one)[0].params, load_model(other)[0].params
    for name, param in one.items():
        np.testing.assert_array_equal(param.asnumpy(), other[name].asnumpy())


def test_a_worker_that_fails_is_named():
    message = (
        r"^worker 0 ended with exit code 3\. All processes .* Start it again: with"
    )
    with pytest.raises(WorkerLost, match=message):
        launch([sys.executable, "-S", "-c", "raise SystemExit(3)"], 1)
    assert not members(os.getpid())


def watch(monkeypatch, folder, *, until, wait):
    """Watch workers that give signs until certain seconds; return what is said.

    The clock is a made-up one.
    """
    clock = SimpleNamespace(now=0.0)

    def sleep(seconds):
        clock.now += seconds
        for name, end in until.items():
            if clock.now < end:
                path = folder / name.split()[1]
                path.touch()
                os.utime(path, ns=(0, int(clock.now * 1e9)))

    clock.sleep, clock.monotonic = sleep, lambda: clock.now
    monkeypatch.setattr(distributed, "time", clock)
    running = SimpleNamespace(poll=lambda: None)
    with pytest.raises(WorkerLost) as caught:
        distributed._watch(dict.fromkeys(until, running), folder, wait)
    return str(caught.value), clock.now


def test_a_worker_that_does_not_come_is_named(monkeypatch, tmp_path):
    until = {"worker 0": 99, "worker 1": 0}
    message, now = watch(monkeypatch, tmp_path, until=until, wait=5)
    assert message.startswith("worker 1 did not come within 5 s (allow a slow machine")
    assert now == pytest.approx(5, abs=0.1)


def test_of_workers_that_stand_still_the_first_is_named(monkeypatch, tmp_path):
    # All wait for worker 1 after its last step, and give one more sign before.
    until = {"worker 0": 7.1, "worker 1": 7, "worker 2": 7.1}
    message, now = watch(monkeypatch, tmp_path, until=until, wait=5)
    assert message.startswith("worker 1 took no step within 5 s (allow a slow machine")
    assert now == pytest.approx(12, abs=0.1)


def test_those_who_have_ended_are_not_waited_for(monkeypatch, tmp_path):
    done = SimpleNamespace(poll=lambda: 0)
    processes = {"scheduler": SimpleNamespace(poll=lambda: None), "worker 0": done}
    assert distributed._watch(processes, tmp_path, 1) is None


def test_the_last_words_of_a_worker_are_told():
    # Only the second fails; the first writes to the terminal by itself.
    program = (
        "import os, sys, time\n"
        "if os.environ['DMLC_TASK_ID'] == '0': time.sleep(60)\n"
        "sys.exit('no such corpus')"
    )
    with pytest.raises(WorkerLost, match=r"^worker 1 .*code 1\.") as caught:
        launch([sys.executable, "-S", "-c", program], 2)
    assert str(caught.value).endswith("\nIts last words:\nno such corpus")
    assert not members(os.getpid())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_launcher(number):
    # The workers read what ends with the launcher, as a Group does.
    # A process started in the background ignores SIGINT: hence the handler.
    program = (
        "import signal, sys\n"
        "from d2l_rnn.distributed import launch\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "launch([sys.executable, '-S', '-c', 'import os; os.read(0, 1)'], 2)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as launcher:
        pids = eventually(lambda: len(m := members(launcher.pid)) == 4 and m)
        launcher.send_signal(number)
        errors = launcher.communicate(timeout=900)[1]
    assert errors.endswith("KeyboardInterrupt\n") == (number == signal.SIGINT)
    eventually(lambda: gone(pids))


def test_a_worker_ends_with_the_launcher():
    program = (
        "import time\n"
        "from d2l_rnn.distributed import _end_with_launcher\n"
        "_end_with_launcher()\n"
        "time.sleep(900)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, cwd=ROOT, timeout=900)
    assert done.returncode == 1


def test_a_failing_block_ends_the_process_at_once():
    program = (
        "from d2l_rnn.distributed import Group\n"
        "with Group.__new__(Group):\n"
        "    raise ValueError('of mine')\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: of mine\n")


def test_a_program_that_is_not_there_leaves_nothing_behind():
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        launch(["no-such-program"], 1)
    assert not members(os.getpid())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_workers": 0}, ValueError, "num_workers must be a whole number"),
        ({"num_workers": 1.5}, TypeError, "num_workers must be a whole number"),
        ({"wait": 0}, ValueError, "wait must be a finite number above 0, got 0"),
    ],
)
def test_bad_arguments_start_nothing(options, error, message, monkeypatch):
    monkeypatch.setattr(distributed, "_start", None)
    with pytest.raises(error, match=message):
        launch(["true"], **({"num_workers": 1} | options))
