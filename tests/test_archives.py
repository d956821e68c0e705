"""The reader's own archives: against NumPy and files that are broken on purpose."""

import builtins
import functools
import gzip
import io
import itertools
import json
import os
import pickle
import random
import struct
import sys
import tarfile
import tracemalloc
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from d2l_rnn import archives as module
from d2l_rnn.archives import load_imdb, load_imdb_ids, load_mnist, read_idx

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

quick = settings(deadline=None, max_examples=50)


# --- IDX and MNIST


def idx(array, *, magic=None):
    """Return the bytes of an IDX file, as its definition has them."""
    array = np.asarray(array, dtype=np.uint8)
    magic = magic or bytes([0, 0, 8, array.ndim])
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
PLAIN = idx(IMAGES)


@given(st.data())
@quick
def test_an_idx_file_comes_back(tmp_path_factory, data):
    shape = data.draw(st.sampled_from([(5,), (0,), (2, 3, 4), (0, 28, 28), (3, 1, 1)]))
    size = int(np.prod(shape))
    values = data.draw(st.lists(st.integers(0, 255), min_size=size, max_size=size))
    array = np.array(values, dtype=np.uint8).reshape(shape)
    path = tmp_path_factory.mktemp("idx") / data.draw(st.sampled_from(["a", "a.gz"]))
    pack = data.draw(st.sampled_from([bytes, gzip.compress]))
    path.write_bytes(pack(idx(array)))  # gzipped or not, whatever its name says
    read = read_idx(path)
    assert (read.dtype, read.flags.writeable) == (np.uint8, True)
    np.testing.assert_array_equal(read, array, strict=True)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no IDX file: it begins with the bytes ''"),
        (b"\x89PNG....", "is no IDX file: it begins with the bytes '89 50 4e 47'"),
        (PLAIN[:3], "is no IDX file"),
        (idx(IMAGES, magic=b"\0\0\x0d\x03"), "type 0x0d: only unsigned bytes, 0x08"),
        (idx([[1]], magic=b"\0\0\x08\x02"), "has 2 dimensions: only 1 .* and 3"),
        (idx([], magic=b"\0\0\x08\0"), "has 0 dimensions"),
        (PLAIN[:4], "is truncated: it ends within its header"),
        (PLAIN[:15], "is truncated: it ends within its header"),
        (PLAIN[:-1], r"has 23 of the 24 bytes that .* states for shape \(2, 3, 4\)"),
        (PLAIN[:16], "is truncated: it has 0 of the 24 bytes"),
        (PLAIN + b"\0", "has trailing bytes after the 24 bytes that its header"),
        (
            b"\0\0\x08\x03" + b"\xff" * 12,
            r"states 79,2.* more than the limit of 100,00",
        ),
        (
            b"\0\0\x08\x01\x05\xf5\xe1\x01",
            "states 100,000,001 bytes, more than the lim",
        ),
    ],
)
def test_a_bad_idx_file_is_named(tmp_path, pack, data, message):
    path = tmp_path / "a-idx3-ubyte"
    path.write_bytes(pack(data))
    with pytest.raises(ValueError, match=message) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"path {str(path)!r} ")


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: d[:20], lambda d: d * 2]
)
def test_damage_to_a_gz_is_found(tmp_path, damage):
    path = tmp_path / "a.gz"
    path.write_bytes(damage(gzip.compress(PLAIN)))
    with pytest.raises(ValueError, match=r"is damaged .*fetch it again|trailing bytes"):
        read_idx(path)


def test_a_changed_byte_in_a_gz_gives_the_images_or_an_error(tmp_path):
    path, data = tmp_path / "a.gz", gzip.compress(PLAIN, mtime=0)
    num_errors = 0
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            np.testing.assert_array_equal(read_idx(path), IMAGES)
        except ValueError as error:
            num_errors += str(error).startswith(f"path {str(path)!r} ")
    assert num_errors > len(data) - 8  # the time and system in the header may change


