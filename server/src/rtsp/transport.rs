// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chooses a transport from the `Transport` header of a SETUP request (RFC 2326 section 12.39).

/// The lowest port that RTP is sent to. Lower ones belong to system services.
const MIN_PORT: u16 = 1024;

/// How RTP and RTCP are sent to a viewer.
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
    /// In datagrams to the multicast group of the movie. The client has no choice of address or ports.
    Multicast,
}

/// The transports that a client may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permitted {
    /// To the client's own address: over UDP, and in the connection.
    pub unicast: bool,
    /// In datagrams, which are not encrypted.
    pub udp: bool,
    /// To the multicast group of the movie.
    pub multicast: bool,
}

impl Transport {
    /// The offers that are supported and permitted, in the client's order of preference. If there is none,
    /// the answer is 461.
    pub fn offers(header: &str, permitted: Permitted) -> impl Iterator<Item = Self> {
        let offers = header.split(',').filter_map(|offer| Self::parse_offer(offer.trim()));
        offers.filter(move |offer| match offer {
            Self::Udp { .. } => permitted.unicast && permitted.udp,
            Self::Interleaved { .. } => permitted.unicast,
            Self::Multicast => permitted.multicast && permitted.udp,
        })
    }

    fn parse_offer(offer: &str) -> Option<Self> {
        let mut parameters = offer.split(';').map(str::trim);
        let protocol = parameters.next()?.to_ascii_uppercase();
        let tcp = match protocol.as_str() {
            "RTP/AVP" | "RTP/AVP/UDP" => false,
            "RTP/AVP/TCP" => true,
            _ => return None,
        };
        let mut numbers = None;
        let mut multicast = false;
        let name_of_numbers = if tcp { "interleaved" } else { "client_port" };
        for parameter in parameters {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            match name.as_str() {
                "multicast" if tcp => return None,
                "multicast" => multicast = true,
                "mode" if !value.trim_matches('"').eq_ignore_ascii_case("play") => return None,
                name if name == name_of_numbers => numbers = Some(parse_numbers(value)?),
                _ => {}
            }
        }
        if multicast {
            return Some(Self::Multicast);
        }
        match (tcp, numbers) {
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
                // RFC 3550 section 11: RTCP uses the next port.
                let rtcp = match rtcp {
                    Some(rtcp) => rtcp,
                    None => rtp.checked_add(1)?,
                };
                (rtp >= MIN_PORT && rtcp > rtp).then_some(Self::Udp { rtp, rtcp })
            }
            (false, None) => None,
        }
    }

    /// A `Transport` header that offers exactly this, for gst-rtsp-server. It does not know multicast
    /// sessions: it keeps only their time limits.
    pub fn offer(self) -> String {
        match self {
            Self::Udp { rtp, rtcp } => format!("RTP/AVP;unicast;client_port={rtp}-{rtcp}"),
            Self::Interleaved { rtp, rtcp } => {
                format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}")
            }
            Self::Multicast => "RTP/AVP/TCP;unicast;interleaved=0-1".to_owned(),
        }
    }
}

