// SPDX-License-Identifier: MIT OR Apache-2.0
//! Limits the number of open connections, in total and from one address. At a limit, the connection
//! that has been idle longest is closed for the new one. A lab client connects when its window opens
//! and sends nothing until its user presses Setup, so idle connections are not closed before that.

use crate::config::{Limits, SharedLimits};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// The origin of a connection, for which there is a limit: an IPv4 address, or a /64 network of
/// IPv6, since a single host has a whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    /// The origin of connections from an address.
    pub fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// How an idle connection became idle. Connections of the first kind are closed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum IdleKind {
    /// The client has never sent anything.
    Silent,
    /// The client has sent requests, and nothing is being sent to it.
    Waiting,
}

/// What has connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerKind {
    /// A viewer.
    Viewer,
    /// A proxy that states the address of its viewer.
    Proxy,
}

/// Orders idle connections by their kind, then by the time since which they are idle.
type IdleKey = (IdleKind, u64);

#[derive(Debug)]
struct IdleConnection {
    origin: Origin,
    peer: SocketAddr,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Connections {
    count: usize,
    count_by_origin: HashMap<Origin, usize>,
    /// The connections that are closed at a limit, in this order.
    idle: BTreeMap<IdleKey, IdleConnection>,
    /// Counts the keys of idle connections.
    last_key: u64,
}

/// Counts the open connections of a server against its limits.
#[derive(Debug, Clone)]
pub struct OpenConnections {
    limits: SharedLimits,
    open: Arc<Mutex<Connections>>,
    /// Notified when the last connection has ended.
    empty: Arc<Notify>,
}

/// The limit because of which a connection is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitReached {
    /// The number of connections in total; none of them is idle.
    Server,
    /// The number of connections from its address; none of them is idle.
    Address,
}

impl OpenConnections {
    /// No connections.
    pub fn new(limits: SharedLimits) -> Self {
        Self { limits, open: Arc::default(), empty: Arc::default() }
    }

    fn open(&self) -> MutexGuard<'_, Connections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of open connections.
    pub fn count(&self) -> usize {
        self.open().count
    }

    /// Whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.open().count == 0
    }

    /// Waits until no connection is open.
    pub async fn wait_until_empty(&self) {
        loop {
            let empty = self.empty.notified();
            if self.is_empty() {
                return;
            }
            empty.await;
        }
    }

    /// Counts a new connection and starts its task with `start`. The connection is idle until
    /// [`ConnectionSlot::set_idle`] is called. Returns the peer of the idle connection that was closed
    /// for it, if one was. A connection of a proxy counts for no origin until
    /// [`ConnectionSlot::set_viewer`] is called.
    ///
    /// # Errors
    /// If a limit is reached and no connection is idle.
    pub fn admit(
        &self,
        peer: SocketAddr,
        peer_kind: PeerKind,
        start: impl FnOnce(ConnectionSlot) -> AbortHandle,
    ) -> Result<Option<SocketAddr>, LimitReached> {
        let origin = Origin::of(peer.ip());
        let limits = self.limits.get();
        // Locked until the task is in the list: its slot, when dropped, removes it from there.
        let mut open = self.open();
        let is_counted = peer_kind == PeerKind::Viewer;
        let closed = if is_counted && open.is_full(origin, &limits) {
            Some(open.close_idle(|of| of == origin).ok_or(LimitReached::Address)?)
        } else if open.count >= limits.max_connections {
            Some(open.close_idle(|_| true).ok_or(LimitReached::Server)?)
        } else {
            None
        };
        open.count += 1;
        if is_counted {
            *open.count_by_origin.entry(origin).or_default() += 1;
        }
        let key = open.new_key(IdleKind::Silent);
        let idle = Arc::new(Mutex::new(Some(key)));
        let task = start(ConnectionSlot {
            connections: self.clone(),
            origin,
            peer,
            is_counted,
            idle,
            task: None,
        });
        open.idle.insert(key, IdleConnection { origin, peer, task });
        Ok(closed)
    }
}

