"""Store a delivery's statuses, or its updates of any other kind."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from f.lib.alerts import raise_alert, resolve_alert
from f.lib.database import Connection, connect, tenant
from f.lib.ids import events_job_id
from f.whatsapp import queries
from f.whatsapp.deliveries import STATUS_RANK, Status, parse_status, without_nul


def main(database: dict, delivery: str) -> dict:
    """Purpose: a status moves our message forward, never back; everything else is kept for people.

    Input: JSON text as the gateway queued it: `kind` "statuses" or "events" with `items`. Safe to
    run again, also under another job id. Returns how many items were applied, kept, or belong to no organisation.
    """
    envelope = without_nul(json.loads(delivery))
    received_at = datetime.fromisoformat(envelope["received_at"])
    # Whichever run stores it, what a delivery's first run stored is not stored twice.
    job_id = events_job_id(envelope["kind"], envelope["body_sha256"])
    counts = {"applied": 0, "kept": 0, "unrouted": 0}
    with connect(database) as connection:
        for position, item in enumerate(envelope["items"]):
            field = "statuses" if envelope["kind"] == "statuses" else item["field"]
            payload = item.get("status") if field == "statuses" else item.get("value")
            values = {
                "job_id": job_id,
                "position": position,
                "app_id": envelope["app_id"],
                "waba_id": item.get("waba_id"),
                "phone_number_id": item.get("phone_number_id"),
                "field": field,
                "payload": Jsonb(payload),
                "received_at": received_at,
            }
            organization_id, reason = route(connection, values)
            if organization_id is None:
                connection.execute(queries.STORE_UNROUTED, {**values, "reason": reason})
                counts["unrouted"] += 1
                continue
            values["organization_id"] = organization_id
            with tenant(connection, organization_id):
                status = parse_status(payload) if field == "statuses" else None
                if status and apply_status(connection, values, status):
                    counts["applied"] += 1
                else:
                    connection.execute(queries.STORE_ACCOUNT_EVENT, values)
                    counts["kept"] += 1
    return counts


def route(connection: Connection, values: dict[str, Any]) -> tuple[str | None, str]:
    """The organisation that an update is about: by its number, or by its WhatsApp Business Account."""
    if values["phone_number_id"]:
        row = connection.execute(queries.ROUTE_NUMBER, values).fetchone()
        if row is None:
            return None, "unknown number"
        if row["app_id"] != values["app_id"]:
            return None, "signed by another app"
        return str(row["organization_id"]), ""
    row = connection.execute(queries.ROUTE_WABA, values).fetchone()
    if row is None or row["organization_id"] is None:
        return None, "unknown account"
    return str(row["organization_id"]), ""


def apply_status(connection: Connection, values: dict[str, Any], status: Status) -> bool:
    """Move the message that the status names; False when it is none of ours."""
    updated = connection.execute(
        queries.APPLY_STATUS,
        {
            **values,
            "status": "read" if status.name == "played" else status.name,
            "rank": STATUS_RANK[status.name],
            "status_at": status.at or values["received_at"],
            "error": Jsonb(status.error),
            "outbox_id": outbox_id(status.callback_data),
            "wamid": status.wamid,
        },
    ).fetchone()
    if updated is None:
        return False
    connection.execute(queries.COPY_WAMID, {**values, "outbox_id": updated["id"]})
    if status.name == "failed":
        raise_alert(connection, values["organization_id"], "reply_not_delivered", str(updated["id"]), status.error)
    elif updated["was_uncertain"]:
        resolve_alert(connection, values["organization_id"], "reply_uncertain", str(updated["id"]))
    return True


def outbox_id(callback_data: str | None) -> UUID | None:
    """The id that we sent along; anything else that comes back is not ours."""
    try:
        return UUID(callback_data)
    except (TypeError, ValueError):
        return None
