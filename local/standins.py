"""Servers that speak the providers' protocols, to try and to test the adapters without an account.

Each answers what was enqueued, in order, and keeps what it was asked in `history`. With nothing
enqueued it answers as the demo model does. They are as strict as the providers where that matters:
`python -m local.standins` serves both, and a re-ranker, until Ctrl-C and prints the lines for .env.
"""

import base64
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from f.agent.demo_model import DemoModel, tokens
from f.agent.loop import Allowance, Message

KEY = "stand-in"

Body = dict[str, Any]
Reaction = Callable[[BaseHTTPRequestHandler], None]


class StandIn:
    """What both have in common: a queue of reactions, and faults that know no protocol."""

    def __init__(self, port: int = 0) -> None:
        self.queue: list[Reaction] = []
        self.history: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self._over = threading.Event()
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                with suppress(ConnectionError):  # who asked was ended between two requests
                    super().handle()

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                standin.history.append(request)
                standin.headers.append({name.lower(): value for name, value in self.headers.items()})
                fault = standin.fault(self, request)
                reaction = fault or (standin.queue.pop(0) if standin.queue else standin.demo(self, request))
                try:
                    reaction(self)
                except OSError:
                    self.close_connection = True  # who asked has gone away

            def log_message(self, format: str, *args: object) -> None:
                """Not of interest."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def resource(self) -> dict[str, str]:
        """The Windmill resource of this provider."""
        return {"api_key": KEY, "base_url": self.url}

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def enqueue(self, *reactions: Reaction) -> "StandIn":
        self.queue += reactions
        return self

    def fault(self, handler: BaseHTTPRequestHandler, request: Body) -> Reaction | None:
        """What the provider itself would refuse."""
        raise NotImplementedError

    def text(self, text: str, finish: str = "", name: str = "demo", prompt_tokens: int = 11) -> Reaction:
        raise NotImplementedError

    def said(self, request: Body) -> list[Message]:
        """The exchange, as far as the demo model reads it."""
        raise NotImplementedError

    def demo(self, handler: BaseHTTPRequestHandler, request: Body) -> Reaction:
        messages = self.said(request)
        answer = DemoModel().complete(messages, (), Allowance(1))
        return self.text(answer.text, prompt_tokens=answer.prompt_tokens)

    # Faults of any server -----------------------------------------------------------------------

    def hang(self, handler: BaseHTTPRequestHandler) -> None:
        """No answer at all."""
        self._over.wait(30)
        handler.close_connection = True

    def drip(self, handler: BaseHTTPRequestHandler) -> None:
        """A byte now and then, for ever: no pause is long enough for a timeout between bytes."""
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", "100000")
        handler.end_headers()
        while not self._over.wait(0.05):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    def hang_up(self, handler: BaseHTTPRequestHandler) -> None:
        """The connection is reset before the answer."""
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True

    def cut_off(self, handler: BaseHTTPRequestHandler) -> None:
        """The connection ends in the middle of the answer."""
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"id": "x", "choi')
        handler.wfile.flush()
        self.hang_up(handler)

    def page(self, status: int) -> Reaction:
        """A proxy's page instead of the provider's answer."""
        return lambda handler: reply(handler, status, b"<html>oops</html>", {"content-type": "text/html"})

    def not_json(self, handler: BaseHTTPRequestHandler) -> None:
        reply(handler, 200, b"{oops", {"content-type": "application/json"})


class OpenAIStandIn(StandIn):
    """OpenAI's Chat Completions below `/v1`."""

    LENGTH, BLOCKED = "length", "content_filter"

    @property
    def resource(self) -> dict[str, str]:
        return {"api_key": KEY, "base_url": f"{self.url}/v1"}

    def fault(self, handler: BaseHTTPRequestHandler, request: Body) -> Reaction | None:
        if handler.path != "/v1/chat/completions":
            return self.refuse(404, "not_found")
        if handler.headers["authorization"] != f"Bearer {KEY}":
            return self.refuse(401, "invalid_api_key")
        open_calls: set[str] = set()
        for message in request["messages"]:
            if message["role"] == "tool":
                if message["tool_call_id"] not in open_calls:
                    return self.refuse(400, "a_tool_message_without_its_call")
                open_calls.remove(message["tool_call_id"])
            elif open_calls:
                return self.refuse(400, "a_call_without_its_tool_message")
            open_calls |= {call["id"] for call in message.get("tool_calls", ())}
        return self.refuse(400, "a_call_without_its_tool_message") if open_calls else None

    def said(self, request: Body) -> list[Message]:
        return [Message(message["role"], message["content"] or "") for message in request["messages"]]

    def text(self, text: str, finish: str = "stop", name: str = "m-1", prompt_tokens: int = 11) -> Reaction:
        return self._completion({"content": text}, finish or "stop", name, prompt_tokens, max(1, tokens(text)))

    def calls(self, *calls: tuple[str, str], text: str | None = None, finish: str = "tool_calls") -> Reaction:
        """Tool calls (name, arguments as JSON text), all at once."""
        asked = [
            {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for number, (name, arguments) in enumerate(calls)
        ]
        return self._completion({"content": text, "tool_calls": asked}, finish)

    def blocked(self) -> Reaction:
        return self._completion({"content": None}, self.BLOCKED)

    def refused_by_the_model(self) -> Reaction:
        return self._completion({"content": None, "refusal": "I can't help with that."})

    def empty(self) -> Reaction:
        return self._completion({"content": ""})

    def nothing(self) -> Reaction:
        return json_reply({"id": "c", "object": "chat.completion", "model": "m-1", "choices": []})

    def refuse(self, status: int, code: str = "", param: str | None = None, **headers: str) -> Reaction:
        error = {"message": code, "type": "error", "param": param, "code": code or None}
        return json_reply({"error": error}, status, {name.replace("_", "-"): value for name, value in headers.items()})

    def too_many(self, seconds: float) -> Reaction:
        return self.refuse(429, "rate_limit_exceeded", retry_after=f"{seconds:g}")

    def denied(self) -> Reaction:
        return self.refuse(401, "invalid_api_key")

    def _completion(
        self, message: Body, finish: str = "stop", name: str = "m-1", prompt_tokens: int = 11, written: int = 3
    ) -> Reaction:
        return json_reply(
            {
                "id": "c1",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": name,
                "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}],
                "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": written},
                "something_of_next_year": {"a": 1},
            }
        )


