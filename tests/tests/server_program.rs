// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server as a program: its output, its log and its exit code.

use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Guard, Server, normalized, program, run, serve};
use rustix::fs::{Mode, OFlags};
use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn sigint_sigterm_and_sighup_end_it_with_exit_code_0() -> Result<()> {
    for signal in ["INT", "TERM", "HUP"] {
        // Without a configuration file there is nothing that SIGHUP could reload.
        let mut server = Server::start(["--config", "/dev/null"], 1)?;
        assert!(server.urls[0].ends_with("/test"), "{:?}", server.urls);
        server.process().signal(signal)?;
        let status = server.process().wait(LIMIT)?;
        assert_eq!(status.code(), Some(0), "{signal}: {}", server.log()?);
    }
    Ok(())
}

#[test]
fn a_signal_ends_every_viewers_movie_with_bye() -> Result<()> {
    for signal in ["INT", "TERM", "HUP"] {
        let (_folder, mut server) = serve(20, &["--loop", "--config", "/dev/null"])?;
        let mut viewer = RtspClient::connect(server.address()?)?;
        viewer.play(&server.urls[0], "tcp")?;
        viewer.receive_packets(10)?;
        server.process().signal(signal)?;
        viewer.receive_until_bye(Instant::now() + LIMIT)?;
    }
    Ok(())
}

#[test]
fn a_folder_of_many_movies_is_served_at_once_and_takes_no_time_when_idle() -> Result<()> {
    const MOVIES: usize = 4000;
    let folder = Folder::new()?;
    let movie = folder.file("movie0.mjpeg", &movies::movie(&movies::images(1, "I420")?)?)?;
    for number in 1..MOVIES {
        std::fs::hard_link(&movie, folder.path().join(format!("movie{number}.mjpeg")))?;
    }
    let mut server = Server::start([folder.path()], MOVIES)?;
    // Half as much, in a release build a tenth. It does not grow with what else the machine does.
    let took = server.cpu_time()?;
    assert!(took < Duration::from_secs(4), "{took:?}");
    let mut rtsp = RtspClient::connect(server.address()?)?;
    let url = format!("rtsp://{}/MOVIE{}.MJPEG", server.address()?, MOVIES - 1);
    assert_eq!(rtsp.described_range(&url)?, "npt=0-0.05");
    let fastest = (0..20)
        .map(|_| {
            let started = Instant::now();
            rtsp.described_range(&url)?;
            Ok(started.elapsed())
        })
        .collect::<Result<Vec<_>>>()?;
    // Below 1 ms in a release build; a search through all names took 64 ms.
    assert!(fastest.iter().min() < Some(&Duration::from_millis(5)), "{fastest:?}");
    // The printed URLs must have been written.
    mjpeg_rtsp_tests::pace(Duration::from_millis(500));
    let before = server.cpu_time()?;
    mjpeg_rtsp_tests::pace(Duration::from_secs(1));
    let used = server.cpu_time()?.saturating_sub(before);
    assert!(used <= Duration::from_millis(50), "{used:?} in an idle second");
    server.is_well()
}

