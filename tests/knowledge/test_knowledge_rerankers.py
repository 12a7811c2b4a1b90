"""Re-rankers that read: an API and a chat model, against servers that speak their protocols."""

import time
from typing import Any

import pytest
from shelf import BICIS, Shelf

from f.agent.loop import Allowance, Completion, ModelError
from f.agent.models import build_model
from f.knowledge import rerankers, retrieval
from f.knowledge.rerankers import ApiReader, ModelReader, RerankError, api_reader
from local.rerank_standin import RerankStandIn
from local.standins import OpenAIStandIn, json_reply, reply

PASSAGES = ["We sell bread.", "A puncture costs nine euros.", "The shop is in Seville."]
QUESTION = "How much is a puncture?"


def reader(server: RerankStandIn, **options: Any) -> ApiReader:
    return ApiReader("rerank-1", server.resource, **({"may_be_local": True} | options))


def model(server: OpenAIStandIn) -> ModelReader:
    built = build_model("openai", "m", server.resource, 0.0)
    return ModelReader("m", lambda messages, allowance: built.complete(messages, (), allowance))


def test_an_api_is_asked_in_the_protocol_of_cohere_and_jina(api):
    assert reader(api).order(QUESTION, PASSAGES) == [1, 0, 2]
    (request,) = api.history
    assert request == {"model": "rerank-1", "query": QUESTION, "documents": PASSAGES, "top_n": 3}
    api.enqueue(api.results((2, 0.9)))
    assert reader(api).order(QUESTION, PASSAGES) == [2, 0, 1], "what it leaves out stays behind"
    reader(api).order(QUESTION, ["x" * 9000])
    assert len(api.history[-1]["documents"][0]) == rerankers.CHARACTERS


def raw(data):
    return lambda handler: reply(handler, 200, data, {"content-type": "application/json"})


