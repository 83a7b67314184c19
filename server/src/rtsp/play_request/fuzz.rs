// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whatever Range, Scale and Speed say: what is played is within bounds.

use super::*;
use bolero::check;

/// An hour, in nanoseconds.
const DURATION: u64 = 3_600_000_000_000;

/// Random bytes are hardly ever a number: each byte is one of the characters of these headers.
fn text(bytes: &[u8]) -> String {
    const CHARACTERS: &[u8; 32] = b"0123456789.:-+;=, eEnptsmowai\t\x80/";
    let character = |byte: &u8| char::from(CHARACTERS[usize::from(*byte) % CHARACTERS.len()]);
    bytes.iter().map(character).collect()
}

#[test]
fn play_request() {
    type Input = (u8, Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>, Option<u64>);
    check!().with_type().for_each(|(unit, range, scale, speed, duration): &Input| {
        let units = ["npt=", "smpte=", "smpte-25=", "smpte-30-drop=", ""];
        let range = units[usize::from(*unit) % units.len()].to_owned() + &text(range);
        let raw = String::from_utf8_lossy(range.as_bytes()).into_owned();
        let (scale, speed) = (scale.as_deref().map(text), speed.as_deref().map(text));
        for duration in [None, Some(DURATION), *duration] {
            for range in [None, Some(range.as_str()), Some(raw.as_str())] {
                let read = Asked::read(range, scale.as_deref(), speed.as_deref(), duration);
                let Ok(asked) = read else { continue };
                check_bounds(&asked, duration);
            }
        }
    });
}

fn check_bounds(asked: &Asked, duration: Option<u64>) {
    let (least, most) = RATES;
    for rate in [asked.scale, asked.speed].into_iter().flatten() {
        assert!((least..=most).contains(&rate.abs()), "{asked:?}");
    }
    assert!(asked.speed.is_none_or(|speed| speed > 0.0), "only Scale goes backwards: {asked:?}");
    let backwards = asked.scale.is_some_and(|scale| scale < 0.0);
    if let (Some(begin), Some(end)) = (asked.begin, asked.end) {
        assert!(if backwards { end <= begin } else { end >= begin }, "{asked:?}");
    }
    // A microsecond for the rounding of what is read.
    if let (Some(begin), Some(duration)) = (asked.begin, duration) {
        assert!(begin <= duration.saturating_add(1000 + duration / 1_000_000_000), "{asked:?}");
    }
    for time in [asked.begin, asked.end].into_iter().flatten() {
        assert!(i64::try_from(time).is_ok(), "{asked:?}");
    }
}
