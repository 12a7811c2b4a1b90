"""Web pages that are read again on a schedule: when, what spares embedding, and what a page that is gone leaves."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from exchanges import KEY, serving
from shelf import BICIS, Shelf
from systems import Database
from websites import FILLING, WebSite, page
from werkzeug import Request, Response
from windmills import Windmill

from f.knowledge import ingestion, open_source, parse_source, publish_source, queries, resyncs, stage_source
from f.knowledge.documents import Limits, identify
from f.knowledge.exchange import Exchange, ExchangeError
from f.knowledge.extraction import read
from f.knowledge.library import Library
from f.knowledge.versions import Job
from f.lib.api_auth import Caller
from f.lib.database import tenant
from f.lib.http import ApiError


class Pages:
    """Sources of the kind `url`, ingested as the flow does, with the shelf's vectors."""

    def __init__(self, shelf: Shelf, database: Database, exchange_url: str):
        self.shelf = shelf
        self._database = database
        self.exchange_url = exchange_url

    def add(self, url: str, every_hours: int | None = 24) -> Job:
        job = Job(BICIS, str(uuid4()), 1)
        values = {**job.keys, "chatbot_id": self.shelf.chatbot(BICIS)["id"], "kind": "url", "name": url, "url": url}
        values |= {"content_type": "", "file_sha256": None, "language": None, "every_hours": every_hours}
        with tenant(self.shelf.connection, BICIS):
            self.shelf.connection.execute(queries.ADD_SOURCE, values)
        return job

    def read(self, job: Job) -> str:
        """A run of the version that is wanted now; how it ended."""
        resource = self._database.app_resource
        job = Job(job.organization_id, job.source_id, self.row(job)["wanted_version"])
        ticket = open_source.main(resource, KEY, **job.keys)["ticket"]
        state = str(parse_source.main(self.exchange_url, ticket)["state"])
        if state == "read":
            state = str(stage_source.main(resource, **job.keys)["state"])
        if state != "staged":
            return state
        ingestion.embed(self.shelf.connection, job, self.shelf.embedder)
        return str(publish_source.main(resource, **job.keys)["state"])

    def learn(self, url: str, **settings: int | None) -> Job:
        job = self.add(url, **settings)
        assert self.read(job) == "published"
        return job

    def read_again(self, job: Job) -> str:
        """The next reading by the schedule, now."""
        self.make_due(job)
        assert resyncs.begin_due(self.shelf.connection) == {"started": 1, "put_off": 0}
        return self.read(job)

    def make_due(self, job: Job) -> None:
        self.shelf.owner.execute("update knowledge_sources set next_at = now() where id = %s", [job.source_id])

    def row(self, job: Job) -> dict:
        query = "select *, extract(epoch from next_at - now()) / 3600 as hours from knowledge_sources where id = %s"
        (row,) = self.shelf.rows(query, job.source_id)
        return row

    def outcomes(self, job: Job) -> list[str]:
        rows = self.shelf.rows(
            "select outcome from source_versions where source_id = %s order by version", job.source_id
        )
        return [row["outcome"] for row in rows]


@pytest.fixture
def pages(
    shelf: Shelf, seeded_database: Database, windmill: Windmill, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pages]:
    # In this process: what the one of its own is for, other tests show.
    monkeypatch.setattr(parse_source, "extract", lambda data, *named: read(data, identify(data, *named), Limits()))
    with serving(seeded_database.app_url) as address:
        yield Pages(shelf, seeded_database, address)


@pytest.fixture
def prices(site: WebSite) -> str:
    """The address of a page at the site."""
    site.url = site.url.replace("shop.example", "127.0.0.1")
    site.pages["/prices"] = page("Precios", text=f"Un parche cuesta cuatro euros. {FILLING}")
    return f"{site.url}/prices"


@pytest.fixture
def library(shelf: Shelf) -> Library:
    key_hash = "a" * 64
    (key,) = shelf.rows(
        "insert into api_keys (organization_id, name, key_prefix, key_hash, scopes)"
        " values (%s, 'test', 'mr_', %s, '{knowledge}') returning id",
        BICIS, key_hash,
    )  # fmt: skip
    caller = Caller("api_key", str(key["id"]), BICIS, frozenset({"knowledge"}), key_hash)
    return Library(shelf.connection, caller, shelf.chatbot(BICIS))


def limit(shelf: Shelf, most: int) -> None:
    shelf.owner.execute("update plans set daily_ingestions = %s", [most])


