// SPDX-License-Identifier: MIT OR Apache-2.0
//! The frames that independent players receive.

use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder, SIZE};
use mjpeg_rtsp_tests::peer::display::Display;
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::peer::{ffmpeg, retina};
use mjpeg_rtsp_tests::programs::{
    Guard, Server, has_played, headless, run, serve, serve_as, target_folder,
};
use mjpeg_rtsp_tests::wait_until;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

#[test]
fn ffmpeg_gets_every_frame_exactly_and_ends() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(60, "I420")?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let want = ffmpeg::file_checksums(&folder.file("plain", &images.concat())?)?;
    assert_eq!(want.len(), 60);
    for offload in ["auto", "off"] {
        let options = ["--udp-offload".into(), offload.into(), movie.clone().into_os_string()];
        let mut server = Server::start::<std::ffi::OsString>(options, 1)?;
        for transport in ["tcp", "udp", "http"] {
            let got = ffmpeg::stream_checksums(&server.urls[0], transport)?;
            assert_eq!(got, want, "{transport}, offload {offload}");
        }
        server.is_well()?;
    }
    Ok(())
}

#[test]
fn movies_with_unusual_names_play_by_their_printed_urls() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(10, "I420")?;
    let movie = movies::movie(&images)?;
    let want = ffmpeg::file_checksums(&folder.file("plain", &images.concat())?)?;
    let names = [
        "100%.mjpeg",
        "my movie.mjpeg",
        "p%20c.mjpeg",
        "what?.mjpeg",
        "x%ff.mjpeg",
        "x#;&=+,'(a).mjpeg",
        "\u{fc} \u{6620}.mjpeg",
    ];
    for name in names {
        folder.file(name, &movie)?;
    }
    let mut server = Server::start([folder.path()], names.len())?;
    for url in server.urls.clone() {
        assert_eq!(ffmpeg::stream_checksums(&url, "tcp")?, want, "{url}");
        let (code, summary, stderr) = headless(&["--transport", "tcp", &url])?;
        assert_eq!((code, &summary["frames"]), (Some(0), &10.into()), "{url}: {stderr}");
    }
    server.is_well()
}

#[test]
fn a_rewritten_movie_is_played_from_the_next_pass_of_its_loop_on() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(20, "I420")?;
    let (old, new) = images.split_at(10);
    let want = ffmpeg::file_checksums(&folder.file("plain", &new.concat())?)?;
    let movie = folder.file("movie.mjpeg", &movies::movie(old)?)?;
    let mut server = Server::start([OsStr::new("--loop"), movie.as_os_str()], 1)?;
    let url = server.urls[0].clone();
    let watching = std::thread::spawn(move || ffmpeg::stream_checksums_of_first(&url, "tcp", 80));
    // The file is rewritten after frames were sent and cached.
    let mut viewer = RtspClient::connect(server.address()?)?;
    viewer.play(&server.urls[0], "tcp")?;
    viewer.receive_packets(20)?;
    // Truncated and written, as cp does.
    std::fs::write(&movie, movies::movie(new)?)?;
    let got = watching.join().map_err(|_| anyhow::anyhow!("panicked"))??;
    let last = got.get(got.len().saturating_sub(20)..).unwrap_or_default();
    assert_eq!(last.len(), 20);
    let at = want.iter().position(|frame| *frame == last[0]).context("a frame of the old file")?;
    for (number, frame) in last.iter().enumerate() {
        assert_eq!(*frame, want[(at + number) % want.len()], "frame {number}");
    }
    server.is_well()
}

#[test]
fn a_movie_like_the_textbooks_arrives_with_its_luma() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(40, "Y444")?;
    let images: Vec<_> =
        images.iter().map(|i| movies::like_the_textbook(i)).collect::<Result<_>>()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let want = ffmpeg::file_luma(&folder.file("plain", &images.concat())?)?;
    let plane = (SIZE.0 * SIZE.1) as usize;
    assert_eq!(want.len(), 40 * plane);
    let mut server = Server::start([movie], 1)?;
    for transport in ["tcp", "udp"] {
        let got = ffmpeg::stream_luma(&server.urls[0], transport)?;
        assert_eq!(got.len(), want.len(), "{transport}");
        for (frame, (got, want)) in got.chunks(plane).zip(want.chunks(plane)).enumerate() {
            let squares = got.iter().zip(want).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
            let error = squares.sum::<f64>() / f64::from(SIZE.0 * SIZE.1);
            let psnr = 10.0 * (255.0 * 255.0 / error.max(1e-9)).log10();
            assert!(psnr >= 38.0, "{transport}, frame {frame}: {psnr} dB");
        }
    }
    server.is_well()
}

