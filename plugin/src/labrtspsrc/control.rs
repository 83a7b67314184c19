// SPDX-License-Identifier: MIT OR Apache-2.0
//! The thread of the control connection: asks, reads, and finds out what the server understands.

use super::connection::{Answer, Connection, LOOK};
use super::location::{Dialect, Location};
use super::messages::{self, Failure};
use super::shared::{Movie, Shared};
use super::{LabRtspSrc, receiver};
use crate::lab::{Description, Method, Reply, RequestForm, Status};
use gst::glib;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// RTP must come this long after PLAY, or the server has not understood it.
const UNDERSTOOD: Duration = Duration::from_secs(2);

/// How long the answer to TEARDOWN is waited for.
const TEARDOWN: Duration = Duration::from_millis(500);

/// How long a server may take for what only ours answers.
const DESCRIBE: Duration = Duration::from_millis(300);

/// How long an answer is waited for when RTP has come, or the session shall end.
const GRACE: Duration = Duration::from_millis(150);

/// Without packets for this long behind the last frame, the movie is over.
const END: Duration = Duration::from_millis(250);

/// Most servers read this much of a request, once.
const SERVERS_READ: usize = 256;

/// Why another form is tried.
const CLOSED: &str = "the server closed the connection";

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    Setup,
    Play,
    Pause,
    Seek { place: f64, answer: SyncSender<bool> },
    Teardown,
}

/// What is fixed when the element starts.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub location: Location,
    pub rtp_port: u16,
    pub dialect: Dialect,
    pub timeout: Duration,
}

/// The form that each server understood, while the process lives.
static UNDERSTANDS: LazyLock<Mutex<HashMap<(String, u16), RequestForm>>> =
    LazyLock::new(Mutex::default);

/// The stages of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is set up, or all has failed.
    Idle,
    Ready,
    /// Since when.
    Playing(Instant),
}

pub(super) struct Control {
    target: Target,
    shared: Arc<Shared>,
    element: glib::WeakRef<LabRtspSrc>,
    connection: Option<Connection>,
    /// The form in use, then those that are left to try.
    forms: Vec<RequestForm>,
    /// RTP has come for the form in use.
    understood: bool,
    cseq: u64,
    session: String,
    rtp_port: u16,
    stage: Stage,
    /// The application wants frames.
    plays: bool,
    /// The application was told of an error; what it asks for until TEARDOWN is not done.
    failed: bool,
    /// Why the form before this one was given up.
    gave_up: Option<String>,
}

impl Control {
    pub fn new(target: Target, shared: Arc<Shared>, element: glib::WeakRef<LabRtspSrc>) -> Self {
        let server = (target.location.host.clone(), target.location.port);
        let known =
            UNDERSTANDS.lock().unwrap_or_else(PoisonError::into_inner).get(&server).copied();
        let forms = match target.dialect.form() {
            Some(form) => vec![form],
            // Another server may have taken the place of the one that was known.
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
        }
    }

    /// Does what is asked until TEARDOWN.
    pub fn run(mut self, commands: &Receiver<Command>) {
        loop {
            let done = match commands.recv_timeout(LOOK) {
                Ok(Command::Setup) => self.step("open", "SETUP", Self::set_up),
                Ok(Command::Play | Command::Pause) if self.failed => Ok(()),
                Ok(Command::Play) => self.step("request", "PLAY", Self::play),
                Ok(Command::Pause) => self.step("request", "PAUSE", Self::pause),
                Ok(Command::Seek { place, answer }) => {
                    let done = self.seek(place);
                    let _ = answer.send(done);
                    // At the movie's end the server has stopped by itself; ours takes PLAY twice.
                    let stopped = self.stage == Stage::Ready || self.shared.movie().timed;
                    if done && self.plays && stopped { self.send_play() } else { Ok(()) }
                }
                Ok(Command::Teardown) | Err(RecvTimeoutError::Disconnected) => {
                    self.tear_down(TEARDOWN);
                    return;
                }
                Err(RecvTimeoutError::Timeout) => self.look(),
            };
            if let Err(failure) = done {
                self.stage = Stage::Idle;
                self.failed = true;
                if let Some(element) =
                    self.element.upgrade().filter(|_| !self.shared.is_cancelled())
                {
                    failure.post(&element);
                }
            }
        }
    }

