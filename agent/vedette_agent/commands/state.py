"""`vedette-agent status`, `outbox`, `forget`, `test-alert`: speak with the running agent through its state folder."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vedette_agent.clock import SYSTEM
from vedette_agent.commands.alert_rate import in_words
from vedette_agent.commands.options import config_option, json_option, load_or_exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vedette_agent.config import Config
    from vedette_agent.delivery.outbox import Outbox
    from vedette_models.messages import Alert, Restricted, Status

NOT_RUNNING = 3
"""Exit code: no agent runs on this state folder."""
POLL = 0.1


@click.command()
@config_option
@json_option
def status(config_path: Path, as_json: bool) -> None:
    """Say how the agent is: exit code 0 well, 1 with problems, 3 not running."""
    from vedette_agent import status as states
    from vedette_models.messages import MessageError

    config = load_or_exit(config_path, outside_service=True)
    try:
        found = states.read(config.gateway.state_dir)
    except (MessageError, OSError) as error:
        raise click.ClickException(f"{config.gateway.state_dir / states.FILE}: {error}") from None
    running = found is not None and found.online and time.time() - found.time < 3 * config.gateway.heartbeat + 5
    if as_json:
        click.echo(json.dumps({"running": running, **({} if found is None else _complete(found))}))
    elif found is None:
        click.echo(f"not running: no agent has used {config.gateway.state_dir} yet")
    else:
        for line in _describe(found, running):
            click.echo(line)
    sys.exit(NOT_RUNNING if not running or found is None else 1 if found.problems else 0)


def _complete(value: object) -> Any:
    """All fields, also those that a message leaves out at their default: programs should not have to know."""
    import msgspec

    if isinstance(value, msgspec.Struct):
        return {name: _complete(field) for name, field in msgspec.structs.asdict(value).items()}
    if isinstance(value, dict):
        return {name: _complete(field) for name, field in value.items()}
    if isinstance(value, list | tuple):
        return [_complete(one) for one in value]
    return value


def _describe(found: Status, running: bool) -> Iterator[str]:
    now = time.time()
    if running:
        yield f"gateway {found.gateway}: running for {_ago(found.started, now)}, version {found.version}"
    else:
        why = found.reason or "no farewell"
        yield f"gateway {found.gateway}: NOT RUNNING, last heard of {_ago(found.time, now)} ago ({why})"
    last = "nothing yet" if found.last_reading is None else f"last message {_ago(found.last_reading, now)} ago"
    silent = f", {found.silent} of them silent" if found.silent else ""
    yield f"ingest   {found.ingest}, {last}, {found.devices} devices{silent}"
    counters = found.counters
    yield (
        f"readings {counters.scored} scored, {counters.dead_letters} dead letters, {counters.duplicates} duplicates, "
        f"{counters.retained} retained"
    )
    if counters.dead_by_reason:
        reasons = sorted(counters.dead_by_reason.items(), key=lambda item: -item[1])
        yield f"dead     {', '.join(f'{count} {reason}' for reason, count in reasons)}"
    for one in found.restricted:
        yield f"device   {describe_restricted(one)}"
    yield f"alerts   {found.open_alerts} open, {counters.alerts} raised, {counters.suppressed} held back"
    for profile, rate in found.alert_rates.items():
        yield f"budget   {profile}: {in_words(rate)}"
    waiting = "empty" if found.outbox_rows == 0 else f"{found.outbox_rows} rows, {found.outbox_bytes} bytes"
    oldest = "" if found.outbox_oldest is None else f", the oldest {_ago(found.outbox_oldest, now)} old"
    yield f"outbox   {waiting}{oldest}; hub {found.hub}; {found.lost_rows} rows lost"
    if found.outbox_hours is not None:
        yield f"offline  the outbox lasts for {_hours(found.outbox_hours)} without the hub, as it is being filled now"
    if found.coalesced_rows:
        yield f"storms   {found.coalesced_rows} rows put together with others before they were sent"
    for problem in found.problems:
        yield f"problem  {problem}"


def _hours(hours: float) -> str:
    return f"{hours / 24:.0f} d" if hours >= 48 else f"{hours:.1f} h"


def describe_restricted(one: Restricted) -> str:
    """What is held against a device, in a line."""
    since = f"since {_when(one.since)} UTC"
    if one.state == "rate_limited":
        return f"{one.device}: sends more than limits.device_rate, {one.dead_letters} readings not taken {since}"
    if one.state == "probation":
        return f"{one.device}: on probation after {one.reason} {since}"
    until = "" if one.until is None else f", until {_when(one.until)} UTC"
    return f"{one.device}: in quarantine for {one.reason} {since}{until}, {one.dead_letters} messages not looked at"


def _ago(then: float, now: float) -> str:
    elapsed = max(0.0, now - then)
    for unit, length in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if elapsed >= 2 * length:
            return f"{elapsed / length:.0f} {unit}"
    return f"{elapsed:.0f} s"


@contextmanager
def _outbox(config: Config) -> Iterator[Outbox]:
    from vedette_agent.delivery import database
    from vedette_agent.delivery.database import OutboxError
    from vedette_agent.delivery.outbox import Outbox

    path = config.gateway.state_dir / database.FILE
    if not path.exists():
        raise click.ClickException(f"{path} does not exist: no agent has used {config.gateway.state_dir} yet")
    try:
        outbox = Outbox(
            path,
            config.gateway.id,
            config.outbox,
            to_hub=config.hub is not None,
            dead_letters=config.limits.dead_letters,
        )
    except OutboxError as error:
        raise click.ClickException(str(error)) from None
    try:
        yield outbox
    except OutboxError as error:
        raise click.ClickException(str(error)) from None
    finally:
        outbox.close()


@click.command()
@config_option
@json_option
@click.option("--limit", default=20, show_default=True, help="Newest entries of each kind.")
def outbox(config_path: Path, as_json: bool, limit: int) -> None:
    """Show what waits, what was alerted, and what could not be read."""
    import msgspec

    from vedette_agent import status as states

    config = load_or_exit(config_path, outside_service=True)
    with _outbox(config) as box:
        stats, pending = box.stats(), box.pending_hub(limit)
        history, dead = box.history(limit), box.dead_letters(limit)
    said = states.last(config.gateway.state_dir)
    # how fast it is being filled is known to the agent that fills it
    hours = said.outbox_hours if said is not None and said.online else None
    if as_json:
        answer = {
            "rows": stats.rows,
            "bytes": stats.bytes,
            "oldest": stats.oldest,
            "lost": stats.lost,
            "dead_letters": stats.dead_letters,
            "hours_left": hours,
            "set_aside": stats.set_aside,
            "waiting": [{"class": p.priority, "epoch": p.epoch, "sequence": p.sequence} for p in pending],
            "history": [msgspec.to_builtins(alert) for alert in history],
            "dead": [{**d._asdict(), "sample": d.sample.decode(errors="replace")} for d in dead],
        }
        click.echo(json.dumps(answer))
        return
    click.echo(
        f"{stats.rows} rows wait ({stats.bytes} bytes), {stats.lost} were lost, {stats.dead_letters} dead letters"
    )
    if hours is not None:
        click.echo(f"the outbox lasts for {_hours(hours)} without the hub, as it is being filled now")
    for name in stats.set_aside:
        click.echo(f"{name}: a damaged database, set aside; what had not reached the hub was lost with it")
    for alert in history:
        click.echo(f"{_when(alert.time)}  {alert.state:8}  {alert.severity:8}  {alert.device}: {alert.reason}")
    for letter in dead:
        click.echo(f"{_when(letter.time)}  dead letter  {letter.reason}  {letter.topic!r}: {letter.detail}")


@click.command()
@config_option
@click.option("--timeout", default=30.0, show_default=True, help="Seconds to wait for the agent.")
@click.argument("device")
def forget(config_path: Path, timeout: float, device: str) -> None:
    """Forget DEVICE: its alerts are cleared, what was learnt of it is dropped."""
    click.echo(answered(config_path, "forget", device, timeout, f"; it will forget {device!r} when it starts"))


def answered(config_path: Path, verb: str, argument: str, timeout: float, otherwise: str) -> str:
    """The running agent's answer to a request; without one, that it is not running is said, and the command ends."""
    answer = ask(load_or_exit(config_path, outside_service=True), verb, argument, timeout)
    if answer is None:
        click.echo(f"no answer within {timeout:.0f} s: the agent is not running{otherwise}")
        sys.exit(NOT_RUNNING)
    return str(answer)


