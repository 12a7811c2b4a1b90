# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements of the knowledge, by name."""

# Callers ----------------------------------------------------------------------------------------

FIND_CHATBOT = """
select id, slug, language, embedding_model, embedding_dimensions, embedding_resource_path from chatbots
where organization_id = %(organization_id)s and (id::text = lower(%(chatbot)s) or slug = %(chatbot)s)
"""

#: Whoever adds to an organisation's knowledge holds this row: the limits are counted by one at a time.
LOCK_DAY = """
insert into ingestion_days (organization_id, day) values (%(organization_id)s, (now() at time zone 'UTC')::date)
on conflict (organization_id, day) do update set ingestions = ingestion_days.ingestions
"""

COUNT_INGESTION = """
update ingestion_days set ingestions = ingestions + 1
where organization_id = %(organization_id)s and day = (now() at time zone 'UTC')::date
"""

READ_QUOTA = """
select o.plan_code as plan,
       coalesce(o.knowledge_sources, p.knowledge_sources) as most_sources,
       coalesce(o.knowledge_pages, p.knowledge_pages) as most_pages,
       coalesce(o.knowledge_bytes, p.knowledge_bytes) as most_bytes,
       coalesce(o.daily_ingestions, p.daily_ingestions) as most_ingestions,
       (select count(*) from knowledge_sources where organization_id = o.organization_id) as sources,
       (select coalesce(sum(pages), 0) from knowledge_sources where organization_id = o.organization_id) as pages,
       (select coalesce(sum(size), 0) from source_files where organization_id = o.organization_id) as bytes,
       coalesce((select ingestions from ingestion_days where organization_id = o.organization_id
                 and day = (now() at time zone 'UTC')::date), 0) as ingestions
from organizations o join plans p on p.code = o.plan_code
where o.organization_id = %(organization_id)s
"""

# Sources ----------------------------------------------------------------------------------------

#: Also when it is there already: nobody can take it away before the source that names it is stored.
KEEP_FILE = """
insert into source_files as f (organization_id, sha256, bytes)
values (%(organization_id)s, %(file_sha256)s, %(bytes)s)
on conflict (organization_id, sha256) do update set sha256 = f.sha256
"""

KNOWS_FILE = """
select exists (select from source_files where organization_id = %(organization_id)s
               and sha256 = %(file_sha256)s) as known
"""

FIND_SAME = """
select id from knowledge_sources
where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s
  and (file_sha256 = %(file_sha256)s or url = %(url)s)
"""

ADD_SOURCE = """
insert into knowledge_sources (organization_id, id, chatbot_id, kind, name, url, content_type, file_sha256,
                               wanted_language)
values (%(organization_id)s, %(source_id)s, %(chatbot_id)s, %(kind)s, %(name)s, %(url)s, %(content_type)s,
        %(file_sha256)s, %(language)s)
on conflict do nothing returning id
"""

SOURCES = """
select s.id, s.kind, s.name, s.url, s.crawl_id, s.content_type, s.file_sha256, s.language, s.state, s.progress_done,
       s.progress_total, s.error_code, s.error_message, s.warnings, s.version, s.wanted_version, s.pages, s.chunks,
       s.created_at, s.updated_at, f.size
from knowledge_sources s
left join source_files f on (f.organization_id, f.sha256) = (s.organization_id, s.file_sha256)
where s.organization_id = %(organization_id)s and s.chatbot_id = %(chatbot_id)s
"""

LIST_SOURCES = f"{SOURCES} order by s.created_at desc, s.id limit %(limit)s offset %(offset)s"
COUNT_SOURCES = """
select count(*) as n from knowledge_sources
where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s
"""
SHOW_SOURCE = f"{SOURCES} and s.id::text = %(source_id)s"

SHOW_VERSIONS = """
select version, outcome, error_code, pages, chunks, embedded, created_at, settled_at from source_versions
where organization_id = %(organization_id)s and source_id::text = %(source_id)s order by version desc limit 20
"""

LOCK_SOURCE = """
select s.*, c.language as chatbot_language, c.embedding_model as wanted_model,
       c.embedding_dimensions as wanted_dimensions, c.embedding_resource_path
from knowledge_sources s join chatbots c on (c.organization_id, c.id) = (s.organization_id, s.chatbot_id)
where s.organization_id = %(organization_id)s and s.id::text = %(source_id)s for update of s
"""

