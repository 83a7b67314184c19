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
        line_format: LF,
        fourth_line: None,
    }
}

/// LF between the lines, and none at the end.
const LF: LineFormat =
    LineFormat { line_end: LineEnd::Lf, final_line_end: false, blank_line: false };

/// Line end after each line, the last one included.
const LF_END: LineFormat = LineFormat { final_line_end: true, ..LF };
/// The same with a blank line.
const LF_BLANK: LineFormat = LineFormat { blank_line: true, ..LF_END };
const CRLF_END: LineFormat = LineFormat { line_end: LineEnd::CrLf, ..LF_END };
const CRLF_BLANK: LineFormat = LineFormat { line_end: LineEnd::CrLf, ..LF_BLANK };

fn setup(cseq: u64, port: u16, line_format: LineFormat) -> Request {
    let rtp_port = Some(port);
    Request { rtp_port, line_format, ..request(Method::Setup, Some("movie.Mjpeg"), cseq) }
}

fn session(mut request: Request, session: u64) -> Request {
    request.session = Some(session);
    request
}

#[test]
fn every_form_of_request_is_parsed() {
    let play = |cseq| request(Method::Play, Some("movie.Mjpeg"), cseq);
    let bare = |method, cseq| request(method, None, cseq);
    let rows: Vec<(&str, &str, Request)> = vec![
        (
            "textbook SETUP",
            "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000",
            setup(1, 25000, LF),
        ),
        (
            "textbook PLAY",
            "PLAY movie.Mjpeg RTSP/1.0\nCSeq: 2\nSession: 123456",
            session(play(2), 123_456),
        ),
        (
            "with a line end",
            "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000\n",
            setup(1, 25000, LF_END),
        ),
        (
            "with a blank line",
            "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000\n\n",
            setup(1, 25000, LF_BLANK),
        ),
        (
            "CRLF with a blank line",
            "SETUP movie.Mjpeg RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/UDP;client_port=25000\r\n\r\n",
            setup(1, 25000, CRLF_BLANK),
        ),
        (
            "Java SETUP",
            "SETUP movie.Mjpeg RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/UDP; client_port= 25000\r\n",
            setup(1, 25000, CRLF_END),
        ),
        (
            "Java PAUSE of two lines",
            "PAUSE movie.Mjpeg RTSP/1.0\r\nCSeq: 3\r\n",
            Request { line_format: CRLF_END, ..request(Method::Pause, Some("movie.Mjpeg"), 3) },
        ),
        (
            "seed SETUP",
            "SETUP movie.mjpeg\n1\n RTSP/1.0 RTP/UDP 5008",
            Request { file: Some("movie.mjpeg".into()), ..setup(1, 5008, LF) },
        ),
        ("seed PLAY", "PLAY \n2", bare(Method::Play, 2)),
        ("seed PAUSE", "PAUSE \n3", bare(Method::Pause, 3)),
        ("seed TEARDOWN", "TEARDOWN \n5", bare(Method::Teardown, 5)),
        (
            "seed with blanks",
            "SETUP movie.Mjpeg\n 1 \n RTSP/1.0 RTP/UDP 25000",
            setup(1, 25000, LF),
        ),
        ("seed PLAY with blanks", "PLAY \n 2", bare(Method::Play, 2)),
        (
            "other capitals and blanks",
            "setup movie.Mjpeg RTSP/1.0 \nCSeq: 1 \nTRANSPORT: RTP/UDP; Client_port = 25000",
            setup(1, 25000, LF),
        ),
        (
            "no semicolon",
            "SETUP movie.Mjpeg RTSP/2.0\nCseq: 1\nTransport: RTP/UDP client_port=25000",
            setup(1, 25000, LF),
        ),
        (
            "TCP in the transport",
            "SETUP movie.Mjpeg RTSP/1.0\nSEeq: 1\nTransport: TCP/UDP ; client_port= 25000",
            setup(1, 25000, LF),
        ),
        (
            "CSeq misspelt",
            "SETUP movie.Mjpeg RTSP/1.0\nCseg: 1\nTransport: RTP/UDP; client_port= 25000",
            setup(1, 25000, LF),
        ),
        (
            "CSeq without a colon",
            "SETUP movie.Mjpeg RTSP/1.0\nCSeq 1\nTransport RTP/UDP; client_port= 25000",
            Request { fourth_line: Some(FourthLine::TotalFrame), ..setup(1, 25000, LF) },
        ),
        (
            "version 1.4",
            "SETUP movie.Mjpeg RTSP/1.4\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000",
            Request { fourth_line: Some(FourthLine::Frames), ..setup(1, 25000, LF) },
        ),
        (
            "session before the sequence number",
            "PLAY movie.Mjpeg RTSP/1.0\nSESSION: 123456\nSEQ: 7",
            session(play(7), 123_456),
        ),
        (
            "no blank between name and version",
            "PLAY movie.MjpegRTSP/2.0\nCSeq: 2\nSession: 123456",
            session(play(2), 123_456),
        ),
        (
            "a URL instead of the name",
            "PLAY rtsp://127.0.0.1/movie.Mjpeg RTSP/1.0\nCSeq: 2\nSession: 123456",
            session(play(2), 123_456),
        ),
        (
            "STOP",
            "STOP movie.Mjpeg RTSP/1.0\nCSeq: 4\nSession: 123456",
            session(request(Method::Teardown, Some("movie.Mjpeg"), 4), 123_456),
        ),
        (
            "a fourth line",
            "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000\nPrefer: SD",
            setup(1, 25000, LF),
        ),
        (
            "start point",
            "PLAY movie.Mjpeg RTSP/1.0\nCSeq: 2\nSession: 123456\nStartpoint: 57",
            Request { start_frame: Some(57), ..session(play(2), 123_456) },
        ),
        (
            "seek",
            "SEEK movie.Mjpeg RTSP/1.0\nCSeq: 2\nSession: 123456\nX-Seek: 0.42",
            Request {
                seek: Some(0.42),
                ..session(request(Method::Seek, Some("movie.Mjpeg"), 2), 123_456)
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
        let framed = framer.next_request(Pause::Short).unwrap();
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
        ("FASTFORWARD", "textbook"),
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
        ("SETUPP a RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP", RequestError::Method, Some(1)),
        ("FASTFORWARD", RequestError::Method, None),
        (
            "SETUP a RTSP/1.0\nTransport: RTP/UDP; client_port= 25000",
            RequestError::SequenceNumber,
            None,
        ),
        ("SETUP a\n RTSP/1.0 RTP/UDP 5008", RequestError::SequenceNumber, None),
        ("PLAY a RTSP/1.0\nSession: 123456", RequestError::SequenceNumber, None),
        ("SETUP a RTSP/1.0\nCSeq: 1", RequestError::NoPort, Some(1)),
        ("SETUP a RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP", RequestError::NoPort, Some(1)),
        ("SETUP a RTSP/1.0\nCSeq: 1\nTransport: client_port= x", RequestError::NoPort, Some(1)),
        ("SETUP a RTSP/1.0\nCSeq: 1\nTransport: client_port= 80", RequestError::Port, Some(1)),
        ("SETUP a RTSP/1.0\nCSeq: 1\nTransport: client_port= 70000", RequestError::Port, Some(1)),
    ];
    for (text, error, cseq) in rows {
        let got = Request::parse(text).map_err(|(error, _, cseq)| (error, cseq));
        assert_eq!(got, Err((error, cseq)), "{text:?}");
    }
}

#[test]
fn requests_are_split_at_their_ends() {
    use Pause::{Long, None, Short};
    let one = "SETUP m.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000";
    let two = "PLAY m.Mjpeg RTSP/1.0\nCSeq: 2\nSession: 123456";
    let half = "SETUP m.Mjpeg RTSP/1.0\nCSeq: 1\n";
    let unknown = "NEXT m.Mjpeg RTSP/1.0\nCSeq: 2\nSession: 123456";
    // Received bytes, the pause after them, and the requests.
    let rows: Vec<(&str, String, Pause, Vec<String>)> = vec![
        ("nothing yet", one.into(), None, vec![]),
        ("a pause", one.into(), Short, vec![one.into()]),
        ("blank line", format!("{one}\n\n"), None, vec![format!("{one}\n\n")]),
        ("blank line, CRLF", "PLAY \r\n2\r\n\r\n".into(), None, vec!["PLAY \r\n2\r\n\r\n".into()]),
        ("next method", format!("{one}\n{two}"), None, vec![format!("{one}\n")]),
        (
            "both, then a pause",
            format!("{one}\n{two}"),
            Short,
            vec![format!("{one}\n"), two.into()],
        ),
        (
            "seed, twice",
            "PLAY \n2\nPAUSE \n3".into(),
            Short,
            vec!["PLAY \n2\n".into(), "PAUSE \n3".into()],
        ),
        ("line ends between", format!("\r\n\n{two}\n\n\n\r\n"), None, vec![format!("{two}\n\n")]),
        ("half a request", half.into(), Short, vec![]),
        ("half a request that does not go on", half.into(), Long, vec![half.into()]),
        ("unknown method", unknown.into(), Short, vec![unknown.into()]),
        ("unknown method without a number", "FASTFORWARD".into(), Short, vec![]),
        ("the same, longer", "FASTFORWARD".into(), Long, vec!["FASTFORWARD".into()]),
        ("faulty port", one.replace("25000", "70000"), Short, vec![one.replace("25000", "70000")]),
        ("half a word", "PLAY m\nCSeq: 2\nPLA".into(), None, vec![]),
        ("garbage", "hello".into(), Long, vec!["hello".into()]),
        ("garbage and a blank line", "hello\n\n".into(), None, vec!["hello\n\n".into()]),
        ("only line ends", "\r\n\r\n".into(), Long, vec![]),
    ];
    for (name, sent, pause, want) in rows {
        let mut framer = Framer::default();
        framer.push(sent.as_bytes()).unwrap();
        let got: Vec<String> = std::iter::from_fn(|| framer.next_request(pause)).collect();
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
    let crlf = LineFormat { final_line_end: false, ..CRLF_END };
    let rows = [
        (Status::Ok, LF, "RTSP/1.0 200 OK\nCSeq: 1\nSession: 539239"),
        (Status::Ok, LF_END, "RTSP/1.0 200 OK\nCSeq: 1\nSession: 539239\n"),
        (Status::Ok, LF_BLANK, "RTSP/1.0 200 OK\nCSeq: 1\nSession: 539239\n\n"),
        (Status::Ok, crlf, "RTSP/1.0 200 OK\r\nCSeq: 1\r\nSession: 539239"),
        (Status::Ok, CRLF_END, "RTSP/1.0 200 OK\r\nCSeq: 1\r\nSession: 539239\r\n"),
        (Status::NotFound, LF, "RTSP/1.0 404 Not Found\nCSeq: 1\nSession: 0"),
        (Status::NotFound, crlf, "RTSP/1.0 404 Not Found"),
        (Status::NotFound, CRLF_END, "RTSP/1.0 404 Not Found\r\n"),
        (
            Status::MethodNotValidInThisState,
            CRLF_BLANK,
            "RTSP/1.0 455 Method Not Valid in This State\r\nCSeq: 1\r\nSession: 0\r\n\r\n",
        ),
        (Status::BadRequest, LF_END, "RTSP/1.0 400 Bad Request\nCSeq: 1\nSession: 0\n"),
        (
            Status::InternalServerError,
            LF_END,
            "RTSP/1.0 500 Internal Server Error\nCSeq: 1\nSession: 0\n",
        ),
        (Status::NotImplemented, LF_END, "RTSP/1.0 501 Not Implemented\nCSeq: 1\nSession: 0\n"),
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

fn any_pause() -> impl Strategy<Value = Pause> {
    prop::sample::select(&[Pause::None, Pause::Short, Pause::Long][..])
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
        let framed = framer.next_request(Pause::Short).unwrap();
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
        pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any_pause()), 0..20),
    ) {
        let mut framer = Framer::default();
        for (bytes, pause) in pieces {
            if framer.push(&bytes).is_err() {
                break;
            }
            while let Some(text) = framer.next_request(pause) {
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
        while framer.next_request(Pause::Long).is_some() {}
    }
}
