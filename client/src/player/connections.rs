// SPDX-License-Identifier: MIT OR Apache-2.0
//! The TCP connections of one player's rtspsrc.
//!
//! rtspsrc 1.22 does not expose its connections. But it posts a message in its own thread before it
//! connects, and GLib's socket client, which it uses, emits a signal in the same thread when it is
//! connected. So the thread says whose connection that is, and two players that play from one server each
//! know their own.
#![allow(unsafe_code)] // The bindings lack emission hooks, and a socket of another library has no safe handle.

use super::lock;
use gio::prelude::*;
use glib::translate::*;
use mjpeg_program::border::guarded;
use std::cell::RefCell;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, Weak};

/// A connection: the inode of its socket, and a copy of its descriptor. Another thread may have a copy of
/// the same socket.
pub(super) type Connection = (u64, socket2::Socket);

/// The connections that one player's rtspsrc has made.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// The inodes of their sockets, in the order in which they were made.
    inodes: Mutex<Vec<u64>>,
    /// They have been shut down, and new ones are until the next session.
    is_shut_down: AtomicBool,
}

thread_local! {
    /// Whose connections this thread makes.
    static OWNER: RefCell<Weak<Connections>> = const { RefCell::new(Weak::new()) };
}

impl Connections {
    /// Notes that the connections which this thread makes from now on belong to `connections`.
    pub fn claim_thread(connections: &Arc<Self>) {
        OWNER.set(Arc::downgrade(connections));
    }

    /// Those that are open.
    pub fn open(&self) -> Vec<Connection> {
        let mut inodes = lock(&self.inodes);
        if inodes.is_empty() {
            return Vec::new();
        }
        let mut open: Vec<Connection> = sockets(|inode| inodes.contains(&inode)).collect();
        inodes.retain(|inode| open.iter().any(|(it, _)| it == inode));
        open.sort_by_key(|(inode, _)| inodes.iter().position(|it| it == inode));
        open.dedup_by_key(|(inode, _)| *inode);
        open
    }

    /// The open one, if exactly one is open.
    pub fn only_one(&self) -> Option<socket2::Socket> {
        match <[Connection; 1]>::try_from(self.open()) {
            Ok([(_, socket)]) => Some(socket),
            Err(_) => None,
        }
    }

    /// The addresses of the first open one: ours and the server's.
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        let (_, socket) = self.open().into_iter().next()?;
        let addresses = (socket.local_addr().ok()?, socket.peer_addr().ok()?);
        Some((addresses.0.as_socket()?, addresses.1.as_socket()?))
    }

    /// Starts a session: new connections stay open.
    pub fn start_session(&self) {
        self.is_shut_down.store(false, Ordering::SeqCst);
    }

    /// Notes a connection.
    fn add(&self, socket: &gio::Socket) {
        let Some(inode) = inode_of(socket.as_raw_fd()) else { return };
        lock(&self.inodes).push(inode);
        if self.is_shut_down.load(Ordering::SeqCst) {
            let _ = socket.shutdown(true, true);
        }
    }

    /// Shuts all of them down, and each one that is made before the next session: rtspsrc connects again when
    /// the connection of a request without a reply is closed.
    pub fn shut_down(&self) {
        // A connection that is made meanwhile is noted first, then it reads this.
        self.is_shut_down.store(true, Ordering::SeqCst);
        for (_, socket) in self.open() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Starts to watch the connections of GLib's socket clients, once for the process.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let class = gio::SocketClient::static_type();
        // A signal is known from the first use of its class on, which is never freed here.
        // SAFETY: the type is that of a class.
        unsafe { glib::gobject_ffi::g_type_class_ref(class.into_glib()) };
        let Some(signal) = glib::subclass::SignalId::lookup("event", class) else {
            tracing::error!(
                "GLib's socket client has no signal \"event\": connections are not watched"
            );
            return;
        };
        // SAFETY: the signal exists, and the hook needs no data.
        unsafe {
            glib::gobject_ffi::g_signal_add_emission_hook(
                signal.into_glib(),
                0,
                Some(on_event),
                ptr::null_mut(),
                None,
            );
        }
    });
}

