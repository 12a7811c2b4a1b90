"""Somebody wants to be forgotten: words, names and numbers are gone, counts and usage stay."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from fakes import error, lost_answer
from psycopg import sql
from steps import DENTAL

from f.lib.ids import continuation_job_id, message_job_id
from f.ops import erasure_queries
from f.whatsapp.contacts import ContactErased
from u.admin import erase_person
from u.admin.erase_person import NotAllowed, PersonBusy, fingerprint

SLUG, ORGANIZATION = "harbour-dental", "22222222-2222-4222-8222-222222222222"
NUMBER, USER, NAME, WORD = "447700900123", "GB.canary7", "Nameofcanary", "wordofcanary"
OTHER = "34600111222"

TABLES = "select relname as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1"


def write(platform, text: str = WORD, wamid: str | None = None, **arguments) -> dict:
    """The person writes; Meta's ids have the number in them."""
    message = {"from": NUMBER, "from_user_id": USER}
    contact = {"wa_id": NUMBER, "user_id": USER, "profile": {"name": NAME}}
    wamid = wamid or f"wamid.{NUMBER}.{uuid4().hex}"
    return platform.load(platform.delivery(text, wamid=wamid, message=message, contact=contact), **arguments)


def answer(platform, loaded: dict) -> dict:
    platform.generate(loaded)
    return platform.send(loaded)


def everywhere(platform, *marks: str) -> list[tuple[str, str]]:
    """Tables in which something that tells of the person can be read."""
    found = []
    for table in platform.rows(TABLES):
        query = sql.SQL("select coalesce(string_agg(to_jsonb(x)::text, ' '), '') as text from {} x")
        (row,) = platform.owner.execute(query.format(sql.Identifier(table["name"]))).fetchall()
        found += [(table["name"], mark) for mark in marks if mark in row["text"]]
    return found


def live_through_everything(platform) -> None:
    """The person leaves a trace wherever there can be one."""
    answer(platform, write(platform))
    platform.status("delivered", id=platform.rows("select wamid from outbox")[0]["wamid"])
    platform.whatsapp.reactions = [lost_answer]
    answer(platform, write(platform, f"{WORD} again"))
    platform.whatsapp.reactions = [error(131026)]
    answer(platform, write(platform, f"{WORD} and again"))
    platform.echo(f"dear {NAME}", to=NUMBER)
    platform.update("user_id_update", user_id_update=[{"wa_id": NUMBER, "user_id": {"current": USER}}])
    platform.status("read", id=f"wamid.{NUMBER}.unknown", recipient_id=NUMBER)
    write(platform, f"{WORD} to a person")
    (turn,) = platform.rows(
        "select t.id, t.conversation_id, v.contact_id, v.chatbot_id from turns t"
        " join conversations v on v.id = t.conversation_id order by t.started_at limit 1"
    )
    execution, own = uuid4(), {**turn, "organization_id": ORGANIZATION, "word": f"{WORD} {NAME} {NUMBER}"}
    own["execution"], own["object"] = execution, json.dumps({"name": NAME, "said": WORD})
    for statement in (
        "insert into org_integrations (organization_id, kind, name) values (%(organization_id)s, 'own', 'x')",
        "insert into tool_executions (organization_id, id, turn_id, integration_id, tool_name, arguments, state,"
        " result, error, finished_at) select %(organization_id)s, %(execution)s, %(id)s, id, 'x', %(object)s,"
        " 'succeeded', %(word)s, %(word)s, now() from org_integrations where name = 'x'",
        "insert into tool_effects values (%(organization_id)s, %(execution)s, %(word)s, %(object)s)",
        "insert into leads (organization_id, contact_id, chatbot_id, name, email, phone, company, need, answers, stage,"
        " stage_reason) values (%(organization_id)s, %(contact_id)s, %(chatbot_id)s, %(word)s, %(word)s, %(word)s,"
        " %(word)s, %(word)s, %(object)s, 'new', %(word)s)",
        "update knowledge_gaps set embedding_model = 'm/3', embedding = '[1,2,3]' where turn_id = %(id)s",
        "insert into notifications (organization_id, kind, chatbot_id, conversation_id, turn_id, reason, error) values"
        " (%(organization_id)s, 'handover', %(chatbot_id)s, %(conversation_id)s, %(id)s, %(word)s, %(word)s)",
        "update outbox set body = %(word)s, error = jsonb_build_object('reason', %(word)s::text, 'code', 131026)"
        " where state = 'failed'",
        "update conversations set handover_reason = %(word)s, handback_note = %(word)s where id = %(conversation_id)s",
        "update turns set error = %(word)s, steps = jsonb_build_array(jsonb_build_object('kind', 'model', 'name', 'm',"
        " 'ms', 7, 'error', %(word)s::text)) where id = %(id)s",
        "insert into system_alerts (organization_id, kind, subject, details) values (%(organization_id)s,"
        " 'model_failed', 'm', jsonb_build_object('reason', %(word)s::text, 'turn_id', %(id)s::text))",
        "insert into system_alerts (organization_id, kind, subject, details) values (%(organization_id)s,"
        " 'tool_failed', 'x.x', jsonb_build_object('reason', %(word)s::text, 'execution_id', %(execution)s::text))",
    ):
        platform.owner.execute(statement, own)


