# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Who writes: one contact for each person, whatever number or id they are known by from now on."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from f.lib.database import Connection
from f.whatsapp import contact_queries
from f.whatsapp.deliveries import Identity


class ContactBusy(Exception):
    """Two contacts are one person, but a turn of theirs is under way: try again when it has ended."""


class ContactErased(Exception):
    """The person was erased while this message was being stored: the next attempt stores it as somebody new's."""


def contact_of(connection: Connection, organization_id: str, who: Identity, profile_name: str | None) -> UUID:
    """The contact known as `who`, added or brought up to date."""
    values = {**_values(organization_id, who), "profile_name": profile_name}
    connection.execute(contact_queries.RELEASE_NUMBER, values)
    contact = connection.execute(contact_queries.FIND_CONTACT, values).fetchone()
    if contact is None:
        added = connection.execute(contact_queries.ADD_CONTACT, values).fetchone()
        if added:
            return UUID(str(added["id"]))
        contact = connection.execute(contact_queries.FIND_CONTACT, values).fetchone()
        assert contact is not None, "a contact was added meanwhile"
    if who.user_id is not None and who.wa_id is not None and contact["wa_id"] != who.wa_id:
        # Known by the id, and as somebody else by the number alone: now it is told that they are one person.
        other = _find(connection, organization_id, Identity(None, who.wa_id))
        if other is not None and other["id"] != contact["id"]:
            with suppress(ContactBusy):  # then at their next message
                _merge(connection, organization_id, contact["id"], other["id"])
    if any(values[key] is not None and contact[key] != values[key] for key in ("user_id", "wa_id", "profile_name")):
        connection.execute(contact_queries.COMPLETE_CONTACT, {**values, "contact_id": contact["id"]})
    return UUID(str(contact["id"]))


def change_contact(connection: Connection, organization_id: str, known: Identity, now: Identity) -> UUID | None:
    """Whoever was `known` so far is known as `now`; the contact, its history and its conversations go on.

    A contact that writes under the new number or id already is the same person and becomes part of
    this one. Returns the contact; None when nobody is known either way. Raises ContactBusy.
    """
    contact = _find(connection, organization_id, known) or _find(connection, organization_id, now)
    if contact is None:
        return None
    for half in (Identity(now.user_id, None), Identity(None, now.wa_id)):
        other = _find(connection, organization_id, half)
        if other is not None and other["id"] != contact["id"]:
            _merge(connection, organization_id, contact["id"], other["id"])
    # A number that changes without telling the new id: the old id is nobody's any more.
    moved = now.wa_id is not None and now.wa_id != contact["wa_id"] and now.user_id is None
    ids = Identity(None if moved else now.user_id or contact["user_id"], now.wa_id or contact["wa_id"])
    connection.execute(contact_queries.CHANGE_CONTACT, {**_values(organization_id, ids), "contact_id": contact["id"]})
    return UUID(str(contact["id"]))


def _merge(connection: Connection, organization_id: str, contact_id: UUID, other_id: UUID) -> None:
    values: dict[str, Any] = {
        "organization_id": organization_id,
        "contact_id": contact_id,
        "other_contact_id": other_id,
    }
    conversations = connection.execute(contact_queries.TWIN_CONVERSATIONS, values).fetchall()
    if any(twins["is_busy"] for twins in conversations):
        raise ContactBusy(str(other_id))
    for twins in conversations:
        statement = (
            contact_queries.GIVE_CONVERSATION if twins["mine_id"] is None else contact_queries.JOIN_CONVERSATIONS
        )
        connection.execute(statement, {**values, **twins})
    connection.execute(contact_queries.JOIN_DAYS, values)
    connection.execute(contact_queries.GIVE_LEAD, values)
    connection.execute(contact_queries.RETIRE_CONTACT, values)


def _find(connection: Connection, organization_id: str, who: Identity) -> dict[str, Any] | None:
    return connection.execute(contact_queries.FIND_CONTACT, _values(organization_id, who)).fetchone()


def _values(organization_id: str, who: Identity) -> dict[str, Any]:
    return {"organization_id": organization_id, "user_id": who.user_id, "wa_id": who.wa_id}
