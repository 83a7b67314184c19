// SPDX-License-Identifier: MIT OR Apache-2.0
//! The exact bytes of lab clients and servers.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::too_many_lines)]

use super::*;
use proptest::prelude::*;

fn request(method: Method, file: Option<&str>, cseq: u64) -> Request {
    Request {
        method,
        file: file.map(ToOwned::to_owned),
        cseq,
        rtp_port: None,
        session: None,
        seek: None,
        start_frame: None,
        line_format: LineFormat { line_end: LineEnd::Lf, blank_line: false },
    }
}

fn setup(cseq: u64, port: u16, line_end: LineEnd, blank_line: bool) -> Request {
    Request {
        rtp_port: Some(port),
        line_format: LineFormat { line_end, blank_line },
        ..request(Method::Setup, Some("movie.Mjpeg"), cseq)
    }
}

fn session(mut request: Request, session: u64, line_end: LineEnd, blank_line: bool) -> Request {
    request.session = Some(session);
    request.line_format = LineFormat { line_end, blank_line };
    request
}

#[test]
fn every_form_of_request_is_parsed() {
    use LineEnd::{CrLf, Lf};
    let play = |cseq| request(Method::Play, Some("movie.Mjpeg"), cseq);
    let bare = |method, cseq| request(method, None, cseq);
    let rows: Vec<(&str, &str, Request)> = vec![
        (
            "textbook SETUP",
            "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000",
            setup(1, 25000, Lf, false),
        ),
        (
            "textbook PLAY",
            "PLAY movie.Mjpeg RTSP/1.0\nCSeq: 2\nSession: 123456",
            session(play(2), 123_456, Lf, false),
        ),
        (
            "with a line end",
            "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000\n",
            setup(1, 25000, Lf, false),
        ),
        (
            "with a blank line",
            "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000\n\n",
            setup(1, 25000, Lf, true),
        ),
        (
            "CRLF with a blank line",
            "SETUP movie.Mjpeg RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/UDP;client_port=25000\r\n\r\n",
            setup(1, 25000, CrLf, true),
        ),
        (
            "Java SETUP",
            "SETUP movie.Mjpeg RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/UDP; client_port= 25000\r\n",
            setup(1, 25000, CrLf, false),
        ),
        (
            "Java PAUSE of two lines",
            "PAUSE movie.Mjpeg RTSP/1.0\r\nCSeq: 3\r\n",
            Request {
                line_format: LineFormat { line_end: CrLf, blank_line: false },
                ..request(Method::Pause, Some("movie.Mjpeg"), 3)
            },
        ),
        (
            "seed SETUP",
            "SETUP movie.mjpeg\n1\n RTSP/1.0 RTP/UDP 5008",
            Request { file: Some("movie.mjpeg".into()), ..setup(1, 5008, Lf, false) },
        ),
        ("seed PLAY", "PLAY \n2", bare(Method::Play, 2)),
        ("seed PAUSE", "PAUSE \n3", bare(Method::Pause, 3)),
        ("seed TEARDOWN", "TEARDOWN \n5", bare(Method::Teardown, 5)),
        (
            "seed with blanks",
            "SETUP movie.Mjpeg\n 1 \n RTSP/1.0 RTP/UDP 25000",
            setup(1, 25000, Lf, false),
        ),
        ("seed PLAY with blanks", "PLAY \n 2", bare(Method::Play, 2)),
        (
            "other capitals and blanks",
            "setup movie.Mjpeg RTSP/1.0 \nCSeq: 1 \nTRANSPORT: RTP/UDP; Client_port = 25000",
            setup(1, 25000, Lf, false),
        ),
        (
            "no semicolon",
            "SETUP movie.Mjpeg RTSP/2.0\nCseq: 1\nTransport: RTP/UDP client_port=25000",
            setup(1, 25000, Lf, false),
        ),
        (
            "TCP in the transport",
            "SETUP movie.Mjpeg RTSP/1.0\nSEeq: 1\nTransport: TCP/UDP ; client_port= 25000",
            setup(1, 25000, Lf, false),
        ),
        (
            "CSeq misspelt",
            "SETUP movie.Mjpeg RTSP/1.0\nCseg: 1\nTransport: RTP/UDP; client_port= 25000",
            setup(1, 25000, Lf, false),
        ),
        (
            "CSeq without a colon",
            "SETUP movie.Mjpeg RTSP/1.0\nCSeq 1\nTransport: RTP/UDP; client_port= 25000",
            setup(1, 25000, Lf, false),
        ),
        (
            "session before the sequence number",
            "PLAY movie.Mjpeg RTSP/1.0\nSESSION: 123456\nSEQ: 7",
            session(play(7), 123_456, Lf, false),
        ),
        (
            "no blank between name and version",
            "PLAY movie.MjpegRTSP/2.0\nCSeq: 2\nSession: 123456",
            session(play(2), 123_456, Lf, false),
        ),
        (
            "a URL instead of the name",
            "PLAY rtsp://127.0.0.1/movie.Mjpeg RTSP/1.0\nCSeq: 2\nSession: 123456",
            session(play(2), 123_456, Lf, false),
        ),
        (
            "STOP",
            "STOP movie.Mjpeg RTSP/1.0\nCSeq: 4\nSession: 123456",
            session(request(Method::Teardown, Some("movie.Mjpeg"), 4), 123_456, Lf, false),
        ),
        (
            "a fourth line",
            "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000\nPrefer: SD",
            setup(1, 25000, Lf, false),
        ),
        (
            "start point",
            "PLAY movie.Mjpeg RTSP/1.0\nCSeq: 2\nSession: 123456\nStartpoint: 57",
            Request { start_frame: Some(57), ..session(play(2), 123_456, Lf, false) },
        ),
        (
            "seek",
            "SEEK movie.Mjpeg RTSP/1.0\nCSeq: 2\nSession: 123456\nX-Seek: 0.42",
            Request {
                seek: Some(0.42),
                ..session(request(Method::Seek, Some("movie.Mjpeg"), 2), 123_456, Lf, false)
            },
        ),
        ("speed", "SPEED_0_5X\nCSeq: 9", bare(Method::Speed(1), 9)),
        ("list", "LIST RTSP/1.0\nCSeq: 9", bare(Method::List, 9)),
    ];
    for (name, text, want) in rows {
        assert_eq!(Request::parse(text), Ok(want.clone()), "{name}");
        // The framer gives the same request after a pause, if the bytes arrive one by one.
        let mut framer = Framer::default();
        for byte in text.as_bytes() {
            framer.push(&[*byte]).unwrap();
        }
        let framed = framer.next_request(true).unwrap();
        assert_eq!(Request::parse(&framed), Ok(want), "{name}, framed");
    }
}

