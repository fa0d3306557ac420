"""The settings: where they come from, what is refused, and how that is told."""

from pathlib import Path

import pytest

from streamkeep.errors import BadRequest
from streamkeep.settings import CONFIG_FILE, Settings, config_path, data_directory, default_store, read_settings


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_anything_the_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first run needs no setting."""
    monkeypatch.setenv("XDG_DATA_HOME", "/data")

    settings = read_settings({})

    assert ("127.0.0.1", 8000, []) == (settings.host, settings.port, settings.api_keys)
    assert "sqlite:////data/streamkeep/streams.db" == settings.store == default_store()


def test_the_data_folder_is_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    """`XDG_DATA_HOME`, or where it is by default."""
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/ada")

    assert Path("/home/ada/.local/share/streamkeep") == data_directory()


def test_what_is_given_wins_over_the_environment_and_that_over_the_file(
    in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flag, variable, file, default: the first that says something."""
    (in_empty_folder / CONFIG_FILE).write_text('port = 1\nretries = 1\nttl = 1\napi_keys = ["a", "b"]\n')
    monkeypatch.setenv("STREAMKEEP_PORT", "2")
    monkeypatch.setenv("STREAMKEEP_RETRIES", "2")

    settings = read_settings({"port": 3})

    assert (3, 2, 1, 60, ["a", "b"]) == (
        settings.port,
        settings.retries,
        settings.ttl,
        settings.timeout_idle,
        settings.api_keys,
    )


def test_a_list_in_the_environment_is_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces around the parts do not count, and empty parts are none."""
    monkeypatch.setenv("STREAMKEEP_ALLOWED_HOSTS", " a.example, b.example,")

    assert ["a.example", "b.example"] == read_settings({}).allowed_hosts


def test_variables_that_are_no_settings_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands' own, a mistyped one, and an empty one."""
    for name in ("URL", "API_KEY", "RECORDINGS", "HOOST"):
        monkeypatch.setenv(f"STREAMKEEP_{name}", "anything")
    monkeypatch.setenv("STREAMKEEP_PORT", "")

    assert Settings() == read_settings({})
    assert 8000 == read_settings({}).port


def test_a_named_file_takes_the_place_of_the_usual_one(in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`STREAMKEEP_CONFIG` names it; it must be there."""
    (in_empty_folder / CONFIG_FILE).write_text("port = 1\n")
    (in_empty_folder / "other.toml").write_text("retries = 1\n")
    monkeypatch.setenv("STREAMKEEP_CONFIG", "other.toml")

    assert Path("other.toml") == config_path()
    assert (8000, 1) == (read_settings({}).port, read_settings({}).retries)
    monkeypatch.setenv("STREAMKEEP_CONFIG", "missing.toml")
    with pytest.raises(BadRequest, match=r"no settings file missing\.toml; STREAMKEEP_CONFIG names it"):
        read_settings({})


@pytest.mark.parametrize(
    "text, words",
    [
        ("prot = 1", r"no setting prot, which streamkeep\.toml names"),
        ("port = 70000", r"port in streamkeep\.toml: input should be less than or equal to 65535"),
        ("port =", r"streamkeep\.toml is no TOML"),
        ("[server]\nport = 1", "no setting server"),
        ("synchronous = 'maybe'", "'normal' or 'full'"),
    ],
)
def test_a_wrong_file_is_refused_by_name(text: str, words: str, in_empty_folder: Path) -> None:
    """The setting, the file and what is wrong with it."""
    (in_empty_folder / CONFIG_FILE).write_text(text)

    with pytest.raises(BadRequest, match=words):
        read_settings({})


def test_a_file_that_cannot_be_read_is_told(in_empty_folder: Path) -> None:
    """Bytes that are no text."""
    (in_empty_folder / CONFIG_FILE).write_bytes(b"\xff\xfe")

    with pytest.raises(BadRequest, match="cannot be read"):
        read_settings({})


def test_a_wrong_variable_or_option_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name it was set with, and without its value: it may be a secret."""
    monkeypatch.setenv("STREAMKEEP_TIMEOUT_IDLE", "hunter2")
    with pytest.raises(BadRequest, match=r"^STREAMKEEP_TIMEOUT_IDLE: input should be a valid number") as refused:
        read_settings({})
    assert "hunter2" not in str(refused.value)

    with pytest.raises(BadRequest, match=r"^--max-body: input should be greater than or equal to 1024"):
        read_settings({"timeout_idle": 1.0, "max_body": 1})


def test_the_policy_is_made_of_the_settings() -> None:
    """What a start that says nothing gets."""
    policy = read_settings({"retries": 1, "timeout_idle": 5.0, "ttl": 9.0}).policy

    assert (1, 5.0, 10.0, 9.0) == (policy.retries, policy.timeouts.idle, policy.timeouts.connect, policy.ttl)


def test_keys_are_not_printed() -> None:
    """A settings object in a log shows none."""
    assert "hunter2" not in repr(read_settings({"api_keys": ["hunter2"]}))
