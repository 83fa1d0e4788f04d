//! The report on paper: A4, each page with its title and its number, the heads of lists on each page that they go on to.

mod face;
mod front;
mod paper;
mod table;

use anyhow::{Context as _, anyhow};
use chrono::{Datelike as _, Timelike as _};
use krilla::Document as Pdf;
use krilla::color::rgb;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::{DateTime, Metadata};
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, FillRule};
use krilla::surface::Surface;

use super::document::{Document, Tone};
use super::words;
use face::Faces;
use paper::{HEIGHT, Mark, Paper, WIDTH};

/// A colour: red, green, blue.
type Colour = (u8, u8, u8);

const INK: Colour = (27, 34, 44);
const SOFT: Colour = (90, 102, 117);
const LINE: Colour = (216, 222, 230);
const FAINT: Colour = (245, 247, 250);
/// The parts of charts.
const GOOD_BAR: Colour = (47, 111, 179);
const BAD_BAR: Colour = (196, 70, 45);

/// The colours of what stands out: of its letters, of its ground.
const fn colours(tone: Tone) -> (Colour, Colour) {
    match tone {
        Tone::Plain => (SOFT, FAINT),
        Tone::Good => ((11, 84, 38), (225, 244, 231)),
        Tone::Warn => ((107, 69, 0), (252, 239, 207)),
        Tone::Bad => ((139, 21, 21), (251, 227, 224)),
    }
}

/// The colour of an edge.
const fn edge(tone: Tone) -> Colour {
    match tone {
        Tone::Plain => (184, 194, 206),
        Tone::Good => (29, 122, 61),
        Tone::Warn => (177, 116, 0),
        Tone::Bad => (179, 38, 30),
    }
}

/// Writes the report.
pub(super) fn write(document: &Document) -> anyhow::Result<Vec<u8>> {
    let faces = Faces::load()?;
    let mut paper = Paper::new(&faces);
    front::write(&mut paper, document);
    for section in &document.sections {
        table::write(&mut paper, section);
    }
    let pages =
        paper.finish(&document.title, &format!("Holdfast · made on {} UTC", words::moment(document.made_at)));
    print(&pages, &faces, document)
}

fn print(pages: &[Vec<Mark>], faces: &Faces, document: &Document) -> anyhow::Result<Vec<u8>> {
    let mut pdf = Pdf::new();
    for page in pages {
        let settings = PageSettings::from_wh(WIDTH, HEIGHT).context("the size of a page")?;
        let mut page_of_pdf = pdf.start_page_with(settings);
        let mut surface = page_of_pdf.surface();
        for mark in page {
            draw(&mut surface, mark, faces);
        }
        surface.finish();
        page_of_pdf.finish();
    }
    let at = document.made_at;
    let small = |number: u32| u8::try_from(number).unwrap_or(0);
    let made = DateTime::new(u16::try_from(at.year()).unwrap_or(0))
        .month(small(at.month()))
        .day(small(at.day()))
        .hour(small(at.hour()))
        .minute(small(at.minute()))
        .second(small(at.second()))
        .utc_offset_hour(0)
        .utc_offset_minute(0);
    let metadata = Metadata::new()
        .title(document.title.clone())
        .description(document.headline.clone())
        .creator("Holdfast".to_owned())
        .language("en".to_owned())
        .creation_date(made);
    pdf.set_metadata(metadata);
    pdf.finish().map_err(|error| anyhow!("writing the PDF: {error:?}"))
}

fn draw(surface: &mut Surface<'_>, mark: &Mark, faces: &Faces) {
    let fill = |(red, green, blue): Colour| Fill {
        paint: rgb::Color::new(red, green, blue).into(),
        opacity: NormalizedF32::ONE,
        rule: FillRule::NonZero,
    };
    match mark {
        Mark::Box { x, y, width, height, colour } => {
            let mut path = PathBuilder::new();
            // What has no area is not drawn.
            if let Some(rect) = Rect::from_xywh(*x, *y, *width, *height) {
                path.push_rect(rect);
            }
            if let Some(path) = path.finish() {
                surface.set_fill(Some(fill(*colour)));
                surface.draw_path(&path);
            }
        }
        Mark::Text { x, y, size, bold, colour, text } => {
            let face = faces.face(*bold);
            surface.set_fill(Some(fill(*colour)));
            surface.draw_glyphs(Point::from_xy(*x, *y), &face.glyphs(text), face.font(), text, *size, false);
        }
    }
}
