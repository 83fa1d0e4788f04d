//! The worker's side: starts a child process for one operation, keeps its lease up to date, ends it when needed.

use std::{
    convert::Infallible,
    ffi::OsString,
    future::pending,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, Command},
    sync::watch,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

mod heard;
mod keys;

use self::heard::hear;
pub use self::heard::{Said, Warnings};
use self::keys::Keys;

use crate::metrics::EngineProcess;

use super::{
    clock::BootInstant,
    protocol::{
        Class, Failure, Key, Level, Operation, OperationResult, Progress, Request, Speeds, Told, VERSION,
        Verify,
    },
    scratch::Scratch,
};

/// What the child may see of this process's environment: how to find programs, its cache and scratch space, the
/// trusted certificates and proxies of the machine. Everything else, secrets above all, stays here.
const ENVIRONMENT: [&str; 14] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "TZ",
    "XDG_CACHE_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RUST_BACKTRACE",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// How long a child that has nothing left to do gets to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// How often the lease is looked at when nothing else happens. `tokio`'s timers do not count time spent suspended,
/// so the deadline itself cannot be slept for.
const LEASE_CHECK: Duration = Duration::from_millis(250);

/// Starts engine operations. Its clones share what they know of repositories.
#[derive(Clone)]
pub struct Engine {
    program: PathBuf,
    args: Vec<OsString>,
    keys: Arc<Keys>,
}

/// An operation that came to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Completed {
    /// What came out.
    pub result: OperationResult,
    /// What the operation survived.
    pub warnings: Warnings,
}

/// Why an operation did not come to its end. One variant for each thing the caller may do about it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Trying again cannot help before somebody changed something.
    #[error("{0}")]
    Permanent(String),
    /// As `Permanent`, with what is to be backed up.
    #[error("{0}")]
    Source(String),
    /// There is nothing where the repository should be.
    #[error("{0}")]
    Gone(String),
    /// It may work the next time.
    #[error("{0}")]
    Transient(String),
    /// The child process could not be used; this says nothing about the repository.
    #[error("{0}")]
    Process(String),
    /// The caller cancelled it; the child has ended.
    #[error("the operation was cancelled")]
    Cancelled,
    /// The lease ran out; the child has ended.
    #[error("the lease of the operation ran out")]
    LeaseLost,
    /// The child ended without saying why: killed by somebody, out of memory, a panic, ...
    #[error("the engine process ended without a result ({status}): {stderr}")]
    Crashed {
        /// How it ended.
        status: ExitStatus,
        /// The end of its standard error, at most 8 KiB.
        stderr: String,
    },
}

impl Engine {
    /// An engine whose child processes are `program exec`; `program` is the worker's own executable.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self::with_args(program, ["exec"])
    }

    /// An engine whose child processes are started in another way, for example under `nice` or `setpriv`.
    #[must_use]
    pub fn with_args<A: Into<OsString>>(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self { program: program.into(), args, keys: Arc::default() }
    }

    /// Runs one operation to its end, as fast as it can be; see [`Engine::run_at`].
    ///
    /// # Errors
    ///
    /// See [`EngineError`].
    pub async fn run(
        &self,
        operation: Operation,
        lease: watch::Receiver<BootInstant>,
        cancel: CancellationToken,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Completed, EngineError> {
        let (_, speeds) = watch::channel(Speeds::new());
        let on_said = |said| match said {
            Said::Progress(progress) => on_progress(progress),
            Said::Phase(_) => {}
        };
        self.run_at(operation, speeds, lease, cancel, on_said).await
    }

    /// Runs one operation to its end.
    ///
    /// Whichever way this returns, the child has ended and been waited for. If the future is dropped instead, the child
    /// is killed, but may take another moment to end: whoever needs to know cancels and waits.
    ///
    /// * `speeds` how fast its repositories may be used; each change is forwarded to the child.
    /// * `lease` the instant until which the operation may run; each change is forwarded to the child, and the child
    ///   is killed once the instant has come. If the sender is dropped, the last instant stays.
    /// * `on_said` gets the progress, about five times a second, and each phase as it begins. It must not block.
    ///
    /// # Errors
    ///
    /// See [`EngineError`].
    pub async fn run_at(
        &self,
        mut operation: Operation,
        speeds: watch::Receiver<Speeds>,
        lease: watch::Receiver<BootInstant>,
        cancel: CancellationToken,
        on_said: impl FnMut(Said),
    ) -> Result<Completed, EngineError> {
        let scratch = take_scratch(&mut operation)?;
        let openings = self.keys.lend(&mut operation);
        let on_key = |shown: &str, key| self.keys.keep(&openings, shown, key);
        let outcome = self.talk(operation, speeds, lease, cancel, on_said, on_key).await;
        if outcome.is_err() {
            self.keys.forget(&openings);
        }
        if let Some(scratch) = scratch {
            // A child that was killed left the restored files behind.
            let _ = tokio::task::spawn_blocking(|| scratch.remove()).await;
        }
        outcome
    }

    async fn talk(
        &self,
        operation: Operation,
        speeds: watch::Receiver<Speeds>,
        lease: watch::Receiver<BootInstant>,
        cancel: CancellationToken,
        on_said: impl FnMut(Said),
        on_key: impl FnMut(&str, Key),
    ) -> Result<Completed, EngineError> {
        let (deadline, now) = (*lease.borrow(), speeds.borrow().clone());
        let request = Request { version: VERSION, deadline, speeds: now, operation };
        let mut child = self.spawn()?;
        let _counted = EngineProcess::begin();
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(EngineError::Process("the engine process has no pipes".to_owned()));
        };

        let heard = tokio::select! {
            heard = hear(stdout, stderr, on_said, on_key) => heard,
            never = forward(stdin, &request, speeds, lease.clone()) => match never {},
            () = lease_end(&lease) => Err(EngineError::LeaseLost),
            () = cancel.cancelled() => Err(EngineError::Cancelled),
        };
        let status = end(&mut child, heard.is_err()).await?;
        let heard = heard?;
        match heard.outcome {
            Some(Ok(result)) => Ok(Completed { result, warnings: heard.warnings }),
            Some(Err(failure)) => Err(failure.into()),
            None if lease.borrow().is_past() => Err(EngineError::LeaseLost),
            None => Err(EngineError::Crashed { status, stderr: heard.stderr }),
        }
    }

    fn spawn(&self) -> Result<Child, EngineError> {
        let environment = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                EngineError::Process(format!("cannot start {}: {error}", self.program.display()))
            })
    }
}

