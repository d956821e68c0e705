"""The one training loop, for scratch and gluon models alike."""

import math
import time
from dataclasses import dataclass, field

import mxnet as mx
from mxnet import autograd, nd

from d2l_rnn._checks import check_ids, check_number, check_positive_int
from d2l_rnn._progress import progress
from d2l_rnn.clipping import clip_gradients, global_norm
from d2l_rnn.metrics import cross_entropy, perplexity

__all__ = ["History", "TrainingDiverged", "evaluate", "train"]


@dataclass
class History:
    """What training recorded: lists with one entry an epoch, or one a step.

    Per epoch: training perplexity (over the epoch, while the weights change),
    held-out perplexity (after it; empty without ``valid``), mean gradient norm
    before clipping, share of clipped steps, tokens per second. Per step:
    gradient norms before clipping.
    """

    train_perplexity: list = field(default_factory=list)
    valid_perplexity: list = field(default_factory=list)
    grad_norm: list = field(default_factory=list)
    clipped: list = field(default_factory=list)
    tokens_per_second: list = field(default_factory=list)
    step_norms: list = field(default_factory=list)
    interrupted: bool = False

    @property
    def num_epochs(self):
        """How many epochs were completed."""
        return len(self.train_perplexity)

    def __repr__(self):
        if not self.num_epochs:
            return "History(no epoch completed)"
        parts = [
            f"{self.num_epochs} epochs",
            f"training perplexity {self.train_perplexity[-1]:.3f}",
        ]
        if self.valid_perplexity:
            parts.append(f"held-out perplexity {self.valid_perplexity[-1]:.3f}")
        if self.interrupted:
            parts.append("interrupted")
        return f"History({', '.join(parts)})"


class TrainingDiverged(ArithmeticError):
    """The loss or a gradient became NaN or infinite. ``history`` is kept."""

    def __init__(self, message, history):
        super().__init__(message)
        self.history = history


def train(
    model,
    batches,
    *,
    epochs,
    lr,
    optimizer="sgd",
    clip=None,
    valid=None,
    patience=None,
):
    """Train a language model by truncated backpropagation through time.

    Parameters
    ----------
    model : LanguageModel
        Changed in place.
    batches : RandomBatches, ConsecutiveBatches or others that yield X and Y
        Iterated once an epoch. Consecutive ones carry the state's value from one
        minibatch to the next, with the gradient cut (`detach`) between them.
    epochs : int
    lr : float or callable
        Learning rate, or a function from the step's number (0, 1, …) to it.
    optimizer : str
        One of MXNet's: "sgd", "adam", "rmsprop", …. The loss is the mean over the
        tokens of a minibatch.
    clip : float, optional
        Largest global norm of the gradients.
    valid : sequence of int, or LabelledBatches, optional
        Held-out text as indices, or held-out minibatches, scored after each epoch by
        `evaluate`.
    patience : int, optional
        Stop after so many epochs without a better held-out perplexity, and go back
        to the best weights. Needs ``valid``.

    Returns
    -------
    History
        After Ctrl-C too: then ``interrupted`` is set, and the model keeps the
        weights of the last completed step.

    Raises
    ------
    TrainingDiverged
        The loss or a gradient is not finite. The message names epoch and step and
        the last good perplexity; the model keeps its last good weights.
    """
    epochs = check_positive_int("epochs", epochs)
    schedule = lr if callable(lr) else None
    first_lr = check_number("lr", lr(0) if schedule else lr, 0, open_low=True)
    if clip is not None:
        clip = check_number("clip", clip, 0, open_low=True)
    if valid is not None and not _is_batches(valid):
        valid = _check_text("valid", valid, model)
    if patience is not None:
        patience = check_positive_int("patience", patience, unit=" of epochs")
        if valid is None:
            raise ValueError("patience needs valid: the held-out data it watches")
    if hasattr(batches, "ids"):
        check_ids("batches.ids", batches.ids, model.vocab_size)
    update = mx.optimizer.get_updater(
        mx.optimizer.create(optimizer, learning_rate=first_lr)
    )
    history, good, best = History(), _Snapshot(model), _Snapshot(model)
    step, updating = 0, False
    try:
        for _ in progress(range(epochs), "training"):
            start, total, num_tokens, norms = time.perf_counter(), 0.0, 0, []
            state = None
            for X, Y in batches:
                if state is None or not batches.carries_state:
                    state = model.begin_state(X.shape[0])
                loss, state = _forward_backward(model, X, Y, state)
                norm = _clip(model, clip)
                if not (math.isfinite(loss) and math.isfinite(norm)):
                    raise _diverged(history, good, loss, f"step {len(norms) + 1}")
                good.take()
                if schedule:
                    update.optimizer.set_learning_rate(schedule(step))
                updating = True
                for i, param in enumerate(model.params.values()):
                    update(i, param.grad, param)
                updating = False
                step += 1
                total, num_tokens = total + loss * Y.size, num_tokens + Y.size
                norms.append(norm)
            seconds = time.perf_counter() - start
            if valid is not None:
                loss, num_scored = evaluate(model, valid)
                if not math.isfinite(loss):
                    raise _diverged(history, good, loss, "held-out data")
                history.valid_perplexity.append(perplexity(loss, num_scored))
            history.train_perplexity.append(perplexity(total, num_tokens))
            history.grad_norm.append(sum(norms) / len(norms))
            is_clipped = [norm > (clip or math.inf) for norm in norms]
            history.clipped.append(sum(is_clipped) / len(norms))
            history.tokens_per_second.append(num_tokens / seconds)
            history.step_norms += norms
            if patience is not None and _stop(history, patience, best):
                break
    except KeyboardInterrupt:
        if updating:  # some weights may have moved and others not
            good.restore()
        history.interrupted = True
    return history


