// SPDX-License-Identifier: MIT OR Apache-2.0
//! Registration of callbacks from GLib and GStreamer: signals, pad probes, timers.
//!
//! Every callback is registered here, so that a panic does not reach C, which would abort the
//! process. The panic ends the session instead: the player goes to INIT and emits `error`. A
//! callback that has panicked is not called again in the same session.
#![allow(clippy::disallowed_methods)] // This module wraps them.

use super::{Failure, FailureKind, Player};
use glib::prelude::*;
use glib::subclass::prelude::*;
use gst::prelude::*;
use mjpeg_program::border::{Panicked, guarded};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Describes a panic as a failure of the session.
pub(super) fn failure(panicked: Panicked) -> Failure {
    Failure::new(FailureKind::Other, &failure_text(panicked))
}

fn failure_text(panicked: Panicked) -> String {
    format!("an internal error ended the session ({panicked}): please report it with the log")
}

/// Posts the failure on the bus of `element`. Any thread may call this.
pub(super) fn post(element: &gst::Element, panicked: Panicked) {
    gst::element_error!(element, gst::CoreError::Failed, ("{}", failure_text(panicked)));
}

/// Registers callbacks that GStreamer calls in its own threads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Borders {
    /// Sequence number of the session.
    session: Arc<AtomicU32>,
    /// Panics are reported on this bus.
    bus: Arc<OnceLock<gst::Bus>>,
}

/// The border of one callback.
#[derive(Debug)]
pub(super) struct Border {
    name: &'static str,
    session: Arc<AtomicU32>,
    /// The session from which on it is called again after a panic; 0 if it has not panicked.
    closed_until: AtomicU32,
}

impl Border {
    /// Runs `work`, unless this border has stopped a panic in this session.
    fn run(&self, work: impl FnOnce()) -> Result<(), Panicked> {
        let session = self.session.load(Ordering::Relaxed);
        if self.closed_until.load(Ordering::Relaxed) > session {
            return Ok(());
        }
        let result = guarded(self.name, work);
        if result.is_err() {
            self.closed_until.store(session.wrapping_add(1), Ordering::Relaxed);
        }
        result
    }
}

impl Borders {
    /// Sets the bus on which panics are reported.
    pub fn set_bus(&self, bus: gst::Bus) {
        // A player has one bus.
        let _ = self.bus.set(bus);
    }

    /// Starts a session, in which callbacks that have panicked before are called again.
    pub fn start_session(&self) {
        self.session.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn border(&self, name: &'static str) -> Border {
        Border { name, session: self.session.clone(), closed_until: AtomicU32::new(0) }
    }

    /// Runs `work` at the border of a callback.
    pub(super) fn run(&self, border: &Border, work: impl FnOnce()) {
        if let (Err(panicked), Some(bus)) = (border.run(work), self.bus.get()) {
            let text = failure_text(panicked);
            let error = gst::message::Error::builder(gst::CoreError::Failed, &text).build();
            // The bus refuses it in NULL, where there is no session to end.
            let _ = bus.post(error);
        }
    }

    /// Calls `f` with the arguments of a signal, the object first.
    pub fn on_signal(
        &self,
        object: &impl IsA<glib::Object>,
        signal: &str,
        name: &'static str,
        f: impl Fn(&[glib::Value]) -> Option<()> + Send + Sync + 'static,
    ) {
        let (borders, border) = (self.clone(), self.border(name));
        object.connect(signal, false, move |values| {
            borders.run(&border, || {
                // `None`: an argument is missing or of another type.
                let _ = f(values);
            });
            None
        });
    }

    /// Calls `f` with the arguments of a signal whose handlers decide by a boolean; false after a
    /// panic.
    pub fn on_decision(
        &self,
        object: &impl IsA<glib::Object>,
        signal: &str,
        name: &'static str,
        f: impl Fn(&[glib::Value]) -> bool + Send + Sync + 'static,
    ) {
        let (borders, border) = (self.clone(), self.border(name));
        object.connect(signal, false, move |values| {
            let mut decision = false;
            borders.run(&border, || decision = f(values));
            Some(decision.to_value())
        });
    }

    /// Calls `f` with each message of a bus, in the thread that posts it.
    pub fn on_posted(
        &self,
        bus: &gst::Bus,
        name: &'static str,
        f: impl Fn(&gst::Message) + Send + Sync + 'static,
    ) {
        let (borders, border) = (self.clone(), self.border(name));
        bus.set_sync_handler(move |_, message| {
            borders.run(&border, || f(message));
            gst::BusSyncReply::Pass
        });
    }

    /// Calls `f` with the data of type `mask` that passes `pad`.
    pub fn on_pad(
        &self,
        pad: &gst::Pad,
        mask: gst::PadProbeType,
        name: &'static str,
        f: impl Fn(&mut gst::PadProbeInfo) + Send + Sync + 'static,
    ) {
        self.filter_pad(pad, mask, name, move |info| {
            f(info);
            true
        });
    }

    /// Calls `f` with the buffers and events of type `mask` that pass `pad`; those for which it returns
    /// false are dropped.
    pub fn filter_pad(
        &self,
        pad: &gst::Pad,
        mask: gst::PadProbeType,
        name: &'static str,
        f: impl Fn(&mut gst::PadProbeInfo) -> bool + Send + Sync + 'static,
    ) {
        let (borders, border) = (self.clone(), self.border(name));
        pad.add_probe(mask, move |_, info| {
            let mut keep = true;
            borders.run(&border, || keep = f(info));
            // Not Drop: the bindings free the data then, and GStreamer 1.22.0 frees it once more, which
            // is a critical message for each packet.
            if keep { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Handled }
        });
    }
}

impl Player {
    /// Runs `work`. A panic in it ends the session; the result is `None` then.
    pub(crate) fn guarded<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> Option<T> {
        guarded(name, work).map_err(|panicked| self.imp().end_after_panic(panicked)).ok()
    }

