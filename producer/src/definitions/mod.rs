//! What users write: YAML files with targets, jobs, limits, reports, how strict the rules of alerts are and who is told of them;
//! and the way back from what is stored.
//!
//! Reading never stops at the first problem: each is noted with its file, line and field, and nothing is used as
//! long as there is one. [`schema`] describes the same format to editors; a test holds the two against each other.

mod node;
mod passage;
mod problem;

mod fields;
mod values;

mod alert;
mod channel;
mod exception;
mod job;
mod limit;
mod maintenance;
mod place;
mod report;
mod retention;
mod route;
mod schedule;
mod secret;
mod source;
mod target;
mod upkeep;

pub mod schema;
pub mod written;

use std::collections::BTreeMap;
use std::path::PathBuf;

use shared::alert::{Maintenance, Rule, Setting};
use shared::channel::{Channel, ChannelName};
use shared::job::{Job, JobName};
use shared::limit::{Key, Limit};
use shared::route::Route;
use shared::target::{Target, TargetName};

pub use passage::Passage;
pub use problem::{Origin, Problem, Problems};
pub use report::Report;
pub use upkeep::Upkeep;

use fields::Fields;
pub(crate) use fields::Located;
use node::{Node, Value};

/// Everything that some texts define.
#[derive(Debug, Default)]
pub struct Definitions {
    /// Targets, in the order of the texts.
    pub targets: Vec<Target>,
    /// Jobs, in the order of the texts.
    pub jobs: Vec<DefinedJob>,
    /// Limits, those of a text's targets before its others.
    pub limits: Vec<(Key, Limit)>,
    /// Reports, in the order of the texts.
    pub reports: Vec<Report>,
    /// Upkeep of the database, in the order of the texts.
    pub upkeep: Vec<Upkeep>,
    /// How strict rules of alerts are, in the order of the texts.
    pub alerts: Vec<(Rule, Setting)>,
    /// Maintenance windows, in the order of the texts.
    pub maintenance: Vec<Maintenance>,
    /// Channels, in the order of the texts.
    pub channels: Vec<Channel>,
    /// Routes, in the order of the texts.
    pub routes: Vec<Route>,
    /// What is wrong with the texts.
    pub(crate) problems: Problems,
    // What follows is also that of definitions that are wrong elsewhere: then nothing more is said of it by
    // mistake, and nothing is found only at the next try.
    pub(crate) names: Names,
    pub(crate) references: Vec<Located<TargetName>>,
    pub(crate) job_references: Vec<Located<JobName>>,
    pub(crate) routed: Vec<Located<ChannelName>>,
    pub(crate) mailed: Vec<Located<ChannelName>>,
    pub(crate) repositories: Vec<Located<String>>,
    pub(crate) limited: BTreeMap<Key, Origin>,
    pub(crate) ruled: BTreeMap<Rule, Origin>,
}

/// A job, and where it was defined.
#[derive(Debug, Clone)]
pub struct DefinedJob {
    /// What it is.
    pub job: Job,
    /// Where each of its fields stands.
    pub passage: Passage,
}

/// Names of definitions, with the places at which they stand.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) targets: BTreeMap<String, Origin>,
    pub(crate) jobs: BTreeMap<String, Origin>,
    pub(crate) reports: BTreeMap<String, Origin>,
    pub(crate) upkeep: BTreeMap<String, Origin>,
    pub(crate) maintenance: BTreeMap<String, Origin>,
    pub(crate) channels: BTreeMap<String, Origin>,
    pub(crate) routes: BTreeMap<String, Origin>,
}

impl Definitions {
    /// Reads files.
    #[must_use]
    pub fn read(files: &[PathBuf]) -> Self {
        let mut definitions = Self::default();
        for path in files {
            let file = path.display().to_string();
            match std::fs::read_to_string(path) {
                Ok(text) => definitions.add(&file, &text),
                Err(error) => definitions.problems.add(whole(&file), format!("cannot be read: {error}")),
            }
        }
        definitions
    }

