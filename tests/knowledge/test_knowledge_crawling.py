"""A crawl of a whole site, on a real server and a real database: what becomes knowledge, and what ends it."""

import gzip

import pytest
from made_documents import Pdf, docx, paragraph
from shelf import BICIS, DENTAL, Shelf
from websites import FILLING, Crawler, WebSite, page, resolver
from werkzeug import Request, Response

from f.knowledge import crawl_queries, crawling, visits
from f.knowledge.crawling import Run
from f.lib.database import tenant


@pytest.fixture
def crawler(shelf: Shelf, site: WebSite) -> Crawler:
    return Crawler(shelf, resolver({"shop.example": ["127.0.0.1"], "inside.example": ["127.0.0.2"]}))


def found(shelf: Shelf, words: str) -> list[str]:
    return [passage.text for passage in shelf.search(words).passages]


def limit(shelf: Shelf, **limits: int) -> None:
    shelf.owner.execute("update plans set " + ", ".join(f"{name} = {value}" for name, value in limits.items()))


# What becomes knowledge -------------------------------------------------------------------------


def test_the_pages_and_documents_of_a_site_are_found_with_their_addresses(shelf: Shelf, site: WebSite, crawler):
    pdf = Pdf().write("Garantia de siete meses en cuadros de titanio.")
    word = docx(paragraph("El albornoz cuesta doce euros."))
    word_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    site.pages = {
        "/": page("Inicio", "/precios", "garantia.pdf", "/carta.docx", "/logo.png", "https://other.example/x", "#top"),
        "/precios": page("Precios", "/", "/precios?utm_source=mail", text="Un parche cuesta cuatro euros. " + FILLING),
        "/garantia.pdf": Response(pdf.bytes(), content_type="application/pdf"),
        "/carta.docx": Response(word, content_type=word_type),
    }
    run = crawler.add(site.url + "/")
    assert crawler.crawl(run) == "ready"
    assert crawler.sources() == {
        "/": "Inicio", "/precios": "Precios", "/garantia.pdf": "garantia.pdf", "/carta.docx": "carta.docx"
    }  # fmt: skip
    assert sorted(site.read) == ["/", "/carta.docx", "/garantia.pdf", "/precios"], "each once, and nothing else"
    urls = {passage.url for passage in shelf.search("parche").passages if "cuatro euros" in passage.text}
    assert urls == {f"{site.url}/precios"}
    assert "titanio" in " ".join(found(shelf, "garantia titanio")) and "albornoz" in " ".join(found(shelf, "albornoz"))
    assert shelf.search("parche", organization_id=DENTAL).passages == []
    row = crawler.row(run)
    assert (row["pages_read"], row["pages_found"], row["cut"], row["next_at"]) == (4, 4, None, None)


def test_the_next_run_takes_what_is_new_changes_what_changed_and_removes_what_is_gone(shelf, site, crawler):
    tagged = Response(page("Fija", text="La llave fija cuesta tres euros. " + FILLING), headers={"etag": '"v1"'})

    def fixed(request: Request) -> Response:
        return Response("", 304) if request.headers.get("if-none-match") == '"v1"' else tagged

    tagged.content_type = "text/html"
    site.pages = {
        "/": page("Inicio", "/fija", "/cambia", "/muere"),
        "/fija": fixed,
        "/cambia": page("Cambia", text="El casco cuesta treinta euros. " + FILLING),
        "/muere": page("Muere", text="La campana cuesta nueve euros. " + FILLING),
    }
    run = crawler.add(site.url + "/", every_hours=24)
    assert crawler.crawl(run) == "ready" and len(crawler.jobs) == 4
    assert crawler.row(run)["next_at"] is not None
    embedded = len(shelf.embedder.asked)
    site.pages["/cambia"] = page("Cambia", text="El casco cuesta cuarenta euros. " + FILLING)
    site.pages["/nueva"] = page("Nueva", text="La cadena cuesta veinte euros. " + FILLING)
    site.pages["/"] = page("Inicio", "/fija", "/cambia", "/nueva")
    del site.pages["/muere"]
    again = crawler.again(run)
    assert "nueve euros" in " ".join(found(shelf, "campana")), "until the run has ended"
    assert crawler.crawl(again) == "ready"
    assert crawler.pages(again) == {
        "/": "taken", "/fija": "unchanged", "/cambia": "taken", "/nueva": "taken", "/muere": "gone: http_error"
    }  # fmt: skip
    assert len(shelf.embedder.asked) - embedded == 2, "the one that changed and the new one"
    texts = " ".join(found(shelf, "casco campana cadena llave"))
    assert "cuarenta" in texts and "treinta" not in texts and "nueve" not in texts and "tres euros" in texts
    assert [row["n"] for row in shelf.rows("select count(*) as n from source_files")] == [4]
    third = crawler.again(again)
    assert crawler.crawl(third) == "ready" and crawler.jobs == []


