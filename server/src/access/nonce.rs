// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nonces of digest authentication (RFC 2617 section 3.2.1).
//!
//! Each connection of RTSP has one of its own, which is valid nowhere else: so their number is limited by that
//! of the connections, and what was overheard cannot be used in another connection.
//!
//! HTTP clients use several connections at a time, and a nonce in all of them. There, a nonce contains the time
//! at which it was issued, and proves by a hash that it was issued to the address of the client.

use super::hashes::{hash, hex};
use crate::connection::limits::Origin;
use sha2::Sha256;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

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

/// The nonces that a connection accepts.
#[derive(Debug)]
pub(crate) enum Nonce {
    /// The one that was issued in this connection.
    ByConnection(ConnectionNonce),
    /// All that were issued lately to clients from an address.
    ByAddress(Origin),
}

impl Default for Nonce {
    fn default() -> Self {
        Self::ByConnection(ConnectionNonce::default())
    }
}

impl Nonce {
    /// The nonce for a challenge.
    pub fn issue(&mut self, now: Instant) -> String {
        match self {
            Self::ByConnection(nonce) => nonce.issue(now).to_owned(),
            Self::ByAddress(origin) => address_nonce(*origin, seconds(now)),
        }
    }

    /// Whether a request may use a nonce.
    pub fn accept(&mut self, text: &str, count: Option<u32>, now: Instant) -> bool {
        match self {
            Self::ByConnection(nonce) => nonce.accept(text, count, now),
            // Requests of several connections do not arrive in the order of their numbers.
            Self::ByAddress(origin) => {
                let issued = text.split_once('-').map(|(issued, _)| issued);
                let issued = issued.and_then(|issued| u64::from_str_radix(issued, 16).ok());
                let (origin, now) = (*origin, seconds(now));
                issued.is_some_and(|issued| {
                    let is_ours = address_nonce(origin, issued).as_bytes().ct_eq(text.as_bytes());
                    now.saturating_sub(issued) < LIFETIME.as_secs() && bool::from(is_ours)
                })
            }
        }
    }
}

/// The time since the first nonce for an address, in seconds.
fn seconds(now: Instant) -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    now.saturating_duration_since(*START).as_secs()
}

/// The nonce that is issued to an address at a time.
fn address_nonce(origin: Origin, seconds: u64) -> String {
    static SECRET: LazyLock<[u8; 32]> = LazyLock::new(|| {
        let mut secret = [0; 32];
        // A system without random numbers has worse problems than a predictable nonce.
        let _ = getrandom::fill(&mut secret);
        secret
    });
    let (time, origin) = (seconds.to_be_bytes(), format!("{origin:?}"));
    let proof = hash::<Sha256>(&[&*SECRET, &time, origin.as_bytes()]);
    format!("{seconds:x}-{}", hex(proof.get(..LENGTH).unwrap_or(&proof)))
}

/// The nonce of one connection.
#[derive(Debug, Default)]
pub(crate) struct ConnectionNonce(Option<Issued>);

impl ConnectionNonce {
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
        let mut nonce = ConnectionNonce::default();
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
        assert!(!ConnectionNonce::default().accept("", None, now));
    }

    #[test]
    fn a_nonce_of_an_address_is_valid_in_all_its_connections_for_a_time() {
        let start = Instant::now();
        let of = |host: u8| Nonce::ByAddress(Origin::of([127, 0, 0, host].into()));
        let issued = of(1).issue(start);
        let minutes = |minutes| start + Duration::from_mins(minutes);
        let changed = issued.replacen('-', "0-", 1);
        // The address, the nonce, the time, whether it is accepted.
        let rows = [
            (1, issued.as_str(), start, true),
            (1, &issued, start, true),
            (1, &issued, minutes(4), true),
            (1, &issued, minutes(6), false),
            (2, &issued, start, false),
            (1, &changed, start, false),
            (1, "", start, false),
            (1, "-", start, false),
            (1, "0-", start, false),
            (1, &issued[..issued.len() - 1], start, false),
        ];
        for (row, (host, text, now, want)) in rows.into_iter().enumerate() {
            assert_eq!(of(host).accept(text, Some(1), now), want, "row {row}");
        }
    }
}
