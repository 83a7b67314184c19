// SPDX-License-Identifier: MIT OR Apache-2.0
//! Multicast (RFC 2326 section 12.39): the group of a live movie, to which one stream is sent for all
//! sessions that have joined it.
//!
//! A movie keeps the address and ports of its group for as long as it is served, so DESCRIBE and all
//! replies to SETUP state the same ones. Sockets are open while there is a session.

use super::session::{Session, Stream};
use crate::config::{MountKind, UdpOffload};
use crate::limit_log::LimitLog;
use crate::mount::Mount;
use crate::send::counts::SendCounts;
use crate::send::datagrams::{Datagrams, Offload};
use gst_rtsp_server::RTSPSession;
use gst_rtsp_server::prelude::*;
use gstmjpegfile::rtp::ReportBlock;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto};
use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

/// The send buffer in bytes for the viewers of a group.
const SEND_BUFFER: usize = 1024 * 1024;

/// The longest report that is read. Receivers send fewer bytes than fit a packet.
const MAX_REPORT: usize = 1500;

/// The address, the ports and the TTL of a group, as the `Transport` header and the SDP state them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// The address.
    pub ip: IpAddr,
    /// The port of RTP. RTCP has the next one.
    pub port: u16,
    /// The number of networks that a packet passes at most.
    pub ttl: u8,
}

impl Destination {
    /// The `Transport` header in the reply to SETUP.
    pub fn transport(self, ssrc: u32) -> String {
        let Self { ip, port, ttl } = self;
        format!(
            "RTP/AVP;multicast;destination={ip};port={port}-{};ttl={ttl};ssrc={ssrc:08X};mode=\"PLAY\"",
            port + 1
        )
    }

    /// The address in the line `c=` of the SDP (RFC 4566 section 5.7): IPv6 has no TTL there.
    pub fn connection_address(self) -> String {
        match self.ip {
            IpAddr::V4(ip) => format!("{ip}/{}", self.ttl),
            IpAddr::V6(ip) => ip.to_string(),
        }
    }
}

/// Why a viewer cannot have multicast.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoGroup {
    /// The movie is not sent to a group of the viewer's IP version.
    #[error("the movie has no multicast group of this IP version")]
    NotConfigured,
    /// All ports are those of other movies.
    #[error("all ports of multicast-ports are used by other movies")]
    NoPorts,
    /// The sockets cannot be opened.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A movie's group.
struct Entry {
    mount: Weak<Mount>,
    destination: Destination,
    /// The open sockets, while there is a session.
    group: Weak<Group>,
}

/// The groups of all live movies.
#[derive(Default)]
pub(super) struct Groups(Mutex<HashMap<(u64, bool), Entry>>);

impl Groups {
    fn entries(&self) -> MutexGuard<'_, HashMap<(u64, bool), Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group of a movie for viewers with addresses like `viewer`.
    pub fn destination(&self, mount: &Arc<Mount>, viewer: IpAddr) -> Result<Destination, NoGroup> {
        with_entry(&mut self.entries(), mount, viewer, |entry| Ok(entry.destination))
    }

    /// Opens the group of a movie for viewers with addresses like `viewer`, unless it is open. Must be
    /// called in a thread of the asynchronous runtime.
    pub fn open(
        &self,
        mount: &Arc<Mount>,
        viewer: IpAddr,
        limit_log: &Arc<LimitLog>,
    ) -> Result<Arc<Group>, NoGroup> {
        with_entry(&mut self.entries(), mount, viewer, |entry| {
            if let Some(group) = entry.group.upgrade() {
                return Ok(group);
            }
            let group = Group::open(mount, entry.destination, limit_log.clone())?;
            entry.group = Arc::downgrade(&group);
            Ok(group)
        })
    }
}

