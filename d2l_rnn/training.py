"""The one training loop, for scratch and gluon models alike."""

import dataclasses
import math
import time
from dataclasses import dataclass, field

import mxnet as mx
import numpy as np
from mxnet import autograd, nd

from d2l_rnn._checks import (
    check_count,
    check_ids,
    check_new_file,
    check_number,
    check_offers,
    check_positive_int,
    check_type,
)
from d2l_rnn._progress import progress
from d2l_rnn.checkpoint import ODD, weights_of
from d2l_rnn.checkpoint import read as read_file
from d2l_rnn.checkpoint import write as write_file
from d2l_rnn.clipping import clip_gradients, global_norm
from d2l_rnn.metrics import cross_entropy, perplexity

__all__ = [
    "History",
    "TrainingDiverged",
    "evaluate",
    "prequential_log_prob",
    "train",
]


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
    average=None,
    checkpoint=None,
    reduce=None,
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
        Stop after so many epochs without a better held-out perplexity. Whether it
        came to that or not, the model goes back to its best weights in the end.
        Needs ``valid``.
    average : float, optional
        Share, below 1, that a running average of the weights keeps at each step, such
        as 0.995: the average is of about 1 / (1 − 0.995) = 200 steps. It is what is
        scored on ``valid`` and what the model holds in the end. (Polyak & Juditsky
        1992, exponentially weighted.)
    checkpoint : str or path, optional
        A file that is written after every epoch. If it is already there, training
        goes on from it, and ends with the same weights, to the last bit, as a run
        that was never interrupted. Delete it to begin anew.
    reduce : callable, optional
        ``reduce(loss, size, grads) -> (loss, size)``, called after each backward pass
        with the mean loss over ``size`` tokens and the list of its gradients. It puts
        others in their place, of more tokens than these, and returns their mean loss
        and number: see `distributed`.

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
    _check_model(model)
    _check_batches("batches", batches, model)
    if valid is not None:
        valid = _check_data("valid", valid, model)
    if patience is not None:
        patience = check_positive_int("patience", patience, unit=" of epochs")
        if valid is None:
            raise ValueError("patience needs valid: the held-out data it watches")
    if checkpoint is not None:
        checkpoint = check_new_file("checkpoint", checkpoint)
    run = _Run(model, batches, lr, optimizer, clip, average, reduce)
    if checkpoint is not None:
        run.begin(checkpoint)
    history = run.history
    try:
        for _ in progress(range(history.num_epochs, epochs), "training"):
            if patience is not None and run.epochs_since_best() >= patience:
                break
            run.epoch(valid)
            if checkpoint is not None:
                run.save(checkpoint)
        if patience is not None:
            run.best.restore()
        elif average is not None:
            run.average.restore()
    except KeyboardInterrupt:
        if run.updating:  # some weights may have moved and others not
            run.good.restore()
        history.interrupted = True
    return history


