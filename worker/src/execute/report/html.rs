//! The page: it needs nothing but itself, on a screen as well as on paper.

use anyhow::Context as _;
use askama::Template;

use super::document::{Chart, Document};
use super::words;

/// The size of a chart in units of its own.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 80.0;
/// So many labels stand below a chart at most.
const LABELS: usize = 7;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    document: &'a Document,
    charts: Vec<Drawn<'a>>,
}

/// A chart with its bars in place.
struct Drawn<'a> {
    chart: &'a Chart,
    told: String,
    most: String,
    bars: Vec<Drawing>,
    labels: Vec<(f64, &'a str)>,
}

/// A bar in place: the good part stands on the axis, the bad one on it.
struct Drawing {
    x: f64,
    width: f64,
    good_y: f64,
    good_height: f64,
    bad_y: f64,
    bad_height: f64,
    /// What it says to whoever points at it.
    told: String,
}

/// Writes the page.
pub(super) fn write(document: &Document) -> anyhow::Result<Vec<u8>> {
    let charts = document.charts.iter().map(draw).collect();
    Ok(Page { document, charts }.render().context("rendering the page")?.into_bytes())
}

fn draw(chart: &Chart) -> Drawn<'_> {
    let most = chart.most();
    let step = WIDTH / chart.bars.len().max(1) as f64;
    let scale = if most > 0.0 { HEIGHT / most } else { 0.0 };
    let bars = chart.bars.iter().enumerate().map(|(place, bar)| {
        let good_height = bar.good.unwrap_or(0.0) * scale;
        let bad_height = bar.bad * scale;
        let good = bar.good.map_or(words::NONE.to_owned(), chart.unit);
        let bad =
            chart.bad.filter(|_| bar.bad > 0.0).map(|word| format!(", {} {word}", (chart.unit)(bar.bad)));
        Drawing {
            x: step * place as f64 + 0.1 * step,
            width: 0.8 * step,
            good_y: HEIGHT - good_height,
            good_height,
            bad_y: HEIGHT - good_height - bad_height,
            bad_height,
            told: format!("{}: {good}{}", bar.label, bad.unwrap_or_default()),
        }
    });
    let every = chart.bars.len().div_ceil(LABELS).max(1);
    let labels = chart.bars.iter().enumerate().step_by(every);
    let labels = labels.map(|(place, bar)| ((step * (place as f64 + 0.5)).max(14.0), bar.label.as_str()));
    Drawn {
        chart,
        told: chart.told(),
        most: (chart.unit)(most),
        bars: bars.collect(),
        labels: labels.collect(),
    }
}