/// Calls `action` with the entry of a movie, which is added if it is not there.
fn with_entry<T>(
    entries: &mut HashMap<(u64, bool), Entry>,
    mount: &Arc<Mount>,
    viewer: IpAddr,
    action: impl FnOnce(&mut Entry) -> Result<T, NoGroup>,
) -> Result<T, NoGroup> {
    let settings = &mount.settings.multicast;
    let ip = settings.group_for(viewer).filter(|_| mount.settings.kind == MountKind::Live);
    let ip = ip.ok_or(NoGroup::NotConfigured)?;
    let key = (mount.id, ip.is_ipv4());
    if let Some(entry) = entries.get_mut(&key) {
        return action(entry);
    }
    // A movie that is not served any more keeps its ports while it has sessions.
    entries.retain(|_, entry| entry.mount.strong_count() > 0);
    let is_free = |port: &u16| {
        let mut used = entries.values().map(|entry| entry.destination);
        !used.any(|used| used.ip == ip && used.port == *port)
    };
    let port = settings.ports.pairs().find(is_free).ok_or(NoGroup::NoPorts)?;
    let destination = Destination { ip, port, ttl: settings.ttl };
    let entry = Entry { mount: Arc::downgrade(mount), destination, group: Weak::new() };
    action(entries.entry(key).or_insert(entry))
}

/// A session that has joined a group.
struct Member {
    ip: IpAddr,
    ssrc: u32,
    counts: Arc<SendCounts>,
    gst_handle: RTSPSession,
}

#[derive(Default)]
struct Members {
    by_session: HashMap<String, Member>,
    /// What is sent to the group, from the first PLAY until the last session leaves. It holds the group in turn.
    stream: Option<Arc<Stream>>,
}

/// An open group: its sockets, and the sessions that have joined it.
pub(super) struct Group {
    pub destination: Destination,
    rtp: Socket,
    rtp_to: SockaddrStorage,
    /// Sends reports to the group, and receives those of its members.
    rtcp: Arc<UdpSocket>,
    rtcp_to: SockaddrStorage,
    offload: Offload,
    limit_log: Arc<LimitLog>,
    members: Mutex<Members>,
    /// Reads the reports of the members.
    reader: Mutex<Option<AbortHandle>>,
}

impl Group {
    fn open(
        mount: &Mount,
        destination: Destination,
        limit_log: Arc<LimitLog>,
    ) -> io::Result<Arc<Self>> {
        let interface = Interface::find(&mount.settings.multicast.interface)?;
        let rtp_to = SocketAddr::new(destination.ip, destination.port);
        let rtcp_to = SocketAddr::new(destination.ip, destination.port + 1);
        // Sending would fail for each packet if there were no route.
        open_socket(destination, &interface)?.connect(&rtp_to.into())?;
        let rtp = open_socket(destination, &interface)?;
        rtp.set_send_buffer_size(SEND_BUFFER)?;
        let rtcp = open_socket(destination, &interface)?;
        // Players on this machine have the same port. Bound to the group, the socket gets no packet that
        // is for one of them alone.
        rtcp.set_reuse_address(true)?;
        rtcp.bind(&rtcp_to.into())?;
        interface.join(&rtcp, destination.ip)?;
        let rtcp = Arc::new(UdpSocket::from_std(rtcp.into())?);
        let offload = Offload::new(mount.settings.udp_offload == UdpOffload::Auto);
        let group = Arc::new(Self {
            destination,
            rtp,
            rtp_to: rtp_to.into(),
            rtcp: rtcp.clone(),
            rtcp_to: rtcp_to.into(),
            offload,
            limit_log,
            members: Mutex::default(),
            reader: Mutex::default(),
        });
        let task = tokio::spawn(read_reports(rtcp, Arc::downgrade(&group)));
        *group.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
        Ok(group)
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session.
    pub fn join(&self, session: &Session) {
        let member = Member {
            ip: session.peer.ip(),
            ssrc: session.ssrc,
            counts: session.counts.clone(),
            gst_handle: session.gst_handle.clone(),
        };
        self.members().by_session.insert(session.id.clone(), member);
    }

    /// Removes a session. After the last one the stream ends, with BYE: not before, since a viewer that
    /// pauses would take it for the end of the movie.
    pub fn leave(&self, session: &str) {
        // Locked until BYE has been sent: the stream for a session that joins now starts after that.
        let mut members = self.members();
        let was_member = members.by_session.remove(session).is_some();
        let Some(stream) = members.stream.clone().filter(|_| was_member) else { return };
        if members.by_session.is_empty() {
            stream.end_for_good();
            members.stream = None;
        }
        stream.with_sink(|sink| sink.remove_viewer(session));
    }

    /// The stream that is sent to the group, or a new one for `session`.
    pub fn stream<E>(
        &self,
        session: &str,
        new: impl FnOnce() -> Result<Arc<Stream>, E>,
    ) -> Result<Arc<Stream>, E> {
        let mut members = self.members();
        if let Some(stream) = &members.stream {
            return Ok(stream.clone());
        }
        let stream = new()?;
        // A session that has left meanwhile does not play it.
        if members.by_session.contains_key(session) {
            members.stream = Some(stream.clone());
        }
        Ok(stream)
    }

    /// Sends the datagrams of a frame. Returns whether they have been sent.
    pub fn send(&self, datagrams: &Datagrams) -> bool {
        self.count_failure(datagrams.send(self.rtp.as_fd(), &self.rtp_to, &self.offload))
    }

    /// Sends an RTCP packet.
    pub fn send_rtcp(&self, packet: &[u8]) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let sent = sendto(self.rtcp.as_fd().as_raw_fd(), packet, &self.rtcp_to, flags);
        self.count_failure(sent.map(drop));
    }

