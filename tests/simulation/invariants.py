"""What must hold when everything has come right again: nothing lost, nothing twice, nothing unexplained."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from tests.simulation.models import PROFILE
from vedette_agent.mqtt.message import Message
from vedette_agent.reading.settled import REMEMBERED, digest
from vedette_agent.update import journal as journals
from vedette_hub.store import rollout
from vedette_hub.store.database import reading
from vedette_models import messages, topics
from vedette_models.messages import PRIORITIES, Alert, SampleBatch

if TYPE_CHECKING:
    from tests.simulation.world import World

Key = tuple[str, str, int]
"""Class, epoch, sequence."""


# ------------------------------------------------------------------ whether it is over


def unsettled(world: World) -> str:
    """What is still under way, or nothing."""
    gateway, hub = world.gateway, world.hub
    agent = gateway.agent
    if agent is None or hub.process is None:
        return "a program is not back"
    uplink, updater = agent._uplink, agent._updater
    assert uplink is not None
    assert updater is not None
    if not (uplink.connection.up and agent._telemetry.subscribed):
        return "the gateway is not connected"
    (rows,), (losses,) = (
        agent._outbox.database.connection.execute(query).fetchone()
        for query in ("SELECT count(*) FROM outbox", "SELECT count(*) FROM loss WHERE reported_by IS NULL")
    )
    if rows or losses:
        return f"{rows} rows and {losses} losses are still in the outbox"
    local = agent._local
    if local._wake.is_set() or local._missed or local._foreign:
        return "alerts are still to be published or cleared at the devices' broker"
    for broker in world.brokers.values():
        for name, session in broker.sessions.items():
            if session.queue or session.in_flight:
                return f"{len(session.queue) + len(session.in_flight)} messages wait for {name} at the broker"
    with reading(hub.engine) as connection:
        ordered = rollout.load_manifests(connection, ["gw"]).get("gw")
    journal = updater._store.journal
    if ordered is not None and (ordered.due or journal.counter != ordered.counter):
        return f"manifest {ordered.counter} is ordered, {journal.counter} is in force"
    if journals.lags(journal, PROFILE) or journal.unreported:
        return "a model is not activated, or this is not reported"
    return ""


# -------------------------------------------------------------------------- what holds


def check(world: World) -> None:
    """Tell the story of everything that does not."""
    found = _Found(world)
    _readings(world, found)
    _rows(world, found)
    _models(world, found)
    _bounds(world, found)
    _open_alerts(world, found)


class _Found:
    """What agent and hub have on their disks in the end."""

    def __init__(self, world: World) -> None:
        self.agent = world.witness.seen(world.gateway.database)
        connection = sqlite3.connect(world.hub.state / "hub.db")
        connection.row_factory = sqlite3.Row
        try:
            names = (
                "ledgers", "losses", "alert_events", "alerts", "reports", "samples", "gateways", "activations",
                "unparsed", "counters",
            )  # fmt: skip
            self.hub = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}
        finally:
            connection.close()


def _readings(world: World, found: _Found) -> None:
    """(1) Every acknowledged reading is exactly one of scored and dead-lettered; what it caused is durable."""
    story, witness = world.story, world.witness
    fates: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    for life, path in enumerate(witness.traces):
        for line in path.read_bytes().splitlines() if path.exists() else ():
            fate = json.loads(line)
            fates[fate["device"], fate["sequence"]].append((life, fate["fate"]))
    settled: dict[bytes, int] = {}
    """The life in which each was settled first."""
    for life, _, _, body in found.agent["settled"]:
        settled.setdefault(body, life)
    dead = Counter(topic for _, topic, _, _ in found.agent["dead"])
    alerts = [
        (witness.lives.get(epoch, len(witness.traces)), messages.from_bytes(Alert, body))
        for rank, epoch, _, body in found.agent["row"]
        if rank == PRIORITIES.index("alerts")
    ]
    alerted = {alert.device for _, alert in alerts}
    durable_in = {(alert.device, alert.time): life for life, alert in alerts}
    """Lives that committed what a reading caused, by device and time of the reading."""
    for topic, payload in witness.acknowledged:
        again = (topic, payload) in witness.repeated
        if (topic, payload) in world.devices.garbage:
            if not dead[topic] or (dead[topic] > 1 and not again):
                story.wrong("every acknowledged reading has one fate", f"{topic} is a dead letter {dead[topic]} times")
            continue
        device, sequence = topic.split("/")[1], int(json.loads(payload)["seq"])
        scored = [life for life, fate in fates[device, sequence] if fate == "scored"]
        durable = settled.get(digest(Message(topic, payload)))
        if not scored and durable is None:
            story.wrong("every acknowledged reading has one fate", f"{device}/{sequence} has {fates[device, sequence]}")
        later = durable is not None and any(life > durable for life in scored)
        if not again and (later or len(scored) > len(set(scored))):
            story.wrong("no reading is scored twice", f"{device}/{sequence} in the lives {scored}")
        since = durable_in.get((device, json.loads(payload)["ts"]))
        if not again and since is not None and any(life > since for life in scored):
            story.wrong("no reading is scored twice", f"{device}/{sequence} in {scored}, after its alert in {since}")
        if dead[topic]:
            story.wrong("every acknowledged reading has one fate", f"{device}/{sequence} is a dead letter, too")
        if (topic, payload) in world.devices.faulty and device not in alerted:
            story.wrong("what a reading causes is durable", f"{device}/{sequence} is acknowledged, and raised nothing")


def _rows(world: World, found: _Found) -> None:
    """(2) Every row has exactly one effect, or was declared lost; (3) and the ledger has no gap."""
    story, hub = world.story, found.hub
    rows: dict[Key, bytes] = {
        (PRIORITIES[rank], epoch, sequence): body for rank, epoch, sequence, body in found.agent["row"]
    }
    lost: set[Key] = set()
    for row in hub["losses"]:
        if row["last"] - row["first"] > len(rows):
            story.wrong("a sound database is kept", f"declared lost, of unknown extent: {row['reason']}")
        elif row["gateway"] == "gw":
            lost |= {(row["priority"], row["epoch"], number) for number in range(row["first"], row["last"] + 1)}
    done = _effects(world, found)
    for key, count in sorted(done.items()):
        if key not in rows:
            story.wrong("every row has one effect", f"{key} has one, and was never committed")
        elif count > 1:
            story.wrong("every row has one effect", f"{key} has {count}")
    for key in sorted(rows):
        if not done[key] and key not in lost:
            story.wrong("every row has one effect", f"{key} has none, and was not declared lost")
    for key in sorted(lost - rows.keys()):
        story.wrong("only what was is lost", f"{key} is declared lost, and never was")
    counted = next(row["lost_rows"] for row in hub["gateways"] if row["gateway"] == "gw")
    gone = sum(not done[key] for key in rows)
    if counted != gone:
        story.wrong("every loss is counted once", f"{gone} rows have no effect, {counted} are counted as lost")
    if hub["unparsed"]:
        story.wrong("every row is understood", f"{len(hub['unparsed'])} are not: {hub['unparsed'][0]['error']}")
    _ledger(world, found, rows)


def _effects(world: World, found: _Found) -> Counter[Key]:
    """How often each row has had its effect at the hub."""
    story, hub = world.story, found.hub
    done: Counter[Key] = Counter()
    events = Counter(bytes(row["event"], "utf-8") for row in hub["alert_events"])
    reports = Counter(bytes(row["body"], "utf-8") for row in hub["reports"])
    segments = Counter((row["device"], row["first"], row["last"], bool(row["suspect"])) for row in hub["samples"])
    for (priority, epoch, sequence), body in world.witness.sent.items():
        key = (priority, epoch, sequence)
        if priority == "alerts":
            done[key] += events.pop(body, 0)
            alert = messages.from_bytes(Alert, body)
            if done[key] and alert.coalesced is not None:
                for first, last in alert.coalesced.rows:
                    done.update((priority, epoch, number) for number in range(first, last + 1))
        elif priority == "reports":
            done[key] += reports.pop(body, 0)
        else:
            wanted = _segments(body)
            # Rows of two lives may hold the same readings: each accounts for one of them.
            done[key] += min((min(1, segments[segment]) for segment in wanted), default=1)
            segments.subtract(segment for segment in wanted if segments[segment])
    for what, left in (("alert event", events), ("report", reports), ("sample", segments)):
        if left.total():
            story.wrong("every row has one effect", f"the hub has {left.total()} {what}s that nobody sent")
    newest: dict[str, int] = defaultdict(int)
    for row in hub["alert_events"]:
        newest[row["alert"]] = max(newest[row["alert"]], row["revision"])
    for row in hub["alerts"]:
        if row["revision"] != newest[row["alert"]]:
            story.wrong(
                "the newest revision counts",
                f"alert {row['alert']} stands at {row['revision']}, has {newest[row['alert']]}",
            )
    counted = {row["name"]: row["value"] for row in hub["counters"]}.get("events", 0)
    if counted != len(hub["alert_events"]):
        story.wrong("every row has one effect", f"{counted} events are counted, {len(hub['alert_events'])} are there")
    return done


def _segments(body: bytes) -> list[tuple[Any, ...]]:
    batch = messages.from_bytes(SampleBatch, body)
    return [(s.device, min(s.times), max(s.times), batch.suspect) for s in batch.segments]


def _ledger(world: World, found: _Found, rows: dict[Key, bytes]) -> None:
    highest: dict[tuple[str, str], int] = defaultdict(int)
    for priority, epoch, sequence in rows:
        highest[priority, epoch] = max(highest[priority, epoch], sequence)
    ledgers = {(r["priority"], r["epoch"]): r for r in found.hub["ledgers"] if r["gateway"] == "gw"}
    for key in sorted(highest.keys() | ledgers.keys()):
        row = ledgers.get(key)
        through, ranges = (row["through"], json.loads(row["ranges"])) if row is not None else (0, [])
        if through != highest[key] or ranges:
            world.story.wrong(
                "the ledger has no gap", f"{key} is at {through} and {ranges}, the last row was {highest[key]}"
            )


def _models(world: World, found: _Found) -> None:
    """(4) What runs is what was ordered last, or the gateway has said why not; and it has said what it did."""
    story, witness, agent = world.story, world.witness, world.gateway.agent
    assert agent is not None
    updater = agent._updater
    assert updater is not None
    with reading(world.hub.engine) as connection:
        wanted = rollout.load_desired(connection, ["gw"])["gw"].get(PROFILE)
    ordered = wanted.desired.current.sha256 if wanted is not None and wanted.desired.current is not None else ""
    running = updater.running().get(PROFILE)
    runs = running.sha256 if running is not None else ""
    activations = found.hub["activations"]
    if runs != ordered:
        held = updater._store.journal.held.get(PROFILE)
        said = {row["outcome"] for row in activations if row["sha256"] == ordered or row["outcome"] == "rolled_back"}
        if held is None or not (said & {"refused", "rolled_back"} or _lost_reports(found)):
            story.wrong("what was ordered runs", f"ordered is {ordered[:8]!r}, {runs[:8]!r} runs, and nobody says why")
    if (witness.used or "") != runs:
        story.wrong("what runs is what it is said to be", f"{witness.used} runs, {runs} is said to")
    heard = Counter((row["sha256"], row["outcome"], row["reason"], row["counter"]) for row in activations)
    for item in witness.activations:
        if not heard[item.sha256, item.outcome, item.reason, item.counter] and not _lost_reports(found):
            story.wrong("what became of a model is told", f"{item} is not at the hub")
    for (sha256, outcome, reason, counter), count in heard.items():
        if outcome == "refused" and sha256 and count > world.gateway.life:
            story.wrong(
                "what failed is not tried again", f"{sha256[:8]} of {counter} was refused {count} times: {reason}"
            )


def _lost_reports(found: _Found) -> bool:
    return any(row["priority"] == "reports" for row in found.hub["losses"])


def _bounds(world: World, found: _Found) -> None:
    """(5) Nothing has grown past its bound."""
    agent, story = world.gateway.agent, world.story
    assert agent is not None
    updater, uplink = agent._updater, agent._uplink
    assert updater is not None
    assert uplink is not None
    journal = updater._store.journal
    wanted = {release.sha256 for release in journal.ordered.values()}
    wanted |= {running.release.sha256 for part in (journal.current, journal.previous) for running in part.values()}
    files = {path.stem for path in updater._store.folder.glob("*.model")}
    tasks = sum(not task.done() for task in world.gateway.process.tasks) if world.gateway.process else 0
    (most,) = agent._outbox.database.connection.execute("SELECT count(*) FROM settled").fetchone()
    for what, number, bound in (
        ("artefacts nobody needs", len(files - wanted), 0),
        ("tasks of the agent", tasks, 40),
        ("settled keys", most, REMEMBERED),
        ("receipts that wait", len(uplink._receipts), 0),
        ("manifests that wait", len(updater._waiting), 0),
        ("refusals reported", sum(row["outcome"] == "refused" for row in found.hub["activations"]), 100),
    ):
        if number > bound:
            story.wrong("everything is bounded", f"{number} {what}, at most {bound}")


def _open_alerts(world: World, found: _Found) -> None:
    """Hub and devices' broker show what is open, and nothing else."""
    agent = world.gateway.agent
    assert agent is not None
    open_topics = {topics.device_alert("gw", a.device, a.kind) for a in agent._learnt.open_alerts()}
    pattern = topics.device_alerts("gw")
    retained = {topic for topic in world.brokers["devices"].retained if topics.matches(pattern, topic)}
    if retained != open_topics:
        too_many, missing = sorted(retained - open_topics), sorted(open_topics - retained)
        world.story.wrong("local topics show what is open", f"too many {too_many}, missing {missing}")
    if not any(row["priority"] == "alerts" for row in found.hub["losses"]):
        at_gateway = {alert.id for alert in agent._learnt.open_alerts()}
        at_hub = {row["alert"] for row in found.hub["alerts"] if row["state"] == "active"}
        if at_hub != at_gateway:
            world.story.wrong(
                "the hub shows what is open", f"{len(at_hub - at_gateway)} too many, {len(at_gateway - at_hub)} missing"
            )