class _Run:
    """A training run: a model, its optimizer, and what both have come to."""

    def __init__(self, model, batches, lr, optimizer, clip, average=None, reduce=None):
        self.model, self.batches, self.reduce = model, batches, _reducer(reduce)
        self.schedule = lr if callable(lr) else lambda step: lr
        if clip is not None:
            clip = check_number("clip", clip, 0, open_low=True)
        self.clip = clip
        if average is not None:
            average = check_number("average", average, 0)
            if average >= 1:
                raise ValueError(f"average must be below 1, got {average}: try 0.995")
        self.average = None if average is None else _Average(model, average)
        self.update = mx.optimizer.get_updater(self._optimizer(optimizer))
        self.settings = {
            "lr": "a function" if callable(lr) else lr,
            "optimizer": optimizer,
            "clip": clip,
            "average": average,
            "batches": type(batches).__name__,
            "model": {name: list(p.shape) for name, p in model.params.items()},
        }
        self.history = History()
        self.good, self.best = _Snapshot(model), _Snapshot(model)
        self.step, self.updating, self.seed = 0, False, None

    def _optimizer(self, name):
        check_type("optimizer", name, str, "the name of one of MXNet's")
        rate = self._rate(0)
        try:
            return mx.optimizer.create(name, learning_rate=rate)
        except (ValueError, AttributeError) as error:
            known = ", ".join(sorted(mx.optimizer.Optimizer.opt_registry))
            raise ValueError(
                f"optimizer must be one of {known}, got {name!r}"
            ) from error

    def _rate(self, step):
        name = "lr" if step == 0 else f"lr({step})"
        return check_number(name, self.schedule(step), 0, open_low=True)

    def epoch(self, valid):
        """Go once over the minibatches; score the held-out data; note it all."""
        history, start = self.history, time.perf_counter()
        losses, norms, state = [], [], None
        if self.seed is not None:
            mx.random.seed(self.seed + history.num_epochs)
        for X, Y in self.batches:
            if state is None or not self.batches.carries_state:
                state = self.model.begin_state(X.shape[0])
            loss, state = _forward_backward(self.model, X, Y, state)
            size, grads = Y.size, [param.grad for param in self.model.params.values()]
            if self.reduce is not None:
                loss, size = self.reduce(loss, size, grads)
            norm = _clip(grads, self.clip)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise self._diverged(loss, f"step {len(norms) + 1}")
            self.descend()
            losses.append((loss, size))
            norms.append(norm)
        if not losses:
            raise ValueError("batches held no minibatch: there is nothing to learn")
        seconds = time.perf_counter() - start
        num_tokens = sum(size for _, size in losses)
        if valid is not None:
            self._score(valid)
        total = math.fsum(loss * size for loss, size in losses)
        history.train_perplexity.append(perplexity(total, num_tokens))
        history.grad_norm.append(math.fsum(norms) / len(norms))
        is_clipped = [norm > (self.clip or math.inf) for norm in norms]
        history.clipped.append(sum(is_clipped) / len(norms))
        history.tokens_per_second.append(num_tokens / seconds)
        history.step_norms += norms

    def _score(self, valid):
        """Note the held-out perplexity; keep the weights if it is the lowest."""
        if self.average:
            self.good.take()
            self.average.restore()
        loss, num_scored = evaluate(self.model, valid)
        if not math.isfinite(loss):
            raise self._diverged(loss, "held-out data")
        self.history.valid_perplexity.append(perplexity(loss, num_scored))
        if self.epochs_since_best() == 0:
            self.best.take()
        if self.average:
            self.good.restore()

    def descend(self):
        """Take one step down the gradient."""
        self.good.take()
        self.update.optimizer.set_learning_rate(self._rate(self.step))
        self.updating = True
        for i, param in enumerate(self.model.params.values()):
            self.update(i, param.grad, param)
        self.updating = False
        self.step += 1
        if self.average:
            self.average.update(self.step)

    def epochs_since_best(self):
        """Return how many epochs ago the held-out perplexity was lowest."""
        scores = self.history.valid_perplexity
        return len(scores) - 1 - scores.index(min(scores)) if scores else 0

    def _diverged(self, loss, place):
        """Go back to the last good weights; return the error that tells the story."""
        self.good.restore()
        history = self.history
        last = history.train_perplexity[-1:] or ["none: it failed in the first epoch"]
        return TrainingDiverged(
            f"the loss or a gradient is not finite (loss {loss}) in epoch "
            f"{history.num_epochs + 1}, {place}; last good training perplexity: "
            f"{last[0]}. The model keeps its last good weights. Use a smaller lr, or "
            "clip",
            history,
        )

    def begin(self, path):
        """Go on from a checkpoint, if it is there."""
        if not hasattr(self.batches, "epoch"):
            raise ValueError(
                "checkpoint needs batches that count their epochs in an attribute "
                f"'epoch', as this package's do; {type(self.batches).__name__} has none"
            )
        if path.exists():
            self._load(path)
        else:
            # MXNet's generator, which draws the dropout masks, can't be read: from
            # here on it is set anew before each epoch.
            self.seed = int(nd.random.randint(0, 2**31 - 1, shape=1).asscalar())

    def save(self, path):
        """Write everything that the next epoch depends on."""
        optimizer, arrays = self.update.optimizer, {}
        for name, weight in weights_of(self.model).items():
            arrays[f"weights/{name}"] = weight
            arrays[f"best/{name}"] = self.best.copies[name].asnumpy()
            if self.average:
                arrays[f"average/{name}"] = self.average.copies[name].asnumpy()
        for i, state in self.update.states.items():
            for j, part in enumerate(_parts(state)):
                if part is not None:
                    arrays[f"optimizer/{i}/{j}"] = part.asnumpy()
        history = dataclasses.asdict(self.history)
        arrays["step_norms"] = np.array(history.pop("step_norms"), dtype=np.float64)
        info = {
            "kind": "training run",
            "settings": self.settings,
            "history": history,
            "step": self.step,
            "epoch": self.batches.epoch,
            "seed": self.seed,
            "optimizer": {k: v for k, v in vars(optimizer).items() if _is_number(v)},
            "counts": list(optimizer._index_update_count.items()),
        }
        write_file(path, arrays, info)

    def _load(self, path):
        arrays, info = read_file(path)
        if info.get("kind") != "training run":
            raise ValueError(
                f"checkpoint {str(path)!r} holds a {info.get('kind')!r}, not a "
                "training run: choose another path"
            )
        written = info.get("settings")
        written = written if isinstance(written, dict) else {}
        for name, value in self.settings.items():
            if written.get(name) != value:
                raise ValueError(
                    f"checkpoint {str(path)!r} was written by a run with {name} = "
                    f"{written.get(name)!r}, this one has {value!r}: delete "
                    "the file, choose another path, or go on as it began"
                )
        try:
            self._resume(arrays, info)
        except ODD as error:
            self.good.restore()
            raise ValueError(
                f"checkpoint {str(path)!r} tells of a training run in another way than "
                f"train does ({error!r}): delete the file, or choose another path"
            ) from None

    def _resume(self, arrays, info):
        """Take over what a file holds, which need not be what `save` wrote."""
        optimizer, params = self.update.optimizer, self.model.params
        for name, value in info["optimizer"].items():
            known = vars(optimizer)[name]
            if not (_is_float32(value) and (known is None or _is_number(known))):
                raise ValueError(f"{name} = {value!r}")
            if name != "aggregate_num":  # how it works, not what it has come to
                setattr(optimizer, name, value)
        for i, count in info["counts"]:
            optimizer._index_update_count[i] = check_count("count", count, below=2**31)
        kept = {"weights": params, "best": self.best.copies}
        if self.average:
            kept["average"] = self.average.copies
        for kind, targets in kept.items():
            for name, target in targets.items():
                _fill(target, arrays[f"{kind}/{name}"])
        for i, param in enumerate(params.values()):
            self.update.states[i] = optimizer.create_state_multi_precision(i, param)
            self.update.states_synced[i] = True
            for j, part in enumerate(_parts(self.update.states[i])):
                if part is not None:
                    _fill(part, arrays[f"optimizer/{i}/{j}"])
        step_norms = arrays["step_norms"].ravel().tolist()
        self.history = History(**info["history"], step_norms=step_norms)
        for name, values in vars(self.history).items():
            if name != "interrupted" and not all(map(_is_number, list(values))):
                raise ValueError(f"{name} = {values!r}")
        self.step = check_count("step", info["step"], below=2**31)
        self.seed = check_count("seed", info["seed"], below=2**31)
        self.batches.epoch = check_count("epoch", info["epoch"], below=2**31)
        self.good.take()


