//! Polynomials over the field of two elements.

/// A polynomial of a degree below 64: bit `n` is the coefficient of the `n`-th power.
pub type Polynom64 = u64;

/// What is asked of a polynomial.
pub trait Polynom {
    /// The highest power that occurs; -1 if none does.
    fn degree(&self) -> i32;

    /// The remainder of the division by `divisor`, which must not be zero.
    #[must_use]
    fn modulo(&self, divisor: &Self) -> Self;
}

impl Polynom for Polynom64 {
    fn degree(&self) -> i32 {
        63 - self.leading_zeros().cast_signed()
    }

    fn modulo(&self, divisor: &Self) -> Self {
        let mut rest = *self;
        while let Some(shift) = divisor.leading_zeros().checked_sub(rest.leading_zeros()) {
            // Takes away the highest power: subtraction is exclusive or.
            rest ^= divisor << shift;
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_degree_is_the_number_of_the_highest_bit() {
        assert_eq!([0, 1, 2, 0xff, 1 << 63].map(|polynom: u64| polynom.degree()), [-1, 0, 1, 7, 63]);
    }

    #[test]
    fn a_remainder_is_what_no_multiple_of_the_divisor_takes_away() {
        // x^2 + x + 1 = x (x + 1) + 1, and x^4 + x + 1 = x (x^3 + 1) + 1
        assert_eq!(0b111u64.modulo(&0b11), 1);
        assert_eq!(0b10011u64.modulo(&0b1001), 1);
        assert_eq!(0b101u64.modulo(&0b1000), 0b101);
        assert_eq!(0u64.modulo(&0b1000), 0);
    }
}
