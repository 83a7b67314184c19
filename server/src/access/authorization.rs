// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the value of an `Authorization` header (RFC 2617, RFC 7616).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// The maximum length of the value in bytes. Names and passwords are shorter.
pub(crate) const MAX_LENGTH: usize = 4096;

/// The hash function of digest authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    /// The name in a challenge.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }
}

/// How a client proves that it knows a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// The name and the password.
    Basic {
        /// The name.
        name: String,
        /// The password.
        password: Vec<u8>,
    },
    /// A hash that contains the password.
    Digest(Box<Digest>),
}

/// The credentials of digest authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest {
    pub name: String,
    pub realm: String,
    pub nonce: String,
    pub uri: String,
    /// The hash, in hexadecimal digits.
    pub response: String,
    pub algorithm: Algorithm,
    /// What a client sends that knows `qop`; others, such as rtspsrc 1.22, send what RFC 2069 has.
    pub qop: Option<Qop>,
}

/// The protection of a request by `qop=auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Qop {
    /// The number of the request, as it is sent: eight hexadecimal digits.
    pub nc: String,
    pub count: u32,
    pub cnonce: String,
}

impl fmt::Debug for Credentials {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic",
            Self::Digest(_) => "Digest",
        })
    }
}

/// Why a value cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is not valid: 400 Bad Request.
    Malformed,
    /// It is of a scheme or algorithm that was not asked for: like a wrong password.
    Unsupported,
}

impl Credentials {
    /// Reads a value.
    pub fn parse(value: &str) -> Result<Self, Unreadable> {
        if value.len() > MAX_LENGTH {
            return Err(Unreadable::Malformed);
        }
        let (scheme, rest) = value.split_once([' ', '\t']).ok_or(Unreadable::Malformed)?;
        if scheme.eq_ignore_ascii_case("Basic") {
            return Self::parse_basic(rest.trim()).ok_or(Unreadable::Malformed);
        }
        if scheme.eq_ignore_ascii_case("Digest") {
            let parameters = parse_parameters(rest).ok_or(Unreadable::Malformed)?;
            return Ok(Self::Digest(Box::new(Digest::read(&parameters)?)));
        }
        Err(Unreadable::Unsupported)
    }

    fn parse_basic(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        let colon = bytes.iter().position(|byte| *byte == b':')?;
        let (name, password) = bytes.split_at_checked(colon)?;
        // No user has a name that is not UTF-8.
        let name = String::from_utf8_lossy(name).into_owned();
        Some(Self::Basic { name, password: password.get(1..)?.to_vec() })
    }
}

type Parameters = Vec<(String, String)>;

/// Reads `name=value, name="value"`; each name once.
fn parse_parameters(text: &str) -> Option<Parameters> {
    let mut parameters: Parameters = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        if name.is_empty() || parameters.iter().any(|(known, _)| *known == name) {
            return None;
        }
        let after = after.trim_start_matches([' ', '\t']);
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after.find(',').unwrap_or(after.len());
                let (value, after) = after.split_at_checked(end)?;
                (value.trim().to_owned(), after)
            }
        };
        parameters.push((name, value));
        let after = after.trim_start_matches([' ', '\t']);
        if !after.is_empty() && !after.starts_with(',') {
            return None;
        }
        rest = after.trim_start_matches([' ', '\t', ',']);
    }
    Some(parameters)
}

/// Reads a quoted string after its first quotation mark. Returns it and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            char => value.push(char),
        }
    }
    None
}

