"""`vedette-hub enroll`, `group`, `key`: who belongs to the fleet, and whom gateways obey."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vedette_hub.command_line import config_option, load_config, note, reported
from vedette_hub.errors import HubError
from vedette_models import topics

if TYPE_CHECKING:
    from vedette_hub.fleet.enrolment import Enrolment

PASSWORD_FILE, KEY_RING_FILE, BROKER_FILE = "hub.password", "keyring", "broker.passwd"


@click.command()
@click.argument("gateway")
@click.option("--out", type=click.Path(path_type=Path), help="Write the files there too, readable for you only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@config_option
@reported
def enroll(gateway: str, out: Path | None, *, as_json: bool, path: Path | None) -> None:
    """Make GATEWAY known: a user for the broker, its password (shown this once), and the key ring it needs.

    Enrolling it again makes a new password; the old one counts until the broker has the new line.
    """
    from vedette_hub import hub, state
    from vedette_hub.fleet import enrolment
    from vedette_hub.store.database import writing

    config = load_config(path)
    engine = hub.open_database(config)
    if enrolment.prepare_signing_key(config.state_dir, engine) is None:
        raise HubError("a gateway enrolled now could follow no order: see above")
    key = state.signing_key(config.state_dir)
    own = topics.encode(config.broker.username or enrolment.HUB_USER)
    with writing(engine) as connection:
        made = enrolment.enroll(engine, key, gateway, time.time(), own)
        note(connection, "gateway.enroll", gateway, "" if made.new else "another password")
    if out is not None:
        _write(out, PASSWORD_FILE, made.password + "\n")
        _write(out, KEY_RING_FILE, made.key_ring)
        _write(out, BROKER_FILE, made.password_line + "\n")
    if as_json:
        click.echo(json.dumps(asdict(made)))
        return
    click.echo(_instructions(made, out))


@click.command()
@click.argument("gateway")
@click.argument("name", default="")
@config_option
@reported
def group(gateway: str, name: str, path: Path | None) -> None:
    """Put GATEWAY into the group NAME, which orders can be given to; without NAME, take it out of its group."""
    from vedette_hub import hub
    from vedette_hub.fleet import groups
    from vedette_hub.store.database import writing

    engine = hub.open_database(load_config(path))
    with writing(engine) as connection:
        groups.assign(engine, gateway, name)
        note(connection, "gateway.group", gateway, f"group {name!r}")
    click.echo(
        f"Gateway {gateway!r} is in group {name!r}." if name else f"Gateway {gateway!r} is in no group.", err=True
    )


@click.group()
def key() -> None:
    """The signing key: whom gateways obey."""


@key.command("ring")
@config_option
@reported
def show_key_ring(path: Path | None) -> None:
    """Print the key ring for gateways: the file that `models.key_ring` in agent.toml names."""
    from vedette_hub import state
    from vedette_hub.fleet import enrolment

    click.echo(enrolment.key_ring_text(state.signing_key(load_config(path).state_dir)), nl=False)


@key.command("new")
@click.option("--replace", is_flag=True, help="Also when there is a key; it is kept beside the new one.")
@config_option
@reported
def new_key(*, replace: bool, path: Path | None) -> None:
    """Make a signing key, because the old one is lost for good or was stolen.

    Gateways go on running what they run, and refuse every new order until their key ring has the new key: copy what
    `vedette-hub key ring` prints to each of them. Then restart the hub: it signs everything again.
    """
    from vedette_hub import hub, state
    from vedette_hub.fleet import enrolment
    from vedette_hub.store.database import writing

    config = load_config(path)
    state_dir = config.state_dir
    if (state_dir / state.SIGNING_KEY_FILE).exists() and not replace:
        raise HubError(f"{state_dir / state.SIGNING_KEY_FILE}: there is a signing key; --replace replaces it")
    state.prepare(state_dir)
    old = enrolment.replace_signing_key(state_dir)
    with writing(hub.open_database(config)) as connection:
        note(connection, "key.new", detail="the old one is kept beside it" if old is not None else "")
    if old is not None:
        click.echo(f"The old key is kept as {old}.", err=True)
    click.echo("The key ring that every gateway needs now; then restart the hub:", err=True)
    click.echo(enrolment.key_ring_text(state.signing_key(state_dir)), nl=False)


@key.command("rotate")
@click.option("--key-rings-renewed", is_flag=True, help="Every gateway's key ring has the present key.")
@config_option
@reported
def rotate_key(*, key_rings_renewed: bool, path: Path | None) -> None:
    """Make a new signing key that gateways follow by themselves, since the old one says so.

    Then restart the hub: it signs everything again. Gateways that are away follow when they are back. The old key
    counts, too, until it is revoked: `vedette-hub key revoke`.
    """
    from vedette_hub import hub
    from vedette_hub.fleet import enrolment, key_change

    config = load_config(path)
    engine = hub.open_database(config)
    made = key_change.rotate(
        config.state_dir, engine, time.time(), remark=enrolment.REMARK, rings_renewed=key_rings_renewed
    )
    click.echo(f"The signing key is {made.new}; key {made.old} is kept as {made.kept}.", err=True)
    click.echo(f"Restart the hub. Once gateways follow the new key: vedette-hub key revoke {made.old}", err=True)


@key.command("revoke")
@click.argument("key_id", metavar="KEY-ID")
@config_option
@reported
def revoke_key(key_id: str, path: Path | None) -> None:
    """Have gateways follow KEY-ID no more, although it is in their key ring; the present key says so.

    It goes out with every manifest from now on; a gateway that is away obeys KEY-ID until it is back.
    """
    import re

    from vedette_hub import hub, state
    from vedette_hub.fleet import key_change

    if not re.fullmatch("[0-9a-f]{16}", key_id):
        raise click.UsageError(f"{key_id!r} is no key id: 16 hexadecimal digits, the second word in a key ring's line")
    config = load_config(path)
    engine = hub.open_database(config)
    key_change.revoke(engine, state.signing_key(config.state_dir), key_id, time.time())
    click.echo(f"Key {key_id} is revoked: every manifest says so from now on.", err=True)


def _instructions(made: Enrolment, out: Path | None) -> str:
    where = f" (also in {out})" if out else ""
    known = "" if made.new else "This gateway was known already; what follows replaces its password.\n\n"
    access = "".join(f"     {line}\n" for line in made.access_lines.splitlines())
    ring = "".join(f"     {line}\n" for line in made.key_ring.splitlines())
    return f"""{known}Gateway {made.gateway!r}: three things to copy{where}. The password is shown this once.

1. At the hub's broker: add this line to /etc/mosquitto/hub.passwd (in place of an older one that begins alike), then
   `sudo systemctl reload mosquitto`:

     {made.password_line}

   The shipped hub.acl gives this user what it needs. A broker without its patterns wants, in its access list:

{access}
2. On the gateway, in /etc/vedette/hub.password (owner root, mode 600):

     {made.password}

   and in /etc/vedette/keyring:

{ring}
3. On the gateway, in agent.toml:

     [gateway]
     id = {json.dumps(made.gateway, ensure_ascii=False)}

     [hub]
     url = "mqtts://THIS-HUB:8883"
     username = {json.dumps(made.username)}
     password_file = "/etc/vedette/hub.password"

     [models]
     key_ring = "/etc/vedette/keyring"
"""


def _write(folder: Path, name: str, text: str) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except OSError as error:
        raise HubError(f"{folder / name}: {error.strerror}") from error
