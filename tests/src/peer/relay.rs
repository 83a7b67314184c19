// SPDX-License-Identifier: MIT OR Apache-2.0
//! A relay between a client and a server that drops, delays and repeats RTP packets.

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

/// What happens to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on.
    Passes,
    /// It is not passed on.
    IsDropped,
    /// It is passed on after the next one.
    IsDelayed,
    /// It is passed on twice.
    IsRepeated,
}

/// Decides by the number of a packet, from 1.
type Decide = Arc<dyn Fn(u64) -> Fate + Send + Sync>;

/// Passes RTP packets on, to one viewer.
struct Line {
    decide: Decide,
    count: Arc<Mutex<Counts>>,
    delayed: Option<Vec<u8>>,
}

impl Line {
    /// The packets to pass on after this one has arrived.
    fn pass(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        count.packets += 1;
        let packet = packet.to_vec();
        let mut out = match (self.decide)(count.packets) {
            Fate::Passes => vec![packet],
            Fate::IsDropped => {
                count.dropped += 1;
                Vec::new()
            }
            Fate::IsRepeated => vec![packet.clone(), packet],
            Fate::IsDelayed => {
                self.delayed = Some(packet);
                return Vec::new();
            }
        };
        out.extend(self.delayed.take());
        out
    }
}

/// What a relay has passed on and dropped.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    packets: u64,
    dropped: u64,
}

/// A running relay. Its threads end with the connections.
pub struct Relay {
    address: SocketAddr,
    count: Arc<Mutex<Counts>>,
}

impl Relay {
    /// Relays to `server`, with RTP over UDP or in the connection.
    ///
    /// # Errors
    /// If there is no port.
    pub fn start(
        server: SocketAddr,
        decide: impl Fn(u64) -> Fate + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start_with(server, decide, true)
    }

    /// Relays all RTP packets to clients over UDP, but no RTCP packet such as BYE.
    ///
    /// # Errors
    /// If there is no port.
    pub fn without_rtcp(server: SocketAddr) -> Result<Self> {
        Self::start_with(server, |_| Fate::Passes, false)
    }

    fn start_with(
        server: SocketAddr,
        decide: impl Fn(u64) -> Fate + Send + Sync + 'static,
        rtcp_passes: bool,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (decide, count): (Decide, Arc<Mutex<Counts>>) = (Arc::new(decide), Arc::default());
        let counted = count.clone();
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let line = Line { decide: decide.clone(), count: count.clone(), delayed: None };
                let _ = relay(&client, server, line, rtcp_passes);
            }
        });
        Ok(Self { address, count: counted })
    }

    /// The address for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// RTP packets that the server has sent.
    pub fn packets(&self) -> u64 {
        self.count.lock().unwrap_or_else(PoisonError::into_inner).packets
    }

    /// RTP packets that were not passed on.
    pub fn dropped(&self) -> u64 {
        self.count.lock().unwrap_or_else(PoisonError::into_inner).dropped
    }
}

/// The ports of a client, and those of the relay that replace them.
type Ports = Arc<Mutex<Option<([u16; 2], [u16; 2])>>>;

/// The ports that the server sends from, in the place of which the client is given those of the relay.
type ServerPorts = Arc<Mutex<Option<[u16; 2]>>>;

