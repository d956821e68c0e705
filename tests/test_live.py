"""Live pages in Chromium: cells are edited and run, and failures are told.

Most tests open a small book of one chapter, made here in the form of the real
ones; the last open the chapters themselves.
"""

import html
import json
import os
import signal
import time
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from browsing import CHROMIUM
from serving import serving

import nbformat
import pytest
import serve

BUILT = serve.HTML / "book"
NOTEBOOKS = sorted(path for path in (serve.ROOT / "book").rglob("*.ipynb"))

#: Pages opened and closed by the test under load, and how many of them at once.
PAGES, AT_ONCE = int(os.environ.get("D2L_RNN_LOAD", "20")), 5

pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium here: live pages are not tried"
)

PLOT = """\
import matplotlib.pyplot as plt
from matplotlib_inline.backend_inline import set_matplotlib_formats
set_matplotlib_formats("svg")
plt.plot([1, 2, 3]);"""

#: The code of the lesson's cells, each with its stored output.
CELLS = [
    ("x = 6\nprint(x)", "6"),
    ("y = x * 7\ny", "42"),
    ("import os\nos.getcwd(), os.environ['OMP_NUM_THREADS']", None),
]

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Lesson</title>
<link rel="icon" href="data:,"></head>
<body class="bd-content"><article class="bd-article"><h1>Lesson</h1>{cells}</article>
</body>
</html>"""
CELL = """<div class="cell docutils container">
<div class="cell_input docutils container"><div class="highlight"><pre>{code}
</pre></div></div>{output}</div>"""
OUTPUT = """<div class="cell_output docutils container"><div class="output">
<div class="highlight"><pre>{text}
</pre></div></div></div>"""
FIGURE = """<div class="cell_output docutils container"><figure id="fig-stored">
<img alt="A line that rises" src="data:image/svg+xml,%3Csvg/%3E">
<figcaption><p>A line.<a class="headerlink" href="#fig-stored">#</a></p></figcaption>
</figure></div>"""


def write_lesson(root, cells=CELLS, name="lesson"):
    """Write a notebook and, under html/, its page."""
    shown = []
    for code, stored in cells:
        output = stored or ""
        if stored and not stored.startswith("<"):
            output = OUTPUT.format(text=html.escape(stored))
        shown.append(CELL.format(code=html.escape(code), output=output))
    (root / "html" / "part").mkdir(parents=True, exist_ok=True)
    (root / "part").mkdir(exist_ok=True)
    page = PAGE.format(cells="<p>Some words.</p>".join(shown))
    (root / "html" / "part" / f"{name}.html").write_text(page, "utf-8")
    (root / "html" / "index.html").write_text(PAGE.format(cells=""), "utf-8")
    nbformat.write(nbformat.v4.new_notebook(), root / "part" / f"{name}.ipynb")


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book of one lesson."""
    root = tmp_path_factory.mktemp("book")
    write_lesson(root)
    return root


@pytest.fixture(scope="module")
def server(book):
    """Its server, with room for kernels whose page did not say farewell."""
    with serving(book / "html", book, limit=50) as server:
        yield server


@pytest.fixture
def new_page(browser):
    """Return a function that opens a page of a server, let in or not."""
    contexts = []

    def new_page(server, path="part/lesson.html", *, token=True, **options):
        options.setdefault("viewport", {"width": 1000, "height": 800})
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(60000)
        page = context.new_page()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        if token:
            context.request.get(f"{server.url}open?token={server.token}")
        page.goto(server.url + path)
        return page

    yield new_page
    for context in contexts:
        context.close()


@pytest.fixture
def lesson(new_page, server):
    """The lesson, live."""
    page = new_page(server)
    go_live(page)
    yield page
    assert page.errors == []


def go_live(page):
    press(page, "Run this page’s code")
    live, warning = page.locator("html[data-live]"), page.locator(".live-message")
    live.or_(warning.filter(visible=True)).wait_for()
    assert live.count(), f"the page warns: {warning.all_inner_texts()}"


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def says(page, words):
    """Wait until the status says some words."""
    page.locator(".live-status", has_text=words).wait_for()


def warns(page, words):
    """Wait until a message says some words; it is announced as an alert."""
    page.locator('.live-message[role="alert"]', has_text=words).wait_for()


def cell(page, number):
    return page.locator("article div.cell").nth(number - 1)