def counted(shelf: Shelf) -> int:
    return int(shelf.rows("select coalesce(sum(ingestions), 0) as n from ingestion_days")[0]["n"])


# When -------------------------------------------------------------------------------------------


def test_a_page_that_is_due_is_begun_once_and_counted(pages: Pages, prices: str, windmill: Windmill):
    job = pages.learn(prices)
    assert 23.9 < pages.row(job)["hours"] <= 24
    assert resyncs.begin_due(pages.shelf.connection) == {"started": 0, "put_off": 0}
    pages.make_due(job)
    before = counted(pages.shelf)
    assert resyncs.begin_due(pages.shelf.connection) == {"started": 1, "put_off": 0}
    assert resyncs.begin_due(pages.shelf.connection) == {"started": 0, "put_off": 0}
    assert windmill.started == [("ingest_source", job.keys | {"version": 2})]
    row = pages.row(job)
    assert (row["state"], row["next_at"], counted(pages.shelf) - before) == ("pending", None, 1)
    assert pages.shelf.search("parche").passages, "until the new version is there"


def test_without_hours_it_is_never_due(pages: Pages, prices: str):
    job = pages.learn(prices, every_hours=None)
    assert pages.row(job)["next_at"] is None


def test_when_the_ingestions_of_the_day_are_used_up_all_that_is_due_waits_for_the_next_day(
    pages: Pages, prices: str, site: WebSite, windmill: Windmill
):
    site.pages["/other"] = page("Otra")
    jobs = [pages.learn(prices), pages.learn(f"{site.url}/other")]
    limit(pages.shelf, 1)
    assert pages.read_again(jobs[0]) == "unchanged"
    windmill.started.clear()
    for job in jobs:
        pages.make_due(job)
    assert resyncs.begin_due(pages.shelf.connection) == {"started": 0, "put_off": 2}
    assert windmill.started == []
    midnight = "(date_trunc('day', now() at time zone 'UTC') + interval '1 day') at time zone 'UTC'"
    rows = pages.shelf.rows(f"select state, error_code, next_at = {midnight} as waits from knowledge_sources")
    assert rows == [{"state": "ready", "error_code": None, "waits": True}] * 2
    pages.shelf.owner.execute("update ingestion_days set day = day - 1")
    assert pages.read_again(jobs[1]) == "unchanged"


def test_a_reading_that_failed_is_followed_by_the_next(pages: Pages, prices: str, site: WebSite):
    job = pages.learn(prices)
    site.pages["/prices"] = Response("", 403)
    assert pages.read_again(job) == "failed"
    assert pages.row(job)["error_code"] == "http_error" and 23.9 < pages.row(job)["hours"] <= 24
    site.pages["/prices"] = page("Precios", text=f"Un parche cuesta cinco euros. {FILLING}")
    assert pages.read_again(job) == "published"
    assert pages.row(job)["error_code"] is None and "cinco" in pages.shelf.search("parche").passages[0].text


def test_of_many_versions_the_newest_are_kept(pages: Pages, prices: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resyncs, "KEPT", 2)
    job = pages.learn(prices)
    for _ in range(4):
        assert pages.read_again(job) == "unchanged"
    kept = pages.shelf.rows("select version from source_versions order by version")
    assert [row["version"] for row in kept] == [1, 3, 4, 5], "and the one that is found"


# What spares embedding --------------------------------------------------------------------------


def tagged(text: str, etag: str, **headers: str) -> Callable[[Request], Response]:
    """A page that knows whether it has changed."""

    def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == etag:
            return Response("", 304)
        return Response(page("Precios", text=text), content_type="text/html", headers={"etag": etag, **headers})

    return answer


def test_a_page_that_says_it_has_not_changed_is_not_read(pages: Pages, prices: str, site: WebSite):
    site.pages["/prices"] = tagged(f"Un parche cuesta cuatro euros. {FILLING}", '"v1"')
    job = pages.learn(prices)
    embedded = len(pages.shelf.embedder.asked)
    assert [pages.read_again(job) for _ in range(2)] == ["unchanged", "unchanged"], "with the tag of the first"
    assert [r.headers.get("if-none-match") for r in site.requests] == [None, '"v1"', '"v1"']
    row = pages.row(job)
    assert (row["state"], row["version"], len(pages.shelf.embedder.asked)) == ("ready", 1, embedded)
    assert 23.9 < row["hours"] <= 24 and pages.outcomes(job) == ["ready", "unchanged", "unchanged"]
    site.pages["/prices"] = tagged(f"Un parche cuesta cinco euros. {FILLING}", '"v2"')
    assert pages.read_again(job) == "published"
    assert pages.read_again(job) == "unchanged" and site.requests[-1].headers["if-none-match"] == '"v2"'


