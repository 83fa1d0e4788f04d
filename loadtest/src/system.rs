//! What is measured: servers, a migrated database with pretended jobs, and the programs beside them.

mod arrivals;
mod books;
mod commits;
mod effects;
mod fleet;
mod observer;
mod outbox;
mod publish;
mod reporter;
mod scrape;
mod servers;

pub(crate) use arrivals::{Arrival, pace, publish_at, schedule};
pub(crate) use books::Books;
pub(crate) use commits::Commits;
pub(crate) use effects::{Effect, EffectLog, What};
pub(crate) use fleet::{Fleet, Layout, producer};
pub(crate) use observer::{Observed, Observer, Seen};
pub(crate) use outbox::fill;
pub(crate) use publish::{Load, publish, publish_numbers, publish_to};
pub(crate) use reporter::Reporter;
pub(crate) use servers::{Servers, connect};