def set_code(page, number, code):
    """Write into a cell what a reader would type."""
    page.get_by_label(f"Code of cell {number}", exact=True).fill(code)


def run(page, number, code=None):
    """Run a cell, with other code where it is given; return what it shows."""
    if code is not None:
        set_code(page, number, code)
    press(page, f"Run (cell {number})")
    cell(page, number).locator("xpath=self::*[@data-live='done' or @data-live='error']")
    page.wait_for_function(
        """number => ["done", "error"].includes(
            document.querySelectorAll("article div.cell")[number - 1].dataset.live)""",
        arg=number,
    )
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => done()))")
    return shown(page, number)


def shown(page, number):
    """Return the text of a cell's live output."""
    return cell(page, number).locator(".live-output").inner_text().strip()


def kernels(page):
    """Return what the server tells a page about its kernels."""
    return page.evaluate("() => fetch('/api/kernels').then(r => r.json())")


def wait_for_kernels(page, count, seconds=30):
    """Wait until so many kernels are left."""
    end = time.monotonic() + seconds
    while len(kernels(page)) != count and time.monotonic() < end:
        time.sleep(0.1)
    assert len(kernels(page)) == count


# Running


def test_cells_run_in_the_notebooks_folder_with_its_numerics(lesson, book):
    assert run(lesson, 1) == "6"
    assert run(lesson, 2) == "42"
    assert run(lesson, 3) == str((str(book / "part"), "1"))
    says(lesson, "Cell 3 is done")
    assert cell(lesson, 3).locator(".live-mark").inner_text() == "[3]"


def test_run_all_and_all_above(lesson):
    press(lesson, "Run all above (cell 3)")
    says(lesson, "2 cells are done")
    assert shown(lesson, 2) == "42"
    assert cell(lesson, 3).locator(".live-output").count() == 0
    press(lesson, "Run all")
    says(lesson, "3 cells are done")
    assert cell(lesson, 3).locator(".live-mark").inner_text() == "[5]"


def test_an_error_stops_what_follows_and_shows_its_traceback(lesson):
    set_code(lesson, 2, "def f():\n    return missing\n\nf()")
    press(lesson, "Run all")
    says(lesson, "Cell 2 stopped with NameError")
    text = shown(lesson, 2)
    assert "Traceback (most recent call last)" in text
    assert "name 'missing' is not defined" in text
    assert "\x1b" not in text
    assert "[31m" not in text
    assert cell(lesson, 2).locator("[class*=live-color]").count() > 0
    assert cell(lesson, 3).get_attribute("data-live") == ""
    assert cell(lesson, 3).locator(".live-output").count() == 0


def test_restart_forgets_and_restore_shows_the_pages_own(lesson):
    lesson.on("dialog", lambda dialog: dialog.accept())
    assert run(lesson, 1, "x = 5\nprint('mine')") == "mine"
    stored = cell(lesson, 1).locator(".cell_output:not(.live-output)")
    assert not stored.is_visible()
    press(lesson, "Restart")
    says(lesson, "The kernel is new")
    assert "NameError" in run(lesson, 2)
    press(lesson, "Restore (cell 1)")
    assert lesson.get_by_label("Code of cell 1").input_value() == CELLS[0][0]
    assert stored.inner_text().strip() == "6"
    press(lesson, "Restore")
    assert lesson.locator(".live-output").count() == 0
    assert lesson.locator(".cell_output").all_inner_texts() == ["6\n", "42\n"]


def test_end_gives_back_the_page_and_ends_the_kernel(lesson):
    run(lesson, 1)
    press(lesson, "End")
    says(lesson, "The kernel was ended")
    assert lesson.locator("textarea, .live-output, .live-tools").count() == 0
    assert cell(lesson, 1).get_by_text("print(x)").is_visible()
    wait_for_kernels(lesson, 0)
    go_live(lesson)
    assert run(lesson, 1) == "6"


def test_an_endless_loop_is_interrupted(lesson):
    set_code(lesson, 1, "print('on')\nwhile True:\n    pass")
    press(lesson, "Run all")
    says(lesson, "Running cell 1 of 3")
    assert cell(lesson, 1).locator(".live-mark").inner_text() == "[*]"
    cell(lesson, 1).locator(".live-output", has_text="on").wait_for()
    press(lesson, "Interrupt")
    says(lesson, "Cell 1 stopped with KeyboardInterrupt")
    assert run(lesson, 1, "print('well')") == "well"


