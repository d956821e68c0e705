"""A Sphinx extension: every asset of a page comes from the book itself.

MathJax is copied from a package instead of being loaded from a host, and
sphinx-thebe, which Jupyter Book always loads, is kept off the pages: its
script comes from a host and fails where no live kernel was asked for.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

#: The parts of MathJax that TeX input with HTML output needs, 2.3 MB of 24 MB.
MATHJAX_PARTS = ("tex-chtml.js", "output/chtml/fonts", "input/tex/extensions")

#: What gives a script or a style sheet of sphinx-thebe away.
THEBE_MARKS = ("sphinx-thebe", "THEBE_JS_URL")


def copy_mathjax(app, error):
    """Copy MathJax into a finished HTML build."""
    if error or app.builder.format != "html":
        return
    package = Path(find_spec("sphinx-mathjax-offline").origin).parent
    for part in MATHJAX_PARTS:
        source = package / "static" / "mathjax" / part
        target = Path(app.outdir) / "_static" / "mathjax" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)


def drop_thebe(app, pagename, templatename, context, doctree):
    """Take the scripts and style sheets of sphinx-thebe off a page."""
    for kind in ("script_files", "css_files"):
        context[kind] = [f for f in context.get(kind, []) if not _is_thebe(f)]


def _is_thebe(asset):
    body = getattr(asset, "attributes", {}).get("body") or ""
    text = f"{getattr(asset, 'filename', asset)} {body}"
    return any(mark in text for mark in THEBE_MARKS)


def setup(app):
    """Register with Sphinx."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
