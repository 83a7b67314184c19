// SPDX-License-Identifier: MIT OR Apache-2.0
//! A movie that is being sent: a cursor, a timeline, and an outlet, driven by a pacer.
//!
//! No lock is held while something is sent. The outlet is taken out of the state for it, and whoever
//! needs the outlet, or must be sure that nothing is sent any more, waits until it is back.

use super::cursor::{Cursor, Next};
use super::prefetch::{Due, Prefetch};
use super::timeline::{Plan, Timeline};
use super::{Fetched, FrameRef, Frames, Moment, Outlet, reports};
use crate::connection::outbox::{Drained, Sent};
use crate::pacer::{Paced, Pacer, new_id};
use crate::workers::Workers;
use gstmjpegfile::movie::{FrameLocation, FrameRate};
use gstmjpegfile::movie_file::MovieFile;
use gstmjpegfile::rtp::Timestamp;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Until the index is looked at again for a frame that it has not come to.
const INDEX_INTERVAL: Duration = Duration::from_millis(10);

/// A frame as an outlet sends it.
type FrameOf<O> = <<O as Outlet>::Frames as Frames>::Frame;

/// What all streams of a language share.
pub(crate) struct Resources<F> {
    /// Makes frames.
    pub frames: F,
    /// Reads and encodes what takes long.
    pub workers: Workers,
}

#[derive(Debug, Clone, Copy)]
struct Play {
    number: u64,
    timeline: Timeline,
    /// When the outlet is to report next.
    report: Instant,
    /// It waits for the index.
    waits: bool,
}

/// Where a stream stands: what the next play starts with, or the next tick of the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// In the movie, in nanoseconds.
    pub nanoseconds: u64,
    /// The RTP timestamp.
    pub rtptime: Timestamp,
}

struct State<O: Outlet> {
    cursor: Cursor,
    position: Position,
    play: Option<Play>,
    plays: u64,
    /// Bad spans of the file that were reported.
    spans: usize,
    prefetch: Prefetch<FrameOf<O>>,
    /// `None` while it sends.
    outlet: Option<O>,
    /// Threads that wait until it is back.
    waiting: usize,
}

/// A movie that is being sent.
pub(crate) struct Stream<O: Outlet> {
    id: u64,
    framerate: FrameRate,
    resources: Arc<Resources<O::Frames>>,
    pacer: Pacer,
    state: Mutex<State<O>>,
    /// The outlet is back.
    sent: Condvar,
}

/// What a tick has come to.
enum Tick {
    /// The next one is due then.
    Next(Instant),
    /// Somebody else goes on with this one.
    Elsewhere,
    /// The play has ended.
    End,
}

impl<O: Outlet> Stream<O> {
    /// A movie at its start; `rtptime` is the RTP timestamp of the first frame.
    pub fn new(
        movie: Arc<MovieFile>,
        (framerate, looping): (FrameRate, bool),
        rtptime: Timestamp,
        resources: Arc<Resources<O::Frames>>,
        pacer: Pacer,
        outlet: O,
    ) -> Arc<Self> {
        let state = State {
            cursor: Cursor::new(movie, looping),
            position: Position { nanoseconds: 0, rtptime },
            play: None,
            plays: 0,
            spans: 0,
            prefetch: Prefetch::Idle,
            outlet: Some(outlet),
            waiting: 0,
        };
        let (state, sent) = (Mutex::new(state), Condvar::new());
        Arc::new(Self { id: new_id(), framerate, resources, pacer, state, sent })
    }

