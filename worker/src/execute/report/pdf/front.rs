//! The first page: how things stand, the figures that matter, what needs attention, how it went.

use super::super::document::{Attention, Chart, Document, Tile};
use super::paper::{INNER, Paper, SIDE, Style};
use super::{BAD_BAR, FAINT, GOOD_BAR, INK, LINE, SOFT, colours, edge};

/// The figures stand three in a row.
const TILES: usize = 3;
const GAP: f32 = 9.0;
const TILE_HEIGHT: f32 = 50.0;
/// Charts stand beside each other.
const CHART_HEIGHT: f32 = 58.0;
/// So many labels stand below a chart at most.
const LABELS: usize = 5;
/// So many lines one thing that needs attention takes at most.
const LINES: usize = 3;

const SMALL: Style = Style::new(7.5, false, SOFT);
const BODY: Style = Style::new(8.5, false, INK);
const STRONG: Style = Style::new(8.5, true, INK);
const TITLE: Style = Style::new(11.5, true, INK);

/// Writes it.
pub(super) fn write(paper: &mut Paper<'_>, document: &Document) {
    paper.paragraph(Style::new(19.0, true, INK), &document.title);
    paper.paragraph(Style::new(9.0, false, SOFT), &document.subtitle);
    paper.y += 5.0;
    paper.area(SIDE, paper.y, (INNER, 1.4), INK);
    paper.y += 12.0;
    headline(paper, document);
    for row in document.tiles.chunks(TILES) {
        tiles(paper, row);
    }
    attention(paper, &document.attention);
    charts(paper, &document.charts);
}

fn headline(paper: &mut Paper<'_>, document: &Document) {
    let style = Style::new(12.5, true, INK);
    let lines = paper.lines(style, &document.headline, INNER - 24.0, usize::MAX);
    let height = lines.len() as f32 * style.leading() + 14.0;
    let (_, ground) = colours(document.tone);
    paper.need(height);
    paper.area(SIDE, paper.y, (INNER, height), ground);
    paper.area(SIDE, paper.y, (5.0, height), edge(document.tone));
    for (place, line) in lines.into_iter().enumerate() {
        paper.text(SIDE + 15.0, paper.y + 7.0 + style.size + place as f32 * style.leading(), style, line);
    }
    paper.y += height + GAP;
}

fn tiles(paper: &mut Paper<'_>, tiles: &[Tile]) {
    let width = (INNER - GAP * (TILES as f32 - 1.0)) / TILES as f32;
    paper.need(TILE_HEIGHT);
    let top = paper.y;
    for (place, tile) in tiles.iter().enumerate() {
        let x = SIDE + place as f32 * (width + GAP);
        paper.area(x, top, (width, TILE_HEIGHT), FAINT);
        paper.area(x, top, (width, 2.4), edge(tile.tone));
        paper.text(x + 8.0, top + 13.0, SMALL, tile.label);
        let value = one_line(paper, Style::new(14.0, true, INK), &tile.value, width - 16.0);
        paper.text(x + 8.0, top + 30.0, Style::new(14.0, true, INK), value);
        let note = one_line(paper, Style::new(7.0, false, SOFT), &tile.note, width - 12.0);
        paper.text(x + 8.0, top + 43.0, Style::new(7.0, false, SOFT), note);
    }
    paper.y += TILE_HEIGHT + GAP;
}

fn one_line(paper: &Paper<'_>, style: Style, text: &str, width: f32) -> String {
    paper.lines(style, text, width, 1).pop().unwrap_or_default()
}

