"""Serve the built book and its kernels to this machine.

Usage: ``python tools/serve.py [PORT]``. Where PORT is taken, the next free one
is used. Stop it with Ctrl-C, which ends the kernels too.

One port answers for two applications. Whoever is on this machine may read the
book, which is files. Kernels are Jupyter Server's, of which nothing is open but
what a page needs, and only to a browser that came with the token printed here.
Loading Jupyter takes a second or two; the book does not wait for it.
"""

import argparse
import asyncio
import errno
import secrets
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path
from socket import create_server

from tornado.httpserver import HTTPServer
from tornado.routing import HostMatches, PathMatches, Rule, RuleRouter
from tornado.web import Application, RequestHandler

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
LIVE = Path(__file__).resolve().parent / "live"
TRIES = 100

#: Any other name for this machine could be another site's (DNS rebinding).
OWN_NAMES = r"(127\.0\.0\.1|localhost)$"

#: Named here, since the system's own table may miss or mistake them.
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".ipynb": "application/x-ipynb+json",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}

#: What makes a chapter's page live. A page that another server hands out, or
#: that is opened as a file, has none of it, and asks for none of it.
ASSETS = """\
<link rel="stylesheet" href="/live/live.css">
<script defer src="/live/live.js" data-notebook="{notebook}"></script>
</head>"""
WITHOUT_SCRIPTS = """\
<noscript><p class="live-message">Here would be a button that makes the code of \
this page run on your machine. It needs JavaScript, which is switched off.</p>\
</noscript>"""


class PageHandler(RequestHandler):
    """Hand out the book's files, but no listings of its folders."""

    def initialize(self, folder, notebooks=None):
        self.folder, self.notebooks = Path(folder).resolve(), notebooks

    def set_default_headers(self):
        """Have browsers ask again, so that a rebuilt page is seen."""
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Content-Security-Policy", "frame-ancestors 'none'")
        self.set_header("X-Content-Type-Options", "nosniff")

    def get(self, path):
        file = self.find(path)
        if file is None:
            self.send_error(404)
            return
        content_type = TYPES.get(file.suffix, "application/octet-stream")
        self.set_header("Content-Type", content_type)
        self.finish(self.content(file))

    head = get

    def find(self, path):
        """Return the file for a path, or None where the book has none."""
        try:
            file = (self.folder / path).resolve()
            if file.is_dir() and (not path or path.endswith("/")):
                file /= "index.html"
            found = file.is_relative_to(self.folder) and file.is_file()
        except (OSError, ValueError):  # a name too long, or with a zero byte
            return None
        return file if found else None

    def content(self, file):
        """Return a file's bytes; a chapter's page is made live."""
        notebook = self.notebook_of(file)
        if notebook is None:
            return file.read_bytes()
        page = file.read_text("utf-8")
        page = page.replace("</head>", ASSETS.format(notebook=notebook), 1)
        before, article, after = page.partition("<article")
        after = after.replace("</h1>", f"</h1>{WITHOUT_SCRIPTS}", 1)
        return before + article + after

    def notebook_of(self, file):
        """Return the name of the notebook that a page was made from, or None."""
        if self.notebooks is None or file.suffix != ".html":
            return None
        name = file.relative_to(self.folder).with_suffix(".ipynb")
        return name.as_posix() if (self.notebooks / name).is_file() else None

    def write_error(self, status_code, **kwargs):
        """Show the book's own page for what is not there."""
        page = self.folder / "404.html"
        if status_code == 404 and page.is_file():
            self.set_header("Content-Type", TYPES[".html"])
            self.finish(page.read_bytes())
        else:
            super().write_error(status_code, **kwargs)


class Waiting(RequestHandler):
    """Hold what is for the kernels until Jupyter is loaded, then send it on."""

    def initialize(self, loaded):
        self.loaded = loaded

    async def prepare(self):
        await self.loaded.wait()
        self.redirect(self.request.uri, status=307)


