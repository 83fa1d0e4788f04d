//! The worker's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|command| command == "exec") {
        return worker::engine::child::main();
    }
    eprintln!("usage: worker exec");
    ExitCode::from(2)
}
