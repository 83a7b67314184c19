// SPDX-License-Identifier: MIT OR Apache-2.0
//! A movie that is sent to the viewers of one sink: puts together the cursor, the timeline, the
//! fetcher and the sink, and is driven by a pacer.
//!
//! No lock is held while the file is looked at or something is sent: cursor and sink are taken out of the state meanwhile.
//! Callers that need the sink, or must know that nothing is being sent, wait until they are back.

use super::clock::{Clock, SystemClock};
use super::cursor::{Cursor, Next};
use super::pacer::{Paced, Pacer, new_id};
use super::prefetch::{Prefetch, PrefetchResult};
use super::timeline::{Plan, Timeline};
use super::workers::Workers;
use super::{
    DueFrame, FetchOutcome, FrameFetcher, FrameRef, FrameSink, PlaybackMode, ReportTime, movie_log,
};
use crate::connection::outbox::{OnDrained, SendOutcome};
use gstmjpegfile::movie::{FrameLocation, FrameRate};
use gstmjpegfile::movie_file::MovieFile;
use gstmjpegfile::rtp::Timestamp;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time between two lookups of a frame that is not indexed yet.
const INDEX_INTERVAL: Duration = Duration::from_millis(10);

/// The time between two checks whether the frames of the movie have been overwritten.
const CHANGE_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// A frame as a sink sends it.
type FrameOf<S> = <<S as FrameSink>::Fetcher as FrameFetcher>::Frame;

/// What the frames of a sink must be like.
type OptionsOf<S> = <<S as FrameSink>::Fetcher as FrameFetcher>::Options;

/// What all streams of a language share.
pub(crate) struct Resources<F> {
    /// Prepares frames.
    pub fetcher: F,
    /// Read and encode frames if that takes long.
    pub workers: Workers,
}

/// A play that is under way.
#[derive(Debug, Clone, Copy)]
struct Play {
    number: u64,
    timeline: Timeline,
    /// When the sink must send its next report.
    next_report: Instant,
    /// The frame that is due is not indexed yet.
    waits_for_index: bool,
    /// When the file must be checked for a change.
    next_change_check: Instant,
    /// When the latest frame was sent; `None` before the first one.
    last_sent: Option<Instant>,
    /// There are no more frames: the end has only to be reported.
    is_finished: bool,
}

/// The position of a stream: of the next tick of the present play, or of the start of the next play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// In the movie, in nanoseconds.
    pub nanoseconds: u64,
    /// The RTP timestamp.
    pub rtptime: Timestamp,
}

impl Position {
    fn of(timeline: &Timeline) -> Self {
        Self { nanoseconds: timeline.position(), rtptime: timeline.rtptime() }
    }
}

/// What sends the frames: taken out of the state while a thread uses it.
struct Sending<S: FrameSink> {
    cursor: Cursor,
    /// The number of bad spans of the file that have been logged.
    bad_spans_logged: usize,
    /// In a box, so that only its address moves: with many viewers none of it is in the processor's cache.
    sink: Box<S>,
}

struct State<S: FrameSink> {
    /// The movie of the cursor.
    movie: Arc<MovieFile>,
    /// The position while nothing is played.
    position: Position,
    play: Option<Play>,
    /// The number of plays that have been started.
    plays: u64,
    prefetch: Prefetch<FrameOf<S>>,
    /// `None` while a thread uses it.
    sending: Option<Sending<S>>,
    /// The number of threads that wait for it.
    waiting_threads: usize,
}

/// A movie that is sent to the viewers of a sink.
pub(crate) struct Stream<S: FrameSink, C: Clock = SystemClock> {
    id: u64,
    framerate: FrameRate,
    resources: Arc<Resources<S::Fetcher>>,
    pacer: Pacer<C>,
    state: Mutex<State<S>>,
    /// Notified when cursor and sink are back in the state.
    returned: Condvar,
}

/// The result of one tick of a play.
enum TickOutcome {
    /// The next tick is due at this instant.
    NextAt(Instant),
    /// Another thread schedules the play again, or the play has been stopped.
    Suspended,
    /// The play has reached its end.
    Finished,
}

