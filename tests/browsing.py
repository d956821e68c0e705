"""What the tests in a browser share: Chromium, the pages, what goes wrong in one."""

import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pdf
import pytest
import serve

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
PAGES = sorted(
    path
    for path in HTML.rglob("*.html")
    if "_static" not in path.parts
    and 'http-equiv="refresh"' not in path.read_text("utf-8").lower()
)
#: The pages that have a source: the others are for searching and for the lost.
WRITTEN = [path for path in PAGES if path.parent != HTML]
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
CHROMIUM = pdf.find_browser()
#: No sandbox, which a container may lack; no traffic of the browser's own.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

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

NEEDS = [
    pytest.mark.skipif(
        sys.version_info < (3, 11),
        reason="Python 3.10 has an older theme, whose pages are not what is published",
    ),
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: pages are not opened"),
    pytest.mark.skipif(not PAGES, reason="no book here: run 'make book' first"),
]


@contextmanager
def serving(folder=HTML):
    """Serve a built book while the block runs; give its address."""
    with serve.make_server(0, folder) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{serve.HOST}:{server.server_address[1]}"
        server.shutdown()


def listen(page, root):
    """Return a list that fills with what the page asks of others, and what fails.

    What was still on its way when one page was left for another did not fail.
    """
    problems, visited = [], []

    def on_request(request):
        if request.is_navigation_request():
            visited.append(request.url)
        if not request.url.startswith((f"{root}/", "data:", "blob:")):
            problems.append(f"asks {request.url}")

    def on_response(response):
        if response.status >= 400:
            problems.append(f"gets {response.status} for {response.url}")

    def on_failure(request):
        if request.failure != "net::ERR_ABORTED" or len(visited) == 1:
            problems.append(f"misses {request.url} ({request.failure})")

    def on_console(message):
        if message.type == "error":
            problems.append(f"logs {message.text}")

    page.on("request", on_request)
    page.on("response", on_response)
    page.on("requestfailed", on_failure)
    page.on("console", on_console)
    page.on("pageerror", lambda error: problems.append(f"fails with {error}"))
    return problems


def settle(page):
    """Wait until MathJax has typeset the page, if it has formulas."""
    page.wait_for_load_state("load")
    if page.locator(".math").count():
        page.wait_for_function("window.MathJax?.startup?.promise !== undefined")
        page.evaluate("() => MathJax.startup.promise.then(() => null)")


def faults(page):
    """Return what is wrong with a page's formulas and pictures, once it has settled."""
    return [
        f"{what}: {found}"
        for what, script in [
            ("a formula in red", BAD_FORMULAS),
            ("a formula not typeset", RAW_FORMULAS),
            ("no picture", MISSING_IMAGES),
            ("no alternative text", NO_ALT),
        ]
        for found in page.evaluate(script)
    ]


def widths(page):
    """Return what is too wide for a window in a page, which is unfolded for it."""
    page.evaluate(UNFOLD)
    problems = []
    for viewport in (PHONE, DESKTOP):
        page.set_viewport_size(viewport)
        found = page.evaluate(TOO_WIDE)
        problems += [f"too wide at {viewport['width']}: {e}" for e in found]
    return problems
