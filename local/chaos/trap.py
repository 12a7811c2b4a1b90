"""Runs in each job's process before its script (the engine's `--trap`): ends or stops it where a plan says so.

A plan is a file `plans/<step>/<person>.<n>.json` beside this one; a process takes the first for its step and person.
Points are where the outside world is touched: statements that write, commits, connections, HTTP calls. Each has a
name such as `after commit 2`, counted within the process, which `{"act": "record"}` writes down without harm.
Standard library only until there is a plan: a process without one is not slowed down.
"""

import json
import os
import signal
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

HOME = Path(__file__).parent
WRITES = ("insert", "update", "delete", "with")


def arm(job: dict[str, Any]) -> None:
    """Find the job's plan and arrange for it."""
    folder = HOME / "plans" / job["path"].rsplit("/", 1)[-1]
    names = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
    if not names:
        return
    person = person_of(job["args"])
    for name in names:
        if name.split(".")[0] in (person, "any"):
            try:
                # Only one process gets it.
                (folder / name).rename(HOME / "taken" / f"{folder.name}.{name}")
            except FileNotFoundError:
                continue
            plan = json.loads((HOME / "taken" / f"{folder.name}.{name}").read_text())
            Trap(plan, folder.name, name.split(".")[0], job).lay()
            return


def person_of(arguments: dict[str, Any]) -> str:
    """The phone number of the person whom a job is about; empty when that cannot be found out."""
    if arguments.get("delivery"):
        delivery = json.loads(arguments["delivery"])
        if "message" in delivery:
            return str(delivery["message"].get("from"))
        status = (delivery.get("items") or [{}])[0].get("status") or {}
        return str(status.get("recipient_id"))
    place = arguments.get("turn") or arguments.get("conversation")
    if not place or not arguments.get("database"):
        return ""
    import psycopg

    database = arguments["database"]
    keys = ("host", "port", "dbname", "user", "password", "sslmode")
    try:
        with psycopg.connect(**{key: database[key] for key in keys}, connect_timeout=5) as connection:
            connection.execute("select set_config('app.organization_id', %s, true)", [place["organization_id"]])
            row = connection.execute(
                "select c.wa_id from conversations v join contacts c on (c.organization_id, c.id)"
                " = (v.organization_id, v.contact_id) where v.id = %s",
                [place["conversation_id"]],
            ).fetchone()
    except psycopg.Error:
        return ""
    return str(row[0]) if row else ""