def test_a_cell_that_cannot_be_interrupted_can_be_restarted(lesson):
    stubborn = "while True:\n    try:\n        while True: pass\n    except: pass"
    set_code(lesson, 1, f"print('on')\n{stubborn}")
    press(lesson, "Run (cell 1)")
    says(lesson, "Running cell 1")
    cell(lesson, 1).locator(".live-output", has_text="on").wait_for()
    press(lesson, "Restart")
    says(lesson, "The kernel is new")
    assert run(lesson, 1, "print('well')") == "well"


# Outputs


def test_a_plot_appears_with_the_stored_caption(book, server, new_page):
    write_lesson(book, [(PLOT, FIGURE)], "plot")
    page = new_page(server, "part/plot.html")
    go_live(page)
    run(page, 1)
    figure = cell(page, 1).locator(".live-output figure")
    image = figure.locator("img")
    assert image.get_attribute("alt") == "A line that rises"
    assert image.get_attribute("src").startswith("data:image/svg+xml")
    assert (
        image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    )
    assert figure.inner_text().strip() == "A line."
    assert page.locator("[id=fig-stored]").count() == 1
    run(page, 1, PLOT.replace("3", "4"))
    assert image.get_attribute("alt") == "Figure 1 of cell 1, drawn live"
    assert page.errors == []


def test_text_in_all_its_forms(lesson):
    assert run(lesson, 1, "print('a'); print('b'); 'c'").split() == ["a", "b", "'c'"]
    assert run(lesson, 1, "import sys; print('careful', file=sys.stderr)") == "careful"
    assert run(lesson, 1, "print('<b>&amp;')") == "<b>&amp;"
    assert run(lesson, 1, r"print('\033[1;31mred\033[0m black')") == "red black"
    red = lesson.locator(".live-output .live-color-1.live-bold")
    assert red.inner_text() == "red"
    assert "len(obj" in run(lesson, 1, "len?")
    assert run(lesson, 1, "1;") == ""


def test_markdown_is_shown_as_a_page_would(lesson):
    source = (
        "from IPython.display import Markdown\n"
        "Markdown('`a.py`, **line** 3\\n\\n```python\\ndef f():\\n    # no\\n```\\n\\n"
        "- [one](https://x.org)\\n- [two](javascript:alert(1)) <i>')"
    )
    assert run(lesson, 1, source).split("\n")[0] == "a.py, line 3"
    output = cell(lesson, 1).locator(".live-output")
    assert output.locator("p code").inner_text() == "a.py"
    assert output.locator("pre").inner_text().rstrip() == "def f():\n    # no"
    assert output.locator("pre .k").first.inner_text() == "def"
    assert output.locator("li").all_inner_texts()[0] == "one"
    assert output.locator("a").evaluate_all("all => all.map(a => a.href)") == [
        "https://x.org/"
    ]
    assert output.locator("i").count() == 0


def test_progress_bars_move_and_vanish(lesson, book):
    bar = "from tqdm import tqdm\nimport os, time\nfor i in tqdm(range(3), {}):\n    {}"
    wait = "time.sleep(0.3)\n    while i and not os.path.exists('go'): time.sleep(0.1)"
    set_code(lesson, 1, bar.format("'steps', leave=False", wait))
    press(lesson, "Run (cell 1)")
    cell(lesson, 1).locator(".live-output", has_text="1/3").wait_for()
    (book / "part" / "go").touch()
    says(lesson, "Cell 1 is done")
    assert shown(lesson, 1) == ""
    kept = run(lesson, 1, bar.format("'steps'", "pass"))
    assert kept.count("steps") == 1
    assert "3/3" in kept


def test_displays_are_updated_and_cleared(lesson):
    code = "h = display('old', display_id=True); print(1); h.update('new')"
    assert run(lesson, 1, code).split() == ["'new'", "1"]
    clear = "from IPython.display import clear_output\nprint(1)\nclear_output({})"
    assert run(lesson, 1, clear.format("")) == ""
    assert run(lesson, 1, clear.format("wait=True") + "\nprint(2)") == "2"


