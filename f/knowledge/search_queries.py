# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements that look for passages, by name."""

HAS_KNOWLEDGE = """
select exists (select from knowledge_sources where organization_id = %(organization_id)s
               and chatbot_id = %(chatbot_id)s and version is not null) as known
"""

#: How many passages there are, and the question's words by the rules of every language among the sources. What one of
#: them leaves out is left out: where most sources are Spanish, `de` would be rare and weighty in the English ones.
PREPARE_SEARCH = """
select (select count(*) from document_chunks
        where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s) as chunks,
       (select coalesce(avg(length), 0)::double precision from document_chunks
        where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s) as average_length,
       (select coalesce(array_agg(distinct lexeme), '{}') from (
          select unnest(array_agg(lexemes.list)) as lexeme
          from unnest(%(words)s::text[]) as asked (word)
          cross join (select distinct language from knowledge_sources
                      where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s
                        and version is not null) as used
          cross join lateral (
            select (tsvector_to_array(to_tsvector(used.language::regconfig, asked.word)))[1] as list) as lexemes
          group by asked.word having bool_and(lexemes.list is not null)) as kept) as terms
"""

#: BM25 as Lucene has it, of the best ones and those of `ids`. How many passages have a word is counted from the words
#: that are there. A word's weight is worked out once, and its passages are looked up word by word (`offset 0` keeps it
#: so): a plan that is made without knowing how common the words are would compare each passage with each word.
BY_WORDS = """
with weights as materialized (
  select term, ln(1 + (%(chunks)s - passages + 0.5) / (passages + 0.5))::double precision as weight
  from (select term, count(*) as passages from chunk_terms
        where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s and term = any(%(terms)s)
        group by term) as counted
), scored as materialized (
  select chunk_id as id,
         sum(weight * frequency / (frequency + %(k1)s * (1 - %(b)s + %(b)s * length / %(average_length)s))) as score
  from weights cross join lateral (
    select chunk_id, frequency, length from chunk_terms
    where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s and term = weights.term
    offset 0) as found
  group by chunk_id
)
select id, score from scored
where id in (select id from scored order by score desc, id limit %(most)s) or id = any(%(ids)s)
order by score desc, id
"""

#: Exact: the expression is not the one of an index, and the tenant's rows are few enough to look at all of them.
BY_MEANING = """
select id, 1 - (embedding <=> %(vector)s::halfvec) as score from document_chunks
where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s
  and embedding_model = %(embedding_model)s
order by embedding <=> %(vector)s::halfvec, id limit %(most)s
"""

ITERATE = """
select set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '200', true),
       set_config('hnsw.max_scan_tuples', '200000', true)
"""

#: With the index of the dimension ({0}), which goes on until it has found enough of the tenant's rows.
BY_MEANING_INDEXED = """
select id, 1 - distance as score from (
  select id, embedding::halfvec({0}) <=> %(vector)s::halfvec({0}) as distance from document_chunks
  where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s
    and embedding_model = %(embedding_model)s and vector_dims(embedding) = {0}
  order by embedding::halfvec({0}) <=> %(vector)s::halfvec({0}) limit %(most)s
) as nearest order by distance, id
"""

#: How near passages are to the question that were found by their words alone.
MEANING_OF = """
select id, 1 - (embedding <=> %(vector)s::halfvec) as score from document_chunks
where organization_id = %(organization_id)s and id = any(%(ids)s) and embedding_model = %(embedding_model)s
"""

#: The nearest of some passages to each of them.
NEAREST = """
with these as materialized (
  select id, embedding from document_chunks
  where organization_id = %(organization_id)s and id = any(%(ids)s) and embedding_model = %(embedding_model)s
)
select one.id as one, other.id, other.score from these one cross join lateral (
  select id, 1 - (embedding <=> one.embedding) as score from these
  where id <> one.id order by embedding <=> one.embedding, id limit %(nearest)s) as other
"""

READ_CHUNKS = """
select d.id, d.source_id, d.version, d.position, d.headings, d.page, d.body, d.content_hash, s.name, s.kind, s.url
from document_chunks d join knowledge_sources s on (s.organization_id, s.id) = (d.organization_id, d.source_id)
where d.organization_id = %(organization_id)s and d.id = any(%(ids)s)
"""

STORE_ANSWER_PASSAGE = """
insert into answer_passages (organization_id, turn_id, number, source_id, source_name, version, positions, headings,
                             page, content_hash, score, is_cited)
values (%(organization_id)s, %(turn_id)s, %(number)s, %(source_id)s, %(source_name)s, %(version)s, %(positions)s,
        %(headings)s, %(page)s, %(content_hash)s, %(score)s, %(is_cited)s)
on conflict do nothing
"""
