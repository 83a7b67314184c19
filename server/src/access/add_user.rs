// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command `user add`: appends a user to the configuration file.

use super::hashes::{Argon2Hash, md5_hash, sha256_hash};
use super::terminal::Terminal;
use super::users::{User, is_name};
use crate::cli::{AddUser, PasswordHash};
use crate::config::Config;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// The maximum length of a password in bytes.
const MAX_PASSWORD: usize = 1024;

/// The permissions of a new file: the hashes in it are as secret as the passwords.
const NEW_FILE: u32 = 0o600;

/// Adds a user to the configuration file. Returns the path of the file.
///
/// # Errors
/// If the name or the password is not valid, the file has such a user or is not valid, or it cannot be
/// written. The file is not changed then.
pub fn add_user(arguments: &AddUser) -> Result<PathBuf> {
    let AddUser { name, role, config, password_stdin, hash } = arguments;
    let path = match config {
        Some(path) => path.clone(),
        None => Config::default_file().context(
            "there is no configuration file: name one with --config FILE, which need not exist",
        )?,
    };
    for (what, text) in [("NAME", name), ("--role", role)] {
        ensure!(
            is_name(text),
            "{what}: allowed are 1 to 64 bytes without : \" \\ and control characters, not * and not \
             with @ at the start"
        );
    }
    // A link stays a link.
    let path = match std::fs::canonicalize(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path,
        path => path?,
    };
    let before = match path.symlink_metadata() {
        Ok(_) => Config::read_file(&path)?,
        Err(_) => Vec::new(),
    };
    // Before the password is asked for.
    let present = Config::parse_file(&path, &before)?;
    ensure!(
        !present.users.iter().any(|user| user.name == *name),
        "{} has a user {name:?} already: remove that [[user]] first to give a new password",
        path.display()
    );
    let password =
        if *password_stdin { read_password(io::stdin().lock())? } else { ask_password()? };
    let mut user = User { name: name.clone(), role: role.clone(), ..User::default() };
    match hash {
        PasswordHash::Digest => {
            user.digest_md5 = Some(md5_hash(name, &password));
            user.digest_sha256 = Some(sha256_hash(name, &password));
        }
        PasswordHash::Argon2 => {
            let mut salt = [0; 16];
            getrandom::fill(&mut salt).context("the system has no random numbers")?;
            user.argon2 = Some(
                Argon2Hash::new(&password, &salt)
                    .map_err(|error| anyhow::anyhow!("cannot hash the password: {error}"))?,
            );
        }
    }
    let mut text = before.clone();
    if !text.is_empty() {
        text.extend_from_slice(if text.ends_with(b"\n") { b"\n" } else { b"\n\n" });
    }
    text.extend_from_slice(Config::user_to_toml(&user).as_bytes());
    Config::parse_file(&path, &text).context("the new user would make the file invalid")?;
    replace(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Reads the first line.
fn read_password(input: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input
        .take(MAX_PASSWORD as u64 + 2)
        .read_to_end(&mut bytes)
        .context("cannot read the password")?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    check_password(line.strip_suffix(b"\r").unwrap_or(line))
}

fn ask_password() -> Result<Vec<u8>> {
    let mut terminal = Terminal::open()
        .context("there is no terminal to ask for the password: use --password-stdin")?;
    let mut ask = |question: &str| -> Result<Vec<u8>> {
        match terminal.ask(question, MAX_PASSWORD + 1)? {
            Some(line) => check_password(&line),
            None => bail!("cancelled; nothing was changed"),
        }
    };
    let password = ask("Password: ")?;
    ensure!(ask("The same again: ")? == password, "the passwords differ; nothing was changed");
    Ok(password)
}

fn check_password(password: &[u8]) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(password).ok();
    let text = text.filter(|it| (1..=MAX_PASSWORD).contains(&it.len()));
    ensure!(
        text.is_some_and(|it| !it.contains(char::is_control)),
        "a password has 1 to {MAX_PASSWORD} bytes of UTF-8 without control characters"
    );
    Ok(password.to_vec())
}

/// Replaces a file as a whole: whoever reads it sees the old or the new one. Owner and permissions stay.
fn replace(path: &Path, text: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut mode = NEW_FILE;
    if let Ok(before) = path.metadata() {
        mode = before.mode() & 0o7777;
        let new = file.as_file().metadata()?;
        if (new.uid(), new.gid()) != (before.uid(), before.gid()) {
            fchown(file.as_file(), Some(before.uid()), Some(before.gid()))
                .context("cannot keep the owner of the file")?;
        }
        if mode & 0o004 != 0 {
            tracing::warn!(
                "{} can be read by all users of this machine, who could log in with what it contains: \
                 chmod o-r",
                path.display()
            );
        }
    }
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The new name is on the disk too.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
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
            let got = read_password(bytes).ok();
            assert_eq!(got.as_deref(), want, "{}", bytes.escape_ascii());
        }
        assert!(read_password(format!("{long}x").as_bytes()).is_err());
    }
}
