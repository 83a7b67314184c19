// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine as tables of inputs and effects.

use super::Effect::{
    AwaitAnswer, Change, Close, ContinueSession, CountPause, Refuse, Reopen, ReportEnd,
    ReportFailure, ReportState, RetryAfter, StartSession, Watch,
};
use super::Input::{
    Answered, Checked, Closed, EndOfMovie, Failed, FrameArrived, Opened, Retry, SectionEnded,
    SeekDone, SeekRefused, StepTo, Tick,
};
use super::Target::{Paused, Playing};
use super::{Effect, Frames, Input, Machine, Pipeline, Reconnect};
use crate::player::Command::{Pause, Play, Setup, Teardown};
use crate::player::State::{self, Init, Ready};
use std::time::Duration;

/// The pipeline is in between two states.
const BUSY: Pipeline = Pipeline { plays: false, is_paused: false };
/// The pipeline is settled in PLAYING.
const PLAYS: Pipeline = Pipeline { plays: true, is_paused: false };
/// The pipeline is settled in PAUSED.
const PAUSED: Pipeline = Pipeline { plays: false, is_paused: true };

const PASS: Effect = Effect::Frames(Frames::Pass);
const PASS_UNLESS_HELD: Effect = Effect::Frames(Frames::PassUnlessHeld);
const HOLD: Effect = Effect::Frames(Frames::HoldAfterFlush);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn command(command: crate::player::Command) -> Input {
    Input::Command(command)
}

fn seek(to: u64) -> Input {
    Input::Seek(seconds(to))
}

fn seeks(to: u64) -> Effect {
    Effect::Seek { position: seconds(to), rate: 1.0 }
}

/// What is told, what the pipeline has reached, what is done, and the state then.
type Row = (Input, Pipeline, Vec<Effect>, State);

/// Runs the rows of one session.
fn run(name: &str, machine: &mut Machine, rows: Vec<Row>) {
    for (at, (input, pipeline, want, state)) in rows.into_iter().enumerate() {
        let effects = machine.handle(input, pipeline);
        assert_eq!((effects, machine.state()), (want, state), "{name}: {at}: {input:?}");
    }
}

/// A machine that plays.
fn playing(is_remote: bool) -> Machine {
    let mut machine = Machine::new(is_remote);
    let answers = if is_remote { [Opened, Answered] } else { [Input::Paused, Input::Playing] };
    let inputs = [command(Setup), answers[0], command(Play), answers[1]];
    for input in inputs {
        machine.handle(input, BUSY);
    }
    assert_eq!((machine.state(), machine.pending()), (State::Playing, None));
    machine
}

#[test]
fn a_session_with_a_server_changes_its_state_with_each_answer() {
    let mut machine = Machine::new(true);
    let wait = || vec![Refuse("Play is waiting for the server's answer".to_owned())];
    let rows = vec![
        (command(Teardown), BUSY, vec![], Init),
        (
            seek(1),
            BUSY,
            vec![Refuse("Seek needs READY or PLAYING, the state is INIT".into())],
            Init,
        ),
        (command(Setup), BUSY, vec![StartSession, AwaitAnswer, Change(Paused)], Init),
        // Answers to something else.
        (Answered, BUSY, vec![], Init),
        (Input::Playing, BUSY, vec![], Init),
        (Opened, BUSY, vec![ReportState], Ready),
        (command(Play), BUSY, vec![PASS, AwaitAnswer, Change(Playing)], Ready),
        (command(Pause), BUSY, wait(), Ready),
        (command(Play), BUSY, wait(), Ready),
        (Opened, BUSY, vec![], Ready),
        (Answered, BUSY, vec![ReportState], State::Playing),
        (
            command(Pause),
            PLAYS,
            vec![CountPause, PASS_UNLESS_HELD, AwaitAnswer, Change(Paused)],
            State::Playing,
        ),
        (Answered, PAUSED, vec![ReportState], Ready),
        (command(Teardown), PAUSED, vec![PASS, Close], Ready),
        (Closed, BUSY, vec![ReportState], Init),
        (Closed, BUSY, vec![], Init),
    ];
    run("remote", &mut machine, rows);
}

