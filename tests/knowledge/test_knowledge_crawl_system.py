"""Crawls on the running system: the routes, the flow, the schedule."""

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pytest_httpserver import HTTPServer
from routes import Call
from systems import RunningStack, until
from websites import WebSite, page
from werkzeug import Response


@pytest.fixture
def local_crawl(stack: RunningStack, httpserver: HTTPServer, call: Call) -> Iterator[tuple[WebSite, str]]:
    """A site on this machine, which no route takes, and a crawl of it that has not run yet."""
    site, crawl_id = WebSite(httpserver, "127.0.0.1"), str(uuid4())
    with stack.connect() as database:
        database.execute(
            "insert into crawls (organization_id, id, chatbot_id, name, url, state)"
            " select organization_id, %s, id, 'site', %s, 'ready' from chatbots where slug = 'harbour-dental'",
            [crawl_id, site.url + "/"],
        )
    yield site, crawl_id
    call("DELETE", f"crawls/{crawl_id}")


def ended(call: Call, crawl_id: str) -> dict[str, Any]:
    """The crawl once its run and the ingestions of its pages are over."""
    crawl: dict[str, Any] = {}

    def is_over() -> bool:
        crawl.update(call("GET", f"crawls/{crawl_id}").json())
        open_sources = crawl["progress"]["sources"].keys() - {"ready", "failed"}
        return crawl["state"] not in ("pending", "running") and not open_sources

    until(is_over, 120, pause=0.5)
    return crawl


def test_a_site_becomes_knowledge_and_follows_its_changes(
    stack: RunningStack, call: Call, local_crawl: tuple[WebSite, str]
):
    site, crawl_id = local_crawl
    word = f"veneer{uuid4().hex[:6]}"
    site.pages = {
        "/": page("Home", "/prices", "/team", text="Harbour Dental looks after families in Bristol."),
        "/prices": page("Prices", text=f"A {word} costs 450 pounds for each tooth and takes two visits."),
        "/team": page("Team", text="Doctor Ames leads the team and speaks three languages."),
    }
    begun = call("POST", f"crawls/{crawl_id}/refresh", json={"every_hours": 24})
    assert begun.status_code == 202 and begun.json()["run"] == 2
    assert call("POST", f"crawls/{crawl_id}/refresh").status_code == 409
    crawl = ended(call, crawl_id)
    assert (crawl["state"], crawl["pages_read"], crawl["error"]) == ("ready", 3, None), crawl
    assert crawl["progress"] == {"pages": {"taken": 3}, "sources": {"ready": 3}} and crawl["next_at"]
    assert (crawl["listed"][0]["url"], crawl["listed"][0]["state"]) == (f"{site.url}/", "taken")
    found = call("POST", "search", json={"query": f"{word} price"}).json()["passages"]
    assert "450 pounds" in found[0]["text"] and found[0]["source"] == "Prices"
    source = call("GET", f"sources/{found[0]['source_id']}").json()
    assert (source["kind"], source["crawl_id"], source["url"]) == ("page", crawl_id, f"{site.url}/prices")

    del site.pages["/prices"]
    with stack.connect() as database:
        database.execute("update crawls set next_at = now() where id = %s", [crawl_id])
    arguments = {"database": "$res:f/lib/database"}
    run = stack.windmill("POST", "jobs/run_wait_result/p/f/knowledge/resume_runs", json=arguments)
    assert run.json()["crawls"]["started"] >= 0, run.text
    crawl = ended(call, crawl_id)
    assert (crawl["state"], crawl["run"]) == ("ready", 3)
    assert crawl["progress"] == {"pages": {"unchanged": 2, "gone": 1}, "sources": {"ready": 2}}
    assert all(word not in p["text"] for p in call("POST", "search", json={"query": word}).json()["passages"])

    assert call("DELETE", f"crawls/{crawl_id}").json() == {"id": crawl_id, "is_deleted": True}
    assert call("GET", f"sources/{crawl['listed'][0]['source_id']}").status_code == 404


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(stack: RunningStack, call: Call, local_crawl: tuple[WebSite, str]):
    site, crawl_id = local_crawl
    mark = uuid4().hex
    site.pages = {f"/{name}": page(f"Page {name}", text=f"This is page {name} of {mark}.") for name in "abcd"}
    site.pages["/"] = page("Home", *site.pages, text=f"Home of {mark}.")
    site.pages["/robots.txt"] = Response("User-agent: *\nCrawl-delay: 3\n")
    call("POST", f"crawls/{crawl_id}/refresh")
    until(lambda: call("GET", f"crawls/{crawl_id}").json()["pages_read"] >= 2, 60, pause=0.3)
    runs = stack.windmill("GET", "jobs/list?script_path_exact=f/knowledge/crawl_site&running=true").json()
    for run in runs:
        stack.windmill("POST", f"jobs_u/queue/force_cancel/{run['id']}", json={"reason": "a test"})
    assert runs
    time.sleep(1)
    with stack.connect() as database:
        database.execute(
            "update crawls set state = 'running', error_code = null, error_message = null,"
            " touched_at = now() - interval '6 minutes' where id = %s",
            [crawl_id],
        )
    arguments = {"database": "$res:f/lib/database"}
    stack.windmill("POST", "jobs/run_wait_result/p/f/knowledge/resume_runs", json=arguments)
    crawl = ended(call, crawl_id)
    assert (crawl["state"], crawl["pages_read"]) == ("ready", 5)
    assert len(site.read) <= 6, "at most the page that was being read is read twice"


