"""The routes and the whole way on the running system: upload, ingestion, an answer that cites."""

from uuid import uuid4

import httpx
import pytest
from routes import Call, settled, upload
from systems import RunningStack

TOO_LARGE = b"x" * (20 * 1024 * 1024 + 1)


def test_an_uploaded_text_is_answered_from_with_its_source(stack: RunningStack, call: Call):
    word = f"zirconia{uuid4().hex[:6]}"
    taken = upload(call, f"# Crowns\n\nA {word} crown costs 640 pounds and lasts fifteen years.", f"{word}.txt")
    assert taken.status_code == 202, taken.text
    source = settled(call, taken.json()["id"])
    assert (source["state"], source["chunks"], source["version"], source["language"]) == ("ready", 1, 1, "en")
    found = call("POST", "search", json={"query": f"price of a {word} crown"}).json()["passages"]
    assert found[0]["source"] == f"{word}.txt" and found[0]["headings"] == ["Crowns"] and found[0]["score"] > 0
    said = stack.dev("say", f"How long does a {word} crown last?", "--to", "harbour-dental").stdout
    assert "fifteen years" in said and f"Sources: {word}.txt" in said and "[1]" not in said
    with stack.connect() as database:
        kept = database.execute("select is_cited from answer_passages where source_name = %s", [f"{word}.txt"])
        assert (True,) in kept.fetchall()
    again = upload(call, f"# Crowns\n\nA {word} crown costs 640 pounds and lasts fifteen years.")
    assert again.status_code == 409 and again.json()["error"]["code"] == "same_content"
    assert call("DELETE", f"sources/{source['id']}").json()["is_deleted"] is True
    assert call("GET", f"sources/{source['id']}").status_code == 404
    assert all(p["source"] != f"{word}.txt" for p in call("POST", "search", json={"query": word}).json()["passages"])


def test_a_text_and_its_refresh(call: Call):
    text = f"Our {uuid4().hex} is free."
    added = call("POST", "text", json={"name": "Notice", "text": text, "language": "en"})
    assert added.status_code == 202
    source_id = added.json()["id"]
    assert settled(call, source_id)["language"] == "en"
    refused = call("POST", f"sources/{source_id}/refresh", json={"every_hours": 24})
    assert refused.status_code == 422 and "no address to be read again" in refused.json()["error"]["message"]
    assert call("POST", f"sources/{source_id}/refresh").status_code == 202
    source = settled(call, source_id)
    assert source["version"] == 1 and [v["outcome"] for v in source["versions"]] == ["unchanged", "ready"]
    listed = call("GET", "sources", params={"limit": 200}).json()
    assert source_id in [row["id"] for row in listed["sources"]] and listed["total"] >= 1
    call("DELETE", f"sources/{source_id}")


def test_a_page_is_read_again_by_the_hours_that_are_set(call: Call):
    """`.invalid` is a name that nobody has."""
    url = f"https://{uuid4().hex[:8]}.invalid/"
    added = call("POST", "url", json={"url": url, "every_hours": 24})
    assert (added.status_code, added.json()["every_hours"]) == (202, 24), added.text
    source = f"sources/{added.json()['id']}"
    assert call("GET", source).json()["every_hours"] == 24
    for body, every_hours in (({"every_hours": 6}, 6), ({}, 6), ({"every_hours": 0}, None)):
        again = call("POST", f"{source}/refresh", json=body)
        assert (again.status_code, again.json()["every_hours"]) == (202, every_hours), again.text
    for wrong in ({"every_hours": -1}, {"every_hours": 9000}, {"every_hours": "often"}, {"hours": 1}):
        assert call("POST", f"{source}/refresh", json=wrong).status_code == 422
        assert call("POST", "url", json={"url": url, **wrong}).status_code == 422
    call("DELETE", source)
    (batch,) = call("POST", "batch", json={"urls": [url], "every_hours": 12}).json()["sources"]
    assert batch["every_hours"] == 12
    call("DELETE", f"sources/{batch['id']}")


def test_a_page_of_our_insides_is_refused(call: Call):
    for url in ("http://example.com/", "https://127.0.0.1/", "https://localhost/", "https://db.internal/", "nope"):
        assert call("POST", "url", json={"url": url}).status_code == 422, url


def test_the_service_says_that_it_is_there(stack: RunningStack):
    health = httpx.get(f"{stack.api_url}/health", timeout=10)
    assert (health.status_code, health.json()) == (200, {"status": "ok"})


