"""Models as files for the pages' playground, and what an input changes later.

A file is a classic script, so that a page can load it from a disk too: one
assignment to ``window.d2lModels``, with weights as base64 of float16. Reading it
back gives the model that the page has, to the last bit of its weights.
"""

import base64
import json
import re
from contextlib import contextmanager

import numpy as np
from mxnet import autograd, nd

from d2l_rnn._checks import (
    check_ids,
    check_new_file,
    check_number,
    check_numbers,
    check_path,
    check_positive_int,
    check_type,
)
from d2l_rnn.checkpoint import ODD
from d2l_rnn.models import GLUON_LAYERS, GluonModel, gluon_layer
from d2l_rnn.ngrams import NGramModel
from d2l_rnn.text import Vocab

__all__ = [
    "export_arrays",
    "export_model",
    "export_text",
    "import_arrays",
    "import_model",
    "import_text",
    "influence",
]

#: From the names of a GluonModel's parameters to those in the file.
NAMES = {
    "embedding_weight": "embedding",
    "l0_i2h_weight": "W_x",
    "l0_i2h_bias": "b_x",
    "l0_h2h_weight": "W_h",
    "l0_h2h_bias": "b_h",
    "output_weight": "W_q",
    "output_bias": "b_q",
}

_SCRIPT = re.compile(
    r'\(window\.d2lModels = window\.d2lModels \|\| \{\}\)\["([\w-]+)"\] = (.*);\n', re.S
)


def export_model(model, vocab, path):
    """Write a trained model as a script named after itself.

    Parameters
    ----------
    model : GluonModel
        One layer in one direction, with an embedding: what the page can compute.
        Its RNN has tanh units; its GRU is the form of cuDNN.
    vocab : Vocab
        Of single characters, without ``<unk>``.
    path : path ending in .js
        Its stem is the name by which the page knows the model.

    Returns
    -------
    int
        The size of the file in bytes.
    """
    kind = _kind(model)
    weights = {NAMES[name]: param.asnumpy() for name, param in model.params.items()}
    return _write(
        path,
        {
            "kind": kind,
            "num_hiddens": model.layer._hidden_size,
            "embed_size": model.embed_size,
            "tokens": _tokens(vocab, model.vocab_size),
            "weights": {name: _pack(array, name) for name, array in weights.items()},
        },
    )


def import_model(path):
    """Return the model in a script of `export_model`, and its vocabulary.

    Returns
    -------
    (GluonModel, Vocab)
        With the weights of the file: those of the trained model, rounded to float16.
    """
    with _reading(path, "export_model") as data:
        vocab = Vocab(data["tokens"])
        layer = gluon_layer(data["kind"], data["num_hiddens"])
        model = GluonModel(layer, len(vocab), embed_size=data["embed_size"])
        weights = {name: _unpack(data["weights"][n]) for name, n in NAMES.items()}
        model.set_weights(weights)
    return model, vocab


def export_text(ids, vocab, path, *, discount=0.75, max_order=6):
    """Write the training text of counting models as a script.

    The page counts for itself: a text is smaller than the counts of its n-grams,
    and they come out exactly as `NGramModel` has them, for every order.

    Returns
    -------
    int
        The size of the file in bytes.
    """
    check_type("vocab", vocab, Vocab, "a text.Vocab")
    data = {
        "kind": "ngram",
        "discount": check_number("discount", discount, 0, 1, open_low=True),
        "max_order": check_positive_int("max_order", max_order),
        "tokens": _tokens(vocab, len(vocab)),
        "text": vocab.decode(check_ids("ids", ids, len(vocab))),
    }
    return _write(path, data)


def import_text(path, order):
    """Return the Kneser–Ney model of a script of `export_text`, and its vocabulary."""
    order = check_positive_int("order", order)
    with _reading(path, "export_text") as data:
        vocab = Vocab(data["tokens"])
        model = NGramModel(order, len(vocab), discount=data["discount"])
        return model.fit(vocab.encode(data["text"])), vocab


def export_arrays(arrays, path, **more):
    """Write NumPy arrays by name, as float16, with whatever else JSON can hold."""
    check_type("arrays", arrays, dict, "a dict of NumPy arrays by name")
    packed = {name: _pack(array, name) for name, array in arrays.items()}
    return _write(path, {**more, "arrays": packed})


def import_arrays(path):
    """Return the arrays in a script of `export_arrays`, and what else it holds."""
    with _reading(path, "export_arrays") as data:
        packed = data.pop("arrays")
        return {name: _unpack(array) for name, array in packed.items()}, data


