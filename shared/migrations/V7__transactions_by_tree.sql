-- An autovacuum that is cancelled while it summarises leaves a placeholder in a BRIN index for good, and PostgreSQL 15 takes
-- all ranges behind it for placeholders: the reporter's counters read a whole month then. A tree has no such state.
drop index execution_xact_idx;
create index execution_xact_idx on execution (xact);
