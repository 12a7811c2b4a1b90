# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements of who a person is, by name: people that turn out to be one, numbers that change hands."""

#: A number that another person (another business-scoped id) writes from now is no longer the one's who had it.
RELEASE_NUMBER = """
update contacts set wa_id = null
where organization_id = %(organization_id)s and wa_id = %(wa_id)s and user_id <> %(user_id)s
"""

#: A person is known by the business-scoped id where Meta sends one, else by phone number.
FIND_CONTACT = """
select id, user_id, wa_id, profile_name from contacts
where organization_id = %(organization_id)s and (user_id = %(user_id)s or wa_id = %(wa_id)s)
order by user_id = %(user_id)s desc nulls last limit 1
"""

ADD_CONTACT = """
insert into contacts (organization_id, user_id, wa_id, profile_name)
values (%(organization_id)s, %(user_id)s, %(wa_id)s, %(profile_name)s)
on conflict do nothing returning id
"""

#: Fills in what was not known yet, and the number that a person writes from now; what is another contact's stays so.
COMPLETE_CONTACT = """
update contacts c
set user_id = coalesce(c.user_id, (select %(user_id)s::text where not exists (
      select from contacts where organization_id = %(organization_id)s and user_id = %(user_id)s))),
    wa_id = coalesce((select %(wa_id)s::text where not exists (
      select from contacts where organization_id = %(organization_id)s and wa_id = %(wa_id)s)), c.wa_id),
    profile_name = coalesce(%(profile_name)s, c.profile_name)
where c.organization_id = %(organization_id)s and c.id = %(contact_id)s
"""

#: After a change of number or id: the person is known by what came with it, and by nothing that it replaced.
CHANGE_CONTACT = """
update contacts
set user_id = %(user_id)s, wa_id = %(wa_id)s
where organization_id = %(organization_id)s and id = %(contact_id)s
"""

#: Everybody of a number: a conversation of theirs, and the one that the person they turned out to be has there.
TWIN_CONVERSATIONS = """
select other.id as other_id, mine.id as mine_id,
       other.lease_until > clock_timestamp() or exists (
         select from turns t where (t.organization_id, t.conversation_id) = (other.organization_id, other.id)
                                   and t.finished_at is null) as is_busy
from conversations other
left join conversations mine on mine.organization_id = other.organization_id
  and mine.phone_number_id = other.phone_number_id and mine.contact_id = %(contact_id)s
where other.organization_id = %(organization_id)s and other.contact_id = %(other_contact_id)s
order by other.id for update of other
"""

GIVE_CONVERSATION = """
update conversations set contact_id = %(contact_id)s
where organization_id = %(organization_id)s and id = %(other_id)s
"""

#: What was said in one conversation becomes part of another one.
JOIN_CONVERSATIONS = """
with turned as (
  update turns set conversation_id = %(mine_id)s
  where organization_id = %(organization_id)s and conversation_id = %(other_id)s
), stored as (
  update webhook_events set conversation_id = %(mine_id)s
  where organization_id = %(organization_id)s and conversation_id = %(other_id)s
), said as (
  update messages set conversation_id = %(mine_id)s
  where organization_id = %(organization_id)s and conversation_id = %(other_id)s
), sent as (
  update outbox set conversation_id = %(mine_id)s
  where organization_id = %(organization_id)s and conversation_id = %(other_id)s
)
update conversations mine
set mode = 'person', handed_over_at = other.handed_over_at, handed_over_until = other.handed_over_until,
    handed_over_by = other.handed_over_by, handover_reason = other.handover_reason, handover_turn_id = null
from conversations other
where mine.organization_id = %(organization_id)s and mine.id = %(mine_id)s and mine.mode = 'bot'
  and (other.organization_id, other.id) = (mine.organization_id, %(other_id)s) and other.mode = 'person'
"""

#: What one person has written today counts together.
JOIN_DAYS = """
insert into contact_days (organization_id, contact_id, day, messages)
select organization_id, %(contact_id)s, day, messages from contact_days
where organization_id = %(organization_id)s and contact_id = %(other_contact_id)s
on conflict (organization_id, contact_id, day) do update set messages = contact_days.messages + excluded.messages
"""

#: There is one lead for each person; where both had one, the person's own stays and the other is kept as it is.
GIVE_LEAD = """
update leads set contact_id = %(contact_id)s
where organization_id = %(organization_id)s and contact_id = %(other_contact_id)s
  and not exists (select from leads l where (l.organization_id, l.contact_id) = (leads.organization_id, %(contact_id)s))
"""

RETIRE_CONTACT = """
update contacts set user_id = null, wa_id = null, merged_into = %(contact_id)s
where organization_id = %(organization_id)s and id = %(other_contact_id)s
"""
