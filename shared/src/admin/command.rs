//! The subcommand `admin` of each program: asks a process that runs on this machine.

mod shown;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use hyper::Method;
use hyper::body::Bytes;
use serde::de::DeserializeOwned;

use super::SOCKET;
use super::client::ask;
use super::profile::Format;
use crate::exit::BadInput;
use crate::settings::{Settings, Sources};
use crate::telemetry::Filters;
use crate::terminal;

/// What is asked of a process that runs.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// Its socket; that of the setting admin.socket when absent
    #[arg(long, value_name = "PATH", global = true)]
    socket: Option<PathBuf>,
    /// Prints the answer as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Shows what it does: its own tasks, and those that it runs
    Tasks,
    /// Shows its pools and its connections to databases, and how much of them is in use
    Pools,
    /// Shows what it logs, or has it log something else until it ends
    Log {
        /// Such as info,worker=debug; `configured` for that of its settings
        filter: Option<String>,
    },
    /// Takes a profile of its processor time
    Profile {
        /// How long: 1 to 300
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// svg: a flame graph for browsers; pprof: for the tool of that name; by the file's ending when absent
        #[arg(long)]
        format: Option<Format>,
        /// Where it is written; `-` is standard output
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Asks, and prints what is answered.
///
/// # Errors
/// Nobody answers, or what was asked for is wrong.
pub async fn run(args: &AdminArgs, sources: &Sources) -> anyhow::Result<()> {
    let socket = match &args.socket {
        Some(socket) => socket.clone(),
        None => configured(sources)?,
    };
    let get = async |path: &str| ask(&socket, Method::GET, path, String::new()).await;
    match &args.what {
        What::Tasks => {
            let answer = get("/tasks").await?;
            show(args.json, &answer, shown::tasks)
        }
        What::Pools => {
            let answer = get("/pools").await?;
            show(args.json, &answer, shown::pools)
        }
        What::Log { filter } => {
            let answer = match filter.as_deref() {
                None => get("/log").await?,
                Some("configured") => {
                    let filters: Filters = read(&get("/log").await?)?;
                    ask(&socket, Method::PUT, "/log", filters.configured).await?
                }
                Some(filter) => ask(&socket, Method::PUT, "/log", filter.to_owned()).await?,
            };
            show(args.json, &answer, shown::filters)
        }
        What::Profile { seconds, format, out } => {
            let by_name =
                if out.extension().is_some_and(|is| is == "svg") { Format::Svg } else { Format::Pprof };
            let format = format.unwrap_or(by_name);
            let profile = get(&format!("/profile?seconds={seconds}&format={format}")).await?;
            if out.as_os_str() == "-" {
                eprintln!("{}", shown::written(out, profile.len(), *seconds, format));
                return terminal::write(&profile);
            }
            std::fs::write(out, &profile).with_context(|| out.display().to_string())?;
            let text = || shown::written(out, profile.len(), *seconds, format);
            crate::say!("{}", if args.json { shown::written_json(out, profile.len()) } else { text() });
            Ok(())
        }
    }
}

/// Only this setting is read: whoever looks into a process needs no database.
fn configured(sources: &Sources) -> anyhow::Result<PathBuf> {
    let socket = super::socket(&mut Settings::open(sources));
    socket.ok_or_else(|| BadInput(format!("{SOCKET}: is not set: name the socket with --socket")).into())
}

fn show<T: DeserializeOwned>(json: bool, answer: &Bytes, shown: impl Fn(&T) -> String) -> anyhow::Result<()> {
    let text = if json { String::from_utf8_lossy(answer).into_owned() } else { shown(&read(answer)?) };
    crate::say!("{}", text.trim_end());
    Ok(())
}

fn read<T: DeserializeOwned>(answer: &Bytes) -> anyhow::Result<T> {
    serde_json::from_slice(answer).context("the process is of another version")
}
