"""Every built page, opened in Chromium: as a file, and from the local server.

A page must ask nothing of another host, log no error, show all its formulas and
pictures, and need no sideways scrolling on a phone. It must satisfy axe-core in both
themes, come out whole on paper, and be light enough for a slow line.
"""

import gzip
from functools import cache
from pathlib import Path

from browsing import DESKTOP, HTML, NEEDS, PAGES, PHONE, listen, serving, settle

import axe_playwright_python
import pytest

pytestmark = NEEDS

#: Bytes that a page may take to load, compressed, with its fonts and formulas.
MAX_BYTES = 1_500_000

#: Texts of formulas that MathJax could not read; it shows them in red.
BAD_FORMULAS = """
() => [...document.querySelectorAll("mjx-merror, mjx-container mjx-mtext")]
    .filter(e => e.matches("mjx-merror")
        || getComputedStyle(e).color == "rgb(255, 0, 0)")
    .map(e => e.closest("mjx-container").textContent || e.outerHTML.slice(0, 200))
"""

#: Formulas that MathJax has not touched.
RAW_FORMULAS = """
() => [...document.querySelectorAll(".math")]
    .filter(e => !e.querySelector("mjx-container"))
    .map(e => e.textContent.slice(0, 80))
"""

MISSING_IMAGES = """
() => [...document.images].filter(i => i.offsetParent)
    .filter(i => !i.complete || !i.naturalWidth).map(i => i.src)
"""

#: Docutils writes an image's path where no alternative text was given.
NO_ALT = """
() => [...document.querySelectorAll("article img")]
    .filter(i => !i.alt.trim() || i.src.endsWith(i.alt.split("/").pop()))
    .map(i => i.src)
"""

UNFOLD = """
() => {
    document.querySelectorAll("details").forEach(e => e.open = true);
    document.querySelectorAll("button.toggle-button-hidden").forEach(e => e.click());
}
"""

#: What reaches beyond the window, where the page as a whole scrolls sideways.
TOO_WIDE = """
() => document.documentElement.scrollWidth <= innerWidth ? [] :
    [...document.querySelectorAll("article *")]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
    .slice(0, 3).map(e => e.outerHTML.slice(0, 120))
    .concat(`the page is ${document.documentElement.scrollWidth} pixels wide`)
"""

#: On paper: what should not be there, what is hidden or cut off, and dark ground.
BAD_PAPER = """
() => {
    const shown = e => e.offsetParent !== null
        && getComputedStyle(e).visibility == "visible";
    const all = selector => [...document.querySelectorAll(selector)];
    const say = (what, elements) => elements.map(e => `${what}: ${e.outerHTML
        .slice(0, 120)}`);
    return [
        ...say("navigation", all("nav, .prev-next-footer, header, .headerlink, "
            + "article button").filter(shown)),
        ...say("folded", all(".solution > *").filter(e => !shown(e)
            && !e.matches("button"))),
        ...say("cut off", all("article pre").filter(e =>
            e.scrollWidth > e.clientWidth + 1)),
        ...say("no title", all("article h1").filter(e => !shown(e))),
    ];
}
"""

#: Pictures in the dark: figures are drawn on white and have to stay on it.
DARK_PICTURES = """
() => [...document.querySelectorAll("article img")]
    .filter(i => getComputedStyle(i).backgroundColor != "rgb(255, 255, 255)")
    .map(i => i.src)
"""

#: Tokens of code with the same class have the same colours: one of each will do, and
#: the others become plain text, which takes a tenth of the time to look at.
THIN_OUT = """
() => {
    const seen = new Set();
    for (const token of document.querySelectorAll(".highlight pre span")) {
        const box = token.closest(".cell_output, .cell_input, .solution, article");
        const kind = `${token.className} ${box.className}`;
        seen.has(kind) ? token.replaceWith(token.textContent) : seen.add(kind);
    }
}
"""

#: Formulas have the colour of the text around them.
DROP_FORMULAS = """
() => document.querySelectorAll("mjx-container").forEach(e => e.remove())
"""

