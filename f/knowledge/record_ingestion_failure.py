# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Ingestion: write down why it failed"""

from f.knowledge import versions
from f.knowledge.versions import Job
from f.lib.alerts import raise_alert
from f.lib.database import connect, tenant

#: Errors whose text is for the tenant, too.
TOLD = {"EmbeddingError": "embedding_failed", "FetchError": "no_answer"}


def main(
    database: dict,
    organization_id: str,
    source_id: str,
    version: int,
    error_name: str | None = None,
    error_message: str | None = None,
    step_id: str | None = None,
) -> dict:
    """Purpose: a source whose run failed says so, and the operators hear of what is not the tenant's fault.

    Input: the `postgresql` resource, which version of which source, and Windmill's error.

    Returns `state`: "failed", or "superseded" when nothing was to be failed.
    """
    code = TOLD.get(error_name or "", "internal")
    told = error_message if code != "internal" else "this is our fault: the operators have been told"
    with connect(database) as connection:
        if not versions.fail(connection, Job(organization_id, source_id, version), code, told or code):
            return {"state": "superseded"}
        if error_name == "FetchError":  # the tenant's site, not the installation
            return {"state": "failed"}
        with tenant(connection, organization_id):
            details = {"error": error_name, "step": step_id, "version": version}
            raise_alert(connection, organization_id, "ingestion_failed", source_id, details)
    return {"state": "failed"}
