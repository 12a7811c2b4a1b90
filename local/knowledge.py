"""`./dev knowledge`: a tenant's documents, by the same routes that the tenant calls."""

import argparse
import json
import mimetypes
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from f.knowledge.documents import CONTENT_TYPES
from local import api
from local.api import CallError
from local.credentials import DEMO1, DEMO2, Credentials
from local.tables import fields, table

#: Chatbots of db/seed.sql, by slug, with the credential that is their tenant's key.
DEMOS = {
    "bicis-ribera": (DEMO1, "demo1_api_key"),
    "harbour-dental": (DEMO2, "demo2_api_key"),
}

COLUMNS = ("id", "name", "state", "language", "pages", "chunks", "next_at", "error")
GAP_COLUMNS = ("id", "count", "last_at", "question")
CRAWL_COLUMNS = ("id", "url", "state", "run", "pages_read", "pages_found", "cut", "error", "next_at")

#: What may be set for a web site, whenever a run of it begins.
SETTINGS = ("max_pages", "max_depth", "every_hours")

#: Actions on a web site: the method of its route, and what the route's path ends with.
CRAWL_ACTIONS = {
    "show-crawl": ("GET", "", "a web site: its state, and what became of its pages"),
    "refresh-crawl": ("POST", "/refresh", "read a web site again"),
    "cancel-crawl": ("POST", "/cancel", "end the present run of a web site"),
    "delete-crawl": ("DELETE", "", "remove a web site with its pages"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_place(parser)
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def action(name: str, help_: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=help_, description=help_, allow_abbrev=False)
        added.set_defaults(action=name)
        return added

    added = action("add", "add a document, or a page of the web")
    added.add_argument("what", metavar="FILE|URL")
    added.add_argument("--name", help="what an answer calls it (default: the file's name, the address)")
    added.add_argument("--language", metavar="CODE", help="found out if left out")
    _add_hours(added, "when a page of the web is read again by itself (default: never)")
    action("list", "list the sources, newest first")
    action("show", "a source and its versions").add_argument("source")
    searched = action("search", "what the bot would find, with scores")
    searched.add_argument("query")
    searched.add_argument("--limit", type=int, metavar="N")
    again = action("refresh", "read a source again")
    again.add_argument("source")
    _add_hours(again, "when a page of the web is read again by itself; 0 for never (default: as it was)")
    site = action("crawl", "add a web site, page by page")
    site.add_argument("url")
    site.add_argument("--name", help="what it is called (default: the address)")
    site.add_argument("--language", metavar="CODE", help="found out if left out")
    _add_limits(site, "the plan's limit")
    _add_hours(site, "when it is read again by itself (default: never)")
    action("crawls", "list the web sites, newest first")
    crawls = {name: action(name, help_) for name, (_, _, help_) in CRAWL_ACTIONS.items()}
    for named in crawls.values():
        named.add_argument("crawl")
    _add_limits(crawls["refresh-crawl"], "as it was")
    _add_hours(crawls["refresh-crawl"], "when it is read again by itself; 0 for never (default: as it was)")
    for waiting in (added, again, site, crawls["refresh-crawl"]):
        waiting.add_argument("--no-wait", action="store_true", help="do not wait until the bot knows it")
    missing = action("gaps", "what it was asked and did not know, the most frequent first")
    missing.add_argument(
        "--state", choices=("open", "answered", "dismissed"), default="open", help="default: %(default)s"
    )
    for name, help_ in (("limit", "groups of alike questions (default: 50)"), ("offset", "leave these out first")):
        missing.add_argument(f"--{name}", type=int, metavar="N", help=help_)
    action("dismiss-gap", "take such a group off the list").add_argument("gap")
    action("delete", "remove a source with its passages and bytes").add_argument("source")
    action("quota", "the limits of the plan, and what is used")


def _add_limits(parser: argparse.ArgumentParser, default: str) -> None:
    for name, help_ in (("max-pages", "pages of a run"), ("max-depth", "links from the first page")):
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"{help_} (default: {default})")


def _add_hours(parser: argparse.ArgumentParser, help_: str) -> None:
    parser.add_argument("--every-hours", type=int, metavar="N", help=help_)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Whose documents: what `Shelf` reads."""
    parser.add_argument("--chatbot", default="bicis-ribera", metavar="CHATBOT", help="slug or id (%(default)s)")
    parser.add_argument("--api-url", metavar="URL", help="another installation's API (default: this one's)")
    parser.add_argument("--api-key", metavar="KEY", help=f"default: ${api.KEY_VARIABLE}, else the demo tenant's")


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Do what `add_arguments` has parsed and print the answer. Exit status 1 when a source fails. Raises CallError."""
    shelf = Shelf(options, environment)
    match options.action:
        case "add":
            answer = _settled(shelf, _add(shelf, options), options)
        case "list":
            answer = shelf.call("GET", "sources", params={"limit": 200})
        case "search":
            answer = shelf.search(options.query, options.limit)
        case "quota":
            answer = shelf.call("GET", "quota")
        case "refresh":
            asked = _given(options, "every_hours")
            answer = _settled(shelf, shelf.call("POST", f"sources/{options.source}/refresh", json=asked), options)
        case "crawl":
            asked = _given(options, "url", "name", "language", *SETTINGS)
            answer = _settled(shelf, shelf.call("POST", "crawl", json=asked), options, "crawls")
        case "crawls":
            answer = shelf.call("GET", "crawls")
        case "gaps":
            answer = shelf.call("GET", "gaps", params=_given(options, "state", "limit", "offset"))
        case "dismiss-gap":
            answer = shelf.call("DELETE", f"gaps/{options.gap}")
        case name if name in CRAWL_ACTIONS:
            method, ending, _ = CRAWL_ACTIONS[name]
            body = {"json": _given(options, *SETTINGS)} if name == "refresh-crawl" else {}
            answer = shelf.call(method, f"crawls/{options.crawl}{ending}", **body)
            if name == "refresh-crawl":
                answer = _settled(shelf, answer, options, "crawls")
        case "show" | "delete":
            answer = shelf.call("GET" if options.action == "show" else "DELETE", f"sources/{options.source}")
    print(json.dumps(answer, ensure_ascii=False) if options.json else as_text(answer))
    return 1 if answer.get("state") == "failed" else 0


class Shelf:
    """The routes of one chatbot."""

    def __init__(self, options: argparse.Namespace, environment: Mapping[str, str]) -> None:
        self._chatbot = options.chatbot
        self._api_url, self._key = api.place(options, environment, lambda own: _demo_key(own, options.chatbot))

    def search(self, query: str, limit: int | None = None) -> dict[str, Any]:
        return self.call("POST", "search", json={"query": query, **({} if limit is None else {"limit": limit})})

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        return api.call(self._api_url, self._key, method, f"chatbots/{self._chatbot}/knowledge/{path}", **request)


def _demo_key(own: Credentials, chatbot: str) -> str:
    for slug, (demo, field) in DEMOS.items():
        if chatbot in (slug, demo.chatbot_id):
            return str(getattr(own, field))
    raise CallError(
        f"{chatbot} is no demo tenant's: give a key of its tenant with --api-key or {api.KEY_VARIABLE}"
        " (./dev admin api-key create NAME --scopes knowledge --organization ORG)"
    )


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the options that were given."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _add(shelf: Shelf, options: argparse.Namespace) -> dict[str, Any]:
    if options.what.startswith(("http://", "https://")):
        asked = _given(options, "name", "language", "every_hours")
        return shelf.call("POST", "url", json={"url": options.what, **asked})
    if options.every_hours is not None:
        raise CallError("--every-hours is for pages of the web: a file is uploaded once more when it changes")
    file = Path(options.what)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CallError(f"{file}: {error.strerror}") from None
    kind = mimetypes.guess_type(file.name)[0]
    # Windmill reads text/plain itself, and takes it for UTF-8.
    kind = kind if kind in CONTENT_TYPES and kind != "text/plain" else "application/octet-stream"
    query = {"filename": options.name or file.name, **_given(options, "language")}
    return shelf.call("POST", "upload", params=query, content=data, headers={"content-type": kind})


def _settled(
    shelf: Shelf, source: dict[str, Any], options: argparse.Namespace, route: str = "sources"
) -> dict[str, Any]:
    """The source once the bot knows it or never will; the web site once its run has ended."""
    while not options.no_wait and source["state"] not in ("ready", "failed", "cancelled"):
        time.sleep(0.3)
        source = shelf.call("GET", f"{route}/{source['id']}")
    return source


def as_text(answer: Mapping[str, Any]) -> str:
    """The answer for people."""
    if "sources" in answer and isinstance(answer["sources"], list):
        return table(answer["sources"], COLUMNS)
    if "crawls" in answer:
        return table(answer["crawls"], CRAWL_COLUMNS)
    if "gaps" in answer:
        shown = table([{**gap, "question": gap["questions"][0]["question"]} for gap in answer["gaps"]], GAP_COLUMNS)
        return f"{shown}\n{answer['questions']} questions, {answer['total']} different ones"
    if "passages" in answer:
        return "\n\n".join(_passage(passage) for passage in answer["passages"]) or "nothing was found"
    return fields({name: value for name, value in answer.items() if value not in (None, [], {})})


def _passage(passage: Mapping[str, Any]) -> str:
    place = [passage["source"], *passage["headings"], *([f"p. {passage['page']}"] if passage["page"] else [])]
    return f"{passage['score']:.4f}  {' › '.join(place)}\n{passage['text']}"
