"""A real gunicorn: HTTPS with a certificate of one's own, and what a proxy may say about whom it speaks for."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.hub import people
from tests.hub.gateway import wait_for
from vedette_hub.cli import main
from vedette_hub.config import Config
from vedette_hub.errors import ConfigurationError
from vedette_hub.hub import WEB_COMMAND, open_database
from vedette_hub.web import server
from vedette_hub.web.tls import Certificate


def make_certificate(folder: Path, name: str, words: str = "") -> tuple[Path, Path]:
    """(certificate, key) for this machine, signed by itself."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"),
            *("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key)),
            *("-out", str(certificate), *(("-passout", f"pass:{words}") if words else ("-nodes",))),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@contextmanager
def serving(folder: Path, **web: Any) -> Iterator[tuple[int, Config]]:
    """The web server's process on a free port."""
    config = Config.model_validate({"hub": {"state_dir": str(folder / "state")}, "web": web})
    engine = open_database(config)
    people.add(engine, "ana", "admin")
    engine.dispose()
    listener = server.listen("127.0.0.1", 0)
    child = server.start(WEB_COMMAND, listener, config.model_dump_json())
    try:
        yield listener.getsockname()[1], config
    finally:
        server.stop(child)
        listener.close()


def ask(
    port: int,
    path: str,
    headers: dict[str, str] | None = None,
    *,
    trusting: Path | None = None,
    body: str | None = None,
) -> http.client.HTTPResponse:
    connection: http.client.HTTPConnection
    if trusting is not None:
        context = ssl.create_default_context(cafile=str(trusting))
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET" if body is None else "POST", path, body, headers or {})
    return connection.getresponse()


def sign_in(port: int, headers: dict[str, str], **how: Any) -> http.client.HTTPResponse:
    form = ask(port, "/login", headers, **how)
    cookie = form.headers["Set-Cookie"].split(";")[0]
    token = people.csrf_token(form.read().decode())
    body = f"user=ana&password={people.PASSWORD.replace(' ', '+')}&csrf_token={token}"
    sent = {**headers, "Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    return ask(port, "/login", sent, body=body, **how)


def test_it_serves_https_alone_and_takes_up_a_renewed_certificate(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "first")
    with serving(tmp_path, certificate=str(certificate), key=str(key)) as (port, _):
        assert json.load(ask(port, "/health", trusting=certificate))["database"] == "ok"
        answer = sign_in(port, {"Origin": f"https://127.0.0.1:{port}"}, trusting=certificate)
        assert answer.status == 303
        assert "Secure" in answer.headers["Set-Cookie"]
        refused = sign_in(port, {"Origin": f"http://127.0.0.1:{port}"}, trusting=certificate)
        assert refused.status == 403
        with pytest.raises((http.client.HTTPException, OSError)):
            ask(port, "/health")

        certificate.write_text("half a certificate")
        key.write_text("half a key")
        new_certificate, new_key = make_certificate(tmp_path, "second")
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(port, "/health", trusting=new_certificate)  # the old one goes on meanwhile
        key.write_bytes(new_key.read_bytes())
        certificate.write_bytes(new_certificate.read_bytes())
        assert ask(port, "/health", trusting=new_certificate).status == 200


def test_a_client_that_never_ends_its_handshake_does_not_keep_others_waiting(
    tmp_path: Path,
) -> None:
    certificate, key = make_certificate(tmp_path, "first")
    with serving(tmp_path, certificate=str(certificate), key=str(key), threads=2) as (port, _):
        assert ask(port, "/health", trusting=certificate).status == 200
        dawdlers = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        for dawdler in dawdlers:
            dawdler.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a hello
        wait_for(lambda: _answers(port, certificate), "others are served again", seconds=60.0)
        for dawdler in dawdlers:
            dawdler.close()


def _answers(port: int, certificate: Path) -> bool:
    try:
        return ask(port, "/health", trusting=certificate).status == 200
    except OSError:
        return False


def test_a_proxy_is_believed_as_far_as_it_was_said_and_no_further(tmp_path: Path) -> None:
    forwarded = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "hub.example.org"}
    outside = {**forwarded, "Origin": "https://hub.example.org"}
    with serving(tmp_path / "none") as (port, config):
        assert sign_in(port, outside).status == 403
        assert sign_in(port, {**forwarded, "Origin": f"http://127.0.0.1:{port}"}).status == 303
        assert addresses(config) == ["127.0.0.1"]
    with serving(tmp_path / "one", proxy_hops=1, secure_cookies=True) as (port, config):
        assert sign_in(port, outside).status == 303
        # What the client says itself stands further left, and counts for nothing.
        assert sign_in(port, {**outside, "X-Forwarded-For": "127.0.0.1, 198.51.100.1, 192.0.2.8"}).status == 303
        assert sign_in(port, {**outside, "Origin": "http://hub.example.org"}).status == 403
        assert addresses(config) == ["192.0.2.8", "192.0.2.7"]


def addresses(config: Config) -> list[str]:
    """Where those who signed in came from, the newest first."""
    from vedette_hub.store import audit
    from vedette_hub.store.audit import AuditFilter
    from vedette_hub.store.database import reading

    engine = open_database(config)
    with reading(engine) as connection:
        found = audit.list_entries(connection, AuditFilter(action="session.begin"), limit=10)
    engine.dispose()
    return [stored.entry.address for stored in found]


def test_a_certificate_that_cannot_be_used_says_so_before_the_hub_starts(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "first")
    _, other_key = make_certificate(tmp_path, "second")
    locked, locked_key = make_certificate(tmp_path, "locked", "secret words")
    assert Certificate(str(certificate), str(key)).context() is not None
    for pair, words in (
        ((certificate, other_key), "do they belong together"),
        ((key, certificate), "do they belong together"),
        ((locked, locked_key), "has a password"),
        ((tmp_path / "none.pem", key), "No such file"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            Certificate(str(pair[0]), str(pair[1])).context()
    config = tmp_path / "hub.toml"
    config.write_text('[web]\ncertificate = "first.pem"\nkey = "second.key"\n')
    checked = CliRunner().invoke(main, ["config", "check", "--config", str(config)])
    assert (checked.exit_code, "do they belong together" in checked.stderr) == (2, True)
    config.write_text('[web]\ncertificate = "first.pem"\n')
    checked = CliRunner().invoke(main, ["config", "check", "--config", str(config)])
    assert (checked.exit_code, "web.certificate: needs key as well" in checked.stderr) == (2, True)
