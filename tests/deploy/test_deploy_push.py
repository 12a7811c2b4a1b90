"""The job `push`: signing in, the gateway's token, the object storage. Files are tested in tests/dev/test_push.py."""

import argparse
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from new_windmill import NewWindmill
from stack_files import SECRETS, services

from docker import push
from local.push import GATEWAY_SCOPES, PushError
from local.windmill import WindmillError

PASSWORD = SECRETS["WINDMILL_ADMIN_PASSWORD"]
#: A CLI that finds nothing to do.
NO_FILES = ["sh", "-c", "echo '{\"changes\": []}'"]


@pytest.fixture
def windmill() -> Iterator[NewWindmill]:
    with NewWindmill() as served:
        yield served
    assert served.unexpected == []
    # Nobody stays signed in.
    assert served.users == {}


@pytest.fixture
def environment(windmill: NewWindmill, tmp_path: Path) -> dict[str, str]:
    given: dict[str, str] = services()["push"]["environment"]
    return given | {"WINDMILL_URL": windmill.url, "WINDMILL_TOKEN_FILE": str(tmp_path / "token")}


def run(environment: dict[str, str], **options: bool) -> str:
    said: list[str] = []
    chosen = dict.fromkeys(("check", "force", "new_token", "smoke_test"), False) | options
    push.run(environment, argparse.Namespace(**chosen), cli=lambda: NO_FILES, say=said.append)
    return "\n".join(said)


def test_a_new_server_is_taken_and_set_up(windmill: NewWindmill, environment: dict[str, str]) -> None:
    said = run(environment)
    assert windmill.password == PASSWORD
    assert "set the password of admin@windmill.dev" in said and PASSWORD not in said
    token_file = Path(environment["WINDMILL_TOKEN_FILE"])
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    (token,) = windmill.tokens.values()
    assert token["scopes"] == GATEWAY_SCOPES
    resources = windmill.workspaces["chatbots"].resources
    assert resources["f/lib/database"]["value"]["host"] == "database"
    assert resources["f/agent/tool_servers"]["value"]["lead_capture"] == "http://lead-capture:3002"


def test_again_nothing_is_done(windmill: NewWindmill, environment: dict[str, str]) -> None:
    run(environment)
    token = Path(environment["WINDMILL_TOKEN_FILE"]).read_text()
    done = len(windmill.changes)
    assert run(environment) == "nothing to do"
    assert len(windmill.changes) == done
    assert Path(environment["WINDMILL_TOKEN_FILE"]).read_text() == token


def test_a_lost_token_is_replaced(windmill: NewWindmill, environment: dict[str, str]) -> None:
    run(environment)
    token_file = Path(environment["WINDMILL_TOKEN_FILE"])
    old = token_file.read_text()
    token_file.unlink()
    assert "replace the gateway's token" in run(environment)
    assert token_file.read_text() != old and len(windmill.tokens) == 1


def test_the_storage_is_named_with_its_secret_in_a_variable(windmill: NewWindmill, environment: dict[str, str]) -> None:
    run(environment)
    assert windmill.settings["storage"]["s3_resource_path"] == "$res:f/lib/object_storage"
    value = windmill.workspaces["chatbots"].resources["f/lib/object_storage"]["value"]
    assert value["endPoint"] == "storage:8333" and value["secretKey"] == "$var:f/lib/object_storage_secret"
    assert windmill.workspaces["chatbots"].variables["f/lib/object_storage_secret"]["is_secret"] is True


def test_without_storage_everything_else_is_there(windmill: NewWindmill, environment: dict[str, str]) -> None:
    windmill.has_storage = False
    assert "warning: no object storage" in run(environment)
    assert windmill.tokens


def test_someone_elses_password_stops_it(windmill: NewWindmill, environment: dict[str, str]) -> None:
    windmill.password = "a-third"
    with pytest.raises(PushError, match="neither with WINDMILL_ADMIN_PASSWORD nor"):
        run(environment)
    assert windmill.changes == []


@pytest.mark.parametrize("name", push.REQUIRED)
def test_what_is_missing_is_named(environment: dict[str, str], name: str) -> None:
    with pytest.raises(PushError, match=name):
        run(environment | {name: ""})


def test_it_waits_for_windmill_and_not_for_ever() -> None:
    with pytest.raises(WindmillError, match="cannot be reached"):
        push.wait_for("http://127.0.0.1:9", seconds=0.1)