impl<S: FrameSink, C: Clock> Stream<S, C> {
    /// A stream at the start of a movie. `rtptime` is the RTP timestamp of the first frame.
    pub fn new(
        movie: Arc<MovieFile>,
        mode: &PlaybackMode,
        rtptime: Timestamp,
        resources: Arc<Resources<S::Fetcher>>,
        pacer: Pacer<C>,
        sink: S,
    ) -> Arc<Self> {
        let cursor = Cursor::new(movie.clone(), mode.looping);
        let state = State {
            movie,
            position: Position { nanoseconds: 0, rtptime },
            play: None,
            plays: 0,
            prefetch: Prefetch::Idle,
            sending: Some(Sending { cursor, bad_spans_logged: 0, sink: Box::new(sink) }),
            waiting_threads: 0,
        };
        let (state, returned) = (Mutex::new(state), Condvar::new());
        let framerate = mode.framerate;
        Arc::new(Self { id: new_id(), framerate, resources, pacer, state, returned })
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the state once no frame is being sent.
    fn idle_state(&self) -> MutexGuard<'_, State<S>> {
        let mut state = self.state();
        while state.sending.is_none() {
            state.waiting_threads += 1;
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting_threads -= 1;
        }
        state
    }

    /// Takes cursor and sink out of an idle state, and unlocks it.
    fn borrow(&self, mut state: MutexGuard<'_, State<S>>) -> Borrowed<'_, S, C> {
        Borrowed { stream: self, sending: state.sending.take() }
    }

    fn now(&self) -> Instant {
        self.pacer.clock().now()
    }

    fn report_time(&self, timeline: &Timeline, now: Instant) -> ReportTime {
        let wall_clock = self.pacer.clock().wall_clock();
        ReportTime { wall_clock, rtptime: timeline.rtptime_at(now) }
    }

    /// The movie that is sent.
    pub fn movie(&self) -> Arc<MovieFile> {
        self.state().movie.clone()
    }

    /// The present position.
    pub fn position(&self) -> Position {
        let state = self.state();
        state.play.map_or(state.position, |play| Position::of(&play.timeline))
    }

    /// Whether a play is under way.
    pub fn is_playing(&self) -> bool {
        self.state().play.is_some()
    }

    /// Calls `action` with the sink while no frame is being sent, and returns its result. Stops the
    /// stream if there is no viewer after that. Never returns `None`, since the sink is there while
    /// no frame is being sent.
    pub fn with_sink<T>(&self, action: impl FnOnce(&mut S) -> T) -> Option<T> {
        let mut borrowed = self.borrow(self.idle_state());
        let sink = &mut borrowed.sending()?.sink;
        let result = action(sink);
        let is_watched = sink.is_watched();
        let mut state = borrowed.give_back();
        if !is_watched {
            state.stop();
        }
        Some(result)
    }

    /// Like [`Self::with_sink`], with the time for a report if a play is under way.
    pub fn with_sink_at<T>(
        &self,
        action: impl FnOnce(&mut S, Option<ReportTime>) -> T,
    ) -> Option<T> {
        let play = self.state().play;
        // The time of the report is read now too.
        let time = play.map(|play| self.report_time(&play.timeline, self.now()));
        self.with_sink(|sink| action(sink, time))
    }

    /// Makes the sink send a report at the next tick.
    pub fn report_soon(&self) {
        let now = self.now();
        if let Some(play) = &mut self.state().play {
            play.next_report = now;
        }
    }

    /// Stops the present play and starts another one, if there is a viewer.
    pub fn play(self: &Arc<Self>, plan: Plan) {
        let start = self.pacer.next_slot(self.framerate);
        let number = {
            let mut state = self.idle_state();
            state.stop();
            let sending = state.sending.as_mut().filter(|it| it.sink.is_watched());
            let Some(sending) = sending else { return };
            sending.sink.play_started();
            sending.cursor.rewind();
            state.plays += 1;
            let timeline = Timeline::new(plan, start, state.position.rtptime);
            let (number, now) = (state.plays, self.now());
            state.play = Some(Play {
                number,
                timeline,
                next_report: now,
                waits_for_index: false,
                next_change_check: now,
                last_sent: None,
                is_finished: false,
            });
            number
        };
        self.pacer.send_at(start, number, self.clone());
    }

    /// Stops the present play. No packet is sent once this returns.
    pub fn stop(&self) {
        self.idle_state().stop();
    }

    /// Stops the present play. The next one starts at a position in nanoseconds.
    pub fn seek(&self, nanoseconds: u64) {
        let mut state = self.idle_state();
        state.stop();
        state.position.nanoseconds = nanoseconds;
    }

    /// Stops the present play and reports its end to the viewers.
    pub fn end(&self) {
        let mut state = self.idle_state();
        let Some(play) = state.play else { return };
        state.stop();
        self.report_end(state, self.report_time(&play.timeline, self.now()));
    }

    /// Stops the present play, if there is one, and reports the end to the viewers even if they have stopped it
    /// before. Nothing is reported if nothing was played.
    pub fn end_for_good(&self) {
        let mut state = self.idle_state();
        let wall_clock = self.pacer.clock().wall_clock();
        let paused = ReportTime { wall_clock, rtptime: state.position.rtptime };
        let time = state.play.map_or(paused, |play| self.report_time(&play.timeline, self.now()));
        state.stop();
        if state.plays > 0 {
            self.report_end(state, time);
        }
    }

    /// Reports the end of a play that has been stopped to the viewers.
    fn report_end(&self, state: MutexGuard<'_, State<S>>, time: ReportTime) {
        if let Some(sending) = self.borrow(state).sending() {
            sending.sink.play_ended(time);
        }
    }

    /// Makes a worker read a frame from the disk.
    fn read_on_worker(self: &Arc<Self>, frame: FrameToFetch, options: OptionsOf<S>) {
        let stream = self.clone();
        self.resources.workers.read(self.clone(), move || {
            match stream.resources.fetcher.fetch_waiting(frame.as_ref(), options) {
                Ok(FetchOutcome::MustEncode) => stream.encode_on_worker(frame, options),
                fetched => stream.worker_finished(frame.number, fetched),
            }
        });
    }

    /// Makes a worker encode a frame.
    fn encode_on_worker(self: &Arc<Self>, frame: FrameToFetch, options: OptionsOf<S>) {
        let stream = self.clone();
        self.resources.workers.encode(self.clone(), move || {
            let fetched = stream.resources.fetcher.fetch_encoded(frame.as_ref(), options);
            stream.worker_finished(frame.number, fetched);
        });
    }

    /// Stores the frame that a worker has prepared. If the play waits for it, schedules the play.
    fn worker_finished(self: Arc<Self>, frame: u64, fetched: io::Result<FetchOutcome<FrameOf<S>>>) {
        let play = {
            let mut state = self.state();
            let awaited = state.prefetch.finish(frame, fetched);
            state.play.filter(|_| awaited).map(|play| play.number)
        };
        if let Some(play) = play {
            self.pacer.clone().send_at(self.now(), play, self);
        }
    }

    /// Sends the frame of a play that is due.
    fn tick(self: &Arc<Self>, number: u64, scratch: &mut Vec<u8>) -> TickOutcome {
        let state = self.idle_state();
        let Some(mut play) = state.play.filter(|play| play.number == number) else {
            return TickOutcome::Suspended;
        };
        let Some(frame) = play.timeline.frame().filter(|_| !play.is_finished) else {
            return TickOutcome::Finished;
        };
        let mut borrowed = self.borrow(state);
        let Some(sending) = borrowed.sending() else { return TickOutcome::Suspended };
        let now = self.now();
        let checks = now >= play.next_change_check;
        if checks {
            play.next_change_check = now + CHANGE_CHECK_INTERVAL;
        }
        let is_overwritten = checks && sending.follow_overwritten(frame);
        let next = sending.look_up(&mut play.timeline, frame);
        let movie = sending.cursor.movie().clone();
        if let Next::Frame(frame, _) = next {
            sending.bad_spans_logged =
                movie_log::bad_spans(&movie, sending.bad_spans_logged, frame);
            if std::mem::take(&mut play.waits_for_index) {
                play.timeline.delay_until(now);
            }
        }
        play.waits_for_index |= matches!(next, Next::NotIndexed);
        let Some(prefetched) = self.looked_up(&mut play, &movie, next, is_overwritten) else {
            return TickOutcome::Suspended;
        };
        let (frame, location) = match next {
            Next::Frame(frame, location) => (frame, location),
            Next::NotIndexed => return TickOutcome::NextAt(now + INDEX_INTERVAL),
            Next::End => return TickOutcome::Finished,
        };
        let to_fetch = FrameToFetch { movie, number: frame, location };
        let options = sending.sink.options();
        let fetched = match prefetched {
            PrefetchResult::Done(fetched) => fetched,
            PrefetchResult::Awaited => return TickOutcome::Suspended,
            PrefetchResult::NotStarted => {
                self.resources.fetcher.fetch_now(to_fetch.as_ref(), options, scratch)
            }
        };
        let prepared = match fetched {
            Ok(FetchOutcome::Ready(prepared)) => prepared,
            Ok(FetchOutcome::NotInMemory) => {
                self.state().prefetch.start(frame, true);
                self.read_on_worker(to_fetch, options);
                return TickOutcome::Suspended;
            }
            Ok(FetchOutcome::MustEncode) => {
                self.state().prefetch.start(frame, true);
                self.encode_on_worker(to_fetch, options);
                return TickOutcome::Suspended;
            }
            Ok(FetchOutcome::Shrunk) => {
                movie_log::shrunk(&to_fetch.movie, frame, location.offset);
                return TickOutcome::Finished;
            }
            Err(error) => {
                movie_log::unreadable(&to_fetch.movie, frame, &error);
                return TickOutcome::Finished;
            }
        };
        let resume = || -> OnDrained {
            let stream = self.clone();
            Box::new(move || stream.pacer.clone().send_at(stream.now(), number, stream))
        };
        // The first report comes before the first frame (RFC 6051 section 2.1 lets it be sent at once): a
        // receiver that has none yet takes the arrival for the time of a frame, which may be later than
        // the time that the report gives to the second frame. VLC does not show such a frame.
        if let Some(interval) = S::REPORT_INTERVAL.filter(|_| now >= play.next_report) {
            // Not `now`: reading the frame may have taken a while.
            sending.sink.report(self.report_time(&play.timeline, self.now()));
            let mut state = self.state();
            if let Some(present) = state.play.as_mut().filter(|present| present.number == number) {
                present.next_report = now + interval;
            }
        }
        let due = DueFrame { source: to_fetch.as_ref(), rtptime: play.timeline.rtptime() };
        if sending.sink.send(&prepared, due, &resume) == SendOutcome::Busy {
            let fetched = Ok(FetchOutcome::Ready(prepared));
            self.state().prefetch = Prefetch::Done { frame, fetched };
            // The connection calls what `resume` returns once it has sent its queue.
            return TickOutcome::Suspended;
        }
        self.pacer.count_lateness(play.timeline.due());
        let slow = S::Fetcher::is_slow(&prepared);
        S::Fetcher::recycle(prepared, scratch);
        let next = play.timeline.advance(now);
        // A worker prepares the frame of the next tick before it is due.
        let ahead = if slow { sending.next_frame(&mut play.timeline) } else { None };
        let options = sending.sink.options();
        let mut state = borrowed.give_back();
        let Some(present) = state.play.as_mut().filter(|present| present.number == number) else {
            return TickOutcome::Suspended;
        };
        present.timeline = play.timeline;
        present.last_sent = Some(now);
        if let Some(ahead) = ahead.filter(|_| state.prefetch.is_idle()) {
            state.movie.clone_from(&ahead.movie);
            state.prefetch.start(ahead.number, false);
            drop(state);
            self.encode_on_worker(ahead, options);
        }
        TickOutcome::NextAt(next)
    }

    /// Stores what a look-up has changed, and takes the frame if a worker has prepared it. `None` if the play is not
    /// the present one any more.
    fn looked_up(
        &self,
        play: &mut Play,
        movie: &Arc<MovieFile>,
        next: Next,
        is_overwritten: bool,
    ) -> Option<PrefetchResult<FrameOf<S>>> {
        let mut state = self.state();
        let present = state.play.as_mut().filter(|present| present.number == play.number)?;
        // A report may have been asked for meanwhile.
        play.next_report = present.next_report;
        *present = *play;
        if !Arc::ptr_eq(&state.movie, movie) {
            state.movie.clone_from(movie);
        }
        if is_overwritten {
            state.prefetch = Prefetch::Idle;
        }
        Some(match next {
            Next::Frame(frame, _) => state.prefetch.take(frame),
            Next::NotIndexed | Next::End => PrefetchResult::NotStarted,
        })
    }

    /// Ends a play that has sent its last frame. If it is too early to report the end, returns when to call this
    /// again.
    fn finish_play(&self, number: u64) -> Option<Instant> {
        let mut guard = self.idle_state();
        let state = &mut *guard;
        let play = state.play.as_mut().filter(|play| play.number == number)?;
        play.is_finished = true;
        let delay = state.sending.as_ref().map_or(Duration::ZERO, |it| it.sink.end_delay());
        if let Some(end) = play.last_sent.map(|sent| sent + delay).filter(|end| self.now() < *end) {
            return Some(end);
        }
        let play = *play;
        state.stop();
        // At the end of the movie, unlike that of a range, the next play starts from its beginning.
        if play.timeline.frame().is_some() {
            state.position.nanoseconds = 0;
        }
        let time = self.report_time(&play.timeline, self.now());
        let mut borrowed = self.borrow(guard);
        if let Some(sending) = borrowed.sending() {
            movie_log::index_failed(sending.cursor.movie());
            sending.sink.play_ended(time);
        }
        None
    }
}

/// A frame that a worker can fetch.
struct FrameToFetch {
    movie: Arc<MovieFile>,
    number: u64,
    location: FrameLocation,
}

impl FrameToFetch {
    fn as_ref(&self) -> FrameRef<'_> {
        FrameRef { movie: &self.movie, number: self.number, location: self.location }
    }
}