class Trap:
    """One plan in one process."""

    def __init__(self, plan: dict[str, Any], step: str, person: str, job: dict[str, Any]) -> None:
        self.plan = plan
        self.step = step
        self.person = person
        self.job = job
        self.seen: dict[str, int] = {}
        self.depth = 0
        self.sprung = False
        self.connection: Any = None

    def lay(self) -> None:
        import httpx
        import httpx2  # the openai package's
        import psycopg

        trap = self
        execute, connect = psycopg.Cursor.execute, psycopg.connect
        enter, leave = psycopg.Transaction.__enter__, psycopg.Transaction.__exit__

        def watched_connect(*args: Any, **kwargs: Any) -> Any:
            trap.at("before", "connect")
            trap.connection = connect(*args, **kwargs)
            trap.at("after", "connect")
            return trap.connection

        def watched_execute(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            words = str(query).split()
            if words[0].lower() not in WRITES:
                return execute(cursor, query, *args, **kwargs)
            what = " ".join(words[: 3 if words[0].lower() == "insert" else 2])
            trap.at("before", what)
            done = execute(cursor, query, *args, **kwargs)
            trap.at("after", what)
            return done

        def watched_enter(transaction: Any) -> Any:
            trap.depth += 1
            return enter(transaction)

        def watched_leave(transaction: Any, *error: Any) -> Any:
            trap.depth -= 1
            outermost = trap.depth == 0 and error[0] is None
            if outermost:
                trap.at("before", "commit")
            done = leave(transaction, *error)
            if outermost:
                trap.at("after", "commit")
            return done

        def watch_calls_of(client_class: Any) -> None:
            send = client_class.send

            def watched_send(client: Any, request: Any, **kwargs: Any) -> Any:
                what = f"{request.method} {request.url.path.rstrip('/').rsplit('/', 1)[-1]}"
                if b'"status":"read"' in request.content.replace(b" ", b""):
                    what = "POST read"
                trap.at("before", what)
                if trap.is_here("during", what):
                    # Both packages tell it: the request is out, and of the answer nothing has been read.
                    request.extensions = {**request.extensions, "trace": partial(trap.sent, what)}
                done = send(client, request, **kwargs)
                trap.at("after", what)
                return done

            client_class.send = watched_send

        psycopg.connect = watched_connect
        psycopg.Cursor.execute = watched_execute  # type: ignore[assignment, method-assign]
        psycopg.Transaction.__enter__ = watched_enter  # type: ignore[method-assign]
        psycopg.Transaction.__exit__ = watched_leave  # type: ignore[method-assign]
        watch_calls_of(httpx.Client)
        watch_calls_of(httpx2.Client)
        self.at("at", "begin")

    def is_here(self, when: str, what: str) -> bool:
        """Whether the plan is for this place, of which this is one more passage."""
        name = f"{when} {what}"
        self.seen[name] = self.seen.get(name, 0) + 1
        point = f"{name} {self.seen[name]}"
        if self.plan["act"] == "record":
            if when != "during" or what.startswith("POST"):
                self.note(point)
            return False
        return not self.sprung and point == self.plan["point"]

    def sent(self, what: str, event: str, _: dict[str, Any]) -> None:
        """Called for each event of a request's way, such as `http11.send_request_body.complete`."""
        if event.endswith("send_request_body.complete") and not self.sprung:
            self.spring(f"during {what}")

    def at(self, when: str, what: str) -> None:
        if self.is_here(when, what):
            self.spring(f"{when} {what}")

    def note(self, point: str) -> None:
        line = {"at": time.time(), "step": self.step, "person": self.person, "point": point, "act": self.plan["act"]}
        line |= {"pid": os.getpid(), "job": os.environ.get("WM_JOB_ID"), "flow": os.environ.get("WM_FLOW_JOB_ID")}
        handle = os.open(HOME / "sprung.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(handle, (json.dumps(line) + "\n").encode())
        os.close(handle)

    def spring(self, point: str) -> None:
        self.sprung = True
        self.note(point)
        act = self.plan["act"]
        if act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif act == "stop":
            # Whoever lets us go on is no child of ours: it must not stop with us.
            if os.fork() == 0:
                self.go_apart()
                time.sleep(self.plan["seconds"])
                os.kill(os.getppid(), signal.SIGCONT)
                os._exit(0)
            os.kill(os.getpid(), signal.SIGSTOP)
        elif act == "cancel":
            run = os.environ.get("WM_FLOW_JOB_ID") or os.environ["WM_JOB_ID"]
            api = f"{os.environ['BASE_INTERNAL_URL']}/api/w/{os.environ['WM_WORKSPACE']}"
            self.call(f"{api}/jobs_u/queue/cancel/{run}", {"reason": "a test"})
        elif act == "tell":
            self.call(self.plan["url"], {"person": self.person, "point": point})
        elif act == "cut":
            import socket

            with socket.socket(fileno=os.dup(self.connection.pgconn.socket)) as server:
                server.shutdown(socket.SHUT_RDWR)
        elif act == "raise":
            import psycopg

            raise getattr(psycopg.errors, self.plan["error"])("by a test")
        elif act == "twin" and os.fork() == 0:
            # The same step once more, at the same time; nobody hears of its result.
            self.go_apart()
            sys.modules["__main__"].outcome_of(self.job)
            os._exit(0)

    @staticmethod
    def go_apart() -> None:
        """The engine must neither take this process for the job's, nor end it with the job."""
        os.setsid()
        os.closerange(3, 1024)

    @staticmethod
    def call(url: str, body: dict[str, Any]) -> None:
        headers = {"content-type": "application/json", "authorization": f"Bearer {os.environ.get('WM_TOKEN', '')}"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # http, to ourselves
            response.read()
