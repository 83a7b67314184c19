// SPDX-License-Identifier: MIT OR Apache-2.0
//! A TLS client that accepts every certificate, and can damage what it sends.

use anyhow::{Context, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, Stream,
    SupportedProtocolVersion,
};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// Accepts every certificate.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// An encrypted connection.
pub struct TlsStream {
    connection: ClientConnection,
    /// The socket, for what is not encrypted by this.
    pub socket: TcpStream,
}

impl TlsStream {
    /// Connects and completes the handshake, by TLS 1.2 or 1.3 (`&rustls::version::TLS12`).
    ///
    /// # Errors
    /// If that fails, or takes longer than `limit`, which applies to each later wait too.
    pub fn connect(
        address: &str,
        version: &'static SupportedProtocolVersion,
        limit: Duration,
    ) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        let mut connection =
            ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(limit))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).context("TLS handshake")?;
        }
        Ok(Self { connection, socket })
    }

    /// The records that contain some bytes, which are not sent.
    ///
    /// # Errors
    /// If they cannot be encrypted.
    pub fn records(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        self.connection.writer().write_all(bytes)?;
        self.pending()
    }

    /// The record that ends the connection, which is not sent.
    ///
    /// # Errors
    /// If it cannot be encrypted.
    pub fn close_notify(&mut self) -> Result<Vec<u8>> {
        self.connection.send_close_notify();
        self.pending()
    }

    fn pending(&mut self) -> Result<Vec<u8>> {
        let mut records = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut records)?;
        }
        Ok(records)
    }
}

impl Read for TlsStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        Stream::new(&mut self.connection, &mut self.socket).read(bytes)
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Stream::new(&mut self.connection, &mut self.socket).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Stream::new(&mut self.connection, &mut self.socket).flush()
    }
}
