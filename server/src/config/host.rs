// SPDX-License-Identifier: MIT OR Apache-2.0
//! The names by which browsers may reach the server over HTTP.

use std::fmt;

/// The maximum length of a host's name (RFC 1035 section 2.3.4).
const MAX_LENGTH: usize = 253;

/// The name of a host, in lower case, such as `cam.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

impl HostName {
    /// What a name may be.
    pub(crate) const ALLOWED: &str =
        "a list of names of hosts without a port, such as [\"cam.example.org\"]";

    /// Reads a name: letters, digits, `-`, `_` and `.`.
    pub fn parse(text: &str) -> Option<Self> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_name = !text.is_empty() && text.len() <= MAX_LENGTH && text.chars().all(is_allowed);
        is_name.then(|| Self(text.to_ascii_lowercase()))
    }

    /// Whether a name is the same, in upper or lower case.
    pub fn is(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_has_no_port() {
        let long = "x".repeat(MAX_LENGTH + 1);
        let rows = [
            ("cam.example.org", Some("cam.example.org")),
            ("CAM", Some("cam")),
            ("", None),
            ("cam:80", None),
            ("http://cam", None),
            ("*.example.org", None),
            (&long, None),
        ];
        for (text, want) in rows {
            let name = HostName::parse(text).map(|name| name.to_string());
            assert_eq!(name.as_deref(), want, "{text}");
        }
    }
}