    /// Reads a text, YAML or JSON; `file` is what its problems call it.
    pub fn add(&mut self, file: &str, text: &str) {
        let Self { problems, names, references, repositories, .. } = self;
        let root = match node::parse(text) {
            Ok(root) => root,
            Err((line, message)) => return problems.add(Origin { line, ..whole(file) }, message),
        };
        let Some(mut fields) = Fields::of(&root, whole(file), problems) else { return };
        let (targets, jobs) = (fields.nodes("targets"), fields.nodes("jobs"));
        let (limits, reports) = (fields.nodes("limits"), fields.nodes("reports"));
        let upkeep = fields.nodes("upkeep");
        let alerts = fields.optional_below("alerts").map(|fields| alert::read(fields, |_| true));
        let windows = fields.nodes("maintenance");
        let (channels, routes) = (fields.nodes("channels"), fields.nodes("routes"));
        fields.finish();
        let mut limited = Vec::new();
        for (node, at) in each(file, "targets", targets) {
            note_name(&mut names.targets, node, &at, problems);
            if let Some(fields) = Fields::of(node, at, problems) {
                self.targets.extend(target::read(fields, repositories, &mut limited));
            }
        }
        for (node, at) in each(file, "jobs", jobs) {
            note_name(&mut names.jobs, node, &at, problems);
            if let Some(fields) = Fields::of(node, at.clone(), problems) {
                let job = job::read(fields, references);
                let defined = |job| DefinedJob { job, passage: Passage::new(at, node.clone()) };
                self.jobs.extend(job.map(defined));
            }
        }
        for (node, at) in each(file, "limits", limits) {
            limited.extend(Fields::of(node, at, problems).and_then(limit::read));
        }
        let mut reported = report::Named::default();
        for (node, at) in each(file, "reports", reports) {
            note_name(&mut names.reports, node, &at, problems);
            let report =
                Fields::of(node, at, problems).and_then(|fields| report::read(fields, &mut reported));
            self.reports.extend(report);
        }
        self.job_references.extend(reported.jobs);
        self.mailed.extend(reported.channels);
        let mut named = maintenance::Named::default();
        for (node, at) in each(file, "maintenance", windows) {
            note_name(&mut names.maintenance, node, &at, problems);
            let window =
                Fields::of(node, at, problems).and_then(|fields| maintenance::read(fields, &mut named));
            self.maintenance.extend(window);
        }
        references.extend(named.targets);
        self.job_references.extend(named.jobs);
        for (Located { value, at }, setting) in alerts.unwrap_or_default() {
            match self.ruled.get(&value) {
                Some(first) => problems.add(at, format!("is set already at {}:{}", first.file, first.line)),
                None => _ = self.ruled.insert(value, at),
            }
            self.alerts.push((value, setting));
        }
        for (Located { value, at }, limit) in limited {
            match self.limited.get(&value) {
                Some(first) => {
                    problems.add(at, format!("{value} is limited already at {}:{}", first.file, first.line));
                }
                None => _ = self.limited.insert(value.clone(), at),
            }
            self.limits.push((value, limit));
        }
        self.add_upkeep(file, upkeep);
        self.add_notifications(file, channels, routes);
    }

    fn add_upkeep(&mut self, file: &str, upkeep: &[Node]) {
        let Self { problems, names, .. } = self;
        for (node, at) in each(file, "upkeep", upkeep) {
            note_name(&mut names.upkeep, node, &at, problems);
            self.upkeep.extend(Fields::of(node, at, problems).and_then(upkeep::read));
        }
    }

    fn add_notifications(&mut self, file: &str, channels: &[Node], routes: &[Node]) {
        let Self { problems, names, routed, .. } = self;
        for (node, at) in each(file, "channels", channels) {
            note_name(&mut names.channels, node, &at, problems);
            self.channels.extend(Fields::of(node, at, problems).and_then(channel::read));
        }
        for (node, at) in each(file, "routes", routes) {
            note_name(&mut names.routes, node, &at, problems);
            self.routes.extend(Fields::of(node, at, problems).and_then(|fields| route::read(fields, routed)));
        }
    }
}

fn whole(file: &str) -> Origin {
    Origin { file: file.to_owned(), line: 0, field: String::new() }
}

/// The definitions of a list with their places.
fn each<'a>(file: &str, list: &str, nodes: &'a [Node]) -> impl Iterator<Item = (&'a Node, Origin)> {
    nodes.iter().enumerate().map(move |(index, node)| (node, origin(file, list, index, node)))
}

/// The place of a definition, by its name if it has one.
fn origin(file: &str, list: &str, index: usize, node: &Node) -> Origin {
    let field = name(node).map_or_else(|| format!("{list}[{index}]"), |(name, _)| format!("{list}.{name}"));
    Origin { file: file.to_owned(), line: node.referenced.line(), field }
}

fn note_name(names: &mut BTreeMap<String, Origin>, node: &Node, at: &Origin, problems: &mut Problems) {
    let Some((name, line)) = name(node) else { return };
    let at = Origin { line, ..at.clone() };
    if let Some(first) = names.get(name) {
        problems.add(at, format!("is defined already at {}:{}", first.file, first.line));
    } else {
        names.insert(name.to_owned(), at);
    }
}

fn name(node: &Node) -> Option<(&str, u64)> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(key, _)| key.value == "name").and_then(|(_, node)| match &node.value {
        Value::Text(name) => Some((name.as_str(), node.referenced.line())),
        _ => None,
    })
}

#[cfg(test)]
pub(crate) mod any;
#[cfg(test)]
mod tests;
