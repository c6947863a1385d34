-- One webhook for each statement, with the ids of up to 1,000 rows that it changed: an update of one
-- row sends one webhook, and an update of 100,000 rows sends 100. supabase/webhooks has the other
-- forms; use one of them only. If `id_column` is not `id`, write that column in place of 'id'.
--
-- A trigger with transition tables is for one kind of event, so there are four. The last one is for
-- `truncate`, which no other form notices.

drop trigger if exists afterword on public.articles;

create trigger afterword_insert after insert on public.articles
  referencing new table as new_rows
  for each statement execute function afterword.rows_changed('id');

create trigger afterword_update after update on public.articles
  referencing old table as old_rows new table as new_rows
  for each statement execute function afterword.rows_changed('id');

create trigger afterword_delete after delete on public.articles
  referencing old table as old_rows
  for each statement execute function afterword.rows_changed('id');

create trigger afterword_truncate after truncate on public.articles
  for each statement execute function afterword.rows_changed('id');
