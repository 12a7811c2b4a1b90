"""Ingestion, step 3: let searches find the new version, and no more the one before"""

from f.knowledge import ingestion
from f.knowledge.ingestion import Job
from f.lib.database import connect


def main(database: dict, organization_id: str, source_id: str, version: int) -> dict:
    """Purpose: a source changes from one moment to the next, whole or not at all.

    Input: the `postgresql` resource, and which version of which source.

    Returns `state`: "published" (also when an earlier attempt did it), "superseded", "gone".
    """
    with connect(database) as connection:
        return {"state": ingestion.publish(connection, Job(organization_id, source_id, version))}
