"""What stands still is taken up by one schedule: over Windmill's API, a few times, and then given up."""

from uuid import uuid4

import pytest
from shelf import BICIS, Shelf
from windmills import Windmill

from f.knowledge import crawling, versions
from f.knowledge.resume_runs import RESUMPTIONS, take_up
from f.knowledge.runs import INGESTION, begin

TEXT = "# Alquiler\n\nUna bicicleta cuesta 12 euros al día."


def test_a_source_that_stands_still_goes_on_and_is_given_up_in_the_end(shelf: Shelf, windmill: Windmill):
    job = shelf.add(TEXT)
    begin(shelf.connection, INGESTION, BICIS, job.source_id)
    assert windmill.started == [("ingest_source", job.keys)]
    ends = []
    for _ in range(versions.MAX_ATTEMPTS):
        shelf.owner.execute("update knowledge_sources set touched_at = now() - interval '6 minutes'")
        ends.append(take_up(shelf.connection, RESUMPTIONS["ingestions"]))
    again = {"started": 1, "given_up": 0}
    assert ends == [again] * (versions.MAX_ATTEMPTS - 1) + [{"started": 0, "given_up": 1}]
    assert windmill.started == [("ingest_source", job.keys)] * versions.MAX_ATTEMPTS
    (source,) = shelf.rows("select state, error_code from knowledge_sources where id = %s", job.source_id)
    assert source == {"state": "failed", "error_code": "interrupted"}


def test_a_run_that_waits_for_a_worker_is_not_doubled(shelf: Shelf, windmill: Windmill):
    job = shelf.add(TEXT)
    begin(shelf.connection, INGESTION, BICIS, job.source_id)
    windmill.are_open = True
    for _ in range(versions.MAX_ATTEMPTS + 1):
        shelf.owner.execute("update knowledge_sources set touched_at = now() - interval '6 minutes'")
        assert take_up(shelf.connection, RESUMPTIONS["ingestions"]) == {"started": 0, "given_up": 0}
        # Looked after, it does not come before others at the next minute.
        assert take_up(shelf.connection, RESUMPTIONS["ingestions"]) == {"started": 0, "given_up": 0}
    (source,) = shelf.rows("select state, attempts from knowledge_sources where id = %s", job.source_id)
    assert source == {"state": "pending", "attempts": 1}


def test_a_source_whose_model_was_changed_gets_a_new_version(shelf: Shelf, windmill: Windmill):
    job = shelf.learn(TEXT)
    shelf.owner.execute(
        "update chatbots set embedding_model = 'text-embedding-3-small', embedding_dimensions = 512,"
        " embedding_resource_path = 'f/agent/openai'"
    )
    assert take_up(shelf.connection, RESUMPTIONS["ingestions"]) == {"started": 1, "given_up": 0}
    assert windmill.started == [("ingest_source", job.keys | {"version": 2})]
    assert take_up(shelf.connection, RESUMPTIONS["ingestions"]) == {"started": 0, "given_up": 0}


def test_a_crawl_that_is_due_begins_and_one_that_stands_still_is_given_up_in_the_end(shelf: Shelf, windmill: Windmill):
    crawl_id = str(uuid4())
    shelf.owner.execute(
        "insert into crawls (organization_id, id, chatbot_id, name, url, state, run, next_at, every_hours)"
        " values (%s, %s, %s, 'Shop', 'https://shop.example/', 'ready', 1, now(), 24)",
        [BICIS, crawl_id, shelf.chatbot(BICIS)["id"]],
    )
    ends = []
    for _ in range(crawling.MAX_ATTEMPTS + 1):
        ends.append(take_up(shelf.connection, RESUMPTIONS["crawls"]))
        shelf.owner.execute("update crawls set touched_at = now() - interval '6 minutes'")
    assert ends == [{"started": 1, "given_up": 0}] * crawling.MAX_ATTEMPTS + [{"started": 0, "given_up": 1}]
    keys = {"organization_id": BICIS, "crawl_id": crawl_id, "run": 2}
    assert windmill.started == [("crawl_site", keys)] * crawling.MAX_ATTEMPTS
    (crawl,) = shelf.rows("select state, error_code from crawls where id = %s", crawl_id)
    assert crawl == {"state": "failed", "error_code": "interrupted"}


def test_what_windmill_does_not_take_now_is_taken_up_later(
    shelf: Shelf, windmill: Windmill, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    job = shelf.add(TEXT)
    with monkeypatch.context() as away:
        away.setenv("BASE_INTERNAL_URL", "http://127.0.0.1:1")
        begin(shelf.connection, INGESTION, BICIS, job.source_id)
    assert "could not be queued: ConnectError" in capsys.readouterr().out and windmill.started == []
    shelf.owner.execute("update knowledge_sources set touched_at = now() - interval '2 minutes'")
    assert take_up(shelf.connection, RESUMPTIONS["ingestions"]) == {"started": 1, "given_up": 0}
