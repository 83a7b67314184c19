// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a connection is sent: replies and interleaved packets, in one order.
//!
//! Whoever sends tries the socket at once, without waiting. What the kernel does not take is queued,
//! and the connection's task writes it when there is room. So a viewer that keeps up costs one
//! gathering system call for a frame and no waking, and one that does not costs a part of a frame.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// With more than this in the queue no further request is read: whoever does not read replies gets
/// no more of them.
const READ_LIMIT: usize = 64 * 1024;

/// With more than this in the queue the connection is closed. Only reports of a stream come here,
/// as a frame waits and requests are not read.
const CLOSE_LIMIT: usize = 1024 * 1024;

/// Called once the queue is empty.
pub type Drained = Box<dyn FnOnce() + Send>;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way, or lost for this viewer.
    Done,
    /// The connection still has to send what came before.
    Busy,
}

#[derive(Default)]
struct Queue {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that have been written.
    written: usize,
    bytes: usize,
    /// When the kernel last took something, or the queue was begun.
    progress: Option<Instant>,
    closed: bool,
    drained: Option<Drained>,
}

/// A connection's way out.
pub struct Outbox {
    socket: Arc<TcpStream>,
    queue: Mutex<Queue>,
    changed: Notify,
}

impl Outbox {
    /// The way out of a socket.
    pub fn new(socket: Arc<TcpStream>) -> Arc<Self> {
        Arc::new(Self { socket, queue: Mutex::default(), changed: Notify::new() })
    }

    /// The socket that it writes to.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends bytes after all that was sent before.
    pub fn send(&self, bytes: &[u8]) {
        self.send_parts(&mut self.queue(), &[IoSlice::new(bytes)]);
    }

    /// Sends a frame, gathered from its parts, unless something is still queued. Then it is not
    /// sent; what `drained` gives is called once it can be tried again.
    pub fn try_send(&self, parts: &[IoSlice], drained: Option<&dyn Fn() -> Drained>) -> Sent {
        let mut queue = self.queue();
        if queue.closed {
            return Sent::Done;
        }
        if queue.bytes > 0 {
            queue.drained = drained.map(|drained| drained());
            return Sent::Busy;
        }
        self.send_parts(&mut queue, parts);
        Sent::Done
    }

    fn send_parts(&self, queue: &mut Queue, parts: &[IoSlice]) {
        if queue.closed {
            return;
        }
        let taken = if queue.bytes == 0 {
            match self.socket.try_write_vectored(parts) {
                Ok(taken) => taken,
                Err(error) if is_temporary(&error) => 0,
                Err(error) => {
                    tracing::debug!("cannot write to a connection: {error}");
                    self.close_queue(queue);
                    return;
                }
            }
        } else {
            0
        };
        let rest = rest_of(parts, taken);
        if rest.is_empty() {
            return;
        }
        if queue.bytes == 0 {
            queue.progress = Some(Instant::now());
            self.changed.notify_one();
        }
        queue.bytes += rest.len();
        queue.chunks.push_back(rest);
        if queue.bytes > CLOSE_LIMIT {
            self.close_queue(queue);
        }
    }

    fn close_queue(&self, queue: &mut Queue) {
        *queue = Queue { closed: true, ..Queue::default() };
        self.changed.notify_one();
    }

    /// Sends nothing more, not even what is queued.
    pub fn close(&self) {
        self.close_queue(&mut self.queue());
    }

    /// Whether it has been closed, or the socket has failed.
    pub fn is_closed(&self) -> bool {
        self.queue().closed
    }

    /// Since when the queue has waited for the kernel to take more; `None` if it is empty.
    pub fn waits_since(&self) -> Option<Instant> {
        let queue = self.queue();
        queue.progress.filter(|_| queue.bytes > 0)
    }

    /// Whether so much waits that no further request is to be read.
    pub fn is_full(&self) -> bool {
        self.queue().bytes > READ_LIMIT
    }

    /// Waits until something has been queued or the queue has been closed, since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Writes what is queued, as it is taken; done when the queue has become empty or closed. Only
    /// the connection's task calls it; dropped in the middle, nothing is lost.
    pub async fn flush(&self) {
        loop {
            if self.socket.writable().await.is_err() {
                self.close();
            }
            let drained = {
                let mut queue = self.queue();
                while queue.bytes > 0 {
                    if !self.write_some(&mut queue) {
                        break;
                    }
                }
                if queue.bytes > 0 {
                    continue;
                }
                queue.drained.take()
            };
            if let Some(drained) = drained {
                drained();
            }
            return;
        }
    }

