"""Begin a chapter: write a notebook that has the parts every chapter has.

Usage: ``python tools/chapter.py PART/NAME``, which is what
``make chapter NAME=gated/my_cell`` runs. The notebook runs, and passes all rules of
the structure check; the words are to be replaced.
"""

import argparse
import sys
from pathlib import Path

import jupytext
import yaml
from notebooks import NotebookFault, normalized

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = Path(__file__).resolve().parent / "templates" / "chapter.md"


def parts(root):
    """Return the folders under book/ that hold chapters, by the table of contents.

    >>> "gated" in parts(ROOT)
    True
    """
    contents = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    files = [
        Path(chapter["file"])
        for part in contents["parts"]
        if part.get("numbered")
        for chapter in part["chapters"]
    ]
    return list(dict.fromkeys(file.parent.name for file in files))


def create(name, root=ROOT):
    """Write a new chapter and return its path; raise NotebookFault if it can't be."""
    part, _, slug = name.partition("/")
    if part not in parts(root):
        known = ", ".join(parts(root))
        raise NotebookFault(f"NAME must begin with a part ({known}), got {name!r}")
    if not (slug.isidentifier() and slug == slug.lower() and slug.isascii()):
        raise NotebookFault(
            f"NAME must end in a name in lower case, words joined by _, got {name!r}"
        )
    path = root / "book" / part / f"{slug}.ipynb"
    if path.exists():
        raise NotebookFault(f"{path.relative_to(root)} is already there")
    text = TEMPLATE.read_text("utf-8")
    text = text.replace("SLUG", slug).replace("TITLE", slug.replace("_", " ").title())
    notebook = jupytext.reads(text, fmt="md:myst")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(normalized(notebook), "utf-8")
    return path


def main():
    """Create the chapter and say what comes next; return the exit status."""
    parser = argparse.ArgumentParser(description="Begin a chapter.")
    parser.add_argument("name", metavar="PART/NAME")
    try:
        path = create(parser.parse_args().name).relative_to(ROOT)
    except NotebookFault as fault:
        print(fault, file=sys.stderr)
        return 1
    print(f"{path} is there. What comes next stands in CONTRIBUTING.md; first:")
    print(f"  list {path.with_suffix('')} in _toc.yml")
    print(f"  make notebooks NB={path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
