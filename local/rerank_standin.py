"""A server that speaks the protocol of re-rankers, as Cohere's and Jina's `POST /v1/rerank` do, without an account.

With nothing enqueued it orders by how many of the question's words a document has.
"""

from http.server import BaseHTTPRequestHandler

from f.agent.demo_lookup import weighty
from local.standins import KEY, Body, Reaction, StandIn, json_reply


class RerankStandIn(StandIn):
    """As strict as the APIs: the key, and the fields that both of them need."""

    @property
    def resource(self) -> dict[str, str]:
        return {"api_key": KEY, "base_url": f"{self.url}/v1"}

    def fault(self, handler: BaseHTTPRequestHandler, request: Body) -> Reaction | None:
        if handler.path != "/v1/rerank":
            return self.refuse(404, "not found")
        if handler.headers["authorization"] != f"Bearer {KEY}":
            return self.refuse(401, "invalid api token")
        documents = request.get("documents")
        is_sound = isinstance(documents, list) and documents and all(isinstance(text, str) for text in documents)
        if not is_sound or not request.get("model") or not request.get("query"):
            return self.refuse(400, "model, query and documents are needed")
        return None

    def demo(self, handler: BaseHTTPRequestHandler, request: Body) -> Reaction:
        asked = weighty(request["query"])
        scores = [len(asked & weighty(text)) / max(1, len(asked)) for text in request["documents"]]
        return self.results(*enumerate(scores), most=request.get("top_n"))

    def results(self, *scored: tuple[int, float], most: int | None = None) -> Reaction:
        """Documents by place with their relevance, the most relevant first."""
        ordered = sorted(scored, key=lambda item: -item[1])[:most]
        rows = [{"index": place, "relevance_score": score} for place, score in ordered]
        return json_reply({"id": "r1", "results": rows, "meta": {"billed_units": {"search_units": 1}}})

    def refuse(self, status: int, message: str) -> Reaction:
        return json_reply({"message": message}, status)
