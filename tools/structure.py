"""Rules that the book's files must follow, read from the sources alone.

Each rule takes the repository's root and returns a list of problems, one line
each: where, what, and what to do. Nothing here is imported from the package or
run from a notebook, so that the rules are quick and hold for broken code too.
"""

import ast
import json
import os
import re
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from outputs import ADDRESS, parts

MAX_COLUMNS = 79
MAX_LINES = 25

#: What every chapter has, as regular expressions for its Markdown.
SKELETON = {
    "a title": r"\A# \S",
    "'You will be able to'": r"^(#+ |\*\*).*You will be able to",
    "'Before you start'": r"^(#+ |\*\*).*Before you start",
    "'Time'": r"^(#+ |\*\*)Time\b",
    "a section 'What the sources say'": r"^#+ .*What the sources say",
    "a section 'Exercises'": r"^#+ .*Exercises",
    "a section 'Take-away'": r"^#+ .*Take-away",
}

DIRECTIVE = re.compile(r"^[:`]{3,}\{(exercise|solution)(?:-start)?\}(.*)$")
OPTION = re.compile(r"^:(\w+):\s*(.*)$")


@dataclass(frozen=True)
class Notebook:
    """A notebook of the book: its path from the root, and its cells."""

    path: Path
    cells: list

    @property
    def code(self):
        """Triples of a code cell, its number from 1 and its source."""
        cells = (cell for cell in self.cells if cell["cell_type"] == "code")
        return [(c, n, "".join(c["source"])) for n, c in enumerate(cells, start=1)]

    @property
    def markdown(self):
        """The text of the chapter without its code."""
        cells = (cell for cell in self.cells if cell["cell_type"] == "markdown")
        return "\n\n".join("".join(cell["source"]) for cell in cells)


def notebooks(root):
    """Return the book's notebooks, in the order of their paths."""
    return [
        Notebook(path.relative_to(root), json.loads(path.read_text("utf-8"))["cells"])
        for path in _pages(root)
        if path.suffix == ".ipynb"
    ]


def _pages(root):
    """Return the sources of pages, without what tools keep in hidden folders."""
    found = [*root.glob("book/**/*.md"), *root.glob("book/**/*.ipynb")]
    return sorted(
        path
        for path in found
        if not any(part[0] in "._" for part in path.relative_to(root).parts)
    )


def contents_are_complete(root):
    """Compare the table of contents with the files: neither has more."""

    def listed(node):
        if isinstance(node, dict):
            for key, value in node.items():
                yield from [value] if key in ("file", "root") else listed(value)
        elif isinstance(node, list):
            for entry in node:
                yield from listed(entry)

    names = set(listed(yaml.safe_load((root / "_toc.yml").read_text("utf-8"))))
    pages = defaultdict(list)
    for path in _pages(root):
        pages[path.relative_to(root).with_suffix("").as_posix()].append(path.name)
    return [
        *(
            f"_toc.yml: {n} does not exist; leave it out"
            for n in sorted(names - set(pages))
        ),
        *(f"{n}: not in _toc.yml; list it" for n in sorted(set(pages) - names)),
        *(
            f"{n}: there are {' and '.join(files)}; keep one"
            for n, files in pages.items()
            if len(files) > 1
        ),
    ]


def cells_are_python(root):
    """Ask for plain Python: no magics, no shell lines, nothing that is hidden."""
    return [
        f"{book.path}, code cell {number}: not plain Python ({problem}); magics and "
        "shell lines can hide outputs"
        for book in notebooks(root)
        for _, number, source in book.code
        for problem in [_syntax_problem(source)]
        if problem
    ]


def _syntax_problem(source):
    try:
        ast.parse(source)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    return None


def _statements(source):
    """Return the statements that run with the cell, also those inside blocks."""
    if _syntax_problem(source):
        return []
    found, pending = [], [ast.parse(source)]
    blocks = (ast.stmt, ast.ExceptHandler, ast.match_case)
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    while pending:
        node = pending.pop(0)
        children = [c for c in ast.iter_child_nodes(node) if isinstance(c, blocks)]
        found += children
        pending += [c for c in children if not isinstance(c, definitions)]
    return sorted(found, key=lambda node: getattr(node, "lineno", 0))


