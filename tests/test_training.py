"""The training loop against one written out here, and what it does when it fails."""

import math
import signal
from contextlib import suppress
from itertools import count, islice, pairwise

from d2l_rnn import training
from d2l_rnn._progress import progress
from d2l_rnn.classifiers import SequenceClassifier
from d2l_rnn.clipping import clip_gradients
from d2l_rnn.datasets import LabelledBatches
from d2l_rnn.decoding import generate
from d2l_rnn.metrics import cross_entropy, perplexity
from d2l_rnn.models import GluonModel, LanguageModel, rnn_model
from d2l_rnn.sampling import ConsecutiveBatches, RandomBatches
from d2l_rnn.text import Vocab
from d2l_rnn.training import (
    History,
    TrainingDiverged,
    evaluate,
    prequential_log_prob,
    train,
)

import numpy as np
import pytest
from mxnet import autograd, gluon, nd

VOCAB_SIZE = 5
PERIODIC = [0, 1, 2, 3, 4] * 60
TEXT = np.random.default_rng(0).integers(VOCAB_SIZE, size=105)
VALID = np.random.default_rng(1).integers(VOCAB_SIZE, size=40)

MODELS = {
    "scratch": lambda: rnn_model(VOCAB_SIZE, 8),
    "gluon": lambda: GluonModel(gluon.rnn.LSTM(8), VOCAB_SIZE, embed_size=4),
}
KINDS = (RandomBatches, ConsecutiveBatches)

each_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
each_kind = pytest.mark.parametrize("kind", KINDS)


def text_batches(kind=ConsecutiveBatches, seed=0):
    """Return a sampler with 4 minibatches in every epoch."""
    return kind(TEXT, batch_size=4, num_steps=6, seed=seed)


class Spy(LanguageModel):
    """A model that notes what goes in and out, and fails at a call of choice."""

    def __init__(self, model, fail_at=None, failure=None):
        super().__init__(model.params, model.vocab_size)
        self.model, self.fail_at, self.failure = model, fail_at, failure
        self.inputs, self.before, self.after, self.weights = [], [], [], []

    def begin_state(self, batch_size=1):
        return self.model.begin_state(batch_size)

    def __call__(self, X, state):
        self.inputs.append(X.asnumpy())
        self.before.append(state[0].asnumpy())
        self.weights.append(weights_of(self))
        logits, after = self.model(X, state)
        self.after.append(after[0].asnumpy())
        if len(self.inputs) == self.fail_at:
            logits = self.failure(logits)
        return logits, after


class FirstFew:
    """Only the first minibatches of each epoch, or an error after them."""

    def __init__(self, batches, *numbers, error=None):
        self.batches, self.numbers, self.error = batches, list(numbers), error
        self.carries_state = batches.carries_state

    def __iter__(self):
        if not self.numbers:
            return iter(self.batches)
        return self._few(self.numbers.pop(0))

    def _few(self, number):
        yield from islice(self.batches, number)
        if self.error and not self.numbers:
            raise self.error


def weights_of(model):
    return {name: param.asnumpy() for name, param in model.params.items()}


def assert_same_weights(model, expected):
    weights = weights_of(model)
    assert set(weights) == set(expected)
    for name, values in weights.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


