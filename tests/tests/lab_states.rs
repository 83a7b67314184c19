// SPDX-License-Identifier: MIT OR Apache-2.0
//! The states of a lab session: what each request does in each of them.

use crate::lab_server::LabClient;
use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::programs::{Server, serve_as};
use std::ffi::OsStr;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// Timestamps of two frames differ by this.
const TICKS: u32 = 4500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Init,
    Ready,
    Playing,
}
use State::{Init, Playing, Ready};

/// A client of a server, in a state, with its session's number and its last sequence number.
struct InState {
    client: LabClient,
    session: String,
    cseq: u32,
}

impl InState {
    fn reach(server: &Server, state: State) -> Result<Self> {
        let client = LabClient::connect(server)?;
        let mut this = Self { client, session: String::new(), cseq: 0 };
        if state != Init {
            this.ok(&format!("SETUP a.mjpeg RTSP/1.0\nCSeq: N{}", this.transport()?))?;
        }
        if state == Playing {
            this.ok("PLAY a.mjpeg RTSP/1.0\nCSeq: N")?;
            this.client.packet()?;
        }
        Ok(this)
    }

    /// The third line of SETUP.
    fn transport(&self) -> Result<String> {
        Ok(format!("\nTransport: RTP/UDP; client_port= {}", self.client.port()?))
    }

    /// The reply to a request, in which N stands for the next sequence number.
    fn request(&mut self, request: &str) -> Result<String> {
        self.cseq += 1;
        self.client.request(&request.replace("CSeq: N", &format!("CSeq: {}", self.cseq)))
    }

    /// Sends a request that gets 200.
    fn ok(&mut self, request: &str) -> Result<()> {
        let reply = self.request(request)?;
        assert!(reply.starts_with("RTSP/1.0 200 OK\n"), "{request}: {reply}");
        let session = reply.split("Session: ").nth(1).context("no session")?;
        session.split('\n').next().unwrap_or_default().clone_into(&mut self.session);
        Ok(())
    }

    /// The state, by packets and by the reply to PLAY.
    fn state(&mut self) -> Result<State> {
        let play = "PLAY a.mjpeg RTSP/1.0\nCSeq: N";
        if self.client.sends_packets()? {
            return Ok(Playing);
        }
        let reply = self.request(play)?;
        Ok(if reply.starts_with("RTSP/1.0 200 ") { Ready } else { Init })
    }
}

