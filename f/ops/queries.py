# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements that look after the system, by name: what is stranded, what failed, how it is."""

# Stranded conversations, stuck sends --------------------------------------------------------------

STRANDED = "select organization_id, conversation_id from stranded_conversations(interval '20 seconds', %(most)s)"

#: The fence moves on, so that the run's id is a new one and whoever held the lease can write no more.
RESUME_CONVERSATION = """
update conversations set resumed_at = now(), lease_fence = lease_fence + 1, lease_holder = null, lease_until = null
where organization_id = %(organization_id)s and id = %(conversation_id)s
  and (lease_holder is null or lease_until < clock_timestamp())
returning lease_fence
"""

STUCK_SENDS = "select organization_id, outbox_id from stuck_sends(interval '60 seconds', %(most)s)"

EVENT_KNOWN = """
select 1 as known from webhook_events
where organization_id = %(organization_id)s and phone_number_id = %(phone_number_id)s and wamid = %(wamid)s
"""

# Runs that ended without success ------------------------------------------------------------------

#: Which of these are new: each is remembered once.
REMEMBER_RUNS = """
insert into failed_runs (job_id, path, created_at)
select job_id, %(path)s, created_at
from unnest(%(job_ids)s::uuid[], %(created_at)s::timestamptz[]) as r (job_id, created_at)
on conflict do nothing returning job_id
"""

DUE_RUNS = """
select job_id, created_at, attempts from failed_runs
where path = %(path)s and settled is null and next_at <= now() order by next_at limit %(most)s
"""

SETTLE_RUN = "update failed_runs set settled = %(reason)s where job_id = %(job_id)s"

#: Again after 1, 2, 4 … minutes.
RUN_REPEATED = """
update failed_runs set attempts = attempts + 1, next_at = now() + interval '1 minute' * 2 ^ least(attempts, 10)
where job_id = %(job_id)s
"""

#: A run that repeats another one is an attempt of that one, and is not repeated itself.
REMEMBER_REPETITION = """
insert into failed_runs (job_id, path, created_at, settled)
values (%(repetition_id)s, %(path)s, now(), 'a repetition') on conflict do nothing
"""

FORGET_RUNS = "delete from failed_runs where created_at < now() - interval '3 days'"

# Messages without an outcome ----------------------------------------------------------------------

OVERDUE_MESSAGES = """
select organization_id, event_id, conversation_id from overdue_messages(interval '3 minutes', %(most)s)
"""

SETTLED_MESSAGES = "select organization_id, event_id from settled_messages(%(most)s)"

IS_OPEN = """
select 1 as is_open from webhook_events
where organization_id = %(organization_id)s and id = %(event_id)s and outcome is null
"""

# Health -------------------------------------------------------------------------------------------

SCHEMA_VERSION = "select max(version) as version from schema_migrations"

HEALTH_FIGURES = "select name, amount, since from health_figures()"

MODELS_IN_USE = "select provider, resource_path from models_in_use()"
