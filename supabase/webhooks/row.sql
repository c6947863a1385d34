-- One webhook for each changed row, in place of the triggers for each statement. It suits a table
-- that cannot have transition tables: a partition, or a child of another table.

begin;

drop trigger if exists afterword_insert on public.articles;
drop trigger if exists afterword_update on public.articles;
drop trigger if exists afterword_delete on public.articles;
drop trigger if exists afterword_truncate on public.articles;

create trigger afterword after insert or update or delete on public.articles
  for each row execute function afterword.row_changed('id');

commit;
