"""What a tenant offers and who is told: prices, questions for leads, channels, texts; none of it takes SQL."""

import json
from typing import Any

import pytest
from office import BICIS, BICIS_KEY, DENTAL_KEY, OPERATOR, Office

PRICE: dict[str, Any] = {
    "product": "Repair",
    "tier": "Basic",
    "unit": "bike",
    "min_volume": 1,
    "max_volume": 9,
    "unit_price": "49.50",
    "currency": "EUR",
}


def test_a_price_table_replaces_the_one_before(office: Office) -> None:
    more = {**PRICE, "min_volume": 10, "unit_price": 40.1} | {"max_volume": None}
    status, kept = office.call("set_prices", BICIS_KEY, {"prices": [PRICE, more]})
    assert status == 200
    assert [(p["min_volume"], p["max_volume"], p["unit_price"]) for p in kept["prices"]] == [
        (1, 9, "49.5000"),
        (10, None, "40.1000"),
    ]
    assert office.call("show_organization", BICIS_KEY)[1]["prices"] == kept["prices"]
    dentals = office.call("show_organization", DENTAL_KEY)[1]["prices"]
    assert dentals and {p["currency"] for p in dentals} == {"GBP"}
    assert office.call("set_prices", BICIS_KEY, {"prices": []}) == (200, {"prices": []})
    logged = office.rows("select old, new from audit_log where action = 'set_prices' order by id")
    assert logged[1] == {"old": kept["prices"], "new": []}


@pytest.mark.parametrize(
    "prices",
    [
        None,
        "x",
        [1],
        [{}],
        [PRICE, PRICE],
        [PRICE, {**PRICE, "min_volume": 9, "max_volume": None}],
        [{**PRICE, "max_volume": 0}],
        [{**PRICE, "min_volume": 0}],
        [{**PRICE, "min_volume": 1.5}],
        [{**PRICE, "unit_price": -1}],
        [{**PRICE, "unit_price": "NaN"}],
        [{**PRICE, "unit_price": "1e400"}],
        [{**PRICE, "unit_price": "1.00005"}],
        [{**PRICE, "unit_price": True}],
        [{**PRICE, "currency": "euro"}],
        [{**PRICE, "product": " "}],
        [{**PRICE, "colour": "red"}],
        [PRICE] * 501,
    ],
)
def test_a_table_that_cannot_be_changes_nothing(office: Office, prices: Any) -> None:
    before = office.rows("select * from pricing_tiers order by id")
    status, answer = office.call("set_prices", BICIS_KEY, {"prices": prices})
    assert (status, answer["error"]["code"]) == (422, "invalid_argument")
    assert office.rows("select * from pricing_tiers order by id") == before


def test_a_chatbots_questions_notice_and_silence(office: Office) -> None:
    questions = [{"key": "bike", "question": "Which bike?"}, {"key": "when", "question": "By when?"}]
    given = {"questions": questions, "quota_text": "Tomorrow again.", "handoff_minutes": 60}
    status, saved = office.call("save_chatbot", BICIS_KEY, given, slug="bicis-ribera")
    assert (status, sorted(saved["changed"])) == (200, ["handoff_minutes", "questions", "quota_text"])
    query = "select key, question from qualification_questions where organization_id = %s order by position"
    assert office.rows(query, BICIS) == questions
    assert office.call("save_chatbot", BICIS_KEY, given, slug="bicis-ribera")[1]["changed"] == []
    office.call("save_chatbot", BICIS_KEY, {"questions": [questions[1]]}, slug="bicis-ribera")
    assert office.rows(query, BICIS) == [questions[1]]
    new = {"name": "B", "language": "en", "persona": "Kind.", "fallback_text": "Later.", "questions": questions}
    assert office.call("save_chatbot", BICIS_KEY, new, slug="second")[0] == 200
    assert len(office.rows(query, BICIS)) == 3


@pytest.mark.parametrize(
    "given",
    [
        {"questions": [{"key": "Bike type", "question": "x"}]},
        {"questions": [{"key": "a", "question": "x"}, {"key": "a", "question": "y"}]},
        {"questions": [{"key": "a"}]},
        {"questions": {}},
        {"handoff_minutes": 0},
        {"quota_text": ""},
    ],
)
def test_settings_that_cannot_be_are_refused(office: Office, given: dict[str, Any]) -> None:
    assert office.call("save_chatbot", BICIS_KEY, given, slug="bicis-ribera")[0] == 422


