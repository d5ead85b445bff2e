"""The composer: the only place where the hub's parts meet."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from vedette_hub import state, systemd, tracing
from vedette_hub.config import Config
from vedette_hub.store.database import open_store
from vedette_hub.store.migrate import migrate
from vedette_hub.web import server
from vedette_hub.web.tls import Certificate

if TYPE_CHECKING:
    import aiomqtt
    from apiflask import APIFlask

    from vedette_hub.fleet.ingest import Ingest

logger = logging.getLogger(__name__)

WEB_COMMAND = ["-m", "vedette_hub.cli", "web"]
WEB_RESTART_SECONDS = 1.0
WATCH_SECONDS = 0.5


def open_database(config: Config) -> Engine:
    """The store of this configuration, up to date.

    Raises:
        HubError: the state directory or the database cannot be used.
    """
    state.prepare(config.state_dir)
    engine = open_store(config.database_url)
    migrate(engine)
    return engine


def web_application(config: Config) -> APIFlask:
    """API and console over the store of this configuration."""
    # Imported here: the process that ingests needs neither Flask nor its memory, and is back sooner after a crash.
    from flask_bootstrap import Bootstrap5  # type: ignore[import-untyped]  # it has no types

    from vedette_hub.api import (
        alert_accuracy,
        alert_export,
        alerts,
        audit,
        channels,
        detect,
        devices,
        exports,
        forecasts,
        gateways,
        health,
        jobs,
        live,
        maintenance,
        metrics,
        models,
        retention,
        rollout,
        routes,
        session,
        severity_rules,
        silences,
        tokens,
        train,
        users,
    )
    from vedette_hub.api.application import new_application
    from vedette_hub.api.context import Context
    from vedette_hub.live import exchange
    from vedette_hub.scoring.service import Scoring
    from vedette_hub.web import (
        access_pages,
        account_pages,
        alert_pages,
        audit_pages,
        channel_pages,
        compare_pages,
        console,
        device_pages,
        forecast_pages,
        gateway_pages,
        model_pages,
        quiet_pages,
        reference_pages,
        retention_pages,
        route_pages,
        rule_pages,
        settings_pages,
    )

    here = Context(config, open_store(config.database_url))
    app = new_application(here)
    app.config["BOOTSTRAP_SERVE_LOCAL"] = True
    Bootstrap5(app)
    secure = config.web.secure_cookies or bool(config.web.certificate)
    session.configure(app, state.session_key(config.state_dir), hours=config.web.session_hours, secure=secure)
    for part in (
        health,
        gateways,
        alert_accuracy,
        alert_export,
        alerts,
        silences,
        maintenance,
        severity_rules,
        channels,
        routes,
        forecasts,
        metrics,
        models,
        detect,
        train,
        devices,
        exports,
        jobs,
        live,
        rollout,
        retention,
        users,
        tokens,
        audit,
        console,
        alert_pages,
        gateway_pages,
        device_pages,
        model_pages,
        compare_pages,
        forecast_pages,
        settings_pages,
        rule_pages,
        quiet_pages,
        channel_pages,
        route_pages,
        retention_pages,
        audit_pages,
        account_pages,
        access_pages,
        reference_pages,
    ):
        app.register_blueprint(part.blueprint)
    Scoring(here.engine, config).attach(app)
    exchange.attach(app, config.live)
    return app


def serve_web(config: Config, socket_number: int) -> None:
    """The web server's process, started by `serve`."""
    certificate = (config.web.certificate, config.web.key) if config.web.certificate else None

    def make_application() -> APIFlask:
        # In the worker, behind the fork: what sends traces is a thread.
        tracing.configure(config.tracing, "web")
        return web_application(config)

    server.serve(make_application, socket_number, config.web.threads, certificate)


