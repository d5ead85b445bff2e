"""Rejections: the reasons for which an artefact or a manifest is refused, as codes that travel in reports."""

from __future__ import annotations

from enum import StrEnum


class Rejection(StrEnum):
    """Why something the hub sent was not taken. Every kind of fault has a code of its own."""

    # Of both.
    TOO_LARGE = "too_large"
    """More bytes than are ever read."""
    MALFORMED = "malformed"
    """Not the grammar at all."""
    NEWER_FORMAT = "newer_format"
    """Made by a newer release in a format that this one would misunderstand."""

    # Of an artefact's bytes.
    WRONG_HASH = "wrong_hash"
    """The bytes are not those that were asked for."""
    UNKNOWN_CONTAINER = "unknown_container"
    """Neither a zlib stream nor a plain one."""
    CORRUPT = "corrupt"
    """The compressed stream is damaged."""
    TRUNCATED = "truncated"
    """The bytes end too early."""
    TRAILING_DATA = "trailing_data"
    """Something follows the end."""
    EXPANDS_TOO_FAR = "expands_too_far"
    """Expands to more than is ever kept in memory."""

    # Of what the bytes say.
    FORBIDDEN_OPERATION = "forbidden_operation"
    """An operation that data does not need, such as calling something."""
    FORBIDDEN_NAME = "forbidden_name"
    """Names something to import."""
    TOO_MANY_OPERATIONS = "too_many_operations"
    TOO_DEEP = "too_deep"
    """Containers nested further than any model needs."""
    LONG_TEXT = "long_text"
    FORBIDDEN_TYPE = "forbidden_type"
    """An array of something else than numbers."""
    BAD_SHAPE = "bad_shape"
    """An array's shape is no shape, or claims more than the bytes hold."""

    # Of a model's contents.
    MISSING_FIELD = "missing_field"
    WRONG_FIELD = "wrong_field"
    """A field of the wrong type or outside its range."""
    UNKNOWN_DETECTOR = "unknown_detector"
    OTHER_PROFILE = "other_profile"
    OTHER_CHANNELS = "other_channels"
    OTHER_FEATURES = "other_features"
    """Learnt from features that this release does not compute."""
    OTHER_ARRAYS = "other_arrays"
    """Arrays or parameters missing, unknown, or of other types than the detector's."""
    NOT_FINITE = "not_finite"
    SHAPES_DISAGREE = "shapes_disagree"
    BROKEN_STRUCTURE = "broken_structure"
    """For example a tree that is none."""
    NO_GOLDEN_INPUTS = "no_golden_inputs"
    GOLDEN_MISMATCH = "golden_mismatch"
    """Scores something else here than where it was trained."""

    # Of a model on probation.
    CRASHED = "crashed"
    """It raised an error while scoring, said what is no score, or the agent ended time and again while it ran."""
    TOO_SLOW = "too_slow"
    """Scoring costs more than the budget."""
    TOO_MANY_ALERTS = "too_many_alerts"
    """It exceeds its boundary more often than the model before it, on the same readings."""

    # Of a manifest.
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    FOREIGN_GATEWAY = "foreign_gateway"
    EXPIRED = "expired"
    NOT_YET_ISSUED = "not_yet_issued"
    """Issued in the future: this clock or the hub's is wrong, so nothing can be said about expiry."""
    REPLAYED = "replayed"
    """Has the counter of the manifest accepted last."""
    ROLLED_BACK = "rolled_back"
    """Has a lower counter than the manifest accepted last."""
    COUNTER_LOST = "counter_lost"
    """This gateway has lost its counter, and the manifest does not echo the nonce of its status."""


class Rejected(ValueError):  # noqa: N818  # a verdict on what was sent, not an error of ours
    """Something the hub sent was refused: `reason` is the code, the text says what was found."""

    def __init__(self, reason: Rejection, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class ArtifactRejected(Rejected):
    """Bytes that are no model this gateway will run."""


class ManifestRejected(Rejected):
    """Bytes that are no order this gateway will follow."""
