"""A study on this machine: the page over HTTP on the loopback interface, answers into SQLite.

Every file that can be asked for is read and verified before the first request, and a request is
looked up among their names; so no path leads anywhere else. A page of another site that a visitor
has open may send requests here too, under a name of its own (DNS rebinding) or from its own origin:
such requests are refused by their ``Host`` and ``Origin``.
"""

from __future__ import annotations

import contextlib
import json
import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from maquette.errors import InputError, MaquetteError
from maquette.study.answers import answers_path, keep, parse, prepare
from maquette.study.plan import read_study

__all__ = ["HOST", "LARGEST_BODY_BYTES", "StudyServer"]

HOST = "127.0.0.1"
LARGEST_BODY_BYTES = 1 << 20
ANSWERS = "/answers"
_OWN_NAME = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".jpg": "image/jpeg",
}
_HEADERS = {
    # The page may do nothing but show its own files and send answers here.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class StudyServer(ThreadingHTTPServer):
    """Serves the study in a folder; ``serve_forever`` runs it until it is told to stop.

    Args:
        folder: as ``build_study`` made it. Answers are kept beside it.
        port: 0 for any free one.

    Raises:
        InputError: the folder is no study or damaged, or the port is taken.
        DiskError: answers cannot be kept there.
    """

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.study, files = read_study(folder)
        self.files = {f"/{name}": data for name, data in files.items()}
        self.files["/"] = self.files["/index.html"]
        self.answers = answers_path(folder)
        prepare(self.answers, self.study)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"Port {port} cannot be taken ({error})", "Leave --port away for a free one"
            ) from error

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks off is the visitor's own business."""


class _Handler(BaseHTTPRequestHandler):
    server: StudyServer
    timeout = 20
    """Seconds that a silent visitor may hold a thread."""

    def do_GET(self) -> None:
        if not self._is_ours():
            return
        # Exact names and nothing decoded: what is not among the files is not there.
        path = self.path.partition("?")[0]
        data = self.server.files.get(path)
        if data is None:
            self._tell(HTTPStatus.NOT_FOUND, error="There is no such page")
        else:
            suffix = Path(path).suffix or ".html"
            self._send(HTTPStatus.OK, data, _TYPES.get(suffix, "application/octet-stream"))

    def do_POST(self) -> None:
        body = self._body() if self._is_ours() else None
        if body is None:
            self._drain()
            return
        try:
            answers = parse(self.server.study, json.loads(body))
            keep(self.server.answers, self.server.study, answers)
        except (ValueError, RecursionError):
            self._tell(HTTPStatus.BAD_REQUEST, error="This is no JSON")
        except InputError as error:
            self._tell(HTTPStatus.BAD_REQUEST, error=str(error))
        except MaquetteError:
            # Which disk and why is for the owner; the page keeps the answers and tries again.
            self._tell(HTTPStatus.INSUFFICIENT_STORAGE, error="The answers could not be kept")
        else:
            self._tell(HTTPStatus.OK, kept=len(answers))

    def _is_ours(self) -> bool:
        """Whether the request was meant for this server; if not, it has been refused."""
        hosts = self.headers.get_all("Host", [])
        origins = self.headers.get_all("Origin", [])
        ours = len(hosts) == 1 and _OWN_NAME.fullmatch(hosts[0])
        if ours and all(origin == f"http://{hosts[0]}" for origin in origins):
            return True
        self._tell(HTTPStatus.FORBIDDEN, error="This server answers to its own name only")
        return False

    def _body(self) -> bytes | None:
        """The request's body; None where it has been refused."""
        length = self.headers.get("Content-Length", "")
        if self.path != ANSWERS:
            self._tell(HTTPStatus.NOT_FOUND, error="Answers go to another address")
        elif self.headers.get_content_type() != "application/json":
            self._tell(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, error="Answers are application/json")
        elif not re.fullmatch(r"[0-9]{1,18}", length):
            self._tell(HTTPStatus.LENGTH_REQUIRED, error="The request does not tell its length")
        elif int(length) > LARGEST_BODY_BYTES:
            self._tell(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error="The request is too large")
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                return body
            self._tell(HTTPStatus.BAD_REQUEST, error="The request broke off")
        return None

    def _drain(self) -> None:
        """Read some of what was refused: a line cut in the middle would hide why."""
        left = 4 * LARGEST_BODY_BYTES
        with contextlib.suppress(OSError):
            self.connection.settimeout(1.0)
            while left > 0 and (data := self.rfile.read1(1 << 16)):
                left -= len(data)

    def _tell(self, status: HTTPStatus, **facts: object) -> None:
        self._send(status, json.dumps(facts).encode(), "application/json")

    def _send(self, status: HTTPStatus, data: bytes, kind: str) -> None:
        self.send_response(status)
        pictures = "private, max-age=86400, immutable"  # They are named by what they show.
        cache = pictures if kind == _TYPES[".jpg"] else "no-store"
        own = {"Content-Type": kind, "Content-Length": str(len(data)), "Cache-Control": cache}
        for name, value in {**_HEADERS, **own}.items():
            self.send_header(name, value)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, POST")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses, in the same form and without the visitor's words."""
        self.command = getattr(self, "command", None) or ""
        status = HTTPStatus(code)
        if status == HTTPStatus.NOT_IMPLEMENTED:  # There is no do_<method> here.
            status = HTTPStatus.METHOD_NOT_ALLOWED
        self._tell(status, error="This request is not understood")

    def version_string(self) -> str:
        """Which Python runs here is nobody's business."""
        return "Maquette"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a log of requests would tell who took part when."""
