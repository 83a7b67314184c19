// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's configuration file: where it is found, what it prints, and what it changes.

use anyhow::Result;
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Server, normalized, program, run};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// Exit code, standard output and normalized standard error of `--check-config`. FOLDER is the path of
/// the folder in both.
fn check(
    folder: &Folder,
    environment: &[(&str, &str)],
    flags: &[&str],
) -> Result<(i32, String, String)> {
    let mut command = program("mjpeg-rtsp-server")?;
    command.arg("--check-config").args(flags);
    command.envs(environment.iter().map(|(name, value)| (*name, folder.path().join(value))));
    let done = run(&mut command, LIMIT)?;
    let path = folder.path().to_string_lossy().into_owned();
    let out = String::from_utf8_lossy(&done.stdout).replace(&path, "FOLDER");
    let err = normalized(&String::from_utf8_lossy(&done.stderr), &[(&path, "FOLDER")]);
    Ok((done.status.code().unwrap_or(-1), out, err))
}

#[test]
fn the_printed_configuration_has_each_setting_of_file_flags_and_defaults() -> Result<()> {
    let folder = Folder::new()?;
    folder.file("movies/a.mjpeg", &movies::movie(&movies::images(1, "I420")?)?)?;
    let text =
        "[defaults]\nframerate = 12.5\n[[mount]]\npath = 'movies'\nname = 'x'\nkind = 'live'\n";
    let config = folder.file("server.toml", text.as_bytes())?;
    let shipped = include_str!("../../server/mjpeg-rtsp-server.toml");
    // The keys and values of the shipped file, which a test of the server compares with the defaults.
    let defaults: String = shipped
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| if line.starts_with('[') { format!("\n{line}\n") } else { format!("{line}\n") })
        .collect();
    let mount = defaults.split_once("[defaults]\n").map_or("", |(_, mount)| mount);
    let mount = mount.replace("framerate = 20", "framerate = \"25/2\"");
    let start = defaults.replace("framerate = 20", "framerate = \"25/2\"");
    let start = start.replace("lab = \"on\"", "lab = \"off\"");
    let want = format!(
        "# From FOLDER/server.toml and the command line.\n{start}\n[[mount]]\n\
         path = \"FOLDER/movies\"\nname = \"x\"\n{}",
        mount.replace("on-demand", "live")
    );
    let config = config.to_string_lossy();
    let flags = ["--config", &config, "--lab", "off"];
    assert_eq!(check(&folder, &[], &flags)?, (0, want, String::new()));
    let want = format!("# From the command line; there is no configuration file.\n{defaults}");
    assert_eq!(check(&folder, &[], &["--config", "/dev/null"])?, (0, want, String::new()));
    Ok(())
}

