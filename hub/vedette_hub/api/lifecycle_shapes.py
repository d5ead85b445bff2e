"""What API requests and answers about silences, maintenance windows, severity rules and labels look like.

Times are as in `shapes`.
"""

from __future__ import annotations

import zoneinfo
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from vedette_hub.alerts.accuracy import Accuracy
from vedette_hub.alerts.lifecycle import LabelValue
from vedette_hub.alerts.maintenance import LONGEST_SECONDS, Window
from vedette_hub.alerts.matching import MAX_PATTERNS, Matchers
from vedette_hub.alerts.severity import SeverityRule
from vedette_hub.alerts.suppression import Silence
from vedette_hub.api.shapes import COMMENT_LENGTH, AlertOut, CommentIn, Seconds
from vedette_hub.store.alerts import ActionName
from vedette_hub.store.label_counts import By
from vedette_hub.store.schema import NAME_LENGTH
from vedette_hub.store.severity_rules import MAX_RULES, StoredRule
from vedette_hub.times import rfc3339
from vedette_models.messages import Severity

BULK = 500
"""Alerts of one request."""
YEAR = 366 * 86_400.0
LATEST = 1e11
"""Latest time that is taken, seconds since 1970; in the year 5138."""

_Comment = Annotated[str, Field(max_length=COMMENT_LENGTH)]
_Name = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH)]
_Patterns = Annotated[list[_Name], Field(max_length=MAX_PATTERNS)]
_Time = Annotated[Seconds, Field(ge=0, le=LATEST)]


def _zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone that is known here; write one such as Europe/Berlin, or UTC") from None
    return name


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AssignIn(CommentIn):
    """Who is to look after an alert."""

    assignee: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        description="Name of a user; null: nobody any more."
    )


class AlertKey(_Strict):
    """Which alert."""

    gateway: _Name
    id: _Name


class BulkIn(CommentIn):
    """What to do about several alerts."""

    action: ActionName
    alerts: Annotated[list[AlertKey], Field(min_length=1, max_length=BULK)]
    label: LabelValue | None = Field(None, description="With the action `label`; null takes it back.")
    assignee: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None, description="With the action `assign`; null: nobody any more."
    )

    @field_validator("label", "assignee")
    @classmethod
    def _belongs_to_its_action(cls, value: str | None, info: ValidationInfo) -> str | None:
        needed = {"label": "label", "assignee": "assign"}[str(info.field_name)]
        if value is not None and info.data.get("action", needed) != needed:
            raise ValueError(f"goes with the action {needed} only")
        return value

    def missing(self) -> str | None:
        """The field that the action needs, and that was not sent; null has to be written."""
        needed = {"label": "label", "assign": "assignee", "comment": "comment"}.get(self.action)
        return None if needed is None or needed in self.model_fields_set else needed


class BulkOut(BaseModel):
    """What came of it."""

    alerts: list[AlertOut]
    missing: list[AlertKey]
    """Those that are not there."""


class MatchersIn(_Strict):
    """Which alerts: in each list that is not empty, one pattern must match. `*`: any characters; `?`: one."""

    gateway: _Patterns = []
    device: _Patterns = []
    profile: _Patterns = []
    kind: _Patterns = []
    severity: Annotated[list[Severity], Field(max_length=MAX_PATTERNS)] = []

    def matchers(self) -> Matchers:
        """What the store keeps."""
        return Matchers.of(self.model_dump())


def _named(given: MatchersIn) -> MatchersIn:
    if not given.matchers().patterns():
        raise ValueError('say which alerts; for all of them write {"gateway": ["*"]}')
    return given


class _Period(_Strict):
    matchers: Annotated[MatchersIn, AfterValidator(_named)]

    @field_validator("end", check_fields=False)
    @classmethod
    def _ends_after_it_begins(cls, value: float | None, info: ValidationInfo) -> float | None:
        start = info.data.get("start")
        if value is not None and start is not None and not 0 < value - start <= YEAR:
            raise ValueError("must be later than start, and not by more than a year")
        return value


class SilenceIn(_Period):
    """Alerts that nobody wants to hear of for some time."""

    start: _Time | None = Field(None, description="null: now.")
    end: _Time
    comment: _Comment = ""


class SilenceOut(BaseModel):
    """A silence."""

    number: int
    matchers: dict[str, list[str]]
    start: float
    start_at: str | None
    end: float
    end_at: str | None
    holds: bool
    """Whether it is in force now."""
    comment: str
    created: float
    created_by: str
    ended_by: str
    """Who ended it before its time; empty: nobody did."""


class SilencesQuery(BaseModel):
    """Which silences."""

    model_config = ConfigDict(extra="forbid")

    past: Literal["true", "false"] = Field("false", description="`true`: those that are over.")


class SilencesOut(BaseModel):
    """Silences: those that end first first, or past ones, the newest first."""

    silences: list[SilenceOut]


