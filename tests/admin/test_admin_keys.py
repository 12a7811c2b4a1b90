"""API keys: made, rotated and revoked; and who may call which admin script."""

import json
from uuid import uuid4

import psycopg
import pytest
from office import (
    BICIS,
    BICIS_KEY,
    DENTAL,
    KNOWLEDGE_KEY,
    NUMBER,
    NUMBER_ID,
    OPERATOR,
    Office,
    connect,
    hashed,
)

from f.lib.http import ApiError

# Keys -------------------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_only_its_hash_is_kept(office: Office) -> None:
    status, made = office.call("create_api_key", BICIS_KEY, {"name": "k", "scopes": ["admin"], "expires_in_days": 1})
    assert status == 201 and made["key"].startswith("mr_")
    assert office.call("show_organization", made["key"])[0] == 200
    everything = json.dumps(
        [office.rows("select * from api_keys"), office.rows("select * from audit_log")], default=str
    )
    assert made["key"] not in everything and hashed(made["key"]) in everything
    assert office.windmill.queued[0][0] == "f/admin/erase_run"
    shown = office.call("show_organization", BICIS_KEY)[1]["api_keys"]
    assert {"key", "key_hash"} & shown[-1].keys() == set()


def test_no_key_is_made_whose_showing_could_not_be_erased(office: Office) -> None:
    office.windmill.fails_with["jobs/run"] = 500
    assert office.call("create_api_key", BICIS_KEY, {"name": "k", "scopes": ["admin"]})[0] == 503
    assert office.rows("select 1 from api_keys where name = 'k'") == []


def test_rotation_overlaps_and_revocation_is_at_once(office: Office) -> None:
    _, old = office.call("create_api_key", BICIS_KEY, {"name": "k", "scopes": ["admin"]})
    status, new = office.call("rotate_api_key", BICIS_KEY, {"overlap_hours": 1}, id=old["id"])
    assert (status, new["name"], new["scopes"], new["replaces"]) == (201, "k", ["admin"], old["id"])
    assert [office.call("list_usage", key["key"])[0] for key in (old, new)] == [200, 200]
    office.rows("update api_keys set expires_at = now() where id = %s returning id", old["id"])
    assert [office.call("list_usage", key["key"])[0] for key in (old, new)] == [401, 200]
    assert office.call("rotate_api_key", BICIS_KEY, {}, id=old["id"])[0] == 409
    assert office.call("revoke_api_key", BICIS_KEY, {}, id=new["id"])[0] == 200
    assert office.call("list_usage", new["key"])[0] == 401
    assert office.call("revoke_api_key", BICIS_KEY, {}, id=new["id"])[0] == 200, "again"


def test_rotation_never_makes_an_old_key_last_longer(office: Office) -> None:
    _, old = office.call("create_api_key", BICIS_KEY, {"name": "k", "scopes": ["admin"], "expires_in_days": 1})
    _, new = office.call("rotate_api_key", BICIS_KEY, {"overlap_hours": 720}, id=old["id"])
    assert new["old_key_expires_at"] == old["expires_at"]
    query = "select valid_days, expires_at - now() > interval '23 hours' as lasts from api_keys where id = %s"
    assert office.rows(query, new["id"]) == [{"valid_days": 1, "lasts": True}]
    assert office.call("rotate_api_key", BICIS_KEY, {"overlap_hours": 0}, id=new["id"])[0] == 201
    assert office.call("list_usage", new["key"])[0] == 401


@pytest.mark.parametrize(
    "given",
    [
        {"name": "k"},
        {"name": "k", "scopes": []},
        {"name": "k", "scopes": ["operator"]},
        {"name": "k", "scopes": "admin"},
        {"scopes": ["admin"]},
        {"name": "k", "scopes": ["admin"], "expires_in_days": 0},
    ],
)
def test_a_key_that_cannot_be_is_refused(office: Office, given: dict) -> None:
    assert office.call("create_api_key", BICIS_KEY, given)[0] == 422


