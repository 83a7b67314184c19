// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends the replies and interleaved packets of a connection, in one order.
//!
//! Each caller writes to the socket at once, without waiting. Bytes that the kernel does not accept
//! are queued, and the task of the connection writes them when the socket is writable. So a frame
//! for a fast viewer costs one gathering system call and wakes no thread, and a slow viewer costs
//! the memory of a part of a frame. In a connection with TLS, the bytes are encrypted first; everything
//! else is the same.

use super::wire::Wire;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// While more bytes than this are queued, no further request is read: a client that does not read
/// its replies gets no more of them.
const READ_LIMIT: usize = 64 * 1024;

/// A function that is called once the queue is empty.
pub type OnDrained = Box<dyn FnOnce() + Send>;

/// Whether a frame was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendOutcome {
    /// The frame has been sent or queued, or sending it has failed for good.
    Accepted,
    /// The frame was not sent: bytes that were sent before it are still queued.
    Busy,
}

/// Why nothing more is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The connection has ended or failed.
    Ended,
    /// More bytes than allowed were queued.
    Overfull,
}

#[derive(Default)]
struct Queue {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that have been written.
    written: usize,
    bytes: usize,
    /// Bytes that were queued when the queue was empty: at most one frame.
    frame: usize,
    /// When the kernel last accepted bytes, or the first bytes were queued.
    progress: Option<Instant>,
    closed: Option<Closed>,
    on_drained: Option<OnDrained>,
}

/// Sends to one connection.
pub struct Outbox {
    wire: Arc<Wire>,
    /// When more bytes than this are queued after a part of a frame, the connection is closed. Only
    /// reports of a stream can come to that: while bytes are queued, a frame is not, and requests are
    /// not read. A frame alone may be larger.
    close_limit: usize,
    queue: Mutex<Queue>,
    changed: Notify,
}

impl Outbox {
    /// An outbox that writes to a connection, and closes when more than `close_limit` bytes are queued after
    /// a part of a frame.
    pub(crate) fn new(wire: Arc<Wire>, close_limit: usize) -> Arc<Self> {
        Arc::new(Self { wire, close_limit, queue: Mutex::default(), changed: Notify::new() })
    }