def serve(config: Config) -> None:
    """Run the hub until SIGTERM or SIGINT.

    Raises:
        HubError: it cannot start; says why, and what to do.
    """
    # Imported here: the web server's process never opens MQTT.
    from vedette_hub.alerts.release import Release
    from vedette_hub.fleet import broker
    from vedette_hub.fleet.enrolment import prepare_signing_key
    from vedette_hub.fleet.ingest import Ingest
    from vedette_hub.fleet.publisher import Publisher
    from vedette_hub.learning.runner import Runner
    from vedette_hub.learning.scheduler import Scheduler
    from vedette_hub.live.relay import Relay
    from vedette_hub.notify.mqtt_link import MqttLink
    from vedette_hub.notify.notifier import Notifier
    from vedette_hub.notify.sealing import Seal

    password = config.broker_password()
    tls = broker.tls_context(config.broker)
    if config.web.certificate:
        Certificate(config.web.certificate, config.web.key).context()
    tracing.configure(config.tracing, "ingest")
    state.prepare(config.state_dir)
    with state.lock(config.state_dir), contextlib.ExitStack() as stack:
        engine = open_database(config)
        stack.callback(engine.dispose)
        state.first_token(config.state_dir, engine, time.time())
        new_user = state.first_user(config.state_dir, engine, time.time())
        state.session_key(config.state_dir)
        key = prepare_signing_key(config.state_dir, engine)
        listener = stack.enter_context(server.listen(config.web.host, config.web.port))
        _greet(config, listener, new_user=new_user)
        publisher, relay, link = Publisher(engine, key), Relay(config.state_dir), MqttLink()
        notifier = Notifier(config, engine, Seal(state.channel_key(config.state_dir)), link)

        async def beside_ingest(client: aiomqtt.Client) -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(publisher.run(client), name="publisher")
                tasks.create_task(relay.run(client), name="live requests")
                tasks.create_task(link.run(client), name="messages about alerts")

        ingest = Ingest(
            config.broker,
            config.limits,
            engine,
            config.state_dir,
            password=password,
            tls=tls,
            beside=beside_ingest,
            live=relay.received,
        )
        learning = [
            Runner(config, engine).run,
            Scheduler(config.learning, engine).run,
            Release(engine).run,
            relay.serve,
            notifier.run,
        ]
        asyncio.run(_Service(config, listener, ingest, learning).run())


def _greet(config: Config, listener: socket.socket, *, new_user: bool) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104  # compared only
    scheme = "https" if config.web.certificate else "http"
    if new_user:
        path = config.state_dir / state.PASSWORD_FILE
        logger.info("first sign-in: user %s, password in %s; choose another one then", state.FIRST_USER_NAME, path)
    logger.info("console: %s://%s:%d/login", scheme, shown, port)


class _Service:
    """What runs while the hub serves: ingest here, the web server as a child, and systemd's watchdog."""

    def __init__(
        self,
        config: Config,
        listener: socket.socket,
        ingest: Ingest,
        beside: Sequence[Callable[[], Coroutine[None, None, None]]] = (),
    ) -> None:
        self._beside = beside
        self._config = config
        self._listener = listener
        self._ingest = ingest

    async def run(self) -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._ingest.run(), name="ingest"),
                tasks.create_task(self._keep_web_running(), name="web"),
                tasks.create_task(self._reassure_systemd(), name="watchdog"),
                *(tasks.create_task(run()) for run in self._beside),
            ]
            systemd.notify("READY=1")
            await stopping.wait()
            logger.info("stopping")
            systemd.notify("STOPPING=1")
            # With ours, the last one that listens goes: who comes now is refused at once instead of waiting for nobody.
            self._listener.close()
            for task in running:
                task.cancel()

    async def _keep_web_running(self) -> None:
        while True:
            child = server.start(WEB_COMMAND, self._listener, self._config.model_dump_json())
            try:
                await self._wait(child)
            finally:
                await asyncio.to_thread(server.stop, child)
            logger.error("web: the server ended with code %s; it is started again", child.returncode)
            await asyncio.sleep(WEB_RESTART_SECONDS)

    async def _wait(self, child: subprocess.Popen[bytes]) -> None:
        while child.poll() is None:  # noqa: ASYNC110  # a process gives no event to wait for
            await asyncio.sleep(WATCH_SECONDS)

    async def _reassure_systemd(self) -> None:
        period = systemd.watchdog_seconds()
        while period is not None:
            if not self._ingest.hangs():
                systemd.notify("WATCHDOG=1")
            await asyncio.sleep(period)
