// SPDX-License-Identifier: MIT OR Apache-2.0
//! A connection as hyper reads and writes it.

use crate::connection::wire::Wire;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// The number of bytes that are encrypted at once: a record of TLS.
const RECORD: usize = 16 * 1024;

/// A connection, encrypted or not. Closing it is left to the caller, who gets the [`Wire`] back.
pub(super) struct HttpIo {
    wire: Wire,
    /// Bytes that have been received and not been read.
    received: Vec<u8>,
    /// Is set when bytes are read.
    has_received: Arc<AtomicBool>,
    /// Records that have not been written.
    records: Vec<u8>,
    /// How long the client may accept nothing of what it is sent.
    stall_time: Duration,
    /// Runs while the client accepts nothing.
    stall: Option<Pin<Box<Sleep>>>,
}

impl HttpIo {
    /// A connection of which `received` has been received. Sets `has_received` whenever bytes are read.
    pub fn new(
        wire: Wire,
        received: Vec<u8>,
        has_received: Arc<AtomicBool>,
        stall_time: Duration,
    ) -> Self {
        Self { wire, received, has_received, records: Vec::new(), stall_time, stall: None }
    }

    /// The connection.
    pub fn into_wire(self) -> Wire {
        self.wire
    }

    /// Waits until the client accepts bytes, but not longer than it may take.
    fn poll_writable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(ready) = self.wire.socket().poll_write_ready(context) {
            return Poll::Ready(ready);
        }
        let time = self.stall_time;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(stall.as_mut().poll(context));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    /// Writes by `write` as soon as the client accepts bytes.
    fn poll_write_with(
        &mut self,
        context: &mut Context<'_>,
        write: impl Fn(&Self) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_writable(context))?;
            match write(self) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => {
                    self.stall = None;
                    return Poll::Ready(written);
                }
            }
        }
    }

    /// Writes the records that are left.
    fn poll_records(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.records.is_empty() {
            let write = |io: &Self| io.wire.socket().try_write(&io.records);
            let written = ready!(self.poll_write_with(context, write))?;
            self.records.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl Read for HttpIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.received.is_empty() {
            self.received = ready!(self.wire.poll_read_some(context))?;
        }
        let count = self.received.len().min(buffer.remaining());
        if count > 0 {
            self.has_received.store(true, Ordering::Relaxed);
        }
        buffer.put_slice(self.received.get(..count).unwrap_or_default());
        self.received.drain(..count);
        if self.received.is_empty() {
            // A waiting connection needs no memory for it.
            self.received = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for HttpIo {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.wire.is_encrypted() {
            return self.poll_write_with(context, |io| io.wire.socket().try_write_vectored(parts));
        }
        ready!(self.poll_records(context))?;
        let first = parts.iter().find(|part| !part.is_empty());
        let plain = first.map_or(&[][..], |part| part.get(..RECORD).unwrap_or(part));
        self.records = self.wire.encrypt(&[IoSlice::new(plain)]).unwrap_or_default();
        // What is not written now is written by the next call.
        if let Poll::Ready(Err(error)) = self.poll_records(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(plain.len()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_records(context)
    }

    /// Closes nothing: the connection may be used for something else.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}