#[test]
fn teardown_ends_what_waits() {
    let mut machine = Machine::new(true);
    let rows = vec![
        (command(Setup), BUSY, vec![StartSession, AwaitAnswer, Change(Paused)], Init),
        (command(Teardown), BUSY, vec![PASS, Close], Init),
        (Closed, BUSY, vec![], Init),
        (Opened, BUSY, vec![], Init),
    ];
    run("setup", &mut machine, rows);
    assert_eq!(machine.pending(), None);
    let mut machine = playing(true);
    let rows = vec![
        (
            command(Pause),
            BUSY,
            vec![CountPause, PASS_UNLESS_HELD, AwaitAnswer, Watch],
            State::Playing,
        ),
        (command(Teardown), BUSY, vec![PASS, Close], State::Playing),
        (Closed, BUSY, vec![ReportState], Init),
        (Tick, PLAYS, vec![], Init),
    ];
    run("pause", &mut machine, rows);
}

#[test]
fn a_pause_during_a_seek_waits_until_the_pipeline_plays() {
    let mut machine = playing(true);
    let rows = vec![
        (seek(5), PLAYS, vec![seeks(5)], State::Playing),
        (
            command(Pause),
            BUSY,
            vec![CountPause, PASS_UNLESS_HELD, AwaitAnswer, Watch],
            State::Playing,
        ),
        (Checked, BUSY, vec![Watch], State::Playing),
        (Tick, BUSY, vec![Watch], State::Playing),
        (Checked, PLAYS, vec![Change(Paused)], State::Playing),
        (Answered, PAUSED, vec![ReportState], Ready),
    ];
    run("remote", &mut machine, rows);
    // A file needs no such wait.
    let mut machine = playing(false);
    let rows = vec![
        (seek(5), PLAYS, vec![seeks(5)], State::Playing),
        (
            command(Pause),
            BUSY,
            vec![CountPause, PASS_UNLESS_HELD, AwaitAnswer, Change(Paused)],
            State::Playing,
        ),
        (Input::Paused, PAUSED, vec![ReportState], Ready),
    ];
    run("file", &mut machine, rows);
}

#[test]
fn of_the_seeks_during_a_seek_only_the_last_is_carried_out() {
    let mut machine = playing(true);
    let rows = vec![
        (seek(1), PLAYS, vec![seeks(1)], State::Playing),
        (seek(2), BUSY, vec![Watch], State::Playing),
        (seek(3), BUSY, vec![Watch], State::Playing),
        (SeekDone, PLAYS, vec![seeks(3)], State::Playing),
        (SeekDone, PLAYS, vec![], State::Playing),
        (seek(4), PLAYS, vec![seeks(4)], State::Playing),
        (SeekRefused, PLAYS, vec![], State::Playing),
    ];
    run("remote", &mut machine, rows);
    assert_eq!(machine.seek_target(), None);
    let effects = machine.handle(Input::SetRate(2.0, seconds(7)), PLAYS);
    assert_eq!(effects, [Effect::Seek { position: seconds(7), rate: 2.0 }]);
    assert_eq!((machine.rate(), machine.seek_target()), (2.0, Some(seconds(7))));
}

#[test]
fn a_seek_whose_end_is_not_reported_ends_when_the_pipeline_plays() {
    let mut machine = playing(true);
    let rows = vec![
        (seek(1), PLAYS, vec![seeks(1)], State::Playing),
        (seek(2), BUSY, vec![Watch], State::Playing),
        (Tick, BUSY, vec![Watch], State::Playing),
        (Tick, PLAYS, vec![seeks(2)], State::Playing),
        (Checked, PLAYS, vec![], State::Playing),
    ];
    run("remote", &mut machine, rows);
    assert_eq!(machine.seek_target(), None);
}

