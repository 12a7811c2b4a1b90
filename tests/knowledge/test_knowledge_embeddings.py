"""The embedders: OpenAI's protocol against a server that answers what the test says, and the local model."""

import json

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from f.knowledge.embeddings import EmbeddingError, OpenAIEmbedder, as_halfvec, embedder_of

RESOURCE = {"api_key": "key"}


def openai(server: HTTPServer, *answers: Response) -> tuple[OpenAIEmbedder, list[dict], list[float]]:
    asked: list[dict] = []
    slept: list[float] = []
    waiting = list(answers)

    def answer(request: Request) -> Response:
        asked.append(json.loads(request.data) | {"key": request.headers["authorization"]})
        if waiting:
            return waiting.pop(0)
        rows = [{"index": n, "embedding": [float(n)] * 3} for n, _ in enumerate(asked[-1]["input"])]
        return Response(json.dumps({"data": rows[::-1]}), content_type="application/json")

    server.expect_request("/v1/embeddings").respond_with_handler(answer)
    resource = RESOURCE | {"base_url": server.url_for("/v1")}
    return OpenAIEmbedder("text-embedding-3-small", 3, resource, slept.append), asked, slept


def test_batches_in_order(httpserver: HTTPServer):
    embedder, asked, _ = openai(httpserver)
    vectors = embedder.passages([str(n) for n in range(70)])
    assert [len(request["input"]) for request in asked] == [64, 6] and asked[0]["dimensions"] == 3
    assert vectors[63] == [63.0] * 3 and vectors[64] == [0.0] * 3
    assert asked[0]["key"] == "Bearer key"


def test_later_is_tried_again_and_waits_as_told(httpserver: HTTPServer):
    embedder, asked, slept = openai(httpserver, Response("no", 429, {"retry-after": "7"}), Response("oops", 503))
    assert len(embedder.passages(["a"])) == 1
    assert len(asked) == 3 and slept == [7, 2]


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_is_not_repeated(httpserver: HTTPServer, status: int):
    embedder, asked, _ = openai(httpserver, Response("secret words", status))
    with pytest.raises(EmbeddingError, match=str(status)) as error:
        embedder.passages(["a"])
    assert len(asked) == 1 and "secret" not in str(error.value)


@pytest.mark.parametrize("body", ["<html>", "{}", '{"data": [{"index": 0, "embedding": [1]}]}', '{"data": []}'])
def test_an_answer_that_does_not_fit_is_none(httpserver: HTTPServer, body: str):
    embedder, _, _ = openai(httpserver, Response(body, 200))
    with pytest.raises(EmbeddingError):
        embedder.passages(["a"])


def test_a_customer_does_not_wait_for_a_second_try(httpserver: HTTPServer):
    embedder, asked, _ = openai(httpserver, Response("oops", 503))
    with pytest.raises(EmbeddingError):
        embedder.question("a")
    assert len(asked) == 1


def test_a_model_without_its_key_is_refused():
    for resource in (None, {}, {"api_key": ""}):
        with pytest.raises(EmbeddingError, match="no key"):
            embedder_of("text-embedding-3-small", 1536, resource)


def test_the_local_model_knows_what_is_meant_across_languages():
    embedder = embedder_of("multilingual-e5-small", 384, None)
    texts = ["El taller arregla ruedas pinchadas.", "Wir verkaufen Schuhe und Jacken."]
    repair, shoes = embedder.passages(texts)
    question = embedder.question("Can you fix my flat tyre?\0")
    near = [sum(a * b for a, b in zip(question, vector, strict=True)) for vector in (repair, shoes)]
    assert near[0] > near[1] and len(question) == 384
    assert as_halfvec([0.5, -1e-9]) == "[0.5,-1e-09]"
