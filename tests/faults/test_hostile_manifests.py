"""Attacks with manifests, through the real updater on a real disk: what ran goes on, and who attacks is reported."""

from __future__ import annotations

import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from nacl.signing import SigningKey

from tests.agent.update.model_hub import PROFILE, model, release
from tests.faults.gateway import DAY, GOOD, HUB, ISSUED, Gateway, order, signed
from vedette_agent.update.updater import REFUSALS_PER_HOUR
from vedette_models import artifact, manifest
from vedette_models.keys import key_id, key_ring
from vedette_models.rejection import Rejection
from vedette_models.succession import MAX_STATEMENTS, KeyStatement, add_key, revoke_key

THIEF, NEXT, STRANGER = (SigningKey(bytes([n]) * 32) for n in (1, 2, 3))
OLD, NEW = GOOD, model(2)
IN_FORCE = 7


def newer(**changes: Any) -> bytes:
    """The order that an attacker would like to be followed: another version."""
    key, statements = changes.pop("key", HUB), changes.pop("statements", ())
    return signed(order(**{"counter": 9, "releases": {PROFILE: release(2, NEW)}, **changes}), key, statements)


def envelope(data: bytes, **changes: Any) -> bytes:
    return json.dumps({**json.loads(data), **changes}, separators=(",", ":")).encode()


