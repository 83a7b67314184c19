// SPDX-License-Identifier: MIT OR Apache-2.0
//! For any Transport header: no port below 1024 is chosen, and the offer to gst-rtsp-server means the
//! same transport.

use super::*;
use crate::fuzz_words::expand;
use bolero::check;

/// Words of the Transport header.
const WORDS: [&[u8]; 20] = [
    b"RTP/AVP",
    b"RTP/AVP/TCP",
    b"RTP/AVP/UDP",
    b"rtp/avp",
    b";",
    b",",
    b"=",
    b"-",
    b"client_port",
    b"interleaved",
    b"unicast",
    b"multicast",
    b"mode",
    b"\"PLAY\"",
    b"RECORD",
    b"5000",
    b"65535",
    b"255",
    b" ",
    b"+",
];

#[test]
fn transport() {
    check!().for_each(|input: &[u8]| {
        for bytes in [expand(input, &WORDS), input.to_vec()] {
            let header = String::from_utf8_lossy(&bytes);
            let permitted = Permitted { unicast: true, udp: true, multicast: true };
            let Some(chosen) = Transport::offers(&header, permitted).next() else { continue };
            match chosen {
                Transport::Udp { rtp, rtcp } => {
                    assert!(rtp >= MIN_PORT && rtcp > rtp, "{header:?}: {chosen:?}");
                }
                Transport::Interleaved { rtp, rtcp } => {
                    assert!(rtcp > rtp, "{header:?}: {chosen:?}");
                }
                // gst-rtsp-server gets another one.
                Transport::Multicast => continue,
            }
            let offer = chosen.offer();
            let mut offered = Transport::offers(&offer, permitted);
            assert_eq!(offered.next(), Some(chosen), "{header:?}");
        }
    });
}
