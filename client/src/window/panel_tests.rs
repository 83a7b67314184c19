// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the panel: the ladder, the list of packets, full width and large text.

use super::advice::Advice;
use super::model::{Action, Model};
use super::settings::Panel;
use super::tests::{WIDE, harness, model, take_actions};
use crate::player::{
    Analysis, Capture, Direction, Exchange, Failure, FailureKind, Order, Protocol, State,
};
use eframe::egui::Role;
use egui_kittest::kittest::Queryable;
use gstmjpegfile::rtp::{RtpHeader, SenderReport, Timestamp};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A play of two frames, in which a packet is lost and one is repeated.
fn capture(start: Instant) -> Capture {
    let capture = Capture::default();
    capture.record_packets();
    let at = |ms| start + Duration::from_millis(ms);
    let request = "PLAY rtsp://h/m RTSP/1.0\r\nCSeq: 4\r\nSession: 1\r\n\r\n".to_owned();
    capture.push_exchange(at(0), &Exchange::RtspRequest(request.clone()));
    let packets = [
        (100, 7, false, Order::Next, true),
        (101, 9, true, Order::AfterGap(1), false),
        (150, 9, true, Order::Repeated, true),
    ];
    let mut reply = Some("RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: 1\r\n\r\n".to_owned());
    for (ms, number, marker, order, starts_frame) in packets {
        let header = RtpHeader::jpeg(number, Timestamp::default(), 7, marker);
        let analysis = Analysis {
            header,
            payload_len: 1000,
            since_previous: (ms > 100).then(|| Duration::from_millis(ms - 100)),
            jitter: Duration::from_micros(1500),
            starts_frame,
            order,
        };
        capture.push_rtp(at(ms), analysis, &[0; 1012]);
        // It is read after the first packet.
        if let Some(reply) = reply.take() {
            let exchange = Exchange::RtspReply { request: request.clone(), reply };
            capture.push_exchange(at(100), &exchange);
        }
    }
    let report = SenderReport {
        ssrc: 7,
        now: std::time::SystemTime::UNIX_EPOCH,
        timestamp: Timestamp::default(),
        packets: 3,
        octets: 3000,
    };
    capture.push_rtcp(at(160), Direction::Received, &report.packet("h", false));
    let text = "the sequence number jumps".to_owned();
    capture.push_exchange(at(170), &Exchange::Finding(text));
    capture
}

fn with_capture(panel: Panel, protocol: Protocol) -> Model {
    let mut model = model(State::Playing);
    model.settings.panel = panel;
    model.status.protocol = protocol;
    model.capture = Arc::new(capture(Instant::now() + Duration::from_secs(1)));
    model
}

#[test]
fn the_ladder_shows_messages_packets_and_reports_in_their_order() {
    let mut model = with_capture(Panel::Protocol, Protocol::Rtsp);
    model.settings.ladder = true;
    let log = model.capture.with_log(Clone::clone);
    let mut harness = harness(model, WIDE);
    harness.state_mut().log = log;
    harness.run_steps(3);
    // The times depend on the machine, up to the first row's.
    let rows = [
        "PLAY rtsp://h/m RTSP/1.0 send frames: READY to PLAYING",
        "RTSP/1.0 200 OK answers request 4; done; session 1",
        "3 RTP packets, 2 frames, sequence numbers 7 to 9, 3036 bytes in 0.050 s\n1 lost, 1 repeated",
        "SR: sender report, 3 packets and 3000 bytes sent, RTP timestamp 0\nSDES: source description, \
         name h",
        "the sequence number jumps",
    ];
    let mut tops = Vec::new();
    for row in rows {
        tops.push(harness.get_by_label_contains(row).rect().top());
    }
    assert!(tops.is_sorted(), "{tops:?}");
    harness.get_by_label_contains("PLAY rtsp://h/m").click();
    harness.run_steps(3);
    harness.get_by_label("request number 4: the reply repeats it");
    harness.get_by_label("List").click();
    assert_eq!(take_actions(&mut harness), [Action::SetLadder(false)]);
}