def raw(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    return data.replace(old, new)


def add(signer: SigningKey, key: SigningKey) -> KeyStatement:
    return add_key(signer, key.verify_key, ISSUED)


def revoke(signer: SigningKey, key: SigningKey) -> KeyStatement:
    return revoke_key(signer, key_id(key.verify_key), ISSUED)


async def nothing(gateway: Gateway) -> None:
    """The gateway as it is: version 1 runs, by manifest 7."""


async def a_month_passes(gateway: Gateway) -> None:
    gateway.time.passes(31 * DAY)


async def the_clock_falls_back(gateway: Gateway) -> None:
    gateway.time.wall = 0.0
    await gateway.start()


async def the_journal_is_zeroed(gateway: Gateway) -> None:
    for name in ("journal", "journal.copy"):
        path = gateway.folder / "models" / name
        path.write_bytes(bytes(len(path.read_bytes())))
    await gateway.start()


async def the_journal_is_deleted(gateway: Gateway) -> None:
    for name in ("journal", "journal.copy"):
        (gateway.folder / "models" / name).unlink()
    await gateway.start()


async def the_key_was_rotated_and_revoked(gateway: Gateway) -> None:
    said = (add(HUB, NEXT), revoke(NEXT, HUB))
    await gateway.hear(signed(order(IN_FORCE + 1), NEXT, said))
    assert gateway.updater.counter == IN_FORCE + 1
    await gateway.start()


class Attack(NamedTuple):
    """What comes, what has happened before, and the reason that is reported."""

    data: bytes
    reason: Rejection
    before: Callable[[Gateway], Awaitable[None]] = nothing


STATEMENT = add(HUB, THIEF)
ATTACKS = {
    # Rollback and replay.
    "an older manifest again": Attack(newer(counter=3), Rejection.ROLLED_BACK),
    "the counter in force with another order": Attack(newer(counter=IN_FORCE), Rejection.REPLAYED),
    "an older manifest with the present nonce": Attack(newer(counter=3, nonce="nonce 1"), Rejection.ROLLED_BACK),
    # Freeze, and clocks.
    "a manifest held back until it has expired": Attack(newer(), Rejection.EXPIRED, a_month_passes),
    "a manifest of the future for a clock that fell back": Attack(
        newer(), Rejection.NOT_YET_ISSUED, the_clock_falls_back
    ),
    "an expired one with the nonce of an earlier start": Attack(
        newer(nonce="nonce 0"), Rejection.EXPIRED, a_month_passes
    ),
    # Zeroed state.
    "an old manifest after the journal was zeroed": Attack(
        newer(counter=3), Rejection.COUNTER_LOST, the_journal_is_zeroed
    ),
    "a newer one after the journal was zeroed": Attack(newer(), Rejection.COUNTER_LOST, the_journal_is_zeroed),
    "an old one after the journal was deleted": Attack(
        newer(counter=3, nonce="nonce 1"), Rejection.COUNTER_LOST, the_journal_is_deleted
    ),
    # Other gateways.
    "a manifest made for another gateway": Attack(newer(gateway="gw-2"), Rejection.FOREIGN_GATEWAY),
    "a manifest for the same name in capitals": Attack(newer(gateway="GW"), Rejection.FOREIGN_GATEWAY),
    # Mix and match.
    "the signature of another manifest": Attack(
        envelope(newer(), signature=json.loads(signed(order(8)))["signature"]), Rejection.BAD_SIGNATURE
    ),
    "another order under the same signature": Attack(
        raw(newer(), artifact.sha256(NEW).encode(), artifact.sha256(OLD).encode()), Rejection.BAD_SIGNATURE
    ),
    "the manifest twice in one envelope": Attack(
        raw(newer(), b'"signature":', b'"manifest":{},"signature":').replace(b'"version":2', b'"version":3'),
        Rejection.BAD_SIGNATURE,
    ),
    "a key statement in place of a manifest": Attack(
        envelope(newer(), signature=STATEMENT.signature, manifest=json.loads(bytes(STATEMENT.statement))),
        Rejection.BAD_SIGNATURE,
    ),
    # Keys.
    "signed by a stranger": Attack(newer(key=STRANGER), Rejection.UNKNOWN_KEY),
    "signed by a stranger in the hub's name": Attack(
        envelope(newer(key=STRANGER), key=key_id(HUB.verify_key)), Rejection.BAD_SIGNATURE
    ),
    "a stranger that speaks for itself": Attack(
        newer(key=STRANGER, statements=(add(STRANGER, STRANGER),)), Rejection.UNKNOWN_KEY
    ),
    "a stranger that another stranger speaks for": Attack(
        newer(key=STRANGER, statements=(add(THIEF, STRANGER), add(STRANGER, THIEF))), Rejection.UNKNOWN_KEY
    ),
    "a key statement in the hub's name": Attack(
        newer(
            key=STRANGER,
            statements=(KeyStatement(key_id(HUB.verify_key), STATEMENT.signature, add(THIEF, STRANGER).statement),),
        ),
        Rejection.BAD_SIGNATURE,
    ),
    "the new key without what the old one said": Attack(newer(key=NEXT), Rejection.UNKNOWN_KEY),
    "what the old key said in the wrong order": Attack(
        newer(key=THIEF, statements=(add(NEXT, THIEF), add(HUB, NEXT))), Rejection.UNKNOWN_KEY
    ),
    "a revoked key": Attack(newer(), Rejection.UNKNOWN_KEY, the_key_was_rotated_and_revoked),
    "a revoked key that adds another": Attack(
        newer(key=THIEF, statements=(add(HUB, THIEF),)), Rejection.UNKNOWN_KEY, the_key_was_rotated_and_revoked
    ),
    "a revoked key, and what it once said of itself": Attack(
        newer(statements=(add(HUB, NEXT), add(NEXT, HUB))), Rejection.UNKNOWN_KEY, the_key_was_rotated_and_revoked
    ),
    "more key statements than anybody needs": Attack(
        newer(statements=tuple(add(HUB, SigningKey(bytes([n]) * 32)) for n in range(100, 101 + MAX_STATEMENTS))),
        Rejection.TOO_LARGE,
    ),
    # What is none.
    "a changed digit": Attack(raw(newer(), b'"version":2', b'"version":3'), Rejection.BAD_SIGNATURE),
    "half of one": Attack(newer()[:200], Rejection.MALFORMED),
    "two of them": Attack(newer() * 2, Rejection.MALFORMED),
    "more than 64 KiB": Attack(newer() + b" " * manifest.MAX_BYTES, Rejection.TOO_LARGE),
    "a pickle that runs a command": Attack(b"\x80\x04cposix\nsystem\nX\x02\x00\x00\x00idR.", Rejection.MALFORMED),
    "60,000 open brackets": Attack(b"[" * 60_000, Rejection.MALFORMED),
    "bytes that are no text": Attack(b'{"v":1,"key":"\xff\xfe"}', Rejection.MALFORMED),
    "numbers that are none": Attack(
        raw(newer(), b'"counter":9', b'"counter":NaN'), Rejection.MALFORMED
    ),
    "a format of tomorrow": Attack(envelope(newer(), v=2), Rejection.NEWER_FORMAT),
}  # fmt: skip


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(
            name,
            marks=pytest.mark.fault(fault=f"manifest: {name}", expected=f"{attack.reason}; what ran goes on"),
        )
        for name, attack in ATTACKS.items()
    ],
)
async def test_it_is_not_followed_and_what_ran_goes_on(
    tmp_path: Path, attack: str, record_property: Callable[[str, object], None]
) -> None:
    data, reason, before = ATTACKS[attack]
    gateway = Gateway(tmp_path)
    gateway.publish(NEW)
    await gateway.start()
    await gateway.follow(IN_FORCE, 1, OLD)
    await before(gateway)
    ran, journal, told = gateway.runs, gateway.store.journal, len(gateway.told)
    for _ in range(3):
        await gateway.hear(data)
    assert [(a.outcome, a.reason) for a in gateway.told[told:]] == [("refused", reason)], "reported once"
    assert gateway.runs == ran
    after = gateway.store.journal
    assert (after.counter, after.ordered, after.current) == (journal.counter, journal.ordered, journal.current)
    assert after.statements == journal.statements
    await gateway.start()
    assert gateway.runs == ran, "nor after a restart"
    record_property("observed", f"{gateway.told[-1].reason}; {'version 1 runs' if ran else 'no model runs, as before'}")

    key = NEXT if before is the_key_was_rotated_and_revoked else HUB
    fresh = order(20, {PROFILE: release(2, NEW)}, nonce=gateway.updater.nonce)
    await gateway.hear(signed(fresh, key))
    assert gateway.runs == artifact.sha256(NEW), "an honest order is still followed"


