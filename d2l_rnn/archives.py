"""Archives that readers bring: MNIST's IDX files, and IMDB in its two packings.

They are read as if a stranger had made them. Nothing is unpacked to disk, nothing is
unpickled, sizes are checked before they are believed, and whatever is wrong with a
file comes out as a ValueError that names it.
"""

import gzip
import io
import json
import math
import pickletools
import re
import struct
import tarfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from d2l_rnn._checks import check_path
from d2l_rnn._progress import progress
from d2l_rnn.datasets import Digits, Reviews
from d2l_rnn.text import MAX_BYTES

__all__ = ["load_imdb", "load_imdb_ids", "load_mnist", "read_idx"]

#: The official names of MNIST's files: training images and labels, test ones.
MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

#: The largest review, in bytes, and the largest number of them in a split.
MAX_REVIEW = 100_000
MAX_REVIEWS = 200_000

#: Files and folders in IMDB's archive, and its bytes unpacked (official: 100,000 and
#: 0.3 GB).
MAX_MEMBERS = 250_000
MAX_UNPACKED = 1_000_000_000

#: Steps of one array's pickle, and those of them that are not numbers (official: 6
#: million and 130,000).
MAX_STEPS = 15_000_000
MAX_STRUCTURE = 1_000_000

#: What files begin with, and what they are called.
_TAR = {b"\x1f\x8b": "aclImdb_v1.tar.gz"}
_NPZ = {b"PK": "imdb.npz"}
_REVIEW = re.compile(r"(?:\./)?aclImdb/(train|test)/(neg|pos)/([0-9]+_[0-9]+)\.txt")
_OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_SPLITS, _CLASSES = ("train", "test"), ("neg", "pos")

#: Bytes of headers between two members of a tar, and what is read ahead.
_HEADROOM = 32_768
_BLOCK = tarfile.BLOCKSIZE

_NPY_START = b"\x93NUMPY\x01\x00"
_LABELS = rb"\|[biu]1|[<>][iu][248]"
_LISTS = rb"\|O"


def read_idx(path):
    """Read an IDX file, the format of MNIST, plain or gzipped.

    Parameters
    ----------
    path : str or path
        The content decides whether it is gzipped, not the name.

    Returns
    -------
    numpy.ndarray of uint8
        Images, (n, height, width), or labels, (n,).

    Raises
    ------
    ValueError, FileNotFoundError
        Another magic number than 0x0000 0801 or 0x0000 0803, fewer or more bytes
        than the header states or than `text.MAX_BYTES`, a damaged ``.gz``.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels-idx1-ubyte")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    ...     read_idx(path)
    array([5, 0, 4], dtype=uint8)
    """
    with _opened(path, "an IDX file") as file:
        stream = gzip.GzipFile(fileobj=file) if _peek(file) in _TAR else file
        shape = _read_idx_shape(stream)
        size = math.prod(shape)
        if size > MAX_BYTES:
            raise _Refused(
                f"states {size:,} bytes, more than the limit of {MAX_BYTES:,}"
            )
        data = stream.read(size + 1)
        if len(data) != size:
            stated = f"the {size:,} bytes that its header states for shape {shape}"
            if len(data) > size:
                raise _Refused(f"has trailing bytes after {stated}")
            raise _Refused(f"is truncated: it has {len(data):,} of {stated}")
        return np.frombuffer(data, np.uint8).reshape(shape).copy()


def load_mnist(folder):
    """Read the full MNIST from its four official files.

    Parameters
    ----------
    folder : str or path
        Where the files of `MNIST_FILES` are, each plain or with ``.gz``; a dot
        instead of the dash before ``idx`` is fine too. If a file is there twice,
        the plain one is read.

    Returns
    -------
    Digits
        Officially 60,000 images to train on and 10,000 to test.

    Raises
    ------
    ValueError, FileNotFoundError
        A file is missing (the message lists which, and the names accepted) or
        damaged, images are not 28 × 28, labels not 0..9, counts unequal or 0.

    >>> load_mnist("~/mnist")  # doctest: +SKIP
    Digits(60000 train, 10000 test)
    """
    folder = check_path("folder", folder)
    if not folder.is_dir():
        error = ValueError if folder.exists() else FileNotFoundError
        raise error(
            f"folder {str(folder)!r} is not a folder: name that of MNIST's files"
        )
    paths = {name: _find(folder, name) for name in MNIST_FILES}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise FileNotFoundError(
            f"folder {str(folder)!r} has no {', '.join(missing)}: each is accepted "
            "with or without .gz, and with .idx in place of -idx"
        )
    return Digits(*_read_digits(*paths.values()))


