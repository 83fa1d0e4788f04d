//! What is written as text, so that it is read back as it was.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// As YAML, block by block.
///
/// # Errors
/// Never for plain data with text keys.
pub fn yaml<T: Serialize>(value: &T) -> Result<String, serde_saphyr::ser::Error> {
    // Texts are kept as they are, whatever line breaks and blanks they have.
    serde_saphyr::to_string_with_options(value, serde_saphyr::ser_options! { prefer_block_scalars: false })
}

/// As JSON on one line that is YAML as well.
///
/// # Errors
/// Never for plain data with text keys.
pub fn json<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let mut text = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut text, Escaping))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Escapes what may stand in JSON, and in YAML may not.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        for c in text.chars() {
            match c {
                '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                    write!(writer, "\\u{:04x}", u32::from(c))?;
                }
                _ => write!(writer, "{c}")?,
            }
        }
        Ok(())
    }
}