def test_a_gz_that_holds_more_than_it_states_is_not_inflated(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx([1, 2, 3]) + bytes(20_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="has trailing bytes after the 3 bytes"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("read", [read_idx, load_imdb, load_imdb_ids])
def test_a_missing_file_and_a_folder_are_named(tmp_path, read):
    with pytest.raises(FileNotFoundError, match="none' does not exist: name "):
        read(tmp_path / "none")
    with pytest.raises(ValueError, match=r"is a folder: name .* in it"):
        read(tmp_path)


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "labels").write_bytes(idx([3, 1]))
    assert read_idx("~/labels").tolist() == [3, 1]


def write_mnist(folder, *, dot=False, gz=False, **changed):
    """Write four small files; `changed` gives arrays by their role."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(256, size=(4, 28, 28), dtype=np.uint8),
        "y_train": np.array([0, 9, 3, 3], dtype=np.uint8),
        "x_test": rng.integers(256, size=(2, 28, 28), dtype=np.uint8),
        "y_test": np.array([7, 1], dtype=np.uint8),
    } | {role: np.array(array, dtype=np.uint8) for role, array in changed.items()}
    for name, array in zip(module.MNIST_FILES, arrays.values(), strict=True):
        name = name.replace("-idx", ".idx") if dot else name
        data = gzip.compress(idx(array)) if gz else idx(array)
        (folder / (name + ".gz" * gz)).write_bytes(data)
    return arrays


@pytest.mark.parametrize(
    ("dot", "gz"), list(itertools.product([False, True], repeat=2))
)
def test_mnist_is_read_under_all_its_names(tmp_path, dot, gz):
    arrays = write_mnist(tmp_path, dot=dot, gz=gz)
    digits = load_mnist(str(tmp_path))
    for role, array in arrays.items():
        dtype = np.uint8 if role.startswith("x") else np.int32
        read = getattr(digits, role)
        np.testing.assert_array_equal(read, array.astype(dtype), strict=True)
    assert repr(digits) == "Digits(4 train, 2 test)"


def test_the_plain_file_is_preferred(tmp_path):
    write_mnist(tmp_path, gz=True, y_test=[5, 5])
    write_mnist(tmp_path)
    assert load_mnist(tmp_path).y_test.tolist() == [7, 1]


def test_missing_files_are_listed(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    (tmp_path / "t10k-images-idx3-ubyte").rename(tmp_path / "t10k")
    with pytest.raises(FileNotFoundError) as caught:
        load_mnist(tmp_path)
    assert str(caught.value) == (
        f"folder {str(tmp_path)!r} has no train-labels-idx1-ubyte, "
        "t10k-images-idx3-ubyte: each is accepted with or without .gz, and with .idx "
        "in place of -idx"
    )


def test_a_folder_that_is_none_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match=r"file' is not a folder: name that of MNIST"):
        load_mnist(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="none' is not a folder: name that"):
        load_mnist(tmp_path / "none")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"x_train": np.zeros((4, 28, 27))},
            r"images-.*28 × 28, got shape \(4, 28, 27",
        ),
        ({"x_test": [0, 1]}, r"t10k-images.* images of 28 × 28, got shape \(2,\)"),
        ({"y_train": [1, 2, 3]}, r"one label for each of the 4 .* got shape \(3,\)"),
        ({"y_test": np.zeros((2, 1, 1))}, r"one label .*, got shape \(2, 1, 1\)"),
        (
            {"x_test": np.zeros((0, 28, 28)), "y_test": []},
            "of the 0 images .at least 1",
        ),
        ({"y_test": [10, 0]}, "t10k-labels.* must hold labels from 0 to 9, got 10"),
    ],
)
def test_wrong_digits_are_explained(tmp_path, changed, message):
    write_mnist(tmp_path, **changed)
    with pytest.raises(ValueError, match=message):
        load_mnist(tmp_path)


# --- IMDB as a tar

REVIEWS = {
    "aclImdb/train/pos/2_9.txt": "Good.<br /><br />Very good.",
    "aclImdb/train/pos/10_7.txt": "Élan<BR>!",
    "aclImdb/train/neg/0_1.txt": "Dull.",
    "aclImdb/test/neg/7_4.txt": "",
    "aclImdb/test/pos/3_10.txt": "Fine < br >.\r\n",
    "aclImdb/test/neg/11_2.txt": "No.",
}
EXPECTED = (
    ["Dull.", "Élan !", "Good.  Very good."],
    [0, 1, 1],
    ["No.", "", "Fine < br >.\r\n"],
    [0, 0, 1],
)


def info(name, type=tarfile.REGTYPE, data=b"", **fields):
    """Return what `tarred` takes for one member."""
    member = tarfile.TarInfo(name)
    member.type, member.size = type, len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, data


def tarred(*extra, reviews=REVIEWS, format=tarfile.USTAR_FORMAT):
    """Return the bytes of a tar with the reviews and then more members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, text in reviews.items():
            data = text if isinstance(text, bytes) else text.encode()
            member, data = info(name, data=data)
            tar.addfile(member, io.BytesIO(data))
        for member, data in extra:
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def packed(tar):
    return gzip.compress(tar, compresslevel=1, mtime=0)


def as_lists(reviews):
    parts = (reviews.train_labels, reviews.test_labels)
    assert all(labels.dtype == np.int32 for labels in parts)
    train, test = (labels.tolist() for labels in parts)
    return reviews.train_texts, train, reviews.test_texts, test


def refusal(path, read=load_imdb, **options):
    """Return the message with which a file is refused."""
    with pytest.raises(ValueError, match="path ") as caught:
        read(path, **options)
    assert type(caught.value) is ValueError
    assert str(caught.value).startswith(f"path {str(path)!r} ")
    return str(caught.value)


@pytest.fixture
def archive(tmp_path):
    """Return a function that writes a file and gives its path."""

    def write(data, name="aclImdb_v1.tar.gz"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize(
    "format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
)
@pytest.mark.parametrize("start", ["", "./"])
def test_reviews_come_in_the_order_of_their_names(archive, format, start):
    names = list(REVIEWS)
    for seed in range(3):
        random.Random(seed).shuffle(names)
        reviews = {start + name: REVIEWS[name] for name in names}
        path = archive(packed(tarred(reviews=reviews, format=format)))
        read = load_imdb(str(path))
        assert as_lists(read) == EXPECTED
        assert repr(read) == "Reviews(3 train, 3 test)"


def test_the_name_of_the_file_does_not_matter(archive):
    assert as_lists(load_imdb(archive(packed(tarred()), "mine"))) == EXPECTED


def test_other_members_are_passed_over(archive, tmp_path):
    extra = [
        info("aclImdb", tarfile.DIRTYPE),
        info("aclImdb/train/unsup/0_0.txt", data=b"who knows"),
        info("aclImdb/README", data=b"\xff" * 200_000),
        info("aclImdb/train/pos/.hidden_1.txt", data=b"x"),
        info("aclImdb/train/pos/._2_9.txt", data=b"\0\5\x16\7"),
        info("aclImdb/train/pos/deeper/2_9.txt", data=b"x"),
        info("aclImdb/train/pos/4_9.txt/", tarfile.DIRTYPE),
        info("aclImdb/train/pos/٣_٩.txt", data=b"digits of another script"),
        info("aclImdb/" + "long/" * 60 + "5_5.txt", data=b"x"),
        info("other/aclImdb/train/pos/5_5.txt", data=b"x"),
        info("aclImdb/train/pos/5_5.txt\n", data=b"x"),
        info("..aclImdb/train.../..x", data=b"x"),
    ]
    path = archive(packed(tarred(*extra, format=tarfile.GNU_FORMAT)))
    assert as_lists(load_imdb(path)) == EXPECTED
    assert list(tmp_path.iterdir()) == [path]  # nothing was unpacked


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../aclImdb/train/pos/1_9.txt",
        "aclImdb/../../x",
        "aclImdb/train/pos/..",
        "aclImdb/train/pos/../../../../1_9.txt",
        "..\\x",
        "aclImdb\\..\\x",
        "\\x",
        "C:\\x",
        "c:x",
    ],
)
@pytest.mark.parametrize("type", [tarfile.REGTYPE, tarfile.DIRTYPE])
def test_names_that_lead_outside_are_refused(archive, tmp_path, name, type):
    path = archive(packed(tarred(info(name, type))))
    assert f"holds {name!r}, a name that leads out of the archive" in refusal(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "type",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        b"Z",
    ],
)
@pytest.mark.parametrize("name", ["aclImdb/train/pos/99_9.txt", "aclImdb/README"])
def test_links_and_devices_are_refused(archive, name, type):
    member = info(name, type, linkname="aclImdb/train/pos/2_9.txt")
    message = refusal(archive(packed(tarred(member))))
    assert f"holds {name!r}, which is a link, a device or the like: only" in message


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (info("aclImdb/train/pos/2_9.txt", data=b"x"), "holds '.*/2_9.txt' twice"),
        (info("./aclImdb/train/pos/2_9.txt"), "holds './aclImdb.*/2_9.txt' twice"),
        (
            info("aclImdb/test/pos/0_9.txt", data=b"a" * 100_001),
            "holds a review of 100,001 bytes, '.*/0_9.txt': the limit is 100,000",
        ),
        (
            info("aclImdb/test/pos/0_9.txt", data=b"abc\xe9"),
            r"holds '.*/0_9.txt', which is not UTF-8 text \(byte 3\)",
        ),
    ],
)
def test_wrong_reviews_are_refused(archive, member, message):
    with pytest.raises(ValueError, match=message):
        load_imdb(archive(packed(tarred(member))))


