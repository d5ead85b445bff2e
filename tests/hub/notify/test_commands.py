"""`vedette-hub channel` and `route`: who is told of what, said on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vedette_hub import state
from vedette_hub.cli import main
from vedette_hub.config import Config
from vedette_hub.hub import open_database
from vedette_hub.notify.sealing import Seal
from vedette_hub.store.channels import get_channel
from vedette_hub.store.database import reading


class CommandLine:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "hub.toml"
        self.path.write_text('[hub]\nstate_dir = "state"\n')
        self.config = Config.model_validate({"hub": {"state_dir": str(folder / "state")}})

    def __call__(self, *arguments: str, typed: str = "") -> Result:
        return CliRunner().invoke(main, [*arguments, "--config", str(self.path)], input=typed)


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_channels_and_routes_are_added_listed_and_removed(command_line: CommandLine) -> None:
    mail = ("--set", "host=mail.example", "--set", "port=465", "--set", "security=tls", "--set", "sender=h@p.example")
    added = command_line(
        "channel", "add", "mail", "email", *mail, "--set", "to=a@p.example, b@p.example", typed="password=pw=1\n"
    )
    assert added.exit_code == 0, added.stderr
    hook = command_line("channel", "add", "hook", "webhook", typed="url=https://hooks.example/T0P\n")
    assert hook.stdout.startswith("whsec_")
    with reading(open_database(command_line.config)) as connection:
        kept = get_channel(connection, "mail")
    assert kept.settings["to"] == ["a@p.example", "b@p.example"]
    assert Seal(state.channel_key(command_line.config.state_dir)).open(kept.sealed) == {"password": "pw=1"}
    listed = command_line("channel", "list", "--json").stdout
    assert [one["name"] for one in json.loads(listed)] == ["hook", "mail"]
    assert "T0P" not in listed
    assert "pw=1" not in listed
    routed = command_line("route", "add", "pumps", "mail", "hook", "--profile", "pump", "--severity", "critical")
    assert routed.exit_code == 0, routed.stderr
    assert "pumps\thook, mail\tprofile pump; severity critical\tenabled" in command_line("route", "list").stdout
    refused = command_line("channel", "remove", "mail")
    assert (refused.exit_code, "the routes pumps lead to it" in refused.stderr) == (1, True)
    assert command_line("route", "remove", "pumps").exit_code == 0
    assert command_line("channel", "remove", "mail").exit_code == 0


def test_mistakes_are_sentences(command_line: CommandLine) -> None:
    for arguments, typed, words in (
        (("channel", "add", "hook", "webhook"), "url=http://h.example/\n", "settings.url: write https://"),
        (("channel", "add", "hook", "webhook"), "colour=red\n", "NAME one of url, secret"),
        (("channel", "add", "log", "log", "--set", "level"), "", "write it as NAME=VALUE"),
        (("channel", "add", "a b", "log"), "", "name: write 1 to 64"),
        (("channel", "remove", "nobody"), "", "there is no channel 'nobody'"),
        (("channel", "test", "nobody"), "", "there is no channel 'nobody'"),
        (("route", "add", "r", "nobody"), "", "there is no channel 'nobody'"),
    ):
        found = command_line(*arguments, typed=typed)
        assert (found.exit_code, words in found.stderr) == (1, True), (arguments, found.stderr)


def test_a_test_without_a_running_hub_says_so(command_line: CommandLine) -> None:
    command_line("channel", "add", "log", "log")
    found = command_line("channel", "test", "log", "--wait", "0")
    assert (found.exit_code, "is the hub running" in found.stderr) == (1, True)