def test_a_page_without_links_to_it_stays_while_the_site_has_it(site: WebSite, crawler: Crawler):
    site.pages = {"/": page("Inicio", "/a"), "/a": page("A")}
    run = crawler.add(site.url + "/")
    crawler.crawl(run)
    site.pages["/"] = page("Inicio")
    run = crawler.again(run)
    assert crawler.crawl(run) == "ready" and crawler.pages(run)["/a"] == "unchanged"


def test_a_site_that_is_away_loses_nothing(shelf: Shelf, site: WebSite, crawler: Crawler):
    site.pages = {"/": page("Inicio", "/a"), "/a": page("A")}
    run = crawler.add(site.url + "/", every_hours=1)
    crawler.crawl(run)
    site.pages = {"/robots.txt": Response("", 404)}
    site.otherwise = Response("", 503)
    again = crawler.again(run)
    assert crawler.crawl(again) == "failed"
    row = crawler.row(again)
    assert row["error_code"] == "start_http_error" and row["next_at"] is not None
    assert set(crawler.sources()) == {"/", "/a"} and found(shelf, "bicicletas barrio")


def test_sitemaps_that_name_each_other_packed_or_not(site: WebSite, crawler: Crawler):
    def urls(*paths: str) -> bytes:
        entries = "".join(f"<url><loc>{site.url}{path}</loc></url>" for path in paths)
        return f'<?xml version="1.0"?><urlset xmlns="s">{entries}</urlset>'.encode()

    index = f"<sitemapindex><sitemap><loc>{site.url}/b.xml.gz</loc></sitemap><sitemap><loc>{site.url}/map.xml</loc>"
    index += "</sitemap><sitemap><loc>http://169.254.169.254/</loc></sitemap></sitemapindex>"
    site.pages = {
        "/robots.txt": Response(f"User-agent: *\nDisallow: /secret\nSitemap: {site.url}/map.xml\n"),
        "/map.xml": Response(index, content_type="application/xml"),
        "/b.xml.gz": Response(gzip.compress(urls("/one", "/secret/two", "/three")), content_type="application/gzip"),
        "/": page("Inicio", "/secret/linked"),
        "/one": page("One"),
        "/three": page("Three"),
        "/secret/two": page("Two"),
        "/secret/linked": page("Linked"),
    }
    run = crawler.add(site.url + "/")
    assert crawler.crawl(run) == "ready"
    assert set(crawler.sources()) == {"/", "/one", "/three"}
    assert crawler.pages(run)["/secret/linked"] == "skipped: robots"
    assert not [path for path in site.asked if "secret" in path], "what robots.txt forbids is not asked for"
    assert site.asked.count("/map.xml") == 1


