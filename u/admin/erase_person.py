# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Erase a person: what they wrote, their names and numbers; counts and usage stay"""

import hashlib
import os
import re
from datetime import datetime
from typing import Any

from f.admin.desk import Desk, open_desk
from f.lib.database import Connection, connect, tenant
from f.lib.ids import continuation_job_id, message_job_id, rerun_job_id
from f.lib.windmill import WindmillError, erase_run_with_steps, get_resource, has_succeeded, start_script
from f.ops import erasure_queries

#: Repetitions of a run that failed: the sweep makes fewer in the day that it tries.
MOST_REPETITIONS = 12

#: Seconds after which this run's own arguments, the number, are erased.
OWN_SECONDS = 60


class NotAllowed(Exception):
    """Windmill lets only an administrator of the workspace erase runs: nothing was erased."""


class PersonBusy(Exception):
    """The person is being answered at this moment: try again in a minute."""


def main(organization: str, person: str) -> dict:
    """Purpose: somebody asks to be forgotten by a business.

    organization: slug or id of the business
    person: phone number with the country's code, with or without + and spaces; or business-scoped user id

    Gone are, in this organisation: what was written to and by the person, names and numbers, Meta's ids of the
    messages (the number is in them), what tools and leads knew, reasons of hand-overs and errors, and in Windmill the
    input and log of the runs that brought the messages. What stays says nothing of whom it was about: how many
    messages, when, how they ended, what they cost. A reply that was not sent yet is dropped. Whoever writes from the
    number again is new. The audit log has a fingerprint of the number, from which it cannot be read.

    It is all or nothing in the database. Windmill's part comes first and needs an administrator of the workspace:
    if Windmill refuses, nothing is erased. This run's own arguments are erased after a minute. What it cannot reach
    is in docs/operations.md under "Somebody wants to be forgotten".

    Returns `state`: "erased" with counts, or "nothing to erase", with the time if the person was erased before.
    """
    known_as = read_person(person)
    with open_desk("erase_person", None) as desk, connect(get_resource("f/lib/database")) as connection:
        organization_id = desk.organization(organization)
        start_script("f/admin/erase_run", {"job_id": os.environ["WM_JOB_ID"]}, OWN_SECONDS)
        return erase(desk, connection, organization_id, known_as)


def read_person(person: str) -> str:
    text = (person or "").strip()
    if not re.search(r"\w", text):
        raise ValueError("person: a phone number or a user id")
    if text.strip("+0123456789 ()-./"):
        return text
    return "".join(character for character in text if character.isdigit())


def erase(desk: Desk, connection: Connection, organization_id: str, known_as: str) -> dict:
    values: dict[str, Any] = {"organization_id": organization_id, "known_as": [known_as]}
    with tenant(connection, organization_id):
        lock_person(connection, values)
        jobs = runs_of(connection, values)
        updates = connection.execute(erasure_queries.RUNS_OF_UPDATES, values).fetchall()
    prints = sorted(fingerprint(organization_id, known) for known in values["ids"])
    with desk.work(organization_id) as record:
        if not values["contact_ids"] and not updates:
            before = erased_before(connection, organization_id, prints)
            record("person", None, new={"fingerprints": prints, "state": "nothing to erase"})
            return {"state": "nothing to erase", "erased_at": before and before.isoformat()}
        record("person", None, new={"fingerprints": prints, "state": "begun"})
    # A run of updates that failed is left: the sweep repeats it until it succeeds.
    jobs += [str(row["job_id"]) for row in updates if has_succeeded(str(row["job_id"]))]
    runs = erase_runs(jobs)
    counts: dict[str, int] = {}
    with tenant(connection, organization_id):
        lock_person(connection, values)
        late = [job_id for job_id in runs_of(connection, values) if job_id not in set(jobs)]
        for name, statement in erasure_queries.ERASE_PERSON.items():
            counts[name] = connection.execute(statement, values).rowcount
    counts["runs in Windmill"] = runs + erase_runs(late)
    contact_ids = [str(contact_id) for contact_id in values["contact_ids"]]
    with desk.work(organization_id) as record:
        record(
            "person",
            contact_ids[0] if contact_ids else None,
            new={"fingerprints": prints, "contacts": contact_ids, "erased": counts},
        )
    return {"state": "erased", "erased": counts}


def lock_person(connection: Connection, values: dict[str, Any]) -> None:
    """Find and lock the person's contacts and conversations: ids into `values`. Raises PersonBusy."""
    people = connection.execute(erasure_queries.FIND_PERSON, values).fetchall()
    ids = {row[name] for row in people for name in ("user_id", "wa_id") if row[name]}
    values["ids"] = sorted(ids | set(values["known_as"]))
    values["known_as"] = sorted({*values["ids"], *(f"+{known}" for known in values["ids"] if known.isdigit())})
    values["contact_ids"] = [row["id"] for row in people]
    connection.execute(erasure_queries.LOCK_CONTACTS, values)
    conversations = connection.execute(erasure_queries.LOCK_CONVERSATIONS, values).fetchall()
    values["conversation_ids"] = [row["id"] for row in conversations]
    values["fences"] = {str(row["id"]): row["lease_fence"] for row in conversations}
    if any(row["is_leased"] for row in conversations):
        raise PersonBusy


def runs_of(connection: Connection, values: dict[str, Any]) -> list[str]:
    """Ids of all runs that may have had the person's words as input, or Meta's ids of them in the log.

    Ids are derived, so they need not be listed; Windmill has forgotten most of them.
    """
    found: dict[str, None] = {}
    for row in connection.execute(erasure_queries.RUNS_OF_MESSAGES, values).fetchall():
        original = message_job_id(row["phone_number_id"], row["wamid"])
        found[str(original)] = None
        if row["job_id"] and row["job_id"] != original:
            found[str(row["job_id"])] = None
            found |= {str(rerun_job_id(original, attempt)): None for attempt in range(1, MOST_REPETITIONS + 1)}
    for conversation_id, fence in values["fences"].items():
        found |= {str(continuation_job_id(conversation_id, n)): None for n in range(fence, 0, -1)}
    return list(found)


def erase_runs(jobs: list[str]) -> int:
    try:
        return sum(erase_run_with_steps(job_id) for job_id in jobs)
    except WindmillError as error:
        if error.status in (401, 403):
            raise NotAllowed from error
        raise


def erased_before(connection: Connection, organization_id: str, prints: list[str]) -> datetime | None:
    with tenant(connection, organization_id):
        values = {"organization_id": organization_id, "fingerprints": prints}
        row = connection.execute(erasure_queries.ERASED_BEFORE, values).fetchone()
    return row["at"] if row else None


def fingerprint(organization_id: str, known_as: str) -> str:
    """Tells whether a number that somebody names is the one that was erased. Slow on purpose: there are few enough
    phone numbers to try them all on a fast one."""
    salt = f"millrace erase_person {organization_id}".encode()
    return hashlib.scrypt(known_as.encode(), salt=salt, n=2**15, r=8, p=1, maxmem=64 * 2**20, dklen=16).hex()