#[test]
fn a_seek_in_ready_waits_for_play_and_for_the_pipeline() {
    let mut machine = Machine::new(true);
    machine.handle(command(Setup), BUSY);
    machine.handle(Opened, BUSY);
    let rows = vec![
        (seek(1), PAUSED, vec![Watch], Ready),
        (seek(2), PAUSED, vec![Watch], Ready),
        (command(Play), PAUSED, vec![PASS_UNLESS_HELD, AwaitAnswer, Change(Playing), Watch], Ready),
        (Answered, BUSY, vec![ReportState, Watch], State::Playing),
        (seek(3), BUSY, vec![Watch], State::Playing),
        (Checked, BUSY, vec![Watch], State::Playing),
        (Checked, PLAYS, vec![PASS, seeks(3)], State::Playing),
    ];
    run("settled", &mut machine, rows);
    // The pipeline does not reach PLAYING: the seek is sent all the same.
    let mut machine = Machine::new(true);
    for input in [command(Setup), Opened, seek(1), command(Play), Answered] {
        machine.handle(input, BUSY);
    }
    let rows = vec![
        (Tick, BUSY, vec![Watch], State::Playing),
        (Tick, BUSY, vec![Watch], State::Playing),
        (Tick, PAUSED, vec![Change(Playing), Watch], State::Playing),
        (Tick, BUSY, vec![PASS, seeks(1)], State::Playing),
    ];
    run("unsettled", &mut machine, rows);
}

#[test]
fn a_seek_that_is_refused_before_the_pipeline_plays_is_sent_again() {
    for (steps, frames) in [(false, PASS), (true, HOLD)] {
        let mut machine = Machine::new(true);
        for input in [command(Setup), Opened] {
            machine.handle(input, PAUSED);
        }
        if steps {
            machine.handle(StepTo(seconds(1)), PAUSED);
        } else {
            machine.handle(seek(1), PAUSED);
            machine.handle(command(Play), PAUSED);
        }
        machine.handle(Answered, BUSY);
        for attempt in 0..3 {
            let sent = (0..5).position(|_| machine.handle(Tick, BUSY).contains(&seeks(1)));
            assert_eq!(sent, Some(3), "step: {steps}, attempt {attempt}");
            assert_eq!(machine.handle(SeekRefused, BUSY), [Watch]);
        }
        let sent = machine.handle(Checked, PLAYS);
        assert_eq!(sent[..2], [frames, seeks(1)], "step: {steps}");
        // Now the source is not seekable.
        let want = if steps {
            vec![CountPause, PASS_UNLESS_HELD, AwaitAnswer, Change(Paused)]
        } else {
            vec![]
        };
        assert_eq!(machine.handle(SeekRefused, PLAYS), want, "step: {steps}");
        assert!(!machine.handle(Tick, PLAYS).contains(&seeks(1)));
    }
    // Of a seek that follows only the last is carried out.
    let mut machine = playing(true);
    let rows = vec![
        (seek(1), BUSY, vec![seeks(1)], State::Playing),
        (seek(2), BUSY, vec![Watch], State::Playing),
        (SeekRefused, BUSY, vec![Watch], State::Playing),
        (Checked, PLAYS, vec![PASS, seeks(2)], State::Playing),
    ];
    run("two seeks", &mut machine, rows);
    // After a final refusal as well, and nothing waits.
    let rows = vec![
        (seek(3), BUSY, vec![Watch], State::Playing),
        (SeekRefused, PLAYS, vec![seeks(3)], State::Playing),
        (SeekRefused, PLAYS, vec![], State::Playing),
        (SeekDone, PLAYS, vec![], State::Playing),
    ];
    run("final", &mut machine, rows);
}

