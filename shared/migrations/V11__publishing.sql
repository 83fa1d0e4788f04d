-- The trace that a task belongs to, as its publisher named it: both fields of the W3C Trace Context, for as long as anything is
-- known of the task.
alter table task add column traceparent text, add column tracestate text;
alter table lease add column traceparent text, add column tracestate text;
alter table dead_task add column traceparent text, add column tracestate text;
alter table execution add column traceparent text, add column tracestate text;

-- What is due, by queue: a queue that takes nothing may have a million rows due, and those of the others are found beside it.
drop index task_publish_at_idx;
create index task_due_idx on task (kind, priority, publish_at);
