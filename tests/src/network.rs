// SPDX-License-Identifier: MIT OR Apache-2.0
//! A network of two hosts, made of Linux's network namespaces: what is sent between them is seen by no
//! other process, and can be counted. It needs the rights of root and the program `ip` (iproute2).

use anyhow::{Context, Result, anyhow, ensure};
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The address of the server's host.
pub const SERVER: &str = "10.77.0.1";

/// The same in IPv6.
pub const SERVER_V6: &str = "fd77::1";

/// The protocol of IPv4 and IPv6 in Ethernet, in network byte order.
const ALL_PROTOCOLS: u16 = 3_u16.to_be();

type Job = Box<dyn FnOnce() + Send>;

/// A host: a thread in a network namespace of its own. The processes and threads that its jobs start are in
/// the namespace too, which ends with the last of them.
pub struct Host {
    jobs: Sender<Job>,
    /// The file of the namespace.
    namespace: PathBuf,
}

impl Host {
    fn new() -> Result<Self> {
        let (jobs, received) = channel::<Job>();
        let (started, start) = channel();
        std::thread::Builder::new().name("host".to_owned()).spawn(move || {
            let made = unshare(CloneFlags::CLONE_NEWNET);
            let thread = std::fs::read_link("/proc/thread-self");
            let _ = started.send(made.map_err(anyhow::Error::from).and_then(|()| Ok(thread?)));
            for job in received {
                job();
            }
        })?;
        let thread = start.recv()?.context(
            "this test needs a network namespace of its own, and the system does not permit it: run it as \
             root (CAP_SYS_ADMIN), in a container with --privileged",
        )?;
        Ok(Self { jobs, namespace: PathBuf::from("/proc").join(thread).join("ns/net") })
    }

    /// Runs a job on the host and returns its result.
    ///
    /// # Errors
    /// If the job fails or panics.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, result) = channel();
        let job = move || {
            let _ = sender.send(job());
        };
        self.jobs.send(Box::new(job)).map_err(|_| anyhow!("the host has ended"))?;
        result.recv().context("the job panicked")?
    }

    /// Runs `ip` with arguments that are separated by blanks.
    fn ip(&self, arguments: &str) -> Result<()> {
        let words: Vec<String> = arguments.split(' ').map(ToOwned::to_owned).collect();
        self.run(move || {
            let done = Command::new("ip").args(&words).output().context("ip (iproute2)")?;
            let error = String::from_utf8_lossy(&done.stderr).into_owned();
            ensure!(done.status.success(), "ip {}: {error}", words.join(" "));
            Ok(())
        })
    }
}

/// Two hosts that are connected by a cable.
pub struct Network {
    /// The host of the server, [`SERVER`].
    pub server: Host,
    /// The host of the viewers.
    pub viewers: Host,
}

impl Network {
    /// Makes the network.
    ///
    /// # Errors
    /// If this process has not the rights, or `ip` fails.
    pub fn new() -> Result<Self> {
        let (server, viewers) = (Host::new()?, Host::new()?);
        let peer = viewers.namespace.display();
        server.ip(&format!("link add cable type veth peer name cable netns {peer}"))?;
        for (host, v4, v6) in [(&server, SERVER, SERVER_V6), (&viewers, "10.77.0.2", "fd77::2")] {
            host.ip("link set lo up")?;
            host.ip(&format!("address add {v4}/24 dev cable"))?;
            // Without nodad, the address could be used only after a second.
            host.ip(&format!("address add {v6}/64 dev cable nodad"))?;
            host.ip("link set cable up")?;
            host.ip("route add 224.0.0.0/4 dev cable")?;
        }
        Ok(Self { server, viewers })
    }

    /// Starts to receive a copy of each packet that passes the cable.
    ///
    /// # Errors
    /// If the system does not permit it.
    pub fn listen(&self) -> Result<Wire> {
        self.viewers.run(|| {
            // Without the Ethernet header.
            let socket = Socket::new(
                Domain::PACKET,
                Type::DGRAM,
                Some(Protocol::from(i32::from(ALL_PROTOCOLS))),
            )?;
            socket.set_recv_buffer_size(8 * 1024 * 1024)?;
            Wire::new(socket)
        })
    }
}

/// A UDP datagram over IPv4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The address that it was sent from.
    pub source: [u8; 4],
    /// The address that it was sent to.
    pub destination: [u8; 4],
    /// The port that it was sent to.
    pub port: u16,
    /// How many networks it may still pass.
    pub ttl: u8,
    /// What was sent.
    pub payload: Vec<u8>,
}

impl Datagram {
    fn parse(packet: &[u8]) -> Option<Self> {
        let (&[first, _, _, _, _, _, _, _, ttl, protocol, ..], header) =
            (packet, usize::from(packet.first()? & 0xf) * 4)
        else {
            return None;
        };
        if first >> 4 != 4 || protocol != 17 {
            return None;
        }
        let udp = packet.get(header..)?;
        let &[_, _, high, low, _, _, _, _, ref payload @ ..] = udp else { return None };
        Some(Self {
            source: packet.get(12..16)?.try_into().ok()?,
            destination: packet.get(16..20)?.try_into().ok()?,
            port: u16::from_be_bytes([high, low]),
            ttl,
            payload: payload.to_vec(),
        })
    }
}

/// Receives what passes the cable, until it is dropped.
pub struct Wire {
    datagrams: Arc<Mutex<Vec<Datagram>>>,
    /// The thread that receives ends when this is dropped.
    _open: Arc<()>,
}

impl Wire {
    fn new(socket: Socket) -> Result<Self> {
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let (datagrams, open) = (Arc::new(Mutex::new(Vec::new())), Arc::new(()));
        let (received, is_open) = (Arc::clone(&datagrams), Arc::downgrade(&open));
        std::thread::Builder::new().name("wire".to_owned()).spawn(move || {
            let mut socket = socket;
            let mut packet = vec![0; 65_536];
            while is_open.strong_count() > 0 {
                let datagram = socket
                    .read(&mut packet)
                    .ok()
                    .and_then(|length| Datagram::parse(packet.get(..length).unwrap_or_default()));
                if let Some(datagram) = datagram {
                    received.lock().unwrap_or_else(PoisonError::into_inner).push(datagram);
                }
            }
        })?;
        Ok(Self { datagrams, _open: open })
    }

    /// The datagrams that have passed since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Datagram> {
        std::mem::take(&mut *self.datagrams.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
