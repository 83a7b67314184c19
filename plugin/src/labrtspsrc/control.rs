// SPDX-License-Identifier: MIT OR Apache-2.0
//! The thread of the control connection: sends requests, reads replies, and finds out which form of
//! requests the server understands.

use super::connection::{ConnectError, Connection, ReplyOutcome};
use super::location::{Dialect, Location};
use super::messages::{self, Failure};
use super::shared::{Movie, Shared};
use super::{LabRtspSrc, receiver};
use crate::lab::{Description, Method, Reply, RequestForm, Status};
use gst::glib;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// While other forms are left to try: a server that does not reply to a request, or sends no RTP
/// after PLAY, for this long has not understood it.
const UNDERSTOOD: Duration = Duration::from_secs(2);

/// How long to wait for the reply to TEARDOWN.
const TEARDOWN: Duration = Duration::from_millis(500);

/// How long to wait for the reply to DESCRIBE, which only mjpeg-rtsp-server sends.
const DESCRIBE: Duration = Duration::from_millis(300);

/// How long to wait for a reply when RTP has arrived, or the session has been cancelled.
const GRACE: Duration = Duration::from_millis(150);

/// Without packets for this long after the last frame, the movie has ended.
const END: Duration = Duration::from_millis(250);

/// Shortest wait for a server.
const LEAST_WAIT: Duration = Duration::from_millis(10);

/// PLAY this soon after SETUP's answer belongs to the same search; later, a person has pressed Play.
const AUTOMATIC: Duration = Duration::from_millis(100);

/// Most servers read a request with one call that takes this many bytes.
const SERVERS_READ: usize = 256;

/// A reason to try another form.
const CLOSED: &str = "the server closed the connection";

/// A task for the thread.
#[derive(Debug)]
pub(super) enum Command {
    Setup,
    Play,
    Pause,
    /// Seek to a fraction of the movie, from 0 to 1; `reply` gets whether the server did.
    Seek {
        fraction: f64,
        reply: SyncSender<bool>,
    },
    Teardown,
}

/// Settings that are fixed when the element starts.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub location: Location,
    pub rtp_port: u16,
    pub dialect: Dialect,
    pub timeout: Duration,
}

/// The form that each server understood, by host and port, for the life of the process.
static UNDERSTANDS: LazyLock<Mutex<HashMap<(String, u16), RequestForm>>> =
    LazyLock::new(Mutex::default);

/// Stage of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There is no session, or it has failed.
    Idle,
    Ready,
    /// Since PLAY was sent, or the last seek.
    Playing(Instant),
}

/// How the server has answered SETUP in the search for a form that it understands.
#[derive(Debug, Default)]
struct SetupAnswers {
    /// With its CSeq, in the form in use.
    answered: bool,
    /// With its CSeq, in some form: what it lacks is more likely the movie than the form.
    accepted: bool,
    /// Not at all, in some form.
    unanswered: bool,
}

pub(super) struct Control {
    target: Target,
    shared: Arc<Shared>,
    element: glib::WeakRef<LabRtspSrc>,
    connection: Option<Connection>,
    /// The form in use, then the forms left to try.
    forms: Vec<RequestForm>,
    /// RTP has arrived with the form in use.
    understood: bool,
    cseq: u64,
    session: String,
    rtp_port: u16,
    stage: Stage,
    /// The element is in PLAYING.
    plays: bool,
    /// An error has been posted: further commands are ignored until TEARDOWN.
    failed: bool,
    /// Why the previous form was given up.
    gave_up: Option<String>,
    /// When the search for a form that the server understands ends.
    search_end: Instant,
    /// When SETUP was answered.
    set_up_at: Option<Instant>,
    answers: SetupAnswers,
}

impl Control {
    pub fn new(target: Target, shared: Arc<Shared>, element: glib::WeakRef<LabRtspSrc>) -> Self {
        let server = (target.location.host.clone(), target.location.port);
        let known =
            UNDERSTANDS.lock().unwrap_or_else(PoisonError::into_inner).get(&server).copied();
        let forms = match target.dialect.form() {
            Some(form) => vec![form],
            // Another server may listen on that port now.
            None => {
                let others = RequestForm::SEARCH.into_iter().filter(|form| Some(*form) != known);
                known.into_iter().chain(others).collect()
            }
        };
        Self {
            target,
            shared,
            element,
            connection: None,
            forms,
            understood: false,
            cseq: 0,
            session: "0".to_owned(),
            rtp_port: 0,
            stage: Stage::Idle,
            plays: false,
            failed: false,
            gave_up: None,
            search_end: Instant::now(),
            set_up_at: None,
            answers: SetupAnswers::default(),
        }
    }

