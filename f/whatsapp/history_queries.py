# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements of what a model reads, by name: for a turn of now, and for one of the past that is tried again."""

#: The messages of some events, in the order in which they were written.
_ASKED = """
select e.id, e.wamid, m.body, m.note, left(q.body, 500) as quoted, m.revoked_at is not null as is_revoked
from webhook_events e
join messages m on (m.organization_id, m.conversation_id, m.wamid) = (e.organization_id, e.conversation_id, e.wamid)
                  and m.direction = 'in'
left join lateral (select q.body from messages q
                   where (q.organization_id, q.conversation_id, q.wamid)
                         = (m.organization_id, m.conversation_id, m.reply_to) and q.revoked_at is null
                   limit 1) as q on true
where e.organization_id = %(organization_id)s and {asked}
order by e.sent_at, e.received_at, e.position, e.id
"""

#: The last messages of a conversation that were dealt with, without parts of replies that nobody has seen.
_HISTORY = """
select direction, author, body, note, received_at, revoked_at is not null as is_revoked,
       (select left(q.body, 500) from messages q
        where q.organization_id = %(organization_id)s and q.conversation_id = %(conversation_id)s
          and q.wamid = latest.reply_to and q.revoked_at is null limit 1) as quoted
from (
  select m.direction, m.author, m.body, m.note, m.reply_to, m.revoked_at, m.sent_at, m.received_at, m.position
  from messages m
  where m.organization_id = %(organization_id)s and m.conversation_id = %(conversation_id)s
    and not exists (select from outbox o
                    where (o.organization_id, o.turn_id, o.position) = (m.organization_id, m.turn_id, m.position)
                      and m.direction = 'out' and o.state in ('failed', 'dropped'))
    and {dealt_with}
  order by m.sent_at desc, m.received_at desc, m.position desc limit %(most)s
) as latest order by sent_at, received_at, position
"""

# Now ----------------------------------------------------------------------------------------------

READ_WAITING = _ASKED.format(asked="e.conversation_id = %(conversation_id)s and e.outcome is null")

READ_HISTORY = _HISTORY.format(
    dealt_with="""not exists (select from webhook_events e
                    where (e.organization_id, e.phone_number_id, e.wamid)
                          = (m.organization_id, %(phone_number_id)s, m.wamid)
                      and m.direction = 'in' and e.outcome is null)"""
)

#: The last hand-over that has ended, for the bot that goes on.
READ_HANDOVER = """
select handed_over_at, handed_over_by, handover_reason, handed_back_at, handed_back_by, handback_note,
       array(select left(m.body, 500) from messages m
             where (m.organization_id, m.conversation_id) = (v.organization_id, v.id) and m.author = 'person'
               and m.revoked_at is null and m.received_at between v.handed_over_at and v.handed_back_at
             order by m.sent_at, m.received_at, m.position) as words
from conversations v
where organization_id = %(organization_id)s and id = %(conversation_id)s and mode = 'bot'
  and handed_over_at is not null and handed_back_at >= handed_over_at
"""

# The past -----------------------------------------------------------------------------------------

#: A turn of the past, with what its messages were.
READ_PAST_TURN = """
select t.id as turn_id, t.conversation_id, v.chatbot_id, v.phone_number_id, v.erased_at is not null as is_erased,
       t.model, t.error, t.started_at
from turns t join conversations v on (v.organization_id, v.id) = (t.organization_id, t.conversation_id)
where t.organization_id = %(organization_id)s and t.id = %(turn_id)s
"""

READ_PAST_ASKED = _ASKED.format(asked="e.turn_id = %(turn_id)s")

#: What it was when the turn began.
READ_PAST_HISTORY = _HISTORY.format(
    dealt_with="""m.turn_id is distinct from %(turn_id)s
    and case m.direction
        when 'out' then m.received_at <= %(started_at)s
        else exists (select from webhook_events e
                     where (e.organization_id, e.phone_number_id, e.wamid)
                           = (m.organization_id, %(phone_number_id)s, m.wamid)
                       and e.settled_at <= %(started_at)s and e.turn_id is distinct from %(turn_id)s) end"""
)

READ_PAST_REPLY = """
select string_agg(body, E'\n' order by position) as reply from outbox
where organization_id = %(organization_id)s and turn_id = %(turn_id)s
"""
