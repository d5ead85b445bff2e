"""Certificates for brokers and clients, each with the fault that a test wants."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import NamedTuple

CONFIGURATION = """
[ca]
default_ca = here
[here]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
certificate = {ca}
private_key = {key}
default_md = sha256
policy = any
x509_extensions = extensions
[any]
commonName = supplied
[extensions]
subjectAltName = {names}
"""


class Pair(NamedTuple):
    """A certificate and its key, in PEM form."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; its own lies in `certificate`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self.certificate, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        _openssl(
            *_request(self._key, f"/CN={name}"), "-x509", "-days", "900", "-out", self.certificate,
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign",
        )  # fmt: skip

    def sign(self, name: str, *, days: int = 400, names: str = "DNS:localhost,IP:127.0.0.1") -> Pair:
        """A certificate that ends in so many days, which may be negative, and began two days before that or now."""
        made = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, configuration = self._folder / f"{name}.csr", self._folder / f"{name}.cnf"
        _openssl(*_request(made.key, f"/CN={name}"), "-out", request)
        (self._folder / "index").write_text("")
        configuration.write_text(
            CONFIGURATION.format(folder=self._folder, ca=self.certificate, key=self._key, names=names)
        )
        end = time.time() + days * 86_400
        _openssl(
            "ca", "-batch", "-notext", "-config", configuration, "-in", request, "-out", made.certificate,
            "-startdate", _date(min(time.time(), end) - 2 * 86_400), "-enddate", _date(end),
        )  # fmt: skip
        return made


def _date(moment: float) -> str:
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(moment))


def _request(key: Path, subject: str) -> list[object]:
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    return ["req", *curve, "-keyout", key, "-subj", subject]


def _openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
