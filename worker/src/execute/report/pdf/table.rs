//! A part of the details: a title, what it means, and a list whose head stands on each page.

use super::super::document::{Cell, Column, Row, Section, Table};
use super::front::pill;
use super::paper::{INNER, Paper, SIDE, Style};
use super::{INK, LINE, SOFT};

const TITLE: Style = Style::new(11.5, true, INK);
const NOTE: Style = Style::new(8.0, false, SOFT);
const HEAD: Style = Style::new(7.2, true, SOFT);
const BODY: Style = Style::new(7.5, false, INK);
const WORD: Style = Style::new(7.5, true, INK);
/// The space between columns, and above and below the lines of a row.
const GUTTER: f32 = 6.0;
const PADDING: f32 = 2.6;
/// How far notes stand to the right.
const INDENT: f32 = 12.0;
/// So many lines a cell or a note takes at most, so that a row is never higher than a page.
const LINES: usize = 12;
/// A list does not begin at the foot of a page.
const BEGINNING: f32 = 90.0;

/// Writes it.
pub(super) fn write(paper: &mut Paper<'_>, section: &Section) {
    paper.y += 16.0;
    paper.need(BEGINNING);
    paper.paragraph(TITLE, &section.title);
    paper.y += 1.5;
    paper.paragraph(NOTE, &section.note);
    let Some(table) = &section.table else { return };
    paper.y += 4.0;
    list(paper, table);
    if table.more > 0 {
        paper.y += 3.0;
        paper.paragraph(NOTE, &format!("And {} more.", table.more));
    }
}

/// A column in its place.
struct Placed {
    column: Column,
    x: f32,
    width: f32,
}

fn list(paper: &mut Paper<'_>, table: &Table) {
    let whole: f32 = table.columns.iter().map(|column| column.width).sum();
    let room = INNER - GUTTER * (table.columns.len() as f32 - 1.0);
    let mut x = SIDE;
    let columns: Vec<Placed> = table
        .columns
        .iter()
        .map(|column| {
            let width = room * column.width / whole;
            let placed = Placed { column: *column, x, width };
            x += width + GUTTER;
            placed
        })
        .collect();
    head(paper, &columns);
    for row in &table.rows {
        write_row(paper, &columns, row);
    }
}

fn head(paper: &mut Paper<'_>, columns: &[Placed]) {
    paper.need(3.0 * HEAD.leading());
    for Placed { column, x, width } in columns {
        let x = if column.number { x + width - paper.width(HEAD, column.title) } else { *x };
        paper.text(x, paper.y + HEAD.size, HEAD, column.title);
    }
    paper.y += HEAD.leading() + 1.0;
    paper.rule(paper.y, SOFT);
    paper.y += 1.0;
}

fn write_row(paper: &mut Paper<'_>, columns: &[Placed], row: &Row) {
    let style = |cell: &Cell| if cell.tone.is_some() { WORD } else { BODY };
    let cells: Vec<Vec<String>> = columns
        .iter()
        .zip(&row.cells)
        .map(|(placed, cell)| {
            let width = if cell.tone.is_some() { placed.width - 7.0 } else { placed.width };
            paper.lines(style(cell), &cell.text, width, LINES)
        })
        .collect();
    let notes: Vec<(String, Vec<String>)> = row
        .notes
        .iter()
        .map(|note| {
            let word = format!("{}: ", note.word);
            let before = paper.width(WORD, &word);
            (word, paper.lines(BODY, &note.text, INNER - INDENT - before, LINES))
        })
        .collect();
    let lines = cells.iter().map(Vec::len).max().unwrap_or(1).max(1);
    let below: usize = notes.iter().map(|(_, lines)| lines.len().max(1)).sum();
    let height = (lines + below) as f32 * BODY.leading() + 2.0 * PADDING;
    if paper.need(height) {
        head(paper, columns);
    }
    let base = paper.y + PADDING + BODY.size;
    for ((placed, cell), lines) in columns.iter().zip(&row.cells).zip(cells) {
        write_cell(paper, placed, cell, &lines, base);
    }
    let mut base = base + lines as f32 * BODY.leading();
    for (word, lines) in notes {
        let after = SIDE + INDENT + paper.width(WORD, &word);
        paper.text(SIDE + INDENT, base, WORD, word);
        for (place, line) in lines.iter().enumerate() {
            paper.text(
                after,
                base + place as f32 * BODY.leading(),
                Style::new(7.5, false, SOFT),
                line.as_str(),
            );
        }
        base += lines.len().max(1) as f32 * BODY.leading();
    }
    paper.y += height;
    paper.rule(paper.y - 0.6, LINE);
}

fn write_cell(paper: &mut Paper<'_>, placed: &Placed, cell: &Cell, lines: &[String], base: f32) {
    for (place, line) in lines.iter().enumerate() {
        let y = base + place as f32 * BODY.leading();
        match cell.tone {
            Some(tone) => {
                let width = paper.width(WORD, line) + 7.0;
                let x = if placed.column.number { placed.x + placed.width - width } else { placed.x };
                pill(paper, x, y, line, tone);
            }
            None => {
                let width = paper.width(BODY, line);
                let x = if placed.column.number { placed.x + placed.width - width } else { placed.x };
                paper.text(x, y, BODY, line.as_str());
            }
        }
    }
}
