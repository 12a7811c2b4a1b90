import re
import subprocess
from ipaddress import ip_network
from pathlib import Path

import pytest
from gateway_fakes import ROOT, SECRET, TOKEN, start

from gateway import config
from gateway.config import VARIABLES, Config, ConfigError
from gateway.signature import AppSecret

COMPLETE = {
    "META_APP_SECRETS": "1:one, 2:two",
    "META_VERIFY_TOKEN": "verify-me",
    "WINDMILL_URL": "http://127.0.0.1:8081/",
    "WINDMILL_WORKSPACE": "local",
    "WINDMILL_TOKEN": "token",
}


def load(**changes: str) -> Config:
    return config.load(COMPLETE | changes)


def test_the_least_that_is_needed() -> None:
    loaded = load()
    assert loaded.app_secrets == (AppSecret("1", b"one"), AppSecret("2", b"two"))
    assert loaded.windmill_url == "http://127.0.0.1:8081"
    assert (loaded.host, loaded.port, loaded.trusted_proxies) == ("127.0.0.1", 3000, ())


def test_a_single_secret_stands_beside_the_list_or_alone() -> None:
    assert load(META_APP_SECRET="three", META_APP_ID="3").app_secrets[-1] == AppSecret("3", b"three")
    assert load(META_APP_SECRETS="", META_APP_SECRET="three").app_secrets == (AppSecret("", b"three"),)


def test_an_app_may_have_two_secrets_and_a_secret_may_hold_colons() -> None:
    assert load(META_APP_SECRETS="1:a:b,1:c").app_secrets == (AppSecret("1", b"a:b"), AppSecret("1", b"c"))


def test_networks_of_both_families() -> None:
    assert load(TRUSTED_PROXIES="10.0.0.0/8, ::1").trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("META_APP_SECRETS", ""),
        ("META_APP_SECRETS", "only-a-secret"),
        ("META_APP_SECRETS", "1:"),
        ("META_APP_SECRETS", ":secret"),
        ("META_VERIFY_TOKEN", ""),
        ("META_VERIFY_TOKEN", "  "),
        ("WINDMILL_URL", ""),
        ("WINDMILL_URL", "127.0.0.1:8081"),
        ("WINDMILL_URL", "ftp://windmill"),
        ("WINDMILL_URL", "http://[broken"),
        ("WINDMILL_WORKSPACE", ""),
        ("WINDMILL_WORKSPACE", "a/../b"),
        ("WINDMILL_TOKEN", ""),
        ("WINDMILL_TOKEN", "two\r\nlines"),
        ("GATEWAY_PORT", "http"),
        ("GATEWAY_PORT", "65536"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "proxy.internal"),
        ("GATEWAY_UNVERIFIED_LIMIT", "many"),
        ("GATEWAY_SENDER_LIMIT", "many"),
        ("GATEWAY_SENDER_LIMIT", "30"),
        ("GATEWAY_SENDER_LIMIT", "30/fortnight"),
        ("GATEWAY_SENDER_LIMIT", "30/minute; 0/hour"),
        ("GATEWAY_SENDER_LIMIT", "-1/minute"),
        ("GATEWAY_NUMBER_LIMIT", "600/minute; 9000/month"),
        ("GATEWAY_LIMITS_URL", "127.0.0.1:6379"),
        ("GATEWAY_LIMITS_URL", "http://127.0.0.1:6379"),
        ("GATEWAY_LIMITS_URL", "valkey://"),
        ("GATEWAY_LIMITS_URL", "valkey://host:port"),
        ("GATEWAY_LIMITS_URL", "valkey://host:65536"),
        ("GATEWAY_LIMITS_URL", "valkey://host/zero"),
        ("GATEWAY_LIMITS_URL", "valkey://host?retry=yes"),
        ("GATEWAY_LIMITS_URL", "valkey://[broken"),
    ],
)
def test_what_is_missing_or_wrong_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(**{variable: value})
    assert len(caught.value.problems) == 1
    assert variable in caught.value.problems[0]


def test_limits_of_messages() -> None:
    assert [str(item) for item in load().sender_limit] == ["60 per 1 minute", "300 per 1 hour"]
    assert [str(item) for item in load().number_limit] == ["1200 per 1 minute"]
    assert [str(item) for item in load(GATEWAY_SENDER_LIMIT="5 per 10 seconds").sender_limit] == ["5 per 10 second"]
    assert load(GATEWAY_SENDER_LIMIT="off", GATEWAY_NUMBER_LIMIT="0").sender_limit == ()
    assert load(GATEWAY_SENDER_LIMIT="off", GATEWAY_NUMBER_LIMIT="0").number_limit == ()


def test_where_limits_are_counted() -> None:
    assert load().limits_url == load(GATEWAY_LIMITS_URL="memory://").limits_url == ""
    for url in ("valkey://host", "valkeys://:p4ss@host:6380/1", "redis://:p4ss@[::1]:6379", "rediss://host/"):
        assert load(GATEWAY_LIMITS_URL=url).limits_url == url


def test_the_token_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-the-file\n")
    assert load(WINDMILL_TOKEN="", WINDMILL_TOKEN_FILE=str(file)).windmill_token == "from-the-file"
    assert load(WINDMILL_TOKEN="given", WINDMILL_TOKEN_FILE=str(file)).windmill_token == "given"
    with pytest.raises(ConfigError, match=r"WINDMILL_TOKEN_FILE names .*, which cannot be read"):
        load(WINDMILL_TOKEN="", WINDMILL_TOKEN_FILE=str(tmp_path / "none"))


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        config.load({})
    assert len(caught.value.problems) == 5


def test_no_secret_shows_in_the_repr() -> None:
    shown = repr(
        load(
            META_APP_SECRETS="1:s3cret",
            META_VERIFY_TOKEN="v3rify",
            WINDMILL_TOKEN="t0ken",
            GATEWAY_LIMITS_URL="valkey://:p4ss@host",
        )
    )
    assert not re.search("s3cret|v3rify|t0ken|p4ss", shown)


@pytest.mark.parametrize("missing", [{}, {"META_APP_SECRETS": ""}, {"META_VERIFY_TOKEN": ""}, {"WINDMILL_TOKEN": ""}])
def test_the_process_refuses_to_start_without_a_secret(missing: dict[str, str]) -> None:
    process = start(subprocess.PIPE, **(missing or dict.fromkeys(COMPLETE, "")))
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 2
    for variable in missing or COMPLETE:
        assert f"gateway: {variable}" in errors
    assert "Traceback" not in errors
    assert SECRET not in errors
    assert TOKEN not in errors


def test_a_wrong_address_is_named_without_its_password() -> None:
    process = start(subprocess.PIPE, GATEWAY_LIMITS_URL="valkey://:p4ss@host:port", GATEWAY_SENDER_LIMIT="lots")
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 2
    assert "gateway: GATEWAY_LIMITS_URL must be" in errors
    assert "gateway: GATEWAY_SENDER_LIMIT must be" in errors
    assert "p4ss" not in errors
    assert "Traceback" not in errors


def test_help_names_every_variable() -> None:
    process = start(subprocess.PIPE, "--help")
    text, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert all(variable in text for variable in VARIABLES)


def test_the_example_names_every_limit() -> None:
    example = (ROOT / ".env.example").read_text()
    assert all(f"#{variable}=" in example for variable in VARIABLES if "LIMIT" in variable)
