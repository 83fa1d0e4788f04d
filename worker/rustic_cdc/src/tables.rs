//! What sliding a window by one byte looks up.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::{Polynom, Polynom64};

/// The tables that a process has computed: one entry for each repository it had open, 4 KiB each.
static COMPUTED: Mutex<BTreeMap<(Polynom64, u8), &'static Tables>> = Mutex::new(BTreeMap::new());

/// Remainders by one polynomial for a window of one size.
#[derive(Debug)]
pub(crate) struct Tables {
    /// For a byte that leaves the window: what it has become within the fingerprint by then.
    pub(crate) leaving: [Polynom64; 256],
    /// For the eight bits that a shift by a byte pushes beyond the degree: these bits, to clear them, with their remainder.
    pub(crate) overflow: [Polynom64; 256],
}

impl Tables {
    /// Those for a polynomial and a window of so many bytes, computed if nobody has asked for them before.
    ///
    /// # Panics
    ///
    /// If the polynomial's degree is not one of 8 to 56: a fingerprint shifted by a byte must fit into 64 bits.
    pub(crate) fn shared(polynom: Polynom64, window: u8) -> &'static Self {
        assert!((8..=56).contains(&polynom.degree()), "the degree of {polynom:#x} is not one of 8 to 56");
        // What is in the map is complete, whoever panicked.
        let mut computed = COMPUTED.lock().unwrap_or_else(PoisonError::into_inner);
        computed
            .entry((polynom, window))
            .or_insert_with(|| Box::leak(Box::new(Self::compute(polynom, window))))
    }

    fn compute(polynom: Polynom64, window: u8) -> Self {
        let bytes: [Polynom64; 256] = std::array::from_fn(|byte| byte as Polynom64);
        let shifted = |byte: Polynom64| (0..window).fold(byte, |rest, _| (rest << 8).modulo(&polynom));
        let beyond = |byte: Polynom64| byte << polynom.degree();
        Self {
            leaving: bytes.map(shifted),
            overflow: bytes.map(|byte| beyond(byte) | beyond(byte).modulo(&polynom)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_computed_once_for_each_polynomial_and_window() {
        let tables = Tables::shared(0x003d_a335_8b4d_c173, 64);
        assert!(std::ptr::eq(tables, Tables::shared(0x003d_a335_8b4d_c173, 64)));
        assert!(!std::ptr::eq(tables, Tables::shared(0x003d_a335_8b4d_c173, 32)));
        assert!(!std::ptr::eq(tables, Tables::shared(0x0020_0000_0000_0065, 64)));
    }
}
