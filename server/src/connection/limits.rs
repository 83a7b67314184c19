// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many connections are open, in all and from an address. A lab client connects when its window
//! opens and is silent until a person presses Setup, so silent ones stay; at a limit the one that
//! has been idle longest makes room.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::AbortHandle;

/// Whose limits a connection counts for: an IPv4 address, or the network of an IPv6 address, of
/// which one host has a whole /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    /// The origin of an address.
    pub fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// How idle a connection is; the least goes first when room is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Idle {
    /// It has never said anything.
    Silent,
    /// Nothing is sent to it.
    Waiting,
}

/// By how idle they are, then by age.
type IdleKey = (Idle, u64);

#[derive(Debug, Default)]
struct State {
    open: usize,
    by_origin: HashMap<Origin, usize>,
    idle: BTreeMap<IdleKey, (Origin, AbortHandle)>,
    next: u64,
}

/// The open connections of a server.
#[derive(Debug, Clone)]
pub struct Connections {
    limit: usize,
    limit_by_origin: usize,
    state: Arc<Mutex<State>>,
}

/// Why a connection was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// As many as there may be in all are open and busy.
    Server,
    /// As many as there may be from its address are open and busy.
    Address,
}

impl Connections {
    /// At most `limit` in all, and `limit_by_origin` from an address.
    pub fn new(limit: usize, limit_by_origin: usize) -> Self {
        Self { limit, limit_by_origin, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection and starts its task, which is silent until it says otherwise.
    ///
    /// # Errors
    /// If there is no room, and no idle connection to make it.
    pub fn admit(&self, ip: IpAddr, start: impl FnOnce(Open) -> AbortHandle) -> Result<(), Full> {
        let origin = Origin::of(ip);
        // Held until the task is in the list, so that it cannot leave it before.
        let mut state = self.state();
        if state.by_origin.get(&origin).is_some_and(|open| *open >= self.limit_by_origin) {
            state.make_room(|of| *of == origin).ok_or(Full::Address)?;
        } else if state.open >= self.limit {
            state.make_room(|_| true).ok_or(Full::Server)?;
        }
        state.open += 1;
        *state.by_origin.entry(origin).or_default() += 1;
        let key = state.new_key(Idle::Silent);
        let idle = Arc::new(Mutex::new(Some(key)));
        let task = start(Open { connections: self.clone(), origin, idle, task: None });
        state.idle.insert(key, (origin, task));
        Ok(())
    }
}

impl State {
    fn new_key(&mut self, idle: Idle) -> IdleKey {
        self.next += 1;
        (idle, self.next)
    }

    /// Ends the connection that has been idle longest, of those that may make room.
    fn make_room(&mut self, may: impl Fn(&Origin) -> bool) -> Option<()> {
        let key = *self.idle.iter().find(|(_, (origin, _))| may(origin))?.0;
        let (_, task) = self.idle.remove(&key)?;
        task.abort();
        Some(())
    }
}

/// One connection; dropped with it.
#[derive(Debug)]
pub struct Open {
    connections: Connections,
    origin: Origin,
    /// Its place among the idle ones.
    idle: Arc<Mutex<Option<IdleKey>>>,
    task: Option<AbortHandle>,
}

impl Open {
    /// Whose limits it counts for.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether it waits, and can make room for others, from now on.
    pub fn set_idle(&mut self, idle: bool) {
        let mut state = self.connections.state();
        let mut key = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, task)) = key.take().and_then(|key| state.idle.remove(&key)) {
            self.task = Some(task);
        }
        if idle && let Some(task) = &self.task {
            let new = state.new_key(Idle::Waiting);
            state.idle.insert(new, (self.origin, task.clone()));
            *key = Some(new);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.set_idle(false);
        let mut state = self.connections.state();
        state.open = state.open.saturating_sub(1);
        if let Some(open) = state.by_origin.get_mut(&self.origin) {
            *open -= 1;
            if *open == 0 {
                state.by_origin.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    /// Connections whose tasks wait for ever.
    struct Opened {
        runtime: tokio::runtime::Runtime,
        connections: Connections,
        open: Vec<Open>,
        tasks: Vec<tokio::task::JoinHandle<()>>,
    }

    impl Opened {
        fn new(limit: usize, by_origin: usize) -> Self {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let connections = Connections::new(limit, by_origin);
            Self { runtime, connections, open: Vec::new(), tasks: Vec::new() }
        }

        fn admit(&mut self, host: u8) -> Result<(), Full> {
            let Self { runtime, connections, open, tasks } = self;
            connections.admit(Ipv4Addr::new(127, 0, 0, host).into(), |opened| {
                open.push(opened);
                let task = runtime.spawn(std::future::pending::<()>());
                let handle = task.abort_handle();
                tasks.push(task);
                handle
            })
        }

        fn ended(&self) -> Vec<bool> {
            self.runtime.block_on(tokio::task::yield_now());
            self.tasks.iter().map(tokio::task::JoinHandle::is_finished).collect()
        }
    }

    #[test]
    fn the_connection_that_has_been_idle_longest_makes_room() {
        let mut opened = Opened::new(3, 100);
        for _ in 0..3 {
            assert_eq!(opened.admit(1), Ok(()));
        }
        // The first has spoken and waits; the second has never spoken; the third is busy.
        opened.open[0].set_idle(true);
        opened.open[2].set_idle(false);
        assert_eq!(opened.admit(1), Ok(()));
        assert_eq!(opened.ended(), [false, true, false, false]);
        opened.open[3].set_idle(false);
        assert_eq!(opened.admit(1), Ok(()));
        assert_eq!(opened.ended(), [true, true, false, false, false]);
        opened.open[4].set_idle(false);
        assert_eq!(opened.admit(1), Err(Full::Server));
        // A place is free when a connection is dropped, not when it is asked to end.
        opened.open.clear();
        assert_eq!(opened.connections.state().open, 0);
        assert!(opened.connections.state().by_origin.is_empty());
        assert!(opened.connections.state().idle.is_empty());
    }

    #[test]
    fn an_address_at_its_limit_makes_room_from_its_own() {
        let mut opened = Opened::new(100, 2);
        assert_eq!(opened.admit(1), Ok(()));
        for _ in 0..3 {
            assert_eq!(opened.admit(2), Ok(()));
        }
        assert_eq!(opened.ended(), [false, true, false, false]);
        for open in &mut opened.open {
            open.set_idle(false);
        }
        // The one that was ended is still there.
        assert_eq!(opened.admit(2), Err(Full::Address));
        assert_eq!(opened.admit(3), Ok(()));
    }

    #[test]
    fn a_host_has_one_ipv4_address_or_one_ipv6_network() {
        let same = [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("fd00::1", "fd00::ffff", true),
            ("fd00:0:0:1::1", "fd00:0:0:2::1", false),
        ];
        for (one, two, want) in same {
            let of = |text: &str| Origin::of(text.parse().unwrap());
            assert_eq!(of(one) == of(two), want, "{one} {two}");
        }
    }
}
