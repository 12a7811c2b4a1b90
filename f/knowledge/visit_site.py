# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "protego==0.7.0", "typing-extensions==4.16.0",
# ]
# ///
"""Crawl, step 2 of each round, without the database: the site's rules first, then pages for some seconds"""

import math
import time
from functools import partial

from f.knowledge.exchange import Exchange
from f.knowledge.fetching import FetchError, fetch
from f.knowledge.robots import Robots
from f.knowledge.visits import Read, scout, visit

#: Seconds after which the worker is given back.
SECONDS = 10

#: How many pauses a site in trouble is left alone.
TROUBLE = 5

#: Seconds until it looks again whether its pages have been ingested.
WAIT = 3


def main(exchange_url: str, ticket: str, local_addresses: str | None = None) -> dict:
    """Purpose: a site is read at its pace, where there is no secret, and a kill costs one page at most.

    Input: where the exchange is, the ticket of the run, and whether addresses inside the network are allowed.

    Returns `state`: "more" with the seconds to `pause`; "done", "failed" (with its reason in the crawl), "superseded",
    "ended", "gone".
    """
    read = partial(fetch, may_be_local=local_addresses == "true")
    with Exchange(exchange_url, ticket) as exchange:
        crawl = exchange.crawl()
        if crawl["state"] == "wanted":
            state = prepare(exchange, crawl, read)
            if state != "prepared":
                return {"state": state, "pause": 0}
            crawl = exchange.crawl()
        if crawl["state"] != "prepared":
            return {"state": crawl["state"], "pause": 0}
        return visit_pages(exchange, crawl, read)


def prepare(exchange: Exchange, crawl: dict, read: Read) -> str:
    """Know what may be read before anything is read. Raises FetchError for what may be there later."""
    try:
        return exchange.keep_site(scout(read, crawl["url"], crawl["most_pages"] if crawl["most_depth"] else 0))
    except FetchError as error:
        if error.passing:
            raise
        return exchange.fail_crawl(error.code, str(error))


def visit_pages(exchange: Exchange, crawl: dict, read: Read) -> dict:
    rules = Robots(crawl["robots"])
    until = time.monotonic() + SECONDS
    has_taken = has_turn = False
    while True:
        found = exchange.next_page(has_turn=has_turn)
        if found["state"] == "wait":
            # What was just taken has not even been started: that is the next step's.
            return {"state": "more", "pause": 0 if has_taken else WAIT}
        if found["state"] == "later":
            return {"state": "more", "pause": math.ceil(found["wait"])}
        if found["state"] != "page":
            return {"state": found["state"], "pause": 0}
        time.sleep(found["wait"])
        outcome = visit(read, crawl, found["page"], rules)
        settled = exchange.settle(found["page"]["url"], outcome)
        if settled["state"] != "wanted":
            return {"state": settled["state"], "pause": 0}
        has_taken = has_taken or settled["is_taken"]
        if outcome.state == "waiting":
            return {"state": "more", "pause": math.ceil(TROUBLE * crawl["pause"])}
        has_turn = outcome.reason == "robots"
        if time.monotonic() > until:
            return {"state": "more", "pause": 0}
