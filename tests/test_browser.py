"""Every built page, opened in Chromium: as a file, and from the local server.

A page must ask nothing of another host, log no error, show all its formulas and
pictures, and need no sideways scrolling on a phone.
"""

import shutil
from pathlib import Path
from threading import Thread

import pytest
import serve

HTML = Path(__file__).resolve().parents[1] / "_build" / "html"
PAGES = sorted(
    path
    for path in HTML.rglob("*.html")
    if "_static" not in path.parts
    and 'http-equiv="refresh"' not in path.read_text("utf-8").lower()
)
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
#: No sandbox, which a container may lack; no traffic of the browser's own.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: pages are not opened"),
    pytest.mark.skipif(not PAGES, reason="no book here: run 'make book' first"),
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
() => [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)
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


@pytest.fixture(scope="module")
def browser():
    """One Chromium for all pages."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["file", "http"])
def root(request):
    """The address of the book: its folder, or a server's."""
    if request.param == "file":
        yield HTML.as_uri()
        return
    with serve.make_server(0, HTML) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{serve.HOST}:{server.server_address[1]}"
        server.shutdown()


def listen(page, root, problems):
    """Add to ``problems`` what the page asks of others, and what goes wrong."""

    def on_request(request):
        if not request.url.startswith((f"{root}/", "data:", "blob:")):
            problems.append(f"asks {request.url}")

    def on_response(response):
        if response.status >= 400:
            problems.append(f"gets {response.status} for {response.url}")

    def on_console(message):
        if message.type == "error":
            problems.append(f"logs {message.text}")

    page.on("request", on_request)
    page.on("response", on_response)
    page.on("requestfailed", lambda request: problems.append(f"misses {request.url}"))
    page.on("console", on_console)
    page.on("pageerror", lambda error: problems.append(f"fails with {error}"))


def settle(page):
    """Wait until MathJax has typeset the page, if it has formulas."""
    page.wait_for_load_state("load")
    if page.locator(".math").count():
        page.wait_for_function("window.MathJax?.startup?.promise !== undefined")
        page.evaluate("() => MathJax.startup.promise.then(() => null)")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(HTML)))
def test_page(browser, root, path):
    problems = []
    page = browser.new_page(viewport=DESKTOP, locale="en-US")
    listen(page, root, problems)
    try:
        page.goto(f"{root}/{path.relative_to(HTML).as_posix()}")
        settle(page)
        for what, script in [
            ("a formula in red", BAD_FORMULAS),
            ("a formula not typeset", RAW_FORMULAS),
            ("no picture", MISSING_IMAGES),
            ("no alternative text", NO_ALT),
        ]:
            problems += [f"{what}: {found}" for found in page.evaluate(script)]
        page.evaluate(UNFOLD)
        for viewport in (DESKTOP, PHONE):
            page.set_viewport_size(viewport)
            found = page.evaluate(TOO_WIDE)
            problems += [f"too wide at {viewport['width']}: {e}" for e in found]
    finally:
        page.close()
    assert not problems, "\n".join(problems)


def test_every_chapter_was_built():
    """A book that was built long ago is not the one in the sources."""
    toc = (HTML.parents[1] / "_toc.yml").read_text("utf-8")
    names = [line.split()[-1] for line in toc.splitlines() if "file:" in line]
    built = {str(path.relative_to(HTML).with_suffix("")) for path in PAGES}
    assert set(names) <= built