    /// Carries out commands until TEARDOWN.
    pub fn run(mut self) {
        loop {
            self.remember_form();
            let done = match self.shared.next_command() {
                Some(Command::Setup) => {
                    self.start_search();
                    self.step("open", "SETUP", Self::set_up)
                }
                Some(Command::Play | Command::Pause) if self.failed => Ok(()),
                Some(Command::Play) => self.step("request", "PLAY", Self::play),
                Some(Command::Pause) => self.step("request", "PAUSE", Self::pause),
                Some(Command::Seek { fraction, reply }) => {
                    let done = self.seek(fraction);
                    let _ = reply.send(done);
                    // A server stops at the movie's end; mjpeg-rtsp-server accepts PLAY twice.
                    let stopped = self.stage == Stage::Ready || self.shared.movie().timed;
                    if done && self.plays && stopped { self.send_play() } else { Ok(()) }
                }
                Some(Command::Teardown) => {
                    self.tear_down(TEARDOWN);
                    return;
                }
                None => match self.wait() {
                    Ok(()) => self.check(),
                    Err(error) => {
                        self.with_element(|element| Failure::Wait(error).post(element));
                        self.tear_down(Duration::ZERO);
                        return;
                    }
                },
            };
            if let Err(failure) = done {
                self.stage = Stage::Idle;
                self.shared.set_owes_teardown(false);
                self.failed = true;
                if let Some(element) =
                    self.element.upgrade().filter(|_| !self.shared.is_cancelled())
                {
                    failure.post(&element);
                }
            }
        }
    }

    /// Waits for a command, for bytes from the server, or until there is something to check.
    fn wait(&self) -> io::Result<()> {
        let socket = match self.stage {
            Stage::Idle => None,
            Stage::Ready | Stage::Playing(_) => {
                self.connection.as_ref().and_then(Connection::socket)
            }
        };
        self.shared.control.wait(socket, self.next_check()).map(|_| ())
    }

    /// When the silence of the server becomes significant, if nothing happens before.
    fn next_check(&self) -> Option<Instant> {
        let Stage::Playing(since) = self.stage else { return None };
        let Some((header, arrival)) = self.shared.arrived().last else {
            return Some(since.max(Instant::now()) + self.first_packet_wait(since));
        };
        let closed =
            self.connection.as_ref().is_none_or(|connection| connection.socket().is_none());
        let is_last = closed || self.shared.movie().ends_with(&header);
        Some(arrival + if is_last { END } else { self.target.timeout })
    }

