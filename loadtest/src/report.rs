//! What a scenario found: for people on the terminal, for scripts as JSON, and as a part of a document.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;
use shared::terminal;

/// What a scenario found.
#[derive(Debug)]
pub(crate) struct Report {
    /// One or two sentences: what was measured, and how.
    pub(crate) about: String,
    /// The figures for people.
    pub(crate) tables: Vec<Table>,
    /// The figures for scripts: an object that begins with `scenario`.
    pub(crate) json: Value,
}

/// A table of figures.
#[derive(Debug)]
pub(crate) struct Table {
    /// The columns' names.
    pub(crate) header: Vec<String>,
    /// The rows, each with as many cells as the header.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { header: header.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(Vec::from(cells));
    }
}

impl Report {
    /// Prints it.
    pub(crate) fn print(&self) {
        println!("{}", self.about);
        for Table { header, rows } in &self.tables {
            let header: Vec<&str> = header.iter().map(String::as_str).collect();
            let mut table = terminal::table(&header);
            for row in rows {
                table.add_row(row.clone());
            }
            println!("\n{table}");
        }
    }

    /// Writes the figures for scripts.
    pub(crate) fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(&self.json)?;
        std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
    }

    /// Puts the figures into a document, between the lines `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
    pub(crate) fn write_into(&self, document: &Path, name: &str, how: &str) -> anyhow::Result<()> {
        let text =
            std::fs::read_to_string(document).with_context(|| format!("reading {}", document.display()))?;
        let replaced = replace(&text, name, &self.markdown(how)).with_context(|| no_part(document, name))?;
        std::fs::write(document, replaced).with_context(|| format!("writing {}", document.display()))
    }

    /// Whether figures could be put there.
    ///
    /// # Errors
    /// The document cannot be read, or has no such part.
    pub(crate) fn check(document: &Path, name: &str) -> anyhow::Result<()> {
        let text =
            std::fs::read_to_string(document).with_context(|| format!("reading {}", document.display()))?;
        replace(&text, name, "").map(|_| ()).with_context(|| no_part(document, name))
    }

    fn markdown(&self, how: &str) -> String {
        let mut text = format!("{how}\n\n{}\n", self.about);
        for Table { header, rows } in &self.tables {
            let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
            let rule = vec!["---".to_owned(); header.len()];
            // Writing into a string cannot fail.
            _ = writeln!(text, "\n{}\n{}", line(header), line(&rule));
            for row in rows {
                _ = writeln!(text, "{}", line(row));
            }
        }
        text
    }
}

fn no_part(document: &Path, name: &str) -> String {
    format!("{} has no part `<!-- {name}: begin -->` to `<!-- {name}: end -->`", document.display())
}

fn replace(document: &str, name: &str, part: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{part}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_document_is_replaced_and_what_people_wrote_around_it_stays() {
        let document = "before\n<!-- a: begin -->\nold\n<!-- a: end -->\nafter\n";
        let replaced = replace(document, "a", "new").unwrap();
        assert_eq!(replaced, "before\n<!-- a: begin -->\n\nnew\n<!-- a: end -->\nafter\n");
        assert_eq!(replace(document, "b", "new"), None);
    }
}
