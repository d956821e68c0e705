"""Build the book into ``_build/html``, unless it is up to date.

Usage: ``python tools/book.py [--all]``. Any warning fails the build. With
``--all``, or after a failed build, every page is built anew: Sphinx warns only
about the pages that it reads, so a second attempt could pass by silence.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
STAMP = BUILD / "book.json"
SOURCES = ("_config.yml", "_toc.yml", "requirements.lock", "book")


def source_digests(root=ROOT):
    """Return the SHA-256 of each file that the book is made of."""
    files = []
    for name in SOURCES:
        path = root / name
        files += sorted(path.rglob("*")) if path.is_dir() else [path]
    return {
        str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file() and not is_cache(file.relative_to(root))
    }


def is_cache(path):
    """Tell whether a path lies in a folder that tools leave behind.

    >>> is_cache(Path("book/.ipynb_checkpoints/gru.ipynb"))
    True
    """
    return any(part.startswith((".", "__pycache__")) for part in path.parts)


def built_digests():
    """Return the digests of the last successful build, or None."""
    if not (BUILD / "html" / "index.html").is_file():
        return None
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def changes_all(wanted, built):
    """Tell whether more has changed than the pages that Sphinx will see.

    A page that came or went changes the navigation of all. Sphinx does not look at
    style sheets, extensions and the like while no page has changed.

    >>> changes_all({"a.md": 1, "a.css": 1}, {"a.md": 0, "a.css": 1})
    False
    >>> changes_all({"a.md": 1, "a.css": 1}, {"a.md": 1, "a.css": 0})
    True
    """
    if wanted.keys() != built.keys():
        return True
    changed = [name for name in wanted if wanted[name] != built[name]]
    return not all(name.endswith((".ipynb", ".md")) for name in changed)


def build(everything):
    """Run Jupyter Book and return its exit code."""
    command = [Path(sysconfig.get_path("scripts")) / "jupyter-book", "build", "."]
    command += ["-W", "-n", "--keep-going"]
    if everything:
        command.append("--all")
        for name in ("html", ".doctrees"):  # no page outlives its source
            shutil.rmtree(BUILD / name, ignore_errors=True)
    return subprocess.call(command, cwd=ROOT)


def main():
    """Build what has changed; return the exit code."""
    parser = argparse.ArgumentParser(description="Build the book.")
    parser.add_argument("--all", action="store_true", help="build every page anew")
    options = parser.parse_args()
    wanted, built = source_digests(), built_digests()
    if wanted == built and not options.all:
        print("The book is up to date.")
        return 0
    STAMP.unlink(missing_ok=True)
    code = build(options.all or built is None or changes_all(wanted, built))
    if code:
        print("The book was not built: mend the warnings above.", file=sys.stderr)
        return 1
    STAMP.write_text(json.dumps(wanted, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