#[test]
fn the_file_is_that_of_the_flag_or_of_the_user() -> Result<()> {
    let folder = Folder::new()?;
    for name in ["xdg/mjpeg-rtsp/server.toml", "home/.config/mjpeg-rtsp/server.toml", "flag.toml"] {
        folder.file(name, b"")?;
    }
    let flag = folder.path().join("flag.toml").to_string_lossy().into_owned();
    let with_home = [("XDG_CONFIG_HOME", "xdg"), ("HOME", "home")];
    // Flags, file.
    let rows: [(&[&str], &str); 2] =
        [(&["--config", &flag], "flag.toml"), (&[], "xdg/mjpeg-rtsp/server.toml")];
    for (flags, want) in rows {
        let (code, out, err) = check(&folder, &with_home, flags)?;
        let first = format!("# From FOLDER/{want} and the command line.");
        assert_eq!((code, out.lines().next(), err.as_str()), (0, Some(&first[..]), ""), "{want}");
    }
    let mut command = program("mjpeg-rtsp-server")?;
    command.env_remove("XDG_CONFIG_HOME").env("HOME", folder.path().join("home"));
    let out = run(command.arg("--check-config"), LIMIT)?.stdout;
    let first = format!(
        "# From {}/home/.config/mjpeg-rtsp/server.toml and the command line.",
        folder.path().display()
    );
    assert_eq!(String::from_utf8_lossy(&out).lines().next(), Some(&first[..]));
    Ok(())
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_with_its_position() -> Result<()> {
    let folder = Folder::new()?;
    let movie = movies::movie(&movies::images(1, "I420")?)?;
    for name in ["a/movie.mjpeg", "b/movie.mjpeg"] {
        folder.file(name, &movie)?;
    }
    let rows: [(&[u8], i32, &str); 5] = [
        (
            b"lab = 'maybe'\n[limits]\nmax-conections = 1\n",
            2,
            "ERROR FOLDER/server.toml:1:7: lab: found \"maybe\"; allowed is \"on\", \"off\" or \
             \"only\"\nERROR FOLDER/server.toml:3:1: found the key \"max-conections\" in [limits]; \
             allowed are LIMITS; perhaps \"max-connections\" is meant",
        ),
        (
            b"log = '\xff'",
            2,
            "ERROR FOLDER/server.toml:1:8: found the byte 0xff; allowed is text in UTF-8",
        ),
        (
            b"[[mount]]\npath = 'none'\n",
            1,
            "ERROR FOLDER/server.toml:1:1: cannot read FOLDER/none (check the path and its \
             permissions): No such file or directory (os error 2)",
        ),
        (
            b"[[mount]]\npath = 'a'\n\n[[mount]]\npath = 'b'\n",
            1,
            "ERROR FOLDER/server.toml:4:1: FOLDER/a/movie.mjpeg and FOLDER/b/movie.mjpeg would both \
             be served at /movie.mjpeg: rename one",
        ),
        (
            b"[[mount]]\npath = 'a'\nname = 'x'\n\n[[mount]]\npath = 'b'\nname = 'x'\n",
            2,
            "ERROR FOLDER/server.toml:7:8: name: found \"x\", which is the name of the [[mount]] in \
             line 1 too; each must have a name of its own",
        ),
    ];
    let config = folder.path().join("server.toml").to_string_lossy().into_owned();
    for (bytes, code, want) in rows {
        folder.file("server.toml", bytes)?;
        let (found, out, err) = check(&folder, &[], &["--config", &config])?;
        let limits = "max-connections, max-connections-per-address, max-sessions, max-viewers, \
                      max-viewers-per-address, max-request-bytes, request-time, idle-time, stall-time, \
                      max-queued-bytes";
        let err = err.replace(limits, "LIMITS");
        assert_eq!((found, out.as_str(), err), (code, "", format!("{want}\n")));
        // The start says the same.
        let mut command = program("mjpeg-rtsp-server")?;
        command.args(["--listen", "127.0.0.1:0", "--config", &config]);
        let done = run(&mut command, LIMIT)?;
        let path = folder.path().to_string_lossy().into_owned();
        let err = normalized(&String::from_utf8_lossy(&done.stderr), &[(&path, "FOLDER")]);
        assert_eq!(err.replace(limits, "LIMITS"), format!("{want}\n"));
        assert_eq!(done.status.code(), Some(code), "{want}");
    }
    Ok(())
}

#[test]
fn each_mount_has_its_own_kind_frame_rate_and_loop() -> Result<()> {
    let folder = Folder::new()?;
    folder.file("movie.mjpeg", &movies::movie(&movies::images(20, "I420")?)?)?;
    let text = "
        [defaults]
        framerate = 10
        [[mount]]
        path = 'movie.mjpeg'
        [[mount]]
        path = 'movie.mjpeg'
        name = 'camera'
        kind = 'live'
        framerate = 40
        [[mount]]
        path = 'movie.mjpeg'
        name = 'again/and again'
        loop = true
    ";
    let config = folder.file("server.toml", text.as_bytes())?;
    let mut server = Server::start(["--config".as_ref(), config.as_os_str()], 3)?;
    let address = server.address()?.to_owned();
    let base = format!("rtsp://{address}");
    let want = ["/again/and%20again", "/camera", "/movie.mjpeg"];
    assert_eq!(server.urls, want.map(|path| format!("{base}{path}")));
    // The range and the frame rate in the SDP, and whether PLAY at half its length is possible.
    let rows = [
        ("/movie.mjpeg", "npt=0-2", "10", 200, Some("npt=1-")),
        ("/camera", "npt=now-", "40", 457, None),
        ("/again/and%20again", "npt=0-", "10", 200, Some("npt=1-")),
    ];
    for (path, range, rate, status, played) in rows {
        let mut viewer = RtspClient::connect(&address)?;
        let url = format!("{base}{path}");
        let sdp = viewer.request(&format!("DESCRIBE {url}"), "")?.body;
        for line in [format!("a=range:{range}"), format!("a=framerate:{rate}")] {
            assert!(sdp.lines().any(|it| it == line), "{line} for {path}: {sdp}");
        }
        let session = viewer.set_up(&url, "tcp")?;
        let play =
            viewer.request(&format!("PLAY {url}"), &format!("Range: npt=1-\r\n{session}"))?;
        assert_eq!((play.status, play.header("Range")), (status, played), "{path}");
        if played.is_none() {
            let play = viewer.request(&format!("PLAY {url}"), &session)?;
            assert_eq!((play.status, play.header("Range")), (200, Some("npt=now-")), "{path}");
        }
        viewer.receive_packets(20)?;
    }
    // In the lab's dialect, the camera cannot be sought in.
    for (name, status) in [("movie.mjpeg", "200 OK"), ("camera", "455 ")] {
        let mut lab = RtspClient::connect(&address)?;
        lab.send(format!(
            "SETUP {name} RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 40000\n\n"
        ))?;
        server.wait_for_log(
            &format!("request=\"SETUP {name} RTSP/1.0\" reply=\"RTSP/1.0 200 OK\""),
            LIMIT,
        );
        lab.send(format!("FORWARD {name} RTSP/1.0\nCSeq: 2\n\n"))?;
        server.wait_for_log(
            &format!("request=\"FORWARD {name} RTSP/1.0\" reply=\"RTSP/1.0 {status}"),
            LIMIT,
        );
    }
    server.is_well()
}
