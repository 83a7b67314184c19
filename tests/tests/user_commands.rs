// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands for users: `user add`, `user passwd` and `user remove`.

use crate::access::{SECRET, SECRET_IN_URL, add_user, folder, start, user_command};
use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::Folder;
use mjpeg_rtsp_tests::programs::{Server, Terminal, headless, program};
use mjpeg_rtsp_tests::wait_until;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn user_add_appends_to_the_file_and_keeps_the_rest() -> Result<()> {
    let folder = Folder::new()?;
    let config = folder.path().join("server.toml");
    let mode = || -> Result<u32> { Ok(std::fs::metadata(&config)?.permissions().mode() & 0o777) };
    let add = |arguments: &[&str], password: &str| -> Result<(bool, String)> {
        let done = add_user(&folder, arguments, password)?;
        Ok((done.status.success(), String::from_utf8(done.stderr)?))
    };
    assert!(add(&["ana"], SECRET)?.0);
    assert_eq!(mode()?, 0o600);
    // Independent hashes.
    let sum = |program: &str| -> Result<String> {
        let line = format!("printf '%s' 'ana:mjpeg-rtsp:{SECRET}' | {program}");
        let done = Command::new("sh").args(["-c", &line]).output()?;
        Ok(String::from_utf8(done.stdout)?.split(' ').next().unwrap_or_default().to_owned())
    };
    let ana = format!(
        "[[user]]\nname = \"ana\"\nrole = \"viewer\"\ndigest-md5 = \"{}\"\ndigest-sha256 = \"{}\"\n",
        sum("md5sum")?,
        sum("sha256sum")?
    );
    assert_eq!(std::fs::read_to_string(&config)?, ana);
    // A file of others, with comments, through a link.
    let text = "# mine\nlisten   = 8554 # here\n\n[limits]\nmax-sessions = 5";
    let real = folder.file("real.toml", text.as_bytes())?;
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640))?;
    std::fs::remove_file(&config)?;
    std::os::unix::fs::symlink("real.toml", &config)?;
    assert!(add(&["ana"], &format!("{SECRET}\r\nmore"))?.0);
    assert!(config.symlink_metadata()?.is_symlink());
    assert_eq!((std::fs::read_to_string(&real)?, mode()?), (format!("{text}\n\n{ana}"), 0o640));
    // What is refused changes nothing.
    let refused = [
        (
            &["ana"][..],
            "x",
            "real.toml has a user \"ana\" already: `user passwd ana` changes the password, `user remove \
             ana` removes the user",
        ),
        (&["a:b"], "x", "NAME: allowed are 1 to 64 bytes"),
        (&["b", "--role", "@x"], "x", "--role: allowed are 1 to 64 bytes"),
        (&["b"], "", "a password has 1 to 1024 bytes"),
        (&["b"], "a\tb", "a password has 1 to 1024 bytes"),
    ];
    for (arguments, password, want) in refused {
        let (done, error) = add(arguments, password)?;
        assert!(!done && error.contains(want), "{arguments:?}: {error}");
        assert_eq!(std::fs::read_to_string(&real)?, format!("{text}\n\n{ana}"), "{arguments:?}");
    }
    folder.file("real.toml", b"lisen = 1\n")?;
    let (done, error) = add(&["b"], "x")?;
    assert!(!done && error.contains("real.toml:1:1: found the key \"lisen\""), "{error}");
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 2);
    // In a terminal, twice, without showing it.
    folder.file("real.toml", b"")?;
    let program = program("mjpeg-rtsp-server")?.get_program().to_owned();
    let line = format!("{} user add ana --config {}", program.display(), config.display());
    for (second, want) in [("other", "the passwords differ"), (SECRET, "user \"ana\" added to")] {
        let mut terminal = Terminal::start(&line)?;
        let typed = [("Password: ", SECRET), ("The same again: ", second)];
        for (question, password) in typed {
            wait_until(question, LIMIT, || terminal.shown().is_ok_and(|it| it.contains(question)));
            terminal.press(&format!("x\u{8}\u{e9}\u{7f}{password}\n"))?;
        }
        terminal.wait(LIMIT)?;
        let shown = terminal.shown()?;
        assert!(shown.contains(want) && !shown.contains(SECRET), "{shown}");
    }
    assert_eq!(std::fs::read_to_string(&real)?, ana);
    Ok(())
}