    /// One command, with its progress told to the application.
    fn step(
        &mut self,
        code: &str,
        word: &str,
        act: fn(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.tell(|element| messages::progress(element, gst::ProgressType::Start, code, word));
        let done = act(self);
        let (kind, text) = match &done {
            Ok(()) => (gst::ProgressType::Complete, word.to_owned()),
            Err(failure) => (gst::ProgressType::Error, failure.to_string()),
        };
        self.tell(|element| messages::progress(element, kind, code, &text));
        done
    }

    fn tell(&self, tell: impl FnOnce(&LabRtspSrc)) {
        if let Some(element) = self.element.upgrade() {
            tell(&element);
        }
    }

    fn note(&self, text: &str) {
        self.tell(|element| messages::note(element, text));
    }

    fn form(&self) -> RequestForm {
        self.forms.first().copied().unwrap_or(RequestForm::Java)
    }

    /// Goes on to the next form; false if there is none.
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

    /// Connects and sends SETUP, in each form until one is understood.
    fn set_up(&mut self) -> Result<(), Failure> {
        loop {
            self.tear_down(Duration::ZERO);
            let (host, port) = (&self.target.location.host, self.target.location.port);
            let connection = match Connection::open(host, port, self.target.timeout) {
                Ok(connection) => connection,
                Err(error) => {
                    let server = format!("{host}:{port}");
                    return Err(match self.gave_up.take() {
                        Some(why) => Failure::ConnectAgain { server, why, error },
                        None => Failure::Connect(server, error),
                    });
                }
            };
            self.bind(connection.server())?;
            self.connection = Some(connection);
            self.cseq = 0;
            let answer = self.ask(Method::Setup, self.answer_limit());
            let silent = Failure::NoAnswer { method: Method::Setup, limit: self.answer_limit() };
            let (why, failure) = match answer.unwrap_or(Answer::Closed) {
                Answer::Reply(text) => match self.judge_setup(&text)? {
                    None => {
                        self.stage = Stage::Ready;
                        return self.describe(&text);
                    }
                    Some(why) => (why, silent),
                },
                Answer::Nothing => ("no answer to SETUP", silent),
                Answer::Closed => (CLOSED, Failure::Closed),
            };
            if !self.next_form(why) {
                return Err(failure);
            }
        }
    }

    fn answer_limit(&self) -> Duration {
        let searching = self.forms.len() > 1;
        if searching { UNDERSTOOD.min(self.target.timeout) } else { self.target.timeout }
    }

    /// The socket for RTP, which is kept over attempts.
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

    /// Takes in what SETUP's reply says; why it was not understood, if it was not.
    fn judge_setup(&mut self, text: &str) -> Result<Option<&'static str>, Failure> {
        let Ok(reply) = Reply::parse(text) else {
            return Ok(Some("the answer to SETUP is no reply"));
        };
        let more = self.forms.len() > 1;
        if more && (reply.code == Status::BadRequest.code() || reply.code == 501) {
            return Ok(Some("SETUP was not understood"));
        }
        self.judge(Method::Setup, &reply, text)?;
        if reply.cseq.is_none() && self.form() == RequestForm::Java && more {
            return Ok(Some("the reply's CSeq is no number"));
        }
        self.session = reply.session.unwrap_or_else(|| "0".to_owned());
        let told = reply.frames.is_some() || reply.seconds.is_some();
        self.shared.set_movie(Movie {
            frames: reply.frames,
            seconds: reply.seconds,
            // Servers that count for a seek bar have the request for it, by the same author.
            seekable: text.to_ascii_lowercase().contains("x-totalframes") && reply.frames.is_some(),
            ..Movie::default()
        });
        if told {
            self.tell(LabRtspSrc::duration_is_known);
        }
        Ok(None)
    }

