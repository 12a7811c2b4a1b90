"""The product, asked: a demo tenant's documents ingested, each question a message that goes the way of any other.

Runs the flows' own steps (f/knowledge/ingest_source, f/whatsapp/webhook_processor) in this process, one after the
other, on what local/throwaway.py gives: a seeded database, our tool servers as processes, a server that takes all.
What the steps log goes to `log`.
"""

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from f.knowledge import embed_chunks, open_source, parse_source, publish_source, queries, stage_source
from f.knowledge.library import SCOPE, Library
from f.knowledge.uploads import is_readable
from f.lib.api_auth import authenticate
from f.lib.database import connect, tenant
from f.whatsapp import generate_reply, load_context, send_reply
from local import throwaway
from local.answers import AnswersError
from local.answers.judging import Call, Passage, Reply
from local.credentials import key_hash

#: What a turn has left behind, by its id.
READ_TURN = """
select model, error, prompt_tokens + completion_tokens as tokens, refusal from turns where id = %(turn_id)s
"""
READ_PARTS = "select body from outbox where turn_id = %(turn_id)s order by position"
READ_CALLS = """
select tool_name, arguments, state, coalesce(result, error, '') as result from tool_executions
where turn_id = %(turn_id)s order by started_at
"""
READ_CITED = """
select p.source_name,
       string_agg(array_to_string(c.headings, ' › ') || E'\\n' || c.body, E'\\n' order by c.position) as text
from answer_passages p
join document_chunks c on (c.organization_id, c.source_id) = (p.organization_id, p.source_id)
  and c.position = any(p.positions)
where p.turn_id = %(turn_id)s and p.is_cited group by p.number, p.source_name order by p.number
"""
FIND_TENANT = """
select c.organization_id::text, c.id::text as chatbot_id, n.phone_number_id, n.app_id, n.waba_id, c.name, c.persona,
       c.instructions, c.facts
from chatbots c join whatsapp_numbers n on (n.organization_id, n.chatbot_id) = (c.organization_id, c.id)
where c.slug = %(slug)s
"""
USE_MODEL = """
update chatbots set model_provider = %(provider)s, model_name = %(name)s, model_resource_path = %(resource_path)s,
       fallback_models = %(fallback_models)s
where id::text = %(chatbot_id)s
"""


class Product:
    """One installation; `resources` are those of the models, by path."""

    def __init__(
        self,
        database: throwaway.Database,
        services: throwaway.Services,
        outside: str,
        resources: Mapping[str, Any],
        log: TextIO,
    ) -> None:
        self.database = database
        self._services = services
        self._outside = outside
        self._resources = dict(resources)
        self._log = log
        self.owner = psycopg.connect(database.owner_url, autocommit=True, row_factory=dict_row)
        self.owner.execute("set role owner")

    def tenant(self, slug: str) -> "Tenant":
        """Raises AnswersError."""
        row = self.owner.execute(FIND_TENANT, {"slug": slug}).fetchone()
        if row is None:
            raise AnswersError(f"db/seed.sql has no chatbot {slug!r}")
        return Tenant(self, row)

    @contextmanager
    def steps(self) -> Iterator[None]:
        """What a step logs is not for the reader of the report; where one fails it is in the error."""
        begin = self._log.tell()
        # Runs are queued at nobody's: the steps are run here.
        os.environ |= {"BASE_INTERNAL_URL": self._outside, "WM_TOKEN": "-", "WM_WORKSPACE": "-"}
        try:
            with redirect_stdout(self._log):
                yield
        except Exception as error:
            self._log.seek(begin)
            logged = self._log.read()[-2000:]
            raise AnswersError(f"a step failed: {type(error).__name__}: {error}\n{logged}") from error

    def answer(self, turn: dict[str, Any]) -> None:
        """Steps 2 and 3 of the flow."""
        whatsapp = {"base_url": self._outside, "version": "v24.0"}
        generate_reply.main(
            self.database.app, turn, whatsapp, "token", models=self._resources, tool_servers=self._services.tool_servers
        )
        send_reply.main(self.database.app, turn, whatsapp, "token")

    def ingest(self, job: dict[str, Any]) -> None:
        """The steps of the flow of ingestion, as far as they go."""
        app, services = self.database.app, self._services
        opened = open_source.main(app, services.exchange_key, **job)
        if parse_source.main(services.exchange_url, opened["ticket"])["state"] != "read":
            return
        if stage_source.main(app, **job)["state"] != "staged":
            return
        if embed_chunks.main(app, **job)["state"] == "embedded":
            publish_source.main(app, **job)


