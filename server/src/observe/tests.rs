// SPDX-License-Identifier: MIT OR Apache-2.0
use super::event::{Answered, Message};
use super::exchange::{Filter, MAX_EVENTS, Output, Reader};
use super::sessions::{Dialect, State, Transport};
use super::*;
use crate::send::counts::{FirstPacket, SendCounts, SentFrame};
use gstmjpegfile::lab::Method;
use gstmjpegfile::rtp::{JpegHeader, ReportBlock, RtpHeader, Timestamp};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

/// The address of all clients.
fn peer() -> SocketAddr {
    ([127, 0, 0, 1], 40_000).into()
}

fn new_session(dialect: Dialect, transport: Transport) -> NewSession {
    NewSession { dialect, transport, encrypted: false, peer: peer(), agent: None }
}

fn media(mount: &str, transport: Transport, counts: &Arc<SendCounts>) -> NewMedia {
    NewMedia { mount: mount.to_owned(), transport, user: None, counts: counts.clone() }
}

/// A session of standard RTSP with a movie.
pub(crate) fn session_with_movie(
    observatory: &Arc<Observatory>,
    mount: &str,
) -> (Arc<ObservedSession>, Arc<SendCounts>) {
    let session = observatory.begin(new_session(Dialect::Rtsp, Transport::Tcp));
    let counts: Arc<SendCounts> = Arc::default();
    session.open_media(media(mount, Transport::Udp, &counts));
    (session, counts)
}

fn frame(number: u64) -> SentFrame {
    let sequence_number = u16::try_from(2 * number + 11).unwrap();
    SentFrame { number, packets: 2, bytes: 2000, sequence_number }
}

fn send(counts: &SendCounts, number: u64) {
    let header = RtpHeader::jpeg(10, Timestamp::from_ticks(9), 0x0102_0304, false);
    let first = FirstPacket { header, payload: 988, jpeg_header: None };
    counts.add_frame(frame(number), || Some(first));
}

fn block(cumulative_lost: i32) -> ReportBlock {
    ReportBlock {
        fraction_lost: 64,
        cumulative_lost,
        highest_sequence: 20,
        jitter: 90,
        last_sender_report: 0,
        delay: 0,
    }
}

/// The view of a session as JSON, without what depends on the time.
fn view(session: &ObservedSession) -> Value {
    let mut view = serde_json::to_value(session.view()).unwrap();
    for name in ["started", "duration_seconds", "frames_per_second", "bits_per_second"] {
        view[name].take();
    }
    if !view["receiver"].is_null() {
        assert!(view["receiver"]["age_seconds"].take().as_f64().unwrap() < 5.0);
    }
    view
}

#[test]
fn a_session_shows_what_is_known_of_it() {
    let observatory = Observatory::new();
    let session = observatory.begin(new_session(Dialect::Rtsp, Transport::Tcp));
    let mut want = json!({
        "id": "1", "dialect": "rtsp", "transport": "tcp", "encrypted": false,
        "peer": "127.0.0.1:40000", "agent": null, "user": null, "mount": null, "state": "init",
        "started": null, "duration_seconds": null, "frame": null, "frames": 0, "packets": 0,
        "bytes": 0, "frames_per_second": null, "bits_per_second": null, "receiver": null,
    });
    assert_eq!(view(&session), want);
    session.set_agent("VLC\r\n/3");
    session.set_agent("another");
    let counts: Arc<SendCounts> = Arc::default();
    session.open_media(NewMedia {
        user: Some("anna".into()),
        ..media("/cam/door.mjpeg", Transport::Udp, &counts)
    });
    want["agent"] = json!("VLC/3");
    want["user"] = json!("anna");
    want["mount"] = json!("cam/door.mjpeg");
    want["transport"] = json!("udp");
    want["state"] = json!("ready");
    assert_eq!(view(&session), want);
    session.play_starts(Instant::now());
    send(&counts, 0);
    send(&counts, 1);
    // No loss is below 0.
    counts.add_report(block(-1));
    want["state"] = json!("playing");
    want["frame"] = json!(1);
    want["frames"] = json!(2);
    want["packets"] = json!(4);
    want["bytes"] = json!(4000);
    want["receiver"] = json!({ "lost": 0, "fraction_lost": 0.25, "jitter_ms": 1.0,
                               "round_trip_ms": null, "age_seconds": null });
    assert_eq!(view(&session), want);
    counts.add_report(block(3));
    want["receiver"]["lost"] = json!(3);
    assert_eq!(view(&session), want);
    session.end("TEARDOWN");
    session.end("another reason");
    assert!(observatory.registry.all().is_empty() && session.has_ended());
}

