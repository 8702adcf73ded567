"""A headless Chromium for tests: it opens a page, tells what the page did, and can be asked.

It speaks the DevTools protocol over two pipes, so nothing is installed beside the browser and no
port is opened. WebGL is drawn in software. Everything that the page says on the console, every
exception and every address that it asks for is kept.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Browser", "chromium"]

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    *("--ignore-gpu-blocklist", "--force-device-scale-factor=1", "--remote-debugging-pipe"),
]
PATIENCE_S = 180.0
"""For one answer: a busy machine draws WebGL in software slowly."""


def chromium() -> str | None:
    """The browser's program, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page in one browser; a context manager.

    Attributes:
        errors: of the console, of scripts, and of what could not be loaded.
        addresses: everything that was asked for, in order.
    """

    def __init__(self, width: int = 1200, height: int = 900) -> None:
        program = chromium()
        assert program, f"There is no Chromium here ({', '.join(NAMES)}): install the package"
        self.errors: list[str] = []
        self.addresses: list[str] = []
        self._size, self._number, self._rest = (width, height), 0, b""
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        # The browser reads its orders from descriptor 3 and answers on 4.
        script = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        own = [f"--user-data-dir={self._profile.name}", f"--window-size={width},{height}"]
        self._process = subprocess.Popen(
            ["bash", "-c", script, program, *FLAGS, *own, "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._session: str | None = None
        self._loaded = False

    def __enter__(self) -> Browser:
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        os.close(self._in)
        self._profile.cleanup()

    def open(self, place: Path | str, ready: str) -> None:
        """Open a file or an address and wait until the expression ``ready`` is true."""
        url = place if isinstance(place, str) else place.resolve().as_uri()
        self._load("Page.navigate", ready, url=url)

    def reload(self, ready: str) -> None:
        """Open what is open anew and wait until the expression ``ready`` is true."""
        self._load("Page.reload", ready)

    def _load(self, method: str, ready: str, **arguments: Any) -> None:
        self._loaded = False
        self.ask(method, **arguments)
        while not self._loaded:
            event = self._next()
            self._note(event.get("method", ""), event.get("params", {}))
        self.wait(ready)

    def wait(self, expression: str) -> None:
        """Wait until ``expression`` is true in the page."""
        end = time.monotonic() + PATIENCE_S
        while not self.value(f"Boolean({expression})"):
            assert time.monotonic() < end, (expression, self.errors)
            time.sleep(0.1)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives, as plain data."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def click(self, element: str) -> None:
        """Click on the middle of the element that a JavaScript expression gives."""
        box = "(({x, y, width, height}) => [x + width / 2, y + height / 2])"
        self.value(f"{element}.scrollIntoView({{block: 'center'}})")
        x, y = self.value(f"{box}({element}.getBoundingClientRect())")
        self.drag((x, y), (x, y))

    def press(self, key: str) -> None:
        """Press a key, by its name in JavaScript, and let it go."""
        more = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        codes = {"windowsVirtualKeyCode": 13} if key == "Enter" else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, **more, **codes)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, **codes)

    def keep_downloads(self, folder: Path) -> None:
        """Let what the page offers for download come to ``folder``."""
        self.ask("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder.resolve()))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press at ``start``, move to ``end`` and let go, in points of the window."""
        press = {"button": "left", "buttons": 1, "clickCount": 1}
        for kind, (x, y), more in (
            ("mouseMoved", start, {}),
            ("mousePressed", start, press),
            ("mouseMoved", end, press),
            ("mouseReleased", end, press),
        ):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def screenshot(self, path: Path, height: int | None = None) -> None:
        """Write what is seen as PNG; ``height`` points of the page, beyond the window too."""
        clip = {"x": 0, "y": 0, "width": self._size[0], "height": height or self._size[1]}
        taken = self.ask(
            "Page.captureScreenshot", captureBeyondViewport=True, clip={**clip, "scale": 1}
        )
        path.write_bytes(base64.b64decode(taken["data"]))

    def ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Send one order and return its answer; what happens meanwhile is noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": arguments}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer.get("method", ""), answer.get("params", {}))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], PATIENCE_S)
            part = os.read(self._in, 1 << 20) if ready else b""
            assert part, f"The browser says nothing any more ({self._process.poll()})"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, method: str, event: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(event["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "assert"):
            self.errors.append(json.dumps(event["args"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] == "error":
            self.errors.append(event["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.addresses.append(event["request"]["url"])