/// Cursor and sink of a stream, taken out of its state. They go back into the state when this is dropped.
struct Borrowed<'a, S: FrameSink, C: Clock> {
    stream: &'a Stream<S, C>,
    sending: Option<Sending<S>>,
}

impl<'a, S: FrameSink, C: Clock> Borrowed<'a, S, C> {
    /// Never `None`: they are taken from an idle state, and given back at the end.
    fn sending(&mut self) -> Option<&mut Sending<S>> {
        self.sending.as_mut()
    }

    /// Puts them back, and returns the locked state.
    fn give_back(&mut self) -> MutexGuard<'a, State<S>> {
        let mut state = self.stream.state();
        if let Some(sending) = self.sending.take() {
            state.sending = Some(sending);
            // Notifying is a system call even if no thread waits.
            if state.waiting_threads > 0 {
                self.stream.returned.notify_all();
            }
        }
        state
    }
}

impl<S: FrameSink, C: Clock> Drop for Borrowed<'_, S, C> {
    fn drop(&mut self) {
        if self.sending.is_some() {
            drop(self.give_back());
        }
    }
}

impl<S: FrameSink> State<S> {
    /// Stops the present play. The next one continues at its position.
    fn stop(&mut self) {
        self.prefetch = Prefetch::Idle;
        if let Some(play) = self.play.take() {
            self.position = Position::of(&play.timeline);
        }
    }
}

