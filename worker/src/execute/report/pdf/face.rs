//! Liberation Sans: its glyphs and how wide they are. Text of reports needs no more than one glyph after the other.

use anyhow::Context as _;
use krilla::text::{Font, GlyphId, KrillaGlyph};
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider as _};

const REGULAR: &[u8] = include_bytes!("../../../../fonts/LiberationSans-Regular.ttf");
const BOLD: &[u8] = include_bytes!("../../../../fonts/LiberationSans-Bold.ttf");

/// The two weights.
pub(super) struct Faces {
    regular: Face,
    bold: Face,
}

/// One weight.
pub(super) struct Face {
    font: Font,
    source: FontRef<'static>,
    /// The glyph and the width of each character of ASCII, in ems.
    ascii: Vec<(u32, f32)>,
}

impl Faces {
    pub(super) fn load() -> anyhow::Result<Self> {
        Ok(Self { regular: Face::load(REGULAR)?, bold: Face::load(BOLD)? })
    }

    pub(super) const fn face(&self, bold: bool) -> &Face {
        if bold { &self.bold } else { &self.regular }
    }
}

impl Face {
    fn load(bytes: &'static [u8]) -> anyhow::Result<Self> {
        let font = Font::new(bytes.into(), 0).context("the font")?;
        let source = FontRef::new(bytes).context("the font")?;
        let mut face = Self { font, source, ascii: Vec::new() };
        face.ascii = (0..128_u8).map(|c| face.find(char::from(c))).collect();
        Ok(face)
    }

    pub(super) fn font(&self) -> Font {
        self.font.clone()
    }

    /// How wide a text is.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        text.chars().map(|c| self.glyph(c).1).sum::<f32>() * size
    }

    /// The glyphs of a text, each with the character that it stands for, so that the text can be found and copied.
    pub(super) fn glyphs(&self, text: &str) -> Vec<KrillaGlyph> {
        text.char_indices()
            .map(|(at, c)| {
                let (glyph, width) = self.glyph(c);
                KrillaGlyph::new(GlyphId::new(glyph), width, 0.0, 0.0, 0.0, at..at + c.len_utf8(), None)
            })
            .collect()
    }

    /// The glyph of a character and its width in ems; the one for what is missing where there is none.
    fn glyph(&self, c: char) -> (u32, f32) {
        let ascii = usize::try_from(u32::from(c)).ok().and_then(|place| self.ascii.get(place));
        ascii.copied().unwrap_or_else(|| self.find(c))
    }

    fn find(&self, c: char) -> (u32, f32) {
        let glyph = self.source.charmap().map(c).unwrap_or_default();
        // At a size of one, lengths are in ems.
        let width = self.source.glyph_metrics(Size::new(1.0), LocationRef::default()).advance_width(glyph);
        (glyph.to_u32(), width.unwrap_or_default())
    }
}

/// Breaks a text into lines of a width: between words, and within one that is too long for a line. At most `most` lines, of which
/// the last ends with dots where something is left out.
pub(super) fn lines(face: &Face, text: &str, size: f32, width: f32, most: usize) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0.0);
    let blank = face.width(" ", size);
    for word in text.split_whitespace() {
        let mut long = face.width(word, size);
        if !line.is_empty() && used + blank + long <= width {
            line.push(' ');
            line.push_str(word);
            used += blank + long;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        let mut rest = word;
        while long > width && rest.chars().nth(1).is_some() {
            let end = fitting(face, rest, size, width);
            lines.push(rest[..end].to_owned());
            rest = &rest[end..];
            long = face.width(rest, size);
        }
        rest.clone_into(&mut line);
        used = long;
    }
    if !line.is_empty() {
        lines.push(line);
    }
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            while face.width(last, size) + face.width("…", size) > width && last.pop().is_some() {}
            last.push('…');
        }
    }
    lines
}

/// Where the part of a word ends that fits into a width: one character at least, and behind a sign where there is one.
fn fitting(face: &Face, word: &str, size: f32, width: f32) -> usize {
    let (mut used, mut end, mut sign) = (0.0, 0, 0);
    for (at, c) in word.char_indices() {
        used += face.width(c.encode_utf8(&mut [0; 4]), size);
        if used > width && end > 0 {
            break;
        }
        end = at + c.len_utf8();
        if matches!(c, '-' | '_' | '.' | '/' | ',' | ';' | ':') {
            sign = end;
        }
    }
    // A line that is almost empty is worse than a word that is broken anywhere.
    if sign * 2 > end { sign } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_lose_nothing() {
        let faces = Faces::load().unwrap();
        let face = faces.face(false);
        let text = "a backup of a-very-long-name-that-fits-into-no-line-at-all.example.org/with/a/path 日本";
        let lines = lines(face, text, 8.0, 60.0, 100);
        assert!(lines.len() > 3 && lines.iter().all(|line| face.width(line, 8.0) <= 60.0), "{lines:?}");
        assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
    }

    #[test]
    fn what_is_left_out_is_shown() {
        let faces = Faces::load().unwrap();
        let lines = lines(faces.face(true), &"word ".repeat(100), 8.0, 60.0, 3);
        assert!(lines.len() == 3 && lines[2].ends_with('…'), "{lines:?}");
        assert!(faces.face(true).width(&lines[2], 8.0) <= 60.0);
    }
}
