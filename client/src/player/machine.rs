// SPDX-License-Identifier: MIT OR Apache-2.0
//! The player's state machine. Its inputs are commands and events, its outputs are effects.
//!
//! It knows neither GStreamer nor time: the player translates bus messages to [`Input`]s, reports
//! what the pipeline has reached, and carries out the [`Effect`]s in their order.
//!
//! A server sends only while it plays. So a step to a frame is PLAY from the frame's position, then
//! PAUSE when the frame has arrived. GStreamer's pipeline needs these one after the other: after a
//! flush while rtspsrc is paused, the sink waits for a frame that arrives only after PLAY, and PLAY
//! is sent only when the sink has a frame; and a change of state before the last one has been
//! completed is lost. So each part of a step waits until the pipeline has settled.

#[cfg(test)]
mod tests;

use super::{Command, State};
use std::time::Duration;

/// After this number of checks a seek is sent even if the pipeline has not reached PLAYING.
const MAX_UNSETTLED_CHECKS: u32 = 3;

/// The wait before the first attempt to reconnect. It doubles with each one.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait between two attempts to reconnect.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Input of the state machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Input {
    /// A command of the user.
    Command(Command),
    /// Seek to a position.
    Seek(Duration),
    /// Play at a rate, from a position.
    SetRate(f64, Duration),
    /// Show the frame at a position, and stay in READY.
    StepTo(Duration),
    /// Play the movie, or the section, again and again.
    SetRepeat(bool),
    /// Play from the first position to the second again and again.
    SetSection(Option<(Duration, Duration)>),
    /// The server has answered everything that SETUP asks (`open` of a source that posts progress).
    Opened,
    /// The server has answered PLAY or PAUSE.
    Answered,
    /// The pipeline of a source that posts no progress has reached PAUSED.
    Paused,
    /// The same for PLAYING.
    Playing,
    /// The flush of a seek is over.
    SeekDone,
    /// The pipeline refuses the seek.
    SeekRefused,
    /// The frame that a step awaits has reached the sink.
    FrameArrived,
    /// A frame after the section has reached the sink.
    SectionEnded,
    /// The last frame has been shown.
    EndOfMovie,
    /// A message of the bus has been handled.
    Checked,
    /// A time interval of [`Effect::Watch`] has passed.
    Tick,
    /// The session has failed.
    Failed(Reconnect),
    /// The command must be sent again over another connection.
    ConnectAgain,
    /// It is time to reconnect.
    Retry,
    /// The session has been closed ([`Effect::Close`]).
    Closed,
}

/// Whether a failed session is opened again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reconnect {
    /// It stays closed.
    No,
    /// It is opened again, and plays from this position; `None`: from where the server starts.
    From(Option<Duration>),
}

/// What the pipeline has reached.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pipeline {
    /// It is in PLAYING, and no change of state is in progress.
    pub plays: bool,
    /// The same for PAUSED.
    pub is_paused: bool,
}

/// A state of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// `GST_STATE_PAUSED`.
    Paused,
    /// `GST_STATE_PLAYING`.
    Playing,
}

/// What the sink's pad does with the next frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frames {
    /// All pass.
    Pass,
    /// The same, but a frame that is held stays.
    PassUnlessHeld,
    /// After the next flush the first one is held: it replaces each one that follows.
    HoldAfterFlush,
}

/// What the player does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    /// Forget what was counted in the last session.
    StartSession,
    /// Count on in a session that continues a lost one.
    ContinueSession,
    /// Wait a limited time for the server's answer to the pending command.
    AwaitAnswer,
    /// Change the pipeline's state.
    Change(Target),
    /// End the session at the source, to set up a new one.
    Reopen,
    /// End the session.
    Close,
    /// Seek.
    Seek {
        /// Target position.
        position: Duration,
        /// Playback rate from there.
        rate: f64,
    },
    /// Treat the next frames this way.
    Frames(Frames),
    /// Do not count the time until the next packet as a gap.
    CountPause,
    /// Send [`Input::Tick`] until [`Machine::is_busy`] is false.
    Watch,
    /// Report the new state.
    ReportState,
    /// Report that a command is refused.
    Refuse(String),
    /// Report the end of the movie.
    ReportEnd,
    /// Report the failure of [`Input::Failed`].
    ReportFailure,
    /// Report the failure, and send [`Input::Retry`] after this time.
    RetryAfter {
        /// Number of the attempt, from 1.
        attempt: u32,
        /// The wait before it.
        wait: Duration,
    },
}