def test_a_channel_is_added_and_changed(office: Office) -> None:
    status, made = office.call("save_channel", BICIS_KEY, {"email": "taller@bicis.example"}, name="reception")
    assert status == 200
    assert (made["kind"], made["target"], made["minimum_severity"]) == ("email", "taller@bicis.example", "warning")
    only = office.call("save_channel", BICIS_KEY, {"kinds": ["handover"]}, name="reception")[1]
    assert (only["kinds"], only["target"]) == (["handover"], "taller@bicis.example")
    again = office.call("save_channel", BICIS_KEY, {"kinds": [], "is_enabled": False}, name="reception")[1]
    assert (again["kinds"], again["is_enabled"]) == (None, False)
    assert office.call("show_organization", BICIS_KEY)[1]["channels"] == [again]
    assert office.call("show_organization", DENTAL_KEY)[1]["channels"] == []


def test_the_address_of_a_webhook_is_a_secret(office: Office) -> None:
    secret = "https://hooks.example.com/T0/secret-part"
    status, made = office.call("save_channel", BICIS_KEY, {"webhook": secret}, name="desk")
    assert (status, made["target"]) == (200, f"f/integrations/{BICIS}/channel-desk")
    assert office.windmill.secrets == {made["target"]: secret}
    kept = office.stored + json.dumps([*office.rows("select * from audit_log"), made], default=str)
    assert "secret-part" not in kept
    assert office.windmill.queued  # the run that saw it is erased


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"email": "nobody"},
        {"email": "a@b.example", "webhook": "https://hooks.example.com/x"},
        {"webhook": "http://hooks.example.com/x"},
        {"webhook": "https://127.0.0.1/x"},
        {"email": "a@b.example", "minimum_severity": "fatal"},
        {"email": "a@b.example", "kinds": ["Hand over"]},
        {"email": "a@b.example", "kinds": "handover"},
    ],
)
def test_a_channel_that_cannot_be_is_refused(office: Office, given: dict[str, Any]) -> None:
    assert office.call("save_channel", BICIS_KEY, given, name="desk")[0] == 422
    assert office.rows("select 1 from alert_channels") == [] and office.windmill.secrets == {}


def test_the_operators_have_channels_of_their_own(office: Office) -> None:
    theirs = {"operators": True}
    secret = "https://hooks.example.com/T0/secret-part"
    status, made = office.call("save_channel", OPERATOR, {**theirs, "webhook": secret}, name="on_call")
    assert (status, made["target"]) == (200, "f/ops/channel-on_call")
    assert office.windmill.secrets == {made["target"]: secret}
    changed = office.call("save_channel", OPERATOR, {**theirs, "minimum_severity": "critical"}, name="on_call")[1]
    assert (changed["kind"], changed["minimum_severity"]) == ("webhook", "critical")
    assert office.rows("select organization_id, name from alert_channels") == [
        {"organization_id": None, "name": "on_call"}
    ]
    mine = office.call("save_channel", BICIS_KEY, {"email": "taller@bicis.example"}, name="on_call")[1]
    assert office.call("show_organization", BICIS_KEY)[1]["channels"] == [mine]
    entries = office.call("list_audit_log", OPERATOR, {"operators": "true"})[1]["entries"]
    assert [(entry["action"], entry["target"]) for entry in entries] == [("save_channel", "channel")] * 2
    assert office.call("list_audit_log", OPERATOR, theirs)[1]["entries"][0]["action"] == "list_audit_log"


def test_only_operators_speak_for_the_operators(office: Office) -> None:
    email = {"email": "a@b.example"}
    for action, given, name in (("save_channel", email, {"name": "x"}), ("list_audit_log", {}, {})):
        assert office.call(action, BICIS_KEY, {**given, "operators": True}, **name)[0] == 403
        assert office.call(action, OPERATOR, {**given, "operators": True, "organization": BICIS}, **name)[0] == 422
        assert office.call(action, OPERATOR, {**given, "operators": "perhaps", "organization": BICIS}, **name)[0] == 422
    assert office.rows("select 1 from alert_channels") == []


def test_a_flag_that_comes_as_text_counts_as_it_says(office: Office) -> None:
    given = {"operators": "false", "webhook": "https://hooks.example.com/x"}
    status, made = office.call("save_channel", BICIS_KEY, given, name="desk")
    assert (status, made["target"]) == (200, f"f/integrations/{BICIS}/channel-desk")


def test_operators_say_for_whom(office: Office) -> None:
    assert office.call("set_prices", OPERATOR, {"prices": [], "organization": "bicis-ribera"})[0] == 200
    assert office.call("save_channel", OPERATOR, {"email": "a@b.example"}, name="x")[0] == 422
