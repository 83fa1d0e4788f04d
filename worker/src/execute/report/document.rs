//! What a report says to people, whatever it is written as: pages and paper are made of the same parts.

use chrono::{DateTime, Utc};

/// How something is, which words say as well: colour alone tells nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tone {
    /// Neither good nor bad.
    #[default]
    Plain,
    Good,
    Warn,
    Bad,
}

impl Tone {
    /// The class in the page's style.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// A report.
#[derive(Debug)]
pub(super) struct Document {
    /// What it is called, with its period.
    pub(super) title: String,
    /// The period, and whom it is about.
    pub(super) subtitle: String,
    /// When its facts were read.
    pub(super) made_at: DateTime<Utc>,
    /// How things stand, in a sentence.
    pub(super) headline: String,
    /// How that is.
    pub(super) tone: Tone,
    /// The figures that matter most.
    pub(super) tiles: Vec<Tile>,
    /// What somebody should look at, the worst first.
    pub(super) attention: Attention,
    /// How it went day by day.
    pub(super) charts: Vec<Chart>,
    /// The details.
    pub(super) sections: Vec<Section>,
}

/// A figure with its name.
#[derive(Debug)]
pub(super) struct Tile {
    pub(super) label: &'static str,
    pub(super) value: String,
    /// What it is to be compared with.
    pub(super) note: String,
    pub(super) tone: Tone,
}

/// What somebody should look at.
#[derive(Debug, Default)]
pub(super) struct Attention {
    pub(super) items: Vec<Item>,
    /// How many more there are.
    pub(super) more: usize,
}

/// One of these.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// In one word.
    pub(super) word: &'static str,
    pub(super) tone: Tone,
    /// What it is about: a job, a target.
    pub(super) subject: String,
    /// What is wrong with it.
    pub(super) text: String,
}

impl Attention {
    /// The worst ones, and how many more there are.
    pub(super) fn new(mut items: Vec<Item>, most: usize) -> Self {
        items.sort_by_key(|item| item.tone != Tone::Bad);
        let more = items.len().saturating_sub(most);
        items.truncate(most);
        Self { items, more }
    }
}

/// Bars over time: a good part, and a bad one above it.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) title: String,
    /// What the parts are.
    pub(super) good: &'static str,
    pub(super) bad: Option<&'static str>,
    pub(super) bars: Vec<Bar>,
    /// The value at the upper edge; where it is not given, the largest.
    pub(super) top: Option<f64>,
    /// How a value is written.
    pub(super) unit: fn(f64) -> String,
}

/// One bar.
#[derive(Debug)]
pub(super) struct Bar {
    /// The day, or the first of several.
    pub(super) label: String,
    /// `None` where nothing is known.
    pub(super) good: Option<f64>,
    pub(super) bad: f64,
}

impl Chart {
    /// The value at the upper edge.
    pub(super) fn most(&self) -> f64 {
        let largest = self.bars.iter().map(|bar| bar.good.unwrap_or(0.0) + bar.bad).fold(0.0, f64::max);
        self.top.unwrap_or(largest)
    }

    /// What the chart shows, for whoever does not see it.
    pub(super) fn told(&self) -> String {
        let with = |bar: &Bar| {
            let good = bar.good.map_or("-".to_owned(), |good| (self.unit)(good));
            match self.bad {
                Some(word) if bar.bad > 0.0 => {
                    format!("{}: {good}, {} {word}", bar.label, (self.unit)(bar.bad))
                }
                _ => format!("{}: {good}", bar.label),
            }
        };
        let bars: Vec<String> = self.bars.iter().map(with).collect();
        format!("{}. {}", self.title, bars.join("; "))
    }
}

/// A part of the details.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) title: String,
    /// What it means.
    pub(super) note: String,
    pub(super) table: Option<Table>,
}

/// A list.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    /// How many more rows there are.
    pub(super) more: usize,
}

impl Table {
    /// Whether the cells of a column are numbers.
    pub(super) fn is_number(&self, column: usize) -> bool {
        self.columns.get(column).is_some_and(|column| column.number)
    }
}

/// A column of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Its share of the width of paper.
    pub(super) width: f32,
    /// Whether it holds numbers, which stand at the right.
    pub(super) number: bool,
}

impl Column {
    pub(super) const fn text(title: &'static str, width: f32) -> Self {
        Self { title, width, number: false }
    }

    pub(super) const fn number(title: &'static str, width: f32) -> Self {
        Self { title, width, number: true }
    }
}

/// A row of a list.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    /// What is said below it, over all columns.
    pub(super) notes: Vec<Note>,
}

/// Something said below a row.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) word: String,
    pub(super) text: String,
}

/// A cell of a list.
#[derive(Debug, Default)]
pub(super) struct Cell {
    pub(super) text: String,
    /// Where it is an answer: it stands out.
    pub(super) tone: Option<Tone>,
}

impl Cell {
    pub(super) fn answer(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone: Some(tone) }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: None }
    }
}

impl Document {
    /// What matters in some lines, for the body of a mail.
    pub(super) fn summary(&self) -> String {
        let mut lines = vec![self.headline.clone(), String::new()];
        for Tile { label, value, note, .. } in &self.tiles {
            let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
            lines.push(format!("{label}: {value}{note}"));
        }
        if !self.attention.items.is_empty() {
            lines.extend([String::new(), "What needs attention:".to_owned()]);
            let items = self.attention.items.iter();
            lines.extend(items.map(|item| format!("- {}: {}: {}", item.word, item.subject, item.text)));
            if self.attention.more > 0 {
                lines.push(format!("- and {} more", self.attention.more));
            }
        }
        lines.join("\n")
    }
}