def test_a_flood_of_output_leaves_the_page_alive(lesson):
    text = run(lesson, 1, "for i in range(40000): print(i, '.' * 20)")
    assert len(text) < 400_000
    assert run(lesson, 1, "print('well')") == "well"


# Editing


def test_the_editor_is_pleasant_by_keyboard_alone(lesson):
    area = lesson.get_by_label("Code of cell 1", exact=True)
    keys = lesson.keyboard
    area.fill("")
    area.focus()
    keys.type("if x:  # so")
    keys.press("Enter")
    keys.type("y")
    keys.press("Enter")
    keys.press("Tab")
    keys.type("z")
    assert area.input_value() == "if x:  # so\n    y\n        z"
    keys.press("Shift+Tab")
    assert area.input_value() == "if x:  # so\n    y\n    z"
    keys.press("Control+a")
    keys.press("Tab")
    assert area.input_value() == "    if x:  # so\n        y\n        z"
    keys.press("Control+z")
    assert area.input_value() == "if x:  # so\n    y\n    z"
    area.fill("print('next')")
    keys.press("Shift+Enter")
    says(lesson, "Cell 1 is done")
    focused = "document.activeElement.getAttribute('aria-label')"
    assert lesson.evaluate(focused) == "Code of cell 2"
    keys.press("Control+Enter")
    says(lesson, "Cell 2 stopped with NameError")
    assert lesson.evaluate(focused) == "Code of cell 2"
    keys.press("Escape")
    assert lesson.evaluate(focused) == "Run (cell 2)"
    keys.press("Tab")
    assert lesson.evaluate(focused) == "Run all above (cell 2)"


def test_the_editor_grows_and_its_colors_lie_under_the_text(lesson):
    area = lesson.get_by_label("Code of cell 1", exact=True)
    low = area.bounding_box()["height"]
    area.fill("x = 'long'  # 1\n" * 12 + "y" * 300)
    box, text = area.bounding_box(), lesson.locator(".live-editor pre").first
    assert box["height"] > 3 * low
    assert area.evaluate("a => a.scrollHeight <= a.clientHeight + 1")
    assert area.evaluate("a => a.scrollWidth <= a.clientWidth + 1")
    assert text.bounding_box() == box
    assert text.inner_text().rstrip("\n") == area.input_value()
    assert text.get_attribute("aria-hidden") == "true"
    fonts = "e => [getComputedStyle(e).font, getComputedStyle(e).lineHeight]"
    assert text.evaluate(fonts) == area.evaluate(fonts)


def test_what_happens_is_announced(lesson):
    assert lesson.locator(".live-status").get_attribute("role") == "status"
    described = lesson.locator("textarea").first.get_attribute("aria-describedby")
    assert "Escape" in lesson.locator(f"#{described}").inner_text()
    run(lesson, 1)
    group = lesson.get_by_role("group", name="Output of cell 1")
    assert group.inner_text().strip() == "6"


# Failures


def test_a_kernel_that_dies_is_told(lesson):
    pid = int(run(lesson, 1, "import os; print(os.getpid())"))
    set_code(lesson, 2, "mine = 1; print('on')\nimport time; time.sleep(60)")
    press(lesson, "Run (cell 2)")
    # A request that it has not read yet would be delivered to the new kernel.
    cell(lesson, 2).locator(".live-output", has_text="on").wait_for()
    os.kill(pid, signal.SIGKILL)
    warns(lesson, "The kernel died and was started anew")
    assert cell(lesson, 2).get_attribute("data-live") == "error"
    assert int(run(lesson, 1)) != pid
    assert "NameError" in run(lesson, 2, "mine")


def test_nothing_runs_before_outputs_can_be_heard(server, new_page):
    asked = []

    def deafen(page_side):
        """Pass on what the kernel shows only once the page has asked twice."""
        server_side = page_side.connect_to_server()

        def from_page(message):
            asked.append(json.loads(message)["header"]["msg_type"])
            server_side.send(message)

        def from_server(message):
            answer = json.loads(message)["channel"] != "iopub"
            if answer or asked.count("kernel_info_request") > 1:
                page_side.send(message)

        page_side.on_message(from_page)
        server_side.on_message(from_server)

    page = new_page(server)
    page.route_web_socket("**/channels?*", deafen)
    page.reload()
    go_live(page)
    assert run(page, 1) == "6"
    assert set(asked[:-1]) == {"kernel_info_request"}
    assert asked[-1] == "execute_request"


