//! Pages that are filled from top to bottom. What is drawn is kept until the number of pages is known.

use super::face::{Face, Faces, lines};
use super::{Colour, INK, LINE, SOFT};

/// A4, in points.
pub(super) const WIDTH: f32 = 595.28;
pub(super) const HEIGHT: f32 = 841.89;
/// The margins at both sides.
pub(super) const SIDE: f32 = 38.0;
/// How wide the lines are.
pub(super) const INNER: f32 = WIDTH - 2.0 * SIDE;
/// Where pages begin, the first and the others.
const FIRST_TOP: f32 = 44.0;
const TOP: f32 = 60.0;
/// Where they end.
const BOTTOM: f32 = HEIGHT - 48.0;
/// The size of what stands above and below.
const EDGE_SIZE: f32 = 7.5;

/// Something that is drawn. Positions are from the upper left corner; those of texts are of their base line.
#[derive(Debug)]
pub(super) enum Mark {
    Box { x: f32, y: f32, width: f32, height: f32, colour: Colour },
    Text { x: f32, y: f32, size: f32, bold: bool, colour: Colour, text: String },
}

/// How letters look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) size: f32,
    pub(super) bold: bool,
    pub(super) colour: Colour,
}

impl Style {
    pub(super) const fn new(size: f32, bold: bool, colour: Colour) -> Self {
        Self { size, bold, colour }
    }

    /// How far lines are apart.
    pub(super) fn leading(self) -> f32 {
        self.size * 1.3
    }
}

/// Pages, of which the last one is being filled.
pub(super) struct Paper<'a> {
    faces: &'a Faces,
    pages: Vec<Vec<Mark>>,
    /// How far it is filled.
    pub(super) y: f32,
}

impl<'a> Paper<'a> {
    pub(super) fn new(faces: &'a Faces) -> Self {
        Self { faces, pages: vec![Vec::new()], y: FIRST_TOP }
    }

    pub(super) const fn face(&self, bold: bool) -> &'a Face {
        self.faces.face(bold)
    }

    /// Goes on to the next page unless there is so much room; returns whether it did.
    pub(super) fn need(&mut self, height: f32) -> bool {
        let fits = self.y + height <= BOTTOM;
        if !fits {
            self.pages.push(Vec::new());
            self.y = TOP;
        }
        !fits
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        if let Some(page) = self.pages.last_mut() {
            page.push(mark);
        }
    }

    pub(super) fn area(&mut self, x: f32, y: f32, (width, height): (f32, f32), colour: Colour) {
        self.mark(Mark::Box { x, y, width, height, colour });
    }

    /// A line over the whole width.
    pub(super) fn rule(&mut self, y: f32, colour: Colour) {
        self.area(SIDE, y, (INNER, 0.6), colour);
    }

    pub(super) fn text(&mut self, x: f32, y: f32, style: Style, text: impl Into<String>) {
        let Style { size, bold, colour } = style;
        self.mark(Mark::Text { x, y, size, bold, colour, text: text.into() });
    }

    /// Breaks a text into lines of a width.
    pub(super) fn lines(&self, style: Style, text: &str, width: f32, most: usize) -> Vec<String> {
        lines(self.face(style.bold), text, style.size, width, most)
    }

    pub(super) fn width(&self, style: Style, text: &str) -> f32 {
        self.face(style.bold).width(text, style.size)
    }

    /// A text over the whole width, which may go on to other pages.
    pub(super) fn paragraph(&mut self, style: Style, text: &str) {
        for line in self.lines(style, text, INNER, usize::MAX) {
            self.need(style.leading());
            self.text(SIDE, self.y + style.size, style, line);
            self.y += style.leading();
        }
    }

    /// All pages, with what stands above and below.
    pub(super) fn finish(mut self, title: &str, foot: &str) -> Vec<Vec<Mark>> {
        let mut pages = std::mem::take(&mut self.pages);
        let all = pages.len();
        let style = Style::new(EDGE_SIZE, false, SOFT);
        let bold = Style::new(EDGE_SIZE, true, INK);
        for (place, page) in pages.iter_mut().enumerate() {
            self.pages = vec![Vec::new()];
            if place > 0 {
                self.text(SIDE, 40.0, bold, title);
                self.rule(46.0, LINE);
            }
            self.rule(HEIGHT - 38.0, LINE);
            self.text(SIDE, HEIGHT - 26.0, style, foot);
            let number = format!("page {} of {all}", place + 1);
            let x = WIDTH - SIDE - self.width(style, &number);
            self.text(x, HEIGHT - 26.0, style, number);
            page.extend(self.pages.pop().unwrap_or_default());
        }
        pages
    }
}
