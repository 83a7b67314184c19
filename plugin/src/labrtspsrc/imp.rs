// SPDX-License-Identifier: MIT OR Apache-2.0

use super::control::{Command, Control, Target};
use super::location::{Dialect, Location, SCHEME};
use super::shared::Shared;
use crate::border;
use crate::rtpjpegprep::RtpJpegPrep;
use crate::rtplabdepay::RtpLabDepay;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const TIMEOUT: u32 = 5000;
const LATENCY: u32 = 100;

/// Bytes of frames that may wait for their time. If more arrive, the kernel drops packets.
const QUEUE_BYTES: u32 = 64 * 1024 * 1024;

/// How long to wait until the control thread sends TEARDOWN.
const SEND: Duration = Duration::from_secs(2);

/// How often to look whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// How long to wait for the end of the control thread, which waits 500 ms for TEARDOWN's reply.
const END: Duration = Duration::from_millis(700);

#[derive(Debug, Clone)]
struct Settings {
    location: Option<Location>,
    rtp_port: u16,
    dialect: Dialect,
    timeout: u32,
    latency: u32,
}

impl Default for Settings {
    fn default() -> Self {
        let dialect = Dialect::default();
        Self { location: None, rtp_port: 0, dialect, timeout: TIMEOUT, latency: LATENCY }
    }
}

/// The session, from READY-to-PAUSED to PAUSED-to-READY.
#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    /// Disconnects when the thread ends.
    ended: Receiver<()>,
}

#[derive(Debug)]
pub struct LabRtspSrc {
    receiver: super::Receiver,
    depay: RtpLabDepay,
    src: gst::GhostPad,
    settings: Mutex<Settings>,
    running: Mutex<Option<Running>>,
}

#[glib::object_subclass]
impl ObjectSubclass for LabRtspSrc {
    const NAME: &'static str = "GstLabRtspSrc";
    type Type = super::LabRtspSrc;
    type ParentType = gst::Bin;
    type Interfaces = (gst::URIHandler,);

    fn with_class(class: &Self::Class) -> Self {
        let template = class.pad_template("src").expect("declared");
        Self {
            receiver: glib::Object::builder().property("name", "receiver").build(),
            depay: glib::Object::builder().property("name", "depay").build(),
            src: gst::GhostPad::from_template(&template),
            settings: Mutex::default(),
            running: Mutex::default(),
        }
    }
}

impl LabRtspSrc {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn reset_counters(&self) {
        self.depay.reset();
    }

    /// The statistics of `rtplabdepay`, and what the receiver did not give to it.
    fn stats(&self) -> gst::Structure {
        let mut stats = self.depay.property::<gst::Structure>("stats");
        stats.set("ignored", self.receiver.imp().ignored());
        stats
    }

    /// Starts the control thread, which sends SETUP.
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = self.settings().clone();
        let Some(location) = settings.location else {
            return Err(gst::error_msg!(
                gst::ResourceError::NotFound,
                ["no location is set: set it to labrtsp://HOST:PORT/FILE"]
            ));
        };
        let target = Target {
            rtp_port: location.rtp_port.unwrap_or(settings.rtp_port),
            dialect: location.dialect.unwrap_or(settings.dialect),
            timeout: Duration::from_millis(u64::from(settings.timeout)),
            location,
        };
        let shared = Shared::new().map(Arc::new).map_err(|error| {
            gst::error_msg!(gst::CoreError::Failed, ["cannot make a wake-up: {error}"])
        })?;
        self.receiver.imp().prepare(shared.clone(), self.obj().downgrade());
        let positions = shared.clone();
        self.depay.set_positions(Arc::new(move |frame| positions.position_of(frame)));
        let control = Control::new(target, shared.clone(), self.obj().downgrade());
        let (ends, ended) = channel();
        let run = move || {
            control.run();
            drop(ends);
        };
        let thread =
            spawn_control(self.obj().downgrade(), shared.clone(), run).map_err(|error| {
                gst::error_msg!(gst::CoreError::Thread, ["cannot start a thread: {error}"])
            })?;
        shared.command(Command::Setup);
        *self.running() = Some(Running { shared, thread, ended });
        Ok(())
    }

    /// Hands a command to the control thread.
    fn command(&self, command: Command) {
        let shared = self.running().as_ref().map(|running| running.shared.clone());
        if let Some(shared) = shared {
            shared.command(command);
        }
    }

    /// Sends TEARDOWN and ends the control thread. A thread that is still connecting is not waited
    /// for: it ends at the limit for connecting.
    fn stop(&self) {
        let Some(Running { shared, thread, ended }) = self.running().take() else { return };
        shared.cancel();
        let limit = Instant::now() + SEND;
        while shared.owes_teardown()
            && Instant::now() < limit
            && ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout)
        {}
        if ended.recv_timeout(END) == Err(RecvTimeoutError::Disconnected) {
            // A panic in it has been reported.
            let _ = thread.join();
        }
        shared.set_socket(None);
    }

    fn set_location(&self, uri: &[u8]) -> Result<(), glib::Error> {
        let uri = std::str::from_utf8(uri)
            .map_err(|_| glib::Error::new(gst::URIError::BadUri, "the location is not UTF-8"))?;
        let location = Location::parse(uri)
            .map_err(|error| glib::Error::new(gst::URIError::BadUri, &format!("{uri}: {error}")))?;
        if self.obj().current_state() > gst::State::Ready {
            let text = "the location can be set only in the states NULL and READY";
            return Err(glib::Error::new(gst::URIError::BadState, text));
        }
        self.settings().location = Some(location);
        Ok(())
    }

    fn change(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        use gst::StateChange::{PausedToPlaying, PausedToReady, PlayingToPaused, ReadyToPaused};
        if transition == ReadyToPaused
            && let Err(error) = self.start()
        {
            self.post_error_message(error);
            return Err(gst::StateChangeError);
        }
        if transition == PlayingToPaused {
            self.command(Command::Pause);
        }
        let changed = self.parent_change_state(transition);
        match transition {
            ReadyToPaused if changed.is_err() => self.stop(),
            PausedToPlaying => self.command(Command::Play),
            PausedToReady => self.stop(),
            _ => {}
        }
        changed
    }
}

