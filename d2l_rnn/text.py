"""Corpora and vocabularies: from characters in a file to indices in an array."""

import gzip
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2l_rnn._checks import (
    check_ids,
    check_path,
    check_positive_int,
    check_type,
    is_ndarray,
    shown,
)

__all__ = ["Corpus", "Vocab", "characters", "load_corpus", "words"]

#: Where the shipped corpora live.
DATA = Path(__file__).resolve().parent.parent / "data"

#: The shipped corpora by name: file, and what it is.
SHIPPED = {
    "doctor_moreau": ("doctor_moreau.txt", "H. G. Wells, English novel, 1896"),
    "song_ci": ("song_ci.txt", "1,298 Song-dynasty ci, Chinese"),
    "alice29": ("alice29.txt", "Lewis Carroll, Canterbury corpus, CRLF lines"),
    "asyoulik": ("asyoulik.txt", "Shakespeare, Canterbury corpus"),
    "belling_the_cat": ("belling_the_cat.txt", "Aesop's fable, 204 tokens"),
}

#: The largest text that is read, in bytes after decompression.
MAX_BYTES = 100_000_000

#: What reading a damaged archive may raise besides OSError.
_DAMAGE = (
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)

#: The symbol that stands for all symbols a vocabulary does not hold.
UNK = "<unk>"

#: The symbol that fills up short sequences.
PAD = "<pad>"


def characters(text):
    """Split a text into its characters.

    >>> characters("to be")
    ['t', 'o', ' ', 'b', 'e']
    """
    return list(check_type("text", text, str, "a string"))


def words(text):
    """Split a text at white space, lower case, keeping letters only.

    >>> words("Long ago, the mice had a general council.")
    ['long', 'ago', 'the', 'mice', 'had', 'a', 'general', 'council']
    """
    check_type("text", text, str, "a string")
    letters = "".join(c if c.isalpha() else " " for c in text.lower())
    return letters.split()


class Vocab:
    """A two-way table between symbols and indices 0, 1, 2, ….

    Symbols are sorted, so the same text gives the same indices in every process
    (iterating over a set does not).

    Parameters
    ----------
    tokens : iterable of str
        Symbols of the training text, repeats allowed.
    unk : bool
        Whether ``<unk>`` stands for every symbol not in the table. Without it such
        a symbol is an error, never a silent skip.
    pad : bool
        Whether there is a symbol ``<pad>`` to fill up short sequences with. It
        has index 0; ``<unk>`` comes after it.
    max_size : int, optional
        Keep only the most frequent symbols (``<pad>`` and ``<unk>`` count).

    >>> vocab = Vocab("hello")
    >>> len(vocab), vocab.tokens
    (4, ['e', 'h', 'l', 'o'])
    >>> vocab.encode("hole")
    array([1, 3, 2, 0], dtype=int32)
    >>> vocab.decode([1, 0, 2, 2, 3])
    'hello'
    >>> Vocab(["so", "long"], unk=True, pad=True).tokens
    ['<pad>', '<unk>', 'long', 'so']
    """

    def __init__(self, tokens, *, unk=False, pad=False, max_size=None):
        counts = Counter(_strings(tokens))
        if not counts:
            raise ValueError("tokens is empty: a vocabulary needs at least one symbol")
        special = [PAD] * bool(pad) + [UNK] * bool(unk)
        for token in special:
            counts.pop(token, None)
        kept = list(counts)
        if max_size is not None:
            max_size = check_positive_int("max_size", max_size)
            if max_size < len(special):
                raise ValueError(
                    f"max_size must leave room for {' and '.join(special)}, got "
                    f"{max_size}"
                )
            by_frequency = sorted(counts, key=lambda t: (-counts[t], t))
            kept = by_frequency[: max_size - len(special)]
        self.unk, self.pad = unk, pad
        self.tokens = special + sorted(kept)
        self._index = {token: i for i, token in enumerate(self.tokens)}

    def __len__(self):
        return len(self.tokens)

    def __contains__(self, token):
        return token in self._index

    def __repr__(self):
        return f"Vocab({len(self)} symbols, unk={self.unk})"

    def encode(self, tokens):
        """Return the indices of a string's characters or of a list of tokens.

        Returns
        -------
        numpy.ndarray of int32, shape (number of tokens,)

        Raises
        ------
        ValueError
            A symbol is not in the table, and the table has no ``<unk>``.
        """
        tokens = _strings(tokens)
        if self.unk:
            unknown = self._index[UNK]
            indices = [self._index.get(token, unknown) for token in tokens]
        else:
            unseen = sorted({t for t in tokens if t not in self._index})
            if unseen:
                shown = ", ".join(map(repr, unseen[:8]))
                more = f" and {len(unseen) - 8} more" if len(unseen) > 8 else ""
                raise ValueError(
                    f"tokens hold symbols that are not in the vocabulary: {shown}"
                    f"{more}. Leave them out, or build it with Vocab(…, unk=True)"
                )
            indices = [self._index[token] for token in tokens]
        return np.array(indices, dtype=np.int32)

    def decode(self, indices, sep=""):
        """Return the symbols of ``indices``, joined by ``sep``."""
        check_type("sep", sep, str, "a string")
        indices = list(indices) if isinstance(indices, Iterator) else indices
        indices = indices.asnumpy() if is_ndarray(indices) else indices
        if getattr(indices, "dtype", None) in (np.float32, np.float64):
            if not (indices % 1).any():  # as MXNet's argmax gives them
                indices = indices.astype(np.int64)
        indices = check_ids("indices", indices).tolist()
        wrong = next((i for i in indices if not 0 <= i < len(self)), None)
        if wrong is not None:
            raise ValueError(
                f"indices must lie in 0..{len(self) - 1} for this vocabulary, "
                f"got {wrong}"
            )
        return sep.join(self.tokens[i] for i in indices)


