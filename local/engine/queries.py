"""Every statement that the engine sends to its database."""
# ruff: noqa: S105, S608  # no passwords; what is put together are constants of this file

#: Columns of a job, in the order in which they are read; `result` and `logs` only where they are needed.
COLUMNS = """id, root_id, parent_id, key, attempt, scope_id, kind, path, step_id, args, flow, code, state,
    scheduled_for, suspend_until, created_at, started_at, completed_at, timeout, preprocess, status, items, leaf_jobs,
    success, skipped, canceled_by, canceled_reason, deaths, created_by, trigger_kind, schedule_path, request"""

#: Only one engine may serve a database: two would run the same jobs.
CLAIM_DATABASE = (
    "select pg_try_advisory_lock(%s), (select max(pid) from pg_locks where locktype = 'advisory' and objid = %s)"
)

INSERT = """
insert into job (id, root_id, parent_id, key, attempt, scope_id, kind, path, step_id, args, flow, code, state,
    scheduled_for, started_at, completed_at, timeout, preprocess, status, success, skipped, result, created_by,
    trigger_kind, schedule_path, request)
values (%(id)s, %(root_id)s, %(parent_id)s, %(key)s, %(attempt)s, %(scope_id)s, %(kind)s, %(path)s, %(step_id)s,
    %(args)s, %(flow)s, %(code)s, %(state)s, coalesce(%(scheduled_for)s, now()), %(started_at)s, %(completed_at)s,
    %(timeout)s, %(preprocess)s, %(status)s, %(success)s, %(skipped)s, %(result)s, %(created_by)s, %(trigger_kind)s,
    %(schedule_path)s, %(request)s)
on conflict (id) do nothing
"""

#: Whether an insert that found its id taken was our own, whose answer got lost.
INSERTED_BY = "select request = %s from job where id = %s"

LOCK_TREE = "select 1 from job where id = %s for update"
GET = f"select {COLUMNS} from job where id = %s"
GET_WHOLE = f"select {COLUMNS}, result, logs from job where id = %s"
GET_ARGS = "select args from job where id = %s"
RESULTS = "select id, result from job where id = any(%s) and state = 'done'"

#: A leaf job begins. Losing this in a crash loses nothing: the job is still queued then.
START = f"""
update job set state = 'running', started_at = coalesce(started_at, now())
where id = %s and state = 'queued' returning {COLUMNS}
"""

START_FLOW = (
    "update job set state = 'running', started_at = coalesce(started_at, now()), suspend_until = null where id = %s"
)

FINISH = """
update job set state = 'done', success = %(success)s, skipped = %(skipped)s, result = %(result)s,
    logs = logs || %(logs)s, args = coalesce(%(args)s, args), completed_at = now(),
    started_at = coalesce(started_at, now()), items = null
where id = %(id)s and state <> 'done'
"""

#: The process of a job died: it is tried again.
NOTE_DEATH = "update job set deaths = deaths + 1, logs = logs || %s where id = %s and state = 'running'"

SAVE_FLOW = "update job set status = %(status)s, state = %(state)s, suspend_until = %(until)s where id = %(id)s"
SAVE_ARGS = "update job set args = %s where id = %s"
SAVE_ITEMS = "update job set items = %s where id = %s"

SET_LEAF = "update job set leaf_jobs = leaf_jobs || %s where id = %s"

RELEASE_HELD = """
update job set state = 'queued', scheduled_for = now() where parent_id = %s and key = %s and attempt = %s
    and state = 'held' returning id
"""

CANCEL_TREE = """
with recursive tree as (
    select id from job where id = %(id)s
    union all
    select job.id from job join tree on job.parent_id = tree.id and job.key is not null
)
update job set state = 'done', success = false, result = %(result)s, canceled_by = %(by)s, canceled_reason = %(reason)s,
    completed_at = now()
from tree where job.id = tree.id and job.state <> 'done' returning job.id
"""

#: What was under way when the engine ended. Processes died with it, so their jobs run again.
REQUEUE_RUNNING = """
update job set state = 'queued' where state = 'running' and kind not in ('flow', 'flownode')
"""
#: Suspended flows twice: when their time is over, and now, as an event may have come that nobody has looked at.
OPEN = """
select id, kind, scheduled_for from job where state in ('queued', 'suspended')
union all
select id, kind, suspend_until from job where state = 'suspended' and suspend_until is not null
"""
#: What is left when a commit's answer got lost.
RUNNING = "select id from job where state = 'running' and kind not in ('flow', 'flownode')"
REQUEUE = "update job set state = 'queued' where id = any(%s) and state = 'running'"
DONE = f"select {COLUMNS}, result, logs from job where id = any(%s) and state = 'done'"

SCHEDULE_RUNS = "select exists (select 1 from job where schedule_path = %s and state <> 'done' and parent_id is null)"

