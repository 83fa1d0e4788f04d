//! The one thread that starts every child process.
//!
//! Linux sends a child its "parent death signal" when the *thread* that started it ends, not when the
//! process does. A runtime's worker thread or a test's own thread may end long before its process; this
//! thread never does.

use std::{
    process::{Child, Command},
    sync::{OnceLock, mpsc},
    thread,
};

use anyhow::{Context as _, anyhow};

struct Request {
    command: Command,
    reply: mpsc::Sender<std::io::Result<Child>>,
}

/// Starts `command` from a thread that lives as long as this process.
pub(crate) fn spawn(command: Command) -> anyhow::Result<Child> {
    static REQUESTS: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let program = command.get_program().to_string_lossy().into_owned();
    let (reply, answer) = mpsc::channel();
    REQUESTS
        .get_or_init(start_thread)
        .send(Request { command, reply })
        .map_err(|_| anyhow!("the thread that starts processes has ended"))?;
    answer
        .recv()
        .context("the thread that starts processes has ended")?
        .with_context(|| format!("cannot start {program}"))
}

fn start_thread() -> mpsc::Sender<Request> {
    let (sender, receiver) = mpsc::channel::<Request>();
    thread::spawn(move || {
        for mut request in receiver {
            // Whoever asked waits for the answer; if it is gone, dropping the child changes nothing for it.
            request.reply.send(request.command.spawn()).ok();
        }
    });
    sender
}