#[test]
fn gst_launch_plays_the_built_plugin_and_the_server() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(20, "I420")?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let count = |line: &str, files: &str| -> Result<usize> {
        let mut command = Command::new("gst-launch-1.0");
        command.env("GST_PLUGIN_PATH", target_folder()?);
        let out = folder.path().join(files);
        let sink = format!("{line} ! pngenc ! multifilesink location={}%d.png", out.display());
        let done = run(command.arg("-q").args(sink.split(' ')), Duration::from_mins(1))?;
        assert!(has_played(&done), "{}", String::from_utf8_lossy(&done.stderr));
        let written = std::fs::read_dir(folder.path())?.filter_map(Result::ok);
        Ok(written.filter(|file| file.file_name().to_string_lossy().starts_with(files)).count())
    };
    let file = format!("mjpegfilesrc location={} ! jpegdec ! videoconvert", movie.display());
    assert_eq!(count(&file, "file")?, 20);
    let mut server = Server::start([movie], 1)?;
    let url = &server.urls[0];
    for (protocol, url) in [("tcp", url.clone()), ("http", url.replace("rtsp:", "rtsph:"))] {
        let line = format!(
            "rtspsrc location={url} protocols={protocol}+tcp ! rtpjpegdepay ! jpegdec ! videoconvert"
        );
        assert_eq!(count(&line, protocol)?, 20, "{protocol}");
    }
    server.is_well()
}

/// Receivers accept a source only after two packets, and such a frame fits one.
#[test]
fn every_player_shows_a_movie_of_one_small_frame() -> Result<()> {
    let image = cjpeg(&Picture::made(32, 16), &["-sample", "2x2"])?;
    assert!(image.len() < 1400, "{} bytes", image.len());
    let (folder, mut server) = serve_as("movie.mjpeg", std::slice::from_ref(&image), &[])?;
    let url = server.urls[0].clone();
    let plain = folder.file("plain", &image)?;
    let (want, shown) = (ffmpeg::file_checksums(&plain)?, ffmpeg::file_showinfo_checksums(&plain)?);
    assert_eq!((want.len(), shown.len()), (1, 1));
    for transport in ["tcp", "udp", "http"] {
        assert_eq!(ffmpeg::stream_checksums(&url, transport)?, want, "ffmpeg, {transport}");
    }
    let display = Display::start()?;
    for transport in ["tcp", "udp"] {
        let got = ffmpeg::shown_checksums(&display, &url, transport)?;
        assert_eq!(got, shown, "ffplay, {transport}");
        let got = retina::images(&url, transport, 1)?;
        let got = ffmpeg::file_checksums(&folder.file("received", &got.concat())?)?;
        assert_eq!(got, want, "retina, {transport}");
        // It was one in four.
        for run in 0..4 {
            let got = movies::pull_all(&format!(
                "rtspsrc location={url} protocols={transport} latency=200 ! rtpjpegdepay \
                 ! appsink name=out sync=false"
            ))?;
            let got = ffmpeg::file_checksums(&folder.file("received", &got.concat())?)?;
            assert_eq!(got, want, "rtspsrc, {transport}, run {run}");
        }
    }
    server.is_well()
}

#[test]
fn ffplay_shows_every_frame_exactly_and_ends() -> Result<()> {
    let images = movies::images(20, "I420")?;
    let (folder, mut server) = serve_as("movie.mjpeg", &images, &[])?;
    let want = ffmpeg::file_showinfo_checksums(&folder.file("plain", &images.concat())?)?;
    let different: HashSet<_> = want.iter().collect();
    assert_eq!((want.len(), different.len()), (20, 20));
    let display = Display::start()?;
    for transport in ["tcp", "udp"] {
        let shown = ffmpeg::shown_checksums(&display, &server.urls[0], transport)?;
        assert_eq!(shown, want, "{transport}");
    }
    server.is_well()
}

