// SPDX-License-Identifier: MIT OR Apache-2.0
//! What our client captures, read by Wireshark's tshark.

use crate::odd_servers::{bye, over_udp, packets};
use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::pace;
use mjpeg_rtsp_tests::peer::relay::{Fate, Relay, address_of};
use mjpeg_rtsp_tests::peer::rtsp_server::RtspServer;
use mjpeg_rtsp_tests::programs::{headless, run, serve};
use mjpeg_rtsp_tests::wait_until;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(1);

/// The lines that tshark prints of a file.
fn tshark(file: &str, decode_as: &str, arguments: &[&str]) -> Result<Vec<String>> {
    let mut command = Command::new("tshark");
    command.args(["-r", file, "-d", decode_as]);
    for protocol in ["ip", "udp", "tcp"] {
        command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
    }
    let done = run(command.args(arguments), LIMIT).context("tshark: run scripts/packages test")?;
    let errors = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{errors}");
    Ok(String::from_utf8(done.stdout)?.lines().map(str::to_owned).collect())
}

/// Packets, loss and largest jitter of the one stream that tshark finds.
fn stream(file: &str, decode_as: &str) -> Result<(u64, i64, f64)> {
    let lines = tshark(file, decode_as, &["-q", "-z", "rtp,streams"])?;
    let line = lines.iter().find(|line| line.contains("0x")).with_context(|| lines.join("\n"))?;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    // Two times, two addresses with ports, SSRC, format, packets, loss, percent, six times.
    let word = |at: usize| words.get(at).context("too short");
    Ok((word(8)?.parse()?, word(9)?.parse()?, word(16)?.parse()?))
}

/// What happens to each packet on its way to our client.
fn fate(number: u64) -> Fate {
    match number {
        20 | 21 | 40 => Fate::IsDropped,
        50 => Fate::IsDelayed,
        60 => Fate::IsRepeated,
        _ => Fate::Passes,
    }
}

#[test]
fn tshark_counts_the_same_loss_over_udp() -> Result<()> {
    tshark_counts_the_same_loss("udp", "udp")
}

#[test]
fn tshark_counts_the_same_loss_over_tcp() -> Result<()> {
    tshark_counts_the_same_loss("tcp", "tcp")
}

#[test]
fn tshark_counts_the_same_loss_in_the_lab() -> Result<()> {
    tshark_counts_the_same_loss("lab", "udp")
}

/// Plays from our server through a relay that drops, delays and repeats packets, and compares the
/// summary, the list of packets and what tshark reads.
fn tshark_counts_the_same_loss(name: &str, transport: &str) -> Result<()> {
    let (_folder, mut server) = serve(100, &[])?;
    let relay = Relay::start(address_of(&server.urls[0])?, fate)?;
    let scheme = if name == "lab" { "labrtsp" } else { "rtsp" };
    let url = format!("{scheme}://{}/movie.mjpeg", relay.address());
    let folder = Folder::new()?;
    let file = |ending: &str| {
        let path = folder.path().join(format!("play.{ending}"));
        path.to_str().map(str::to_owned).context("a plain path")
    };
    let (pcapng, csv, text) = (file("pcapng")?, file("csv")?, file("txt")?);
    let files = ["--packets", &pcapng, "--packets", &csv, "--packets", &text];
    let play = ["--timeout", "10", "--transport", transport, &url];
    let (code, summary, stderr) = headless(&[&files[..], &play].concat())?;
    assert_eq!((code, &stderr[..]), (Some(0), ""), "{name}: {summary}");
    let sent = relay.packets();
    let counts = ["received", "lost", "late", "repeated"].map(|it| summary[it].as_u64());
    assert_eq!(counts, [sent - 3, 3, 1, 1].map(Some), "{name}: {summary}");

    let decode_as = if name == "lab" {
        let ports = tshark(&pcapng, "udp.port==1,rtp", &["-T", "fields", "-e", "udp.dstport"])?;
        let port = ports.iter().find(|it| !it.is_empty()).context("no datagram")?.clone();
        format!("udp.port=={port},rtp")
    } else {
        format!("tcp.port=={},rtsp", relay.address().port())
    };
    let fields = |filter: &str, names: &[&str]| {
        let names: Vec<&str> = names.iter().flat_map(|it| ["-e", it]).collect();
        let filter = ["-Y", filter, "-T", "fields"];
        tshark(&pcapng, &decode_as, &[&filter[..], &names].concat())
    };
    // Every packet is read, all checksums and TCP sequence numbers are right.
    let wrong = "_ws.malformed || tcp.analysis.flags || ip.checksum.status == 0 || \
                     udp.checksum.status == 0 || tcp.checksum.status == 0";
    assert_eq!(fields(wrong, &["frame.number"])?, [""; 0], "{name}");
    if name != "lab" {
        let methods = fields("rtsp.method", &["rtsp.method"])?;
        let requests = ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"];
        assert_eq!(methods[..4], requests, "{name}: {methods:?}");
        assert_eq!(methods.last().map(String::as_str), Some("TEARDOWN"), "{name}");
        let replies = fields("rtsp.status", &["rtsp.status"])?;
        // rtspsrc 1.22 may not wait for the replies to its last two.
        let range = methods.len() - 2..=methods.len();
        assert!(range.contains(&replies.len()), "{name}: {methods:?} {replies:?}");
        assert!(replies.iter().all(|it| it == "200"), "{name}: {replies:?}");
        assert_eq!(fields("sdp.media", &["sdp.media.format"])?.len(), 1, "{name}");
        let reports = fields("rtcp", &["rtcp.pt"])?.join(",");
        assert!(reports.contains("200") && reports.contains("203"), "{name}: {reports}");
    }
    let (packets, lost, max_jitter) = stream(&pcapng, &decode_as)?;
    // Wireshark takes a repeated packet for one that has arrived.
    assert_eq!((packets, lost), (sent - 3 + 1, 3 - 1), "{name}");
    if name != "lab" {
        // The lab's packets have no header of RTP/JPEG.
        let jpeg = fields("jpeg", &["jpeg.main_hdr.width"])?;
        assert_eq!(jpeg.len() as u64, packets, "{name}");
    }
    compare(name, &csv, &fields("rtp", &["rtp.seq", "rtp.timestamp", "rtp.marker"])?, max_jitter)?;
    let lines = std::fs::read_to_string(&text)?;
    assert_eq!(lines.lines().count() as u64, packets + 1, "{name}");
    assert_eq!(lines.matches("lost before").count(), 3, "{name}: {lines}");
    server.is_well()
}

