"""Screenshots: `make screenshots` runs the demo until its first model runs, and takes the pictures in docs/.

Chromium must be installed (Debian: apt-get install chromium); CHROMIUM names another one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from playwright.sync_api import TimeoutError, sync_playwright  # noqa: A004  # its own, which is not the built-in one

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

ROOT = Path(__file__).parents[1]
SHOTS = {"/": "console.png", "/models": "models.png"}
WIDTH, HEIGHT = 1200, 800
"""Pixels; a shorter page makes a shorter picture."""
LARGEST = 200_000
"""Bytes of a picture that may lie in the repository."""
MODEL_SECONDS = 180.0
"""For a first model to be trained, pushed and activated, on a busy machine."""
ALERTS_SECONDS = 60.0
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_CONSOLE = re.compile(r"^console (\S+) \(sign in as (\S+), with the password in (.+)\)")
_VERIFIED = re.compile(r"^pump: the agent has verified it")
_ATTENTION = '[data-attention]:not([data-attention="0"])'
_ALERTED = re.compile(r"^model .*version \d+ runs;.* with it: (?!none)")


class ScreenshotError(RuntimeError):
    """No picture was taken: says why."""


class Demo:
    """The demo as a process, and what it has said."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "examples.demo"],
            cwd=ROOT,
            env={**os.environ, "DEMO_FOLDER": str(folder), "DEMO_SECONDS": ""},
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        assert self._process.stdout is not None  # noqa: S101  # a pipe was asked for
        threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True).start()

    def _listen(self, output: IO[str]) -> None:
        for line in output:
            self._lines.append(line)
            print(line, end="", flush=True)

    def says(self, pattern: re.Pattern[str], seconds: float) -> re.Match[str] | None:
        """The first line that matches; None when none has come in time.

        Raises:
            ScreenshotError: the demo has ended.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self._lines:
                if (found := pattern.match(line)) is not None:
                    return found
            if self._process.poll() is not None:
                raise ScreenshotError("the demo has ended before there was anything to show")
            time.sleep(0.2)
        return None

    def stop(self) -> None:
        """End it as Ctrl-C does; it clears up behind itself."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()


def with_a_model(demo: Demo) -> tuple[str, str, str]:
    """(address of the console, user, password) once the demo's agent runs a model, and maybe has alerted by it.

    Raises:
        ScreenshotError: it does not come to that.
    """
    console = demo.says(_CONSOLE, MODEL_SECONDS)
    if console is None or demo.says(_VERIFIED, MODEL_SECONDS) is None:
        raise ScreenshotError(f"no model runs after {MODEL_SECONDS:.0f} s")
    demo.says(_ALERTED, ALERTS_SECONDS)
    return console[1], console[2], Path(console[3]).read_text().strip()


def take(page: Page, url: str, user: str, password: str, folder: Path) -> None:
    """Sign in, and take every picture.

    Raises:
        ScreenshotError: a picture is too large, or there was no alert to show.
    """
    page.goto(f"{url}/login")
    page.fill("#user", user)
    page.fill("#password", password)
    page.click("button[type=submit]")
    page.wait_for_url(f"{url}/")
    for path, name in SHOTS.items():
        page.goto(url + path)
        if path == "/":
            _await_attention(page)
        page.wait_for_load_state("networkidle")
        height = min(HEIGHT, int(page.evaluate("document.body.getBoundingClientRect().bottom")))
        picture = page.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
        if len(picture) > LARGEST:
            raise ScreenshotError(f"{name}: {len(picture)} bytes, more than {LARGEST}")
        (folder / name).write_bytes(picture)
        print(f"{folder / name}: {len(picture)} bytes")


def _await_attention(page: Page) -> None:
    """An alert that is open shows most; the page refreshes itself."""
    try:
        page.wait_for_selector(_ATTENTION, timeout=1000.0 * ALERTS_SECONDS)
        page.locator("summary").first.click()
    except TimeoutError as error:
        raise ScreenshotError(f"no alert was open on the console within {ALERTS_SECONDS:.0f} s") from error


def main() -> int:
    """Run the demo and take the pictures; returns the exit code."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        print("screenshots: there is no chromium here (Debian: apt-get install chromium)", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="vedette-") as folder:
        demo = Demo(Path(folder) / "demo")
        try:
            url, user, password = with_a_model(demo)
            with sync_playwright() as playwright:
                # Chromium's sandbox refuses to run as root, as in a container
                arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
                browser = playwright.chromium.launch(executable_path=program, args=arguments)
                size: ViewportSize = {"width": WIDTH, "height": HEIGHT}
                page = browser.new_page(viewport=size, color_scheme="light", locale="en-GB", timezone_id="UTC")
                take(page, url, user, password, ROOT / "docs")
                browser.close()
        except ScreenshotError as error:
            print(f"screenshots: {error}", file=sys.stderr)
            return 1
        finally:
            demo.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
