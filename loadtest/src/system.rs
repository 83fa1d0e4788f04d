//! What is measured: servers, a migrated database with pretended jobs, and the programs beside them.

mod books;
mod fleet;
mod publish;
mod servers;

pub(crate) use books::Books;
pub(crate) use fleet::{Fleet, Layout, producer};
pub(crate) use publish::{Load, publish, publish_numbers, publish_to};
pub(crate) use servers::{Servers, connect};
