-- Removes everything but the sample table: the triggers, the cron job, the functions, the secrets.

begin;

drop trigger if exists afterword on public.articles;
drop trigger if exists afterword_insert on public.articles;
drop trigger if exists afterword_update on public.articles;
drop trigger if exists afterword_delete on public.articles;
drop trigger if exists afterword_truncate on public.articles;

select cron.unschedule(jobid) from cron.job where jobname = 'afterword-refresh';

drop schema if exists afterword cascade;

delete from vault.secrets
  where name in ('afterword_url', 'afterword_webhook_secret', 'afterword_refresh_secret');

commit;
