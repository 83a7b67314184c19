// SPDX-License-Identifier: MIT OR Apache-2.0
//! A receiver of RTP over UDP that loses what a test wants, and reports as RFC 3550 defines it.

use super::rtsp_client::has_bye;
use anyhow::{Context, Result, ensure};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long a packet may take.
const LIMIT: Duration = Duration::from_secs(40);

/// Ticks of the RTP clock in a second.
const CLOCK: f64 = 90_000.0;

/// The identifier of this receiver.
const SSRC: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// How often the packet with a number, from 1, is received: 0 if it is lost, 2 if a copy arrives.
type Copies = Box<dyn Fn(u64) -> u64>;

/// What a receiver has reported (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The fraction that was lost since the report before, in parts of 256.
    pub fraction: u8,
    /// The number of packets that were lost.
    pub lost: i32,
    /// The jitter in ticks.
    pub jitter: u32,
}

/// The receiver.
pub struct RtpReceiver {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    copies: Copies,
    start: Instant,
    /// The number of packets that have arrived, before any is taken for lost.
    pub arrived: u64,
    /// The bytes of those packets.
    pub bytes: u64,
    /// The number of frames that have ended.
    pub frames: u64,
    /// The number of those packets that were taken for lost.
    pub dropped: u64,
    /// The sequence numbers of the first packet and of the last one, before any is taken for lost.
    pub sequence: Option<(u16, u16)>,
    received: u64,
    /// The first sequence number and the highest one, with the number of wraps in its upper half, of what was
    /// received.
    base: Option<u16>,
    highest: u32,
    /// The expected and the received packets at the last report.
    reported: (u64, u64),
    transit: Option<f64>,
    jitter: f64,
    ssrc: [u8; 4],
    /// The last sender report: the middle of its NTP time, when it has arrived, and from where.
    sender_report: Option<([u8; 4], Instant, SocketAddr)>,
    /// The sender has said BYE.
    pub bye: bool,
}

impl RtpReceiver {
    /// A receiver on two free ports.
    ///
    /// # Errors
    /// If there are none.
    pub fn new(copies: impl Fn(u64) -> u64 + 'static) -> Result<Self> {
        let bind = || -> Result<UdpSocket> {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
            Ok(socket)
        };
        let (mut rtp, mut rtcp) = (bind()?, bind()?);
        if rtp.local_addr()?.port() > rtcp.local_addr()?.port() {
            std::mem::swap(&mut rtp, &mut rtcp);
        }
        rtcp.set_read_timeout(Some(Duration::from_millis(1)))?;
        Ok(Self {
            rtp,
            rtcp,
            copies: Box::new(copies),
            start: Instant::now(),
            arrived: 0,
            bytes: 0,
            frames: 0,
            dropped: 0,
            sequence: None,
            received: 0,
            base: None,
            highest: 0,
            reported: (0, 0),
            transit: None,
            jitter: 0.0,
            ssrc: [0; 4],
            sender_report: None,
            bye: false,
        })
    }

    /// The value of the header Transport.
    ///
    /// # Errors
    /// If the sockets have no address.
    pub fn transport(&self) -> Result<String> {
        let [rtp, rtcp] = [&self.rtp, &self.rtcp].map(UdpSocket::local_addr);
        Ok(format!("RTP/AVP;unicast;client_port={}-{}", rtp?.port(), rtcp?.port()))
    }

    /// Whether the sender has reported at least so long ago, without which there is nothing to report about.
    pub fn has_sender_report(&self, age: Duration) -> bool {
        self.sender_report.is_some_and(|(_, arrived, _)| arrived.elapsed() >= age)
    }

