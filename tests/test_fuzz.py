"""Readers of texts and checkpoints survive any file: they read it, or name it.

`make fuzz` tries FUZZ times as many files as `make test`, other ones each time.
What a reader holds at any moment is bounded by what it is allowed to read: five times
`text.MAX_BYTES` for a corpus, twenty times the file, and a little, for a checkpoint.
"""

import copy
import gzip
import io
import json
import os
import random
import time
import tracemalloc
import zipfile
from contextlib import contextmanager

from d2l_rnn import checkpoint, text
from d2l_rnn.classifiers import SequenceClassifier
from d2l_rnn.models import GluonModel, LastStep, rnn_model
from d2l_rnn.sampling import RandomBatches
from d2l_rnn.text import DATA, Vocab, load_corpus
from d2l_rnn.training import TrainingDiverged, train

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mxnet import gluon

TIMES = int(os.environ.get("FUZZ", 1))
LITTLE = 2_000_000
SECONDS = 5


def some(number):
    """Return Hypothesis settings for so many files, the same ones in each quick run."""
    return settings(
        deadline=None,
        max_examples=number * TIMES,
        derandomize=TIMES == 1,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


@contextmanager
def bounded(limit):
    """Fail where what is inside takes more than ``limit`` bytes, or many seconds."""
    start = time.process_time()
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit
    assert time.process_time() - start < SECONDS


def read_or_refuse(reader, path, limit, also=()):
    """Return what is read, or None; only an error that names the file may come."""
    with bounded(limit):
        try:
            return reader(path)
        except ValueError as error:
            message = str(error)
        except also:
            return None
    names = ("source", "path", "checkpoint")
    assert message.startswith(tuple(f"{name} {str(path)!r} " for name in names))
    assert "Stack trace" not in message


def damaged(data, changes, cut):
    """Return a copy of a file's bytes with some of them changed, its end cut off."""
    data = bytearray(data)
    for place, byte in changes:
        data[place % len(data)] = byte
    return bytes(data[: len(data) - cut % len(data)])


noise = st.binary(max_size=300)
changes = st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 255)), max_size=5)
cuts = st.one_of(st.just(0), st.integers(0, 10**7))

# --- corpora

FABLE = (DATA / "belling_the_cat.txt").read_bytes()
LIMIT = 1_000_000


@pytest.fixture(autouse=True)
def a_low_limit(monkeypatch):
    monkeypatch.setattr(text, "MAX_BYTES", LIMIT)


