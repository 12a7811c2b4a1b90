# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Let a number that was held send again"""

from f.admin.desk import open_desk
from f.lib import http
from f.lib.alerts import resolve_alert
from f.lib.database import connect, tenant
from f.lib.windmill import get_resource
from f.ops import repair_queries
from f.whatsapp import event_queries


class NotFound(Exception):
    """No chatbot has this number."""


def main(phone_number_id: str) -> dict:
    """Purpose: an operator has seen to what WhatsApp complained of (token, payment, registration …).

    phone_number_id: Meta's id of the number, the subject of the alert number_needs_operator

    The sweep takes up within a minute what waited; if WhatsApp refuses again, the number is held again.

    Returns `state`: "released" or "not held", and how many conversations wait.
    """
    with open_desk("release_number", None) as desk, connect(get_resource("f/lib/database")) as connection:
        values = {"phone_number_id": http.text("phone_number_id", phone_number_id).strip()}
        route = connection.execute(event_queries.ROUTE_NUMBER, values).fetchone()
        if route is None:
            raise NotFound(values["phone_number_id"])
        values["organization_id"] = route["organization_id"]
        organization_id = str(route["organization_id"])
        with desk.work(organization_id) as record, tenant(connection, organization_id):
            released = connection.execute(repair_queries.RELEASE_NUMBER, values).fetchone()
            record("number", values["phone_number_id"], new={"released": bool(released)})
            resolve_alert(connection, route["organization_id"], "number_needs_operator", values["phone_number_id"])
            waiting = connection.execute(repair_queries.COUNT_WAITING, values).fetchone()
    return {
        "state": "released" if released else "not held",
        "waiting_conversations": waiting["waiting"] if waiting else 0,
    }
