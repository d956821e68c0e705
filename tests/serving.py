"""A server of the book as a process of its own, as readers run it."""

import re
import subprocess
import sys
import time
from contextlib import contextmanager

import serve

COMMAND = """\
import functools, sys
from pathlib import Path
sys.path.insert(0, {tools!r})
import serve
serve.HTML, serve.ROOT = Path({html!r}), Path({notebooks!r})
serve.make_server = functools.partial(serve.make_server, **{limits!r})
serve.main()
"""


class Process(subprocess.Popen):
    """The command behind ``make serve``: what it prints, and when."""

    def __init__(self, html, notebooks, port=0, **limits):
        tools = str(serve.ROOT / "tools")
        names = {"html": str(html), "notebooks": str(notebooks), "limits": limits}
        code = COMMAND.format(tools=tools, **names)
        begin = time.perf_counter()
        super().__init__(
            [sys.executable, "-W", "error", "-c", code, str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = [self.stdout.readline()]
        while "token=" not in self.lines[-1] and self.lines[-1]:
            self.lines.append(self.stdout.readline())
        self.seconds = time.perf_counter() - begin
        address = re.compile(r"(http://127\.0\.0\.1:(\d+)/)open\?token=(\w+)")
        self.url, port, self.token = address.search(self.lines[-1]).groups()
        self.port = int(port)


@contextmanager
def serving(html, notebooks=serve.ROOT, port=0, **limits):
    """Run a server while the block runs; give its process."""
    process = Process(html, notebooks, port, **limits)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