def zipped(data, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("a.txt", data)
    return buffer.getvalue()


CORPORA = {".txt": FABLE, ".gz": gzip.compress(FABLE, mtime=0), ".zip": zipped(FABLE)}
STARTS = {".txt": b"", ".gz": b"\x1f\x8b\x08", ".zip": b"PK\3\4"}


def try_corpus(path, data):
    path.write_bytes(data)
    read_or_refuse(load_corpus, path, 5 * LIMIT)


@pytest.mark.parametrize("suffix", CORPORA)
@given(data=noise)
@some(40)
def test_any_bytes_are_a_corpus_or_refused(tmp_path, suffix, data):
    for start in (b"", STARTS[suffix]):
        try_corpus(tmp_path / f"a{suffix}", start + data)


@pytest.mark.parametrize("suffix", CORPORA)
@given(changes=changes, cut=cuts)
@some(40)
def test_a_damaged_corpus_is_read_or_refused(tmp_path, suffix, changes, cut):
    try_corpus(tmp_path / f"a{suffix}", damaged(CORPORA[suffix], changes, cut))


@pytest.mark.parametrize("suffix", [".txt", ".gz", ".zip", "bzip2.zip", "lzma.zip"])
def test_a_bomb_takes_five_times_the_limit_at_most(tmp_path, suffix):
    zeros = bytes(20_000_000)
    ways = {"bzip2.zip": zipfile.ZIP_BZIP2, "lzma.zip": zipfile.ZIP_LZMA}
    path = tmp_path / f"a{suffix}"
    if suffix.endswith(".zip"):
        zeros = zipped(zeros, ways.get(suffix, zipfile.ZIP_DEFLATED))
    path.write_bytes(gzip.compress(zeros) if suffix == ".gz" else zeros)
    del zeros
    with bounded(5 * LIMIT), pytest.raises(ValueError, match=r"limit|another way"):
        load_corpus(path)


# --- checkpoints

MODELS = {
    "rnn_model": lambda: rnn_model(3, 4, cell="lstm", num_layers=2),
    "last step": lambda: LastStep(rnn_model(3, 4)),
    "gluon": lambda: GluonModel(gluon.rnn.RNN(4, 2), 3, embed_size=3),
    "classifier": lambda: SequenceClassifier(4, 3, vocab_size=3, embed_size=2),
}


def resume(path):
    """Go on with a training run, for an epoch at most."""
    model = rnn_model(3, 4)
    batches = RandomBatches([0, 1, 2] * 4, 1, 2)
    return train(model, batches, epochs=1, lr=0.1, optimizer="adam", checkpoint=path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the bytes of a model's file for each kind, and of a training run's."""
    path = tmp_path_factory.mktemp("checkpoints") / "c"
    resume(path)
    found = {"run": path.read_bytes()}
    for name, make in MODELS.items():
        checkpoint.save_model(path, make(), Vocab("abc"))
        found[name] = path.read_bytes()
    return found


def try_checkpoint(path, data, name):
    path.write_bytes(data)
    limit = 20 * len(data) + LITTLE
    read_or_refuse(checkpoint.read, path, limit)
    if name == "run":
        read_or_refuse(resume, path, limit, also=TrainingDiverged)
    else:
        read_or_refuse(checkpoint.load_model, path, limit)


@given(data=noise, length=st.integers(0, 400))
@some(60)
def test_any_bytes_are_no_checkpoint(tmp_path, data, length):
    path = tmp_path / "a"
    length = length.to_bytes(8, "little")
    for start in (b"", length, length + b"{"):
        path.write_bytes(start + data)
        assert read_or_refuse(checkpoint.read, path, LITTLE) is None


@given(name=st.sampled_from(["run", *MODELS]), changes=changes, cut=cuts)
@some(100)
def test_a_damaged_checkpoint_is_read_or_refused(tmp_path, files, name, changes, cut):
    try_checkpoint(tmp_path / "a", damaged(files[name], changes, cut), name)


ODD_VALUES = [None, True, -1, 0, 1.5, 10**9, 10**400, 1e300, float("nan"), "a", [], {}]


def forged(rng, arrays, info):
    """Return what a file might hold, had somebody else written it."""
    arrays, info = dict(arrays), copy.deepcopy(info)
    if rng.random() < 0.3:
        name = rng.choice(sorted(arrays))
        array = arrays.pop(name)
        if rng.random() < 0.7:
            arrays[name] = rng.choice([array[:1], array.astype("int8"), array * 1e30])
    place, keys = info, list(info)
    while keys:
        key = rng.choice(keys)
        inside = place[key]
        if not isinstance(inside, (dict, list)) or not inside or rng.random() < 0.2:
            place[key] = rng.choice(ODD_VALUES)
            break
        place, keys = (
            inside,
            list(inside if isinstance(inside, dict) else range(len(inside))),
        )
    return arrays, info


@given(name=st.sampled_from(["run", *MODELS]), seed=st.integers(0, 2**32))
@some(150)
def test_a_forged_checkpoint_is_read_or_refused(tmp_path, files, name, seed):
    path, rng = tmp_path / "a", random.Random(seed)
    path.write_bytes(files[name])
    checkpoint.write(path, *forged(rng, *checkpoint.read(path)))
    try_checkpoint(path, path.read_bytes(), name)


@pytest.mark.parametrize("text", ["[]", "5", '"a"', "[" * 100_000, "{", ""])
def test_a_checkpoint_with_other_info_is_refused(tmp_path, monkeypatch, text):
    path = tmp_path / "a"
    with monkeypatch.context() as patch:
        real = json.dumps
        patch.setattr(
            json, "dumps", lambda value, **more: text if value == {} else real(value)
        )
        checkpoint.write(path, {}, {})
    with pytest.raises(ValueError, match=r"was not made by this package .*use a file"):
        checkpoint.read(path)


@pytest.mark.parametrize("name", ["num_hiddens", "vocab_size", "num_layers"])
def test_a_checkpoint_cannot_ask_for_a_huge_model(tmp_path, name):
    path = tmp_path / "a"
    checkpoint.save_model(path, rnn_model(3, 4))
    arrays, info = checkpoint.read(path)
    info["model"][name] = 10**9
    checkpoint.write(path, arrays, info)
    message = r"its matrices have \d{10,} numbers, and the file holds 47"
    with bounded(LITTLE), pytest.raises(ValueError, match=message):
        checkpoint.load_model(path)


@pytest.mark.parametrize("name", ["num_hiddens", "vocab_size", "num_layers"])
@pytest.mark.parametrize("bad", [1e300, 2.5, -1, 10**400])
def test_a_checkpoint_cannot_ask_for_an_odd_size(tmp_path, name, bad):
    path = tmp_path / "a"
    checkpoint.save_model(path, rnn_model(3, 4))
    arrays, info = checkpoint.read(path)
    info["model"][name] = bad
    checkpoint.write(path, arrays, info)
    with pytest.raises(ValueError, match="tells of a model in another way"):
        checkpoint.load_model(path)
