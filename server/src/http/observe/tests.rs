// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::ending;
use crate::http::reply::complete;
use crate::observe::event::{Kind, Message};
use crate::observe::sessions::{CLOSED_BY_OPERATOR, Dialect, NewSession, State, Transport};
use crate::observe::tests::session_with_movie;
use axum::body::{Body, Bytes};
use axum::http::Request;
use futures::StreamExt;
use gstmjpegfile::rtp::ReportBlock;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tower::ServiceExt;

/// An observatory, its routes, and the server's end.
fn routes() -> (Arc<Observatory>, Router, ending::EndingSender) {
    let observatory = Observatory::new();
    let (sender, ending) = ending::channel();
    (observatory.clone(), observe_routes(observatory, ending), sender)
}

fn on_runtime(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.unwrap().block_on(async {
        tokio::time::timeout(Duration::from_secs(30), test).await.unwrap();
    });
}

fn request(method: &str, uri: &str) -> Request<Body> {
    Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()
}

/// The status and the body of a reply.
async fn reply(router: &Router, request: Request<Body>) -> (u16, Vec<u8>) {
    let path = request.uri().path().to_owned();
    let reply = complete(router.clone().oneshot(request).await.unwrap(), &path);
    let status = reply.status().as_u16();
    (status, axum::body::to_bytes(reply.into_body(), 100_000_000).await.unwrap().to_vec())
}

async fn get_json(router: &Router, uri: &str) -> (u16, Value) {
    let (status, body) = reply(router, request("GET", uri)).await;
    (status, serde_json::from_slice(&body).unwrap())
}

#[test]
fn sessions_are_listed_and_closed() {
    on_runtime(async {
        let (observatory, router, _ending) = routes();
        assert_eq!(get_json(&router, "/api/v1/sessions").await, (200, json!({ "sessions": [] })));
        let (session, _) = session_with_movie(&observatory, "movie.mjpeg");
        let (status, list) = get_json(&router, "/api/v1/sessions").await;
        assert_eq!((status, list["sessions"].as_array().unwrap().len()), (200, 1));
        assert_eq!(list["sessions"][0]["mount"], "movie.mjpeg");
        let (status, one) = get_json(&router, "/api/v1/sessions/1").await;
        assert_eq!((status, &one["id"]), (200, &json!("1")));
        let weak = Arc::downgrade(&session);
        session.set_closer(move || weak.upgrade().unwrap().end(CLOSED_BY_OPERATOR));
        let none = json!({ "error": "There is no session with this number." });
        for id in ["2", "0", "-1", "x", "99999999999999999999999", "%00"] {
            let got = get_json(&router, &format!("/api/v1/sessions/{id}")).await;
            assert_eq!(got, (404, none.clone()), "{id}");
            let (status, _) =
                reply(&router, request("POST", &format!("/api/v1/sessions/{id}/close"))).await;
            assert_eq!(status, 404, "{id}");
        }
        assert!(!session.has_ended());
        let close = || request("POST", "/api/v1/sessions/1/close");
        assert_eq!(reply(&router, close()).await, (204, Vec::new()));
        assert!(session.has_ended());
        assert_eq!(reply(&router, close()).await.0, 404);
        let rows = [
            ("GET", "/api/v1/sessions/1/close"),
            ("POST", "/metrics"),
            ("DELETE", "/api/v1/sessions"),
        ];
        for (method, uri) in rows {
            assert_eq!(reply(&router, request(method, uri)).await.0, 405, "{method} {uri}");
        }
    });
}

#[test]
fn a_session_has_the_fields_that_are_described() {
    on_runtime(async {
        let (observatory, router, _ending) = routes();
        let (_session, counts) = session_with_movie(&observatory, "movie.mjpeg");
        let block = ReportBlock::last_of(
            &[0x81, 201, 0, 7].into_iter().chain([0; 28]).collect::<Vec<_>>(),
            0,
        );
        counts.add_report(block.unwrap());
        let (_, view) = get_json(&router, "/api/v1/sessions/1").await;
        let openapi: Value = serde_json::from_str(include_str!("../api/openapi.json")).unwrap();
        for (name, value) in [("Session", &view), ("Receiver", &view["receiver"])] {
            let schema = &openapi["components"]["schemas"][name];
            let names = |value: &Value| -> BTreeSet<String> {
                value.as_object().unwrap().keys().cloned().collect()
            };
            let required: BTreeSet<String> =
                serde_json::from_value(schema["required"].clone()).unwrap();
            assert_eq!(names(value), names(&schema["properties"]), "{name}");
            assert_eq!(names(value), required, "{name}");
        }
    });
}

