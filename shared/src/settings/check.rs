//! `--check-config`: what a process would use, and all that is wrong with it, without any server.

use serde::Serialize;

use super::Settings;
use crate::exit::Exit;
use crate::terminal;

/// The flags of every process.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Check {
    /// Says which settings apply and what is wrong with them, and ends; needs no server
    #[arg(long, global = true)]
    check_config: bool,
    /// With --check-config, and before any command: as JSON
    #[arg(long, requires = "check_config")]
    json: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    errors: Vec<String>,
    warnings: Vec<String>,
    notes: Vec<String>,
    settings: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    key: String,
    variable: String,
    value: Option<String>,
    origin: Option<String>,
}

impl Check {
    /// Whether the process is to do nothing but this.
    #[must_use]
    pub const fn asked(self) -> bool {
        self.check_config
    }

    /// Prints what came of reading the settings. Bad input is anything that is wrong, and what would be warned of at the start.
    #[must_use]
    pub fn print(self, mut settings: Settings) -> Exit {
        settings.look_for_unknown();
        let rows = settings.asked.into_values().map(|asked| {
            let (value, origin) = asked.value.unzip();
            Row { key: asked.described.key, variable: asked.described.variable, value, origin }
        });
        let report = Report {
            ok: settings.errors.is_empty() && settings.doubts.is_empty(),
            errors: settings.errors,
            warnings: settings.doubts,
            notes: settings.remarks,
            settings: rows.collect(),
        };
        let exit = if report.ok { Exit::Done } else { Exit::BadInput };
        let shown = if self.json { serde_json::json!(report).to_string() } else { text(&report) };
        match terminal::print(&shown) {
            Ok(()) => exit,
            Err(error) => {
                eprintln!("error: {error:#}");
                Exit::Failed
            }
        }
    }
}

fn text(report: &Report) -> String {
    let mut table = terminal::table(&["key", "value", "from"]);
    for row in report.settings.iter().filter(|row| row.value.is_some()) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        table.add_row([row.key.clone(), text(&row.value), text(&row.origin)]);
    }
    let mut lines = vec![table.to_string(), String::new()];
    for (what, said) in [("error", &report.errors), ("warning", &report.warnings), ("note", &report.notes)] {
        lines.extend(said.iter().map(|said| format!("{what}: {said}")));
    }
    lines.push(if report.ok { "the configuration is well" } else { "the configuration is wrong" }.to_owned());
    lines.join("\n")
}