def drip_headers(handler):
    """A byte of a header now and then, for three seconds."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-more: ")
    for _ in range(30):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("reaction", "reason"),
    [
        (lambda api: api.refuse(429, "slow down"), "rerank-1 answered 429"),
        (lambda api: api.page(502), "rerank-1 answered 502"),
        (lambda api: api.not_json, "cannot be read"),
        (lambda api: json_reply([1]), "cannot be read"),
        (lambda api: json_reply({"results": [{"index": 0}]}), "cannot be read"),
        (lambda api: api.results((3, 0.5)), "passages that are none"),
        (lambda api: api.results((-1, 0.5)), "passages that are none"),
        (lambda api: api.hang_up, "does not answer"),
        (lambda api: api.cut_off, "does not answer"),
        (lambda api: raw(b'{"results": [{"index": Infinity, "relevance_score": 1}]}'), "cannot be read"),
        (lambda api: json_reply({"results": [{"index": 0, "relevance_score": "1" * 400}]}), "cannot be read"),
        (lambda api: raw(b'{"results": [{"index": 0, "relevance_score": NaN}]}'), "cannot be read"),
        (lambda api: raw(b"[" * 60_000), "cannot be read"),
        (lambda api: api.hang, "rerank-1"),
        (lambda api: api.drip, "no answer within 0.3 s"),
        (lambda api: drip_headers, "no answer within 0.3 s"),
        (lambda api: json_reply({"results": [], "x": "y" * rerankers.ANSWER_BYTES}), "does not come to an end"),
    ],
)
def test_what_goes_wrong_with_an_api_is_one_error_in_time(api, reaction, reason):
    api.enqueue(reaction(api))
    began = time.monotonic()
    with pytest.raises(RerankError, match=reason):
        reader(api, seconds=0.3).order(QUESTION, PASSAGES)
    assert time.monotonic() - began < 2


def test_a_key_that_is_refused(api):
    with pytest.raises(RerankError, match="401"):
        ApiReader("r", api.resource | {"api_key": "x"}, may_be_local=True).order(QUESTION, PASSAGES)


def test_what_a_tenants_folder_names_does_not_lead_inside(api):
    settings = {"reranker_model": "r", "reranker_resource_path": f"f/integrations/{BICIS}/rerank"}
    with pytest.raises(RerankError, match="AddressRefused"):
        api_reader(settings, {settings["reranker_resource_path"]: api.resource}).order(QUESTION, PASSAGES)
    assert api.history == []
    operators = settings | {"reranker_resource_path": "f/agent/rerank"}
    assert api_reader(operators, {"f/agent/rerank": api.resource}).order(QUESTION, PASSAGES)[0] == 1


@pytest.mark.parametrize("resource", [None, {}, {"api_key": "k"}, {"base_url": "https://example.com"}])
def test_without_key_and_address_it_says_so(resource):
    settings = {"reranker_model": "r", "reranker_resource_path": "f/agent/rerank"}
    with pytest.raises(RerankError, match="f/agent/rerank has no base_url and api_key"):
        api_reader(settings, {"f/agent/rerank": resource})


@pytest.mark.parametrize(
    ("said", "order"),
    [("[2, 3, 1]", [1, 2, 0]), ("The best first: [2].", [1, 0, 2]), ("```json\n[ 3,3 , 1 ]\n```", [2, 0, 1])],
)
def test_a_chat_model_writes_an_order(openai, said, order):
    openai.enqueue(openai.text(said))
    assert model(openai).order(QUESTION, PASSAGES) == order
    system, user = openai.history[0]["messages"]
    assert "data" in system["content"] and '{"passage": 2, "text": "A puncture' in user["content"]


@pytest.mark.parametrize("said", ["I cannot do that.", "[0, 1]", "[4]", "[]", f"[{'1' * 5000}]"])
def test_an_answer_that_is_no_order(openai, said):
    openai.enqueue(openai.text(said))
    with pytest.raises(RerankError):
        model(openai).order(QUESTION, PASSAGES)


def test_a_model_that_does_not_answer():
    def complete(messages: Any, allowance: Allowance) -> Completion:
        assert allowance.seconds == rerankers.MODEL_SECONDS and not allowance.may_call
        raise ModelError("it said: secret words", "hang")

    with pytest.raises(RerankError, match=r"^m: hang$"):
        ModelReader("m", complete).order(QUESTION, PASSAGES)


class Backwards:
    name = "backwards"

    def __init__(self) -> None:
        self.read: list[str] = []

    def order(self, question: str, passages: list[str]) -> list[int]:
        self.read = list(passages)
        return list(range(len(passages)))[::-1]


class Broken(Backwards):
    def order(self, question: str, passages: list[str]) -> list[int]:
        raise RerankError("backwards answered 500")


def test_a_reader_orders_the_best_and_the_rest_stays_behind(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    for number in range(6):
        shelf.learn(f"# Pieza {number}\n\nLa pieza {number} cuesta {number} euros.")
    monkeypatch.setattr(retrieval, "READ", 3)
    bot, asked = shelf.chatbot(BICIS), Backwards()

    def search(reader: Any, least: float = 0.0) -> retrieval.Found:
        return retrieval.search(
            shelf.connection, BICIS, bot, "¿cuánto cuesta la pieza 5?", shelf.embedder, 6, reader=reader, least=least
        )

    plain, turned = search(None), search(asked)
    order = [hit for hit, _ in plain.ranked]
    assert [hit for hit, _ in turned.ranked] == order[2::-1] + order[3:]
    assert [score for _, score in turned.ranked] == [score for _, score in plain.ranked]
    assert len(asked.read) == 3 and asked.read[0].startswith("Pieza 5\n")
    broken = search(Broken())
    assert broken.ranked == plain.ranked and broken.unread == "backwards answered 500"
    asked.read = []
    assert search(asked, least=1.1).ranked == plain.ranked and asked.read == [], "nothing is paid for what is refused"
