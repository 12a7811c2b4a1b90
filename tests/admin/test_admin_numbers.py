"""Numbers are connected by a tenant: checked at Meta, subscribed, and kept with their token."""

import json
from typing import Any

import pytest
from office import (
    BICIS,
    BICIS_KEY,
    DENTAL_KEY,
    NEW_BOT,
    NUMBER,
    NUMBER_ID,
    Office,
    connect,
    error,
)


def test_a_number_is_checked_subscribed_and_kept_with_its_token(number: Office) -> None:
    status, answer = connect(number)
    assert (status, answer["is_new"], answer["verified_name"]) == (200, True, "Shop")
    assert number.graph.subscribed == [NUMBER["waba_id"]]
    path = f"f/whatsapp/{BICIS}/access_token_{NUMBER_ID}"
    assert number.windmill.secrets == {path: "EAAsecret"}
    row = number.rows("select * from whatsapp_numbers where phone_number_id = %s", NUMBER_ID)[0]
    assert (row["access_token_path"], row["app_id"]) == (path, "demo-app")
    assert number.windmill.queued[0][0] == "f/admin/erase_run"


def test_the_token_is_stored_in_no_run_answer_or_record(number: Office) -> None:
    answers = [connect(number)[1]]
    assert "EAAsecret" not in number.stored
    number.graph.reactions["/subscribed_apps"] = error(190, 401)
    answers.append(connect(number)[1])
    assert "EAAsecret" not in json.dumps(answers, default=str)
    assert "EAAsecret" not in json.dumps(number.rows("select * from audit_log"), default=str)


def test_connecting_again_changes_chatbot_and_token(number: Office) -> None:
    connect(number)
    number.call("save_chatbot", BICIS_KEY, NEW_BOT, slug="second")
    number.graph.numbers["EAAnew"] = number.graph.numbers["EAAsecret"]
    status, answer = connect(number, access_token="EAAnew", chatbot="second", app_id="other-app")
    assert (status, answer["is_new"], answer["app_id"]) == (200, False, "other-app")
    assert list(number.windmill.secrets.values()) == ["EAAnew"]


def test_a_number_of_another_tenant_is_refused_and_nothing_is_told_or_changed(number: Office) -> None:
    connect(number)
    before = number.rows("select * from whatsapp_numbers order by 1")
    status, answer = connect(number, DENTAL_KEY, chatbot="harbour-dental")
    assert (status, answer["error"]["code"]) == (409, "number_taken")
    assert not {BICIS, "bicis", "Bicis"} & set(json.dumps(answer).replace('"', " ").split())
    assert number.rows("select * from whatsapp_numbers order by 1") == before
    assert list(number.windmill.secrets) == [f"f/whatsapp/{BICIS}/access_token_{NUMBER_ID}"]


def test_whether_a_number_is_taken_is_told_to_those_only_who_may_use_it(number: Office) -> None:
    connect(number)
    status, answer = connect(number, DENTAL_KEY, chatbot="harbour-dental", access_token="EAAwrong")
    assert (status, answer["error"]["code"]) == (422, "whatsapp_token_refused")


@pytest.mark.parametrize(
    ("where", "reaction", "status", "code"),
    [
        (NUMBER_ID, error(190, 401), 422, "whatsapp_token_refused"),
        (NUMBER_ID, error(100, 400), 422, "whatsapp_number_unknown"),
        (NUMBER_ID, (200, {"id": "1"}), 422, "whatsapp_number_unknown"),
        ("/phone_numbers", error(100, 400), 422, "whatsapp_account_unknown"),
        ("/phone_numbers", (200, {"data": []}), 422, "whatsapp_number_elsewhere"),
        ("/phone_numbers", (200, {"data": "odd", "paging": None}), 422, "whatsapp_number_elsewhere"),
        ("/subscribed_apps", error(200, 403), 422, "whatsapp_permission_missing"),
        ("/subscribed_apps", error(10, 403), 422, "whatsapp_permission_missing"),
        ("/subscribed_apps", (200, {"success": False}), 502, "whatsapp_refused"),
        (NUMBER_ID, error(4, 400), 503, "whatsapp_busy"),
        (NUMBER_ID, (502, "<html>oops</html>"), 503, "whatsapp_busy"),
        (NUMBER_ID, (200, "<html>login</html>"), 502, "whatsapp_refused"),
        (NUMBER_ID, (200, "[]"), 502, "whatsapp_refused"),
        (NUMBER_ID, error(999, 400), 502, "whatsapp_refused"),
    ],
)
def test_what_meta_refuses_is_told_clearly_and_keeps_nothing(
    number: Office, where: str, reaction: tuple[int, Any], status: int, code: str
) -> None:
    number.graph.reactions[where] = reaction
    told, answer = connect(number)
    assert (told, answer["error"]["code"]) == (status, code)
    assert "EAAsecret" not in json.dumps(answer)
    assert number.windmill.secrets == {}
    assert number.rows("select 1 from whatsapp_numbers where phone_number_id = %s", NUMBER_ID) == []


def test_meta_cannot_be_reached(number: Office) -> None:
    number.windmill.resources["f/whatsapp/cloud_api"] = {"base_url": "http://127.0.0.1:1", "app_id": "a"}
    assert connect(number)[1]["error"]["code"] == "whatsapp_unreachable"


def test_a_token_that_windmill_does_not_keep_connects_nothing(number: Office) -> None:
    number.windmill.fails_with["variables/create"] = 500
    assert connect(number)[1]["error"]["code"] == "unavailable"
    assert number.rows("select 1 from whatsapp_numbers where phone_number_id = %s", NUMBER_ID) == []
    assert [action for action, _ in number.audit()] == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"access_token": None}, 422),
        ({"access_token": "two words"}, 422),
        ({"access_token": "naïve"}, 422),
        ({"waba_id": "../me"}, 422),
        ({"chatbot": "harbour-dental"}, 404),
        ({"app_id": "a b"}, 422),
    ],
)
def test_what_is_wrong_before_meta_is_asked(number: Office, changes: dict, status: int) -> None:
    assert connect(number, **changes)[0] == status
    assert number.graph.subscribed == []


def test_without_an_app_of_the_installation_it_must_be_named(number: Office) -> None:
    number.graph.resource["app_id"] = ""
    assert connect(number)[1]["error"]["message"].startswith("app_id: is missing")
    assert connect(number, app_id="app")[0] == 200
