// SPDX-License-Identifier: MIT OR Apache-2.0
//! The live source inside `labrtspsrc`: datagrams from the server, with their arrival as timestamp.

use super::shared::{Movie, Shared};
use super::{LabRtspSrc, messages};
use crate::border;
use crate::rtp::{HeaderAudit, PacketDetector, RtpHeader};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
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

/// The longest UDP datagram, in bytes.
const DATAGRAM: usize = 65_536;

/// Size of the kernel's receive buffer, in bytes.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// After this long without a packet, the receiver no longer waits for missing packets.
const SILENCE: Duration = Duration::from_millis(100);

/// Opens a socket at the wildcard address; `port` 0 is a free one.
pub(super) fn bind(server: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let (domain, wildcard): (_, IpAddr) = match server {
        IpAddr::V4(_) => (socket2::Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => (socket2::Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
    // The system may allow less.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.bind(&SocketAddr::new(wildcard, port).into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Discards datagrams that have been received and not read; returns their number.
pub(super) fn drain(socket: &UdpSocket) -> u64 {
    let mut bytes = [0; 1];
    let mut discarded = 0;
    while socket.recv(&mut bytes).is_ok() {
        discarded += 1;
    }
    discarded
}

#[derive(Debug, Default)]
struct State {
    /// The session's state, from the first start on.
    shared: Option<Arc<Shared>>,
    element: glib::WeakRef<LabRtspSrc>,
    latency: gst::ClockTime,
    datagram: Vec<u8>,
    audit: HeaderAudit,
    detector: PacketDetector,
    /// The last timestamp; later ones are not below it.
    last: Option<gst::ClockTime>,
    /// Base time before the last seek, until PLAYING sets a new one.
    old_base: Option<gst::ClockTime>,
    /// Arrival of the last packet, until a GAP event has been sent after it.
    last_arrival: Option<Instant>,
    /// The first segment has been set.
    started: bool,
    /// The sequence number of the last seek.
    seek: Option<gst::Seqnum>,
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

    fn shared(&self) -> Option<Arc<Shared>> {
        self.state().shared.clone()
    }

    fn movie(&self) -> Movie {
        self.shared().map(|shared| shared.movie()).unwrap_or_default()
    }

    /// Sets the session to receive, before the element starts.
    pub(super) fn prepare(&self, shared: Arc<Shared>, element: glib::WeakRef<LabRtspSrc>) {
        let latency = self.state().latency;
        *self.state() = State { shared: Some(shared), element, latency, ..State::default() };
    }

    pub fn set_latency(&self, latency: gst::ClockTime) {
        self.state().latency = latency;
    }

    /// Number of datagrams of the session that were dropped: of other hosts, and from before a seek.
    pub fn ignored(&self) -> u64 {
        self.shared().map_or(0, |shared| shared.ignored())
    }

    /// Waits for the next packet from the server.
    fn receive(&self) -> Result<gst::Buffer, gst::FlowError> {
        let shared = self.shared().ok_or(gst::FlowError::Error)?;
        let mut datagram = std::mem::take(&mut self.state().datagram);
        datagram.resize(DATAGRAM, 0);
        let received = loop {
            if self.flushing.load(Ordering::SeqCst) {
                break Err(gst::FlowError::Flushing);
            }
            if shared.has_ended() {
                break Err(gst::FlowError::Eos);
            }
            // There is no socket before SETUP.
            let socket = shared.socket();
            if let Some((socket, server)) = &socket
                && let Ok((length, from)) = socket.recv_from(&mut datagram)
            {
                let packet = datagram.get(..length).unwrap_or_default();
                if let Some(buffer) = self.take(&shared, packet, from, *server) {
                    break Ok(buffer);
                }
                continue;
            }
            if socket.is_some() {
                shared.socket_is_empty();
            }
            self.report_silence();
            let silence = self.state().last_arrival.map(|arrival| arrival + SILENCE);
            let socket = socket.as_ref().map(|(socket, _)| socket.as_fd());
            if let Err(error) = shared.receiver.wait(socket, silence) {
                gst::element_imp_error!(self, gst::ResourceError::Read, ("{error}"));
                break Err(gst::FlowError::Error);
            }
        };
        self.state().datagram = datagram;
        received
    }

    /// The buffer of a datagram; `None` if it is not of this stream, which is counted.
    fn take(
        &self,
        shared: &Shared,
        packet: &[u8],
        from: SocketAddr,
        server: IpAddr,
    ) -> Option<gst::Buffer> {
        if from.ip().to_canonical() != server {
            gst::debug!(
                CAT,
                imp = self,
                "{} bytes from {from} dropped: not the server",
                packet.len()
            );
            shared.count_ignored(1);
            return None;
        }
        match RtpHeader::parse(packet) {
            Ok((header, payload)) => {
                let restarts = shared.arrived().packets == 0;
                let is_packet = {
                    let mut state = self.state();
                    if restarts {
                        state.detector = PacketDetector::default();
                    }
                    state.detector.is_packet(&header, payload)
                };
                if is_packet {
                    if shared.is_before_seek(&header) {
                        let number = header.sequence_number;
                        gst::debug!(CAT, imp = self, "packet {number} dropped: from before a seek");
                        shared.count_ignored(1);
                        return None;
                    }
                    let is_first = shared.count_packet(header);
                    self.report(packet, &header, from, is_first);
                }
            }
            // It may be the end of a packet that was cut into datagrams.
            Err(error) => gst::debug!(CAT, imp = self, "not a packet: {error}"),
        }
        let mut buffer = gst::Buffer::from_slice(packet.to_vec());
        buffer.get_mut()?.set_pts(self.arrival());
        Some(buffer)
    }

    /// Reports the first packet, and each kind of deviation from the lab once.
    fn report(&self, packet: &[u8], header: &RtpHeader, from: SocketAddr, is_first: bool) {
        let (findings, element) = {
            let mut state = self.state();
            if is_first {
                state.audit = HeaderAudit::default();
            }
            (state.audit.inspect(header, Instant::now()), state.element.upgrade())
        };
        let Some(element) = element else { return };
        if is_first {
            messages::first_packet(&element, packet, header, &from.to_string());
        }
        for finding in findings {
            messages::finding(&element, finding.name(), &finding.to_string());
        }
    }

    /// The current position in the segment, by the running time.
    fn arrival(&self) -> Option<gst::ClockTime> {
        let obj = self.obj();
        let base = obj.base_time();
        let running = obj.clock().and_then(|clock| clock.time().checked_sub(base?));
        let mut segment = obj.segment().downcast::<gst::ClockTime>().ok()?;
        let mut state = self.state();
        // After a seek, running time starts at 0, and PLAYING sets the new base time.
        let waits = state.old_base.is_some() && state.old_base == base;
        if !waits {
            state.old_base = None;
        }
        let running = running.filter(|_| !waits).unwrap_or_default();
        let is_first = state.last.is_none();
        if is_first {
            // The first frame starts the segment, however long the server took to send it.
            segment.set_base(running);
        }
        let time = segment.position_from_running_time(running).or(segment.start())?;
        let time = state.last.map_or(time, |last| time.max(last));
        state.last = Some(time);
        state.last_arrival = Some(Instant::now());
        drop(state);
        if is_first && let Err(error) = obj.new_segment(segment.upcast_ref()) {
            gst::warning!(CAT, imp = self, "{error}");
        }
        Some(time)
    }

    /// Gives a segment the sequence number of the seek that it follows from: BaseSrc gives a new one a number of its
    /// own.
    fn number_segment(&self, event: &mut gst::Event) {
        let seek = self.state().seek;
        if let (Some(seek), gst::EventView::Segment(segment)) = (seek, event.view()) {
            *event = gst::event::Segment::builder(segment.segment()).seqnum(seek).build();
        }
    }

    /// Sends one GAP event in each silence, so that nothing downstream waits for lost packets.
    fn report_silence(&self) {
        let time = {
            let mut state = self.state();
            match (state.last_arrival, state.last) {
                (Some(arrival), Some(last)) if arrival.elapsed() >= SILENCE => {
                    state.last_arrival = None;
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
            let weak = obj.downgrade();
            obj.src_pad().add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
                if let (Some(receiver), Some(gst::PadProbeData::Event(event))) =
                    (weak.upgrade(), &mut info.data)
                {
                    border::guarded(receiver.imp(), (), || receiver.imp().number_segment(event));
                }
                gst::PadProbeReturn::Ok
            });
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
            crate::pads::source_template(&caps)
        });
        &TEMPLATES
    }
}

impl BaseSrcImpl for Receiver {
    fn is_seekable(&self) -> bool {
        self.movie().seekable
    }

    fn do_seek(&self, segment: &mut gst::Segment) -> bool {
        // BaseSrc sets the first segment without a seek.
        if !std::mem::replace(&mut self.state().started, true) {
            return self.parent_do_seek(segment);
        }
        let forward = segment.rate() > 0.0;
        let Some(segment) = segment.downcast_mut::<gst::ClockTime>().filter(|_| forward) else {
            return false;
        };
        let start = segment.start().unwrap_or_default();
        if !self.shared().is_some_and(|shared| shared.seek(start)) {
            return false;
        }
        segment.set_position(start);
        segment.set_time(start);
        let base = self.obj().base_time();
        let mut state = self.state();
        (state.last, state.last_arrival, state.old_base) = (None, None, base);
        true
    }

    fn event(&self, event: &gst::Event) -> bool {
        if event.type_() == gst::EventType::Seek {
            self.state().seek = Some(event.seqnum());
        }
        self.parent_event(event)
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.flushing.store(true, Ordering::SeqCst);
        if let Some(shared) = self.shared() {
            shared.receiver.wake();
        }
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
                match self.movie().duration() {
                    Some(duration) => {
                        query.set(duration);
                        true
                    }
                    None => false,
                }
            }
            gst::QueryViewMut::Duration(query) if query.format() == gst::Format::Default => {
                match self.movie().frames {
                    Some(frames) => {
                        query.set(gst::format::Default::from_u64(frames));
                        true
                    }
                    None => false,
                }
            }
            gst::QueryViewMut::Seeking(query) if query.format() == gst::Format::Time => {
                let movie = self.movie();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::Timestamp;

    #[test]
    fn packets_of_other_hosts_and_from_before_a_seek_are_counted() {
        gst::init().unwrap();
        let receiver = glib::Object::new::<super::super::Receiver>();
        let imp = receiver.imp();
        let shared = Arc::new(Shared::new().unwrap());
        shared.set_movie(Movie { framerate: Some(20.0), timed: true, ..Movie::default() });
        imp.prepare(shared.clone(), glib::WeakRef::new());
        shared.await_frame(39);
        let server = IpAddr::from(Ipv4Addr::LOCALHOST);
        let other = IpAddr::from([127, 0, 0, 2]);
        // The host, the number of the frame, whether the packet is passed on, the count after it.
        let rows = [(other, 39, false, 1), (server, 41, false, 2), (server, 39, true, 2)];
        for (from, frame, passes, ignored) in rows {
            let header = RtpHeader::jpeg(1, Timestamp::from_ticks(frame * 4500), 0, true);
            let packet = [&header.to_bytes()[..], &[0; 8]].concat();
            let buffer = imp.take(&shared, &packet, SocketAddr::new(from, 5000), server);
            assert_eq!((buffer.is_some(), imp.ignored()), (passes, ignored), "{from}, {frame}");
        }
        // The next session has a count of its own.
        imp.prepare(Arc::new(Shared::new().unwrap()), glib::WeakRef::new());
        assert_eq!(imp.ignored(), 0);
    }

    #[test]
    fn discarded_datagrams_are_counted() {
        let server = IpAddr::from(Ipv4Addr::LOCALHOST);
        let socket = bind(server, 0).unwrap();
        let port = socket.local_addr().unwrap().port();
        let sender = UdpSocket::bind((server, 0)).unwrap();
        for _ in 0..3 {
            sender.send_to(&[0; 20], (server, port)).unwrap();
        }
        assert_eq!([drain(&socket), drain(&socket)], [3, 0]);
    }
}