    /// Carries out one command and posts its progress.
    fn step(
        &mut self,
        code: &str,
        word: &str,
        act: fn(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.with_element(|element| {
            messages::progress(element, gst::ProgressType::Start, code, word);
        });
        let done = act(self);
        let (kind, text) = match &done {
            Ok(()) => (gst::ProgressType::Complete, word.to_owned()),
            Err(failure) => (gst::ProgressType::Error, failure.to_string()),
        };
        self.with_element(|element| messages::progress(element, kind, code, &text));
        done
    }

    fn with_element(&self, act: impl FnOnce(&LabRtspSrc)) {
        if let Some(element) = self.element.upgrade() {
            act(&element);
        }
    }

    fn note(&self, text: &str) {
        self.with_element(|element| messages::note(element, text));
    }

    fn form(&self) -> RequestForm {
        self.forms.first().copied().unwrap_or(RequestForm::Java)
    }

    /// Moves on to the next form; false if there is none.
    fn next_form(&mut self, why: &str) -> bool {
        if self.forms.len() < 2 || self.shared.is_cancelled() {
            return false;
        }
        self.forms.remove(0);
        let form = self.form();
        self.note(&format!("{why}: connecting again, with {} ({})", form.describe(), form.name()));
        self.gave_up = Some(why.to_owned());
        true
    }

    /// Starts the time in which the server must send RTP, whatever forms are tried.
    fn start_search(&mut self) {
        self.search_end = Instant::now() + self.target.timeout;
    }

    fn file(&self) -> String {
        self.target.location.file.clone()
    }

    fn no_rtp(&self) -> Failure {
        Failure::NoRtp { port: self.rtp_port, file: self.file(), limit: self.target.timeout }
    }

    /// Connects and sends SETUP in each form, until the server understands one.
    fn set_up(&mut self) -> Result<(), Failure> {
        loop {
            self.tear_down(Duration::ZERO);
            self.answers.answered = false;
            let (host, port) = (&self.target.location.host, self.target.location.port);
            let connection = match Connection::open(host, port, self.search_time()) {
                Ok(connection) => connection,
                Err(ConnectError::Name(error)) => {
                    return Err(Failure::UnknownHost { host: host.clone(), error });
                }
                Err(ConnectError::Connect(error)) => {
                    let server = format!("{host}:{port}");
                    return Err(match self.gave_up.take() {
                        Some(why) => Failure::ConnectAgain { server, why, error },
                        None => Failure::Connect(server, error),
                    });
                }
            };
            self.bind(connection.server())?;
            if let Ok((client, server)) = connection.addresses() {
                self.with_element(|element| messages::connected(element, client, server));
            }
            self.connection = Some(connection);
            self.cseq = 0;
            let answer = self.ask(Method::Setup, self.reply_limit());
            let silent = Failure::NoAnswer { file: self.file(), limit: self.target.timeout };
            let (why, failure) = match answer.unwrap_or(ReplyOutcome::Closed) {
                ReplyOutcome::Reply(text) => match self.read_setup_reply(&text)? {
                    None => {
                        self.stage = Stage::Ready;
                        self.shared.set_owes_teardown(true);
                        self.set_up_at = Some(Instant::now());
                        return self.describe(&text);
                    }
                    Some(why) => (why, silent),
                },
                ReplyOutcome::Nothing => {
                    self.answers.unanswered = true;
                    ("no answer to SETUP", silent)
                }
                // It fails at another form than the one that it does not answer.
                ReplyOutcome::TooLong => return Err(Failure::ReplyTooLong),
                ReplyOutcome::Closed if self.answers.unanswered => (CLOSED, silent),
                ReplyOutcome::Closed => (CLOSED, Failure::ClosedAtSetup(self.file())),
            };
            if !self.next_form(why) {
                return Err(if self.answers.accepted { self.no_rtp() } else { failure });
            }
        }
    }

    /// The remaining time of the search.
    fn search_time(&self) -> Duration {
        self.search_end.saturating_duration_since(Instant::now()).max(LEAST_WAIT)
    }

    /// How long to wait for a reply, or for RTP after PLAY. While other forms are left, a form that
    /// the server has not answered gets its share of the time.
    fn reply_limit(&self) -> Duration {
        if self.understood {
            return self.target.timeout;
        }
        self.share(self.search_time())
    }

    /// The part of the time `left` for the form in use.
    fn share(&self, left: Duration) -> Duration {
        match u32::try_from(self.forms.len()) {
            Ok(0 | 1) | Err(_) => left,
            Ok(_) if self.answers.answered => UNDERSTOOD.min(left / 2),
            Ok(forms) => UNDERSTOOD.min(left / forms),
        }
    }

    /// Opens the socket for RTP, which stays open over further attempts.
    fn bind(&mut self, server: IpAddr) -> Result<(), Failure> {
        if let Some((socket, _)) = self.shared.socket() {
            self.shared.set_socket(Some((socket, server)));
            return Ok(());
        }
        let wanted = self.target.rtp_port;
        let socket = receiver::bind(server, wanted).map_err(|error| {
            let free = || receiver::bind(server, 0).ok()?.local_addr().ok();
            match (error.kind(), free()) {
                (std::io::ErrorKind::AddrInUse, Some(free)) => {
                    Failure::PortTaken { port: wanted, free: free.port() }
                }
                _ => Failure::Socket(wanted, error),
            }
        })?;
        self.rtp_port = socket.local_addr().map_or(wanted, |address| address.port());
        self.shared.set_socket(Some((Arc::new(socket), server)));
        Ok(())
    }

    /// Reads the reply to SETUP. Returns why another form is to be tried, if it is.
    fn read_setup_reply(&mut self, text: &str) -> Result<Option<&'static str>, Failure> {
        let Ok(reply) = Reply::parse(text) else {
            return Ok(Some("the answer to SETUP is not a reply"));
        };
        let more = self.forms.len() > 1;
        if more && (reply.code == Status::BadRequest.code() || reply.code == 501) {
            return Ok(Some("SETUP was not understood"));
        }
        self.check_status(Method::Setup, &reply, text)?;
        if reply.cseq.is_none() && self.form() == RequestForm::Java && more {
            return Ok(Some("the reply's CSeq is not a number"));
        }
        self.answers.answered = reply.cseq == Some(self.cseq);
        self.answers.accepted |= self.answers.answered;
        self.session = reply.session.unwrap_or_else(|| "0".to_owned());
        let has_duration = reply.frames.is_some() || reply.seconds.is_some();
        self.shared.set_movie(Movie {
            frames: reply.frames,
            seconds: reply.seconds,
            // The lab variant whose replies have X-TotalFrames also has the request SEEK.
            seekable: text.to_ascii_lowercase().contains("x-totalframes") && reply.frames.is_some(),
            ..Movie::default()
        });
        if has_duration {
            self.with_element(LabRtspSrc::post_duration_changed);
        }
        Ok(None)
    }

