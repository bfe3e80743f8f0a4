"""Runs in the browser: a list of those below a folder, and each one's page, for this machine alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from agents.report.listing import listed, run_folders
from agents.report.page import environment, report_page
from agents.report.run import read_run
from n2n_gym.errors import InputError

HOST = "127.0.0.1"
"""Nobody else's machine reaches it."""

RUN = "/run/"
"""Below it is each run's page, at its folder's name as the list has it."""


class RunServer(ThreadingHTTPServer):
    """Serves the list of runs below a folder at `/`, and the page of each. Nothing else is served: no path of a file is.

    A page is made when it is asked for, so that it shows a run that is going on as it is.

    Args:
        root: The folder.
        port: Where it listens; 0 for any that is free.

    Raises:
        InputError: If there is no such folder, or the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, root: Path, port: int) -> None:
        if not root.is_dir():
            raise InputError(f"no folder at {root}; give the one that your runs are in")
        self.root = root.resolve()
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise InputError(f"port {port} cannot be had ({error}); give another by --port, 0 for any that is free") from None

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def listing(self) -> str:
        """The list's page."""
        entries = listed(self.root)
        return environment().get_template("browse.html").render(root=self.root, entries=entries, link=link)

    def page(self, name: str) -> str | None:
        """A run's page; None if the list has none of this name."""
        folders = {path.relative_to(self.root).as_posix(): path for path in run_folders(self.root)}
        return report_page([read_run(folders[name])]) if name in folders else None


def link(name: str) -> str:
    """Where a run's page is."""
    return RUN + quote(name, safe="")


class _Handler(BaseHTTPRequestHandler):
    server: RunServer

    def handle(self) -> None:
        """Answer, unless the reader has left meanwhile, as one does who does not wait for a long page."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        if self.headers.get("Host", "").partition(":")[0] not in (HOST, "localhost"):  # another site's name for this address
            self._send(HTTPStatus.FORBIDDEN, "asked for under another name")
            return
        path = urlsplit(self.path).path
        if path == "/":
            self._answer(self.server.listing)
        elif path.startswith(RUN):
            self._answer(lambda: self.server.page(unquote(path.removeprefix(RUN))))
        else:
            self._send(HTTPStatus.NOT_FOUND, "there is no such page")

    def _answer(self, make: Callable[[], str | None]) -> None:
        try:
            text = make()
        except (InputError, OSError) as error:  # a run that is going on may replace what is being read
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return
        if text is None:
            self._send(HTTPStatus.NOT_FOUND, "there is no such run")
        else:
            self._send(HTTPStatus.OK, text, "text/html")

    def _send(self, status: HTTPStatus, text: str, kind: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is said of each page that is looked at."""