DELETE_SOURCE = """
delete from knowledge_sources where organization_id = %(organization_id)s and id::text = %(source_id)s
returning file_sha256
"""

DELETE_FILE = """
delete from source_files f where organization_id = %(organization_id)s and sha256 = %(file_sha256)s
  and not exists (select from knowledge_sources s
                  where (s.organization_id, s.file_sha256) = (f.organization_id, f.sha256))
"""

#: A new version is wanted; what was wanted before and is not done is not wanted any more.
WANT_VERSION = """
with superseded as (
  update source_versions set outcome = 'superseded', settled_at = now()
  where organization_id = %(organization_id)s and source_id = %(source_id)s and outcome is null
)
update knowledge_sources
set wanted_version = wanted_version + 1, state = 'pending', error_code = null, error_message = null, attempts = 0,
    progress_done = 0, progress_total = 0, touched_at = now(), updated_at = now()
where organization_id = %(organization_id)s and id = %(source_id)s
returning wanted_version
"""

# Ingestion --------------------------------------------------------------------------------------

STALLED = "select organization_id, source_id, is_changed from stalled_ingestions(interval '5 minutes', %(most)s)"

COUNT_ATTEMPT = """
update knowledge_sources set attempts = attempts + 1, touched_at = now()
where organization_id = %(organization_id)s and id = %(source_id)s returning attempts, wanted_version
"""

BEGIN_VERSION = """
insert into source_versions (organization_id, source_id, version)
values (%(organization_id)s, %(source_id)s, %(version)s) on conflict do nothing
"""

IS_STAGED = """
select count(*) as chunks from staged_chunks
where organization_id = %(organization_id)s and source_id = %(source_id)s and version = %(version)s
"""

READ_FILE = "select bytes from source_files where organization_id = %(organization_id)s and sha256 = %(file_sha256)s"

SET_STATE = """
update knowledge_sources
set state = %(state)s, touched_at = now(), updated_at = now(), error_code = null, error_message = null
where organization_id = %(organization_id)s and id = %(source_id)s
"""

OTHER_PAGES = """
select coalesce(sum(pages), 0) as pages from knowledge_sources
where organization_id = %(organization_id)s and id <> %(source_id)s
"""

STAGE_CHUNK = """
insert into staged_chunks (organization_id, source_id, version, position, headings, page, body, content_hash, terms)
values (%(organization_id)s, %(source_id)s, %(version)s, %(position)s, %(headings)s, %(page)s, %(body)s,
        %(content_hash)s, to_tsvector(%(configuration)s::regconfig, %(search_text)s))
on conflict do nothing
"""

#: What the organisation has embedded already, in this or another source, is taken over.
REUSE_EMBEDDINGS = """
update staged_chunks s set embedding = known.embedding, is_reused = true
from (select distinct on (content_hash) content_hash, embedding from document_chunks
      where organization_id = %(organization_id)s and embedding_model = %(embedding_model)s
        and content_hash = any(%(hashes)s)) as known
where s.organization_id = %(organization_id)s and s.source_id = %(source_id)s and s.version = %(version)s
  and s.content_hash = known.content_hash
"""

STAGED = """
with counted as (
  select count(*) as total, count(*) filter (where embedding is not null) as done from staged_chunks
  where organization_id = %(organization_id)s and source_id = %(source_id)s and version = %(version)s
)
update knowledge_sources
set state = 'embedding', progress_done = counted.done, progress_total = counted.total, touched_at = now(),
    updated_at = now(), warnings = %(warnings)s
from counted
where organization_id = %(organization_id)s and id = %(source_id)s
returning progress_total
"""

COUNT_VERSION = """
update source_versions
set pages = %(pages)s, chunks = %(chunks)s, content_hash = %(content_hash)s,
    embedding_model = %(embedding_model)s, language = %(configuration)s
where organization_id = %(organization_id)s and source_id = %(source_id)s and version = %(version)s
"""

#: The same text once, however often the document has it.
NOT_EMBEDDED = """
select distinct on (content_hash) content_hash, headings, body from staged_chunks
where organization_id = %(organization_id)s and source_id = %(source_id)s and version = %(version)s
  and embedding is null
order by content_hash limit %(most)s
"""

