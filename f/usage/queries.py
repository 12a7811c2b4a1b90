# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements of quotas, by name. Months and days are of the calendar in UTC."""

#: The limits of an organisation, its own or its plan's.
LIMITS = """
select monthly_messages, monthly_tokens, daily_messages_per_contact from organization_limits
where organization_id = %(organization_id)s
"""

OPEN_MONTH = """
insert into quota_usage (organization_id, month)
values (%(organization_id)s, date_trunc('month', now() at time zone 'UTC')) on conflict do nothing
"""

#: Locked: whoever else counts or reserves for this organisation waits for the few statements until the commit.
LOCK_MONTH = """
select month, messages, tokens, reserved_tokens from quota_usage
where organization_id = %(organization_id)s and month = date_trunc('month', now() at time zone 'UTC') for update
"""

COUNTED = "select counted_at, refusal from turns where organization_id = %(organization_id)s and id = %(turn_id)s"

CONTACT_TODAY = """
select messages from contact_days
where organization_id = %(organization_id)s and contact_id = %(contact_id)s and day = (now() at time zone 'UTC')::date
"""

COUNT_TURN = """
update turns set counted_at = now() where organization_id = %(organization_id)s and id = %(turn_id)s
"""

COUNT_MESSAGE = """
update quota_usage set messages = messages + 1 where organization_id = %(organization_id)s and month = %(month)s
"""

COUNT_CONTACT = """
insert into contact_days (organization_id, contact_id, day, messages)
values (%(organization_id)s, %(contact_id)s, (now() at time zone 'UTC')::date, 1)
on conflict (organization_id, contact_id, day) do update set messages = contact_days.messages + 1
"""

REFUSE_TURN = """
update turns set refusal = %(refusal)s where organization_id = %(organization_id)s and id = %(turn_id)s
"""

#: Once for each contact, quota and period; the turn that gives the notice may be repeated.
GIVE_NOTICE = """
insert into quota_notices (organization_id, contact_id, quota, period, turn_id)
values (%(organization_id)s, %(contact_id)s, %(quota)s, %(period)s, %(turn_id)s)
on conflict (organization_id, contact_id, quota, period) do update set turn_id = quota_notices.turn_id
returning turn_id = %(turn_id)s::uuid as is_ours
"""

RELEASE = """
delete from token_reservations where organization_id = %(organization_id)s and turn_id = %(turn_id)s
returning month, tokens
"""

SETTLE = """
update quota_usage set reserved_tokens = reserved_tokens - %(released)s, tokens = tokens + %(used)s
where organization_id = %(organization_id)s and month = %(month)s
"""

RESERVE = """
with reserved as (
  insert into token_reservations (organization_id, turn_id, month, tokens)
  values (%(organization_id)s, %(turn_id)s, %(month)s, %(tokens)s) returning month, tokens
)
update quota_usage u set reserved_tokens = u.reserved_tokens + reserved.tokens
from reserved where u.organization_id = %(organization_id)s and u.month = reserved.month
"""

STALE = "select organization_id, turn_id from stale_reservations(interval '5 minutes', %(most)s)"

WARNED = """
select 1 from system_alerts
where organization_id = %(organization_id)s and kind = 'quota_warning' and subject = %(subject)s
"""