#[test]
fn a_step_plays_until_its_frame_has_arrived() {
    let mut machine = Machine::new(true);
    machine.handle(command(Setup), BUSY);
    machine.handle(Opened, BUSY);
    let rows = vec![
        (
            StepTo(seconds(3)),
            PAUSED,
            vec![PASS_UNLESS_HELD, AwaitAnswer, Change(Playing), Watch],
            Ready,
        ),
        // Of the steps meanwhile only the last counts.
        (StepTo(seconds(4)), BUSY, vec![Watch], Ready),
        (StepTo(seconds(5)), BUSY, vec![Watch], Ready),
        (Answered, BUSY, vec![ReportState, Watch], State::Playing),
        (Checked, PLAYS, vec![HOLD, seeks(3), Watch], State::Playing),
        (Checked, BUSY, vec![Watch], State::Playing),
        (FrameArrived, BUSY, vec![Watch], State::Playing),
        (SeekDone, BUSY, vec![Watch], State::Playing),
        (
            Checked,
            PLAYS,
            vec![CountPause, PASS_UNLESS_HELD, AwaitAnswer, Change(Paused), Watch],
            State::Playing,
        ),
        (Answered, BUSY, vec![ReportState, Watch], Ready),
        (Checked, PAUSED, vec![PASS_UNLESS_HELD, AwaitAnswer, Change(Playing), Watch], Ready),
        (Answered, BUSY, vec![ReportState, Watch], State::Playing),
        (Checked, PLAYS, vec![HOLD, seeks(5), Watch], State::Playing),
        (FrameArrived, BUSY, vec![Watch], State::Playing),
        (
            Checked,
            PLAYS,
            vec![CountPause, PASS_UNLESS_HELD, AwaitAnswer, Change(Paused)],
            State::Playing,
        ),
        (Answered, PAUSED, vec![ReportState], Ready),
        // Playback goes on from the frame on screen.
        (command(Play), PAUSED, vec![PASS_UNLESS_HELD, AwaitAnswer, Change(Playing), Watch], Ready),
        (Answered, BUSY, vec![ReportState, Watch], State::Playing),
        (Checked, PLAYS, vec![PASS, seeks(5)], State::Playing),
        // A late report of a frame.
        (FrameArrived, PLAYS, vec![], State::Playing),
        (Checked, PLAYS, vec![], State::Playing),
        // While it plays there is no step.
        (StepTo(seconds(9)), PLAYS, vec![], State::Playing),
    ];
    run("remote", &mut machine, rows);
}

#[test]
fn the_end_of_what_was_sent_before_a_step_does_not_end_the_step() {
    let mut machine = Machine::new(true);
    for input in [command(Setup), Opened, StepTo(seconds(3)), Answered] {
        machine.handle(input, BUSY);
    }
    let anew = vec![Reopen, AwaitAnswer, Change(Playing), Watch];
    let rows = vec![
        (EndOfMovie, BUSY, anew, State::Playing),
        (Answered, BUSY, vec![Watch], State::Playing),
        (Checked, PLAYS, vec![HOLD, seeks(3), Watch], State::Playing),
        (FrameArrived, BUSY, vec![Watch], State::Playing),
        (
            Checked,
            PLAYS,
            vec![CountPause, PASS_UNLESS_HELD, AwaitAnswer, Change(Paused)],
            State::Playing,
        ),
    ];
    run("before the seek", &mut machine, rows);
    let ends = || vec![PASS_UNLESS_HELD, Change(Paused), ReportState, ReportEnd];
    // After the seek's flush, or during a seek; the second time it is the end.
    let anew = || vec![Reopen, AwaitAnswer, Change(Playing), Watch];
    let mut machine = Machine::new(true);
    for input in [command(Setup), Opened, StepTo(seconds(3)), Answered] {
        machine.handle(input, BUSY);
    }
    machine.handle(Checked, PLAYS);
    let rows = vec![
        (SeekDone, PLAYS, vec![Watch], State::Playing),
        (EndOfMovie, PLAYS, anew(), State::Playing),
        (Answered, BUSY, vec![Watch], State::Playing),
        (Checked, PLAYS, vec![HOLD, seeks(3), Watch], State::Playing),
        (EndOfMovie, PLAYS, ends(), Ready),
    ];
    run("after the seek", &mut machine, rows);
    let mut machine = playing(true);
    let rows = vec![
        (seek(1), PLAYS, vec![seeks(1)], State::Playing),
        (seek(2), BUSY, vec![Watch], State::Playing),
        (EndOfMovie, BUSY, anew(), State::Playing),
        (Answered, BUSY, vec![Watch], State::Playing),
        (Checked, PLAYS, vec![PASS, seeks(2)], State::Playing),
        (SeekDone, PLAYS, vec![], State::Playing),
        (EndOfMovie, PLAYS, ends(), Ready),
    ];
    run("during a seek", &mut machine, rows);
}

#[test]
fn a_step_is_cancelled_by_pause_and_by_teardown() {
    for cancel in [Pause, Teardown] {
        let mut machine = Machine::new(true);
        for input in [command(Setup), Opened, StepTo(seconds(3)), Answered] {
            machine.handle(input, BUSY);
        }
        machine.handle(Checked, PLAYS);
        assert!(machine.shows_still_picture());
        let want = match cancel {
            Pause => vec![CountPause, PASS_UNLESS_HELD, AwaitAnswer, Watch],
            _ => vec![PASS, Close],
        };
        assert_eq!(machine.handle(command(cancel), BUSY), want);
        assert!(!machine.handle(FrameArrived, BUSY).contains(&CountPause));
    }
}

