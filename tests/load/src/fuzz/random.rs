// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pseudorandom numbers: the same for the same seed, on every machine.

/// A pseudorandom number generator (`SplitMix64`).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The generator for a connection: depends on the seed and the connection's number only.
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

    /// True with a probability of `percent`.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// One of the values, or the default of the type if there are none.
    pub fn pick<T: Copy + Default>(&mut self, values: &[T]) -> T {
        values.get(self.below(values.len())).copied().unwrap_or_default()
    }

    /// One of the values, each with a probability in proportion to its weight; `default` if the sum of
    /// the weights is 0.
    pub fn weighted<T: Copy>(&mut self, values: &[(usize, T)], default: T) -> T {
        let sum = values.iter().map(|(weight, _)| weight).sum();
        let mut at = self.below(sum);
        for (weight, value) in values {
            if at < *weight {
                return *value;
            }
            at -= weight;
        }
        default
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_its_own_reproducible_numbers() {
        let first = |connection| Random::of_connection(7, connection).next();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
        let mut random = Random::of_connection(7, 1);
        assert!((0..1000).all(|_| random.below(5) < 5));
        assert_eq!(random.below(0), 0);
        assert_eq!(random.weighted(&[(0, 1), (3, 2)], 3), 2);
    }
}
