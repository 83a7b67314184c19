// SPDX-License-Identifier: MIT OR Apache-2.0
//! retina, an RTSP client in Rust that shares no code with GStreamer or ffmpeg.

use anyhow::{Context, Result};
use futures::StreamExt;
use retina::client::{Credentials, PlayOptions, Session, SessionOptions, SetupOptions, Transport};
use retina::codec::CodecItem;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// The first `count` JPEG images of a stream, reassembled from its packets.
///
/// # Errors
/// If fewer come, or any packet is lost.
pub fn images(url: &str, transport: &str, count: usize) -> Result<Vec<Vec<u8>>> {
    let transport = match transport {
        "tcp" => Transport::Tcp(retina::client::TcpTransportOptions::default()),
        _ => Transport::Udp(retina::client::UdpTransportOptions::default()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, receive(url, transport, count))
            .await
            .context("no end in time")?
    })
}

async fn receive(url: &str, transport: Transport, count: usize) -> Result<Vec<Vec<u8>>> {
    // A user and a password in the URL.
    let (plain, credentials) = match url.split_once("//").and_then(|(_, it)| it.split_once('@')) {
        Some((user, host)) => {
            let (username, password) = user.split_once(':').context("no password")?;
            let (username, password) = (username.to_owned(), password.to_owned());
            (format!("rtsp://{host}"), Some(Credentials { username, password }))
        }
        None => (url.to_owned(), None),
    };
    let options = SessionOptions::default().creds(credentials);
    let mut session = Session::describe(plain.parse()?, options).await?;
    session.setup(0, SetupOptions::default().transport(transport)).await?;
    let mut session = session.play(PlayOptions::default()).await?.demuxed()?;
    let mut images = Vec::new();
    while images.len() < count {
        let item = session.next().await.context("the stream ended early")??;
        if let CodecItem::VideoFrame(frame) = item {
            anyhow::ensure!(frame.loss() == 0, "{} packets lost", frame.loss());
            images.push(frame.into_data());
        }
    }
    Ok(images)
}
