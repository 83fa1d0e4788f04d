//! Where in the files a definition stands, for what is to be said about it later.

use super::node::{Node, Value};
use super::problem::Origin;

/// A definition as it was written.
#[derive(Debug, Clone)]
pub struct Passage {
    at: Origin,
    node: Node,
}

impl Passage {
    pub(super) fn new(at: Origin, node: Node) -> Self {
        Self { at, node }
    }

    /// The place of a field such as `verify.read`; the place of what it would be a part of where it was left out.
    #[must_use]
    pub fn field(&self, path: &str) -> Origin {
        let mut line = self.at.line;
        let mut node = &self.node;
        for name in path.split('.') {
            let Some(below) = entry(node, name) else { break };
            node = below;
            line = node.referenced.line();
        }
        Origin { file: self.at.file.clone(), line, field: format!("{}.{path}", self.at.field) }
    }

    /// Whether a field was written.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        entry(&self.node, field).is_some()
    }
}

fn entry<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(key, _)| key.value == name).map(|(_, node)| node)
}
