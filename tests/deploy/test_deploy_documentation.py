"""docs/deploy.md: its commands name what is there, and its statements run."""

import re
import shlex

import psycopg
from psycopg import sql
from stack_files import services

from docker import push
from local import cli
from local.install import ROOT
from local.postgres import Cluster

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
            assert verb in ("up", "config", "exec", "run", "logs", "ps", "restart", "stop"), words
            if rest:
                assert set(rest if verb == "stop" else rest[:1]) <= set(services()), words
            if "manage" in words and words[-1] != "--help":
                cli.build_parser().parse_args(words[words.index("manage") + 1 :])
            if "docker.push" in words:
                push.parser().parse_args(words[words.index("docker.push") + 1 :])
        else:
            assert (ROOT / words[0]).exists() or words[:2] == ["cp", ".env.example"], words


def test_the_table_names_every_service_that_stays() -> None:
    named = set(re.findall(r"`([a-z-]+)`", " ".join(re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE))))
    assert named == {name for name, service in services().items() if service["restart"] != "no"}


def test_a_restored_database_takes_the_others_place(cluster: Cluster) -> None:
    statements = [sql.SQL(text) for text in re.findall(r'-c "(alter database [^"]*)"', TEXT)]  # type: ignore[arg-type]
    assert len(statements) == 2
    with psycopg.connect(cluster.superuser_url, autocommit=True) as connection:
        for name in ("chatbots", "restored"):
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        for statement in statements:
            connection.execute(statement)
        for name in ("chatbots", "replaced"):
            connection.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))