impl Digest {
    fn read(parameters: &Parameters) -> Result<Self, Unreadable> {
        let get = |name: &str| {
            let mut matching = parameters.iter().filter(|(key, _)| key == name);
            matching.next().map(|(_, value)| value.as_str())
        };
        let need = |name: &str| get(name).map(ToOwned::to_owned).ok_or(Unreadable::Malformed);
        let algorithm = match get("algorithm") {
            None => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Algorithm::Sha256,
            Some(_) => return Err(Unreadable::Unsupported),
        };
        let qop = match get("qop") {
            None => None,
            Some("auth") => {
                let (nc, cnonce) = (need("nc")?, need("cnonce")?);
                let is_number = nc.len() == 8 && nc.bytes().all(|it| it.is_ascii_hexdigit());
                let count = u32::from_str_radix(&nc, 16).map_err(|_| Unreadable::Malformed)?;
                if !is_number {
                    return Err(Unreadable::Malformed);
                }
                Some(Qop { nc, count, cnonce })
            }
            Some(_) => return Err(Unreadable::Unsupported),
        };
        Ok(Self {
            name: need("username")?,
            realm: need("realm")?,
            nonce: need("nonce")?,
            uri: need("uri")?,
            response: need("response")?,
            algorithm,
            qop,
        })
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(algorithm: Algorithm, qop: Option<Qop>) -> Credentials {
        let text = ToOwned::to_owned;
        Credentials::Digest(Box::new(Digest {
            name: text("an\"a"),
            realm: text("r"),
            nonce: text("n"),
            uri: text("rtsp://h/m"),
            response: text("00"),
            algorithm,
            qop,
        }))
    }

    #[test]
    fn credentials_are_read_as_players_write_them() {
        use Algorithm::{Md5, Sha256};
        let base = "Digest username=\"an\\\"a\", realm=\"r\", nonce=\"n\", uri=\"rtsp://h/m\", \
                    response=\"00\"";
        let qop = |count, nc: &str| Some(Qop { nc: nc.into(), count, cnonce: "c".into() });
        let with = |rest: &str| format!("{base}{rest}");
        let basic = |name: &str, password: &[u8]| {
            Ok(Credentials::Basic { name: name.into(), password: password.into() })
        };
        let rows: Vec<(String, Result<Credentials, Unreadable>)> = vec![
            ("Basic YW5hOnNlY3JldA==".into(), basic("ana", b"secret")),
            ("basic  YTo6/w==".into(), basic("a", b":\xff")),
            ("Basic Og==".into(), basic("", b"")),
            ("Basic YW5h".into(), Err(Unreadable::Malformed)),
            ("Basic *".into(), Err(Unreadable::Malformed)),
            ("Basic".into(), Err(Unreadable::Malformed)),
            (String::new(), Err(Unreadable::Malformed)),
            ("Bearer x".into(), Err(Unreadable::Unsupported)),
            (with(""), Ok(digest(Md5, None))),
            (with(", algorithm=MD5,"), Ok(digest(Md5, None))),
            (with(",algorithm=\"SHA-256\""), Ok(digest(Sha256, None))),
            (with(", qop=auth, nc=0000000a, cnonce=\"c\""), Ok(digest(Md5, qop(10, "0000000a")))),
            (
                with(", qop=\"auth\",nc=\"00000001\" , cnonce=c"),
                Ok(digest(Md5, qop(1, "00000001"))),
            ),
            (with(", algorithm=MD5-sess"), Err(Unreadable::Unsupported)),
            (with(", qop=auth-int, nc=00000001, cnonce=c"), Err(Unreadable::Unsupported)),
            (with(", qop=auth, cnonce=c"), Err(Unreadable::Malformed)),
            (with(", qop=auth, nc=+0000001, cnonce=c"), Err(Unreadable::Malformed)),
            (with(", qop=auth, nc=1, cnonce=c"), Err(Unreadable::Malformed)),
            (with(", uri=\"rtsp://h/other\""), Err(Unreadable::Malformed)),
            (with(", URI=x"), Err(Unreadable::Malformed)),
            (with(", opaque=\"x"), Err(Unreadable::Malformed)),
            (with(" opaque=x"), Err(Unreadable::Malformed)),
            (with(", x"), Err(Unreadable::Malformed)),
            (base.replace("response", "answer"), Err(Unreadable::Malformed)),
            (with(&format!(", x=\"{}\"", "x".repeat(MAX_LENGTH))), Err(Unreadable::Malformed)),
            ("Digest ".into(), Err(Unreadable::Malformed)),
        ];
        for (value, want) in rows {
            assert_eq!(Credentials::parse(&value), want, "{value}");
        }
        // The password is not printed.
        let basic = Credentials::parse("Basic YW5hOnNlY3JldA==").unwrap();
        assert_eq!(format!("{basic:?}"), "Basic");
    }
}
