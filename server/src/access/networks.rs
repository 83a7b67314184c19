// SPDX-License-Identifier: MIT OR Apache-2.0
//! Networks whose viewers are served or not.

use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;

/// A network, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// What a network may be, for errors.
    pub const ALLOWED: &str =
        "a list of networks and addresses, such as [\"10.0.0.0/8\", \"192.168.1.7\", \"fd00::/8\"]";

    /// Reads `ADDRESS/BITS` or `ADDRESS`. IPv4 networks are written as such, not within IPv6.
    pub fn parse(text: &str) -> Option<Self> {
        let network = if text.contains('/') {
            text.parse().ok()?
        } else {
            IpNet::from(text.parse::<IpAddr>().ok()?)
        };
        let is_mapped = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
        (!is_mapped(network.addr())).then_some(Self(network))
    }

    /// Whether an address is in the network.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether an address is in one of some networks.
pub(crate) fn contain(networks: &[Network], ip: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(ip))
}

/// Whether an address is served: it is in no network of `deny`, and in one of `allow` if there is any.
pub(crate) fn permit(allow: &[Network], deny: &[Network], ip: IpAddr) -> bool {
    !contain(deny, ip) && (allow.is_empty() || contain(allow, ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(text: &str) -> Vec<Network> {
        text.split_whitespace().map(|text| Network::parse(text).unwrap()).collect()
    }

    #[test]
    fn an_address_is_served_if_it_is_allowed_and_not_denied() {
        let rows = [
            ("", "", "10.1.2.3", true),
            ("10.0.0.0/8", "", "10.1.2.3", true),
            ("10.9.9.9/8", "", "10.1.2.3", true),
            ("10.0.0.0/8", "", "11.1.2.3", false),
            ("10.0.0.0/8", "", "::1", false),
            ("10.0.0.0/8 ::1", "", "::1", true),
            ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", false),
            ("10.0.0.0/8", "10.1.0.0/16", "10.2.2.3", true),
            ("", "10.1.2.3", "10.1.2.3", false),
            ("", "10.1.2.3", "10.1.2.4", true),
            ("fd00::/8", "", "fd12::1", true),
            ("0.0.0.0/0", "", "fd12::1", false),
        ];
        for (allow, deny, ip, want) in rows {
            let got = permit(&networks(allow), &networks(deny), ip.parse().unwrap());
            assert_eq!(got, want, "{allow:?} {deny:?} {ip}");
        }
    }

    #[test]
    fn a_network_is_an_address_with_or_without_a_number_of_bits() {
        let rows = [
            ("10.0.0.1", Some("10.0.0.1/32")),
            ("10.0.0.1/8", Some("10.0.0.1/8")),
            ("FD00::/8", Some("fd00::/8")),
            ("::ffff:10.0.0.1", None),
            ("10.0.0.0/33", None),
            ("10.0.0", None),
            ("localhost", None),
            ("fe80::1%eth0", None),
            ("", None),
        ];
        for (text, want) in rows {
            let got = Network::parse(text).map(|network| network.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }
}