class GeminiStandIn(StandIn):
    """The Gemini API's generateContent."""

    LENGTH, BLOCKED = "MAX_TOKENS", "SAFETY"

    def fault(self, handler: BaseHTTPRequestHandler, request: Body) -> Reaction | None:
        if not re.fullmatch(r"/v1(beta)?/models/[^/]+:generateContent", handler.path):
            return self.refuse(404, "NOT_FOUND")
        if handler.headers["x-goog-api-key"] != KEY:
            return self.denied()
        waiting: list[str] = []
        for content in request["contents"]:
            calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
            results = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
            if [result["name"] for result in results] != waiting:
                return self.refuse(400, "INVALID_ARGUMENT", "function response parts must equal the function calls")
            if calls and not next(part for part in content["parts"] if "functionCall" in part).get("thoughtSignature"):
                return self.refuse(400, "INVALID_ARGUMENT", "function call is missing a thought_signature")
            waiting = [call["name"] for call in calls]
        return None

    def said(self, request: Body) -> list[Message]:
        prompt = "".join(part["text"] for part in request.get("systemInstruction", {}).get("parts", ()))
        return [
            Message("system", prompt),
            *(
                Message("assistant" if content["role"] == "model" else "user", part["text"])
                for content in request["contents"]
                for part in content["parts"]
                if "text" in part
            ),
        ]

    def text(self, text: str, finish: str = "STOP", name: str = "m-1", prompt_tokens: int = 11) -> Reaction:
        thought = {"text": "Let me think.", "thought": True}
        return self._answer([thought, {"text": text}], finish or "STOP", name, prompt_tokens, max(1, tokens(text)))

    def calls(self, *calls: tuple[str, str], text: str | None = None, finish: str = "STOP") -> Reaction:
        """Tool calls (name, arguments as JSON text), all at once; the first one is signed."""
        parts: list[Body] = [{"text": text}] if text else []
        for number, (name, arguments) in enumerate(calls):
            signed = {"thoughtSignature": base64.b64encode(b"signed\xff").decode()} if number == 0 else {}
            call = {"id": f"call_{number}", "name": name, "args": json.loads(arguments)}
            parts.append({"functionCall": call, **signed})
        return self._answer(parts, finish)

    def blocked(self) -> Reaction:
        return self._answer(None, self.BLOCKED)

    def blocked_prompt(self) -> Reaction:
        return json_reply({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage(11, 0)})

    def empty(self) -> Reaction:
        return self._answer(None)

    def nothing(self) -> Reaction:
        return json_reply({"usageMetadata": usage(11, 0)})

    def malformed(self) -> Reaction:
        """The provider itself could not read the call that its model wrote."""
        return self._answer(None, "MALFORMED_FUNCTION_CALL")

    def refuse(self, status: int, reason: str = "", message: str = "", *details: Body) -> Reaction:
        error = {"code": status, "message": message or reason, "status": reason or "ERROR", "details": list(details)}
        return json_reply({"error": error}, status)

    def too_many(self, seconds: float) -> Reaction:
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds:g}s"}
        return self.refuse(429, "RESOURCE_EXHAUSTED", "quota", retry)

    def denied(self) -> Reaction:
        """Google answers 400, not 401, to a key that it does not know."""
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
        return self.refuse(400, "INVALID_ARGUMENT", "API key not valid.", info)

    def _answer(
        self,
        parts: Sequence[Body] | None,
        finish: str = "STOP",
        name: str = "m-1",
        prompt_tokens: int = 11,
        written: int = 3,
    ) -> Reaction:
        content = {"content": {"role": "model", "parts": list(parts)}} if parts is not None else {}
        return json_reply(
            {
                "candidates": [{**content, "finishReason": finish, "index": 0, "somethingOfNextYear": 1}],
                "usageMetadata": usage(prompt_tokens, written),
                "modelVersion": name,
                "somethingOfNextYear": {"a": 1},
            }
        )


def usage(prompt: int, written: int) -> Body:
    return {"promptTokenCount": prompt, "candidatesTokenCount": written, "totalTokenCount": prompt + written}


def json_reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reaction:
    data = json.dumps(body).encode()
    return lambda handler: reply(handler, status, data, {"content-type": "application/json", **(headers or {})})


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def main() -> None:
    from local.rerank_standin import RerankStandIn  # it is made of what is above

    openai, gemini, rerank = OpenAIStandIn(), GeminiStandIn(), RerankStandIn()
    print(f"OPENAI_API_KEY={KEY}\nOPENAI_BASE_URL={openai.resource['base_url']}")
    print(f"GEMINI_API_KEY={KEY}\nGOOGLE_GEMINI_BASE_URL={gemini.resource['base_url']}")
    print(f"RERANK_API_KEY={KEY}\nRERANK_BASE_URL={rerank.resource['base_url']}", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        for server in (openai, gemini, rerank):
            server.close()


if __name__ == "__main__":
    main()
