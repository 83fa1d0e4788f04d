-- Whoever changes what is counted locks the counter last, when everything else is written: before that nobody waits for it, and who waits for
-- it holds up nobody who has it. What changes no row is not counted.
drop trigger count_change on alert;
drop trigger count_change on report;
drop trigger count_change on schedule;

create constraint trigger count_rows after insert or delete on alert
    deferrable initially deferred for each row execute function count_change_of('alerts');
create constraint trigger count_changes after update on alert
    deferrable initially deferred for each row when (old *<> new) execute function count_change_of('alerts');
create constraint trigger count_rows after insert or delete on report
    deferrable initially deferred for each row execute function count_change_of('reports');
create constraint trigger count_changes after update on report
    deferrable initially deferred for each row when (old *<> new) execute function count_change_of('reports');
create constraint trigger count_rows after insert or delete on schedule
    deferrable initially deferred for each row execute function count_change_of('schedules');
create constraint trigger count_changes after update on schedule
    deferrable initially deferred for each row when (old *<> new) execute function count_change_of('schedules');