def test_who_may(stack: RunningStack, call: Call):
    for key in ("", "mr_unknown"):
        answer = call("GET", "sources", key=key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    assert call("GET", "sources", key=stack.demo1_api_key).status_code == 404, "another tenant's chatbot"
    assert call("GET", "sources", bot=stack.demo1_chatbot_id).status_code == 404
    assert call("GET", "sources", bot=stack.demo2_chatbot_id).status_code == 200
    with stack.connect() as database:
        (scopes,) = database.execute("select scopes from api_keys where key_prefix = left(%s, 8)", [stack.demo2_api_key]).fetchone()  # fmt: skip  # noqa: E501
        database.execute("update api_keys set scopes = '{admin}' where key_prefix = left(%s, 8)", [stack.demo2_api_key])
        try:
            refused = call("GET", "sources")
        finally:
            database.execute(
                "update api_keys set scopes = %s where key_prefix = left(%s, 8)", [scopes, stack.demo2_api_key]
            )
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope")


@pytest.mark.parametrize(
    ("method", "path", "request_", "status"),
    [
        ("POST", "text", {"json": {"name": "x"}}, 422),
        ("POST", "text", {"json": {"name": "x", "text": "y", "more": 1}}, 422),
        ("POST", "text", {"json": {"name": "x", "text": "y" * 500_001}}, 413),
        ("POST", "search", {"json": {"query": ""}}, 422),
        ("POST", "search", {"json": {"query": "x", "limit": 51}}, 422),
        ("GET", "sources/nope", {}, 422),
        ("GET", "sources/00000000-0000-4000-8000-000000000000", {}, 404),
        ("DELETE", "sources/00000000-0000-4000-8000-000000000000", {}, 404),
        ("POST", "sources/00000000-0000-4000-8000-000000000000/refresh", {}, 404),
        ("POST", "upload", {"params": {"filename": "x.exe"}, "content": b"MZ"}, 415),
        ("POST", "upload", {"params": {"filename": "x.pdf"}, "content": b""}, 422),
        ("POST", "upload", {"content": b"x"}, 422),
        ("POST", "upload", {"params": {"filename": "big.pdf"}, "content": TOO_LARGE}, 413),
        ("POST", "upload", {"params": {"filename": "x.pdf"}, "files": {"file": b"x"}}, 400),
    ],
    ids=lambda value: "too large" if isinstance(value, dict) and value.get("content") is TOO_LARGE else str(value),
)
def test_a_request_that_is_not_followed(call: Call, method: str, path: str, request_: dict, status: int):
    headers = {"content-type": "application/octet-stream"} if "content" in request_ else {}
    answer = call(method, path, headers=headers, **request_)
    assert answer.status_code == status, answer.text
    if status != 400:
        assert set(answer.json()["error"]) == {"code", "message"}


def test_the_plan_is_the_limit(stack: RunningStack, call: Call):
    quota = call("GET", "quota").json()
    assert quota["limits"]["sources"] > quota["used"]["sources"] and quota["plan"] == "pro"
    with stack.connect() as database:
        before = database.execute("select knowledge_sources, knowledge_bytes, daily_ingestions from plans where code = 'pro'").fetchone()  # fmt: skip  # noqa: E501
        for column in ("knowledge_sources", "knowledge_bytes", "daily_ingestions"):
            try:
                database.execute(f"update plans set {column} = 0 where code = 'pro'")
                refused = upload(call, f"Text {uuid4()}")
            finally:
                restore = "update plans set (knowledge_sources, knowledge_bytes, daily_ingestions) = (%s, %s, %s)"
                database.execute(f"{restore} where code = 'pro'", before)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded"), column
    assert call("GET", "quota").json()["used"] == quota["used"]
    dev = ("admin", "set-plan", "harbour-dental", "pro")
    stack.dev(*dev, "--knowledge-bytes", "123456789", "--crawls", "0", "--crawl-depth", "1")
    try:
        own = call("GET", "quota").json()
        assert (own["limits"]["bytes"], own["limits"]["crawls"], own["crawl_limits"]["depth"]) == (123456789, 0, 1)
        refused = call("POST", "crawl", json={"url": "https://other.invalid/"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded")
    finally:
        stack.dev(*dev)
    assert call("GET", "quota").json()["limits"] == quota["limits"]