    /// Runs `work` at the border of a callback.
    pub(super) fn run(&self, border: &Border, work: impl FnOnce()) {
        if let Err(panicked) = border.run(work) {
            self.imp().end_after_panic(panicked);
        }
    }

    /// Makes a callback that runs `f` at a border of its own.
    pub(super) fn listener<A: ?Sized>(
        &self,
        name: &'static str,
        f: impl Fn(&A) + 'static,
    ) -> impl Fn(&A) + 'static {
        let (weak, border) = (self.downgrade(), self.imp().borders().border(name));
        move |argument| {
            if let Some(player) = weak.upgrade() {
                player.run(&border, || f(argument));
            }
        }
    }

    /// Calls `f` with the arguments of one of the player's signals, the player first.
    pub(super) fn on_signal(
        &self,
        signal: &str,
        name: &'static str,
        f: impl Fn(&[glib::Value]) + 'static,
    ) {
        let listener = self.listener(name, f);
        self.connect_local(signal, false, move |values| {
            listener(values);
            None
        });
    }

    /// Calls `f` when the state has changed.
    pub fn connect_state(&self, f: impl Fn(&Self) + 'static) {
        let listener = self.listener("player-state", f);
        self.connect_notify_local(Some("state"), move |player, _| listener(player));
    }

    /// Calls `f` with each message of a bus.
    pub(super) fn on_message(
        &self,
        bus: &gst::Bus,
        f: impl Fn(&Self, &gst::Message) + 'static,
    ) -> Result<gst::bus::BusWatchGuard, glib::BoolError> {
        let weak = self.downgrade();
        bus.add_watch_local(move |_, message| {
            if let Some(player) = weak.upgrade() {
                player.guarded("player-bus", || f(&player, message));
            }
            glib::ControlFlow::Continue
        })
    }

    /// Calls `f` at each `interval`, until it returns `Break` or panics.
    pub(crate) fn every(
        &self,
        interval: Duration,
        name: &'static str,
        mut f: impl FnMut(&Self) -> glib::ControlFlow + 'static,
    ) {
        let weak = self.downgrade();
        // In the player's own context: glib's local timers run in the global default context.
        glib::MainContext::ref_thread_default().spawn_local(async move {
            loop {
                glib::timeout_future(interval).await;
                let Some(player) = weak.upgrade() else { return };
                let next = player.guarded(name, || f(&player));
                if next != Some(glib::ControlFlow::Continue) {
                    return;
                }
            }
        });
    }

    /// Calls `f` once, after `delay`.
    pub(super) fn after(&self, delay: Duration, name: &'static str, f: impl Fn(&Self) + 'static) {
        self.every(delay, name, move |player| {
            f(player);
            glib::ControlFlow::Break
        });
    }
}
