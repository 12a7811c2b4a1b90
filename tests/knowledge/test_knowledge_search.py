"""Search on a real database: inside the tenant, min(k, n), and with which index."""

import random

import psycopg
import pytest
from shelf import BICIS, DENTAL, Shelf
from systems import Database

from f.knowledge import retrieval, search_queries
from f.knowledge.embeddings import EmbeddingError, as_halfvec
from f.lib.database import tenant
from local import scale


def fill(shelf: Shelf, organization_id: str, chunks: int) -> None:
    """A source with many passages of random vectors, as the owner writes them."""
    job = shelf.learn(f"# Start\n\nOf {organization_id}.", organization_id=organization_id)
    shelf.owner.execute(
        "insert into document_chunks (organization_id, chatbot_id, source_id, version, position, headings, body,"
        " content_hash, length, embedding_model, embedding)"
        " select organization_id, chatbot_id, source_id, 1, n, '{}', 'passage ' || n, n::text, 2, embedding_model,"
        "  array(select random() - 0.5 from generate_series(1, 384) where n > 0)::vector::halfvec"
        " from document_chunks, generate_series(1, %s) n where source_id = %s and position = 0",
        [chunks, job.source_id],
    )
    shelf.owner.execute(
        "insert into chunk_terms (organization_id, chatbot_id, term, chunk_id, frequency, length)"
        " select organization_id, chatbot_id, 'w' || mod(position * 7 + n, 900), id, 1, 10"
        " from document_chunks, generate_series(1, 10) n where source_id = %s",
        [job.source_id],
    )


def test_a_tenant_finds_only_its_own_and_always_as_many_as_there_are(shelf: Shelf):
    for number in range(12):
        shelf.learn(f"# Precio {number}\n\nLa pieza {number} cuesta {number} euros.", organization_id=DENTAL)
    for number in range(3):
        shelf.learn(f"# Pieza {number}\n\nOtra pieza {number}.")
    for most, expected in ((2, 2), (6, 3), (50, 3)):
        found = shelf.search("¿cuánto cuesta la pieza 7?", most=most)
        assert len(found.passages) == expected
        mine = {
            str(row["id"]) for row in shelf.rows("select id from knowledge_sources where organization_id = %s", BICIS)
        }
        assert {str(passage.source_id) for passage in found.passages} <= mine
    assert len(shelf.search("euros", organization_id=DENTAL, most=50).passages) == 12
    with tenant(shelf.connection, BICIS):
        for table in ("document_chunks", "chunk_terms", "source_files", "knowledge_sources", "source_versions"):
            rows = shelf.connection.execute(f"select distinct organization_id::text as id from {table}").fetchall()
            assert [row["id"] for row in rows] == [BICIS], table


def test_a_source_cannot_be_of_another_tenants_chatbot(shelf: Shelf):
    values = [BICIS, shelf.chatbot(DENTAL)["id"]]
    with pytest.raises(psycopg.errors.ForeignKeyViolation), tenant(shelf.connection, BICIS):
        shelf.connection.execute(
            "insert into knowledge_sources (organization_id, chatbot_id, kind, name, url)"
            " values (%s, %s, 'url', 'x', 'https://example.com')",
            values,
        )


@pytest.mark.parametrize("text", ["", "   ", "¿?", "🚲", "la de que", "x" * 5000, "' or 1=1 --", "\\ \0 %s"])
def test_any_text_may_be_asked(shelf: Shelf, text):
    shelf.learn("# A\n\nAlgo.")
    assert len(shelf.search(text.replace("\0", "")).passages) <= 1


