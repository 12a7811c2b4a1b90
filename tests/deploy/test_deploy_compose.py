"""The rules for docker-compose.yml: what each service may do, reach and know, and that the parts fit together."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml
from stack_files import CADDYFILE, ROUTES, SECRETS, Missing, compose_text, resolve, services, stack, stages, variables

import exchange.config
import gateway.config
import mcp_servers.config
from docker import migrate, push
from local import bootstrap
from local.install import ROOT

ONE_SHOT = ("migrate", "push", "manage")
#: Not started unless a profile of theirs is named.
ON_DEMAND = {"manage": ["manage"], "valkey": ["valkey"]}
TOOL_SERVERS = {
    "pricing-calculator": ("MCP_PRICING_URL", "MCP_PRICING_PORT", 3001),
    "lead-capture": ("MCP_LEADS_URL", "MCP_LEADS_PORT", 3002),
    "contact-owner": ("MCP_OWNER_URL", "MCP_OWNER_PORT", 3003),
}
#: Secrets without which the stack works: providers and mail that an installation may do without.
OPTIONAL = {"OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "SMTP_PASSWORD"}
EXAMPLE = (ROOT / ".env.example").read_text()
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY$|_KEY_")

each_service = pytest.mark.parametrize("name", sorted(services()))


def reachable_from(name: str) -> set[str]:
    """Services that share a network with `name`."""
    own = set(services()[name]["networks"])
    return {other for other, service in services().items() if other != name and own & set(service["networks"])}


def test_it_has_the_form_that_compose_wants() -> None:
    """The part of the Compose specification that is used here; `docker compose config` knows all of it."""
    jsonschema.validate(stack(), yaml.safe_load((Path(__file__).parent / "compose_schema.yaml").read_text()))


@each_service
def test_a_service_is_confined(name: str) -> None:
    service = services()[name]
    assert service["user"] not in ("root", "0", "0:0")
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["logging"]["options"]["max-size"]
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    assert not [volume for volume in service.get("volumes", []) if volume.startswith((".", "/", "~"))]
    if service["image"].startswith("millrace/"):
        assert service["read_only"] is True


def test_only_the_worker_that_makes_namespaces_has_looser_rules() -> None:
    looser = {name for name, service in services().items() if len(service["security_opt"]) > 1}
    assert looser == {"worker-documents"}


@each_service
def test_an_image_is_pinned_and_of_the_community_edition(name: str) -> None:
    image = services()[name]["image"]
    assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?", image), image
    assert "windmill-ee" not in image and "LICENSE_KEY" not in services()[name].get("environment", {})


@each_service
def test_a_service_is_watched(name: str) -> None:
    service = services()[name]
    check = service.get("healthcheck")
    if name in ONE_SHOT:
        assert check == {"disable": True}
    elif check:
        assert check["test"][0] in ("CMD", "CMD-SHELL") and check["interval"] and check["timeout"]
    else:
        assert stages()[service["build"]["target"]].all("HEALTHCHECK")
        assert service["environment"]["HEALTH_URL"].startswith("http://127.0.0.1:")


@each_service
def test_what_a_service_names_is_there(name: str) -> None:
    whole, service = stack(), services()[name]
    assert set(service["networks"]) <= set(whole["networks"])
    for volume in service.get("volumes", []):
        assert volume.split(":")[0] in whole["volumes"]
    for other, dependency in service.get("depends_on", {}).items():
        one_shot = dependency["condition"] == "service_completed_successfully"
        assert other in whole["services"] and one_shot == (other in ONE_SHOT)
    if "build" in service:
        assert service["build"]["target"] in stages()
        assert (ROOT / service["build"]["dockerfile"]).exists()
    command = service.get("entrypoint") or service.get("command", [])
    if command[:2] == ["python", "-m"]:
        module = ROOT / command[2].replace(".", "/")
        assert module.with_suffix(".py").exists() or (module / "__main__.py").exists()


def test_nothing_waits_for_what_is_started_on_demand() -> None:
    assert {name: s["profiles"] for name, s in services().items() if "profiles" in s} == ON_DEMAND
    assert not {other for s in services().values() for other in s.get("depends_on", {})} & set(ON_DEMAND)


def test_every_volume_and_network_is_used() -> None:
    whole = stack()
    used = {volume.split(":")[0] for s in services().values() for volume in s.get("volumes", [])}
    assert used == set(whole["volumes"])
    assert {network for s in services().values() for network in s["networks"]} == set(whole["networks"])


def test_only_gateway_and_proxy_are_published_and_windmill_on_this_machine() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert published == {
        "proxy": ["80:8080", "443:8443", "4000:4000"],
        "gateway": ["127.0.0.1:3000:3000"],
        "windmill-server": ["127.0.0.1:8081:8000"],
    }


def test_databases_and_storage_have_no_way_out() -> None:
    networks = stack()["networks"]
    for name in ("database", "windmill-db", "storage", "valkey", "manage", "exchange", *TOOL_SERVERS):
        assert all(networks[network].get("internal") for network in services()[name]["networks"]), name


def test_who_reaches_what() -> None:
    assert reachable_from("proxy") == {"gateway", "windmill-server"}
    assert reachable_from("database") == {"migrate", "manage", "exchange", "worker-conversations", *TOOL_SERVERS}
    assert reachable_from("windmill-db") == {"windmill-server", "worker-conversations", "worker-documents"}
    assert reachable_from("exchange") - reachable_from("database") == {"database", "worker-documents"}
    assert reachable_from("valkey") == {"gateway"}
    assert reachable_from("storage") == {"windmill-server", "worker-conversations"}
    # Or the name would lead from the proxy to an address of the gateway's where it does not believe the proxy.
    assert set(services()["proxy"]["networks"]) & set(services()["gateway"]["networks"]) == {"public"}
    assert services()["gateway"]["environment"]["TRUSTED_PROXIES"] == stack()["networks"]["public"]["ipam"]["config"][
        0
    ]["subnet"]  # fmt: skip


def test_the_worker_for_strangers_documents_has_no_secret_of_ours() -> None:
    worker = services()["worker-documents"]
    assert reachable_from("worker-documents") == {"windmill-db", "exchange"}
    known = {name for name, value in SECRETS.items() if value in str(worker["environment"])}
    # It cannot be without: Windmill's agent workers, which speak HTTP only, are of the Enterprise Edition.
    assert known == {"WINDMILL_DB_PASSWORD"}
    assert worker["environment"]["FAVOR_UNSHARE_PID"] == "true"
    others = {v.split(":")[0] for n, s in services().items() if n != "worker-documents" for v in s.get("volumes", [])}
    assert not others & {volume.split(":")[0] for volume in worker["volumes"]}


def test_every_secret_goes_to_those_who_need_it() -> None:
    holders: dict[str, set[str]] = {name: set() for name in SECRETS}
    for service, described in services().items():
        for secret, value in SECRETS.items():
            if value in str(described.get("environment", {})):
                holders[secret].add(service)
    windmill = {"windmill-server", "worker-conversations", "worker-documents", "windmill-db"}
    assert holders == {
        "DATABASE_ADMIN_PASSWORD": {"database", "migrate"},
        "OWNER_PASSWORD": {"migrate", "manage"},
        "BACKUP_PASSWORD": {"migrate", "manage"},
        "APP_PASSWORD": {"migrate", "manage", "push", "exchange", *TOOL_SERVERS},
        "MANAGER_PASSWORD": {"migrate", "manage", "push"},
        "WINDMILL_DB_PASSWORD": windmill,
        "WINDMILL_ADMIN_PASSWORD": {"push"},
        "MCP_SIGNING_KEY": {"push", *TOOL_SERVERS},
        "EXCHANGE_SIGNING_KEY": {"push", "exchange"},
        "S3_ACCESS_KEY": {"push", "storage"},
        "S3_SECRET_KEY": {"push", "storage"},
        "META_APP_SECRETS": {"gateway"},
        "META_VERIFY_TOKEN": {"gateway"},
    }


def test_no_secret_has_a_default() -> None:
    for name, (operator, default) in variables().items():
        if SECRET.search(name):
            assert (operator, default) == ((":-", "") if name in OPTIONAL else (":?", "")), name


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_missing_secret_stops_the_start_with_its_name(name: str) -> None:
    with pytest.raises(Missing, match=f"^{name}$"):
        resolve(yaml.safe_load(compose_text()), SECRETS | {name: ""})


def test_every_variable_is_in_the_example_and_every_secret_is_made() -> None:
    assert [name for name in variables() if not re.search(rf"^#{name}=", EXAMPLE, re.MULTILINE)] == []
    assert {name for name, (operator, _) in variables().items() if operator == ":?"} == set(SECRETS)


def gateway_environment(**values: str) -> dict[str, str]:
    """What the gateway is given, with a token in the place of its file."""
    given: dict[str, str] = services(**values)["gateway"]["environment"]
    return given | {"WINDMILL_TOKEN_FILE": "", "WINDMILL_TOKEN": "a-token"}


def test_the_gateway_takes_what_it_is_given(tmp_path: Path) -> None:
    given = services()["gateway"]["environment"]
    assert set(given) - {"HEALTH_URL"} <= set(gateway.config.VARIABLES)
    (tmp_path / "token").write_text("a-token\n")
    config = gateway.config.load(given | {"WINDMILL_TOKEN_FILE": str(tmp_path / "token")})
    assert (config.host, config.port, config.windmill_token) == ("0.0.0.0", 3000, "a-token")  # noqa: S104
    assert config == gateway.config.load(gateway_environment())
    assert urlsplit(given["HEALTH_URL"]).port == config.port


@pytest.mark.parametrize("name", TOOL_SERVERS)
def test_a_tool_server_takes_what_it_is_given_and_is_found(name: str) -> None:
    variable, port_variable, port = TOOL_SERVERS[name]
    given = services()[name]["environment"]
    assert set(given) - {"HEALTH_URL", "PGPASSWORD"} <= {*mcp_servers.config.VARIABLES, port_variable}
    config = mcp_servers.config.load(given, port_variable, port)
    assert config.host == "0.0.0.0" and config.port == urlsplit(given["HEALTH_URL"]).port  # noqa: S104
    address = urlsplit(services()["push"]["environment"][variable])
    assert (address.hostname, address.port) == (name, config.port)
    assert config.allowed_hosts == {name, "127.0.0.1"}
    assert name in reachable_from("worker-conversations")


def test_the_exchange_takes_what_it_is_given_and_is_found() -> None:
    given = services()["exchange"]["environment"]
    assert set(given) - {"HEALTH_URL", "PGPASSWORD"} <= set(exchange.config.VARIABLES)
    config = exchange.config.load(given)
    assert config.host == "0.0.0.0" and config.port == urlsplit(given["HEALTH_URL"]).port  # noqa: S104
    address = urlsplit(services()["push"]["environment"]["EXCHANGE_URL"])
    assert (address.hostname, address.port) == ("exchange", config.port)


def test_push_has_a_value_for_everything_in_the_catalogue() -> None:
    given = services()["push"]["environment"]
    assert all(given[name] for name in push.REQUIRED)
    catalogue = bootstrap.read_catalogue(given)
    database = next(resource["value"] for resource in catalogue["resources"] if resource["path"] == "f/lib/database")
    assert (database["host"], database["port"], database["dbname"]) == ("database", 5432, "chatbots")
    # What the catalogue may be given, the compose file passes on.
    known = {
        name for names, _ in bootstrap.PLACEHOLDER.findall(bootstrap.CATALOGUE.read_text()) for name in names.split("|")
    }
    demo = {"DEMO1_ACCESS_TOKEN", "DEMO2_ACCESS_TOKEN"}
    assert known - {"NAME", "ONE", "OTHER", "DATABASE_PORT"} - demo <= set(given)
    assert services()["gateway"]["environment"]["WINDMILL_TOKEN_FILE"] == given["WINDMILL_TOKEN_FILE"]
    assert services()["gateway"]["environment"]["WINDMILL_WORKSPACE"] == given["WINDMILL_WORKSPACE"]


def test_migrate_sets_a_password_for_every_role_that_logs_in() -> None:
    given = services()["migrate"]["environment"]
    assert set(migrate.PASSWORDS) <= set(given)
    push_given = services()["push"]["environment"]
    for name in ("DATABASE_HOST", "DATABASE_NAME", "DATABASE_SSLMODE"):
        assert given[name] == push_given[name]
    address = urlsplit(services()["manage"]["environment"]["DATABASE_URL"])
    assert (address.username, address.hostname) == ("owner", given["DATABASE_HOST"])
    assert address.path == f"/{given['DATABASE_NAME']}"
    assert set(migrate.PASSWORDS) < set(services()["manage"]["environment"])


def test_the_gateway_may_count_in_the_stacks_valkey() -> None:
    (url,) = re.findall(r"^#GATEWAY_LIMITS_URL=(valkey://valkey:.*)$", EXAMPLE, re.MULTILINE)
    assert re.search(r"^#COMPOSE_PROFILES=valkey$", EXAMPLE, re.MULTILINE)
    assert gateway.config.load(gateway_environment(GATEWAY_LIMITS_URL=url)).limits_url == url


def test_every_tag_has_a_worker() -> None:
    workers = {n: s["environment"]["WORKER_TAGS"].split(",") for n, s in services().items() if "worker-" in n}
    tags = [tag for listened in workers.values() for tag in listened]
    assert len(tags) == len(set(tags)) and {"python3", "flow", "dependency"} <= set(tags)
    assert set(services()["windmill-server"]["environment"]["CUSTOM_TAGS"].split(",")) <= set(tags)
    for path in ROOT.glob("[fu]/**/*.yaml"):
        for tag in re.findall(r"^ *tag: *['\"]?([\w-]+)", path.read_text(), re.MULTILINE):
            assert tag in tags, f"{path}: no worker listens to {tag}"


def test_the_proxy_finds_its_upstreams_and_its_ports() -> None:
    text = CADDYFILE.read_text() + ROUTES.read_text()
    for variable, service, port in (
        ("GATEWAY_UPSTREAM", "gateway", 3000),
        ("WINDMILL_UPSTREAM", "windmill-server", 8000),
    ):
        assert {f"{service}:{port}"} == set(re.findall(rf"\{{\${variable}:([^}}]+)\}}", text))
        assert service in reachable_from("proxy")
    inside = {mapping.rsplit(":", 1)[1] for mapping in services()["proxy"]["ports"]}
    assert inside == set(re.findall(r"\{\$(?:HTTP|HTTPS|API)_PORT:(\d+)\}", text))
    # Every other setting is a variable of the service.
    bare = set(re.findall(r"\{\$([A-Z_]+)\}", text))
    assert bare == set(services()["proxy"]["environment"])


@cache
def compose_command() -> list[str] | None:
    """Docker Compose 2 or newer, as a plugin or by itself. It needs no engine to read a file."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            answer = subprocess.run([*command, "config", "--help"], capture_output=True, text=True, check=False)
            if answer.returncode == 0 and "--images" in answer.stdout:
                return command
    return None


