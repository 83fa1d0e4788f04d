//! The engine through its parent side, with the real child process and real repositories.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers are tests too, but clippy only knows the functions marked so"
)]

mod backup;
mod damage;
mod end;
mod exec;
mod fixture;
mod forget;
mod key;
mod refuse;
mod throttle;