def test_canonical_addresses_redirects_and_repetitions_are_one_page(site: WebSite, crawler: Crawler):
    def canonical(path: str) -> str:
        return f'<link rel="canonical" href="{path}">'

    site.pages = {
        "/": page("Inicio", "/a?color=1", "/a?color=2", "/old", "/same", "/loop1"),
        "/a": page("A", head=canonical("/a")),
        "/a?color=1": page("A1", head=canonical("/a")),
        "/a?color=2": page("A2", head=canonical("/a")),
        "/old": Response("", 301, {"location": "/a"}),
        "/same": page("A", head=canonical("/a")),
        "/loop1": page("Loop", "/loop2", head=canonical("/loop2")),
        "/loop2": page("Loop two", head=canonical("/loop1")),
    }
    run = crawler.add(site.url + "/")
    assert crawler.crawl(run) == "ready"
    assert set(crawler.sources()) == {"/", "/a", "/loop2"}
    states = crawler.pages(run)
    assert states["/old"] == "skipped: redirect" and states["/a?color=1"] == states["/loop1"] == "skipped: canonical"


def test_of_equal_pages_another_takes_the_place_of_one_that_vanishes(shelf: Shelf, site: WebSite, crawler: Crawler):
    site.pages = {"/": page("Inicio", "/a", "/b"), "/a": page("Gemela"), "/b": page("Gemela")}
    run = crawler.add(site.url + "/")
    crawler.crawl(run)
    assert set(crawler.sources()) == {"/", "/a"} and crawler.pages(run)["/b"] == "skipped: duplicate"
    del site.pages["/a"]
    run = crawler.again(run)
    embedded = len(shelf.embedder.asked)
    assert crawler.crawl(run) == "ready"
    assert set(crawler.sources()) == {"/", "/b"} and len(shelf.embedder.asked) == embedded
    assert shelf.search("Gemela").passages[0].url == f"{site.url}/b"


# What ends it -----------------------------------------------------------------------------------


def test_it_goes_on_where_it_was_killed(shelf: Shelf, site: WebSite, crawler: Crawler):
    site.pages = {"/": page("Inicio", "/a", "/b", "/c"), "/a": page("A"), "/b": page("B"), "/c": page("C")}
    run = crawler.add(site.url + "/")
    crawler.prepare(run)
    crawler.step(run)
    crawling.pick(shelf.connection, run)  # and is killed before it has read it
    assert crawler.prepare(run) == "prepared"
    while crawler.step(run) == "page":
        pass
    assert crawling.finish(shelf.connection, run) == crawling.finish(shelf.connection, run) == "ready"
    assert set(crawler.sources()) == {"/", "/a", "/b", "/c"}
    assert sorted(site.read) == ["/", "/a", "/b", "/c"], "nothing twice"
    assert crawler.row(run)["pages_read"] == 4


def test_a_page_that_kills_its_process_again_and_again_is_given_up(shelf: Shelf, site: WebSite, crawler: Crawler):
    site.pages = {"/": page("Inicio", "/bad"), "/bad": page("Bad")}
    run = crawler.add(site.url + "/")
    crawler.prepare(run)
    crawler.step(run)
    for _ in range(crawling.MOST_TRIES):
        assert crawling.pick(shelf.connection, run)[0] == "page"
    assert crawling.pick(shelf.connection, run)[0] == "done"
    assert crawler.pages(run)["/bad"] == "failed: interrupted"


def test_two_runs_at_the_same_time_keep_a_page_once(shelf: Shelf, site: WebSite, crawler: Crawler):
    site.pages = {"/": page("Inicio")}
    run = crawler.add(site.url + "/")
    crawler.prepare(run)
    _, crawl, row, _ = crawling.pick(shelf.connection, run)
    _, _, same, _ = crawling.pick(shelf.connection, run)
    outcomes = [visits.visit(crawler.read, crawl, one, visits.Robots("")) for one in (row, same)]
    jobs = [crawling.settle(shelf.connection, run, row["url"], outcome)[1] for outcome in outcomes]
    assert [job is not None for job in jobs] == [True, False] and crawler.row(run)["pages_read"] == 1


