// SPDX-License-Identifier: MIT OR Apache-2.0
//! Readers of many connections in one thread. They share the machine with what is measured, so they are cheap: the
//! thread looks for data at fixed times instead of being woken, and the kernel discards the bytes without a copy
//! (`MSG_TRUNC`, tcp(7)).

use super::{BYTES, LIMIT, Movie};
use anyhow::{Context, Result, bail, ensure};
use mjpeg_rtsp_tests::peer::http_client::HttpClient;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

/// The longest wait for one connection, and for one response.
const CONNECTION_LIMIT: Duration = Duration::from_secs(5);

/// The time between two checks of all streams.
const STREAMS_PAUSE: Duration = Duration::from_millis(5);

/// The time between two checks of all pages.
const PAGES_PAUSE: Duration = Duration::from_millis(2);

/// The time between two pictures of a page, as in `server/web/previews.js`.
const PICTURE_PERIOD: Duration = Duration::from_millis(500);

/// The streams that are opened at once: some servers answer with the next frame only, and some listen queues are short.
const OPENED_AT_ONCE: usize = 8;

/// The most bytes that are discarded by one system call.
const MOST: usize = 1 << 20;

/// The most connections with data that are looked at at once.
const MAX_EVENTS: usize = 1024;

/// Connects, within a limit.
pub(super) fn connect(address: &str) -> Result<TcpStream> {
    let address: SocketAddr = address.parse()?;
    let socket = TcpStream::connect_timeout(&address, CONNECTION_LIMIT)?;
    socket.set_read_timeout(Some(CONNECTION_LIMIT))?;
    socket.set_write_timeout(Some(CONNECTION_LIMIT))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Does something as often as `count` says, within a limit.
pub(super) fn repeat<T>(count: usize, mut action: impl FnMut() -> Result<T>) -> Result<Vec<T>> {
    let start = Instant::now();
    let mut results = Vec::with_capacity(count);
    while results.len() < count {
        let late = start.elapsed() >= LIMIT;
        ensure!(!late, "only {} of {count} connections within {LIMIT:?}", results.len());
        results.push(action()?);
    }
    Ok(results)
}

/// Opens streams, and discards what they send from then on.
pub(super) fn open(address: &str, path: &str, count: usize) -> Result<Readers> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let (readers, start) = (Readers::of_streams()?, Instant::now());
    while readers.len() < count {
        let late = start.elapsed() >= LIMIT;
        ensure!(!late, "only {} of {count} streams within {LIMIT:?}", readers.len());
        let asked = repeat(OPENED_AT_ONCE.min(count - readers.len()), || {
            let mut socket = connect(address)?;
            socket.write_all(request.as_bytes())?;
            Ok(socket)
        })?;
        for mut socket in asked {
            let mut start = [0; 15];
            socket.read_exact(&mut start).context("no response")?;
            let is_stream = start.starts_with(b"HTTP/1.") && start.ends_with(b" 200 OK");
            ensure!(is_stream, "not a stream: {}", String::from_utf8_lossy(&start));
            readers.add(socket)?;
        }
    }
    Ok(readers)
}

/// Connections whose data are discarded.
struct Connections {
    epoll: Epoll,
    sockets: Mutex<Vec<TcpStream>>,
}

