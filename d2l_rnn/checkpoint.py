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
from operator import mul
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from d2l_rnn._checks import (
    check_choice,
    check_new_file,
    check_path,
    check_positive_int,
    check_type,
    shown,
)
from d2l_rnn.classifiers import SequenceClassifier
from d2l_rnn.models import (
    GLUON_LAYERS,
    GluonModel,
    LanguageModel,
    LastStep,
    rnn_model,
)
from d2l_rnn.regularized import RegularizedModel
from d2l_rnn.text import Vocab

__all__ = ["load_model", "read", "save_model", "write"]

#: The entry of the file's header that is this module's, and its version.
ENTRY, VERSION = "d2l_rnn", 1

#: What may come of a file that holds other things than were written.
ODD = (
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


def write(path, arrays, info):
    """Write arrays and what they are to a file, in one step that can't half happen.

    Parameters
    ----------
    path : str or path
    arrays : dict of str to numpy.ndarray
    info : dict
        Anything JSON can hold.
    """
    path = check_new_file("path", path)
    check_type("arrays", arrays, dict, "a dict of NumPy arrays by name")
    for name, array in arrays.items():
        check_type("a name in arrays", name, str, "a string")
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            raise TypeError(
                f"arrays[{name!r}] must be a NumPy array of numbers, got "
                f"{shown(array)}: .asnumpy() makes one of an NDArray"
            )
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    check_type("info", info, dict, "a dict")
    try:
        text = json.dumps(info, ensure_ascii=False)
    except (RecursionError, TypeError, ValueError) as error:
        raise TypeError(f"info must hold what JSON can, got {error}") from None
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
    path = check_path("path", path)
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
    try:
        info = check_type("info", json.loads(text), dict, "a dict")
    except (RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"path {str(path)!r} was not made by this package ({error}): use a file "
            "that save_model or train(checkpoint=…) wrote"
        ) from None
    return arrays, info


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


def save_model(path, model, vocab=None, *, dtype="float32"):
    """Write a model's weights and settings, and the vocabulary it was trained with.

    Parameters
    ----------
    path : str or path
    model : LanguageModel
        Made by `rnn_model`, `GluonModel`, `LastStep`, `RegularizedModel` or
        `SequenceClassifier`.
    vocab : Vocab, optional
    dtype : {"float32", "float16"}
        How the weights are written. Half the precision makes half the file; a model
        scores almost the same with it, but not to the last bit.
    """
    check_type("model", model, LanguageModel, "a LanguageModel")
    if vocab is not None:
        check_type("vocab", vocab, Vocab, "a text.Vocab")
    check_choice("dtype", dtype, ("float32", "float16"))
    if model.settings is None:
        raise ValueError(
            "model was put together by hand, so a file can't say how to make it "
            "again: write(path, arrays, info) keeps its weights"
        )
    info = {"kind": "model", "model": model.settings}
    if vocab is not None:
        info["vocab"] = {"tokens": vocab.tokens, "unk": vocab.unk, "pad": vocab.pad}
    weights = weights_of(model)
    write(path, {name: w.astype(dtype) for name, w in weights.items()}, info)


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
    try:
        model = _make(info["model"], sum(array.size for array in arrays.values()))
        model.set_weights(arrays)
        if "vocab" not in info:
            return model, None
        kept = info["vocab"]
        return model, Vocab(kept["tokens"], unk=kept["unk"], pad=kept["pad"])
    except ODD as error:
        raise ValueError(
            f"path {str(path)!r} tells of a model in another way than save_model does "
            f"({error}): use another copy, or a newer package"
        ) from None


def weights_of(model):
    """Return a model's weights as NumPy arrays by name."""
    return {name: param.asnumpy() for name, param in model.params.items()}


def _make(settings, num_numbers):
    """Return a new model of the kind and with the arguments that a file names.

    The file holds so many numbers, which keeps its sizes from being too large.
    """
    options = dict(settings)
    kind = options.pop("kind")
    if kind == "LastStep":
        return LastStep(_make(options["model"], num_numbers))
    kinds = {
        "rnn_model": rnn_model,
        "RegularizedModel": RegularizedModel,
        "SequenceClassifier": SequenceClassifier,
        "GluonModel": GluonModel,
    }
    if kind not in kinds:
        raise ValueError(f"model has the unknown kind {kind!r}")
    largest = _largest_matrix({"num_layers": 1, **options})
    if largest > num_numbers:
        raise ValueError(
            f"its matrices have {largest} numbers, and the file holds {num_numbers}"
        )
    if kind != "GluonModel":
        return kinds[kind](**options)
    layer, sizes = options.pop("layer").lower(), options.pop("layer_options")
    sizes["hidden_size"] = check_positive_int("hidden_size", sizes["hidden_size"])
    sizes["num_layers"] = check_positive_int("num_layers", sizes["num_layers"])
    if layer == "rnn":
        check_choice("activation", sizes["activation"], ("relu", "tanh"))
    return GluonModel(GLUON_LAYERS[layer](**sizes), **options)


def _largest_matrix(options):
    """Return the size of a model's largest matrix, of all layers together.

    >>> _largest_matrix({"vocab_size": 50, "num_hiddens": 8, "num_layers": 2})
    400
    """
    options = options | options.get("layer_options", {})
    width = options["hidden_size" if "hidden_size" in options else "num_hiddens"]
    sizes = [options.get(name) for name in ("num_inputs", "vocab_size", "embed_size")]
    sizes = [size for size in sizes if size is not None]
    sizes.append(width)
    if not options.get("tied"):  # then the embedding is the output layer too
        sizes.append(options.get("num_classes", sizes[0]))
    return max(width**2 * options["num_layers"], *map(mul, sizes, sizes[1:]))