#: Tables of a tenant in which nothing of a customer is kept. What its documents and web sites say of people is the
#: tenant's to change.
NOTHING_OF_A_PERSON = {
    "alert_channels",
    "answer_passages",
    "api_keys",
    "audit_log",
    "chatbot_tools",
    "chatbots",
    "chunk_terms",
    "crawl_pages",
    "crawls",
    "document_chunks",
    "extractions",
    "knowledge_sources",
    "notices",
    "org_integrations",
    "organizations",
    "pricing_tiers",
    "qualification_questions",
    "quota_notices",
    "source_files",
    "source_versions",
    "staged_chunks",
    "usage_logs",
    "usage_summary",
    "whatsapp_numbers",
}


def test_every_table_that_may_hold_something_of_a_person_is_thought_of(platform):
    """A new table fails here: erase it in f/ops/erasure_queries.py, or say that nothing of a customer is in it."""
    texts = platform.rows(
        "select distinct t.table_name as name from information_schema.columns t join information_schema.columns o"
        " on o.table_name = t.table_name and o.table_schema = t.table_schema and o.column_name = 'organization_id'"
        " join pg_class c on c.relname = t.table_name and c.relkind = 'r'"
        " where t.table_schema = 'public'"
        " and t.data_type in ('text', 'json', 'jsonb', 'bytea', 'ARRAY', 'USER-DEFINED')"
    )
    erased = {re.search(r"^update (\w+)", statement, re.M)[1] for statement in erasure_queries.ERASE_PERSON.values()}
    assert {row["name"] for row in texts} - erased == NOTHING_OF_A_PERSON
    assert not erased & NOTHING_OF_A_PERSON


def counts(platform) -> list[dict]:
    return [
        *platform.rows("select count(*) as n, sum(prompt_tokens) as tokens from usage_logs"),
        *platform.rows("select messages, tokens from quota_usage"),
        *platform.rows("select messages from contact_days"),
        *platform.rows("select outcome, count(*) as n from webhook_events group by 1 order by 1"),
        *platform.rows("select direction, author, count(*) as n from messages group by 1, 2 order by 1, 2"),
        *platform.rows("select state, count(*) as n from outbox group by 1 order by 1"),
    ]  # fmt: skip


def test_nothing_of_the_person_is_left_and_everything_that_counts_is(platform, office):
    live_through_everything(platform)
    platform.converse("hello from somebody else")
    marks = (NUMBER, USER, NAME, WORD)
    places = {table for table, _ in everywhere(platform, *marks)}
    assert places >= {"account_events", "contacts", "conversations", "knowledge_gaps", "leads", "messages",
                      "notifications", "outbox", "system_alerts", "tool_effects", "tool_executions", "turns",
                      "webhook_events"}  # fmt: skip
    before = counts(platform)
    done = erase_person.main(SLUG, "+44 7700 900-123")
    assert done["state"] == "erased" and done["erased"]["contacts"] == 1 and done["erased"]["leads"] == 1
    assert done["erased"]["messages received"] == 4
    assert everywhere(platform, *marks) == []
    assert counts(platform) == before
    assert ("contact", "hello from somebody else") in platform.said()
    gaps = platform.rows("select distinct state, question, embedding is null as bare from knowledge_gaps order by 1")
    assert gaps == [
        {"state": "erased", "question": "[erased]", "bare": True},
        {"state": "open", "question": "hello from somebody else", "bare": True},
    ]
    steps = platform.rows("select steps from turns order by started_at limit 1")[0]["steps"]
    assert steps == [{"kind": "model", "name": "m", "ms": 7}]
    assert {"reply_uncertain", "reply_failed", "handover_not_told"}.isdisjoint(platform.alerts())