#[test]
fn each_request_has_its_effect_in_each_state() -> Result<()> {
    let folder = Folder::new()?;
    let movie = movies::movie(&movies::images(20, "I420")?)?;
    folder.file("a.mjpeg", &movie)?;
    folder.file("b.mjpeg", &movie)?;
    let mut server = Server::start([OsStr::new("--loop"), folder.path().as_os_str()], 2)?;
    // Request with PORT for the third line of SETUP; then, from INIT, READY and PLAYING, the status and
    // the next state.
    let same = |status| [(status, Init), (status, Ready), (status, Playing)];
    let not_in_init = [(455, Init), (200, Ready), (200, Playing)];
    let rows: [(&str, [(u16, State); 3]); 17] = [
        ("SETUP a.mjpeg RTSP/1.0\nCSeq: NPORT", [(200, Ready), (200, Ready), (200, Playing)]),
        ("SETUP b.mjpeg RTSP/1.0\nCSeq: NPORT", [(200, Ready); 3]),
        ("SETUP none.mjpeg RTSP/1.0\nCSeq: NPORT", same(404)),
        ("PLAY a.mjpeg RTSP/1.0\nCSeq: N", [(455, Init), (200, Playing), (200, Playing)]),
        ("PAUSE a.mjpeg RTSP/1.0\nCSeq: N", [(455, Init), (200, Ready), (200, Ready)]),
        ("TEARDOWN a.mjpeg RTSP/1.0\nCSeq: N", [(200, Init); 3]),
        ("STOP a.mjpeg RTSP/1.0\nCSeq: N", [(200, Init); 3]),
        ("OPTIONS a.mjpeg RTSP/1.0\nCSeq: N", same(200)),
        ("DESCRIBE a.mjpeg RTSP/1.0\nCSeq: N", same(200)),
        ("DESCRIBE none.mjpeg RTSP/1.0\nCSeq: N", same(404)),
        ("LIST RTSP/1.0\nCSeq: N", same(200)),
        ("SWITCH b.mjpeg RTSP/1.0\nCSeq: N", [(200, Init), (200, Ready), (200, Ready)]),
        ("FORWARD a.mjpeg RTSP/1.0\nCSeq: N", not_in_init),
        ("BACKWARD a.mjpeg RTSP/1.0\nCSeq: N", not_in_init),
        ("SEEK a.mjpeg RTSP/1.0\nCSeq: N\nX-Seek: 0.5", not_in_init),
        ("SPEED_2X a.mjpeg RTSP/1.0\nCSeq: N", not_in_init),
        ("JUMP a.mjpeg RTSP/1.0\nCSeq: N", same(501)),
    ];
    std::thread::scope(|scope| {
        let server = &server;
        let all: Vec<_> = rows
            .iter()
            .map(|(request, results)| {
                scope.spawn(move || -> Result<()> {
                    for (state, (status, next)) in [Init, Ready, Playing].into_iter().zip(results) {
                        let mut session = InState::reach(server, state)?;
                        let request = request.replace("PORT", &session.transport()?);
                        let reply = session.request(&request)?;
                        let start = format!("RTSP/1.0 {status} ");
                        assert!(reply.starts_with(&start), "{request:?} in {state:?}: {reply}");
                        assert_eq!(session.state()?, *next, "{request:?} in {state:?}");
                    }
                    Ok(())
                })
            })
            .collect();
        for one in all {
            one.join().map_err(|_| anyhow::anyhow!("panicked"))??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    server.is_well()
}

#[test]
fn extensions_choose_the_frame_and_the_speed() -> Result<()> {
    let (_folder, mut server) = serve_as("a.mjpeg", &movies::images(100, "I420")?, &[])?;
    // Requests in READY, and the first frame of PLAY.
    let rows: [(&[&str], &str, u32); 8] = [
        (&["FORWARD"], "", 10),
        (&["FORWARD", "FORWARD"], "", 20),
        (&["SEEK a RTSP/1.0\nCSeq: N\nX-Seek: 0.5", "BACKWARD"], "", 40),
        (&["BACKWARD"], "", 0),
        (&["SEEK a RTSP/1.0\nCSeq: N\nX-Seek: 0.42"], "", 42),
        (&["SEEK a RTSP/1.0\nCSeq: N\nX-Seek: 1"], "", 99),
        (&[], "\nStartpoint: 57", 57),
        (&["FORWARD"], "\nStartpoint: 3", 3),
    ];
    for (requests, line, frame) in rows {
        let mut session = InState::reach(&server, Ready)?;
        for request in requests {
            let whole = format!("{request} a.mjpeg RTSP/1.0\nCSeq: N");
            session.ok(if request.contains(' ') { request } else { &whole })?;
        }
        session.ok(&format!("PLAY a.mjpeg RTSP/1.0\nCSeq: N{line}"))?;
        let (header, _) = session.client.packet()?;
        assert_eq!(header.timestamp.ticks(), frame * TICKS, "{requests:?}{line}");
    }
    // Times of 20 frames. A delay of a busy machine changes one of them, a wrong speed each.
    for (request, seconds) in [("SPEED_0_5X", 2.0), ("SPEED_1X", 1.0), ("SPEED_2X", 0.5)] {
        let mut off: Vec<f64> = Vec::new();
        while off.last().is_none_or(|off| off.abs() >= 0.3) {
            assert!(off.len() < 5, "{request}: {off:?} s off");
            let mut session = InState::reach(&server, Ready)?;
            session.ok(&format!("{request} a.mjpeg RTSP/1.0\nCSeq: N"))?;
            let requested = Instant::now();
            session.ok("PLAY a.mjpeg RTSP/1.0\nCSeq: N")?;
            session.client.packet()?;
            let started = Instant::now();
            for _ in 0..20 {
                session.client.packet()?;
            }
            off.push(started.elapsed().as_secs_f64() - seconds);
            // No frame is early, whatever the machine does. 10 ms are for frames that
            // the server sends together.
            let took = requested.elapsed().as_secs_f64();
            assert!(took > seconds - 0.01, "{request}: {took} s");
        }
    }
    server.is_well()
}

#[test]
fn a_live_movie_ignores_startpoint_and_has_no_other_position() -> Result<()> {
    let images = movies::images(200, "I420")?;
    let (_folder, mut server) = serve_as("a.mjpeg", &images, &["--live"])?;
    let mut session = InState::reach(&server, Ready)?;
    for request in ["FORWARD", "BACKWARD", "SEEK", "SPEED_2X"] {
        let reply =
            session.request(&format!("{request} a.mjpeg RTSP/1.0\nCSeq: N\nX-Seek: 0.9"))?;
        assert!(reply.starts_with("RTSP/1.0 455 "), "{request}: {reply}");
    }
    session.ok("PLAY a.mjpeg RTSP/1.0\nCSeq: N\nStartpoint: 190")?;
    let jpeg = session.client.packet()?.1;
    let at = images.iter().position(|image| *image == jpeg).context("no frame")?;
    assert!(at < 180, "frame {at}");
    server.is_well()
}

#[test]
fn a_port_that_was_closed_for_a_while_gets_each_frame_again() -> Result<()> {
    let folder = Folder::new()?;
    folder.file("a.mjpeg", &movies::movie(&movies::images(20, "I420")?)?)?;
    let mut server = Server::start([OsStr::new("--loop"), folder.path().as_os_str()], 1)?;
    let mut client = InState::reach(&server, Playing)?.client;
    for _ in 0..3 {
        let port = client.port()?;
        let (last, _) = client.packet()?;
        // The system reports to the server that nobody receives its packets.
        client.rtp = UdpSocket::bind("0.0.0.0:0")?;
        mjpeg_rtsp_tests::pace(Duration::from_millis(250));
        client.rtp = UdpSocket::bind(("0.0.0.0", port))?;
        client.rtp.set_read_timeout(Some(Duration::from_secs(10)))?;
        let (first, _) = client.packet()?;
        let missed = first.sequence_number - last.sequence_number - 1;
        assert!((2..100).contains(&missed), "{missed}");
        for number in 1..8 {
            let (header, _) = client.packet()?;
            assert_eq!(header.sequence_number, first.sequence_number + number);
        }
    }
    let log = server.log()?;
    assert!(!log.contains("not sent"), "{log}");
    server.is_well()
}