#[test]
fn rates_are_those_of_the_last_seconds() {
    let observatory = Observatory::new();
    let (session, counts) = session_with_movie(&observatory, "m");
    session.play_starts(Instant::now());
    for number in 0..10 {
        send(&counts, number);
    }
    // Less than the shortest window has passed, unless the machine is very slow.
    let view = serde_json::to_value(session.view()).unwrap();
    let rate = view["frames_per_second"].as_f64().unwrap();
    assert!(rate > 0.0 && rate <= 20.0, "{rate}");
    let bits = view["bits_per_second"].as_f64().unwrap();
    assert!((bits - rate * 16_000.0).abs() < 200.0, "{bits}");
}

#[test]
fn a_closed_session_ends_by_its_owner() {
    let observatory = Observatory::new();
    let (session, _) = session_with_movie(&observatory, "m");
    let weak = Arc::downgrade(&session);
    session.set_closer(move || weak.upgrade().unwrap().end(sessions::CLOSED_BY_OPERATOR));
    session.close();
    assert!(session.has_ended());
    // The owner is not asked twice.
    session.close();
}

/// The events that a reader gets until there is none for a moment, without times.
async fn read_all(reader: &mut Reader) -> Vec<(u64, &'static str, Value)> {
    let mut got = Vec::new();
    while let Ok(output) = tokio::time::timeout(Duration::from_millis(20), reader.next()).await {
        let Output { number, name, mut data } = output;
        if let Some(time) = data.get_mut("time") {
            time.take();
        }
        got.push((number, name, data));
    }
    got
}

fn on_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.unwrap().block_on(test);
}

#[test]
fn readers_get_the_exchange_with_explanations() {
    on_runtime(async {
        let observatory = Observatory::new();
        let session = observatory.begin(new_session(Dialect::Lab, Transport::Udp));
        let text = "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000\n";
        session.record(Kind::Request(Message::lab(text), State::Init));
        let reply = "RTSP/1.0 200 OK\nCSeq: 1\nSession: 123456\n";
        let counts: Arc<SendCounts> = Arc::default();
        session.open_media(media("/movie.Mjpeg", Transport::Udp, &counts));
        let answered = Answered::Lab(Some((Method::Setup, 1)));
        session.record(Kind::Reply(Message::lab(reply), answered, session.state()));
        session.play_starts(Instant::now());
        send(&counts, 0);
        session.change_state(State::Ready);
        session.change_state(State::Ready);
        session.end("closed by the client");
        let mut reader = Reader::new(observatory.clone(), Filter::default(), None).unwrap();
        let got = read_all(&mut reader).await;
        let names: Vec<_> = got.iter().map(|(number, name, _)| (*number, *name)).collect();
        let want = ["session", "request", "reply", "rtp", "state", "end"];
        // The sixth is what was sent, before this reader came.
        assert_eq!(names, [1, 2, 3, 4, 5, 7].into_iter().zip(want).collect::<Vec<_>>());
        let data: Vec<&Value> = got.iter().map(|(.., data)| data).collect();
        assert_eq!(
            *data[0],
            json!({ "session": "1", "time": null, "peer": "127.0.0.1:40000", "dialect": "lab",
                    "mount": null })
        );
        assert_eq!(data[1]["summary"], "SETUP movie.Mjpeg");
        assert_eq!(
            data[1]["lines"],
            json!([
                { "text": "SETUP movie.Mjpeg RTSP/1.0",
                  "explanation": "open movie.Mjpeg: INIT to READY" },
                { "text": "CSeq: 1", "explanation": "request number 1: the reply repeats it" },
                { "text": "Transport: RTP/UDP; client_port= 25000",
                  "explanation": "RTP in UDP datagrams, to port 25000 of the client" },
            ])
        );
        assert_eq!(data[1]["remarks"].as_array().unwrap().len(), 1);
        assert_eq!((&data[1]["state"], &data[2]["state"]), (&json!("init"), &json!("ready")));
        assert_eq!(data[2]["summary"], "200 OK");
        assert_eq!(data[2]["remarks"], json!([]));
        assert_eq!(data[3]["payload_bytes"], 988);
        let fields = data[3]["fields"].as_array().unwrap();
        assert_eq!(
            (fields.len(), &fields[0]["bits"], &fields[0]["value"]),
            (9, &json!("10"), &json!("2"))
        );
        assert_eq!(fields[5]["bits"], "0011010");
        assert_eq!(*data[4], json!({ "session": "1", "time": null, "state": "ready" }));
        assert_eq!(
            *data[5],
            json!({ "session": "1", "time": null, "reason": "closed by the client" })
        );
    });
}

