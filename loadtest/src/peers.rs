//! Other task queues.

mod celery;

pub(crate) use celery::{Celery, Tuning};