    fn state(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, while nothing is being sent.
    fn quiet_state(&self) -> MutexGuard<'_, State<O>> {
        let mut state = self.state();
        while state.outlet.is_none() {
            state.waiting += 1;
            state = self.sent.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state
    }

    /// The movie that is sent.
    pub fn movie(&self) -> Arc<MovieFile> {
        self.state().cursor.movie().clone()
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        let state = self.state();
        state.play.map_or(state.position, |play| position_of(&play.timeline))
    }

    /// Whether a play is under way.
    pub fn is_playing(&self) -> bool {
        self.state().play.is_some()
    }

    /// Does something with the outlet, while nothing is being sent. A stream that nobody watches
    /// after that stops. `None` is not given: the outlet is there while nothing is sent.
    pub fn with_outlet<T>(&self, with: impl FnOnce(&mut O) -> T) -> Option<T> {
        let mut state = self.quiet_state();
        let outlet = state.outlet.as_mut()?;
        let done = with(outlet);
        if !outlet.is_watched() {
            state.stop();
        }
        Some(done)
    }

    /// Reports at the next tick, whenever it has done so before.
    pub fn report_soon(&self) {
        if let Some(play) = &mut self.state().play {
            play.report = Instant::now();
        }
    }

    /// Plays a plan, instead of what is under way, if anybody watches.
    pub fn play(self: &Arc<Self>, plan: Plan) {
        let start = self.pacer.next_slot(self.framerate);
        let number = {
            let mut state = self.quiet_state();
            state.stop();
            let Some(outlet) = state.outlet.as_mut().filter(|outlet| outlet.is_watched()) else {
                return;
            };
            outlet.begin();
            state.cursor.rewind();
            state.plays += 1;
            let timeline = Timeline::new(plan, start, state.position.rtptime);
            let number = state.plays;
            state.play = Some(Play { number, timeline, report: Instant::now(), waits: false });
            number
        };
        self.pacer.send_at(start, number, self.clone());
    }

    /// Sends no more, not even a packet once this returns.
    pub fn stop(&self) {
        self.quiet_state().stop();
    }

    /// The next play starts at a position in the movie, in nanoseconds.
    pub fn go_to(&self, nanoseconds: u64) {
        let mut state = self.quiet_state();
        state.stop();
        state.position.nanoseconds = nanoseconds;
    }

    /// Sends no more, and says so to whoever is sent it.
    pub fn end(&self) {
        let mut state = self.quiet_state();
        if let (Some(play), Some(outlet)) = (state.play, &mut state.outlet) {
            outlet.end(moment(&play.timeline));
        }
        state.stop();
    }

    /// Waits for a frame on a worker's thread, and goes on then.
    fn wait_elsewhere(self: &Arc<Self>, frame: Wanted, options: OptionsOf<O>) {
        let stream = self.clone();
        self.resources.workers.read(self.clone(), move || {
            match stream.resources.frames.wait_for(frame.as_ref(), options) {
                Ok(Fetched::MustEncode) => stream.encode_elsewhere(frame, options),
                fetched => stream.fetched(frame.number, fetched),
            }
        });
    }

    /// Encodes a frame on a worker's thread, and goes on then if it is waited for.
    fn encode_elsewhere(self: &Arc<Self>, frame: Wanted, options: OptionsOf<O>) {
        let stream = self.clone();
        self.resources.workers.encode(self.clone(), move || {
            let fetched = stream.resources.frames.encode(frame.as_ref(), options);
            stream.fetched(frame.number, fetched);
        });
    }

    fn fetched(self: Arc<Self>, frame: u64, fetched: io::Result<Fetched<FrameOf<O>>>) {
        let play = {
            let mut state = self.state();
            let awaited = state.prefetch.finish(frame, fetched);
            state.play.filter(|_| awaited).map(|play| play.number)
        };
        if let Some(play) = play {
            self.pacer.clone().send_at(Instant::now(), play, self);
        }
    }

    /// Does what is due in a play.
    fn tick(self: &Arc<Self>, number: u64, scratch: &mut Vec<u8>) -> Tick {
        let mut state = self.state();
        let Some(mut play) = state.play.filter(|play| play.number == number) else {
            return Tick::Elsewhere;
        };
        let Some(frame) = play.timeline.frame() else { return Tick::End };
        let (frame, location) = match state.look_up(&mut play.timeline, frame) {
            Next::Frame(frame, location) => (frame, location),
            Next::NotIndexed => {
                play.waits = true;
                state.play = Some(play);
                return Tick::Next(Instant::now() + INDEX_INTERVAL);
            }
            Next::End => return Tick::End,
        };
        let movie = state.cursor.movie().clone();
        state.spans = reports::bad_spans(&movie, state.spans, frame);
        let now = Instant::now();
        if std::mem::take(&mut play.waits) {
            play.timeline.delay_until(now);
        }
        state.play = Some(play);
        let Some(outlet) = state.outlet.take() else { return Tick::Elsewhere };
        let due = state.prefetch.take(frame);
        drop(state);
        let mut lent = Lent { stream: self, outlet: Some(outlet) };
        let wanted = Wanted { movie, number: frame, location };
        let options = lent.outlet().map(|outlet| outlet.options());
        let (Some(outlet), Some(options)) = (lent.outlet(), options) else { return Tick::End };
        let fetched = match due {
            Due::Done(fetched) => fetched,
            Due::Awaited => return Tick::Elsewhere,
            Due::Nothing => self.resources.frames.fetch_now(wanted.as_ref(), options, scratch),
        };
        let made = match fetched {
            Ok(Fetched::Ready(made)) => made,
            Ok(Fetched::NotInMemory) => {
                self.state().prefetch.begin(frame, true);
                self.wait_elsewhere(wanted, options);
                return Tick::Elsewhere;
            }
            Ok(Fetched::MustEncode) => {
                self.state().prefetch.begin(frame, true);
                self.encode_elsewhere(wanted, options);
                return Tick::Elsewhere;
            }
            Ok(Fetched::Shrunk) => {
                reports::shrunk(&wanted.movie, frame, location.offset);
                return Tick::End;
            }
            Err(error) => {
                reports::unreadable(&wanted.movie, frame, &error);
                return Tick::End;
            }
        };
        let resume = || -> Drained {
            let stream = self.clone();
            Box::new(move || stream.pacer.clone().send_at(Instant::now(), number, stream))
        };
        let rtptime = play.timeline.rtptime();
        if outlet.send(&made, wanted.as_ref(), rtptime, &resume) == Sent::Busy {
            let fetched = Ok(Fetched::Ready(made));
            self.state().prefetch = Prefetch::Done { frame, fetched };
            // The connection goes on once it has sent what came before.
            return Tick::Elsewhere;
        }
        let slow = O::Frames::is_slow(&made);
        O::Frames::recycle(made, scratch);
        let next = play.timeline.advance(now);
        let reported = O::REPORT_INTERVAL.filter(|_| now >= play.report);
        if reported.is_some() {
            let rtptime = play.timeline.rtptime_at(now);
            outlet.report(Moment { now: SystemTime::now(), rtptime });
        }
        let options = outlet.options();
        let mut state = lent.give_back();
        let Some(present) = state.play.as_mut().filter(|present| present.number == number) else {
            return Tick::Elsewhere;
        };
        present.timeline = play.timeline;
        if let Some(interval) = reported {
            present.report = now + interval;
        }
        if slow && state.prefetch.is_idle() {
            self.prefetch(&mut state, &mut play.timeline, options);
        }
        Tick::Next(next)
    }

    /// Makes the frame of the next tick ahead of its time.
    fn prefetch(
        self: &Arc<Self>,
        state: &mut State<O>,
        timeline: &mut Timeline,
        options: OptionsOf<O>,
    ) {
        let Some(frame) = timeline.frame() else { return };
        if let Next::Frame(number, location) = state.look_up(timeline, frame) {
            state.prefetch.begin(number, false);
            let movie = state.cursor.movie().clone();
            self.encode_elsewhere(Wanted { movie, number, location }, options);
        }
    }

    /// Ends a play by itself.
    fn ended(&self, number: u64) {
        let mut state = self.quiet_state();
        let Some(play) = state.play.filter(|play| play.number == number) else { return };
        reports::index_failed(state.cursor.movie());
        if let Some(outlet) = &mut state.outlet {
            outlet.end(moment(&play.timeline));
        }
        state.stop();
        // The next play starts anew, unless the range has ended before the movie.
        if play.timeline.frame().is_some() {
            state.position.nanoseconds = 0;
        }
    }
}

/// What an outlet's frames are made for.
type OptionsOf<O> = <<O as Outlet>::Frames as Frames>::Options;

/// A frame that is fetched.
struct Wanted {
    movie: Arc<MovieFile>,
    number: u64,
    location: FrameLocation,
}

impl Wanted {
    fn as_ref(&self) -> FrameRef<'_> {
        FrameRef { movie: &self.movie, number: self.number, location: self.location }
    }
}

