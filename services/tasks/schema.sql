-- What the service needs of a Supabase project; run it in its SQL editor.

create table if not exists public.tasks (
    id      bigint generated always as identity primary key,
    slug    text    not null unique,
    title   text    not null check (length(title) between 1 and 120),
    done    boolean not null default false,
    private boolean not null default false
);

alter table public.tasks enable row level security;
drop policy if exists "what is not private is for everybody" on public.tasks;
create policy "what is not private is for everybody" on public.tasks
    for all to anon using (not private) with check (not private);

create or replace function public.summary_of_tasks() returns json language sql stable as $$
    select json_build_object('open', count(*) filter (where not done), 'done', count(*) filter (where done))
    from public.tasks
$$;

notify pgrst, 'reload schema';
