// SPDX-License-Identifier: MIT OR Apache-2.0
//! An RTSP server whose replies the test writes.

use anyhow::Result;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// SDP of one RTP/JPEG stream.
pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=movie\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\n\
                       c=IN IP4 0.0.0.0\r\na=rtpmap:26 JPEG/90000\r\na=control:stream=0\r\n";

/// A request to the server.
#[derive(Debug, Clone)]
pub struct RtspRequest {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The value of CSeq.
    pub cseq: String,
    /// The whole request.
    pub text: String,
}

impl RtspRequest {
    fn parse(text: &str) -> Self {
        let mut words = text.split(' ');
        let word = words.next().unwrap_or_default().to_owned();
        let url = words.next().unwrap_or_default().to_owned();
        let cseq = text.lines().find_map(|line| line.strip_prefix("CSeq: ")).unwrap_or_default();
        Self { method: word, url, cseq: cseq.to_owned(), text: text.to_owned() }
    }

    /// A reply with this status, and these headers, each with CRLF.
    pub fn reply(&self, status: &str, headers: &str, body: &str) -> Vec<u8> {
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let cseq = &self.cseq;
        format!("RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n{headers}{length}\r\n{body}").into_bytes()
    }

    /// The reply of a server that sends RTP/JPEG in the connection.
    pub fn answer(&self) -> Vec<u8> {
        match self.method.as_str() {
            "OPTIONS" => {
                let methods = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN\r\n";
                self.reply("200 OK", methods, "")
            }
            "DESCRIBE" => self.reply("200 OK", "Content-Type: application/sdp\r\n", SDP),
            "SETUP" => {
                let headers = "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
                self.reply("200 OK", headers, "")
            }
            _ => self.reply("200 OK", "Session: 1\r\n", ""),
        }
    }
}

/// The server; ends when dropped.
pub struct RtspServer {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<RtspRequest>>>,
}

impl RtspServer {
    /// Serves each request, on a free port, by a call of `serve`. An error closes the connection.
    ///
    /// # Errors
    /// If there is no port.
    pub fn start(
        serve: impl Fn(&RtspRequest, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (ended, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::default()));
        let (end, log, serve) = (ended.clone(), requests.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                let (log, serve) = (log.clone(), serve.clone());
                std::thread::spawn(move || serve_connection(stream, &log, &*serve));
            }
        });
        Ok(Self { address, ended, requests })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The methods of the requests so far.
    pub fn methods(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().map(|request| request.method.clone()).collect()
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes accept.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve_connection(
    mut stream: TcpStream,
    log: &Mutex<Vec<RtspRequest>>,
    serve: &dyn Fn(&RtspRequest, &mut TcpStream) -> std::io::Result<()>,
) {
    let mut received = String::new();
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        // RTCP from the client, in the connection, is not a request.
        received += &String::from_utf8_lossy(&bytes[..length]);
        while let Some(end) = received.find("\r\n\r\n") {
            let text: String = received.drain(..end + 4).collect();
            let start = text.find(|c: char| c.is_ascii_uppercase()).unwrap_or(0);
            let request = RtspRequest::parse(&text[start..]);
            log.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            if serve(&request, &mut stream).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    }
}
