"""Statements of the operators' scripts, by name."""

STRANDED = "select organization_id, conversation_id from stranded_conversations(interval '20 seconds', %(most)s)"

#: The fence moves on, so that the run's id is a new one and whoever held the lease can write no more.
RESUME_CONVERSATION = """
update conversations set resumed_at = now(), lease_fence = lease_fence + 1, lease_holder = null, lease_until = null
where organization_id = %(organization_id)s and id = %(conversation_id)s
  and (lease_holder is null or lease_until < clock_timestamp())
returning lease_fence
"""

STUCK_SENDS = "select organization_id, outbox_id from stuck_sends(interval '60 seconds', %(most)s)"

ROUTE_NUMBER = "select organization_id, app_id from route_number(%(phone_number_id)s)"

EVENT_KNOWN = """
select 1 as known from webhook_events
where organization_id = %(organization_id)s and phone_number_id = %(phone_number_id)s and wamid = %(wamid)s
"""