def ask(config: Config, verb: str, argument: str, timeout: float) -> object:
    """Leave a request for the running agent; its answer, or None when none came in time (it then finds it later)."""
    from vedette_agent.delivery.requests import Requests

    with _outbox(config) as box:
        requests = Requests(box.database)
        request = requests.ask(verb, argument, time.time())
        return _wait(lambda: requests.answer_of(request), timeout)


@click.command("test-alert")
@config_option
@json_option
@click.option("--timeout", default=30.0, show_default=True, help="Seconds to wait for each step.")
def test_alert(config_path: Path, as_json: bool, timeout: float) -> None:
    """Send a test alert the whole way: outbox, devices' broker, hub's broker, hub, receipt."""
    from vedette_agent.reading.effects import Effects

    config = load_or_exit(config_path, outside_service=True)
    steps: dict[str, float | None] = {}
    with _outbox(config) as box:
        started = time.time()
        box.commit(Effects(alerts=_test_alerts(config, box.epoch, started)), started)
        steps["committed"] = time.time() - started
        _say(as_json, f"committed to the outbox after {steps['committed']:.2f} s")
        sinks = [("published", 0, f"published on {config.devices.url}")]
        if config.hub is not None:
            sinks.append(("receipted", 1, f"receipted by the hub through {config.hub.url}"))
        for step, sink, said in sinks:
            done = _wait(lambda sink=sink: box.has_rows_of(box.epoch)[sink] == 0 or None, timeout)  # type: ignore[misc]  # sink is bound
            steps[step] = time.time() - started if done else None
            _say(as_json, f"{said} after {steps[step]:.2f} s" if done else f"NOT {said} within {timeout:.0f} s")
    if as_json:
        click.echo(json.dumps(steps))
    if None in steps.values():
        _say(as_json, "see: vedette-agent status")
        sys.exit(1)


def _test_alerts(config: Config, epoch: str, now: float) -> list[Alert]:
    """A test alert that is raised and cleared at once."""
    import msgspec

    from vedette_models.messages import Alert

    raised = Alert(
        id=f"{epoch}-test",
        revision=1,
        gateway=config.gateway.id,
        device="test",
        profile="",
        kind="test",
        state="active",
        severity="low",
        opened=now,
        time=now,
        score=1.0,
        reason="a test of the way from this gateway to the hub; nothing is wrong",
    )
    return [raised, msgspec.structs.replace(raised, revision=2, state="cleared", cleared=now, cleared_by="test")]


def _wait(look: Callable[[], object], timeout: float) -> object:
    """What `look` finds, or None when it has found nothing in time."""
    deadline = SYSTEM.uptime() + timeout
    while (found := look()) is None and SYSTEM.uptime() < deadline:
        time.sleep(POLL)
    return found


def _say(as_json: bool, text: str) -> None:
    click.echo(text, err=as_json)


def _when(then: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(then))
