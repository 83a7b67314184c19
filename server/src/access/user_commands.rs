// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands `user add`, `user passwd` and `user remove`, which change the configuration file.

use super::password;
use super::user_file::UserFile;
use super::users::{User, is_name};
use crate::cli::{AddUser, ChangePassword, PasswordHash, RemoveUser, UserCommand};
use anyhow::{Context, Result, ensure};

/// Carries out a command. Returns what it has done, for the log.
///
/// # Errors
/// If that is not possible. The file is not changed then.
pub fn run(command: &UserCommand) -> Result<String> {
    match command {
        UserCommand::Add(arguments) => add(arguments),
        UserCommand::Passwd(arguments) => change_password(arguments),
        UserCommand::Remove(arguments) => remove(arguments),
    }
}

/// Adds a user.
fn add(arguments: &AddUser) -> Result<String> {
    let AddUser { name, role, config, password_stdin, hash } = arguments;
    for (what, text) in [("NAME", name), ("--role", role)] {
        ensure!(
            is_name(text),
            "{what}: allowed are 1 to 64 bytes without : \" \\ and control characters, not * and not \
             with @ at the start"
        );
    }
    let mut file = UserFile::open(config.as_deref())?;
    // Before the password is asked for.
    ensure!(
        file.user(name).is_none(),
        "{} has a user {name:?} already: `user passwd {name}` changes the password, `user remove {name}` \
         removes the user",
        file.path().display()
    );
    let password = password::read(*password_stdin)?;
    let mut user = User { name: name.clone(), role: role.clone(), ..User::default() };
    password::store(&mut user, *hash, &password)?;
    file.add(&user)?;
    Ok(format!("user {name:?} added to {}", file.save()?.display()))
}

/// Changes the password of a user. Without a hash, it is stored in the same ways as before.
fn change_password(arguments: &ChangePassword) -> Result<String> {
    let ChangePassword { name, config, password_stdin, hash } = arguments;
    let mut file = UserFile::open(config.as_deref())?;
    let present = file.user(name).with_context(|| no_user(&file, name))?.clone();
    let password = password::read(*password_stdin)?;
    let mut user = User { digest_md5: None, digest_sha256: None, argon2: None, ..present.clone() };
    let has_digest = present.digest_md5.is_some() || present.digest_sha256.is_some();
    let kinds =
        [(PasswordHash::Digest, has_digest), (PasswordHash::Argon2, present.argon2.is_some())];
    for (kind, is_present) in kinds {
        if hash.map_or(is_present, |hash| hash == kind) {
            password::store(&mut user, kind, &password)?;
        }
    }
    file.set_hashes(&user)?;
    Ok(format!("password of {name:?} changed in {}", file.save()?.display()))
}

/// Removes a user.
fn remove(arguments: &RemoveUser) -> Result<String> {
    let RemoveUser { name, config } = arguments;
    let mut file = UserFile::open(config.as_deref())?;
    ensure!(file.user(name).is_some(), no_user(&file, name));
    file.remove(name)?;
    Ok(format!("user {name:?} removed from {}", file.save()?.display()))
}

fn no_user(file: &UserFile, name: &str) -> String {
    format!("{} has no user {name:?}", file.path().display())
}
