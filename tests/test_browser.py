"""Every built page, opened as a file in Chromium, as a reader without a network.

A page must ask nothing of any host, log no error, show all its formulas and
pictures, and need no sideways scrolling on a phone.
"""

import shutil
from pathlib import Path

import pytest

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

NO_ALT = """
() => [...document.querySelectorAll("article img:not([alt])")].map(i => i.src)
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
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


def listen(page, problems):
    """Add to ``problems`` what the page asks of others, and what goes wrong."""

    def on_request(request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            problems.append(f"asks {request.url}")

    def on_console(message):
        if message.type == "error":
            problems.append(f"logs {message.text}")

    page.on("request", on_request)
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
def test_page(browser, path):
    problems = []
    page = browser.new_page(viewport=DESKTOP, locale="en-US")
    listen(page, problems)
    try:
        page.goto(path.as_uri())
        settle(page)
        for what, script in [
            ("a formula in red", BAD_FORMULAS),
            ("a formula not typeset", RAW_FORMULAS),
            ("no picture", MISSING_IMAGES),
            ("no alternative text", NO_ALT),
        ]:
            problems += [f"{what}: {found}" for found in page.evaluate(script)]
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