def test_cancelled_in_the_middle_nothing_is_half_there(shelf: Shelf, site: WebSite, crawler: Crawler):
    site.pages = {"/": page("Inicio", "/a", "/b"), "/a": page("A"), "/b": page("B")}
    run = crawler.add(site.url + "/")
    crawler.prepare(run)
    crawler.step(run)
    _, crawl, row, _ = crawling.pick(shelf.connection, run)
    outcome = visits.visit(crawler.read, crawl, row, visits.Robots(""))
    with tenant(shelf.connection, BICIS):
        assert crawling.end(shelf.connection, run, "cancelled")
    assert crawling.settle(shelf.connection, run, row["url"], outcome) == ("ended", None)
    assert crawler.step(run) == "ended" and crawling.finish(shelf.connection, run) == "ended"
    assert set(crawler.sources()) == {"/"}
    assert shelf.rows("select state from knowledge_sources where kind = 'page'") == [{"state": "ready"}]
    assert shelf.rows("select count(*) as n from staged_chunks") == [{"n": 0}]
    again = crawler.again(run)
    assert crawling.pick(shelf.connection, run)[0] == "superseded"
    assert crawler.crawl(again) == "ready" and set(crawler.sources()) == {"/", "/a", "/b"}


def test_a_run_of_a_deleted_crawl_ends(shelf: Shelf, site: WebSite, crawler: Crawler):
    site.pages = {"/": page("Inicio", "/a"), "/a": page("A")}
    run = crawler.add(site.url + "/")
    crawler.prepare(run)
    crawler.step(run)
    with tenant(shelf.connection, BICIS):
        for row in shelf.connection.execute(crawl_queries.SOURCES_OF_CRAWL, run.keys).fetchall():
            crawling.delete_source(shelf.connection, run, row["source_id"])
        shelf.connection.execute(crawl_queries.DELETE_CRAWL, run.keys)
    assert crawler.step(run) == "gone" and crawler.prepare(run) == "gone"
    assert crawling.finish(shelf.connection, run) == "gone"
    for table in ("crawl_pages", "knowledge_sources", "document_chunks", "source_files"):
        assert shelf.rows(f"select count(*) as n from {table}") == [{"n": 0}], table


def test_a_page_whose_source_the_tenant_deleted_does_not_come_back(shelf: Shelf, site: WebSite, crawler: Crawler):
    site.pages = {"/": page("Inicio", "/a"), "/a": page("A", "/b"), "/b": page("B")}
    run = crawler.add(site.url + "/")
    crawler.crawl(run)
    with tenant(shelf.connection, BICIS):
        (row,) = shelf.rows("select source_id from crawl_pages where url like '%%/a'")
        values = {**run.keys, "source_id": str(row["source_id"])}
        shelf.connection.execute(crawl_queries.EXCLUDE_PAGE, values)
        crawling.delete_source(shelf.connection, run, row["source_id"])
    run = crawler.again(run)
    assert crawler.crawl(run) == "ready" and set(crawler.sources()) == {"/", "/b"}
    assert crawler.pages(run)["/a"] == "skipped: excluded"


@pytest.mark.parametrize(
    ("column", "value", "cut"),
    [("crawl_pages", 3, "pages"), ("crawl_bytes", 1000, "bytes"), ("crawl_seconds", 0, "seconds")],
)
def test_the_plan_bounds_a_run(shelf: Shelf, site: WebSite, crawler: Crawler, column: str, value: int, cut: str):
    site.pages = {"/": page("Inicio", *(f"/p{chr(97 + n)}" for n in range(9)))}
    site.pages |= {f"/p{chr(97 + n)}": page(f"P {n}") for n in range(9)}
    limit(shelf, **{column: value})
    crawler.ingests = False
    run = crawler.add(site.url + "/", max_pages=7)
    assert crawler.crawl(run) == "ready"
    row = crawler.row(run)
    assert row["cut"] == cut and row["pages_read"] == {"pages": 3, "bytes": 3, "seconds": 0}[cut]
    assert len(crawler.sources()) == row["pages_read"]


