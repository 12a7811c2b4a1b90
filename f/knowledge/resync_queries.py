# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements of sources that are read again on a schedule, by name, and of what spares reading them whole."""

# The schedule -------------------------------------------------------------------------------------

#: 0: never again by itself; null: as it was.
CHANGE_SCHEDULE = """
update knowledge_sources set every_hours = nullif(coalesce(%(every_hours)s, every_hours), 0)
where organization_id = %(organization_id)s and id = %(source_id)s
"""

DUE_SOURCES = "select organization_id, source_id from due_sources(%(most)s)"

#: Nothing when another run has begun with it, or put it off.
IS_DUE = """
select id from knowledge_sources
where organization_id = %(organization_id)s and id = %(source_id)s and next_at <= now() for update
"""

#: All that the organisation has due, to the next day of the quota.
PUT_OFF = """
update knowledge_sources
set next_at = (date_trunc('day', now() at time zone 'UTC') + interval '1 day') at time zone 'UTC'
where organization_id = %(organization_id)s and next_at <= now()
returning id
"""

#: What a schedule has left behind, but for the latest.
DROP_OLD_VERSIONS = """
delete from source_versions v using knowledge_sources s
where (s.organization_id, s.id) = (v.organization_id, v.source_id)
  and v.organization_id = %(organization_id)s and v.source_id = %(source_id)s
  and v.version < s.wanted_version - %(kept)s and v.version is distinct from s.version
"""

# Validators ---------------------------------------------------------------------------------------

#: What the address said of the newest version that was read whole or found to be the same.
READ_VALIDATORS = """
select etag, last_modified from source_versions
where organization_id = %(organization_id)s and source_id = %(source_id)s and outcome in ('ready', 'unchanged')
order by version desc limit 1
"""

KEEP_VALIDATORS = """
update source_versions set etag = %(etag)s, last_modified = %(last_modified)s
where organization_id = %(organization_id)s and source_id = %(source_id)s and version = %(version)s
"""

#: The next reading takes the whole page, whatever its server says of changes.
FORGET_VALIDATORS = """
update source_versions set etag = null, last_modified = null
where organization_id = %(organization_id)s and source_id = %(source_id)s
"""
