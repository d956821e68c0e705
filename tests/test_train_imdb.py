"""The script that trains on the reader's IMDB, on tiny archives made here."""

import gzip
import io
import json
import re
import tarfile

from d2l_rnn.checkpoint import load_model, read
from d2l_rnn.datasets import LabelledBatches, Reviews

import numpy as np
import pytest
import train_imdb

SMALL = (
    "--vocab-size 12 --length 6 --embed-size 4 --num-hiddens 5 --batch-size 8 "
    "--lr 0.05 --valid-share 0.25 --epochs 4 --patience 4 --dropout 0.2"
).split()
WORDS = {"pos": ["good", "fine", "great"], "neg": ["bad", "dull", "worst"]}


def write_archive(path, *, seed=0, noise=0.0):
    """Write an archive of 24 reviews to train on and 8 to test, easy to tell apart."""
    rng, buffer = np.random.default_rng(seed), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for split, count in (("train", 12), ("test", 4)):
            for i in range(count):
                for label, other in (("pos", "neg"), ("neg", "pos")):
                    drawn = WORDS[other] if rng.random() < noise else WORDS[label]
                    kept = rng.choice([*drawn, "the", "a"], size=rng.integers(5, 9))
                    data = f"A {drawn[0]} <br />{' '.join(kept)}".encode()
                    name = f"aclImdb/{split}/{label}/{i}_{9 if label == 'pos' else 1}"
                    member = tarfile.TarInfo(f"{name}.txt")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    path.write_bytes(gzip.compress(buffer.getvalue(), mtime=0))
    return path


@pytest.fixture
def archive(tmp_path):
    return write_archive(tmp_path / "aclImdb_v1.tar.gz")


def weights(folder):
    model, _ = load_model(folder / "model.safetensors")
    return {name: param.asnumpy() for name, param in model.params.items()}


def run(archive, out, *options):
    return train_imdb.main([str(archive), "--out", str(out), *SMALL, *options])


def accuracies(output):
    pattern = r"(\w+) accuracy (\S+) ± (\S+) \((\S+) reviews\)"
    return {name: numbers for name, *numbers in re.findall(pattern, output)}


@pytest.fixture
def interrupt(monkeypatch):
    """Return a function that presses Ctrl-C within an epoch, counted from 0."""

    def at(epoch):
        whole = LabelledBatches.__iter__

        def broken(self):
            for number, batch in enumerate(whole(self)):
                if self.shuffle and self.epoch == epoch + 1 and number == 1:
                    raise KeyboardInterrupt
                yield batch

        monkeypatch.setattr(LabelledBatches, "__iter__", broken)
        return monkeypatch

    return at


def test_a_run_learns_and_leaves_a_model(archive, tmp_path, capsys):
    assert run(archive, tmp_path / "run") == 0
    output = capsys.readouterr().out
    assert "18 reviews to train on" in output
    assert re.findall(r"epoch (\d): \S+ nats", output) == ["1", "2", "3", "4"]
    assert accuracies(output) == {
        "validation": ["1.0000", "0.0000", "6"],
        "test": ["1.0000", "0.0000", "8"],
    }
    model, vocab = load_model(tmp_path / "run" / "model.safetensors")
    assert vocab.tokens[:2] == ["<pad>", "<unk>"]
    assert {"good", "bad", "br"} & set(vocab.tokens) == {"good", "bad"}
    assert model.num_classes == 2
    settings = json.loads((tmp_path / "run" / "settings.json").read_text("utf-8"))
    assert (settings["vocab_size"], settings["cut"]) == (12, "front")


def test_the_standard_error_is_that_of_a_share(archive):
    _, _, _, test = train_imdb.prepare(train_imdb.parse([str(archive), *SMALL]))

    class Guess:
        def begin_state(self, batch_size):
            return ()

        def __call__(self, X, state):  # always "positive"
            return np.tile([0.0, 1.0], (1, len(X), 1)), state

    class Labels(LabelledBatches):
        def __iter__(self):
            return ((X.asnumpy(), Y.asnumpy()) for X, Y in super().__iter__())

    half = Labels(test.X, test.Y, 3, shuffle=False)
    assert train_imdb.score(Guess(), half) == (0.5, (0.25 / 8) ** 0.5, 8)