def test_limits_of_an_organisations_own_are_instead_of_the_plans(shelf: Shelf, site: WebSite, crawler: Crawler):
    site.pages = {"/": page("0", "/1"), "/1": page("1", "/2"), "/2": page("2")}
    shelf.owner.execute("update organizations set crawl_pages = 9, crawl_depth = 1 where organization_id = %s", [BICIS])
    limit(shelf, crawl_pages=1)
    crawler.ingests = False
    run = crawler.add(site.url + "/")
    assert crawler.crawl(run) == "ready" and set(crawler.sources()) == {"/", "/1"}
    limits = shelf.rows("select crawl_pages, crawl_depth from organization_limits order by 1, 2")
    assert limits == [{"crawl_pages": 1, "crawl_depth": 8}, {"crawl_pages": 9, "crawl_depth": 1}]


def test_depth_and_the_tenants_own_limit(shelf: Shelf, site: WebSite, crawler: Crawler):
    site.pages = {"/": page("0", "/1"), "/1": page("1", "/2"), "/2": page("2", "/3"), "/3": page("3")}
    crawler.ingests = False
    run = crawler.add(site.url + "/", max_depth=2)
    assert crawler.crawl(run) == "ready" and set(crawler.sources()) == {"/", "/1", "/2"}
    assert crawler.row(run)["cut"] is None


@pytest.mark.parametrize(
    ("column", "reason"), [("knowledge_sources", "quota_sources"), ("knowledge_bytes", "quota_bytes"),
                           ("daily_ingestions", "quota_ingestions")]
)  # fmt: skip
def test_the_plans_quotas_hold_for_pages(shelf: Shelf, site: WebSite, crawler: Crawler, column: str, reason: str):
    site.pages = {"/": page("Inicio", "/a", "/b"), "/a": page("A"), "/b": page("B")}
    limit(shelf, **{column: len(page("Inicio", "/a", "/b")) + 9 if column == "knowledge_bytes" else 1})
    crawler.ingests = False
    run = crawler.add(site.url + "/")
    assert crawler.crawl(run) == "ready"
    assert set(crawler.sources()) == {"/"} and crawler.pages(run)["/a"] == f"refused: {reason}"
    assert crawler.row(run)["cut"] == ("quota_ingestions" if reason == "quota_ingestions" else None)


def test_it_waits_while_its_pages_are_ingested(shelf: Shelf, site: WebSite, crawler: Crawler):
    site.pages = {"/": page("Inicio", *(f"/p{chr(97 + n)}" for n in range(9)))}
    site.pages |= {f"/p{chr(97 + n)}": page(f"P {n}") for n in range(9)}
    run = crawler.add(site.url + "/")
    crawler.prepare(run)
    crawler.ingest = lambda job: "later"  # type: ignore[method-assign]
    steps = [crawler.step(run) for _ in range(9)]
    assert steps == ["page"] * (crawling.MOST_UNREAD + 1) + ["wait"] * (8 - crawling.MOST_UNREAD)


def test_what_stands_still_or_is_due_is_taken_up(shelf: Shelf, site: WebSite, crawler: Crawler):
    site.pages = {"/": page("Inicio")}
    run = crawler.add(site.url + "/", every_hours=24)

    def due() -> list[tuple[str, bool]]:
        rows = shelf.connection.execute(crawl_queries.DUE_CRAWLS, {"most": 9}).fetchall()
        return [(str(row["crawl_id"]), row["is_new"]) for row in rows]

    assert due() == []
    shelf.owner.execute("update crawls set touched_at = now() - interval '2 minutes'")
    assert due() == [(run.crawl_id, False)]
    crawler.prepare(run)
    assert due() == []
    shelf.owner.execute("update crawls set touched_at = now() - interval '6 minutes'")
    assert due() == [(run.crawl_id, False)]
    crawler.crawl(run)
    assert due() == []
    shelf.owner.execute("update crawls set next_at = now() - interval '1 second'")
    assert due() == [(run.crawl_id, True)]


