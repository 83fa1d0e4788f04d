//! The child's `main`: reads the request, runs the operation, prints what came out.

use std::{
    io::{BufReader, stdin},
    process::ExitCode,
};

use super::{
    backup, copy, forget, list,
    output::emit,
    protocol::{Event, Failure, Operation, OperationResult, Request, VERSION},
    prune, repository, restore, throttle, verify, warnings, watchdog,
};

/// Runs the one operation that standard input asks for.
///
/// The exit code is 0 after [`Event::Finished`] and 1 after [`Event::Failed`]. A panic ends the process with 101 and
/// no last event; the watchdog ends it with `SIGKILL`.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = begin().and_then(run);
    throttle::settle();
    match outcome {
        Ok(result) => {
            emit(&Event::Finished { result });
            ExitCode::SUCCESS
        }
        Err(failure) => {
            emit(&Event::Failed(failure));
            ExitCode::FAILURE
        }
    }
}

/// Reads the request and starts the watchdog.
fn begin() -> Result<Operation, Failure> {
    warnings::capture();
    let mut input = BufReader::new(stdin());
    let line = watchdog::read_line(&mut input)
        .map_err(|error| Failure::transient(format!("cannot read the request: {error}")))?
        .ok_or_else(|| Failure::permanent("there is no request on standard input"))?;
    let request = parse(&line)?;
    throttle::set(&request.speeds);
    watchdog::start(request.deadline, input)
        .map_err(|error| Failure::transient(format!("cannot watch the deadline: {error}")))?;
    Ok(request.operation)
}

fn parse(line: &[u8]) -> Result<Request, Failure> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    // The error must not repeat the line: it holds secrets.
    let bad = |error: serde_json::Error| {
        Failure::permanent(format!("bad request: {:?} error in column {}", error.classify(), error.column()))
    };
    let Versioned { version } = serde_json::from_slice(line).map_err(bad)?;
    if version != VERSION {
        return Err(Failure::permanent(format!(
            "the worker speaks version {version} of the engine protocol and this program version {VERSION}: \
             restart the worker"
        )));
    }
    serde_json::from_slice(line).map_err(bad)
}

fn run(operation: Operation) -> Result<OperationResult, Failure> {
    Ok(match operation {
        Operation::Init { repository } => OperationResult::Init(repository::init(&repository)?),
        Operation::Backup(request) => OperationResult::Backup(backup::run(&request)?),
        Operation::Copy(request) => OperationResult::Copy(copy::run(&request)?),
        Operation::Verify(request) => OperationResult::Verify(verify::run(&request)?),
        Operation::Restore(request) => OperationResult::Restore(restore::run(&request)?),
        Operation::List(request) => OperationResult::List(list::run(&request)?),
        Operation::Forget(request) => OperationResult::Forget(forget::run(&request)?),
        Operation::Prune { repository } => OperationResult::Prune(prune::run(&repository)?),
    })
}
