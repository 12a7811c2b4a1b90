"""Runs of the flows that ingest and crawl, started over Windmill's API."""

import os
from types import SimpleNamespace
from typing import Any
from uuid import uuid5

import httpx

from f.knowledge.ingestion import Job
from f.lib.ids import NAMESPACE
from f.lib.runs import start_flow

FLOW = "f/knowledge/ingest_source"
CRAWL = "f/knowledge/crawl_site"


def start_ingestion(job: Job, attempt: int) -> bool:
    """Queue the `attempt`th run of a version; False when it was queued already. Raises httpx.HTTPError."""
    return _start(FLOW, job.keys, f"ingest:{job.source_id}:{job.version}:{attempt}")


def start_crawl(keys: dict[str, Any], attempt: int) -> bool:
    """Queue the `attempt`th run of the flow for a run of a crawl (`Run.keys`), as `start_ingestion` does."""
    return _start(CRAWL, keys, f"crawl:{keys['crawl_id']}:{keys['run']}:{attempt}")


def _start(path: str, arguments: dict[str, Any], name: str) -> bool:
    headers = {"authorization": f"Bearer {os.environ['WM_TOKEN']}"}
    with httpx.Client(base_url=f"{os.environ['BASE_INTERNAL_URL']}/api", headers=headers, timeout=10) as client:
        windmill = SimpleNamespace(client=client, workspace=os.environ["WM_WORKSPACE"])
        return start_flow(windmill, path, arguments, uuid5(NAMESPACE, name))
