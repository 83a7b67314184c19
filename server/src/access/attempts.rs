// SPDX-License-Identifier: MIT OR Apache-2.0
//! Limits the number of wrong passwords from an address in a second.

use crate::connection::limits::Origin;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The number of wrong passwords from one address in [`PERIOD`].
pub(crate) const MAX_WRONG: usize = 10;
const PERIOD: Duration = Duration::from_secs(1);

/// The number of addresses that are remembered. At the limit, the one that was added first is forgotten:
/// the memory is limited, and no address is refused because of others.
const MAX_ADDRESSES: usize = 4096;

#[derive(Debug, Default)]
struct AddressAttempts {
    /// When the last wrong passwords were sent.
    wrong: VecDeque<Instant>,
    /// Passwords that are being checked.
    pending: usize,
}

impl AddressAttempts {
    fn forget_old(&mut self, now: Instant) {
        while self.wrong.front().is_some_and(|at| now.saturating_duration_since(*at) >= PERIOD) {
            self.wrong.pop_front();
        }
    }
}

#[derive(Debug, Default)]
struct Table {
    addresses: HashMap<Origin, AddressAttempts>,
    /// The addresses in the order in which they were added.
    order: VecDeque<Origin>,
}

/// Counts the wrong passwords of each address.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<Table>);

impl Attempts {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to check a password; `None` if its address has sent too many wrong ones.
    pub fn start(&self, origin: Origin, now: Instant) -> Option<Attempt<'_>> {
        let mut table = self.table();
        if !table.addresses.contains_key(&origin) {
            if table.order.len() >= MAX_ADDRESSES
                && let Some(first) = table.order.pop_front()
            {
                table.addresses.remove(&first);
            }
            table.order.push_back(origin);
        }
        let address = table.addresses.entry(origin).or_default();
        address.forget_old(now);
        if address.wrong.len() + address.pending >= MAX_WRONG {
            return None;
        }
        address.pending += 1;
        Some(Attempt { attempts: self, origin, wrong_at: None })
    }
}

/// A password that is being checked.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    attempts: &'a Attempts,
    origin: Origin,
    wrong_at: Option<Instant>,
}

impl Attempt<'_> {
    /// Counts the password as wrong.
    pub fn wrong(mut self, now: Instant) {
        self.wrong_at = Some(now);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut table = self.attempts.table();
        let Some(address) = table.addresses.get_mut(&self.origin) else { return };
        address.pending = address.pending.saturating_sub(1);
        address.wrong.extend(self.wrong_at);
        if address.pending == 0 && address.wrong.is_empty() {
            table.addresses.remove(&self.origin);
            // Most often the last one.
            if let Some(at) = table.order.iter().rposition(|origin| *origin == self.origin) {
                table.order.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn origin(number: u32) -> Origin {
        Origin::of(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn an_address_may_send_ten_wrong_passwords_in_any_second() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let mut checked = Vec::new();
        for millisecond in 0..3000 {
            let now = start + Duration::from_millis(millisecond);
            if let Some(attempt) = attempts.start(origin(1), now) {
                attempt.wrong(now);
                checked.push(millisecond);
            }
            // Another address is not affected, and right passwords are not counted.
            assert!(attempts.start(origin(2), now).is_some(), "{millisecond}");
        }
        let second = |number: u64| (0..10).map(move |it| 1000 * number + it);
        assert_eq!(checked, (0..3).flat_map(second).collect::<Vec<_>>());
        assert!(attempts.table().addresses.keys().eq([&origin(1)]));
    }

    #[test]
    fn passwords_that_are_being_checked_count_too() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let pending: Vec<_> = (0..10).map(|_| attempts.start(origin(1), now).unwrap()).collect();
        assert!(attempts.start(origin(1), now).is_none());
        drop(pending);
        assert!(attempts.start(origin(1), now).is_some());
        assert!(attempts.table().addresses.is_empty() && attempts.table().order.is_empty());
    }

    #[test]
    fn the_number_of_addresses_is_limited() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..10_000 {
            attempts.start(origin(number), now).unwrap().wrong(now);
        }
        let table = attempts.table();
        assert_eq!((table.addresses.len(), table.order.len()), (MAX_ADDRESSES, MAX_ADDRESSES));
        assert!(table.addresses.contains_key(&origin(9_999)));
    }
}