#[test]
fn wrong_arguments_are_one_message_and_an_exit_code() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(1, "I420")?)?)?;
    let movie = movie.to_string_lossy().into_owned();
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let none = folder.path().join("none").to_string_lossy().into_owned();
    let usage = "\n\nUsage: mjpeg-rtsp-server [OPTIONS] [PATH]...\n       mjpeg-rtsp-server <COMMAND>\n\n\
                 For more information, try '--help'.";
    let clip = folder.file("clip.mp4", b"\0\0\0\x20ftypisom")?.to_string_lossy().into_owned();
    let text = folder.file("notes.txt", b"hello")?.to_string_lossy().into_owned();
    let rows: [(&[&str], i32, &str); 10] = [
        (
            // An address for documentation (RFC 5737), which no machine has.
            &["--listen", "192.0.2.1:8554", &movie],
            1,
            "ERROR cannot listen on 192.0.2.1:8554: Cannot assign requested address (os error 99); \
             this machine does not have that address: choose another with --listen",
        ),
        (
            &["--listen", "127.0.0.1:0", &clip],
            1,
            "ERROR CLIP is not a movie: it looks like a QuickTime or MP4 file; to convert it: \
             mjpeg-movie make INPUT OUTPUT.mjpeg",
        ),
        (
            &["--listen", "127.0.0.1:0", &text],
            1,
            "ERROR TEXT is not a movie: it contains neither a record of five digits and a JPEG image nor \
             a complete image alone",
        ),
        (
            &["--listen", &address, &movie],
            1,
            "ERROR cannot listen on ADDRESS: Address already in use (os error 98); choose another \
             port with --listen",
        ),
        (
            &["--listen", "127.0.0.1:0", &none],
            1,
            "ERROR cannot read NONE (check the path and its permissions): No such file or directory \
             (os error 2)",
        ),
        (
            &["--listen", "127.0.0.1:0", "/dev/null"],
            1,
            "ERROR /dev/null is neither a regular file nor a folder",
        ),
        (
            &["--listen", "127.0.0.1:0", &movie, &movie],
            1,
            "ERROR MOVIE and MOVIE would both be served at /movie.mjpeg: rename one",
        ),
        (
            &["--listen", "99999"],
            2,
            "error: invalid value '99999' for --listen: it must be [ADDR:]PORT, such as 8554, \
             127.0.0.1:8554 or [::1]:8554",
        ),
        (
            &["--framerate", "0"],
            2,
            "error: invalid value '0' for '--framerate <RATE>': expected frames per second above 0, \
             such as 20, 12.5 or 30000/1001\n\nFor more information, try '--help'.",
        ),
        (
            &["--nonsense"],
            2,
            "error: unexpected argument '--nonsense' found\n\n  \
             tip: to pass '--nonsense' as a value, use '-- --nonsense'",
        ),
    ];
    let names = [
        (&address[..], "ADDRESS"),
        (&none, "NONE"),
        (&movie, "MOVIE"),
        (&clip, "CLIP"),
        (&text, "TEXT"),
    ];
    for (arguments, code, message) in rows {
        let done = run(program("mjpeg-rtsp-server")?.args(arguments), LIMIT)?;
        let stderr = normalized(&String::from_utf8_lossy(&done.stderr), &names);
        let usage = if code == 2 && !message.ends_with("'--help'.") { usage } else { "" };
        assert_eq!(stderr, format!("{message}{usage}\n"));
        assert_eq!(done.status.code(), Some(code), "{message}");
        assert!(done.stdout.is_empty(), "{message}");
    }
    Ok(())
}

#[test]
fn a_subfolder_that_cannot_be_read_is_skipped_with_a_warning() -> Result<()> {
    let folder = Folder::new()?;
    folder.file("movie.mjpeg", &movies::movie(&movies::images(1, "I420")?)?)?;
    // Nobody can read a folder whose path is longer than 4096 bytes; root can read all others.
    let name = "d".repeat(250);
    let mut deep = rustix::fs::open(folder.path(), OFlags::DIRECTORY, Mode::empty())?;
    for _ in 0..17 {
        rustix::fs::mkdirat(&deep, &name, Mode::RWXU)?;
        deep = rustix::fs::openat(&deep, &name, OFlags::DIRECTORY, Mode::empty())?;
    }
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed)?;
    std::fs::set_permissions(&closed, Permissions::from_mode(0o000))?;
    let can_read = std::fs::read_dir(&closed).is_ok();
    let mut server = Server::start([folder.path()], 1)?;
    assert!(server.urls[0].ends_with("/movie.mjpeg"), "{:?}", server.urls);
    server.wait_for_log("skipped: ", LIMIT);
    let log = server.log()?;
    assert!(log.contains("File name too long (os error 36)"), "{log}");
    assert!(can_read || log.contains("Permission denied (os error 13)"), "{log}");
    let range = RtspClient::connect(server.address()?)?.described_range(&server.urls[0])?;
    assert_eq!(range, "npt=0-0.05");
    std::fs::set_permissions(&closed, Permissions::from_mode(0o700))?;
    server.is_well()
}

