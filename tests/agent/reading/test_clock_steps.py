"""What a batch says when our own clock was set before it."""

from __future__ import annotations

from vedette_agent.config.models import Limits, Stream, TimePolicy
from vedette_agent.mqtt.message import Message
from vedette_agent.reading.decoding.decoder import Decoder
from vedette_agent.reading.health.listening import Listening
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_agent.reading.stages import Outcome, Stages
from vedette_agent.reading.telemetry import Batch
from vedette_models.messages import ClockSet
from vedette_models.profile import Channel, Profile
from vedette_models.readings import Quality

NOW = 1_790_000_000.0
UNSET = int(Quality.GATEWAY_UNSET)


class Gateway:
    def __init__(self) -> None:
        profile = Profile("pump", (Channel("vibration", low=0.0, high=50.0),))
        watch = ProfileWatch(profile, "gw", "epoch", 10)
        limits, policy = Limits(), TimePolicy()
        streams = [Stream(topic="plant/{device}/telemetry", profile="pump")]
        decoder = Decoder(streams, {"pump": profile}, policy, limits, {"pump": watch.table})
        self.stages = Stages(decoder, {"pump": watch}, traced=False, listening=Listening(), time=policy, limits=limits)

    def hear(self, value: float, now: float, uptime: float, quality: int = 0) -> Outcome:
        message = Message("plant/p/telemetry", f'{{"vibration": {value}}}'.encode(), 1)
        outcome = self.stages.process(Batch([message], [False], now, lambda _batch: None, uptime, quality))
        assert outcome.scored == 1
        return outcome


def test_a_step_is_reported_once_with_what_the_clock_was_worth_before() -> None:
    gateway = Gateway()
    assert gateway.hear(1.0, 60.0, 60.0, UNSET).reports == []
    [report] = gateway.hear(1.0, NOW, 61.0).reports
    assert report.clock_set == ClockSet(NOW - 61.0, UNSET)
    assert (report.time, report.time_quality) == (NOW, 0)
    assert gateway.hear(1.0, NOW + 1.0, 62.0).reports == []
    outcome = gateway.hear(1.0, NOW - 86_399.0, 63.0)
    assert outcome.durable
    assert outcome.reports[0].clock_set == ClockSet(-86_401.0, 0)
    assert gateway.hear(1.0, NOW - 86_397.0, 64.0).reports == [], "a second is a correction, not a step"


def test_every_event_of_an_unset_clock_is_marked_also_the_one_that_ends_an_alert() -> None:
    gateway = Gateway()
    assert not gateway.hear(1.0, NOW, 1.0).alerts
    [raised] = gateway.hear(99.0, NOW + 1.0, 2.0).alerts
    assert raised.time_quality == Quality.ARRIVAL_TIME
    cleared = []
    for i in range(20):
        cleared += gateway.hear(1.0, NOW + 2.0 + i, 3.0 + i, UNSET).alerts
    assert [(event.state, event.time_quality) for event in cleared] == [("cleared", UNSET | Quality.ARRIVAL_TIME)]
