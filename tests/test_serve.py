"""The book is served to this machine: its files, and nothing beside them."""

import http.client
import threading
from contextlib import contextmanager

import pytest
import serve


@pytest.fixture
def html(tmp_path):
    """Return a small book with a secret beside it."""
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "html"
    (folder / "_static").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>Book</h1>")
    (folder / "_static" / "live.js").write_text("1")
    return folder


@contextmanager
def serving(folder, port=0):
    """Serve a folder while the block runs; give the port."""
    with serve.make_server(port, folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def get(port, path):
    """Ask for a path as it is written; return the status, type and body."""
    connection = http.client.HTTPConnection(serve.HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read()
    finally:
        connection.close()


def test_pages_are_served(html):
    with serving(html) as port:
        page = (200, "text/html; charset=utf-8", b"<h1>Book</h1>")
        assert get(port, "/") == get(port, "/index.html") == page
        script = (200, "text/javascript; charset=utf-8", b"1")
        assert get(port, "/_static/live.js?v=1") == script


@pytest.mark.parametrize(
    "path",
    ["/missing.html", "/_static/", "/../secret.txt", "/%2e%2e/secret.txt"],
)
def test_nothing_else_is_served(html, path):
    with serving(html) as port:
        status, _, body = get(port, path)
    assert status == 404
    assert b"secret" not in body
    assert b"live.js" not in body


def test_a_missing_page_is_the_books_own(html):
    (html / "404.html").write_text("<h1>Lost</h1>")
    with serving(html) as port:
        answer = get(port, "/deep/down/missing.html")
    assert answer == (404, "text/html; charset=utf-8", b"<h1>Lost</h1>")


def test_only_this_machine_is_served(html):
    with serve.make_server(0, html) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_taken_port_gives_the_next_free_one(html):
    with serving(html) as taken, serving(html, taken) as port:
        assert taken < port < taken + serve.TRIES
        assert get(port, "/")[0] == 200
