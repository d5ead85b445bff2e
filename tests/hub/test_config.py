"""The configuration is validated as a whole: every mistake in one go, with its place and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import vedette_hub
from vedette_hub.cli import main
from vedette_hub.config import Config, load
from vedette_hub.errors import ConfigurationError

EXAMPLE = Path(vedette_hub.__file__).parent / "hub.toml"
REPOSITORY = Path(__file__).parents[2]

BAD = """\
[hub]
log_levl = "info"
silent_after = "soon"

[broker]
url = "tcp://broker"
password_file = "missing"
keep_alive = 1

[wbe]
port = 1

[web]
port = 99999
"""


def problems(path: Path | None, environment: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(path, environment)
    return caught.value.problems


def test_all_mistakes_are_said_at_once_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text(BAD)
    found = sorted(problems(path, {}))
    expected = {
        2: 'hub.log_levl: unknown key, did you mean "log_level"?',
        3: "hub.silent_after: input should be a valid number, not 'soon'",
        6: "broker.url: write it as mqtt://",
        7: "broker.password_file: there is no file",
        8: "broker.keep_alive: input should be greater than or equal to 5, not 1",
        10: 'wbe: unknown section, did you mean "web"?',
        14: "web.port: input should be less than or equal to 65535, not 99999",
    }
    assert len(found) == len(expected)
    for line, text in expected.items():
        assert any(problem.startswith(f"{path}:{line} {text}") for problem in found), (line, found)


def test_a_file_that_cannot_be_looked_at_is_said_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    for name, said in (("x" * 300, "cannot be looked at: File name too long"), (".", "is no file")):
        path.write_text(f'[broker]\nurl = "mqtt://127.0.0.1"\npassword_file = "{name}"\n')
        (found,) = problems(path, {})
        assert found.startswith(f"{path}:3 broker.password_file: {tmp_path}")
        assert said in found


def test_the_environment_wins_and_meets_the_same_validation(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text("[web]\nport = 1\n")
    config = load(
        path, {"VEDETTE_HUB_WEB_PORT": "8081", "VEDETTE_HUB_STATE_DIR": "/x", "VEDETTE_HUB_BROKER_USERNAME": "1"}
    )
    assert (config.web.port, config.hub.state_dir, config.broker.username) == (8081, "/x", "1")
    assert problems(path, {"VEDETTE_HUB_WEB_PORT": "many", "VEDETTE_HUB_WEB_PROT": "1"}) == [
        'environment VEDETTE_HUB_WEB_PROT: unknown variable, did you mean "VEDETTE_HUB_WEB_PORT"?',
        "environment VEDETTE_HUB_WEB_PORT: web.port: input should be a valid integer, not 'many'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[web\n", ":1 column 5"),
        ("a = 1\na = 2\n", ":2 column"),
        ("hub = 3\n", "hub: must be a section, written [hub]"),
        ('[broker]\nurl = "mqtt://u:secret@h"\n', "no user or password in the address"),
        ('[broker]\nurl = "mqtt://h:port"\n', ":2 broker.url"),
        ('[database]\nurl = "mysql://h/d"\n', ":2 database.url"),
        ('[broker]\ncert_file = "hub.toml"\n', "needs key_file as well"),
    ],
)
def test_a_single_mistake_is_explained(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "hub.toml"
    path.write_text(text)
    (found,) = problems(path, {})
    assert problem in found
    assert "secret" not in found


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    (tmp_path / "password").write_text("s3cret\n")
    path.write_text('[hub]\nstate_dir = "state"\n[broker]\npassword_file = "password"\n')
    config = load(path, {})
    assert config.state_dir == tmp_path / "state"
    assert config.broker_password() == "s3cret"
    (tmp_path / "password").write_text("\n")
    with pytest.raises(ConfigurationError, match="is empty"):
        config.broker_password()


def test_the_commented_example_holds_every_key_with_its_default(tmp_path: Path) -> None:
    lines = [line.removeprefix("#") for line in EXAMPLE.read_text().splitlines()]
    values = [line for line in lines if line.startswith("[") or (" = " in line and not line.startswith(" "))]
    path = tmp_path / "hub.toml"
    path.write_text("\n".join(values))
    defaults = Config()
    assert load(path, {}) == defaults
    written = {line.split(" = ")[0] for line in values if " = " in line}
    assert written == {key for section in defaults.model_dump().values() for key in section}


def test_an_unknown_algorithm_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r'there is no algorithm "magic"; there are .*isolation_forest'):
        load(None, {"VEDETTE_HUB_LEARNING_ALGORITHM": "magic"})


def test_the_example_in_configs_is_the_one_the_package_ships() -> None:
    assert (REPOSITORY / "configs" / "hub.toml").read_text() == EXAMPLE.read_text()


def test_config_check_ends_with_code_2_and_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text(BAD)
    result = CliRunner().invoke(main, ["config", "check", "--config", str(path)])
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 7
    assert CliRunner().invoke(main, ["config", "check", "--config", str(tmp_path / "none")]).exit_code == 2


def test_config_init_writes_a_sound_file_and_never_over_one(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    assert CliRunner().invoke(main, ["config", "init", str(path)]).exit_code == 0
    assert CliRunner().invoke(main, ["config", "check", "--config", str(path)]).exit_code == 0
    again = CliRunner().invoke(main, ["config", "init", str(path)])
    assert again.exit_code == 1
    assert "there is a file already" in again.stderr


def test_tokens_are_made_listed_and_revoked(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text('[hub]\nstate_dir = "state"\n')

    def token(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, ["token", *arguments, "--config", str(path)])
        return result.exit_code, result.stdout, result.stderr

    code, secret, _ = token("create", "ana")
    assert code == 0
    assert secret.startswith("vedette_")
    assert secret.strip().encode() not in (tmp_path / "state" / "hub.db").read_bytes()
    assert "there is one already" in token("create", "ana")[2]
    assert '"name": "ana"' in token("list", "--json")[1]
    assert token("revoke", "ana")[0] == 0
    assert "revoked" in token("list")[1]
    assert token("revoke", "ana")[0] == 1
    assert token("revoke", "ben")[0] == 1