/// Parses a number, or two with a hyphen between.
fn parse_numbers(text: &str) -> Option<(u16, Option<u16>)> {
    // Digits only: `parse` would accept a plus sign.
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

    /// The first offer for a client that may have these transports besides TCP.
    fn choose(header: &str, udp: bool, multicast: bool) -> Option<Transport> {
        Transport::offers(header, Permitted { unicast: true, udp, multicast }).next()
    }

    #[test]
    fn multicast_is_chosen_where_it_is_permitted() {
        let tcp = Some(Transport::Interleaved { rtp: 0, rtcp: 1 });
        let (group, udp) =
            (Some(Transport::Multicast), Some(Transport::Udp { rtp: 5000, rtcp: 5001 }));
        // The header; what is chosen if all is permitted, without multicast, without UDP, and if unicast is
        // not permitted.
        let rows = [
            ("RTP/AVP;multicast", [group, None, None, group]),
            ("RTP/AVP/UDP;multicast;mode=play", [group, None, None, group]),
            // The client has no choice of these.
            ("RTP/AVP;multicast;destination=10.0.0.1;port=1-2;ttl=300", [group, None, None, group]),
            ("RTP/AVP/UDP;multicast,RTP/AVP/TCP;interleaved=0-1", [group, tcp, tcp, group]),
            ("RTP/AVP/TCP,RTP/AVP;multicast", [tcp, tcp, tcp, group]),
            ("RTP/AVP;unicast;client_port=5000-5001,RTP/AVP;multicast", [udp, udp, None, group]),
            ("RTP/AVP/TCP;multicast", [None; 4]),
            ("RTP/AVP;multicast;mode=RECORD", [None; 4]),
        ];
        let permitted =
            [(true, true, true), (true, true, false), (true, false, true), (false, true, true)]
                .map(|(unicast, udp, multicast)| Permitted { unicast, udp, multicast });
        for (header, want) in rows {
            let got = permitted.map(|permitted| Transport::offers(header, permitted).next());
            assert_eq!(got, want, "{header}");
        }
    }

    #[test]
    fn the_first_supported_offer_is_chosen() {
        let udp = |rtp, rtcp| Some(Transport::Udp { rtp, rtcp });
        let tcp = |rtp, rtcp| Some(Transport::Interleaved { rtp, rtcp });
        let rows = [
            ("RTP/AVP;unicast;client_port=5000-5001", udp(5000, 5001)),
            ("RTP/AVP/UDP;unicast;client_port=5000-5001;mode=\"PLAY\"", udp(5000, 5001)),
            ("rtp/avp; unicast; client_port = 5000 - 5001; mode=play", udp(5000, 5001)),
            ("RTP/AVP;unicast;client_port=45228", udp(45_228, 45_229)),
            ("RTP/AVP/TCP;unicast;interleaved=0-1", tcp(0, 1)),
            ("RTP/AVP/TCP;interleaved=6-7", tcp(6, 7)),
            ("RTP/AVP/TCP;interleaved=254", tcp(254, 255)),
            ("RTP/AVP/TCP", tcp(0, 1)),
            ("RTP/AVP;multicast,RTP/AVP/TCP;interleaved=0-1", tcp(0, 1)),
            ("RTP/AVP;unicast;client_port=5000-5001,RTP/AVP/TCP", udp(5000, 5001)),
        ];
        for (header, want) in rows {
            assert_eq!(choose(header, true, false), want, "{header}");
        }
        let unsupported = |header: &str| assert_eq!(choose(header, true, false), None, "{header}");
        let ports = ["0-0", "53-54", "65535", "70000-70001", "+5000-5001", "5001-5000", ""];
        for ports in ports {
            unsupported(&format!("RTP/AVP;unicast;client_port={ports}"));
        }
        for channels in ["7-3", "255", "256-257"] {
            unsupported(&format!("RTP/AVP/TCP;interleaved={channels}"));
        }
        let ports = "client_port=5000-5001";
        for protocol in ["RTP/SAVP;unicast", "RTP/UDP", "RTP/AVP;multicast", "RTP/AVP;mode=RECORD"]
        {
            unsupported(&format!("{protocol};{ports}"));
        }
        for header in ["RTP/AVP;unicast", "", ",;=,"] {
            unsupported(header);
        }
    }

    #[test]
    fn the_offer_to_gst_rtsp_server_means_the_same_transport() {
        for header in ["RTP/AVP;client_port=5000", "RTP/AVP/TCP;interleaved=4-9"] {
            let chosen = choose(header, true, false).unwrap();
            assert_eq!(choose(&chosen.offer(), true, false), Some(chosen));
            let interleaved = Some(chosen).filter(|it| matches!(it, Transport::Interleaved { .. }));
            assert_eq!(choose(&chosen.offer(), false, false), interleaved);
        }
    }
}