impl Connections {
    /// Whether an origin has as many connections as it may have.
    fn is_full(&self, origin: Origin, limits: &Limits) -> bool {
        let of_origin = self.count_by_origin.get(&origin).copied().unwrap_or(0);
        of_origin >= limits.max_connections_per_address
    }

    fn new_key(&mut self, kind: IdleKind) -> IdleKey {
        self.last_key += 1;
        (kind, self.last_key)
    }

    /// Closes the connection that has been idle longest, of the origins that `may_close` accepts.
    /// Returns its peer.
    fn close_idle(&mut self, may_close: impl Fn(Origin) -> bool) -> Option<SocketAddr> {
        let key = *self.idle.iter().find(|(_, idle)| may_close(idle.origin))?.0;
        let IdleConnection { peer, task, .. } = self.idle.remove(&key)?;
        task.abort();
        Some(peer)
    }
}

/// Counts one connection until it is dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    connections: OpenConnections,
    origin: Origin,
    peer: SocketAddr,
    /// The connection counts for its origin.
    is_counted: bool,
    /// The key among the idle connections, if it is one of them.
    idle: Arc<Mutex<Option<IdleKey>>>,
    task: Option<AbortHandle>,
}

impl ConnectionSlot {
    /// The origin of the connection.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Sets the viewer for which a proxy has connected, and counts the connection for its origin. Returns the
    /// peer of the idle connection that was closed for it, if one was.
    ///
    /// # Errors
    /// If the origin has as many connections as it may have, and none is idle.
    pub fn set_viewer(&mut self, peer: SocketAddr) -> Result<Option<SocketAddr>, LimitReached> {
        let origin = Origin::of(peer.ip());
        let limits = self.connections.limits.get();
        let mut open = self.connections.open();
        let mut closed = None;
        if open.is_full(origin, &limits) {
            closed = Some(open.close_idle(|of| of == origin).ok_or(LimitReached::Address)?);
        }
        *open.count_by_origin.entry(origin).or_default() += 1;
        (self.origin, self.peer, self.is_counted) = (origin, peer, true);
        let key = *self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(idle) = key.and_then(|key| open.idle.get_mut(&key)) {
            (idle.origin, idle.peer) = (origin, peer);
        }
        Ok(closed)
    }

