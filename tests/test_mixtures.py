"""Mixtures of models, against arithmetic by hand."""

from d2l_rnn.mixtures import fit_weights, mix, token_log_probs
from d2l_rnn.models import rnn_model
from d2l_rnn.training import evaluate

import numpy as np
import pytest

IDS = np.random.default_rng(0).integers(0, 7, 400)


def sharp_model():
    """A model whose state forgets quickly and whose predictions differ."""
    return rnn_model(7, 8, cell="gru", seed=3, scale=0.5)


@pytest.mark.parametrize("num_rows", [1, 2, 7, 16])
def test_rows_with_a_long_past_score_as_one_pass(num_rows):
    model = sharp_model()
    log_probs = token_log_probs(model, IDS[150:], IDS[:150], num_rows=num_rows)
    state, expected = model.begin_state(1), []
    for t in range(len(IDS) - 1):
        scores, state = model.next_log_probs(IDS[t : t + 1], state)
        expected.append(scores[IDS[t + 1]])
    np.testing.assert_allclose(log_probs, expected[149:], atol=1e-5)


def test_one_row_sums_to_the_loss_of_evaluate():
    model = sharp_model()
    loss, count = evaluate(model, IDS)
    log_probs = token_log_probs(model, IDS[1:], IDS[:1], num_rows=1)
    assert len(log_probs) == count
    assert -log_probs.sum() == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("length", [1, 2, 5, 16, 17])
def test_short_texts_have_every_token_scored_once(length):
    model = sharp_model()
    log_probs = token_log_probs(model, IDS[50 : 50 + length], IDS[:50])
    expected = token_log_probs(model, IDS[50 : 50 + length], IDS[:50], num_rows=1)
    np.testing.assert_allclose(log_probs, expected, atol=1e-4)


def test_a_mixture_is_a_distribution():
    rng = np.random.default_rng(1)
    probs = rng.dirichlet(np.ones(5), size=3)  # three models, five symbols
    assert np.exp(mix(np.log(probs), [0.2, 0.5, 0.3])).sum() == pytest.approx(1)


def test_tiny_probabilities_do_not_vanish():
    assert mix([[-2000.0], [-2001.0]], [0.5, 0.5])[0] == pytest.approx(
        -2000 + np.log(0.5 + 0.5 * np.exp(-1))
    )


def test_fitted_weights_are_the_best_of_a_grid():
    rng = np.random.default_rng(2)
    log_probs = np.log(rng.uniform(0.01, 1, (2, 200)))
    fitted = fit_weights(log_probs, 2000)
    grid = [mix(log_probs, [w, 1 - w]).sum() for w in np.linspace(0, 1, 101)]
    assert mix(log_probs, fitted).sum() >= max(grid) - 1e-9
    assert fitted[0] == pytest.approx(np.argmax(grid) / 100, abs=0.01)


def test_every_round_gets_better():
    log_probs = np.log(np.random.default_rng(3).uniform(0.01, 1, (4, 50)))
    scores = [mix(log_probs, fit_weights(log_probs, n)).sum() for n in range(1, 30)]
    assert (np.diff(scores) >= -1e-12).all()
    assert scores[-1] > scores[0]
