// SPDX-License-Identifier: MIT OR Apache-2.0
//! One run of the client: starts it, answers its requests, presses its buttons, and records all of it.

use super::Job;
use super::driver::{Action, Driver, Drivers, Settings};
use super::evidence::{Name, Run, Step, Visibility};
use super::peer::{Peer, PeerEvent};
use super::picture::{PictureKind, identify};
use super::requests::Received;
use super::sender::{self, Sender};
use super::sockets::is_open;
use crate::clock::{Clock, Deadline, ExtraTime, MAX_WAIT_GROWTH, Sample, StallMeter, WAITS};
use crate::net::ReservedPort;
use crate::process::{CommandLine, LaunchError, Program, ProgramOutput};
use crate::recording::{Entry, Event, Recording};
use anyhow::{Context as _, Result};
use gstmjpegfile::lab::{Method, Request, Status};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Time between two checks of the program.
const POLL: Duration = Duration::from_millis(10);

/// Time between two measurements of how busy the machine is, while a program starts.
const START_STEP: Duration = Duration::from_millis(500);

/// How long nothing must follow a button that should do nothing.
const QUIET: Duration = Duration::from_millis(250);

/// How often a button is pressed at most.
const ATTEMPTS: usize = 2;

/// How long it takes to answer a question of the client.
const QUESTION: Duration = Duration::from_secs(4);

/// How long a client that is slow may take to read a reply.
const SETTLED: Duration = Duration::from_millis(700);

/// How long a client may take to read a reply, and by how much more at most on a busy machine.
const READING: Duration = Duration::from_millis(120);
const MAX_READING: Duration = MAX_WAIT_GROWTH;

/// The shortest time between two replies.
const APART: Duration = Duration::from_millis(50);

/// How long to wait for a client to read a reply before the next one, or the movie, is sent. On a busy machine it is
/// longer.
const UNREAD: Duration = Duration::from_millis(120);

/// The most requests that wait for that: a client that floods gets its replies at once.
const MAX_APART: usize = 3;

/// What takes a client no time otherwise takes this multiple of the longest delay of this machine.
const STALLS: u32 = 20;

/// The most by which a limit grows.
const MAX_GROWTH: Duration = Duration::from_secs(8);

/// The most requests that are kept.
const MAX_REQUESTS: usize = 500;

/// What all runs share.
pub struct Context<'a> {
    /// What is graded.
    pub job: &'a Job<'a>,
    /// What presses buttons.
    pub drivers: &'a Drivers,
    /// The movie that is sent.
    pub movie: &'a crate::movie::Movie,
    /// The time of the run.
    pub clock: Clock,
    /// The time of all runs, before `growth` and `extra` are added.
    pub total: Duration,
    /// The end of it.
    pub end: Deadline,
    /// How much later it ends on a busy machine.
    pub growth: Cell<Duration>,
    /// The time that programs got beyond limits.
    pub extra: ExtraTime,
    /// How late this machine wakes threads.
    pub stalls: StallMeter,
    /// The number of runs so far.
    pub runs: Cell<u32>,
    /// What the program printed in the most informative run.
    pub output: std::cell::RefCell<Option<ProgramOutput>>,
    /// Notes of drivers.
    pub notes: std::cell::RefCell<Vec<String>>,
}

impl Context<'_> {
    /// A time limit that is longer on a machine that is busy.
    pub fn limit(&self, limit: Duration) -> Duration {
        limit + self.late().min(MAX_GROWTH)
    }

    /// The end of all runs. Once it is over it changes only in [`Self::grow`], so that it is known which run was cut
    /// off.
    pub fn deadline(&self) -> Deadline {
        self.end.later(self.later())
    }

    /// How much later all runs end on a busy machine.
    pub fn later(&self) -> Duration {
        self.growth.get() + self.extra.total()
    }

    /// Makes the end later if the machine is busy.
    pub fn grow(&self) {
        self.growth.set(self.stall() * WAITS);
    }

    /// How much longer a client may take on a busy machine for what takes it no time otherwise.
    fn stall(&self) -> Duration {
        self.late().min(MAX_READING)
    }

    /// How long it probably takes now.
    fn late(&self) -> Duration {
        self.stalls.worst() * STALLS
    }
}