    /// The socket of the connection.
    pub fn socket(&self) -> &TcpStream {
        self.wire.socket()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends bytes, or queues them after those that are queued.
    pub fn send(&self, bytes: &[u8]) {
        self.send_parts(&mut self.queue(), &[IoSlice::new(bytes)]);
    }

    /// Sends a frame, gathered from its parts, if nothing is queued. Otherwise the frame is not
    /// sent, and the function that `resume` returns is called once the queue is empty.
    pub fn try_send(
        &self,
        parts: &[IoSlice],
        resume: Option<&dyn Fn() -> OnDrained>,
    ) -> SendOutcome {
        let mut queue = self.queue();
        if queue.closed.is_some() {
            return SendOutcome::Accepted;
        }
        if queue.bytes > 0 {
            queue.on_drained = resume.map(|resume| resume());
            return SendOutcome::Busy;
        }
        self.send_parts(&mut queue, parts);
        SendOutcome::Accepted
    }

    /// Announces that nothing more follows, if the connection is encrypted.
    pub fn send_end(&self) {
        let mut queue = self.queue();
        if let Some(records) = self.wire.encrypt_end() {
            self.send_plain(&mut queue, &[IoSlice::new(&records)]);
        }
    }

    /// Sends what TLS itself has to send, such as an alert.
    pub fn send_alert(&self) {
        if self.wire.is_encrypted() {
            self.send(&[]);
        }
    }

    fn send_parts(&self, queue: &mut Queue, parts: &[IoSlice]) {
        if queue.closed.is_some() {
            return;
        }
        match self.wire.encrypt(parts) {
            None => self.send_plain(queue, parts),
            Some(records) => self.send_plain(queue, &[IoSlice::new(&records)]),
        }
    }

    fn send_plain(&self, queue: &mut Queue, parts: &[IoSlice]) {
        if queue.closed.is_some() {
            return;
        }
        let written = if queue.bytes == 0 {
            match self.socket().try_write_vectored(parts) {
                Ok(written) => written,
                Err(error) if is_temporary(&error) => 0,
                Err(error) => {
                    tracing::debug!("cannot write to a connection: {error}");
                    self.close_queue(queue, Closed::Ended);
                    return;
                }
            }
        } else {
            0
        };
        let rest = rest_of(parts, written);
        if rest.is_empty() {
            return;
        }
        if queue.bytes == 0 {
            queue.progress = Some(Instant::now());
            queue.frame = rest.len();
            self.changed.notify_one();
        }
        queue.bytes += rest.len();
        queue.chunks.push_back(rest);
        if queue.bytes > queue.frame + self.close_limit {
            self.close_queue(queue, Closed::Overfull);
        }
    }

    fn close_queue(&self, queue: &mut Queue, closed: Closed) {
        *queue = Queue { closed: Some(closed), ..Queue::default() };
        self.changed.notify_one();
    }

    /// Discards what is queued, and sends nothing more.
    pub fn close(&self) {
        self.close_queue(&mut self.queue(), Closed::Ended);
    }

    /// Why nothing more is sent; `None` while the outbox is open.
    pub fn closed(&self) -> Option<Closed> {
        self.queue().closed
    }

    /// Since when the kernel has accepted no more bytes of the queue; `None` if the queue is empty.
    pub fn waits_since(&self) -> Option<Instant> {
        let queue = self.queue();
        queue.progress.filter(|_| queue.bytes > 0)
    }

    /// Whether so much is queued that no further request must be read.
    pub fn is_full(&self) -> bool {
        self.queue().bytes > READ_LIMIT
    }

    /// Waits until the first bytes have been queued or the outbox has been closed since the last
    /// call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Writes the queue to the socket until it is empty or the outbox is closed. Must be called by
    /// the task of the connection only. Can be cancelled at any time without losing bytes.
    pub async fn flush(&self) {
        loop {
            if self.socket().writable().await.is_err() {
                self.close();
            }
            let on_drained = {
                let mut queue = self.queue();
                while queue.bytes > 0 {
                    if !self.write_some(&mut queue) {
                        break;
                    }
                }
                if queue.bytes > 0 {
                    continue;
                }
                queue.on_drained.take()
            };
            if let Some(on_drained) = on_drained {
                on_drained();
            }
            return;
        }
    }

    /// Writes from the queue. Returns `false` if the kernel accepts no more for now.
    fn write_some(&self, queue: &mut Queue) -> bool {
        let first = queue.chunks.front().and_then(|first| first.get(queue.written..));
        let rest = queue.chunks.iter().skip(1).map(|chunk| IoSlice::new(chunk));
        let parts: Vec<IoSlice> =
            first.map(IoSlice::new).into_iter().chain(rest.take(63)).collect();
        match self.socket().try_write_vectored(&parts) {
            Ok(written) if written > 0 => {
                queue.remove(written);
                queue.progress = Some(Instant::now());
                true
            }
            Err(error) if is_temporary(&error) => false,
            Ok(_) | Err(_) => {
                self.close_queue(queue, Closed::Ended);
                true
            }
        }
    }
}

impl Queue {
    /// Removes bytes that have been written.
    fn remove(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(first) = self.chunks.front() {
            let left = first.len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            self.chunks.pop_front();
        }
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// The parts without their first `written` bytes.
fn rest_of(parts: &[IoSlice], written: usize) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut rest = Vec::with_capacity(length.saturating_sub(written));
    let mut skip = written;
    for part in parts {
        rest.extend_from_slice(part.get(skip..).unwrap_or_default());
        skip = skip.saturating_sub(part.len());
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    /// The close limit of the outboxes.
    const CLOSE_LIMIT: usize = 300_000;

    /// An outbox and the other end of its connection.
    async fn connected() -> (Arc<Outbox>, std::net::TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reader = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        (Outbox::new(Arc::new(Wire::plain(socket)), CLOSE_LIMIT), reader)
    }

    fn on_runtime(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), test).await.unwrap();
        });
    }

    #[test]
    fn bytes_that_the_kernel_does_not_accept_are_queued_in_order() {
        on_runtime(async {
            let (outbox, mut reader) = connected().await;
            let frame = |number: u8| vec![number; 99_000];
            let mut frames = 0_u8;
            let resumed = Arc::new(AtomicBool::new(false));
            loop {
                let flag = resumed.clone();
                let resume = || -> OnDrained {
                    let flag = flag.clone();
                    Box::new(move || flag.store(true, Ordering::SeqCst))
                };
                let frame = frame(frames);
                let parts = [IoSlice::new(&frame[..7]), IoSlice::new(&frame[7..])];
                if outbox.try_send(&parts, Some(&resume)) == SendOutcome::Busy {
                    break;
                }
                frames += 1;
            }
            assert!(outbox.waits_since().is_some() && frames > 0);
            // A reply is sent after the rest of a frame that is queued.
            outbox.send(b"reply");
            let want: Vec<u8> = (0..frames).flat_map(frame).chain(*b"reply").collect();
            let length = want.len();
            let read = tokio::task::spawn_blocking(move || {
                let mut got = vec![0; length];
                reader.read_exact(&mut got).unwrap();
                (got, reader)
            });
            outbox.flush().await;
            assert!(resumed.load(Ordering::SeqCst) && outbox.waits_since().is_none());
            let (got, _reader) = read.await.unwrap();
            assert!(got == want);
        });
    }

    #[test]
    fn a_connection_whose_client_reads_nothing_is_closed_at_a_limit() {
        on_runtime(async {
            let (outbox, _reader) = connected().await;
            let bytes = vec![0; 100_000];
            let mut sent = 0;
            let (mut was_full, mut queued) = (false, 0);
            while outbox.closed().is_none() {
                was_full = outbox.is_full();
                queued = outbox.queue().bytes;
                outbox.send(&bytes);
                sent += bytes.len();
                assert!(sent < 100_000_000);
            }
            // At most the limit after the rest of the first bytes that were queued.
            assert!(
                was_full && (CLOSE_LIMIT..=CLOSE_LIMIT + bytes.len()).contains(&queued),
                "{queued}"
            );
            assert_eq!(outbox.closed(), Some(Closed::Overfull));
            assert_eq!(outbox.try_send(&[IoSlice::new(b"x")], None), SendOutcome::Accepted);
            outbox.flush().await;
        });
    }

    #[test]
    fn a_connection_that_the_client_closes_is_closed() {
        on_runtime(async {
            let (outbox, reader) = connected().await;
            drop(reader);
            while outbox.closed().is_none() {
                outbox.send(&[0; 10_000]);
                tokio::task::yield_now().await;
            }
            assert_eq!(outbox.closed(), Some(Closed::Ended));
            assert!(outbox.waits_since().is_none());
        });
    }

    #[test]
    fn the_rest_of_parts_starts_after_the_bytes_that_were_written() {
        let parts = [IoSlice::new(b"abc"), IoSlice::new(b""), IoSlice::new(b"de")];
        let rows = [(0, "abcde"), (1, "bcde"), (3, "de"), (4, "e"), (5, "")];
        for (written, want) in rows {
            assert_eq!(rest_of(&parts, written), want.as_bytes(), "{written} bytes written");
        }
    }
}