def test_a_page_with_the_same_text_is_not_embedded(pages: Pages, prices: str, site: WebSite):
    job = pages.learn(prices)
    site.pages["/prices"] = page("Precios", text=f"Un parche cuesta cuatro euros. {FILLING}", head="<!-- new -->")
    embedded = len(pages.shelf.embedder.asked)
    assert pages.read_again(job) == "unchanged" and len(pages.shelf.embedder.asked) == embedded


def test_what_another_address_says_of_changes_does_not_count(pages: Pages, prices: str, site: WebSite):
    text = f"Un parche cuesta cuatro euros. {FILLING}"
    site.pages["/prices"] = tagged(text, '"v1"')
    job = pages.learn(prices)
    site.pages["/moved"] = tagged(text.replace("cuatro", "cinco"), '"v1"')
    site.pages["/prices"] = Response("", 302, {"location": "/moved"})
    assert pages.read_again(job) == "published" and "cinco" in pages.shelf.search("parche").passages[0].text
    assert pages.read_again(job) == "unchanged" and "if-none-match" not in site.requests[-1].headers


def test_what_its_tenant_refreshes_and_what_is_embedded_anew_is_read_whole(
    pages: Pages, prices: str, site: WebSite, library: Library
):
    site.pages["/prices"] = tagged(f"Un parche cuesta cuatro euros. {FILLING}", '"v1"')
    job = pages.learn(prices)
    library.refresh(job.source_id)
    assert pages.read(job) == "unchanged" and "if-none-match" not in site.requests[-1].headers
    pages.shelf.owner.execute("update knowledge_sources set embedding_model = 'another/384'")
    assert pages.read_again(job) == "published" and "if-none-match" not in site.requests[-1].headers


def test_a_reader_that_was_taken_over_cannot_end_a_version_that_was_not_asked(
    pages: Pages, prices: str, seeded_database: Database
):
    job = pages.add(prices)
    ticket = open_source.main(seeded_database.app_resource, KEY, **job.keys)["ticket"]
    with Exchange(pages.exchange_url, ticket) as exchange:
        with pytest.raises(ExchangeError, match="409"):
            exchange.keep_unchanged()
        assert pages.row(job)["state"] == "reading"
        pages.shelf.owner.execute("update knowledge_sources set wanted_version = 2")
        assert exchange.keep_unchanged() == "superseded"


# A page that is gone ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 410])
def test_of_a_page_that_is_gone_customers_keep_what_they_found(
    pages: Pages, prices: str, site: WebSite, library: Library, status: int
):
    job = pages.learn(prices)
    there = site.pages["/prices"]
    site.pages["/prices"] = Response("gone", status)
    assert pages.read_again(job) == "failed"
    shown = library.show(job.source_id)
    assert (shown["state"], shown["is_searchable"], shown["version"]) == ("failed", True, 1)
    assert shown["error"] == {"code": "gone", "message": f"the page answered {status}"} and shown["next_at"]
    assert "cuatro" in pages.shelf.search("parche").passages[0].text
    site.pages["/prices"] = there
    assert pages.read_again(job) == "unchanged" and library.show(job.source_id)["error"] is None


# Settings ---------------------------------------------------------------------------------------


def test_hours_are_set_when_a_page_is_added_or_refreshed(pages: Pages, prices: str, library: Library):
    added = library.add("url", "Precios", url=prices, every_hours=24)
    assert (added["every_hours"], added["next_at"]) == (24, None)
    for given, every_hours in ((None, 24), (6, 6), (None, 6), (0, None), (None, None)):
        assert library.refresh(added["id"], given)["every_hours"] == every_hours
        assert pages.read(Job(BICIS, added["id"], 0)) in ("published", "unchanged")
        assert (library.show(added["id"])["next_at"] is None) == (every_hours is None)


def test_what_has_no_address_has_no_hours(shelf: Shelf, library: Library, windmill: Windmill):
    job = shelf.learn("# Alquiler\n\nUna bicicleta cuesta 12 euros al día.")
    for hours in (24, 0):
        with pytest.raises(ApiError, match="a file has no address to be read again") as refused:
            library.refresh(job.source_id, hours)
        assert refused.value.status == 422
    assert library.refresh(job.source_id)["state"] == "pending"
