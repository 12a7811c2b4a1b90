"""Splitting: every kind of delivery, and the promise that nothing is lost."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from f.lib.ids import events_job_id, message_job_id
from f.whatsapp.deliveries import parse_message
from gateway.split import (
    MAX_DEPTH,
    UNREADABLE,
    Malformed,
    Origin,
    Parts,
    by_lane,
    digest,
    find_contact,
    parse,
    read,
    runs,
)

SAMPLES = Path(__file__).with_name("samples")
NUMBER, WABA = "700100200300400", "500900800700600"

#: Case → messages, statuses, events.
EXPECTED = {
    **dict.fromkeys(
        (
            "text text__reply_to_another text__from_an_advertisement text__person_with_both_ids "
            "text__person_without_a_number image audio__voice video document sticker location contacts "
            "interactive__button_reply interactive__list_reply interactive__form interactive__call_permission "
            "button reaction reaction__removed order system__changed_number system__changed_user_id unsupported "
            "edit kind_of_next_year"
        ).split(),
        (1, 0, 0),
    ),
    "interactive__without_content_with_errors": (1, 0, 1),
    "status__sent": (0, 1, 0),
    "status__delivered_and_read_out_of_order": (0, 2, 0),
    "status__failed": (0, 1, 0),
    "status__of_a_group_member": (0, 1, 0),
    **dict.fromkeys(
        (
            "errors_alone echo__text_of_the_owner echo__revoked history__is_not_answered account_update "
            "template_status call__connect call__status group__created user_preferences user_id_update "
            "field_of_next_year"
        ).split(),
        (0, 0, 1),
    ),
    "batch__two_entries_three_changes": (4, 2, 0),
}


def origin(body: bytes = b"") -> Origin:
    return Origin("app-1", digest(body), datetime(2026, 10, 1, 12, 0, tzinfo=UTC))


def sample(case: str) -> dict[str, Any]:
    return parse((SAMPLES / f"{case}.json").read_bytes())


def messages_delivery(messages: Any, contacts: Any = None, number: Any = NUMBER, **value: Any) -> dict[str, Any]:
    value |= {"metadata": {"phone_number_id": number}, "messages": messages}
    value |= {"contacts": contacts} if contacts is not None else {}
    change = {"field": "messages", "value": value}
    return {"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": [change]}]}


def lost(delivery: dict[str, Any], parts: Parts) -> list[Any]:
    """What the delivery has and the parts have not; messages and statuses one by one, changes as a whole."""
    kept: list[Any] = [item["message"] for item in parts.messages] + [item["status"] for item in parts.statuses]
    for event in parts.events:
        value = event["value"]
        kept.append(value)
        if event["field"] == "messages" and isinstance(value, dict):
            kept += [one for key in ("messages", "statuses") for one in listed(value.get(key))]
            kept += [{key: item} for key, item in value.items()]
    wanted: list[Any] = []
    for entry in delivery["entry"]:
        if not isinstance(entry, dict) or not isinstance(entry.get("changes"), list):
            wanted.append(entry)
            continue
        for change in entry["changes"]:
            if not isinstance(change, dict) or not isinstance(change.get("field"), str):
                wanted.append(change)
            elif change["field"] != "messages" or not isinstance(change.get("value"), dict):
                wanted.append(change.get("value"))
            else:
                for key, item in change["value"].items():
                    routine = key in ("messaging_product", "metadata", "contacts")
                    if key in ("messages", "statuses") and isinstance(item, list):
                        wanted += item
                    elif not routine:
                        wanted.append({key: item})
    return [item for item in wanted if item not in kept]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def test_every_sample_is_expected_to_be_something() -> None:
    assert {path.stem for path in SAMPLES.glob("*.json")} == EXPECTED.keys()


@pytest.mark.parametrize("case", EXPECTED)
def test_each_kind_goes_where_it_belongs(case: str) -> None:
    parts = read(sample(case))
    assert (len(parts.messages), len(parts.statuses), len(parts.events)) == EXPECTED[case]
    assert parts.unreadable == 0
    assert not lost(sample(case), parts)


@pytest.mark.parametrize("case", [case for case, (messages, _, _) in EXPECTED.items() if messages])
def test_the_flow_can_read_every_message(case: str) -> None:
    for run in runs(read(sample(case)), origin()):
        if run.kind == "message":
            inbound = parse_message(json.loads(run.arguments())["delivery"])
            assert inbound.phone_number_id == NUMBER
            assert inbound.app_id == "app-1"


def test_the_run_of_a_message() -> None:
    [run] = runs(read(sample("text")), origin())
    message = sample("text")["entry"][0]["changes"][0]["value"]["messages"][0]
    assert run.path == "f/f/whatsapp/webhook_processor"
    assert run.job_id == message_job_id(NUMBER, message["id"])
    arguments = json.loads(run.arguments())
    assert arguments.keys() == {"delivery"}
    assert json.loads(arguments["delivery"]) == {
        "app_id": "app-1",
        "waba_id": WABA,
        "phone_number_id": NUMBER,
        "display_phone_number": "4930901820000",
        "contact": {"profile": {"name": "Lena Brandt"}, "wa_id": "4915200000017"},
        "message": message,
        "received_at": "2026-10-01T12:00:00+00:00",
        "position": 0,
        "limited": None,
    }


def test_the_runs_of_statuses_and_events() -> None:
    delivery = messages_delivery([], statuses=[{"id": "a", "status": "sent"}], errors=[{"code": 4}])
    statuses, events = runs(read(delivery), origin(b"body"))
    address = {"waba_id": WABA, "phone_number_id": NUMBER}
    assert (statuses.path, events.path) == ("p/f/whatsapp/store_events",) * 2
    assert statuses.job_id == events_job_id("statuses", digest(b"body"))
    assert events.job_id == events_job_id("events", digest(b"body"))
    assert statuses.delivery["items"] == [{**address, "status": {"id": "a", "status": "sent"}}]
    value = {"metadata": {"phone_number_id": NUMBER}, "errors": [{"code": 4}]}
    assert events.delivery["items"] == [{**address, "field": "messages", "value": value}]
    assert (statuses.delivery["kind"], events.delivery["kind"]) == ("statuses", "events")


def test_runs_give_what_the_flow_and_the_script_take() -> None:
    """Windmill fills in nothing: an argument that is left out is None."""
    delivery = messages_delivery([{"id": "m"}], statuses=[{"id": "a", "status": "sent"}], errors=[{"code": 4}])
    for run in runs(read(delivery), origin()):
        path = Path(__file__).parents[2] / run.path[2:]
        is_flow = run.kind == "message"
        file = path.with_name(f"{path.name}__flow") / "flow.yaml" if is_flow else path.with_suffix(".script.yaml")
        schema = yaml.safe_load(file.read_text())["schema"]
        assert set(schema["required"]) <= json.loads(run.arguments()).keys() <= schema["properties"].keys()


def test_positions_count_through_the_whole_delivery() -> None:
    parts = read(sample("batch__two_entries_three_changes"))
    assert [item["position"] for item in parts.messages] == [0, 1, 2, 3]
    assert [item["waba_id"] for item in parts.messages] == [WABA] * 3 + ["500900800700601"]
    assert [item["contact"]["profile"]["name"] for item in parts.messages] == [
        "Lena Brandt",
        "Lena Brandt",
        "Tom Weiß",
        "Lena Brandt",
    ]


def test_messages_of_one_sender_share_a_lane() -> None:
    all_runs = runs(read(sample("batch__two_entries_three_changes")), origin())
    lanes = [[run.delivery.get("position") for run in lane] for lane in by_lane(all_runs)]
    assert lanes == [[0, 1, 3], [2], [None]]


LENA = {"wa_id": "1", "user_id": "DE.1"}
TOM = {"wa_id": "2", "user_id": "DE.2"}


@pytest.mark.parametrize(
    ("contacts", "message", "expected"),
    [
        ([LENA, TOM], {"from": "2"}, TOM),
        ([LENA, TOM], {"from_user_id": "DE.2"}, TOM),
        ([LENA, TOM], {"from": "1", "from_user_id": "DE.2"}, TOM),
        ([LENA, TOM], {"from": 2}, TOM),
        ([LENA], {"from": "0049-1"}, LENA),
        ([LENA, TOM], {"from": "3"}, None),
        ([{"profile": {}}, TOM], {}, None),
        ([], {"from": "1"}, None),
        (None, {"from": "1"}, None),
        (["1", 7, LENA], {"from": "1"}, LENA),
    ],
)
def test_the_contact_is_the_sender(contacts: Any, message: dict[str, Any], expected: Any) -> None:
    assert find_contact(contacts, message) == expected


@pytest.mark.parametrize(
    "message",
    ["text", None, {}, {"id": None}, {"id": ""}, {"id": 7}, {"id": "\ud800"}, {"from": "1", "text": {"body": "no id"}}],
)
def test_a_message_without_an_id_is_kept_as_an_event(message: Any) -> None:
    parts = read(messages_delivery([message, {"id": "good"}]))
    assert [item["message"] for item in parts.messages] == [{"id": "good"}]
    assert parts.messages[0]["position"] == 1
    assert [event["value"]["messages"] for event in parts.events] == [[message]]
    assert parts.unreadable == 1


@pytest.mark.parametrize("number", [None, "", [], True, "\udfff"])
def test_a_message_to_no_number_is_kept_as_an_event(number: Any) -> None:
    parts = read(messages_delivery([{"id": "m"}], number=number))
    assert not parts.messages
    assert parts.events[0]["phone_number_id"] is None
    assert parts.events[0]["value"]["messages"] == [{"id": "m"}]


def test_a_number_as_a_number_is_the_same_number() -> None:
    assert read(messages_delivery([{"id": "m"}], number=int(NUMBER))).messages[0]["phone_number_id"] == NUMBER


def test_an_id_used_twice_in_one_delivery_is_not_lost() -> None:
    first, other = {"id": "m", "text": {"body": "a"}}, {"id": "m", "reaction": {"emoji": "👍"}}
    parts = read(messages_delivery([first, dict(first), other]))
    assert [item["message"] for item in parts.messages] == [first]
    assert parts.events[0]["value"]["messages"] == [other]


@pytest.mark.parametrize("entry", [1, None, "x", [], {}, {"id": WABA}, {"id": WABA, "changes": {"field": "messages"}}])
def test_an_entry_of_another_shape_is_kept_as_an_event(entry: Any) -> None:
    parts = read({"object": "whatsapp_business_account", "entry": [entry]})
    assert parts.events == [{"waba_id": None, "phone_number_id": None, "field": UNREADABLE, "value": entry}]


@pytest.mark.parametrize("change", [1, None, [], {}, {"value": {}}, {"field": 7, "value": {}}])
def test_a_change_of_another_shape_is_kept_as_an_event(change: Any) -> None:
    parts = read({"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": [change]}]})
    assert parts.events == [{"waba_id": WABA, "phone_number_id": None, "field": UNREADABLE, "value": change}]


@pytest.mark.parametrize("key", ["messages", "statuses"])
@pytest.mark.parametrize("value", ["x", 7, {"0": {}}, None, True])
def test_a_value_whose_lists_are_none_is_kept_as_an_event(key: str, value: Any) -> None:
    parts = read(messages_delivery([{"id": "m"}], **{} if key == "messages" else {key: value}))
    if key == "messages":
        parts = read(messages_delivery(value))
    assert parts.events[0]["value"][key] == value


def nested(depth: int) -> bytes:
    return b'{"object":"o","entry":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"object":"whatsapp_business_account"}',
        b'{"object":"whatsapp_business_account","entry":{}}',
        b'{"object":7,"entry":[]}',
        b'{"object":"o","entry":[],}',
        b'{"object":"o","entry":[NaN]}',
        b'{"object":"o","entry":[-Infinity]}',
        b'{"object":"o","entry":[1e999]}',
        b'{"object":"o","entry":[' + b"9" * 5000 + b"]}",
        b'{"object":"o","entry":["\x00"]}',
        b'{"object":"o","entry":["\xff"]}',
        b'{"object":"o","entry":["\xed\xa0\x80"]}',
        b'\xef\xbb\xbf{"object":"o","entry":[]}',
        '{"object":"o","entry":[]}'.encode("utf-16"),
        nested(MAX_DEPTH + 1),
        nested(100_000),
        b"[" * 1_000_000,
    ],
)
def test_what_is_no_delivery_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse(body)


def test_nesting_within_the_limit_is_accepted() -> None:
    assert runs(read(parse(nested(MAX_DEPTH))), origin())[0].arguments()


def test_escaped_nul_surrogates_and_long_numbers_arrive_as_they_were_sent() -> None:
    body = (
        rb'{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":'
        rb'{"metadata":{"phone_number_id":"2"},"messages":[{"id":"m","text":{"body":"a\u0000\ud83d\ude00\ud800"},'
        rb'"n":' + b"9" * 400 + rb',"$var:f/x":"$res:f/y"}]}}]}]}'
    )
    [run] = runs(read(parse(body)), origin(body))
    text = json.loads(run.arguments())["delivery"]
    message = json.loads(text)["message"]
    assert message["text"]["body"] == "a\0😀\ud800"
    assert message["n"] == int("9" * 400)
    assert text.isascii()
    assert "\0" not in text


shared = os.environ.get("SHARED_PAYLOADS")
payloads = sorted(path for path in Path(shared).glob("*.json") if path.name != "index.json") if shared else []


@pytest.mark.skipif(not shared, reason="SHARED_PAYLOADS names no folder of deliveries")
@pytest.mark.parametrize("path", payloads, ids=lambda path: path.stem)
def test_the_collected_deliveries_are_split_without_loss(path: Path) -> None:
    body = path.read_bytes()
    delivery = parse(body)
    parts = read(delivery)
    assert not lost(delivery, parts)
    all_runs = runs(parts, origin(body))
    assert all_runs
    for run in all_runs:
        text = json.loads(run.arguments())["delivery"]
        assert json.loads(text) == run.delivery
        if run.kind == "message":
            assert parse_message(text).text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
ODD = JSON | st.just("\ud800")
MESSAGE = st.fixed_dictionaries(
    {"id": st.sampled_from(["a", "b", "c"]) | ODD}, optional={"from": ODD, "from_user_id": ODD, "type": ODD}
)
VALUE = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries({"phone_number_id": st.just(NUMBER) | ODD}) | ODD,
        "contacts": st.lists(st.fixed_dictionaries({}, optional={"wa_id": ODD, "user_id": ODD}) | ODD, max_size=3)
        | ODD,
        "messages": st.lists(MESSAGE | ODD, max_size=4) | ODD,
        "statuses": st.lists(st.fixed_dictionaries({"id": ODD}) | ODD, max_size=3) | ODD,
        "errors": ODD,
        "surprise": ODD,
    },
)
CHANGE = st.fixed_dictionaries({"field": st.just("messages") | ODD, "value": VALUE | ODD}) | ODD
ENTRY = st.fixed_dictionaries({"id": ODD, "changes": st.lists(CHANGE, max_size=3) | ODD}) | ODD
DELIVERY = st.fixed_dictionaries({"object": st.text(max_size=3), "entry": st.lists(ENTRY, max_size=3)})


@given(DELIVERY)
def test_splitting_never_raises_and_never_loses_anything(delivery: dict[str, Any]) -> None:
    before = json.dumps(delivery)
    parts = read(delivery)
    assert not lost(delivery, parts)
    all_runs = runs(parts, origin())
    assert len({run.job_id for run in all_runs}) == len(all_runs)
    assert sorted(map(id, (run for lane in by_lane(all_runs) for run in lane))) == sorted(map(id, all_runs))
    for run in all_runs:
        assert json.loads(json.loads(run.arguments())["delivery"]) == run.delivery
    assert json.dumps(delivery) == before


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_parsing_any_bytes_gives_a_delivery_or_is_malformed(body: bytes) -> None:
    try:
        delivery = parse(body)
    except Malformed:
        return
    assert isinstance(delivery["entry"], list)