impl From<Failure> for EngineError {
    fn from(failure: Failure) -> Self {
        match failure.class {
            Class::Permanent => Self::Permanent(failure.message),
            Class::Source => Self::Source(failure.message),
            Class::Gone => Self::Gone(failure.message),
            Class::Transient => Self::Transient(failure.message),
        }
    }
}

/// Puts a directory of our own into the scratch space of a restore test, to be removed after the child's end.
fn take_scratch(operation: &mut Operation) -> Result<Option<Scratch>, EngineError> {
    let Operation::Verify(Verify { level: Level::Restore { scratch, .. }, .. }) = operation else {
        return Ok(None);
    };
    let own = Scratch::inside(scratch).map_err(|error| {
        EngineError::Process(format!("cannot use the scratch directory {}: {error}", scratch.display()))
    })?;
    own.path().clone_into(scratch);
    Ok(Some(own))
}

/// Hands over the request and then each extension and each change of speed, and keeps the pipe open: its end would end the
/// child.
///
/// A child that no longer reads is not an error here: it has ended, or its deadline will end it.
async fn forward(
    mut stdin: ChildStdin,
    request: &Request,
    mut speeds: watch::Receiver<Speeds>,
    mut lease: watch::Receiver<BootInstant>,
) -> Infallible {
    lease.mark_changed();
    speeds.mark_changed();
    let mut reads = send(&mut stdin, request).await;
    while reads {
        // Whoever does not change any more leaves what it said last.
        let told = tokio::select! {
            Ok(()) = lease.changed() => Told::Extend(*lease.borrow_and_update()),
            Ok(()) = speeds.changed() => Told::Speeds(speeds.borrow_and_update().clone()),
            else => break,
        };
        reads = send(&mut stdin, &told).await;
    }
    pending().await
}

/// Returns once the lease has run out.
async fn lease_end(lease: &watch::Receiver<BootInstant>) {
    loop {
        let remaining = lease.borrow().remaining();
        if remaining.is_zero() {
            return;
        }
        tokio::time::sleep(remaining.min(LEASE_CHECK)).await;
    }
}

/// Writes one line; `false` if the child does not read any more.
async fn send(stdin: &mut ChildStdin, line: &impl serde::Serialize) -> bool {
    let Ok(mut line) = serde_json::to_vec(line) else { return false };
    line.push(b'\n');
    stdin.write_all(&line).await.is_ok()
}

/// Waits for the child's end, which is at once if it is killed. A child that said its last line, or closed its
/// output, has nothing left to do and gets a short while to end by itself.
async fn end(child: &mut Child, kill: bool) -> Result<ExitStatus, EngineError> {
    let ended = if kill { None } else { timeout(GRACE, child.wait()).await.ok() };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        // An error here says that it has ended already.
        let _ = child.start_kill();
        child.wait().await
    };
    ended.map_err(|error| EngineError::Process(format!("cannot wait for the engine process: {error}")))
}
