// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server that the client speaks with: accepts its connections, and separates its requests.

use super::requests::{Received, split};
use super::sockets;
use crate::clock::Clock;
use crate::process::PAUSE;
use gstmjpegfile::lab::{Framer, FramerError, Pause};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// The most connections of a client.
const MAX_CONNECTIONS: usize = 64;

/// When this many bytes of a client have been read, the following ones are read slowly, and discarded.
const MAX_BYTES: usize = 256 * 1024;

/// A request that lacks nothing has ended when no byte follows for this long.
const QUIET: Duration = Duration::from_millis(40);

/// Any request has ended when no byte follows for this long.
const LONG_QUIET: Duration = Duration::from_millis(400);

/// How long a reply may take to be sent.
const WRITE_TIME: Duration = Duration::from_secs(2);

/// Time between two attempts to accept.
const POLL: Duration = Duration::from_millis(5);

#[derive(Debug)]
enum Incoming {
    Connected(TcpStream),
    Bytes(usize, Duration, Vec<u8>),
    Closed(usize, Duration),
}

/// What a client did.
#[derive(Debug, PartialEq)]
pub enum PeerEvent {
    /// It connected.
    Connected(usize, Duration),
    /// It sent a request.
    Request(Received),
    /// It closed a connection.
    Closed(usize, Duration),
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    framer: Framer,
    last_byte: Instant,
    last_at: Duration,
    is_closed: bool,
    /// Whether its bytes are not text, so that it is no longer read.
    is_unreadable: bool,
}

/// The server.
#[derive(Debug)]
pub struct Peer {
    /// The TCP port.
    pub port: u16,
    clock: Clock,
    incoming: Receiver<Incoming>,
    connections: Vec<Connection>,
    /// What has happened, and was not taken yet.
    events: std::collections::VecDeque<PeerEvent>,
    ended: Arc<AtomicBool>,
}

