// SPDX-License-Identifier: MIT OR Apache-2.0
//! Folders of movies that change while they are served.

use anyhow::Result;
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Server, serve};
use mjpeg_rtsp_tests::wait_until;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

/// The time in which a change must be seen. Twice as long on a busy machine.
const SEEN: Duration = Duration::from_secs(4);

/// The bytes of a movie of this many frames.
fn movie(frames: u32) -> Result<Vec<u8>> {
    movies::movie(&movies::images(frames, "I420")?)
}

/// The status of DESCRIBE for a path, and the range in the SDP.
fn describe(server: &Server, path: &str) -> Result<(u16, Option<String>)> {
    let address = server.address()?;
    let mut client = RtspClient::connect(address)?;
    let reply = client.request(&format!("DESCRIBE rtsp://{address}{path}"), "")?;
    let range = reply.body.lines().find_map(|line| line.strip_prefix("a=range:"));
    Ok((reply.status, range.map(ToOwned::to_owned)))
}

fn wait_for_status(server: &Server, path: &str, status: u16) {
    wait_until(&format!("{status} for {path}"), SEEN, || {
        describe(server, path).is_ok_and(|it| it.0 == status)
    });
}

#[test]
fn a_movie_appears_when_it_is_complete_and_a_removed_one_ends_with_bye() -> Result<()> {
    let folder = Folder::new()?;
    folder.file("movies/stays.mjpeg", &movie(20)?)?;
    let served = folder.path().join("movies");
    let mut server = Server::start(["--loop".as_ref(), served.as_os_str()], 1)?;
    let mut viewer = RtspClient::connect(server.address()?)?;
    viewer.play(&server.urls[0], "tcp")?;
    // A movie that is copied slowly, in three parts: the second one ends within a record.
    let bytes = movie(40)?;
    let path = served.join("new/sub/copy.mjpeg");
    std::fs::create_dir_all(served.join("new/sub"))?;
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    for part in [&bytes[..1000], &bytes[1000..20_000]] {
        file.write_all(part)?;
        let end = Instant::now() + Duration::from_millis(1500);
        while Instant::now() < end {
            assert_eq!(describe(&server, "/new/sub/copy.mjpeg")?.0, 404);
            viewer.receive_packets(5)?;
        }
    }
    file.write_all(&bytes[20_000..])?;
    drop(file);
    wait_for_status(&server, "/new/sub/copy.mjpeg", 200);
    // Lab clients find it too.
    let mut lab = RtspClient::connect(server.address()?)?;
    lab.send("SETUP copy.mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 40000\n\n")?;
    server.wait_for_log("request=\"SETUP copy.mjpeg RTSP/1.0\" reply=\"RTSP/1.0 200 OK\"", LIMIT);
    let mut watcher = RtspClient::connect(server.address()?)?;
    let url = format!("rtsp://{}/new/sub/copy.mjpeg", server.address()?);
    let session = watcher.play(&url, "tcp")?;
    watcher.receive_packets(10)?;
    // A movie that is moved here is complete.
    let elsewhere = folder.file("moved.mjpeg", &movie(10)?)?;
    std::fs::rename(elsewhere, served.join("moved.mjpeg"))?;
    wait_for_status(&server, "/moved.mjpeg", 200);
    std::fs::remove_dir_all(served.join("new"))?;
    watcher.receive_until_bye(Instant::now() + LIMIT)?;
    server.wait_for_log("session ended: the movie is not served any more", LIMIT);
    assert_eq!(watcher.request(&format!("GET_PARAMETER {url}"), &session)?.status, 454);
    assert_eq!(describe(&server, "/new/sub/copy.mjpeg")?.0, 404);
    assert_eq!(describe(&server, "/moved.mjpeg")?.0, 200);
    viewer.receive_packets(10)?;
    assert_eq!((viewer.missing, viewer.bye), (0, false));
    server.is_well()
}

#[test]
fn a_reload_does_not_serve_a_movie_that_is_being_copied() -> Result<()> {
    let folder = Folder::new()?;
    folder.file("movies/stays.mjpeg", &movie(20)?)?;
    let config = folder.file("server.toml", b"[[mount]]\npath = 'movies'\n")?;
    let mut server = Server::start(["--config".as_ref(), config.as_os_str()], 1)?;
    let bytes = movie(10)?;
    let path = folder.file("movies/copy.mjpeg", &bytes[..bytes.len() - 10])?;
    server.wait_for_log("new movie is not served yet: its last record is not whole", LIMIT);
    server.process().signal("HUP")?;
    server.wait_for_log("configuration reloaded mounts=1 unchanged=1 removed=0", LIMIT);
    assert_eq!(describe(&server, "/copy.mjpeg")?.0, 404);
    std::fs::write(path, bytes)?;
    wait_for_status(&server, "/copy.mjpeg", 200);
    server.is_well()
}