/// Handles an event of any socket client, in the client's thread.
unsafe extern "C" fn on_event(
    _hint: *mut glib::gobject_ffi::GSignalInvocationHint,
    count: u32,
    values: *const glib::gobject_ffi::GValue,
    _data: glib::ffi::gpointer,
) -> glib::ffi::gboolean {
    let _ = guarded("connection", || {
        // SAFETY: GLib passes this many values, which live as long as the call. `glib::Value` is a GValue.
        let values = unsafe { std::slice::from_raw_parts(values.cast(), count as usize) };
        if let (Some(socket), Some(owner)) = (connected(values), OWNER.with_borrow(Weak::upgrade)) {
            owner.add(&socket);
        }
    });
    // The hook stays.
    glib::ffi::GTRUE
}

/// The socket that has been connected, if the arguments of the signal say so: the client, the event, the
/// address, the connection.
fn connected(values: &[glib::Value]) -> Option<gio::Socket> {
    let event = values.get(1)?.get::<gio::SocketClientEvent>().ok()?;
    let stream = values.get(3)?.get::<Option<gio::IOStream>>().ok()??;
    let connection = stream.downcast_ref::<gio::SocketConnection>()?;
    (event == gio::SocketClientEvent::Connected).then(|| connection.socket())
}

/// The inodes of those sockets of this process that are `wanted`, and copies of their descriptors.
fn sockets(wanted: impl Fn(u64) -> bool) -> impl Iterator<Item = Connection> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let number = entry.file_name().to_str()?.parse::<RawFd>().ok()?;
        let inode = inode_of(number).filter(|inode| wanted(*inode))?;
        // SAFETY: the number is not -1, and the borrow ends with this line. Another thread may close
        // the descriptor before it is copied: then there is no copy, or one of another file.
        let copy = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned().ok()?;
        (inode_of(copy.as_raw_fd()) == Some(inode)).then(|| (inode, copy.into()))
    })
}

/// The inode of a socket, by its descriptor.
fn inode_of(descriptor: RawFd) -> Option<u64> {
    let target = std::fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    /// Connects as rtspsrc does, for `connections`. Returns both ends.
    pub fn connect(
        listener: &TcpListener,
        connections: &Arc<Connections>,
    ) -> (gio::SocketConnection, TcpStream) {
        watch();
        let (port, owner) =
            (listener.local_addr().expect("an address").port(), connections.clone());
        let connect = move || {
            Connections::claim_thread(&owner);
            let client = gio::SocketClient::new();
            client.connect_to_host("127.0.0.1", port, gio::Cancellable::NONE)
        };
        let connection = connect().expect("a connection");
        OWNER.set(Weak::new());
        (connection, listener.accept().expect("a connection").0)
    }

    #[test]
    fn each_player_has_its_own_connections_to_one_server() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (one, other) = (Arc::new(Connections::default()), Arc::new(Connections::default()));
        let (mine, mut accepted) = connect(&listener, &one);
        let (_theirs, mut accepted_other) = connect(&listener, &other);
        // Of no player.
        let _stranger = TcpStream::connect(listener.local_addr().expect("an address"));
        let _accepted_stranger = listener.accept().expect("a connection");
        assert_eq!((one.open().len(), other.open().len()), (1, 1));
        let own = one.addresses().map(|(local, _)| local);
        assert_eq!(own, accepted.peer_addr().ok());
        assert!(one.only_one().is_some());

        one.shut_down();
        assert_eq!(accepted.read(&mut [0]).expect("the end"), 0);
        let limit = Some(std::time::Duration::from_millis(50));
        accepted_other.set_read_timeout(limit).expect("a timeout");
        assert!(accepted_other.read(&mut [0]).is_err(), "still open");

        // Another one, as rtspsrc makes it when the first is closed.
        let (again, mut accepted) = connect(&listener, &one);
        accepted.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("a timeout");
        assert_eq!(accepted.read(&mut [0]).expect("the end"), 0);
        drop(again);

        // A second one, as of a tunnel; then the first is closed.
        one.start_session();
        let (_second, mut accepted) = connect(&listener, &one);
        accepted.set_read_timeout(limit).expect("a timeout");
        assert!(accepted.read(&mut [0]).is_err(), "shut down in the next session");
        assert_eq!((one.open().len(), one.only_one().is_some()), (2, false));
        drop(mine);
        assert_eq!((one.open().len(), one.only_one().is_some()), (1, true));
        assert_eq!(other.open().len(), 1);
    }
}