#[test]
fn dialects_are_recognised() {
    let rows = [
        ("PLAY m RTSP/1.0\nCSeq: 2\nSession: 1", "textbook"),
        ("PLAY m RTSP/1.0\r\nCSeq: 2\r\nSession: 1\r\n\r\n", "textbook"),
        ("PLAY m RTSP/1.0\r\nCSeq: 2\r\nSession: 1\r\n", "java"),
        ("PLAY \n2", "seed"),
        ("SETUP m\n 1 \n RTSP/1.0 RTP/UDP 25000", "seed"),
    ];
    for (text, name) in rows {
        assert_eq!(Dialect::of(text).name(), name, "{text:?}");
    }
}

#[test]
fn what_is_not_a_request_is_refused_with_the_reason() {
    let rows = [
        ("", RequestError::Method, None),
        ("JUMP movie.Mjpeg RTSP/1.0\nCSeq: 1", RequestError::Method, Some(1)),
        ("PLAY movie.Mjpeg RTSP/1.0", RequestError::SequenceNumber, None),
        ("PLAY movie.Mjpeg RTSP/1.0\nCSeq: x", RequestError::SequenceNumber, None),
        ("SETUP\n1\n RTSP/1.0 RTP/UDP 5008", RequestError::File, Some(1)),
        ("SETUP RTSP/1.0\nCSeq: 1\nTransport: client_port= 5", RequestError::File, Some(1)),
        ("SETUP a RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP", RequestError::Port, Some(1)),
        ("SETUP a RTSP/1.0\nCSeq: 1\nTransport: client_port= 70000", RequestError::Port, Some(1)),
    ];
    for (text, error, cseq) in rows {
        let got = Request::parse(text).map_err(|(error, _, cseq)| (error, cseq));
        assert_eq!(got, Err((error, cseq)), "{text:?}");
    }
}

