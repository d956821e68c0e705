"""Vocabularies and corpora: against `Counter`, sorting, and files broken on purpose."""

import bz2
import gzip
import io
import os
import re
import subprocess
import sys
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

from d2l_rnn import text as module
from d2l_rnn.text import SHIPPED, Vocab, characters, load_corpus, words

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import nd

ROOT = Path(__file__).resolve().parent.parent
quick = settings(deadline=None, max_examples=50)
TEXT = "To be, or not to be:\r\n春花秋月何時了\r\n"


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    """Return the bytes of a zip archive of {name: bytes}."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def packed(suffix, data):
    """Return `data` as a file of that suffix holds it."""
    if suffix == ".zip":
        return zipped({"text.txt": data})
    return gzip.compress(data, mtime=0) if suffix == ".gz" else data


def encrypted(archive):
    """Set the flag "encrypted" in both headers of a zip's only member."""
    archive = bytearray(archive)
    archive[archive.index(b"PK\x03\x04") + 6] |= 1
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    return bytes(archive)


def text_or_error(path):
    try:
        return "".join(load_corpus(path).tokens)
    except ValueError as error:
        return str(error)


every_suffix = pytest.mark.parametrize("suffix", [".txt", ".gz", ".zip"])


@given(st.lists(st.integers(0, sys.maxunicode), min_size=1))
@quick
def test_a_text_comes_back(codes):
    text = "".join(map(chr, codes))
    vocab = Vocab(text)
    ids = vocab.encode(text)
    assert ids.dtype == np.int32
    assert vocab.decode(ids) == text
    assert vocab.tokens == sorted(set(text))
    assert Counter(ids.tolist()) == {vocab.tokens.index(c): text.count(c) for c in text}


@given(st.lists(st.sampled_from(["the", "The", "<unk>", "", "<", "春"]), min_size=1))
@quick
def test_a_list_of_tokens_comes_back(tokens):
    vocab = Vocab(tokens)
    assert [vocab.tokens[i] for i in vocab.encode(tokens)] == tokens
    assert vocab.decode(vocab.encode(tokens), sep="|") == "|".join(tokens)


@given(st.text("abcd", min_size=1), st.text("abcdefg"))
@quick
def test_unk_stands_for_all_other_symbols(text, other):
    vocab = Vocab(text, unk=True)
    assert vocab.tokens == ["<unk>", *sorted(set(text))]
    expected = [c if c in text else "<unk>" for c in other]
    assert vocab.decode(vocab.encode(other), sep=" ") == " ".join(expected)
    assert all((c in vocab) == (c in text) for c in other)


@given(st.text("abcdef", min_size=1), st.integers(1, 8), st.booleans())
@quick
def test_max_size_keeps_the_most_frequent(text, max_size, unk):
    vocab = Vocab(text, max_size=max_size, unk=unk)
    counts = Counter(text)
    kept = [token for token in vocab.tokens if token != "<unk>"]
    dropped = set(text) - set(kept)
    assert len(vocab) == min(max_size, len(counts) + unk)
    assert kept == sorted(kept)
    # Of two equally frequent symbols the one that sorts first stays.
    ranks = [(-counts[token], token) for token in kept]
    assert all(rank < (-counts[d], d) for rank in ranks for d in dropped)