/// How requests are answered.
#[derive(Debug, Clone)]
pub struct Policy {
    /// SETUP.
    pub setup: Status,
    /// PLAY.
    pub play: Status,
    /// How long each reply takes.
    pub delay: Duration,
    /// What is sent.
    pub frames: Vec<sender::Step>,
}

/// The states of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Init,
    Ready,
    Playing,
}

/// A run.
pub struct Session<'a> {
    context: &'a Context<'a>,
    driver: Box<dyn Driver + 'a>,
    program: Program,
    peer: Peer,
    sender: Sender,
    reserved: ReservedPort,
    recording: Recording,
    policy: Policy,
    state: State,
    /// Requests whose replies are due.
    pending: Vec<(Instant, usize)>,
    /// The connection of the last reply, and when it was sent.
    replied: Option<(usize, Instant)>,
    /// Where the movie is sent as soon as the client has read the reply to PLAY.
    starting: Option<SocketAddr>,
    /// What is known so far.
    pub run: Run,
}

impl<'a> Session<'a> {
    /// Starts the client, and waits until it can be driven.
    ///
    /// # Errors
    /// If the program cannot be started, or this machine lacks what it takes.
    pub fn start(context: &'a Context<'a>, title: &'static str, policy: Policy) -> Result<Self> {
        let (job, clock) = (context.job, context.clock);
        let settings = Settings { lab: &job.profile.client, clock };
        let driver = context.drivers.driver(&settings)?;
        let peer = Peer::start(clock).context("cannot listen at 127.0.0.1")?;
        let reserved = ReservedPort::udp().context("no UDP port is free")?;
        let (port, rtp_port) = (peer.port.to_string(), reserved.port.to_string());
        let values = [
            ("host", "127.0.0.1"),
            ("port", &*port),
            ("rtp_port", &*rtp_port),
            ("movie", &*job.movie),
        ];
        let line = CommandLine::parse(&job.command, &values)?;
        let launch_options = driver.launch_options().within(job.wrapper);
        let program = Program::start_in(&line, job.folder, &launch_options);
        let program = program.map_err(|error: LaunchError| anyhow::Error::from(error))?;
        let sender = Sender::start(clock, context.movie, &job.profile.lab, policy.frames.clone())?;
        context.runs.set(context.runs.get() + 1);
        let visibility = match (driver.sees_pictures(), driver.sees_all()) {
            (false, _) => Visibility::None,
            (true, false) => Visibility::Some,
            (true, true) => Visibility::All,
        };
        let run = Run {
            rtp_port: reserved.port,
            // Another one in each run, and the same each time.
            session: 100_000 + context.runs.get() * 137_911 % 900_000,
            visibility,
            ..Run::default()
        };
        let mut session = Self {
            context,
            driver,
            program,
            peer,
            sender,
            reserved,
            recording: Recording { title, ..Recording::default() },
            policy,
            state: State::Init,
            pending: Vec::new(),
            replied: None,
            starting: None,
            run,
        };
        session.driver.announce(title);
        session.action("the client is started".to_owned());
        let terminal = session.program.terminal();
        session.driver.attach(terminal);
        let is_ready = session.wait_until_ready();
        if session.run.ended.is_some() || !is_ready {
            session.run.not_ready = Some(match &session.run.ended {
                Some((_, how)) => format!("the program ended with {how}"),
                None => session.driver.not_ready(),
            });
        }
        Ok(session)
    }

