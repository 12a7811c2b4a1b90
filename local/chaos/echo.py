"""A model that answers with what it has seen, so that a reply tells which messages it answers and after which."""

import json
import re
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from threading import Event, Lock

from local.standins import Body, OpenAIStandIn, Reaction

TOKEN = re.compile(r"\btk\d+\b")
ORDER = re.compile(r"!(\w+)")
ANSWERS = re.compile(r"answers ((?:tk\d+ ?)*)\| saw ((?:tk\d+ ?)*)")
LONG = "And so on. " * 500
#: Less than the time that a model gets.
HELD_SECONDS = 20


@dataclass
class Asked:
    """One call: the messages that wait for an answer, and when it was under way."""

    tokens: tuple[str, ...]
    begin: float
    end: float = 0.0


class Echo(OpenAIStandIn):
    """Every message has a token such as `tk17`. `!word` in the newest tells how to fail, as often as a digit says."""

    def __init__(self) -> None:
        super().__init__()
        self._server.socket.listen(256)
        self.asked: list[Asked] = []
        self.seconds = 0.0
        self._failures: dict[str, int] = {}
        self._let_go: dict[str, Event] = {}
        self._lock = Lock()

    def let_go(self, token: str) -> None:
        """An answer that `!held` keeps back, in a call whose newest message has this token, may come."""
        self._let_go.setdefault(token, Event()).set()

    def demo(self, handler: BaseHTTPRequestHandler, request: Body) -> Reaction:
        self.history.clear()
        self.headers.clear()
        said = [(m["role"], m["content"] or "") for m in request["messages"] if m["role"] in ("user", "assistant")]
        newest = max((i for i, (role, text) in enumerate(said) if role == "assistant" and text), default=-1)
        waiting = [text for role, text in said[newest + 1 :] if role == "user"]
        tokens = tuple(found[0] for text in waiting if (found := TOKEN.search(text)))
        saw = [found[0] for role, text in said if role == "user" and (found := TOKEN.search(text))]
        orders = [found[1] for text in waiting if (found := ORDER.search(text))]
        answer = f"answers {' '.join(tokens)} | saw {' '.join(saw)}"
        asked = Asked(tokens, time.time())
        with self._lock:
            self.asked.append(asked)
        has_called = any(message["role"] == "tool" for message in request["messages"])
        if orders and orders[-1] == "lead" and not has_called:
            # Whatever the prompt says of earlier attempts: a model may well call once more.
            lead = {"name": f"Ana {tokens[-1]}", "stage": "new", "stage_reason": "She said so."}
            reaction = self.calls(("capture_lead", json.dumps(lead)))
        elif orders and orders[-1] != "lead":
            reaction = self._ordered(orders[-1], tokens[-1] if tokens else "", answer)
        else:
            reaction = self.text(answer)

        def react(at: BaseHTTPRequestHandler) -> None:
            time.sleep(self.seconds)
            try:
                reaction(at)
            finally:
                asked.end = time.time()

        return react

    def _ordered(self, word: str, token: str, answer: str) -> Reaction:
        name, times = (word[:-1], int(word[-1])) if word[-1].isdigit() else (word, 99)
        with self._lock:
            self._failures[token] = self._failures.get(token, 0) + 1
            if self._failures[token] > times:
                return self.text(answer)
        match name:
            case "hang":
                return self.hang
            case "busy":
                return self.too_many(0.5)
            case "empty":
                return self.empty()
            case "broken":
                return self.refuse(500)
            case "reset":
                return self.hang_up
            case "cut":
                return self.cut_off
            case "page":
                return self.page(502)
            case "tool":
                return self.calls(("no_such_tool", "{}"))
            case "invalid":
                return self.calls(("no_such_tool", "{oops"))
            case "held":

                def held(handler: BaseHTTPRequestHandler) -> None:
                    self._let_go.setdefault(token, Event()).wait(HELD_SECONDS)
                    self.text(answer)(handler)

                return held
            case "long":
                return self.text(f"{answer}\n\n{LONG}")
        raise ValueError(word)