@pytest.mark.parametrize(
    ("kept", "missing"),
    [
        ("none", "aclImdb/train/neg, aclImdb/train/pos, aclImdb/test/neg, aclImdb/tes"),
        ("train", "aclImdb/test/neg, aclImdb/test/pos"),
        ("neg", "aclImdb/train/pos, aclImdb/test/pos"),
    ],
)
def test_missing_parts_are_listed(archive, kept, missing):
    reviews = {name: text for name, text in REVIEWS.items() if kept in name}
    path = archive(packed(tarred(info("a"), reviews=reviews)))
    assert f"holds no reviews (ID_RATING.txt) in {missing}" in refusal(path)


def test_too_many_members_are_refused(archive, monkeypatch):
    path = archive(packed(tarred()))
    monkeypatch.setattr(module, "MAX_MEMBERS", len(REVIEWS))
    assert as_lists(load_imdb(path)) == EXPECTED
    monkeypatch.setattr(module, "MAX_MEMBERS", len(REVIEWS) - 1)
    assert "holds more than the limit of 5 members" in refusal(path)


def test_what_lies_past_the_limit_is_not_unpacked(archive, monkeypatch):
    path = archive(packed(tarred(info("aclImdb/big.feat", data=bytes(8_000_000)))))
    assert as_lists(load_imdb(path)) == EXPECTED
    monkeypatch.setattr(module, "MAX_UNPACKED", 7_000_000)
    tracemalloc.start()
    try:
        message = refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert "past the limit of 7,000,000 bytes with 'aclImdb/big.feat'" in message