    /// The failure that a reply's status means.
    fn check_status(&self, method: Method, reply: &Reply, text: &str) -> Result<(), Failure> {
        let status = || text.lines().next().unwrap_or_default().trim().to_owned();
        match reply.code {
            200..=299 => Ok(()),
            404 => {
                Err(Failure::NotFound { file: self.target.location.file.clone(), status: status() })
            }
            500 => Err(Failure::ServerError(status())),
            _ => Err(Failure::Refused { method, status: status() }),
        }
    }

    /// Asks for the number of frames, if the reply to SETUP has the exact form of mjpeg-rtsp-server's:
    /// three complete lines. Other servers do not reply to an unknown request, or fail. To requests
    /// without a line end, the reply of a textbook's server has the same form.
    fn describe(&mut self, setup: &str) -> Result<(), Failure> {
        let named = matches!(self.form(), RequestForm::Java | RequestForm::BlankLine);
        let blank = usize::from(self.form() == RequestForm::BlankLine);
        if !named || !setup.ends_with('\n') || setup.lines().count() != 3 + blank {
            return Ok(());
        }
        let text = match self.ask(Method::Describe, DESCRIBE)? {
            ReplyOutcome::Reply(text) => text,
            ReplyOutcome::TooLong => return Err(Failure::ReplyTooLong),
            ReplyOutcome::Nothing | ReplyOutcome::Closed => return Ok(()),
        };
        if let Some(Description { frames, framerate }) = Description::parse(&text) {
            self.shared.set_movie(Movie {
                frames: Some(frames),
                seconds: None,
                framerate: Some(framerate),
                timed: true,
                seekable: true,
            });
            self.with_element(LabRtspSrc::post_duration_changed);
        }
        Ok(())
    }

    fn play(&mut self) -> Result<(), Failure> {
        self.plays = true;
        if self.stage == Stage::Idle {
            return Err(Failure::Closed);
        }
        if self.set_up_at.take().is_none_or(|at| at.elapsed() > AUTOMATIC) {
            self.start_search();
        }
        self.shared.reset_arrived();
        self.with_element(LabRtspSrc::reset_counters);
        self.send_play()
    }

    fn send_play(&mut self) -> Result<(), Failure> {
        let shared = self.shared.clone();
        let limit = self.reply_limit();
        self.send(Method::Play)?;
        let start = Instant::now();
        let answer = match &mut self.connection {
            // RTP without a reply is success.
            Some(connection) => connection.reply(&shared.control, || {
                let enough = shared.is_cancelled() || shared.arrived().packets > 0;
                start + if enough { GRACE.min(limit) } else { limit }
            }),
            None => ReplyOutcome::Closed,
        };
        self.stage = Stage::Playing(Instant::now());
        match answer {
            ReplyOutcome::Reply(text) => {
                let request = (Method::Play, self.cseq);
                self.with_element(|element| messages::reply(element, Some(request), &text));
                // A reply that cannot be parsed may still be followed by RTP.
                let Ok(reply) = Reply::parse(&text) else { return Ok(()) };
                let failure = self.check_status(Method::Play, &reply, &text);
                // A server that misreads this form may refuse PLAY after it has accepted SETUP.
                let may_misread = failure.is_err() && reply.code != Status::NotFound.code();
                if may_misread && !self.understood && self.next_form("PLAY was refused") {
                    return self.play_in_next_form();
                }
                failure
            }
            ReplyOutcome::Nothing => Ok(()),
            ReplyOutcome::TooLong => Err(Failure::ReplyTooLong),
            ReplyOutcome::Closed if self.next_form(CLOSED) => self.play_in_next_form(),
            ReplyOutcome::Closed => Err(Failure::Closed),
        }
    }

