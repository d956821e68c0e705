"""Files of models and training runs: whole, refused, or never there."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from d2l_rnn import checkpoint
from d2l_rnn.checkpoint import load_model, read, save_model, write
from d2l_rnn.classifiers import SequenceClassifier
from d2l_rnn.datasets import LabelledBatches
from d2l_rnn.models import GluonModel, LastStep, ScratchModel, rnn_model
from d2l_rnn.regularized import RegularizedModel
from d2l_rnn.sampling import ConsecutiveBatches, RandomBatches
from d2l_rnn.text import Vocab
from d2l_rnn.training import TrainingDiverged, train

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import gluon, nd

ROOT = Path(__file__).resolve().parent.parent
ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([1, 2], dtype=np.int32)}
INFO = {"kind": "test", "words": ["é", "詞"], "numbers": [1.5, None]}

MODELS = {
    "rnn_model": lambda: rnn_model(5, 4, cell="lstm", num_layers=2, dropout=0.2),
    "bidirectional": lambda: rnn_model(5, 4, cell="gru", bidirectional=True),
    "last step": lambda: LastStep(rnn_model(5, 4)),
    "gluon": lambda: GluonModel(gluon.rnn.LSTM(4, 2), 5, embed_size=3),
    "gluon relu": lambda: GluonModel(gluon.rnn.RNN(4), 5, dropout=0.1),
    "regularized": lambda: RegularizedModel(
        5, 4, embed_size=3, cell="gru", num_layers=2, recurrent_dropout=0.2, tied=True
    ),
    "classifier": lambda: SequenceClassifier(
        4, 5, num_inputs=3, cell="gru", num_layers=2, bidirectional=True, read="mean"
    ),
}


# Models


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_as_it_was(name, tmp_path):
    model = MODELS[name]()
    rng = np.random.default_rng(3)
    for param in model.params.values():
        param[:] = rng.normal(size=param.shape)
    save_model(tmp_path / "m", model)
    again, vocab = load_model(tmp_path / "m")
    assert vocab is None
    assert type(again) is type(model)
    assert again.settings == model.settings
    shape = (2, 6, 3) if name == "classifier" else (2, 6)
    X = nd.array(rng.integers(5, size=shape))
    for one, other in zip(
        model(X, model.begin_state(2)), again(X, again.begin_state(2)), strict=True
    ):
        one, other = (x if isinstance(x, tuple) else (x,) for x in (one, other))
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())


def test_half_precision_is_half_the_file(tmp_path):
    model = RegularizedModel(5, 64, embed_size=16)
    save_model(tmp_path / "single", model)
    save_model(tmp_path / "half", model, dtype="float16")
    sizes = [(tmp_path / name).stat().st_size for name in ("single", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    again, _ = load_model(tmp_path / "half")
    for name, param in model.params.items():
        expected = param.asnumpy().astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(again.params[name].asnumpy(), expected)
    with pytest.raises(ValueError, match="dtype must be one of"):
        save_model(tmp_path / "x", model, dtype="int8")


def test_a_vocabulary_comes_back_as_it_was(tmp_path):
    for vocab in (Vocab("abc€詞"), Vocab(["so", "it"], unk=True, pad=True)):
        save_model(tmp_path / "m", rnn_model(len(vocab), 2), vocab)
        again = load_model(tmp_path / "m")[1]
        assert again.tokens == vocab.tokens
        assert (again.unk, again.pad) == (vocab.unk, vocab.pad)


def test_a_model_put_together_by_hand_is_refused(tmp_path):
    model = rnn_model(5, 4)
    own = ScratchModel(model.forward, model.params, vocab_size=5, num_hiddens=4)
    for hand_made in (own, LastStep(own)):
        with pytest.raises(ValueError, match="put together by hand"):
            save_model(tmp_path / "m", hand_made)
    assert not list(tmp_path.iterdir())


def test_other_files_are_no_models(tmp_path):
    write(tmp_path / "m", ARRAYS, INFO)
    with pytest.raises(ValueError, match="holds a 'test', not a model"):
        load_model(tmp_path / "m")
    write(tmp_path / "m", ARRAYS, {"kind": "model", "model": {"kind": "Transformer"}})
    with pytest.raises(ValueError, match="unknown kind 'Transformer'"):
        load_model(tmp_path / "m")


# Files


def test_arrays_and_info_come_back(tmp_path):
    write(tmp_path / "f", ARRAYS, INFO)
    arrays, info = read(tmp_path / "f")
    assert info == INFO
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_a_view_is_written_in_its_own_order(tmp_path):
    write(tmp_path / "f", {"t": ARRAYS["a"].T}, {})
    np.testing.assert_array_equal(read(tmp_path / "f")[0]["t"], ARRAYS["a"].T)


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    path = tmp_path / "f"
    write(path, ARRAYS, INFO)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut short|no checkpoint"):
            read(path)


def test_a_changed_byte_anywhere_is_noticed(tmp_path):
    path = tmp_path / "f"
    write(path, ARRAYS, INFO)
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0b101
        path.write_bytes(changed)
        try:
            arrays, info = read(path)
        except ValueError:
            continue
        # JSON has more than one way to write the same thing.
        assert info == INFO
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(arrays[name], array)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300))
def test_random_bytes_are_refused(tmp_path_factory, noise, place):
    path = tmp_path_factory.getbasetemp() / "noise"
    path.write_bytes(noise)
    with pytest.raises(ValueError, match="no checkpoint"):
        read(path)
    write(path, ARRAYS, INFO)
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + noise + whole[place + len(noise) :])
    try:
        assert read(path)[1] == INFO
    except ValueError:
        pass


def test_a_newer_version_asks_for_an_update(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "VERSION", 2)
    write(tmp_path / "f", ARRAYS, INFO)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"has version 2 .* update the pack"):
        read(tmp_path / "f")


def test_a_pickle_is_refused_unread(tmp_path):
    np.save(tmp_path / "f.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="no checkpoint of this package"):
        read(tmp_path / "f.npy")


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no file: check the name"):
        read(tmp_path / "f")
    with pytest.raises(FileNotFoundError, match="a folder that is not there"):
        write(tmp_path / "no" / "f", ARRAYS, INFO)


@pytest.mark.parametrize("name", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_while_writing_leaves_the_old_file(
    name, error, tmp_path, monkeypatch
):
    def fail(*_):
        raise error

    write(tmp_path / "f", ARRAYS, INFO)
    monkeypatch.setattr(checkpoint.os, name, fail)
    with pytest.raises(error):
        write(tmp_path / "f", ARRAYS, {"kind": "newer"})
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert read(tmp_path / "f")[1] == INFO


# Training runs

IDS = np.random.default_rng(0).integers(5, size=400)
VALID = np.random.default_rng(1).integers(5, size=60)


def text_run(cls=RandomBatches, make=MODELS["rnn_model"], **options):
    """Return a function that trains a new model with a checkpoint."""

    def run(path, epochs):
        mx.random.seed(7)
        model = make()
        batches = cls(IDS, batch_size=4, num_steps=10, seed=2)
        settings = {"lr": 0.02, "optimizer": "adam", "clip": 1.0} | options
        history = train(model, batches, epochs=epochs, checkpoint=path, **settings)
        return model, history

    return run


def labelled_run(path, epochs):
    mx.random.seed(7)
    model = SequenceClassifier(6, 2, vocab_size=5, embed_size=3, dropout=0.3)
    X = IDS.reshape(80, 5)
    batches = LabelledBatches(X[:60], X[:60, 0] % 2, 16)
    held_out = LabelledBatches(X[60:], X[60:, 0] % 2, 16, shuffle=False)
    options = {"lr": 0.01, "optimizer": "rmsprop", "valid": held_out}
    return model, train(model, batches, epochs=epochs, checkpoint=path, **options)


RUNS = {
    "adam, dropout": text_run(),
    "consecutive": text_run(ConsecutiveBatches),
    "sgd": text_run(optimizer="sgd", lr=0.5),
    "nadam": text_run(optimizer="nadam"),
    "adagrad": text_run(optimizer="adagrad"),
    "schedule": text_run(lr=lambda step: 0.05 / (1 + step)),
    "held out": text_run(valid=VALID, patience=9),
    "average": text_run(average=0.9),
    "average, held out": text_run(average=0.9, valid=VALID, patience=9),
    "gluon": text_run(make=MODELS["gluon relu"]),
    "classifier": labelled_run,
}


def assert_same(one, other):
    """Weights and history are the same to the last bit, but for the speed."""
    (model, history), (model_2, history_2) = one, other
    for name, param in model.params.items():
        np.testing.assert_array_equal(
            param.asnumpy(), model_2.params[name].asnumpy(), err_msg=name
        )
    for name, record in vars(history).items():
        if name != "tokens_per_second":
            assert record == getattr(history_2, name), name


@pytest.mark.parametrize("name", RUNS)
def test_a_resumed_run_ends_as_one_that_went_through(name, tmp_path):
    through = RUNS[name](tmp_path / "through", 6)
    for epochs in (1, 2, 4, 6):
        resumed = RUNS[name](tmp_path / "resumed", epochs)
    assert_same(through, resumed)
    assert len(resumed[1].tokens_per_second) == 6


def test_a_finished_run_is_read_and_not_trained_on(tmp_path):
    done = RUNS["held out"](tmp_path / "f", 4)
    before = (tmp_path / "f").read_bytes()
    assert_same(done, RUNS["held out"](tmp_path / "f", 4))
    assert_same(done, RUNS["held out"](tmp_path / "f", 2))
    assert (tmp_path / "f").read_bytes() == before


def test_a_run_out_of_patience_stays_so_with_its_best_weights(tmp_path):
    run = text_run(valid=VALID, patience=2, lr=0.1)
    model, history = run(tmp_path / "f", 50)
    assert history.num_epochs < 50
    scores = history.valid_perplexity
    assert scores.index(min(scores)) == len(scores) - 3
    assert_same((model, history), run(tmp_path / "f", 50))


def test_a_checkpoint_changes_nothing_without_dropout(tmp_path):
    make = MODELS["bidirectional"]
    assert_same(text_run(make=make)(None, 3), text_run(make=make)(tmp_path / "f", 3))


def test_the_seed_of_a_run_is_one_of_many_and_follows_mxnets(tmp_path):
    seeds = []
    for k in [*range(8), 0]:
        mx.random.seed(k)
        path = tmp_path / str(len(seeds))
        train(
            rnn_model(5, 4), RandomBatches(IDS, 8, 5), epochs=1, lr=1, checkpoint=path
        )
        seeds.append(read(path)[1]["seed"])
    assert seeds[8] == seeds[0]
    assert len(set(seeds)) == 8
    assert 2**30 < max(seeds) < 2**31


def test_after_ctrl_c_the_last_epoch_is_in_the_file(tmp_path):
    class Interrupted(RandomBatches):
        def __iter__(self):
            for i, pair in enumerate(super().__iter__()):
                if self.epoch == 3 and i == 2:
                    raise KeyboardInterrupt
                yield pair

    through = text_run()(tmp_path / "through", 4)
    # The kind of batches is part of the run, so give it the same name.
    Interrupted.__name__ = "RandomBatches"
    _, history = text_run(Interrupted)(tmp_path / "f", 4)
    assert history.interrupted
    assert history.num_epochs == 2
    assert_same(through, text_run()(tmp_path / "f", 4))


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (text_run(lr=0.03), "a run with lr = 0.02, this one has 0.03"),
        (text_run(optimizer="sgd"), "optimizer = 'adam', this one has 'sgd'"),
        (text_run(clip=None), "clip = 1.0, this one has None"),
        (text_run(ConsecutiveBatches), "batches = 'RandomBatches', this one"),
        (text_run(make=lambda: rnn_model(5, 3)), "a run with model = "),
    ],
)
def test_another_run_does_not_go_on_from_it(run, message, tmp_path):
    text_run()(tmp_path / "f", 1)
    before = (tmp_path / "f").read_bytes()
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "f", 2)
    assert (tmp_path / "f").read_bytes() == before


def test_a_model_file_is_not_taken_for_a_run_nor_overwritten(tmp_path):
    save_model(tmp_path / "f", rnn_model(5, 4))
    before = (tmp_path / "f").read_bytes()
    with pytest.raises(ValueError, match="holds a 'model', not a training run"):
        text_run()(tmp_path / "f", 1)
    assert (tmp_path / "f").read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        *[{"step": bad} for bad in ("three", -1, 2.5, None, 2**31)],
        *[{name: 2**31} for name in ("seed", "epoch")],
        *[{"optimizer": {"rescale_grad": bad}} for bad in (1e31, "1", None)],
        {"optimizer": {"idx2name": 1.0}},
        {"counts": [[0, 2**31]]},
        {"history": {"train_perplexity": [2.0], "grad_norm": ["long"]}},
    ],
    ids=str,
)
def test_a_run_that_is_told_otherwise_is_refused_and_changes_nothing(change, tmp_path):
    text_run()(tmp_path / "f", 1)
    arrays, info = read(tmp_path / "f")
    write(tmp_path / "f", arrays, info | change)
    model = rnn_model(5, 4, cell="lstm", num_layers=2, dropout=0.2, seed=3)
    before = model.get_weights()
    with pytest.raises(ValueError, match="tells of a training run in another way"):
        text_run(make=lambda: model)(tmp_path / "f", 2)
    for name, param in model.params.items():
        assert (param == before[name]).asnumpy().all()


@pytest.mark.parametrize("name", ["weights/b_q", "best/b_q", "optimizer/0/0"])
def test_a_run_with_an_array_of_another_shape_is_refused(name, tmp_path):
    """MXNet would stretch an array of one number."""
    text_run()(tmp_path / "f", 1)
    arrays, info = read(tmp_path / "f")
    write(tmp_path / "f", arrays | {name: np.zeros(1, dtype=np.float32)}, info)
    with pytest.raises(ValueError, match=r"in another way .*shape \(1,\) in place of"):
        text_run()(tmp_path / "f", 2)


def test_a_run_may_have_been_long(tmp_path):
    text_run()(tmp_path / "f", 1)
    arrays, info = read(tmp_path / "f")
    steps = 10**6
    counts = [[i, steps] for i, _ in info["counts"]]
    long = {"counts": counts, "step": steps, "epoch": steps}
    write(tmp_path / "f", arrays, info | long)
    _, history = text_run()(tmp_path / "f", 2)
    assert history.num_epochs == 2
    assert read(tmp_path / "f")[1]["step"] == steps + len(history.step_norms) // 2


@pytest.mark.parametrize("settings", [None, [], "lr"])
def test_a_run_without_settings_is_another_one(settings, tmp_path):
    text_run()(tmp_path / "f", 1)
    arrays, info = read(tmp_path / "f")
    write(tmp_path / "f", arrays, info | {"settings": settings})
    with pytest.raises(ValueError, match="a run with lr = None, this one"):
        text_run()(tmp_path / "f", 2)


def test_a_resumed_run_that_diverges_at_once_keeps_the_weights_of_the_file(tmp_path):
    expected, _ = text_run()(tmp_path / "f", 1)
    model = MODELS["rnn_model"]()
    run = text_run(make=lambda: model, reduce=lambda loss, size, grads: (np.nan, size))
    with pytest.raises(TrainingDiverged, match="in epoch 2, step 1;"):
        run(tmp_path / "f", 2)
    for name, param in model.params.items():
        assert (param == expected.params[name]).asnumpy().all()


def test_batches_must_say_where_they_are(tmp_path):
    class Plain(list):
        carries_state = False

    batches = Plain(RandomBatches(IDS, 4, 10))
    with pytest.raises(ValueError, match="batches that count their epochs"):
        train(rnn_model(5, 4), batches, epochs=1, lr=1, checkpoint=tmp_path / "f")


# Killed at any moment

SCRIPT = textwrap.dedent(
    """
    import sys
    import d2l_rnn
    import mxnet as mx
    import numpy as np
    from d2l_rnn.checkpoint import save_model
    from d2l_rnn.models import rnn_model
    from d2l_rnn.sampling import ConsecutiveBatches
    from d2l_rnn.training import train

    mx.random.seed(1)
    ids = np.random.default_rng(0).integers(5, size=400)
    model = rnn_model(5, 8, cell="gru", num_layers=2, dropout=0.3)
    print("ready", flush=True)
    history = train(
        model, ConsecutiveBatches(ids, 4, 10), epochs=25, lr=0.01, optimizer="adam",
        clip=1.0, valid=ids[:50], patience=40, checkpoint=sys.argv[1],
    )
    save_model(sys.argv[2], model)
    print(repr((history.train_perplexity, history.valid_perplexity,
                history.grad_norm, history.step_norms)))
    """
)


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "D2L_RNN_PROGRESS": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("seed", range(4, 4 + int(os.environ.get("FUZZ", 1))))
def test_a_run_killed_again_and_again_ends_as_one_that_went_through(tmp_path, seed):
    through = start(tmp_path / "a", tmp_path / "model_a")
    expected = through.communicate(timeout=120)[0]
    assert through.returncode == 0
    moments, kills, found = random.Random(seed), 0, None
    while found is None:
        process = start(tmp_path / "b", tmp_path / "model_b")
        assert process.stdout.readline() == "ready\n"
        if kills < 4:
            time.sleep(moments.uniform(0.05, 0.6))
            process.kill()
        rest = process.communicate(timeout=120)[0]
        if process.returncode == 0:
            found = "ready\n" + rest
        else:
            assert process.returncode == -signal.SIGKILL
            kills += 1
    print(f"killed {kills} times")
    assert kills >= 2
    assert found == expected
    assert (tmp_path / "model_b").read_bytes() == (tmp_path / "model_a").read_bytes()