fn attention(paper: &mut Paper<'_>, attention: &Attention) {
    paper.y += 6.0;
    paper.paragraph(TITLE, "What needs attention");
    paper.y += 2.0;
    if attention.items.is_empty() {
        paper.paragraph(BODY, "Nothing.");
    }
    let (of_word, of_subject) = (56.0, 124.0);
    for item in &attention.items {
        let subject = paper.lines(STRONG, &item.subject, of_subject - 8.0, LINES);
        let text = paper.lines(BODY, &item.text, INNER - of_word - of_subject, LINES);
        let height = subject.len().max(text.len()).max(1) as f32 * BODY.leading() + 5.0;
        paper.need(height);
        let base = paper.y + 2.5 + BODY.size;
        pill(paper, SIDE, base, item.word, item.tone);
        for (place, line) in subject.into_iter().enumerate() {
            paper.text(SIDE + of_word, base + place as f32 * BODY.leading(), STRONG, line);
        }
        for (place, line) in text.into_iter().enumerate() {
            paper.text(SIDE + of_word + of_subject, base + place as f32 * BODY.leading(), BODY, line);
        }
        paper.y += height;
        paper.rule(paper.y - 0.6, LINE);
    }
    if attention.more > 0 {
        paper.y += 2.0;
        paper.paragraph(SMALL, &format!("And {} more.", attention.more));
    }
}

/// A word that stands out.
pub(super) fn pill(paper: &mut Paper<'_>, x: f32, base: f32, word: &str, tone: super::Tone) {
    let (letters, ground) = colours(tone);
    let style = Style::new(7.5, true, letters);
    let width = paper.width(style, word) + 7.0;
    paper.area(x, base - 8.0, (width, 10.5), ground);
    paper.text(x + 3.5, base - 0.5, style, word);
}

fn charts(paper: &mut Paper<'_>, charts: &[Chart]) {
    if charts.is_empty() {
        return;
    }
    paper.y += 12.0;
    paper.need(CHART_HEIGHT + 48.0);
    let count = charts.len() as f32;
    let width = (INNER - 16.0 * (count - 1.0)) / count;
    let top = paper.y;
    for (place, chart) in charts.iter().enumerate() {
        draw(paper, chart, SIDE + place as f32 * (width + 16.0), top, width);
    }
    paper.y = top + CHART_HEIGHT + 44.0;
}

fn draw(paper: &mut Paper<'_>, chart: &Chart, x: f32, top: f32, width: f32) {
    paper.text(x, top + 8.5, STRONG, &*chart.title);
    let most = chart.most();
    let small = Style::new(6.5, false, SOFT);
    paper.text(x, top + 19.0, small, (chart.unit)(most));
    let (upper, axis) = (top + 22.0, top + 22.0 + CHART_HEIGHT);
    paper.area(x, upper, (width, 0.4), LINE);
    let step = width / chart.bars.len().max(1) as f32;
    let every = chart.bars.len().div_ceil(LABELS).max(1);
    for (place, bar) in chart.bars.iter().enumerate() {
        let left = x + place as f32 * step + 0.1 * step;
        #[expect(clippy::cast_possible_truncation, reason = "a part of the height of a chart")]
        let height = |value: f64| if most > 0.0 { (value / most) as f32 * CHART_HEIGHT } else { 0.0 };
        let (good, bad) = (height(bar.good.unwrap_or(0.0)), height(bar.bad));
        paper.area(left, axis - good, (0.8 * step, good), GOOD_BAR);
        paper.area(left, axis - good - bad, (0.8 * step, bad), BAD_BAR);
        if place % every == 0 {
            let middle = left + 0.4 * step - paper.width(small, &bar.label) / 2.0;
            paper.text(middle.max(x), axis + 8.5, small, &*bar.label);
        }
    }
    paper.area(x, axis, (width, 0.6), SOFT);
    if let Some(bad) = chart.bad {
        paper.area(x, axis + 13.5, (5.0, 5.0), GOOD_BAR);
        paper.text(x + 8.0, axis + 18.5, small, format!("{} (below)", chart.good));
        paper.area(x + 68.0, axis + 13.5, (5.0, 5.0), BAD_BAR);
        paper.text(x + 76.0, axis + 18.5, small, format!("{bad} (on top)"));
    }
}
