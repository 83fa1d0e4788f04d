//! The engine through its parent side, with the real child process and real repositories.

mod backup;
mod damage;
mod end;
mod fixture;
mod refuse;
