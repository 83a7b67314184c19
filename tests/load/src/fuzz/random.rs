// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random numbers that are the same for the same seed, on every machine.

/// A generator of random numbers (`SplitMix64`).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The generator of one connection: different for each, whichever client opens it.
    pub fn of_connection(seed: u64, connection: u64) -> Self {
        let mut mixed = Self(seed);
        let seed = mixed.next();
        let mut random = Self(seed ^ connection.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        random.next();
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 if the limit is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let high = (u128::from(self.next()) * limit as u128) >> 64;
        usize::try_from(high).unwrap_or(0)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// One of the values; the default of the type if there is none.
    pub fn pick<T: Copy + Default>(&mut self, values: &[T]) -> T {
        values.get(self.below(values.len())).copied().unwrap_or_default()
    }

    /// One of the values, each as often as its weight says.
    pub fn weighted<T: Copy>(&mut self, values: &[(usize, T)], otherwise: T) -> T {
        let sum = values.iter().map(|(weight, _)| weight).sum();
        let mut at = self.below(sum);
        for (weight, value) in values {
            if at < *weight {
                return *value;
            }
            at -= weight;
        }
        otherwise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_its_own_numbers_and_always_the_same() {
        let first = |connection| Random::of_connection(7, connection).next();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
        let mut random = Random::of_connection(7, 1);
        assert!((0..1000).all(|_| random.below(5) < 5));
        assert_eq!(random.below(0), 0);
        assert_eq!(random.weighted(&[(0, 1), (3, 2)], 3), 2);
    }
}
