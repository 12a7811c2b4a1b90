"""The admin scripts as their routes run them, beside a Windmill and a Graph API that answer over HTTP."""

import hashlib
import importlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg.rows import dict_row

BICIS = "11111111-1111-4111-8111-111111111111"
DENTAL = "22222222-2222-4222-8222-222222222222"
OPERATOR, BICIS_KEY, DENTAL_KEY, KNOWLEDGE_KEY = "mro_operator", "mr_bicis", "mr_dental", "mr_knowledge"

ACTIONS = (
    "create_organization list_organizations show_organization set_plan save_chatbot connect_number save_integration"
    " set_prices save_channel create_api_key rotate_api_key revoke_api_key list_conversations list_usage list_audit_log"
).split()


NEW_BOT = {"name": "Bot", "language": "en", "persona": "Kind.", "fallback_text": "Later."}
NUMBER = {"waba_id": "200000000000009", "chatbot": "bicis-ribera", "access_token": "EAAsecret"}
NUMBER_ID = "100000000000009"


class Server:
    """An HTTP server on a free port. `answer(method, path, query, headers, body)` is (status, JSON or text)."""

    def __init__(self) -> None:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                data = self.rfile.read(int(self.headers.get("content-length") or 0))
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                body = json.loads(data) if data else None
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, value = server.answer(self.command, parts.path, query, headers, body)
                encoded = (value if isinstance(value, str) else json.dumps(value)).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Not of interest."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, method: str, path: str, query: dict, headers: dict, body: Any) -> tuple[int, Any]:
        raise NotImplementedError

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Windmill(Server):
    """Variables, resources, and the runs that scripts queue."""

    def __init__(self, resources: dict[str, Any]) -> None:
        self.resources = resources
        self.secrets: dict[str, str] = {}
        self.queued: list[tuple[str, Any]] = []
        self.erased: list[str] = []
        self.sent: dict[str, Any] = {}
        self.before_secret: Callable[[], Any] = lambda: None
        self.fails_with: dict[str, int] = {}
        super().__init__()

    def answer(self, method: str, path: str, query: dict, headers: dict, body: Any) -> tuple[int, Any]:
        assert headers["authorization"] == "Bearer windmill-token"
        call = path.removeprefix("/api/w/local/")
        if status := next((s for start, s in self.fails_with.items() if call.startswith(start)), None):
            return status, "no"
        if call.startswith("resources/get_value_interpolated/"):
            return 200, self.resources[call.removeprefix("resources/get_value_interpolated/")]
        if call.startswith("jobs_u/get_args/"):
            return 200, {"event": self.sent}
        if call.startswith("variables/exists/"):
            return 200, call.removeprefix("variables/exists/") in self.secrets
        if call.startswith("variables/"):
            assert body["is_secret"] is True
            self.before_secret()
            self.secrets[body.get("path") or call.removeprefix("variables/update/")] = body["value"]
            return 200, "done"
        if call.startswith("jobs/run/p/"):
            assert int(query["scheduled_in_secs"]) >= 60
            self.queued.append((call.removeprefix("jobs/run/p/"), body))
            return 201, "id"
        if call.startswith("jobs/completed/delete/"):
            self.erased.append(call.rsplit("/", 1)[1])
            return 200, {}
        return 404, "Not found"


class Graph(Server):
    """Meta's Graph API: `numbers` by token, each (id, account); `reactions` by the end of a path come first."""

    def __init__(self) -> None:
        self.numbers: dict[str, list[tuple[str, str]]] = {}
        self.reactions: dict[str, tuple[int, Any]] = {}
        self.subscribed: list[str] = []
        self.before_answer: Callable[[], Any] = lambda: None
        super().__init__()
        self.resource = {"base_url": self.url, "version": "v24.0", "app_id": "demo-app"}

    def answer(self, method: str, path: str, query: dict, headers: dict, body: Any) -> tuple[int, Any]:
        self.before_answer()
        if reaction := next((r for end, r in self.reactions.items() if path.endswith(end)), None):
            return reaction
        numbers = self.numbers.get(headers["authorization"].removeprefix("Bearer "))
        if numbers is None:
            return error(190, 401)
        version, object_id, *edge = path.strip("/").split("/")
        assert version == "v24.0"
        if edge == ["phone_numbers"] and (found := [n for n, account in numbers if account == object_id]):
            # Two a page, as if there were many.
            at = int(query.get("after", 0))
            page = {"data": [{"id": number} for number in found[at : at + 2]]}
            more = at + 2 < len(found)
            paging = {"cursors": {"after": str(at + 2)}} | ({"next": "https://…"} if more else {})
            return 200, page | {"paging": paging}
        if edge == ["subscribed_apps"] and any(account == object_id for _, account in numbers):
            assert method == "POST"
            self.subscribed.append(object_id)
            return 200, {"success": True}
        if not edge and any(number == object_id for number, _ in numbers):
            assert query["fields"] == "display_phone_number,verified_name"
            return 200, {"id": object_id, "display_phone_number": "+44 1", "verified_name": "Shop"}
        return error(100, 400)


def error(code: int, status: int) -> tuple[int, Any]:
    """Meta's error body; its message repeats the token, as Meta's does."""
    return status, {"error": {"message": "Malformed access token EAAsecret", "type": "OAuthException", "code": code}}


class Office:
    """A seeded database, and calls with a key as the route makes them."""

    def __init__(self, owner_url: str, graph: Graph, windmill: Windmill) -> None:
        self.graph = graph
        self.windmill = windmill
        self.owner = psycopg.connect(owner_url, autocommit=True, row_factory=dict_row)
        for key, organization, scopes in (
            (BICIS_KEY, BICIS, ["admin"]),
            (DENTAL_KEY, DENTAL, ["admin", "knowledge"]),
            (KNOWLEDGE_KEY, BICIS, ["knowledge"]),
        ):
            self.rows(
                "insert into api_keys (organization_id, name, key_prefix, key_hash, scopes)"
                " values (%s, %s, 'mr_', %s, %s) returning id",
                organization,
                key,
                hashed(key),
                scopes,
            )
        self.rows(
            "insert into operator_keys (name, key_prefix, key_hash) values ('o', 'mro_', %s) returning id",
            hashed(OPERATOR),
        )

    def call(self, action: str, key: str | None, given: Any = None, **params: str) -> tuple[int, dict[str, Any]]:
        """Status and body of the route's answer to the JSON body `given`, text as it is."""
        text = given if isinstance(given, str) else json.dumps(given or {})
        event = {
            "raw_string": text,
            "body": {},
            "params": params,
            "query": {},
            "headers": {"authorization": f"Bearer {key}"} if key else {},
        }
        script = importlib.import_module(f"f.admin.{action}")
        self.windmill.sent = event
        arguments = script.preprocessor({**event, "raw_string": "followed", "params": {"all": "followed"}})
        self.stored = json.dumps(arguments)
        answer = script.main(**arguments)
        return answer["windmill_status_code"], answer["result"]

    def form(self, action: str, **given: Any) -> dict[str, Any]:
        """The same in Windmill's form."""
        return importlib.import_module(f"f.admin.{action}").main(**given)

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return self.owner.execute(query, values).fetchall()

    def audit(self) -> list[tuple[str, str]]:
        return [(r["action"], r["actor_kind"]) for r in self.rows("select * from audit_log order by id")]


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def connect(office: Office, key: str = BICIS_KEY, **changes: Any) -> tuple[int, dict]:
    return office.call("connect_number", key, NUMBER | changes, phone_number_id=NUMBER_ID)