def load_imdb(path, *, word_index=None):
    """Read the IMDB movie reviews from the archive they are distributed in.

    Parameters
    ----------
    path : str or path
        ``aclImdb_v1.tar.gz``, read as a stream; or Keras's ``imdb.npz``, read
        without unpickling it. The content decides, not the name.
    word_index : str or path, optional
        Keras's ``imdb_word_index.json``: needed for the ``.npz``, which holds indices
        in place of words. Its texts are lower case, without punctuation.

    Returns
    -------
    Reviews
        25,000 of each kind officially, in the order of their names, negative ones
        first (``.npz``: in the order of the file). ``<br />`` has become a space.

    Raises
    ------
    ValueError, FileNotFoundError
        A damaged archive, no reviews of some class, one that is too long, comes
        twice or is not UTF-8; in the tar, links, devices and names that lead out of
        the archive; in the npz, see `load_imdb_ids`. Other files are passed over.

    >>> load_imdb("aclImdb_v1.tar.gz")  # doctest: +SKIP
    Reviews(25000 train, 25000 test)
    """
    words = None if word_index is None else _read_words(word_index)
    with _opened(path, "aclImdb_v1.tar.gz or imdb.npz") as file:
        if _check_start(file, _TAR | _NPZ) in _TAR:
            if words is not None:
                raise _Refused("holds words: leave word_index out, it is for imdb.npz")
            return Reviews(*_read_tar(file))
        if words is None:
            raise _Refused(
                "holds indices in place of words: name Keras's imdb_word_index.json "
                "as word_index, or use load_imdb_ids"
            )
        x_train, y_train, x_test, y_test = _read_npz(file)
        train, test = _spell("x_train", x_train, words), _spell("x_test", x_test, words)
        return Reviews(train, y_train, test, y_test)


def load_imdb_ids(path):
    """Read the word indices of Keras's ``imdb.npz`` without unpickling it.

    The file holds lists of indices as a pickle, and unpickling can run any program
    that the file's maker wished to run. Here the pickle is walked as plain data: what
    an array of lists of whole numbers needs is understood, the rest is refused.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    (list of lists of int, numpy.ndarray of int32, and the same again)
        x_train, y_train, x_test, y_test, as the file has them: index 1 is the most
        frequent word. (Keras's ``load_data`` adds 3 to them, for padding, start and
        unknown words, and shuffles.)

    Raises
    ------
    ValueError, FileNotFoundError
        A damaged or encrypted archive, missing or oversized arrays, objects other
        than lists of whole numbers, labels other than 0 and 1 or of one class only.
    """
    with _opened(path, "imdb.npz") as file:
        _check_start(file, _NPZ)
        return _read_npz(file)


class _Refused(ValueError):
    """What is wrong with a file, without its path."""


@contextmanager
def _opened(path, wanted, name="path"):
    """Open a file; whatever its content sets off becomes a ValueError on the path."""
    path = check_path(name, path)
    if path.is_dir():
        raise ValueError(f"{name} {str(path)!r} is a folder: name {wanted} in it")
    if not path.is_file():
        raise FileNotFoundError(f"{name} {str(path)!r} does not exist: name {wanted}")
    with path.open("rb") as file:
        try:
            yield file
        except _Refused as error:
            raise ValueError(f"{name} {str(path)!r} {error}") from None
        # On made-up bytes the readers of gzip, tar and zip raise a dozen kinds.
        except Exception as error:
            raise ValueError(
                f"{name} {str(path)!r} is damaged ({error or repr(error)}): fetch it "
                "again"
            ) from error


def _peek(file):
    start = file.read(2)
    file.seek(0)
    return start


def _check_start(file, wanted):
    start = _peek(file)
    if start not in wanted:
        raise _Refused(
            f"is not {' or '.join(wanted.values())}: it begins with the bytes "
            f"'{start.hex(' ')}'"
        )
    return start


# --- MNIST


def _read_idx_shape(stream):
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise _Refused(
            f"is no IDX file: it begins with the bytes '{magic.hex(' ')}', not with "
            "'00 00 08'"
        )
    if magic[2] != 8:
        raise _Refused(
            f"holds numbers of IDX type 0x{magic[2]:02x}: only unsigned bytes, 0x08, "
            "are read"
        )
    if magic[3] not in (1, 3):
        raise _Refused(
            f"has {magic[3]} dimensions: only 1 (labels) and 3 (images) are read"
        )
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise _Refused("is truncated: it ends within its header")
    return struct.unpack(f">{magic[3]}I", sizes)