def run_compose(tmp_path: Path, secrets: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = compose_command()
    if command is None:
        pytest.skip("no Docker Compose 2 here: `docker compose config` was not run")
    (tmp_path / "settings").write_text("".join(f"{name}={value}\n" for name, value in secrets.items()))
    options = ["--project-directory", str(ROOT), "--file", str(ROOT / "docker-compose.yml")]
    options += ["--env-file", str(tmp_path / "settings"), "--profile", "*"]
    return subprocess.run([*command, *options, *arguments], capture_output=True, text=True, check=False)


def test_compose_itself_reads_it_as_these_tests_do(tmp_path: Path) -> None:
    done = run_compose(tmp_path, SECRETS, "config")
    assert done.returncode == 0, done.stderr
    theirs: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    assert theirs.keys() == services().keys()
    for name, service in services().items():
        given = theirs[name].get("environment", {})
        assert {k: "" if v is None else str(v) for k, v in given.items()} == service.get("environment", {}), name
        assert set(theirs[name]["networks"]) == set(service["networks"])


def test_compose_itself_stops_without_a_secret(tmp_path: Path) -> None:
    done = run_compose(tmp_path, {k: v for k, v in SECRETS.items() if k != "OWNER_PASSWORD"}, "config")
    assert done.returncode != 0 and "OWNER_PASSWORD" in done.stderr
