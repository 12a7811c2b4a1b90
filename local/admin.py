"""`./dev admin`: calls the admin routes of this installation, or of another one, and shows the answers as tables."""

import argparse
import getpass
import json
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from db import server
from local import api, database
from local.credentials import Credentials
from local.running import find_running
from local.settings import load
from local.tables import fields, table

#: How an answer is shown: the list in it, and that list's columns; without a list, its own fields line by line.
TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "set-prices": ("prices", ("product", "tier", "unit", "min_volume", "max_volume", "unit_price", "currency")),
    "organizations": ("organizations", ("slug", "name", "plan", "organization_id")),
    "conversations": (
        "conversations",
        ("id", "chatbot", "contact", "mode", "messages", "waiting", "failed", "last_message_at"),
    ),
    "usage": ("days", ("day", "model", "calls", "prompt_tokens", "completion_tokens", "estimated_cost")),
    "audit-log": ("entries", ("id", "at", "actor_kind", "actor", "action", "target", "target_id")),
}


class AdminError(Exception):
    """The call was refused, or could not be made; the message says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `./dev admin`. Each sets `call`: method, path, and which options are its arguments."""
    parser.add_argument("--api-url", metavar="URL", help="another installation's API (default: this one's)")
    parser.add_argument(
        "--api-key", metavar="KEY", help=f"default: ${api.KEY_VARIABLE}, else this installation's operator"
    )
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def action(
        group: Any, name: str, method: str, path: str, help_: str, *, scoped: bool = True
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = group.add_parser(name, help=help_, description=help_, allow_abbrev=False)
        added.set_defaults(call=(method, path), shown=name)
        if scoped:
            added.add_argument("--organization", metavar="ORG", help="slug or id; a tenant's own key needs none")
        return added

    made = action(actions, "create-organization", "POST", "organizations", "create a tenant", scoped=False)
    made.add_argument("slug")
    made.add_argument("--name", required=True)
    made.add_argument("--plan", help="free, pro, enterprise (default: free)")
    listed = action(actions, "organizations", "GET", "organizations", "list the tenants", scoped=False)
    _add_page(listed, "--after", "SLUG")
    action(actions, "show", "GET", "organization", "plan, chatbots, numbers, integrations and keys of a tenant")
    plan = action(actions, "set-plan", "PUT", "plan", "set a tenant's plan", scoped=False)
    plan.add_argument("organization", metavar="ORG", help="slug or id")
    plan.add_argument("plan")
    for name in (
        "monthly-messages",
        "monthly-tokens",
        "daily-messages-per-contact",
        "knowledge-sources",
        "knowledge-pages",
        "knowledge-bytes",
        "daily-ingestions",
        "crawls",
        "crawl-pages",
        "crawl-depth",
        "crawl-bytes",
        "crawl-seconds",
    ):
        plan.add_argument(f"--{name}", type=int, metavar="N", help="instead of the plan's limit")
    _add_chatbot(action(actions, "save-chatbot", "PUT", "chatbots/{slug}", "create a chatbot, or change it"))
    _add_number(action(actions, "connect-number", "PUT", "numbers/{phone_number_id}", "connect a WhatsApp number"))
    _add_integration(action(actions, "save-integration", "PUT", "integrations/{name}", "connect a tool server"))
    prices = action(
        actions, "set-prices", "PUT", "prices", "replace the price table that calculate_pricing quotes from"
    )
    prices.add_argument(
        "prices",
        type=_json,
        metavar="FILE",
        help='JSON: [{"product": …, "tier": …, "unit": …, "min_volume": 1, "max_volume": 9, "unit_price": "49.50",'
        ' "currency": "EUR"}]',
    )
    told = action(actions, "save-channel", "PUT", "channels/{name}", "say who is told of hand-overs and alerts")
    _add_channel(told)
    _add_operators(told, "who hear of all alerts, instead of an organisation")

    keys = actions.add_parser("api-key", help="create, rotate or revoke a tenant's API key").add_subparsers(
        metavar="WHAT", required=True
    )
    new = action(keys, "create", "POST", "api-keys", "create a key; it is shown once")
    new.add_argument("name")
    new.add_argument("--scopes", type=_words, required=True, metavar="A,B", help="admin, knowledge")
    new.add_argument("--expires-in-days", type=int, metavar="N")
    rotated = action(keys, "rotate", "POST", "api-keys/{id}/rotate", "make a key to replace this one")
    rotated.add_argument("id")
    rotated.add_argument("--overlap-hours", type=float, metavar="N", help="how long the old one works on (default: 24)")
    action(keys, "revoke", "DELETE", "api-keys/{id}", "end a key at once").add_argument("id")

    talks = action(actions, "conversations", "GET", "conversations", "list conversations, newest first")
    talks.add_argument("--chatbot", metavar="SLUG")
    talks.add_argument("--mode", choices=["bot", "person"])
    _add_page(talks, "--after", "ID")
    used = action(actions, "usage", "GET", "usage", "what a tenant used in a month")
    used.add_argument("--month", metavar="YYYY-MM")
    log = action(actions, "audit-log", "GET", "audit-log", "who did what, newest first")
    _add_page(log, "--before", "ID")
    _add_operators(log, "what was done for no organisation")

    operators = actions.add_parser("operator-key", help="make or end operators' keys, in the database of DATABASE_URL")
    operators.add_argument("what", choices=["create", "revoke", "list"])
    operators.add_argument("name", nargs="?", help="create: what it is for; revoke: its id")
    operators.set_defaults(call=None)


def _add_operators(parser: argparse.ArgumentParser, help_: str) -> None:
    parser.add_argument("--operators", action="store_true", default=None, help=f"the installation's operators: {help_}")


def _add_page(parser: argparse.ArgumentParser, option: str, metavar: str) -> None:
    parser.add_argument(option, metavar=metavar, help="the page that begins there")
    parser.add_argument("--limit", type=int, metavar="N")


def _add_chatbot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("slug")
    for name in (
        "name",
        "language",
        "persona",
        "instructions",
        "fallback-text",
        "blocked-text",
        "quota-text",
        "model-provider",
        "model-name",
        "model-resource-path",
        "embedding-model",
        "embedding-resource-path",
        "reranker",
        "reranker-model",
        "reranker-resource-path",
    ):
        parser.add_argument(f"--{name}")
    parser.add_argument("--fallback-models", type=_json, metavar="FILE", help='JSON: [{"provider": …, "name": …}]')
    parser.add_argument("--facts", type=_json, metavar="FILE", help='JSON: [{"topic": …, "text": …}]')
    parser.add_argument("--temperature", type=float, metavar="N")
    parser.add_argument("--questions", type=_json, metavar="FILE", help='for leads, JSON: [{"key": …, "question": …}]')
    for name in ("handoff-minutes", "max-steps", "max-seconds", "max-tokens", "embedding-dimensions"):
        parser.add_argument(f"--{name}", type=int, metavar="N")
    parser.add_argument("--max-cost", type=float, metavar="USD", help="of one turn")
    parser.add_argument("--merge-seconds", type=float, metavar="N")
    parser.add_argument("--knowledge-threshold", type=float, metavar="COSINE", help="0 to 1; docs/knowledge.md")
    parser.add_argument("--cites-sources", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--active", dest="is_active", action=argparse.BooleanOptionalAction, default=None)


def _add_number(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("phone_number_id", nargs="?", help="Meta's id of the number")
    parser.add_argument("--waba-id", metavar="ID", help="id of its WhatsApp Business Account")
    parser.add_argument("--simulated", action="store_true", help="a new number of the local simulator's, instead")
    parser.add_argument("--chatbot", required=True, metavar="SLUG", help="which answers")
    parser.add_argument("--app-id", metavar="ID", help="Meta app (default: the installation's own)")
    _add_secret(parser, "access_token")


def _add_integration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("--kind", choices=["own", "mcp"])
    parser.add_argument("--url", help="of an MCP server of somebody else's")
    parser.add_argument("--enabled", dest="is_enabled", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--chatbot", metavar="SLUG", help="which may call --tools")
    parser.add_argument("--tools", type=_words, metavar="A,B")
    _add_secret(parser, "credential", asked=False)


def _add_channel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="such as reception")
    parser.add_argument("--email", metavar="ADDRESS")
    parser.add_argument("--minimum-severity", choices=["info", "warning", "critical"])
    parser.add_argument("--kinds", type=_words, metavar="A,B", help="only these; handover is one")
    parser.add_argument("--enabled", dest="is_enabled", action=argparse.BooleanOptionalAction, default=None)
    _add_secret(parser, "webhook", asked=False)


def _add_secret(parser: argparse.ArgumentParser, name: str, *, asked: bool = True) -> None:
    """A secret comes from a file, standard input or a person: a command line is read by every user of a machine."""
    parser.add_argument(
        f"--{name.replace('_', '-')}-file",
        dest="secret_source",
        metavar="FILE",
        help=f"where the {name.replace('_', ' ')} is; - is standard input{'; else you are asked' if asked else ''}",
    )
    parser.set_defaults(secret_name=name, secret_asked=asked)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Do what `add_arguments` has parsed and print the answer. Raises AdminError."""
    if options.call is None:
        return _operator_keys(options, environment)
    names = vars(options).keys() - {
        "run",
        "takes_rest",
        "rest",
        "call",
        "shown",
        "api_url",
        "api_key",
        "json",
        "simulated",
    }
    given = {
        name: value
        for name in names
        if not name.startswith("secret_") and (value := getattr(options, name)) is not None
    }
    if getattr(options, "simulated", False):
        given |= _simulated_number(options.chatbot, environment)
    elif "secret_name" in names and (value := _secret(options)) is not None:
        given[options.secret_name] = value
    api_url, api_key = api.place(options, environment, lambda own: own.operator_key)
    method, path = options.call
    answer = call(api_url, api_key, method, path, given)
    print(json.dumps(answer, ensure_ascii=False) if options.json else as_text(answer, options.shown))
    return 0


def call(api_url: str, api_key: str, method: str, path: str, given: dict[str, Any]) -> dict[str, Any]:
    """One call of an admin route. Raises AdminError, api.CallError."""
    parts = re.findall(r"\{(\w+)\}", path)
    if missing := [name for name in parts if not given.get(name)]:
        raise AdminError(f"{', '.join(missing)}: is missing")
    path = path.format(**{name: _segment(given.pop(name)) for name in parts})
    body: dict[str, Any] = {"params": given} if method in ("GET", "DELETE") else {"json": given}
    return api.call(api_url, api_key, method, f"admin/{path}", **body)


def as_text(answer: Mapping[str, Any], shown: str) -> str:
    """The answer for people."""
    if shown in TABLES:
        name, columns = TABLES[shown]
        rest = {field: value for field, value in answer.items() if field != name and value is not None}
        return f"{table(answer[name], columns)}\n{fields(rest)}".strip("\n")
    once = "\n\nThe key is shown this once and stored nowhere." if "key" in answer else ""
    return fields(answer) + once


def _simulated_number(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Buy a number of the local simulator's: what `connect-number` needs to know of it."""
    running = find_running(load(environment).data_dir)
    if running is None:
        raise AdminError("nothing runs here: ./dev up first")
    response = httpx.post(f"{running.settings.simulator_url}/sim/numbers", json={"name": name}, timeout=30)
    if response.is_error:
        raise AdminError(f"the simulator answered {response.status_code}: {response.text[:300]}")
    number = response.json()
    return {field: number[field] for field in ("phone_number_id", "waba_id", "access_token")}


def _operator_keys(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    settings = load(environment)
    running = find_running(settings.data_dir)
    with (
        database.reachable(running.settings if running else settings, Credentials.load(settings.data_dir)) as databases,
        server.connect(databases.owner_url) as connection,
        connection.transaction(),
    ):
        connection.execute("set local role owner")
        if options.what == "list":
            columns = ("id", "name", "key_prefix", "created_at", "revoked_at")
            rows = connection.execute(f"select {', '.join(columns)} from operator_keys order by created_at").fetchall()  # noqa: S608  # constants
            print(table([dict(zip(columns, row, strict=True)) for row in rows], columns))
        elif not options.name:
            raise AdminError(f"operator-key {options.what} needs a name or id")
        elif options.what == "create":
            key = f"mro_{secrets.token_urlsafe(24)}"
            database.add_operator_key(connection, options.name, key)
            print(key)
        else:
            ended = connection.execute(
                "update operator_keys set revoked_at = coalesce(revoked_at, now()) where id::text = %s", [options.name]
            )
            if not ended.rowcount:
                raise AdminError("there is no such operator key")
            print("revoked")
    return 0


def _secret(options: argparse.Namespace) -> str | None:
    if source := options.secret_source:
        try:
            text = sys.stdin.read() if source == "-" else Path(source).read_text()
        except OSError as error:
            raise AdminError(f"{source}: {error.strerror}") from None
        return text.strip()
    if not options.secret_asked:
        return None
    if not sys.stdin.isatty():
        raise AdminError(f"--{options.secret_name.replace('_', '-')}-file is needed where nobody can be asked")
    return getpass.getpass(f"{options.secret_name.replace('_', ' ')}: ").strip()


def _segment(value: Any) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), str(value))


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _json(name: str) -> Any:
    try:
        return json.loads(Path(name).read_text())
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{name}: {error}") from None