#[test]
fn the_first_packet_is_explained_in_the_terms_of_its_language() {
    on_runtime(async {
        let observatory = Observatory::new();
        let payload = [0, 0, 0, 0, 1, 255, 40, 30, 0, 0, 0, 128];
        let header = RtpHeader::jpeg(0, Timestamp::from_ticks(9), 0x0102_0304, false);
        for (dialect, jpeg_header) in
            [(Dialect::Rtsp, JpegHeader::of(&payload)), (Dialect::Lab, None)]
        {
            let session = observatory.begin(new_session(dialect, Transport::Udp));
            let counts: Arc<SendCounts> = Arc::default();
            session.open_media(media("/m", Transport::Udp, &counts));
            session.play_starts(Instant::now());
            let first = FirstPacket { header, payload: payload.len(), jpeg_header };
            counts.add_frame(frame(0), || Some(first));
        }
        let mut reader = Reader::new(observatory.clone(), Filter::default(), None).unwrap();
        let got = read_all(&mut reader).await;
        let packets: Vec<&Value> =
            got.iter().filter(|(_, name, _)| *name == "rtp").map(|(.., data)| data).collect();
        let sentence =
            |packet: usize, field: usize| packets[packet]["fields"][field]["explanation"].clone();
        assert_eq!(
            [sentence(0, 6), sentence(1, 6)],
            [
                "counts the packets from a random number on; 0 follows 65535; a gap means lost packets",
                "frame 0, which the textbook's client never shows: count from 1"
            ]
        );
        let standard = packets[0].to_string();
        assert!(!standard.contains("lab") && !standard.contains("textbook"), "{standard}");
        let jpeg = &packets[0]["jpeg_fields"];
        assert_eq!(jpeg.as_array().unwrap().len(), 6);
        assert_eq!(
            jpeg[4],
            json!({ "name": "width", "bits": "00101000", "value": "40",
                    "explanation": "320 pixels, in blocks of 8" })
        );
        assert_eq!(packets[1]["jpeg_fields"], Value::Null);
    });
}

