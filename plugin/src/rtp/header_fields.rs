// SPDX-License-Identifier: MIT OR Apache-2.0
//! Explains the fields of RTP headers to people who see them on a screen: as RFC 3550 and RFC 2435 define
//! them, or as the course lab uses them.

use super::{PAYLOAD_TYPE_JPEG, RtpHeader};

/// A field of a header, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderField {
    /// Name in RFC 3550 section 5.1 or RFC 2435 section 3.1.
    pub name: &'static str,
    /// Size in bits.
    pub bits: u8,
    /// Content of the field.
    pub value: u32,
    /// What the content means.
    pub sentence: String,
}

fn field(name: &'static str, bits: u8, value: u32, sentence: impl Into<String>) -> HeaderField {
    HeaderField { name, bits, value, sentence: sentence.into() }
}

fn flag(set: bool, yes: &str, no: &str) -> String {
    (if set { yes } else { no }).to_owned()
}

/// What the lab and RTP/JPEG say differently about a header.
struct Sentences {
    version: String,
    marker: String,
    sequence_number: String,
    timestamp: String,
    ssrc: &'static str,
}

impl RtpHeader {
    /// Explains each field of the fixed header of RTP/JPEG, in order (RFC 3550 section 5.1, RFC 2435
    /// section 3).
    pub fn explain(&self) -> [HeaderField; 9] {
        self.fields(Sentences {
            version: match self.version {
                2 => "version 2, which is RTP's (RFC 3550)".to_owned(),
                other => format!("version {other} instead of 2, RTP's version"),
            },
            marker: flag(
                self.marker,
                "marker: this is the last packet of its frame (RFC 2435)",
                "no marker: the frame continues in the next packet (RFC 2435)",
            ),
            sequence_number:
                "counts the packets from a random number on; 0 follows 65535; a gap means lost packets"
                    .to_owned(),
            timestamp: "when the frame is shown, in ticks of 1/90000 s from a random number on; all packets \
                        of a frame have the same"
                .to_owned(),
            ssrc: "a random number, the same in every packet and RTCP report of the stream",
        })
    }

    /// Explains each field of the fixed header, in order, to the students who write lab servers.
    pub fn explain_in_lab(&self) -> [HeaderField; 9] {
        let seconds = self.timestamp.as_secs_f64();
        self.fields(Sentences {
            version: match self.version {
                2 => "version 2, which is RTP's (RFC 3550)".to_owned(),
                other => format!(
                    "version {other} instead of 2, RTP's version: write V into the upper two bits of the first byte"
                ),
            },
            marker: flag(
                self.marker,
                "marker: this packet ends its frame",
                "no marker: the frame continues, or the server does not use markers, like the textbook's",
            ),
            sequence_number: match self.sequence_number {
                0 => "frame 0, which the textbook's client never shows: count from 1".to_owned(),
                number => {
                    format!("in the lab the number of the frame: {number}; a gap means lost packets")
                }
            },
            timestamp: format!(
                "{seconds:.3} s, if the clock has 90000 ticks per second, as for video in RTP (RFC 3551)"
            ),
            ssrc: "the same in every packet of a stream",
        })
    }

    fn fields(&self, sentences: Sentences) -> [HeaderField; 9] {
        let Sentences { version, marker, sequence_number, timestamp, ssrc } = sentences;
        let padding = flag(self.padding, "padding follows the payload", "no padding");
        let extension = flag(self.extension, "one header extension follows", "no header extension");
        let sources = match self.csrc_count {
            0 => "no contributing sources".to_owned(),
            count => format!("{count} contributing sources follow the header, 4 bytes each"),
        };
        let payload_type = match self.payload_type {
            PAYLOAD_TYPE_JPEG => "payload type 26: JPEG (RFC 3551)".to_owned(),
            other => format!("payload type {other}; JPEG is 26"),
        };
        [
            field("V", 2, self.version.into(), version),
            field("P", 1, self.padding.into(), padding),
            field("X", 1, self.extension.into(), extension),
            field("CC", 4, self.csrc_count.into(), sources),
            field("M", 1, self.marker.into(), marker),
            field("PT", 7, self.payload_type.into(), payload_type),
            field("sequence number", 16, self.sequence_number.into(), sequence_number),
            field("timestamp", 32, self.timestamp.ticks(), timestamp),
            field(
                "SSRC",
                32,
                self.ssrc,
                format!("identifier of the source, 0x{:08x}: {ssrc}", self.ssrc),
            ),
        ]
    }
}

