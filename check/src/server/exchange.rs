// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client that speaks with a server, and records the exchange.

use super::Job;
use crate::clock::{Clock, Deadline, ExtraTime, MAX_WAIT_GROWTH, Sample, StallMeter, WAITS};
use crate::net::{Control, Receivers, ReplyBytes};
use crate::processes::ProcessorTime;
use crate::recording::{Entry, Event, Recording};
use gstmjpegfile::lab::{Method, Reply};
use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

/// Time between two attempts to connect to a program that starts.
const RETRY: Duration = Duration::from_millis(20);

/// A limit grows by this multiple of the longest delay of this machine.
const STALLS: u32 = 4;

/// What all exchanges of a run share.
pub struct Context<'a> {
    /// What is graded.
    pub job: &'a Job<'a>,
    /// The time of the run.
    pub clock: Clock,
    /// Its end, before the following two times are added.
    pub end: Deadline,
    /// How much later it ends on a busy machine.
    pub busy: Cell<Duration>,
    /// The time that the program got beyond limits.
    pub extra: ExtraTime,
    /// How late this machine wakes threads.
    pub stalls: StallMeter,
    /// Whether a reply had a number that no request without a reply has. The numbers of such a server do not
    /// say which request a reply belongs to.
    pub misnumbers: Cell<bool>,
}

impl Context<'_> {
    /// The longest delay of this machine so far.
    pub fn stall(&self) -> Duration {
        self.stalls.worst()
    }

    /// The end of the run.
    pub fn deadline(&self) -> Deadline {
        self.end.later(self.growth())
    }

    /// How much later the run ends, on a busy machine and because the program waited for a processor.
    pub fn growth(&self) -> Duration {
        self.busy.get() + self.extra.total()
    }

    /// Makes the end later if the machine is busy: the waits of the exchanges are longer.
    pub fn grow(&self) {
        self.busy.set(self.limit(Duration::ZERO) * WAITS);
    }

    /// What the program has got of the processors.
    fn sample(&self) -> Sample {
        Sample::now(self.processor_time())
    }

    fn processor_time(&self) -> ProcessorTime {
        let program = self.job.program.map(|program| program.borrow().processor_time());
        program.unwrap_or_default()
    }

    /// The time to wait longer at the end of a wait since `start`, which becomes now.
    fn extra(&self, start: &mut Sample) -> Duration {
        if self.job.program.is_none() || self.deadline().is_over() {
            return Duration::ZERO;
        }
        self.extra.give(start, self.processor_time())
    }

    /// Measures how long the program has waited for a processor, which makes limits longer.
    fn measure_program(&self) {
        self.stalls.note(self.processor_time());
    }

    /// A time limit that is longer on a busy machine.
    pub fn limit(&self, limit: Duration) -> Duration {
        limit + (self.stall() * STALLS).min(MAX_WAIT_GROWTH)
    }
}

/// Why a request got no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReply {
    /// Nothing arrived.
    Silence,
    /// The server closed the connection.
    Closed,
    /// The reply did not end.
    TooLong,
}

impl NoReply {
    /// In words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Silence => "no reply",
            Self::Closed => "the server closed the connection",
            Self::TooLong => "over 64 KiB without an end",
        }
    }
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedReply {
    /// When its last byte arrived.
    pub at: Duration,
    /// The number of its entry in the recording.
    pub entry: usize,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl ReceivedReply {
    /// As text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Its fields, in any form that was seen; `None` if it is not a reply.
    pub fn fields(&self) -> Option<Reply> {
        Reply::parse(&self.text()).ok()
    }
}

/// A request and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestOutcome {
    /// The method.
    pub method: Method,
    /// The sequence number.
    pub cseq: u64,
    /// When it was sent.
    pub sent_at: Duration,
    /// The reply, if there was one.
    pub reply: Option<ReceivedReply>,
    /// Why there is no reply.
    pub no_reply: Option<NoReply>,
}

impl RequestOutcome {
    /// The status code of the reply.
    pub fn code(&self) -> Option<u16> {
        Some(self.reply.as_ref()?.fields()?.code)
    }

    /// Whether the reply is 200.
    pub fn is_ok(&self) -> bool {
        self.code() == Some(200)
    }

    /// When the server has certainly read the request: when its reply arrived, otherwise when the request was sent.
    pub fn read_at(&self) -> Duration {
        self.reply.as_ref().map_or(self.sent_at, |reply| reply.at)
    }
}