    /// Sends SETUP and PLAY in the next form.
    fn play_in_next_form(&mut self) -> Result<(), Failure> {
        self.set_up()?;
        self.play()
    }

    fn pause(&mut self) -> Result<(), Failure> {
        self.plays = false;
        if self.stage == Stage::Idle {
            return Ok(());
        }
        self.stage = Stage::Ready;
        // Some servers do not reply to PAUSE after the movie's end.
        let limit = UNDERSTOOD.min(self.target.timeout);
        match self.ask(Method::Pause, limit)? {
            ReplyOutcome::Closed => Err(Failure::Closed),
            ReplyOutcome::TooLong => Err(Failure::ReplyTooLong),
            ReplyOutcome::Reply(_) | ReplyOutcome::Nothing => Ok(()),
        }
    }

    fn seek(&mut self, fraction: f64) -> bool {
        let cseq = self.cseq + 1;
        let file = &self.target.location.file;
        let text = self.form().write_seek(file, cseq, &self.session, fraction);
        let sent = self.send_text(Method::Seek, &text).is_ok();
        let limit = UNDERSTOOD.min(self.target.timeout);
        let answer =
            if sent { self.receive_reply(Method::Seek, limit) } else { ReplyOutcome::Closed };
        let done = match answer {
            ReplyOutcome::Reply(text) => Reply::parse(&text).is_ok_and(|reply| reply.code == 200),
            ReplyOutcome::Nothing | ReplyOutcome::Closed | ReplyOutcome::TooLong => false,
        };
        if done {
            // Packets that arrive now were sent before the seek.
            let movie = self.shared.movie();
            match (movie.timed, movie.frame_at(fraction), self.shared.socket()) {
                (true, Some(frame), _) => self.shared.await_frame(frame),
                (_, _, Some((socket, _))) => {
                    self.shared.count_ignored(receiver::drain(&socket));
                }
                _ => {}
            }
            self.shared.reset_arrived();
            if let Stage::Playing(since) = &mut self.stage {
                *since = Instant::now();
            }
        } else {
            self.shared.set_movie(Movie { seekable: false, ..self.shared.movie() });
            self.note("the server does not seek");
        }
        done
    }

    /// Ends the session, if there is one.
    fn tear_down(&mut self, wait: Duration) {
        let sent = self.stage != Stage::Idle && self.send(Method::Teardown).is_ok();
        self.shared.set_owes_teardown(false);
        if sent
            && !wait.is_zero()
            && let Some(connection) = &mut self.connection
        {
            let end = Instant::now() + wait;
            let answer = connection.reply(&self.shared.control, || end);
            let request = (Method::Teardown, self.cseq);
            if let ReplyOutcome::Reply(text) = answer {
                self.with_element(|element| messages::reply(element, Some(request), &text));
            }
        }
        self.connection = None;
        self.stage = Stage::Idle;
    }

    /// Keeps the form in use, for this session and the next ones, once RTP has arrived.
    fn remember_form(&mut self) {
        let is_playing = matches!(self.stage, Stage::Playing(_));
        if self.understood || !is_playing || self.shared.arrived().packets == 0 {
            return;
        }
        self.understood = true;
        self.forms.truncate(1);
        let server = (self.target.location.host.clone(), self.target.location.port);
        let mut known = UNDERSTANDS.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(server, self.form());
    }