# Bad input --------------------------------------------------------------------------------------


def bad_site(site: WebSite, kind: str) -> None:
    """Sites that would never end."""

    def calendar(request: Request) -> Response:
        year, month = (int(part) for part in request.path.split("/")[2:4]) if request.path != "/" else (2026, 1)
        links = [f"/calendar/{year + month // 12}/{month % 12 + 1}", f"/calendar/{year}/{month}?day={month}"]
        return Response(page(f"Month {year} {month}", *links), content_type="text/html")

    def deeper(request: Request) -> Response:
        return Response(page(request.path, request.path.rstrip("/") + "/x", "y/"), content_type="text/html")

    def parameters(request: Request) -> Response:
        many = "&".join(f"p{n}=1" for n in range(len(request.args) + 1))
        return Response(page(f"P{len(request.args)}", f"/?{many}", f"/?s={len(site.asked)}"), content_type="text/html")

    def redirects(request: Request) -> Response:
        return Response("", 302, {"location": f"/r{len(site.asked)}"})

    def circle(request: Request) -> Response:
        return Response("", 302, {"location": "/a" if request.path == "/b" else "/b"})

    site.otherwise = {
        "calendar": calendar, "deeper": deeper, "parameters": parameters, "redirects": redirects, "circle": circle
    }[kind]  # fmt: skip
    if kind in ("redirects", "circle"):
        site.pages["/"] = page("Inicio", "/a", "/z")
    site.pages["/robots.txt"] = Response("", 404)
    site.pages["/sitemap.xml"] = Response("", 404)


@pytest.mark.parametrize("kind", ["calendar", "deeper", "parameters", "redirects", "circle"])
def test_what_has_no_end_is_ended(shelf: Shelf, site: WebSite, crawler: Crawler, kind: str):
    bad_site(site, kind)
    limit(shelf, crawl_pages=60, crawl_depth=100)
    crawler.ingests = False
    run = crawler.add(site.url + "/")
    assert crawler.crawl(run) == "ready"
    assert len(site.asked) < 70
    (rows,) = shelf.rows("select count(*) as n from crawl_pages")
    assert rows["n"] <= 60 * crawling.FRONTIER
    if kind in ("redirects", "circle"):
        assert set(crawler.sources()) == {"/"}


def test_a_first_page_that_leads_in_a_circle_is_no_beginning(site: WebSite, crawler: Crawler):
    site.pages |= {"/": page("Inicio"), "/robots.txt": Response("", 404), "/sitemap.xml": Response("", 404)}
    run = crawler.add(site.url + "/")
    assert crawler.crawl(run) == "ready"
    before = crawler.sources()
    site.pages["/"] = Response("", 302, {"location": "/x"})
    site.pages["/x"] = Response("", 302, {"location": "/"})
    again = crawler.again(run)
    assert crawler.crawl(again) == "failed"
    assert crawler.row(again)["error_code"] == "start_redirects"
    assert before and crawler.sources() == before


