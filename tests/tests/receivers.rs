// SPDX-License-Identifier: MIT OR Apache-2.0
//! What receivers report by RTCP: a loss that is known is the one that the sessions, the metrics and the log
//! state.

use crate::observe::Observed;
use anyhow::{Context, Result};
use mjpeg_rtsp_tests::peer::relay::{Fate, Relay};
use mjpeg_rtsp_tests::peer::rtp_receiver::{Report, RtpReceiver};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Guard, headless, program};
use mjpeg_rtsp_tests::wait_until;
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(40);

/// The labels of sessions over UDP.
const UDP: &str = "{dialect=\"rtsp\",transport=\"udp\"}";

/// Sets the movie up for a receiver. Returns the connection and the line of the session.
fn set_up(observed: &Observed, receiver: &RtpReceiver) -> Result<(RtspClient, String)> {
    let mut client = RtspClient::connect(observed.server.address()?)?;
    let session = client.set_up(observed.url(), &receiver.transport()?)?;
    Ok((client, session))
}

/// The session, once it shows a report, and how long that took at most.
fn reported(observed: &Observed, report: Report, since: Instant) -> (Value, Duration) {
    let lost = json!(u32::try_from(report.lost).unwrap_or(0));
    let fraction = json!(f64::from(report.fraction) / 256.0);
    let session = observed.session("reported", |it| {
        it["receiver"]["lost"] == lost && it["receiver"]["fraction_lost"] == fraction
    });
    let took = since.elapsed();
    let jitter = session["receiver"]["jitter_ms"].as_f64().unwrap_or(-1.0);
    let want = f64::from(report.jitter) / 90.0;
    assert!((jitter - want).abs() < 0.001, "{jitter} ms, not {want}");
    (session, took)
}

#[test]
fn the_numbers_of_a_session_are_those_of_its_viewer_over_udp() -> Result<()> {
    let observed = Observed::start(15, &[])?;
    let mut receiver = RtpReceiver::new(|packet| u64::from(packet != 3 && packet != 5))?;
    let (mut client, session) = set_up(&observed, &receiver)?;
    let ready = observed.session("ready", |it| it["state"] == "ready");
    assert_eq!((&ready["transport"], &ready["mount"]), (&json!("udp"), &json!("movie.mjpeg")));
    let play = format!("PLAY {}/", observed.url());
    let agent = format!("{session}User-Agent: by hand\r\n");
    assert_eq!(client.request(&play, &agent)?.status, 200);
    receiver.receive_until_bye()?;
    let (first, last) = receiver.sequence.context("no packet")?;
    let packets = receiver.arrived;
    assert_eq!((receiver.frames, u64::from(last.wrapping_sub(first)) + 1), (15, packets));
    let report = receiver.report(Duration::ZERO)?;
    assert_eq!(report.lost, 2);
    let (shown, _) = reported(&observed, report, Instant::now());
    let numbers = ["frames", "packets", "bytes", "frame"].map(|name| shown[name].as_u64());
    assert_eq!(numbers, [Some(15), Some(packets), Some(receiver.bytes), Some(14)]);
    assert_eq!((&shown["state"], &shown["agent"]), (&json!("ready"), &json!("by hand")));
    let round_trip = shown["receiver"]["round_trip_ms"].as_f64().context("no round trip")?;
    assert!(round_trip < 5000.0, "{round_trip}");
    for _ in 0..2 {
        observed.wait_for_metric(
            &format!("mjpeg_rtsp_packets_total{UDP}"),
            f64::from(u32::try_from(packets)?),
        );
        observed.wait_for_metric(&format!("mjpeg_rtsp_frames_total{UDP}"), 15.0);
        observed.wait_for_metric(&format!("mjpeg_rtsp_receiver_lost_packets_total{UDP}"), 2.0);
        observed.wait_for_metric("mjpeg_rtsp_first_packet_seconds_count", 1.0);
        observed.wait_for_metric("mjpeg_rtsp_receiver_round_trip_seconds_count", 1.0);
        observed.wait_for_metric("mjpeg_rtsp_frame_lateness_seconds_count", 15.0);
        // The same after the end.
        let teardown = format!("TEARDOWN {}/", observed.url());
        client.request(&teardown, &session)?;
    }
    observed.wait_for_metric(&format!("mjpeg_rtsp_sessions{UDP}"), 0.0);
    observed.server.wait_for_log("lost=2", LIMIT);
    Ok(())
}