/// The main JPEG header, with which the payload of each RTP/JPEG packet starts (RFC 2435 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JpegHeader([u8; 8]);

impl JpegHeader {
    /// The header of a payload; `None` if the payload is shorter.
    pub fn of(payload: &[u8]) -> Option<Self> {
        payload.first_chunk().copied().map(Self)
    }

    /// Explains each field, in order.
    pub fn explain(self) -> [HeaderField; 6] {
        let Self([type_specific, o2, o1, o0, type_, q, width, height]) = self;
        let offset = u32::from_be_bytes([0, o2, o1, o0]);
        let pixels = |blocks: u8| format!("{} pixels, in blocks of 8", u32::from(blocks) * 8);
        [
            field(
                "type-specific",
                8,
                type_specific.into(),
                match type_specific {
                    0 => "a whole picture, not a field of interlaced video",
                    1..=3 => "a field of interlaced video",
                    _ => "not defined for this type",
                },
            ),
            field(
                "fragment offset",
                24,
                offset,
                match offset {
                    0 => "the frame's data starts with this packet".to_owned(),
                    1 => "1 byte of the frame's data is in an earlier packet".to_owned(),
                    _ => format!("{offset} bytes of the frame's data are in earlier packets"),
                },
            ),
            field("type", 8, type_.into(), sampling(type_)),
            field("Q", 8, q.into(), tables(q)),
            field("width", 8, width.into(), pixels(width)),
            field("height", 8, height.into(), pixels(height)),
        ]
    }
}

/// What a type means (RFC 2435 sections 3.1.3 and 4.1).
fn sampling(type_: u8) -> String {
    let base = match type_ & 63 {
        _ if type_ >= 128 => return "agreed on outside of RTP".to_owned(),
        0 => "4:2:2: colours have half the width",
        1 => "4:2:0: colours have half the width and height",
        _ => return "a type that RFC 2435 does not define".to_owned(),
    };
    match type_ {
        64.. => format!("{base}; with restart markers, so a restart header follows"),
        _ => format!("{base}; no restart markers"),
    }
}