class WindowIn(_Period):
    """A time at which alerts are expected."""

    name: _Name
    start: _Time
    end: _Time
    weekly: bool = Field(False, description="It comes again every week, at the same time of day.")
    timezone: Annotated[str, Field(max_length=64), AfterValidator(_zone)] = "UTC"
    until: _Time | None = Field(None, description="A weekly window does not begin any more at this time or later.")
    comment: _Comment = ""

    @field_validator("weekly")
    @classmethod
    def _shorter_than_a_week(cls, value: bool, info: ValidationInfo) -> bool:
        start, end = info.data.get("start"), info.data.get("end")
        if value and start is not None and end is not None and end - start > LONGEST_SECONDS:
            raise ValueError("a window that comes every week lasts a week at most")
        return value

    @field_validator("until")
    @classmethod
    def _weekly_only(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("weekly") is False:
            raise ValueError("is for windows that come every week")
        return value

    def window(self, number: int = 0, *, by: str = "", now: float = 0.0) -> Window:
        """The window, with this number."""
        given = {name: getattr(self, name) for name in type(self).model_fields if name != "matchers"}
        return Window(number, matchers=self.matchers.matchers(), created=now, created_by=by, **given)


class WindowOut(BaseModel):
    """A maintenance window."""

    number: int
    name: str
    matchers: dict[str, list[str]]
    start: float
    start_at: str | None
    end: float
    end_at: str | None
    weekly: bool
    timezone: str
    until: float | None
    until_at: str | None
    holds: bool
    """Whether it is in force now."""
    next: float | None
    """When it begins next; null: never again."""
    next_at: str | None
    comment: str
    created: float
    created_by: str


class WindowsOut(BaseModel):
    """All maintenance windows, in the order in which they were made."""

    windows: list[WindowOut]


class RuleIn(_Strict):
    """Alerts that meet all conditions get this severity."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    severity: Severity
    matchers: MatchersIn = Field(MatchersIn(), description="`severity` in it is the gateway's.")
    score_at_least: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="Smallest score, in units of the threshold."
    )
    enabled: bool = True
    comment: _Comment = ""

    def rule(self) -> SeverityRule:
        """The rule."""
        return SeverityRule(
            self.name, self.severity, self.matchers.matchers(), self.score_at_least, self.enabled, self.comment
        )


class RulesIn(_Strict):
    """All rules, in the order in which they are asked; the first that applies counts."""

    rules: Annotated[list[RuleIn], Field(max_length=MAX_RULES)]

    @field_validator("rules")
    @classmethod
    def _names_differ(cls, value: list[RuleIn]) -> list[RuleIn]:
        names = [rule.name for rule in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two rules with the name {twice[0]!r}")
        return value


class RuleOut(BaseModel):
    """A rule for the severity of alerts."""

    name: str
    severity: Severity
    matchers: dict[str, list[str]]
    score_at_least: float | None
    enabled: bool
    comment: str
    changed: float
    changed_by: str


class RulesOut(BaseModel):
    """All rules, in the order in which they are asked."""

    rules: list[RuleOut]


class AccuracyQuery(BaseModel):
    """Which labels to look at, and by what to put them together."""

    model_config = ConfigDict(extra="forbid")

    by: By = "profile"
    since: Seconds | None = Field(None, description="Alerts opened at this time or later; without it, 90 days back.")
    until: Seconds | None = Field(None, description="Alerts opened before this time; without it, now.")


class AccuracyOut(BaseModel):
    """What people said about the alerts of a profile, a device or a detector."""

    name: str
    """Of the profile, the device or the detector."""
    gateway: str | None
    """Of the device."""
    alerts: int
    true: int
    false: int
    normal: int
    unlabelled: int
    precision: float | None
    """Share of those labelled true among all labelled; null: none is labelled."""
    precision_low: float | None
    precision_high: float | None
    """Wilson's 95 % interval: where the share lies, as far as so few labels tell."""
    device_weeks: float | None
    """How long devices were watched, all together: of a profile what gateways report since they began to count, of a
    device how long its gateway has been known within the time asked for; null: not known."""
    false_per_device_week: float | None
    """Of a profile: alerts that gateways counted in `device_weeks`, without those of kind `anomaly` labelled true. Of
    a device: those labelled false or normal."""


class AccuraciesOut(BaseModel):
    """Accuracy, those with the most false alarms first; at most 500."""

    by: By
    since: float
    since_at: str | None
    until: float
    until_at: str | None
    groups: list[AccuracyOut]
    more: bool
    """Whether there are more than these."""

    @classmethod
    def of(cls, by: By, since: float, until: float, found: list[Accuracy], limit: int) -> Self:
        """An answer with the first `limit` of what was found."""
        groups = [AccuracyOut.model_validate(one.fields()) for one in found[:limit]]
        return cls(
            by=by,
            since=since,
            since_at=rfc3339(since),
            until=until,
            until_at=rfc3339(until),
            groups=groups,
            more=len(found) > limit,
        )


def silence_answer(silence: Silence, now: float) -> dict[str, Any]:
    """Fields of `SilenceOut`."""
    return {
        **vars(silence),
        "matchers": silence.matchers.patterns(),
        "start_at": rfc3339(silence.start),
        "end_at": rfc3339(silence.end),
        "holds": silence.holds(now),
    }


def window_answer(window: Window, now: float) -> dict[str, Any]:
    """Fields of `WindowOut`."""
    following = window.next_start(now)
    return {
        **vars(window),
        "matchers": window.matchers.patterns(),
        "start_at": rfc3339(window.start),
        "end_at": rfc3339(window.end),
        "until_at": rfc3339(window.until),
        "holds": window.period(now) is not None,
        "next": following,
        "next_at": rfc3339(following),
    }


def rule_answer(stored: StoredRule) -> dict[str, Any]:
    """Fields of `RuleOut`."""
    rule = stored.rule
    return {
        **vars(rule),
        "matchers": rule.matchers.patterns(),
        "changed": stored.changed,
        "changed_by": stored.changed_by,
    }
