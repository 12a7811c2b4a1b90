"""Web sites made for tests, on this machine, and crawls of them as the flow runs them."""

import socket
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

from pytest_httpserver import HTTPServer
from shelf import BICIS, Shelf
from werkzeug import Request, Response

from f.knowledge import crawl_queries, crawling, ingestion, versions
from f.knowledge.crawling import Run
from f.knowledge.documents import Limits, identify
from f.knowledge.extraction import read
from f.knowledge.fetching import FetchError, fetch
from f.knowledge.parse_source import file_name
from f.knowledge.robots import Robots
from f.knowledge.versions import Job
from f.knowledge.visits import scout, visit
from f.lib.database import tenant

#: Words that make a page long enough to be one, and different from all others.
FILLING = (
    "Reparamos bicicletas de todas las marcas en el barrio y damos siempre presupuesto antes de empezar el trabajo."
)

Answer = Response | str | Callable[[Request], Response]


def page(title: str, *links: str, text: str = "", head: str = "") -> str:
    anchors = "".join(f'<li><a href="{link}">{link}</a></li>' for link in links)
    return (
        f"<!doctype html><html lang=es><head><meta charset=utf-8><title>{title}</title>{head}</head><body><main>"
        f"<h1>{title}</h1><p>{text or f'{title}: {FILLING}'}</p><ul>{anchors}</ul></main></body></html>"
    )


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


class WebSite:
    """Answers by path, from `pages`; everything else is 404. `asked` is what was asked for."""

    def __init__(self, server: HTTPServer, host: str = "shop.example"):
        self.pages: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.requests: list[Request] = []
        self.otherwise: Answer = Response("not here", 404)
        self.url = f"http://{host}:{server.port}"
        server.expect_request(_Anything()).respond_with_handler(self._answer)  # type: ignore[arg-type]

    def _answer(self, request: Request) -> Response:
        path = request.full_path.removesuffix("?")
        self.asked.append(path)
        self.requests.append(request)
        answer = self.pages.get(path, self.otherwise)
        if callable(answer) and not isinstance(answer, Response):
            answer = answer(request)
        return Response(answer, content_type="text/html; charset=utf-8") if isinstance(answer, str) else answer

    @property
    def read(self) -> list[str]:
        """What was asked for but for rules, sitemaps and the page that cannot be."""
        return [path for path in self.asked if path not in ("/robots.txt", "/sitemap.xml") and len(path) != 33]


class _Anything(str):
    """Equals every path."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def resolver(names: dict[str, list[str]]) -> Callable[..., list[Any]]:
    """A name server that knows `names`, and addresses as they are."""

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        found = names.get(host, [host] if host[0].isdigit() or ":" in host else [])
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in address], socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    return resolve


class Crawler:
    """Crawls as `f/knowledge/crawl_site` does, without its pauses."""

    def __init__(self, shelf: Shelf, resolve: Callable[..., list[Any]]):
        self.shelf = shelf
        self.read = partial(fetch, resolve=resolve)
        self.jobs: list[Job] = []
        self.ingests = True

    def add(self, url: str, organization_id: str = BICIS, **settings: Any) -> Run:
        values = {
            "organization_id": organization_id,
            "crawl_id": str(uuid4()),
            "name": "site",
            "url": url,
            "language": None,
        }
        values |= {"chatbot_id": self.shelf.chatbot(organization_id)["id"], "max_pages": None, "max_depth": None}
        values |= {"every_hours": None, **settings}
        with tenant(self.shelf.connection, organization_id):
            self.shelf.connection.execute(crawl_queries.ADD_CRAWL, values)
        return Run(organization_id, str(values["crawl_id"]), 1)

    def again(self, run: Run) -> Run:
        with tenant(self.shelf.connection, BICIS):
            row = self.shelf.connection.execute(crawl_queries.WANT_RUN, run.keys).fetchone()
        assert row is not None
        return Run(run.organization_id, run.crawl_id, row["run"])

    def again_after(self, run: Run) -> Run:
        """The next run, the present one being over."""
        self.shelf.owner.execute("update crawls set state = 'ready' where id = %s", [run.crawl_id])
        return self.again(run)

    def prepare(self, run: Run) -> str:
        connection = self.shelf.connection
        state, crawl = crawling.begin(connection, run)
        if state != "wanted":
            return state
        try:
            return crawling.prepared(
                connection, run, scout(self.read, crawl["url"], crawl["most_pages"], lambda seconds: None)
            )
        except FetchError as error:
            crawling.fail(connection, run, error.code, str(error))
            return "failed"

    def step(self, run: Run) -> str:
        """One page. Returns "page", or why there is none."""
        state, crawl, row, _ = crawling.pick(self.shelf.connection, run, has_turn=True)
        if state != "page":
            return state
        outcome = visit(self.read, crawl, row, Robots(crawl["robots"]))
        _, job = crawling.settle(self.shelf.connection, run, row["url"], outcome)
        if job:
            self.jobs.append(job)
            if self.ingests:
                self.ingest(job)
            else:
                self.shelf.owner.execute("update knowledge_sources set state = 'ready' where id = %s", [job.source_id])
        return "page"

    def ingest(self, job: Job) -> str:
        connection = self.shelf.connection
        state, source = versions.begin(connection, job)
        if state == "wanted":
            data = versions.read_file(connection, job, source["file_sha256"])
            name = file_name(source["url"], source["content_type"])
            state = ingestion.stage(
                connection, job, source, read(data, identify(data, name, source["content_type"]), Limits())
            )
        if state != "staged":
            return state
        ingestion.embed(connection, job, self.shelf.embedder)
        return ingestion.publish(connection, job)

    def crawl(self, run: Run) -> str:
        """All of a run; how it ended."""
        self.jobs.clear()
        if self.prepare(run) == "prepared":
            while self.step(run) == "page":
                pass
            crawling.finish(self.shelf.connection, run)
        return str(self.row(run)["state"])

    def row(self, run: Run) -> dict[str, Any]:
        (row,) = self.shelf.rows("select * from crawls where id = %s", run.crawl_id)
        return row

    def pages(self, run: Run) -> dict[str, str]:
        """What became of each path in this run: "taken", or "skipped: redirect"."""
        rows = self.shelf.rows("select * from crawl_pages where crawl_id = %s and run = %s", run.crawl_id, run.run)
        return {path_of(row["url"]): row["state"] + (f": {row['reason']}" if row["reason"] else "") for row in rows}

    def sources(self) -> dict[str, str]:
        """Name of each page that is knowledge, by its path."""
        rows = self.shelf.rows("select url, name from knowledge_sources where kind = 'page' order by url")
        return {path_of(row["url"]): row["name"] for row in rows}
