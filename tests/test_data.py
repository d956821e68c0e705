"""The shipped data are the files that data/README.md describes."""

import csv
import gzip
import hashlib
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).resolve().parent.parent / "data"
README = (DATA / "README.md").read_text(encoding="utf-8")
LINES = (DATA / "SHA256SUMS").read_text(encoding="ascii").splitlines()
DIGESTS = {name: digest for digest, name in map(str.split, LINES)}


def read(name):
    return (DATA / name).read_bytes().decode("utf-8")


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", DIGESTS)
def test_the_bytes_are_those_of_the_list(name):
    assert sha256((DATA / name).read_bytes()) == DIGESTS[name]


def test_every_file_is_listed_and_described():
    pages = {"README.md", "SHA256SUMS"}
    files = {path.name for path in DATA.iterdir() if path.is_file()} - pages
    licenses = {f"licenses/{path.name}" for path in (DATA / "licenses").iterdir()}
    assert files | licenses == set(DIGESTS)
    assert [name for name in files if f"`{name}`" not in README] == []


def test_the_novel():
    text = read("doctor_moreau.txt")
    assert (len(text), len(set(text))) == (240_278, 73)
    letters = re.sub("[^a-z]+", " ", text.lower())
    words = letters.split()
    assert (len(letters), len(set(letters))) == (231_370, 27)
    assert (len(words), len(set(words))) == (44_381, 5_279)


def test_the_poems():
    text = read("song_ci.txt")
    assert (len(text), len(set(text)), text.count("\n")) == (91_372, 2_929, 1_298)
    assert len(set(text[:10_000])) == 1_216
    header, *rows = (line.split("\t") for line in read("song_ci.tsv").splitlines())
    assert header == ["author", "tune", "text"]
    assert [row[2] for row in rows] == text.splitlines()
    poets = re.search(r"order of the file: (.*)\.", README).group(1).split(", ")
    assert list(dict.fromkeys(row[0] for row in rows)) == poets


def test_the_fable_bounds_the_accuracy():
    tokens = read("belling_the_cat.txt").split()
    assert (len(tokens), len(set(tokens))) == (204, 112)
    following = defaultdict(Counter)
    for start in range(len(tokens) - 3):
        context = " ".join(tokens[start : start + 3])
        following[context][tokens[start + 3]] += 1
    assert sum(counts.total() for counts in following.values()) == 201
    ambiguous = {context for context, counts in following.items() if len(counts) > 1}
    assert ambiguous == {"the cat .", "up and said"}
    assert sum(max(counts.values()) for counts in following.values()) == 199


def test_the_digits():
    with np.load(DATA / "mnist10k.npz") as file:
        assert file["x_train"].shape == (8_000, 28, 28)
        assert file["x_test"].shape == (2_000, 28, 28)
        names = ("x_train", "x_test", "y_train", "y_test")
        assert {file[name].dtype for name in names} == {np.dtype(np.uint8)}
        assert set(file["y_train"]) == set(file["y_test"]) == set(range(10))
        digest = sha256(b"".join(file[name].tobytes() for name in names))
    assert f"`{digest}`" in README


def test_the_reviews():
    table = gzip.decompress((DATA / "movie_snippets.csv.gz").read_bytes())
    assert f"`{sha256(table)}`" in README
    rows = list(csv.DictReader(table.decode("utf-8").splitlines()))
    assert list(rows[0]) == ["id", "split", "label", "rating", "text"]
    assert Counter((row["split"], row["label"]) for row in rows) == {
        ("train", "0"): 4_251,
        ("train", "1"): 4_234,
        ("test", "0"): 1_031,
        ("test", "1"): 1_030,
    }
    assert all(-4 <= float(row["rating"]) <= 4 for row in rows)
    assert len({row["id"] for row in rows}) == len(rows) == 10_546


def test_line_ends_are_kept():
    assert b"\r\n" in (DATA / "alice29.txt").read_bytes()
    assert b"\r" not in (DATA / "asyoulik.txt").read_bytes()