def test_a_second_time_there_is_nothing_to_erase(platform, office):
    answer(platform, write(platform))
    assert erase_person.main(SLUG, NUMBER)["state"] == "erased"
    for known_as in (NUMBER, USER):
        again = erase_person.main(SLUG, known_as)
        assert again["state"] == "nothing to erase" and again["erased_at"][:4] == str(datetime.now(UTC).year)
    for _ in range(2):
        assert erase_person.main(SLUG, "4470") == {"state": "nothing to erase", "erased_at": None}
    assert erase_person.main("bicis-ribera", NUMBER) == {"state": "nothing to erase", "erased_at": None}


def test_the_audit_log_knows_who_did_it_and_not_to_whom(platform, office):
    answer(platform, write(platform))
    erase_person.main(SLUG, USER)
    begun, done = platform.audit("erase_person")
    assert begun["new"]["state"] == "begun" and done["actor"] == "ada" and done["actor_kind"] == "windmill"
    assert fingerprint(ORGANIZATION, NUMBER) in done["new"]["fingerprints"]
    assert done["new"]["erased"]["messages"] == 2
    assert done["target_id"] == str(platform.rows("select id from contacts")[0]["id"])
    assert fingerprint(ORGANIZATION, NUMBER) != fingerprint("11111111-1111-4111-8111-111111111111", NUMBER)


def test_who_writes_again_is_somebody_new(platform, office):
    answer(platform, write(platform))
    erase_person.main(SLUG, NUMBER)
    loaded = write(platform, "hello")
    assert [m.content for m in platform.exchange(loaded)[1:]] == ["hello"]
    assert answer(platform, loaded)["delivery"] == "sent"
    assert len(platform.rows("select id from contacts")) == 2
    assert erase_person.main(SLUG, NUMBER)["erased"]["messages"] == 2


def test_a_status_that_comes_late_finds_its_message_and_brings_nothing_back(platform, office):
    answer(platform, write(platform))
    (sent,) = platform.rows("select id, wamid from outbox")
    erase_person.main(SLUG, NUMBER)
    late = {"id": f"wamid.{NUMBER}", "recipient_id": NUMBER, "biz_opaque_callback_data": str(sent["id"])}
    platform.status("read", **late)
    assert platform.rows("select delivery_status from outbox") == [{"delivery_status": "read"}]
    assert everywhere(platform, NUMBER) == []


def test_an_update_that_names_the_person_later_is_found_the_next_time(platform, office):
    platform.status("read", id="wamid.unknown", recipient_id=NUMBER)
    platform.echo("to somebody else", to="4470")
    done = erase_person.main(SLUG, NUMBER)
    assert done["state"] == "erased" and done["erased"]["updates"] == 1
    assert everywhere(platform, NUMBER) == [] and everywhere(platform, "somebody else")


def test_everybody_whom_the_person_turned_out_to_be_is_erased(platform, office):
    """A second contact of the same person, after a change of number."""
    answer(platform, write(platform))
    platform.load(platform.delivery(f"{WORD} from my new number", message={"from": "4475"}, contact=None))
    change = {"wa_id": "4475", "user_id": {"current": USER, "previous": USER}}
    platform.owner.execute("update conversations set lease_holder = null, lease_until = null")
    platform.owner.execute("update turns set finished_at = coalesce(finished_at, now())")
    platform.update("user_id_update", user_id_update=[change])
    assert len(platform.rows("select id from contacts where merged_into is not null")) == 1
    assert erase_person.main(SLUG, "4475")["erased"]["contacts"] == 2
    assert everywhere(platform, NUMBER, USER, NAME, WORD) == []


def test_a_person_who_is_being_answered_is_erased_a_minute_later(platform, office):
    loaded = write(platform)
    platform.generate(loaded)
    with pytest.raises(PersonBusy):
        erase_person.main(SLUG, NUMBER)
    assert everywhere(platform, WORD) and office.erased == []
    platform.owner.execute("update conversations set lease_until = now() - interval '1 second'")
    assert erase_person.main(SLUG, NUMBER)["state"] == "erased"
    assert platform.send(loaded)["state"] == "superseded" and platform.whatsapp.sent == []
    assert platform.outcomes() == [("refused", "erased")]
    assert platform.rows("select state from outbox") == [{"state": "dropped"}]
    assert platform.rows("select * from stranded_conversations('0 seconds', 9)") == []