@pytest.mark.fault(
    fault="manifest: 1,000 different forgeries an hour", expected="60 reports at most, the journal small"
)
async def test_a_flood_of_forgeries_is_not_worth_the_disk(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    gateway = Gateway(tmp_path)
    await gateway.start()
    await gateway.follow(IN_FORCE, 1, OLD)
    for counter in range(1_000):
        gateway.updater.received("vedette/v1/gw/gw/down/desired", newer(counter=100 + counter, key=STRANGER))
        if counter % 3 == 2:
            await gateway.updater._step()
    refused = [a for a in gateway.told if a.outcome == "refused"]
    size = (tmp_path / "models" / "journal").stat().st_size
    record_property("observed", f"{len(refused)} reports, journal of {size} bytes")
    assert 0 < len(refused) <= REFUSALS_PER_HOUR
    assert size < 4_096
    await gateway.follow(3_000, 2, NEW)
    assert gateway.runs == artifact.sha256(NEW)


@pytest.mark.fault(
    fault="the signing key is rotated while a gateway is away, over several restarts",
    expected="it follows the newest key by what the older ones said, and the revoked ones no more",
)
async def test_a_gateway_that_was_away_follows_three_rotations_at_once(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    last = SigningKey(bytes([9]) * 32)
    said = (add(HUB, NEXT), revoke(NEXT, HUB), add(NEXT, THIEF), revoke(THIEF, NEXT), add(THIEF, last))
    gateway = Gateway(tmp_path)
    await gateway.start()
    await gateway.follow(IN_FORCE, 1, OLD)
    gateway.publish(NEW)
    await gateway.hear(signed(order(8, {PROFILE: release(2, NEW)}), last, said))
    assert gateway.runs == artifact.sha256(NEW)
    await gateway.start()
    await gateway.hear(signed(order(9), last))
    assert (gateway.updater.counter, gateway.runs) == (9, artifact.sha256(OLD)), "without being told again"
    for number, gone in enumerate((HUB, NEXT)):
        await gateway.hear(signed(order(10 + number), gone, said))
        assert gateway.told[-1].reason == Rejection.UNKNOWN_KEY
    assert gateway.updater.counter == 9
    record_property("observed", "follows the newest of four keys; the two that were revoked are unknown")


async def test_the_key_ring_in_the_configuration_stays_the_root(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    await gateway.start()
    await gateway.hear(signed(order(8), NEXT, (add(HUB, NEXT),)))
    assert gateway.updater.counter == 8
    gateway.ring = key_ring(STRANGER.verify_key)
    await gateway.start()
    for key in (HUB, NEXT):
        await gateway.hear(signed(order(9), key, (add(HUB, NEXT),)))
        assert gateway.updater.counter == 8, "somebody has replaced the file: what its keys said counts no more"
    await gateway.hear(signed(order(10), STRANGER))
    assert gateway.updater.counter == 10
    assert gateway.store.journal.statements == ()


async def test_an_order_of_a_key_that_comes_into_the_ring_later_is_followed_then(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    await gateway.start()
    await gateway.hear(signed(order(8), NEXT))
    assert gateway.updater.counter == 0
    gateway.updater.trust(key_ring(HUB.verify_key, NEXT.verify_key))
    await gateway.step()
    assert gateway.updater.counter == 8, "although the broker did not send it again"


async def test_a_wiped_gateway_is_a_new_one(tmp_path: Path) -> None:
    """The limit: with everything gone, what has not expired counts. The hub then sends a higher counter."""
    gateway = Gateway(tmp_path)
    await gateway.start()
    await gateway.follow(IN_FORCE, 1, OLD)
    shutil.rmtree(tmp_path / "models")
    await gateway.start()
    await gateway.hear(newer(counter=3))
    assert gateway.updater.counter == 3
    gateway.time.passes(31 * DAY)
    shutil.rmtree(tmp_path / "models")
    await gateway.start()
    await gateway.hear(newer(counter=3))
    assert gateway.updater.counter == 0