impl<S: FrameSink> Sending<S> {
    /// Continues with the file as it is now if the frames of the movie have been overwritten. `frame` is the next
    /// one. Returns whether they have.
    fn follow_overwritten(&mut self, frame: u64) -> bool {
        let is_overwritten = self.cursor.follow_overwritten(frame);
        if is_overwritten {
            self.bad_spans_logged = 0;
            movie_log::overwritten(self.cursor.movie(), frame);
        }
        is_overwritten
    }

    /// The frame of the next tick, if it is indexed.
    fn next_frame(&mut self, timeline: &mut Timeline) -> Option<FrameToFetch> {
        let frame = timeline.frame()?;
        let Next::Frame(number, location) = self.look_up(timeline, frame) else { return None };
        Some(FrameToFetch { movie: self.cursor.movie().clone(), number, location })
    }

    /// Looks up a frame of a timeline. If a play starts past the last frame of the movie, it starts
    /// with the last frame instead.
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

impl<S: FrameSink, C: Clock> Paced for Stream<S, C> {
    fn id(&self) -> u64 {
        self.id
    }

    fn yields(&self) -> bool {
        S::YIELDS
    }

    fn send_next(self: Arc<Self>, number: u64, scratch: &mut Vec<u8>) -> Option<Instant> {
        match self.tick(number, scratch) {
            TickOutcome::NextAt(due) => Some(due),
            TickOutcome::Suspended => None,
            TickOutcome::Finished => self.finish_play(number),
        }
    }

