"""Says something to a chatbot as a customer would, through the simulator and the gateway, and prints the reply."""

import json
import time
from typing import Any

import httpx

#: The person whom the chat page shows first. The number is reserved for fiction.
SENDER = "447700900101"
ANSWERED = ("answered", "merged")


class SayError(Exception):
    """There was no reply; the message says what became of the message."""


def say(simulator_url: str, text: str, *, sender: str, chatbot: str, seconds: float) -> dict[str, Any]:
    """Deliver `text` from `sender` to `chatbot` (slug, name or id) and wait for what the sender is shown.

    Returns reply, outcome, wamid, steps, tools, tokens and ms (from the delivery to the last part's arrival).
    Raises SayError when nothing comes within `seconds`.
    """
    begin = time.monotonic()
    with httpx.Client(base_url=simulator_url, timeout=30) as client:
        sent = _call(client, "POST", "/sim/messages", json={"from": sender, "to": chatbot, "text": text})
        if sent["status"] != httpx.codes.OK:
            raise SayError(f"the gateway answered {sent['status']} (delivery {sent['wamid']})")
        wamid = sent["wamid"]
        turn = _wait_for_outcome(client, wamid, begin + seconds)
        if turn["outcome"] not in ANSWERED:
            reason = f" ({turn['outcome_reason']})" if turn.get("outcome_reason") else ""
            raise SayError(f"no reply: the message was {turn['outcome']}{reason}")
        replies = _wait_for_replies(client, sender, wamid, turn["reply"], begin + seconds)
    details = turn.get("turn") or {}
    return {
        "reply": "\n".join(replies),
        "outcome": turn["outcome"],
        "wamid": wamid,
        "steps": details.get("steps", []),
        "tools": details.get("tools", []),
        "tokens": {
            "prompt": details.get("prompt_tokens", 0),
            "completion": details.get("completion_tokens", 0),
        },
        "ms": round((time.monotonic() - begin) * 1000),
    }


def as_text(answer: dict[str, Any], as_json: bool) -> str:
    return json.dumps(answer, ensure_ascii=False) if as_json else str(answer["reply"])


def _wait_for_outcome(client: httpx.Client, wamid: str, deadline: float) -> dict[str, Any]:
    while True:
        turn = _call(client, "GET", "/sim/turns", params={"wamid": wamid}, may_be_missing=True)
        if turn.get("outcome"):
            return turn
        if time.monotonic() > deadline:
            raise SayError(f"no reply in time: {wamid} has no outcome yet; ./dev logs may tell why")
        time.sleep(0.1)


def _wait_for_replies(client: httpx.Client, sender: str, wamid: str, expected: list[str], deadline: float) -> list[str]:
    """The reply's parts as the sender's phone shows them after the message `wamid`."""
    while True:
        messages = _call(client, "GET", "/witness", params={"person": sender})["messages"]
        places = [place for place, message in enumerate(messages) if message["wamid"] == wamid]
        shown = [m["text"] for m in messages[places[0] :] if m["direction"] == "out"] if places else []
        missing = [text for text in expected if text not in shown]
        if not missing:
            return expected
        if time.monotonic() > deadline:
            raise SayError(f"{len(missing)} of {len(expected)} parts of the reply did not arrive")
        time.sleep(0.1)


def _call(
    client: httpx.Client, method: str, path: str, *, may_be_missing: bool = False, **request: Any
) -> dict[str, Any]:
    try:
        response = client.request(method, path, **request)
    except httpx.TransportError as error:
        raise SayError(f"the simulator at {client.base_url} does not answer ({error}): run ./dev up first") from None
    if may_be_missing and response.status_code == httpx.codes.NOT_FOUND:
        return {}
    if response.is_error:
        raise SayError(f"the simulator answered {response.status_code}: {response.text[:300]}")
    return dict(response.json())