/// A receiver that gets packets twice has a negative loss (RFC 3550 appendix A.3).
#[test]
fn copies_are_no_negative_loss() -> Result<()> {
    let observed = Observed::start(15, &[])?;
    let mut receiver = RtpReceiver::new(|packet| 1 + u64::from((4..7).contains(&packet)))?;
    let (mut client, session) = set_up(&observed, &receiver)?;
    client.request(&format!("PLAY {}/", observed.url()), &session)?;
    receiver.receive_until_bye()?;
    let report = receiver.report(Duration::ZERO)?;
    assert_eq!((report.lost, report.fraction), (-3, 0));
    reported(&observed, report, Instant::now());
    observed.wait_for_metric(&format!("mjpeg_rtsp_receiver_lost_packets_total{UDP}"), 0.0);
    client.request(&format!("TEARDOWN {}/", observed.url()), &session)?;
    observed.server.wait_for_log("lost=0", LIMIT);
    Ok(())
}

/// Each seventh packet is lost, then none. A network that needs 250 ms for the way there and back is a part
/// of the round trip.
#[test]
fn loss_jitter_and_round_trip_are_those_that_a_receiver_reports() -> Result<()> {
    const DELAY: Duration = Duration::from_millis(250);
    let observed = Observed::start(200, &["--loop"])?;
    let mut receiver = RtpReceiver::new(|packet| u64::from(packet % 7 != 0 || packet > 210))?;
    let (mut client, session) = set_up(&observed, &receiver)?;
    client.request(&format!("PLAY {}/", observed.url()), &session)?;
    let mut reports = Vec::new();
    let mut round_trips = 0.0;
    for packets in [104, 209, 260] {
        // The last packet before each report is one that is received.
        receiver.receive_until(|it| {
            it.arrived >= packets && it.arrived % 7 != 0 && it.has_sender_report(DELAY)
        })?;
        let since = Instant::now();
        let report = receiver.report(DELAY)?;
        let (shown, took) = reported(&observed, report, since);
        let round_trip = shown["receiver"]["round_trip_ms"].as_f64().context("no round trip")?;
        // The sender report may have waited in the socket before it was read.
        let range = 249.0..=250.0 + 1000.0 * took.as_secs_f64() + 3000.0;
        assert!(range.contains(&round_trip), "{round_trip} ms, {took:?}");
        round_trips += round_trip / 1000.0;
        reports.push(report);
    }
    let lost = u32::try_from(receiver.dropped)?;
    assert_eq!(reports.last().context("no report")?.lost, i32::try_from(lost)?);
    // One of seven, then none in the last interval but for what was sent between.
    let [first, second, third] = reports[..] else { anyhow::bail!("{reports:?}") };
    assert!((30..=40).contains(&first.fraction), "{first:?}");
    assert!((30..=40).contains(&second.fraction), "{second:?}");
    assert!(third.fraction < 10, "{third:?}");
    let sample = format!("mjpeg_rtsp_receiver_lost_packets_total{UDP}");
    observed.wait_for_metric(&sample, f64::from(lost));
    observed.wait_for_metric("mjpeg_rtsp_receiver_reports_total", 3.0);
    let jitters: f64 = reports.iter().map(|it| f64::from(it.jitter) / 90_000.0).sum();
    for (name, want) in [("round_trip", round_trips), ("jitter", jitters)] {
        let sum = format!("mjpeg_rtsp_receiver_{name}_seconds_sum");
        let sum = observed.metric(&sum)?.context("no sum")?;
        assert!((sum - want).abs() < 0.001, "{name}: {sum}, not {want}");
        observed.wait_for_metric(&format!("mjpeg_rtsp_receiver_{name}_seconds_count"), 3.0);
    }
    Ok(())
}

/// The command that plays an address.
type Player<'a> = &'a dyn Fn(&str) -> Result<Command>;