#: What a site answers, and what becomes of it.
NO_PAGES = [
    (Response("", 401), "skipped: login"),
    (Response("", 403), "skipped: forbidden"),
    (Response("", 410), "gone: http_error"),
    (Response("", 500), "failed: http_error"),
    (Response("", 302, {"location": "http://inside.example/"}), "skipped: elsewhere"),
    (Response("", 302, {"location": "http://169.254.169.254/latest/meta-data/"}), "skipped: elsewhere"),
    (Response("", 302, {"location": "//127.0.0.2/"}), "skipped: elsewhere"),
    (Response("", 302, {"location": "file:///etc/passwd"}), "skipped: elsewhere"),
    (Response("", 302), "failed: http_error"),
    (Response("\x89PNG", content_type="image/png"), "skipped: content_type"),
    (Response("{}", content_type="application/json"), "skipped: content_type"),
    (Response("x", headers={"content-encoding": "br"}, content_type="text/html"), "failed: encoding"),
    (Response("x", headers={"content-encoding": "gzip"}, content_type="text/html"), "failed: encoding"),
    (Response("<meta name=robots content=noindex>x", content_type="text/html"), "skipped: noindex"),
    (Response("<form><input type=password></form>", content_type="text/html"), "skipped: login"),
    (Response(gzip.compress(bytes(30_000_000)), headers={"content-encoding": "gzip"}, content_type="text/html"),
     "failed: too_large"),
]  # fmt: skip


def test_what_is_no_page_is_told(site: WebSite, crawler: Crawler):
    paths = [f"/{chr(97 + number)}" for number in range(len(NO_PAGES))]
    site.pages = {"/": page("Inicio", *paths)} | dict(zip(paths, (answer for answer, _ in NO_PAGES), strict=True))
    run = crawler.add(site.url + "/")
    assert crawler.crawl(run) == "ready"
    states = crawler.pages(run)
    assert [states[path] for path in paths] == [expected for _, expected in NO_PAGES]
    assert set(crawler.sources()) == {"/"}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Response("", 404), "start_http_error"),
        (Response("", 403), "start_forbidden"),
        (Response("", 302, {"location": "https://other.example/"}), "start_elsewhere"),
        (Response("<form><input type=password></form>", content_type="text/html"), "start_login"),
    ],
    ids=str,
)
def test_a_first_page_that_is_none_ends_the_run(site: WebSite, crawler: Crawler, answer: Response, code: str):
    site.pages = {"/": answer}
    run = crawler.add(site.url + "/")
    assert crawler.crawl(run) == "failed"
    assert crawler.row(run)["error_code"] == code and crawler.row(run)["error_message"].startswith("its first page ")


@pytest.mark.parametrize(
    ("answer", "code"),
    [(Response("User-agent: *\nDisallow: /"), "robots_forbid"), (Response("", 503), "robots_unreadable")],
    ids=str,
)
def test_robots_that_forbid(site: WebSite, crawler: Crawler, answer: Response, code: str):
    site.pages = {"/": page("Inicio"), "/robots.txt": answer}
    run = crawler.add(site.url + "/")
    assert crawler.crawl(run) == "failed" and crawler.row(run)["error_code"] == code
    assert site.asked == ["/robots.txt"]


def test_robots_that_are_long_are_read_as_far_as_rules_go(site: WebSite, crawler: Crawler):
    rules = "User-agent: *\nDisallow: /secret\n" + "# nothing\n" * 100_000
    site.pages = {"/": page("Inicio", "/secret", "/a"), "/a": page("A"), "/robots.txt": Response(rules)}
    crawler.ingests = False
    assert crawler.crawl(crawler.add(site.url + "/")) == "ready" and set(crawler.sources()) == {"/", "/a"}


def test_pages_behind_a_login_are_not_its_form(site: WebSite, crawler: Crawler):
    form = page("Entrar", "/", text=FILLING, head="<input type=password>")
    site.pages = {
        "/": page("Inicio", "/cuenta", "/pedidos"),
        "/cuenta": Response("", 302, {"location": "/login?next=cuenta"}),
        "/pedidos": Response("", 302, {"location": "/login?next=pedidos"}),
        "/login?next=cuenta": form,
        "/login?next=pedidos": form,
    }
    run = crawler.add(site.url + "/")
    assert crawler.crawl(run) == "ready" and set(crawler.sources()) == {"/"}
    assert crawler.pages(run)["/login?next=cuenta"] == "skipped: login"


