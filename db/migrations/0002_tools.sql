-- Tools: servers and what they offer, calls, prices, leads, notifications.
set local role owner;

create table org_integrations (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  kind text not null check (kind in ('own', 'mcp')),
  name text not null check (name ~ '^[a-z][a-z0-9_]{0,31}$'),
  url text check (url ~ '^https?://'),
  credential_path text,
  is_enabled boolean not null default true,
  tools jsonb check (jsonb_typeof(tools) = 'array'),
  refreshed_at timestamptz,
  refresh_tried_at timestamptz,
  refresh_error text,
  created_at timestamptz not null default now(),
  primary key (organization_id, id),
  unique (organization_id, name),
  check ((kind = 'mcp') = (url is not null)),
  check (credential_path is null
         or kind = 'mcp' and credential_path ~ ('^f/integrations/' || organization_id || '/[A-Za-z0-9_-]+$'))
);
comment on table org_integrations is 'Servers whose tools a tenant''s chatbots may call.';
comment on column org_integrations.kind is
  'own: a server of mcp_servers/ by name, its address is the installation''s. mcp: somebody else''s, at url.';
comment on column org_integrations.credential_path is
  'Windmill variable with the bearer token for url; only of the tenant''s own folder, so that no other secret can leave.';
comment on column org_integrations.tools is 'What the server last said it offers: [{"name", "description", "schema"}].';

create table chatbot_tools (
  organization_id uuid not null references organizations,
  chatbot_id uuid not null,
  integration_id uuid not null,
  tool_name text not null check (char_length(tool_name) between 1 and 128),
  created_at timestamptz not null default now(),
  primary key (organization_id, chatbot_id, integration_id, tool_name),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id),
  foreign key (organization_id, integration_id) references org_integrations (organization_id, id)
);
comment on table chatbot_tools is 'The tools that a chatbot has; what a server offers besides these is not shown to the model.';

create table tool_executions (
  organization_id uuid not null references organizations,
  id uuid not null,
  turn_id uuid not null,
  integration_id uuid not null,
  tool_name text not null,
  arguments jsonb not null,
  state text not null default 'running' check (state in ('running', 'succeeded', 'refused', 'failed', 'unknown')),
  attempts integer not null default 1,
  result text,
  error text,
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  duration_ms integer,
  primary key (organization_id, id),
  foreign key (organization_id, turn_id) references turns (organization_id, id),
  foreign key (organization_id, integration_id) references org_integrations (organization_id, id),
  check ((state = 'running') = (finished_at is null)),
  check (state not in ('succeeded', 'refused') or result is not null)
);
create index tool_executions_turn on tool_executions (organization_id, turn_id, started_at);
comment on table tool_executions is
  'Every call of a tool once, written before the call; its id is derived from turn, tool and arguments.';
comment on column tool_executions.state is
  'succeeded, refused: the tool answered. failed: it did nothing. unknown: nobody knows whether it did.';

create table tool_effects (
  organization_id uuid not null references organizations,
  idempotency_key uuid not null,
  request_hash text not null,
  result jsonb,
  created_at timestamptz not null default now(),
  primary key (organization_id, idempotency_key)
);
comment on table tool_effects is
  'What our own servers did under a key, written in the transaction of the effect: asked again, they answer the same.';

create table pricing_tiers (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  product text not null,
  tier text not null,
  unit text not null,
  min_volume bigint not null check (min_volume > 0),
  max_volume bigint check (max_volume >= min_volume),
  unit_price numeric(14, 4) not null check (unit_price >= 0),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  primary key (organization_id, id),
  unique (organization_id, product, tier, min_volume)
);
comment on table pricing_tiers is
  'A volume between min_volume and max_volume (null: no end), both included, costs unit_price for each unit.';

create table qualification_questions (
  organization_id uuid not null references organizations,
  chatbot_id uuid not null,
  key text not null check (key ~ '^[a-z][a-z0-9_]*$'),
  position integer not null,
  question text not null,
  primary key (organization_id, chatbot_id, key),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id)
);

create table leads (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  contact_id uuid not null,
  chatbot_id uuid not null,
  name text not null,
  email text,
  phone text,
  company text,
  need text,
  answers jsonb not null default '{}' check (jsonb_typeof(answers) = 'object'),
  stage text not null check (stage in ('new', 'qualified', 'unqualified', 'won', 'lost')),
  stage_reason text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (organization_id, id),
  unique (organization_id, contact_id),
  foreign key (organization_id, contact_id) references contacts (organization_id, id),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id)
);
comment on column leads.stage is 'A chatbot says new, qualified or unqualified; people say won or lost, which a chatbot leaves.';

create table notifications (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  kind text not null check (kind in ('handover')),
  chatbot_id uuid not null,
  conversation_id uuid not null,
  turn_id uuid,
  reason text not null,
  is_urgent boolean not null default false,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  error text,
  created_at timestamptz not null default now(),
  settled_at timestamptz,
  primary key (organization_id, id),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id),
  foreign key (organization_id, conversation_id) references conversations (organization_id, id),
  foreign key (organization_id, turn_id) references turns (organization_id, id),
  check ((state = 'pending') = (settled_at is null))
);
create unique index notifications_one_pending on notifications (organization_id, conversation_id, kind)
  where state = 'pending';
create index notifications_turn on notifications (organization_id, turn_id);
comment on table notifications is 'What people are to be told; f/ops/notify delivers it.';

do $$
declare
  name text;
begin
  foreach name in array array['org_integrations', 'chatbot_tools', 'tool_executions', 'tool_effects',
                             'pricing_tiers', 'qualification_questions', 'leads', 'notifications']
  loop
    execute format('alter table %I enable row level security, force row level security', name);
    execute format('create policy owner_all on %I to owner using (true) with check (true)', name);
    execute format('create policy backup_read on %I for select to backup using (true)', name);
    execute format('create policy tenant on %I to app using (organization_id = (select current_organization()))'
                   ' with check (organization_id = (select current_organization()))', name);
    execute format('grant select, insert, update on %I to app', name);
    execute format('grant select on %I to backup', name);
  end loop;
end
$$;
revoke insert, update on org_integrations, chatbot_tools, pricing_tiers, qualification_questions from app;
grant update (tools, refreshed_at, refresh_tried_at, refresh_error) on org_integrations to app;

grant select (organization_id, id, is_enabled, refreshed_at, refresh_tried_at) on org_integrations to router;
create policy route on org_integrations for select to router using (is_enabled);

-- Servers in use whose list of tools is older than `age`, or was never fetched, and was not just asked for.
create function stale_integrations(age interval, most integer)
  returns table (organization_id uuid, integration_id uuid)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select i.organization_id, i.id from org_integrations i
    where i.is_enabled and (i.refreshed_at is null or i.refreshed_at < now() - age)
      and (i.refresh_tried_at is null or i.refresh_tried_at < now() - age / 4)
    order by i.refresh_tried_at nulls first limit most;
  end;

grant create on schema public to router;
alter function stale_integrations(interval, integer) owner to router;
revoke create on schema public from router;
set local role router;
revoke execute on function stale_integrations(interval, integer) from public;
grant execute on function stale_integrations(interval, integer) to app, owner;
reset role;
