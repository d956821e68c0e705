"""Every built page, opened in Chromium from the local server.

A page must ask nothing of another host, log no error, show all its formulas and
pictures, and need no sideways scrolling on a phone. It must satisfy axe-core in both
themes, come out whole on paper, and be light enough for a slow line.
"""

import gzip
from functools import cache
from pathlib import Path

from browsing import (
    HTML,
    NEEDS,
    PAGES,
    WRITTEN,
    faults,
    listen,
    settle,
    widths,
)

import axe_playwright_python
import pytest

pytestmark = NEEDS

UNWRITTEN = [path for path in PAGES if path not in WRITTEN]

#: Bytes that a page may take to load, compressed, with its fonts and formulas.
MAX_BYTES = 1_500_000

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

#: MathJax writes formulas alike: one of each kind, and of those that must be scrolled.
FEW_FORMULAS = """
() => {
    const seen = new Set(), kept = [], own = ["id", "style", "ctxtmenu_counter"];
    const say = e => [...e.attributes]
        .map(a => a.name + (own.includes(a.name) ? "" : a.value))
        + (e.scrollWidth > e.clientWidth);
    for (const formula of document.querySelectorAll("mjx-container")) {
        const kind = say(formula) + say(formula.parentElement);
        if (!seen.has(kind)) kept.push(formula);
        seen.add(kind);
    }
    for (const formula of document.querySelectorAll("mjx-container"))
        if (!kept.includes(formula)) formula.remove();
}
"""

#: Elements with text, the first and the last of each look: its own color, size and
#: weight, and what lies behind it. Where elements are taken out of the flow, each
#: counts; of signs alone axe-core says nothing, so they stand for themselves.
LOOKS = """
() => {
    const looks = new Map();
    for (const e of document.body.querySelectorAll("*")) {
        const field = e.matches("input, select, textarea");
        const text = [...e.childNodes].map(n => n.nodeType == 3 ? n.data : "").join("");
        if (!field && !text.trim()) continue;
        const own = getComputedStyle(e);
        const look = [field && e.outerHTML, own.color, own.fontSize, own.fontWeight,
            own.textShadow, own.visibility, /[\\p{L}\\d]{2}/u.test(text),
            e.closest(":disabled, [aria-disabled=true]") && "disabled"];
        for (let box = e; box; box = box.parentElement) {
            const { backgroundColor, backgroundImage, opacity, position, display } =
                getComputedStyle(box);
            look.push(backgroundColor, backgroundImage, opacity, display == "none",
                /static|relative/.test(position) || box.id + box.className);
        }
        const key = look.join();
        looks.set(key, [looks.get(key)?.[0] ?? e, e]);
    }
    return window.looks = [...new Set([...looks.values()].flat())];
}
"""

AXE = """
([rules, where]) => axe
    .run(window[where], {resultTypes: ["violations"], preload: false, ...rules})
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


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(HTML)))
def test_page(page, address, path):
    problems, loaded = listen(page, address), []
    page.on("response", lambda response: loaded.append(response))
    page.goto(f"{address}/{path.relative_to(HTML).as_posix()}")
    settle(page)
    sizes = [size(each) for each in loaded]
    problems += faults(page)
    problems += [f"on paper, {found}" for found in paper(page)]
    problems += widths(page)
    problems += [f"not accessible: {found}" for found in barriers(page)]
    if sum(sizes) > MAX_BYTES:
        problems.append(f"takes {sum(sizes):,} bytes")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("path", UNWRITTEN, ids=lambda path: path.name)
def test_pages_without_a_source_open_as_files(page, path):
    """The others are opened as files, and looked at, to print them for the PDF."""
    problems = listen(page, HTML.as_uri())
    page.goto(path.as_uri())
    settle(page)
    assert problems + faults(page) + widths(page) == []


#: The bytes of each address: most pages load the same styles and scripts.
SIZES = {}


def size(response):
    """Return the bytes of a response, compressed where that is of use."""
    if response.url not in SIZES:
        body = response.body()
        SIZES[response.url] = min(len(body), len(gzip.compress(body)))
    return SIZES[response.url]


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
        timeout=30_000,  # a busy machine
    )


def barriers(page):
    """Return what axe-core finds in a page, in both themes."""
    page.evaluate(axe_source())
    page.evaluate(THIN_OUT)
    page.evaluate(FEW_FORMULAS)
    found = page.evaluate(AXE, [STRUCTURE, "document"])
    found += contrast(page)
    page.emulate_media(color_scheme="dark")
    wait_for_theme(page, "dark")
    found += [f"{each} in the dark" for each in contrast(page)]
    found += [f"{each} is dark in the dark" for each in page.evaluate(DARK_PICTURES)]
    return found


def contrast(page):
    """Return the texts that axe-core finds hard to see in a page as it is shown."""
    assert page.evaluate(f"({LOOKS})().length")
    return page.evaluate(AXE, [CONTRAST, "looks"])


#: From what axe-core should say to the fault that is planted for it.
PLANTED = {
    "color-contrast": '<p style="color: #999">pale</p>',
    "in the dark": '<p style="color: #14181e">dark on dark</p>',
    "image-alt": '<img src="data:,">',
    "button-name": "<button></button>",
    "aria-allowed-attr": '<p aria-checked="true">words</p>',
}


def test_planted_barriers_are_found(page):
    page.goto((HTML / "book/recurrent/rnn_with_gluon.html").as_uri())
    settle(page)
    plant = "html => document.querySelector('article p').outerHTML += html"
    page.evaluate(plant, "".join(PLANTED.values()))
    found = barriers(page)
    assert [words for words in PLANTED if words not in "\n".join(found)] == []
    dark = [each for each in found if each.endswith("in the dark")]
    assert any("dark on dark" in each for each in dark)
    assert any("pale" in each for each in set(found) - set(dark))


def test_every_chapter_was_built():
    """A book that was built long ago is not the one in the sources."""
    toc = (HTML.parents[1] / "_toc.yml").read_text("utf-8")
    names = [line.split()[-1] for line in toc.splitlines() if "file:" in line]
    built = {str(path.relative_to(HTML).with_suffix("")) for path in PAGES}
    assert set(names) <= built
