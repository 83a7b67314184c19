// SPDX-License-Identifier: MIT OR Apache-2.0
//! For any Transport header: no port below 1024 is chosen, and the offer to gst-rtsp-server means the
//! same transport.

use super::*;
use bolero::check;

/// Each byte is a word of the header, or itself: random bytes are hardly ever an offer.
fn text(bytes: &[u8]) -> String {
    const WORDS: [&str; 20] = [
        "RTP/AVP",
        "RTP/AVP/TCP",
        "RTP/AVP/UDP",
        "rtp/avp",
        ";",
        ",",
        "=",
        "-",
        "client_port",
        "interleaved",
        "unicast",
        "multicast",
        "mode",
        "\"PLAY\"",
        "RECORD",
        "5000",
        "65535",
        "255",
        " ",
        "+",
    ];
    let spell = |byte: &u8| match WORDS.get(usize::from(*byte)) {
        Some(word) => (*word).to_owned(),
        None => char::from(*byte).to_string(),
    };
    bytes.iter().map(spell).collect()
}

#[test]
fn transport() {
    check!().for_each(|input: &[u8]| {
        for header in [text(input), String::from_utf8_lossy(input).into_owned()] {
            let Some(chosen) = Transport::choose(&header) else { continue };
            match chosen {
                Transport::Udp { rtp, rtcp } => {
                    assert!(rtp >= MIN_PORT && rtcp > rtp, "{header:?}: {chosen:?}");
                }
                Transport::Interleaved { rtp, rtcp } => {
                    assert!(rtcp > rtp, "{header:?}: {chosen:?}");
                }
            }
            assert_eq!(Transport::choose(&chosen.offer()), Some(chosen), "{header:?}");
        }
    });
}
