-- What definitions take away stays where its history is: executions, restore points, evidence and dead tasks name it. It
-- comes back as the row that it was when it is defined again.
alter table job
    add column removed_at timestamptz,
    add check (removed_at is null or not active);
alter table target add column removed_at timestamptz;

-- A target that is taken away changes neither its definition nor its state.
drop trigger count_change on target;
create trigger count_change after insert or delete or update of definition, state, removed_at on target
    for each statement execute function count_definitions_change();