STORE_EMBEDDING = """
update staged_chunks set embedding = %(embedding)s::halfvec
where organization_id = %(organization_id)s and source_id = %(source_id)s and version = %(version)s
  and content_hash = %(content_hash)s and embedding is null
"""

TOUCH = """
update knowledge_sources set touched_at = now(), progress_done = (
  select count(*) from staged_chunks where organization_id = %(organization_id)s and source_id = %(source_id)s
    and version = %(version)s and embedding is not null)
where organization_id = %(organization_id)s and id = %(source_id)s and wanted_version = %(version)s
returning id
"""

# Publishing: one transaction --------------------------------------------------------------------

PATIENCE = "set local statement_timeout = '300s'"

UNFINISHED = """
select count(*) filter (where embedding is null) as missing, count(*) as chunks,
       count(distinct content_hash) filter (where not is_reused) as embedded
from staged_chunks
where organization_id = %(organization_id)s and source_id = %(source_id)s and version = %(version)s
"""

DROP_CHUNKS = "delete from document_chunks where organization_id = %(organization_id)s and source_id = %(source_id)s"

MOVE_CHUNKS = """
with staged as (
  select s.*, coalesce((select sum(array_length(t.positions, 1)) from unnest(s.terms) t), 0)::integer as length
  from staged_chunks s
  where s.organization_id = %(organization_id)s and s.source_id = %(source_id)s and s.version = %(version)s
), added as (
  insert into document_chunks (organization_id, chatbot_id, source_id, version, position, headings, page, body,
                               content_hash, length, embedding_model, embedding)
  select organization_id, %(chatbot_id)s, source_id, version, position, headings, page, body, content_hash, length,
         %(embedding_model)s, embedding
  from staged order by position
  returning id, position, length
)
insert into chunk_terms (organization_id, chatbot_id, term, chunk_id, frequency, length)
select %(organization_id)s, %(chatbot_id)s, t.lexeme, added.id, array_length(t.positions, 1), added.length
from added join staged using (position) cross join lateral unnest(staged.terms) t
"""

DROP_STAGED = "delete from staged_chunks where organization_id = %(organization_id)s and source_id = %(source_id)s"

SETTLE_SOURCE = """
update knowledge_sources s
set state = 'ready', version = %(version)s, language = v.language,
    embedding_model = v.embedding_model, content_hash = v.content_hash, pages = v.pages,
    chunks = v.chunks, error_code = null, error_message = null, touched_at = now(),
    updated_at = now(), progress_done = progress_total
from source_versions v
where (v.organization_id, v.source_id, v.version) = (%(organization_id)s, %(source_id)s, %(version)s)
  and s.organization_id = %(organization_id)s and s.id = %(source_id)s
"""

#: Nothing has changed: the version that is there stays.
KEEP_VERSION = """
update knowledge_sources
set state = 'ready', error_code = null, error_message = null, touched_at = now(), updated_at = now()
where organization_id = %(organization_id)s and id = %(source_id)s
"""

SETTLE_VERSION = """
update source_versions
set outcome = %(outcome)s, error_code = %(error_code)s, embedded = %(embedded)s, settled_at = now()
where organization_id = %(organization_id)s and source_id = %(source_id)s and version = %(version)s
  and outcome is null
"""

FAIL_SOURCE = """
update knowledge_sources
set state = 'failed', error_code = %(error_code)s, error_message = %(error_message)s, touched_at = now(),
    updated_at = now()
where organization_id = %(organization_id)s and id = %(source_id)s and wanted_version = %(version)s
  and state <> 'ready'
returning id
"""

# Search -----------------------------------------------------------------------------------------

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
#: that are there.
BY_WORDS = """
with found as (
  select chunk_id, frequency, length, count(*) over (partition by term) as passages
  from chunk_terms
  where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s and term = any(%(terms)s)
), scored as materialized (
  select chunk_id as id,
         sum(ln(1 + (%(chunks)s - passages + 0.5) / (passages + 0.5))
             * frequency / (frequency + %(k1)s * (1 - %(b)s + %(b)s * length / %(average_length)s)))::double precision
         as score
  from found group by chunk_id
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

# Crawls: settings and state ---------------------------------------------------------------------

ADD_CRAWL = """
insert into crawls (organization_id, id, chatbot_id, name, url, wanted_language, max_pages, max_depth, every_hours)
values (%(organization_id)s, %(crawl_id)s, %(chatbot_id)s, %(name)s, %(url)s, %(language)s, %(max_pages)s,
        %(max_depth)s, %(every_hours)s)