    fn count_failure(&self, sent: Result<(), Errno>) -> bool {
        if let Err(error) = sent {
            self.limit_log.count_error("packets not sent to a multicast group", None, &error);
        }
        sent.is_ok()
    }

    /// Reads a packet that was sent to the RTCP port of the group. A report on the stream shows that a
    /// session at its address is alive. Its loss is that of a session only if there is no other one at the
    /// address: reports do not say which session they belong to.
    fn read_report(&self, packet: &[u8], from: IpAddr) {
        let members = self.members();
        let at_address = members.by_session.values().filter(|member| member.ip == from);
        let reporters: Vec<(&Member, ReportBlock)> = at_address
            .filter_map(|member| Some((member, ReportBlock::last_of(packet, member.ssrc)?)))
            .collect();
        if let [(member, block)] = *reporters {
            member.counts.add_report(block);
        }
        for (member, _) in reporters {
            member.gst_handle.touch();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let reader = self.reader.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = reader {
            reader.abort();
        }
    }
}

/// Reads the reports of the members of a group until it is dropped.
async fn read_reports(socket: Arc<UdpSocket>, group: Weak<Group>) {
    let mut packet = [0; MAX_REPORT];
    while let Ok((length, from)) = socket.recv_from(&mut packet).await {
        let Some(group) = group.upgrade() else { return };
        group.read_report(packet.get(..length).unwrap_or_default(), from.ip().to_canonical());
    }
}

/// A socket that sends to a group.
fn open_socket(destination: Destination, interface: &Interface) -> io::Result<Socket> {
    let Destination { ip, ttl, .. } = destination;
    let socket = Socket::new(Domain::for_address((ip, 0).into()), Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    // Players on this machine receive the packets too.
    match ip {
        IpAddr::V4(_) => {
            socket.set_multicast_loop_v4(true)?;
            socket.set_multicast_ttl_v4(ttl.into())?;
        }
        IpAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_multicast_loop_v6(true)?;
            socket.set_multicast_hops_v6(ttl.into())?;
        }
    }
    interface.bind(&socket)?;
    Ok(socket)
}

/// The network interface of a group.
struct Interface {
    name: String,
    /// The number of the interface; 0 for the one of the route.
    index: u32,
}

impl Interface {
    /// The interface with a name, or that of the route if the name is empty.
    fn find(name: &str) -> io::Result<Self> {
        let index = match name {
            "" => 0,
            name => if_nametoindex(name).map_err(|error| {
                let text = format!("multicast-interface {name}: {}", error.desc());
                io::Error::new(io::Error::from(error).kind(), text)
            })?,
        };
        Ok(Self { name: name.to_owned(), index })
    }

    /// Makes a socket send and receive by this interface. Linux 5.7 lets every process do that. Unlike
    /// `IP_MULTICAST_IF` it needs no IPv4 address of the interface, which only netlink reports.
    fn bind(&self, socket: &Socket) -> io::Result<()> {
        if self.index == 0 { Ok(()) } else { socket.bind_device(Some(self.name.as_bytes())) }
    }

