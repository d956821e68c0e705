"""Files that keep a model, or a training run that may go on.

A checkpoint is one file in the format of safetensors: arrays, and a text that says
what they are. Reading it executes nothing. A checksum tells whether it was altered,
and it is written beside the old one and then put in its place, so that a crash at
any moment leaves either the old file or the new one.
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from d2l_rnn.classifiers import SequenceClassifier
from d2l_rnn.models import GLUON_LAYERS, GluonModel, LastStep, rnn_model
from d2l_rnn.text import Vocab

__all__ = ["load_model", "read", "save_model", "write"]

#: The entry of the file's header that is this module's, and its version.
ENTRY, VERSION = "d2l_rnn", 1


def write(path, arrays, info):
    """Write arrays and what they are to a file, in one step that can't half happen.

    Parameters
    ----------
    path : str or path
    arrays : dict of str to numpy.ndarray
    info : dict
        Anything JSON can hold.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"path {str(path)!r} lies in a folder that is not there: make it first"
        )
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps(info, ensure_ascii=False)
    entry = {"version": VERSION, "sha256": _checksum(arrays, text), "info": text}
    data = safetensors.save(arrays, {ENTRY: json.dumps(entry, ensure_ascii=False)})
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def read(path):
    """Return what `write` wrote: the arrays and the info.

    Raises
    ------
    ValueError
        The file is no checkpoint, was written by a newer version, is cut short or
        was altered; the message says which.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path {str(path)!r} is no file: check the name")
    data = path.read_bytes()
    entry = _entry(data)
    if entry is None:
        raise ValueError(
            f"path {str(path)!r} is no checkpoint of this package, or its beginning "
            "is damaged: use a file that save_model or train(checkpoint=…) wrote"
        )
    if entry.get("version") != VERSION:
        raise ValueError(
            f"path {str(path)!r} has version {entry.get('version')!r} of the "
            f"format, and this package reads version {VERSION}: update the package"
        )
    try:
        arrays = safetensors.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"path {str(path)!r} is cut short or damaged ({error}): use another copy"
        ) from error
    text = str(entry.get("info"))
    if _checksum(arrays, text) != entry.get("sha256"):
        raise ValueError(
            f"path {str(path)!r} was altered: its checksum is not that of what it "
            "holds. Use another copy"
        )
    return arrays, json.loads(text)


def _entry(data):
    """Return this module's entry in the header, which is JSON after 8 bytes of length.

    None if there is none.
    """
    length = int.from_bytes(data[:8], "little")
    try:
        entry = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][ENTRY])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _checksum(arrays, text):
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save_model(path, model, vocab=None):
    """Write a model's weights and settings, and the vocabulary it was trained with.

    Parameters
    ----------
    path : str or path
    model : LanguageModel
        Made by `rnn_model`, `GluonModel`, `LastStep` or `SequenceClassifier`.
    vocab : Vocab, optional
    """
    if model.settings is None:
        raise ValueError(
            "model was put together by hand, so a file can't say how to make it "
            "again: write(path, arrays, info) keeps its weights"
        )
    info = {"kind": "model", "model": model.settings}
    if vocab is not None:
        info["vocab"] = {"tokens": vocab.tokens, "unk": vocab.unk, "pad": vocab.pad}
    write(path, weights_of(model), info)


def load_model(path):
    """Return the model and the vocabulary (or None) that `save_model` wrote.

    >>> import tempfile
    >>> model, vocab = rnn_model(3, 4, cell="gru"), Vocab("abc")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(folder + "/abc", model, vocab)
    ...     again, vocab = load_model(folder + "/abc")
    >>> (again.params["W_hq"] == model.params["W_hq"]).min().asscalar(), vocab.tokens
    (1.0, ['a', 'b', 'c'])
    """
    arrays, info = read(path)
    if info.get("kind") != "model":
        raise ValueError(
            f"path {str(path)!r} holds a {info.get('kind')!r}, not a model: "
            "train(…, checkpoint=path) reads the file of a training run"
        )
    model = _make(info["model"])
    model.set_weights(arrays)
    if "vocab" not in info:
        return model, None
    kept = info["vocab"]
    return model, Vocab(kept["tokens"], unk=kept["unk"], pad=kept["pad"])


def weights_of(model):
    """Return a model's weights as NumPy arrays by name."""
    return {name: param.asnumpy() for name, param in model.params.items()}


def _make(settings):
    """Return a new model of the kind and with the arguments that a file names."""
    options = dict(settings)
    kind = options.pop("kind")
    if kind == "LastStep":
        return LastStep(_make(options["model"]))
    if kind == "rnn_model":
        return rnn_model(**options)
    if kind == "SequenceClassifier":
        return SequenceClassifier(**options)
    if kind == "GluonModel":
        layer = GLUON_LAYERS[options.pop("layer").lower()]
        return GluonModel(layer(**options.pop("layer_options")), **options)
    raise ValueError(f"model has the unknown kind {kind!r}: update the package")