on conflict do nothing returning id
"""

COUNT_CRAWLS = """
select (select count(*) from crawls where organization_id = o.organization_id) as crawls, p.crawls as most_crawls
from organizations o join plans p on p.code = o.plan_code where o.organization_id = %(organization_id)s
"""

CRAWLS = """
select c.id, c.name, c.url, c.wanted_language as language, c.state, c.run, c.every_hours, c.pages_found, c.pages_read,
       c.bytes, c.cut, c.error_code, c.error_message, c.warnings, c.started_at, c.finished_at, c.next_at, c.created_at,
       c.updated_at, least(c.max_pages, p.crawl_pages) as most_pages, least(c.max_depth, p.crawl_depth) as most_depth,
       p.crawl_bytes as most_bytes, p.crawl_seconds as most_seconds
from crawls c join organizations o using (organization_id) join plans p on p.code = o.plan_code
where c.organization_id = %(organization_id)s and c.chatbot_id = %(chatbot_id)s
"""
LIST_CRAWLS = f"{CRAWLS} order by c.created_at desc, c.id limit 200"
SHOW_CRAWL = f"{CRAWLS} and c.id::text = %(crawl_id)s"

#: How far a crawl is: what became of its pages in this run, and how far those that are knowledge are.
COUNT_PAGES = """
select (select coalesce(jsonb_object_agg(state, n), '{}') from (
          select state, count(*) as n from crawl_pages
          where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s and run = %(run)s
          group by state) as pages) as pages,
       (select coalesce(jsonb_object_agg(state, n), '{}') from (
          select state, count(*) as n from knowledge_sources
          where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s group by state) as sources) as sources
"""

LIST_PAGES = """
select p.url, case when p.run = %(run)s then p.state else 'not_reached' end as state, p.reason, p.depth, p.source_id,
       p.is_excluded, s.state as source_state, s.error_code as source_error, p.touched_at
from crawl_pages p
left join knowledge_sources s on (s.organization_id, s.id) = (p.organization_id, p.source_id)
where p.organization_id = %(organization_id)s and p.crawl_id = %(crawl_id)s
order by p.depth, p.position limit %(limit)s offset %(offset)s
"""

CHANGE_CRAWL = """
update crawls
set every_hours = case when %(changes_schedule)s then %(every_hours)s else every_hours end,
    next_at = case when %(changes_schedule)s then null else next_at end,
    max_pages = coalesce(%(max_pages)s, max_pages), max_depth = coalesce(%(max_depth)s, max_depth), updated_at = now()
where organization_id = %(organization_id)s and id = %(crawl_id)s
"""

WANT_RUN = """
update crawls
set run = run + 1, state = 'pending', attempts = 0, prepared_at = null, is_rechecking = false, pages_read = 0,
    pages_found = 0, bytes = 0, cut = null, warnings = '[]', error_code = null, error_message = null,
    started_at = null, finished_at = null, next_at = null, touched_at = now(), updated_at = now()
where organization_id = %(organization_id)s and id = %(crawl_id)s and state not in ('pending', 'running')
returning run
"""

END_RUN = """
update crawls
set state = %(state)s, error_code = %(error_code)s, error_message = %(error_message)s, finished_at = now(),
    next_at = now() + every_hours * interval '1 hour', touched_at = now(), updated_at = now()
where organization_id = %(organization_id)s and id = %(crawl_id)s and run = %(run)s
  and state in ('pending', 'running')