def evaluate(model, data, *, num_steps=200):
    """Score a text, or minibatches.

    Parameters
    ----------
    model : LanguageModel
    data : sequence of int, or LabelledBatches
        A text of at least two indices: every token but the first is scored once, the
        state carried throughout. Or minibatches: their labels are scored.
    num_steps : int
        How many tokens of a text are computed at a time; it does not change the
        result.

    Returns
    -------
    (float, int)
        The loss in nats, summed, and the number of tokens or labels scored: what
        `perplexity` and `bits_per_token` take.

    >>> from d2l_rnn.models import rnn_model
    >>> loss, num_tokens = evaluate(rnn_model(5, 3, scale=0), [0, 1, 2, 3, 4, 0])
    >>> round(perplexity(loss, num_tokens), 4), num_tokens
    (5.0, 5)
    """
    num_steps = check_positive_int("num_steps", num_steps)
    if _is_batches(data):
        pairs, carries = data, data.carries_state
    else:
        pairs, carries = _pieces(_check_text("data", data, model), num_steps), True
    state, total, num_scored = None, 0.0, 0
    for X, Y in pairs:
        if state is None or not carries:
            state = model.begin_state(X.shape[0])
        logits, state = model(X, state)
        losses = cross_entropy(logits, Y.T).asnumpy()
        total += float(losses.sum(dtype="float64"))
        num_scored += losses.size
    return total, num_scored


def _pieces(ids, num_steps):
    """Cut a text into consecutive minibatches of one row."""
    text = nd.array(ids, dtype="int32").expand_dims(0)
    for start in range(0, len(ids) - 1, num_steps):
        stop = min(start + num_steps, len(ids) - 1)
        yield text[:, start:stop], text[:, start + 1 : stop + 1]


def _is_batches(data):
    return hasattr(data, "carries_state")


def _forward_backward(model, X, Y, state):
    """Leave gradients in the model; return the mean loss and the state after."""
    state = tuple(s.detach() for s in state)
    with autograd.record():
        logits, state = model(X, state)
        loss = cross_entropy(logits, Y.T).mean()
    loss.backward()
    return float(loss.asscalar()), state


def _clip(model, clip):
    grads = [param.grad for param in model.params.values()]
    return global_norm(grads) if clip is None else clip_gradients(grads, clip)


def _stop(history, patience, best):
    """Keep the best weights; say whether patience has run out, and go back."""
    scores = history.valid_perplexity
    best_epoch = scores.index(min(scores))
    if best_epoch == len(scores) - 1:
        best.take()
    if len(scores) - 1 - best_epoch < patience:
        return False
    best.restore()
    return True


def _check_text(name, ids, model):
    ids = check_ids(name, ids, model.vocab_size)
    if len(ids) < 2:
        raise ValueError(
            f"{name} must hold at least 2 tokens to score one, got {len(ids)}"
        )
    return ids


def _diverged(history, good, loss, place):
    """Go back to the last good weights; return the error that tells the story."""
    good.restore()
    last = history.train_perplexity[-1:] or ["none: it failed in the first epoch"]
    return TrainingDiverged(
        f"the loss or a gradient is not finite (loss {loss}) in epoch "
        f"{history.num_epochs + 1}, {place}; last good training perplexity: "
        f"{last[0]}. The model keeps its last good weights. Use a smaller lr, or "
        "clip",
        history,
    )


class _Snapshot:
    """A copy of a model's weights that is cheap to renew."""

    def __init__(self, model):
        self.params = model.params
        self.copies = {name: param.copy() for name, param in model.params.items()}

    def take(self):
        for name, param in self.params.items():
            param.copyto(self.copies[name])

    def restore(self):
        for name, param in self.params.items():
            self.copies[name].copyto(param)
