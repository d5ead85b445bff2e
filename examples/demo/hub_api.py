"""The hub's API, as any program would use it: over HTTP, with a bearer token from a file."""

from __future__ import annotations

from http.client import HTTPException
from typing import TYPE_CHECKING, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT = 5.0

_T = TypeVar("_T")


class HubError(RuntimeError):
    """The hub did not answer, or refused."""


class _Error(msgspec.Struct, frozen=True):
    message: str


class _Refusal(msgspec.Struct, frozen=True):
    """The hub's answer where it refuses."""

    error: _Error


class HubApi:
    """A hub at an address, and the file in which it left its first token."""

    def __init__(self, url: str, token_file: Path) -> None:
        self.url, self.token_file = url, token_file

    def get(self, path: str, kind: type[_T]) -> _T:
        """What is there, below /api/v1.

        Raises:
            HubError: no answer, or not what was expected.
        """
        return self._ask(path, None, kind)

    def post(self, path: str, body: object, kind: type[_T]) -> _T:
        """Have something done.

        Raises:
            HubError: no answer, or a refusal.
        """
        return self._ask(path, msgspec.json.encode(body), kind)

    def _ask(self, path: str, body: bytes | None, kind: type[_T]) -> _T:
        url = f"{self.url}/api/v1/{path}"
        try:
            headers = {"Authorization": f"Bearer {self.token_file.read_text().strip()}"}
            if body is not None:
                headers["Content-Type"] = "application/json"
            request = Request(url, body, headers)  # noqa: S310  # our own address
            with urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
                return msgspec.json.decode(response.read(), type=kind)
        except HTTPError as error:
            raise HubError(f"{url}: {_reason(error)}") from error
        except (OSError, HTTPException, msgspec.MsgspecError) as error:
            raise HubError(f"{url}: {error}") from error


def _reason(error: HTTPError) -> str:
    try:
        return msgspec.json.decode(error.read(), type=_Refusal).error.message
    except (OSError, HTTPException, msgspec.MsgspecError):
        return str(error)
