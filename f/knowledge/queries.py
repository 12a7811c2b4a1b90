# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements of the knowledge's sources, by name: who may add them, and their way from bytes to passages."""

# Callers ------------------------------------------------------------------------------------------

FIND_CHATBOT = """
select id, slug, language, embedding_model, embedding_dimensions, embedding_resource_path, knowledge_threshold,
       reranker, reranker_model, reranker_resource_path
from chatbots
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
select l.plan, l.knowledge_sources as most_sources, l.knowledge_pages as most_pages, l.knowledge_bytes as most_bytes,
       l.daily_ingestions as most_ingestions, l.crawls as most_crawls,
       l.crawl_pages, l.crawl_depth, l.crawl_bytes, l.crawl_seconds,
       (select count(*) from knowledge_sources where organization_id = l.organization_id) as sources,
       (select coalesce(sum(pages), 0) from knowledge_sources where organization_id = l.organization_id) as pages,
       (select coalesce(sum(size), 0) from source_files where organization_id = l.organization_id) as bytes,
       coalesce((select ingestions from ingestion_days where organization_id = l.organization_id
                 and day = (now() at time zone 'UTC')::date), 0) as ingestions,
       (select count(*) from crawls where organization_id = l.organization_id) as crawls
from organization_limits l
where l.organization_id = %(organization_id)s
"""

# Sources ------------------------------------------------------------------------------------------

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
                               wanted_language, every_hours)
values (%(organization_id)s, %(source_id)s, %(chatbot_id)s, %(kind)s, %(name)s, %(url)s, %(content_type)s,
        %(file_sha256)s, %(language)s, nullif(%(every_hours)s::integer, 0))
on conflict do nothing returning id
"""

SOURCES = """
select s.id, s.kind, s.name, s.url, s.crawl_id, s.content_type, s.file_sha256, s.wanted_language,
       s.language as language_rules, s.state, s.progress_done, s.progress_total, s.error_code, s.error_message,
       s.warnings, s.version, s.wanted_version, s.pages, s.chunks, s.every_hours, s.next_at, s.created_at, s.updated_at,
       f.size
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
    progress_done = 0, progress_total = 0, next_at = null, touched_at = now(), updated_at = now()
where organization_id = %(organization_id)s and id = %(source_id)s
returning wanted_version
"""

# Ingestion ----------------------------------------------------------------------------------------

STALLED = (
    "select organization_id, source_id, is_changed as is_new from stalled_ingestions(interval '5 minutes', %(most)s)"
)

LAST_ATTEMPT = """
update knowledge_sources set touched_at = now()
where organization_id = %(organization_id)s and id = %(source_id)s returning attempts, wanted_version as version
"""

COUNT_ATTEMPT = """
update knowledge_sources set attempts = attempts + 1, touched_at = now()
where organization_id = %(organization_id)s and id = %(source_id)s returning attempts, wanted_version as version
"""

BEGIN_VERSION = """
insert into source_versions (organization_id, source_id, version)
values (%(organization_id)s, %(source_id)s, %(version)s) on conflict do nothing
"""

PROGRESS = """
select exists (select from staged_chunks where organization_id = %(organization_id)s and source_id = %(source_id)s
               and version = %(version)s) as is_staged,
       exists (select from extractions where organization_id = %(organization_id)s and source_id = %(source_id)s
               and version = %(version)s) as is_read
"""

READ_FILE = "select bytes from source_files where organization_id = %(organization_id)s and sha256 = %(file_sha256)s"

KEEP_EXTRACTION = """
insert into extractions (organization_id, source_id, version, pages, warnings)
values (%(organization_id)s, %(source_id)s, %(version)s, %(pages)s, %(warnings)s)
"""

READ_EXTRACTION = """
select pages, warnings from extractions
where organization_id = %(organization_id)s and source_id = %(source_id)s and version = %(version)s
"""

#: Of every version: an older one is not wanted any more.
DROP_EXTRACTIONS = "delete from extractions where organization_id = %(organization_id)s and source_id = %(source_id)s"

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

# Publishing: one transaction ----------------------------------------------------------------------

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
    updated_at = now(), progress_done = progress_total, next_at = now() + every_hours * interval '1 hour'
from source_versions v
where (v.organization_id, v.source_id, v.version) = (%(organization_id)s, %(source_id)s, %(version)s)
  and s.organization_id = %(organization_id)s and s.id = %(source_id)s
"""

#: Nothing has changed: the version that is there stays.
KEEP_VERSION = """
update knowledge_sources
set state = 'ready', error_code = null, error_message = null, touched_at = now(), updated_at = now(),
    next_at = now() + every_hours * interval '1 hour'
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
    updated_at = now(), next_at = now() + every_hours * interval '1 hour'
where organization_id = %(organization_id)s and id = %(source_id)s and wanted_version = %(version)s
  and state <> 'ready'
returning id
"""
