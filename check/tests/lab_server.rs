// SPDX-License-Identifier: MIT OR Apache-2.0
//! A correct lab server, and deliberate mistakes in it.

use crate::defect::{Defect, Habit};
use crate::sender::{Position, Sender, Stop};
use crate::support::{movie, short_movie};
use gstmjpegfile::lab::{Method, Request};
use mjpeg_lab_check::profile::Fragments;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a server sends and answers.
#[derive(Clone)]
pub struct Behaviour {
    pub defect: Option<Defect>,
    pub habit: Option<Habit>,
    pub fragments: Fragments,
    pub movies: Vec<(String, Vec<Vec<u8>>)>,
    /// How long each reply takes.
    pub reply_delay: Duration,
}

impl Behaviour {
    /// Sends the movies of the tests.
    pub fn new(defect: Option<Defect>, fragments: Fragments) -> Self {
        let movies = [movie(), short_movie()].map(|it| (it.name, it.frames)).to_vec();
        Self { defect, habit: None, fragments, movies, reply_delay: Duration::ZERO }
    }
}

/// What all sessions of a server share.
pub struct Shared {
    pub behaviour: Behaviour,
    ended: AtomicBool,
    address: SocketAddr,
    /// The number of sessions so far.
    sessions: AtomicUsize,
    /// The port of the last SETUP, of all clients.
    pub last_port: AtomicU16,
    /// Senders that stop late, of all sessions.
    late: Mutex<Vec<RunningSender>>,
}

/// A sender's stop, and its thread.
type RunningSender = (Arc<Stop>, JoinHandle<()>);

/// How long a sender goes on that stops late. Limits grow with the delays of the machine: it must be longer.
const LATE: Duration = Duration::from_millis(2800);

fn stop_all(senders: &mut Vec<RunningSender>) {
    for (stop, sender) in senders.drain(..) {
        stop.set();
        let _ = sender.join();
    }
}

impl Shared {
    pub fn has(&self, defect: Defect) -> bool {
        self.behaviour.defect == Some(defect)
    }

    /// Stops the senders that stop late: the next play is without a mistake.
    fn stop_late_senders(&self) {
        stop_all(&mut self.late.lock().unwrap());
    }

    /// Ends the server: its listening socket closes.
    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

/// A running server. It ends when dropped.
pub struct LabServer {
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

impl LabServer {
    pub fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::new(Shared {
            behaviour,
            ended: AtomicBool::new(false),
            address: listener.local_addr().unwrap(),
            sessions: AtomicUsize::new(0),
            last_port: AtomicU16::new(0),
            late: Mutex::default(),
        });
        let of_thread = shared.clone();
        let accept = move || {
            while let Ok((stream, peer)) = listener.accept() {
                if of_thread.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = of_thread.clone();
                std::thread::spawn(move || Session::new(shared, peer.ip()).serve(stream));
            }
        };
        let not_listening = shared.has(Defect::NotListening);
        let mut server = Self { shared, listener: Some(std::thread::spawn(accept)) };
        if not_listening {
            server.close();
        }
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    fn close(&mut self) {
        self.shared.end();
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
    }
}

impl Drop for LabServer {
    fn drop(&mut self) {
        self.close();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Init,
    Ready,
    Playing,
}

struct Session {
    shared: Arc<Shared>,
    peer: IpAddr,
    state: State,
    number: u32,
    /// The number of the session among all, from 1.
    count: usize,
    port: u16,
    position: Arc<Mutex<Position>>,
    /// The state as the sender changes it: the movie has ended.
    ended: Arc<AtomicBool>,
    senders: Vec<RunningSender>,
    control: Option<TcpStream>,
}

impl Session {
    fn new(shared: Arc<Shared>, peer: IpAddr) -> Self {
        let position =
            Position { movie: 0, frame: 0, number: 1, timestamp: 0, sent: 0, resumed: false };
        Self {
            shared,
            peer,
            state: State::Init,
            number: 0,
            count: 0,
            port: 0,
            position: Arc::new(Mutex::new(position)),
            ended: Arc::default(),
            senders: Vec::new(),
            control: None,
        }
    }