    /// Makes a socket receive what is sent to a group.
    fn join(&self, socket: &Socket, group: IpAddr) -> io::Result<()> {
        let index = InterfaceIndexOrAddress::Index(self.index);
        match group {
            IpAddr::V4(group) => socket.join_multicast_v4_n(&group, &index),
            IpAddr::V6(group) => socket.join_multicast_v6(&group, self.index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{GroupAddress, MountSettings, PortRange};

    fn mount(groups: &[&str], ports: &str, kind: MountKind) -> Arc<Mount> {
        let mut settings = MountSettings { kind, ..MountSettings::default() };
        let groups = groups.iter().map(|text| GroupAddress::parse(text).unwrap());
        settings.multicast.groups = groups.collect();
        settings.multicast.ports = PortRange::parse(ports).unwrap();
        Arc::new(Mount::new("/m".to_owned(), "/m".into(), settings))
    }

    #[test]
    fn each_movie_keeps_ports_of_its_own_while_it_is_served() {
        let groups = Groups::default();
        let both = ["239.192.1.1", "ff15::1"];
        let (v4, v6) = (IpAddr::from([10, 0, 0, 1]), "fd00::1".parse().unwrap());
        let a = mount(&both, "6000-6003", MountKind::Live);
        let b = mount(&both, "6000-6003", MountKind::Live);
        let c = mount(&both, "6000-6003", MountKind::Live);
        let other = mount(&["239.192.1.2"], "6000-6003", MountKind::Live);
        let on_demand = mount(&both, "6000-6003", MountKind::OnDemand);
        let none = mount(&[], "6000-6003", MountKind::Live);
        let rows = [
            (&a, v4, "239.192.1.1 6000"),
            (&b, v4, "239.192.1.1 6002"),
            (&a, v4, "239.192.1.1 6000"),
            (&a, v6, "ff15::1 6000"),
            (&c, v4, "all ports of multicast-ports are used by other movies"),
            (&other, v4, "239.192.1.2 6000"),
            (&other, v6, "the movie has no multicast group of this IP version"),
            (&on_demand, v4, "the movie has no multicast group of this IP version"),
            (&none, v4, "the movie has no multicast group of this IP version"),
        ];
        for (row, (mount, viewer, want)) in rows.into_iter().enumerate() {
            let got = match groups.destination(mount, viewer) {
                Ok(Destination { ip, port, ttl: 1 }) => format!("{ip} {port}"),
                Ok(other) => format!("{other:?}"),
                Err(error) => error.to_string(),
            };
            assert_eq!(got, want, "row {row}");
        }
        drop(a);
        assert_eq!(groups.destination(&c, v4).unwrap().port, 6000);
    }

    #[test]
    fn the_header_and_the_sdp_state_the_destination() {
        let v4 = Destination { ip: [239, 1, 2, 3].into(), port: 5004, ttl: 16 };
        let v6 = Destination { ip: "ff15::1".parse().unwrap(), port: 5006, ttl: 2 };
        let rows = [
            (
                v4,
                "RTP/AVP;multicast;destination=239.1.2.3;port=5004-5005;ttl=16;ssrc=0000ABCD;\
                 mode=\"PLAY\"",
                "239.1.2.3/16",
            ),
            (
                v6,
                "RTP/AVP;multicast;destination=ff15::1;port=5006-5007;ttl=2;ssrc=0000ABCD;\
                 mode=\"PLAY\"",
                "ff15::1",
            ),
        ];
        for (destination, transport, connection) in rows {
            assert_eq!(destination.transport(0xabcd), transport);
            assert_eq!(destination.connection_address(), connection);
        }
    }

    #[test]
    fn an_interface_is_one_of_this_machine() {
        assert!(Interface::find("lo").is_ok_and(|it| it.index > 0));
        assert!(Interface::find("").is_ok_and(|it| it.index == 0));
        let error = Interface::find("no-such-one").err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("multicast-interface no-such-one: No such device"));
    }
}
