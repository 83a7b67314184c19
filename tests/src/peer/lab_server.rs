// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lab servers as students write them: they read each request once, find lines and words by
//! position, and ignore what they do not know.

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The requests that a server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requests {
    /// The textbook's: CSeq is the second word of line 2, the port the fourth of line 3.
    Textbook,
    /// The course report's: CSeq is the first word of line 2.
    CourseReport,
    /// As [`Requests::CourseReport`]; another word than a number ends the connection.
    CourseReportStrict,
    /// Those that end with a blank line and have `client_port=P`.
    BlankLine,
    /// Those whose line 2 starts with a blank: CSeq is the second word after it.
    SecondWord,
    /// Those of three lines that each end with CRLF, as Java's `readLine` reads them.
    Java,
    /// Those of [`Requests::Java`] that name the movie by a URL and have `client_port=P`.
    Url,
    /// The first number in line 2 is CSeq, the last one in line 3 the port.
    Any,
}

/// The replies of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    /// Status, CSeq and session.
    ThreeLines,
    /// Three lines, and `TotalFrames`.
    TotalFrames,
    /// Three lines, with another CSeq than the request's.
    WrongCseq,
    /// Three lines, and no reply to PLAY.
    NoneToPlay,
    /// Three lines; SETUP has this error status.
    SetupError(&'static str),
    /// Three lines, and no reply to SETUP: as the textbook's server if it has no such movie.
    NoneToSetup,
    /// Three lines; PLAY has this error status, unless CSeq has no name.
    NamedPlayError(&'static str),
    /// Three lines, and `Frames: N`.
    Frames,
    /// Three lines, and `TotalFrame: N`.
    TotalFrame,
}

/// The RTP packets of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packets {
    /// One for each frame.
    OnePerFrame,
    /// One for each frame, with version 0.
    Version0,
    /// One for each frame, which follows its five length digits.
    LengthDigits,
    /// One for each frame, with timestamps in seconds and sequence numbers from 0.
    Seconds,
    /// Fragments of a frame, all with the frame's sequence number.
    FragmentsOfOneNumber,
    /// Fragments with a sequence number each, which follow six other bytes.
    FragmentsWithNumbers,
    /// One for each frame; every twentieth is lost.
    Loss,
    /// Each packet twice.
    Twice,
    /// Two packets in each ten are swapped.
    Reordered,
    /// Empty, truncated and foreign datagrams between the frames' packets.
    Noise,
    /// A parity packet, with a number of the stream, after each fifth frame.
    Parity,
    /// One for each frame, cut into datagrams of 4096 bytes: only the first one has the header.
    Datagrams,
    /// No packet at all.
    None,
}

/// What a server understands and sends.
#[derive(Debug, Clone, Copy)]
pub struct Behaviour {
    /// The requests that it understands.
    pub requests: Requests,
    /// Its replies.
    pub replies: Replies,
    /// Its RTP packets.
    pub packets: Packets,
}

impl Behaviour {
    /// The textbook's server.
    pub const TEXTBOOK: Self = Self {
        requests: Requests::Textbook,
        replies: Replies::ThreeLines,
        packets: Packets::OnePerFrame,
    };
}

