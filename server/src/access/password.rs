// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads a password for the user commands, and makes the hashes that are stored of it.

use super::hashes::{Argon2Hash, md5_hash, sha256_hash};
use super::terminal::Terminal;
use super::users::User;
use crate::cli::PasswordHash;
use anyhow::{Context, Result, bail, ensure};
use std::io::{self, Read};

/// The maximum length of a password in bytes.
const MAX_PASSWORD: usize = 1024;

/// Reads a password from standard input, or asks for it twice on the terminal.
///
/// # Errors
/// If there is none, or it is not valid.
pub(super) fn read(from_stdin: bool) -> Result<Vec<u8>> {
    if from_stdin { read_line(io::stdin().lock()) } else { ask() }
}

/// Stores a password for a user, whose name is set, in one more way.
///
/// # Errors
/// If it cannot be hashed.
pub(super) fn store(user: &mut User, hash: PasswordHash, password: &[u8]) -> Result<()> {
    match hash {
        PasswordHash::Digest => {
            user.digest_md5 = Some(md5_hash(&user.name, password));
            user.digest_sha256 = Some(sha256_hash(&user.name, password));
        }
        PasswordHash::Argon2 => {
            let mut salt = [0; 16];
            getrandom::fill(&mut salt).context("the system has no random numbers")?;
            let hash = Argon2Hash::new(password, &salt);
            user.argon2 =
                Some(hash.map_err(|error| anyhow::anyhow!("cannot hash the password: {error}"))?);
        }
    }
    Ok(())
}

/// Reads the first line.
fn read_line(input: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input
        .take(MAX_PASSWORD as u64 + 2)
        .read_to_end(&mut bytes)
        .context("cannot read the password")?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    check(line.strip_suffix(b"\r").unwrap_or(line))
}

fn ask() -> Result<Vec<u8>> {
    let mut terminal = Terminal::open()
        .context("there is no terminal to ask for the password: use --password-stdin")?;
    let mut ask = |question: &str| -> Result<Vec<u8>> {
        match terminal.ask(question, MAX_PASSWORD + 1)? {
            Some(line) => check(&line),
            None => bail!("cancelled; nothing was changed"),
        }
    };
    let password = ask("Password: ")?;
    ensure!(ask("The same again: ")? == password, "the passwords differ; nothing was changed");
    Ok(password)
}

fn check(password: &[u8]) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(password).ok();
    let text = text.filter(|it| (1..=MAX_PASSWORD).contains(&it.len()));
    ensure!(
        text.is_some_and(|it| !it.contains(char::is_control)),
        "a password has 1 to {MAX_PASSWORD} bytes of UTF-8 without control characters"
    );
    Ok(password.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_a_line_of_text() {
        let long = "x".repeat(MAX_PASSWORD);
        let rows: [(&[u8], Option<&[u8]>); 9] = [
            (b"secret", Some(b"secret")),
            (b"secret\nmore", Some(b"secret")),
            (b" s p \r\n", Some(b" s p ")),
            ("\u{e9}".as_bytes(), Some("\u{e9}".as_bytes())),
            (long.as_bytes(), Some(long.as_bytes())),
            (b"", None),
            (b"\nsecret", None),
            (b"\xff", None),
            (b"a\tb", None),
        ];
        for (bytes, want) in rows {
            let got = read_line(bytes).ok();
            assert_eq!(got.as_deref(), want, "{}", bytes.escape_ascii());
        }
        assert!(read_line(format!("{long}x").as_bytes()).is_err());
    }
}