#[test]
fn a_message_is_cut_and_has_no_secrets() {
    let body = "x".repeat(5000);
    let text = format!(
        "GET_PARAMETER rtsp://u:p@h/m RTSP/1.0\r\nCSeq: 2\r\nSession: abc;timeout=60\r\n\
         Authorization: Basic eDp5\r\nContent-Length: 5000\r\n\r\n{body}"
    );
    let observatory = Observatory::new();
    let session = observatory.begin(new_session(Dialect::Rtsp, Transport::Tcp));
    session.record(Kind::Request(Message::rtsp(text.as_bytes()), State::Ready));
    on_runtime(async move {
        let mut reader = Reader::new(observatory, Filter::default(), None).unwrap();
        let got = read_all(&mut reader).await;
        let (_, _, data) = &got[1];
        let lines: Vec<&str> = data["lines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["text"].as_str().unwrap())
            .collect();
        let want = [
            "GET_PARAMETER rtsp://***@h/m RTSP/1.0",
            "CSeq: 2",
            "Session: ***;timeout=60",
            "Authorization: ***",
            "Content-Length: 5000",
            "",
            &body[..4096],
        ];
        assert_eq!(lines, want);
        assert_eq!(data["remarks"], json!(["904 more bytes of this message are not shown"]));
    });
}

#[test]
fn only_the_last_events_are_kept_and_a_slow_reader_learns_what_it_has_missed() {
    on_runtime(async {
        let observatory = Observatory::new();
        let session = observatory.begin(new_session(Dialect::Rtsp, Transport::Tcp));
        let mut slow = Reader::new(observatory.clone(), Filter::default(), None).unwrap();
        for _ in 0..MAX_EVENTS {
            session.record(Kind::State(State::Ready));
        }
        let got = read_all(&mut slow).await;
        assert_eq!(got[0], (1, "lost", json!({ "events": 1 })));
        assert_eq!((got[1].0, got.len()), (2, MAX_EVENTS + 1));
        session.record(Kind::State(State::Init));
        assert_eq!(read_all(&mut slow).await.len(), 1);
        // A page that was away continues; a number that was not reached is that of an earlier run.
        let after =
            |after| Reader::new(observatory.clone(), Filter::default(), Some(after)).unwrap();
        let rows = [
            (502, 0, None),
            (500, 2, None),
            (1, 501, Some(1)),
            (0, 501, Some(2)),
            (900, 500, None),
        ];
        for (number, count, lost) in rows {
            let got = read_all(&mut after(number)).await;
            assert_eq!(got.len(), count, "{number}");
            let lost = lost.map(|lost| json!({ "events": lost }));
            let first = got.first().filter(|first| first.1 == "lost");
            assert_eq!(first.map(|first| first.2.clone()), lost, "{number}");
        }
    });
}

#[test]
fn the_memory_for_events_is_limited() {
    let observatory = Observatory::new();
    let session = observatory.begin(new_session(Dialect::Rtsp, Transport::Tcp));
    let body = "y".repeat(100_000);
    let text = format!("SET_PARAMETER * RTSP/1.0\r\nX: {}\r\n\r\n{body}", "x".repeat(60_000));
    for _ in 0..2000 {
        session.record(Kind::Request(Message::rtsp(text.as_bytes()), State::Init));
    }
    let (events, bytes) = observatory.exchange.kept();
    assert!((300..=MAX_EVENTS).contains(&events), "{events}");
    assert!(bytes <= 4 * 1024 * 1024, "{bytes}");
}

#[test]
fn readers_get_what_they_want() {
    on_runtime(async {
        let observatory = Observatory::new();
        let _one = observatory.begin(new_session(Dialect::Rtsp, Transport::Tcp));
        let _two = observatory.begin(new_session(Dialect::Lab, Transport::Udp));
        let _three = observatory.begin(new_session(Dialect::Lab, Transport::Udp));
        let rows: [(Option<u64>, Option<Dialect>, &[u64]); 5] = [
            (None, None, &[1, 2, 3]),
            (Some(2), None, &[2]),
            (None, Some(Dialect::Lab), &[2, 3]),
            (Some(1), Some(Dialect::Lab), &[]),
            (Some(9), None, &[]),
        ];
        for (session, dialect, want) in rows {
            let filter = Filter { session, dialect };
            let mut reader = Reader::new(observatory.clone(), filter, None).unwrap();
            let got: Vec<u64> = read_all(&mut reader).await.iter().map(|it| it.0).collect();
            assert_eq!(got, want, "{filter:?}");
        }
    });
}

#[test]
fn packets_are_reported_as_they_are_sent() {
    on_runtime(async {
        let observatory = Observatory::new();
        let (old, old_counts) = session_with_movie(&observatory, "old");
        old.play_starts(Instant::now());
        send(&old_counts, 0);
        let filter = Filter::default();
        let mut reader = Reader::new(observatory.clone(), filter, Some(3)).unwrap();
        let (session, counts) = session_with_movie(&observatory, "m");
        session.play_starts(Instant::now());
        send(&counts, 0);
        send(&counts, 1);
        send(&old_counts, 1);
        let packets = |got: Vec<(u64, &'static str, Value)>| -> Vec<Value> {
            let packets = got.into_iter().filter(|(_, name, _)| *name == "packets");
            packets.map(|(.., data)| data).collect()
        };
        tokio::time::sleep(Duration::from_millis(300)).await;
        let got = packets(read_all(&mut reader).await);
        let event = |session: &str, counts: [u64; 3], [from, to]: [u16; 2], frame: u64| {
            let [frames, packets, bytes] = counts;
            json!({ "session": session, "time": null, "frames": frames, "packets": packets,
                    "bytes": bytes, "from_sequence": from, "to_sequence": to, "frame": frame })
        };
        // The newest session first. What the old one has sent before is not new.
        let want = [event("2", [2, 4, 4000], [10, 13], 1), event("1", [1, 2, 2000], [12, 13], 1)];
        assert_eq!(got, want);
        // Nothing was sent.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(packets(read_all(&mut reader).await), [Value::Null; 0]);
        // The last frame before the end of the play.
        send(&counts, 2);
        session.change_state(State::Ready);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let got = packets(read_all(&mut reader).await);
        assert_eq!(got, [event("2", [1, 2, 2000], [14, 15], 2)]);
        let (movie, progress) = session.progress().unwrap();
        let progress = progress.unwrap();
        assert_eq!((movie, progress.frames, progress.frame), (1, 3, Some(2)));
    });
}

/// Packets that a reader has not looked at come before the end of their movie.
#[test]
fn the_last_packets_come_before_the_end() {
    on_runtime(async {
        let observatory = Observatory::new();
        let (old, old_counts) = session_with_movie(&observatory, "old");
        send(&old_counts, 0);
        let filter = Filter::default();
        let mut reader = Reader::new(observatory.clone(), filter, Some(1)).unwrap();
        let (session, counts) = session_with_movie(&observatory, "m");
        session.play_starts(Instant::now());
        send(&counts, 0);
        send(&old_counts, 1);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let short = |got: Vec<(u64, &'static str, Value)>| -> Vec<String> {
            let text = |(_, name, data): (u64, &'static str, Value)| {
                let [session, frames, packets] =
                    ["session", "frames", "packets"].map(|it| data[it].to_string());
                let range = ["from_sequence", "to_sequence"].map(|it| data[it].to_string());
                match name {
                    "packets" => format!("{session} {frames} {packets} {}", range.join("-")),
                    _ => format!("{session} {name}"),
                }
                .replace('"', "")
            };
            got.into_iter().map(text).collect()
        };
        let want = ["2 session", "2 rtp", "2 1 2 10-11", "1 1 2 12-13"];
        assert_eq!(short(read_all(&mut reader).await), want);
        // More, another movie whose packets are numbered anew, and the end, before the reader looks again.
        send(&counts, 1);
        send(&counts, 2);
        let counts: Arc<SendCounts> = Arc::default();
        session.open_media(media("/n", Transport::Udp, &counts));
        for number in 0..4 {
            send(&counts, number);
        }
        session.end("TEARDOWN");
        send(&old_counts, 2);
        old.close_media();
        old.end("TEARDOWN");
        // A session that has sent nothing.
        session_with_movie(&observatory, "silent").0.end("TEARDOWN");
        let want =
            ["2 2 4 12-15", "2 4 8 10-17", "2 end", "1 1 2 14-15", "1 end", "3 session", "3 end"];
        assert_eq!(short(read_all(&mut reader).await), want);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(short(read_all(&mut reader).await), [""; 0]);
        // What was sent before a reader came is not new.
        let mut late = Reader::new(observatory.clone(), filter, None).unwrap();
        let got = short(read_all(&mut late).await);
        assert!(got.iter().all(|event| event.split(' ').count() == 2), "{got:?}");
    });
}

/// The sum of what a reader gets is what was sent, whenever it looks.
#[test]
fn no_packet_is_reported_twice_or_never() {
    on_runtime(async {
        let observatory = Observatory::new();
        let mut reader = Reader::new(observatory.clone(), Filter::default(), None).unwrap();
        let sending = observatory.clone();
        let sender = std::thread::spawn(move || {
            let mut sent = HashMap::new();
            for number in 0..40_u64 {
                let (session, counts) = session_with_movie(&sending, "m");
                for frame in 0..=number * 50 {
                    send(&counts, frame);
                    if frame % 64 == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
                sent.insert(session.id.to_string(), counts.packets());
                session.end("TEARDOWN");
            }
            sent
        });
        let mut got: HashMap<String, u64> = HashMap::new();
        let mut ended = 0;
        while ended < 40 {
            let Output { name, data, .. } = reader.next().await;
            let id = data["session"].as_str().unwrap().to_owned();
            match name {
                "packets" => {
                    let number = |name: &str| data[name].as_u64().unwrap();
                    assert_eq!(number("packets"), 2 * number("frames"), "{data}");
                    let [from, to] = ["from_sequence", "to_sequence"].map(number);
                    assert_eq!(to + 1 - from, number("packets"), "{data}");
                    *got.entry(id).or_default() += number("packets");
                }
                "end" => ended += 1,
                _ => {}
            }
        }
        assert_eq!(got, sender.join().unwrap());
    });
}

#[test]
fn the_number_of_readers_is_limited() {
    on_runtime(async {
        let observatory = Observatory::new();
        let reader = || Reader::new(observatory.clone(), Filter::default(), None);
        let readers: Vec<_> = (0..64).map_while(|_| reader()).collect();
        assert_eq!(readers.len(), 64);
        assert!(reader().is_none());
        drop(readers);
        assert!(reader().is_some());
    });
}

mod dashboard;
mod prometheus;

/// Names and values of labels.
type Labels<'a> = &'a [(&'a str, &'a str)];

/// The value of a sample.
fn value(samples: &[prometheus::Sample], name: &str, labels: Labels) -> Option<f64> {
    let labels: Vec<_> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    samples.iter().find(|it| it.name == name && it.labels == labels).map(|it| it.value)
}

#[test]
fn metrics_count_what_was_sent_over_the_end_of_sessions() {
    let observatory = Observatory::new();
    let (one, one_counts) = session_with_movie(&observatory, "/a\"b\\c\n.mjpeg");
    let (two, two_counts) = session_with_movie(&observatory, "other");
    one.play_starts(Instant::now());
    for number in 0..5 {
        send(&one_counts, number);
        send(&two_counts, number);
    }
    one_counts.add_report(block(7));
    one_counts.add_report(block(6));
    let udp = [("dialect", "rtsp"), ("transport", "udp")];
    let check = |open: f64| {
        let samples = prometheus::parse(&observatory.exposition()).unwrap();
        let rows: [(&str, Labels, f64); 11] = [
            ("mjpeg_rtsp_sessions", &udp, open),
            ("mjpeg_rtsp_sessions_total", &udp, 2.0),
            ("mjpeg_rtsp_frames_total", &udp, 10.0),
            ("mjpeg_rtsp_packets_total", &udp, 20.0),
            ("mjpeg_rtsp_bytes_total", &udp, 20_000.0),
            ("mjpeg_rtsp_receiver_lost_packets_total", &udp, 7.0),
            ("mjpeg_rtsp_receiver_reports_total", &[], 2.0),
            ("mjpeg_rtsp_mount_frames_total", &[("mount", "a\"b\\c\n.mjpeg")], 5.0),
            ("mjpeg_rtsp_mount_bytes_total", &[("mount", "/other")], 10_000.0),
            ("mjpeg_rtsp_first_packet_seconds_count", &[], 1.0),
            ("mjpeg_rtsp_receiver_jitter_seconds_bucket", &[("le", "0.001")], 2.0),
        ];
        for (name, labels, want) in rows {
            assert_eq!(value(&samples, name, labels), Some(want), "{name} {labels:?}");
        }
    };
    check(2.0);
    one.end("closed");
    check(1.0);
    two.end("closed");
    check(0.0);
}

#[test]
fn there_are_fewer_than_10_000_series_and_the_rest_is_summed() {
    let observatory = Observatory::new();
    let sessions: Vec<_> = (0..3000)
        .map(|number| {
            let (session, counts) = session_with_movie(&observatory, &format!("m{number}"));
            send(&counts, 0);
            (session, counts)
        })
        .collect();
    let samples = prometheus::parse(&observatory.exposition()).unwrap();
    assert!(samples.len() < 10_000, "{}", samples.len());
    let names: HashSet<_> = samples.iter().map(|it| (&it.name, &it.labels)).collect();
    assert_eq!(names.len(), samples.len());
    let other = value(&samples, "mjpeg_rtsp_mount_frames_total", &[("mount", "other")]);
    assert_eq!(other, Some(2000.0));
    let class = [("dialect", "rtsp"), ("transport", "udp")];
    assert_eq!(value(&samples, "mjpeg_rtsp_frames_total", &class), Some(3000.0));
    drop(sessions);
}
