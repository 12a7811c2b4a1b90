"""What routes make of requests, and which values they take. Pure."""

import hashlib
import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import pytest

from f.admin.list_usage import bounds_of
from f.admin.save_chatbot import checked
from f.lib import http


def event(raw: str = "", **parts: Any) -> dict[str, Any]:
    return {"raw_string": raw, "body": {}, "params": {}, "query": {}, "headers": {}, **parts}


@http.answering()
def echo(a: Any = None, b: Any = None, c: Any = None, token: Any = None, request: dict | None = None) -> dict:
    return {"a": a, "b": b, "c": c, "token": token}


def heard(raw: str = "", secrets: Collection[str] = (), **parts: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run keeps of a request, and what the script was given."""
    made = http.request_of(event(raw, **parts), http.accepted_by(echo), secrets)
    return made, echo(request=made)["result"]


def test_arguments_come_from_query_body_and_path_in_this_order() -> None:
    made, given = heard('{"a": 1, "b": 2}', query={"a": "q", "c": "q"}, params={"b": "p"})
    assert given == {"a": 1, "b": "p", "c": "q", "token": None}
    assert made["problem"] is None


def test_a_body_is_read_from_its_text_alone_since_windmill_follows_references_in_the_rest() -> None:
    assert http.request_of(event(body={"a": "resolved"}), ["a"])["problem"] == "the body must be a JSON object"
    sent = http.request_of(event('{"a": "$var:f/x/y"}', body={"a": "resolved"}), ["a"])
    assert json.loads(sent["arguments"]) == {"a": "$var:f/x/y"}
    assert isinstance(sent["arguments"], str)


@pytest.mark.parametrize("sent", ["{", "[]", "5", '"x"', "NaN", '{"x": NaN}', "[" * 100_000])
def test_a_body_that_is_no_object(sent: str) -> None:
    assert http.request_of(event(sent), ["x"])["problem"] == "the body must be a JSON object"


def test_what_the_path_names_counts_though_the_body_is_none() -> None:
    sent = http.request_of(event("{bad", params={"b": "b"}, query={"a": "1"}), http.accepted_by(echo))
    assert json.loads(sent["arguments"]) == {"a": "1", "b": "b"}
    assert sent["problem"] == "the body must be a JSON object"


def test_unknown_arguments_are_named_unless_their_names_are_odd() -> None:
    assert http.request_of(event('{"typo": 1}'), ["a"])["problem"] == "unknown arguments: typo; known are a"
    assert "some" in http.request_of(event('{"$var:f/x": 1}'), ["a"])["problem"]


def test_secrets_stay_in_the_process_that_got_them() -> None:
    made, given = heard('{"token": "hush", "a": 1}', ["token"])
    assert given["token"] == "hush"
    assert "hush" not in json.dumps(made)
    assert heard('{"a": 1}', ["token"])[1]["token"] is None, "the next request has its own"


@pytest.mark.parametrize("name", ["authorization", "Authorization"])
def test_a_key_is_known_by_its_hash(name: str) -> None:
    made = http.request_of(event(headers={name: "bearer  key "}), [])
    assert made["key_hash"] == hashlib.sha256(b"key").hexdigest()


@pytest.mark.parametrize("header", ["", "key", "Basic a2V5", "Bearer", "Bearer "])
def test_no_key(header: str) -> None:
    assert http.request_of(event(headers={"authorization": header}), [])["key_hash"] == ""


def test_main_answers_on_the_route_and_raises_in_the_form() -> None:
    @http.answering(201)
    def main(a: int, b: int = 5, request: dict | None = None) -> dict:
        if a == 0:
            raise http.invalid("a", "must not be 0")
        return {"sum": 10 // a + (b or 0)}

    def on_route(raw: str) -> dict[str, Any]:
        return main(request=http.request_of(event(raw), http.accepted_by(main)))  # type: ignore[call-arg]

    assert main(a=1) == {"sum": 15}
    with pytest.raises(http.ApiError):
        main(a=0)
    assert on_route('{"a": 2}')["result"] == {"sum": 5}
    assert on_route('{"a": 2}')["windmill_status_code"] == 201
    assert on_route('{"a": 0}')["result"] == {"error": {"code": "invalid_argument", "message": "a: must not be 0"}}
    assert on_route('{"a": "x"}')["windmill_status_code"] == 500
    assert on_route('{"a": "x"}')["result"]["error"]["code"] == "internal"


@pytest.mark.parametrize("value", [None, "", " ", 5, "x" * 201, "a\x00b", "a\x1bb", "\ud83d"])
def test_texts_that_are_none(value: Any) -> None:
    with pytest.raises(http.ApiError, match="name: "):
        http.text("name", value)


@pytest.mark.parametrize("value", ["Ünï", "two\nlines", "🙂", "x" * 200])
def test_texts(value: str) -> None:
    assert http.text("name", value) == value


@pytest.mark.parametrize("value", [True, "x", None, "1e3", "٣", 11, -1, float("nan"), [], "0.5.1"])
def test_numbers_that_are_none(value: Any) -> None:
    with pytest.raises(http.ApiError, match="n: "):
        http.number("n", value, 0, 10)


def test_numbers_of_a_query() -> None:
    assert (http.integer("n", "7", 0, 10), http.number("n", "2.5", 0, 10)) == (7, 2.5)
    with pytest.raises(http.ApiError, match="whole"):
        http.integer("n", "2.5", 0, 10)


@pytest.mark.parametrize("url", ["https://tools.example.com/mcp", "https://a.example.co:8443/x?y=1"])
def test_public_addresses(url: str) -> None:
    assert http.public_url("url", url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://tools.example.com",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://postgres:5432/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://a.internal/",
        "https://a.internal./",
        "https://user:pass@tools.example.com/",  # pragma: allowlist secret
        "https://tools.example.com:99999/",
        "ftp://tools.example.com",
        "https://",
        "https://[/",
    ],
)
def test_addresses_that_are_not_public(url: str) -> None:
    with pytest.raises(http.ApiError, match="url: "):
        http.public_url("url", url)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("language", "Spanish!"),
        ("facts", "none"),
        ("facts", [{"topic": "x"}]),
        ("facts", [{"topic": "x", "text": ""}]),
        ("facts", [{"topic": "x", "text": "y"}] * 201),
        ("temperature", 3),
        ("max_steps", 1.5),
        ("max_seconds", 71),
        ("max_tokens", 499),
        ("max_cost", 0),
        ("is_active", "yes"),
        ("model_provider", "skynet"),
        ("model_resource_path", "f/admin/database"),
        ("model_resource_path", "f/agent/../admin/database"),
        ("fallback_models", [{"provider": "demo"}]),
        ("fallback_models", [{"provider": "demo", "name": "demo"}] * 5),
        ("fallback_models", [{"provider": "openai", "name": "x", "resource_path": "f/whatsapp/cloud_api"}]),
        ("persona", ["x"]),
    ],
)
def test_fields_of_a_chatbot_that_cannot_be(field: str, value: Any) -> None:
    with pytest.raises(http.ApiError) as refused:
        checked(field, value)
    assert refused.value.status == 422 and str(refused.value).startswith(field)


def test_months() -> None:
    assert bounds_of("2026-12") == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    for month in ("2026-13", "26-01", "2026", "$var:x", 202601):
        with pytest.raises(http.ApiError):
            bounds_of(month)