    /// Sets whether the connection is idle, and may be closed for a new one.
    pub fn set_idle(&mut self, idle: bool) {
        let mut open = self.connections.open();
        let mut key = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = key.take().and_then(|key| open.idle.remove(&key)) {
            self.task = Some(connection.task);
        }
        if idle && let Some(task) = self.task.clone() {
            let new = open.new_key(IdleKind::Waiting);
            open.idle.insert(new, IdleConnection { origin: self.origin, peer: self.peer, task });
            *key = Some(new);
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.set_idle(false);
        let mut open = self.connections.open();
        open.count = open.count.saturating_sub(1);
        if open.count == 0 {
            self.connections.empty.notify_waiters();
        }
        if self.is_counted
            && let Some(count) = open.count_by_origin.get_mut(&self.origin)
        {
            *count -= 1;
            if *count == 0 {
                open.count_by_origin.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    /// Connections whose tasks wait for ever. The port of a peer is the number of its connection.
    struct TestConnections {
        runtime: tokio::runtime::Runtime,
        limits: OpenConnections,
        slots: Vec<ConnectionSlot>,
        tasks: Vec<tokio::task::JoinHandle<()>>,
    }

    impl TestConnections {
        fn new(limit: usize, limit_per_origin: usize) -> Self {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let limits = Limits {
                max_connections: limit,
                max_connections_per_address: limit_per_origin,
                ..Limits::default()
            };
            let limits = OpenConnections::new(SharedLimits::new(limits));
            Self { runtime, limits, slots: Vec::new(), tasks: Vec::new() }
        }

        /// Admits a connection of a host; returns the number of the one that was closed for it.
        fn admit(&mut self, host: u8) -> Result<Option<u16>, LimitReached> {
            let Self { runtime, limits, slots, tasks } = self;
            let number = u16::try_from(tasks.len()).unwrap();
            let peer = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), number));
            let kind = if host == 9 { PeerKind::Proxy } else { PeerKind::Viewer };
            let closed = limits.admit(peer, kind, |slot| {
                slots.push(slot);
                let task = runtime.spawn(std::future::pending::<()>());
                let handle = task.abort_handle();
                tasks.push(task);
                handle
            });
            closed.map(|peer| peer.map(|peer| peer.port()))
        }

        fn ended(&self) -> Vec<bool> {
            self.runtime.block_on(tokio::task::yield_now());
            self.tasks.iter().map(tokio::task::JoinHandle::is_finished).collect()
        }
    }

    #[test]
    fn the_connection_that_has_been_idle_longest_is_closed_for_a_new_one() {
        let mut connections = TestConnections::new(3, 100);
        for _ in 0..3 {
            assert_eq!(connections.admit(1), Ok(None));
        }
        // The first has sent a request and is idle; the second has never sent one; the third is busy.
        connections.slots[0].set_idle(true);
        connections.slots[2].set_idle(false);
        assert_eq!(connections.admit(1), Ok(Some(1)));
        assert_eq!(connections.ended(), [false, true, false, false]);
        connections.slots[3].set_idle(false);
        assert_eq!(connections.admit(1), Ok(Some(0)));
        assert_eq!(connections.ended(), [true, true, false, false, false]);
        connections.slots[4].set_idle(false);
        assert_eq!(connections.admit(1), Err(LimitReached::Server));
        // A connection counts until its slot is dropped, not only until its task is aborted.
        connections.slots.clear();
        let open = connections.limits.open();
        assert_eq!(open.count, 0);
        assert!(open.count_by_origin.is_empty());
        assert!(open.idle.is_empty());
    }

    #[test]
    fn an_address_at_its_limit_loses_one_of_its_own_connections() {
        let mut connections = TestConnections::new(100, 2);
        for (host, closed) in [(1, None), (2, None), (2, None), (2, Some(1))] {
            assert_eq!(connections.admit(host), Ok(closed));
        }
        assert_eq!(connections.ended(), [false, true, false, false]);
        for slot in &mut connections.slots {
            slot.set_idle(false);
        }
        // The slot of the closed connection still counts.
        assert_eq!(connections.admit(2), Err(LimitReached::Address));
        assert_eq!(connections.admit(3), Ok(None));
    }

    #[test]
    fn a_connection_of_a_proxy_counts_for_its_viewer() {
        let mut connections = TestConnections::new(100, 2);
        let viewer = |port| SocketAddr::from((Ipv4Addr::new(127, 0, 0, 7), port));
        for _ in 0..5 {
            assert_eq!(connections.admit(9), Ok(None));
        }
        // The third one closes the first, which is idle.
        for (slot, closed) in [(0, None), (1, None), (2, Some(viewer(0)))] {
            let port = u16::try_from(slot).unwrap();
            assert_eq!(connections.slots[slot].set_viewer(viewer(port)), Ok(closed), "{slot}");
        }
        assert_eq!(connections.ended(), [true, false, false, false, false]);
        connections.slots[1].set_idle(false);
        connections.slots[2].set_idle(false);
        assert_eq!(connections.slots[3].set_viewer(viewer(3)), Err(LimitReached::Address));
        assert_eq!(connections.admit(7), Err(LimitReached::Address));
        assert_eq!(connections.slots[3].set_viewer(SocketAddr::from(([1, 1, 1, 1], 1))), Ok(None));
        connections.slots.clear();
        let open = connections.limits.open();
        assert!(open.count == 0 && open.count_by_origin.is_empty() && open.idle.is_empty());
    }

    #[test]
    fn an_origin_is_an_ipv4_address_or_an_ipv6_network() {
        let rows = [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("fd00::1", "fd00::ffff", true),
            ("fd00:0:0:1::1", "fd00:0:0:2::1", false),
        ];
        for (one, two, same) in rows {
            let of = |text: &str| Origin::of(text.parse().unwrap());
            assert_eq!(of(one) == of(two), same, "{one} {two}");
        }
    }
}
