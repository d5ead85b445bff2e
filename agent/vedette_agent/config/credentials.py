"""What proves to a broker who we are: passwords and TLS files, read from where the operator keeps them."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette_agent.config.problems import KeyPath, choices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette_agent.config.problems import Findings

PASSWORD_KEYS = ("password", "password_file", "password_credential")
MAX_PASSWORD_BYTES = 65_535
"""As long as MQTT allows."""
_CREDENTIALS = "CREDENTIALS_DIRECTORY"


class PasswordReader:
    """Reads the passwords that broker tables name; what is wrong with them goes to the findings."""

    def __init__(self, environment: Mapping[str, str], findings: Findings, *, outside_service: bool) -> None:
        self._folder = environment.get(_CREDENTIALS)
        self._findings = findings
        self._outside_service = outside_service

    def read(self, path: KeyPath, table: Mapping[str, Any]) -> str | None:
        """The password that the broker table at `path` names in one of three ways; None if it is not to be had."""
        given = [key for key in PASSWORD_KEYS if key in table]
        if len(given) > 1:
            self._findings.add((*path, given[1]), f"only one of {choices(given)} may be given, remove the others")
            return None
        if not given or not isinstance(table[given[0]], (str, Path)):
            return None
        key = given[0]
        if "username" not in table:
            self._findings.add((*path, key), "a password needs a username, add one to this table")
        if key == "password":
            return str(table[key])
        if key == "password_file":
            return _from_file((*path, key), Path(table[key]), self._findings, warn_if_public=True)
        return self._credential((*path, key), str(table[key]))

    def _credential(self, path: KeyPath, name: str) -> str | None:
        if "/" in name or name in ("", ".", ".."):
            self._findings.add(path, f'"{name}" is no name of a credential, use the one in LoadCredential=NAME:FILE')
        elif self._folder:
            return _from_file(path, Path(self._folder) / name, self._findings, warn_if_public=False)
        elif self._outside_service:
            self._findings.warn(path, "systemd hands this credential to the service only: not checked here")
        else:
            self._findings.add(
                path,
                f"there are no systemd credentials here ({_CREDENTIALS} is not set): put LoadCredential={name}:FILE "
                "into the unit and start the agent with systemctl, or use password_file",
            )
        return None


def check_tls(path: KeyPath, table: Mapping[str, Any], findings: Findings) -> None:
    """Report TLS files of the broker table at `path` that cannot be read, are of another kind, or do not fit."""
    files = {key: Path(table[key]) for key in ("ca_file", "cert_file", "key_file") if isinstance(table.get(key), Path)}
    url = table.get("url")
    if isinstance(url, str) and url.startswith(("mqtt://", "ws://")):
        for key in files:
            encrypted = url.replace("mqtt://", "mqtts://", 1).replace("ws://", "wss://", 1)
            findings.add((*path, key), f'is for TLS, and {url} is not encrypted: use "{encrypted}" or remove the key')
    for key, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if key in table and other not in table:
            findings.add((*path, key), f"needs {other} beside it, add it to this table")
    readable = {key: file for key, file in files.items() if _readable((*path, key), file, findings)}
    if ca_file := readable.get("ca_file"):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca_file)
        except (ssl.SSLError, ValueError) as error:
            findings.add((*path, "ca_file"), f"{ca_file} holds no certificate in PEM form ({_reason(error)})")
    if (cert_file := readable.get("cert_file")) and (key_file := readable.get("key_file")):
        try:
            # Without a password of ours OpenSSL would ask for one at the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert_file, key_file, password="")
        except (ssl.SSLError, ValueError) as error:
            findings.add(
                (*path, "cert_file"),
                f"{cert_file} and {key_file} are no certificate and its key in PEM form, without a pass phrase "
                f"({_reason(error)})",
            )


def _from_file(path: KeyPath, file: Path, findings: Findings, *, warn_if_public: bool) -> str | None:
    if not _readable(path, file, findings):
        return None
    with file.open("rb") as opened:
        data = opened.read(MAX_PASSWORD_BYTES + 2)
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if not data:
        findings.add(path, f"{file} is empty, write the password into it")
        return None
    if len(data) > MAX_PASSWORD_BYTES:
        findings.add(path, f"{file} is longer than the {MAX_PASSWORD_BYTES:,} bytes a password may have")
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        findings.add(path, f"{file} is not UTF-8 text")
        return None
    if warn_if_public and file.stat().st_mode & stat.S_IROTH:
        findings.warn(path, f"every user of this machine can read {file}: chmod o-r {file}")
    return text


def _readable(path: KeyPath, file: Path, findings: Findings) -> bool:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            findings.add(path, f"{file} is not a regular file")
            return False
        with file.open("rb") as opened:
            opened.read(1)
    except FileNotFoundError:
        findings.add(path, f"{file} does not exist, create it or correct the path")
    except PermissionError:
        findings.add(path, f"{file} may not be read by this user (permission denied), give its group read access")
    except OSError as error:
        findings.add(path, f"{file} cannot be read: {error.strerror}")
    else:
        return True
    return False


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error)