def header(size, type=b"0", name=b"aclImdb/a"):
    """Return a tar header with any size, even a negative one."""
    block = bytearray(tarfile.TarInfo(name.decode()).tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = (
        b"\xff" * 4 + struct.pack(">q", size)
        if size < 0
        else (b"\x80" + b"\0" * 3 + struct.pack(">q", size))
    )
    block[156:157], block[148:156] = type, b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(records):
    size = len(records)
    return header(size, b"x") + records + bytes(-size % 512)


SPARSE = pax(b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n")


def test_the_helper_writes_sound_headers(archive):
    body = header(3) + b"abc".ljust(512, b"\0") + tarred()
    assert as_lists(load_imdb(archive(packed(body)))) == EXPECTED
    body = pax(b"19 comment=a word.\n") + header(0) + tarred()
    assert as_lists(load_imdb(archive(packed(body)))) == EXPECTED


@pytest.mark.parametrize(
    ("tar", "message"),
    [
        (header(10**15), "unpacks past the limit of 1,000,000,000 bytes"),
        (header(-512), "unpacks past the limit|is damaged"),
        (header(-512, b"x"), "is damaged"),
        (header(-(2**62), b"L"), "is damaged"),
        (header(20_000_000, b"x") + bytes(20_000_000), "more headers or padding than"),
        (header(20_000_000, b"L") + b"a" * 20_000_000, "more headers or padding than"),
        (header(0, b"x") * 5000, "more headers or padding than"),
        (header(0, b"L") * 5000, "more headers or padding than"),
        (header(0, b"S"), "which is a link, a device or the like"),
        (pax(b"4200 size=" + b"9" * 4200) + header(0), "is damaged|unpacks past"),
        (pax(b"17 size=99999999\n") * 2 + header(0), "damaged|unpacks"),
        (pax(b"0 a=b\n") + header(0), "is damaged"),
        (SPARSE + header(512) + b"9\n" + b"9" * 510, "is damaged"),
        (SPARSE + header(512) + b"1\n0\n512\n".ljust(512, b"\0"), "is a link, a devi"),
        (b"9" * 600 + tarred(), "is damaged"),
        (bytes(1024), "holds no reviews|is damaged"),  # Python 3.10 seeks in it
        (tarred() + b"x", "has a damaged header at byte"),
        (tarred() + tarred(), "has a damaged header at byte"),
        (tarred() + bytes(100_000), "has more headers or padding than IMDB's"),
    ],
    ids=lambda value: value if isinstance(value, str) else "tar",
)
def test_hostile_tars_are_refused_quickly(archive, tar, message):
    tar = tar if tar.endswith(bytes(1024)) or len(tar) > 20_000 else tar + bytes(1024)
    path = archive(packed(tar))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            load_imdb(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_tar_cut_anywhere_is_an_error(archive):
    tar = tarred()
    end = len(tar.rstrip(b"\0")) + 1
    for cut in range(0, end, 97):
        refusal(archive(packed(tar[:cut])))
    start_of_mark = -(-end // 512) * 512
    assert "is damaged" in refusal(archive(packed(b"")))
    message = refusal(archive(packed(tar[:start_of_mark])))
    assert "is truncated: the tar in it has no end mark" in message
    assert as_lists(load_imdb(archive(packed(tar[: start_of_mark + 512])))) == EXPECTED


def test_a_gz_cut_anywhere_is_an_error(archive):
    data = packed(tarred())
    for cut in range(0, len(data), 7):
        refusal(archive(data[:cut]))


def test_a_damaged_header_in_the_middle_is_found(archive):
    tar = bytearray(tarred())
    second = tar.index(b"aclImdb/train/pos/10_7.txt")
    tar[second + 3] ^= 0xFF
    message = refusal(archive(packed(bytes(tar))))
    assert f"has a damaged header at byte {second:,} of the tar in it" in message


def test_a_changed_byte_gives_the_reviews_or_an_error(archive):
    data = packed(tarred())
    outcomes = []
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        path = archive(changed)
        try:
            outcomes.append(as_lists(load_imdb(path)))
        except ValueError as error:
            outcomes.append(str(error))
    errors = [outcome for outcome in outcomes if outcome != EXPECTED]
    assert all(error.startswith(f"path {str(path)!r} ") for error in errors)
    assert len(errors) > len(data) - 8  # the time and system in gzip's header


def test_any_change_within_a_sound_gz_gives_reviews_or_an_error(archive):
    tar, rng = tarred(info("a"), format=tarfile.PAX_FORMAT), random.Random(0)
    for _ in range(300):
        changed = bytearray(tar)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(tar) // 512) * 512 + rng.randrange(160)] = (
                rng.choice((0, 47, 48, 49, 55, 128, 255, rng.randrange(256)))
            )
        with suppress(ValueError):
            load_imdb(archive(packed(bytes(changed))))


@pytest.mark.parametrize("data", [b"", b"\x1f", tarred(), b"BZh91AY&SY", b"\x80\x04]."])
def test_other_files_are_named(archive, data):
    message = refusal(archive(data))
    assert "is not aclImdb_v1.tar.gz or imdb.npz: it begins with the bytes" in message
    message = refusal(archive(packed(tarred())), load_imdb_ids)
    assert "is not imdb.npz: it begins with the bytes '1f 8b'" in message


# --- IMDB as Keras has it

LISTS = [[1, 255, 256, 65535, 65536, 2**31 - 1], [7], [], [3, 3]]
LABELS = np.array([0, 1, 1, 0])


def object_array(items):
    array = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        array[i] = item
    return array


def npy(array, protocol=2, descr=None):
    """Return an .npy file as `numpy.save` writes it, with any protocol of pickle."""
    array = np.asarray(array)
    header = {"descr": descr or array.dtype.str, "fortran_order": False}
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header | {"shape": array.shape})
    pickled = array.dtype.hasobject
    data = pickle.dumps(array, protocol) if pickled else array.tobytes()
    return buffer.getvalue() + data


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def keras(protocol=2, compression=zipfile.ZIP_DEFLATED, **changed):
    """Return the bytes of a small imdb.npz; `changed` gives other members."""
    members = {
        "x_train": npy(object_array(LISTS), protocol),
        "y_train": npy(LABELS),
        "x_test": npy(object_array(LISTS[:2]), protocol),
        "y_test": npy(LABELS[:2]),
    } | changed
    named = {f"{name}.npy": data for name, data in members.items() if data is not None}
    return zipped(named, compression)


def with_pickle(data, count=4):
    """Return x_train's .npy file with other bytes for its pickle."""
    whole = npy(object_array([[]] * count))
    return whole[: whole.index(b"\x80\x02")] + data


STORED = {"compression": zipfile.ZIP_STORED}
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("compression", METHODS)
def test_lists_of_indices_come_back(archive, protocol, compression):
    path = archive(keras(protocol, compression), "imdb.npz")
    x_train, y_train, x_test, y_test = load_imdb_ids(str(path))
    with np.load(path, allow_pickle=True) as file:
        assert x_train == file["x_train"].tolist() == LISTS
        assert x_test == file["x_test"].tolist() == LISTS[:2]
    assert {type(i) for ids in x_train for i in ids} == {int}
    np.testing.assert_array_equal(y_train, LABELS.astype(np.int32), strict=True)
    np.testing.assert_array_equal(y_test, LABELS[:2].astype(np.int32), strict=True)


@given(
    st.lists(st.lists(st.integers(0, 2**31 - 1)), min_size=2),
    st.integers(2, pickle.HIGHEST_PROTOCOL),
)
@quick
def test_any_lists_of_indices_come_back(tmp_path_factory, lists, protocol):
    labels = npy(np.arange(len(lists)) % 2)
    data = keras(x_train=npy(object_array(lists), protocol), y_train=labels)
    path = tmp_path_factory.mktemp("npz") / "imdb.npz"
    path.write_bytes(data)
    assert load_imdb_ids(path)[0] == lists


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_saves_is_read(tmp_path, save):
    rng = np.random.default_rng(0)
    lists = [rng.integers(90_000, size=size).tolist() for size in (2500, 1, 0, 1001)]
    path = tmp_path / "imdb.npz"
    x, y = object_array(lists), LABELS
    save(path, x_train=x, y_train=y, x_test=x, y_test=y, other=np.eye(2))
    assert load_imdb_ids(path)[0] == lists


def test_one_list_in_two_places_becomes_two(archive):
    shared = [1, 2]
    path = archive(keras(x_train=npy(object_array([shared, [5], shared, shared]))))
    lists = load_imdb_ids(path)[0]
    assert lists == [[1, 2], [5], [1, 2], [1, 2]]
    lists[0].append(3)
    assert lists[2] == [1, 2]


def test_the_names_and_strings_of_other_numpys_and_python_2_are_read(archive):
    numpy_2 = pickle.dumps(object_array(LISTS), 3)
    other = {"numpy.core.multi": "numpy._core.multi", "numpy._core.multi": ""}
    old = next(name for name in other if name.encode() in numpy_2)
    if other[old]:
        numpy_2 = numpy_2.replace(old.encode(), other[old].encode())
    python_2 = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00"
        b"\x85U\x01b\x87Rq\x02(K\x01K\x04\x85cnumpy\ndtype\nq\x03U\x02O8K\x00K\x01\x87Rq"
        b"\x04(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]q\x05(]q\x06(K\x01"
        b"K\x02e]q\x07K\x09a]q\x08]q\x09etb."
    )
    for data, lists in ((numpy_2, LISTS), (python_2, [[1, 2], [9], [], []])):
        assert pickle.loads(data, encoding="bytes").tolist() == lists
        path = archive(keras(x_train=with_pickle(data)))
        assert load_imdb_ids(path)[0] == lists


@pytest.mark.parametrize("dtype", ["|b1", "|u1", "|i1", "<i4", "<i8", ">i8", "<u2"])
def test_labels_of_any_whole_type_are_read(archive, dtype):
    path = archive(keras(y_train=npy(LABELS.astype(dtype), descr=dtype)))
    y_train = load_imdb_ids(path)[1]
    np.testing.assert_array_equal(y_train, LABELS.astype(np.int32), strict=True)


class Runs:
    """Pickled, it is a call that its reader makes."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("inside", [True, False], ids=["element", "whole"])
@pytest.mark.parametrize(
    ("function", "args"),
    [
        (os.system, ["touch {}"]),
        (os.mkdir, ["{}"]),
        (builtins.exec, ["import os; os.mkdir('{}')"]),
        (functools.partial(os.mkdir, "{}"), []),
    ],
    ids=["system", "mkdir", "exec", "partial"],
)
def test_nothing_in_a_pickle_is_run(tmp_path, protocol, inside, function, args):
    marker, control = tmp_path / "marker", tmp_path / "control"

    def hostile(place):
        if isinstance(function, functools.partial):
            call = Runs(functools.partial(os.mkdir, str(place)))
        else:
            call = Runs(function, *(arg.format(place) for arg in args))
        if inside:
            return npy(object_array([[1], call, [2], [3]]), protocol)
        return with_pickle(pickle.dumps(call, protocol))

    path = tmp_path / "imdb.npz"
    path.write_bytes(keras(x_train=hostile(control)))
    with suppress(ValueError), np.load(path, allow_pickle=True) as file:
        file["x_train"]
    assert control.exists()  # the file is as evil as it should be
    path.write_bytes(keras(x_train=hostile(marker)))
    message = refusal(path, load_imdb_ids)
    assert "is not made of lists of whole numbers only: its pickle has the " in message
    assert "Nothing of it was run" in message
    assert not marker.exists()


OS_SYSTEM = b"\x8c\x02os\x8c\x06system\x93\x8c\x09touch dir\x85R"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x80\x02cos\nsystem\n.", "the name 'os system'"),
        (b"\x80\x04" + OS_SYSTEM + b".", "the name 'os system'"),
        (b"\x80\x02cnumpy\nfromfile\n.", "the name 'numpy fromfile'"),
        (b"\x80\x02cnumpy.core.multiarray\nscalar\n.", "multiarray scalar'"),
        (b"\x80\x02(dos\n.", "the opcode DICT"),
        (b"\x80\x02(S'ls'\nios\nsystem\n.", "the opcode STRING"),
        (b"\x80\x02(ios\nsystem\n.", "the opcode INST"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "the opcode EMPTY_TUPLE"),
        (b"\x80\x02cnumpy\nndarray\nK\x01\x85\x81.", "the opcode NEWOBJ"),
        (b"\x80\x02Pabc\n.", "the opcode PERSID"),
        (b"\x80\x02\x82\x01.", "the opcode EXT1"),
        (b"\x80\x02G?\xf0\0\0\0\0\0\0.", "the opcode BINFLOAT"),
        (b"\x80\x02\x8a\x01\x05.", "the opcode LONG1"),
        (b"\x80\x05\x97.", "the opcode NEXT_BUFFER"),
        (b"\x80\x04\x8f.", "the opcode EMPTY_SET"),
        (b"I5\n.", "the opcode INT"),
        (b"\x80\x02cnumpy\nndarray\nK\x01\x85R.", "a call that makes something else"),
        (b"\x80\x02U\x03absK\x01\x85R.", "a call that makes something else"),
        (b"\x80\x02cnumpy\ndtype\nU\x02i8\x85R.", "a call that makes something else"),
        (b"\x80\x02]K\x01b.", "a state for something else than an array"),
        (b"\x80\x02K\x01K\x02a.", "elements for something else than a list"),
        (b"\x80\x02K\x01(K\x02e.", "elements for something else than a list"),
        (b"\x80\x02](]]]]e.", "something else than an array of 4 lists"),
        (b"\x80\x02N.", "something else than an array of 4 lists"),
    ],
)
def test_what_is_not_needed_is_refused_by_name(archive, data, what):
    message = refusal(archive(keras(x_train=with_pickle(data))), load_imdb_ids)
    assert what in message
    assert "fetch Keras's own imdb.npz" in message


@pytest.mark.parametrize(
    "items",
    [
        [[1], "ab", [2], [3]],
        [[1], (1, 2), [2], [3]],
        [[1], None, [2], [3]],
        [[1], [1.5], [2], [3]],
        [[1], [None], [2], [3]],
        [[1], [True], [2], [3]],
        [[1], ["1"], [2], [3]],
        [[1], [[1]], [2], [3]],
        [[1], [-1], [2], [3]],
        [[1], [2**31], [2], [3]],
        [[1], {1: 2}, [2], [3]],
        [[1], {1, 2}, [2], [3]],
        [[1], OrderedDict(), [2], [3]],
        [[1], np.arange(3), [2], [3]],
        [[1], [np.int64(3)], [2], [3]],
        [1, 2, 3, 4],
    ],
    ids=repr,
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_arrays_of_other_objects_are_refused(archive, items, protocol):
    path = archive(keras(x_train=npy(object_array(items), protocol)))
    message = refusal(path, load_imdb_ids)
    assert (
        "not made of lists of whole" in message or "else than indices 0, 1" in message
    )


def test_broken_pickles_are_refused(archive):
    good = pickle.dumps(object_array(LISTS), 2)
    for data, message in [
        (good + b"\0", "has trailing bytes after the pickle of x_train"),
        (good + good, "has trailing bytes"),
        (good[:-1], "is damaged"),
        (b"", "is damaged"),
        (b"\x80\x02h\x07.", "is damaged"),
        (b"\x80\x02t.", "is damaged"),
        (b"\x80\x02b.", "is damaged"),
        (b"\x80\x02R.", "is damaged"),
        (b"\x80\x04K\x01K\x02\x93.", "is damaged"),
        (b"\x80\x05\x8e" + b"\xff" * 8 + b"abc", "is damaged"),
        (b"\x80\x02c" + b"a" * 200 + b"\nb\n.", "is damaged"),
        (b"L" + b"9" * 1_000_000 + b"L\n.", "is damaged"),
        (b"V" + b"a" * 1_000_000 + b"\n.", "is damaged"),
    ]:
        path = archive(keras(x_train=with_pickle(data)))
        assert message in refusal(path, load_imdb_ids)


def test_a_wrong_number_of_lists_is_refused(archive):
    for count in (3, 5):
        data = with_pickle(pickle.dumps(object_array(LISTS), 2), count)
        message = refusal(archive(keras(x_train=data)), load_imdb_ids)
        assert f"something else than an array of {count} lists" in message
    message = refusal(archive(keras(y_test=npy(LABELS))), load_imdb_ids)
    assert "holds 2 lists x_test, 4 labels" in message


def test_pickles_of_too_many_steps_are_refused(archive, monkeypatch):
    nests = b"\x80\x02]" + b"q\0]h\0h\0\x86" * 100_000 + b"."  # 2 ** 100,000 leaves
    for name, limit, data in [
        ("MAX_STRUCTURE", 1000, b"\x80\x02" + b"]" * 2000),
        ("MAX_STRUCTURE", 1000, b"\x80\x02" + b"(" * 2000),
        ("MAX_STRUCTURE", 1000, nests),
        ("MAX_STEPS", 1000, b"\x80\x02" + b"K\x01" * 2000),
    ]:
        monkeypatch.setattr(module, name, limit)
        message = refusal(archive(keras(x_train=with_pickle(data))), load_imdb_ids)
        assert "holds more steps in the pickle of x_train than the limits" in message
    long = [1] * 400
    data = npy(object_array([long, long, long, []]))
    message = refusal(archive(keras(x_train=data)), load_imdb_ids)
    assert "holds more than the limit of 1,000 indices in x_train" in message


def test_nests_that_double_with_each_step_are_refused_quickly(archive):
    nests = b"\x80\x02]q\0" + b"]q\1(h\0h\0eq\0" * 1000 + b"."
    message = refusal(archive(keras(x_train=with_pickle(nests))), load_imdb_ids)
    assert "something else than an array of 4 lists" in message


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x_test": None}, "must hold one array x_test.npy, got 0: fetch Keras's own"),
        ({"y_train": npy([0, 1, 2, 1])}, "labels y_train of 0 and 1, .* from 0 to 2"),
        ({"y_train": npy([0, 2, 2, 0])}, "labels y_train of 0 and 1, .* from 0 to 2"),
        ({"y_train": npy([0, -1, 0, 1])}, "labels y_train of 0 and 1, .* from -1 to 1"),
        ({"y_train": npy([1, 1, 1, 1])}, "and both of them, got values from 1 to 1"),
        ({"y_test": npy([[0, 1]])}, "y_test as an array of labels in one dimension"),
        ({"y_test": npy([0.0, 1.0])}, "y_test as an array of labels in one dimension"),
        ({"y_test": npy(object_array([0, 1]))}, "y_test as an array of labels in one"),
        (
            {"y_test": npy(LABELS)[:-1]},
            "states 4 labels y_test, which its bytes do not",
        ),
        ({"y_test": npy(LABELS) + b"\0"}, "states 4 labels y_test, which its bytes do"),
        (
            {"y_test": npy(np.array([], int))},
            "holds 0 elements of y_test: from 1 to 200",
        ),
        ({"x_test": npy(object_array([]))}, "holds 0 elements of x_test"),
        (
            {"x_test": npy(object_array([[]] * 200_001))},
            "holds 200,001 elements of x_te",
        ),
        ({"x_test": npy(LABELS)}, "x_test as an array of lists in one dimension"),
        ({"x_test": npy(np.eye(2))}, "x_test as an array of lists .* got the header "),
        ({"x_test": b""}, "x_test as an array of lists .* got the header ''"),
        ({"x_test": b"\x93NUMPY\x02\x00" + bytes(9)}, "x_test as an array of lists"),
    ],
)
def test_wrong_arrays_are_explained(archive, changed, message):
    with pytest.raises(ValueError, match=message):
        load_imdb_ids(archive(keras(**changed)))


def test_wrong_zips_are_refused(archive, monkeypatch):
    twice = keras(z_train=b"").replace(b"z_train.npy", b"x_train.npy")
    message = refusal(archive(twice), load_imdb_ids)
    assert "must hold one array x_train.npy, got 2" in message
    encrypted = bytearray(keras())
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    assert "is encrypted, password" in refusal(archive(bytes(encrypted)), load_imdb_ids)
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):  # these inflate at one go
        message = refusal(archive(keras(compression=method)), load_imdb_ids)
        assert "is compressed in another way than NumPy's" in message
    assert "is damaged" in refusal(archive(b"PK\x03\x04 and no more"), load_imdb_ids)
    assert "is damaged" in refusal(archive(keras()[:-30]), load_imdb_ids)
    monkeypatch.setattr(module, "MAX_BYTES", 300)
    message = refusal(archive(keras()), load_imdb_ids)
    assert "bytes of x_train: the limit is 300" in message


def test_a_member_that_lies_about_its_size_is_not_inflated(archive):
    data = bytearray(keras(x_train=bytes(20_000_000)))
    for start, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place += data.index(start)
        data[place : place + 4] = struct.pack("<I", 100)
    path = archive(bytes(data))
    tracemalloc.start()
    try:
        refusal(path, load_imdb_ids)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("protocol", [2, 4])
def test_any_change_of_a_pickle_gives_lists_or_an_error(archive, protocol):
    good, rng = pickle.dumps(object_array(LISTS), protocol), random.Random(protocol)
    opcodes = (
        b"\x80\x81\x85\x86\x87\x8a\x90\x91\x92\x93\x94\x95().012BCFGIJKLMNPQRSTUVX"
    )
    opcodes += b"]abcdeghijlopqrstu}\0\1\xff"
    for _ in range(300):
        data = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(data))
            match rng.randrange(3):
                case 0:
                    data[place] = rng.choice(opcodes)
                case 1:
                    data.insert(place, rng.choice(opcodes))
                case 2:
                    del data[place : place + rng.randint(1, 3)]
        path = archive(keras(x_train=with_pickle(bytes(data)), compression=0))
        with suppress(ValueError):
            lists = load_imdb_ids(path)[0]
            assert {type(i) for ids in lists for i in ids} <= {int}


@given(st.binary(max_size=60))
@quick
def test_any_bytes_for_a_pickle_are_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("npz") / "imdb.npz"
    path.write_bytes(keras(x_train=with_pickle(b"\x80\x02" + data)))
    refusal(path, load_imdb_ids)


def test_any_change_of_a_zip_gives_lists_or_an_error(archive):
    good, rng = keras(), random.Random(0)
    whole = load_imdb_ids(archive(good))[0]
    for _ in range(250):
        data = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.choice((0, 255, rng.randrange(256)))
        path = archive(
            bytes(data[: rng.choice((None, None, rng.randrange(len(data))))])
        )
        with suppress(ValueError):
            assert load_imdb_ids(path)[0] == whole


# --- Keras's word index


def index_file(tmp_path, content):
    path = tmp_path / "imdb_word_index.json"
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def test_indices_become_words(archive, tmp_path):
    words = index_file(tmp_path, {"the": 1, "mouse": 3, "d'été": 2, "bells": 40})
    x = npy(object_array([[1, 3], [2, 40, 2]]))
    y = npy(LABELS[:2])
    path = archive(keras(x_train=x, y_train=y, x_test=x, y_test=y))
    texts = ["the mouse", "d'été bells d'été"]
    read = load_imdb(path, word_index=str(words))
    assert as_lists(read) == (texts, [0, 1], texts, [0, 1])


def test_words_and_indices_must_go_together(archive, tmp_path):
    words = index_file(tmp_path, {"the": 1, "mouse": 3})
    message = refusal(archive(packed(tarred())), word_index=words)
    assert "holds words: leave word_index out, it is for imdb.npz" in message
    path = archive(keras())
    assert "name Keras's imdb_word_index.json as word_index, or use" in refusal(path)
    message = refusal(path, word_index=words)
    assert "holds index 255 in x_train, which is not in word_index" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is damaged"),
        ('{"the": 1', "is damaged"),
        ("[" * 100_000, "is damaged"),
        ('{"the": ' + "9" * 5000 + "}", "is damaged|indices from 1 on"),
        ([1, 2], "must hold one JSON object from words to whole numbers"),
        ({"the": "1"}, "must hold one JSON object from words to whole numbers"),
        ({"the": True}, "must hold one JSON object from words to whole numbers"),
        ({"the": 1.0}, "must hold one JSON object from words to whole numbers"),
        ({}, "must hold at least one word, and indices from 1 on"),
        ({"the": 0}, "must hold at least one word, and indices from 1 on"),
        ({"the": 2**31}, "must hold at least one word, and indices from 1 on"),
        ({"the": 1, "a": 1}, "must hold an index of its own for each word"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_word_index_is_explained(archive, tmp_path, content, message):
    words = index_file(tmp_path, content)
    with pytest.raises(ValueError, match=message) as caught:
        load_imdb(archive(keras()), word_index=words)
    assert str(caught.value).startswith(f"word_index {str(words)!r} ")


def test_a_word_index_that_is_missing_or_too_large_is_named(
    archive, tmp_path, monkeypatch
):
    path = archive(keras())
    with pytest.raises(
        FileNotFoundError, match=r"none.json' does not exist: name imdb_"
    ):
        load_imdb(path, word_index=tmp_path / "none.json")
    words = index_file(tmp_path, {"the": 1})
    monkeypatch.setattr(module, "MAX_BYTES", 5)
    with pytest.raises(ValueError, match="holds more than the limit of 5 bytes"):
        load_imdb(path, word_index=words)


def test_a_file_that_may_not_be_read_says_so(archive, monkeypatch):
    path = archive(packed(tarred()))

    def forbid(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(path), "open", forbid)
    with pytest.raises(PermissionError):
        load_imdb(path)


def test_ctrl_c_is_not_taken_for_damage(archive, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(gzip.GzipFile, "read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_imdb(archive(packed(tarred())))


def test_unpickling_is_not_even_imported():
    source = Path(module.__file__).read_text(encoding="utf-8")
    assert "import pickle\n" not in source
    assert "allow_pickle" not in source
    assert "pickle" not in vars(module)
    assert sys.modules["pickletools"] is module.pickletools
