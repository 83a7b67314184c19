// SPDX-License-Identifier: MIT OR Apache-2.0
//! The connection of a client, encrypted or not.

use super::{READ_SIZE, read_some};
use rustls::server::{ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// The number of bytes that are decrypted at once.
const PLAIN_SIZE: usize = 4096;

/// The connection of a client.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: TcpStream,
    /// The state of TLS. Requests are decrypted and packets are encrypted by different threads.
    tls: Option<Box<Mutex<ServerConnection>>>,
}

impl Wire {
    /// A connection that is not encrypted.
    pub fn plain(socket: TcpStream) -> Self {
        Self { socket, tls: None }
    }

    /// Carries out the handshake of TLS. `first` are the bytes that have been received. Returns the
    /// connection and the plain text that was received with the last message of the handshake.
    ///
    /// # Errors
    /// If the bytes are not TLS, the two have no version or cipher in common, or the client goes away.
    pub async fn accept_tls(
        socket: TcpStream,
        first: &[u8],
        config: Arc<ServerConfig>,
    ) -> io::Result<(Self, Vec<u8>)> {
        // The messages of the handshake need not wait for more bytes.
        let _ = socket.set_nodelay(true);
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        // The outbox limits what is queued.
        tls.set_buffer_limit(None);
        let mut plain = Vec::new();
        let mut received = first.to_vec();
        loop {
            let decrypted = decrypt(&mut tls, &received, &mut plain);
            // Also the alert that says what is wrong.
            let out = take_records(&mut tls);
            write_all(&socket, &out).await?;
            decrypted?;
            if !tls.is_handshaking() {
                break;
            }
            received = read_some(&socket).await?;
            if received.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok((Self { socket, tls: Some(Box::new(Mutex::new(tls))) }, plain))
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The socket of a connection that is not encrypted.
    pub fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    fn tls(&self) -> Option<MutexGuard<'_, ServerConnection>> {
        Some(self.tls.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for bytes and reads them; returns none at the end of the connection.
    pub async fn read_some(&self) -> io::Result<Vec<u8>> {
        loop {
            let received = read_some(&self.socket).await?;
            let Some(mut tls) = self.tls() else { return Ok(received) };
            let mut plain = Vec::new();
            let is_open = !received.is_empty() && decrypt(&mut tls, &received, &mut plain)?;
            if !plain.is_empty() || !is_open {
                return Ok(plain);
            }
        }
    }

    /// As [`Self::read_some`], for code that polls.
    pub fn poll_read_some(&self, context: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        loop {
            ready!(self.socket.poll_read_ready(context))?;
            let mut bytes = [0; READ_SIZE];
            let received = match self.socket.try_read(&mut bytes) {
                Ok(count) => bytes.get(..count).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Poll::Ready(Err(error)),
            };
            let Some(mut tls) = self.tls() else { return Poll::Ready(Ok(received.to_vec())) };
            let mut plain = Vec::new();
            let is_open = !received.is_empty() && decrypt(&mut tls, received, &mut plain)?;
            if !plain.is_empty() || !is_open {
                return Poll::Ready(Ok(plain));
            }
        }
    }

    /// Writes bytes. Must not be called once the connection has an outbox.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self.encrypt(&[IoSlice::new(bytes)]) {
            Some(records) => write_all(&self.socket, &records).await,
            None => write_all(&self.socket, bytes).await,
        }
    }

    /// Writes the last bytes of the connection, and that nothing more follows. As [`Self::write_all`].
    pub async fn write_last(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).await?;
        write_all(&self.socket, &self.encrypt_end().unwrap_or_default()).await
    }

    /// Encrypts bytes, after what TLS itself has to send; `None` if the connection is not encrypted. The
    /// records must be sent in the order in which they were made.
    pub fn encrypt(&self, parts: &[IoSlice]) -> Option<Vec<u8>> {
        let mut tls = self.tls()?;
        for part in parts {
            // Writing to a connection without a limit of its buffer does not fail.
            let _ = tls.writer().write_all(part);
        }
        Some(take_records(&mut tls))
    }

    /// Encrypts the announcement that nothing more follows.
    pub fn encrypt_end(&self) -> Option<Vec<u8>> {
        let mut tls = self.tls()?;
        tls.send_close_notify();
        Some(take_records(&mut tls))
    }
}

/// Decrypts records, and appends their text to `plain`. Returns `false` after the announcement that
/// nothing more follows.
fn decrypt(
    tls: &mut ServerConnection,
    mut records: &[u8],
    plain: &mut Vec<u8>,
) -> io::Result<bool> {
    let mut is_open = true;
    while !records.is_empty() && is_open {
        tls.read_tls(&mut records)?;
        tls.process_new_packets()
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, format!("TLS: {error}")))?;
        loop {
            let mut bytes = [0; PLAIN_SIZE];
            match tls.reader().read(&mut bytes) {
                Ok(0) => {
                    is_open = false;
                    break;
                }
                Ok(count) => plain.extend_from_slice(bytes.get(..count).unwrap_or_default()),
                // All records have been read.
                Err(_) => break,
            }
        }
    }
    Ok(is_open)
}

/// Takes what TLS has to send.
fn take_records(tls: &mut ServerConnection) -> Vec<u8> {
    let mut records = Vec::new();
    // Writing to memory does not fail.
    while tls.wants_write() && tls.write_tls(&mut records).is_ok() {}
    records
}

async fn write_all(socket: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        socket.ready(Interest::WRITABLE).await?;
        match socket.try_write(bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
