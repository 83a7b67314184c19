// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ends a movie whose RTCP BYE did not take effect.
//!
//! A server ends a movie with BYE (RFC 3550 section 6.6), by which rtspsrc notices the end. Over UDP it may be
//! lost, and rtpsession 1.22 ignores it if it is read before the first RTP packet. The player would wait for
//! frames that do not come. But it knows the movie's length from the description, and the frame on screen.

use super::{Player, Protocol, State};
use glib::subclass::prelude::*;
use gst::prelude::*;
use std::time::{Duration, Instant};

/// The time between two looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// A movie's last frame starts at most this long before its end.
const LONGEST_FRAME: Duration = Duration::from_secs(1);

/// The silence after which a movie has ended, from the time at which its last frame ends. BYE itself and the
/// last packets may be late.
const SILENCE: Duration = Duration::from_secs(1);

/// Watches the sessions of a player.
pub(super) fn watch(player: &Player) {
    if player.protocol() != Protocol::Rtsp {
        return;
    }
    let mut shown = None;
    player.every(INTERVAL, "lost-end-watch", move |player| {
        let position = frame_of_datagrams(player);
        if shown.is_none_or(|(last, _)| Some(last) != position) {
            shown = position.map(|position| (position, Instant::now()));
        }
        let (Some((position, since)), Some(duration)) = (shown, player.duration()) else {
            return glib::ControlFlow::Continue;
        };
        // The last packet may have come after the frame that is on screen.
        let since = player.last_arrival().map_or(since, |last| last.max(since));
        if is_over(position.into(), duration.into(), player.rate(), since.elapsed()) {
            shown = None;
            send_end(player);
        }
        glib::ControlFlow::Continue
    });
}

/// The position of the frame on screen, of a movie that plays by datagrams. In a connection nothing is lost.
fn frame_of_datagrams(player: &Player) -> Option<gst::ClockTime> {
    let imp = player.imp();
    let is_seeking = {
        let machine = imp.machine();
        machine.start_position().is_some() || machine.seek_target().is_some()
    };
    let plays = player.state() == State::Playing && player.pending().is_none() && !is_seeking;
    let has_connection = imp.collector().interleaved_bytes() > 0;
    player.position().filter(|_| plays && !has_connection)
}

/// Whether a movie has ended of which the frame at `position` has been on screen for the time `silence`.
fn is_over(position: Duration, duration: Duration, rate: f64, silence: Duration) -> bool {
    let left = if rate < 0.0 { position } else { duration.saturating_sub(position) };
    let longest = SILENCE.as_secs_f64() + left.as_secs_f64() / rate.abs();
    left <= LONGEST_FRAME && silence.as_secs_f64() >= longest
}

/// Ends the stream as BYE does.
fn send_end(player: &Player) {
    let source = player
        .imp()
        .playbin()
        .and_then(|playbin| playbin.property::<Option<gst::Element>>("source"));
    if let Some(source) = source {
        tracing::info!("the movie ends without BYE");
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
            (9950, 10_000, 1050, 1.0, true),
            (9950, 10_000, 1040, 1.0, false),
            (9000, 10_000, 2000, 1.0, true),
            (9000, 10_000, 1999, 1.0, false),
            (8999, 10_000, 60_000, 1.0, false),
            (9500, 10_000, 1250, 2.0, true),
            (9500, 10_000, 1240, 2.0, false),
            (9500, 10_000, 1999, 0.5, false),
            (10_100, 10_000, 1000, 1.0, true),
            (0, 10_000, 1000, -1.0, true),
            (40, 10_000, 1039, -1.0, false),
            (9950, 10_000, 60_000, -1.0, false),
        ];
        for (position, duration, silence, rate, want) in rows {
            let [position, duration, silence] =
                [position, duration, silence].map(Duration::from_millis);
            let got = is_over(position, duration, rate, silence);
            assert_eq!(got, want, "{position:?} of {duration:?} at {rate}, {silence:?}");
        }
    }
}