/// The next events of a stream: id, event and data.
async fn events(
    body: &mut (impl StreamExt<Item = Result<Bytes, axum::Error>> + Unpin),
    count: usize,
) -> Vec<[String; 3]> {
    let mut text = String::new();
    let mut got = Vec::new();
    while got.len() < count {
        text.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let field = |name: &str| {
                let line =
                    event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                line.unwrap_or_default().to_owned()
            };
            got.push(["id", "event", "data"].map(field));
            text = rest.to_owned();
        }
    }
    got
}

#[test]
fn the_exchange_is_a_stream_of_events() {
    on_runtime(async {
        let (observatory, router, ending) = routes();
        let new = NewSession {
            dialect: Dialect::Rtsp,
            transport: Transport::Tcp,
            encrypted: false,
            peer: ([127, 0, 0, 1], 5).into(),
            agent: None,
        };
        let session = observatory.begin(new);
        let text = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n";
        session.record(Kind::Request(Message::rtsp(text), State::Init));
        let response = router.clone().oneshot(request("GET", "/api/v1/exchange")).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body().into_data_stream();
        let got = events(&mut body, 2).await;
        assert_eq!([&got[0][1], &got[1][1]], ["session", "request"]);
        let data: Value = serde_json::from_str(&got[1][2]).unwrap();
        assert_eq!(data["lines"][0]["explanation"], "asks which methods the server has");
        // What happens later follows.
        session.record(Kind::State(State::Ready));
        assert_eq!(events(&mut body, 1).await[0][1], "state");
        // A page continues where it was.
        let last = &got[0][0];
        let again = Request::builder().uri("/api/v1/exchange").header("Last-Event-ID", last);
        let response = router.clone().oneshot(again.body(Body::empty()).unwrap()).await.unwrap();
        let mut continued = response.into_body().into_data_stream();
        assert_eq!(events(&mut continued, 1).await[0], got[1]);
        let rows = [
            ("?session=x", 400, "The parameter session is not a number."),
            ("?dialect=smtp", 400, "The parameter dialect is not rtsp, lab or http."),
            (
                "?session=1&session=2",
                400,
                "The parameters session and dialect may be stated once each.",
            ),
        ];
        for (query, status, sentence) in rows {
            let got = get_json(&router, &format!("/api/v1/exchange{query}")).await;
            assert_eq!(got, (status, json!({ "error": sentence })), "{query}");
        }
        // The streams end with the server.
        ending.announce();
        while body.next().await.is_some() {}
    });
}

#[test]
fn metrics_have_the_content_type_of_prometheus() {
    on_runtime(async {
        let (_observatory, router, _ending) = routes();
        let response = router.clone().oneshot(request("GET", "/metrics")).await.unwrap();
        assert_eq!(response.status(), 200);
        let content_type = &response.headers()["content-type"];
        assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
        assert_eq!(reply(&router, request("HEAD", "/metrics")).await, (200, Vec::new()));
    });
}

/// A busy machine and a build without optimization are slower than the figures in docs/performance.md.
#[test]
fn two_thousand_sessions_are_listed_and_measured_quickly() {
    on_runtime(async {
        let (observatory, router, _ending) = routes();
        let sessions: Vec<_> = (0..2000)
            .map(|number| session_with_movie(&observatory, &format!("m{}", number % 1200)))
            .collect();
        for (uri, limit) in [("/metrics", 1000), ("/api/v1/sessions", 1000)] {
            let fastest = async {
                let mut fastest = Duration::MAX;
                for _ in 0..5 {
                    let start = Instant::now();
                    assert_eq!(reply(&router, request("GET", uri)).await.0, 200);
                    fastest = fastest.min(start.elapsed());
                }
                fastest
            };
            let fastest = fastest.await;
            println!("{uri}: {fastest:?}");
            assert!(fastest < Duration::from_millis(limit), "{uri}: {fastest:?}");
        }
        drop(sessions);
    });
}