    /// Waits until buttons can be pressed, or the program has ended. Returns whether one of them is the case.
    fn wait_until_ready(&mut self) -> bool {
        let context = self.context;
        let started = Instant::now();
        let mut sample = Sample::now(self.program.processor_time());
        let mut extra = Duration::ZERO;
        loop {
            let is_ready =
                self.try_serve(START_STEP, |it| it.run.ended.is_some() || it.driver.is_ready());
            // How busy the machine is shows while the program starts.
            let time = self.program.processor_time();
            context.stalls.note(time);
            if is_ready || context.deadline().is_over() {
                return is_ready;
            }
            if started.elapsed() >= context.limit(context.job.profile.time.start) + extra {
                let more = context.extra.give(&mut sample, time);
                if more.is_zero() {
                    return false;
                }
                extra += more;
            }
        }
    }

    /// Whether buttons can be pressed.
    pub fn is_ready(&self) -> bool {
        self.run.not_ready.is_none()
    }

    fn record(&mut self, at: Duration, connection: usize, event: Event) -> usize {
        self.recording.entries.push(Entry { at, connection, event });
        self.recording.entries.len() - 1
    }

    fn action(&mut self, text: String) {
        self.record(self.context.clock.now(), 0, Event::Action(text));
    }

    /// Remembers the time now.
    pub fn mark(&mut self, name: Name) {
        self.run.times.insert(name, self.context.clock.now());
    }

    /// Answers requests until something is true, or for at most some time, which is longer for a program that waits
    /// for a processor. Returns whether it became true.
    pub fn serve(&mut self, mut time: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let mut start = Sample::now(self.program.processor_time());
        while !self.try_serve(time, &mut done) {
            if self.context.deadline().is_over() {
                return false;
            }
            time = self.context.extra.give(&mut start, self.program.processor_time());
            if time.is_zero() {
                return false;
            }
        }
        true
    }

    /// Answers requests until something is true, or for at most some time. Returns whether it became true.
    fn try_serve(&mut self, time: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let limit = self.context.deadline().limit(time);
        loop {
            self.look();
            self.send_due();
            self.start_movie();
            if done(self) {
                return true;
            }
            let now = Instant::now();
            if now >= limit {
                return false;
            }
            let due = self.pending.iter().map(|(due, _)| *due).min();
            // A reply that is due may wait until the one before it has been read.
            let due = due.filter(|due| *due > now).unwrap_or(limit);
            let until = due.min(limit).min(now + POLL);
            if let Some(event) = self.peer.next(until) {
                self.handle(event);
            }
        }
    }

    /// Answers requests for some time.
    pub fn watch(&mut self, time: Duration) {
        self.try_serve(time, |_| false);
    }

    /// Looks at the pictures and at the program.
    fn look(&mut self) {
        let pictures = self.driver.pictures();
        if !pictures.is_empty() {
            let sent = self.sender.frames();
            for picture in pictures {
                // Pictures that are not frames take long, and a client may report any number of them.
                if self.context.deadline().is_over() {
                    break;
                }
                self.run.shown.push(identify(picture, self.context.movie, &sent));
            }
        }
        for (at, text) in self.driver.messages() {
            self.record(at, 0, Event::Action(format!("the client shows a message: {text}")));
        }
        if self.run.ended.is_none()
            && let Some(how) = self.program.has_ended()
        {
            self.action(format!("the program ended with {how}"));
            self.run.ended = Some((self.context.clock.now(), how));
        }
    }

