"""The benchmarks run, their tables are those of their results, and gaps are named."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))

import d2l_rnn  # noqa: E402, F401

import groups  # noqa: E402
import ladder  # noqa: E402
import measure  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402

RESULTS = json.loads((ROOT / "benchmarks" / "results.json").read_text("utf-8"))


def test_the_tables_are_those_of_the_results():
    stored = (ROOT / "benchmarks" / "results.md").read_text("utf-8")
    assert stored == report.markdown(RESULTS)


def test_every_group_was_measured_on_a_machine_that_is_described():
    assert list(groups.GROUPS) == list(report.TITLES)
    assert set(RESULTS) == set(groups.GROUPS)
    for group in RESULTS.values():
        assert group["rows"]
        assert group["machine"]["processor"]
        assert group["machine"]["versions"]["mxnet"] == "1.9.1"
        assert group["machine"]["pins"]["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize("group", ["d2lzh", "torch"])
def test_the_rivals_came_to_the_same_perplexity(group):
    rows = RESULTS[group]["rows"]
    for theirs, ours in zip(rows[::2], rows[1::2], strict=True):
        assert theirs["cell"] == ours["cell"]
        assert ours["perplexity"] == pytest.approx(theirs["perplexity"], rel=1e-4)
        assert ours["times as fast"] == round(theirs["median"] / ours["median"], 2)


def test_a_run_in_tiny_sizes_writes_results_tables_and_a_plot(tmp_path, capsys):
    run.main(["decoding", "parts", "--tiny", "--into", str(tmp_path)])
    run.main(["rungs", "--tiny", "--into", str(tmp_path)])
    made = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert set(made) == {"rungs", "decoding", "parts"}  # the second run kept them
    assert len(made["rungs"]["rows"]) == 7
    assert (tmp_path / "results.md").read_text("utf-8").count("\n## ") == 3
    assert "<svg" in (tmp_path / "results.svg").read_text("utf-8")
    assert "decoding" in capsys.readouterr().out


@pytest.mark.parametrize("group", ["d2lzh", "torch"])
def test_what_is_missing_is_named(group, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(groups, "version", lambda name: None)
    run.main([group, "--tiny", "--into", str(tmp_path)])
    said = capsys.readouterr().out
    assert f"{group} is not installed: 'make peers' installs it" in said
    assert "skipped" in said


def test_an_unknown_group_is_an_error_that_names_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        run.main(["speed"])
    assert "choose of d2lzh, torch, layers" in capsys.readouterr().err


def test_other_training_is_no_comparison():
    times = {"median": 1.0, "low": 1.0, "high": 1.0, "wall": 1.0}
    timed = {
        ("rnn", "them"): times | {"returned": 5.0},
        ("rnn", "ours"): times | {"returned": 5.1},
    }
    with pytest.raises(ArithmeticError, match="not the same training"):
        groups._compared(timed, "them", "ours")


def test_actions_are_timed_in_turn_after_a_warm_up():
    called = []
    actions = {name: lambda name=name: called.append(name) or name for name in "ab"}
    timed = measure.side_by_side(actions, rounds=2)
    assert called == ["a", "b"] * 3
    assert timed["a"]["returned"] == "a"
    assert 0 <= timed["b"]["low"] <= timed["b"]["median"] <= timed["b"]["high"]


def test_operations_are_those_of_the_products_counted_one_by_one():
    count = 0
    for _ in range(3):  # forward, and back to either factor
        for _ in range(5):  # steps
            count += 2 * 7 * 4 * 16  # (7, 4) · (4, 4 × 4)
            count += 2 * 7 * 4 * 11  # (7, 4) · (4, 11)
    assert ladder.step_flops(11, 4, 7, 5) == count