def test_a_server_that_stops_is_told_and_a_new_one_is_found(book, new_page):
    with serving(book / "html", book) as server:
        page, port = new_page(server), server.port
        go_live(page)
        set_code(page, 1, "mine = 1")
        run(page, 1)
    warns(page, "The server has stopped")
    says(page, "No kernel")
    press(page, "Run (cell 1)")
    says(page, "No kernel")
    warns(page, "make serve")
    with serving(book / "html", book, port) as server:
        if server.port != port:
            pytest.skip("another program has taken the port")
        press(page, "Run (cell 1)")
        warns(page, "does not know your browser")
        tab = page.context.new_page()
        tab.goto(f"{server.url}open?token={server.token}")
        assert run(page, 1, "print('back')") == "back"
        assert not page.locator(".live-message").is_visible()
        assert page.errors == []


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_browser_without_the_token_is_told_how_to_get_it(server, new_page, token):
    page = new_page(server, token=False)
    if token:
        page.goto(f"{server.url}open?token={token}")
        page.goto(f"{server.url}part/lesson.html")
    press(page, "Run this page’s code")
    warns(page, "Open the address with the token")
    assert page.locator("textarea").count() == 0
    assert page.get_by_role("button", name="Run this page’s code").is_enabled()


def test_too_many_kernels_are_told(book, new_page):
    with serving(book / "html", book, limit=1) as server:
        first = new_page(server)
        go_live(first)
        second = first.context.new_page()
        second.goto(server.url + "part/lesson.html")
        press(second, "Run this page’s code")
        warns(second, "All 1 kernels of this server are taken")
        first.goto(server.url)  # leaving a page ends its kernel
        wait_for_kernels(second, 0)
        go_live(second)


def test_an_idle_kernel_ends_but_not_a_busy_one(book, new_page):
    with serving(book / "html", book, idle_seconds=4) as server:
        page = new_page(server)
        go_live(page)
        set_code(page, 1, "import time; time.sleep(7); print('busy')")
        press(page, "Run (cell 1)")
        cell(page, 1).get_by_text("busy", exact=True).wait_for()
        warns(page, "nothing had run on it for long")
        wait_for_kernels(page, 0)
        assert run(page, 1, "print('again')") == "again"


def test_a_kernel_ends_whose_page_has_crashed(book, new_page):
    from playwright.sync_api import Error

    with serving(book / "html", book, abandoned_seconds=2) as server:
        page = new_page(server)
        other = page.context.new_page()
        other.goto(server.url)
        go_live(page)
        set_code(page, 1, "while True: pass")
        press(page, "Run (cell 1)")
        says(page, "Running cell 1")
        assert len(kernels(other)) == 1
        crashed = []
        page.on("crash", lambda page: crashed.append(page))
        with suppress(Error):
            page.goto("chrome://crash")
        wait_for_kernels(other, 0)
        assert crashed


def test_without_scripts_a_note_says_what_is_missing(server, new_page):
    page = new_page(server, token=False, java_script_enabled=False)
    assert "It needs JavaScript" in page.locator("article").inner_text()
    assert page.locator("button").count() == 0


