"""The report: 80 columns, nothing that a terminal obeys, and the same for programs."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_agent.doctor.finding import OUTCOMES, Finding
from vedette_agent.doctor.report import WIDTH, as_json, as_text

words = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9), min_size=1, max_size=40)
text = words.map(" ".join)
findings = st.lists(
    st.builds(Finding, st.sampled_from(["dns", "acl write"]), text, st.sampled_from(OUTCOMES), text, text), max_size=5
)


@settings(derandomize=True, max_examples=80, deadline=None)
@given(findings)
def test_every_line_fits_a_terminal_and_obeys_nobody(found: list[Finding]) -> None:
    for line in as_text(found, 1.25):
        assert line.isprintable()
        longest = max((len(word) for word in line.split()), default=0)
        assert len(line) <= WIDTH or longest > WIDTH - 13


def test_it_reads_like_this() -> None:
    found = [
        Finding("dns", "hub", "ok", "hub.example.org is 10.1.2.3."),
        Finding("tcp", "hub", "failed", f"port 8883 {'is far away ' * 6}\x1b[31m.", "Open it."),
    ]
    assert "\n".join(as_text(found, 1.25)) == (
        "ok          hub dns: hub.example.org is 10.1.2.3.\n"
        "FAILED      hub tcp: port 8883 is far away is far away is far away is far away\n"
        "            is far away is far away \\x1b[31m.\n"
        "            fix: Open it.\n"
        "\n"
        "1 ok, 1 failed; 1.2 s"
    )
    answer = json.loads(as_json(found, 1.25, "line-3", "agent.toml"))
    assert (answer["ok"], answer["gateway"], answer["config"]) == (False, "line-3", "agent.toml")
    assert answer["findings"][0] == {
        "check": "dns",
        "subject": "hub",
        "outcome": "ok",
        "seen": "hub.example.org is 10.1.2.3.",
        "fix": "",
    }
