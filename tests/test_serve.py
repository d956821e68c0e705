"""The local server: the book's files for this machine, kernels for who may."""

import http.client
import json
import os
import re
import signal
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

from serving import serving

import nbformat
import pytest
import serve

COOKIE = re.compile(r"([^=; ]+)=([^;]+)")


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """Return a folder with a notebook, its page in html/, and a secret."""
    root = tmp_path_factory.mktemp("book")
    (root / "secret.txt").write_text("secret")
    html = root / "html"
    (html / "_static").mkdir(parents=True)
    (html / "part").mkdir()
    (html / "index.html").write_text("<h1>Book</h1>")
    (html / "_static" / "shown.js").write_text("1")
    lesson = "<html><head></head><body><h1>x</h1><article><h1>Title</h1></article>"
    for name in ("lesson", "about"):
        (html / "part" / f"{name}.html").write_text(lesson)
    (root / "part").mkdir()
    nbformat.write(nbformat.v4.new_notebook(), root / "part" / "lesson.ipynb")
    (html / "link.txt").symlink_to(root / "secret.txt")
    return root


@contextmanager
def in_thread(book, port=0):
    """Serve a book from this process while the block runs; give the server."""
    with serve.make_server(port, book / "html", notebooks=book) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server(book):
    """One server for the tests that change nothing in it."""
    with serving(book / "html", book, limit=1) as server:
        yield server


class Browser:
    """Asks a server as a browser would, with the cookies it was given."""

    def __init__(self, server):
        self.port, self.cookies = server.port, {}

    def ask(self, path, method="GET", body=None, **headers):
        """Return the status, the headers and the body of the answer."""
        connection = http.client.HTTPConnection(serve.HOST, self.port, timeout=30)
        if self.cookies:
            pairs = "; ".join(f"{name}={text}" for name, text in self.cookies.items())
            headers.setdefault("Cookie", pairs)
        headers = {name.replace("_", "-"): text for name, text in headers.items()}
        try:
            connection.request(method, path, body and json.dumps(body), headers)
            response = connection.getresponse()
            for line in response.headers.get_all("Set-Cookie") or []:
                self.cookies.update([COOKIE.match(line).groups()])
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def enter(self, token):
        """Come in by the address with the token; return where it leads."""
        while True:
            status, headers, _ = self.ask(f"/open?token={token}")
            if status != 307:  # it was still loading
                return status, headers["Location"]

    def post(self, path, body=None, **headers):
        """Post as the page's script does."""
        headers = {"X_XSRFToken": self.cookies.get("_xsrf", "")} | headers
        status, _, answer = self.ask(path, "POST", body, **headers)
        return status, json.loads(answer) if answer else None


@pytest.fixture
def browser(server):
    return Browser(server)


@pytest.fixture
def reader(server):
    """A browser that has come in by the token."""
    reader = Browser(server)
    assert reader.enter(server.token) == (302, "/")
    return reader


# The book


def test_pages_are_served(browser):
    status, headers, body = browser.ask("/")
    assert (status, body) == (200, b"<h1>Book</h1>")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert browser.ask("/index.html")[2] == body
    _, headers, script = browser.ask("/_static/shown.js?v=1")
    assert (headers["Content-Type"], script) == ("text/javascript; charset=utf-8", b"1")


def test_a_page_is_sent_again_only_when_it_has_changed(book, browser):
    page = book / "html" / "part" / "about.html"
    tag = browser.ask("/part/about.html")[1]["ETag"]
    assert browser.ask("/part/about.html", If_None_Match=tag)[0] == 304
    page.write_text(page.read_text() + " ")
    assert browser.ask("/part/about.html", If_None_Match=tag)[0] == 200


