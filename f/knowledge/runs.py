"""Runs of the ingestion flow, started over Windmill's API."""

import os
from types import SimpleNamespace
from uuid import uuid5

import httpx

from f.knowledge.ingestion import Job
from f.lib.ids import NAMESPACE
from f.lib.runs import start_flow

FLOW = "f/knowledge/ingest_source"


def start_ingestion(job: Job, attempt: int) -> bool:
    """Queue the `attempt`th run of a version; False when it was queued already. Raises httpx.HTTPError."""
    job_id = uuid5(NAMESPACE, f"ingest:{job.source_id}:{job.version}:{attempt}")
    headers = {"authorization": f"Bearer {os.environ['WM_TOKEN']}"}
    with httpx.Client(base_url=f"{os.environ['BASE_INTERNAL_URL']}/api", headers=headers, timeout=10) as client:
        windmill = SimpleNamespace(client=client, workspace=os.environ["WM_WORKSPACE"])
        return start_flow(windmill, FLOW, job.keys, job_id)