/// A student's server; ends when dropped.
pub struct LabServer {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Time between two frames: shorter than the lab's, so that tests are short.
const PERIOD: Duration = Duration::from_millis(20);

impl LabServer {
    /// Serves the frames under any name on a free port.
    ///
    /// # Errors
    /// If there is no port.
    pub fn start(behaviour: Behaviour, frames: Vec<Vec<u8>>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (end, log, frames) = (ended.clone(), requests.clone(), Arc::new(frames));
        std::thread::spawn(move || {
            while let Ok((stream, peer)) = listener.accept() {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                let (end, log, frames) = (end.clone(), log.clone(), frames.clone());
                std::thread::spawn(move || {
                    let session = Session { behaviour, frames, end, log, peer: peer.ip(), port: 0 };
                    // What cannot be read ends the connection, as an exception would.
                    session.serve(stream)
                });
            }
        });
        Ok(Self { address, ended, requests })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far, one string for each read.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for LabServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes accept.
        let _ = TcpStream::connect(self.address);
    }
}

struct Session {
    behaviour: Behaviour,
    frames: Arc<Vec<Vec<u8>>>,
    end: Arc<AtomicBool>,
    log: Arc<Mutex<Vec<String>>>,
    peer: IpAddr,
    port: u16,
}

impl Session {
    fn serve(mut self, mut stream: TcpStream) -> Result<()> {
        let playing = Arc::new(AtomicBool::new(false));
        let mut bytes = [0; 256];
        let mut next = 0;
        loop {
            let have = stream.read(&mut bytes)?;
            if have == 0 {
                // The textbook's server goes on sending; this one stops.
                playing.store(false, Ordering::SeqCst);
                return Ok(());
            }
            let text = String::from_utf8(bytes[..have].to_vec())?;
            self.log.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone());
            let lines: Vec<&str> = text.split('\n').collect();
            let method = lines[0].split(' ').next().context("no word")?;
            let Some(number) = self.number(&text, &lines)? else { continue };
            let answer = match method {
                "SETUP" => {
                    self.port = self.port_of(&text, &lines)?;
                    self.behaviour.replies != Replies::NoneToSetup
                }
                "PLAY" if self.refuses_play(&lines) => true,
                "PLAY" => {
                    if !playing.swap(true, Ordering::SeqCst) {
                        self.play(&playing, &mut next);
                    }
                    self.behaviour.replies != Replies::NoneToPlay
                }
                "PAUSE" | "TEARDOWN" => {
                    playing.store(false, Ordering::SeqCst);
                    true
                }
                // Methods that students do not write are ignored.
                _ => false,
            };
            if answer {
                stream.write_all(self.reply(method, &number, &lines).as_bytes())?;
            }
        }
    }

    /// The request's CSeq; `None` if the request is ignored.
    fn number(&self, text: &str, lines: &[&str]) -> Result<Option<String>> {
        let second = lines.get(1).context("one line")?;
        let word = |at| second.split(' ').nth(at).map(|it| it.trim().to_owned());
        Ok(match self.behaviour.requests {
            Requests::Textbook => Some(word(1).context("no second word")?),
            Requests::Java => Some(word(1).context("no second word")?).filter(|_| lines.len() == 4),
            Requests::CourseReport => word(0),
            Requests::Url => {
                let is_url = lines[0].split(' ').nth(1).is_some_and(|it| it.starts_with("rtsp://"));
                word(1).filter(|_| lines.len() == 4 && is_url)
            }
            Requests::Any => second
                .split(|c: char| !c.is_ascii_digit())
                .find(|it| !it.is_empty())
                .map(Into::into),
            Requests::CourseReportStrict => {
                Some(word(0).context("no word")?.parse::<u32>()?.to_string())
            }
            Requests::BlankLine => word(1).filter(|_| text.ends_with("\r\n\r\n")),
            Requests::SecondWord => {
                let matches = second.starts_with(' ') && second.split(' ').count() == 3;
                word(2).filter(|it| matches && !it.is_empty())
            }
        })
    }

    fn refuses_play(&self, lines: &[&str]) -> bool {
        matches!(self.behaviour.replies, Replies::NamedPlayError(_))
            && lines.get(1).is_some_and(|line| line.contains(':'))
    }

    fn port_of(&self, text: &str, lines: &[&str]) -> Result<u16> {
        let word = match self.behaviour.requests {
            Requests::Any => lines
                .get(2)
                .and_then(|line| line.trim().rsplit(|c: char| !c.is_ascii_digit()).next())
                .context("no number")?,
            Requests::BlankLine | Requests::Url => {
                text.split("client_port=").nth(1).context("no port")?
            }
            _ => lines.get(2).and_then(|line| line.split(' ').nth(3)).context("no fourth word")?,
        };
        Ok(word.trim().parse()?)
    }

    fn reply(&self, method: &str, number: &str, lines: &[&str]) -> String {
        let (end, last) = match self.behaviour.requests {
            Requests::Java | Requests::Url => ("\r\n", "\r\n"),
            _ => ("\n", ""),
        };
        let number = match (self.behaviour.replies, number.parse::<u32>()) {
            (Replies::WrongCseq, Ok(number)) => (number + 7).to_string(),
            _ => number.to_owned(),
        };
        match self.behaviour.replies {
            Replies::SetupError(status) if method == "SETUP" => {
                format!("RTSP/1.0 {status}{end}CSeq: {number}{end}Session: 0{last}")
            }
            Replies::NamedPlayError(status) if method == "PLAY" && self.refuses_play(lines) => {
                format!("RTSP/1.0 {status}{end}CSeq: {number}{end}Session: 123456{last}")
            }
            Replies::Frames | Replies::TotalFrame => {
                let name =
                    if self.behaviour.replies == Replies::Frames { "Frames" } else { "TotalFrame" };
                let frames = self.frames.len();
                format!(
                    "RTSP/1.0 200 OK{end}CSeq: {number}{end}Session: 123456{end}{name}: {frames}{last}"
                )
            }
            Replies::TotalFrames => format!(
                "RTSP/1.0 200 OK{end}CSeq: {number}{end}Session: 123456{end}TotalFrames: {}{last}",
                self.frames.len()
            ),
            _ => format!("RTSP/1.0 200 OK{end}CSeq: {number}{end}Session: 123456{last}"),
        }
    }