    /// Receives until a condition is true.
    ///
    /// # Errors
    /// If it does not in time.
    pub fn receive_until(&mut self, ready: impl Fn(&Self) -> bool) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while !ready(self) {
            ensure!(Instant::now() < end, "{} packets, {} frames", self.arrived, self.frames);
            self.receive()?;
        }
        Ok(())
    }

    /// Receives until the sender has said BYE and nothing follows.
    ///
    /// # Errors
    /// If it does not in time.
    pub fn receive_until_bye(&mut self) -> Result<()> {
        self.receive_until(|it| it.bye)?;
        while self.receive()? {}
        Ok(())
    }

    /// Receives a packet of RTP, and one of RTCP. Returns `false` if there was no RTP for a moment.
    fn receive(&mut self) -> Result<bool> {
        let mut bytes = vec![0; 65_536];
        let packet = received(self.rtp.recv_from(&mut bytes))?;
        if let Some((length, _)) = packet {
            self.take(&bytes[..length])?;
        }
        if let Some((length, from)) = received(self.rtcp.recv_from(&mut bytes))? {
            let packet = &bytes[..length];
            ensure!(packet.get(1) == Some(&200), "not a sender report: {packet:?}");
            let time = packet.get(10..14).context("a short report")?.try_into()?;
            self.sender_report = Some((time, Instant::now(), from));
            self.bye |= has_bye(packet);
        }
        Ok(packet.is_some())
    }

    /// Takes a packet.
    fn take(&mut self, packet: &[u8]) -> Result<()> {
        let arrival = self.start.elapsed().as_secs_f64() * CLOCK;
        let (fixed, _) = packet.split_first_chunk::<12>().context("a short packet")?;
        let number = u16::from_be_bytes([fixed[2], fixed[3]]);
        self.arrived += 1;
        self.bytes += packet.len() as u64;
        self.frames += u64::from(fixed[1] >> 7);
        let (first, _) = self.sequence.unwrap_or((number, number));
        self.sequence = Some((first, number));
        let copies = (self.copies)(self.arrived);
        if copies == 0 {
            self.dropped += 1;
            return Ok(());
        }
        self.ssrc.copy_from_slice(&fixed[8..12]);
        self.received += copies;
        match self.base {
            None => {
                self.base = Some(number);
                self.highest = number.into();
            }
            Some(_) => {
                let [_, _, high, low] = self.highest.to_be_bytes();
                let ahead = number.wrapping_sub(u16::from_be_bytes([high, low]));
                self.highest += u32::from(ahead);
            }
        }
        // RFC 3550 appendix A.8.
        let timestamp = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        for _ in 0..copies {
            let transit = (arrival - f64::from(timestamp)).rem_euclid(4_294_967_296.0);
            if let Some(before) = self.transit.replace(transit) {
                let difference = (transit - before).abs();
                self.jitter += (difference.min(4_294_967_296.0 - difference) - self.jitter) / 16.0;
            }
        }
        Ok(())
    }

    /// Sends a report (RFC 3550 appendix A.3), as if a network delayed the way there and back by `delay`, which
    /// must have passed since the sender report. Returns what it states.
    ///
    /// # Errors
    /// If there has been no sender report.
    pub fn report(&mut self, delay: Duration) -> Result<Report> {
        let (time, arrived, server) = self.sender_report.context("no sender report")?;
        let base = self.base.context("no packet")?;
        let expected = u64::from(self.highest - u32::from(base)) + 1;
        let difference =
            |new: u64, old: u64| -> Result<i64> { Ok(i64::try_from(new)? - i64::try_from(old)?) };
        let lost = i32::try_from(difference(expected, self.received)?)?;
        let (expected_before, received_before) = self.reported;
        self.reported = (expected, self.received);
        let in_interval = difference(expected, expected_before)?;
        let lost_in_interval = in_interval - difference(self.received, received_before)?;
        let fraction = match in_interval {
            1.. if lost_in_interval > 0 => u8::try_from(lost_in_interval * 256 / in_interval)?,
            _ => 0,
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let jitter = self.jitter as u32;
        let waited = arrived.elapsed().saturating_sub(delay);
        let waited = u32::try_from(waited.as_micros() * 65_536 / 1_000_000)?;
        let mut packet = vec![0x81, 201, 0, 7];
        packet.extend(SSRC);
        packet.extend(self.ssrc);
        packet.push(fraction);
        packet.extend(&lost.to_be_bytes()[1..]);
        packet.extend(self.highest.to_be_bytes());
        packet.extend(jitter.to_be_bytes());
        packet.extend(time);
        packet.extend(waited.to_be_bytes());
        // Compound packets have a description (RFC 3550 section 6.1).
        packet.extend([0x81, 202, 0, 3]);
        packet.extend(SSRC);
        packet.extend([1, 4, b't', b'e', b's', b't', 0, 0]);
        self.rtcp.send_to(&packet, server)?;
        Ok(Report { fraction, lost, jitter })
    }
}

/// What a socket has received; `None` if there was nothing in time.
fn received(got: std::io::Result<(usize, SocketAddr)>) -> Result<Option<(usize, SocketAddr)>> {
    match got {
        Ok(got) => Ok(Some(got)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
