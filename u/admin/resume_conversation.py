# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Give a conversation back to the bot"""

from f.admin.desk import open_desk
from f.lib import http
from f.lib.database import Connection, connect, tenant
from f.lib.windmill import get_resource
from f.ops import repair_queries


class NotFound(Exception):
    """No conversation is known by that."""


class Ambiguous(Exception):
    """Several conversations are with people: name one of them by its id."""


def main(conversation_id: str = "", contact_number: str = "", note: str = "") -> dict:
    """Purpose: the bot answers again, before the chatbot's time for a hand-over is over.

    conversation_id: of the conversation, or leave it empty and fill in the number
    contact_number: the customer's phone number, with or without + and spaces, or business-scoped id
    note: told to the bot besides what the person wrote: what was agreed, what is still open

    The bot speaks again when the customer writes next.

    Returns `state`: "resumed", or "with the bot" when it was not handed over.
    """
    with open_desk("resume_conversation", None) as desk, connect(get_resource("f/lib/database")) as connection:
        # An argument that is left out may arrive as None.
        found = find(connection, (conversation_id or "").strip(), (contact_number or "").strip())
        handed_over = [row for row in found if row["mode"] == "person"]
        if len(handed_over) > 1:
            raise Ambiguous(", ".join(str(row["conversation_id"]) for row in handed_over))
        row = (handed_over or found)[0]
        organization_id, conversation_id = str(row["organization_id"]), str(row["conversation_id"])
        with desk.work(organization_id) as record, tenant(connection, organization_id):
            back = connection.execute(
                repair_queries.HAND_BACK, {**row, "note": (note or "").strip() or None}
            ).fetchone()
            record("conversation", conversation_id, old={"mode": row["mode"]}, new={"mode": "bot"})
    return {
        "state": "resumed" if back else "with the bot",
        "conversation_id": conversation_id,
        "organization_id": organization_id,
        "phone_number_id": row["phone_number_id"],
    }


def find(connection: Connection, conversation_id: str, contact_number: str) -> list[dict]:
    """The conversations that are meant, with their mode."""
    if not (conversation_id or contact_number):
        raise ValueError("fill in conversation_id or contact_number")
    digits = "".join(character for character in contact_number if character.isdigit())
    is_number = contact_number.strip("+0123456789 ()-./") == ""
    wanted = {
        "conversation_id": http.uuid("conversation_id", conversation_id) if conversation_id else None,
        "contact": None if conversation_id else (digits if is_number else contact_number),
    }
    found = []
    for ids in connection.execute(repair_queries.FIND_CONVERSATIONS, wanted).fetchall():
        with tenant(connection, ids["organization_id"]):
            found += connection.execute(repair_queries.READ_MODE, ids).fetchall()
    if not found:
        raise NotFound(conversation_id or contact_number)
    return found
