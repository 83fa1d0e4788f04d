//! The fingerprint of a window that slides over a stream of bytes.

use crate::{Polynom, Polynom64, tables::Tables};

/// A fingerprint of the newest bytes of a stream.
pub trait RollingHash64 {
    /// Starts anew and takes in one byte less than the window holds, or all there are; returns how many.
    fn reset_and_prefill_window<I: Iterator<Item = u8>>(&mut self, bytes: &mut I) -> usize;

    /// Takes a byte into the window and the oldest one out of it.
    fn slide(&mut self, byte: u8);
}

/// Rabin's fingerprint: the window, read as one large polynomial, modulo a polynomial.
#[derive(Debug, Clone)]
pub struct Rabin64 {
    /// The fingerprint of what is in the window.
    pub hash: Polynom64,
    tables: &'static Tables,
    /// How far to shift the fingerprint down to see its eight highest bits.
    top: u32,
    /// The newest bytes, in a ring as long as a byte can count, so that its positions wrap around by themselves.
    ring: [u8; 256],
    /// Where the next byte goes.
    next: u8,
    /// How many of the bytes the window holds.
    window: u8,
}

impl Rabin64 {
    /// An empty window of 2 to the power of `window_bits` bytes, which is the same as one full of zeros.
    ///
    /// # Panics
    ///
    /// If `window_bits` exceeds 7, or the polynomial's degree is not one of 8 to 56.
    #[must_use]
    pub fn new_with_polynom(window_bits: u32, polynom: &Polynom64) -> Self {
        assert!(window_bits < 8, "a window of 2^{window_bits} bytes is too large");
        let window = 1 << window_bits;
        let tables = Tables::shared(*polynom, window);
        let top = polynom.degree().unsigned_abs() - 8;
        Self { hash: 0, tables, top, ring: [0; 256], next: 0, window }
    }
}

impl RollingHash64 for Rabin64 {
    fn reset_and_prefill_window<I: Iterator<Item = u8>>(&mut self, bytes: &mut I) -> usize {
        self.hash = 0;
        self.ring = [0; 256];
        let mut taken = 0;
        for byte in bytes.take(usize::from(self.window) - 1) {
            self.slide(byte);
            taken += 1;
        }
        taken
    }

    #[inline]
    fn slide(&mut self, byte: u8) {
        let leaving = self.ring[usize::from(self.next.wrapping_sub(self.window))];
        self.ring[usize::from(self.next)] = byte;
        self.next = self.next.wrapping_add(1);
        let [overflow, ..] = (self.hash >> self.top).to_le_bytes();
        // The byte that leaves is looked up shifted already. So no step of what the next fingerprint waits for depends on it.
        let arriving = Polynom64::from(byte) ^ self.tables.leaving[usize::from(leaving)];
        self.hash = (self.hash << 8) ^ self.tables.overflow[usize::from(overflow)] ^ arriving;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLYNOM: Polynom64 = 0x003d_a335_8b4d_c173;

    /// By the definition, without tables.
    fn fingerprint(bytes: &[u8]) -> Polynom64 {
        bytes.iter().fold(0, |rest: u64, byte| ((rest << 8) | Polynom64::from(*byte)).modulo(&POLYNOM))
    }

    fn bytes() -> Vec<u8> {
        (0u32..2000).map(|number| (number.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect()
    }

    #[test]
    fn the_fingerprint_is_the_remainder_of_the_window() {
        let bytes = bytes();
        for bits in 0..8 {
            let mut rabin = Rabin64::new_with_polynom(bits, &POLYNOM);
            for (end, byte) in (1..).zip(&bytes) {
                rabin.slide(*byte);
                let window = &bytes[end.max(1 << bits) - (1 << bits)..end];
                assert_eq!(rabin.hash, fingerprint(window), "{bits} bits, byte {end}");
            }
        }
    }

    #[test]
    fn prefilling_forgets_what_was_there_and_leaves_room_for_one_byte() {
        let bytes = bytes();
        let mut rabin = Rabin64::new_with_polynom(6, &POLYNOM);
        for byte in &bytes {
            rabin.slide(*byte);
        }
        let mut rest = bytes.iter().copied();
        assert_eq!(rabin.reset_and_prefill_window(&mut rest), 63);
        assert_eq!(rabin.hash, fingerprint(&bytes[..63]));
        assert_eq!(rest.next(), Some(bytes[63]));
        rabin.slide(bytes[63]);
        rabin.slide(bytes[64]);
        assert_eq!(rabin.hash, fingerprint(&bytes[1..65]));
    }

    #[test]
    fn a_short_stream_prefills_what_it_has() {
        let bytes = bytes();
        let mut rabin = Rabin64::new_with_polynom(6, &POLYNOM);
        for byte in &bytes {
            rabin.slide(*byte);
        }
        assert_eq!(rabin.reset_and_prefill_window(&mut bytes[..10].iter().copied()), 10);
        assert_eq!(rabin.hash, fingerprint(&bytes[..10]));
    }
}
