# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Check the system's health: a table with the way out for whatever is wrong"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg

from f.lib.database import connect
from f.lib.variables import VariableMissing, read_variable
from f.lib.windmill import WindmillError, get_resource, list_runs, list_schedules
from f.ops import queries
from f.ops.health import (
    SCHEDULES,
    Finding,
    figure_findings,
    gateway_finding,
    model_finding,
    queue_finding,
    schedule_finding,
    schema_finding,
    table,
)

SECONDS = 5


def main(only_findings: bool = False) -> list[dict]:
    """Purpose: one look that says whether everything works, and where to read on when it does not.

    only_findings: leave out what is well

    Looked at are the database as both roles that scripts log in as, its migrations, the schedules and when they
    succeeded last, the queue, the gateway, the keys of the models that are in use (whether there is one: none is
    tried, that would cost), numbers on hold, leases and sends that were left behind, messages without an outcome,
    open alerts by kind, and alerts and hand-overs that nobody was told of. Nothing is changed.

    Returns rows of `state` (bad: customers feel it; look; ok), `check`, `found` and `way_out`, the heading in
    docs/operations.md, the gravest first.
    """
    findings = table([*of_windmill(), *of_database(), *of_gateway()])
    return [row for row in findings if not (only_findings and row["state"] == "ok")]


def of_windmill() -> Iterator[Finding]:
    now = datetime.now(UTC)
    try:
        schedules = {row["script_path"]: row for row in list_schedules()}
        for path in SCHEDULES:
            runs = list_runs("completed", script_path_exact=path, success="true", per_page=1)
            last = datetime.fromisoformat(runs[0]["created_at"]) if runs else None
            yield schedule_finding(path, schedules.get(path), last, now)
        waiting = list_runs("queue", per_page=100, order_desc="false")
        due = [datetime.fromisoformat(run.get("scheduled_for") or run["created_at"]) for run in waiting if is_due(run)]
        yield queue_finding([at for at in due if at <= now], now)
    except WindmillError as error:
        yield Finding("bad", "Windmill", str(error), "Windmill is away")


def is_due(run: dict[str, Any]) -> bool:
    return not run.get("running") and not run.get("suspend") and not run.get("canceled")


def of_database() -> Iterator[Finding]:
    now = datetime.now(UTC)
    try:
        with connect(get_resource("f/lib/database")):
            yield Finding("ok", "database as app", "answers")
        with connect(get_resource("f/admin/database")) as connection:
            yield Finding("ok", "database as manager", "answers")
            version = connection.execute(queries.SCHEMA_VERSION).fetchone()
            yield schema_finding(version["version"] if version else None)
            yield from figure_findings(connection.execute(queries.HEALTH_FIGURES).fetchall(), now)
            models = connection.execute(queries.MODELS_IN_USE).fetchall()
    except psycopg.Error as error:
        # The text names host and user.
        yield Finding("bad", "database", type(error).__name__, "The database is away")
        return
    except WindmillError as error:
        yield Finding("bad", "database", str(error), "Windmill is away")
        return
    for model in models:
        yield model_finding(model["provider"], model["resource_path"], has_key(model["resource_path"]))


def has_key(path: str | None) -> bool:
    try:
        return bool(path and get_resource(path).get("api_key"))
    except WindmillError:
        return False


def of_gateway() -> Iterator[Finding]:
    try:
        url = read_variable("f/ops/gateway_url").rstrip("/")
    except VariableMissing:
        url = ""
    status, error = None, None
    if url:
        try:
            status = httpx.get(f"{url}/ready", timeout=SECONDS).status_code
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            error = type(problem).__name__
    yield gateway_finding(url, status, error)
