// SPDX-License-Identifier: MIT OR Apache-2.0
//! The users of the configuration, and the rules that say which of them may watch a movie.

use super::hashes::{Argon2Hash, Md5Hash, Sha256Hash};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The role of a user whose configuration states none.
pub const DEFAULT_ROLE: &str = "viewer";

/// The maximum length of the name of a user or a role in bytes.
const MAX_NAME: usize = 64;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name that the user logs in with.
    pub name: String,
    /// The group of users that the user belongs to.
    pub role: String,
    /// The password for digest authentication with MD5, and for Basic.
    pub digest_md5: Option<Md5Hash>,
    /// The password for digest authentication with SHA-256, and for Basic.
    pub digest_sha256: Option<Sha256Hash>,
    /// The password for Basic only.
    pub argon2: Option<Argon2Hash>,
}

impl Default for User {
    fn default() -> Self {
        Self {
            name: String::new(),
            role: DEFAULT_ROLE.to_owned(),
            digest_md5: None,
            digest_sha256: None,
            argon2: None,
        }
    }
}

/// Whether a text can be the name of a user or a role: in Basic, a colon ends the name; in digest
/// authentication, it is in quotes.
pub fn is_name(text: &str) -> bool {
    let is_forbidden = |c: char| c.is_control() || ":\"\\".contains(c);
    !text.is_empty()
        && text.len() <= MAX_NAME
        && text.trim() == text
        && !text.starts_with('@')
        && text != UserRule::EVERY_USER
        && !text.contains(is_forbidden)
}

/// Some users, of whom each may watch a movie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRule {
    /// All users.
    All,
    /// All users with a role.
    Role(String),
    /// The user with a name.
    Name(String),
}

impl UserRule {
    /// The rule for all users, as it is written.
    const EVERY_USER: &str = "*";

    /// Reads a rule: `*`, `@ROLE` or `NAME`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == Self::EVERY_USER {
            return Some(Self::All);
        }
        let rule = match text.strip_prefix('@') {
            Some(role) => Self::Role(role.to_owned()),
            None => Self::Name(text.to_owned()),
        };
        is_name(text.strip_prefix('@').unwrap_or(text)).then_some(rule)
    }

    /// Whether a rule is for a user.
    pub fn matches(&self, user: &User) -> bool {
        match self {
            Self::All => true,
            Self::Role(role) => *role == user.role,
            Self::Name(name) => *name == user.name,
        }
    }
}

impl fmt::Display for UserRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(Self::EVERY_USER),
            Self::Role(role) => write!(f, "@{role}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Ways to log in, of which each user may have some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Schemes {
    /// A user has a hash for digest authentication with MD5.
    pub md5: bool,
    /// A user has a hash for digest authentication with SHA-256.
    pub sha256: bool,
    /// A user has a hash for Basic only.
    pub argon2: bool,
}

/// The users who may log in.
#[derive(Debug, Default)]
pub(crate) struct Users {
    by_name: HashMap<String, Arc<User>>,
    schemes: Schemes,
}

impl Users {
    /// The users of a configuration.
    pub fn new(users: Vec<User>) -> Self {
        let mut schemes = Schemes::default();
        for user in &users {
            schemes.md5 |= user.digest_md5.is_some();
            schemes.sha256 |= user.digest_sha256.is_some();
            schemes.argon2 |= user.argon2.is_some();
        }
        let users = users.into_iter().map(|user| (user.name.clone(), Arc::new(user)));
        Self { by_name: users.collect(), schemes }
    }

    /// Whether there is no user.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The ways to log in.
    pub fn schemes(&self) -> Schemes {
        self.schemes
    }

    /// The user with a name.
    pub fn get(&self, name: &str) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// Whether one of some rules is for the user with a name.
    pub fn matches(&self, name: &str, rules: &[UserRule]) -> bool {
        self.get(name).is_some_and(|user| rules.iter().any(|rule| rule.matches(user)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_all_users_a_role_or_a_name() {
        let user = User { name: "ana".into(), role: "staff".into(), ..User::default() };
        let long = "x".repeat(MAX_NAME + 1);
        let rows = [
            ("*", Some(true)),
            ("@staff", Some(true)),
            ("@viewer", Some(false)),
            ("ana", Some(true)),
            ("Ana", Some(false)),
            ("staff", Some(false)),
            ("", None),
            ("@", None),
            ("@*", None),
            ("@@staff", None),
            ("a:b", None),
            ("a\"b", None),
            (" ana", None),
            ("a\nb", None),
            (&long, None),
        ];
        for (text, want) in rows {
            let rule = UserRule::parse(text);
            assert_eq!(rule.as_ref().map(|rule| rule.matches(&user)), want, "{text:?}");
            assert_eq!(rule.map_or(text.to_owned(), |rule| rule.to_string()), text);
        }
    }
}
