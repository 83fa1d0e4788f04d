//! The documents about settings: a page for people and an example file, made of what the programs read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Described, Settings};

/// The widest line of prose, in characters.
const WIDTH: usize = 130;

/// What one program reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub program: String,
    /// Its settings.
    pub settings: Vec<Described>,
}

impl Part {
    /// What a program has read from nothing.
    #[must_use]
    pub fn new(program: &str, read: Settings) -> Self {
        Self { program: program.to_owned(), settings: read.described() }
    }
}

/// A setting with the programs that read it, in the order of the parts.
struct Entry<'a> {
    programs: Vec<&'a str>,
    settings: Vec<&'a Described>,
}

/// Settings by the programs that read them: those of most programs first.
type Sections<'a> = BTreeMap<(usize, Vec<&'a str>), Vec<Entry<'a>>>;

/// The names of all keys, one a line.
#[must_use]
pub fn names(parts: &[Part]) -> String {
    let names: BTreeSet<&str> =
        parts.iter().flat_map(|part| &part.settings).map(|setting| setting.key.as_str()).collect();
    names.into_iter().fold(String::new(), |text, name| text + name + "\n")
}

/// The page for people.
#[must_use]
pub fn page(parts: &[Part]) -> String {
    let mut page = include_str!("page.md").to_owned();
    for ((_, programs), entries) in sections(parts) {
        _ = writeln!(page, "\n## {}\n", title(&programs, parts.len()));
        page.push_str("| key | variable | type | default | what for |\n| --- | --- | --- | --- | --- |\n");
        for entry in entries {
            let setting = entry.settings[0];
            let range = setting.range.as_ref().map(|range| format!(", {range}")).unwrap_or_default();
            let (default, about) = (entry.default(), entry.about());
            let Described { key, variable, kind, .. } = setting;
            _ = writeln!(page, "| `{key}` | `{variable}` | {kind}{range} | {default} | {about} |");
        }
    }
    page
}

/// The example file: every key, commented out.
#[must_use]
pub fn example(parts: &[Part]) -> String {
    let mut file = include_str!("example.toml").to_owned();
    for ((_, programs), entries) in sections(parts) {
        _ = writeln!(file, "\n# {}", title(&programs, parts.len()));
        // Of a secret and its file only one may be given.
        for entry in entries.iter().filter(|entry| !entry.is_of_a_file()) {
            let setting = entry.settings[0];
            let range = setting.range.as_ref().map(|range| format!(" ({range})")).unwrap_or_default();
            let differs =
                if entry.differs() { format!(" Default: {}.", entry.default()) } else { String::new() };
            let about = format!("{}{range}.{differs}", entry.about());
            file.push('\n');
            for line in wrapped(&about.replace('`', "")) {
                _ = writeln!(file, "# {line}");
            }
            _ = writeln!(file, "#{} = {}", setting.key, setting.example);
        }
    }
    file
}

fn sections(parts: &[Part]) -> Sections<'_> {
    let mut entries: BTreeMap<&str, Entry<'_>> = BTreeMap::new();
    for part in parts {
        for setting in &part.settings {
            let entry =
                entries.entry(&setting.key).or_insert(Entry { programs: Vec::new(), settings: Vec::new() });
            entry.programs.push(&part.program);
            entry.settings.push(setting);
        }
    }
    let mut sections = Sections::new();
    for entry in entries.into_values() {
        let fewest_last = parts.len() - entry.programs.len();
        sections.entry((fewest_last, entry.programs.clone())).or_default().push(entry);
    }
    sections
}

fn title(programs: &[&str], all: usize) -> String {
    match programs {
        programs if programs.len() == all => "All programs".to_owned(),
        [one] => format!("The {one}"),
        several => several.join(" and "),
    }
}

impl Entry<'_> {
    fn default(&self) -> String {
        let of = |setting: &Described| match &setting.default {
            Some(words) if words.starts_with('(') => words.clone(),
            Some(default) => format!("`{default}`"),
            None if setting.required => "must be given".to_owned(),
            None => "absent".to_owned(),
        };
        self.each(of, ", ")
    }

    fn about(&self) -> String {
        self.each(|setting| setting.about.clone(), "; ")
    }

    /// What all programs say, or what each does.
    fn each(&self, of: impl Fn(&Described) -> String, between: &str) -> String {
        let said: Vec<String> = self.settings.iter().map(|setting| of(setting)).collect();
        if said.iter().all(|text| *text == said[0]) {
            return said[0].clone();
        }
        let named = self.programs.iter().zip(said).map(|(program, said)| format!("{program}: {said}"));
        named.collect::<Vec<_>>().join(between)
    }

    fn differs(&self) -> bool {
        self.settings.iter().any(|setting| setting.default != self.settings[0].default)
    }

    fn is_of_a_file(&self) -> bool {
        self.settings[0].key.ends_with("_file")
    }
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + word.chars().count() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