/// A proxy to a server that makes RTP over UDP go to ports that nobody reads. Returns its address.
fn proxy_without_udp(server: &str) -> Result<(SocketAddr, [UdpSocket; 2])> {
    let unread = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
    let port = unread[0].local_addr()?.port();
    let ports = format!("client_port={port}-{}", unread[1].local_addr()?.port());
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (address, server) = (listener.local_addr()?, server.to_owned());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(upstream) = TcpStream::connect(&server) else { return };
            let (Ok(mut from), Ok(mut to)) = (upstream.try_clone(), client.try_clone()) else {
                return;
            };
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                to.shutdown(std::net::Shutdown::Both)
            });
            let (ports, mut upstream, mut client) = (ports.clone(), upstream, client);
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(have @ 1..) = client.read(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..have]).into_owned();
                    let offered = text.split(['\r', ';']).find(|it| it.starts_with("client_port="));
                    let sent = match offered {
                        Some(offered) => {
                            upstream.write_all(text.replace(offered, &ports).as_bytes())
                        }
                        None => upstream.write_all(&bytes[..have]),
                    };
                    if sent.is_err() {
                        break;
                    }
                }
                upstream.shutdown(std::net::Shutdown::Both)
            });
        }
    });
    Ok((address, unread))
}

/// Players that get nothing over UDP set the movie up again over TCP.
#[test]
fn players_fall_back_to_tcp() -> Result<()> {
    let images = movies::images(200, "I420")?;
    let (folder, mut server) = serve_as("movie.mjpeg", &images, &["--log", "debug"])?;
    let want = ffmpeg::file_checksums(&folder.file("plain", &images.concat())?)?;
    let (proxy, _unread) = proxy_without_udp(server.address()?)?;
    let url = format!("rtsp://{proxy}/movie.mjpeg");
    let (code, summary, stderr) = headless(&["--timeout", "4", "--frames", "20", &url])?;
    assert_eq!((code, &summary["frames"]), (Some(0), &20.into()), "{stderr}");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin", "-timeout", "1000000", "-i", &url]);
    let done = run(ffmpeg.args(["-frames:v", "5", "-f", "framemd5", "-"]), Duration::from_mins(1))?;
    let output = String::from_utf8(done.stdout)?;
    let frames: Vec<_> = output.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(frames.len(), 5, "{}", String::from_utf8_lossy(&done.stderr));
    for frame in frames {
        assert!(want.iter().any(|checksum| frame.ends_with(checksum)), "{output}");
    }
    server.is_well()
}

#[test]
fn gst_play_ends_at_the_end_of_the_movie() -> Result<()> {
    let (_folder, mut server) = serve(20, &[])?;
    let mut gst_play = Command::new("gst-play-1.0");
    gst_play.args(["--no-interactive", "--videosink=fakesink", "--audiosink=fakesink"]);
    let done = run(gst_play.arg(&server.urls[0]), Duration::from_secs(30))?;
    let output = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && output.contains("Reached end of play list"), "{output}");
    server.is_well()
}

#[test]
fn viewers_play_independently_and_a_killed_one_affects_no_other() -> Result<()> {
    let images = movies::images(60, "I420")?;
    let (folder, mut server) = serve_as("movie.mjpeg", &images, &[])?;
    let want = ffmpeg::file_checksums(&folder.file("plain", &images.concat())?)?;
    let url = server.urls[0].clone();
    for transport in ["tcp", "udp"] {
        let killed = {
            let mut other = Command::new("ffmpeg");
            other.args(["-v", "error", "-nostdin", "-rtsp_transport", transport]);
            other.args(["-i", &url, "-f", "null", "-"]).spawn()?
        };
        let mut killed = Guard::new(killed);
        let later = {
            let url = url.clone();
            std::thread::spawn(move || ffmpeg::stream_checksums(&url, transport))
        };
        wait_until("two sessions", Duration::from_secs(20), || {
            server.log().is_ok_and(|log| log.contains("sent as it is"))
        });
        killed.signal("KILL")?;
        killed.wait(Duration::from_secs(20))?;
        let got = later.join().map_err(|_| anyhow::anyhow!("the viewer panicked"))??;
        assert_eq!(got, want, "{transport}");
        // After a seek to 2 s: the frame there, and all after it.
        let seeked = ffmpeg::stream_checksums_from(&url, transport, "2")?;
        assert_eq!(seeked, want[40..], "{transport}");
    }
    server.is_well()
}