returning id
"""

DELETE_CRAWL = "delete from crawls where organization_id = %(organization_id)s and id = %(crawl_id)s"

SOURCES_OF_CRAWL = """
select id as source_id from knowledge_sources
where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s
"""

#: A page whose source its tenant deletes is not to come back.
EXCLUDE_PAGE = """
update crawl_pages set is_excluded = true
where organization_id = %(organization_id)s and source_id::text = %(source_id)s
"""

# Crawls: a run ----------------------------------------------------------------------------------

DUE_CRAWLS = "select organization_id, crawl_id, is_next from due_crawls(interval '5 minutes', %(most)s)"

COUNT_CRAWL_ATTEMPT = """
update crawls set attempts = attempts + 1, touched_at = now()
where organization_id = %(organization_id)s and id = %(crawl_id)s and state in ('pending', 'running')
returning attempts, run
"""

LOCK_CRAWL = """
select c.*, least(c.max_pages, p.crawl_pages) as most_pages, least(c.max_depth, p.crawl_depth) as most_depth,
       p.crawl_bytes as most_bytes, p.crawl_seconds as most_seconds,
       extract(epoch from now() - c.started_at)::double precision as seconds,
       (select count(*) from knowledge_sources s where (s.organization_id, s.crawl_id) = (c.organization_id, c.id)
        and s.state in ('pending', 'reading', 'embedding')) as unread_sources
from crawls c join organizations o using (organization_id) join plans p on p.code = o.plan_code
where c.organization_id = %(organization_id)s and c.id::text = %(crawl_id)s for update of c
"""

BEGIN_CRAWL = """
update crawls set state = 'running', started_at = coalesce(started_at, now()), touched_at = now(), updated_at = now()
where organization_id = %(organization_id)s and id = %(crawl_id)s
"""

PREPARED = """
update crawls
set prepared_at = now(), robots = %(robots)s, pause = %(pause)s, absent_words = %(absent_words)s,
    warnings = %(warnings)s, touched_at = now(), updated_at = now()
where organization_id = %(organization_id)s and id = %(crawl_id)s
"""

#: Addresses that the run has not come by yet, as far as there is room; of one shape only some.
ADD_PAGES = """
with added as (
  insert into crawl_pages as p (organization_id, crawl_id, url, run, depth, hops, origin, shape)
  select %(organization_id)s, %(crawl_id)s, new.url, %(run)s, %(depth)s, %(hops)s, %(origin)s, nullif(new.shape, '')
  from unnest(%(urls)s::text[], %(shapes)s::text[]) with ordinality as new (url, shape, number)
  where not exists (select from crawl_pages k where k.organization_id = %(organization_id)s
                    and k.crawl_id = %(crawl_id)s and k.url = new.url and k.run >= %(run)s)
    and (new.shape = '' or (select count(*) from crawl_pages k where k.organization_id = %(organization_id)s
                            and k.crawl_id = %(crawl_id)s and k.shape = new.shape and k.run = %(run)s) < %(most_alike)s)
  order by new.number limit greatest(0, %(room)s)
  on conflict (organization_id, crawl_id, url) do update
  set run = excluded.run, depth = excluded.depth, hops = excluded.hops, origin = excluded.origin,
      shape = excluded.shape, state = 'waiting', reason = null, tries = 0
  returning url
), counted as (
  update crawls set pages_found = pages_found + (select count(*) from added)
  where organization_id = %(organization_id)s and id = %(crawl_id)s
)
select count(*) as n from added
"""

PICK_PAGE = """
update crawl_pages set tries = tries + 1, touched_at = now()
where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s and url = (
  select url from crawl_pages
  where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s and run = %(run)s and state = 'waiting'
    and tries < %(most_tries)s
  order by tries, depth, position limit 1)
returning url, depth, hops, origin, tries, etag, last_modified, sha256, source_id
"""

#: What has ended its process again and again.
GIVE_PAGES_UP = """
update crawl_pages set state = 'failed', reason = 'interrupted'
where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s and run = %(run)s and state = 'waiting'
  and tries >= %(most_tries)s