impl Connections {
    fn new() -> Result<Arc<Self>> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Arc::new(Self { epoll, sockets: Mutex::default() }))
    }

    fn sockets(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, socket: TcpStream) -> Result<()> {
        socket.set_nonblocking(true)?;
        let mut sockets = self.sockets();
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, sockets.len() as u64))?;
        sockets.push(socket);
        Ok(())
    }

    /// Discards what has arrived, and calls `received` with the number of each connection and its bytes.
    fn discard(
        &self,
        scratch: &mut Scratch,
        mut received: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<()> {
        let sockets = self.sockets();
        let Scratch { events, buffer } = scratch;
        let count = self.epoll.wait(events, EpollTimeout::ZERO)?;
        for event in events.iter().take(count) {
            let number = usize::try_from(event.data())?;
            let Some(socket) = sockets.get(number) else { continue };
            match recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC) {
                Ok(0) => bail!("connection {number} was closed"),
                Ok(bytes) => received(number, bytes)?,
                Err(Errno::EAGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Memory of the thread that reads.
struct Scratch {
    events: Vec<EpollEvent>,
    /// Is never written to.
    buffer: Vec<u8>,
}

impl Scratch {
    fn new() -> Self {
        Self { events: vec![EpollEvent::empty(); MAX_EVENTS], buffer: vec![0; MOST] }
    }
}

/// A thread that reads until it is told to stop, and what it has counted.
pub(super) struct Readers {
    connections: Arc<Connections>,
    counted: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Readers {
    /// Calls `work`, which adds to a count, again and again with a pause.
    fn start(
        connections: Arc<Connections>,
        pause: Duration,
        mut work: impl FnMut(&AtomicU64) -> Result<()> + Send + 'static,
    ) -> Self {
        let (counted, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (counted.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                sleep(pause);
                work(&count)?;
            }
            Ok(())
        });
        Self { connections, counted, stop, thread: Some(thread) }
    }

    /// Reads the connections that are added, and counts their bytes.
    pub fn of_streams() -> Result<Self> {
        let connections = Connections::new()?;
        let mut scratch = Scratch::new();
        Ok(Self::start(connections.clone(), STREAMS_PAUSE, move |count| {
            connections.discard(&mut scratch, |_, bytes| {
                count.fetch_add(bytes as u64, Ordering::Relaxed);
                Ok(())
            })
        }))
    }

    /// Adds a connection.
    pub fn add(&self, socket: TcpStream) -> Result<()> {
        self.connections.add(socket)
    }

    /// The number of connections.
    pub fn len(&self) -> usize {
        self.connections.sockets().len()
    }

    /// Opens pages that show a movie, and counts their pictures. Each page asks twice a second for the picture of a
    /// tile, as the wall does, in a connection of its own; all of them evenly spread.
    pub fn of_pages(address: &str, count: usize) -> Result<Self> {
        let length = picture_length(address)?;
        let connections = Connections::new()?;
        repeat(count, || connections.add(connect(address)?))?;
        let (start, address) = (Instant::now(), address.to_owned());
        let mut pages: Vec<Page> = (0..count)
            .map(|page| {
                let pages = u32::try_from(count).unwrap_or(u32::MAX);
                let turn = u32::try_from(page).unwrap_or(u32::MAX);
                Page { due: start + PICTURE_PERIOD * turn / pages, frame: FRAMES.0, missing: 0 }
            })
            .collect();
        let mut scratch = Scratch::new();
        Ok(Self::start(connections.clone(), PAGES_PAUSE, move |count| {
            connections.discard(&mut scratch, |page, bytes| {
                let page = pages.get_mut(page).context("no such page")?;
                let rest = page.missing.checked_sub(bytes).context("more than a picture")?;
                page.missing = rest;
                count.fetch_add(u64::from(rest == 0), Ordering::Relaxed);
                Ok(())
            })?;
            let now = Instant::now();
            for (page, mut socket) in pages.iter_mut().zip(connections.sockets().iter()) {
                if page.due > now {
                    continue;
                }
                page.due += PICTURE_PERIOD;
                // A server that is late is asked less often.
                if page.missing == 0 {
                    socket.write_all(picture_request(&address, page.frame).as_bytes())?;
                    page.missing = length;
                    page.frame = if page.frame < FRAMES.1 { page.frame + 1 } else { FRAMES.0 };
                }
            }
            Ok(())
        }))
    }

    /// What has been counted up to now.
    pub fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }

    /// Stops reading.
    ///
    /// # Errors
    /// If a connection has been closed or failed, or a response was not as expected.
    pub fn finish(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("finished already")?;
        thread.join().map_err(|_| anyhow::anyhow!("the thread that reads has panicked"))?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A page that is open in a browser.
struct Page {
    /// When it asks for its next picture.
    due: Instant,
    /// The frame that it asks for next.
    frame: u32,
    /// The bytes of the response that have not arrived.
    missing: usize,
}

/// The first and the last frame that pages show. Their responses are of one length: numbers and times have as many
/// digits.
const FRAMES: (u32, u32) = (20, 99);

fn picture_target(frame: u32) -> String {
    format!("GET /mounts/{}/snapshot.jpg?frame={frame}", Movie::NAME)
}

fn picture_request(address: &str, frame: u32) -> String {
    format!("{} HTTP/1.1\r\nHost: {address}\r\n\r\n", picture_target(frame))
}

/// The bytes of the response with a picture.
fn picture_length(address: &str) -> Result<usize> {
    let mut client = HttpClient::connect(address)?;
    client.ask(&picture_target(FRAMES.0), "")?;
    let response = client.response()?;
    let is_picture = response.status() == 200 && response.body.len() == BYTES;
    ensure!(is_picture, "no picture: {}", response.status_line);
    let headers = response.headers.iter().map(|(name, value)| name.len() + value.len() + 4);
    Ok(response.status_line.len() + 2 + headers.sum::<usize>() + 2 + BYTES)
}
