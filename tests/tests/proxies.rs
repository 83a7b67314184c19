// SPDX-License-Identifier: MIT OR Apache-2.0
//! Servers behind proxies that state the addresses of their viewers by the PROXY protocol.

use anyhow::{Result, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::Server;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// The address of the trusted proxy; all other addresses are not trusted.
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

fn start(keys: &str) -> Result<(Folder, Server)> {
    let folder = Folder::new()?;
    folder.file("movie.mjpeg", &movies::movie(&movies::images(20, "I420")?)?)?;
    let text = format!(
        "proxy-from = ['{PROXY}']\ndeny = ['127.0.0.66']\n{keys}\n[[mount]]\npath = 'movie.mjpeg'\n\
         loop = true\nallow = ['127.0.0.0/26']\n"
    );
    let config = folder.file("server.toml", text.as_bytes())?;
    let server =
        Server::start(["--config".as_ref(), config.as_os_str(), "--log=debug".as_ref()], 1)?;
    Ok((folder, server))
}

/// A header of version 1 or 2 for a viewer.
fn header(version: u8, viewer: Ipv4Addr, port: u16) -> Vec<u8> {
    if version == 1 {
        return format!("PROXY TCP4 {viewer} 127.0.0.1 {port} 554\r\n").into();
    }
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c";
    [start, &viewer.octets()[..], &[127, 0, 0, 1], &port.to_be_bytes(), &[2, 42]].concat()
}

#[test]
fn viewers_behind_a_proxy_are_served_by_their_own_addresses() -> Result<()> {
    let (_folder, mut server) = start("")?;
    let address = server.address()?.to_owned();
    let describe = format!("DESCRIBE {}", server.urls[0]);
    for version in [1, 2] {
        let viewer = Ipv4Addr::new(127, 0, 0, 10 + version);
        let rtp = UdpSocket::bind((viewer, 0))?;
        rtp.set_read_timeout(Some(LIMIT))?;
        let mut rtsp = RtspClient::connect_from(PROXY, &address)?;
        // In two pieces.
        let bytes = header(version, viewer, 4242);
        let (first, second) = bytes.split_at(9);
        rtsp.send(first)?;
        rtsp.send(second)?;
        // UDP goes to the viewer.
        let port = rtp.local_addr()?.port();
        rtsp.play(&server.urls[0], &format!("RTP/AVP;unicast;client_port={port}-{}", port + 1))?;
        rtp.recv(&mut [0; 2000])?;
        server.wait_for_log(&format!("peer={viewer}:4242"), LIMIT);
        // A lab client.
        let rtp = UdpSocket::bind((viewer, 0))?;
        rtp.set_read_timeout(Some(LIMIT))?;
        let port = rtp.local_addr()?.port();
        let mut lab = RtspClient::connect_from(PROXY, &address)?;
        lab.send(header(version, viewer, 4343))?;
        for line in ["SETUP", "PLAY"] {
            lab.send(format!(
                "{line} movie.mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= {port}\n\n"
            ))?;
        }
        rtp.recv(&mut vec![0; 65536])?;
        // Networks.
        for (host, status) in [(63, 200), (64, 404)] {
            let mut rtsp = RtspClient::connect_from(PROXY, &address)?;
            rtsp.send(header(version, Ipv4Addr::new(127, 0, 0, host), 1))?;
            assert_eq!(rtsp.request(&describe, "")?.status, status, "{host}");
        }
        let mut denied = RtspClient::connect_from(PROXY, &address)?;
        denied.send(header(version, Ipv4Addr::new(127, 0, 0, 66), 1))?;
        denied.wait_until_closed()?;
    }
    // The proxy itself.
    let mut check = RtspClient::connect_from(PROXY, &address)?;
    check.send(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00")?;
    assert_eq!(check.request(&describe, "")?.status, 200);
    server.is_well()
}

#[test]
fn a_header_is_needed_from_a_proxy_and_refused_from_others() -> Result<()> {
    let (_folder, mut server) = start("[limits]\nrequest-time = '1s'")?;
    let address = server.address()?.to_owned();
    let viewer = Ipv4Addr::new(127, 0, 0, 10);
    let mut other = RtspClient::connect(&address)?;
    other.play(&server.urls[0], "tcp")?;
    let mut cut = header(2, viewer, 1);
    cut.pop();
    let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
    let trusted = "no PROXY header from an address in proxy-from";
    let late = "no complete PROXY header within request-time";
    let untrusted = "PROXY header from an address that is not in proxy-from";
    let rows: [(Ipv4Addr, Vec<u8>, &str); 9] = [
        (Ipv4Addr::LOCALHOST, header(1, viewer, 1), untrusted),
        (Ipv4Addr::LOCALHOST, header(2, viewer, 1), untrusted),
        (Ipv4Addr::LOCALHOST, b"\r\n\r\n\0\r\n".to_vec(), untrusted),
        (PROXY, b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".to_vec(), trusted),
        (PROXY, b"PROXY TCP4 127.0.0.1\r\n".to_vec(), trusted),
        (PROXY, long, trusted),
        (PROXY, b"PROXY TCP4 127".to_vec(), late),
        (PROXY, cut, late),
        (PROXY, b"\x16\x03\x01".to_vec(), trusted),
    ];
    for (from, bytes, log) in rows {
        let shown = bytes.escape_ascii().to_string();
        let mut rtsp = RtspClient::connect_from(from, &address)?;
        rtsp.send(bytes)?;
        let rest = rtsp.receive_to_end().unwrap_or_default();
        ensure!(rest.is_empty(), "{shown}: {rest}");
        server.wait_for_log(log, LIMIT);
    }
    other.receive_packets(20)?;
    assert_eq!(other.missing, 0);
    server.is_well()
}

#[test]
fn a_proxy_may_have_more_connections_than_an_address() -> Result<()> {
    let (_folder, mut server) = start("[limits]\nmax-connections-per-address = 2")?;
    let address = server.address()?.to_owned();
    let play = |host: u8| -> Result<RtspClient> {
        let mut rtsp = RtspClient::connect_from(PROXY, &address)?;
        rtsp.send(header(2, Ipv4Addr::new(127, 0, 0, host), 1))?;
        rtsp.play(&server.urls[0], "tcp")?;
        Ok(rtsp)
    };
    let _viewers: Vec<_> = [1, 1, 2, 2, 3].into_iter().map(play).collect::<Result<_>>()?;
    // The third one of an address has no other to close.
    let mut third = RtspClient::connect_from(PROXY, &address)?;
    third.send(header(2, Ipv4Addr::LOCALHOST, 1))?;
    third.wait_until_closed()?;
    server.wait_for_log("--max-connections-per-address are open, none is idle", LIMIT);
    server.is_well()
}
