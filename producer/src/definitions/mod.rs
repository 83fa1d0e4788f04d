//! What users write: YAML files with targets, jobs and limits.
//!
//! Reading never stops at the first problem: each is noted with its file, line and field, and nothing is used as
//! long as there is one.

mod node;
mod problem;

mod fields;
mod values;

mod job;
mod limit;
mod place;
mod retention;
mod schedule;
mod source;
mod target;

pub mod change;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use shared::job::Job;
use shared::limit::{Key, Limit};
use shared::target::{Target, TargetName};

pub use problem::{Origin, Problem, Problems};

use fields::{Fields, Located};
use node::{Node, Value};

/// Everything that some files define.
#[derive(Debug, Default)]
pub struct Definitions {
    /// Targets, in the order of the files.
    pub targets: Vec<Target>,
    /// Jobs, in the order of the files.
    pub jobs: Vec<Job>,
    /// Limits, those of targets first.
    pub limits: Vec<(Key, Limit)>,
    // What follows is also that of definitions that are wrong elsewhere: then nothing more is said of it by
    // mistake, and nothing is found only at the next try.
    target_names: Names,
    job_names: Names,
    references: Vec<Located<TargetName>>,
    repositories: Vec<Located<String>>,
    limited: BTreeMap<Key, Origin>,
}

type Names = BTreeMap<String, Origin>;

impl Definitions {
    /// Reads files.
    #[must_use]
    pub fn read(files: &[PathBuf], problems: &mut Problems) -> Self {
        let mut definitions = Self::default();
        for path in files {
            let file = path.display().to_string();
            match std::fs::read_to_string(path) {
                Ok(text) => definitions.add(&file, &text, problems),
                Err(error) => problems.add(whole(&file), format!("cannot be read: {error}")),
            }
        }
        definitions
    }

    /// Reads the text of one file.
    pub fn add(&mut self, file: &str, text: &str, problems: &mut Problems) {
        let root = match node::parse(text) {
            Ok(root) => root,
            Err((line, message)) => return problems.add(Origin { line, ..whole(file) }, message),
        };
        let Some(mut fields) = Fields::of(&root, whole(file), problems) else { return };
        let (targets, jobs) = (fields.nodes("targets"), fields.nodes("jobs"));
        let limits = fields.nodes("limits");
        fields.finish();
        let mut limited = Vec::new();
        for (index, node) in targets.iter().enumerate() {
            let at = origin(file, "targets", index, node);
            note_name(&mut self.target_names, node, &at, problems);
            if let Some(fields) = Fields::of(node, at, problems) {
                self.targets.extend(target::read(fields, &mut self.repositories, &mut limited));
            }
        }
        for (index, node) in jobs.iter().enumerate() {
            let at = origin(file, "jobs", index, node);
            note_name(&mut self.job_names, node, &at, problems);
            if let Some(fields) = Fields::of(node, at, problems) {
                self.jobs.extend(job::read(fields, &mut self.references));
            }
        }
        for (index, node) in limits.iter().enumerate() {
            let at = origin(file, "limits", index, node);
            limited.extend(Fields::of(node, at, problems).and_then(limit::read));
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
    }

    /// Checks what definitions demand of each other, and of the targets and jobs that are stored already.
    pub fn check(&self, stored: &[Target], jobs: &[&Job], problems: &mut Problems) {
        self.check_targets_exist(stored, problems);
        self.check_repositories_differ(stored, problems);
        self.check_limited_exist(jobs, problems);
    }

    /// An owner or a source is whatever some job says it is: a limit on another one is a slip of the pen.
    fn check_limited_exist(&self, stored: &[&Job], problems: &mut Problems) {
        let jobs = || self.jobs.iter().chain(stored.iter().copied());
        let owners: BTreeSet<&str> = jobs().map(|job| job.owner.as_str()).collect();
        let domains: BTreeSet<&str> = jobs().map(|job| job.source.place.failure_domain.as_str()).collect();
        for (key, at) in &self.limited {
            match key {
                Key::Owner(owner) if !owners.contains(owner.as_str()) => {
                    problems.add(at.clone(), "no job has this owner");
                }
                Key::Source(source) if !domains.contains(source.as_str()) => {
                    problems.add(at.clone(), "no job's source has this failure_domain");
                }
                _ => {}
            }
        }
    }

    fn check_targets_exist(&self, stored: &[Target], problems: &mut Problems) {
        let exists = |name: &TargetName| {
            self.target_names.contains_key(name.as_str()) || stored.iter().any(|target| target.name == *name)
        };
        for reference in self.references.iter().filter(|reference| !exists(&reference.value)) {
            problems.add(reference.at.clone(), format!("no target is named \"{}\"", reference.value));
        }
    }

    fn check_repositories_differ(&self, stored: &[Target], problems: &mut Problems) {
        let kept = stored.iter().filter(|target| !self.target_names.contains_key(target.name.as_str()));
        let mut owners: BTreeMap<&str, String> = kept
            .map(|target| {
                (target.repository.as_str(), format!("target {}, which is applied already", target.name))
            })
            .collect();
        for Located { value, at } in &self.repositories {
            if let Some(owner) = owners.get(value.as_str()) {
                problems.add(at.clone(), format!("is the same as that of {owner}"));
            } else {
                owners.insert(value, format!("the target at {}:{}", at.file, at.line));
            }
        }
    }
}

fn whole(file: &str) -> Origin {
    Origin { file: file.to_owned(), line: 0, field: String::new() }
}

/// The place of a definition, by its name if it has one.
fn origin(file: &str, list: &str, index: usize, node: &Node) -> Origin {
    let field = name(node).map_or_else(|| format!("{list}[{index}]"), |(name, _)| format!("{list}.{name}"));
    Origin { file: file.to_owned(), line: node.referenced.line(), field }
}

fn note_name(names: &mut Names, node: &Node, at: &Origin, problems: &mut Problems) {
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
mod tests;
