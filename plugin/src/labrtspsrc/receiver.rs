// SPDX-License-Identifier: MIT OR Apache-2.0
//! The live source inside `labrtspsrc`: datagrams from the server, stamped with their arrival.

use super::shared::Shared;
use super::{LabRtspSrc, messages};
use crate::border;
use crate::rtp::{HeaderAudit, RtpHeader};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "labrtspsrc",
        gst::DebugColorFlags::empty(),
        Some("Movies from servers of the networking course's lab"),
    )
});

/// A UDP datagram is not longer.
const DATAGRAM: usize = 65_536;

/// What the kernel shall hold of packets.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// How often a wait for a datagram looks at what else has happened.
const LOOK: Duration = Duration::from_millis(20);

/// After this without a packet, none is waited for that another one overtook.
const SILENCE: Duration = Duration::from_millis(100);

/// A socket at the wildcard address; `port` 0 takes a free one.
pub(super) fn bind(server: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let (domain, wildcard): (_, IpAddr) = match server {
        IpAddr::V4(_) => (socket2::Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => (socket2::Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
    // The system may allow less.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.bind(&SocketAddr::new(wildcard, port).into())?;
    socket.set_read_timeout(Some(LOOK))?;
    Ok(socket.into())
}

/// Throws away what has come and not been read.
pub(super) fn drain(socket: &UdpSocket) {
    if socket.set_nonblocking(true).is_ok() {
        let mut bytes = [0; 1];
        while socket.recv(&mut bytes).is_ok() {}
        let _ = socket.set_nonblocking(false);
    }
}

#[derive(Debug, Default)]
struct State {
    shared: Arc<Shared>,
    element: glib::WeakRef<LabRtspSrc>,
    latency: gst::ClockTime,
    datagram: Vec<u8>,
    audit: HeaderAudit,
    /// The last timestamp: later ones are not below it.
    last: Option<gst::ClockTime>,
    /// The base time at the last seek, which is not yet the one after it.
    old_base: Option<gst::ClockTime>,
    /// When the last packet came, until its silence was told downstream.
    heard: Option<Instant>,
    /// The segment has been pushed for the first time.
    begun: bool,
}

#[derive(Debug, Default)]
pub struct Receiver {
    state: Mutex<State>,
    flushing: AtomicBool,
}

#[glib::object_subclass]
impl ObjectSubclass for Receiver {
    const NAME: &'static str = "GstLabRtpReceiver";
    type Type = super::Receiver;
    type ParentType = gst_base::PushSrc;
}

impl Receiver {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self) -> Arc<Shared> {
        self.state().shared.clone()
    }

    /// Before it starts.
    pub(super) fn prepare(&self, shared: Arc<Shared>, element: glib::WeakRef<LabRtspSrc>) {
        let latency = self.state().latency;
        *self.state() = State { shared, element, latency, ..State::default() };
    }

    pub fn set_latency(&self, latency: gst::ClockTime) {
        self.state().latency = latency;
    }

    /// Waits for the next packet of the server's.
    fn receive(&self) -> Result<gst::Buffer, gst::FlowError> {
        let shared = self.shared();
        let mut datagram = std::mem::take(&mut self.state().datagram);
        datagram.resize(DATAGRAM, 0);
        let received = loop {
            if self.flushing.load(Ordering::SeqCst) {
                break Err(gst::FlowError::Flushing);
            }
            if shared.ended.load(Ordering::SeqCst) {
                break Err(gst::FlowError::Eos);
            }
            let Some((socket, server)) = shared.socket() else {
                // SETUP has not come so far.
                std::thread::park_timeout(LOOK);
                continue;
            };
            match socket.recv_from(&mut datagram) {
                Ok((length, from)) => {
                    let packet = datagram.get(..length).unwrap_or_default();
                    if let Some(buffer) = self.take(&shared, packet, from, server) {
                        break Ok(buffer);
                    }
                }
                Err(_) => self.tell_silence(),
            }
        };
        self.state().datagram = datagram;
        received
    }

    fn take(
        &self,
        shared: &Shared,
        packet: &[u8],
        from: SocketAddr,
        server: IpAddr,
    ) -> Option<gst::Buffer> {
        if from.ip().to_canonical() != server {
            gst::debug!(CAT, imp = self, "{} bytes from {from} left out", packet.len());
            return None;
        }
        let header = match RtpHeader::parse(packet) {
            Ok((header, _)) => header,
            Err(error) => {
                gst::warning!(CAT, imp = self, "datagram left out: {error}");
                return None;
            }
        };
        if shared.is_before_seek(&header) {
            return None;
        }
        let first = shared.has_arrived(header);
        self.explain(packet, &header, from, first);
        let mut buffer = gst::Buffer::from_slice(packet.to_vec());
        buffer.get_mut()?.set_pts(self.arrival());
        Some(buffer)
    }

    /// Tells the application of the first packet, and once of each thing that is odd.
    fn explain(&self, packet: &[u8], header: &RtpHeader, from: SocketAddr, first: bool) {
        let (findings, element) = {
            let mut state = self.state();
            if first {
                state.audit = HeaderAudit::default();
            }
            (state.audit.inspect(header, Instant::now()), state.element.upgrade())
        };
        let Some(element) = element else { return };
        if first {
            messages::first_packet(&element, packet, header, &from.to_string());
        }
        for finding in findings {
            messages::finding(&element, finding.name(), &finding.to_string());
        }
    }

    /// The stream time of now. It is the running time, within the segment.
    fn arrival(&self) -> Option<gst::ClockTime> {
        let obj = self.obj();
        let base = obj.base_time();
        let running = obj.clock().and_then(|clock| clock.time().checked_sub(base?));
        let mut segment = obj.segment().downcast::<gst::ClockTime>().ok()?;
        let mut state = self.state();
        // After a seek, running time begins with 0, and the new base time comes with PLAYING.
        let waits = state.old_base.is_some() && state.old_base == base;
        if !waits {
            state.old_base = None;
        }
        let running = running.filter(|_| !waits).unwrap_or_default();
        let begins = state.last.is_none();
        if begins {
            // The first frame is the segment's begin, however long the server took for it.
            segment.set_base(running);
        }
        let time = segment.position_from_running_time(running).or(segment.start())?;
        let time = state.last.map_or(time, |last| time.max(last));
        state.last = Some(time);
        state.heard = Some(Instant::now());
        drop(state);
        if begins && let Err(error) = obj.new_segment(segment.upcast_ref()) {
            gst::warning!(CAT, imp = self, "{error}");
        }
        Some(time)
    }

    /// Once in each silence, so that nothing downstream waits for packets that are lost.
    fn tell_silence(&self) {
        let time = {
            let mut state = self.state();
            match (state.heard, state.last) {
                (Some(heard), Some(last)) if heard.elapsed() >= SILENCE => {
                    state.heard = None;
                    last
                }
                _ => return,
            }
        };
        self.obj().src_pad().push_event(gst::event::Gap::builder(time).build());
    }
}

impl ObjectImpl for Receiver {
    fn constructed(&self) {
        self.parent_constructed();
        border::guarded(self, (), || {
            let obj = self.obj();
            obj.set_live(true);
            obj.set_format(gst::Format::Time);
        });
    }
}

impl GstObjectImpl for Receiver {}

impl ElementImpl for Receiver {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Lab RTP receiver",
                "Source/Network",
                "The packets of one lab session; part of labrtspsrc",
                "The mjpeg-rtsp authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = crate::rtplabdepay::rtp_caps();
            let always = gst::PadPresence::Always;
            gst::PadTemplate::new("src", gst::PadDirection::Src, always, &caps)
                .into_iter()
                .collect()
        });
        &TEMPLATES
    }
}

