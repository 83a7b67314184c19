// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab's states and commands.

/// The lab's states.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "MjpegRtspPlayerState")]
#[repr(i32)]
pub enum State {
    /// Not set up.
    #[default]
    Init,
    /// Set up, not playing.
    Ready,
    /// Playing.
    Playing,
}

impl State {
    /// The lab's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Ready => "READY",
            Self::Playing => "PLAYING",
        }
    }
}

/// One of the lab's four commands.
///
/// | command | action signal | allowed in | resulting state |
/// |---|---|---|---|
/// | Setup | `setup` | INIT | READY |
/// | Play | `play` | READY | PLAYING |
/// | Pause | `pause` | PLAYING | READY |
/// | Teardown | `teardown` | any; without a session it does nothing | INIT |
///
/// While one waits for its answer, only Teardown is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Open the session.
    Setup,
    /// Start sending frames.
    Play,
    /// Stop sending; keep the position.
    Pause,
    /// End the session.
    Teardown,
}

impl Command {
    /// All commands, in the order in which a session uses them.
    pub const ALL: [Self; 4] = [Self::Setup, Self::Play, Self::Pause, Self::Teardown];

    /// Its name, as on the lab's buttons.
    pub fn label(self) -> &'static str {
        match self {
            Self::Setup => "Setup",
            Self::Play => "Play",
            Self::Pause => "Pause",
            Self::Teardown => "Teardown",
        }
    }

    /// Name of its action signal.
    pub fn signal_name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Play => "play",
            Self::Pause => "pause",
            Self::Teardown => "teardown",
        }
    }

    /// The state after its answer.
    pub fn resulting_state(self) -> State {
        match self {
            Self::Setup | Self::Pause => State::Ready,
            Self::Play => State::Playing,
            Self::Teardown => State::Init,
        }
    }

    /// Why it is refused in `state` while `pending` waits for its answer; `None` if it is allowed.
    pub fn refusal(self, state: State, pending: Option<Self>) -> Option<String> {
        let label = self.label();
        match (self, state, pending) {
            (_, _, Some(pending)) if self != Self::Teardown => {
                Some(format!("{} is waiting for the server's answer", pending.label()))
            }
            (Self::Teardown, _, Some(_))
            | (Self::Setup, State::Init, None)
            | (Self::Play, State::Ready, None)
            | (Self::Pause, State::Playing, None)
            | (Self::Teardown, State::Ready | State::Playing, None) => None,
            (Self::Setup, ..) => Some(format!("{label} needs INIT: Teardown comes first")),
            (Self::Play, State::Init, _) => Some(format!("{label} needs READY: Setup comes first")),
            (Self::Play, ..) => Some(format!("{label} needs READY; the movie is already playing")),
            (Self::Pause, ..) => {
                Some(format!("{label} needs PLAYING, the state is {}", state.name()))
            }
            (Self::Teardown, ..) => {
                Some(format!("{label} needs a session, the state is {}", state.name()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_refused_has_a_reason() {
        // The state, the pending command, and the refusal of each command.
        type Row = (State, Option<Command>, [Option<&'static str>; 4]);
        let setup_waits = Some("Setup is waiting for the server's answer");
        let play_waits = Some("Play is waiting for the server's answer");
        let rows: [Row; 5] = [
            (
                State::Init,
                None,
                [
                    None,
                    Some("Play needs READY: Setup comes first"),
                    Some("Pause needs PLAYING, the state is INIT"),
                    Some("Teardown needs a session, the state is INIT"),
                ],
            ),
            (
                State::Ready,
                None,
                [
                    Some("Setup needs INIT: Teardown comes first"),
                    None,
                    Some("Pause needs PLAYING, the state is READY"),
                    None,
                ],
            ),
            (
                State::Playing,
                None,
                [
                    Some("Setup needs INIT: Teardown comes first"),
                    Some("Play needs READY; the movie is already playing"),
                    None,
                    None,
                ],
            ),
            (State::Init, Some(Command::Setup), [setup_waits, setup_waits, setup_waits, None]),
            (State::Ready, Some(Command::Play), [play_waits, play_waits, play_waits, None]),
        ];
        for (state, pending, want) in rows {
            for (command, want) in Command::ALL.into_iter().zip(want) {
                let got = command.refusal(state, pending);
                assert_eq!(got.as_deref(), want, "{state:?} {pending:?} {command:?}");
            }
        }
    }
}
