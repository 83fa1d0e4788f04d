//! The lines that the worker and its engine child process exchange.
//!
//! Parent to child: one [`Request`], then any number of [`Told`], one JSON object a line. End of file means that
//! the parent is gone. Child to parent: any number of [`Event`]; the last one is `finished` or `failed`.

mod event;
mod request;
mod result;
mod secret;

pub use self::{event::*, request::*, result::*, secret::*};

#[cfg(test)]
mod tests;