def test_large_pages_are_compressed(book, browser):
    (book / "html" / "large.html").write_text("word " * 1000)
    _, headers, body = browser.ask("/large.html", Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert len(body) < 1000


@pytest.mark.parametrize(
    "path",
    [
        "/missing.html",
        "/_static/",
        "/_static",
        "/part/",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/_static/..%2f..%2fsecret.txt",
        "/..%5csecret.txt",
        "//secret.txt",
        "//etc/passwd",
        "/link.txt",
        "/%00",
        "/" + "x" * 5000,
        "/live/",
        "/live/../serve.py",
        "/live/%2e%2e/serve.py",
    ],
)
def test_nothing_else_is_served(browser, path):
    status, _, body = browser.ask(path)
    assert status == 404
    assert b"secret" not in body
    assert b"shown.js" not in body
    assert b"import" not in body
    assert b"root:" not in body


def test_the_books_own_page_tells_what_is_missing(book, browser):
    page = book / "html" / "404.html"
    page.write_text("Not here")
    try:
        status, headers, body = browser.ask("/missing.html")
    finally:
        page.unlink()
    assert (status, body) == (404, b"Not here")
    assert headers["Content-Type"] == "text/html; charset=utf-8"


def test_only_the_page_of_a_notebook_is_made_live(browser):
    page = browser.ask("/part/lesson.html")[2].decode()
    assert page.count('data-notebook="part/lesson.ipynb"') == 1
    assert page.count("<noscript>") == 1
    assert "<article><h1>Title</h1><noscript>" in page
    other = browser.ask("/part/about.html")[2]
    assert b"live" not in other
    assert b"noscript" not in other
    for name in re.findall(r'"(/live/[^"]+)"', page):
        assert browser.ask(name)[0] == 200


def test_no_other_site_may_frame_a_page(browser):
    policy = browser.ask("/part/lesson.html")[1]["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy


# Who may come in


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", ""]
)
@pytest.mark.parametrize("path", ["/index.html", "/open", "/api/live", "/api/kernels"])
def test_another_name_for_this_machine_is_refused(reader, host, path):
    assert reader.ask(path, Host=f"{host}:{reader.port}")[0] in (400, 404)


def test_this_machine_has_two_names(reader):
    for host in ("127.0.0.1", "localhost"):
        assert reader.ask("/index.html", Host=f"{host}:{reader.port}")[0] == 200


def test_without_the_token_there_are_no_kernels(server):
    body = {"path": "part/lesson.ipynb"}
    for enter in (None, "", "wrong", server.token[:-1], server.token + "0"):
        stranger = Browser(server)
        if enter is not None:
            assert stranger.enter(enter) == (302, "/")
        assert stranger.cookies == {}
        assert stranger.ask("/api/live")[0] == 403
        assert stranger.ask("/api/kernels")[0] == 403
        stranger.cookies = {"_xsrf": "2|1|1|1"}
        assert stranger.post("/api/kernels", body)[0] == 403
        forged = {f"username-127-0-0-1-{stranger.port}": "2|1:0|10:1|4:name|4:eHg=|0"}
        stranger.cookies |= forged
        assert stranger.post("/api/kernels", body)[0] == 403


def test_the_cookies_stay_on_this_site(reader, server):
    _, headers, _ = Browser(server).ask(f"/open?token={server.token}")
    login, xsrf = headers.get_all("Set-Cookie")
    assert "SameSite=Strict" in login
    assert "SameSite=Strict" in xsrf
    assert "HttpOnly" in login
    assert server.token not in str(headers)


def test_a_request_must_repeat_its_cookie(reader):
    body = {"path": "part/lesson.ipynb"}
    for token in ("", "wrong"):
        assert reader.post("/api/kernels", body, X_XSRFToken=token)[0] == 403


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1:1", "null"]
)
def test_other_origins_are_refused(reader, server, origin):
    body = {"path": "part/lesson.ipynb"}
    assert reader.post("/api/kernels", body, Origin=origin)[0] == 404
    bearer = f"token {server.token}"
    for path in ("/api/live", "/api/kernels"):
        assert reader.ask(path, Origin=origin, Authorization=bearer)[0] == 404


def test_nothing_of_jupyter_is_open_but_kernels(reader):
    for path in (
        "/api/contents",
        "/api/contents/secret.txt",
        "/api/terminals",
        "/api/sessions",
        "/api/config/notebook",
        "/api/kernelspecs",
        "/api/shutdown",
        "/api/status",
        "/api/me",
        "/api/",
        "/files/secret.txt",
        "/nbconvert/html/part/lesson.ipynb",
        "/terminals/1",
        "/metrics",
        "/login",
        "/lab",
        "/tree",
    ):
        assert reader.ask(path)[0] == 404, path
        token = reader.cookies["_xsrf"]
        assert reader.ask(path, "POST", {}, X_XSRFToken=token)[0] == 405, path


# Kernels


