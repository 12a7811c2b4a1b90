"""What a chatbot does not know: it says so, offers a person, and its tenant learns what is missing."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from shelf import BICIS, DENTAL, Shelf
from steps import Platform

from f.knowledge import check_gaps, dismiss_gap, gaps, list_gaps
from f.knowledge.embeddings import LocalEmbedder
from f.lib.database import connect, tenant
from f.whatsapp import generate_reply
from u.admin import erase_person

BOT = "harbour-dental"
WHITENING = "# Whitening\n\nWhitening at home takes two weeks: two appointments for the trays, worn every night."
HYPNOSIS = "# Hypnosis\n\nIs hypnosis possible? Yes, hypnosis is possible and costs 80 pounds a session."


@pytest.fixture
def shelf(platform: Platform) -> Iterator[Shelf]:
    with connect(platform.database) as connection:
        made = Shelf(connection, platform.owner.info.dsn + " password=owner-word")
        made.embedder = LocalEmbedder()
        yield made
        made.owner.close()


def learn(shelf: Shelf, text: str) -> None:
    shelf.learn(text, organization_id=DENTAL, name=f"{uuid4().hex}.md")


def ask(platform: Platform, text: str) -> str:
    platform.converse(text)
    return platform.whatsapp.texts[-1]


def kept(platform: Platform) -> list[dict[str, Any]]:
    return platform.rows("select * from knowledge_gaps order by asked_at, id")


def states(platform: Platform) -> list[str]:
    return [row["state"] for row in kept(platform)]


def call(platform: Platform, main: Any, scopes: str = "{knowledge}", organization: str = DENTAL, **given: Any) -> dict:
    """A call of a route with a key of the tenant."""
    key = hashlib.sha256(uuid4().bytes).hexdigest()
    platform.owner.execute(
        "insert into api_keys (organization_id, name, key_prefix, key_hash, scopes) values (%s, 'x', 'x', %s, %s)",
        [organization, key, scopes],
    )
    answer: dict = main(request={"key_hash": key, "arguments": json.dumps({"chatbot": BOT, **given}), "problem": None})
    return {"status": answer["windmill_status_code"], **answer["result"]}


# Saying so ----------------------------------------------------------------------------------------


def test_it_says_that_it_does_not_know_and_the_question_is_kept_once(platform):
    loaded = platform.load(platform.delivery("Do you have a swimming pool with lanes?"))
    for _ in range(2):
        platform.generate(loaded)
    platform.send(loaded)
    (said,) = platform.whatsapp.texts
    assert said.startswith("I am sorry, I do not know that.") and "[?]" not in said
    assert "[?]" not in str(platform.rows("select * from messages")) + str(platform.rows("select * from outbox"))
    (gap,) = kept(platform)
    assert (gap["question"], gap["language"]) == ("Do you have a swimming pool with lanes?", "en")
    assert (gap["state"], gap["score"], gap["embedding"]) == ("open", 0, None)
    assert gap["turn_id"] == platform.rows("select id from turns")[0]["id"]


@pytest.mark.parametrize(
    "text",
    ["hello", "thanks!", "how are you?", "bye", "When are you open on Saturdays?", "How much is whitening?", "👋"],
)
def test_small_talk_and_what_the_facts_answer_is_no_gap(platform, shelf, text):
    learn(shelf, HYPNOSIS)
    said = ask(platform, text)
    assert "do not know" not in said and "[?]" not in said and kept(platform) == []


def test_a_picture_is_no_gap(platform):
    image = {"type": "image", "image": {"id": "1", "mime_type": "image/jpeg"}}
    platform.generate(loaded := platform.load(platform.delivery(message=image)))
    platform.send(loaded)
    assert kept(platform) == []


def test_what_is_not_near_enough_is_not_given_to_the_model(platform, shelf):
    learn(shelf, WHITENING)
    assert "two weeks" in ask(platform, "How long does whitening at home take, and how many appointments?")
    said = ask(platform, "Which planet of the solar system has the most moons?")
    assert said.startswith("I am sorry, I do not know that.")
    known, unknown = platform.rows("select steps[0] as looked_up from turns order by started_at")
    assert known["looked_up"]["is_known"] and known["looked_up"]["nearest"] > 0.85
    assert not unknown["looked_up"]["is_known"] and unknown["looked_up"]["nearest"] < 0.8
    (gap,) = kept(platform)
    assert gap["score"] == pytest.approx(unknown["looked_up"]["nearest"], abs=1e-3)
    assert gap["embedding_model"] == "multilingual-e5-small/384" and gap["embedding"] is not None


def test_a_chatbots_own_threshold_counts(platform, shelf):
    learn(shelf, WHITENING)
    platform.rows("update chatbots set knowledge_threshold = 0.99 returning id")
    ask(platform, "How many appointments are the trays?")
    assert platform.rows("select steps[0] -> 'is_known' as is_known from turns") == [{"is_known": False}]


def test_without_the_embedding_model_words_decide(platform, shelf):
    learn(shelf, WHITENING)
    platform.rows(
        "update chatbots set embedding_model = 'text-embedding-3-small', embedding_dimensions = 512,"
        " embedding_resource_path = 'f/agent/openai' returning id"
    )
    assert "two weeks" in ask(platform, "How long does whitening at home take?")
    assert "nearest" not in platform.rows("select steps[0] as s from turns")[0]["s"] and kept(platform) == []


def test_when_a_person_has_taken_over_there_is_no_gap(platform, monkeypatch):
    loaded = platform.load(platform.delivery("Do you have a swimming pool?"))
    think = generate_reply.think

    def meanwhile(*arguments: Any) -> Any:
        thought = think(*arguments)
        platform.echo("I am here")
        return thought

    monkeypatch.setattr(generate_reply, "think", meanwhile)
    assert platform.generate(loaded)["state"] == "handed_over"
    assert kept(platform) == []


# The list -----------------------------------------------------------------------------------------


def test_alike_questions_are_one_group(platform, office, shelf):
    learn(shelf, WHITENING)
    for text in (
        "Is hypnosis possible?",
        "Would hypnosis be possible?",
        "Which planet has the most moons?",
    ):
        ask(platform, text)
    shown = call(platform, list_gaps.main)
    assert (shown["total"], shown["questions"]) == (2, 3)
    first, second = shown["gaps"]
    assert (first["count"], second["count"]) == (2, 1) and first["first_at"] < first["last_at"]
    assert [row["question"] for row in first["questions"]][-1] == "Is hypnosis possible?"
    assert first["questions"][0]["turn_id"] in {str(row["id"]) for row in platform.rows("select id from turns")}
    assert [gap["id"] for gap in call(platform, list_gaps.main, limit=1, offset=1)["gaps"]] == [second["id"]]
    assert (
        call(platform, list_gaps.main, limit=0)["status"] == call(platform, list_gaps.main, state="x")["status"] == 422
    )
    path, arguments, seconds = office.planned[0]
    assert (path, arguments, seconds) == ("f/admin/erase_run", {"job_id": arguments["job_id"]}, 60), "words are in it"


def test_what_is_dismissed_stays_away_with_its_like(platform, office, shelf):
    learn(shelf, WHITENING)
    ask(platform, "Which planet of the solar system has the most moons?")
    (gap,) = call(platform, list_gaps.main)["gaps"]
    assert call(platform, dismiss_gap.main, organization=BICIS, gap=gap["id"])["status"] == 404
    assert call(platform, dismiss_gap.main, "{admin}", gap=gap["id"])["status"] == 403
    assert call(platform, dismiss_gap.main, gap=gap["id"])["questions"] == 1
    assert call(platform, dismiss_gap.main, gap=gap["id"])["status"] == 404
    ask(platform, "Which planet in our solar system has most moons?")
    assert states(platform) == ["dismissed", "dismissed"] and call(platform, list_gaps.main)["total"] == 0
    assert call(platform, list_gaps.main, state="dismissed")["questions"] == 2


def test_a_tenant_sees_its_own(platform, office):
    ask(platform, "Do you have a swimming pool?")
    with connect(platform.database) as connection, tenant(connection, BICIS):
        assert connection.execute("select * from knowledge_gaps").fetchall() == []


def test_who_is_forgotten_leaves_no_question(platform, office, shelf):
    learn(shelf, WHITENING)
    ask(platform, "Which planet of the solar system has the most moons?")
    platform.rows("update conversations set lease_holder = null, lease_until = null returning id")
    erase_person.main(BOT, "34600111222")
    (gap,) = kept(platform)
    assert (gap["state"], gap["question"], gap["embedding"]) == ("erased", "[erased]", None)
    assert call(platform, list_gaps.main)["total"] == 0 and check_gaps.main(platform.database) == {}


# Later knowledge ----------------------------------------------------------------------------------


def test_later_knowledge_closes_what_it_answers_and_nothing_else(platform, office, shelf):
    learn(shelf, WHITENING)
    ask(platform, "Is hypnosis possible?")
    ask(platform, "Which planet has the most moons?")
    assert check_gaps.main(platform.database) == {"open": 2}
    assert check_gaps.main(platform.database) == {}, "nothing was learnt meanwhile"
    learn(shelf, "# Parking\n\nThe car park is behind the building.")
    assert check_gaps.main(platform.database) == {"open": 2}
    learn(shelf, HYPNOSIS)
    assert check_gaps.main(platform.database) == {"open": 1, "answered": 1}
    assert states(platform) == ["answered", "open"]
    ask(platform, "Can I learn surfing?")
    assert states(platform) == ["answered", "open", "open"]


def test_what_was_asked_before_there_were_documents_is_embedded_grouped_and_closed(platform, office, shelf):
    for text in ("Is hypnosis possible?", "Would hypnosis be possible?"):
        ask(platform, text)
    assert len({row["group_id"] for row in kept(platform)}) == 2
    assert check_gaps.main(platform.database) == {"open": 2}
    assert len({row["group_id"] for row in kept(platform)}) == 1
    learn(shelf, HYPNOSIS)
    assert check_gaps.main(platform.database) == {"answered": 2}


def test_one_run_has_bounded_work_and_the_next_goes_on(platform, office, monkeypatch):
    for text in ("Do you have a swimming pool?", "Who won the world cup?", "Is there a cinema?"):
        ask(platform, text)
    monkeypatch.setattr(check_gaps, "MOST", 2)
    assert [check_gaps.main(platform.database) for _ in range(3)] == [{"open": 2}, {"open": 1}, {}]


def test_without_the_embedding_model_others_are_looked_at_and_it_is_tried_again(platform, office):
    ask(platform, "Do you have a swimming pool?")
    platform.rows(
        "update chatbots set embedding_model = 'text-embedding-3-small', embedding_dimensions = 512,"
        " embedding_resource_path = 'f/agent/openai' returning id"
    )
    (before,) = kept(platform)
    assert check_gaps.main(platform.database) == check_gaps.main(platform.database) == {"postponed": 1}
    (after,) = kept(platform)
    assert after["checked_at"] > before["checked_at"] and after["state"] == "open"


def test_another_embedding_model_has_another_scale(platform, office, shelf):
    learn(shelf, WHITENING)
    ask(platform, "Which planet of the solar system has the most moons?")
    platform.rows("update knowledge_gaps set embedding_model = 'another/384', score = 0.1 returning id")
    assert check_gaps.main(platform.database) == {"open": 1}
    (gap,) = kept(platform)
    assert gap["embedding_model"] == "multilingual-e5-small/384" and gap["score"] > 0.6


def test_what_is_published_meanwhile_makes_it_due_again(platform, office, shelf):
    learn(shelf, WHITENING)
    ask(platform, "Is hypnosis possible?")
    (gap,) = kept(platform)

    def learns_meanwhile(_: Any) -> LocalEmbedder:
        learn(shelf, "# Parking\n\nThe car park is behind the building.")
        return LocalEmbedder()

    platform.rows("update knowledge_gaps set embedding = null, embedding_model = null returning id")
    assert gaps.check(shelf.connection, DENTAL, gap["id"], learns_meanwhile) == "open"
    assert check_gaps.main(platform.database) == {"open": 1}