class Tenant:
    """A tenant of the seed, with its number, and the customers that write to it."""

    def __init__(self, product: Product, row: dict[str, Any]) -> None:
        self._product = product
        self._row = row
        facts = "\n".join(f"{fact['topic']}: {fact['text']}" for fact in row["facts"])
        self.name: str = row["name"]
        self.settings = "\n".join([row["name"], row["persona"], row["instructions"], facts])

    def use(self, model: Mapping[str, Any]) -> None:
        values = {**model, "fallback_models": Jsonb(model.get("fallback_models", []))}
        self._product.owner.execute(USE_MODEL, values | {"chatbot_id": self._row["chatbot_id"]})

    def learn(self, files: Sequence[Path]) -> dict[str, int]:
        """Ingest documents by the product's own way. Returns their chunks by name; raises AnswersError."""
        organization_id = self._row["organization_id"]
        key = key_hash(secrets.token_urlsafe(24))
        self._product.owner.execute(
            "insert into api_keys (organization_id, name, key_prefix, key_hash, scopes)"
            " values (%s, 'eval', '-', %s, %s)",
            [organization_id, key, [SCOPE]],
        )
        if unknown := [file.name for file in files if not is_readable(file.name, "")]:
            raise AnswersError(f"this type cannot be read: {', '.join(unknown)}")
        known = {}
        with self._product.steps(), connect(self._product.database.app) as connection:
            with tenant(connection, organization_id):
                keys = {"organization_id": organization_id, "chatbot": self._row["chatbot_id"]}
                chatbot = connection.execute(queries.FIND_CHATBOT, keys).fetchone()
            assert chatbot is not None
            library = Library(connection, authenticate(connection, {"key_hash": key}), chatbot)
            for file in files:
                added = library.add("file", file.name, data=file.read_bytes())
                self._product.ingest({"organization_id": organization_id, "source_id": added["id"], "version": 1})
                source = library.show(added["id"])
                if source["state"] != "ready":
                    raise AnswersError(f"{file}: {source['state']}, {source['error']}")
                known[file.name] = source["chunks"]
        return known

    def ask(self, questions: Sequence[str]) -> Reply:
        """What a new customer gets for the last of `questions`, after the others have been answered."""
        person = f"34{uuid4().int % 10**9:09}"
        reply, said = Reply(""), ""
        for number, text in enumerate(questions):
            said = f"{said}\n{reply.text}\n{text}"
            reply = self._turn(person, text, number, said)
        return reply

    def _turn(self, person: str, text: str, number: int, said: str) -> Reply:
        os.environ["WM_FLOW_JOB_ID"] = str(uuid4())
        started = time.perf_counter()
        with self._product.steps():
            loaded = load_context.main(self._product.database.app, self._delivery(person, text, number))
            if loaded["state"] != "working":
                # A person has the conversation since an earlier question: nothing is answered.
                return Reply("", settings=self.settings, said=said, error=f"no turn: {loaded['state']}")
            self._product.answer(loaded["turn"])
        ms = round((time.perf_counter() - started) * 1000)
        return self._read(loaded["turn"]["turn_id"], said, ms)

    def _delivery(self, person: str, text: str, number: int) -> str:
        now = datetime.now(UTC)
        message = {"from": person, "id": f"wamid.{uuid4().hex}", "timestamp": str(int(now.timestamp()) + number)}
        return json.dumps(
            {
                **{name: self._row[name] for name in ("app_id", "waba_id", "phone_number_id")},
                "contact": {"wa_id": person, "profile": {"name": "Eval"}},
                "message": {**message, "type": "text", "text": {"body": text}},
                "received_at": now.isoformat(),
                "position": 0,
                "limited": None,
            }
        )

    def _read(self, turn_id: str, said: str, ms: int) -> Reply:
        def rows(query: str) -> list[dict[str, Any]]:
            return self._product.owner.execute(query, {"turn_id": turn_id}).fetchall()

        (turn,) = rows(READ_TURN)
        return Reply(
            text="\n\n".join(row["body"] for row in rows(READ_PARTS)),
            cited=[Passage(row["source_name"], row["text"]) for row in rows(READ_CITED)],
            calls=[Call(row["tool_name"], row["arguments"], row["state"], row["result"]) for row in rows(READ_CALLS)],
            settings=self.settings,
            said=said,
            error=turn["error"] or turn["refusal"],
            ms=ms,
            tokens=turn["tokens"],
            model=turn["model"] or "",
        )


@contextmanager
def product(resources: Mapping[str, Any], log: TextIO) -> Iterator[Product]:
    """An installation with the demo tenants, for as long as the block lasts. Raises StackError."""
    with (
        throwaway.database(seeded=True) as database,
        throwaway.services(database.app_url) as services,
        throwaway.takes_all() as outside,
    ):
        made = Product(database, services, outside, resources, log)
        with made.owner:
            yield made