/// Players through a relay that drops some packets: GStreamer's rtspsrc in our client, and ffmpeg.
#[test]
fn the_loss_that_players_report_over_udp_is_the_one_of_the_network() -> Result<()> {
    let ffmpeg = |url: &str| -> Result<Command> {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "quiet", "-rtsp_transport", "udp", "-i", url, "-f", "null", "-"]);
        Ok(command)
    };
    let client = |url: &str| -> Result<Command> {
        let mut command = program("mjpeg-rtsp-client")?;
        command.args(["--headless", "--frames", "100000", "--transport", "udp", url]);
        Ok(command)
    };
    // GStreamer counts one packet too many if RTP arrives before the first sender report (`ReportBlock` in the plugin).
    let rows: [(&str, u64, Player); 2] =
        [("mjpeg-rtsp-client", 1, &client), ("ffmpeg", 0, &ffmpeg)];
    for (name, miscounted, command) in rows {
        let observed = Observed::start(100, &["--loop"])?;
        let relay = Relay::start(observed.server.address()?.parse()?, |number| match number {
            20..=200 if number % 9 == 0 => Fate::IsDropped,
            _ => Fate::Passes,
        })?;
        let url = format!("rtsp://{}/movie.mjpeg", relay.address());
        let mut command = command(&url)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut player = Guard::new(command.spawn()?);
        wait_until(&format!("{name} has lost all"), LIMIT, || relay.packets() > 200);
        let since = Instant::now();
        let session = observed.session(&format!("{name} has reported all"), |it| {
            let age = it["receiver"]["age_seconds"].as_f64();
            age.is_some_and(|age| age + 1.0 < since.elapsed().as_secs_f64())
        });
        assert_eq!((relay.dropped(), &session["transport"]), (20, &json!("udp")), "{name}");
        let receiver = &session["receiver"];
        let lost = receiver["lost"].as_u64().context("no loss")?;
        assert!((20 - miscounted..=20).contains(&lost), "{name}: {lost}");
        assert!(receiver["round_trip_ms"].as_f64().is_some_and(|it| it < 5000.0), "{receiver}");
        assert!(receiver["jitter_ms"].as_f64().is_some_and(|it| it > 0.0), "{receiver}");
        let sample = format!("mjpeg_rtsp_receiver_lost_packets_total{UDP}");
        observed.wait_for_metric(&sample, f64::from(u32::try_from(lost)?));
        player.signal("INT")?;
        player.wait(LIMIT)?;
        observed.server.wait_for_log("session ended", LIMIT);
        let log = observed.server.log()?;
        let line = log.lines().find(|line| line.contains("session ended")).context("no line")?;
        let end = format!(" lost={lost}");
        assert!(line.contains("transport=\"UDP\"") && line.ends_with(&end), "{name}: {line}");
    }
    Ok(())
}

/// ffmpeg 5.1 reports nothing over TCP.
#[test]
fn the_loss_that_a_player_reports_over_tcp_is_counted() -> Result<()> {
    let observed = Observed::start(160, &[])?;
    let server = observed.server.address()?.parse()?;
    let relay = Relay::start(server, |number| match number {
        20 | 21 | 30 => Fate::IsDropped,
        _ => Fate::Passes,
    })?;
    let url = format!("rtsp://{}/movie.mjpeg", relay.address());
    let lost = "mjpeg_rtsp_receiver_lost_packets_total{dialect=\"rtsp\",transport=\"tcp\"}";
    let (_, summary, stderr) = headless(&["--transport", "tcp", &url])?;
    assert_eq!(summary["lost"], 3, "{stderr}");
    observed.wait_for_metric(lost, 3.0);
    assert!(observed.metric("mjpeg_rtsp_receiver_reports_total")?.is_some_and(|it| it > 0.0));
    Ok(())
}

#[test]
fn no_negative_loss_is_shown() -> Result<()> {
    let observed = Observed::start(104, &[])?;
    let (code, summary, stderr) = headless(&["--transport", "tcp", observed.url()])?;
    assert_eq!((code, &summary["lost"]), (Some(0), &json!(0)), "{stderr}");
    observed.server.wait_for_log("session ended", LIMIT);
    let log = observed.server.log()?;
    let line = log.lines().find(|line| line.contains("session ended")).context("no line")?;
    assert!(line.contains("frames=104") && line.contains("lost=0"), "{line}");
    Ok(())
}
