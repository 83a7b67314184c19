// SPDX-License-Identifier: MIT OR Apache-2.0
//! Setup of the source elements, which exchange messages with servers.

use super::statistics::Collector;
use super::{Borders, Options, Transport};
use super::{keep_alive, rtcp, rtp_filter, rtsp_monitor};
use gst::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long rtspsrc waits for the first packet over UDP before it tries TCP; a shorter timeout is
/// halved, so that the session over TCP has as much.
const LONGEST_UDP_WAIT: Duration = Duration::from_secs(5);

/// What is wrong with the certificate that a server has sent last, as `gio::TlsCertificateFlags`.
#[derive(Debug, Default)]
pub(super) struct CertificateErrors(AtomicU32);

impl CertificateErrors {
    pub fn get(&self) -> gio::TlsCertificateFlags {
        gio::TlsCertificateFlags::from_bits_truncate(self.0.load(Ordering::Relaxed))
    }

    pub fn set(&self, errors: gio::TlsCertificateFlags) {
        self.0.store(errors.bits(), Ordering::Relaxed);
    }
}

/// The protocol of a source.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Standard RTSP.
    Rtsp,
    /// The lab's dialect of it.
    Lab,
    /// None of the two: a file, or any other source that GStreamer plays.
    #[default]
    None,
}

impl Protocol {
    /// Determines the protocol from the scheme of a URI.
    pub fn from_uri(uri: &str) -> Self {
        match uri.split(':').next() {
            Some(gstmjpegfile::labrtspsrc::SCHEME) => Self::Lab,
            Some(scheme) if scheme.starts_with("rtsp") => Self::Rtsp,
            _ => Self::None,
        }
    }

    /// Whether the source posts a PROGRESS message at each answer.
    pub(super) fn posts_progress(self) -> bool {
        self != Self::None
    }
}

/// Configures the source element that playbin has made, and watches its packets.
pub(super) fn set_up(
    source: &gst::Element,
    options: &Options,
    certificate_errors: &Arc<CertificateErrors>,
    collector: &Arc<Collector>,
    borders: &Borders,
) {
    let Some(factory) = source.factory() else { return };
    match factory.name().as_str() {
        "rtspsrc" => {
            set_up_rtsp(source, options, collector, borders);
            set_up_tls(source, options, certificate_errors, borders);
        }
        "labrtspsrc" => {
            source.set_property("latency", options.latency);
            source.set_property("dialect", options.dialect);
            let timeout = u32::try_from(options.timeout.as_millis());
            source.set_property("timeout", timeout.unwrap_or(u32::MAX).max(1));
            Collector::watch_labrtspsrc(collector, borders, source);
        }
        _ => {}
    }
}

fn set_up_rtsp(
    source: &gst::Element,
    options: &Options,
    collector: &Arc<Collector>,
    borders: &Borders,
) {
    rtsp_monitor::attach(source, collector);
    keep_alive::watch(source, collector.capture());
    source.set_property("latency", options.latency);
    source.set_property_from_str("protocols", options.transport.protocols());
    let wait = match options.transport {
        Transport::Auto => options.timeout / 2,
        _ => options.timeout,
    };
    let wait = u64::try_from(wait.min(LONGEST_UDP_WAIT).as_micros());
    source.set_property("timeout", wait.unwrap_or(u64::MAX).max(1));
    // "auto" buffers movies by watermarks, which would stop and restart playback.
    source.set_property_from_str("buffer-mode", "slave");
    let (collector, signal_borders) = (collector.clone(), borders.clone());
    borders.on_signal(source, "new-manager", "rtsp-manager", move |values| {
        let manager = values.get(1)?.get::<gst::Element>().ok()?;
        // Before the filter, which changes and drops packets.
        rtcp::watch(&manager, &signal_borders, collector.capture());
        rtp_filter::watch(&manager, &signal_borders, &collector);
        let (collector, borders) = (collector.clone(), signal_borders.clone());
        signal_borders.on_signal(
            &manager,
            "new-jitterbuffer",
            "rtsp-jitterbuffer",
            move |values| {
                let jitter_buffer = values.get(1)?.get::<gst::Element>().ok()?;
                Collector::watch_jitter_buffer(&collector, &borders, &jitter_buffer);
                None
            },
        );
        None
    });
}

fn set_up_tls(
    source: &gst::Element,
    options: &Options,
    certificate_errors: &Arc<CertificateErrors>,
    borders: &Borders,
) {
    // Player::new has read the file, too.
    let certificates =
        options.tls_ca.as_ref().and_then(|path| gio::TlsFileDatabase::new(path).ok());
    if let Some(certificates) = certificates {
        source.set_property("tls-database", certificates);
    }
    let (insecure, found) = (options.insecure, certificate_errors.clone());
    borders.on_decision(source, "accept-certificate", "accept-certificate", move |values| {
        let errors = values.get(3).and_then(|it| it.get::<gio::TlsCertificateFlags>().ok());
        found.set(errors.unwrap_or(gio::TlsCertificateFlags::GENERIC_ERROR));
        insecure
    });
}
