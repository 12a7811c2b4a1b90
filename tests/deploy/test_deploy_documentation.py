"""docs/deploy.md: its commands name what is there, and its statement runs."""

import re
import shlex

import psycopg
from stack_files import services
from systems import Database

from docker import push
from local.install import ROOT

TEXT = (ROOT / "docs" / "deploy.md").read_text()


def commands() -> list[list[str]]:
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", TEXT, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`((?:docker compose|\./docker/start)[^`]*)`", TEXT.replace("\n  ", " "))
    whole = [command for block in blocks for command in re.split(r"\n(?! *(?:set|where))", block) if command.strip()]
    return [shlex.split(command.split(" > ")[0]) for command in [*whole, *inline]]


def test_every_command_names_what_is_there() -> None:
    assert len(commands()) > 8
    for words in commands():
        if words[:2] == ["docker", "compose"]:
            verb, rest = words[2], [word for word in words[3:] if not word.startswith("-")]
            assert verb in ("up", "config", "exec", "run", "logs", "restart"), words
            if rest:
                assert rest[0] in services(), words
            if "docker.push" in words:
                push.parser().parse_args(words[words.index("docker.push") + 1 :])
        else:
            assert (ROOT / words[0]).exists() or words[:2] == ["cp", ".env.example"], words


def test_the_table_names_every_service_that_stays() -> None:
    named = set(re.findall(r"`([a-z-]+)`", " ".join(re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE))))
    assert named == {name for name, service in services().items() if service["restart"] != "no"}


def test_a_number_is_lent_to_a_demo_tenant(seeded_database: Database) -> None:
    (statement,) = re.findall(r'-c "(update [^"]*)"', TEXT)
    for name, value in (("phone number id", "777"), ("account id", "888"), ("app id", "999")):
        statement = statement.replace(f"<{name}>", value)
    with psycopg.connect(seeded_database.owner_url) as connection:
        connection.execute("set local role owner")
        connection.execute(statement)
        row = connection.execute(
            "select app_id, waba_id from whatsapp_numbers where phone_number_id = '777'"
        ).fetchone()
    assert row == ("999", "888")