/// Compares our list of packets with tshark's.
fn compare(name: &str, csv: &str, rtp: &[String], max_jitter: f64) -> Result<()> {
    let text = std::fs::read_to_string(Path::new(csv))?;
    let rows: Vec<Vec<&str>> =
        text.split_terminator("\r\n").skip(1).map(|line| line.split(',').collect()).collect();
    let ours: Vec<String> = rows.iter().map(|row| [row[2], row[3], row[6]].join("\t")).collect();
    assert_eq!(ours, rtp, "{name}");
    let count = |status: &str| rows.iter().filter(|row| row[11] == status).count();
    let gaps: u64 = rows.iter().filter_map(|row| row[10].parse::<u64>().ok()).sum();
    // The late packet was missing at first.
    assert_eq!((gaps, count("late"), count("repeated")), (4, 1, 1), "{name}: {text}");
    // Wireshark takes the largest jitter of the packets without a mark, in the order of their timestamps.
    let (mut last, mut jitter) = (None, 0.0_f64);
    for row in &rows {
        let timestamp: u32 = row[3].parse()?;
        let in_order = last.is_none_or(|last| timestamp.wrapping_sub(last) < 1 << 31);
        if in_order && row[6] == "0" {
            jitter = jitter.max(row[5].parse()?);
        }
        last = if in_order { Some(timestamp) } else { last };
    }
    assert!((jitter - max_jitter).abs() < 0.002, "{name}: {jitter} and {max_jitter}");
    Ok(())
}

#[test]
fn keep_alives_and_their_replies_are_captured() -> Result<()> {
    let images = movies::images(80, "I420")?;
    let port = AtomicU16::new(0);
    let server = RtspServer::start(move |request, stream| {
        match request.method.as_str() {
            "OPTIONS" => {
                let methods = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n";
                return stream.write_all(&request.reply("200 OK", methods, ""));
            }
            "SETUP" => {
                let ports = request.text.split("client_port=").nth(1).unwrap_or_default();
                let client: u16 = ports.split('-').next().unwrap_or_default().parse().unwrap_or(0);
                port.store(client, Ordering::SeqCst);
                // A session of two seconds is kept alive every second.
                let headers = format!(
                    "Session: 1;timeout=2\r\nTransport: RTP/AVP;unicast;client_port={client}-{};\
                     server_port=6970-6971\r\n",
                    client + 1
                );
                return stream.write_all(&request.reply("200 OK", &headers, ""));
            }
            "GET_PARAMETER" => {
                let headers = "Session: 1\r\nX-Load: 3 %\r\n";
                return stream.write_all(&request.reply("200 OK", headers, ""));
            }
            _ => stream.write_all(&request.answer())?,
        }
        if request.method == "PLAY" {
            let mut send = over_udp(stream.peer_addr()?, port.load(Ordering::SeqCst))?;
            let images = images.clone();
            std::thread::spawn(move || -> Result<()> {
                let mut number = 1;
                for (at, image) in (0..).zip(&images) {
                    for packet in packets(image, 7, &mut number, at * 4500)? {
                        send(0, &packet)?;
                    }
                    pace(Duration::from_millis(50));
                }
                send(1, &bye(7))
            });
        }
        Ok(())
    })?;
    let url = format!("rtsp://{}/movie.mjpeg", server.address());
    let folder = Folder::new()?;
    let file = folder.path().join("play.pcapng");
    let file = file.to_str().context("a plain path")?;
    let arguments = ["--timeout", "5", "--transport", "udp", "--explain", "--packets", file, &url];
    let (code, summary, stderr) = headless(&arguments)?;
    assert_eq!(code, Some(0), "{summary} {stderr}");

    wait_until("TEARDOWN", LIMIT, || server.methods().last().is_some_and(|it| it == "TEARDOWN"));
    let sent = server.methods();
    ensure!(sent.iter().filter(|it| *it == "GET_PARAMETER").count() > 1, "{sent:?}");
    let decode_as = format!("tcp.port=={},rtsp", server.address().port());
    let fields = |filter: &str, name: &str| {
        tshark(file, &decode_as, &["-Y", filter, "-T", "fields", "-e", name])
    };
    assert_eq!(fields("rtsp.method", "rtsp.method")?, sent);
    let replies = fields("rtsp.status", "rtsp.status")?;
    assert!((sent.len() - 2..=sent.len()).contains(&replies.len()), "{sent:?} {replies:?}");
    // The last one may come when the session ends.
    let keep_alives = sent.iter().filter(|it| *it == "GET_PARAMETER").count();
    let explained = stderr.matches("X-Load: 3 %").count();
    assert!((keep_alives - 1..=keep_alives).contains(&explained), "{keep_alives}: {stderr}");
    Ok(())
}