    /// Writes from the queue; false if the kernel takes no more for now.
    fn write_some(&self, queue: &mut Queue) -> bool {
        let first = queue.chunks.front().and_then(|first| first.get(queue.written..));
        let rest = queue.chunks.iter().skip(1).map(|chunk| IoSlice::new(chunk));
        let parts: Vec<IoSlice> =
            first.map(IoSlice::new).into_iter().chain(rest.take(63)).collect();
        match self.socket.try_write_vectored(&parts) {
            Ok(taken) if taken > 0 => {
                queue.take(taken);
                queue.progress = Some(Instant::now());
                true
            }
            Err(error) if is_temporary(&error) => false,
            Ok(_) | Err(_) => {
                self.close_queue(queue);
                true
            }
        }
    }
}

impl Queue {
    /// So many bytes have been written.
    fn take(&mut self, mut taken: usize) {
        self.bytes -= taken;
        while let Some(first) = self.chunks.front() {
            let left = first.len() - self.written;
            if taken < left {
                self.written += taken;
                return;
            }
            taken -= left;
            self.written = 0;
            self.chunks.pop_front();
        }
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// What is left of the parts after so many bytes.
fn rest_of(parts: &[IoSlice], taken: usize) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut rest = Vec::with_capacity(length.saturating_sub(taken));
    let mut skip = taken;
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

    /// An outbox, and the other end of its connection.
    async fn connected() -> (Arc<Outbox>, std::net::TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reader = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        (Outbox::new(Arc::new(socket)), reader)
    }

    fn on_runtime(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), test).await.unwrap();
        });
    }

    #[test]
    fn what_the_kernel_does_not_take_is_queued_and_comes_in_order() {
        on_runtime(async {
            let (outbox, mut reader) = connected().await;
            let frame = |number: u8| vec![number; 99_000];
            let mut frames = 0_u8;
            let woken = Arc::new(AtomicBool::new(false));
            loop {
                let flag = woken.clone();
                let drained = || -> Drained {
                    let flag = flag.clone();
                    Box::new(move || flag.store(true, Ordering::SeqCst))
                };
                let frame = frame(frames);
                let parts = [IoSlice::new(&frame[..7]), IoSlice::new(&frame[7..])];
                if outbox.try_send(&parts, Some(&drained)) == Sent::Busy {
                    break;
                }
                frames += 1;
            }
            assert!(outbox.waits_since().is_some() && frames > 0);
            // A reply comes after the part of a frame that waits.
            outbox.send(b"reply");
            let want: Vec<u8> = (0..frames).flat_map(frame).chain(*b"reply").collect();
            let length = want.len();
            let read = tokio::task::spawn_blocking(move || {
                let mut got = vec![0; length];
                reader.read_exact(&mut got).unwrap();
                (got, reader)
            });
            outbox.flush().await;
            assert!(woken.load(Ordering::SeqCst) && outbox.waits_since().is_none());
            let (got, _reader) = read.await.unwrap();
            assert!(got == want);
        });
    }

    #[test]
    fn a_connection_that_takes_nothing_is_closed_at_a_limit() {
        on_runtime(async {
            let (outbox, _reader) = connected().await;
            let bytes = vec![0; 100_000];
            let mut sent = 0;
            while !outbox.is_closed() {
                outbox.send(&bytes);
                sent += bytes.len();
                assert!(sent < 100_000_000);
                if outbox.waits_since().is_some() && sent % 300_000 == 0 {
                    assert!(outbox.is_full() || sent > 0);
                }
            }
            assert_eq!(outbox.try_send(&[IoSlice::new(b"x")], None), Sent::Done);
            outbox.flush().await;
        });
    }

    #[test]
    fn a_connection_that_was_closed_by_the_other_end_is_closed() {
        on_runtime(async {
            let (outbox, reader) = connected().await;
            drop(reader);
            while !outbox.is_closed() {
                outbox.send(&[0; 10_000]);
                tokio::task::yield_now().await;
            }
            assert!(outbox.waits_since().is_none());
        });
    }

    #[test]
    fn parts_are_continued_where_they_were_taken_to() {
        let parts = [IoSlice::new(b"abc"), IoSlice::new(b""), IoSlice::new(b"de")];
        let rows = [(0, "abcde"), (1, "bcde"), (3, "de"), (4, "e"), (5, "")];
        for (taken, want) in rows {
            assert_eq!(rest_of(&parts, taken), want.as_bytes(), "{taken}");
        }
    }
}