#[test]
fn a_step_in_a_file_is_a_seek() {
    let mut machine = Machine::new(false);
    machine.handle(command(Setup), BUSY);
    let rows = vec![
        (StepTo(seconds(1)), BUSY, vec![], Init),
        (Input::Paused, PAUSED, vec![ReportState], Ready),
        (StepTo(seconds(1)), PAUSED, vec![seeks(1)], Ready),
        (StepTo(seconds(2)), BUSY, vec![Watch], Ready),
        (StepTo(seconds(3)), BUSY, vec![Watch], Ready),
        (SeekDone, PAUSED, vec![seeks(3)], Ready),
    ];
    run("file", &mut machine, rows);
}

#[test]
fn after_its_end_a_movie_plays_from_the_first_frame() {
    for is_remote in [true, false] {
        let answered = if is_remote { Answered } else { Input::Playing };
        let mut machine = playing(is_remote);
        machine.handle(Input::SetRate(2.0, seconds(1)), PLAYS);
        machine.handle(SeekDone, PLAYS);
        let rows = vec![
            (
                EndOfMovie,
                PLAYS,
                vec![PASS_UNLESS_HELD, Change(Paused), ReportState, ReportEnd],
                Ready,
            ),
            (command(Play), PAUSED, vec![PASS, Reopen, AwaitAnswer, Change(Playing)], Ready),
            (answered, PLAYS, vec![ReportState], State::Playing),
        ];
        run("end", &mut machine, rows);
        assert!((machine.rate() - 1.0).abs() < f64::EPSILON, "a new session has normal speed");
    }
}

#[test]
fn a_repeated_movie_starts_again_by_itself() {
    let again = |frames| {
        vec![
            PASS_UNLESS_HELD,
            Change(Paused),
            ReportState,
            frames,
            Reopen,
            AwaitAnswer,
            Change(Playing),
        ]
    };
    let mut machine = playing(true);
    machine.handle(Input::SetRepeat(true), PLAYS);
    run(
        "server",
        &mut machine,
        vec![
            (EndOfMovie, PLAYS, again(PASS), Ready),
            (Answered, BUSY, vec![ReportState], State::Playing),
        ],
    );
    // At another speed than the normal one, a new session needs a seek.
    machine.handle(Input::SetRate(2.0, seconds(1)), PLAYS);
    machine.handle(SeekDone, PLAYS);
    run(
        "server at double speed",
        &mut machine,
        vec![
            (EndOfMovie, PLAYS, [again(PASS_UNLESS_HELD), vec![Watch]].concat(), Ready),
            (Answered, BUSY, vec![ReportState, Watch], State::Playing),
            (
                Checked,
                PLAYS,
                vec![PASS, Effect::Seek { position: seconds(0), rate: 2.0 }],
                State::Playing,
            ),
        ],
    );
    let mut machine = playing(false);
    machine.handle(Input::SetRepeat(true), PLAYS);
    run("file", &mut machine, vec![(EndOfMovie, PLAYS, vec![seeks(0)], State::Playing)]);
}

#[test]
fn a_section_is_repeated() {
    for is_remote in [true, false] {
        let mut machine = playing(is_remote);
        machine.handle(Input::SetSection(Some((seconds(2), seconds(4)))), PLAYS);
        run(
            "section",
            &mut machine,
            vec![
                (SectionEnded, PLAYS, vec![seeks(2)], State::Playing),
                (SeekDone, PLAYS, vec![], State::Playing),
            ],
        );
        machine.handle(Input::SetSection(None), PLAYS);
        machine.handle(Input::SetSection(Some((seconds(2), seconds(4)))), PLAYS);
        machine.handle(command(Pause), PLAYS);
        machine.handle(SectionEnded, PLAYS);
        assert_eq!(machine.start_position(), Some(seconds(2)), "PLAY goes on there");
        let mut machine = playing(is_remote);
        // A late report.
        run("none", &mut machine, vec![(SectionEnded, PLAYS, vec![], State::Playing)]);
    }
}