def test_a_re_ranker_changes_the_order_of_the_best_and_nothing_else(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    for number in range(8):
        shelf.learn(f"# Pieza {number}\n\nLa pieza {number} cuesta {number} euros.")
    monkeypatch.setattr(retrieval, "RERANKED", 3)
    bot = shelf.chatbot(BICIS)
    asked: list[int] = []

    def backwards(scored, near):
        asked.extend(near)
        return [(hit, -float(place)) for place, (hit, _) in enumerate(scored[::-1])]

    def search(rerank):
        return retrieval.search(shelf.connection, BICIS, bot, "¿cuánto cuesta la pieza 5?", shelf.embedder, 8, rerank)

    plain, turned = search(None), search(backwards)
    order = [hit for hit, _ in plain.ranked]
    assert order == [hit for hit, _ in plain.fused] and "pieza 5" in plain.passages[0].text
    assert [hit for hit, _ in turned.ranked] == order[2::-1] + order[3:] and sorted(asked) == sorted(order[:3])
    scores = [score for _, score in turned.ranked]
    assert scores == sorted(scores, reverse=True) and all(0 < score < 1 for score in scores)


def test_without_vectors_words_still_find(shelf: Shelf):
    class Broken:
        def question(self, text):
            raise EmbeddingError("text-embedding-3-small answered 500")

        passages = question

    shelf.learn("# Socios\n\nEl carné cuesta treinta euros.")
    found = retrieval.search(shelf.connection, BICIS, shelf.chatbot(BICIS), "carné", Broken())
    assert found.passages and found.problem == "text-embedding-3-small answered 500"


def test_a_word_that_one_language_leaves_out_is_not_looked_for_in_another(shelf: Shelf):
    shelf.learn("# Hours\n\nThe shop of la Ribera is open and the parking for all of you is free, as it has been.")
    for number in range(5):
        shelf.learn(f"# Horario {number}\n\nLa tienda abre a las {number} y los sábados no está abierta para nadie.")
    first = shelf.search("la tienda").by_words[0][0]
    (row,) = shelf.rows("select body from document_chunks where id = %s", first)
    assert "tienda" in row["body"]


def plan(shelf: Shelf, query: str, organization_id: str) -> str:
    bot = shelf.chatbot(organization_id)
    vector = as_halfvec([random.random() - 0.5 for _ in range(384)])
    values = {"organization_id": organization_id, "chatbot_id": bot["id"], "vector": vector, "most": 10}
    values |= {"embedding_model": "multilingual-e5-small/384", "terms": ["w7"], "chunks": 10, "average_length": 5}
    values["ids"] = []
    with tenant(shelf.connection, organization_id):
        shelf.connection.execute(search_queries.ITERATE)
        rows = shelf.connection.execute(f"explain {query}", {**values, "k1": 1.2, "b": 0.75}).fetchall()
    return "\n".join(row["QUERY PLAN"] for row in rows)


def test_when_the_index_is_used(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    """A small tenant beside a large one: exact never uses the index, the indexed query does, and none loses rows."""
    fill(shelf, BICIS, 40)
    fill(shelf, DENTAL, 3000)
    shelf.owner.execute("vacuum analyze document_chunks, chunk_terms")
    indexed = search_queries.BY_MEANING_INDEXED.format(384)
    assert "document_chunks_384" in plan(shelf, indexed, DENTAL)
    assert "document_chunks_384" not in plan(shelf, search_queries.BY_MEANING, DENTAL)
    assert "document_chunks_of_chatbot" in plan(shelf, search_queries.BY_MEANING, BICIS)
    assert "chunk_terms_found" in plan(shelf, search_queries.BY_WORDS, DENTAL)
    exact = [hit for hit, _ in shelf.search("passage", organization_id=DENTAL).by_meaning]
    monkeypatch.setattr(retrieval, "EXACT_NUMBERS", 1)
    near = [hit for hit, _ in shelf.search("passage", organization_id=DENTAL).by_meaning]
    # These vectors are random, which no index likes; `./dev eval --scale` measures the recall.
    assert len(near) == len(exact) == 50 and len(set(near[:10]) & set(exact[:10])) >= 5
    assert len(shelf.search("passage").by_meaning) == 41, "min(k, n), also of a tenant with few of the rows"


def test_a_document_that_repeats_itself_leaves_room_for_others(shelf: Shelf):
    shelf.learn("\n\n".join("The workshop repairs bicycles of every kind, today as always. " * 20 for _ in range(25)))
    for subject in ("garden", "piano", "lake", "tower", "bread", "train", "lamp", "wool"):
        shelf.learn(f"# The {subject}\n\nThe {subject} of every kind is here.")
    assert len(shelf.search("The workshop repairs bicycles of every kind").passages) == 6


def test_a_crowd_of_tenants_with_the_same_text(seeded_database: Database, shelf: Shelf):
    """Row-level security and the conditions of every query: a thousand tenants are `./dev eval --scale`."""
    with psycopg.connect(seeded_database.owner_url, autocommit=True) as owner:
        crowd = scale.measure_crowd(owner, shelf.connection, 1000, passages=3, searched=40)
    assert crowd["tenants"] == 1000 and crowd["searches"] == 80
    assert (crowd["foreign"], crowd["short"]) == (0, 0)