def _find(folder, name):
    """Return the path of one of the names that a file may have, or None."""
    stems = (name, name.replace("-idx", ".idx"))
    paths = [folder / (stem + end) for end in ("", ".gz") for stem in stems]
    return next((path for path in paths if path.is_file()), None)


def _read_digits(*paths):
    for images, labels in (paths[:2], paths[2:]):
        x, y = read_idx(images), read_idx(labels)
        if x.shape[1:] != (28, 28):
            raise ValueError(
                f"path {str(images)!r} must hold images of 28 × 28, got shape {x.shape}"
            )
        if y.ndim != 1 or len(y) != len(x) or not len(y):
            raise ValueError(
                f"path {str(labels)!r} must hold one label for each of the {len(x)} "
                f"images (at least 1) in {images.name}, got shape {y.shape}"
            )
        if y.max() > 9:
            raise ValueError(
                f"path {str(labels)!r} must hold labels from 0 to 9, got {y.max()}"
            )
        yield from (x, y.astype(np.int32))


# --- IMDB as distributed: a tar


class _Metered:
    """A stream that gives no more than was allowed, and knows where content ends."""

    def __init__(self, stream):
        self.stream, self.limit = stream, _HEADROOM
        self.position = self.last_content = 0

    def read(self, size):
        chunk = self.stream.read(size)
        content = chunk.rstrip(b"\0")
        if content:
            self.last_content = self.position + len(content)
        self.position += len(chunk)
        if self.position > self.limit:
            raise _Refused("has more headers or padding than IMDB's archive has")
        return chunk


def _read_tar(file):
    """Return texts and labels of the training part, then of the test part."""
    source = _Metered(gzip.GzipFile(fileobj=file))
    found = {(split, label): {} for split in _SPLITS for label in _CLASSES}
    with tarfile.open(fileobj=source, mode="r|", encoding="utf-8") as tar:
        for member in _tar_files(tar, source):
            match = _REVIEW.fullmatch(member.name)
            if match:
                split, label, name = match.groups()
                if name in found[split, label]:
                    raise _Refused(f"holds {member.name!r} twice")
                found[split, label][name] = _read_review(tar, member)
    empty = ["/".join(("aclImdb", *key)) for key, texts in found.items() if not texts]
    if empty:
        raise _Refused(f"holds no reviews (ID_RATING.txt) in {', '.join(empty)}")
    for split in _SPLITS:
        parts = [found[split, label] for label in _CLASSES]
        yield [texts[name] for texts in parts for name in sorted(texts)]
        yield np.repeat(np.arange(2, dtype=np.int32), [len(texts) for texts in parts])