@pytest.fixture(autouse=True)
def interruptible():
    """Heed SIGINT, which a process in the background is born to ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ctrl_c(logits=None):
    signal.raise_signal(signal.SIGINT)


def train_by_hand(model, batches, epochs, lr, clip):
    """Return losses and norms of all steps: plain SGD, all but gradients in NumPy."""
    losses, norms = [], []
    for _ in range(epochs):
        state = None
        for X, Y in batches:
            if state is None or not batches.carries_state:
                state = model.begin_state(len(X))
            state = tuple(nd.array(s.asnumpy()) for s in state)  # values only
            with autograd.record():
                logits, state = model(X, state)
                log_probs = nd.log_softmax(logits.swapaxes(0, 1))
                loss = -nd.pick(log_probs, Y).mean()
            loss.backward()
            grads = [p.grad.asnumpy().astype(float) for p in model.params.values()]
            norm = math.sqrt(sum((grad**2).sum() for grad in grads))
            rate = lr(len(losses)) if callable(lr) else lr
            for param, grad in zip(model.params.values(), grads, strict=True):
                param[:] = param.asnumpy() - rate * min(1, clip / norm) * grad
            losses.append(loss.asscalar())
            norms.append(norm)
    return losses, norms


@each_kind
@each_model
@pytest.mark.parametrize("lr", [0.5, lambda step: 0.5 / (step + 1)])
def test_training_is_the_loop_written_out(kind, make, lr):
    model, other = make(), make()
    history = train(model, text_batches(kind), epochs=3, lr=lr, clip=0.3)
    losses, norms = train_by_hand(other, text_batches(kind), 3, lr, 0.3)
    assert len(norms) == 12
    np.testing.assert_allclose(history.step_norms, norms, rtol=1e-4)
    by_epoch = np.exp(np.reshape(losses, (3, 4)).mean(axis=1))
    np.testing.assert_allclose(history.train_perplexity, by_epoch, rtol=1e-5)
    for name, values in weights_of(other).items():
        np.testing.assert_allclose(weights_of(model)[name], values, atol=1e-5)


@each_model
@each_kind
def test_the_loss_falls_on_a_periodic_text(make, kind):
    batches = kind(PERIODIC, batch_size=4, num_steps=10)
    history = train(
        make(), batches, epochs=12, lr=0.05, optimizer="adam", clip=1, valid=PERIODIC
    )
    assert 2 < history.train_perplexity[0] < 6
    assert history.train_perplexity[-1] < 1.2
    assert history.valid_perplexity[-1] < 1.1


def test_a_model_that_becomes_certain_does_not_stop_training():
    batches = ConsecutiveBatches([0] * 100, batch_size=2, num_steps=5)
    history = train(rnn_model(2, 4), batches, epochs=5, lr=100, valid=[0] * 50)
    assert history.train_perplexity[-1] == pytest.approx(1, abs=1e-4)
    assert history.valid_perplexity[-1] == pytest.approx(1, abs=1e-4)


@each_model
def test_the_same_seeds_give_the_same_bits(make):
    models = [make() for _ in range(2)]
    one, other = (
        train(model, text_batches(RandomBatches), epochs=2, lr=0.3, clip=1, valid=VALID)
        for model in models
    )
    assert_same_weights(models[0], weights_of(models[1]))
    assert one.step_norms == other.step_norms
    assert one.train_perplexity == other.train_perplexity
    assert one.valid_perplexity == other.valid_perplexity
    third = train(make(), text_batches(RandomBatches, seed=1), epochs=2, lr=0.3)
    assert third.step_norms != one.step_norms


def test_every_record_fits_the_others():
    batches = FirstFew(text_batches(RandomBatches), 4, 2, 3)
    clip = 0.45
    model = rnn_model(VOCAB_SIZE, 8)
    history = train(model, batches, epochs=3, lr=0.5, clip=clip, valid=VALID)
    assert history.num_epochs == 3
    norms = np.split(np.array(history.step_norms), [4, 6])
    assert [len(part) for part in norms] == [4, 2, 3]
    np.testing.assert_allclose(history.grad_norm, [part.mean() for part in norms])
    assert history.clipped == [np.mean(part > clip) for part in norms]
    assert 0 < sum(history.clipped) < 3
    assert len(history.valid_perplexity) == 3
    assert history.valid_perplexity[-1] == perplexity(*evaluate(model, VALID))
    assert len(history.tokens_per_second) == 3
    assert not history.interrupted


def test_the_held_out_data_may_be_minibatches():
    model, held_out = rnn_model(VOCAB_SIZE, 8), text_batches(ConsecutiveBatches)
    history = train(model, text_batches(), epochs=1, lr=0.5, valid=held_out)
    again = text_batches(ConsecutiveBatches)
    assert history.valid_perplexity == [perplexity(*evaluate(model, again))]


def test_a_gradient_as_long_as_clip_allows_is_not_clipped():
    def first_step(clip=None):
        batches = FirstFew(text_batches(), 1)
        return train(rnn_model(VOCAB_SIZE, 8), batches, epochs=1, lr=0.5, clip=clip)

    (norm,) = first_step().step_norms
    assert first_step(norm).clipped == [0]
    assert first_step(norm * 0.999).clipped == [1]


def test_without_clip_and_valid_nothing_is_clipped_and_nothing_held_out():
    history = train(rnn_model(VOCAB_SIZE, 8), text_batches(), epochs=2, lr=0.5)
    assert history.clipped == [0, 0]
    assert history.valid_perplexity == []
    assert min(history.step_norms) > 0


def test_the_training_perplexity_is_that_of_the_tokens_read():
    model = rnn_model(VOCAB_SIZE, 8)
    history = train(model, text_batches(RandomBatches), epochs=1, lr=1e-9)
    total = num_tokens = 0
    for X, Y in text_batches(RandomBatches):
        for x, y in zip(X.asnumpy(), Y.asnumpy(), strict=True):
            total += evaluate(model, [*x, y[-1]])[0]
            num_tokens += len(y)
    expected = math.exp(total / num_tokens)
    assert history.train_perplexity == [pytest.approx(expected, rel=1e-6)]


def test_tokens_per_second_are_those_of_a_clock(monkeypatch):
    clock = iter(np.arange(100) * 0.5)
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(clock))
    history = train(rnn_model(VOCAB_SIZE, 2), text_batches(), epochs=2, lr=0.1)
    assert history.tokens_per_second == [192.0, 192.0]


@each_model
def test_the_state_is_carried_from_consecutive_batches_only(make):
    consecutive, random = Spy(make()), Spy(make())
    train(consecutive, text_batches(ConsecutiveBatches), epochs=2, lr=0.1)
    train(random, text_batches(RandomBatches), epochs=2, lr=0.1)
    assert len(random.before) == len(consecutive.before) == 8
    assert not any(state.any() for state in random.before)
    for step, state in enumerate(consecutive.before):
        if step % 4 == 0:
            assert not state.any()
        else:
            assert state.any()
            np.testing.assert_array_equal(state, consecutive.after[step - 1])


def test_every_epoch_is_a_new_one():
    spy = Spy(rnn_model(VOCAB_SIZE, 8))
    train(spy, text_batches(RandomBatches), epochs=2, lr=0.1)
    assert not np.array_equal(spy.inputs[:4], spy.inputs[4:])


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
def test_optimizers_are_mxnets(name):
    model, other = rnn_model(VOCAB_SIZE, 8), rnn_model(VOCAB_SIZE, 8)
    train(model, text_batches(), epochs=1, lr=0.01, optimizer=name)
    parameters = [gluon.Parameter(k, shape=v.shape) for k, v in other.params.items()]
    for parameter in parameters:
        parameter.initialize()
        parameter.set_data(other.params[parameter.name])
        other.params[parameter.name] = parameter.data()
    trainer = gluon.Trainer(parameters, name, {"learning_rate": 0.01})
    state = other.begin_state(4)
    for X, Y in text_batches():
        state = tuple(s.detach() for s in state)
        with autograd.record():
            logits, state = other(X, state)
            loss = cross_entropy(logits, Y.T).mean()
        loss.backward()
        trainer.step(1)
    for key, values in weights_of(other).items():
        np.testing.assert_allclose(weights_of(model)[key], values, atol=1e-6)


# The held-out text


@each_model
@pytest.mark.parametrize("num_steps", [1, 3, 39, 200])
def test_evaluation_does_not_depend_on_num_steps(make, num_steps):
    model = make()
    total, num_tokens = evaluate(model, VALID)
    again = evaluate(model, VALID, num_steps=num_steps)
    assert again == (pytest.approx(total, rel=1e-6), num_tokens)


@each_model
def test_evaluation_is_the_sum_over_single_steps(make):
    model, state, expected = make(), None, 0.0
    for symbol, following in pairwise(VALID):
        log_probs, state = model.next_log_probs([symbol], state)
        expected -= log_probs[following]
    total, num_tokens = evaluate(model, VALID)
    assert num_tokens == len(VALID) - 1
    assert total == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("vocab_size", [2, 27, 3000])
def test_a_uniform_models_perplexity_is_the_vocabulary_size(vocab_size):
    ids = np.random.default_rng(0).integers(vocab_size, size=500)
    model = rnn_model(vocab_size, 3, scale=0)
    total, num_tokens = evaluate(model, ids)
    assert perplexity(total, num_tokens) == pytest.approx(vocab_size, rel=1e-5)


def test_evaluation_leaves_model_and_gradients_alone():
    model = rnn_model(VOCAB_SIZE, 4)
    before = weights_of(model)
    evaluate(model, VALID)
    assert_same_weights(model, before)
    assert not any(param.grad.asnumpy().any() for param in model.params.values())


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([], ValueError, "data must hold at least 2 tokens to score one, got 0"),
        ([1], ValueError, "data must hold at least 2 tokens to score one, got 1"),
        ([0, 5], ValueError, r"data must lie in 0\.\.4, got values from 0 to 5"),
        ([0.5, 1.0], TypeError, "data must hold whole numbers"),
        ([[0, 1]], ValueError, "data must be one sequence"),
    ],
)
def test_what_cannot_be_scored_is_named(ids, error, message):
    with pytest.raises(error, match=message):
        evaluate(rnn_model(VOCAB_SIZE, 4), ids)


@pytest.mark.parametrize(("num_steps", "error"), [(0, ValueError), (1.5, TypeError)])
def test_evaluation_needs_a_step_at_least(num_steps, error):
    with pytest.raises(error, match=f"num_steps must be .* got {num_steps}"):
        evaluate(rnn_model(VOCAB_SIZE, 4), VALID, num_steps=num_steps)


# Early stopping


def scripted(monkeypatch, scores):
    """Let the held-out perplexity of epoch 1, 2, … be as given."""
    left = iter(scores)
    monkeypatch.setattr(training, "evaluate", lambda *_, **__: (next(left), 1))


@pytest.mark.parametrize(
    ("scores", "patience", "num_epochs", "best"),
    [
        ([3.0, 2.0, 2.5, 2.4, 2.6, 1.0], 3, 5, 2),
        ([3.0, 2.0, 2.5, 1.9, 2.6, 2.0, 1.0], 2, 6, 4),
        ([3.0, 3.1, 1.0], 1, 2, 1),
        ([3.0, 2.0, 2.0, 2.0, 1.0], 2, 4, 2),  # as good is not better
    ],
)
def test_patience_runs_out_and_the_best_weights_come_back(
    monkeypatch, scores, patience, num_epochs, best
):
    expected = rnn_model(VOCAB_SIZE, 8)
    train(expected, text_batches(), epochs=best, lr=0.5)
    scripted(monkeypatch, scores)
    model = rnn_model(VOCAB_SIZE, 8)
    history = train(
        model, text_batches(), epochs=20, lr=0.5, valid=VALID, patience=patience
    )
    assert history.num_epochs == num_epochs
    np.testing.assert_allclose(history.valid_perplexity, np.exp(scores[:num_epochs]))
    assert len(history.train_perplexity) == len(history.clipped) == num_epochs
    assert_same_weights(model, weights_of(expected))


def test_training_that_gets_better_is_not_stopped(monkeypatch):
    scripted(monkeypatch, [5.0, 4.0, 4.5, 3.0, 3.5])
    model = rnn_model(VOCAB_SIZE, 8)
    history = train(model, text_batches(), epochs=5, lr=0.5, valid=VALID, patience=2)
    assert history.num_epochs == 5


# A loss that is not finite


@each_model
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_training(make, bad):
    """The tenth loss is bad: the weights on which the ninth was good come back."""
    spy = Spy(make(), fail_at=10, failure=lambda logits: logits * bad)
    with pytest.raises(TrainingDiverged, match="not finite") as caught:
        train(spy, text_batches(), epochs=3, lr=0.5, clip=1)
    history = caught.value.history
    assert history.num_epochs == 2
    message = str(caught.value)
    assert message.startswith("the loss or a gradient is not finite (loss nan)")
    assert "in epoch 3, step 2;" in message
    assert f"last good training perplexity: {history.train_perplexity[1]}" in message
    assert "smaller lr, or clip" in message
    assert_same_weights(spy, spy.weights[8])
    assert math.isfinite(evaluate(spy, VALID)[0])


def relu_model():
    """Return a model whose state can grow without bound."""
    return GluonModel(gluon.rnn.RNN(8), VOCAB_SIZE)


def test_a_learning_rate_that_is_too_large_leaves_the_weights_before_it():
    model, expected = relu_model(), relu_model()
    train(expected, FirstFew(text_batches(), 4), epochs=1, lr=0.5)
    with pytest.raises(TrainingDiverged, match="in epoch 2, step 2; last good"):
        train(
            model, text_batches(), epochs=9, lr=lambda step: 1e9 if step == 4 else 0.5
        )
    assert perplexity(*evaluate(model, VALID)) < 2 * VOCAB_SIZE
    assert_same_weights(model, weights_of(expected))


def test_a_gradient_that_is_not_finite_stops_training_in_the_first_epoch():
    def steep(logits):
        return logits + (nd.abs(logits - logits.detach())).sqrt()  # slope 1 / 0

    spy = Spy(rnn_model(VOCAB_SIZE, 8), fail_at=3, failure=steep)
    with pytest.raises(
        TrainingDiverged, match=r"last good .*none: it failed"
    ) as caught:
        train(spy, text_batches(), epochs=3, lr=0.5)
    assert "in epoch 1, step 3;" in str(caught.value)
    assert caught.value.history.num_epochs == 0
    assert_same_weights(spy, spy.weights[1])


def test_a_held_out_loss_that_is_not_finite_stops_training_too():
    """After the last step of an epoch no training loss shows what it has done."""
    model, expected = relu_model(), relu_model()
    train(expected, FirstFew(text_batches(), 4, 3), epochs=2, lr=0.5)
    with pytest.raises(TrainingDiverged, match="epoch 2") as caught:
        train(
            model,
            text_batches(),
            epochs=9,
            lr=lambda step: 1e9 if step == 7 else 0.5,
            valid=VALID,
        )
    history = caught.value.history
    assert str(history.train_perplexity[0]) in str(caught.value)
    assert np.isfinite(history.valid_perplexity).all()
    assert_same_weights(model, weights_of(expected))


# Ctrl-C


def assert_usable(model, history):
    """The model scores, writes and goes on learning."""
    assert history.interrupted
    assert math.isfinite(evaluate(model, VALID)[0])
    assert len(generate(model, Vocab("abcde"), "ab", 5)) == 7
    again = train(model, text_batches(), epochs=1, lr=0.1)
    assert again.num_epochs == 1


@each_model
def test_ctrl_c_while_a_batch_is_made_keeps_all_completed_steps(make):
    model, expected = make(), make()
    train(expected, FirstFew(text_batches(), 4, 2), epochs=2, lr=0.5)
    stopped = FirstFew(text_batches(), 4, 2, error=KeyboardInterrupt)
    history = train(model, stopped, epochs=5, lr=0.5)
    assert history.num_epochs == 1
    assert_same_weights(model, weights_of(expected))
    assert_usable(model, history)


@pytest.mark.parametrize("step", [1, 2, 4, 5, 7])
def test_ctrl_c_in_a_step_keeps_all_steps_before_it(step):
    spy = Spy(rnn_model(VOCAB_SIZE, 8), fail_at=step, failure=ctrl_c)
    history = train(spy, text_batches(), epochs=5, lr=0.5)
    assert history.num_epochs == (step - 1) // 4
    assert_same_weights(spy, spy.weights[-1])
    assert_usable(spy, history)


def test_ctrl_c_between_two_weights_takes_the_step_back(monkeypatch):
    make_updater = training.mx.optimizer.get_updater
    calls = []

    def interrupted_updater(optimizer):
        update = make_updater(optimizer)

        def one(*arguments):
            calls.append(arguments)
            if len(calls) == 13:  # of five weights: the third, in the third step
                ctrl_c()
            update(*arguments)

        one.optimizer = optimizer
        return one

    monkeypatch.setattr(training.mx.optimizer, "get_updater", interrupted_updater)
    spy = Spy(rnn_model(VOCAB_SIZE, 8))
    history = train(spy, text_batches(), epochs=5, lr=0.5)
    monkeypatch.undo()
    assert len(spy.weights) == 3
    assert_same_weights(spy, spy.weights[2])
    assert_usable(spy, history)


def test_ctrl_c_while_the_held_out_text_is_scored_keeps_the_records_equally_long():
    # Four steps, one evaluation, four steps: the next call is an evaluation.
    spy = Spy(rnn_model(VOCAB_SIZE, 8), fail_at=10, failure=ctrl_c)
    history = train(spy, text_batches(), epochs=5, lr=0.5, valid=VALID)
    assert len(history.train_perplexity) == len(history.valid_perplexity)
    assert len(history.train_perplexity) == len(history.tokens_per_second)
    assert_same_weights(spy, spy.weights[9])
    assert_usable(spy, history)


def test_an_error_in_the_model_is_not_swallowed():
    def fail(logits):
        raise RuntimeError("a fault of the reader's own")

    spy = Spy(rnn_model(VOCAB_SIZE, 8), fail_at=2, failure=fail)
    with pytest.raises(RuntimeError, match="reader's own"):
        train(spy, text_batches(), epochs=1, lr=0.5)


def test_a_history_tells_how_far_it_came():
    assert repr(History()) == "History(no epoch completed)"
    history = History(train_perplexity=[4.0, 3.0, 2.0])
    assert repr(history) == "History(3 epochs, training perplexity 2.000)"
    history.valid_perplexity = [4.0, 3.5, 3.25]
    assert "held-out perplexity 3.250" in repr(history)
    history.interrupted = True
    assert repr(history).endswith("interrupted)")


# Arguments


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs must be a whole number .* got 0"),
        ({"epochs": -2}, ValueError, "epochs must be a whole number .* got -2"),
        ({"epochs": 1.5}, TypeError, r"epochs must be a whole number .* got 1\.5"),
        ({"lr": 0}, ValueError, "lr must be a finite number above 0, got 0"),
        ({"lr": -1.0}, ValueError, r"lr must be a finite number above 0, got -1\.0"),
        ({"lr": math.nan}, ValueError, "lr must be a finite number above 0, got nan"),
        ({"lr": math.inf}, ValueError, "lr must be a finite number above 0, got inf"),
        ({"lr": "0.1"}, TypeError, "lr must be a finite number above 0, got '0.1'"),
        ({"lr": None}, TypeError, "lr must be a finite number above 0, got None"),
        ({"lr": lambda step: -1}, ValueError, "lr must be .* above 0, got -1"),
        ({"clip": 0}, ValueError, "clip must be a finite number above 0, got 0"),
        ({"clip": math.nan}, ValueError, "clip must be .* above 0, got nan"),
        ({"patience": 2}, ValueError, "patience needs valid"),
        (
            {"patience": 0, "valid": VALID},
            ValueError,
            "patience must be a whole number of epochs of at least 1, got 0",
        ),
        ({"optimizer": "sdg"}, ValueError, "optimizer.*sdg"),
        ({"valid": []}, ValueError, "valid must hold at least 2 .* got 0"),
        ({"valid": [1]}, ValueError, "valid must hold at least 2 .* got 1"),
        ({"valid": [0, 5]}, ValueError, r"valid must lie in 0\.\.4, .* from 0 to 5"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_trained(options, error, message):
    spy = Spy(rnn_model(VOCAB_SIZE, 4))
    with pytest.raises(error, match=message):
        train(spy, text_batches(), **{"epochs": 2, "lr": 0.1} | options)
    assert not spy.inputs


@each_kind
def test_a_text_of_another_vocabulary_is_refused(kind):
    """MXNet would take the last symbol for every index that is too large."""
    batches = kind([0, 1, 2, 3, 4, 5] * 20, batch_size=4, num_steps=6)
    spy = Spy(rnn_model(VOCAB_SIZE, 4))
    with pytest.raises(ValueError, match=r"must lie in 0\.\.4, got values from 0 to 5"):
        train(spy, batches, epochs=1, lr=0.1)
    assert not spy.inputs


# The progress bar


def screen(output):
    """Return what a terminal shows after `output`, of one line."""
    shown = ""
    for part in output.split("\r"):
        shown = part + shown[len(part) :]
    return shown.strip()


def set_clock(monkeypatch, seconds):
    """Let so many seconds pass between any two looks of a bar at the clock."""
    monkeypatch.delenv("D2L_RNN_PROGRESS", raising=False)
    ticks = count(step=seconds)
    monkeypatch.setattr("tqdm.std.time", lambda: next(ticks))


def test_a_bar_shows_what_it_counts_and_vanishes(capfd, monkeypatch):
    set_clock(monkeypatch, 0.4)
    for _ in progress(range(4), "reading"):
        pass
    output, error = capfd.readouterr()
    assert output == ""
    assert "reading" in error
    assert "3/4" in error
    assert screen(error) == ""


def test_short_training_shows_nothing(capfd, monkeypatch):
    set_clock(monkeypatch, 0.001)
    train(rnn_model(VOCAB_SIZE, 4), text_batches(), epochs=2, lr=0.1, valid=VALID)
    assert capfd.readouterr() == ("", "")


def test_long_training_is_silent_where_bars_are_off(capfd, monkeypatch):
    set_clock(monkeypatch, 1)
    monkeypatch.setenv("D2L_RNN_PROGRESS", "0")
    train(rnn_model(VOCAB_SIZE, 4), text_batches(), epochs=3, lr=0.1, valid=VALID)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("failure", [ctrl_c, lambda logits: logits * math.nan])
def test_a_bar_vanishes_where_training_stops_early(capfd, monkeypatch, failure):
    set_clock(monkeypatch, 1)
    spy = Spy(rnn_model(VOCAB_SIZE, 4), fail_at=10, failure=failure)
    with suppress(TrainingDiverged):
        train(spy, text_batches(), epochs=5, lr=0.1)
    error = capfd.readouterr().err
    assert "training" in error
    assert screen(error) == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "sdg"}, "optimizer must be one of .* sgd, .*, got 'sdg'"),
        ({"lr": lambda step: float("nan")}, "lr must be a finite number above 0"),
        ({"lr": lambda step: 1 - step}, r"lr\(1\) must be a finite number above 0"),
    ],
)
def test_optimizers_and_schedules_that_cannot_be_are_named(options, message):
    settings = {"epochs": 1, "lr": 0.1} | options
    with pytest.raises(ValueError, match=message):
        train(rnn_model(VOCAB_SIZE, 8), text_batches(), **settings)


def test_no_minibatch_is_nothing_to_learn():
    with pytest.raises(ValueError, match="batches held no minibatch"):
        train(rnn_model(VOCAB_SIZE, 8), FirstFew(text_batches(), 0, 0), epochs=1, lr=1)


def test_with_patience_the_best_weights_come_back_at_the_end_too():
    spoiled = {"epochs": 3, "lr": lambda step: 0.5 if step < 8 else 50.0}
    model, best = rnn_model(VOCAB_SIZE, 8), rnn_model(VOCAB_SIZE, 8)
    history = train(model, text_batches(), valid=VALID, patience=9, **spoiled)
    assert history.num_epochs == 3
    scores = history.valid_perplexity
    epochs = scores.index(min(scores)) + 1
    assert epochs < 3
    train(best, text_batches(), epochs=epochs, lr=0.5)
    assert_same_weights(model, weights_of(best))


def test_labels_that_the_model_has_no_class_for_are_named():
    model = SequenceClassifier(4, 3, vocab_size=6, embed_size=2)
    batches = LabelledBatches([[1, 2], [3, 4]], [2, 3], 2)
    with pytest.raises(ValueError, match=r"batches.Y must lie in 0\.\.2, got .* 3"):
        train(model, batches, epochs=1, lr=0.1)


def weights_after_each_step(model, batches, epochs, lr, clip=None):
    """Train step by step without an average; return the weights after each."""
    steps = []

    def rate(step):
        if step:
            steps.append(weights_of(model))
        return lr

    train(model, batches, epochs=epochs, lr=rate, clip=clip)
    return [*steps, weights_of(model)]


@pytest.mark.parametrize("bad", ["0.9", -0.1, 1, float("nan")])
def test_the_average_must_be_a_share(bad):
    with pytest.raises((TypeError, ValueError), match="average must be"):
        train(rnn_model(5, 4), text_batches(), epochs=1, lr=0.5, average=bad)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_the_average_is_that_of_the_steps(share):
    steps = weights_after_each_step(
        rnn_model(5, 4), text_batches(), epochs=2, lr=0.5, clip=1.0
    )
    model = rnn_model(5, 4)
    expected = weights_of(model)
    train(model, text_batches(), epochs=2, lr=0.5, clip=1.0, average=share)
    for t, weights in enumerate(steps, start=1):
        kept = min(share, t / (10 + t))
        for name, weight in weights.items():
            expected[name] = kept * expected[name] + (1 - kept) * weight
    for name, weight in weights_of(model).items():
        np.testing.assert_allclose(weight, expected[name], atol=1e-6)


def test_the_average_is_what_is_scored_and_kept():
    text = text_batches().ids
    model = rnn_model(5, 4)
    history = train(
        model, text_batches(), epochs=3, lr=0.5, clip=1.0, valid=text, average=0.9
    )
    last = perplexity(*evaluate(model, text))
    assert last == pytest.approx(history.valid_perplexity[-1], rel=1e-6)


def test_with_an_average_training_itself_does_not_change():
    plain = train(rnn_model(5, 4), text_batches(), epochs=3, lr=0.5)
    options = {"valid": [0, 1, 2], "average": 0.9}
    averaged = train(rnn_model(5, 4), text_batches(), epochs=3, lr=0.5, **options)
    assert plain.train_perplexity == averaged.train_perplexity


def test_with_patience_the_best_average_comes_back():
    text = text_batches().ids
    model = rnn_model(5, 4)
    history = train(
        model,
        text_batches(),
        epochs=8,
        lr=lambda step: 0.5 if step < 20 else 30.0,  # from then on it gets worse
        clip=1.0,
        valid=text,
        patience=3,
        average=0.5,
    )
    assert history.valid_perplexity[-1] > min(history.valid_perplexity)
    assert perplexity(*evaluate(model, text)) == pytest.approx(
        min(history.valid_perplexity), rel=1e-6
    )


def test_a_loss_is_summed_in_double_precision():
    ids, model = np.random.default_rng(0).integers(0, 5, 2001), rnn_model(5, 4)
    total, num_tokens = evaluate(model, ids, num_steps=2000)
    logits, _ = model(nd.array(ids[None, :-1], dtype="int32"), model.begin_state(1))
    losses = cross_entropy(logits, nd.array(ids[1:, None])).asnumpy()
    assert num_tokens == 2000
    assert total == pytest.approx(losses.astype(np.float64).sum(), rel=1e-12)


def test_what_can_only_say_whether_it_carries_a_state_is_no_data():
    data = type("Half", (), {"carries_state": True})()
    with pytest.raises(TypeError, match="valid must offer carries_state and __iter__"):
        train(rnn_model(5, 4), text_batches(), epochs=1, lr=1, valid=data)


def test_learning_while_it_is_tested_wants_a_model():
    with pytest.raises(TypeError, match="use rnn_model"):
        prequential_log_prob(None, [0, 1], num_steps=2, lr=0.1)


@pytest.mark.parametrize("length", [2, 7, 20])
def test_one_pass_predicts_before_it_learns(length):
    """Against the loop written out: score a piece, take a step on it, go on."""
    ids = np.random.default_rng(0).integers(0, 5, length)
    log_probs = prequential_log_prob(
        rnn_model(5, 4), ids, num_steps=3, lr=0.3, optimizer="sgd", clip=1.0
    )
    model = rnn_model(5, 4)
    state, expected = model.begin_state(1), [-math.log(5)]
    for start in range(0, length - 1, 3):
        piece = ids[start : start + 4]
        X, Y = (nd.array(piece[None, s]) for s in (slice(-1), slice(1, None)))
        state = tuple(s.detach() for s in state)
        with autograd.record():
            logits, state = model(X, state)
            losses = cross_entropy(logits, Y.T)
            losses.mean().backward()
        expected += (-losses.asnumpy().ravel()).tolist()
        clip_gradients([param.grad for param in model.params.values()], 1.0)
        for param in model.params.values():
            param -= 0.3 * param.grad
    np.testing.assert_allclose(log_probs, expected, atol=1e-5)
    assert len(log_probs) == length


def test_one_pass_clips_at_1_if_not_told_otherwise():
    ids = np.random.default_rng(0).integers(0, 5, 20)
    passes = [
        prequential_log_prob(
            rnn_model(5, 4, scale=9), ids, num_steps=3, lr=0.3, optimizer="sgd", **clip
        )
        for clip in ({}, {"clip": 1.0}, {"clip": 2.0})
    ]
    np.testing.assert_array_equal(passes[0], passes[1])
    assert not np.allclose(passes[0], passes[2])


# Gradients from elsewhere


def test_reduce_gets_what_was_computed_and_decides_what_is_used():
    seen, batches = [], text_batches(RandomBatches)
    model, alone = rnn_model(5, 4), rnn_model(5, 4)
    X, Y = next(iter(text_batches(RandomBatches)))

    def reduce(loss, size, grads):
        seen.append((loss, size, [grad.copy() for grad in grads]))
        for grad in grads:
            grad[:] = 0
        grads[0][0, :2] = nd.array([30.0, 40.0])
        return 2.0, 7

    before = model.get_weights()
    history = train(model, batches, epochs=1, lr=0.5, clip=1, reduce=reduce)
    loss, size, grads = seen[0]
    assert size == Y.size == 24
    with autograd.record():
        logits, _ = alone(X, alone.begin_state(4))
        expected = cross_entropy(logits, Y.T).mean()
    expected.backward()
    assert loss == pytest.approx(float(expected.asscalar()))
    for grad, param in zip(grads, alone.params.values(), strict=True):
        np.testing.assert_allclose(grad.asnumpy(), param.grad.asnumpy(), atol=1e-7)
    # The loss and the gradients that came back count, and these are clipped.
    assert history.train_perplexity == [pytest.approx(math.exp(2))]
    assert history.step_norms == [50] * len(seen)
    assert history.clipped == [1]
    name, *others = model.params
    moved = (model.params[name] - before[name]).asnumpy()
    step = -0.5 * len(seen) * np.array([0.6, 0.8])
    np.testing.assert_allclose(moved[0, :2], step, rtol=1e-5)
    assert abs(moved).sum() == pytest.approx(abs(step).sum())
    for other in others:
        np.testing.assert_array_equal(
            model.params[other].asnumpy(), before[other].asnumpy()
        )


def test_losses_are_weighted_by_the_sizes_that_reduce_gives():
    answers = iter([(1.0, 10), (3.0, 30), (1.0, 50), (2.0, 10)])
    history = train(
        rnn_model(5, 4),
        text_batches(),
        epochs=1,
        lr=1,
        reduce=lambda loss, size, grads: next(answers),
    )
    assert history.train_perplexity == [pytest.approx(math.exp(170 / 100))]
