// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ends a movie whose RTCP BYE did not take effect.
//!
//! A server ends a movie with BYE (RFC 3550 section 6.6), by which rtspsrc notices the end. Over UDP it may be
//! lost, and rtpsession 1.22 ignores it if it is read before the first RTP packet. The player would wait for
//! frames that do not come. But it knows the movie's length from the description, and the frame on screen.

use super::{Exchange, Player, Protocol};
use glib::subclass::prelude::*;
use gst::prelude::*;
use std::time::{Duration, Instant};

/// The time between two checks.
const INTERVAL: Duration = Duration::from_millis(250);

/// A movie's last frame starts at most this long before its end.
const LONGEST_FRAME: Duration = Duration::from_secs(1);

/// The silence after which a movie has ended, from the time at which its last frame ends. BYE and the last
/// packets may be late.
const SILENCE: Duration = Duration::from_secs(2);

/// Watches the sessions of a player.
pub(super) fn watch(player: &Player) {
    if player.protocol() != Protocol::Rtsp {
        return;
    }
    let mut silence = None;
    player.every(INTERVAL, "lost-end-watch", move |player| {
        let machine = player.imp().machine();
        let plays = machine.plays()
            && machine.start_position().is_none()
            && machine.seek_target().is_none();
        drop(machine);
        if !plays {
            silence = None;
            return glib::ControlFlow::Continue;
        }
        let now = Instant::now();
        let known = silence.get_or_insert_with(|| Silence::new(player, now));
        known.update(player, now);
        let (Some(position), Some(duration)) = (player.position(), player.duration()) else {
            return glib::ControlFlow::Continue;
        };
        let is_over = is_over(position.into(), duration.into(), player.rate(), known.time);
        if is_over && known.has_lost_end() {
            known.is_ended = true;
            send_end(player);
        }
        glib::ControlFlow::Continue
    });
}

/// How long nothing has come since the movie plays.
#[derive(Debug)]
struct Silence {
    /// When this was first looked at.
    since: Instant,
    /// The bytes of RTP in the connection then.
    interleaved: u64,
    updated: Instant,
    /// What was seen last: the frame on screen, and the arrival of a packet.
    seen: (Option<gst::ClockTime>, Option<Instant>),
    time: Duration,
    /// A packet has come in the connection, in which nothing is lost.
    has_connection: bool,
    is_ended: bool,
}

impl Silence {
    fn new(player: &Player, now: Instant) -> Self {
        Self {
            since: now,
            interleaved: player.imp().collector().interleaved_bytes(),
            updated: now,
            seen: (None, None),
            time: Duration::ZERO,
            has_connection: false,
            is_ended: false,
        }
    }

    fn update(&mut self, player: &Player, now: Instant) {
        let seen = (player.position(), player.last_arrival());
        // After a delay of the machine, packets may still be in the socket: it counts as one interval.
        let passed = (now - self.updated).min(INTERVAL);
        self.time = if seen == self.seen { self.time + passed } else { Duration::ZERO };
        self.seen = seen;
        self.updated = now;
        self.has_connection |= player.imp().collector().interleaved_bytes() > self.interleaved;
    }

    /// Whether the movie has played, by datagrams, and its end has not been sent.
    fn has_lost_end(&self) -> bool {
        let has_played = self.seen.1.is_some_and(|arrival| arrival > self.since);
        has_played && !self.has_connection && !self.is_ended
    }
}

/// Whether the movie is over: its frame at `position` has been on screen for `silence`, and no packet came.
fn is_over(position: Duration, duration: Duration, rate: f64, silence: Duration) -> bool {
    let left = duration.saturating_sub(position);
    let longest = SILENCE.as_secs_f64() + left.as_secs_f64() / rate;
    // A length that is passed is wrong.
    let is_near_end = left <= LONGEST_FRAME && position <= duration + LONGEST_FRAME;
    is_near_end && silence.as_secs_f64() >= longest
}

/// Ends the stream as rtspsrc does at BYE.
fn send_end(player: &Player) {
    let source = player
        .imp()
        .playbin()
        .and_then(|playbin| playbin.property::<Option<gst::Element>>("source"));
    if let Some(source) = source {
        let note = "the movie is over, but the server's BYE has not arrived";
        player.imp().report(&Exchange::Note(note.to_owned()));
        source.send_event(gst::event::Eos::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_movie_is_over_after_its_last_frame_and_a_silence() {
        // Milliseconds: position, duration, silence; rate, and whether it is over.
        let rows = [
            (9950, 10_000, 2050, 1.0, true),
            (9950, 10_000, 2040, 1.0, false),
            (9000, 10_000, 3000, 1.0, true),
            (9000, 10_000, 2999, 1.0, false),
            (8999, 10_000, 60_000, 1.0, false),
            (9500, 10_000, 2250, 2.0, true),
            (9500, 10_000, 2240, 2.0, false),
            (9500, 10_000, 2999, 0.5, false),
            (11_000, 10_000, 2000, 1.0, true),
            (11_001, 10_000, 60_000, 1.0, false),
        ];
        for (position, duration, silence, rate, want) in rows {
            let [position, duration, silence] =
                [position, duration, silence].map(Duration::from_millis);
            let got = is_over(position, duration, rate, silence);
            assert_eq!(got, want, "{position:?} of {duration:?} at {rate}, {silence:?}");
        }
    }
}