def _fill(target, array):
    """Copy an array of a file into one of the same shape."""
    if array.shape != target.shape:
        raise ValueError(f"shape {array.shape} in place of {target.shape}")
    target[:] = array


def _parts(state):
    """Return the arrays of one weight's optimizer state, as a tuple."""
    return tuple(state) if isinstance(state, (tuple, list)) else (state,)


def _is_float32(value):
    return _is_number(value) and abs(value) < 1e30


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


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
    _check_model(model)
    data = _check_data("data", data, model)
    if _is_batches(data):
        pairs, carries = data, data.carries_state
    else:
        pairs, carries = _pieces(data, num_steps), True
    state, total, num_scored = None, 0.0, 0
    for X, Y in pairs:
        if state is None or not carries:
            state = model.begin_state(X.shape[0])
        logits, state = model(X, state)
        losses = cross_entropy(logits, Y.T).asnumpy()
        total += float(losses.sum(dtype="float64"))
        num_scored += losses.size
    return total, num_scored


def prequential_log_prob(model, ids, *, num_steps, lr, optimizer="adam", clip=1.0):
    """Predict a text piece by piece, and learn from each piece once it is known.

    No symbol is ever predicted with the help of itself or what follows, so an
    untrained model ends with what an adaptive compressor would need: it starts from
    nothing and sees the text once. `NGramModel.prequential_log_prob` counts so.

    Parameters
    ----------
    model : LanguageModel
        Changed in place, best without dropout. The first symbol costs log(vocab_size).
    ids : sequence of int, length T
    num_steps : int
        How many symbols are predicted before one step of training on them.
    lr : float or callable
    optimizer : str
    clip : float, optional
        As in `train`.

    Returns
    -------
    numpy.ndarray of float64, shape (T,), in nats

    >>> from d2l_rnn.models import rnn_model
    >>> model = rnn_model(2, 3, scale=0)
    >>> log_probs = prequential_log_prob(model, [0] * 60, num_steps=2, lr=0.1)
    >>> np.exp(log_probs[[0, 1, 2, -1]]).round(2)
    array([0.5 , 0.5 , 0.5 , 0.98])
    """
    num_steps = check_positive_int("num_steps", num_steps)
    _check_model(model)
    run = _Run(model, None, lr, optimizer, clip)
    grads = [param.grad for param in model.params.values()]
    losses, state = [math.log(model.vocab_size)], model.begin_state(1)
    for X, Y in _pieces(_check_data("ids", ids, model), num_steps):
        state = tuple(s.detach() for s in state)
        with autograd.record():
            logits, state = model(X, state)
            loss = cross_entropy(logits, Y.T)
            mean = loss.mean()
        mean.backward()
        _clip(grads, run.clip)
        losses.extend(loss.asnumpy().ravel().tolist())
        run.descend()
    return -np.array(losses)


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