    fn play(&self, playing: &Arc<AtomicBool>, next: &mut usize) {
        let (kind, frames) = (self.behaviour.packets, self.frames.clone());
        let (to, end, playing) =
            (SocketAddr::new(self.peer, self.port), self.end.clone(), playing.clone());
        let first = std::mem::replace(next, frames.len());
        std::thread::spawn(move || -> Result<()> {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            let stranger = UdpSocket::bind("127.0.0.2:0")?;
            let mut packets = Vec::new();
            let mut number = 0;
            for (at, frame) in frames.iter().enumerate().skip(first) {
                packets.push(packets_of(kind, at, frame, &mut number));
            }
            if kind == Packets::Reordered {
                for ten in packets.chunks_mut(10).filter(|ten| ten.len() > 4) {
                    ten.swap(3, 4);
                }
            }
            for (at, frame) in packets.iter().enumerate() {
                for packet in frame {
                    match kind {
                        Packets::Loss if at % 20 == 10 => continue,
                        Packets::Noise => {
                            socket.send_to(&[], to)?;
                            socket.send_to(&packet[..7], to)?;
                            stranger.send_to(&packets[0][0], to)?;
                        }
                        Packets::Twice => {
                            socket.send_to(packet, to)?;
                        }
                        _ => {}
                    }
                    socket.send_to(packet, to)?;
                }
                std::thread::sleep(PERIOD);
                if end.load(Ordering::SeqCst) || !playing.load(Ordering::SeqCst) {
                    break;
                }
            }
            Ok(())
        });
    }
}

fn header(version: u8, marker: bool, number: u16, timestamp: u32) -> Vec<u8> {
    let mut header = vec![version << 6, if marker { 128 + 26 } else { 26 }];
    header.extend(number.to_be_bytes());
    header.extend(timestamp.to_be_bytes());
    header.extend([0; 4]);
    header
}

/// Size of a fragment in bytes.
const FRAGMENT: usize = 1400;

fn packets_of(kind: Packets, at: usize, frame: &[u8], number: &mut u16) -> Vec<Vec<u8>> {
    let whole = u16::try_from(at + 1).unwrap_or(1);
    let time = u32::from(whole) * 4500;
    let one = |header: Vec<u8>, before: &[u8]| vec![[&header[..], before, frame].concat()];
    match kind {
        Packets::None => Vec::new(),
        Packets::Parity => {
            *number += 1;
            let mut packets = one(header(2, true, *number, time), &[]);
            if at % 5 == 4 {
                *number += 1;
                let mut parity = header(2, false, *number, time);
                parity[1] = 127;
                packets.push([&parity[..], &frame[..100]].concat());
            }
            packets
        }
        Packets::Datagrams => {
            let packet = [&header(2, true, whole, time)[..], frame].concat();
            packet.chunks(4096).map(<[u8]>::to_vec).collect()
        }
        Packets::Version0 => one(header(0, false, whole, time), &[]),
        Packets::LengthDigits => {
            one(header(2, false, whole, time), format!("{:05}", frame.len()).as_bytes())
        }
        Packets::Seconds => {
            one(header(2, false, whole - 1, 1_700_000_000 + u32::from(whole) / 20), &[])
        }
        Packets::FragmentsOfOneNumber | Packets::FragmentsWithNumbers => {
            let last = frame.chunks(FRAGMENT).count() - 1;
            let fragments = frame.chunks(FRAGMENT).enumerate().map(|(part, bytes)| {
                *number += 1;
                let (number, own) = match kind {
                    Packets::FragmentsOfOneNumber => (whole, &[][..]),
                    _ => (*number, &[9; 6][..]),
                };
                [&header(2, part == last, number, time)[..], own, bytes].concat()
            });
            fragments.collect()
        }
        _ => one(header(2, false, whole, time), &[]),
    }
}