/// The SHA-256 digest hash of a user's password, by an independent program.
fn sha256(user: &str, password: &str) -> Result<String> {
    let line = format!("printf '%s' '{user}:mjpeg-rtsp:{password}' | sha256sum");
    let done = Command::new("sh").args(["-c", &line]).output()?;
    Ok(String::from_utf8(done.stdout)?.split(' ').next().unwrap_or_default().to_owned())
}

#[test]
fn passwords_are_changed_and_users_removed_while_the_server_runs() -> Result<()> {
    let folder = folder("# Ours.", &[&["ana"], &["cleo", "--role", "staff"]])?;
    let config = folder.path().join("server.toml");
    let mut server = start(&folder, &[])?;
    let url = server.urls[0].replace("rtsp://", "rtsp://USER@");
    let play = |user: &str, password: &str| {
        let url = url.replace("USER", &format!("{user}:{password}"));
        headless(&["--transport", "tcp", "--frames", "3", &url]).map(|(code, _, _)| code)
    };
    assert_eq!(play("ana", SECRET_IN_URL)?, Some(0));
    let before = std::fs::read_to_string(&config)?;
    let done = user_command(&folder, &["passwd", "ana", "--password-stdin"], "other\n")?;
    let log = String::from_utf8(done.stderr)?;
    assert!(log.contains("password of \"ana\" changed in"), "{log}");
    // Only her two hashes have changed.
    let after = std::fs::read_to_string(&config)?;
    let changed: Vec<&str> = after.lines().filter(|line| !before.contains(line)).collect();
    assert_eq!(after.lines().count(), before.lines().count());
    let sha256 = format!("digest-sha256 = \"{}\"", sha256("ana", "other")?);
    assert!(changed.len() == 2 && changed[0].starts_with("digest-md5 = "), "{changed:?}");
    assert_eq!(changed[1], sha256);
    let reload = |server: &mut Server| -> Result<()> {
        let count = server.log()?.matches("configuration reloaded").count();
        server.process().signal("HUP")?;
        wait_until("reload", LIMIT, || {
            server.log().is_ok_and(|it| it.matches("configuration reloaded").count() > count)
        });
        Ok(())
    };
    reload(&mut server)?;
    assert_eq!((play("ana", SECRET_IN_URL)?, play("ana", "other")?), (Some(1), Some(0)));
    // Argon2 instead of digest.
    let arguments = ["passwd", "ana", "--password-stdin", "--hash", "argon2"];
    assert!(user_command(&folder, &arguments, "third")?.status.success());
    let text = std::fs::read_to_string(&config)?;
    assert!(
        text.contains("argon2 = \"$argon2id$") && text.matches("digest-").count() == 2,
        "{text}"
    );
    // A user whom a rule names is not removed; the other one is.
    let refused = [
        (&["remove", "ana"][..], "users: found \"ana\", but there is no such [[user]]"),
        (&["remove", "nobody"], "server.toml has no user \"nobody\""),
        (&["passwd", "nobody", "--password-stdin"], "server.toml has no user \"nobody\""),
        (&["passwd", "ana", "--password-stdin"], "a password has 1 to 1024 bytes"),
    ];
    for (arguments, want) in refused {
        let done = user_command(&folder, arguments, "")?;
        let log = String::from_utf8(done.stderr)?;
        assert!(!done.status.success() && log.contains(want), "{arguments:?}: {log}");
        assert_eq!(std::fs::read_to_string(&config)?, text, "{arguments:?}");
    }
    let without = text.replace("['ana', '@staff']", "['ana']");
    folder.file("server.toml", without.as_bytes())?;
    assert!(user_command(&folder, &["remove", "cleo"], "")?.status.success());
    let (start, _) = without.split_once("[[user]]\nname = \"cleo\"").context("no cleo")?;
    let (_, end) = without.split_once("[[mount]]").context("no mount")?;
    assert_eq!(std::fs::read_to_string(&config)?, format!("{start}[[mount]]{end}"));
    reload(&mut server)?;
    assert_eq!(play("cleo", SECRET_IN_URL)?, Some(1));
    server.is_well()
}
