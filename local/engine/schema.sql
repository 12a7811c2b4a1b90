-- The engine's own database. `job` is the one table of runs: a flow, and each of its steps, is a row.

create table if not exists job (
  id            uuid primary key,
  root_id       uuid not null,                -- the outermost flow: whoever changes rows of a flow locks this one
  parent_id     uuid,                         -- the flow this is a step of; for jobs started by a script, that script
  key           text,                         -- place in the parent: 'a', 'each[3]', 'failure'; null: no step
  attempt       integer not null default 0,   -- of the step's retries
  scope_id      uuid,                         -- the flow below which names of steps are looked up; null: itself
  kind          text not null,                -- script, flowscript (inline code), identity, flow, flownode (a flow's inner part)
  path          text not null,
  step_id       text,
  args          jsonb not null default '{}',
  flow          jsonb,                        -- a flow's definition, kept so that a change of the file cannot tear a run
  code          jsonb,                        -- inline code: content, lock
  state         text not null check (state in ('queued', 'running', 'suspended', 'held', 'done')),
  scheduled_for timestamptz not null default now(),
  suspend_until timestamptz,
  created_at    timestamptz not null default now(),
  started_at    timestamptz,
  completed_at  timestamptz,
  timeout       double precision,             -- seconds
  preprocess    boolean not null default false,
  status        jsonb,                        -- a flow's flow_status, as Windmill shows it
  items         jsonb,                        -- what the loop in progress iterates over
  leaf_jobs     jsonb not null default '{}',  -- step name -> job, or jobs of a loop
  success       boolean,
  skipped       boolean not null default false,
  result        jsonb,
  canceled_by   text,
  canceled_reason text,
  deaths        integer not null default 0,   -- how often its process was killed by a signal
  logs          text not null default '',
  created_by    text not null,
  trigger_kind  text,
  schedule_path text,
  request       uuid,                         -- who inserted it: tells a repeated insert from somebody else's id
  unique (parent_id, key, attempt)
);
create index if not exists job_open on job (scheduled_for) where state <> 'done';
create index if not exists job_path on job (path, created_at);
create index if not exists job_created on job (created_at);
create index if not exists job_root on job (root_id) where state <> 'done';

create table if not exists resume (
  id        bigint generated always as identity primary key,
  job_id    uuid not null,                    -- the step that waits, or its flow
  resume_id integer not null,
  value     jsonb not null,
  approved  boolean not null,
  approver  text,
  unique (job_id, resume_id)
);

create table if not exists variable (
  path        text primary key,
  value       text not null,
  is_secret   boolean not null default false,
  description text not null default ''
);

create table if not exists resource (
  path          text primary key,
  value         jsonb,
  resource_type text not null,
  description   text not null default ''
);

create table if not exists resource_type (
  name        text primary key,
  schema      jsonb,
  description text not null default ''
);

create table if not exists folder (
  name text primary key
);

create table if not exists token (
  hash         bytea primary key,             -- sha256: the token itself is told once
  label        text not null,
  username     text not null,
  scopes       jsonb,                         -- null: everything
  workspace_id text,
  expiration   timestamptz
);
