-- The tables that `reconciler serve --supabase-mirror` writes to. Run it once, in the SQL editor of the project;
-- running it again does no harm.
--
-- Who is signed in may read them and subscribe to them. Nobody may write: the reconciler comes with the project's
-- secret key (or `service_role`), which row-level security does not hold back. `platform` tells several of them apart.

create table if not exists public.reconciler_releases (
    platform   uuid        not null,
    id         text        not null,
    service    text        not null,
    number     bigint      not null,
    digest     text        not null,
    revision   text        not null,
    sync       bigint,
    phase      text        not null,
    phase_at   timestamptz not null,
    reason     text,
    message    text,
    created_at timestamptz not null,
    live_at    timestamptz,
    retired_at timestamptz,
    primary key (platform, id)
);
create index if not exists reconciler_releases_of_service on public.reconciler_releases (platform, service, number desc);

create table if not exists public.reconciler_syncs (
    platform     uuid        not null,
    id           bigint      not null,
    trigger      text        not null,
    revision     text,
    state        text        not null,
    requested_at timestamptz not null,
    started_at   timestamptz,
    finished_at  timestamptz,
    message      text,
    actions      jsonb       not null,
    kept         bigint      not null,
    phases       jsonb       not null,
    primary key (platform, id)
);

create table if not exists public.reconciler_events (
    platform uuid        not null,
    id       bigint      not null,
    at       timestamptz not null,
    kind     text        not null,
    service  text,
    release  text,
    sync     bigint,
    revision text,
    message  text        not null,
    primary key (platform, id)
);
create index if not exists reconciler_events_of_service on public.reconciler_events (platform, service, id desc);

do $$
declare
    name text;
begin
    foreach name in array array['reconciler_releases', 'reconciler_syncs', 'reconciler_events'] loop
        execute format('alter table public.%I enable row level security', name);
        execute format('revoke all on public.%I from anon, authenticated', name);
        execute format('grant select on public.%I to authenticated', name);
        execute format('grant select, insert, update on public.%I to service_role', name);
        execute format('drop policy if exists "those who are signed in may read" on public.%I', name);
        execute format(
            'create policy "those who are signed in may read" on public.%I for select to authenticated using (true)', name
        );
        -- Supabase's realtime listens to this publication; without one there is nothing to subscribe to.
        if exists (select from pg_publication where pubname = 'supabase_realtime')
            and not exists (
                select from pg_publication_tables
                where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = name
            )
        then
            execute format('alter publication supabase_realtime add table public.%I', name);
        end if;
    end loop;
end
$$;

notify pgrst, 'reload schema';