def load_jupyter():
    """Import what takes long."""
    # jsonschema would build a grammar of addresses, for which nothing here asks
    # and which takes longer than all the rest.
    sys.modules.setdefault("rfc3987_syntax", None)
    return import_module("page_kernels")


class Server:
    """The book in ``folder`` at one port, with kernels for its pages.

    A page can be made live where ``notebooks`` holds the notebook it was made from.
    """

    def __init__(self, socket, folder, notebooks=ROOT, **limits):
        self.socket, self.limits = socket, limits
        self.folder, self.notebooks = Path(folder), Path(notebooks)
        self.server_address = socket.getsockname()
        self.url = f"http://{HOST}:{self.server_address[1]}/"
        self.token = secrets.token_hex(24)
        self._running, self._ended = threading.Event(), threading.Event()
        self._loop, self._stop = None, None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.close()

    def serve_forever(self):
        """Answer until ``shutdown``, or until Ctrl-C in the main thread."""
        try:
            asyncio.run(self._serve())
        finally:
            self._ended.set()

    def shutdown(self):
        """End ``serve_forever`` in another thread, and wait until it has ended."""
        self._running.wait()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._ended.wait()

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._loop.add_signal_handler(number, self._stop.set)
        loaded = asyncio.Event()
        kernels = Rule(
            PathMatches(r"/(open|api/live|api/kernels(?:/.*)?)"),
            Application([(".*", Waiting, {"loaded": loaded})]),
        )
        rules = RuleRouter([kernels, (".*", self._book())])
        http = HTTPServer(RuleRouter([Rule(HostMatches(OWN_NAMES), rules)]))
        http.add_socket(self.socket)
        self._running.set()
        page_kernels = await asyncio.to_thread(load_jupyter)
        jupyter = page_kernels.make_kernel_server(
            self.token, self.notebooks, **self.limits
        )
        try:
            kernels.target = jupyter.web_app
            loaded.set()
            await self._stop.wait()
        finally:
            http.stop()
            await http.close_all_connections()
            await page_kernels.stop_kernel_server(jupyter)

    def _book(self):
        """Return the application that hands out files."""
        book = {"folder": self.folder, "notebooks": self.notebooks}
        return Application(
            [
                (r"/live/(.*)", PageHandler, {"folder": LIVE}),
                (r"/(.*)", PageHandler, book),
            ],
            compress_response=True,
            log_function=lambda handler: None,  # the terminal stays quiet
        )


def make_server(port, folder=HTML, **options):
    """Return a server of ``folder`` at ``port`` or the next free one after it."""
    last = min(port + TRIES, 65536) - 1 if port else 0
    for candidate in range(port, last + 1):
        try:
            socket = create_server((HOST, candidate), backlog=128)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            socket.setblocking(False)
            return Server(socket, folder, **options)
    raise OSError(errno.EADDRINUSE, f"no port is free from {port} to {last}")


def port_number(text):
    """Read a port from the command line.

    >>> port_number("8000")
    8000
    """
    if text.isdecimal() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"PORT must be a whole number from 0 (any free port) to 65535, got {text!r}"
    )


def main():
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serve the built book.")
    parser.add_argument("port", metavar="PORT", nargs="?", type=port_number)
    wanted = parser.parse_args().port
    wanted = 8000 if wanted is None else wanted
    if not (HTML / "index.html").is_file():
        sys.exit("There is no book to serve yet: 'make book' builds it.")
    try:
        server = make_server(wanted, HTML, notebooks=ROOT)
    except OSError as error:
        sys.exit(f"Cannot serve at port {wanted}: {error.strerror}.")
    with server:
        port = server.server_address[1]
        if wanted not in (0, port):
            print(f"Port {wanted} is taken, so the book is at {port}.")
        print(f"The book is at {server.url} (Ctrl-C stops it).")
        print(f"To run its code too, open {server.url}open?token={server.token}")
        sys.stdout.flush()
        server.serve_forever()
    print()


if __name__ == "__main__":
    main()
