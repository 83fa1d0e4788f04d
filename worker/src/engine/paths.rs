//! Paths as text without loss: on Linux they are bytes, not characters.

use std::{
    ffi::OsString,
    fmt::Write,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// A path as text: `%`, control characters and bytes that are no UTF-8 become `%XX`, all else stays as it is.
#[must_use]
pub fn encode(path: &Path) -> String {
    let mut text = String::with_capacity(path.as_os_str().len());
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '%' || character.is_ascii_control() {
                escape(&mut text, character as u8);
            } else {
                text.push(character);
            }
        }
        for &byte in chunk.invalid() {
            escape(&mut text, byte);
        }
    }
    text
}

/// The reverse of [`encode`], or `None` for a text that it cannot have made.
#[must_use]
pub fn decode(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

fn escape(text: &mut String, byte: u8) {
    // Writing to a string cannot fail.
    let _ = write!(text, "%{byte:02X}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_names_stay_readable_and_odd_ones_are_escaped() {
        assert_eq!(encode(Path::new("/srv/Ä b/c")), "/srv/Ä b/c");
        let odd = PathBuf::from(OsString::from_vec(b"a\nb%c\xff".to_vec()));
        assert_eq!(encode(&odd), "a%0Ab%25c%FF");
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(decode("%zz"), None);
        assert_eq!(decode("a%"), None);
    }

    proptest! {
        #[test]
        fn every_path_survives(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let path = PathBuf::from(OsString::from_vec(bytes));
            prop_assert_eq!(decode(&encode(&path)), Some(path));
        }
    }
}
