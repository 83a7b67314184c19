// SPDX-License-Identifier: MIT OR Apache-2.0
//! Users and passwords, in the terminal and headless.

use crate::odd_servers::{interleaved, packets};
use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies;
use mjpeg_rtsp_tests::peer::rtsp_server::{RtspRequest, RtspServer};
use mjpeg_rtsp_tests::programs::{Guard, Terminal, normalized, program, target_folder};
use mjpeg_rtsp_tests::{pace, wait_until};
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(40);

/// A server that plays only for `student` with the password `p@ss:1`, by Basic or Digest.
fn asking_server(scheme: &'static str) -> Result<RtspServer> {
    let image = movies::images(1, "I420")?.remove(0);
    RtspServer::start(move |request, stream| {
        let challenge = match scheme {
            "Basic" => "WWW-Authenticate: Basic realm=\"lab\"\r\n".to_owned(),
            _ => "WWW-Authenticate: Digest realm=\"lab\", nonce=\"abc\"\r\n".to_owned(),
        };
        if request.method != "OPTIONS" && !is_authorized(scheme, request) {
            return stream.write_all(&request.reply("401 Unauthorized", &challenge, ""));
        }
        stream.write_all(&request.answer())?;
        if request.method == "PLAY" {
            let mut send = interleaved(stream.try_clone()?);
            let image = image.clone();
            std::thread::spawn(move || -> Result<()> {
                let mut number = 1;
                for at in 0.. {
                    for packet in packets(&image, 7, &mut number, at * 4500)? {
                        send(0, &packet)?;
                    }
                    pace(Duration::from_millis(50));
                }
                Ok(())
            });
        }
        Ok(())
    })
}

/// Checks the header Authorization (RFC 7617; RFC 2069, which GStreamer speaks).
fn is_authorized(scheme: &str, request: &RtspRequest) -> bool {
    let header = request.text.lines().find_map(|line| line.strip_prefix("Authorization: "));
    let Some(header) = header else { return false };
    if scheme == "Basic" {
        // base64 of student:p@ss:1
        return header == "Basic c3R1ZGVudDpwQHNzOjE=";
    }
    let field = |name: &str| {
        let value = header.split(&format!("{name}=\"")).nth(1)?;
        value.split('"').next()
    };
    let md5 =
        |text: String| gst::glib::compute_checksum_for_string(gst::glib::ChecksumType::Md5, text);
    let of = |text: String| md5(text).map(String::from).unwrap_or_default();
    let user = of("student:lab:p@ss:1".to_owned());
    let uri = field("uri").unwrap_or_default();
    let what = of(format!("{}:{uri}", request.method));
    header.starts_with("Digest ")
        && field("username") == Some("student")
        && field("response") == Some(&of(format!("{user}:abc:{what}")))
}

#[test]
fn the_terminal_asks_for_a_user_and_a_password_and_shows_no_password() -> Result<()> {
    let client = target_folder()?.join("mjpeg-rtsp-client");
    for scheme in ["Basic", "Digest"] {
        let server = asking_server(scheme)?;
        let url = format!("rtsp://{}/movie.mjpeg", server.address());
        let line = format!("{} --transport tcp {url}", client.display());
        let mut terminal = Terminal::start(&line)?;
        let until = |terminal: &Terminal, what: &str| {
            wait_until(&format!("{scheme}: {what}"), LIMIT, || {
                terminal.status_line().is_ok_and(|line| line.contains(what))
            });
        };
        let asks = format!("User for {} (Esc: none): ", server.address());
        until(&terminal, &asks);
        let shown = terminal.shown()?;
        let failure = format!("{} asks for a user and a password", server.address());
        assert!(shown.contains(&failure), "{shown}");
        // A wrong password is asked for again.
        terminal.press("stud")?;
        until(&terminal, &format!("{asks}stud"));
        terminal.press("ent\r")?;
        until(&terminal, "Password of student (not shown): ");
        terminal.press("wrong-secret\r")?;
        let refused = format!("{} refuses the user or the password", server.address());
        wait_until(&refused, LIMIT, || {
            terminal.shown().is_ok_and(|shown| shown.contains(&refused))
        });
        until(&terminal, &asks);
        terminal.press("student\rp@ss:1\r")?;
        until(&terminal, "[PLAYING]");
        wait_until("frames", LIMIT, || {
            terminal
                .status_line()
                .is_ok_and(|line| line.contains("frames") && !line.contains("frames 0 "))
        });
        terminal.press("q")?;
        terminal.wait(LIMIT)?;
        let shown = terminal.shown()?;
        for secret in ["wrong-secret", "p@ss", "p%40ss"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        // Escape ends the question; s asks again, with the user of the command line.
        let line = format!("{} --transport tcp --user student {url}", client.display());
        let mut terminal = Terminal::start(&line)?;
        until(&terminal, "Password of student (not shown): ");
        terminal.press("\x1b")?;
        until(&terminal, "[INIT]");
        terminal.press("s")?;
        until(&terminal, "Password of student (not shown): ");
        terminal.press("p@ss:1\r")?;
        until(&terminal, "[PLAYING]");
        terminal.press("q")?;
        terminal.wait(LIMIT)?;
    }
    Ok(())
}

/// Without a terminal nothing is asked, and the error says what to do.
#[test]
fn headless_takes_a_password_from_standard_input_and_never_asks() -> Result<()> {
    let server = asking_server("Digest")?;
    let url = format!("rtsp://{}/movie.mjpeg", server.address());
    let advice = "write them into the address (rtsp://USER:PASSWORD@HOST/MOVIE), or use --user NAME \
                  --password-stdin";
    let refused = format!(
        "ERROR {}: {} refuses the user or the password (401 Unauthorized)\n",
        url.replace("rtsp://", "rtsp://student:***@"),
        server.address()
    );
    let asked = format!(
        "ERROR {url}: {} asks for a user and a password (401 Unauthorized): {advice}\n",
        server.address()
    );
    let user = ["--user", "student", "--password-stdin"];
    let rows: [(&str, &[&str], &str, i32, &str); 6] = [
        ("no user", &[], "", 1, &asked),
        ("a password", &user, "p@ss:1\n", 0, ""),
        ("another password", &user, "other\n", 1, &refused),
        (
            "no password",
            &user,
            "",
            1,
            "ERROR standard input has no password: it must be the first line\n",
        ),
        (
            "no way to a password",
            &["--user", "student"],
            "",
            1,
            "ERROR --user needs --password-stdin where nothing can be asked\n",
        ),
        (
            "a file",
            &["--user", "student", "--password-stdin", "/tmp/none.mjpeg"],
            "x\n",
            1,
            "ERROR --user is for rtsp:// and rtsps:// addresses\n",
        ),
    ];
    for (name, arguments, input, code, error) in rows {
        let mut command = program("mjpeg-rtsp-client")?;
        command.args(["--headless", "--frames", "5", "--transport", "tcp"]).args(arguments);
        if !arguments.iter().any(|it| it.starts_with('/')) {
            command.arg(&url);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        // A client that refuses its options may have ended.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let mut stderr = child.stderr.take().context("no standard error")?;
        let status = Guard::new(child).wait(LIMIT)?;
        let mut text = String::new();
        stderr.read_to_string(&mut text)?;
        assert_eq!((status.code(), normalized(&text, &[]).as_str()), (Some(code), error), "{name}");
    }
    Ok(())
}
