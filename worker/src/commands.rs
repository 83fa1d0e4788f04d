//! What the worker's program does beside running pools.

pub mod pools;
pub mod restore;