fn relay(client: &TcpStream, server: SocketAddr, mut line: Line, rtcp_passes: bool) -> Result<()> {
    let server_host = server.ip();
    let server = TcpStream::connect(server)?;
    let ports: Ports = Arc::default();
    let server_ports: ServerPorts = Arc::default();
    let sockets = pair()?;
    let relay_ports = [sockets[0].local_addr()?.port(), sockets[1].local_addr()?.port()];

    let (mut from, mut to, known) = (client.try_clone()?, server.try_clone()?, ports.clone());
    std::thread::spawn(move || {
        let mut bytes = [0; 8192];
        while let Ok(len @ 1..) = from.read(&mut bytes) {
            let request = bytes.get(..len).unwrap_or_default();
            let request = match ports_after("client_port=", request) {
                Some(of_client) => {
                    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                    *known = Some((of_client, relay_ports));
                    replaced(request, of_client, relay_ports)
                }
                None => request.to_vec(),
            };
            if to.write_all(&request).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
    });

    let lines = [
        Some(Line { decide: line.decide.clone(), count: line.count.clone(), delayed: None }),
        None,
    ];
    for ((at, socket), mut line) in sockets.into_iter().enumerate().zip(lines) {
        let (ports, host) = (ports.clone(), client.peer_addr()?.ip());
        let server_ports = server_ports.clone();
        std::thread::spawn(move || {
            let mut datagram = vec![0; 65_536];
            while let Ok((len, from)) = socket.recv_from(&mut datagram) {
                let packet = datagram.get(..len).unwrap_or_default();
                let of_client = *ports.lock().unwrap_or_else(PoisonError::into_inner);
                let Some((of_client, _)) = of_client else { continue };
                let to = SocketAddr::new(host, of_client[at]);
                if from == to {
                    // Reports of the receiver.
                    let known = *server_ports.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(of_server) = known {
                        let _ = socket.send_to(packet, (server_host, of_server[at]));
                    }
                    continue;
                }
                if at == 1 && !rtcp_passes {
                    continue;
                }
                let packets = line.as_mut().map_or(vec![packet.to_vec()], |it| it.pass(packet));
                for packet in packets {
                    let _ = socket.send_to(&packet, to);
                }
            }
        });
    }

    let (mut from, mut to) = (server, client.try_clone()?);
    std::thread::spawn(move || {
        let (mut bytes, mut waiting) = ([0; 8192], Vec::new());
        while let Ok(len @ 1..) = from.read(&mut bytes) {
            waiting.extend_from_slice(bytes.get(..len).unwrap_or_default());
            while let Some(part) = next_part(&mut waiting) {
                let parts = match part.as_slice() {
                    [b'$', 0, _, _, ..] => line.pass(&part),
                    _ => {
                        let ports = *ports.lock().unwrap_or_else(PoisonError::into_inner);
                        vec![ports.map_or(part.clone(), |(of_client, of_relay)| {
                            let part = replaced(&part, of_relay, of_client);
                            let Some(of_server) = ports_after("server_port=", &part) else {
                                return part;
                            };
                            *server_ports.lock().unwrap_or_else(PoisonError::into_inner) =
                                Some(of_server);
                            let pair = |[a, b]: [u16; 2]| format!("server_port={a}-{b}");
                            let text = String::from_utf8_lossy(&part);
                            text.replace(&pair(of_server), &pair(of_relay)).into_bytes()
                        })]
                    }
                };
                if parts.iter().any(|part| to.write_all(part).is_err()) {
                    return;
                }
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    Ok(())
}

/// Takes the next interleaved packet, or everything before it.
fn next_part(waiting: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = match waiting.as_slice() {
        [b'$', _, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
        [] | [b'$', ..] => return None,
        // A reply ends before a packet; no text of our servers has this character.
        _ => waiting.iter().position(|byte| *byte == b'$').unwrap_or(waiting.len()),
    };
    (end <= waiting.len()).then(|| waiting.drain(..end).collect())
}

/// Two sockets on consecutive ports, of which the first is even.
fn pair() -> Result<[UdpSocket; 2]> {
    for _ in 0..100 {
        let first = UdpSocket::bind("127.0.0.1:0")?;
        let port = first.local_addr()?.port();
        if port % 2 == 0
            && let Ok(second) = UdpSocket::bind(("127.0.0.1", port + 1))
        {
            return Ok([first, second]);
        }
    }
    anyhow::bail!("no two consecutive ports")
}

/// The ports in a message, such as `client_port=A-B`, or the lab's `client_port= A`.
fn ports_after(name: &str, message: &[u8]) -> Option<[u16; 2]> {
    let text = std::str::from_utf8(message).ok()?;
    let rest = text.split_once(name)?.1.trim_start();
    let mut numbers = rest.split(|it: char| !it.is_ascii_digit()).map(str::parse::<u16>);
    let first = numbers.next()?.ok()?;
    Some([first, numbers.next().and_then(Result::ok).unwrap_or(first + 1)])
}

/// The text with other ports.
fn replaced(text: &[u8], ports: [u16; 2], by: [u16; 2]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let pair = |[a, b]: [u16; 2]| format!("client_port={a}-{b}");
    let text = text.replace(&pair(ports), &pair(by));
    let single = |[a, _]: [u16; 2]| [format!("client_port= {a}"), format!("client_port={a}")];
    let mut text = text;
    for (from, to) in single(ports).into_iter().zip(single(by)) {
        if !text.contains(&pair(by)) {
            text = text.replace(&from, &to);
        }
    }
    text.into_bytes()
}

/// The address that a URL names.
///
/// # Errors
/// If it names none.
pub fn address_of(url: &str) -> Result<SocketAddr> {
    url.split('/').nth(2).and_then(|it| it.parse().ok()).context("no address")
}
