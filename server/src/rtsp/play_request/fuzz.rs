// SPDX-License-Identifier: MIT OR Apache-2.0
//! For any Range, Scale and Speed: start, end and rates stay within their limits.

use super::*;
use bolero::check;

/// An hour, in nanoseconds.
const DURATION: u64 = 3_600_000_000_000;

/// Makes each byte one of the characters of these headers: random bytes are hardly ever a number.
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
                let read = PlayRequest::read(range, scale.as_deref(), speed.as_deref(), duration);
                let Ok(request) = read else { continue };
                check_bounds(&request, duration);
            }
        }
    });
}

fn check_bounds(request: &PlayRequest, duration: Option<u64>) {
    let (least, most) = RATES;
    for rate in [request.scale, request.speed].into_iter().flatten() {
        assert!((least..=most).contains(&rate.abs()), "{request:?}");
    }
    assert!(
        request.speed.is_none_or(|speed| speed > 0.0),
        "only Scale goes backwards: {request:?}"
    );
    let backwards = request.scale.is_some_and(|scale| scale < 0.0);
    if let (Some(start), Some(end)) = (request.start, request.end) {
        assert!(if backwards { end <= start } else { end >= start }, "{request:?}");
    }
    // A microsecond is added because of rounding.
    if let (Some(start), Some(duration)) = (request.start, duration) {
        assert!(start <= duration.saturating_add(1000 + duration / 1_000_000_000), "{request:?}");
    }
    for time in [request.start, request.end].into_iter().flatten() {
        assert!(i64::try_from(time).is_ok(), "{request:?}");
    }
}
