//! NumPy's legacy generator `RandomState`: MT19937 (Matsumoto and Nishimura 1998) and its
//! permutation. The paper's pixel order and split depend on it.

const LENGTH: usize = 624;
const MIDDLE: usize = 397;

/// A generator in the initial state of `RandomState(seed)`.
pub(super) struct LegacyRng {
    state: [u32; LENGTH],
    next: usize,
}

impl LegacyRng {
    /// Returns the generator of a seed (`init_genrand`).
    pub(super) fn new(seed: u32) -> Self {
        let mut state = [seed; LENGTH];
        let mut last = seed;
        for (index, word) in (0u32..).zip(&mut state).skip(1) {
            last = 1_812_433_253u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(index);
            *word = last;
        }
        Self { state, next: LENGTH }
    }

    /// Returns a random order of 0..`length`: for i from the end, swap with the first draw, masked
    /// to the bit length of i, that is at most i.
    pub(super) fn permutation(&mut self, length: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..length).collect();
        for i in (1..length).rev() {
            let mask = u32::MAX >> i.leading_zeros();
            let j = loop {
                let draw = self.bits() & mask;
                if draw <= i {
                    break draw;
                }
            };
            order.swap(i as usize, j as usize);
        }
        order
    }

    /// Returns the next 32 random bits.
    fn bits(&mut self) -> u32 {
        if self.next == LENGTH {
            self.refill();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    fn refill(&mut self) {
        for i in 0..LENGTH {
            let joined =
                (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % LENGTH] & 0x7fff_ffff);
            let twist = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + MIDDLE) % LENGTH] ^ (joined >> 1) ^ twist;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(value: &serde_json::Value) -> Vec<u32> {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn the_permutations_of_seed_400_are_those_of_the_paper() {
        let oracles: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/goldens/oracles.json")).unwrap();
        let oracle = &oracles["permutation"];
        let mut generator = LegacyRng::new(400);
        let order = generator.permutation(784);
        let split = generator.permutation(60_000);
        let plain = LegacyRng::new(400).permutation(60_000);
        for (found, begin, end) in [
            (&order, "order_first", "order_last"),
            (&split, "split_first_psmnist", "split_last_psmnist"),
        ] {
            assert!(found.starts_with(&numbers(&oracle[begin])), "{begin}");
            assert!(found.ends_with(&numbers(&oracle[end])), "{end}");
        }
        assert!(plain.starts_with(&numbers(&oracle["split_first_smnist"])));
        let checksum: u64 = (1..).zip(&order).map(|(file, &i)| file * u64::from(i)).sum();
        assert_eq!(checksum, oracle["order_checksum"].as_u64().unwrap());
    }
}