/// What a Q means (RFC 2435 sections 3.1.4, 3.1.8 and 4.2).
fn tables(q: u8) -> &'static str {
    match q {
        1..=99 => "the quality from which the quantization tables follow",
        128..=254 => {
            "the number of quantization tables, which are in this packet or known from an earlier one"
        }
        255 => "each frame has its own quantization tables, in its first packet",
        0 | 100..=127 => "a value that RFC 2435 reserves",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Timestamp;
    use super::*;

    fn header(sequence_number: u16, timestamp: u32, marker: bool) -> RtpHeader {
        RtpHeader::jpeg(sequence_number, Timestamp::from_ticks(timestamp), 0x1234, marker)
    }

    fn sentences(fields: &[HeaderField]) -> Vec<&str> {
        fields.iter().map(|field| field.sentence.as_str()).collect()
    }

    #[test]
    fn every_field_is_explained() {
        let row = |field: &HeaderField| (field.name, field.bits, field.value);
        let want = [
            ("V", 2, 2),
            ("P", 1, 0),
            ("X", 1, 0),
            ("CC", 4, 0),
            ("M", 1, 1),
            ("PT", 7, 26),
            ("sequence number", 16, 7),
            ("timestamp", 32, 4500),
            ("SSRC", 32, 0x1234),
        ];
        let header = header(7, 4500, true);
        for fields in [header.explain(), header.explain_in_lab()] {
            assert_eq!(fields.each_ref().map(row), want);
            assert_eq!(fields.iter().map(|field| u32::from(field.bits)).sum::<u32>(), 96);
        }
    }

    /// The lab numbers frames; RFC 2435 numbers packets, and starts at random numbers.
    #[test]
    fn the_lab_and_the_standard_have_their_own_sentences() {
        let header = header(7, 4500, false);
        let want = [
            "version 2, which is RTP's (RFC 3550)",
            "no padding",
            "no header extension",
            "no contributing sources",
            "no marker: the frame continues in the next packet (RFC 2435)",
            "payload type 26: JPEG (RFC 3551)",
            "counts the packets from a random number on; 0 follows 65535; a gap means lost packets",
            "when the frame is shown, in ticks of 1/90000 s from a random number on; all packets of a frame have the same",
            "identifier of the source, 0x00001234: a random number, the same in every packet and RTCP report of the stream",
        ];
        assert_eq!(sentences(&header.explain()), want);
        let zero = RtpHeader { sequence_number: 0, version: 0, ..header };
        for explained in [&header, &zero].map(|it| sentences(&it.explain()).join("\n")) {
            assert!(!explained.contains("lab") && !explained.contains("textbook"), "{explained}");
        }
        let want = [
            "version 2, which is RTP's (RFC 3550)",
            "no padding",
            "no header extension",
            "no contributing sources",
            "no marker: the frame continues, or the server does not use markers, like the textbook's",
            "payload type 26: JPEG (RFC 3551)",
            "in the lab the number of the frame: 7; a gap means lost packets",
            "0.050 s, if the clock has 90000 ticks per second, as for video in RTP (RFC 3551)",
            "identifier of the source, 0x00001234: the same in every packet of a stream",
        ];
        assert_eq!(sentences(&header.explain_in_lab()), want);
        let lab = zero.explain_in_lab();
        assert!(lab.iter().any(|field| field.sentence.contains("instead of 2")), "{lab:?}");
        assert!(lab.iter().any(|field| field.sentence.contains("count from 1")), "{lab:?}");
    }

    #[test]
    fn the_jpeg_header_is_explained() {
        assert_eq!(JpegHeader::of(&[0; 7]), None);
        let header = JpegHeader::of(&[0, 0, 1, 2, 65, 255, 40, 30, 9]).unwrap();
        let fields = header.explain();
        let got = fields.each_ref().map(|field| (field.name, field.bits, field.value));
        let want = [
            ("type-specific", 8, 0),
            ("fragment offset", 24, 258),
            ("type", 8, 65),
            ("Q", 8, 255),
            ("width", 8, 40),
            ("height", 8, 30),
        ];
        assert_eq!(got, want);
        let want = [
            "a whole picture, not a field of interlaced video",
            "258 bytes of the frame's data are in earlier packets",
            "4:2:0: colours have half the width and height; with restart markers, so a restart header follows",
            "each frame has its own quantization tables, in its first packet",
            "320 pixels, in blocks of 8",
            "240 pixels, in blocks of 8",
        ];
        assert_eq!(sentences(&fields), want);
        let rows = [
            ([1, 0, 0, 0, 0, 50, 1, 1], ["a field of", "starts with", "4:2:2: ", "the quality"]),
            (
                [4, 0, 0, 0, 2, 0, 1, 1],
                ["not defined", "starts with", "does not define", "reserves"],
            ),
            (
                [0, 0, 0, 1, 66, 128, 1, 1],
                ["whole", "1 byte of", "does not define", "the number of"],
            ),
            ([0, 0, 0, 0, 128, 127, 1, 1], ["whole", "starts with", "outside of RTP", "reserves"]),
        ];
        for (bytes, parts) in rows {
            let fields = JpegHeader(bytes).explain();
            for (field, part) in fields.iter().zip(parts) {
                assert!(field.sentence.contains(part), "{bytes:?}: {field:?}, not {part}");
            }
        }
    }
}
