# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements that tell people, by name: alerts and hand-overs, over channels."""

#: Which channels may be used now, and what each has not been told.
DUE_NOTICES = """
select channel_id, channel_organization_id, source, item_id, organization_id
from due_notices(%(severities)s, %(again_after)s, %(rest)s, %(most)s)
"""

#: Nobody else uses the channel meanwhile; when this process dies, it is used again after a while.
CLAIM_CHANNEL = """
update alert_channels set next_at = now() + interval '2 minutes'
where id = %(channel_id)s and is_enabled and next_at <= now()
returning id as channel_id, organization_id as channel_organization_id, kind, target, failures
"""

CHANNEL_TOLD = """
update alert_channels set next_at = now(), told_at = now(), failures = 0, error = null where id = %(channel_id)s
"""

#: After 1, 2, 4, 8 … minutes, an hour at most.
CHANNEL_FAILED = """
update alert_channels
set failures = failures + 1, error = %(error)s,
    next_at = now() + least(2 ^ least(failures, 6), 60) * interval '1 minute'
where id = %(channel_id)s
returning failures
"""

READ_ALERTS = """
select a.id, a.kind, a.subject, a.details, a.occurrences, a.first_at, a.last_at, a.resolved_at, o.slug as organization
from system_alerts a left join organizations o on o.organization_id = a.organization_id
where a.id = any(%(item_ids)s)
"""

READ_HANDOVERS = """
select n.id, n.reason, n.is_urgent, n.created_at, n.conversation_id, c.name as chatbot, p.profile_name as customer,
       o.slug as organization
from notifications n
join organizations o on o.organization_id = n.organization_id
join chatbots c on (c.organization_id, c.id) = (n.organization_id, n.chatbot_id)
join conversations v on (v.organization_id, v.id) = (n.organization_id, n.conversation_id)
join contacts p on (p.organization_id, p.id) = (v.organization_id, v.contact_id)
where n.organization_id = %(organization_id)s and n.id = any(%(item_ids)s)
"""

STORE_NOTICE = """
insert into notices (organization_id, channel_id, source, item_id, state)
values (%(channel_organization_id)s, %(channel_id)s, %(source)s, %(item_id)s, %(state)s)
on conflict (channel_id, source, item_id)
do update set state = excluded.state, told_at = now(), times = notices.times + 1
"""

HANDOVER_TOLD = """
update notifications set state = 'delivered', settled_at = now(), attempts = attempts + 1, error = null
where organization_id = %(organization_id)s and id = %(item_id)s and state = 'pending'
"""

HANDOVER_NOT_TOLD = """
update notifications set attempts = attempts + 1, error = %(error)s
where organization_id = %(organization_id)s and id = %(item_id)s and state = 'pending'
"""

UNTOLD_HANDOVERS = """
select organization_id, notification_id, is_over from untold_handovers(interval '10 minutes', %(most)s)
"""

HANDOVER_FAILED = """
update notifications set state = 'failed', settled_at = now(), error = coalesce(error, 'no channel')
where organization_id = %(organization_id)s and id = %(notification_id)s and state = 'pending'
"""