/// Starts the control thread; a panic in it becomes an error of the element.
fn spawn_control(
    element: glib::WeakRef<super::LabRtspSrc>,
    shared: Arc<Shared>,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("labrtspsrc".to_owned()).spawn(move || {
        let done = border::caught(run);
        shared.close();
        if done.is_none()
            && let Some(element) = element.upgrade()
        {
            border::report(element.upcast_ref());
        }
    })
}

impl ObjectImpl for LabRtspSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecString::builder("location")
                    .nick("Location")
                    .blurb("labrtsp://HOST:PORT/FILE?rtp-port=N&dialect=NAME")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("rtp-port")
                    .nick("RTP port")
                    .blurb("UDP port to receive RTP on; 0 is a free one")
                    .maximum(65_535)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("dialect", Dialect::default())
                    .nick("Dialect")
                    .blurb("Form of the requests")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("timeout")
                    .nick("Timeout")
                    .blurb("How long to wait for the connection, a reply, the first packet, in ms")
                    .minimum(1)
                    .default_value(TIMEOUT)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("latency")
                    .nick("Latency")
                    .blurb("How long frames are held before they are shown, in ms")
                    .default_value(LATENCY)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb(
                        "Counters: frames, packets, bytes, lost, repeated, late, damaged, ignored",
                    )
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        border::set_property(self, pspec, || {
            let number = || value.get::<u32>().unwrap_or_default();
            match pspec.name() {
                // As a path, since that may hold any bytes.
                "location" => match value.get::<Option<PathBuf>>().ok().flatten() {
                    Some(uri) => {
                        if let Err(error) = self.set_location(uri.as_os_str().as_bytes()) {
                            gst::element_imp_error!(
                                self,
                                gst::ResourceError::NotFound,
                                ("{error}")
                            );
                        }
                    }
                    None => self.settings().location = None,
                },
                "rtp-port" => {
                    self.settings().rtp_port = u16::try_from(number()).unwrap_or_default();
                }
                "dialect" => self.settings().dialect = value.get().unwrap_or_default(),
                "timeout" => self.settings().timeout = number(),
                "latency" => {
                    self.settings().latency = number();
                    let latency = gst::ClockTime::from_mseconds(u64::from(number()));
                    self.receiver.imp().set_latency(latency);
                }
                _ => {}
            }
        });
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        border::guarded(self, pspec.default_value().clone(), || match pspec.name() {
            "location" => self.settings().location.as_ref().map(ToString::to_string).to_value(),
            "rtp-port" => u32::from(self.settings().rtp_port).to_value(),
            "dialect" => self.settings().dialect.to_value(),
            "timeout" => self.settings().timeout.to_value(),
            "latency" => self.settings().latency.to_value(),
            _ => self.stats().to_value(),
        })
    }

    fn constructed(&self) {
        self.parent_constructed();
        border::guarded(self, (), || {
            let obj = self.obj();
            obj.set_suppressed_flags(gst::ElementFlags::SOURCE | gst::ElementFlags::SINK);
            obj.set_element_flags(gst::ElementFlags::SOURCE);
            self.receiver.imp().set_latency(gst::ClockTime::from_mseconds(u64::from(LATENCY)));
            let build = || -> Result<(), glib::BoolError> {
                // Packets are received and get their timestamps while frames wait for their time.
                let queue = gst::ElementFactory::make("queue")
                    .property("max-size-buffers", 0_u32)
                    .property("max-size-time", 0_u64)
                    .property("max-size-bytes", QUEUE_BYTES)
                    .build()?;
                // After the queue, since it may take longer than a packet may wait.
                let convert: RtpJpegPrep = glib::Object::builder()
                    .property("name", "convert")
                    .property("for-decoder", true)
                    .build();
                let parts = [
                    self.receiver.upcast_ref(),
                    self.depay.upcast_ref(),
                    &queue,
                    convert.upcast_ref(),
                ];
                obj.add_many(parts)?;
                gst::Element::link_many(parts)?;
                let target = convert.static_pad("src");
                self.src.set_target(target.as_ref())?;
                obj.add_pad(&self.src)
            };
            if let Err(error) = build() {
                gst::element_imp_error!(self, gst::CoreError::Failed, ("{error}"));
            }
        });
    }
}