/// One client of the server.
pub struct Client {
    control: Control,
    connection: usize,
    /// The number of its RTP port in the recording, and the port.
    pub rtp: (usize, u16),
    cseq: u64,
    session: String,
    /// Requests without a reply: it may be late.
    unanswered: Vec<(Method, u64)>,
    /// Whether the connection is closed.
    pub closed: bool,
}

/// Records an exchange.
pub struct Recorder<'a> {
    /// What all exchanges share.
    pub context: &'a Context<'a>,
    recording: Recording,
    receivers: Option<Receivers>,
    connections: usize,
}

impl<'a> Recorder<'a> {
    /// Starts an exchange.
    pub fn new(context: &'a Context<'a>, title: &'static str) -> Self {
        let recording = Recording { title, ..Recording::default() };
        Self { context, recording, receivers: None, connections: 0 }
    }

    fn record(&mut self, connection: usize, event: Event) -> usize {
        let at = self.context.clock.now();
        self.recording.entries.push(Entry { at, connection, event });
        self.recording.entries.len() - 1
    }

    /// Connects, within the time of a reply.
    ///
    /// # Errors
    /// If the server does not accept, or no RTP port can be opened.
    pub fn connect(&mut self) -> io::Result<Client> {
        self.connect_within(self.context.job.profile.time.reply, None)
    }

    /// Connects for the first time, within the time that a program may take to start.
    ///
    /// # Errors
    /// See [`Self::connect`].
    pub fn connect_first(&mut self) -> io::Result<Client> {
        let time = &self.context.job.profile.time;
        let starts = self.context.job.program.is_some();
        self.connect_within(if starts { time.start } else { time.reply }, None)
    }

    /// Connects again, with the same RTP port as another client.
    ///
    /// # Errors
    /// See [`Self::connect`].
    pub fn connect_as(&mut self, client: &Client) -> io::Result<Client> {
        self.connect_within(self.context.job.profile.time.reply, Some(client.rtp))
    }

    /// Connects within a time, which is longer for a program that waits for a processor.
    fn connect_within(&mut self, limit: Duration, rtp: Option<(usize, u16)>) -> io::Result<Client> {
        let job = self.context.job;
        let started = Instant::now();
        let mut sample = self.context.sample();
        let mut extra = Duration::ZERO;
        let control = loop {
            // How busy the machine is shows while the program starts.
            let left = (self.context.limit(limit) + extra).saturating_sub(started.elapsed());
            let until = self.context.deadline().limit(left);
            match Control::connect(job.address, until) {
                Ok(control) => break control,
                Err(error) => {
                    let ended = job.program.map(|program| program.borrow_mut().has_ended());
                    // A program that has just been started does not listen yet.
                    if !matches!(ended, Some(None)) {
                        return Err(error);
                    }
                    if Instant::now() >= until {
                        let more = self.context.extra(&mut sample);
                        if more.is_zero() {
                            return Err(error);
                        }
                        extra += more;
                    }
                    std::thread::sleep(RETRY);
                    self.context.measure_program();
                }
            }
        };
        self.context.measure_program();
        let connection = self.connections;
        self.connections += 1;
        self.record(connection, Event::Connected);
        let rtp = match rtp {
            Some(rtp) => rtp,
            None => self.receivers(control.local()?.ip()).open(0)?,
        };
        Ok(Client {
            control,
            connection,
            rtp,
            cseq: 0,
            session: "0".to_owned(),
            unanswered: Vec::new(),
            closed: false,
        })
    }

    fn receivers(&mut self, local: std::net::IpAddr) -> &mut Receivers {
        let (clock, from) = (self.context.clock, self.context.job.address.ip());
        self.receivers.get_or_insert_with(|| Receivers::new(clock, from, local))
    }

    /// Listens at another port too, if it is free.
    pub fn listen_at(&mut self, port: u16) -> bool {
        self.receivers.as_mut().is_some_and(|receivers| receivers.open(port).is_ok())
    }

    /// Sends a request in the profile's form, and waits for its reply.
    pub fn request(&mut self, client: &mut Client, method: Method) -> RequestOutcome {
        let name = self.context.job.movie.name.clone();
        self.request_movie(client, method, &name, self.context.job.profile.time.reply)
    }

    /// Sends a request that names a movie, and waits some time for its reply.
    pub fn request_movie(
        &mut self,
        client: &mut Client,
        method: Method,
        movie: &str,
        wait: Duration,
    ) -> RequestOutcome {
        let job = self.context.job;
        let url = format!("rtsp://{}/{movie}", job.address);
        let is_url = job.profile.lab.form == crate::profile::Form::Url;
        let file = if is_url { &url } else { movie };
        let form = job.profile.lab.form.request_form();
        let text = form.write(method, file, client.cseq + 1, client.rtp.1, &client.session);
        self.request_text(client, method, &text, wait)
    }