    fn serve(mut self, mut stream: TcpStream) {
        self.control = stream.try_clone().ok();
        let mut bytes = [0; 1024];
        while let Ok(have @ 1..) = stream.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..have]).into_owned();
            let Ok(request) = Request::parse(&text) else { continue };
            let Some(reply) = self.answer(&request, &text) else { return self.gone() };
            std::thread::sleep(self.shared.behaviour.reply_delay);
            if self.write(&mut stream, reply.as_bytes()).is_err() {
                break;
            }
        }
        self.gone();
    }

    fn write(&self, stream: &mut TcpStream, mut reply: &[u8]) -> std::io::Result<()> {
        // In the middle of the second line.
        let parts = if self.has_habit(Habit::RepliesInParts) { 20.min(reply.len()) } else { 0 };
        if parts > 0 {
            stream.write_all(&reply[..parts])?;
            std::thread::sleep(Duration::from_millis(20));
            reply = &reply[parts..];
        }
        stream.write_all(reply)
    }

    fn has_habit(&self, habit: Habit) -> bool {
        self.shared.behaviour.habit == Some(habit)
    }

    /// The client has gone, or the connection is closed.
    fn gone(mut self) {
        let playing = self.state == State::Playing;
        if playing && self.shared.has(Defect::EndsAfterDisconnect) {
            self.shared.end();
        }
        if playing && self.shared.has(Defect::SendsAfterDisconnect) {
            // Its senders go on.
            self.senders.clear();
        }
        if let Some(control) = &self.control {
            let _ = control.shutdown(std::net::Shutdown::Both);
        }
        self.stop();
    }

    fn stop(&mut self) {
        stop_all(&mut self.senders);
    }

    /// Stops after [`LATE`], or at the next SETUP or PLAY of any client, and does not wait for it.
    fn stop_later(&mut self) {
        for (stop, sender) in self.senders.drain(..) {
            let of_thread = stop.clone();
            std::thread::spawn(move || {
                std::thread::sleep(LATE);
                of_thread.set();
            });
            self.shared.late.lock().unwrap().push((stop, sender));
        }
    }

