"""A Sphinx extension: what the theme wrote is mended once the pages are there.

The theme leaves a few things that a screen reader stumbles over, and loads
two megabytes for a dozen icons. Both are mended in the files, not by a script
in the page, so that they hold without JavaScript too. Every edit may run
twice.
"""

import logging
import re
import shutil
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

#: What is wrong in a page, and what is right: a pattern and its replacement.
EDITS = [
    # The side bar is a landmark, so that all of a page lies in one.
    (
        r'<div id="pst-primary-sidebar" class',
        '<div id="pst-primary-sidebar" role="navigation" aria-label="Book" '
        "class",
    ),
    # A button's name begins with the words that are seen on it.
    (
        r'(<button class="btn search-button-field[^>]*) aria-label="[^"]*"',
        r"\1",
    ),
    # Icons are ornaments: the buttons around them have names.
    (
        r'<(i|span) class="((?:theme-switch )?fa[srb]?[ -][^"]*)"(?! aria-h)',
        r'<\1 class="\2" aria-hidden="true"',
    ),
    # The corner of a table heads nothing.
    (r"<th( class=\"[^\"]*\")?>(?:<p></p>)?\s*</th>", r"<td\1></td>"),
    # Roles that ARIA has given up, and a list without items.
    (r' role="doc-biblioentry"', ""),
    (r'<div role="list" class="citation-list"', '<div class="citation-list"'),
    # Every exercise and solution would have the same id.
    (r' id="(?:exercise|solution)-content"', ""),
    # Two more viewports, and tags for a search engine that is not here.
    (r'\s*<meta name="viewport" content="[^"]*initial-scale=1" ?/>', ""),
    (r'\s*<meta name="docsearch:[^>]*>', ""),
    # The title and contents that the theme prints before the page's own.
    (r'<div id="jb-print-docs-body".*?(?=<div id="searchbox">)', ""),
    # A notebook is downloaded, not shown in a tab of its own.
    (r'(<a href="[^"]*_sources/[^"]*") target="_blank"', r"\1 download"),
    # The colours are right from the first paint on, and without JavaScript.
    (r'data-theme="auto"', 'data-theme="light"'),
    (
        r'dataset\.theme = localStorage\.getItem\("theme"\) \|\| "auto";',
        'dataset.theme = (mode => mode !== "auto" ? mode : '
        'matchMedia("(prefers-color-scheme: dark)").matches ? "dark" '
        ': "light")(document.documentElement.dataset.mode);',
    ),
    # Scripts at the end of the page can wait until its style is there.
    (r'\s*<link rel="preload" as="script"[^>]*>', ""),
    # The icons come from a font: the script would draw each of them anew.
    (
        r'\s*<script defer src="[^"]*/scripts/fontawesome\.js[^"]*"></script>',
        "",
    ),
]

#: Scripts that only the page of search results needs.
SEARCH = re.compile(
    r"\s*<script src=\"[^\"]*/(?:searchtools|language_data|searchindex)\.js"
    r'[^"]*"></script>'
)

#: Files of the theme that no page asks for.
UNUSED = (
    "_static/**/*.map",
    "_static/locales",
    "_static/scripts/fontawesome.js*",
    "_static/sphinx-thebe.*",
    "_static/*webpack-macros.html",
    "_static/images/logo_deepnote.svg",
    "_static/images/logo_jupyterhub.svg",
    "_static/images/logo_jupyterlite.svg",
)

THEME_CSS = "_static/styles/pydata-sphinx-theme.css"
ICON_RULE = re.compile(
    r'((?:\.fa-[\w-]+:{1,2}before,?)+)\{content:"\\?([^"]+)"\}',
)
FONT_FACE = re.compile(r"(@font-face\{[^}]*src:)url\(([^)]*\.woff2)\)[^}]*\}")


def mend(html, *, searches=False):
    """Return a page as it should be.

    >>> mend('<i class="fa-solid fa-list"></i> Contents')
    '<i class="fa-solid fa-list" aria-hidden="true"></i> Contents'
    """
    for pattern, replacement in EDITS:
        html = re.sub(pattern, replacement, html, flags=re.DOTALL)
    return html if searches else SEARCH.sub("", html)


def pages(folder):
    """Return the pages of a built book."""
    found = sorted(folder.rglob("*.html"))
    return [p for p in found if "_static" not in p.relative_to(folder).parts]


def slim_icons(folder):
    """Keep, of 2,500 icons, those that the pages and style sheets show."""
    css = folder / THEME_CSS
    text = css.read_text("utf-8") if css.is_file() else ""
    fonts = folder / "_static/vendor/fontawesome"
    if not (fonts.is_dir() and ICON_RULE.search(text)):
        return  # done already, or another version of the theme
    shown = set(re.findall(r"\bfa-[\w-]+", "".join(map(_read, pages(folder)))))
    shown |= {"fa-xmark"}  # a script's own

    def keep(rule):
        names = set(re.findall(r"fa-[\w-]+", rule[1]))
        return rule[0] if names & shown else ""

    text = ICON_RULE.sub(keep, text)
    css.write_text(text, "utf-8")
    styles = "".join(map(_read, (folder / "_static").rglob("*.css")))
    wanted = {*map(ord, re.findall("[\ue000-\uf8ff]", styles))}
    codes = re.findall(r'"\\([ef][0-9a-f]{3})"', styles)
    wanted |= {int(code, 16) for code in codes}
    codes = (rule[2] for rule in ICON_RULE.finditer(text))
    wanted |= {ord(code) for code in codes if len(code) == 1}

    def face(rule):
        font = (css.parent / rule[2]).resolve().with_suffix(".ttf")
        target = folder / "_static" / f"{font.stem}.woff"
        _subset(font, wanted, target)
        return f'{rule[1]}url(../{target.name}) format("woff")}}'

    css.write_text(FONT_FACE.sub(face, text), "utf-8")
    shutil.rmtree(fonts)


def _read(path):
    return path.read_text("utf-8")


def _subset(source, codepoints, target):
    """Write the part of a font that holds some characters."""
    font = TTFont(source)
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    options = subset.Options(drop_tables=["FFTM", "GSUB"])
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=codepoints)
    subsetter.subset(font)
    font.flavor = "woff"
    font.save(target)


def finish(app, error):
    """Mend the pages and drop what none of them needs."""
    if error or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    for page in pages(folder):
        html = _read(page)
        mended = mend(html, searches=page.name == "search.html")
        if mended != html:
            page.write_text(mended, "utf-8")
    slim_icons(folder)
    for pattern in UNUSED:
        for path in list(folder.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def setup(app):
    """Register with Sphinx, behind what other extensions do at the end."""
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