    /// The session and the next sequence number of a client, for a request of another form.
    pub fn next(client: &Client) -> (u64, &str) {
        (client.cseq + 1, &client.session)
    }

    /// Sends a request with the client's next sequence number, and waits for its reply.
    pub fn request_text(
        &mut self,
        client: &mut Client,
        method: Method,
        text: &str,
        wait: Duration,
    ) -> RequestOutcome {
        client.cseq += 1;
        let cseq = client.cseq;
        let bytes = text.as_bytes().to_vec();
        let mut wait = self.context.limit(wait);
        let sent_at = self.context.clock.now();
        let request = Event::Request { method, cseq, bytes };
        let mut answer = RequestOutcome { method, cseq, sent_at, reply: None, no_reply: None };
        if client.closed {
            answer.no_reply = Some(NoReply::Closed);
            return answer;
        }
        self.record(client.connection, request);
        let mut sample = self.context.sample();
        let started = Instant::now();
        if client.control.send(text.as_bytes(), wait).is_err() {
            self.closed(client);
            answer.no_reply = Some(NoReply::Closed);
            return answer;
        }
        while answer.reply.is_none() && answer.no_reply.is_none() {
            let left = wait.saturating_sub(started.elapsed());
            let (bytes, no_reply) = match client.control.read_reply(
                left,
                self.context.stall(),
                self.context.deadline(),
            ) {
                ReplyBytes::Bytes(bytes) => (bytes, None),
                ReplyBytes::Nothing => {
                    let extra = self.context.extra(&mut sample);
                    wait += extra;
                    (Vec::new(), extra.is_zero().then_some(NoReply::Silence))
                }
                ReplyBytes::Closed(bytes) => (bytes, Some(NoReply::Closed)),
                ReplyBytes::TooLong(bytes) => (bytes, Some(NoReply::TooLong)),
            };
            for reply in replies(&bytes) {
                self.take_reply(client, &mut answer, reply);
            }
            if no_reply == Some(NoReply::Closed) {
                self.closed(client);
            }
            if no_reply == Some(NoReply::TooLong) {
                answer.reply = None;
            }
            if answer.reply.is_none() {
                answer.no_reply = no_reply;
            }
        }
        if answer.no_reply == Some(NoReply::Silence) {
            let silence = Event::Silence { to: (method, cseq), waited: started.elapsed() };
            self.record(client.connection, silence);
        }
        if answer.reply.is_none() {
            client.unanswered.push((method, cseq));
        }
        answer
    }

    /// Records a reply. It belongs to the request, or to an earlier one whose number it has, unless the
    /// server's numbers are known to be wrong.
    fn take_reply(&mut self, client: &mut Client, answer: &mut RequestOutcome, bytes: &[u8]) {
        let fields = Reply::parse(&String::from_utf8_lossy(bytes)).ok();
        let cseq = fields.as_ref().and_then(|fields| fields.cseq);
        let is_own = cseq.is_none() || cseq == Some(answer.cseq);
        let late = client.unanswered.iter().position(|(_, number)| Some(*number) == cseq);
        if !is_own && late.is_none() {
            self.context.misnumbers.set(true);
        }
        let late = late.filter(|_| !is_own && !self.context.misnumbers.get());
        let to = match late {
            Some(at) => client.unanswered.remove(at),
            None => (answer.method, answer.cseq),
        };
        let event = Event::Reply { to: Some(to), bytes: bytes.to_vec() };
        // It had ended before the silence that shows its end.
        let at = self.context.clock.of(client.control.last_byte_at());
        self.recording.entries.push(Entry { at, connection: client.connection, event });
        let entry = self.recording.entries.len() - 1;
        if late.is_some() || answer.reply.is_some() {
            return;
        }
        let is_setup = answer.method == Method::Setup;
        if let Some(session) = fields.filter(|_| is_setup).and_then(|it| it.session) {
            client.session = session.chars().filter(char::is_ascii_graphic).take(64).collect();
        }
        answer.reply = Some(ReceivedReply { at, entry, bytes: bytes.to_vec() });
    }

    fn closed(&mut self, client: &mut Client) {
        if !client.closed {
            client.closed = true;
            self.record(client.connection, Event::ClosedThere);
        }
    }

