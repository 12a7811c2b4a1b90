# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Ingestion, step 1: begin with a version, and give the next step a ticket for it"""

from f.knowledge import tickets, versions
from f.knowledge.versions import Job
from f.lib.database import connect


def main(database: dict, signing_key: str, organization_id: str, source_id: str, version: int) -> dict:
    """Purpose: what strangers wrote is read where there is no database; the ticket is all that the reader needs.

    Input: the `postgresql` resource, the key of tickets, and which version of which source.

    Returns `state`: "wanted", or as far as an earlier run got "read" or "staged", each with `ticket` and
    `embedding_resource_path`; "superseded" by a newer version, "gone".
    """
    job = Job(organization_id, source_id, version)
    with connect(database) as connection:
        state, source = versions.begin(connection, job)
    if state in ("superseded", "gone"):
        return {"state": state}
    ticket = tickets.issue(tickets.SOURCE, job.keys, signing_key)
    return {"state": state, "ticket": ticket, "embedding_resource_path": source["embedding_resource_path"]}