def _strings(tokens, name="tokens"):
    """Return tokens as a string or list, or say which of them is no string."""
    if isinstance(tokens, str):
        return tokens
    if not isinstance(tokens, Iterable):
        raise TypeError(
            f"{name} must be a string or a list of strings, got {shown(tokens)}"
        )
    tokens = list(tokens)
    strange = next((t for t in tokens if not isinstance(t, str)), "")
    if strange != "":
        raise TypeError(f"{name} must be strings, got {shown(strange)}")
    return tokens


@dataclass(frozen=True)
class Corpus:
    """A text as tokens, its vocabulary, and the tokens as indices."""

    name: str
    tokens: list
    vocab: Vocab
    ids: np.ndarray

    def __len__(self):
        return len(self.tokens)

    def __repr__(self):
        return f"Corpus({self.name!r}, {len(self)} tokens, {len(self.vocab)} symbols)"


def load_corpus(source, *, tokenize=characters, first=None, clean=None):
    """Read a corpus: a shipped one by name, or a text file of your own.

    Parameters
    ----------
    source : str or path
        A name such as ``"doctor_moreau"``, or the path of a UTF-8 text, of its
        ``.gz``, or of a ``.zip`` with that one file in it.
    tokenize : callable
        From text to tokens: `characters`, `words`, or your own.
    first : int, optional
        Keep only the first so many tokens. The vocabulary is that of the kept ones.
    clean : callable, optional
        From text to text, applied before ``tokenize`` (``str.lower``, say).

    Raises
    ------
    ValueError, FileNotFoundError
        An unknown name (the message lists the known ones), a missing, empty or
        non-UTF-8 file, an archive with several members or one that would inflate
        past `MAX_BYTES`.

    >>> load_corpus("belling_the_cat", tokenize=str.split)
    Corpus('belling_the_cat', 204 tokens, 112 symbols)
    """
    check_type("tokenize", tokenize, Callable, "a function from text to tokens")
    path = _find(source)
    text = _decode(path, _read(path))
    if clean is not None:
        check_type("clean", clean, Callable, "a function from text to text")
        text = check_type("what clean returns", clean(text), str, "a string")
    tokens = list(_strings(tokenize(text), "what tokenize returns"))
    if first is not None:
        tokens = tokens[: check_positive_int("first", first, unit=" of tokens")]
    if not tokens:
        raise ValueError(
            f"source {str(source)!r} is empty: it holds no tokens to learn"
        )
    vocab = Vocab(tokens)
    name = source if source in SHIPPED else path.name
    return Corpus(str(name), tokens, vocab, vocab.encode(tokens))


def _find(source):
    if isinstance(source, str) and source in SHIPPED:
        path = DATA / SHIPPED[source][0]
        if not path.is_file():
            raise FileNotFoundError(
                f"the shipped corpus {source!r} should be at {path}: install the "
                "package from its checkout ('make setup'), where data/ lies beside it"
            )
        return path
    if isinstance(source, str) and (len(source) > 255 or "\n" in source):
        raise ValueError(
            f"source must be the name or path of a text, got a text itself, "
            f"{shown(source)}: encode it with Vocab(text), or write it to a file"
        )
    path = check_path("source", source)
    if path.is_file():
        return path
    known = ", ".join(SHIPPED)
    if path.is_dir():
        raise ValueError(f"source {str(source)!r} is a folder: name a text file in it")
    looks_like_name = path.suffix == "" and len(path.parts) == 1
    error = ValueError if looks_like_name else FileNotFoundError
    raise error(
        f"source {str(source)!r} is neither a shipped corpus ({known}) "
        "nor a file: check the name or the path"
    )


def _read(path):
    """Return the bytes of a plain, gzipped or zipped file, at most `MAX_BYTES`."""
    try:
        data = _unpack(path)
    except (*_DAMAGE, OSError) as error:
        if path.suffix not in (".gz", ".zip") or isinstance(error, PermissionError):
            raise
        raise ValueError(
            f"source {str(path)!r} is a damaged archive ({error}): fetch it again"
        ) from error
    if len(data) > MAX_BYTES:
        raise ValueError(
            f"source {str(path)!r} holds more than the limit of {MAX_BYTES:,} bytes: "
            "cut it to a smaller text"
        )
    return data


def _unpack(path):
    if path.suffix == ".zip":
        return _read_zip(path)
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


def _read_zip(path):
    with zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if not m.is_dir()]
        if len(members) != 1:
            raise ValueError(
                f"source {str(path)!r} must hold exactly one file, got "
                f"{len(members)}: unpack it and name the text you want"
            )
        if members[0].flag_bits & 0x1:
            raise ValueError(
                f"source {str(path)!r} is encrypted: unpack it and name the text"
            )
        if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(  # zipfile would inflate all of it at once
                f"source {str(path)!r} is compressed in another way than zip's usual "
                "one (deflate): zip it anew"
            )
        with archive.open(members[0]) as file:
            return file.read(MAX_BYTES + 1)


def _decode(path, data):
    if not data:
        raise ValueError(f"source {str(path)!r} is empty: it holds no text to learn")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"source {str(path)!r} is not UTF-8 text (byte {error.start}): save it "
            "as UTF-8 first"
        ) from error