def _clip(grads, clip):
    """Clip gradients in place, if there is a limit; return their norm before."""
    return global_norm(grads) if clip is None else clip_gradients(grads, clip)


def _check_model(model):
    wanted = ("params", "vocab_size", "begin_state", "__call__")
    check_offers("model", model, wanted, "use rnn_model(…) or another LanguageModel")


def _check_data(name, data, model):
    """Return a text as indices, or minibatches as they are, once they fit a model."""
    if _is_batches(data):
        return _check_batches(name, data, model)
    ids = check_ids(name, data, model.vocab_size)
    if len(ids) < 2:
        raise ValueError(
            f"{name} must hold at least 2 tokens to score one, got {len(ids)}"
        )
    return ids


def _check_batches(name, batches, model):
    """Return minibatches, once what can be known of them beforehand fits a model."""
    remedy = "use RandomBatches, ConsecutiveBatches or LabelledBatches"
    check_offers(name, batches, ("carries_state", "__iter__"), remedy)
    for part in ("ids", "Y"):  # a text's symbols, or the labels of rows
        check_ids(f"{name}.{part}", getattr(batches, part, []), model.vocab_size)
    return batches


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


class _Average(_Snapshot):
    """A running average of a model's weights over the steps."""

    def __init__(self, model, share):
        super().__init__(model)
        self.share = share

    def update(self, step):
        """Move towards the weights after ``step`` steps; early ones weigh less."""
        share = min(self.share, step / (10 + step))
        for name, param in self.params.items():
            self.copies[name] *= share
            self.copies[name] += (1 - share) * param


def _reducer(reduce):
    """Return what is called with the gradients of each step, or None."""
    if reduce is not None and not callable(reduce):
        raise TypeError(
            "reduce must be a function (loss, size, grads) -> (loss, size), got "
            f"{reduce!r}"
        )
    return reduce
