"""Exchange: who is told what at /ws, in the web server's process.

Three threads, each of which sleeps while nobody wants anything: one for all sockets, one that may wait for the store,
and one that hears from the hub's process while somebody looks at a device. What is said here of clients happens in the
thread of the sockets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from flask import Flask, current_app

from vedette_hub.api.access import Access
from vedette_hub.api.caller import Caller, caller_of, check_token, problem
from vedette_hub.api.context import context
from vedette_hub.config import LiveSection
from vedette_hub.live import client_messages as said
from vedette_hub.live import readings
from vedette_hub.live.bridge import Bridge
from vedette_hub.live.client import (
    NO_TOKEN_IN_TIME,
    NOT_ALLOWED,
    NOT_SIGNED_IN,
    UNHEARD_LIMIT,
    Client,
    Credential,
)
from vedette_hub.live.frames import frame
from vedette_hub.live.sockets import Sockets
from vedette_hub.live.store_feed import CaughtUp, StoreFeed, Told
from vedette_hub.live.watches import LEASE_SECONDS, Key, Watches
from vedette_hub.live.wire import Ask, Heard
from vedette_hub.store import fleet, sessions
from vedette_hub.store.database import reading

_EXTENSION = "vedette_live"
SIGN_IN_SECONDS = 10.0
"""How long a client without a session may take to send its token."""
RECHECK_SECONDS = 5.0
"""How soon a session or token that has ended ends its sockets."""
ACCESS = Access("viewer", ("read",))
"""What somebody needs to listen, and to look."""
DEVICES_OF_ONE = 8
"""Devices that one socket may look at."""
_TOO_FAST = 1008


class Exchange:
    """`adopt`, `score`, `look` and `stop` may be called from any thread."""

    def __init__(self, app: Flask, settings: LiveSection, uptime: Callable[[], float] = time.monotonic) -> None:
        self._app, self._settings, self._uptime = app, settings, uptime
        with app.app_context():
            here = context()
        self._here = here
        self._sockets = Sockets(self, backlog=settings.queue, uptime=uptime)
        self._feed = StoreFeed(here.engine, self._changed, uptime=uptime)
        self._bridge = Bridge(here.state_dir, lambda heard: self._sockets.call(partial(self._heard_live, heard)))
        self._watches = Watches(settings.devices + settings.gateways, DEVICES_OF_ONE)
        self._score_listeners = 0
        self._rechecked = 0.0
        self._asked_all = float("-inf")

    # ----------------------------------------------------------- from any thread

    def has_room(self, caller: Caller | None) -> bool:
        """Whether there is room for one more socket: of one user or token half of all, of strangers a tenth."""
        clients = list(self._sockets.clients.values())
        if len(clients) >= self._settings.sockets:
            return False
        mine = sum((one.credential.caller if one.credential else None) == caller for one in clients)
        return mine < max(1, self._settings.sockets // (10 if caller is None else 2))

    def adopt(self, socket: Any, handshake: Any, credential: Credential | None) -> None:
        """Take over a connection whose upgrade is granted."""
        self._sockets.adopt(socket, handshake, credential)

    def score(
        self,
        *,
        gateway: str,
        device: str,
        profile: str,
        time: float,
        score: float,
        anomalous: bool,
        source: Literal["live", "detect"],
    ) -> None:
        """Tell the channel `scores`; costs nothing while nobody listens to it."""
        if not self._score_listeners:
            return
        data = {
            "gateway": gateway,
            "device": device,
            "profile": profile,
            "time": time,
            "score": score,
            "anomalous": anomalous,
            "source": source,
        }
        told = [(frozenset((said.SCORES,)), frame("score", data))]
        self._sockets.call(partial(self._sockets.broadcast, told))

    def look(self, key: Key, seconds: float, then: Callable[[str], None]) -> None:
        """Ask for the readings of a device for so many seconds; `then` is given the state."""

        def add() -> None:
            then(self._watches.add(key, self._uptime(), seconds=seconds))
            self._ask_gateways()

        self._sockets.call(add)

    def stop(self) -> None:
        """Close all sockets: the web server stops."""
        self._sockets.stop()

    # ------------------------------------------------------- what clients do

    def opened(self, client: Client) -> None:
        """A client has come."""

    def gone(self, client: Client) -> None:
        """A client has left."""
        if not client.channels.isdisjoint(said.ALERT_CHANNELS):
            self._feed.leave(client.number)
        self._watches.leave(client.number)
        self._set_channels(client, frozenset())

    def heard(self, client: Client, text: str) -> None:
        """A client has said something; what it says before it has its answer waits for that, so that order is kept."""
        if client.asked and len(client.waiting) >= UNHEARD_LIMIT:
            self._sockets.close(client, _TOO_FAST, "wait for answers")
        elif client.asked:
            client.waiting.append(text)
        elif client.is_open:
            self._follow(client, text)

    def _follow(self, client: Client, text: str) -> None:
        try:
            message = said.parse(text)
        except said.MessageRefusedError as error:
            client.say(frame("error", {"message": str(error)}))
            return
        if client.credential is None and not isinstance(message, said.Authenticate):
            self._sockets.close(client, NOT_SIGNED_IN, 'begin with {"type":"authenticate","data":{"token":…}}')
            return
        match message:
            case said.Authenticate():
                self._authenticate(client, message.data.token)
            case said.Subscribe():
                self._subscribe(client, message.data)
            case said.Unsubscribe():
                self._unsubscribe(client, message.data)
            case said.Watch():
                self._watch(client, (message.data.gateway, message.data.device))
            case said.Unwatch():
                if self._watches.remove((message.data.gateway, message.data.device), client.number):
                    self._say_state(client, (message.data.gateway, message.data.device), "ended")
            case said.Ping():
                client.say(frame("pong", {}))

    def _authenticate(self, client: Client, secret: str) -> None:
        if client.credential is not None:
            client.say(frame("error", {"message": "this socket is signed in already"}))
            return

        def check() -> None:
            with self._app.app_context():
                found = check_token(secret)
            self._sockets.call(partial(self._let_in, client, found, secret))

        self._ask_store(client, check)

    def _let_in(self, client: Client, found: Caller | None, secret: str) -> None:
        if found is None:
            self._sockets.close(client, NOT_SIGNED_IN, "this token is worth nothing")
        elif why := problem(ACCESS, found):
            self._sockets.close(client, NOT_ALLOWED, why[:120])
        else:
            client.credential = Credential(found, secret)
            self._sockets.tell(client.number, frame("authenticated", {"name": found.name, "role": found.role}))

    def _subscribe(self, client: Client, wanted: said.Subscription) -> None:
        channels = frozenset(wanted.channels)
        if channels.isdisjoint(said.ALERT_CHANNELS):
            self._set_channels(client, client.channels | channels)
            self._say_channels(client, None)
            return

        def begin() -> None:
            self._sockets.call(partial(go_on, self._feed.listen(client.number, wanted.after)))

        def go_on(found: CaughtUp) -> None:
            if client.number not in self._sockets.clients:
                self._feed.leave(client.number)
                return
            before = client.channels
            self._set_channels(client, before | channels)
            self._say_channels(client, found.change)
            if found.missed:
                client.backlog.miss(found.missed)
            # Of what it listened to before it has been told.
            news = [one for wants, one in found.told if wants & client.channels and not wants & before]
            self._sockets.tell(client.number, *news)

        self._ask_store(client, begin)

    def _unsubscribe(self, client: Client, unwanted: said.Channels) -> None:
        self._set_channels(client, client.channels - set(unwanted.channels))
        if client.channels.isdisjoint(said.ALERT_CHANNELS):
            self._feed.leave(client.number)
        self._say_channels(client, None)

    def _set_channels(self, client: Client, channels: frozenset[str]) -> None:
        self._score_listeners += (said.SCORES in channels) - (said.SCORES in client.channels)
        client.channels = channels

    @staticmethod
    def _say_channels(client: Client, change: int | None) -> None:
        client.say(frame("subscribed", {"channels": sorted(client.channels), "change": change}))

    def _changed(self, told: Sequence[Told]) -> None:
        """Alerts have changed; from the thread of the feed."""
        self._sockets.call(partial(self._sockets.broadcast, told))

    # ------------------------------------------------------- live readings

    def _watch(self, client: Client, key: Key) -> None:
        self._say_state(client, key, self._watches.add(key, self._uptime(), socket=client.number))
        self._ask_gateways()

    @staticmethod
    def _say_state(client: Client, key: Key, state: str) -> None:
        client.say(readings.state_frame(key, state))

    def _ask_gateways(self) -> None:
        """Ask those that are due; a gateway ends its stream by itself when it is not asked again."""
        due = self._watches.due(self._uptime())
        if due:
            asks = [Ask(gateway, device, LEASE_SECONDS) for gateway, device in due]
            self._feed.ask(lambda: self._pass_on(asks))
        elif not len(self._watches):
            self._bridge.close()

    def _pass_on(self, asks: list[Ask]) -> None:
        """From the thread of the feed, which may wait."""
        if not self._bridge.ask(asks):
            for one in asks:
                self._sockets.call(partial(self._tell_state, (one.gateway, one.device), "no answer"))

    def _tell_state(self, key: Key, state: str) -> None:
        """Tell those who watch a device, if it is news."""
        if self._watches.heard(key, state, self._uptime()):
            for number in self._watches.sockets(key):
                self._sockets.tell(number, readings.state_frame(key, state))

    def _heard_live(self, heard: Heard) -> None:
        key = heard.gateway, heard.live.device
        watching = self._watches.sockets(key)
        self._tell_state(key, heard.live.state)
        if heard.live.readings and watching:
            told = readings.readings_frame(heard.gateway, heard.live)
            for number in watching:
                self._sockets.tell(number, told)
        if self._score_listeners:
            scores = [frame("score", score) for score in readings.scores(heard.gateway, heard.live)]
            self._sockets.broadcast([(frozenset((said.SCORES,)), one) for one in scores])

    def _listen_to_all(self, now: float) -> None:
        """While somebody listens to scores, the gateways heard last are asked for those of all their devices."""
        if not self._score_listeners or now - self._asked_all < LEASE_SECONDS / 2:
            return
        self._asked_all = now

        def find() -> None:
            with reading(self._here.engine) as connection:
                names = fleet.newest_gateways(connection, limit=self._settings.gateways)
            self._sockets.call(partial(add, names))

        def add(names: list[str]) -> None:
            for name in names:
                self._watches.add((name, ""), self._uptime(), seconds=LEASE_SECONDS)
            self._ask_gateways()

        self._feed.ask(find)

    # ------------------------------------------------------- time passes

    def tick(self, now: float) -> None:
        """About once a second, while there are clients."""
        for client in list(self._sockets.clients.values()):
            if client.credential is None and now - client.since > SIGN_IN_SECONDS:
                self._sockets.close(client, NO_TOKEN_IN_TIME, "no token came")
        for key in self._watches.fallen_silent(now):
            for number in self._watches.sockets(key):
                self._sockets.tell(number, readings.state_frame(key, "no answer"))
        self._listen_to_all(now)
        self._ask_gateways()
        if now - self._rechecked >= RECHECK_SECONDS:
            self._rechecked = now
            shown = [(one, one.credential) for one in self._sockets.clients.values() if one.credential is not None]
            self._feed.ask(lambda: self._recheck(shown))

    def _recheck(self, shown: list[tuple[Client, Credential]]) -> None:
        """Close the sockets of those who have signed out, or may no longer listen; from the thread of the feed."""
        found: dict[str, Caller | None] = {}
        for client, credential in shown:
            if credential.secret not in found:
                found[credential.secret] = self._still(credential)
            now = found[credential.secret]
            why = "the session or token has ended" if now is None else problem(ACCESS, now)
            if why:
                code = NOT_SIGNED_IN if now is None else NOT_ALLOWED
                self._sockets.call(partial(self._sockets.close, client, code, why[:120]))

    def _still(self, credential: Credential) -> Caller | None:
        with self._app.app_context():
            if credential.caller.kind == "token":
                return check_token(credential.secret)
            with reading(self._here.engine) as connection:
                user = sessions.find_session(connection, credential.secret, self._here.now())
            return None if user is None else caller_of(user)

    def _ask_store(self, client: Client, question: Callable[[], None]) -> None:
        """Ask something of the store for a client, who may not ask without end."""
        client.asked += 1

        def ask() -> None:
            problem = "the store does not answer; try again"
            try:
                question()
                problem = ""
            finally:
                self._sockets.call(partial(answered, problem))

        def answered(problem: str) -> None:
            client.asked -= 1
            if problem:
                client.say(frame("error", {"message": problem}))
            while client.waiting and not client.asked and client.is_open:
                self._follow(client, client.waiting.popleft())
            self._sockets.flush(client)

        self._feed.ask(ask)


def attach(app: Flask, settings: LiveSection) -> Exchange:
    """Give an application its exchange."""
    made = Exchange(app, settings)
    app.extensions[_EXTENSION] = made
    return made


def exchange() -> Exchange:
    """The exchange of the application that handles this request."""
    found = current_app.extensions[_EXTENSION]
    assert isinstance(found, Exchange)  # noqa: S101  # `attach` has put it there
    return found


def stop(app: Flask | None) -> None:
    """Close the sockets of an application, if it came so far as to have any."""
    found = app.extensions.get(_EXTENSION) if app is not None else None
    if isinstance(found, Exchange):
        found.stop()