impl Peer {
    /// Listens at a free port.
    ///
    /// # Errors
    /// If no port can be opened.
    pub fn start(clock: Clock) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        listener.set_nonblocking(true)?;
        let (to, incoming) = channel();
        let ended: Arc<AtomicBool> = Arc::default();
        let end = ended.clone();
        let accept = move || accept(&listener, clock, &to, &end);
        std::thread::Builder::new().name("lab-server".to_owned()).spawn(accept)?;
        let (connections, events) = (Vec::new(), std::collections::VecDeque::new());
        Ok(Self { port, clock, incoming, connections, events, ended })
    }

    /// The address of the client at a connection.
    pub fn host(&self, connection: usize) -> IpAddr {
        let address = self.connections.get(connection).and_then(|it| it.stream.peer_addr().ok());
        address.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |it| it.ip())
    }

    /// Waits for what the client does next.
    pub fn next(&mut self, limit: Instant) -> Option<PeerEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let now = Instant::now();
            let begun = self.connections.iter().filter(|it| it.framer.has_begun());
            let quiet = begun.map(|it| (it.last_byte + QUIET).max(now + POLL)).min();
            let until = quiet.map_or(limit, |it| it.min(limit));
            match self.incoming.recv_timeout(until.saturating_duration_since(now)) {
                Ok(incoming) => self.take(incoming),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    self.frame_all();
                    if self.events.is_empty() && Instant::now() >= limit {
                        return None;
                    }
                }
            }
        }
    }

    fn take(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Connected(stream) => {
                let at = self.clock.now();
                self.events.push_back(PeerEvent::Connected(self.connections.len(), at));
                self.connections.push(Connection {
                    stream,
                    framer: Framer::default(),
                    last_byte: Instant::now(),
                    last_at: at,
                    is_closed: false,
                    is_unreadable: false,
                });
            }
            Incoming::Bytes(number, at, bytes) => {
                let Some(connection) = self.connections.get_mut(number) else { return };
                (connection.last_byte, connection.last_at) = (Instant::now(), at);
                if connection.is_unreadable {
                    return;
                }
                match connection.framer.push(&bytes) {
                    Ok(()) => self.frame(number),
                    Err(error) => self.end_reading(number, error, (at, &bytes)),
                }
            }
            Incoming::Closed(number, at) => {
                self.frame_rest(number);
                if let Some(connection) = self.connections.get_mut(number) {
                    connection.is_closed = true;
                    self.events.push_back(PeerEvent::Closed(number, at));
                }
            }
        }
    }

    /// Takes what came before bytes that cannot be read, or after which too many wait, and reads nothing more of the
    /// connection.
    fn end_reading(&mut self, number: usize, error: FramerError, (at, bytes): (Duration, &[u8])) {
        self.frame_with(number, Pause::Long);
        let Some(connection) = self.connections.get_mut(number) else { return };
        connection.is_unreadable = true;
        connection.framer = Framer::default();
        if matches!(error, FramerError::NotText(_)) {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.events.push_back(PeerEvent::Request(Received::new(at, number, text)));
        }
    }

    fn frame_all(&mut self) {
        for number in 0..self.connections.len() {
            self.frame(number);
        }
    }

    /// Takes the requests of a connection that are complete.
    fn frame(&mut self, number: usize) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        let quiet = connection.last_byte.elapsed();
        let pause = match quiet {
            quiet if quiet >= LONG_QUIET => Pause::Long,
            quiet if quiet >= QUIET => Pause::Short,
            _ => Pause::None,
        };
        self.frame_with(number, pause);
    }

    /// Takes what is left when a connection has been closed.
    fn frame_rest(&mut self, number: usize) {
        self.frame_with(number, Pause::Long);
    }

    fn frame_with(&mut self, number: usize, pause: Pause) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        while let Some(text) = connection.framer.next_request(pause) {
            for request in split(&text) {
                let request = Received::new(connection.last_at, number, request.to_owned());
                self.events.push_back(PeerEvent::Request(request));
            }
        }
    }

    /// Whether the client has not read all that was sent to it in a connection. `false` if it cannot be known.
    pub fn has_unread(&self, connection: usize) -> bool {
        let stream = self.connections.get(connection).map(|it| &it.stream);
        let addresses = stream.and_then(|it| it.peer_addr().ok().zip(it.local_addr().ok()));
        addresses.is_some_and(|(client, ours)| sockets::has_unread(client, ours))
    }

    /// Sends a reply in one write. Returns whether the client may have it.
    pub fn send(&mut self, connection: usize, bytes: &[u8]) -> bool {
        let Some(connection) = self.connections.get_mut(connection) else { return false };
        connection.stream.write_all(bytes).is_ok()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for connection in &self.connections {
            // It may be closed.
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, clock: Clock, to: &Sender<Incoming>, end: &Arc<AtomicBool>) {
    let mut count = 0;
    while !end.load(Ordering::Relaxed) && count < MAX_CONNECTIONS {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(POLL);
            continue;
        };
        let number = count;
        count += 1;
        let ready = stream.set_nonblocking(false).and_then(|()| stream.set_nodelay(true));
        let ready = ready.and_then(|()| stream.set_write_timeout(Some(WRITE_TIME)));
        let Ok(copy) = ready.and_then(|()| stream.try_clone()) else { continue };
        if to.send(Incoming::Connected(copy)).is_err() {
            return;
        }
        let to = to.clone();
        // Without a thread, the connection is silent.
        let _ = std::thread::Builder::new()
            .name("lab-connection".to_owned())
            .spawn(move || read(stream, number, clock, &to));
    }
}

fn read(mut stream: TcpStream, number: usize, clock: Clock, to: &Sender<Incoming>) {
    let mut buffer = [0; 16 * 1024];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) if total > MAX_BYTES => std::thread::sleep(PAUSE),
            Ok(have) => {
                total += have;
                let bytes = buffer.get(..have).unwrap_or_default().to_vec();
                if to.send(Incoming::Bytes(number, clock.now(), bytes)).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    // The run may be over.
    let _ = to.send(Incoming::Closed(number, clock.now()));
}