impl BaseSrcImpl for Receiver {
    fn is_seekable(&self) -> bool {
        self.shared().movie().seekable
    }

    fn do_seek(&self, segment: &mut gst::Segment) -> bool {
        // The first segment is not asked for by anybody.
        if !std::mem::replace(&mut self.state().begun, true) {
            return self.parent_do_seek(segment);
        }
        let forward = segment.rate() > 0.0;
        let Some(segment) = segment.downcast_mut::<gst::ClockTime>().filter(|_| forward) else {
            return false;
        };
        let start = segment.start().unwrap_or_default();
        if !self.shared().seek(start) {
            return false;
        }
        segment.set_position(start);
        segment.set_time(start);
        let base = self.obj().base_time();
        let mut state = self.state();
        (state.last, state.heard, state.old_base) = (None, None, base);
        true
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.flushing.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.flushing.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(query) => {
                query.set(true, self.state().latency, gst::ClockTime::NONE);
                true
            }
            gst::QueryViewMut::Duration(query) if query.format() == gst::Format::Time => {
                match self.shared().movie().duration() {
                    Some(duration) => {
                        query.set(duration);
                        true
                    }
                    None => false,
                }
            }
            gst::QueryViewMut::Duration(query) if query.format() == gst::Format::Default => {
                match self.shared().movie().frames {
                    Some(frames) => {
                        query.set(gst::format::Default::from_u64(frames));
                        true
                    }
                    None => false,
                }
            }
            gst::QueryViewMut::Seeking(query) if query.format() == gst::Format::Time => {
                let movie = self.shared().movie();
                query.set(movie.seekable, gst::ClockTime::ZERO, movie.duration());
                true
            }
            _ => BaseSrcImplExt::parent_query(self, query),
        }
    }
}

impl PushSrcImpl for Receiver {
    fn create(
        &self,
        _buffer: Option<&mut gst::BufferRef>,
    ) -> Result<CreateSuccess, gst::FlowError> {
        self.receive().map(CreateSuccess::NewBuffer)
    }
}
