"""List the license of everything the course is made of.

Usage: ``python tools/licenses.py``, which is what ``make licenses`` runs. It fails
where a locked package is not installed or names no license, or where a file that
ships with the course but was made by others is not in NOTICE.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


def locked(text):
    r"""Return the packages in a lock file that are for this Python and system.

    Their versions by name:

    >>> locked("a==1 \\\n    --hash=sha256:00\nb==2 ; python_version < '3'\n")
    {'a': '1'}
    """
    lines = re.findall(r"^([A-Za-z0-9].*?)(?:\s*\\)?$", text, re.MULTILINE)
    wanted = [Requirement(line) for line in lines]
    return {
        r.name: str(r.specifier).removeprefix("==")
        for r in wanted
        if r.marker is None or r.marker.evaluate()
    }


def license_of(metadata):
    """Return what a package's metadata say of its license, in one line, or None."""
    expression = metadata.get("License-Expression")
    if expression:
        return expression
    classifiers = metadata.get_all("Classifier") or []
    names = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License ::")]
    text = (metadata.get("License") or "").strip().splitlines()
    return ", ".join(names) or (text[0] if text else None)


def first_line(files):
    """Return the first line of a package's license file, if it has one."""
    for file in files or []:
        if file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            return next(iter(file.read_text().split("\n")), "").strip() or None
    return None


def shipped(root):
    """Return the files in ``data``, which others made."""
    own = {"README.md", "SHA256SUMS"}
    return sorted(
        path.relative_to(root).as_posix()
        for path in (root / "data").iterdir()
        if path.is_file() and path.name not in own
    )


def report(root):
    """Return the lines of the list, and the problems."""
    lines, problems = [], []
    for name in locked((root / "requirements.lock").read_text("utf-8")):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            problems.append(f"{name} is locked but not installed: run 'make setup'")
            continue
        terms = license_of(found.metadata) or first_line(found.files)
        if not terms or terms == "UNKNOWN":
            problems.append(f"{name} names no license: find out, or do without it")
        lines.append(f"{name} {found.version}: {terms}")
    notice = (root / "NOTICE").read_text("utf-8")
    for path in shipped(root):
        if path in notice:
            lines.append(f"{path}: see NOTICE")
        else:
            problems.append(f"{path} is not in NOTICE: say whose it is")
    return lines, problems


def main():
    """Print the list; return 1 if anything is missing in it."""
    lines, problems = report(ROOT)
    print(*lines, sep="\n")
    print(*problems, sep="\n", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