#[test]
fn the_packets_page_lists_each_packet_and_saves_the_list() {
    let mut model = with_capture(Panel::Packets, Protocol::Rtsp);
    model.settings.wide = true;
    let mut harness = harness(model, WIDE);
    let rows = [
        "Sequence 7, Jitter ms 1.500, Bytes 1000",
        "Sequence 9, Delta ms 1.000, Jitter ms 1.500, Mark M, Bytes 1000, Status 1 lost before",
        "Sequence 9, Delta ms 50.000, Jitter ms 1.500, Mark M, Bytes 1000, Status repeated",
    ];
    for row in rows {
        harness.get_by_label_contains(row);
    }
    harness.get_by_label("Only lost, late and repeated").click();
    harness.run_steps(3);
    assert!(harness.query_by_label_contains(rows[0]).is_none());
    for row in &rows[1..] {
        harness.get_by_label_contains(row);
    }
    harness.get_by_label("Save\u{2026}").click();
    harness.run_steps(3);
    harness.get_by_label("For Wireshark, with the messages (pcapng)").click();
    let format = crate::player::PacketFormat::Pcapng;
    assert_eq!(take_actions(&mut harness), [Action::SavePackets(format)]);
}

#[test]
fn sentences_are_wrapped_at_every_size() {
    let finding = "the header's version is 0, it must be 2: ".repeat(8);
    for size in [[480.0, 360.0], [1100.0, 700.0], [1920.0, 1080.0]] {
        for (text_size, wide) in [(0.8, false), (1.0, true), (2.5, true)] {
            for ladder in [false, true] {
                let mut model = with_capture(Panel::Protocol, Protocol::Lab);
                let exchange = Exchange::Finding(finding.clone());
                model.capture.push_exchange(Instant::now(), &exchange);
                model.settings.text_size = text_size;
                model.settings.wide = wide;
                model.settings.ladder = ladder;
                let log = model.capture.with_log(Clone::clone);
                let mut harness = harness(model, size);
                harness.state_mut().log = log;
                harness.state_mut().widgets.panel_over_picture = true;
                harness.run_steps(4);
                let row = harness.get_by_label_contains(finding.trim_end()).rect();
                let inside = row.left() >= 0.0 && row.right() <= size[0];
                assert!(inside, "{size:?} {text_size} {ladder}: {row}");
                // An average character is at least a third as wide as the text is high.
                let characters = row.width() / (13.0 * text_size / 3.0);
                #[allow(clippy::cast_precision_loss)]
                let lines = (finding.len() as f32 / characters).floor();
                let height = lines * 13.0 * text_size;
                assert!(row.height() >= height, "{size:?} {text_size} {ladder}: {row} {height}");
            }
        }
    }
}

#[test]
fn a_panel_at_full_width_also_shows_failures_and_messages() {
    let mut model = with_capture(Panel::Packets, Protocol::Rtsp);
    model.settings.wide = true;
    let failure = Failure {
        kind: FailureKind::Lost,
        text: "the connection to the server was lost".to_owned(),
    };
    model.failure = Some(Advice::for_failure(&failure, "rtsp://h/m", Protocol::Rtsp));
    model.banner = Some(super::model::Banner { text: "Saved x".to_owned(), offers: Vec::new() });
    let mut harness = harness(model, WIDE);
    assert!(harness.query_by_label("Address").is_none());
    harness.get_by_label_contains("the connection to the server was lost");
    harness.get_by_label("Saved x");
    harness.get_by_label("Close").click();
    assert_eq!(take_actions(&mut harness), [Action::DismissBanner]);
    for (name, action) in [
        ("Larger text", Action::ChangeTextSize(1)),
        ("Smaller text", Action::ChangeTextSize(-1)),
        ("Beside the picture", Action::ToggleWide),
        ("Close the panel", Action::TogglePanel(Panel::Packets)),
    ] {
        harness.get_by_role_and_label(Role::Button, name).click();
        assert_eq!(take_actions(&mut harness), [action], "{name}");
    }
}