/// Progress of a step to a frame.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// No step is in progress.
    #[default]
    None,
    /// The frame has not arrived.
    AwaitFrame,
    /// The frame has arrived; PAUSE is next.
    Arrived,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new(false)
    }
}

/// See the module's documentation.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Machine {
    /// The source is a server: it sends nothing before PLAY is answered.
    is_remote: bool,
    state: State,
    pending: Option<Command>,
    rate: f64,
    repeat: bool,
    section: Option<(Duration, Duration)>,
    /// The movie has ended: the next PLAY starts from the first frame.
    ended: bool,
    /// The session was opened again, since the movie ended before a seek. The next end is the seek's.
    reopened: bool,
    /// Target of the seek in progress.
    seeking: Option<Duration>,
    /// Target of the seek after the one in progress.
    next_seek: Option<Duration>,
    /// Where to seek as soon as PLAY has been answered.
    start: Option<Duration>,
    step: Step,
    /// Target of the step after the one in progress.
    next_step: Option<Duration>,
    /// Position of the held frame, from which playback continues.
    held: Option<Duration>,
    /// PAUSE is sent when the pipeline has reached PLAYING again after a seek.
    pause_waits: bool,
    /// Checks since `start` waits in PLAYING for the pipeline.
    unsettled: u32,
    /// Attempts to open the session again since it was lost; 0 if it is not lost.
    attempts: u32,
    /// The lost session was playing.
    plays_again: bool,
}