def connect(reader, kernel, **headers):
    """Try to talk to a kernel; return the status of the answer."""
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec_WebSocket_Version": "13",
    }
    path = f"/api/kernels/{kernel}/channels?session_id=1"
    return reader.ask(path, **handshake, **headers)[0]


def test_a_kernel_is_for_a_notebook_and_for_who_may(reader):
    for path in (None, "", "part", "part/missing.ipynb", "../lesson.ipynb", "/etc"):
        status, answer = reader.post("/api/kernels", {"path": path})
        assert status == 400, path
        assert "no notebook" in answer["message"]
    status, kernel = reader.post("/api/kernels", {"path": "part/lesson.ipynb"})
    assert status == 201
    try:
        status, answer = reader.post("/api/kernels", {"path": "part/lesson.ipynb"})
        assert status == 429
        assert "All 1 kernels" in answer["message"]
        own = f"http://127.0.0.1:{reader.port}"
        assert connect(reader, kernel["id"], Origin=own) == 101
        assert connect(reader, kernel["id"], Origin="https://evil.example") == 403
        assert connect(reader, kernel["id"], Origin="http://127.0.0.1:1") == 403
        assert connect(reader, kernel["id"], Host="evil.example") == 404
        assert connect(reader, kernel["id"], Cookie="") == 403
        listed = json.loads(reader.ask("/api/kernels")[2])
        assert [model["id"] for model in listed] == [kernel["id"]]
    finally:
        token = reader.cookies["_xsrf"]
        path = f"/api/kernels/{kernel['id']}"
        assert reader.ask(path, "DELETE", X_XSRFToken=token)[0] == 204
    assert json.loads(reader.ask("/api/live")[2]) == {"running": 0, "limit": 1}


# The command


def test_a_taken_port_gives_the_next_free_one(book, command):
    with serving(book / "html", book, command.port) as second:
        assert command.port < second.port < command.port + serve.TRIES
        assert second.lines[0].startswith(f"Port {command.port} is taken")
        assert Browser(second).ask("/")[0] == 200


def test_no_free_port_is_said(book, command, monkeypatch):
    monkeypatch.setattr(serve, "TRIES", 1)
    with pytest.raises(OSError, match="no port is free"):
        serve.make_server(command.port, book / "html")


def test_a_thread_can_serve_too(book):
    with in_thread(book) as server:
        assert server.server_address[0] == "127.0.0.1"
        with urlopen(server.url) as answer:
            assert answer.read() == b"<h1>Book</h1>"


@pytest.fixture
def command(book):
    """A server of the test's own, which it may stop."""
    with serving(book / "html", book) as process:
        yield process


def start_kernel(process):
    """Start a kernel on a command's server; return the processes of both."""
    reader = Browser(process)
    assert reader.enter(process.token) == (302, "/")
    assert reader.post("/api/kernels", {"path": "part/lesson.ipynb"})[0] == 201
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def wait_until_gone(pids, seconds=10):
    """Wait until processes have ended; return those that have not."""
    end = time.monotonic() + seconds
    left = pids
    while left and time.monotonic() < end:
        time.sleep(0.1)
        left = [pid for pid in left if Path(f"/proc/{pid}").exists() and not dead(pid)]
    return left


def dead(pid):
    """Tell whether a process has ended, though nobody has asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
    except OSError:
        return True


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="no /proc here, as Linux has"
)


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_it_and_its_kernels(command, number):
    kernels = start_kernel(command)
    assert kernels
    command.send_signal(number)
    assert command.wait(20) == 0
    assert command.stdout.read().strip() == ""  # no traceback, no log
    assert wait_until_gone(kernels, 1) == []


def test_the_book_does_not_wait_for_jupyter(command):
    connection = http.client.HTTPConnection(serve.HOST, command.port, timeout=10)
    connection.request("GET", "/index.html")
    assert connection.getresponse().status == 200
    connection.close()
    command.send_signal(signal.SIGINT)
    assert command.wait(30) == 0


@needs_proc
def test_kernels_do_not_outlive_a_killed_server(command):
    kernels = start_kernel(command)
    os.kill(command.pid, signal.SIGKILL)
    command.wait(5)
    assert wait_until_gone(kernels) == []


def test_it_listens_on_loopback_only(command):
    others = {
        info[4][0]
        for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    }
    for address in others - {"127.0.0.1"}:
        with pytest.raises(OSError):  # noqa: PT011 (refused or unreachable)
            socket.create_connection((address, command.port), timeout=2).close()
