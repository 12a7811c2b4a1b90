# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements of the crawls, by name."""
# ruff: noqa: S608  # what is put together are constants of this file

# Settings and state -------------------------------------------------------------------------------

ADD_CRAWL = """
insert into crawls (organization_id, id, chatbot_id, name, url, wanted_language, max_pages, max_depth, every_hours)
values (%(organization_id)s, %(crawl_id)s, %(chatbot_id)s, %(name)s, %(url)s, %(language)s, %(max_pages)s,
        %(max_depth)s, nullif(%(every_hours)s::integer, 0))
on conflict do nothing returning id
"""

#: What a run of the crawl `c` may take, by the limits `l` of its organisation and the tenant's own for it.
MOST = """least(c.max_pages, l.crawl_pages) as most_pages, least(c.max_depth, l.crawl_depth) as most_depth,
       l.crawl_bytes as most_bytes, l.crawl_seconds as most_seconds"""

CRAWLS = f"""
select c.id, c.name, c.url, c.wanted_language as language, c.state, c.run, c.every_hours, c.pages_found, c.pages_read,
       c.bytes, c.cut, c.error_code, c.error_message, c.warnings, c.started_at, c.finished_at, c.next_at, c.created_at,
       c.updated_at, {MOST}
from crawls c join organization_limits l using (organization_id)
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

#: Of the hours 0 is never; what is null stays as it was.
CHANGE_CRAWL = """
update crawls
set every_hours = nullif(coalesce(%(every_hours)s, every_hours), 0),
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

# A run --------------------------------------------------------------------------------------------

DUE_CRAWLS = "select organization_id, crawl_id, is_next as is_new from due_crawls(interval '5 minutes', %(most)s)"

LAST_CRAWL_ATTEMPT = """
update crawls set touched_at = now()
where organization_id = %(organization_id)s and id = %(crawl_id)s returning attempts, run
"""

COUNT_CRAWL_ATTEMPT = """
update crawls set attempts = attempts + 1, touched_at = now()
where organization_id = %(organization_id)s and id = %(crawl_id)s and state in ('pending', 'running')
returning attempts, run
"""

LOCK_CRAWL = f"""
select c.*, {MOST},
       extract(epoch from now() - c.started_at)::double precision as seconds,
       (select count(*) from knowledge_sources s where (s.organization_id, s.crawl_id) = (c.organization_id, c.id)
        and s.state in ('pending', 'reading', 'embedding')) as unread_sources
from crawls c join organization_limits l using (organization_id)
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

NEXT_PAGE = """
select url, hops, origin, case when source_id is not null then etag end as etag,
       case when source_id is not null then last_modified end as last_modified
from crawl_pages
where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s and run = %(run)s and state = 'waiting'
  and tries < %(most_tries)s
order by tries, depth, position limit 1
"""

COUNT_TRY = """
update crawl_pages set tries = tries + 1, touched_at = now()
where organization_id = %(organization_id)s and crawl_id = %(crawl_id)s and url = %(url)s
"""

#: Seconds until the site may be asked, as all who crawl it have agreed.
RESERVE_VISIT = "select reserve_visit(%(site)s, %(pause)s, %(patience)s) as wait"

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
select url, run, state, reason, depth, hops, origin, tries, source_id, sha256, is_excluded from crawl_pages
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

#: Pages that no run has been started for.
NOT_STARTED = """
select id as source_id from knowledge_sources
where organization_id = %(organization_id)s and crawl_id::text = %(crawl_id)s and state = 'pending' and attempts = 0
order by created_at
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

# What is not there any more -----------------------------------------------------------------------

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
