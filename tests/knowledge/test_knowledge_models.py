"""Another embedding model on the running system: its provider is a server of the test's."""

import json
from uuid import uuid4

import pytest
from pytest_httpserver import HTTPServer
from routes import Call, settled, upload
from shelf import WordVectors
from systems import RunningStack, until
from werkzeug import Request, Response

RESOURCE = "f/agent/embeddings_of_the_test"


def answer(request: Request) -> Response:
    asked = json.loads(request.data)
    vectors = [WordVectors().question(text) + [0.0] * 128 for text in asked["input"]]
    assert asked["dimensions"] == 512 and request.headers["authorization"] == "Bearer word"
    rows = [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    return Response(json.dumps({"data": rows}), content_type="application/json")


@pytest.mark.slow
def test_a_change_of_the_model_embeds_what_is_there_again(stack: RunningStack, call: Call, httpserver: HTTPServer):
    httpserver.expect_request("/v1/embeddings").respond_with_handler(answer)
    resource = {"api_key": "word", "base_url": httpserver.url_for("/v1")}
    made = {"path": RESOURCE, "value": resource, "resource_type": "openai_compatible"}
    assert stack.windmill("POST", "resources/create", json=made).status_code == 201
    word = f"q{uuid4().hex[:6]}"
    source = settled(call, upload(call, f"# Braces\n\nA {word} brace costs 90 pounds.").json()["id"])

    def save(*model: str) -> None:
        stack.dev("admin", "save-chatbot", "harbour-dental", "--organization", "harbour-dental", *model)

    def model_of_the_source() -> str:
        with stack.connect() as database:
            row = database.execute("select embedding_model from knowledge_sources where id = %s", [source["id"]])
            return str(row.fetchone()[0])

    save("--embedding-model", "text-embedding-3-small", "--embedding-dimensions", "512",
         "--embedding-resource-path", RESOURCE)  # fmt: skip
    try:
        found = call("POST", "search", json={"query": f"{word} brace"}).json()
        assert found["is_by_words_only"] is True and word in found["passages"][0]["text"]
        until(lambda: model_of_the_source() == "text-embedding-3-small/512", 180, pause=1)
        found = call("POST", "search", json={"query": f"{word} brace"}).json()
        assert found["is_by_words_only"] is False and word in found["passages"][0]["text"]
    finally:
        call("DELETE", f"sources/{source['id']}")
        save("--embedding-model", "multilingual-e5-small")
        stack.windmill("DELETE", f"resources/delete/{RESOURCE}")