ADD_RESUME = """
insert into resume (job_id, resume_id, value, approved, approver) values (%s, %s, %s, %s, %s)
on conflict (job_id, resume_id) do nothing
"""
RESUMES = "select value, approved, approver, resume_id from resume where job_id = %s order by id"

SET_USER_STATE = """
update job set status = jsonb_set(status, '{user_states}',
    coalesce(status -> 'user_states', '{}') || jsonb_build_object(%(key)s::text, %(value)s::jsonb))
where id = %(id)s and status is not null
"""

VARIABLE_GET = "select path, value, is_secret, description from variable where path = %s"
VARIABLE_LIST = "select path, value, is_secret, description from variable order by path"
VARIABLE_CREATE = """
insert into variable (path, value, is_secret, description)
values (%(path)s, %(value)s, %(is_secret)s, %(description)s) on conflict do nothing
"""
VARIABLE_PUT = """
insert into variable (path, value, is_secret, description)
values (%(path)s, %(value)s, %(is_secret)s, %(description)s)
on conflict (path) do update set value = excluded.value, is_secret = excluded.is_secret,
    description = excluded.description
"""
VARIABLE_UPDATE = """
update variable set path = coalesce(%(new_path)s, path), value = coalesce(%(value)s, value),
    is_secret = coalesce(%(is_secret)s, is_secret), description = coalesce(%(description)s, description)
where path = %(path)s
"""
VARIABLE_DELETE = "delete from variable where path = any(%s)"

RESOURCE_GET = "select path, value, resource_type, description from resource where path = %s"
RESOURCE_LIST = """
select path, value, resource_type, description from resource
where %(resource_type)s::text is null or resource_type = %(resource_type)s order by path
"""
RESOURCE_CREATE = """
insert into resource (path, value, resource_type, description)
values (%(path)s, %(value)s, %(resource_type)s, %(description)s) on conflict do nothing
"""
RESOURCE_PUT = """
insert into resource (path, value, resource_type, description)
values (%(path)s, %(value)s, %(resource_type)s, %(description)s)
on conflict (path) do update set value = excluded.value, resource_type = excluded.resource_type,
    description = excluded.description
"""
RESOURCE_UPDATE = """
update resource set path = coalesce(%(new_path)s, path),
    value = case when %(has_value)s then %(value)s else value end,
    resource_type = coalesce(%(resource_type)s, resource_type), description = coalesce(%(description)s, description)
where path = %(path)s
"""
RESOURCE_DELETE = "delete from resource where path = %s returning value"

TYPE_GET = "select name, schema, description from resource_type where name = %s"
TYPE_LIST = "select name, schema, description from resource_type order by name"
TYPE_CREATE = """
insert into resource_type (name, schema, description) values (%(name)s, %(schema)s, %(description)s)
on conflict do nothing
"""
TYPE_PUT = """
insert into resource_type (name, schema, description) values (%(name)s, %(schema)s, %(description)s)
on conflict (name) do update set schema = excluded.schema, description = excluded.description
"""
TYPE_UPDATE = """
update resource_type set schema = coalesce(%(schema)s, schema), description = coalesce(%(description)s, description)
where name = %(name)s
"""
TYPE_DELETE = "delete from resource_type where name = %s"

FOLDER_CREATE = "insert into folder (name) values (%s) on conflict do nothing"
FOLDER_EXISTS = "select exists (select 1 from folder where name = %s)"
FOLDER_LIST = "select name from folder order by name"

TOKEN_CREATE = """
insert into token (hash, label, username, scopes, workspace_id, expiration)
values (%(hash)s, %(label)s, %(username)s, %(scopes)s, %(workspace_id)s, %(expiration)s)
"""
TOKEN_GET = """
select username, scopes, workspace_id from token where hash = %s and (expiration is null or expiration > now())
"""

#: What a job was given, said and wrote is gone; that it ran stays.
ERASE = "update job set args = '{}', result = null, logs = '' where id = %s and state = 'done'"

#: A filter that is null lets everything through.
LIST = f"""
select {COLUMNS} from job
where (%(completed)s::boolean is null or (state = 'done') = %(completed)s)
  and (%(path)s::text is null or path = %(path)s)
  and (%(prefix)s::text is null or starts_with(path, %(prefix)s))
  and (%(success)s::boolean is null or success = %(success)s)
  and (%(after)s::timestamptz is null or created_at > %(after)s)
  and (%(before)s::timestamptz is null or created_at < %(before)s)
  and (%(steps)s::boolean is null or (key is not null) = %(steps)s)
  and (%(schedule)s::text is null or schedule_path = %(schedule)s)
  and (%(parent)s::uuid is null or parent_id = %(parent)s)
  and (%(trigger)s::text is null or trigger_kind = %(trigger)s)
order by case when %(newest_first)s then created_at end desc, case when not %(newest_first)s then created_at end
limit %(size)s offset %(offset)s
"""
