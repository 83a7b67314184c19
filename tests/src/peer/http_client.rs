// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client of HTTP/1.1 that sends what a test writes, and reads responses and multipart streams by the letter.

use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long a response may take.
const LIMIT: Duration = Duration::from_secs(40);

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The first line.
    pub status_line: String,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The number of the status.
    pub fn status(&self) -> u16 {
        let number = self.status_line.split(' ').nth(1).and_then(|number| number.parse().ok());
        number.unwrap_or(0)
    }

    /// The value of the header with a name in lower case; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        let mut matching = self.headers.iter().filter(|(known, _)| known == name);
        matching.next().map_or("", |(_, value)| value)
    }

    /// The values of all headers with a name in lower case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let matching = self.headers.iter().filter(|(known, _)| known == name);
        matching.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| self.text())
    }
}

/// A connection.
pub struct HttpClient {
    reader: BufReader<TcpStream>,
    host: String,
}

impl HttpClient {
    /// Connects to `HOST:PORT`.
    ///
    /// # Errors
    /// If that fails.
    pub fn connect(address: &str) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(LIMIT))?;
        socket.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(socket), host: address.to_owned() })
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// If that fails.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.reader.get_mut().write_all(bytes)?)
    }

    /// Sends a request such as `GET /path` with further header lines, each with its line end.
    ///
    /// # Errors
    /// If that fails.
    pub fn ask(&mut self, request: &str, headers: &str) -> Result<()> {
        let request = format!("{request} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.host);
        self.send(request.as_bytes())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        (&mut self.reader).take(64 * 1024).read_until(b'\n', &mut line)?;
        let line = line.strip_suffix(b"\r\n").context("no complete line")?;
        Ok(String::from_utf8(line.to_vec())?)
    }

    fn headers(&mut self) -> Result<Vec<(String, String)>> {
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(headers);
            }
            let (name, value) = line.split_once(':').with_context(|| line.clone())?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Reads the head of a response, which then has no body.
    ///
    /// # Errors
    /// If there is none.
    pub fn head(&mut self) -> Result<Response> {
        let status_line = self.line()?;
        let headers = self.headers()?;
        Ok(Response { status_line, headers, body: Vec::new() })
    }

    /// Reads a response with its body.
    ///
    /// # Errors
    /// If there is none, or not a whole one.
    pub fn response(&mut self) -> Result<Response> {
        let mut response = self.head()?;
        let length: Option<usize> = response.header("content-length").parse().ok();
        if response.status() == 304 {
            return Ok(response);
        }
        match length {
            Some(length) => {
                response.body.resize(length, 0);
                self.reader.read_exact(&mut response.body)?;
            }
            None => {
                self.reader.read_to_end(&mut response.body)?;
            }
        }
        Ok(response)
    }

    /// Whether the server closes the connection and sends nothing before that.
    ///
    /// # Errors
    /// If it does neither in time.
    pub fn is_closed(&mut self) -> Result<bool> {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(count) => Ok(count == 0),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the next part of a multipart body; `None` at the end of the connection.
    ///
    /// # Errors
    /// If the part is not valid.
    pub fn part(&mut self, boundary: &str) -> Result<Option<Part>> {
        if self.reader.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let headers = self.headers()?;
        let header = |name: &str| {
            let found = headers.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).with_context(|| format!("no {name}"))
        };
        ensure!(header("content-type")? == "image/jpeg", "{headers:?}");
        let mut jpeg = vec![0; header("content-length")?.parse()?];
        self.reader.read_exact(&mut jpeg)?;
        let at = Instant::now();
        ensure!(self.line()?.is_empty() && self.line()? == format!("--{boundary}"), "no boundary");
        let number = header("x-frame-number")?.parse()?;
        Ok(Some(Part { number, timestamp: header("x-timestamp")?, jpeg, at }))
    }
}

/// A part of a stream.
#[derive(Debug, Clone)]
pub struct Part {
    /// The number of the frame, from 0.
    pub number: u64,
    /// The time of the frame in the movie.
    pub timestamp: String,
    /// The frame.
    pub jpeg: Vec<u8>,
    /// When the frame was received.
    pub at: Instant,
}

/// A multipart stream.
pub struct HttpStream {
    /// The connection.
    pub client: HttpClient,
    /// The head of the response.
    pub head: Response,
    boundary: String,
}

impl HttpStream {
    /// Opens the stream at a path.
    ///
    /// # Errors
    /// If the response is not a stream.
    pub fn open(address: &str, path: &str) -> Result<Self> {
        Self::over(HttpClient::connect(address)?, path)
    }

    /// Opens the stream at a path in a connection.
    ///
    /// # Errors
    /// If the response is not a stream.
    pub fn over(client: HttpClient, path: &str) -> Result<Self> {
        Self::with(client, path, "")
    }

    /// Opens the stream at a path in a connection, with further header lines.
    ///
    /// # Errors
    /// If the response is not a stream.
    pub fn with(mut client: HttpClient, path: &str, headers: &str) -> Result<Self> {
        client.ask(&format!("GET {path}"), headers)?;
        let head = client.head()?;
        let kind = head.header("content-type").to_owned();
        let Some(boundary) = kind.strip_prefix("multipart/x-mixed-replace; boundary=") else {
            bail!("{path}: {head:?}");
        };
        ensure!(client.line()? == format!("--{boundary}"), "no boundary");
        Ok(Self { client, head, boundary: boundary.to_owned() })
    }

    /// Reads the next part; `None` at the end of the connection.
    ///
    /// # Errors
    /// If the part is not valid.
    pub fn next_part(&mut self) -> Result<Option<Part>> {
        self.client.part(&self.boundary)
    }

    /// Reads a number of parts.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn take(&mut self, count: usize) -> Result<Vec<Part>> {
        let part = |_| self.next_part()?.context("the stream has ended");
        (0..count).map(part).collect()
    }

    /// Reads all parts to the end.
    ///
    /// # Errors
    /// If one is not valid.
    pub fn rest(&mut self) -> Result<Vec<Part>> {
        std::iter::from_fn(|| self.next_part().transpose()).collect()
    }
}

/// Sends one request with further header lines in a connection of its own.
///
/// # Errors
/// If there is no whole response.
pub fn request(address: &str, request: &str, headers: &str) -> Result<Response> {
    let mut client = HttpClient::connect(address)?;
    client.ask(request, &format!("Connection: close\r\n{headers}"))?;
    match request.split(' ').next() {
        Some("HEAD") => {
            let head = client.head()?;
            ensure!(client.is_closed()?, "a body after HEAD");
            Ok(head)
        }
        _ => client.response(),
    }
}

/// Gets a resource.
///
/// # Errors
/// If there is no whole response.
pub fn get(address: &str, path: &str) -> Result<Response> {
    request(address, &format!("GET {path}"), "")
}