def _tar_files(tar, source):
    """Go through the files of a tar; refuse what IMDB's archive has no need of."""
    end = 0
    members = progress(iter(tar.next, None), "reading reviews")
    for number, member in enumerate(members, 1):
        name = member.name[:100]
        if number > MAX_MEMBERS:
            raise _Refused(f"holds more than the limit of {MAX_MEMBERS:,} members")
        if not (member.isfile() or member.isdir()) or member.issparse():
            raise _Refused(
                f"holds {name!r}, which is a link, a device or the like: only files "
                "and folders are read"
            )
        if _OUTSIDE.match(member.name):
            raise _Refused(f"holds {name!r}, a name that leads out of the archive")
        size = member.size if member.isfile() else 0
        end = member.offset_data + -(-size // _BLOCK) * _BLOCK
        if size < 0 or end > MAX_UNPACKED:
            raise _Refused(
                f"unpacks past the limit of {MAX_UNPACKED:,} bytes with {name!r}"
            )
        source.limit = end + _HEADROOM
        if member.isfile():
            yield member
    while source.read(_HEADROOM):  # to the end, so that gzip compares its checksum
        pass
    if source.last_content > end:
        raise _Refused(f"has a damaged header at byte {end:,} of the tar in it")
    if source.position < end + _BLOCK:
        raise _Refused("is truncated: the tar in it has no end mark")


def _read_review(tar, member):
    if member.size > MAX_REVIEW:
        raise _Refused(
            f"holds a review of {member.size:,} bytes, {member.name!r}: the limit is "
            f"{MAX_REVIEW:,}"
        )
    try:
        text = tar.extractfile(member).read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Refused(
            f"holds {member.name!r}, which is not UTF-8 text (byte {error.start})"
        ) from error
    return _BREAK.sub(" ", text)


# --- IMDB as Keras has it: a zip of NumPy arrays


def _read_npz(file):
    """Return x_train, y_train, x_test, y_test."""
    arrays = []
    with zipfile.ZipFile(file) as archive:
        for split in _SPLITS:
            x = _read_array(archive, f"x_{split}", _LISTS)
            y = _read_array(archive, f"y_{split}", _LABELS)
            if len(x) != len(y):
                raise _Refused(f"holds {len(x)} lists x_{split}, {len(y)} labels")
            arrays += [x, y]
    return tuple(arrays)


def _read_array(archive, name, kind):
    """Return an array of lists, or of labels, from the .npy file in a zip."""
    found = [i for i in archive.infolist() if i.filename == f"{name}.npy"]
    if len(found) != 1:
        raise _Refused(
            f"must hold one array {name}.npy, got {len(found)}: fetch Keras's own"
        )
    if found[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _Refused("is compressed in another way than NumPy's: zip it anew")
    if found[0].file_size > MAX_BYTES:
        raise _Refused(
            f"holds {found[0].file_size:,} bytes of {name}: the limit is {MAX_BYTES:,}"
        )
    with archive.open(found[0]) as stream:
        # Without a number, zipfile would inflate all before it looks at the size.
        data = stream.read(found[0].file_size + 1)
    dtype, count, start = _read_npy_header(name, data, kind)
    read = _read_labels if kind == _LABELS else _read_lists
    return read(name, data[start:], count, dtype)


def _read_npy_header(name, data, kind):
    """Return an .npy file's type, number of elements, and where they begin."""
    start = (
        len(_NPY_START)
        + 2
        + int.from_bytes(data[len(_NPY_START) : len(_NPY_START) + 2], "little")
    )
    header = data[len(_NPY_START) + 2 : start].rstrip()
    form = (
        rb"\{'descr': '(%s)', 'fortran_order': (?:True|False), "
        rb"'shape': \((\d{1,9}),\),? ?\}"
    )
    match = re.fullmatch(form % kind, header)
    if not data.startswith(_NPY_START) or not match:
        what = "lists" if kind == _LISTS else "labels"
        raise _Refused(
            f"must hold {name} as an array of {what} in one dimension (.npy 1.0), got "
            f"the header {header[:80].decode('latin-1')!r}"
        )
    if not 0 < int(match[2]) <= MAX_REVIEWS:
        raise _Refused(
            f"holds {int(match[2]):,} elements of {name}: from 1 to {MAX_REVIEWS:,} "
            "are read"
        )
    return match[1].decode(), int(match[2]), start


def _read_labels(name, data, count, dtype):
    if len(data) != count * np.dtype(dtype).itemsize:
        raise _Refused(f"states {count} labels {name}, which its bytes do not hold")
    labels = np.frombuffer(data, dtype)
    if np.unique(labels).tolist() != [0, 1]:
        raise _Refused(
            f"must hold labels {name} of 0 and 1, and both of them, got values from "
            f"{labels.min()} to {labels.max()}"
        )
    return labels.astype(np.int32)


def _read_lists(name, data, count, _):
    """Return the lists of a pickled object array, without unpickling it."""
    stream = _ShortLines(data)
    lists = _PickleWalk(name).run(stream, count)
    if stream.read(1):
        raise _Refused(f"has trailing bytes after the pickle of {name}")
    if sum(map(len, lists)) > MAX_STEPS:
        raise _Refused(f"holds more than the limit of {MAX_STEPS:,} indices in {name}")
    for ids in lists:
        if not set(map(type, ids)) <= {int} or min(ids, default=0) < 0:
            raise _Refused(
                f"holds something else than indices 0, 1, … in the lists of {name}"
            )
    return [list(ids) for ids in lists]


class _ShortLines(io.BytesIO):
    """Bytes whose lines are short: names, and no number of a million digits."""

    def readline(self):
        return super().readline(100)


#: Opcodes that push their argument: numbers, and what else an array is described by.
_NUMBERS = frozenset(("BININT", "BININT1", "BININT2"))
_CONSTANTS = frozenset(
    "NONE NEWTRUE NEWFALSE BINUNICODE SHORT_BINUNICODE SHORT_BINSTRING "
    "SHORT_BINBYTES".split()
)

#: Names that may occur, and what calling them gives: None where that is refused.
_NAMES = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy dtype": "dtype",
    "numpy ndarray": None,
    "_codecs encode": "bytes",  # how protocol 2 writes bytes
}


class _PickleWalk:
    """Follow a pickle's opcodes with lists and tuples only; call nothing.

    An object array is pickled as: make an array (_reconstruct), make a type
    (dtype), fill in the type (BUILD), fill in the array (BUILD) with the tuple
    (version, shape, type, order, list of elements). Names stand for themselves.
    """

    def __init__(self, name):
        self.name, self.stack, self.marks, self.memo = name, [], [], {}

    def run(self, stream, count):
        """Return the array's elements: ``count`` lists."""
        seen, structure = {}, 0
        steps = progress(pickletools.genops(stream), f"reading {self.name}")
        for number, (opcode, arg, _) in enumerate(steps):
            if opcode.name in _NUMBERS:
                self.stack.append(seen.setdefault(arg, arg))
            else:
                structure += 1
                self.step(opcode.name, arg)
            if number >= MAX_STEPS or structure >= MAX_STRUCTURE:
                raise _Refused(
                    f"holds more steps in the pickle of {self.name} than the "
                    f"limits of {MAX_STEPS:,} and {MAX_STRUCTURE:,}"
                )
        match self.stack:
            case [_Made("array", (_, shape, _Made("dtype"), _, list(lists)))]:
                is_list = [type(ids) is list for ids in lists]
                if shape == (count,) and len(lists) == count and all(is_list):
                    return lists
        raise self.refusal(f"something else than an array of {count} lists")

    def step(self, op, arg):
        """Do one opcode that is not a number."""
        stack, memo = self.stack, self.memo
        match op:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "EMPTY_LIST":
                stack.append([])
            case "MARK":
                self.marks.append(len(stack))
            case "APPEND":
                self.extend([stack.pop()])
            case "APPENDS":
                self.extend(self.above(self.marks.pop()))
            case "TUPLE":
                stack.append(tuple(self.above(self.marks.pop())))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self.above(len(stack) - int(op[-1]))))
            case "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                memo[len(memo) if op == "MEMOIZE" else arg] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[arg])
            case "GLOBAL" | "STACK_GLOBAL":
                self.push_name(*([arg] if arg else self.above(len(stack) - 2)))
            case "REDUCE":
                self.call(*self.above(len(stack) - 2))
            case "BUILD":
                state = stack.pop()
                if not isinstance(stack[-1], _Made):
                    raise self.refusal("a state for something else than an array")
                stack[-1].state = state
            case _ if op in _CONSTANTS:
                stack.append(arg)
            case _:
                raise self.refusal(f"the opcode {op}")

    def above(self, start):
        """Take what lies on the stack from a place on."""
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def extend(self, items):
        if type(self.stack[-1]) is not list:
            raise self.refusal("elements for something else than a list")
        self.stack[-1].extend(items)

    def push_name(self, *parts):
        name = " ".join(parts)
        if name not in _NAMES:
            raise self.refusal(f"the name {name[:80]!r}")
        self.stack.append(_Name(name))

    def call(self, name, args):
        """Push what stands for the result of a call."""
        result = _NAMES[name] if isinstance(name, _Name) else None
        if result is None or (result == "dtype" and args[0] not in ("O", "O4", "O8")):
            raise self.refusal("a call that makes something else than such lists")
        self.stack.append(_Made(result))

    def refusal(self, what):
        return _Refused(
            f"holds an array {self.name} that is not made of lists of whole numbers "
            f"only: its pickle has {what}. Nothing of it was run: fetch Keras's own "
            "imdb.npz"
        )


class _Name(str):
    """The name of a function or type in a pickle."""


@dataclass
class _Made:
    """What stands for the result of a call in a pickle."""

    kind: str
    state: object = None


def _read_words(path):
    """Return the words of Keras's word index by their indices."""
    with _opened(path, "imdb_word_index.json", "word_index") as file:
        data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise _Refused(f"holds more than the limit of {MAX_BYTES:,} bytes")
        table = json.loads(data)
        if not isinstance(table, dict) or not set(map(type, table.values())) <= {int}:
            raise _Refused("must hold one JSON object from words to whole numbers")
        if not all(0 < index < 2**31 for index in table.values()) or not table:
            raise _Refused("must hold at least one word, and indices from 1 on")
        words = {index: word for word, index in table.items()}
        if len(words) != len(table):
            raise _Refused("must hold an index of its own for each word")
        return words


def _spell(name, lists, words):
    """Return lists of indices as texts."""
    unknown = next((i for ids in lists for i in ids if i not in words), None)
    if unknown is not None:
        raise _Refused(
            f"holds index {unknown} in {name}, which is not in word_index: name the "
            "imdb_word_index.json that belongs to it"
        )
    return [" ".join(words[i] for i in ids) for ids in lists]