AXE = """
rules => axe.run(document, {resultTypes: ["violations"], preload: false, ...rules})
    .then(found => found.violations.flatMap(rule => rule.nodes.map(node =>
        `${rule.id} (${rule.impact}): ${node.html.slice(0, 160)} `
        + node.failureSummary.replace(/\\s+/g, " ").slice(0, 200))))
"""
STRUCTURE = {
    "rules": {
        "color-contrast": {"enabled": False},
        "label-content-name-mismatch": {"enabled": True},
    }
}
CONTRAST = {"runOnly": ["color-contrast"]}


@cache
def axe_source():
    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


@pytest.fixture(scope="module", params=["file", "http"])
def root(request):
    """The address of the book: its folder, or a server's."""
    if request.param == "file":
        yield HTML.as_uri()
    else:
        with serving() as address:
            yield address


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(HTML)))
def test_page(browser, root, path):
    page = browser.new_page(viewport=DESKTOP, locale="en-US", reduced_motion="reduce")
    problems, loaded = listen(page, root), []
    page.on("response", lambda response: loaded.append(response))
    try:
        page.goto(f"{root}/{path.relative_to(HTML).as_posix()}")
        settle(page)
        sizes = [] if root.startswith("file") else [size(each) for each in loaded]
        for what, script in [
            ("a formula in red", BAD_FORMULAS),
            ("a formula not typeset", RAW_FORMULAS),
            ("no picture", MISSING_IMAGES),
            ("no alternative text", NO_ALT),
        ]:
            problems += [f"{what}: {found}" for found in page.evaluate(script)]
        if not root.startswith("file"):
            problems += [f"on paper, {found}" for found in paper(page)]
        page.evaluate(UNFOLD)
        for viewport in (DESKTOP, PHONE):
            page.set_viewport_size(viewport)
            found = page.evaluate(TOO_WIDE)
            problems += [f"too wide at {viewport['width']}: {e}" for e in found]
        if not root.startswith("file"):
            page.set_viewport_size(DESKTOP)
            problems += [f"not accessible: {found}" for found in barriers(page)]
    finally:
        page.close()
    if sum(sizes) > MAX_BYTES:
        problems.append(f"takes {sum(sizes):,} bytes")
    assert not problems, "\n".join(problems)


def size(response):
    """Return the bytes of a response, compressed where that is of use."""
    body = response.body()
    return min(len(body), len(gzip.compress(body)))


def paper(page):
    """Return what is wrong with a page, shown dark, when it is printed."""
    page.emulate_media(color_scheme="dark")
    wait_for_theme(page, "dark")
    page.emulate_media(color_scheme="dark", media="print")
    wait_for_theme(page, "light")
    found = page.evaluate(BAD_PAPER)
    page.emulate_media(color_scheme="light", media="screen")
    return found


def wait_for_theme(page, name):
    """Wait until a page has followed the browser into another theme."""
    page.wait_for_function(
        "name => [undefined, name].includes(document.documentElement.dataset.theme)",
        arg=name,
        timeout=5_000,
    )


def barriers(page):
    """Return what axe-core finds in a page, in both themes."""
    page.evaluate(axe_source())
    page.evaluate(THIN_OUT)
    found = page.evaluate(AXE, STRUCTURE)
    page.evaluate(DROP_FORMULAS)
    found += page.evaluate(AXE, CONTRAST)
    page.emulate_media(color_scheme="dark")
    wait_for_theme(page, "dark")
    found += [f"{each} in the dark" for each in page.evaluate(AXE, CONTRAST)]
    found += [f"{each} is dark in the dark" for each in page.evaluate(DARK_PICTURES)]
    return found


def test_every_chapter_was_built():
    """A book that was built long ago is not the one in the sources."""
    toc = (HTML.parents[1] / "_toc.yml").read_text("utf-8")
    names = [line.split()[-1] for line in toc.splitlines() if "file:" in line]
    built = {str(path.relative_to(HTML).with_suffix("")) for path in PAGES}
    assert set(names) <= built