    /// Waits until a client has received a number of packets. Returns whether it has.
    pub fn receive(&self, client: &Client, packets: usize, wait: Duration) -> bool {
        let Some(receivers) = &self.receivers else { return false };
        let mut sample = self.context.sample();
        let mut wait = self.context.limit(wait);
        loop {
            let limit = self.context.deadline().limit(wait);
            if receivers.wait(client.rtp.0, limit, |have| have >= packets) {
                return true;
            }
            wait = self.context.extra(&mut sample);
            if wait.is_zero() {
                return false;
            }
        }
    }

    /// Waits until a client has received a number of frames more. In fragments it is not known how many
    /// packets they are: then as long as they take. Returns whether they, or any packets, have arrived.
    pub fn receive_frames(&self, client: &Client, frames: usize, wait: Duration) -> bool {
        let lab = &self.context.job.profile.lab;
        let before = self.received(client);
        if lab.fragments == crate::profile::Fragments::Off {
            self.receive(client, before + frames, wait);
            return self.received(client) > before;
        }
        let has_started = self.receive(client, before + 1, wait);
        if has_started {
            self.watch(lab.period() * u32::try_from(frames).unwrap_or(1));
        }
        has_started
    }

    /// The number of packets that a client has received.
    pub fn received(&self, client: &Client) -> usize {
        self.receivers.as_ref().map_or(0, |receivers| receivers.count(client.rtp.0))
    }

    /// Lets packets arrive for some time, and longer on a busy machine. Returns when it ended.
    pub fn watch_to_stop(&self, time: Duration) -> Duration {
        let started = Instant::now();
        loop {
            // A delay during the wait makes the limit of the check longer too.
            let left = (time + self.context.stall()).saturating_sub(started.elapsed());
            let now = self.watch(left);
            if left.is_zero() || self.context.deadline().is_over() {
                return now;
            }
        }
    }

    /// Waits until a client has received nothing for some time. Returns whether that was so.
    pub fn receive_to_end(&self, client: &Client, quiet: Duration, wait: Duration) -> bool {
        let limit = self.context.deadline().limit(self.context.limit(wait));
        let mut count = self.received(client);
        loop {
            let more = self.receive(client, count + 1, quiet);
            if !more {
                let is_full = self.receivers.as_ref().is_some_and(Receivers::is_full);
                return !is_full && !self.context.deadline().is_over();
            }
            if Instant::now() >= limit {
                return false;
            }
            count = self.received(client);
        }
    }

    /// Lets packets arrive.
    pub fn watch(&self, time: Duration) -> Duration {
        let limit = self.context.deadline().limit(time);
        std::thread::sleep(limit.saturating_duration_since(Instant::now()));
        self.context.clock.now()
    }

    /// Closes the connection of a client; returns the time.
    pub fn close(&mut self, client: Client) -> Duration {
        if !client.closed {
            self.record(client.connection, Event::ClosedHere);
        }
        drop(client.control);
        self.context.clock.now()
    }

    /// Ends the exchange; returns the number of its recording.
    pub fn finish(mut self, recordings: &mut Vec<Recording>) -> usize {
        if let Some(receivers) = self.receivers.take() {
            let (packets, discarded, dropped) = receivers.finish();
            (self.recording.packets, self.recording.discarded) = (packets, discarded);
            self.recording.dropped = dropped;
        }
        recordings.push(self.recording);
        recordings.len() - 1
    }
}

/// The replies in the bytes that arrived together. The textbook's replies have no line end after the last
/// line, so the next one starts in the middle of a line.
fn replies(bytes: &[u8]) -> Vec<&[u8]> {
    const START: &[u8] = b"RTSP/1.0 ";
    let mut starts: Vec<usize> = vec![0];
    let windows = bytes.windows(START.len()).enumerate().skip(1);
    starts.extend(windows.filter(|(_, window)| *window == START).map(|(at, _)| at));
    starts.push(bytes.len());
    let pairs = starts.windows(2).filter_map(|pair| bytes.get(*pair.first()?..*pair.last()?));
    pairs.filter(|reply| !reply.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_that_arrive_together_are_separated() {
        let first = "RTSP/1.0 200 OK\nCSeq: 1\nSession: 123456";
        let second = "RTSP/1.0 455 No\nCSeq: 2\nSession: 0\n";
        let rows: [(&str, &[&str]); 4] = [
            ("", &[]),
            (first, &[first]),
            (&format!("{first}{second}"), &[first, second]),
            (&format!("junk\n{second}"), &["junk\n", second]),
        ];
        for (text, want) in rows {
            let got: Vec<_> = replies(text.as_bytes());
            let want: Vec<_> = want.iter().map(|it| it.as_bytes()).collect();
            assert_eq!(got, want, "{text:?}");
        }
    }
}