#[test]
fn a_replaced_movie_is_new_for_new_viewers_and_old_ones_play_on() -> Result<()> {
    let folder = Folder::new()?;
    folder.file("movies/a.mjpeg", &movie(200)?)?;
    let served = folder.path().join("movies");
    let mut server = Server::start([&served], 1)?;
    let mut viewer = RtspClient::connect(server.address()?)?;
    viewer.play(&server.urls[0], "tcp")?;
    viewer.receive_packets(5)?;
    let new = folder.file("new.mjpeg", &movie(40)?)?;
    std::fs::rename(new, served.join("a.mjpeg"))?;
    wait_until("the new movie", SEEN, || {
        describe(&server, "/a.mjpeg").is_ok_and(|it| it == (200, Some("npt=0-2".to_owned())))
    });
    // The old one has ten seconds.
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        viewer.receive_packets(5)?;
    }
    assert_eq!((viewer.missing, viewer.bye), (0, false));
    server.is_well()
}

#[test]
fn links_out_of_a_folder_are_followed_only_if_the_configuration_allows_it() -> Result<()> {
    let folder = Folder::new()?;
    for name in ["movies/a.mjpeg", "movies/sub/b.mjpeg", "outside/c.mjpeg"] {
        folder.file(name, &movie(10)?)?;
    }
    let served = folder.path().join("movies");
    symlink("a.mjpeg", served.join("inside.mjpeg"))?;
    symlink("sub", served.join("folder"))?;
    symlink("../outside/c.mjpeg", served.join("file.mjpeg"))?;
    symlink(folder.path().join("outside"), served.join("out"))?;
    symlink(".", served.join("circle"))?;
    for allowed in [false, true] {
        let text = format!("[[mount]]\npath = 'movies'\nfollow-links = {allowed}\n");
        let config = folder.file("server.toml", text.as_bytes())?;
        let urls = if allowed { 6 } else { 4 };
        let mut server = Server::start(["--config".as_ref(), config.as_os_str()], urls)?;
        let address = server.address()?.to_owned();
        let mut want = vec!["/a.mjpeg", "/folder/b.mjpeg", "/inside.mjpeg", "/sub/b.mjpeg"];
        if allowed {
            want.splice(1..1, ["/file.mjpeg"]);
            want.splice(4..4, ["/out/c.mjpeg"]);
        }
        assert_eq!(
            server.urls,
            want.iter().map(|it| format!("rtsp://{address}{it}")).collect::<Vec<_>>()
        );
        let status = if allowed { 200 } else { 404 };
        for path in ["/file.mjpeg", "/out/c.mjpeg"] {
            assert_eq!(describe(&server, path)?.0, status, "{path}");
        }
        let refused = || {
            let text = "is a link out of the folder, and follow-links is false";
            server.log().map(|log| log.matches(text).count())
        };
        if allowed {
            assert_eq!(refused()?, 0, "{}", server.log()?);
        } else {
            wait_until("two links are refused", LIMIT, || refused().is_ok_and(|it| it == 2));
        }
        // One that appears later is treated the same.
        symlink("../outside/c.mjpeg", served.join("later.mjpeg"))?;
        if allowed {
            wait_for_status(&server, "/later.mjpeg", 200);
        } else {
            server.wait_for_log("later.mjpeg is a link out of the folder", LIMIT);
            assert_eq!(describe(&server, "/later.mjpeg")?.0, 404);
        }
        std::fs::remove_file(served.join("later.mjpeg"))?;
        server.is_well()?;
    }
    Ok(())
}

#[test]
fn what_cannot_be_served_is_skipped_while_the_server_runs() -> Result<()> {
    let folder = Folder::new()?;
    folder.file("one/a.mjpeg", &movie(10)?)?;
    std::fs::create_dir(folder.path().join("two"))?;
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let mut server = Server::start([&one, &two], 1)?;
    // The same mount point, text, and a folder that goes.
    folder.file("two/a.mjpeg", &movie(10)?)?;
    server.wait_for_log("two/a.mjpeg would both be served at /a.mjpeg: rename one", LIMIT);
    folder.file("two/text.mjpeg", b"hello")?;
    server.wait_for_log("new movie is not served yet: its last record is not whole", LIMIT);
    folder.file("two/b.mjpeg", &movie(10)?)?;
    wait_for_status(&server, "/b.mjpeg", 200);
    assert_eq!(describe(&server, "/text.mjpeg")?.0, 404);
    std::fs::remove_dir_all(&one)?;
    // Now it is that of the other folder.
    server.wait_for_log("skipped: cannot read ", LIMIT);
    wait_for_status(&server, "/a.mjpeg", 200);
    let log = server.log()?;
    assert_eq!(log.matches("would both be served").count(), 1, "{log}");
    server.is_well()
}

#[test]
fn a_single_movie_is_not_watched_and_stays() -> Result<()> {
    let (folder, mut server) = serve(20, &[])?;
    std::fs::rename(folder.path().join("movie.mjpeg"), folder.path().join("gone"))?;
    wait_for_status(&server, "/movie.mjpeg", 404);
    std::fs::rename(folder.path().join("gone"), folder.path().join("movie.mjpeg"))?;
    wait_for_status(&server, "/movie.mjpeg", 200);
    server.is_well()
}
