"""Everything the course is made of names its license."""

from email.message import Message

import licenses
import pytest


def test_every_package_and_file_has_a_license():
    lines, problems = licenses.report(licenses.ROOT)
    assert problems == []
    assert len(lines) > 100
    assert any(line.startswith("mxnet 1.9.1: Apache") for line in lines)
    assert "data/mnist10k.npz: see NOTICE" in lines


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ([("License-Expression", "MIT"), ("License", "else")], "MIT"),
        ([("Classifier", "License :: OSI Approved :: BSD License")], "BSD License"),
        ([("License", "Apache 2.0\nand a long text")], "Apache 2.0"),
        ([("License", "")], None),
        ([], None),
    ],
)
def test_the_license_is_found_where_packages_put_it(fields, found):
    metadata = Message()
    for name, value in fields:
        metadata[name] = value
    assert licenses.license_of(metadata) == found


def test_what_is_missing_is_named(tmp_path):
    (tmp_path / "requirements.lock").write_text("no-such-package==1.0\n", "utf-8")
    (tmp_path / "NOTICE").write_text("data/known.txt\n", "utf-8")
    (tmp_path / "data").mkdir()
    for name in ("known.txt", "unknown.txt", "README.md"):
        (tmp_path / "data" / name).write_text("x", "utf-8")
    lines, problems = licenses.report(tmp_path)
    assert lines == ["data/known.txt: see NOTICE"]
    assert [problem.split(" is ")[0] for problem in problems] == [
        "no-such-package",
        "data/unknown.txt",
    ]