#[test]
fn the_printed_url_is_one_that_can_be_opened() -> Result<()> {
    let folder = Folder::new()?;
    let name = "a movie \u{e9} 100%.mjpeg";
    let movie = folder.file(name, &movies::movie(&movies::images(3, "I420")?)?)?;
    let rows = [
        ("0", "rtsp://127.0.0.1:"),
        ("0.0.0.0:0", "rtsp://127.0.0.1:"),
        ("[::]:0", "rtsp://127.0.0.1:"),
        ("[::1]:0", "rtsp://[::1]:"),
        ("127.0.0.1:0", "rtsp://127.0.0.1:"),
    ];
    for (listen, start) in rows {
        let mut server = Server::start_on(listen, [&movie], 1)?;
        let url = server.urls[0].clone();
        let path = "/a%20movie%20%C3%A9%20100%25.mjpeg";
        assert!(url.starts_with(start) && url.ends_with(path), "{listen}: {url}");
        let range = RtspClient::connect(server.address()?)?.described_range(&url)?;
        assert_eq!(range, "npt=0-0.15", "{listen}");
        server.is_well()?;
    }
    Ok(())
}

#[test]
fn a_signal_right_after_the_first_url_ends_it_with_0() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(1, "I420")?)?)?;
    for round in 0..40 {
        let mut server = Server::start([&movie], 1)?;
        server.process().signal("TERM")?;
        let status = server.process().wait(LIMIT)?;
        assert_eq!(status.code(), Some(0), "round {round}: {}", server.log()?);
    }
    Ok(())
}

/// The reader of a server's standard error, which is a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// It has closed the pipe.
    Closed,
    /// It does not read.
    Idle,
}

#[test]
fn a_log_that_nobody_reads_blocks_nothing() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(1, "I420")?)?)?;
    for reader in [Reader::Closed, Reader::Idle] {
        let mut child = program("mjpeg-rtsp-server")?
            .args(["--listen", "127.0.0.1:0", "--log", "debug"])
            .arg(&movie)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("no standard output")?;
        let err = child.stderr.take().context("no standard error")?;
        let mut server = Guard::new(child);
        let url = BufReader::new(out).lines().next().context("no URL")??;
        let err = (reader == Reader::Idle).then_some(err);
        let address = url.split('/').nth(2).context("no host")?;
        let mut rtsp = RtspClient::connect(address)?;
        // A pipe holds 64 KiB; each of these is logged.
        for _ in 0..6000 {
            let reply =
                rtsp.request(&format!("DESCRIBE rtsp://{address}/{}", "x".repeat(100)), "")?;
            assert_eq!(reply.status, 404, "{reader:?}");
        }
        if let Some(err) = err {
            // When it is read again, the log states the number of lost lines, and goes on.
            let lines = BufReader::new(err).lines();
            let (sender, missing) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                for line in lines.map_while(Result::ok) {
                    let count = line.strip_suffix(" lines of this log were lost)");
                    if let Some(count) = count.and_then(|line| line.strip_prefix('(')) {
                        let _ = sender.send(count.to_owned());
                    }
                }
            });
            let end = Instant::now() + LIMIT;
            let missing = loop {
                rtsp.request(&format!("DESCRIBE rtsp://{address}/none"), "")?;
                match missing.recv_timeout(Duration::from_millis(10)) {
                    Ok(count) => break count.parse::<u64>()?,
                    Err(_) => assert!(Instant::now() < end, "lost lines are not reported"),
                }
            };
            assert!((1000..7000).contains(&missing), "{missing}");
        }
        server.signal("TERM")?;
        assert_eq!(server.wait(LIMIT)?.code(), Some(0), "{reader:?}");
    }
    Ok(())
}

#[test]
fn other_programs_go_on_without_their_standard_error() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(10, "I420")?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let broken = folder.file("broken.mjpeg", &[&movies::movie(&images)?[..], b"000"].concat())?;
    let server = Server::start([&movie], 1)?;
    let (movie, broken) = (movie.to_string_lossy(), broken.to_string_lossy());
    let rows: [(&str, Vec<&str>, i32); 3] = [
        ("mjpeg-movie", vec!["check", &movie], 0),
        ("mjpeg-movie", vec!["check", &broken], 1),
        (
            "mjpeg-rtsp-client",
            vec!["--headless", "--explain", "--log", "debug", &server.urls[0]],
            0,
        ),
    ];
    for (name, arguments, code) in rows {
        let mut child = program(name)?
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        // Its reader closes the pipe.
        drop(child.stderr.take());
        let status = Guard::new(child).wait(LIMIT)?;
        assert_eq!(status.code(), Some(code), "{name} {arguments:?}: {status}");
    }
    Ok(())
}