def test_the_command_shows_a_crawl_from_its_beginning_to_its_end(stack: RunningStack):
    def knowledge(*words: str) -> dict[str, Any]:
        return json.loads(stack.dev("knowledge", "--chatbot", "harbour-dental", "--json", *words).stdout)

    url = f"https://{uuid4().hex[:8]}.invalid/"
    crawl = knowledge("crawl", url, "--max-pages", "3", "--every-hours", "24", "--no-wait")
    assert (crawl["url"], crawl["limits"]["pages"], crawl["every_hours"]) == (url, 3, 24)
    assert url in stack.dev("knowledge", "--chatbot", "harbour-dental", "crawls").stdout
    assert knowledge("cancel-crawl", crawl["id"])["state"] == "cancelled"
    assert knowledge("show-crawl", crawl["id"])["run"] == 1
    again = knowledge("refresh-crawl", crawl["id"], "--no-wait", "--every-hours", "0", "--max-pages", "2")
    assert (again["run"], again["every_hours"], again["limits"]["pages"]) == (2, None, 2)
    assert knowledge("delete-crawl", crawl["id"])["is_deleted"] is True


def test_the_command_sets_how_often_a_page_is_read(stack: RunningStack):
    def knowledge(*words: str) -> dict[str, Any]:
        done = stack.dev("knowledge", "--chatbot", "harbour-dental", "--json", *words)
        return json.loads(done.stdout)

    source = knowledge("add", f"https://{uuid4().hex[:8]}.invalid/", "--every-hours", "24", "--no-wait")
    assert source["every_hours"] == 24
    assert knowledge("refresh", source["id"], "--every-hours", "0", "--no-wait")["every_hours"] is None
    assert knowledge("delete", source["id"])["is_deleted"] is True


def test_cancelled_and_refused(stack: RunningStack, call: Call):
    """`.invalid` is a name that nobody has: the run goes on trying for a while."""
    asked = {"url": f"https://{uuid4().hex[:8]}.invalid/start?utm_source=x", "max_pages": 5, "every_hours": 24}
    taken = call("POST", "crawl", json=asked)
    assert taken.status_code == 202, taken.text
    crawl = taken.json()
    assert crawl["url"] == asked["url"].partition("?")[0] and crawl["limits"]["pages"] == 5
    assert call("POST", "crawl", json=asked).json()["error"]["code"] == "same_site"
    assert crawl["id"] in [row["id"] for row in call("GET", "crawls").json()["crawls"]]
    assert call("GET", f"crawls/{crawl['id']}", key=stack.demo1_api_key).status_code == 404
    cancelled = call("POST", f"crawls/{crawl['id']}/cancel").json()
    assert cancelled["state"] == "cancelled" and cancelled["error"] is None and cancelled["next_at"]
    with stack.connect() as database:
        (most,) = database.execute("select crawls from plans where code = 'pro'").fetchone()
        try:
            database.execute("update plans set crawls = 0 where code = 'pro'")
            refused = call("POST", "crawl", json=asked | {"url": "https://other.invalid/"})
        finally:
            database.execute("update plans set crawls = %s where code = 'pro'", [most])
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded")
    assert call("DELETE", f"crawls/{crawl['id']}").status_code == 200
    assert call("GET", f"crawls/{crawl['id']}").status_code == 404


def test_several_pages_each_with_its_own_answer(call: Call):
    good = f"https://{uuid4().hex[:8]}.invalid/"
    answer = call("POST", "batch", json={"urls": [good, "https://127.0.0.1/", "http://x.example/", good]})
    assert answer.status_code == 202, answer.text
    assert [source["url"] for source in answer.json()["sources"]] == [good]
    assert [one["url"] for one in answer.json()["refused"]] == ["https://127.0.0.1/", "http://x.example/"]
    again = call("POST", "batch", json={"urls": [good]}).json()
    assert again["refused"][0]["error"]["code"] == "same_content"
    call("DELETE", f"sources/{answer.json()['sources'][0]['id']}")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("crawl", {"url": "https://127.0.0.1/"}, 422),
        ("crawl", {"url": "http://example.com/"}, 422),
        ("crawl", {"url": "https://example.com/a.zip"}, 422),
        ("crawl", {"url": "https://example.com/", "max_pages": 0}, 422),
        ("crawl", {"url": "https://example.com/", "every_hours": -1}, 422),
        ("crawl", {}, 422),
        ("batch", {"urls": []}, 422),
        ("batch", {"urls": ["https://a.example/"] * 101}, 422),
        ("crawls/nope/refresh", {}, 422),
        ("crawls/00000000-0000-4000-8000-000000000000/refresh", {}, 404),
        ("crawls/00000000-0000-4000-8000-000000000000/cancel", {}, 404),
    ],
    ids=str,
)
def test_a_request_that_is_not_followed(call: Call, path: str, body: dict[str, Any], status: int):
    answer = call("POST", path, json=body)
    assert answer.status_code == status and set(answer.json()["error"]) == {"code", "message"}
