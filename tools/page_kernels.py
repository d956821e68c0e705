"""Jupyter Server, cut down to the kernels of the book's pages.

Open are /api/kernels, to start, interrupt, restart, end and talk to a kernel;
/api/live, by which a page learns whether it may; and /open, to which the address
in the terminal leads. There are no files, terminals, extensions or settings of
the user's: whatever a person's own Jupyter allows, this server does not.
"""

import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_server.auth import IdentityProvider
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.connection.channels import (
    ZMQChannelsWebsocketConnection,
)
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from kernels import KERNEL_ARGUMENTS, kernel_environment, prepare_kernels
from tornado.web import HTTPError, authenticated
from traitlets import Int
from traitlets.config import Config

#: How many kernels run at once, and how long one lives that nobody uses. A chapter
#: takes 200 to 400 MB.
LIMIT = 8
IDLE_SECONDS = 3600
#: How long one lives whose page is gone without having said so.
ABANDONED_SECONDS = 120

TOO_MANY = (
    "All {limit} kernels of this server are taken by other pages. End one of them "
    "(the button End on a live page), or close a live page, and try again."
)


class CourseKernel(KernelSpecManager):
    """Knows one kernel: this Python, which is that of the project's .venv."""

    def get_kernel_spec(self, kernel_name):
        return KernelSpec(
            argv=[
                sys.executable,
                "-m",
                "ipykernel_launcher",
                "-f",
                "{connection_file}",
            ],
            display_name="Python 3 (ipykernel)",
            language="python",
        )


class PageKernels(AsyncMappingKernelManager):
    """Starts kernels as the notebooks' are started, not too many, and ends them."""

    limit = Int(LIMIT, config=True, help="How many kernels run at once.")
    abandoned_timeout = Int(
        ABANDONED_SECONDS, config=True, help="Seconds that one lives without a page."
    )

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._starting = 0
        self._alone_since = {}

    async def start_kernel(self, *, path=None, **asked):
        """Start a kernel in the folder of the notebook ``path``."""
        notebook = self.parent.notebook(path)
        if len(self) + self._starting >= self.limit:
            raise HTTPError(429, TOO_MANY.format(limit=self.limit))
        self._starting += 1
        try:
            await asyncio.to_thread(prepare_kernels)
            return await super()._async_start_kernel(
                kernel_name="python3",
                path=notebook.parent.relative_to(self.root_dir).as_posix(),
                # Bars erase themselves, so they may be seen where somebody looks.
                env=kernel_environment() | {"D2L_RNN_PROGRESS": "1"},
                extra_arguments=KERNEL_ARGUMENTS,
                stderr=subprocess.DEVNULL,
            )
        finally:
            self._starting -= 1

    async def cull_kernels(self):
        """End kernels that nobody needs, and free what closed pages have left.

        Pages, kernels and sockets refer to each other. Python would look for such
        circles only when a quarter of all its objects were new.
        """
        await super().cull_kernels()
        gc.collect()

    async def cull_kernel_if_idle(self, kernel_id):
        """End a kernel that has no page, even a busy one, or nothing to do."""
        now = time.monotonic()
        if self._kernel_connections.get(kernel_id):
            self._alone_since.pop(kernel_id, None)
        elif (
            now - self._alone_since.setdefault(kernel_id, now) > self.abandoned_timeout
        ):
            del self._alone_since[kernel_id]
            await self.shutdown_kernel(kernel_id, now=True)
            return
        await super().cull_kernel_if_idle(kernel_id)


class Doorkeeper(IdentityProvider):
    """Lets in who has the token, but no other site's page, token or not."""

    def should_check_origin(self, handler):
        return True


class Open(JupyterHandler):
    """The address with the token: remembers the browser and shows the book."""

    @allow_unauthenticated
    def get(self):
        if self.current_user:
            _ = self.xsrf_token  # sets the cookie that requests must repeat
        self.redirect("/")


class Live(APIHandler):
    """Says whether the browser may have kernels, and how many there can be."""

    @authenticated
    def get(self):
        _ = self.xsrf_token
        kernels = self.kernel_manager
        self.finish(json.dumps({"running": len(kernels), "limit": kernels.limit}))


class KernelServer(ServerApp):
    """A Jupyter Server of kernels and nothing else, without a port of its own."""

    default_services = ("kernels",)

    def load_config_file(self, suppress_errors=True):
        """Leave the user's own settings alone."""

    def migrate_config(self):
        """Write nothing into the user's folders."""

    def init_signal(self):
        """Leave the signals to whoever runs the event loop."""

    def notebook(self, path):
        """Return the file of a notebook of the book, the only place for a kernel."""
        notebook = (self.notebooks / (path or "")).resolve()
        if not (notebook.is_relative_to(self.notebooks) and notebook.is_file()):
            raise HTTPError(400, f"There is no notebook {path!r} in this book.")
        return notebook


def make_kernel_server(
    token,
    notebooks,
    *,
    limit=LIMIT,
    idle_seconds=IDLE_SECONDS,
    abandoned_seconds=ABANDONED_SECONDS,
):
    """Return the server of the kernels; its ``web_app`` answers the requests.

    Call it in a running event loop, and ``await stop_kernel_server(server)`` there.
    """
    folder = tempfile.TemporaryDirectory(prefix="d2l-rnn-")
    config = Config(
        ServerApp={
            "allow_unauthenticated_access": False,
            "extra_services": [],
            "kernel_manager_class": PageKernels,
            "kernel_spec_manager_class": CourseKernel,
            "identity_provider_class": Doorkeeper,
            "local_hostnames": ["localhost"],
            "log_level": "CRITICAL",
            "root_dir": str(notebooks),
            "tornado_settings": {
                "xsrf_cookie_kwargs": {"path": "/", "samesite": "Strict"},
            },
        },
        IdentityProvider={
            "token": token,
            "cookie_options": {"samesite": "Strict"},
        },
        MappingKernelManager={
            # Kept messages keep four sockets open when a page goes as its kernel ends.
            "buffer_offline_messages": False,
            "cull_connected": True,
            "cull_idle_timeout": idle_seconds,
            "cull_interval": max(1, min(30, idle_seconds // 2, abandoned_seconds // 2)),
        },
        PageKernels={"limit": limit, "abandoned_timeout": abandoned_seconds},
        KernelManager={"shutdown_wait_time": 2.0},
        KernelRestarter={"time_to_dead": 1.0},
    )
    server = KernelServer(
        config=config, runtime_dir=folder.name, config_dir=folder.name
    )
    server.folder, server.notebooks = folder, notebooks.resolve()
    server.initialize(argv=[], find_extensions=False, new_httpserver=False)
    server.web_app.add_handlers(".*", [("/open", Open), ("/api/live", Live)])
    return server


async def stop_kernel_server(server):
    """Hang up on the pages, end all kernels and remove what the server wrote."""
    for connection in list(ZMQChannelsWebsocketConnection._open_sockets):
        connection.websocket_handler.close(1001, "The server stops")
    with suppress(asyncio.TimeoutError):  # kernels end without their server, too
        await asyncio.wait_for(server._cleanup(), timeout=10)
    server.folder.cleanup()
