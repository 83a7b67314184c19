// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shows the bytes that prove a failure, with the wrong ones marked.

use crate::check::Excerpt;

/// The number of bytes in a line of hexadecimal numbers.
const IN_LINE: usize = 16;

/// The number of such lines.
const LINES: usize = 3;

/// A byte as it is shown, and whether it is marked.
pub(super) type Cell = (String, bool);

/// The lines of an excerpt, as cells.
pub(super) fn lines(excerpt: &Excerpt) -> Vec<Vec<Cell>> {
    let is_marked = |at: usize| excerpt.marked.contains(&at);
    if excerpt.is_text() {
        let mut lines = vec![Vec::new()];
        for (at, byte) in excerpt.bytes.iter().enumerate() {
            let shown = match byte {
                b'\n' => "\\n".to_owned(),
                b'\r' => "\\r".to_owned(),
                b' '..=b'~' => char::from(*byte).to_string(),
                byte => format!("\\x{byte:02x}"),
            };
            if let Some(line) = lines.last_mut() {
                line.push((shown, is_marked(at)));
            }
            if *byte == b'\n' && at + 1 < excerpt.bytes.len() {
                lines.push(Vec::new());
            }
        }
        return lines;
    }
    let chunks = excerpt.bytes.chunks(IN_LINE).take(LINES).enumerate();
    let cell = |at: usize, byte: &u8| (format!("{byte:02x} "), is_marked(at));
    chunks
        .map(|(line, bytes)| {
            bytes.iter().enumerate().map(|(at, byte)| cell(line * IN_LINE + at, byte)).collect()
        })
        .collect()
}

/// What the bytes are, and how many there are.
pub(super) fn heading(excerpt: &Excerpt) -> String {
    format!("{}, {} bytes", excerpt.of, excerpt.length)
}

/// An excerpt as text, with carets under the marked bytes.
pub(super) fn text(excerpt: &Excerpt) -> String {
    let mut text = heading(excerpt);
    for cells in lines(excerpt) {
        let line: String = cells.iter().map(|(shown, _)| shown.as_str()).collect();
        text += "\n";
        text += line.trim_end();
        let marks: String = cells
            .iter()
            .map(|(shown, marked)| {
                let width = shown.chars().count();
                let mark = if *marked { "^" } else { " " };
                if shown.ends_with(' ') && width > 1 {
                    format!("{} ", mark.repeat(width - 1))
                } else {
                    mark.repeat(width)
                }
            })
            .collect();
        if !marks.trim().is_empty() {
            text += "\n";
            text += marks.trim_end();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Pointer;

    #[test]
    fn marked_bytes_have_carets() {
        let reply = b"RTSP/1.0 200 OK\nCSeq: 1\r\n\x80";
        let excerpt = Excerpt::new("reply to PLAY (CSeq 2)", Pointer::Entry(0, 1), reply, 16..23);
        assert_eq!(
            text(&excerpt),
            "reply to PLAY (CSeq 2), 26 bytes\nRTSP/1.0 200 OK\\n\nCSeq: 1\\r\\n\n^^^^^^^\n\\x80"
        );
        let packet: Vec<u8> = (0x80..0xa0).collect();
        let excerpt = Excerpt::new("RTP packet", Pointer::Packet(0, 0), &packet, 14..18);
        assert_eq!(
            text(&excerpt),
            "RTP packet, 32 bytes\n\
             80 81 82 83 84 85 86 87 88 89 8a 8b 8c 8d 8e 8f\n\
             \u{20}                                         ^^ ^^\n\
             90 91 92 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f\n\
             ^^ ^^"
        );
    }
}