/// The outlet while it sends; given back when dropped.
struct Lent<'a, O: Outlet> {
    stream: &'a Stream<O>,
    outlet: Option<O>,
}

impl<'a, O: Outlet> Lent<'a, O> {
    fn outlet(&mut self) -> Option<&mut O> {
        self.outlet.as_mut()
    }

    fn give_back(&mut self) -> MutexGuard<'a, State<O>> {
        let mut state = self.stream.state();
        if let Some(outlet) = self.outlet.take() {
            state.outlet = Some(outlet);
            // Waking nobody is a system call, too.
            if state.waiting > 0 {
                self.stream.sent.notify_all();
            }
        }
        state
    }
}

impl<O: Outlet> Drop for Lent<'_, O> {
    fn drop(&mut self) {
        if self.outlet.is_some() {
            drop(self.give_back());
        }
    }
}

fn position_of(timeline: &Timeline) -> Position {
    Position { nanoseconds: timeline.position(), rtptime: timeline.rtptime() }
}

fn moment(timeline: &Timeline) -> Moment {
    Moment { now: SystemTime::now(), rtptime: timeline.rtptime_at(Instant::now()) }
}

impl<O: Outlet> State<O> {
    /// Stops what is played; the next play goes on from there.
    fn stop(&mut self) {
        self.prefetch = Prefetch::Idle;
        if let Some(play) = self.play.take() {
            self.position = position_of(&play.timeline);
        }
    }

