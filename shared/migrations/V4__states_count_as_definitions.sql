-- A target that comes or goes is a change as well: what executors need to know of a job's targets is kept in memory
-- for one value of `definitions_version`.
drop trigger count_change on target;
create trigger count_change after insert or delete or update of definition, state on target
    for each statement execute function count_definitions_change();