def test_the_order_of_symbols_is_the_same_in_every_process(tmp_path):
    code = (
        "from d2l_rnn.text import Vocab, words, load_corpus\n"
        "tokens = load_corpus('belling_the_cat', tokenize=words).tokens\n"
        "print(list(set(tokens)))\n"
        "print(Vocab(tokens).tokens, Vocab(tokens, max_size=20).tokens)\n"
    )
    (tmp_path / "mxnet.py").touch()  # a stand-in: vocabularies do not need it

    def run(seed):
        path = f"{tmp_path}{os.pathsep}{ROOT}"
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path}
        command = [sys.executable, "-c", code]
        return subprocess.check_output(command, env=env, text=True).splitlines()

    (set_1, vocab_1), (set_2, vocab_2) = run("1"), run("2")
    assert set_1 != set_2, "the two processes should hash differently"
    assert vocab_1 == vocab_2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Vocab(""), ValueError, "tokens is empty: .* at least one symbol"),
        (lambda: Vocab(["a", 3]), TypeError, "tokens must be strings, got 3"),
        (lambda: Vocab("a", max_size=0), ValueError, "max_size must be .* got 0"),
        (lambda: Vocab("a", max_size=1.5), TypeError, r"max_size must be .* got 1\.5"),
        (lambda: Vocab("ab").decode([0, 2]), ValueError, r"indices .* 0\.\.1 .* got 2"),
        (lambda: Vocab("ab").decode([-1]), ValueError, r"indices .* got -1"),
        (
            lambda: Vocab("ab").encode("abba c!"),
            ValueError,
            r"not in the vocabulary: ' ', '!', 'c'\. Leave them out, or .*unk=True",
        ),
        (
            lambda: Vocab("a").encode("0123456789"),
            ValueError,
            "'0', '1', '2', '3', '4', '5', '6', '7' and 2 more",
        ),
    ],
)
def test_a_wrong_vocabulary_is_explained(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_vocabulary_tells_its_size():
    assert repr(Vocab("hello", unk=True)) == "Vocab(5 symbols, unk=True)"


@given(st.text("abÀßЯ春1_ ,'\r\n"))
@quick
def test_words_are_runs_of_letters(text):
    assert words(text) == re.findall(r"[^\W\d_]+", text.lower())
    assert "".join(characters(text)) == text


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_corpora_are_their_files(name):
    corpus = load_corpus(name)
    text = (module.DATA / SHIPPED[name][0]).read_bytes().decode("utf-8")
    assert "".join(corpus.tokens) == text
    assert corpus.vocab.tokens == sorted(set(text))
    assert corpus.vocab.decode(corpus.ids[:1000]) == text[:1000]
    assert (corpus.name, len(corpus)) == (name, len(corpus.ids))


@every_suffix
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_every_packing_gives_the_same_text(tmp_path, suffix, bom):
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(packed(suffix, bom + TEXT.encode()))
    for source in (path, str(path)):
        corpus = load_corpus(source)
        assert corpus.name == path.name
        assert "".join(corpus.tokens) == TEXT  # CRLF kept, byte order mark gone
        assert corpus.vocab.decode(corpus.ids) == TEXT


def test_a_folder_in_a_zip_is_not_a_member(tmp_path):
    path = tmp_path / "mine.zip"
    path.write_bytes(zipped({"folder/": b"", "folder/text.txt": TEXT.encode()}))
    assert "".join(load_corpus(path).tokens) == TEXT


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.txt").write_text("abc")
    assert load_corpus("~/mine.txt").tokens == ["a", "b", "c"]


def test_cleaning_precedes_tokens_and_tokens_precede_first(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("The cat. The mouse.")
    corpus = load_corpus(path, clean=str.upper, tokenize=str.split, first=3)
    assert corpus.tokens == ["THE", "CAT.", "THE"]
    assert corpus.vocab.tokens == ["CAT.", "THE"]
    assert corpus.ids.tolist() == [1, 0, 1]
    assert repr(corpus) == "Corpus('mine.txt', 3 tokens, 2 symbols)"


def test_the_largest_scores_places_can_be_decoded():
    places = nd.array([[0, 3, 1], [5, 1, 2], [0, 1, 8]]).argmax(axis=1)
    vocab = Vocab("abc")
    assert places.dtype == np.float32
    assert vocab.decode(places) == vocab.decode(places.asnumpy()) == "bac"
    assert vocab.decode(i for i in (2, 0)) == "ca"
    with pytest.raises(TypeError, match="indices must hold whole numbers"):
        vocab.decode(places + 0.5)


def test_a_text_that_holds_the_word_unk_can_be_loaded(tmp_path):
    path = tmp_path / "penn.txt"
    path.write_text("the <unk> of the <unk>")
    corpus = load_corpus(path, tokenize=str.split)
    assert corpus.vocab.decode(corpus.ids, sep=" ") == "the <unk> of the <unk>"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.txt", b"", "is empty: it holds no text"),
        ("empty.gz", gzip.compress(b""), "is empty: it holds no text"),
        ("empty.zip", zipped({"a.txt": b""}), "is empty: it holds no text"),
        ("mark.txt", b"\xef\xbb\xbf", "is empty: it holds no tokens"),
        ("latin.txt", "abc é".encode("latin-1"), r"not UTF-8 text \(byte 4\): save"),
        ("utf16.txt", "abc".encode("utf-16"), r"not UTF-8 text \(byte 0\): save"),
        ("latin.gz", gzip.compress(b"\xe9"), "not UTF-8 text"),
        ("latin.zip", zipped({"a.txt": b"\xe9"}), "not UTF-8 text"),
        ("two.zip", zipped({"a": b"a", "b": b"b"}), "one file, got 2: unpack it"),
        ("none.zip", zipped({}), "one file, got 0: unpack it"),
        ("secret.zip", encrypted(zipped({"a": b"a"})), "is encrypted: unpack it"),
        ("not.zip", b"to be or not to be", "damaged archive .*fetch it again"),
        ("not.gz", b"to be or not to be", "damaged archive .*fetch it again"),
        ("cut.gz", gzip.compress(TEXT.encode())[:-9], "damaged archive"),
        ("cut.zip", zipped({"a": TEXT.encode()})[:-9], "damaged archive"),
        ("b.zip", zipped({"a": b"a"}, zipfile.ZIP_BZIP2), "another way .*zip it anew"),
        ("l.zip", zipped({"a": b"a"}, zipfile.ZIP_LZMA), "another way .*zip it anew"),
        ("bzip.gz", bz2.compress(TEXT.encode()), "damaged archive"),
    ],
)
def test_unreadable_files_are_named_with_a_remedy(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        load_corpus(path)
    assert f"source {str(path)!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.gz", gzip.compress(TEXT.encode(), mtime=0)),
        ("a.zip", zipped({"a": TEXT.encode()}, zipfile.ZIP_STORED)),
        ("a.zip", zipped({"a": TEXT.encode()}, zipfile.ZIP_DEFLATED)),
    ],
    ids=["gz", "stored", "deflated"],
)
def test_a_damaged_byte_gives_the_whole_text_or_a_clear_error(tmp_path, name, data):
    path = tmp_path / name
    outcomes = []
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        outcomes.append(text_or_error(path))
    errors = [outcome for outcome in outcomes if outcome != TEXT]
    assert all(error.startswith(f"source {str(path)!r} ") for error in errors)
    assert len(errors) > len(TEXT.encode()) // 2


