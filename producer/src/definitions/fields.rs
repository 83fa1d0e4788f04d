//! Reads the fields of one mapping: every problem is noted, with its line and its path, and reading goes on.

use super::node::{Node, Value};
use super::problem::{Origin, Problems};

/// A mapping whose fields are asked for one by one.
pub(super) struct Fields<'d, 'p> {
    at: Origin,
    rest: Vec<(u64, &'d str, &'d Node)>,
    asked: Vec<&'static str>,
    problems: &'p mut Problems,
}

/// The reading of one value; the error says what is wrong with it.
pub(super) type Read<T> = fn(&Value) -> Result<T, String>;

/// A value with the place where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Located<T> {
    /// What.
    pub(crate) value: T,
    /// Where.
    pub(crate) at: Origin,
}

impl<'d, 'p> Fields<'d, 'p> {
    /// The fields of a mapping; anything else is a problem.
    pub(super) fn of(node: &'d Node, at: Origin, problems: &'p mut Problems) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            problems.add(at, format!("is {}, a mapping is needed", node.value.what()));
            return None;
        };
        let rest = entries.iter().map(|(key, value)| (key.referenced.line(), key.value.as_str(), value));
        Some(Self { at, rest: rest.collect(), asked: Vec::new(), problems })
    }

    /// Notes a problem of the mapping itself.
    pub(super) fn reject(&mut self, message: impl Into<String>) {
        self.problems.add(self.at.clone(), message);
    }

    /// Notes a problem of the field `key`, at the mapping itself if the field is absent.
    pub(super) fn problem(&mut self, line: u64, key: &str, message: impl Into<String>) {
        let line = if line == 0 { self.at.line } else { line };
        self.problems.add(below(&self.at, key, line), message);
    }

    /// A field that must be there.
    pub(super) fn required<T>(&mut self, key: &'static str, read: Read<T>) -> Option<Located<T>> {
        let node = self.needed(key)?;
        self.read(key, node, read)
    }

    /// A field that may be absent.
    pub(super) fn optional<T>(&mut self, key: &'static str, read: Read<T>) -> Option<T> {
        self.located(key, read).map(|located| located.value)
    }

    /// A field that may be absent, with its place.
    pub(super) fn located<T>(&mut self, key: &'static str, read: Read<T>) -> Option<Located<T>> {
        let node = self.take(key)?;
        self.read(key, node, read)
    }

    /// The items of a list that must be there, and must not be empty.
    pub(super) fn required_list<T>(&mut self, key: &'static str, read: Read<T>) -> Vec<Located<T>> {
        let Some(node) = self.needed(key) else { return Vec::new() };
        let items = self.list(key, node);
        if node.value == Value::List(Vec::new()) {
            self.problem(node.referenced.line(), key, "is empty");
        }
        self.read_each(key, items, read)
    }

    /// The items of a list that may be absent.
    pub(super) fn optional_list<T>(&mut self, key: &'static str, read: Read<T>) -> Vec<Located<T>> {
        let items = self.nodes(key);
        self.read_each(key, items, read)
    }

    /// The items of a list that may be absent, unread.
    pub(super) fn nodes(&mut self, key: &'static str) -> &'d [Node] {
        let node = self.take(key);
        node.map_or(&[], |node| self.list(key, node))
    }

    /// The fields of a mapping that must be there; `otherwise` is said of anything else.
    pub(super) fn required_below(&mut self, key: &'static str, otherwise: &str) -> Option<Fields<'d, '_>> {
        let node = self.needed(key)?;
        if !matches!(node.value, Value::Map(_)) {
            self.problem(node.referenced.line(), key, otherwise);
            return None;
        }
        self.descend(key, node)
    }

    /// The fields of a mapping that may be absent.
    pub(super) fn optional_below(&mut self, key: &'static str) -> Option<Fields<'d, '_>> {
        let node = self.take(key)?;
        self.descend(key, node)
    }

    /// As [`Fields::optional_below`]; a certain word says as well that there is nothing.
    pub(super) fn optional_below_or(&mut self, key: &'static str, word: &str) -> Option<Fields<'d, '_>> {
        let node = self.take(key)?;
        if node.value == Value::Text(word.to_owned()) {
            return None;
        }
        self.descend(key, node)
    }

    /// Reads each mapping of a list that may be absent.
    pub(super) fn each_below<T>(&mut self, key: &'static str, read: fn(Fields<'_, '_>) -> T) -> Vec<T> {
        let items = self.nodes(key);
        items.iter().filter_map(|item| self.descend(key, item).map(read)).collect()
    }

    /// Where the mapping stands.
    pub(super) fn at(&self) -> &Origin {
        &self.at
    }

    /// Whether a field is there that was not read yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.rest.iter().any(|(_, name, _)| *name == key)
    }

    /// How many problems there are so far, here and elsewhere.
    pub(super) fn problems(&self) -> usize {
        self.problems.len()
    }

    /// Whether a field is this word.
    pub(super) fn says(&self, key: &str, word: &str) -> bool {
        self.rest.iter().any(|(_, name, node)| *name == key && node.value == Value::Text(word.to_owned()))
    }

    /// Refuses a field that makes no sense beside another one.
    pub(super) fn refuse(&mut self, key: &'static str, message: &str) {
        if let Some((line, _)) = self.remove(key) {
            self.problem(line, key, message);
        }
    }

    /// Ends the reading: fields that nobody asked for are problems.
    pub(super) fn finish(mut self) {
        let known = self.asked.join(", ");
        for (line, key, _) in std::mem::take(&mut self.rest) {
            self.problem(line, key, format!("is unknown, use one of: {known}"));
        }
    }

    fn needed(&mut self, key: &'static str) -> Option<&'d Node> {
        let node = self.take(key);
        if node.is_none() {
            self.problem(0, key, "is missing");
        }
        node
    }

    fn take(&mut self, key: &'static str) -> Option<&'d Node> {
        self.asked.push(key);
        self.remove(key).map(|(_, node)| node)
    }

    fn remove(&mut self, key: &str) -> Option<(u64, &'d Node)> {
        let index = self.rest.iter().position(|(_, name, _)| *name == key)?;
        let (line, _, node) = self.rest.remove(index);
        Some((line, node))
    }

    fn descend(&mut self, key: &str, node: &'d Node) -> Option<Fields<'d, '_>> {
        let at = below(&self.at, key, node.referenced.line());
        Fields::of(node, at, self.problems)
    }

    fn list(&mut self, key: &str, node: &'d Node) -> &'d [Node] {
        if let Value::List(items) = &node.value {
            return items;
        }
        self.problem(node.referenced.line(), key, format!("is {}, a list is needed", node.value.what()));
        &[]
    }

    fn read_each<T>(&mut self, key: &str, items: &[Node], read: Read<T>) -> Vec<Located<T>> {
        items.iter().filter_map(|item| self.read(key, item, read)).collect()
    }

    fn read<T>(&mut self, key: &str, node: &Node, read: Read<T>) -> Option<Located<T>> {
        let line = node.referenced.line();
        match read(&node.value) {
            Ok(value) => Some(Located { value, at: below(&self.at, key, line) }),
            Err(message) => {
                self.problem(line, key, message);
                None
            }
        }
    }
}

fn below(at: &Origin, key: &str, line: u64) -> Origin {
    let field = if at.field.is_empty() { key.to_owned() } else { format!("{}.{key}", at.field) };
    Origin { file: at.file.clone(), line, field }
}
