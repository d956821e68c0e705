"""The script that trains the leaderboard, on tiny rows, and what it has stored."""

import hashlib
import json

from d2l_rnn import training
from d2l_rnn.checkpoint import load_model, read
from d2l_rnn.models import rnn_model

import numpy as np
import pytest
import train_leaderboard
from train_leaderboard import ROWS, WEIGHTS, is_stored, make_model, read_text

STORED = [(name, seed) for name, (seeds, _, _) in ROWS.items() for seed in range(seeds)]
TINY = train_leaderboard.SHORT | {
    "text": "belling_the_cat",
    "batch_size": 4,
    "num_steps": 10,
    "epochs": 3,
    "average": 0.9,
}
OPTIONS = {"num_hiddens": 4, "embed_size": 3, "recurrent_dropout": 0.2}
OWN = {"num_hiddens": 4, "cell": "cifg"}


@pytest.mark.parametrize(("name", "seed"), STORED)
def test_every_row_is_stored_with_the_settings_of_the_script(name, seed):
    assert is_stored(name, seed), f"make leaderboard ROWS={name}"
    record = json.loads((WEIGHTS / f"{name}-{seed}.json").read_text("utf-8"))
    data = (WEIGHTS / record["file"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == record["sha256"]
    arrays, info = read(WEIGHTS / record["file"])
    _, options, settings = ROWS[name]
    vocab, ids = read_text(settings["text"])
    assert info["vocab"]["tokens"] == vocab.tokens
    assert record["num_tokens"] == int(settings["share"] * len(ids))
    expected = make_model(options, len(vocab), seed).params
    assert {k: v.shape for k, v in arrays.items()} == {
        k: v.shape for k, v in expected.items()
    }
    assert sum(array.size for array in arrays.values()) == record["num_params"]


def test_nothing_else_is_stored():
    names = {f"{name}-{seed}" for name, seed in STORED}
    assert {path.stem for path in WEIGHTS.iterdir()} == names


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Have tiny rows trained into a folder of the test's own."""
    monkeypatch.setattr(train_leaderboard, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(train_leaderboard, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(train_leaderboard, "RESULTS", tmp_path / "results")
    rows = {
        "one": (2, OPTIONS, TINY),
        "two": (1, OPTIONS | {"cell": "gru"}, TINY),
        "own": (1, OWN, TINY),
    }
    monkeypatch.setattr(train_leaderboard, "ROWS", rows)
    return tmp_path


def main(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["train_leaderboard.py", *arguments])
    train_leaderboard.main()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def test_rows_are_trained_once(place, monkeypatch, capsys):
    main(monkeypatch, "one", "two")
    files = contents(place / "weights")
    assert set(files) == {
        "one-0.safetensors",
        "one-1.safetensors",
        "two-0.safetensors",
    }
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert files["one-0.safetensors"] != files["one-1.safetensors"]
    main(monkeypatch, "one")
    assert capsys.readouterr().out == ""
    record = json.loads((place / "weights" / "two-0.json").read_text("utf-8"))
    model, vocab = load_model(place / "weights" / record["file"])
    assert model.num_params == record["num_params"]
    assert len(vocab) == model.vocab_size
    assert record["train_bits"] > 0


def test_a_row_without_embedding_is_of_own_cells(place, monkeypatch):
    main(monkeypatch, "own")
    record = json.loads((place / "weights" / "own-0.json").read_text("utf-8"))
    model, vocab = load_model(place / "weights" / record["file"])
    assert model.settings == rnn_model(len(vocab), **OWN).settings
    assert record["num_params"] == 3 * 4 * (len(vocab) + 4 + 1) + 5 * len(vocab)


@pytest.mark.parametrize("name", ["one", "own"])
def test_an_interrupted_row_goes_on_to_the_same_bits(place, monkeypatch, name):
    main(monkeypatch, name)
    through = contents(place / "weights")
    for folder in ("weights", "runs"):
        for path in (place / folder).iterdir():
            path.unlink()
    score, calls = training._Run.epoch, []

    def interrupt(run, valid):
        calls.append(run)
        if len(calls) == 3:
            raise KeyboardInterrupt
        score(run, valid)

    monkeypatch.setattr(training._Run, "epoch", interrupt)
    with pytest.raises(SystemExit, match="goes on from the last epoch"):
        main(monkeypatch, name)
    assert contents(place / "weights") == {}
    main(monkeypatch, name)
    assert contents(place / "weights") == through


def test_other_settings_train_a_row_again(place, monkeypatch):
    main(monkeypatch, "two")
    before = contents(place / "weights")
    row = (1, OPTIONS | {"num_hiddens": 5}, TINY)
    monkeypatch.setitem(train_leaderboard.ROWS, "two", row)
    assert not is_stored("two", 0)
    (place / "runs" / "two-0.run").unlink()
    main(monkeypatch, "two")
    assert contents(place / "weights") != before


def test_an_unknown_row_is_named(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        main(monkeypatch, "transformer")
    assert "unknown ['transformer']; known: rnn" in capsys.readouterr().err


def test_the_schedule_rises_then_falls_to_zero():
    rate = train_leaderboard.cosine(0.1, 1000, warm_up=100)
    rates = np.array([rate(step) for step in range(1001)])
    assert rates.argmax() == pytest.approx(100, abs=2)
    assert rates[0] == pytest.approx(0.001)
    assert rates[500] == pytest.approx(0.05)
    assert rates[1000] == 0
