"""Serve the built book to this machine.

Usage: ``python tools/serve.py [PORT]``. Where PORT is taken, the next free one
is used. Stop it with Ctrl-C.
"""

import argparse
import errno
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "127.0.0.1"
HTML = Path(__file__).resolve().parent.parent / "_build" / "html"
TRIES = 100


class BookHandler(SimpleHTTPRequestHandler):
    """Hand out the book's files, but no listings of its folders."""

    # Named here, since the system's own table may miss or mistake them.
    extensions_map = {  # noqa: RUF012 (the base class's own attribute)
        **SimpleHTTPRequestHandler.extensions_map,
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".mjs": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
        ".txt": "text/plain; charset=utf-8",
        ".wasm": "application/wasm",
        ".woff2": "font/woff2",
    }

    def list_directory(self, path):
        """Refuse to list a folder without an index page."""
        self.send_error(404, "File not found")

    def send_error(self, code, message=None, explain=None):
        """Answer with the book's own page where there is no such page."""
        page = Path(self.directory) / "404.html"
        if code != 404 or not page.is_file():
            super().send_error(code, message, explain)
            return
        body = page.read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", self.extensions_map[".html"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def end_headers(self):
        """Have browsers ask again, so that a rebuilt page is seen."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format, *args):
        """Keep the terminal quiet."""


class BookServer(ThreadingHTTPServer):
    """A server that does not mind a browser that hangs up."""

    def handle_error(self, request, client_address):
        """Report errors, except a closed connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def make_server(port, folder=HTML):
    """Return a server of ``folder`` at ``port`` or the next free one after it."""
    handler = partial(BookHandler, directory=str(folder))
    last = min(port + TRIES, 65536) - 1 if port else 0
    for candidate in range(port, last + 1):
        try:
            return BookServer((HOST, candidate), handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
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
        server = make_server(wanted)
    except OSError as error:
        sys.exit(f"Cannot serve at port {wanted}: {error.strerror}.")
    with server:
        port = server.server_address[1]
        if wanted not in (0, port):
            print(f"Port {wanted} is taken, so the book is at {port}.")
        print(f"The book is at http://{HOST}:{port}/ (Ctrl-C stops it).", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
