"""local/settings.py and local/credentials.py: where an installation is and what only it knows."""

import json
import stat
import threading
from dataclasses import asdict
from pathlib import Path

import pytest

from local.credentials import Credentials, key_hash
from local.install import ROOT
from local.settings import RealWindmill, SettingsError, load, read_env_file


def test_defaults_are_the_documented_ones() -> None:
    settings = load({})
    assert settings.data_dir == ROOT / ".data"
    assert (settings.gateway_url, settings.api_url) == ("http://127.0.0.1:3000", "http://127.0.0.1:4000")
    assert (settings.windmill_url, settings.simulator_url) == ("http://127.0.0.1:8081", "http://127.0.0.1:3100")
    assert settings.database_url is None


@pytest.mark.parametrize("url", ["nonsense", "http://h/d", "postgresql://h", "postgresql://h/", "dbname=d"])
def test_an_address_that_is_no_databases_is_named(url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL must be an address"):
        load({"DATABASE_URL": url})


def test_two_installations_are_told_apart_by_variables() -> None:
    settings = load({"DATA_DIR": "elsewhere", "GATEWAY_PORT": "17001", "DATABASE_URL": "postgresql://h/d"})
    assert settings.data_dir == ROOT / "elsewhere"
    assert settings.gateway_url == "http://127.0.0.1:17001"
    assert settings.database_url == "postgresql://h/d"


WINDMILL = {"WINDMILL_URL": "http://127.0.0.1:8000/", "WINDMILL_TOKEN": "word", "WINDMILL_WORKSPACE": "shop"}


def test_a_real_windmill_takes_the_place_of_the_engine() -> None:
    settings = load(WINDMILL)
    assert settings.real_windmill == RealWindmill("http://127.0.0.1:8000", "word", "shop")
    assert settings.windmill_url == "http://127.0.0.1:8000"
    assert load(WINDMILL | {"WINDMILL_URL": ""}).real_windmill is None, "the others say nothing by themselves"
    assert load(WINDMILL | {"WINDMILL_WORKSPACE": "local"}).real_windmill is None, "the engine's own, from ./dev env"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"WINDMILL_TOKEN": ""}, "WINDMILL_TOKEN is not"),
        ({"WINDMILL_TOKEN": "", "WINDMILL_WORKSPACE": ""}, "WINDMILL_TOKEN and WINDMILL_WORKSPACE are not"),
        ({"WINDMILL_URL": "127.0.0.1:8000"}, "must be an address such as"),
        ({"WINDMILL_URL": "http://127.0.0.1:8000/api"}, "without a path"),
    ],
)
def test_half_of_a_real_windmill_is_named(given: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load(WINDMILL | given)


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "３０００"])
def test_a_port_that_is_none_is_named(port: str) -> None:
    with pytest.raises(SettingsError, match="API_PORT is"):
        load({"API_PORT": port})


def test_an_env_file_is_read_as_people_write_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# ports\nGATEWAY_PORT=3900 # ours\n\nexport API_PORT=3901\nNAME='two words'\nURL=\"http://x/#y\"\nEMPTY=\n"
    )
    assert read_env_file(tmp_path / ".env") == {
        "GATEWAY_PORT": "3900",
        "API_PORT": "3901",
        "NAME": "two words",
        "URL": "http://x/#y",
        "EMPTY": "",
    }


@pytest.mark.parametrize("line", ["JUST_A_WORD", "A=b c", "A='open"])
def test_a_line_that_is_no_assignment_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"A=1\n{line}\n")
    with pytest.raises(SettingsError, match=r"\.env, line 2"):
        read_env_file(tmp_path / ".env")


def test_credentials_are_made_once_and_private(tmp_path: Path) -> None:
    first = Credentials.load(tmp_path / "data")
    assert Credentials.load(tmp_path / "data") == first
    assert stat.S_IMODE((tmp_path / "data" / "secrets.json").stat().st_mode) == 0o600
    assert len(set(asdict(first).values())) == len(asdict(first))


def test_an_older_file_keeps_its_values_and_gets_the_new_ones(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text(json.dumps({"windmill_token": "kept"}))
    credentials = Credentials.load(tmp_path)
    assert credentials.windmill_token == "kept"
    assert credentials.app_password
    assert json.loads((tmp_path / "secrets.json").read_text()) == asdict(credentials)


def test_two_first_starts_at_once_agree(tmp_path: Path) -> None:
    seen: list[Credentials] = []
    threads = [threading.Thread(target=lambda: seen.append(Credentials.load(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [seen[0]] * 8


def test_neither_a_trace_nor_the_database_shows_a_secret(tmp_path: Path) -> None:
    credentials = Credentials.load(tmp_path)
    assert credentials.demo1_api_key not in repr(credentials)
    assert len(key_hash(credentials.demo1_api_key)) == 64
