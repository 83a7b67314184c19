// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `Transport` header (RFC 2326 section 12.39): which of a client's offers is served.

/// The lowest port that RTP is sent to. Lower ones are other services'.
const LEAST_PORT: u16 = 1024;

/// How RTP and RTCP get to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In datagrams to these ports of the client.
    Udp {
        /// The port of RTP.
        rtp: u16,
        /// The port of RTCP.
        rtcp: u16,
    },
    /// In the RTSP connection, on these channels (section 10.12).
    Interleaved {
        /// The channel of RTP.
        rtp: u8,
        /// The channel of RTCP.
        rtcp: u8,
    },
}

impl Transport {
    /// The first of the offers, in the client's order of preference, that is served; `None` if
    /// none is: 461.
    pub fn choose(header: &str) -> Option<Self> {
        header.split(',').find_map(|offer| Self::of_offer(offer.trim()))
    }

    fn of_offer(offer: &str) -> Option<Self> {
        let mut parts = offer.split(';').map(str::trim);
        let protocol = parts.next()?.to_ascii_uppercase();
        let tcp = match protocol.as_str() {
            "RTP/AVP" | "RTP/AVP/UDP" => false,
            "RTP/AVP/TCP" => true,
            _ => return None,
        };
        let mut range = None;
        let wanted = if tcp { "interleaved" } else { "client_port" };
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            match name.as_str() {
                "multicast" => return None,
                "mode" if !value.trim_matches('"').eq_ignore_ascii_case("play") => return None,
                name if name == wanted => range = Some(numbers(value)?),
                _ => {}
            }
        }
        match (tcp, range) {
            (true, None) => Some(Self::Interleaved { rtp: 0, rtcp: 1 }),
            (true, Some((rtp, rtcp))) => {
                let rtp = u8::try_from(rtp).ok()?;
                let rtcp = match rtcp {
                    Some(rtcp) => u8::try_from(rtcp).ok()?,
                    None => rtp.checked_add(1)?,
                };
                (rtp < rtcp).then_some(Self::Interleaved { rtp, rtcp })
            }
            (false, Some((rtp, rtcp))) => {
                // RFC 3550 section 11: RTCP's port is the next one.
                let rtcp = match rtcp {
                    Some(rtcp) => rtcp,
                    None => rtp.checked_add(1)?,
                };
                (rtp >= LEAST_PORT && rtcp > rtp).then_some(Self::Udp { rtp, rtcp })
            }
            (false, None) => None,
        }
    }

    /// The offer as gst-rtsp-server is handed it.
    pub fn offer(self) -> String {
        match self {
            Self::Udp { rtp, rtcp } => format!("RTP/AVP;unicast;client_port={rtp}-{rtcp}"),
            Self::Interleaved { rtp, rtcp } => {
                format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}")
            }
        }
    }
}

/// A number, or two with a hyphen between.
fn numbers(text: &str) -> Option<(u16, Option<u16>)> {
    // No sign: `parse` takes a plus.
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits)
    };
    match text.split_once('-') {
        Some((first, last)) => Some((number(first.trim())?, Some(number(last.trim())?))),
        None => Some((number(text)?, None)),
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers() {
        let udp = |rtp, rtcp| Some(Transport::Udp { rtp, rtcp });
        let tcp = |rtp, rtcp| Some(Transport::Interleaved { rtp, rtcp });
        let rows = [
            ("RTP/AVP;unicast;client_port=5000-5001", udp(5000, 5001)),
            ("RTP/AVP/UDP;unicast;client_port=5000-5001;mode=\"PLAY\"", udp(5000, 5001)),
            ("rtp/avp; unicast; client_port = 5000 - 5001; mode=play", udp(5000, 5001)),
            ("RTP/AVP;unicast;client_port=45228", udp(45_228, 45_229)),
            ("RTP/AVP;client_port=5001-5000", None),
            ("RTP/AVP;unicast;client_port=0-0", None),
            ("RTP/AVP;unicast;client_port=53-54", None),
            ("RTP/AVP;unicast;client_port=65535", None),
            ("RTP/AVP;unicast;client_port=70000-70001", None),
            ("RTP/AVP;unicast;client_port=+5000-5001", None),
            ("RTP/AVP;unicast;client_port=", None),
            ("RTP/AVP;unicast", None),
            ("RTP/AVP;multicast;client_port=5000-5001", None),
            ("RTP/AVP;unicast;client_port=5000-5001;mode=RECORD", None),
            ("RTP/SAVP;unicast;client_port=5000-5001", None),
            ("RTP/AVP/TCP;unicast;interleaved=0-1", tcp(0, 1)),
            ("RTP/AVP/TCP;interleaved=6-7", tcp(6, 7)),
            ("RTP/AVP/TCP;interleaved=254", tcp(254, 255)),
            ("RTP/AVP/TCP", tcp(0, 1)),
            ("RTP/AVP/TCP;interleaved=7-3", None),
            ("RTP/AVP/TCP;interleaved=255", None),
            ("RTP/AVP/TCP;interleaved=256-257", None),
            ("RTP/AVP;multicast,RTP/AVP/TCP;interleaved=0-1", tcp(0, 1)),
            ("RTP/AVP;unicast;client_port=5000-5001,RTP/AVP/TCP", udp(5000, 5001)),
            ("RTP/UDP;client_port=5000", None),
            ("", None),
            (",;=,", None),
        ];
        for (header, want) in rows {
            assert_eq!(Transport::choose(header), want, "{header}");
        }
    }

    #[test]
    fn what_is_handed_on_is_understood_as_it_was() {
        for header in ["RTP/AVP;client_port=5000", "RTP/AVP/TCP;interleaved=4-9"] {
            let chosen = Transport::choose(header).unwrap();
            assert_eq!(Transport::choose(&chosen.offer()), Some(chosen));
        }
    }
}