def test_a_key_revoked_while_its_request_runs_changes_nothing(office: Office) -> None:
    office.graph.numbers["EAAsecret"] = [(NUMBER_ID, NUMBER["waba_id"])]
    office.graph.before_answer = lambda: office.rows(
        "update api_keys set revoked_at = now() where key_hash = %s returning id", hashed(BICIS_KEY)
    )
    status, answer = connect(office)
    assert status == 401 and "nothing was changed" in answer["error"]["message"]
    assert office.rows("select 1 from whatsapp_numbers where phone_number_id = %s", NUMBER_ID) == []
    assert office.windmill.secrets == {} and office.audit() == []


@pytest.mark.parametrize(("key", "table"), [(BICIS_KEY, "api_keys"), (OPERATOR, "operator_keys")])
def test_a_revocation_waits_for_the_change_that_has_begun(office: Office, key: str, table: str) -> None:
    office.graph.numbers["EAAsecret"] = [(NUMBER_ID, NUMBER["waba_id"])]
    refused = []

    def revoke() -> None:
        with office.owner.transaction():
            office.owner.execute("set local lock_timeout = '300ms'")
            try:
                with office.owner.transaction():
                    office.rows(f"update {table} set revoked_at = now() where key_hash = %s returning id", hashed(key))
            except psycopg.errors.LockNotAvailable:
                refused.append(True)

    office.windmill.before_secret = revoke
    assert connect(office, key, organization="bicis-ribera")[0] == 200
    assert refused == [True]


# Who calls --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "", "mr_unknown", "$var:f/admin/database_password"])
def test_without_a_valid_key_nothing_is_told(office: Office, key: str | None) -> None:
    for given in ({}, {"nonsense": 1}, "{"):
        status, answer = office.call("save_chatbot", key, given, slug="x")
        assert (status, answer["error"]["code"]) == (401, "unauthorized")
    assert office.audit() == []


def test_a_key_without_the_scope_is_refused(office: Office) -> None:
    assert office.call("list_usage", KNOWLEDGE_KEY)[1]["error"]["code"] == "missing_scope"


def test_operators_say_for_whom(office: Office) -> None:
    assert office.call("list_usage", OPERATOR)[0] == 422
    assert office.call("list_usage", OPERATOR, {"organization": "nobody"})[0] == 404
    assert office.call("list_usage", OPERATOR, {"organization": str(uuid4())})[0] == 404


def test_a_body_that_is_no_object_of_known_arguments(office: Office) -> None:
    for sent in ("{", '{"nonsense": 1}'):
        status, answer = office.call("list_usage", BICIS_KEY, sent)
        assert (status, answer["error"]["code"]) == (422, "invalid_request")


def test_in_the_form_a_windmill_user_is_an_operator_and_errors_fail_the_run(office: Office) -> None:
    made = office.form("create_organization", slug="third", name="Third")
    assert made["plan"] == "free"
    with pytest.raises(ApiError, match="organization: is missing"):
        office.form("list_usage")
    logged = office.rows("select actor_kind, actor, job_id is not null as has_job from audit_log")
    assert logged == [{"actor_kind": "windmill", "actor": "ada", "has_job": True}]


def test_the_database_or_windmill_is_away(office: Office) -> None:
    office.windmill.resources["f/admin/database"] = office.windmill.resources["f/admin/database"] | {"port": 1}
    assert office.call("list_usage", BICIS_KEY)[1]["error"]["code"] == "unavailable"
    office.windmill.fails_with["resources"] = 500
    assert office.call("list_usage", BICIS_KEY)[0] == 503


def test_a_fault_of_ours_tells_nothing_of_our_insides(office: Office) -> None:
    office.owner.execute("set role owner")
    office.owner.execute("alter table usage_logs rename to usage_logs_gone")
    status, answer = office.call("list_usage", BICIS_KEY)
    assert (status, answer["error"]["code"]) == (500, "internal")
    assert "usage_logs" not in json.dumps(answer)


def test_organization_of_a_key(office: Office) -> None:
    for name in (DENTAL, "harbour-dental", "nobody", str(uuid4())):
        status, answer = office.call("list_usage", BICIS_KEY, {"organization": name})
        assert (status, answer["error"]["code"]) == (403, "other_organization"), "the same, whether it exists or not"
    for name in (BICIS, "bicis-ribera"):
        assert office.call("list_usage", BICIS_KEY, {"organization": name})[0] == 200
