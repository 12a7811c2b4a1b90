"""The pace of a site: one for all who crawl it."""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from exchanges import KEY, serving
from pytest_httpserver import HTTPServer
from shelf import BICIS, DENTAL, Shelf
from systems import Database
from websites import Crawler, WebSite, page, resolver
from werkzeug import Response

from f.knowledge import crawling, tickets, visit_site
from f.knowledge.crawling import Run
from f.knowledge.sites import Site


@pytest.fixture
def url(seeded_database: Database) -> Iterator[str]:
    with serving(seeded_database.app_url) as address:
        yield address


@pytest.fixture
def crawler(shelf: Shelf) -> Crawler:
    return Crawler(shelf, resolver({}))


@pytest.fixture
def local(httpserver: HTTPServer, site: WebSite) -> WebSite:
    """The site under an address that needs no name server."""
    site.url = site.url.replace("shop.example", "127.0.0.1")
    return site


def begun(crawler: Crawler, url: str, organization_id: str, pause: float) -> Run:
    """A crawl that may read its first page, at a pace that no site can ask for."""
    run = crawler.add(url, organization_id)
    assert crawler.prepare(run) == "prepared"
    crawler.shelf.owner.execute("update crawls set pause = %s where id = %s", [pause, run.crawl_id])
    return run


def visit(url: str, run: Run) -> dict:
    return visit_site.main(url, tickets.issue(tickets.CRAWL, run.keys, KEY), "true")


def pass_time(shelf: Shelf, seconds: int) -> None:
    shelf.owner.execute("update site_paces set next_at = next_at - %s * interval '1 second'", [seconds])


def test_two_tenants_take_turns_at_a_site(shelf: Shelf, crawler: Crawler, local: WebSite):
    local.pages = {"/": page("Inicio", "/a"), "/a": page("A")}
    ours = begun(crawler, f"{local.url}/", BICIS, 30)
    theirs = begun(crawler, f"{local.url}/a", DENTAL, 30)
    picked = crawling.pick(shelf.connection, ours)
    assert (picked.state, picked.wait) == ("page", 0)
    for run in (theirs, ours, theirs):
        later = crawling.pick(shelf.connection, run)
        assert later.state == "later" and later.page == {} and 20 < later.wait <= 30, "and nothing is reserved"
    pass_time(shelf, 30)
    assert crawling.pick(shelf.connection, theirs).state == "page"
    assert 20 < crawling.pick(shelf.connection, ours).wait <= 30
    tries = shelf.rows("select tries from crawl_pages where crawl_id = %s and url like '%%/a'", theirs.crawl_id)
    assert tries == [{"tries": 1}], "waiting is no try"


def test_a_turn_that_was_not_used_is_there_for_the_next_page(shelf: Shelf, crawler: Crawler, local: WebSite, url: str):
    local.pages = {
        "/robots.txt": Response("User-agent: *\nDisallow: /secret"),
        "/": page("Inicio", "/secret/a", "/secret/b", "/c"),
        "/c": page("C"),
    }
    run = begun(crawler, f"{local.url}/", BICIS, 30)
    answer = visit(url, run)
    assert answer["state"] == "more" and 20 < answer["pause"] <= 30 and local.read == ["/"]
    pass_time(shelf, 30)
    shelf.owner.execute("update knowledge_sources set state = 'ready'")
    assert visit(url, run) == {"state": "done", "pause": 0} and local.read == ["/", "/c"]
    assert crawler.pages(run)["/secret/b"] == "skipped: robots"


def test_a_site_in_trouble_is_left_alone_for_longer(crawler: Crawler, local: WebSite, url: str):
    local.pages = {"/": Response("", 503)}
    run = begun(crawler, f"{local.url}/", BICIS, 2)
    assert visit(url, run) == {"state": "more", "pause": 10} and crawler.pages(run) == {"/": "waiting: http_error"}


def test_what_the_site_sees(crawler: Crawler, local: WebSite, url: str):
    """Six pages for two tenants, half a second apart: 2.5 s if they share the pace, 1 s if each has its own."""
    times: list[float] = []

    def answer(request):
        times.append(time.monotonic())
        return Response(page(request.path, "/a", "/b"), content_type="text/html")

    local.pages = {"/": answer, "/a": answer, "/b": answer}
    runs = [begun(crawler, f"{local.url}/", organization_id, 0.5) for organization_id in (BICIS, DENTAL)]
    threads = [threading.Thread(target=visit, args=(url, run)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [sorted(crawler.pages(run)) for run in runs] == [["/", "/a", "/b"]] * 2
    assert len(times) == 6 and max(times) - min(times) > 1.7


def test_what_no_site_is_asked_for_any_more_is_forgotten(shelf: Shelf, crawler: Crawler, local: WebSite):
    shelf.owner.execute(
        "insert into site_paces values ('old.example', now() - interval '2 hours'), ('new.example', now())"
    )
    crawling.pick(shelf.connection, begun(crawler, f"{local.url}/", BICIS, 1))
    sites = {row["site"] for row in shelf.rows("select site from site_paces")}
    assert sites == {"new.example", local.url.removeprefix("http://")}


def test_nobody_sees_who_else_crawls(seeded_database: Database):
    for url in (seeded_database.app_url, seeded_database.manager_url):
        with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select * from site_paces")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.Shop.example/a?b", "shop.example"),
        ("http://shop.example.:80/", "shop.example"),
        ("https://shop.example:8443/", "shop.example:8443"),
    ],
)
def test_a_site_has_one_name(url: str, name: str):
    assert Site(url).name == name
