// SPDX-License-Identifier: MIT OR Apache-2.0
//! The settings of multicast (RFC 2326 section 12.39): to which group a live movie is sent.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// To which groups a live movie is sent, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MulticastSettings {
    /// The addresses of the groups: at most one of each family. Without any there is no multicast.
    pub groups: Vec<GroupAddress>,
    /// The ports of which each movie gets two.
    pub ports: PortRange,
    /// The number of networks that packets pass, at most: the IPv4 TTL or the IPv6 hop limit.
    pub ttl: u8,
    /// The name of the network interface that sends; the one of the route if it is empty.
    pub interface: String,
    /// Whether RTP is sent in no other way.
    pub only: bool,
}

impl Default for MulticastSettings {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            ports: PortRange { first: 5004, last: 5099 },
            ttl: 1,
            interface: String::new(),
            only: false,
        }
    }
}

impl MulticastSettings {
    /// What the addresses of groups may be, for errors.
    pub const GROUPS: &str = "a list of at most one IPv4 and one IPv6 multicast address, such as \
                              [\"239.192.1.1\", \"ff15::1\"]; 224.0.0.0 to 224.0.0.255 are reserved";

    /// What the name of an interface may be, for errors.
    pub const INTERFACE: &str = "the name of a network interface such as \"eth0\", or \"\"";

    /// Whether there is at most one address of each family.
    pub fn are_groups(groups: &[GroupAddress]) -> bool {
        let of_family = |v4| groups.iter().filter(|group| group.0.is_ipv4() == v4).count();
        of_family(true) <= 1 && of_family(false) <= 1
    }

    /// Whether a text can be the name of an interface: as Linux checks it, and without control characters.
    pub fn is_interface(text: &str) -> bool {
        let is_valid = |c: char| !c.is_whitespace() && !c.is_control() && !"/:\"\\".contains(c);
        text.len() < 16 && !matches!(text, "." | "..") && text.chars().all(is_valid)
    }

    /// The group for viewers with addresses like `ip`.
    pub fn group_for(&self, ip: IpAddr) -> Option<IpAddr> {
        let mut groups = self.groups.iter().map(|group| group.0);
        groups.find(|group| group.is_ipv4() == ip.is_ipv4())
    }
}

/// The address of a multicast group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupAddress(IpAddr);

impl GroupAddress {
    /// Reads an address. Those of the local network's own protocols (224.0.0.0/24, RFC 5771 section 4) are
    /// not groups for a movie, nor are IPv6 addresses with the reserved scopes 0 and 15 (RFC 7346).
    pub fn parse(text: &str) -> Option<Self> {
        let address: IpAddr = text.parse().ok()?;
        let is_group = match address {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                ip.is_multicast() && [a, b, c] != [224, 0, 0] && ip != Ipv4Addr::BROADCAST
            }
            IpAddr::V6(ip) => {
                let scope = ip.segments()[0] & 0xf;
                ip.is_multicast() && scope != 0 && scope != 15
            }
        };
        is_group.then_some(Self(address))
    }
}

impl fmt::Display for GroupAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Some ports, of which RTP gets an even one and RTCP the next (RFC 3550 section 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// What a range may be, for errors.
    pub const ALLOWED: &str =
        "two ports from 1024 to 65535 such as \"5004-5099\", with an even one before an odd one";

    /// Reads `FIRST-LAST`.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        let port = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|port| is_number && *port >= 1024)
        };
        let range = Self { first: port(first)?, last: port(last)? };
        range.pairs().next().is_some().then_some(range)
    }

    /// The ports for RTP. Each has a next one for RTCP in the range.
    pub fn pairs(self) -> impl Iterator<Item = u16> {
        (self.first..self.last).filter(|port| port.is_multiple_of(2))
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_multicast_addresses_that_no_protocol_of_the_network_uses() {
        let rows = [
            ("239.192.1.1", true),
            ("232.0.0.1", true),
            ("224.0.1.1", true),
            ("ff15::1", true),
            ("ff02::1234", true),
            ("224.0.0.251", false),
            ("223.255.255.255", false),
            ("255.255.255.255", false),
            ("10.0.0.1", false),
            ("ff10::1", false),
            ("ff1f::1", false),
            ("fe80::1", false),
            ("::ffff:239.1.1.1", false),
            ("239.1.1.1/8", false),
            ("239.1.1.1:5004", false),
            ("", false),
        ];
        for (text, want) in rows {
            assert_eq!(GroupAddress::parse(text).is_some(), want, "{text}");
        }
    }

    #[test]
    fn a_range_has_an_even_port_before_an_odd_one() {
        let rows: [(&str, Option<&[u16]>); 11] = [
            ("5004-5007", Some(&[5004, 5006])),
            ("5003-5006", Some(&[5004])),
            ("5004-5005", Some(&[5004])),
            ("65534-65535", Some(&[65_534])),
            ("5004-5004", None),
            ("5005-5006", None),
            ("5007-5004", None),
            ("1023-2000", None),
            ("5004", None),
            ("+5004-5010", None),
            ("5004-65536", None),
        ];
        for (text, want) in rows {
            let got = PortRange::parse(text).map(|range| range.pairs().collect::<Vec<_>>());
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn names_of_interfaces_are_those_of_linux() {
        let rows = [("eth0", true), ("wlp3s0.7", true), ("", true), ("a b", false), ("..", false)];
        for (text, want) in rows {
            assert_eq!(MulticastSettings::is_interface(text), want, "{text}");
        }
        assert!(!MulticastSettings::is_interface("sixteen-chars-16"));
    }
}