#[test]
fn requests_are_split_at_their_ends() {
    let one = "SETUP m.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000";
    let two = "PLAY m.Mjpeg RTSP/1.0\nCSeq: 2\nSession: 123456";
    // Received bytes, whether there is a pause after them, and the requests.
    let rows: Vec<(&str, String, bool, Vec<String>)> = vec![
        ("nothing yet", one.into(), false, vec![]),
        ("a pause", one.into(), true, vec![one.into()]),
        ("blank line", format!("{one}\n\n"), false, vec![format!("{one}\n\n")]),
        ("blank line, CRLF", "PLAY \r\n2\r\n\r\n".into(), false, vec!["PLAY \r\n2\r\n\r\n".into()]),
        ("next method", format!("{one}\n{two}"), false, vec![format!("{one}\n")]),
        ("both, then a pause", format!("{one}\n{two}"), true, vec![format!("{one}\n"), two.into()]),
        (
            "seed, twice",
            "PLAY \n2\nPAUSE \n3".into(),
            true,
            vec!["PLAY \n2\n".into(), "PAUSE \n3".into()],
        ),
        ("line ends between", format!("\r\n\n{two}\n\n\n\r\n"), false, vec![format!("{two}\n\n")]),
        ("half a request", "SETUP m.Mjpeg RTSP/1.0\nCSeq: 1\n".into(), true, vec![]),
        ("half a word", "PLAY m\nCSeq: 2\nPLA".into(), false, vec![]),
        ("garbage waits", "hello".into(), true, vec![]),
        ("garbage and a blank line", "hello\n\n".into(), false, vec!["hello\n\n".into()]),
        ("only line ends", "\r\n\r\n".into(), true, vec![]),
    ];
    for (name, sent, quiet, want) in rows {
        let mut framer = Framer::default();
        framer.push(sent.as_bytes()).unwrap();
        let got: Vec<String> = std::iter::from_fn(|| framer.next_request(quiet)).collect();
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn bytes_that_are_not_text_and_endless_requests_are_errors() {
    let mut framer = Framer::default();
    assert_eq!(framer.push(b"PLAY\0"), Err(FramerError::NotText(0)));
    let mut framer = Framer::default();
    assert!(!framer.has_begun());
    framer.push(&vec![b'a'; MAX_REQUEST]).unwrap();
    assert!(framer.has_begun());
    assert_eq!(framer.push(b"a"), Err(FramerError::TooLong));
}

#[test]
fn replies_have_exact_bytes() {
    let line_format = |line_end, blank_line| LineFormat { line_end, blank_line };
    let (lf, crlf) = (line_format(LineEnd::Lf, false), line_format(LineEnd::CrLf, false));
    let rows = [
        (Status::Ok, lf, "RTSP/1.0 200 OK\nCSeq: 1\nSession: 539239\n"),
        (Status::Ok, crlf, "RTSP/1.0 200 OK\r\nCSeq: 1\r\nSession: 539239\r\n"),
        (
            Status::Ok,
            line_format(LineEnd::Lf, true),
            "RTSP/1.0 200 OK\nCSeq: 1\nSession: 539239\n\n",
        ),
        (Status::NotFound, lf, "RTSP/1.0 404 Not Found\nCSeq: 1\nSession: 0\n"),
        (Status::NotFound, crlf, "RTSP/1.0 404 Not Found\r\n"),
        (
            Status::MethodNotValidInThisState,
            line_format(LineEnd::CrLf, true),
            "RTSP/1.0 455 Method Not Valid in This State\r\nCSeq: 1\r\nSession: 0\r\n\r\n",
        ),
        (Status::BadRequest, lf, "RTSP/1.0 400 Bad Request\nCSeq: 1\nSession: 0\n"),
        (
            Status::InternalServerError,
            lf,
            "RTSP/1.0 500 Internal Server Error\nCSeq: 1\nSession: 0\n",
        ),
        (Status::NotImplemented, lf, "RTSP/1.0 501 Not Implemented\nCSeq: 1\nSession: 0\n"),
    ];
    for (status, line_format, want) in rows {
        assert_eq!(status.write(1, 539_239, line_format), want);
    }
}

#[test]
fn replies_of_servers_are_parsed() {
    let reply = |code, cseq, session: Option<&str>| Reply {
        code,
        cseq,
        session: session.map(ToOwned::to_owned),
        seconds: None,
        frames: None,
    };
    let good = reply(200, Some(1), Some("539239"));
    let rows = [
        ("textbook", "RTSP/1.0 200 OK\nCSeq: 1\nSession: 539239", good.clone()),
        ("CRLF", "RTSP/1.0 200 OK\r\nCSeq: 1\r\nSession: 539239\r\n\r\n", good.clone()),
        ("timeout", "RTSP/1.0 200 OK\nCSeq: 1\nSession: 539239;timeout=60\n", good.clone()),
        (
            "the course report's",
            "RTSP/1.0 200 OK\nCSeq: CSeq:\nSession: 539239",
            reply(200, None, Some("539239")),
        ),
        (
            "time and frames",
            "RTSP/1.0 200 OK\nCSeq: 1\nSession: 539239\nTotalTime: 25.0\nX-TotalFrames: 500",
            Reply { seconds: Some(25.0), frames: Some(500), ..good.clone() },
        ),
        (
            "two bare numbers",
            "RTSP/1.0 200 OK\nCSeq: 1\nSession: 539239\n4269\n500",
            Reply { frames: Some(500), ..good },
        ),
        ("one line", "RTSP/1.0 404 NOT FOUND\r\n", reply(404, None, None)),
    ];
    for (name, text, want) in rows {
        assert_eq!(Reply::parse(text), Ok(want), "{name}");
    }
    for text in ["", "\n\n", "hello", "RTSP/1.0", "RTSP/1.0 OK 200"] {
        assert_eq!(Reply::parse(text), Err(ReplyError), "{text:?}");
    }
}

#[test]
fn descriptions_of_our_server_are_parsed() {
    let sdp = "RTSP/1.0 200 OK\r\nCSeq: 2\r\nSession: 539239\r\n\r\nv=0\r\nm=video 5 RTP/AVP 26\r\na=framerate:12.5\r\na=x-total-frames:500\r\n";
    let rows = [
        (sdp.to_owned(), Some(Description { frames: 500, framerate: 12.5 })),
        (sdp.replace("12.5", "0"), None),
        (sdp.replace("12.5", "inf"), None),
        (sdp.replace("x-total-frames", "frames"), None),
        (String::new(), None),
    ];
    for (text, want) in rows {
        assert_eq!(Description::parse(&text), want, "{text:?}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        form in prop::sample::select(&RequestForm::ALL[..]),
        method in prop::sample::select(&[Method::Setup, Method::Play, Method::Pause, Method::Teardown][..]),
        cseq in 1..100_000_u64,
        port in 1024..=u16::MAX,
        session in 100_000..1_000_000_u32,
    ) {
        let text = form.write(method, "movie.Mjpeg", cseq, port, &session.to_string());
        prop_assert!(text.len() < 256, "servers read at most 256 bytes, once");
        let mut framer = Framer::default();
        framer.push(text.as_bytes()).unwrap();
        let framed = framer.next_request(true).unwrap();
        prop_assert_eq!(&framed, &text);
        let request = Request::parse(&framed).unwrap();
        prop_assert_eq!((request.method, request.cseq), (method, cseq));
        if method == Method::Setup {
            prop_assert_eq!(request.file.as_deref(), Some("movie.Mjpeg"));
            prop_assert_eq!(request.rtp_port, Some(port));
        }
        let seek = form.write_seek("movie.Mjpeg", cseq, &session.to_string(), 0.25);
        let read = Request::parse(&seek).unwrap();
        prop_assert_eq!((read.method, read.cseq, read.seek), (Method::Seek, cseq, Some(0.25)));
        prop_assert_eq!(read.session, Some(u64::from(session)));
        let reply = Status::Ok.write(cseq, session, request.line_format);
        let read = Reply::parse(&reply).unwrap();
        prop_assert_eq!((read.code, read.cseq), (200, Some(cseq)));
        prop_assert_eq!(read.session, Some(session.to_string()));
    }

    #[test]
    fn any_bytes_are_taken_without_a_panic(
        pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..20),
    ) {
        let mut framer = Framer::default();
        for (bytes, quiet) in pieces {
            if framer.push(&bytes).is_err() {
                break;
            }
            while let Some(text) = framer.next_request(quiet) {
                prop_assert!(!text.is_empty());
                let _ = Request::parse(&text);
            }
            let _ = Reply::parse(&String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn any_text_is_taken_without_a_panic(text in "[A-Za-z0-9:=; /._\r\n]{0,200}") {
        let _ = Request::parse(&text);
        let _ = Reply::parse(&text);
        let mut framer = Framer::default();
        framer.push(text.as_bytes()).unwrap();
        while framer.next_request(true).is_some() {}
    }
}