    fn fail(&self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Resume;
    use super::super::clock::test_clock::{LIMIT, TestClock};
    use super::super::pacer::PacerLoop;
    use super::*;
    use gstmjpegfile::movie::FrameWriter;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::SystemTime;

    /// Fetches frames unchanged, by each of the three methods in turn.
    struct RawFetcher;

    impl FrameFetcher for RawFetcher {
        type Frame = Vec<u8>;
        type Options = ();

        fn fetch_now(
            &self,
            frame: FrameRef,
            (): (),
            _: &mut Vec<u8>,
        ) -> io::Result<FetchOutcome<Vec<u8>>> {
            match frame.number % 3 {
                0 => self.fetch_encoded(frame, ()),
                1 => Ok(FetchOutcome::NotInMemory),
                _ => Ok(FetchOutcome::MustEncode),
            }
        }

        fn fetch_waiting(&self, frame: FrameRef, (): ()) -> io::Result<FetchOutcome<Vec<u8>>> {
            self.fetch_encoded(frame, ())
        }

        fn fetch_encoded(&self, frame: FrameRef, (): ()) -> io::Result<FetchOutcome<Vec<u8>>> {
            let mut bytes = vec![0; frame.location.length as usize];
            let whole = frame.movie.read(frame.location, &mut bytes)?;
            Ok(if whole { FetchOutcome::Ready(bytes) } else { FetchOutcome::Shrunk })
        }

        fn is_slow(frame: &Vec<u8>) -> bool {
            frame.len().is_multiple_of(2)
        }
    }

    /// What a [`TestSink`] was asked to send, and when.
    #[derive(Debug, Default)]
    struct Record {
        /// The time of each frame and its RTP timestamp, in milliseconds, and its number.
        frames: Vec<(u128, u32, u64)>,
        reports: Vec<ReportTime>,
        /// The number of frames that were sent before each report.
        frames_before_reports: Vec<usize>,
        ends: Vec<ReportTime>,
    }

    /// What a [`TestSink`] does besides recording.
    #[derive(Clone, Default)]
    struct Behavior {
        /// Each frame is sent at the second attempt only.
        is_busy: bool,
        /// The frame whose sending panics.
        panics_at: Option<u64>,
        /// A frame, and how long sending it takes.
        slow_frame: Option<(u64, Duration)>,
        gate: Option<Arc<Gate>>,
        end_delay: Duration,
    }

    /// Makes the sending of each frame wait until the test allows it.
    struct Gate {
        /// Notified when sending a frame starts.
        sending: Sender<()>,
        /// Sending ends when this receives something.
        allowed: Mutex<Receiver<()>>,
    }

    struct TestSink {
        clock: TestClock,
        record: Arc<Mutex<Record>>,
        behavior: Behavior,
        was_busy: bool,
    }

    impl FrameSink for TestSink {
        type Fetcher = RawFetcher;

        const REPORT_INTERVAL: Option<Duration> = Some(Duration::from_millis(20));

        fn options(&self) {}

        fn is_watched(&self) -> bool {
            true
        }

        fn send(&mut self, frame: &Vec<u8>, due: DueFrame, resume: Resume) -> SendOutcome {
            let DueFrame { source, rtptime } = due;
            assert!(self.behavior.panics_at != Some(source.number), "on purpose");
            self.was_busy = self.behavior.is_busy && !self.was_busy;
            if self.was_busy {
                std::thread::spawn(resume());
                return SendOutcome::Busy;
            }
            assert_eq!(*frame, payload(source.number));
            let at = self.clock.elapsed().as_millis();
            self.record.lock().unwrap().frames.push((at, rtptime.ticks() / 90, source.number));
            if let Some((number, time)) = self.behavior.slow_frame
                && number == source.number
            {
                self.clock.advance(time);
            }
            if let Some(gate) = &self.behavior.gate {
                gate.sending.send(()).unwrap();
                gate.allowed.lock().unwrap().recv_timeout(LIMIT).unwrap();
            }
            SendOutcome::Accepted
        }

        fn report(&mut self, time: ReportTime) {
            let mut record = self.record.lock().unwrap();
            let frames = record.frames.len();
            record.frames_before_reports.push(frames);
            record.reports.push(time);
        }

        fn end_delay(&self) -> Duration {
            self.behavior.end_delay
        }

        fn play_ended(&mut self, time: ReportTime) {
            self.record.lock().unwrap().ends.push(time);
        }
    }

    /// The payload of a frame; each has another length.
    fn payload(number: u64) -> Vec<u8> {
        let length = usize::try_from(number).unwrap() + 4;
        [&[0xff, 0xd8][..], &vec![7; length], &[0xff, 0xd9]].concat()
    }

    /// A stream of 500 frames per second whose clock is moved by the test.
    struct StreamTest {
        stream: Arc<Stream<TestSink, TestClock>>,
        pacer_loop: PacerLoop<TestClock>,
        clock: TestClock,
        record: Arc<Mutex<Record>>,
        _runtime: tokio::runtime::Runtime,
        _file: tempfile::NamedTempFile,
    }

    impl StreamTest {
        fn new(frames: u64, looping: bool, behavior: Behavior) -> Self {
            let mut writer = FrameWriter::new(tempfile::NamedTempFile::new().unwrap());
            for number in 0..frames {
                writer.write_frame(&payload(number)).unwrap();
            }
            let file = writer.into_inner();
            let movie = MovieFile::open(file.path()).unwrap();
            assert_eq!(movie.wait_total(LIMIT), Some(frames));
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let workers = Workers::new(runtime.handle().clone());
            let resources = Arc::new(Resources { fetcher: RawFetcher, workers });
            let (clock, record) = (TestClock::new(), Arc::default());
            let (pacer, pacer_loop) = Pacer::new(clock.clone(), clock.now());
            let sink = TestSink {
                clock: clock.clone(),
                record: Arc::clone(&record),
                behavior,
                was_busy: false,
            };
            let mode = PlaybackMode { framerate: rate(), looping, live_since: None };
            let stream = Stream::new(movie, &mode, Timestamp::default(), resources, pacer, sink);
            Self { stream, pacer_loop, clock, record, _runtime: runtime, _file: file }
        }

        /// Plays from a frame on, to the end of the movie.
        fn play_to_end(&mut self, start: u64) {
            self.stream.play(plan(start));
            while self.stream.is_playing() {
                self.pacer_loop.send_next_batch();
            }
        }

        fn sent(&self) -> Vec<(u128, u32, u64)> {
            std::mem::take(&mut self.record.lock().unwrap().frames)
        }
    }

    fn rate() -> FrameRate {
        FrameRate::new(500, 1).unwrap()
    }

    fn plan(start: u64) -> Plan {
        Plan::new(rate(), rate().start_of(start).get(), None, 1.0, 1.0)
    }

    /// The reports of a play that starts at 0, at these times in milliseconds.
    fn reports_at(times: &[u64]) -> Vec<ReportTime> {
        let report = |ms: &u64| ReportTime {
            wall_clock: SystemTime::UNIX_EPOCH + Duration::from_millis(*ms),
            rtptime: Timestamp::from_ticks(u32::try_from(*ms).unwrap() * 90),
        };
        times.iter().map(report).collect()
    }

    #[test]
    fn each_frame_is_sent_once_when_it_is_due_however_it_is_fetched() {
        for is_busy in [false, true] {
            let mut test = StreamTest::new(30, false, Behavior { is_busy, ..Behavior::default() });
            test.play_to_end(0);
            let want: Vec<_> = (0..30_u32).map(|n| (u128::from(n) * 2, n * 2, n.into())).collect();
            // Each report is sent once, before the frame that is due then.
            assert_eq!(test.record.lock().unwrap().frames_before_reports, [0, 10, 20]);
            assert_eq!(test.sent(), want, "busy: {is_busy}");
            {
                let record = test.record.lock().unwrap();
                assert_eq!(record.reports, reports_at(&[0, 20, 40]));
                assert_eq!(record.ends, reports_at(&[60]));
            }
            // The next play continues the RTP timestamps, and may start at another frame.
            assert_eq!(
                test.stream.position(),
                Position { nanoseconds: 0, rtptime: Timestamp::from_ticks(60 * 90) }
            );
            test.play_to_end(27);
            assert_eq!(test.sent(), [(60, 60, 27), (62, 62, 28), (64, 64, 29)]);
        }
    }

    #[test]
    fn a_play_starts_at_the_next_slot() {
        let mut test = StreamTest::new(3, false, Behavior::default());
        // Slots are 0.2 ms long.
        test.clock.advance(Duration::from_micros(3900));
        test.play_to_end(0);
        assert_eq!(test.sent(), [(4, 0, 0), (6, 2, 1), (8, 4, 2)]);
    }

    #[test]
    fn frames_after_a_slow_one_catch_up_unless_it_was_over_a_second_late() {
        let rows = [
            (5, [(0, 0, 0), (2, 2, 1), (7, 4, 2), (7, 6, 3), (8, 8, 4)]),
            (1500, [(0, 0, 0), (2, 2, 1), (1502, 4, 2), (1502, 6, 3), (1504, 8, 4)]),
        ];
        for (late, want) in rows {
            let slow_frame = Some((1, Duration::from_millis(late)));
            let mut test =
                StreamTest::new(5, false, Behavior { slow_frame, ..Behavior::default() });
            test.play_to_end(0);
            assert_eq!(test.sent(), want, "{late} ms late");
        }
    }

    #[test]
    fn the_end_is_reported_some_time_after_the_last_frame_was_sent() {
        // The delay of the sink, how late the last frame is, and when the end is reported. The fifth frame is
        // due at 8 ms, the end at 10 ms.
        let rows = [(0, 0, 10), (1, 0, 10), (50, 0, 58), (0, 7, 13), (50, 7, 63), (50, 1500, 1556)];
        for (delay, late, end) in rows {
            let behavior = Behavior {
                end_delay: Duration::from_millis(delay),
                slow_frame: Some((3, Duration::from_millis(late))),
                ..Behavior::default()
            };
            let mut test = StreamTest::new(5, false, behavior);
            test.play_to_end(0);
            assert_eq!(test.sent().len(), 5);
            let times: Vec<_> =
                test.record.lock().unwrap().ends.iter().map(|it| it.wall_clock).collect();
            let want = SystemTime::UNIX_EPOCH + Duration::from_millis(end);
            assert_eq!(times, [want], "delay {delay} ms, {late} ms late");
            assert_eq!(test.stream.position().nanoseconds, 0);
        }
    }

    #[test]
    fn nothing_is_sent_after_a_stop() {
        let mut test = StreamTest::new(20, true, Behavior::default());
        for play in 0..3 {
            test.stream.play(plan(0));
            test.pacer_loop.send_next_batch();
            assert_eq!(test.sent().len(), 1, "play {play}");
            test.stream.stop();
            // The frame that was scheduled before.
            test.pacer_loop.send_next_batch();
            assert_eq!(test.sent(), [], "play {play}");
        }
    }

    #[test]
    fn stop_waits_until_the_frame_is_sent() {
        let (sending, started) = channel();
        let (allow, allowed) = channel();
        let gate = Some(Arc::new(Gate { sending, allowed: Mutex::new(allowed) }));
        let mut test = StreamTest::new(20, true, Behavior { gate, ..Behavior::default() });
        test.stream.play(plan(0));
        let stream = test.stream.clone();
        let pacer = std::thread::spawn(move || test.pacer_loop.send_next_batch());
        started.recv_timeout(LIMIT).unwrap();
        let stopping = std::thread::spawn({
            let stream = stream.clone();
            move || stream.stop()
        });
        let end = Instant::now() + LIMIT;
        while stream.state().waiting_threads == 0 {
            assert!(!stopping.is_finished(), "stop returned while a frame was being sent");
            assert!(Instant::now() < end, "stop does not wait for the frame");
            std::thread::yield_now();
        }
        allow.send(()).unwrap();
        stopping.join().unwrap();
        pacer.join().unwrap();
        assert!(!stream.is_playing());
    }

    #[test]
    fn a_panic_ends_the_stream_and_reports_the_end() {
        let mut test =
            StreamTest::new(20, false, Behavior { panics_at: Some(2), ..Behavior::default() });
        test.play_to_end(0);
        assert_eq!(test.sent(), [(0, 0, 0), (2, 2, 1)]);
        assert_eq!(test.record.lock().unwrap().ends, reports_at(&[4]));
    }
}