"""

#: What former runs have found and this one has not come by: it may still be there.
RECHECK_PAGES = """
with known as (
  update crawl_pages set run = %(run)s, state = 'waiting', reason = null, tries = 0, hops = 0
  where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s and run < %(run)s and not is_excluded
    and (source_id is not null or state = 'waiting')
  returning url
)
update crawls set is_rechecking = true, pages_found = pages_found + (select count(*) from known), touched_at = now()
where organization_id = %(organization_id)s and id = %(crawl_id)s
"""

CUT_RUN = """
update crawls set cut = %(cut)s, touched_at = now()
where organization_id = %(organization_id)s and id = %(crawl_id)s
"""

READ_PAGE = """
select state, reason, run, source_id, sha256, is_excluded from crawl_pages
where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s and url = %(url)s
"""

SETTLE_PAGE = """
with settled as (
  update crawl_pages
  set state = %(state)s, reason = %(reason)s, touched_at = now(), source_id = coalesce(%(source_id)s, source_id),
      etag = case when %(keeps)s then etag else %(etag)s end,
      last_modified = case when %(keeps)s then last_modified else %(last_modified)s end,
      sha256 = case when %(keeps)s then sha256 else %(sha256)s end
  where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s and url = %(url)s and state = 'waiting'
  returning url
)
update crawls
set pages_read = pages_read + (select count(*) from settled where %(state)s <> 'waiting'), bytes = bytes + %(bytes)s,
    touched_at = now(), updated_at = now()
where organization_id = %(organization_id)s and id = %(crawl_id)s
"""

TOUCH_CRAWL = "update crawls set touched_at = now() where organization_id = %(organization_id)s and id = %(crawl_id)s"

#: Another source of the chatbot with the same bytes or the same address.
FIND_TWIN = """
select id from knowledge_sources
where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s
  and (file_sha256 = %(file_sha256)s or url = %(url)s) and id::text is distinct from %(source_id)s
limit 1
"""

ADD_PAGE_SOURCE = """
insert into knowledge_sources (organization_id, id, chatbot_id, crawl_id, kind, name, url, content_type, file_sha256,
                               wanted_language)
values (%(organization_id)s, %(source_id)s, %(chatbot_id)s, %(crawl_id)s, 'page', %(name)s, %(url)s, %(content_type)s,
        %(file_sha256)s, %(language)s)
"""

CHANGE_PAGE_SOURCE = """
update knowledge_sources s set file_sha256 = %(file_sha256)s, content_type = %(content_type)s, name = %(name)s
from (select id, file_sha256 from knowledge_sources
      where organization_id = %(organization_id)s and id = %(source_id)s for update) as before
where s.organization_id = %(organization_id)s and s.id = before.id
returning before.file_sha256
"""

# Crawls: what is not there any more -------------------------------------------------------------

#: Sources whose page this run has seen to be none, and others with the same content that may take their place.
HEIRS = """
select distinct on (old.url) old.url, old.source_id, heir.url as heir_url, old.sha256
from crawl_pages old
join crawl_pages heir on (heir.organization_id, heir.crawl_id, heir.run, heir.sha256)
                       = (old.organization_id, old.crawl_id, old.run, old.sha256)
where old.organization_id = %(organization_id)s and old.crawl_id = %(crawl_id)s and old.run = %(run)s
  and old.source_id is not null and old.state in ('skipped', 'gone')
  and heir.state = 'skipped' and heir.reason = 'duplicate' and heir.source_id is null
  and not exists (select from knowledge_sources s where s.organization_id = %(organization_id)s
                  and s.chatbot_id = %(chatbot_id)s and s.url = heir.url)
order by old.url, heir.depth, heir.position
"""

INHERIT = """
with moved as (
  update crawl_pages set source_id = null
  where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s and url = %(url)s
), source as (
  update knowledge_sources set url = %(heir_url)s, updated_at = now()
  where organization_id = %(organization_id)s and id = %(source_id)s
)
update crawl_pages set source_id = %(source_id)s, state = 'unchanged', reason = null
where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s and url = %(heir_url)s
"""

#: What the site does not have any more; and where the run ended at the limit of pages, what exceeds it.
VANISHED = """
select source_id from (
  select source_id from crawl_pages
  where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s and run = %(run)s
    and source_id is not null and state in ('skipped', 'gone')
  union
  (select source_id from crawl_pages
   where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s and source_id is not null
     and (run < %(run)s or state = 'waiting') and %(cut)s = 'pages'
   order by touched_at
   limit greatest(0, (select count(*) from crawl_pages where organization_id = %(organization_id)s
                      and crawl_id = %(crawl_id)s and source_id is not null) - %(most_pages)s))
) as gone limit 500
"""
