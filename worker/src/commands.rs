//! What the worker's program does beside running pools.

pub mod restore;