impl Machine {
    /// A machine in INIT. `is_remote`: the source is a server.
    pub fn new(is_remote: bool) -> Self {
        Self {
            is_remote,
            state: State::Init,
            pending: None,
            rate: 1.0,
            repeat: false,
            section: None,
            ended: false,
            reopened: false,
            seeking: None,
            next_seek: None,
            start: None,
            step: Step::None,
            next_step: None,
            held: None,
            pause_waits: false,
            unsettled: 0,
            attempts: 0,
            plays_again: false,
        }
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// The command that waits for its answer.
    pub fn pending(&self) -> Option<Command> {
        self.pending
    }

    /// Playback rate.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Whether a session is to be opened again.
    pub fn reconnects(&self) -> bool {
        self.attempts > 0
    }

    /// The section that is repeated.
    pub fn section(&self) -> Option<(Duration, Duration)> {
        self.section
    }

    /// Whether the movie or a section is played again and again.
    pub fn repeats(&self) -> bool {
        self.repeat
    }

    /// The position from which PLAY will start.
    pub fn start_position(&self) -> Option<Duration> {
        self.start
    }

    /// Target of the seek in progress.
    pub fn seek_target(&self) -> Option<Duration> {
        self.seeking
    }

    /// Whether a single frame is shown, or soon will be.
    pub fn shows_still_picture(&self) -> bool {
        match self.state {
            State::Init => false,
            State::Ready => true,
            State::Playing => self.step != Step::None || self.pending == Some(Command::Pause),
        }
    }

    /// Whether it waits for the pipeline to settle, and needs [`Input::Tick`].
    pub fn is_busy(&self) -> bool {
        let seeks = self.start.is_some() || self.next_seek.is_some();
        let waits = seeks || self.next_step.is_some() || self.pause_waits;
        self.state != State::Init && (waits || self.step != Step::None)
    }

    /// Handles an input, and returns what to do.
    pub fn handle(&mut self, input: Input, pipeline: Pipeline) -> Vec<Effect> {
        let mut effects = Vec::new();
        let to = &mut effects;
        match input {
            Input::Command(Command::Teardown) if self.is_closed() => self.attempts = 0,
            Input::Command(command) => self.command(command, pipeline, to),
            Input::Seek(position) => {
                self.reopened = false;
                self.seek(position, to);
            }
            Input::SetRate(rate, position) => {
                self.reopened = false;
                self.rate = rate;
                self.seek(position, to);
            }
            Input::StepTo(position) => self.step_to(position, to),
            Input::SetRepeat(repeat) => self.repeat = repeat,
            Input::SetSection(section) => self.section = section,
            Input::Opened if self.pending == Some(Command::Setup) => self.complete(to),
            Input::Answered if matches!(self.pending, Some(Command::Play | Command::Pause)) => {
                self.complete(to);
            }
            Input::Paused if matches!(self.pending, Some(Command::Setup | Command::Pause)) => {
                self.complete(to);
            }
            Input::Playing if self.pending == Some(Command::Play) => self.complete(to),
            Input::SeekDone => self.end_seek(to),
            Input::SeekRefused => self.refuse_seek(pipeline, to),
            Input::FrameArrived if self.step == Step::AwaitFrame => self.step = Step::Arrived,
            Input::SectionEnded if self.step == Step::None && self.start.is_none() => {
                match self.section {
                    Some((from, _)) if self.plays() => self.begin_seek(from, to),
                    // It is being paused, and will go on with the section's start.
                    Some((from, _)) if self.state != State::Init => self.start = Some(from),
                    _ => {}
                }
            }
            Input::EndOfMovie => match self.awaited_position() {
                Some(position) if self.is_remote && !self.reopened => {
                    self.reopen_at(position, to);
                }
                _ => self.end_movie(to),
            },
            Input::Checked => self.advance(pipeline, to),
            Input::Tick => self.tick(pipeline, to),
            Input::Failed(reconnect) => self.fail(reconnect, to),
            Input::ConnectAgain => {
                let (pending, start) = (self.pending, self.start);
                let target = match pending {
                    Some(Command::Play) => Target::Playing,
                    _ => Target::Paused,
                };
                self.close(to);
                self.start = start;
                to.push(Effect::ContinueSession);
                self.start(pending.unwrap_or(Command::Setup), target, to);
            }
            Input::Retry if self.attempts > 0 && self.is_closed() => {
                to.push(Effect::ContinueSession);
                self.start(Command::Setup, Target::Paused, to);
            }
            Input::Closed => self.set_state(State::Init, to),
            _ => {}
        }
        if self.is_busy() {
            effects.push(Effect::Watch);
        } else {
            self.unsettled = 0;
        }
        effects
    }

    /// Whether it plays, and neither pauses nor steps.
    pub fn plays(&self) -> bool {
        self.state == State::Playing && self.pending.is_none() && self.step == Step::None
    }

    fn is_closed(&self) -> bool {
        self.state == State::Init && self.pending.is_none()
    }

    fn command(&mut self, command: Command, pipeline: Pipeline, to: &mut Vec<Effect>) {
        if let Some(reason) = command.refusal(self.state, self.pending) {
            to.push(Effect::Refuse(reason));
            return;
        }
        match command {
            Command::Setup => {
                self.attempts = 0;
                self.start = None;
                self.rate = 1.0;
                to.push(Effect::StartSession);
                self.start(Command::Setup, Target::Paused, to);
            }
            Command::Play => self.play(to),
            Command::Pause => self.pause(pipeline, to),
            Command::Teardown => {
                self.attempts = 0;
                self.close(to);
            }
        }
    }

    /// Requests PLAY; after the movie's end, of a new session.
    fn play(&mut self, to: &mut Vec<Effect>) {
        self.release(to);
        if std::mem::take(&mut self.ended) {
            // rtspsrc 1.22 does not restart after the end of a stream: a seek would only bring the
            // end again.
            to.push(Effect::Reopen);
            self.rate = 1.0;
        }
        self.start(Command::Play, Target::Playing, to);
    }

    fn pause(&mut self, pipeline: Pipeline, to: &mut Vec<Effect>) {
        self.seeking = None;
        to.push(Effect::CountPause);
        self.cancel_step(to);
        if self.is_remote && !pipeline.plays {
            // During a change of state to PLAYING, one to PAUSED would only end it: the source would
            // not be paused.
            self.announce(Command::Pause, to);
            self.pause_waits = true;
        } else {
            self.start(Command::Pause, Target::Paused, to);
        }
    }

    fn start(&mut self, command: Command, target: Target, to: &mut Vec<Effect>) {
        self.announce(command, to);
        to.push(Effect::Change(target));
    }

    fn announce(&mut self, command: Command, to: &mut Vec<Effect>) {
        self.pending = Some(command);
        to.push(Effect::AwaitAnswer);
    }

    fn close(&mut self, to: &mut Vec<Effect>) {
        self.pending = None;
        self.pause_waits = false;
        self.seeking = None;
        self.next_seek = None;
        self.ended = false;
        self.reopened = false;
        self.start = None;
        self.next_step = None;
        self.held = None;
        self.step = Step::None;
        to.push(Effect::Frames(Frames::Pass));
        to.push(Effect::Close);
    }

    fn fail(&mut self, reconnect: Reconnect, to: &mut Vec<Effect>) {
        let was_set_up = self.state != State::Init || self.attempts > 0;
        let start = self.start;
        if self.attempts == 0 {
            self.plays_again = self.state == State::Playing || self.pending == Some(Command::Play);
        }
        self.close(to);
        match reconnect {
            Reconnect::From(position) if was_set_up => {
                let wait = FIRST_RETRY * 2_u32.saturating_pow(self.attempts.min(16));
                self.attempts += 1;
                self.start = start.or(position);
                let wait = wait.min(LONGEST_RETRY);
                to.push(Effect::RetryAfter { attempt: self.attempts, wait });
            }
            _ => {
                self.attempts = 0;
                to.push(Effect::ReportFailure);
            }
        }
    }

    fn set_state(&mut self, state: State, to: &mut Vec<Effect>) {
        if std::mem::replace(&mut self.state, state) != state {
            to.push(Effect::ReportState);
        }
    }

    /// Changes the state when the answer to the pending command has arrived.
    fn complete(&mut self, to: &mut Vec<Effect>) {
        let Some(command) = self.pending.take() else { return };
        self.set_state(command.resulting_state(), to);
        match command {
            Command::Setup if self.attempts > 0 && self.plays_again => self.play(to),
            // The next failure is a new one.
            _ => self.attempts = 0,
        }
    }

    /// The position of which no frame can have arrived.
    fn awaited_position(&self) -> Option<Duration> {
        let seeks = self.next_seek.or(self.seeking);
        self.start.or(seeks).or(self.held.filter(|_| self.step == Step::AwaitFrame))
    }

    /// Opens the session again, once, to play from `position`: what has ended is what was sent before the
    /// seek. rtspsrc 1.22 does not restart after the end of a stream; the server's BYE may be read after
    /// the seek.
    fn reopen_at(&mut self, position: Duration, to: &mut Vec<Effect>) {
        self.reopened = true;
        self.start = Some(position);
        self.seeking = None;
        self.next_seek = None;
        self.pause_waits = false;
        to.push(Effect::Reopen);
        self.start(Command::Play, Target::Playing, to);
    }

    fn end_movie(&mut self, to: &mut Vec<Effect>) {
        let repeats = (self.repeat || self.section.is_some()) && self.plays();
        let from = self.section.map(|(from, _)| from);
        if repeats && !self.is_remote {
            self.begin_seek(from.unwrap_or_default(), to);
            return;
        }
        self.pending = None;
        self.pause_waits = false;
        self.cancel_step(to);
        self.ended = true;
        to.push(Effect::Change(Target::Paused));
        self.set_state(State::Ready, to);
        if repeats {
            let rate = self.rate;
            // A new session plays from the first frame at normal speed.
            let is_normal = (rate - 1.0).abs() < f64::EPSILON;
            self.start = from.or((!is_normal).then_some(Duration::ZERO));
            self.play(to);
            self.rate = rate;
        } else {
            to.push(Effect::ReportEnd);
        }
    }

    fn seek(&mut self, position: Duration, to: &mut Vec<Effect>) {
        if self.state == State::Init {
            to.push(Effect::Refuse(format!(
                "Seek needs READY or PLAYING, the state is {}",
                self.state.name()
            )));
        } else if self.is_remote && (self.state == State::Ready || self.start.is_some()) {
            // Until PLAY has been answered, a later seek replaces an earlier one.
            self.start = Some(position);
        } else if self.seeking.is_some() {
            self.next_seek = Some(position);
        } else {
            self.ended = false;
            self.begin_seek(position, to);
        }
    }

    fn end_seek(&mut self, to: &mut Vec<Effect>) {
        self.seeking = None;
        if let Some(position) = self.next_seek.take() {
            self.seek(position, to);
        }
    }

    /// Sends a refused seek again when the pipeline plays. A refusal then is final.
    ///
    /// playbin 1.22 refuses seeks until the first frame has been decoded. Over a slow network this is long
    /// after the reply to PLAY.
    fn refuse_seek(&mut self, pipeline: Pipeline, to: &mut Vec<Effect>) {
        let Some(position) = self.seeking.take() else { return };
        let plays = self.state == State::Playing && self.pending.is_none();
        if self.is_remote && plays && !pipeline.plays {
            self.start = self.next_seek.take().or(self.start).or(Some(position));
            self.unsettled = 0;
            return;
        }
        if self.step == Step::AwaitFrame {
            self.pause(pipeline, to);
        }
        self.end_seek(to);
    }

    fn begin_seek(&mut self, position: Duration, to: &mut Vec<Effect>) {
        self.seeking = Some(position);
        to.push(Effect::Seek { position, rate: self.rate });
    }

    fn step_to(&mut self, position: Duration, to: &mut Vec<Effect>) {
        if !self.shows_still_picture() {
            return;
        }
        if self.step != Step::None || self.pending.is_some() {
            self.next_step = Some(position);
            return;
        }
        self.reopened = false;
        self.seek(position, to);
        // For a file the seek alone shows the frame.
        if self.is_remote {
            self.step = Step::AwaitFrame;
            self.play(to);
        }
    }

    /// Cancels the step in progress; the frame on screen stays.
    fn cancel_step(&mut self, to: &mut Vec<Effect>) {
        self.step = Step::None;
        to.push(Effect::Frames(Frames::PassUnlessHeld));
    }

    /// Lets all frames pass again. Playback continues from the frame on screen: the server has sent
    /// more frames before it was paused. Those are not shown: before a seek the frame stays.
    fn release(&mut self, to: &mut Vec<Effect>) {
        let held = self.held.take();
        self.start = self.start.or(held);
        let seeks = self.start.is_some();
        to.push(Effect::Frames(if seeks { Frames::PassUnlessHeld } else { Frames::Pass }));
    }

    /// Does the next part of what waits, if the pipeline is ready for it.
    fn advance(&mut self, pipeline: Pipeline, to: &mut Vec<Effect>) {
        // A flush takes the sink, and with it the pipeline, out of PLAYING at once. ASYNC_DONE may be
        // missing, if the next flush comes first.
        if self.seeking.is_some() && pipeline.plays && self.pending.is_none() {
            self.end_seek(to);
            if self.seeking.is_some() {
                return;
            }
        }
        if self.pause_waits && pipeline.plays {
            self.pause_waits = false;
            to.push(Effect::Change(Target::Paused));
            return;
        }
        match self.state {
            State::Playing if pipeline.plays && self.pending.is_none() => {
                if self.start.is_some() {
                    self.seek_to_start(to);
                } else if self.step == Step::Arrived {
                    self.pause(pipeline, to);
                }
            }
            State::Ready if self.pending.is_none() && self.step == Step::None => {
                if let Some(position) = self.next_step.take() {
                    self.step_to(position, to);
                }
            }
            _ => {}
        }
    }

    fn tick(&mut self, pipeline: Pipeline, to: &mut Vec<Effect>) {
        let plays = self.state == State::Playing && self.pending.is_none();
        if plays && pipeline.is_paused {
            // A flush has arrived just as a change to PLAYING was completed.
            to.push(Effect::Change(Target::Playing));
        }
        self.advance(pipeline, to);
        let hangs = plays && self.pending.is_none() && self.start.is_some();
        self.unsettled = if hangs { self.unsettled + 1 } else { 0 };
        if self.unsettled > MAX_UNSETTLED_CHECKS {
            self.seek_to_start(to);
        }
    }

    fn seek_to_start(&mut self, to: &mut Vec<Effect>) {
        let Some(position) = self.start.take() else { return };
        let steps = self.step == Step::AwaitFrame;
        let frames = if steps { Frames::HoldAfterFlush } else { Frames::Pass };
        to.push(Effect::Frames(frames));
        self.held = steps.then_some(position);
        self.begin_seek(position, to);
    }
}
