import re
import subprocess
from ipaddress import ip_network

import pytest
from gateway_fakes import SECRET, TOKEN, start

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
    ],
)
def test_what_is_missing_or_wrong_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(**{variable: value})
    assert len(caught.value.problems) == 1
    assert variable in caught.value.problems[0]


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        config.load({})
    assert len(caught.value.problems) == 5


def test_no_secret_shows_in_the_repr() -> None:
    shown = repr(load(META_APP_SECRETS="1:s3cret", META_VERIFY_TOKEN="v3rify", WINDMILL_TOKEN="t0ken"))
    assert not re.search("s3cret|v3rify|t0ken", shown)


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


def test_help_names_every_variable() -> None:
    process = start(subprocess.PIPE, "--help")
    text, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert all(variable in text for variable in VARIABLES)