    fn judge(&self, method: Method, reply: &Reply, text: &str) -> Result<(), Failure> {
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

    /// Asks for the number of frames, if the reply looks like our server's: three lines, ended.
    /// Other servers give no answer to what they do not know, or worse.
    fn describe(&mut self, setup: &str) -> Result<(), Failure> {
        let named = matches!(
            self.form(),
            RequestForm::Java | RequestForm::Textbook | RequestForm::BlankLine
        );
        let blank = usize::from(self.form() == RequestForm::BlankLine);
        if !named || !setup.ends_with('\n') || setup.lines().count() != 3 + blank {
            return Ok(());
        }
        if let Answer::Reply(text) = self.ask(Method::Describe, DESCRIBE)?
            && let Some(Description { frames, framerate }) = Description::parse(&text)
        {
            self.shared.set_movie(Movie {
                frames: Some(frames),
                seconds: None,
                framerate: Some(framerate),
                timed: true,
                seekable: true,
            });
            self.tell(LabRtspSrc::duration_is_known);
        }
        Ok(())
    }

    fn play(&mut self) -> Result<(), Failure> {
        self.plays = true;
        if self.stage == Stage::Idle {
            return Err(Failure::Closed);
        }
        self.shared.expect_first();
        self.tell(LabRtspSrc::count_afresh);
        self.send_play()
    }

    fn send_play(&mut self) -> Result<(), Failure> {
        let shared = self.shared.clone();
        let limit = self.answer_limit();
        self.send(Method::Play)?;
        let begin = Instant::now();
        let answer = match &mut self.connection {
            // No reply, but RTP, is success.
            Some(connection) => connection.reply(limit, || {
                shared.is_cancelled() || begin.elapsed() > GRACE && shared.arrived().packets > 0
            }),
            None => Answer::Closed,
        };
        self.stage = Stage::Playing(Instant::now());
        match answer {
            Answer::Reply(text) => {
                let asked = (Method::Play, self.cseq);
                self.tell(|element| messages::reply(element, Some(asked), &text));
                match Reply::parse(&text) {
                    Ok(reply) => self.judge(Method::Play, &reply, &text),
                    Err(_) => Ok(()),
                }
            }
            Answer::Nothing => Ok(()),
            Answer::Closed if self.next_form(CLOSED) => self.again(),
            Answer::Closed => Err(Failure::Closed),
        }
    }

    /// SETUP and PLAY in the next form.
    fn again(&mut self) -> Result<(), Failure> {
        self.set_up()?;
        self.play()
    }

    fn pause(&mut self) -> Result<(), Failure> {
        self.plays = false;
        if self.stage == Stage::Idle {
            return Ok(());
        }
        self.stage = Stage::Ready;
        // Some servers do not answer a PAUSE of what has ended.
        let limit = UNDERSTOOD.min(self.target.timeout);
        match self.ask(Method::Pause, limit)? {
            Answer::Closed => Err(Failure::Closed),
            Answer::Reply(_) | Answer::Nothing => Ok(()),
        }
    }

    fn seek(&mut self, place: f64) -> bool {
        let cseq = self.cseq + 1;
        let file = &self.target.location.file;
        let text = self.form().write_seek(file, cseq, &self.session, place);
        let sent = self.send_text(Method::Seek, &text).is_ok();
        let limit = UNDERSTOOD.min(self.target.timeout);
        let answer = if sent { self.wait(Method::Seek, limit) } else { Answer::Closed };
        let done = match answer {
            Answer::Reply(text) => Reply::parse(&text).is_ok_and(|reply| reply.code == 200),
            Answer::Nothing | Answer::Closed => false,
        };
        if done {
            // What is under way was sent before the seek.
            let movie = self.shared.movie();
            match (movie.timed, movie.frame_at(place), self.shared.socket()) {
                (true, Some(frame), _) => self.shared.await_frame(frame),
                (_, _, Some((socket, _))) => receiver::drain(&socket),
                _ => {}
            }
            self.shared.expect_first();
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
        if sent
            && !wait.is_zero()
            && let Some(connection) = &mut self.connection
        {
            let answer = connection.reply(wait, || false);
            let asked = (Method::Teardown, self.cseq);
            if let Answer::Reply(text) = answer {
                self.tell(|element| messages::reply(element, Some(asked), &text));
            }
        }
        self.connection = None;
        self.stage = Stage::Idle;
    }

    /// What happens without being asked for.
    fn look(&mut self) -> Result<(), Failure> {
        if self.stage == Stage::Idle {
            return Ok(());
        }
        let closed = match self.connection.as_mut().map(Connection::pending) {
            Some(Answer::Reply(text)) => {
                self.tell(|element| messages::reply(element, None, &text));
                false
            }
            Some(Answer::Nothing) => false,
            Some(Answer::Closed) | None => true,
        };
        let Stage::Playing(since) = self.stage else {
            return if closed { Err(Failure::Closed) } else { Ok(()) };
        };
        let arrived = self.shared.arrived();
        let Some((header, when)) = arrived.last else { return self.nothing_yet(since, closed) };
        if !self.understood {
            self.understood = true;
            self.forms.truncate(1);
            let server = (self.target.location.host.clone(), self.target.location.port);
            let mut known = UNDERSTANDS.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(server, self.form());
        }
        let silence = when.elapsed();
        if silence > END && self.shared.movie().ends_with(&header) {
            self.end();
        } else if silence > END && closed {
            return Err(Failure::Closed);
        } else if silence > self.target.timeout {
            let limit = self.target.timeout.as_secs_f64();
            self.note(&format!("no packet for {limit} s: taken for the end of the movie"));
            self.end();
        }
        Ok(())
    }

    fn nothing_yet(&mut self, since: Instant, closed: bool) -> Result<(), Failure> {
        let searching = self.forms.len() > 1;
        let limit = self.answer_limit();
        if !closed && since.elapsed() < limit {
            return Ok(());
        }
        if searching && self.next_form("no RTP after PLAY") {
            return self.again();
        }
        if closed {
            return Err(Failure::Closed);
        }
        if self.understood {
            // It has sent before: it has come to its end while it was paused.
            self.note("no packet after PLAY: taken for the end of the movie");
            self.end();
            return Ok(());
        }
        Err(Failure::NoRtp { port: self.rtp_port, limit })
    }

    fn end(&mut self) {
        self.stage = Stage::Ready;
        self.shared.ended.store(true, Ordering::SeqCst);
    }

    fn send(&mut self, method: Method) -> Result<(), Failure> {
        let file = &self.target.location.file;
        let text = self.form().write(method, file, self.cseq + 1, self.rtp_port, &self.session);
        self.send_text(method, &text)
    }

    fn send_text(&mut self, method: Method, text: &str) -> Result<(), Failure> {
        self.cseq += 1;
        let (cseq, form) = (self.cseq, self.form());
        if text.len() >= SERVERS_READ {
            self.note(&format!(
                "{} takes {} bytes; most servers read 256 at the most",
                method.word(),
                text.len()
            ));
        }
        let Some(connection) = &mut self.connection else { return Err(Failure::Closed) };
        // Late replies are not this request's.
        let late = connection.pending();
        let sent = connection.send(text);
        if let Answer::Reply(late) = late {
            self.tell(|element| messages::reply(element, None, &late));
        }
        self.tell(|element| messages::request(element, method, cseq, form, text));
        sent.map_err(|_| Failure::Closed)
    }

    fn wait(&mut self, method: Method, limit: Duration) -> Answer {
        let shared = self.shared.clone();
        let Some(connection) = &mut self.connection else { return Answer::Closed };
        let begin = Instant::now();
        let answer = connection.reply(limit, || shared.is_cancelled() && begin.elapsed() > GRACE);
        if let Answer::Reply(text) = &answer {
            let asked = (method, self.cseq);
            self.tell(|element| messages::reply(element, Some(asked), text));
        }
        answer
    }

    fn ask(&mut self, method: Method, limit: Duration) -> Result<Answer, Failure> {
        self.send(method)?;
        Ok(self.wait(method, limit))
    }
}
