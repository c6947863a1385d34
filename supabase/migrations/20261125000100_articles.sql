-- The sample table. Leave this file out if you have a table of your own.

create table public.articles (
  id bigint generated always as identity primary key,
  slug text not null unique,
  title text not null,
  body text not null default '',
  published boolean not null default false,
  -- Editors write notes. Readers do not get them.
  notes text,
  updated_at timestamptz not null default now()
);

-- Rows: readers get the published ones.
alter table public.articles enable row level security;

create policy "readers get published articles" on public.articles
  for select to anon, authenticated using (published);

-- Columns: all but `published` and `notes`. Supabase grants new tables to both roles, so that is
-- revoked first. Under column grants PostgREST refuses `select=*`: name the columns in `list_query`
-- and `item_query`.
revoke all on public.articles from anon, authenticated;
grant select (id, slug, title, body, updated_at) on public.articles to anon, authenticated;

create function public.set_updated_at() returns trigger
language plpgsql set search_path = '' as $$
begin
  new.updated_at := now();
  return new;
end $$;

create trigger set_updated_at before update on public.articles
  for each row execute function public.set_updated_at();
