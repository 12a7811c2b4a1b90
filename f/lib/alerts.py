# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Alerts: what a person has to look at. Repeats of an open alert are counted, not added."""

from typing import Any

from psycopg.types.json import Jsonb

from f.lib.database import Connection

RAISE_ALERT = """
insert into system_alerts (organization_id, kind, subject, details)
values (%(organization_id)s, %(kind)s, %(subject)s, %(details)s)
on conflict (organization_id, kind, subject) where resolved_at is null
do update set occurrences = system_alerts.occurrences + 1, last_at = now(), details = excluded.details
"""

RESOLVE_ALERTS = """
update system_alerts set resolved_at = now()
where (organization_id = %(organization_id)s or organization_id is null and %(organization_id)s::uuid is null)
  and kind = %(kind)s and subject = any(%(subjects)s) and resolved_at is null
"""


def raise_alert(
    connection: Connection, organization_id: str | None, kind: str, subject: str, details: dict[str, Any]
) -> None:
    """Raise or count the alert `kind` about `subject` (an id) inside the caller's transaction.

    `details` names causes and ids, never what customers wrote. `organization_id` is None for
    what concerns the operators of the installation.
    """
    connection.execute(
        RAISE_ALERT,
        {"organization_id": organization_id, "kind": kind, "subject": subject, "details": Jsonb(details)},
    )


def raise_alerts(
    connection: Connection, organization_id: str, kind: str, details_by_subject: dict[str, dict[str, Any]]
) -> None:
    """`raise_alert` for many subjects, in one go and in one order, so that two runs never wait for each other."""
    rows = [
        {"organization_id": organization_id, "kind": kind, "subject": subject, "details": Jsonb(details)}
        for subject, details in sorted(details_by_subject.items())
    ]
    if rows:
        connection.cursor().executemany(RAISE_ALERT, rows)


def resolve_alerts(connection: Connection, organization_id: str | None, kind: str, subjects: list[str]) -> None:
    """`resolve_alert` for many subjects."""
    if subjects:
        values = {"organization_id": organization_id, "kind": kind, "subjects": subjects}
        connection.execute(RESOLVE_ALERTS, values)


def resolve_alert(connection: Connection, organization_id: str | None, kind: str, subject: str) -> None:
    """Close the alert when what it was about has settled itself."""
    resolve_alerts(connection, organization_id, kind, [subject])
