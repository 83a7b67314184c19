// SPDX-License-Identifier: MIT OR Apache-2.0
//! The nonce of a connection (RFC 2617 section 3.2.1). Each connection has one of its own, which is valid
//! nowhere else: so their number is limited by that of the connections, and what was overheard cannot be
//! used in another connection.

use super::hashes::hex;
use std::time::{Duration, Instant};

/// A nonce that is not used for this time expires. Players keep a session alive more often.
const LIFETIME: Duration = Duration::from_mins(5);

/// The number of random bytes.
const LENGTH: usize = 16;

#[derive(Debug)]
struct Issued {
    text: String,
    used: Instant,
    /// The highest number of a request (`nc`) that was accepted.
    count: u32,
}

impl Issued {
    fn is_expired(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= LIFETIME
    }
}

/// The nonce of one connection.
#[derive(Debug, Default)]
pub(crate) struct Nonce(Option<Issued>);

impl Nonce {
    /// The nonce for a challenge: the present one, or a new one if that has expired or been replaced.
    pub fn issue(&mut self, now: Instant) -> &str {
        if self.0.as_ref().is_none_or(|issued| issued.is_expired(now)) {
            let mut bytes = [0; LENGTH];
            if getrandom::fill(&mut bytes).is_err() {
                // A system without random numbers has worse problems than a predictable nonce.
                bytes = [0x5e; LENGTH];
            }
            self.0 = Some(Issued { text: hex(&bytes), used: now, count: 0 });
        }
        self.0.as_ref().map_or("", |issued| &issued.text)
    }

    /// Whether a request may use a nonce. Its number, if it has one, must be higher than all before. If
    /// not, the nonce is replaced: a client that knows the password can go on with the new one.
    pub fn accept(&mut self, text: &str, count: Option<u32>, now: Instant) -> bool {
        let accepted = match &mut self.0 {
            Some(issued) if issued.text == text && !issued.is_expired(now) => {
                let is_new = count.is_none_or(|count| count > issued.count);
                issued.count = count.unwrap_or(issued.count).max(issued.count);
                issued.used = now;
                is_new
            }
            _ => false,
        };
        if !accepted {
            self.0 = None;
        }
        accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_used_with_rising_numbers_until_it_expires() {
        let now = Instant::now();
        let mut nonce = Nonce::default();
        let first = nonce.issue(now).to_owned();
        assert_eq!((first.len(), nonce.issue(now)), (2 * LENGTH, first.as_str()));
        for count in [Some(1), Some(2), None, Some(9)] {
            assert!(nonce.accept(&first, count, now), "{count:?}");
        }
        // It is used, so it does not expire.
        for minutes in [4, 8, 12] {
            assert!(nonce.accept(&first, None, now + Duration::from_mins(minutes)), "{minutes}");
        }
        let later = now + Duration::from_mins(17);
        assert!(!nonce.accept(&first, Some(10), later));
        let second = nonce.issue(later).to_owned();
        assert_ne!(second, first);
        // A number that was used before, or a nonce of another connection, needs a new nonce.
        assert!(nonce.accept(&second, Some(1), later) && !nonce.accept(&second, Some(1), later));
        let third = nonce.issue(later).to_owned();
        assert!(third != second && !nonce.accept(&second, Some(2), later));
        assert!(!Nonce::default().accept("", None, now));
    }
}
