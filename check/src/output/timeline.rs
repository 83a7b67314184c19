// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packets of an exchange on a timeline, with the requests.

use super::escaped;
use super::ladder::Marked;
use crate::recording::{Event, Recording};
use std::fmt::Write;
use std::time::Duration;

/// The width of the drawing.
const WIDTH: f64 = 900.0;

/// Its height.
const HEIGHT: usize = 90;

/// The most packets that are drawn.
const MAX_PACKETS: usize = 3000;

/// Draws the packets. Returns nothing if there are none.
pub(super) fn timeline(recording: &Recording, marked: &Marked) -> String {
    if recording.packets.is_empty() {
        return String::new();
    }
    let times = recording.entries.iter().map(|entry| entry.at);
    let times = times.chain(recording.packets.iter().map(|packet| packet.at));
    let start = times.clone().min().unwrap_or_default();
    let length = times.max().unwrap_or_default().saturating_sub(start);
    let scale = (WIDTH - 40.0) / length.as_secs_f64().max(0.001);
    let x = |at: Duration| 20.0 + at.saturating_sub(start).as_secs_f64() * scale;
    let mut out = format!(
        "<svg class=\"timeline\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"packets\">\n\
         <line x1=\"0\" y1=\"70\" x2=\"{WIDTH}\" y2=\"70\" stroke=\"#8c8c88\"/>\n"
    );
    for (number, packet) in recording.packets.iter().enumerate().take(MAX_PACKETS) {
        let is_bad = marked.packets.contains(&number);
        let (class, colour) = if is_bad { ("bad", "#b3261e") } else { ("packet", "#1f4e8c") };
        // The packets of two clients are at two heights.
        let y = 40 - 14 * packet.port.min(2);
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "<line x1=\"{0:.1}\" y1=\"{y}\" x2=\"{0:.1}\" y2=\"{1}\" class=\"{class}\" stroke=\"{colour}\"/>",
            x(packet.at),
            y + 12
        );
    }
    let mut free_from = 0.0;
    for entry in &recording.entries {
        let Event::Request { method, .. } = &entry.event else { continue };
        let at = x(entry.at);
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" y1=\"4\" x2=\"{at:.1}\" y2=\"70\" class=\"request\" stroke=\"#c9a400\"/>"
        );
        // Names that would cover each other, or leave the drawing, are left out.
        if at >= free_from && at < WIDTH - 110.0 {
            let _ = writeln!(
                out,
                "<text x=\"{at:.1}\" y=\"84\" class=\"time\">{} {:.2} s</text>",
                escaped(method.word()),
                entry.at.as_secs_f64()
            );
            free_from = at + 110.0;
        }
    }
    out.push_str("</svg>\n");
    out
}
