"""Reading without the database: the steps of the group `documents`, through a served exchange."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import httpx
import pytest
from exchanges import KEY, serving
from pydantic import ValidationError
from pytest_httpserver import HTTPServer
from shelf import BICIS, DENTAL, Shelf
from systems import ROOT, Database
from websites import Crawler, WebSite, page, resolver

from exchange.bodies import LIMITS, DocumentBody
from f.knowledge import (
    embed_chunks,
    ingestion,
    open_source,
    parse_source,
    publish_source,
    queries,
    stage_source,
    tickets,
    visit_site,
)
from f.knowledge.crawling import Run
from f.knowledge.documents import Extraction, Page
from f.knowledge.exchange import Exchange, ExchangeError
from f.knowledge.sites import Document, Outcome, Scouted
from f.knowledge.versions import Job
from f.lib.database import tenant

TEXT = "# Socios\n\nEl carné cuesta treinta euros al año."


@pytest.fixture
def url(seeded_database: Database) -> Iterator[str]:
    with serving(seeded_database.app_url) as address:
        yield address


def ticket(subject: Job | Run, seconds: float = 60, key: str = KEY) -> str:
    use = tickets.SOURCE if isinstance(subject, Job) else tickets.CRAWL
    return tickets.issue(use, subject.keys, key, seconds)


def begun(shelf: Shelf, database: Database, job: Job) -> str:
    return str(open_source.main(database.app_resource, KEY, **job.keys)["ticket"])


def source(shelf: Shelf, job: Job) -> dict[str, Any]:
    (row,) = shelf.rows("select * from knowledge_sources where id = %s", job.source_id)
    return row


# Sources ----------------------------------------------------------------------------------------


def test_a_file_becomes_knowledge_without_the_reader_seeing_the_database(shelf, seeded_database, url):
    job = shelf.add(TEXT)
    given = begun(shelf, seeded_database, job)
    assert parse_source.main(url, given) == {"state": "read"}
    assert parse_source.main(url, given) == {"state": "read"}, "a second time nothing is read"
    assert open_source.main(seeded_database.app_resource, KEY, **job.keys)["state"] == "read", (
        "and a resumed run goes on"
    )
    assert stage_source.main(seeded_database.app_resource, **job.keys) == {"state": "staged"}
    assert stage_source.main(seeded_database.app_resource, **job.keys) == {"state": "staged"}
    assert parse_source.main(url, given) == {"state": "staged"}
    assert shelf.rows("select * from extractions") == []
    ingestion.embed(shelf.connection, job, shelf.embedder)
    assert publish_source.main(seeded_database.app_resource, **job.keys) == {"state": "published"}
    assert shelf.search("carné").passages[0].headings == ("Socios",)


def test_what_is_not_wanted_any_more_is_neither_handed_out_nor_kept(shelf, seeded_database, url):
    job = shelf.add(TEXT)
    given = begun(shelf, seeded_database, job)
    shelf.change(job, "# Neu\n\nAnders.")
    assert parse_source.main(url, given) == {"state": "superseded"}
    with Exchange(url, given) as exchange:
        assert exchange.file() is None
        assert exchange.fail_source("invalid", "late") == "superseded"
    assert source(shelf, job)["state"] == "pending"
    with tenant(shelf.connection, BICIS):
        shelf.connection.execute(queries.DELETE_SOURCE, job.keys)
    assert parse_source.main(url, given) == {"state": "gone"}
    assert open_source.main(seeded_database.app_resource, KEY, **job.keys) == {"state": "gone"}


def test_a_reader_that_comes_late_changes_nothing_of_what_is_published(shelf, seeded_database, url):
    job = shelf.add(TEXT)
    given = begun(shelf, seeded_database, job)
    parse_source.main(url, given)
    stage_source.main(seeded_database.app_resource, **job.keys)
    embed_chunks.main(seeded_database.app_resource, **job.keys)
    publish_source.main(seeded_database.app_resource, **job.keys)
    assert source(shelf, job)["state"] == "ready"
    with Exchange(url, given) as exchange:
        assert exchange.keep(Extraction([Page(1, "# Otro")], [])) == "superseded"
        assert exchange.fail_source("invalid", "late") == "superseded"
    assert parse_source.main(url, given) == {"state": "superseded"}
    assert source(shelf, job)["state"] == "ready" and shelf.search("carné").passages


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        ("update knowledge_sources set content_type = 'application/pdf'", "type_mismatch"),
        (
            "update knowledge_sources set kind = 'url', file_sha256 = null, url = 'https://127.0.0.1/'",
            "address_refused",
        ),
    ],
)
def test_what_cannot_be_read_has_its_reason(shelf, seeded_database, url, prepare, code):
    job = shelf.add("%PDF-1.7 nothing", name="a.md")
    shelf.owner.execute(prepare)
    assert parse_source.main(url, begun(shelf, seeded_database, job)) == {"state": "failed"}
    assert (source(shelf, job)["state"], source(shelf, job)["error_code"]) == ("failed", code)


def test_what_is_refused_when_it_is_cut_has_its_reason(shelf, seeded_database, url):
    job = shelf.add("# Only a heading")
    assert parse_source.main(url, begun(shelf, seeded_database, job)) == {"state": "read"}
    assert stage_source.main(seeded_database.app_resource, **job.keys) == {"state": "failed"}
    assert source(shelf, job)["error_code"] == "empty" and shelf.rows("select * from extractions") == []


def test_a_ticket_is_good_for_what_it_names_and_for_a_while(shelf, url):
    job, run = shelf.add(TEXT), Run(BICIS, "33333333-3333-4333-8333-333333333333", 1)
    for refused in ("x", "x.y", ticket(job, seconds=-1), ticket(job, key="another key, just as long as it has to be")):
        with pytest.raises(ExchangeError, match="401"):
            parse_source.main(url, refused)
    with pytest.raises(ExchangeError, match="401"), Exchange(url, ticket(job)) as exchange:
        exchange.crawl()
    with pytest.raises(ExchangeError, match="401"), Exchange(url, ticket(run)) as exchange:
        exchange.source()
    stranger = Job(DENTAL, job.source_id, job.version)
    assert parse_source.main(url, ticket(stranger)) == {"state": "gone"}, "another organisation's"


@pytest.mark.parametrize(
    "body",
    [
        {"pages": [{"number": 0, "markdown": "x"}], "warnings": []},
        {"pages": [{"number": 1, "markdown": "x"}], "warnings": [], "organization_id": DENTAL},
        {"pages": [{"number": 1, "markdown": "x"}] * 3001, "warnings": []},
        [],
    ],
    ids=["page 0", "another organisation", "too many pages", "a list"],
)
def test_what_is_no_text_is_refused_without_being_repeated(shelf, url, body):
    headers = {"authorization": f"Bearer {ticket(shelf.add(TEXT))}"}
    answer = httpx.put(f"{url}/source/text", json=body, headers=headers)
    assert answer.status_code == 422 and DENTAL not in answer.text
    assert shelf.rows("select * from extractions") == []


def test_what_is_too_much_is_refused(shelf, url):
    headers = {"authorization": f"Bearer {ticket(shelf.add(TEXT))}"}
    answer = httpx.put(f"{url}/source/text", content=b" " * (36 << 20), headers=headers, timeout=30)
    assert answer.status_code == 413 and httpx.put(f"{url}/nowhere", headers=headers).status_code == 404


def test_a_page_may_be_as_large_as_a_file():
    for size, fits in ((LIMITS.file_bytes, True), (LIMITS.file_bytes + 1, False)):
        given = {"data": base64.b64encode(bytes(size)), "content_type": "application/pdf", "name": "Catalogue"}
        try:
            assert len(DocumentBody.model_validate(given).data) == size and fits
        except ValidationError:
            assert not fits


# Crawls -----------------------------------------------------------------------------------------


def test_a_site_is_visited_without_the_database(shelf: Shelf, httpserver: HTTPServer, url: str):
    site = WebSite(httpserver, "127.0.0.1")
    site.pages = {
        "/robots.txt": "User-agent: *\nDisallow: /secret",
        "/": page("Inicio", "/a", "/secret"),
        "/a": page("A"),
    }
    crawler = Crawler(shelf, resolver({}))
    run = crawler.add(site.url + "/")
    assert visit_site.main(url, ticket(run), "true") == {"state": "done", "pause": 0}
    assert crawler.pages(run) == {"/": "taken", "/a": "taken", "/secret": "skipped: robots"}
    assert "/secret" not in site.asked
    assert visit_site.main(url, ticket(run), "true")["state"] == "done"
    other = crawler.again_after(run)
    assert visit_site.main(url, ticket(run), "true")["state"] == "superseded"
    assert visit_site.main(url, ticket(other))["state"] == "failed", "not inside the network"
    assert crawler.row(other)["error_code"] == "robots_unreadable"


def test_a_reader_that_was_taken_over_stays_inside_its_site(shelf: Shelf, url: str):
    crawler = Crawler(shelf, resolver({}))
    run = crawler.add("https://shop.example/")
    far = ["https://other.example/", "https://shop.example/b", "file:///etc/passwd", "https://shop.example@x.example/"]
    with Exchange(url, ticket(run)) as exchange:
        assert exchange.keep_site(Scouted("", 1.0, [], far, ["a\0b"])) == "prepared"
        found = exchange.next_page()["page"]["url"]
        document = Document(b"<p>Hola</p>", "text/html", "Hola")
        outcome = Outcome("taken", None, links=far, document=document, etag="x")
        assert exchange.settle("https://shop.example/nowhere", outcome) == {"state": "wanted", "is_taken": False}
        assert exchange.settle(found, outcome) == {"state": "wanted", "is_taken": True}
        assert exchange.settle(found, outcome) == {"state": "wanted", "is_taken": False}, "once"
        for fault in ({"state": "refused"}, {"links": ["x"] * 2001}, {"reason": "'; drop"}):
            body = {**asdict(Outcome("gone")), "url": found, **fault}
            answer = httpx.put(f"{url}/crawl/page", json=body, headers={"authorization": f"Bearer {ticket(run)}"})
            assert answer.status_code == 422, fault
    assert set(crawler.pages(run)) == {"/", "/b"} and crawler.row(run)["warnings"] == ["ab"]


# The process ------------------------------------------------------------------------------------


def test_without_a_database_it_says_so(seeded_database: Database):
    with serving(seeded_database.app_url.replace("app-word", "wrong")) as address:
        answer = httpx.get(f"{address}/health", timeout=20)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


@pytest.mark.parametrize("missing", ["DATABASE_URL", "EXCHANGE_SIGNING_KEY"])
def test_it_does_not_start_without_what_it_needs(missing: str):
    environment = {**os.environ, "DATABASE_URL": "postgresql://h/d", "EXCHANGE_SIGNING_KEY": "k" * 32, missing: ""}
    command = [sys.executable, "-m", "exchange"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and f"{missing} is not set" in done.stderr