    /// Where a frame of a timeline lies. A play that starts after the movie's last frame starts with
    /// that one.
    fn look_up(&mut self, timeline: &mut Timeline, frame: u64) -> Next {
        match self.cursor.look_up(frame) {
            Next::End if timeline.is_at_start() => match self.cursor.last() {
                Some((last, location)) => {
                    timeline.start_at(last);
                    Next::Frame(last, location)
                }
                None => Next::End,
            },
            next => next,
        }
    }
}

impl<O: Outlet> Paced for Stream<O> {
    fn id(&self) -> u64 {
        self.id
    }

    fn send_next(self: Arc<Self>, number: u64, scratch: &mut Vec<u8>) -> Option<Instant> {
        match self.tick(number, scratch) {
            Tick::Next(at) => Some(at),
            Tick::Elsewhere => None,
            Tick::End => {
                self.ended(number);
                None
            }
        }
    }

    fn fail(&self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pacer::Pacers;
    use gstmjpegfile::movie::FrameWriter;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Frames as they are in the file.
    struct AsInFile;

    impl Frames for AsInFile {
        type Frame = Vec<u8>;
        type Options = ();

        fn fetch_now(
            &self,
            frame: FrameRef,
            (): (),
            _: &mut Vec<u8>,
        ) -> io::Result<Fetched<Vec<u8>>> {
            // Each third frame takes a way of its own.
            match frame.number % 3 {
                0 => self.encode(frame, ()),
                1 => Ok(Fetched::NotInMemory),
                _ => Ok(Fetched::MustEncode),
            }
        }

        fn wait_for(&self, frame: FrameRef, (): ()) -> io::Result<Fetched<Vec<u8>>> {
            self.encode(frame, ())
        }

        fn encode(&self, frame: FrameRef, (): ()) -> io::Result<Fetched<Vec<u8>>> {
            let mut bytes = vec![0; frame.location.length as usize];
            let whole = frame.movie.read(frame.location, &mut bytes)?;
            Ok(if whole { Fetched::Ready(bytes) } else { Fetched::Shrunk })
        }

        fn is_slow(frame: &Vec<u8>) -> bool {
            frame.len().is_multiple_of(2)
        }
    }

    #[derive(Debug, PartialEq, Eq)]
    enum Event {
        Sent(u64, Vec<u8>),
        End,
    }

    /// A third outlet: it hands what it is given to the test, and is busy at each second frame.
    struct ToTest {
        events: Sender<Event>,
        busy: bool,
        panics_at: Option<u64>,
    }

    impl Outlet for ToTest {
        type Frames = AsInFile;

        fn options(&self) {}

        fn is_watched(&self) -> bool {
            true
        }

        fn send(
            &mut self,
            frame: &Vec<u8>,
            of: FrameRef,
            _: Timestamp,
            resume: &dyn Fn() -> Drained,
        ) -> Sent {
            assert!(self.panics_at != Some(of.number), "on purpose");
            self.busy = !self.busy;
            if self.busy {
                let resume = resume();
                std::thread::spawn(resume);
                return Sent::Busy;
            }
            let _ = self.events.send(Event::Sent(of.number, frame.clone()));
            Sent::Done
        }

        fn end(&mut self, _: Moment) {
            let _ = self.events.send(Event::End);
        }
    }

    const LIMIT: Duration = Duration::from_secs(20);

    /// A movie's payloads, of different lengths.
    fn payload(number: u64) -> Vec<u8> {
        let length = usize::try_from(number).unwrap() + 4;
        [&[0xff, 0xd8][..], &vec![7; length], &[0xff, 0xd9]].concat()
    }

    struct Sending {
        stream: Arc<Stream<ToTest>>,
        events: Receiver<Event>,
        _pacers: Pacers,
        _runtime: tokio::runtime::Runtime,
        _file: tempfile::NamedTempFile,
    }

    fn sending(frames: u64, looping: bool, panics_at: Option<u64>) -> Sending {
        let mut writer = FrameWriter::new(tempfile::NamedTempFile::new().unwrap());
        for number in 0..frames {
            writer.write_frame(&payload(number)).unwrap();
        }
        let file = writer.into_inner();
        let movie = MovieFile::open(file.path()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let workers = Workers::new(runtime.handle().clone());
        let pacers = Pacers::start().unwrap();
        let resources = Arc::new(Resources { frames: AsInFile, workers });
        let (sent, events) = channel();
        let outlet = ToTest { events: sent, busy: false, panics_at };
        let rate = FrameRate::new(500, 1).unwrap();
        let pacer = pacers.pick().unwrap();
        let stream =
            Stream::new(movie, (rate, looping), Timestamp::default(), resources, pacer, outlet);
        Sending { stream, events, _pacers: pacers, _runtime: runtime, _file: file }
    }

    fn plan(start: u64) -> Plan {
        let rate = FrameRate::new(500, 1).unwrap();
        Plan::new(rate, rate.start_of(start).get(), None, 1.0, 1.0)
    }

    #[test]
    fn an_outlet_is_sent_each_frame_once_however_it_is_fetched() {
        let sending = sending(20, false, None);
        for start in [0, 7] {
            sending.stream.play(plan(start));
            for number in start..20 {
                let event = sending.events.recv_timeout(LIMIT).unwrap();
                assert_eq!(event, Event::Sent(number, payload(number)));
            }
            assert_eq!(sending.events.recv_timeout(LIMIT), Ok(Event::End));
            assert!(!sending.stream.is_playing());
            assert_eq!(sending.stream.position().nanoseconds, 0);
        }
    }

    #[test]
    fn nothing_is_sent_once_it_has_been_stopped() {
        let sending = sending(20, true, None);
        for _ in 0..20 {
            sending.stream.play(plan(0));
            assert!(sending.events.recv_timeout(LIMIT).is_ok());
            sending.stream.stop();
            while sending.events.try_recv().is_ok() {}
            assert_eq!(sending.stream.with_outlet(|_| ()), Some(()));
            assert!(sending.events.recv_timeout(Duration::from_millis(20)).is_err());
        }
    }

    #[test]
    fn a_panic_ends_the_stream_and_says_so() {
        let sending = sending(20, false, Some(2));
        sending.stream.play(plan(0));
        for number in 0..2 {
            let event = sending.events.recv_timeout(LIMIT).unwrap();
            assert_eq!(event, Event::Sent(number, payload(number)));
        }
        assert_eq!(sending.events.recv_timeout(LIMIT), Ok(Event::End));
        sending.stream.stop();
        assert!(!sending.stream.is_playing());
    }
}
