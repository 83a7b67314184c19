// SPDX-License-Identifier: MIT OR Apache-2.0
//! The user and the password of a server: from the command line, or typed in the terminal.

use crate::cli::Arguments;
use crate::player::{Failure, FailureKind, Protocol, movies};
use anyhow::{Context, Result, ensure};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::io::BufRead;

/// What to do without a terminal, in which the client could ask.
const ADVICE: &str = "write them into the address (rtsp://USER:PASSWORD@HOST/MOVIE), or use --user NAME \
                          --password-stdin";

/// The text of a failure to play `source`, where nothing can be asked.
pub fn text(failure: &Failure, source: &str) -> String {
    let asks = failure.kind == FailureKind::NotAuthorized && !movies::has_user(source);
    if asks { format!("{}: {ADVICE}", failure.text) } else { failure.text.clone() }
}

/// The most bytes of a password that are read.
const MAX_PASSWORD: u64 = 4096;

/// The source that the command line names, with the user and the password that it names.
///
/// # Errors
/// If the source has none, or there is no password.
pub fn source(arguments: &Arguments) -> Result<Option<String>> {
    let source = arguments.source()?;
    let Some(user) = &arguments.user else { return Ok(source) };
    let source = source.context("--user needs the address of a server")?;
    ensure!(
        Protocol::from_uri(&source) == Protocol::Rtsp,
        "--user is for rtsp:// and rtsps:// addresses"
    );
    let password = if arguments.password_stdin {
        read_password(std::io::stdin().lock())?
    } else {
        // In a terminal, and in the window, it is asked for.
        ensure!(!arguments.headless, "--user needs --password-stdin where nothing can be asked");
        return Ok(Some(source));
    };
    let with_user = movies::with_credentials(&source, user, &password);
    Ok(Some(with_user.context("the address names no server")?))
}

/// Reads the first line.
fn read_password(input: impl BufRead) -> Result<String> {
    let mut line = String::new();
    let read = input.take(MAX_PASSWORD).read_line(&mut line);
    read.context("cannot read the password from standard input")?;
    let password = line.trim_end_matches(['\r', '\n']);
    ensure!(!password.is_empty(), "standard input has no password: it must be the first line");
    Ok(password.to_owned())
}

/// A user and a password that are being typed. The password is not shown.
#[derive(Default)]
pub struct Login {
    server: String,
    user: String,
    password: String,
    at_password: bool,
}

/// What a key did.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyOutcome {
    /// Something is still missing.
    Unfinished,
    /// The password is complete.
    Finished,
    /// The user gave up.
    Cancelled,
}

impl Login {
    /// Asks for both, or only for the password of `user`.
    pub fn new(server: &str, user: Option<&str>) -> Self {
        Self {
            server: server.to_owned(),
            user: user.unwrap_or_default().to_owned(),
            password: String::new(),
            at_password: user.is_some(),
        }
    }

    /// The line to show.
    pub fn prompt(&self) -> String {
        if self.at_password {
            format!("Password of {} (not shown): ", self.user)
        } else {
            format!("User for {} (Esc: none): {}", self.server, self.user)
        }
    }

    /// Handles a key.
    pub fn press(&mut self, key: &KeyEvent) -> KeyOutcome {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let text = if self.at_password { &mut self.password } else { &mut self.user };
        match key.code {
            KeyCode::Esc => return KeyOutcome::Cancelled,
            KeyCode::Char('c' | 'd') if control => return KeyOutcome::Cancelled,
            KeyCode::Char('u') if control => text.clear(),
            KeyCode::Char(typed) if !control => text.push(typed),
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Enter if self.at_password => return KeyOutcome::Finished,
            KeyCode::Enter if self.user.is_empty() => return KeyOutcome::Cancelled,
            KeyCode::Enter => self.at_password = true,
            _ => {}
        }
        KeyOutcome::Unfinished
    }

    /// The address with what was typed.
    pub fn address(&self, source: &str) -> Option<String> {
        movies::with_credentials(source, &self.user, &self.password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line() {
        let rows = [
            ("secret\n", Ok("secret")),
            ("pass word \r\nmore", Ok("pass word ")),
            ("x", Ok("x")),
            ("\nx", Err("standard input has no password: it must be the first line")),
            ("", Err("standard input has no password: it must be the first line")),
        ];
        for (input, want) in rows {
            let got = read_password(input.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{input:?}");
        }
    }

    #[test]
    fn a_user_and_a_password_are_typed() {
        let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
        let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
        let type_in = |login: &mut Login, text: &str| {
            for c in text.chars() {
                assert_eq!(login.press(&key(KeyCode::Char(c))), KeyOutcome::Unfinished);
            }
        };
        let mut login = Login::new("h:554", None);
        type_in(&mut login, "anx");
        assert_eq!(login.press(&key(KeyCode::Backspace)), KeyOutcome::Unfinished);
        assert_eq!(login.prompt(), "User for h:554 (Esc: none): an");
        assert_eq!(login.press(&key(KeyCode::Enter)), KeyOutcome::Unfinished);
        type_in(&mut login, "wrong");
        assert_eq!(login.press(&control('u')), KeyOutcome::Unfinished);
        type_in(&mut login, "p@");
        assert_eq!(login.prompt(), "Password of an (not shown): ");
        assert_eq!(login.press(&key(KeyCode::Enter)), KeyOutcome::Finished);
        assert_eq!(login.address("rtsp://h/m").as_deref(), Some("rtsp://an:p%40@h/m"));

        for code in [KeyCode::Esc, KeyCode::Enter] {
            assert_eq!(Login::new("h", None).press(&key(code)), KeyOutcome::Cancelled);
        }
        assert_eq!(Login::new("h", Some("an")).press(&control('c')), KeyOutcome::Cancelled);
        assert_eq!(Login::new("h", Some("an")).prompt(), "Password of an (not shown): ");
    }
}