    fn handle(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Connected(connection, at) => {
                self.run.connected.get_or_insert(at);
                self.record(at, connection, Event::Connected);
            }
            PeerEvent::Closed(connection, at) => {
                self.run.times.insert("closed", at);
                self.record(at, connection, Event::ClosedThere);
            }
            PeerEvent::Request(request) if self.run.requests.len() < MAX_REQUESTS => {
                self.take(request);
            }
            PeerEvent::Request(_) => {}
        }
    }

    fn take(&mut self, mut request: Received) {
        let event = Event::Request {
            method: request.method.unwrap_or(Method::Options),
            cseq: request.cseq.unwrap_or(0),
            bytes: request.text.clone().into_bytes(),
        };
        request.entry = self.record(request.at, request.connection, event);
        // The sender stops at once: what follows PAUSE was on its way.
        if matches!(request.method, Some(Method::Pause | Method::Teardown)) {
            self.stop_movie();
        }
        self.run.requests.push(request);
        let number = self.run.requests.len() - 1;
        // See `waits_for_reader`. What the client does with a reply takes it time too.
        let last = self.pending.iter().map(|(due, _)| *due).max();
        let last = last.or(self.replied.map(|(_, at)| at));
        let apart = last.map(|at| at + APART).filter(|_| self.pending.len() < MAX_APART);
        let due = Instant::now() + self.policy.delay;
        self.pending.push((apart.map_or(due, |apart| due.max(apart)), number));
        self.send_due();
    }

    fn send_due(&mut self) {
        let now = Instant::now();
        while let Some(at) = self.pending.iter().position(|(due, _)| *due <= now) {
            if self.waits_for_reader() {
                return;
            }
            let (_, number) = self.pending.remove(at);
            self.reply(number);
        }
    }

    /// Whether the next reply must wait, since the client has not read the last one. Replies that come together are
    /// read at once by the lab's clients, which use the first one only.
    fn waits_for_reader(&self) -> bool {
        self.pending.len() <= MAX_APART && self.is_reading()
    }

    /// Whether the client has not read the last reply, and has time to do so.
    fn is_reading(&self) -> bool {
        let limit = UNREAD + self.stall();
        self.replied.is_some_and(|(connection, at)| {
            at.elapsed() < limit && self.peer.has_unread(connection)
        })
    }

    /// Starts the movie after PLAY. A client whose threads wait for a processor may receive packets long before the
    /// reply that leads to PLAYING, and leaves them out.
    fn start_movie(&mut self) {
        if let Some(to) = self.starting
            && !self.is_reading()
        {
            self.starting = None;
            self.sender.play(to);
        }
    }

    fn stop_movie(&mut self) {
        self.starting = None;
        self.sender.pause();
    }

    /// Answers a request, as the state has it.
    fn reply(&mut self, number: usize) {
        let Some(request) = self.run.requests.get(number).cloned() else { return };
        let refused = Status::MethodNotValidInThisState;
        let (status, next) = match (request.method, self.state) {
            (Some(Method::Setup), State::Init) => (self.policy.setup, State::Ready),
            (Some(Method::Play), State::Ready) => (self.policy.play, State::Playing),
            (Some(Method::Pause), State::Playing) => (Status::Ok, State::Ready),
            (Some(Method::Teardown), _) => (Status::Ok, State::Init),
            (Some(Method::Setup | Method::Play | Method::Pause), state) => (refused, state),
            (_, state) => (Status::NotImplemented, state),
        };
        // Without a readable number, the one that it should have.
        let previous = self.run.requests.get(..number).unwrap_or_default().last();
        let expected = previous.and_then(|it| it.cseq).unwrap_or(0).saturating_add(1);
        let cseq = request.cseq.unwrap_or(expected);
        let text = status.write(cseq, self.run.session, request.line_format());
        // The client may act before this thread goes on.
        let at = self.context.clock.now();
        let sent = self.peer.send(request.connection, text.as_bytes());
        self.replied = Some((request.connection, Instant::now()));
        if sent {
            let to = request.method.map(|method| (method, cseq));
            self.record(at, request.connection, Event::Reply { to, bytes: text.into_bytes() });
        }
        if status != Status::Ok {
            // The next attempt works.
            match request.method {
                Some(Method::Setup) => self.policy.setup = Status::Ok,
                Some(Method::Play) if self.state == State::Ready => self.policy.play = Status::Ok,
                _ => {}
            }
            self.run.times.entry("refused").or_insert(at);
            return;
        }
        self.state = next;
        if let Some(request) = self.run.requests.get_mut(number) {
            request.ok_at = Some(at);
        }
        match request.method {
            Some(Method::Play) => {
                let host = self.peer.host(request.connection);
                self.starting = Some(SocketAddr::new(host, self.target(&request)));
            }
            Some(Method::Pause | Method::Teardown) => self.stop_movie(),
            _ => {}
        }
    }

    /// The port to send to: that of the command line, or, if the client has opened another one, which it
    /// stated, that one.
    fn target(&self, _: &Received) -> u16 {
        let own = self.reserved.port;
        let setup = self.run.requests.iter().find(|it| it.method == Some(Method::Setup));
        let stated = setup.and_then(|it| Request::parse(&it.text).ok()).and_then(|it| it.rtp_port);
        stated.filter(|port| *port != own && !is_open(own) && is_open(*port)).unwrap_or(own)
    }

    /// Does what a user does, and waits for the request that should follow. Returns whether it came.
    ///
    /// A client that is slow may not have read the reply before: the button is pressed once more.
    pub fn press(&mut self, name: Name, action: Action, expected: Method) -> bool {
        // The client may ask whether the user is sure.
        let question = if action == Action::Close { QUESTION } else { Duration::ZERO };
        let limit = self.request_limit() + question;
        let from = self.run.requests.len();
        let is_expected = move |it: &Received| it.method == Some(expected);
        for attempt in 0..ATTEMPTS {
            let first = self.run.step(name).map(|it| it.at).filter(|_| attempt > 0);
            self.act(name, action, true, limit);
            self.serve(limit, |it| {
                let new = it.run.requests.get(from..).unwrap_or_default();
                new.iter().any(is_expected) || it.run.ended.is_some() && it.is_closed()
            });
            let new = self.run.requests.get(from..).unwrap_or_default();
            let request = new.iter().position(is_expected).map(|at| from + at);
            let now = self.context.clock.now();
            if let Some(step) = self.run.steps.get_mut(name) {
                (step.request, step.until) = (request, now);
                step.at = first.unwrap_or(step.at);
            }
            let is_over = self.driver.must_be_done() || self.run.ended.is_some();
            if request.is_some() || is_over || action == Action::Close {
                break;
            }
        }
        self.run.request_of(name).is_some()
    }

    fn request_limit(&self) -> Duration {
        let limit = self.driver.request_limit().unwrap_or(self.context.job.profile.client.request);
        self.context.limit(limit)
    }

    /// Presses a button that should do nothing.
    ///
    /// A client that is slow may not have read the reply before: what it sends counts if it sends it again.
    pub fn press_in_vain(&mut self, name: Name, action: Action) {
        let limit = self.request_limit();
        for attempt in 0..ATTEMPTS {
            let from = self.run.requests.len();
            self.act(name, action, false, limit);
            let done = self.serve(limit, |it| it.driver.is_done());
            if !done && self.driver.must_be_done() {
                self.failed(name, "it was not done in time".to_owned());
            }
            self.watch(QUIET + self.stall());
            let now = self.context.clock.now();
            if let Some(step) = self.run.steps.get_mut(name) {
                step.until = now;
            }
            if self.run.requests.len() == from || self.driver.must_be_done() {
                break;
            }
            if attempt + 1 < ATTEMPTS {
                self.watch(SETTLED);
            }
        }
    }

    /// Does what a user does, without waiting.
    pub fn act(&mut self, name: Name, action: Action, expects: bool, limit: Duration) {
        let at = self.context.clock.now();
        self.action(action.describe().to_owned());
        let step = Step { action, at, until: Duration::MAX, request: None, limit, error: None };
        self.run.steps.insert(name, step);
        if let Err(error) = self.driver.act(action, expects) {
            self.failed(name, error);
        }
    }

    fn failed(&mut self, name: Name, error: String) {
        if let Some(step) = self.run.steps.get_mut(name) {
            step.error = Some(error);
        }
    }

    /// Whether the program has done what was pressed last, to the extent that this is known.
    pub fn is_done(&mut self) -> bool {
        self.driver.is_done()
    }

    /// Whether all replies have been sent.
    pub fn has_replied(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether the control connection is closed.
    pub fn is_closed(&self) -> bool {
        let count = |test: fn(&Event) -> bool| {
            self.recording.entries.iter().filter(|it| test(&it.event)).count()
        };
        let connected = count(|it| matches!(it, Event::Connected));
        connected > 0 && connected == count(|it| matches!(it, Event::ClosedThere))
    }

    /// Whether the RTP port is open.
    pub fn is_port_open(&self) -> bool {
        is_open(self.reserved.port)
    }

    /// The number of steps of the sender that are done.
    pub fn steps_sent(&self) -> usize {
        self.sender.steps_done()
    }

    /// The last frame that was shown.
    pub fn last_shown(&self) -> Option<usize> {
        let frame = |it: &super::picture::Shown| match it.kind {
            PictureKind::Frame(frame) => Some(frame),
            _ => None,
        };
        self.run.shown.iter().rev().find_map(frame)
    }

    /// The last frame that was sent.
    pub fn last_sent(&self) -> Option<usize> {
        self.sender.frames().last().map(|it| it.frame)
    }

    /// What the job asks for.
    pub fn profile(&self) -> &'a crate::profile::Profile {
        self.context.job.profile
    }

    /// How long a client takes to read a reply.
    pub fn reading_time(&self) -> Duration {
        READING + self.stall() / 2
    }

    /// How much longer a client may take on a busy machine for what takes it no time otherwise.
    fn stall(&self) -> Duration {
        self.context.stall()
    }

    /// A limit that is longer on a busy machine.
    pub fn limit(&self, time: Duration) -> Duration {
        self.context.limit(time)
    }

    /// Ends the program; returns what is known about the run.
    pub fn finish(mut self, recordings: &mut Vec<Recording>) -> Run {
        self.look();
        let texts = self.driver.texts();
        self.context.notes.borrow_mut().extend(self.driver.notes());
        self.run.sent = self.sender.frames();
        self.run.stall = self.context.stalls.worst() * 2;
        let packets = self.sender.packets();
        let bytes = packets.iter().map(|it| it.length.saturating_sub(12)).sum();
        self.run.sent_packets = (packets.len(), bytes);
        self.recording.packets = packets;
        self.recording.entries.sort_by_key(|entry| entry.at);
        let output = self.program.end();
        self.run.texts = format!("{}\n{texts}", output.text);
        keep(&mut self.context.output.borrow_mut(), output);
        // Entries were sorted: requests are found again.
        let entries = self.recording.entries.iter().enumerate();
        let numbers: Vec<usize> = entries
            .filter(|(_, it)| matches!(it.event, Event::Request { .. }))
            .map(|(number, _)| number)
            .collect();
        let mut order: Vec<usize> = (0..self.run.requests.len()).collect();
        order.sort_by_key(|at| self.run.requests.get(*at).map(|it| it.at));
        for (request, number) in order.into_iter().zip(numbers) {
            if let Some(request) = self.run.requests.get_mut(request) {
                request.entry = number;
            }
        }
        self.run.recording = recordings.len();
        recordings.push(self.recording);
        self.run
    }
}

/// Keeps the output of the most informative run: that of a program that failed.
fn keep(kept: &mut Option<ProgramOutput>, output: ProgramOutput) {
    let says_more = |it: &ProgramOutput| it.text.contains("Traceback");
    if kept.as_ref().is_none_or(|kept| !says_more(kept) && says_more(&output)) {
        *kept = Some(output);
    }
}