@every_suffix
def test_a_text_past_the_limit_is_refused(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"mine{suffix}"
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    path.write_bytes(packed(suffix, b"a" * 1000))
    assert len(load_corpus(path)) == 1000
    path.write_bytes(packed(suffix, b"a" * 1001))
    with pytest.raises(ValueError, match="more than the limit of 1,000 bytes: cut it"):
        load_corpus(path)


@every_suffix
def test_what_lies_past_the_limit_is_not_read(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(packed(suffix, bytes(8_000_000)))
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="more than the limit"):
            load_corpus(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"source 'moreau' is neither") as caught:
        load_corpus("moreau")
    assert all(name in str(caught.value) for name in SHIPPED)


def test_a_missing_file_is_named(tmp_path):
    for source in (tmp_path / "none.txt", "somewhere/none.txt", "none.zip"):
        with pytest.raises(FileNotFoundError, match="check the name or the path") as e:
            load_corpus(source)
        assert f"source {str(source)!r} is neither" in str(e.value)


def test_a_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="is a folder: name a text file in it"):
        load_corpus(tmp_path)


def test_a_missing_shipped_corpus_says_how_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "DATA", Path(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"'song_ci' should be at .*make setup"):
        load_corpus("song_ci")


@pytest.mark.parametrize(
    ("first", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError)]
)
def test_first_must_be_a_positive_integer(first, error):
    with pytest.raises(error, match=f"first must be .* of tokens .* got {first}"):
        load_corpus("belling_the_cat", first=first)


def test_no_tokens_are_an_error():
    with pytest.raises(ValueError, match="holds no tokens to learn"):
        load_corpus("belling_the_cat", tokenize=lambda text: [])


def test_padding_has_index_0_and_unknown_symbols_come_after_it():
    vocab = Vocab(["b", "a", "b"], unk=True, pad=True)
    assert vocab.tokens == ["<pad>", "<unk>", "a", "b"]
    assert vocab.encode(["b", "z", "a"]).tolist() == [3, 1, 2]
    assert Vocab("ba", pad=True).tokens == ["<pad>", "a", "b"]
    with pytest.raises(ValueError, match="not in the vocabulary: 'z'"):
        Vocab("ba", pad=True).encode("z")


def test_special_symbols_in_the_text_are_not_doubled():
    vocab = Vocab(["<pad>", "a", "<unk>", "<pad>"], unk=True, pad=True)
    assert vocab.tokens == ["<pad>", "<unk>", "a"]


def test_special_symbols_count_in_the_size():
    vocab = Vocab("aaabbc", unk=True, pad=True, max_size=3)
    assert vocab.tokens == ["<pad>", "<unk>", "a"]
    with pytest.raises(ValueError, match="max_size must leave room for <pad> and <un"):
        Vocab("abc", unk=True, pad=True, max_size=1)