#[test]
fn a_lost_session_is_opened_again_with_growing_waits() {
    let at = Reconnect::From(Some(seconds(9)));
    let retry = |attempt, wait| RetryAfter { attempt, wait: seconds(wait) };
    let setup = || vec![ContinueSession, AwaitAnswer, Change(Paused)];
    let mut machine = playing(true);
    let mut rows = vec![
        (Failed(at), PLAYS, vec![PASS, Close, retry(1, 1), Watch], State::Playing),
        (Closed, BUSY, vec![ReportState], Init),
        (Retry, BUSY, setup(), Init),
    ];
    for (attempt, wait) in [(2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30)] {
        rows.push((
            Failed(Reconnect::From(None)),
            BUSY,
            vec![PASS, Close, retry(attempt, wait)],
            Init,
        ));
        rows.push((Closed, BUSY, vec![], Init));
        rows.push((Retry, BUSY, setup(), Init));
    }
    rows.extend([
        (
            Opened,
            BUSY,
            vec![ReportState, PASS_UNLESS_HELD, AwaitAnswer, Change(Playing), Watch],
            Ready,
        ),
        (Answered, BUSY, vec![ReportState, Watch], State::Playing),
        // It goes on where it was.
        (Checked, PLAYS, vec![PASS, seeks(9)], State::Playing),
        (Failed(Reconnect::From(None)), PLAYS, vec![PASS, Close, retry(1, 1)], State::Playing),
        (Closed, BUSY, vec![ReportState], Init),
        // The user gives up.
        (command(Teardown), BUSY, vec![], Init),
        (Retry, BUSY, vec![], Init),
    ]);
    run("reconnect", &mut machine, rows);
}

#[test]
fn a_session_that_is_lost_while_it_is_paused_is_paused_again() {
    let mut machine = playing(true);
    for input in [command(Pause), Answered] {
        machine.handle(input, PLAYS);
    }
    let lost = Failed(Reconnect::From(Some(seconds(9))));
    let retry = RetryAfter { attempt: 1, wait: seconds(1) };
    run(
        "paused",
        &mut machine,
        vec![
            (lost, PAUSED, vec![PASS, Close, retry, Watch], Ready),
            (Closed, BUSY, vec![ReportState], Init),
            (Retry, BUSY, vec![ContinueSession, AwaitAnswer, Change(Paused)], Init),
            (Opened, BUSY, vec![ReportState, Watch], Ready),
        ],
    );
    assert_eq!((machine.reconnects(), machine.start_position()), (false, Some(seconds(9))));
}

#[test]
fn a_command_is_sent_again_over_another_connection() {
    for (command, target) in [(Setup, Paused), (Play, Playing)] {
        let mut machine = Machine::new(true);
        machine.handle(Input::Command(Setup), BUSY);
        if command == Play {
            for input in [Opened, seek(3), Input::Command(Play)] {
                machine.handle(input, BUSY);
            }
        }
        let effects = machine.handle(Input::ConnectAgain, BUSY);
        let want = vec![PASS, Close, ContinueSession, AwaitAnswer, Change(target)];
        assert_eq!(effects.iter().filter(|it| **it != Watch).cloned().collect::<Vec<_>>(), want);
        machine.handle(Closed, BUSY);
        assert_eq!((machine.state(), machine.pending()), (Init, Some(command)));
        machine.handle(if command == Play { Answered } else { Opened }, BUSY);
        assert_eq!(machine.state(), command.resulting_state());
        assert_eq!(machine.start_position(), (command == Play).then(|| seconds(3)));
    }
}

#[test]
fn a_session_that_was_never_set_up_is_not_opened_again() {
    let mut machine = Machine::new(true);
    run(
        "refused",
        &mut machine,
        vec![
            (command(Setup), BUSY, vec![StartSession, AwaitAnswer, Change(Paused)], Init),
            (Failed(Reconnect::From(None)), BUSY, vec![PASS, Close, ReportFailure], Init),
            (Closed, BUSY, vec![], Init),
        ],
    );
    let mut machine = playing(true);
    run(
        "not wanted",
        &mut machine,
        vec![
            (Failed(Reconnect::No), PLAYS, vec![PASS, Close, ReportFailure], State::Playing),
            (Closed, BUSY, vec![ReportState], Init),
        ],
    );
}