impl GstObjectImpl for LabRtspSrc {}

impl ElementImpl for LabRtspSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Lab RTSP source",
                "Source/Network",
                "Plays movies from servers of the networking course's RTSP/RTP lab",
                "The mjpeg-rtsp authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let jpeg = gst::Caps::builder("image/jpeg").field("parsed", true).build();
            crate::pads::source_template(&jpeg)
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        // This guard runs before the one of gstreamer-rs: see border::guarded.
        border::guarded(self, Err(gst::StateChangeError), || self.change(transition))
    }
}

impl BinImpl for LabRtspSrc {}

impl URIHandlerImpl for LabRtspSrc {
    const URI_TYPE: gst::URIType = gst::URIType::Src;

    fn protocols() -> &'static [&'static str] {
        &[SCHEME]
    }

    fn uri(&self) -> Option<String> {
        let uri = || self.settings().location.as_ref().map(ToString::to_string);
        border::guarded(self, None, uri)
    }

    fn set_uri(&self, uri: &str) -> Result<(), glib::Error> {
        let panicked = Err(glib::Error::new(gst::URIError::BadState, border::INTERNAL));
        // gstreamer-rs has not checked that it is UTF-8.
        border::guarded(self, panicked, || self.set_location(uri.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element() -> (super::super::LabRtspSrc, gst::Bus) {
        gst::init().unwrap();
        let (element, bus) = (glib::Object::new::<super::super::LabRtspSrc>(), gst::Bus::new());
        element.set_bus(Some(&bus));
        (element, bus)
    }

    fn error_on(bus: &gst::Bus) -> String {
        let limit = gst::ClockTime::from_seconds(10);
        let message = bus.timed_pop_filtered(limit, &[gst::MessageType::Error]);
        match message.expect("an error").view() {
            gst::MessageView::Error(error) => error.error().message().to_owned(),
            _ => unreachable!("filtered"),
        }
    }

    #[test]
    fn a_panic_in_the_control_thread_is_an_error_of_the_element() {
        let (element, bus) = element();
        let shared = Arc::new(Shared::new().unwrap());
        let thread = spawn_control(element.downgrade(), shared, || panic!("on purpose")).unwrap();
        assert_eq!(error_on(&bus), border::INTERNAL);
        assert!(thread.join().is_ok());
    }

    #[test]
    fn the_statistics_are_those_of_all_parts() {
        let (element, _bus) = element();
        let stats = element.property::<gst::Structure>("stats");
        let count = |name| stats.get::<u64>(name);
        assert_eq!([count("packets"), count("damaged"), count("ignored")], [Ok(0), Ok(0), Ok(0)]);
    }

    #[test]
    fn a_location_that_is_not_utf8_is_an_error_and_changes_nothing() {
        let (element, bus) = element();
        element.set_property("location", "labrtsp://h:1025/m");
        let bytes = std::ffi::OsStr::from_bytes(b"labrtsp://h:1025/\xff");
        element.set_property("location", PathBuf::from(bytes));
        assert_eq!(error_on(&bus), "the location is not UTF-8");
        assert_eq!(element.property::<String>("location"), "labrtsp://h:1025/m");
    }
}