@pytest.mark.parametrize("place", ["file", "http"])
def test_a_static_page_has_no_button_and_asks_for_nothing(book, browser, place):
    handler = partial(SimpleHTTPRequestHandler, directory=str(book / "html"))
    handler.log_message = lambda *_: None
    requests, page = [], browser.new_page()
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: requests.append(message.text))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as static:
        Thread(target=static.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{static.server_address[1]}"
        if place == "file":
            root = (book / "html").as_uri()
        page.goto(f"{root}/part/lesson.html")
        assert page.locator("button, noscript, [class^=live]").count() == 0
        page.close()
        static.shutdown()
    assert [url for url in requests if not url.startswith("data:")] == [
        f"{root}/part/lesson.html"
    ]


def held(server):
    """Return the open files, the memory in MB and the kernels of a server."""
    process = Path(f"/proc/{server.pid}")
    (line,) = [
        line
        for line in (process / "status").read_text().splitlines()
        if line.startswith("VmRSS:")
    ]
    kernels = (process / f"task/{server.pid}/children").read_text().split()
    return len(list((process / "fd").iterdir())), int(line.split()[1]) / 1000, kernels


def test_pages_opened_and_closed_leave_nothing_behind(book, new_page):
    """Twenty pages in turns, as many at once as there may be kernels."""
    # Where a page's farewell is lost, its kernel ends soon all the same.
    options = {"limit": AT_ONCE, "abandoned_seconds": 10}
    with serving(book / "html", book, **options) as server:
        page = new_page(server)
        found = []
        for _ in range(PAGES // AT_ONCE):
            opened = []
            for _ in range(AT_ONCE):
                other = page.context.new_page()
                other.goto(server.url + "part/lesson.html")
                go_live(other)
                assert run(other, 1) == "6"
                opened.append(other)
            assert len(kernels(page)) == len(held(server)[2]) == AT_ONCE
            for other in opened:
                other.close(run_before_unload=False)
            wait_for_kernels(page, 0, seconds=60)
            found.append(held(server))
        files, memory, left = zip(*found, strict=True)
        print(f"after {AT_ONCE} pages each: files {files}, megabytes {memory}")
        assert not any(left)
        assert max(files) <= files[0] + 5
        assert max(memory) <= memory[0] + 5


# The chapters


pages = pytest.mark.skipif(
    not (serve.HTML / "index.html").exists(), reason="no book here: run 'make book'"
)


def code_cells(path):
    """Return the code cells of a notebook."""
    notebook = json.loads(path.read_text("utf-8"))
    return [c for c in notebook["cells"] if c["cell_type"] == "code"]


@pages
def test_every_chapter_shows_every_cell_of_its_notebook(browser):
    find = """boxes => boxes.map(box =>
        box.querySelector(".cell_input pre").textContent.trimEnd())"""
    page = browser.new_page(java_script_enabled=False)
    built = 0
    for path in NOTEBOOKS:
        name = path.relative_to(serve.ROOT).with_suffix(".html")
        if (serve.HTML / name).is_file():
            page.goto((serve.HTML / name).as_uri())
            found = page.locator("article div.cell").evaluate_all(find)
            assert found == ["".join(c["source"]) for c in code_cells(path)], name
            built += 1
    page.close()
    assert built


#: A chapter that runs in a few seconds, with text, figures and Markdown.
QUICK = "book/language_models/text_and_sampling"

#: Where an editor's text does not lie on its colored copy.
UNDER = """area => {
    const copy = area.previousElementSibling;
    const ways = ["fontFamily", "fontSize", "lineHeight", "letterSpacing"];
    const styles = [getComputedStyle(area), getComputedStyle(copy.firstChild)];
    const faults = ways.filter(way => styles[0][way] != styles[1][way]);
    if (area.offsetParent && area.scrollHeight > area.clientHeight + 1)
        faults.push("too low");
    if (area.offsetParent && area.scrollWidth > area.clientWidth + 1)
        faults.push("too narrow");
    return faults;
}"""

COMPARE = """() => [...document.querySelectorAll("article div.cell")].map(cell => {
    const stored = cell.querySelector(".cell_output:not(.live-output)");
    const live = cell.querySelector(".live-output");
    if (stored) stored.hidden = false;
    const text = node => node ? node.innerText.replace(/#\\s*$/gm, "").trim() : "";
    const images = node => node ? node.querySelectorAll("img").length : 0;
    return [text(stored), text(live), images(stored), images(live)];
})"""


@pages
def test_a_chapter_run_live_shows_its_stored_outputs(new_page):
    with serving(serve.HTML) as server:
        page = new_page(server, f"{QUICK}.html", viewport={"width": 390, "height": 844})
        go_live(page)
        cells = code_cells(serve.ROOT / f"{QUICK}.ipynb")
        press(page, "Run all")
        page.locator(".live-status", has_text=f"{len(cells)} cells are done").wait_for(
            timeout=120000
        )
        figures = page.locator(".live-output img").evaluate_all(
            "images => images.map(i => decodeURIComponent(i.src.split(',')[1]))"
        )
        assert figures == [
            "".join(output["data"]["image/svg+xml"])
            for c in cells
            for output in c["outputs"]
            if "image/svg+xml" in output.get("data", {})
        ]
        for editor in page.locator("textarea").all():
            assert editor.evaluate(UNDER) == []
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390
        for stored, live, *images in page.evaluate(COMPARE):
            assert live == stored
            assert images[0] == images[1]
        assert page.errors == []
