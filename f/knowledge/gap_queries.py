# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements of the gaps: questions whose answer a chatbot does not know."""

# ruff: noqa: S608  # what is put together are constants of this file

#: The first question of each group that a new one may join. Who dismisses a question is not told of its like again.
_FIRST = """
  select distinct on (group_id) group_id, state, embedding from knowledge_gaps
  where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s and state in ('open', 'dismissed')
    and embedding_model = %(embedding_model)s and id <> %(gap_id)s
  order by group_id, asked_at, id
"""

#: Once a turn, however often the step runs.
KEEP_GAP = f"""
with alike as (
  select group_id, state from ({_FIRST}) as first
  where 1 - (embedding <=> %(vector)s::halfvec) >= %(alike)s
  order by embedding <=> %(vector)s::halfvec, group_id limit 1
)
insert into knowledge_gaps (organization_id, id, chatbot_id, conversation_id, turn_id, group_id, question, language,
                            score, embedding_model, embedding, state, settled_at)
select %(organization_id)s, %(gap_id)s, %(chatbot_id)s, %(conversation_id)s, %(turn_id)s,
       coalesce(alike.group_id, %(gap_id)s), %(question)s, %(language)s, %(score)s, %(embedding_model)s,
       %(vector)s::halfvec, coalesce(alike.state, 'open'), case when alike.state = 'dismissed' then now() end
from (select) as one left join alike on true
on conflict (organization_id, turn_id) do nothing
"""

_GROUPS = """
from knowledge_gaps
where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s and state = %(state)s
"""

LIST_GAPS = f"""
select g.*, (
  select jsonb_agg(jsonb_build_object('question', q.question, 'language', q.language, 'score', q.score,
                                      'conversation_id', q.conversation_id, 'turn_id', q.turn_id,
                                      'asked_at', q.asked_at) order by q.asked_at desc)
  from (select * {_GROUPS} and group_id = g.id order by asked_at desc, id limit %(examples)s) as q) as questions
from (select group_id as id, count(*) as count, min(asked_at) as first_at, max(asked_at) as last_at {_GROUPS}
      group by group_id order by 2 desc, 4 desc, 1 limit %(limit)s offset %(offset)s) as g
order by g.count desc, g.last_at desc, g.id
"""

COUNT_GAPS = f"select count(distinct group_id) as gaps, count(*) as questions {_GROUPS}"

DISMISS_GAP = """
update knowledge_gaps set state = 'dismissed', settled_at = now()
where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s and group_id = %(gap_id)s
  and state = 'open'
"""

# Looking at them again --------------------------------------------------------------------------

#: The last statement of what publishes: it holds the chatbot's row.
COUNT_PUBLISHED = """
update chatbots set published = published + 1 where organization_id = %(organization_id)s and id = %(chatbot_id)s
"""

UNCHECKED = "select organization_id, gap_id from unchecked_gaps(%(most)s)"

#: `published` is read before the knowledge is looked at: what comes in between makes it due again.
READ_GAP = """
select g.id as gap_id, g.organization_id, g.chatbot_id, g.question, g.score, g.embedding_model as known_model,
       g.embedding::text as vector, c.id, c.embedding_model, c.embedding_dimensions, c.embedding_resource_path,
       c.knowledge_threshold, c.published
from knowledge_gaps g join chatbots c on (c.organization_id, c.id) = (g.organization_id, g.chatbot_id)
where g.organization_id = %(organization_id)s and g.id = %(gap_id)s and g.state = 'open'
"""

POSTPONE_GAP = """
update knowledge_gaps set checked_at = now() where organization_id = %(organization_id)s and id = %(gap_id)s
"""

#: A question that is embedded only now finds its like now; a group stays together.
EMBED_GAP = f"""
with alike as (
  select group_id from ({_FIRST}) as first
  where state = 'open' and 1 - (embedding <=> %(vector)s::halfvec) >= %(alike)s
  order by embedding <=> %(vector)s::halfvec, group_id limit 1
)
update knowledge_gaps g
set embedding = %(vector)s::halfvec, embedding_model = %(embedding_model)s, score = %(score)s,
    group_id = case when g.group_id = g.id and not exists (
                      select from knowledge_gaps o where o.organization_id = g.organization_id
                      and o.chatbot_id = g.chatbot_id and o.group_id = g.id and o.id <> g.id)
                    then coalesce((select group_id from alike), g.group_id) else g.group_id end
where g.organization_id = %(organization_id)s and g.id = %(gap_id)s and g.state = 'open'
"""

SETTLE_CHECK = """
update knowledge_gaps
set checked = %(published)s, checked_at = now(), state = case when %(is_answered)s then 'answered' else state end,
    settled_at = case when %(is_answered)s then now() else settled_at end
where organization_id = %(organization_id)s and id = %(gap_id)s and state = 'open'
"""