def test_a_site_that_answers_200_for_all(site: WebSite, crawler: Crawler):
    def nothing(request: Request) -> Response:
        text = f"Lo sentimos: {request.path} no existe. {FILLING}"
        return Response(page("No encontrada", f"{request.path}x", text=text), content_type="text/html")

    site.otherwise = nothing
    site.pages = {"/": page("Inicio", "/a", "/broken"), "/a": page("A", text="Los frenos se ajustan gratis los lunes.")}
    run = crawler.add(site.url + "/")
    assert crawler.crawl(run) == "ready"
    assert set(crawler.sources()) == {"/", "/a"} and crawler.pages(run)["/broken"] == "skipped: not_there"
    assert len(site.asked) < 8, "and its links lead nowhere"


def test_wrong_charsets(shelf: Shelf, site: WebSite, crawler: Crawler):
    text = "<html><head><title>Año</title></head><body><p>El caño está roto y el señor Núñez lo arregla mañana.</p>"
    site.pages = {
        "/": page("Inicio", "/latin", "/liar", "/unknown"),
        "/latin": Response(text.encode("latin-1"), headers={"content-type": "text/html; charset=iso-8859-1"}),
        "/liar": Response(text.replace("caño", "grifo").encode("latin-1"), headers={"content-type": "text/html"}),
        "/unknown": Response(
            text.replace("caño", "tubo").encode(), headers={"content-type": "text/html; charset=x-no"}
        ),
    }
    run = crawler.add(site.url + "/")
    assert crawler.crawl(run) == "ready" and len(crawler.sources()) == 4
    texts = " ".join(found(shelf, "caño grifo tubo señor Núñez"))
    assert "El caño está" in texts and "El grifo está" in texts and "El tubo está" in texts and "\ufffd" not in texts


def test_a_sitemap_of_half_a_million_entries(shelf: Shelf, site: WebSite, crawler: Crawler):
    entries = "".join(f"<url><loc>{site.url}/p/{number}</loc></url>" for number in range(500_000))
    site.pages = {
        "/": page("Inicio"),
        "/sitemap.xml": Response(f"<urlset>{entries}</urlset>", content_type="application/xml"),
    }
    limit(shelf, crawl_pages=20)
    run = crawler.add(site.url + "/")
    assert crawler.prepare(run) == "prepared"
    row = crawler.row(run)
    assert row["pages_found"] == 21 and "500000 addresses" in row["warnings"][0]


def test_a_sitemap_that_is_a_bomb_and_one_that_names_itself(
    site: WebSite, crawler: Crawler, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(visits, "MOST_SITEMAPS", 9)
    itself = f"<sitemapindex><sitemap><loc>{site.url}/sitemap.xml</loc></sitemap>"
    itself += "".join(f"<sitemap><loc>{site.url}/more{n}.xml</loc></sitemap>" for n in range(200))
    site.pages = {
        "/": page("Inicio"),
        "/sitemap.xml": Response(itself + "</sitemapindex>"),
        "/more1.xml": Response(gzip.compress(bytes(60_000_000))),
    }
    site.otherwise = Response("<urlset></urlset>")
    run = crawler.add(site.url + "/")
    assert crawler.crawl(run) == "ready"
    assert len(site.asked) <= visits.MOST_SITEMAPS + 4
    warnings = crawler.row(run)["warnings"]
    assert any("larger than" in text for text in warnings) and any("more sitemaps" in text for text in warnings)


def test_another_tenant_sees_nothing(shelf: Shelf, site: WebSite, crawler: Crawler):
    site.pages = {"/": page("Inicio")}
    run = crawler.add(site.url + "/")
    crawler.crawl(run)
    stranger = Run(DENTAL, run.crawl_id, run.run)
    assert crawling.pick(shelf.connection, stranger)[0] == "gone"
    with tenant(shelf.connection, DENTAL):
        for table in ("crawls", "crawl_pages"):
            assert shelf.connection.execute(f"select count(*) as n from {table}").fetchone() == {"n": 0}