def test_the_parts_share_nothing_and_the_vocabulary_comes_from_one(monkeypatch):
    texts = [f"{a}{b}" for a in "abcdef" for b in "abcd"]  # a word of its own for each
    labels = np.arange(24, dtype=np.int32) % 2
    reviews = Reviews(texts, labels, ["aa", "zz"], np.array([0, 1], dtype=np.int32))
    monkeypatch.setattr(train_imdb, "load_imdb", lambda path, word_index: reviews)
    args = train_imdb.parse(["x", *SMALL, "--vocab-size", "100", "--length", "1"])
    vocab, part, valid, test = train_imdb.prepare(args)
    kept = [vocab.tokens[i] for i in part.X[:, 0]]
    assert sorted(kept) == vocab.tokens[2:]
    assert len(kept) == 18
    assert part.Y.tolist() == [labels[texts.index(word)] for word in kept]
    assert valid.X.tolist() == [[vocab.encode(["<unk>"])[0]]] * 6
    assert sorted([*part.Y, *valid.Y]) == sorted(labels)
    assert (len(test.X), test.Y.tolist()) == (2, [0, 1])


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_resumed_run_equals_one_that_was_never_interrupted(
    archive, tmp_path, capsys, interrupt, epoch
):
    assert run(archive, tmp_path / "whole") == 0
    whole = capsys.readouterr().out
    pressed = interrupt(epoch)
    assert run(archive, tmp_path / "parts") == 130
    output = capsys.readouterr().out
    assert f"epoch {epoch}:" in output
    assert f"epoch {epoch + 1}:" not in output
    assert "keeps the epochs that were completed: --resume goes on from it" in output
    assert (tmp_path / "parts" / "model.safetensors").is_file()
    pressed.undo()
    assert run(archive, tmp_path / "parts", "--resume") == 0
    output = capsys.readouterr().out
    assert accuracies(output) == accuracies(whole)
    for file in ("run.safetensors", "model.safetensors"):
        resumed, _ = read(tmp_path / "parts" / file)
        straight, _ = read(tmp_path / "whole" / file)
        assert set(resumed) == set(straight)
        for name, array in straight.items():
            np.testing.assert_array_equal(resumed[name], array)


def test_ctrl_c_before_an_epoch_is_done_says_so(archive, tmp_path, capsys, interrupt):
    interrupt(0)
    assert run(archive, tmp_path / "run") == 130
    assert "interrupted; no epoch was completed" in capsys.readouterr().out


def test_ctrl_c_while_reading_says_so(archive, tmp_path, capsys, monkeypatch):
    def press(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(train_imdb, "load_imdb", press)
    assert run(archive, tmp_path / "run") == 130
    assert "interrupted; no epoch was completed" in capsys.readouterr().out


def test_training_stops_when_patience_runs_out(tmp_path, capsys):
    archive = write_archive(tmp_path / "noisy.tar.gz", noise=0.5)
    options = ("--epochs", "30", "--patience", "1", "--lr", "0.2")
    assert run(archive, tmp_path / "run", *options) == 0
    output = capsys.readouterr().out
    assert "no better for 1 epochs: stopped" in output
    scores = [float(score) for score in re.findall(r"validation (\d\S+), ", output)]
    assert scores[-1] >= min(scores)
    assert 2 <= len(scores) < 30
    best = weights(tmp_path / "run")
    assert run(archive, tmp_path / "run", *options, "--resume") == 0  # nothing to do
    assert accuracies(capsys.readouterr().out) == accuracies(output)
    for name, weight in weights(tmp_path / "run").items():
        np.testing.assert_array_equal(weight, best[name])


def test_a_run_is_not_overwritten_nor_continued_with_others_settings(
    archive, tmp_path, capsys
):
    options = ("--epochs", "1")
    assert run(archive, tmp_path / "run", *options) == 0
    before = (tmp_path / "run" / "run.safetensors").read_bytes()
    assert run(archive, tmp_path / "run", *options) == 1
    assert "holds a run already: go on with --resume, or" in capsys.readouterr().err
    assert run(archive, tmp_path / "run", "--resume", "--length", "5") == 1
    error = capsys.readouterr().err
    assert "was begun with other length, data (see settings.json there)" in error
    other = write_archive(tmp_path / "other.tar.gz", seed=1)
    assert run(other, tmp_path / "run", "--resume") == 1
    assert "was begun with other data (see" in capsys.readouterr().err
    assert (tmp_path / "run" / "run.safetensors").read_bytes() == before


def test_resume_without_a_run_begins_one(archive, tmp_path):
    assert run(archive, tmp_path / "run", "--resume", "--epochs", "1") == 0


def test_the_folder_is_beside_the_archive_by_default(archive, tmp_path):
    assert train_imdb.main([str(archive), *SMALL, "--epochs", "1"]) == 0
    assert (tmp_path / "imdb_run" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--valid-share", "0"], "leaves nothing to train on or to validate with"),
        (["--valid-share", "1"], "leaves nothing to train on or to validate with"),
        (["--vocab-size", "1"], "max_size must leave room for <pad> and <unk>, got 1"),
        (["--read", "first"], "read must be one of"),
        (["--epochs", "0"], "epochs must be a whole number of at least 1, got 0"),
        (["--dropout", "1"], "dropout must be below 1"),
        (["--word-index", "none.json"], "none.json' does not exist"),
    ],
)
def test_bad_options_are_named(archive, tmp_path, capsys, options, message):
    assert run(archive, tmp_path / "run", *options) == 1
    assert re.search(message, capsys.readouterr().err)


def test_a_missing_or_damaged_archive_is_named(archive, tmp_path, capsys):
    assert run(tmp_path / "none.tar.gz", tmp_path / "run") == 1
    assert "none.tar.gz' does not exist: name aclImdb_v1" in capsys.readouterr().err
    archive.write_bytes(archive.read_bytes()[:-20])
    assert run(archive, tmp_path / "run") == 1
    assert "is damaged" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