def definitions(source):
    r"""Return the names that a cell defines as functions or classes.

    >>> definitions("if True:\n    def f(): pass\ng = lambda x: x\nh = 1")
    ['f', 'g']
    """
    names = []
    for node in _statements(source):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            names += [t.id for t in node.targets if isinstance(t, ast.Name)]
    return names


def public_names(root):
    """Map each public name of the package to the module that has it."""
    names = {}
    for path in sorted(root.glob("d2l_rnn/*.py")):
        if path.stem.startswith("_") and path.stem != "__init__":
            continue
        module = "d2l_rnn" if path.stem == "__init__" else f"d2l_rnn.{path.stem}"
        source = path.read_text("utf-8")
        declared = _declared(ast.parse(source))
        if declared is None:
            declared = [n for n in definitions(source) if not n.startswith("_")]
        names |= dict.fromkeys(declared, module)
    return names


def _declared(tree):
    """Return the value of ``__all__``, or None where a module has none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id == "__all__":
                return ast.literal_eval(node.value)
    return None


def package_comes_first(root):
    """Ask that the first code cell imports d2l_rnn, and MXNet only after it."""
    problems = []
    for book in notebooks(root):
        first = book.code[0][2] if book.code else ""
        modules = []
        for node in _statements(first):
            if isinstance(node, ast.Import):
                modules += [alias.name.partition(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules.append((node.module or "").partition(".")[0])
        ours = modules.index("d2l_rnn") if "d2l_rnn" in modules else len(modules)
        if ours == len(modules) or "mxnet" in modules[:ours]:
            problems.append(
                f"{book.path}, code cell 1: import d2l_rnn here and before mxnet; it "
                "pins the numerics on which the printed results depend"
            )
    return problems


def package_is_not_redefined(root):
    """Forbid a chapter to define a function or class that the package has."""
    public = public_names(root)
    return [
        f"{book.path}, code cell {number}: defines {name}, which {public[name]} has; "
        f"import it, and show it with show_source({name})"
        for book in notebooks(root)
        for _, number, source in book.code
        for name in definitions(source)
        if name in public
    ]


def functions_are_defined_once(root):
    """Forbid two chapters to define the same function or class."""
    places = defaultdict(dict)
    for book in notebooks(root):
        for _, number, source in book.code:
            for name in definitions(source):
                place = f"{book.path}, code cell {number}"
                places[name].setdefault(book.path, place)
    return [
        f"{' and '.join(where.values())}: both define {name}; move it to the package, "
        "or give each its own name if they differ"
        for name, where in sorted(places.items())
        if len(where) > 1
    ]


def cells_fit_a_page(root):
    """Bound the width and the length of code cells."""
    problems = []
    for book in notebooks(root):
        for _, number, source in book.code:
            lines = source.splitlines()
            where = f"{book.path}, code cell {number}"
            widest = max(map(len, lines), default=0)
            filled = sum(bool(line.strip()) for line in lines)
            if widest > MAX_COLUMNS:
                problems.append(
                    f"{where}: a line of {widest} columns; break it at {MAX_COLUMNS}"
                )
            if filled > MAX_LINES:
                problems.append(
                    f"{where}: {filled} lines; split it, {MAX_LINES} are the most"
                )
    return problems


def chapters_have_their_parts(root):
    """Look for the parts of a chapter; each exercise has a folded solution."""
    problems = []
    for book in notebooks(root):
        text = book.markdown
        problems += [
            f"{book.path}: {part} is missing; see CONTRIBUTING.md"
            for part, pattern in SKELETON.items()
            if not re.search(pattern, text, re.MULTILINE)
        ]
        exercises, solutions = set(), {}
        for kind, argument, options in _directives(text):
            if kind == "exercise":
                exercises.add(options.get("label", "(an exercise without a label)"))
            else:
                solutions[argument] = options
        if not exercises:
            problems.append(f"{book.path}: no {{exercise}}; give the reader some")
        problems += [
            f"{book.path}: {label} has no {{solution}}; write one"
            for label in sorted(exercises - set(solutions))
        ]
        problems += [
            f"{book.path}: the solution of {label} is not folded; "
            "add ':class: dropdown'"
            for label, options in solutions.items()
            if "dropdown" not in options.get("class", "").split()
        ]
    return problems


def _directives(text):
    """Yield each exercise and solution as (kind, argument, options)."""
    lines = text.splitlines()
    for position, line in enumerate(lines):
        if match := DIRECTIVE.match(line.strip()):
            options = {}
            for following in lines[position + 1 :]:
                if not (option := OPTION.match(following.strip())):
                    break
                options[option[1]] = option[2].strip()
            yield match[1], match[2].strip(), options


def figures_are_described(root):
    """Ask for a name, a caption and an alternative text of every figure."""
    problems, seen = [], {}
    for book in notebooks(root):
        for cell, number, _ in book.code:
            if not any("image/svg+xml" in o.get("data", {}) for o in cell["outputs"]):
                continue
            where = f"{book.path}, code cell {number}"
            metadata = cell["metadata"].get("mystnb", {})
            figure, image = metadata.get("figure", {}), metadata.get("image", {})
            name = figure.get("name", "")
            for given, wanted in [
                (name.startswith("fig-"), "figure.name 'fig-…'"),
                (figure.get("caption"), "figure.caption"),
                (image.get("alt"), "image.alt"),
            ]:
                if not given:
                    problems.append(f"{where}: give its metadata a mystnb.{wanted}")
            if name and seen.setdefault(name, where) != where:
                problems.append(f"{where}: {name} is also at {seen[name]}; rename it")
    return problems


def outputs_hold_no_addresses(root):
    """Forbid memory addresses, which differ from run to run."""
    problems = []
    for book in notebooks(root):
        for cell, number, _ in book.code:
            for _, text in parts(_joined(cell["outputs"])):
                if address := ADDRESS.search(text):
                    problems.append(
                        f"{book.path}, code cell {number}: the output holds the memory "
                        f"address {address[0]}; print something else"
                    )
    return problems


def _joined(outputs):
    """Join the lists of lines in which a notebook file keeps texts."""

    def text(value):
        return "".join(value) if isinstance(value, list) else value

    return [
        output
        | ({"text": text(output["text"])} if "text" in output else {})
        | {"data": {m: text(v) for m, v in output.get("data", {}).items()}}
        for output in outputs
    ]


def files_name_no_machine(root):
    """Forbid paths of a machine and addresses of package registries."""
    texts = _forbidden(root)
    problems = []
    for path in _tracked(root):
        try:
            content = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(content.split("\n"), start=1):
            problems += [
                f"{path.relative_to(root)}, line {number}: {what} {match[0]}; remove it"
                for what, pattern in texts.items()
                if (match := pattern.search(line))
            ]
    return problems


def _forbidden(root):
    """Return what no file may hold; spelled in pieces, as this is a file too."""
    homes = "/home" + r"/\w", "/Users" + r"/\w", "/root" + "/"
    paths = [re.escape(str(root.resolve())), *homes]
    hosts = ["pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org"]
    hosts += ["deb.debian" + ".org"]
    for name in ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        host = urlsplit(os.environ.get(name, "")).hostname
        hosts += [host] if host and "." in host else []
    return {
        "the path of a machine,": re.compile(rf"(?<![\w.])({'|'.join(paths)})"),
        "the address of a registry,": re.compile("|".join(map(re.escape, hosts))),
    }


def _tracked(root):
    """Return the files that git has or would take; all files where git is absent."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    if listing.returncode:
        return sorted(path for path in root.rglob("*") if path.is_file())
    paths = (root / name for name in listing.stdout.split("\0") if name)
    return sorted({path for path in paths if path.is_file()})


RULES = (
    contents_are_complete,
    cells_are_python,
    package_comes_first,
    package_is_not_redefined,
    functions_are_defined_once,
    cells_fit_a_page,
    chapters_have_their_parts,
    figures_are_described,
    outputs_hold_no_addresses,
    files_name_no_machine,
)
