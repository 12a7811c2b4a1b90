"""Versions, on a real database: whole or not at all, whenever it is killed."""

import pytest
from shelf import BICIS, DENTAL, Shelf

from f.knowledge import ingestion, queries, versions
from f.knowledge.chunks import split
from f.knowledge.versions import Job, Refused
from f.lib.database import tenant

TEXT = "# Socios\n\nEl carné cuesta treinta euros al año.\n\n# Noche\n\nEl guardabicis está junto a la tienda."


def source(shelf: Shelf, job: Job) -> dict:
    (row,) = shelf.rows("select * from knowledge_sources where id = %s", job.source_id)
    return row


def counts(shelf: Shelf) -> dict[str, int]:
    tables = ("source_files", "knowledge_sources", "source_versions", "staged_chunks", "document_chunks", "chunk_terms")
    return {table: shelf.rows(f"select count(*) as n from {table}")[0]["n"] for table in tables}


def test_a_text_is_found_with_its_heading(shelf: Shelf):
    job = shelf.learn(TEXT)
    found = shelf.search("¿cuánto cuesta el carné?")
    assert found.passages[0].headings == ("Socios",) and found.passages[0].positions[0] == 0
    assert source(shelf, job)["state"] == "ready" and source(shelf, job)["chunks"] == 2
    assert source(shelf, job)["language"] == "spanish"
    assert counts(shelf)["staged_chunks"] == 0


def test_nothing_of_a_version_is_found_before_all_of_it(shelf: Shelf):
    job = shelf.add(TEXT)
    assert shelf.stage(job) == "staged"
    assert shelf.search("carné").passages == []
    ingestion.embed(shelf.connection, job, shelf.embedder)
    assert shelf.search("carné").passages == []
    shelf.owner.execute("update staged_chunks set embedding = null where position = 1")
    with pytest.raises(RuntimeError, match="1 of 2 chunks are not embedded"):
        ingestion.publish(shelf.connection, job)
    assert shelf.search("carné").passages == []


def test_it_goes_on_where_it_was_killed(shelf: Shelf):
    job = shelf.add("\n\n".join(f"# H{n}\n\nText {n} of many." for n in range(70)))
    shelf.stage(job)

    class Killed(BaseException): ...

    def kill() -> None:
        raise Killed

    with pytest.raises(Killed):
        ingestion.embed(shelf.connection, job, shelf.embedder, rest=kill)
    assert len(shelf.embedder.asked) == ingestion.BATCH
    assert shelf.stage(job) == "staged"
    ingestion.embed(shelf.connection, job, shelf.embedder)
    assert len(shelf.embedder.asked) == 70
    assert [ingestion.publish(shelf.connection, job) for _ in range(2)] == ["published", "published"]
    assert counts(shelf)["document_chunks"] == 70


def test_what_is_the_same_is_not_embedded_again_and_what_vanished_is_gone(shelf: Shelf):
    job = shelf.learn(TEXT)
    before = len(shelf.embedder.asked)
    second = shelf.change(job, TEXT.replace("treinta", "cuarenta"))
    assert shelf.search("carné treinta").passages[0].text.count("treinta") == 1
    assert shelf.ingest(second) == "published"
    assert len(shelf.embedder.asked) - before == 1
    texts = [p.text for p in shelf.search("carné treinta euros").passages]
    assert any("cuarenta" in text for text in texts) and not any("treinta" in text for text in texts)
    assert counts(shelf)["document_chunks"] == 2
    embedded = shelf.rows("select version, outcome, embedded from source_versions order by 1")
    assert [tuple(row.values()) for row in embedded] == [(1, "ready", 2), (2, "ready", 1)]


def test_an_unchanged_source_keeps_its_version(shelf: Shelf):
    job = shelf.learn(TEXT)
    again = shelf.change(job, TEXT)
    assert shelf.ingest(again) == "unchanged"
    assert (source(shelf, job)["state"], source(shelf, job)["version"]) == ("ready", 1)


def test_an_older_run_changes_nothing(shelf: Shelf):
    job = shelf.add(TEXT)
    shelf.stage(job)
    newer = shelf.change(job, "# Neu\n\nAnders.")
    assert ingestion.embed(shelf.connection, job, shelf.embedder) == "superseded"
    assert ingestion.publish(shelf.connection, job) == "superseded"
    assert shelf.ingest(newer) == "published"
    assert [p.text for p in shelf.search("carné").passages] == ["Anders."]


def test_a_failure_has_its_reason_and_leaves_what_was_found(shelf: Shelf):
    job = shelf.learn(TEXT)
    empty = shelf.change(job, "# Only a heading")
    with pytest.raises(Refused) as refused:
        shelf.ingest(empty)
    assert versions.fail(shelf.connection, empty, refused.value.code, str(refused.value))
    assert (source(shelf, job)["state"], source(shelf, job)["error_code"]) == ("failed", "empty")
    assert shelf.search("carné").passages


def test_pages_beyond_the_plan_are_refused(shelf: Shelf):
    shelf.owner.execute("update plans set knowledge_pages = 0")
    with pytest.raises(Refused, match="the plan has 0"):
        shelf.ingest(shelf.add(TEXT))


def test_a_source_that_was_deleted_meanwhile_stays_deleted(shelf: Shelf):
    job = shelf.add(TEXT)
    shelf.stage(job)
    with tenant(shelf.connection, BICIS):
        shelf.connection.execute(queries.DELETE_SOURCE, job.keys)
    assert ingestion.embed(shelf.connection, job, shelf.embedder) == "gone"
    assert ingestion.publish(shelf.connection, job) == "gone"


def test_deleting_takes_everything_but_bytes_that_others_have(shelf: Shelf):
    job, other = shelf.learn(TEXT), shelf.learn(TEXT, organization_id=DENTAL)
    with tenant(shelf.connection, BICIS):
        gone = shelf.connection.execute(queries.DELETE_SOURCE, job.keys).fetchone()
        shelf.connection.execute(queries.DELETE_FILE, {**job.keys, **gone})
    left = counts(shelf)
    assert (left["source_files"], left["knowledge_sources"], left["document_chunks"]) == (1, 1, 2)
    assert {str(row["organization_id"]) for row in shelf.rows("select organization_id from chunk_terms")} == {DENTAL}
    assert shelf.search("carné", organization_id=DENTAL).passages[0].source_id.hex == other.source_id.replace("-", "")


def test_what_stands_still_or_is_embedded_otherwise_is_taken_up(shelf: Shelf):
    job, ready = shelf.add(TEXT), shelf.learn("# Anderes\n\nDing.")

    def stalled() -> dict[str, bool]:
        rows = shelf.connection.execute(queries.STALLED, {"most": 9}).fetchall()
        return {str(row["source_id"]): row["is_new"] for row in rows}

    assert stalled() == {}
    shelf.owner.execute("update knowledge_sources set touched_at = now() - interval '6 minutes'")
    assert stalled() == {job.source_id: False}
    shelf.owner.execute(
        "update chatbots set embedding_model = 'text-embedding-3-small', embedding_dimensions = 512,"
        " embedding_resource_path = 'f/agent/openai'"
    )
    assert stalled() == {job.source_id: False, ready.source_id: True}
    assert shelf.search("Ding").by_words and not shelf.search("Ding").by_meaning


def test_chunks_of_the_shelf_are_those_of_the_splitter():
    assert len(split([(None, TEXT)])) == 2