    /// Carries out a request. Returns its reply, which may be empty, or `None` to close the connection.
    fn answer(&mut self, request: &Request, text: &str) -> Option<String> {
        let has = |defect| self.shared.has(defect);
        if self.ended.swap(false, Ordering::SeqCst) {
            self.state = State::Ready;
        }
        let silent = Some(String::new());
        match (request.method, self.state) {
            (Method::Setup, State::Ready) if has(Defect::SecondSetupMakesSession) => {
                self.new_session();
                Some(self.reply(200, request, text))
            }
            (Method::Setup, State::Init) => self.set_up(request, text),
            (Method::Play, State::Init) if has(Defect::PlayInInitIsOk) => {
                Some(self.reply(200, request, text))
            }
            (Method::Play, State::Ready) => {
                let reply = self.reply(200, request, text);
                self.play();
                self.state = State::Playing;
                if self.shared.has(Defect::NoReplyToPlay) { silent } else { Some(reply) }
            }
            (Method::Play, State::Playing) if has(Defect::SecondPlaySendsToo) => {
                let position = self.position.lock().unwrap();
                let other = Position { sent: 0, resumed: false, frame: 0, number: 1, ..*position };
                drop(position);
                self.send(Arc::new(Mutex::new(other)));
                Some(self.reply(200, request, text))
            }
            (Method::Pause, State::Ready) if has(Defect::PauseInReadyCloses) => None,
            (Method::Pause, State::Playing) => {
                self.pause();
                let reply = self.reply(200, request, text);
                if self.shared.has(Defect::NoReplyToPause) { silent } else { Some(reply) }
            }
            (Method::Teardown, State::Ready)
                if has(Defect::TeardownInReadyCloses)
                    && self.position.lock().unwrap().sent == 0 =>
            {
                None
            }
            (Method::Teardown, state) => Some(self.tear_down(state, request, text)),
            (Method::Describe, _) => Some(self.describe(request, text)),
            (Method::List, _) => {
                let names: Vec<&str> =
                    self.shared.behaviour.movies.iter().map(|(name, _)| name.as_str()).collect();
                let names = if has(Defect::EmptyList) { String::new() } else { names.join("\n") };
                Some(format!("{}\n{names}", self.reply(200, request, text)))
            }
            (Method::Switch, State::Ready | State::Playing) => {
                if !has(Defect::SwitchIgnored) {
                    let movie = self.find(request.file.as_deref()?);
                    self.stop();
                    let mut position = self.position.lock().unwrap();
                    (position.movie, position.frame) = (movie?, 0);
                }
                self.stop();
                self.state = State::Ready;
                Some(self.reply(200, request, text))
            }
            (Method::Seek, State::Ready | State::Playing) => {
                if !has(Defect::SeekIgnored) {
                    let mut position = self.position.lock().unwrap();
                    let frames = self.shared.behaviour.movies[position.movie].1.len();
                    #[allow(
                        clippy::cast_precision_loss,
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss
                    )]
                    let frame = (frames as f64 * request.seek?) as usize;
                    position.frame = frame;
                }
                Some(self.reply(200, request, text))
            }
            _ if self.has_habit(Habit::IgnoresWrongStates) => silent,
            _ => Some(self.reply(455, request, text)),
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.shared.behaviour.movies.iter().position(|(movie, _)| movie == name)
    }

    fn new_session(&mut self) {
        let before = self.shared.sessions.fetch_add(1, Ordering::SeqCst);
        self.count = before + 1;
        let count = u32::try_from(before).unwrap();
        self.number = match self.shared.behaviour.defect {
            Some(Defect::SmallSession) => 42 + count,
            Some(Defect::FixedSession) => 123_456,
            _ if self.has_habit(Habit::LargeSession) => 999_999 - count,
            _ => 200_000 + 7 * count,
        };
    }

    fn set_up(&mut self, request: &Request, text: &str) -> Option<String> {
        let movie = self.find(request.file.as_deref()?);
        let shared = self.shared.clone();
        shared.stop_late_senders();
        let has = |defect| shared.has(defect);
        let Some(movie) = movie else {
            if has(Defect::EndsAtMissing) {
                self.shared.end();
            }
            return match self.shared.behaviour.defect {
                Some(Defect::MissingIsOk) => Some(self.reply(200, request, text)),
                Some(Defect::MissingIsSilent) => Some(String::new()),
                _ => Some(self.reply(404, request, text)),
            };
        };
        if has(Defect::NoReplyToSetup) {
            return Some(String::new());
        }
        if has(Defect::SetupFails) {
            return Some(self.reply(500, request, text));
        }
        self.new_session();
        self.port = request.rtp_port?;
        self.shared.last_port.store(self.port, Ordering::SeqCst);
        let number = u16::from(!has(Defect::StartsWith0));
        let frame = if has(Defect::SecondSessionGoesOn) && self.count == 2 { 30 } else { 0 };
        *self.position.lock().unwrap() =
            Position { movie, frame, number, timestamp: 0, sent: 0, resumed: false };
        self.state = State::Ready;
        Some(self.reply(200, request, text))
    }

    fn pause(&mut self) {
        match self.shared.behaviour.defect {
            Some(Defect::PauseDoesNotStop) => {}
            Some(Defect::PauseStopsLate) => self.stop_later(),
            _ => self.stop(),
        }
        let mut position = self.position.lock().unwrap();
        position.resumed = true;
        match self.shared.behaviour.defect {
            Some(Defect::RestartsAfterPause) => position.frame = 0,
            Some(Defect::MovesDuringPause) => position.frame += 15,
            Some(Defect::NumbersRestartAfterPause) => position.number = 1,
            _ => {}
        }
        self.state = State::Ready;
    }

    fn play(&mut self) {
        self.shared.stop_late_senders();
        // A sender that was not stopped sends on.
        let sends = self.senders.iter().any(|(_, sender)| !sender.is_finished());
        if !(sends && self.shared.has(Defect::PauseDoesNotStop)) {
            self.send(self.position.clone());
        }
    }

    fn tear_down(&mut self, state: State, request: &Request, text: &str) -> String {
        if self.shared.has(Defect::TeardownStopsLate) && state == State::Playing {
            self.stop_later();
        } else {
            self.stop();
        }
        self.state = State::Init;
        let early = state == State::Ready && self.position.lock().unwrap().sent == 0;
        if self.shared.has(Defect::EndsAfterEarlyTeardown) && early {
            self.shared.end();
        }
        if self.shared.has(Defect::EndsAtTeardown) {
            self.shared.end();
        }
        let silent = self.shared.has(Defect::NoReplyToTeardown) && state == State::Playing;
        if silent { String::new() } else { self.reply(200, request, text) }
    }

    fn reply(&self, code: u16, request: &Request, text: &str) -> String {
        let has = |defect| self.shared.has(defect);
        let reason = if code == 200 { "OK" } else { "Error" };
        let cseq = match self.shared.behaviour.defect {
            Some(Defect::FixedCseq) => 1,
            Some(Defect::CseqOfRequestBefore) => request.cseq - 1,
            Some(Defect::CseqAhead) => request.cseq + 1,
            _ => request.cseq,
        };
        let session = match code {
            200 if has(Defect::NewSessionInEachReply) => {
                self.number + u32::try_from(request.cseq).unwrap()
            }
            200 => self.number,
            _ => 0,
        };
        let blank = if has(Defect::NoBlankInReplies) { "" } else { " " };
        let long = if has(Defect::LongSession) { "98765432109876543210" } else { "" };
        let mut lines = vec![
            format!("RTSP/1.0 {code} {reason}"),
            format!("CSeq:{blank}{cseq}"),
            format!("Session:{blank}{long}{session}"),
        ];
        match self.shared.behaviour.defect {
            Some(Defect::NoCseqLine) => drop(lines.remove(1)),
            Some(Defect::NoSessionLine) => drop(lines.remove(2)),
            Some(Defect::BlankLineAfterStatus) => lines.insert(1, String::new()),
            _ => {}
        }
        if self.has_habit(Habit::MixesLineEnds) {
            lines[0] += "\r";
        }
        if self.has_habit(Habit::BlankLineAtEnd) {
            lines.extend([String::new(), String::new()]);
        }
        if request.fourth_line.is_some() && code == 200 {
            let position = self.position.lock().unwrap();
            match request.method {
                Method::Setup => {
                    let frames = self.shared.behaviour.movies[position.movie].1.len();
                    lines.push(format!("TotalFrame: {frames}"));
                }
                Method::Teardown => {
                    let sent = position.sent + usize::from(has(Defect::WrongCount));
                    lines.push(format!("TotalSendPacketCount: {sent}"));
                }
                _ => {}
            }
        }
        let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let last = if text.ends_with('\n') { end } else { "" };
        lines.join(end) + last
    }

    fn describe(&self, request: &Request, text: &str) -> String {
        let media = if self.shared.has(Defect::NoMediaLine) {
            String::new()
        } else {
            format!("m=video {} RTP/AVP 26\n", self.port)
        };
        let reply = self.reply(200, request, text);
        format!("{reply}\n\nv=0\n{media}a=rtpmap:26 JPEG/90000")
    }

    /// Starts a sender.
    fn send(&mut self, position: Arc<Mutex<Position>>) {
        let stop: Arc<Stop> = Arc::default();
        let mut sender = Sender {
            shared: self.shared.clone(),
            socket: UdpSocket::bind((self.peer, 0)).unwrap(),
            peer: self.peer,
            port: self.port,
            ssrc: self.number,
            position,
            ended: self.ended.clone(),
            control: self.control.as_ref().and_then(|it| it.try_clone().ok()),
        };
        let first = self.count == 1;
        let of_thread = stop.clone();
        let thread = std::thread::spawn(move || sender.run(&of_thread, first));
        self.senders.push((stop, thread));
    }
}