def influence(model, ids):
    """Return how strongly each input moves each later prediction.

    Entry (t, τ) is ‖∂ logit_t / ∂ x_τ‖, the length of the gradient with respect to
    the embedding x_τ of symbol τ, where logit_t is the score that the model, having
    read symbols 0 … t, gives to the symbol that came next. (Madsen, Visualizing
    memorization in RNNs, 2019, draws the same.)

    Parameters
    ----------
    model : GluonModel
        With an embedding.
    ids : sequence of int, length T + 1

    Returns
    -------
    numpy.ndarray of float32, shape (T, T)
        0 above the diagonal: the future moves nothing.

    >>> model = GluonModel(gluon_layer("rnn", 4), vocab_size=5, embed_size=3)
    >>> influence(model, [0, 3, 1, 2])[0].round(3)[1:]
    array([0., 0.], dtype=float32)
    """
    _kind(model)
    ids = check_ids("ids", ids, model.vocab_size)
    if len(ids) < 2:
        raise ValueError(f"ids must hold at least 2 symbols, got {len(ids)}")
    inputs = model.embedding(nd.array(ids[:-1, None], dtype="int32"))
    rows = []
    for t, after in enumerate(ids[1:].tolist()):
        inputs.attach_grad()
        with autograd.record(train_mode=False):
            outputs, _ = model.layer(inputs, list(model.begin_state(1)))
            logit = model.output(outputs)[t, 0, after]
        logit.backward()
        rows.append(inputs.grad.norm(axis=(1, 2)).asnumpy())
    return np.stack(rows)


def _kind(model):
    """Return the kind of a model that a page can compute, or say what is wrong."""
    layer = getattr(model, "layer", None)
    kinds = [kind for kind, known in GLUON_LAYERS.items() if isinstance(layer, known)]
    wanted = {NAMES[name] for name in getattr(model, "params", {}) if name in NAMES}
    relu = getattr(layer, "_mode", "") == "rnn_relu"
    if not kinds or relu or wanted != set(NAMES.values()) or len(model.params) != 7:
        raise ValueError(
            "model must be a GluonModel with an embedding and one layer, "
            f"RNN(…, activation='tanh'), GRU or LSTM, in one direction; got {model!r}"
        )
    return kinds[0]


def _tokens(vocab, size):
    check_type("vocab", vocab, Vocab, "a text.Vocab")
    if len(vocab) != size or any(len(token) != 1 for token in vocab.tokens):
        raise ValueError(
            f"vocab must hold the model's {size} symbols, each one character, "
            f"got {vocab!r}"
        )
    return "".join(vocab.tokens)


def _pack(array, name):
    data = check_numbers(f"arrays[{name!r}]", array, finite=False).astype("<f2")
    if not np.isfinite(data).all():
        raise ValueError(
            f"arrays[{name!r}] holds numbers that float16 cannot: is it trained?"
        )
    return {
        "shape": list(data.shape),
        "data": base64.b64encode(data.tobytes()).decode("ascii"),
    }


def _unpack(packed):
    data = np.frombuffer(base64.b64decode(packed["data"]), dtype="<f2")
    return data.reshape(packed["shape"]).astype(np.float32)


def _write(path, data):
    path = check_new_file("path", path)
    if path.suffix != ".js" or not re.fullmatch(r"[\w-]+", path.stem):
        raise ValueError(
            f"path must end in a name of letters, digits, _ and - with .js, got "
            f"{path.name!r}"
        )
    try:
        value = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    except (RecursionError, TypeError, ValueError) as error:
        raise TypeError(f"more must hold what JSON can, got {error}") from None
    # Ends of lines to JavaScript, but not to JSON.
    value = value.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    script = f'(window.d2lModels = window.d2lModels || {{}})["{path.stem}"] = {value};'
    return path.write_bytes(f"{script}\n".encode())


@contextmanager
def _reading(path, writer):
    """Give what a script holds; whatever its content sets off becomes a ValueError."""
    path = check_path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"path {str(path)!r} is no file: check the name")
    try:
        match = _SCRIPT.fullmatch(path.read_text("utf-8"))
        if match is None:
            raise ValueError("it is not one assignment to window.d2lModels")
        yield json.loads(match[2])
    except ODD as error:
        raise ValueError(
            f"path {str(path)!r} is not a script that this module wrote with "
            f"{writer} ({error})"
        ) from None
