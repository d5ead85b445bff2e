"""What a connection says when there is none, and that it comes back by itself when the cause goes away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.agent.mqtt_ends import Watching, broker_of, certificate, device, until, watching
from tests.brokers import Mosquitto, free_port
from vedette_agent.config.models import Broker
from vedette_agent.mqtt import connection
from vedette_agent.mqtt.transport import NotConnected


@contextlib.asynccontextmanager
async def trying(broker: Broker) -> AsyncIterator[Watching]:
    """A telemetry that cannot connect yet."""
    made = Watching(broker)
    try:
        yield made
    finally:
        await made.stop()


async def problem_of(agent: Watching, words: str) -> str:
    await until(lambda: words in (agent.telemetry.connection.problem or ""), f"{words!r}: there is "
                f"{agent.telemetry.connection.problem!r}")  # fmt: skip
    assert not agent.telemetry.connection.up
    return agent.telemetry.connection.problem or ""


async def served(agent: Watching, port: int) -> None:
    """The connection is back and delivers."""
    await agent.subscribed()
    assert agent.telemetry.connection.problem is None
    with device(port) as source:
        source.publish("plant/x", "back")
    await until(lambda: b"back" in agent.payloads)


async def test_a_broker_that_is_not_there_yet(tmp_path: Path, protocol: str) -> None:
    port = free_port()
    async with trying(broker_of(f"mqtt://127.0.0.1:{port}", protocol=protocol)) as agent:
        said = await problem_of(agent, "refused")
        assert said == f"connection to 127.0.0.1:{port} refused; is the broker running and listening there?"
        mosquitto = Mosquitto(tmp_path, port=port)
        mosquitto.start()
        try:
            await served(agent, port)
        finally:
            mosquitto.kill()


async def test_a_name_that_nobody_knows(protocol: str) -> None:
    async with trying(broker_of("mqtt://no-such-host.invalid", protocol=protocol, connect_timeout=20.0)) as agent:
        assert "check the name and DNS" in await problem_of(agent, "host 'no-such-host.invalid' not found")


def with_password(folder: Path, *, open_now: bool) -> str:
    user = "user root\n" if os.geteuid() == 0 else ""
    access = "allow_anonymous true" if open_now else f"allow_anonymous false\npassword_file {folder}/passwd"
    return f"listener {{port}} 127.0.0.1\n{access}\n{user}persistence false\n"


async def test_refused_credentials(tmp_path: Path, protocol: str, start_mosquitto: Callable[..., Mosquitto]) -> None:
    (tmp_path / "passwd").write_text("")
    mosquitto = start_mosquitto(config=with_password(tmp_path, open_now=False))
    ours = broker_of(mosquitto.url, protocol=protocol, username="gw", password=SecretStr("wrong"))
    async with trying(ours) as agent:
        said = await problem_of(agent, "refused us")
        assert said.endswith("check the password of 'gw'")
        assert "wrong" not in said
    async with trying(broker_of(mosquitto.url, protocol=protocol)) as agent:
        assert "it wants a username and password" in await problem_of(agent, "refused us")
        mosquitto.stop()
        mosquitto._config.write_text(with_password(tmp_path, open_now=True).replace("{port}", str(mosquitto.port)))
        mosquitto.start()
        await served(agent, mosquitto.port)


def tls_config(crt: Path, key: Path) -> str:
    user = "user root\n" if os.geteuid() == 0 else ""
    return (
        f"listener {{port}} 127.0.0.1\nallow_anonymous true\ncertfile {crt}\nkeyfile {key}\n{user}persistence false\n"
    )


async def test_tls_works_and_its_failures_say_what_to_do(
    tmp_path: Path, protocol: str, start_mosquitto: Callable[..., Mosquitto], broker: Mosquitto
) -> None:
    crt, key = certificate(tmp_path)
    encrypted = start_mosquitto(config=tls_config(crt, key))
    address = f"127.0.0.1:{encrypted.port}"
    async with watching(broker_of(f"mqtts://{address}", protocol=protocol, ca_file=crt), ["plant/#"]) as agent:
        publish = agent.telemetry.connection.publish  # some of it is decrypted before anybody asks
        await asyncio.gather(*(publish("plant/x", bytes([i % 256]) * 300) for i in range(300)))
        await until(lambda: len(agent.fresh) == 300)
    async with trying(broker_of(f"mqtts://{address}", protocol=protocol)) as agent:
        assert "set ca_file" in await problem_of(agent, f"certificate of {address} not accepted")
    async with trying(broker_of(f"mqtt://{address}", protocol=protocol)) as agent:
        assert "is it a plain port? (a TLS port needs mqtts://)" in await problem_of(agent, address)
    async with trying(broker_of(f"mqtts://127.0.0.1:{broker.port}", protocol=protocol, ca_file=crt)) as agent:
        said = await problem_of(agent, f"127.0.0.1:{broker.port}")
        assert "use mqtt://" in said or "needs a TLS port" in said


async def test_two_clients_of_one_id_are_told_so_and_the_fight_ends_with_one_of_them(
    broker: Mosquitto, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "TAKEN_OVER_PAUSE", 0.3)
    ours = broker_of(broker.url, protocol=protocol, client_id="the same")
    async with watching(ours) as agent:
        async with trying(ours) as other:

            def said() -> str:
                return f"{agent.telemetry.connection.problem} {other.telemetry.connection.problem}"

            # Mosquitto 2.0.11 evicts without the reason 0x8E: the pattern has to tell
            await until(lambda: "client id 'the same'" in said(), said())
        await until(lambda: agent.telemetry.connection.up)
        await served(agent, broker.port)


async def test_a_session_taken_over_is_said_with_its_reason() -> None:
    async def evict(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"\x20\x03\x00\x00\x00" + b"\xe0\x02\x8e\x00")  # CONNACK, DISCONNECT 0x8E
        await writer.drain()
        writer.close()

    async with served_by(evict) as port, trying(broker_of(f"mqtt://127.0.0.1:{port}")) as agent:
        said = await problem_of(agent, "0x8E session taken over")
        assert "client id 'vedette-gw'" in said
        assert "set client_id" in said


@pytest.mark.fault(fault="something else than a broker answers", expected="said with what to do; the agent tries on")
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x46",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x20\x02\x00\x01",
        b"\x20\x03\x00\x00\xff",
        b"\x20\xff\xff\xff\xff\xff",
        b"\x30\x05\x00\x09abc",
        b"\x00" * 100,
    ],
)
async def test_whatever_answers_is_survived(answer: bytes, protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with served_by(talk) as port, trying(broker_of(f"mqtt://127.0.0.1:{port}", protocol=protocol)) as agent:
        said = await problem_of(agent, f"127.0.0.1:{port}")
        assert ";" in said, "what to do"
        attempts = agent.telemetry.connection
        assert attempts.generation == 0
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


async def test_somebody_who_never_answers_is_given_up(protocol: str) -> None:
    async def listen(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with served_by(listen) as port:
        ours = broker_of(f"mqtt://127.0.0.1:{port}", protocol=protocol, connect_timeout=0.3)
        async with trying(ours) as agent:
            assert "is it an MQTT broker" in await problem_of(agent, "no answer from")


@contextlib.asynccontextmanager
async def served_by(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Somebody who listens and is no broker."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_an_mqtt_5_client_at_an_old_broker_is_told_the_key(broker: Mosquitto) -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"\x20\x02\x00\x01")  # 3.1.1: unacceptable protocol version
        writer.close()

    async with served_by(old) as port, trying(broker_of(f"mqtt://127.0.0.1:{port}")) as agent:
        assert 'set protocol = "3.1.1"' in await problem_of(agent, f"127.0.0.1:{port}")


async def test_without_a_connection_nothing_is_published(protocol: str) -> None:
    async with trying(broker_of(f"mqtt://127.0.0.1:{free_port()}", protocol=protocol)) as agent:
        with pytest.raises(NotConnected, match="devices broker"):
            await agent.telemetry.connection.publish("x", b"")
        assert agent.telemetry.connection.acknowledge([1], 0) is False


async def test_a_publication_that_the_broker_cannot_take_fails_alone(broker: Mosquitto, protocol: str) -> None:
    async with watching(broker_of(broker.url, protocol=protocol)) as agent:
        with pytest.raises(NotConnected):
            await agent.telemetry.connection.publish("a/#", b"")
        await agent.telemetry.connection.publish("plant/x", b"after")
        await until(lambda: b"after" in agent.payloads)


async def test_publications_on_their_way_fail_when_the_broker_goes(
    start_mosquitto: Callable[..., Mosquitto], protocol: str
) -> None:
    mosquitto = start_mosquitto()
    async with watching(broker_of(mosquitto.url, protocol=protocol)) as agent:
        tasks = [
            asyncio.ensure_future(agent.telemetry.connection.publish("plant/x", b"x" * 5_000)) for _ in range(2_000)
        ]
        mosquitto.kill()
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert all(result is None or isinstance(result, NotConnected) for result in results)
        assert any(isinstance(result, NotConnected) for result in results)


async def test_nothing_is_published_on_a_connection_that_has_just_ended(
    start_mosquitto: Callable[..., Mosquitto], protocol: str
) -> None:
    mosquitto = start_mosquitto()
    async with watching(broker_of(mosquitto.url, protocol=protocol)) as agent:
        connection = agent.telemetry.connection
        refused: list[bool] = []

        def publish(_: object) -> None:
            # Before anybody has been told that it has ended.
            for call in (connection.publish("plant/x", b"too late"), connection.subscribe(["plant/x"])):
                try:
                    call.send(None)
                except NotConnected:
                    refused.append(True)
                else:
                    refused.append(False)
                call.close()

        transport = connection._transport
        assert transport is not None
        transport.closed.add_done_callback(publish)
        mosquitto.kill()
        await until(lambda: len(refused) == 2, "the connection has ended")
        assert refused == [True, True]


async def test_the_last_will_is_spoken_on_a_crash_and_not_on_a_goodbye(broker: Mosquitto, protocol: str) -> None:
    with device(broker.port) as display:
        display.publish("vedette/gw/status", "", retain=True)  # what other tests left
        display.subscribe("vedette/gw/status")
        ours = broker_of(broker.url, protocol=protocol)
        async with watching(ours) as agent:
            pass
        async with watching(ours) as agent:
            await agent.telemetry.connection.publish("vedette/gw/status", b"marker")
            await until(lambda: display.messages)
            assert [payload for _, payload, _ in display.messages] == [b"marker"]
            with device(broker.port, ours.client_id):  # cut
                await until(lambda: len(display.messages) > 1)
        assert display.messages[1][:2] == ("vedette/gw/status", b"lost")
        display.publish("vedette/gw/status", "", retain=True)