    /// Reads what the server has sent by itself, and finds out whether the movie has ended.
    fn check(&mut self) -> Result<(), Failure> {
        if self.stage == Stage::Idle {
            return Ok(());
        }
        let control = &self.shared.control;
        let pending = self.connection.as_mut().map(|connection| connection.pending(control));
        let closed = match pending {
            Some(ReplyOutcome::Reply(text)) => {
                self.with_element(|element| messages::reply(element, None, &text));
                false
            }
            Some(ReplyOutcome::Nothing) => false,
            Some(ReplyOutcome::TooLong) => return Err(Failure::ReplyTooLong),
            Some(ReplyOutcome::Closed) | None => true,
        };
        let Stage::Playing(since) = self.stage else {
            return if closed { Err(Failure::Closed) } else { Ok(()) };
        };
        let arrived = self.shared.arrived();
        let Some((header, arrival)) = arrived.last else {
            return self.check_first_packet(since, closed);
        };
        let silence = arrival.elapsed();
        if silence >= END && self.shared.movie().ends_with(&header) {
            self.end();
        } else if silence >= END && closed {
            return Err(Failure::Closed);
        } else if silence >= self.target.timeout {
            let limit = self.target.timeout.as_secs_f64();
            self.note(&format!("no packet for {limit} s: this is taken as the end of the movie"));
            self.end();
        }
        Ok(())
    }

    /// If no packet has arrived since PLAY: tries the next form, fails, or ends the stream when it is time.
    fn check_first_packet(&mut self, since: Instant, closed: bool) -> Result<(), Failure> {
        if !closed && !self.first_packet_wait(since).is_zero() {
            return Ok(());
        }
        if self.forms.len() > 1 && self.next_form("no RTP after PLAY") {
            return self.play_in_next_form();
        }
        if closed {
            return Err(Failure::Closed);
        }
        if self.understood {
            // The server has sent packets before: the movie ended when it was paused.
            self.note("no packet after PLAY: this is taken as the end of the movie");
            self.end();
            return Ok(());
        }
        Err(self.no_rtp())
    }

    /// How much longer to wait for the first packet since PLAY.
    fn first_packet_wait(&self, since: Instant) -> Duration {
        let now = Instant::now();
        if self.understood {
            return (since + self.target.timeout).saturating_duration_since(now);
        }
        let wait = self.share(self.search_end.saturating_duration_since(since));
        (since + wait).saturating_duration_since(now)
    }

    fn end(&mut self) {
        self.stage = Stage::Ready;
        self.shared.end();
    }

    fn send(&mut self, method: Method) -> Result<(), Failure> {
        let location = &self.target.location;
        let name = match self.form() {
            RequestForm::Url => location.rtsp_url(),
            _ => location.file.clone(),
        };
        let text = self.form().write(method, &name, self.cseq + 1, self.rtp_port, &self.session);
        self.send_text(method, &text)
    }

    fn send_text(&mut self, method: Method, text: &str) -> Result<(), Failure> {
        self.cseq += 1;
        let (cseq, form) = (self.cseq, self.form());
        if text.len() >= SERVERS_READ {
            self.note(&format!(
                "{} has {} bytes; most servers read at most 256",
                method.word(),
                text.len()
            ));
        }
        let Some(connection) = &mut self.connection else { return Err(Failure::Closed) };
        // A late reply does not belong to this request.
        let late = connection.pending(&self.shared.control);
        let sent = connection.send(text);
        match late {
            ReplyOutcome::Reply(late) => {
                self.with_element(|element| messages::reply(element, None, &late));
            }
            ReplyOutcome::TooLong => return Err(Failure::ReplyTooLong),
            ReplyOutcome::Nothing | ReplyOutcome::Closed => {}
        }
        self.with_element(|element| messages::request(element, method, cseq, form, text));
        sent.map_err(|_| Failure::Closed)
    }

    fn receive_reply(&mut self, method: Method, limit: Duration) -> ReplyOutcome {
        let shared = self.shared.clone();
        let Some(connection) = &mut self.connection else { return ReplyOutcome::Closed };
        let start = Instant::now();
        let answer = connection.reply(&shared.control, || {
            start + if shared.is_cancelled() { GRACE.min(limit) } else { limit }
        });
        if let ReplyOutcome::Reply(text) = &answer {
            let request = (method, self.cseq);
            self.with_element(|element| messages::reply(element, Some(request), text));
        }
        answer
    }

    fn ask(&mut self, method: Method, limit: Duration) -> Result<ReplyOutcome, Failure> {
        self.send(method)?;
        Ok(self.receive_reply(method, limit))
    }
}