def test_a_message_that_is_being_stored_meanwhile_becomes_somebody_news(platform, office, monkeypatch):
    from f.whatsapp import load_context

    answer(platform, write(platform))
    find = load_context.sender_of

    def overtaken(*arguments):
        contact_id = find(*arguments)
        with ThreadPoolExecutor(1) as thread:
            thread.submit(erase_person.main, SLUG, NUMBER).result()
        return contact_id

    monkeypatch.setattr(load_context, "sender_of", overtaken)
    with pytest.raises(ContactErased):
        write(platform, "hello")
    monkeypatch.undo()
    monkeypatch.setenv("WM_JOB_ID", str(uuid4()))
    assert write(platform, "hello")["state"] == "working"
    assert everywhere(platform, WORD) == [] and len(platform.rows("select id from contacts")) == 2


# What Windmill keeps ------------------------------------------------------------------------------


def test_the_runs_that_had_the_words_are_erased_with_their_steps(platform, office):
    wamid = f"wamid.{NUMBER}.1"
    job = message_job_id(DENTAL, wamid)
    loaded = write(platform, wamid=wamid, job=str(job))
    answer(platform, loaded)
    step, other = uuid4(), uuid4()
    follow_up = continuation_job_id(loaded["turn"]["conversation_id"], 1)
    for job_id, parent in ((job, None), (step, job), (follow_up, None), (other, None)):
        office.keep(job_id, parent=parent, args={"delivery": WORD})
    done = erase_person.main(SLUG, NUMBER)
    assert set(office.erased) == {str(job), str(step), str(follow_up)} and done["erased"]["runs in Windmill"] == 3
    assert office.planned == [("f/admin/erase_run", {"job_id": office.planned[0][1]["job_id"]}, 60)]


def test_a_run_of_updates_is_erased_once_it_has_succeeded(platform, office):
    platform.echo(f"dear {NAME}", to=NUMBER)
    (job,) = platform.rows("select job_id from account_events")
    office.keep(job["job_id"])
    erase_person.main(SLUG, NUMBER)
    assert office.erased == []
    platform.echo(f"dear {NAME}", to=NUMBER)
    (job,) = platform.rows("select job_id from account_events where value <> '{}'")
    office.keep(job["job_id"])
    office.succeeded.add(str(job["job_id"]))
    erase_person.main(SLUG, NUMBER)
    assert office.erased == [str(job["job_id"])]


@pytest.mark.parametrize(("status", "what"), [(403, NotAllowed), (500, Exception)])
def test_when_windmill_refuses_nothing_is_erased_and_it_can_be_run_again(platform, office, status, what):
    answer(platform, write(platform))
    office.refusals["jobs/completed/delete/"] = status
    with pytest.raises(what):
        erase_person.main(SLUG, NUMBER)
    assert {"contacts", "messages"} <= {table for table, _ in everywhere(platform, NAME, WORD)}
    office.refusals.clear()
    assert erase_person.main(SLUG, NUMBER)["state"] == "erased"


def test_twenty_thousand_messages_are_one_transaction(platform, office):
    answer(platform, write(platform))
    platform.owner.execute(
        "insert into webhook_events (organization_id, phone_number_id, wamid, conversation_id, kind, payload, position,"
        " sent_at, received_at, outcome, settled_at) select organization_id, phone_number_id, 'w' || n,"
        " conversation_id, kind, payload, 0, sent_at, received_at, 'merged', now()"
        " from webhook_events, generate_series(1, 2000) n"
    )
    platform.owner.execute(
        "insert into messages (organization_id, conversation_id, direction, author, wamid, body) select"
        " organization_id, conversation_id, direction, author, 'w' || n, body"
        " from messages, generate_series(1, 20000) n"
        " where direction = 'in'"
    )
    assert erase_person.main(SLUG, NUMBER)["erased"]["messages"] == 20002
    assert everywhere(platform, WORD, NUMBER) == []


@pytest.mark.parametrize("person", ["", "  "])
def test_it_says_what_is_missing(platform, office, person):
    with pytest.raises(ValueError, match="person"):
        erase_person.main(SLUG, person)
