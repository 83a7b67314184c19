// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the configuration again while the server runs, and applies it.

use crate::catalog::Catalog;
use crate::config::Config;
use crate::server::{Event, Server, max_connections};
use crate::service_manager;
use crate::test_card::{self, TestCard};
use anyhow::Result;
use std::sync::mpsc::Sender;

/// A configuration whose movies have been found.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Its movies.
    pub catalog: Catalog,
    /// The test card, if there are no movies.
    pub card: Option<TestCard>,
}

impl Loaded {
    /// Finds the movies of a configuration. Mounts of the previous catalog of which nothing has changed,
    /// and a test card of the same frame rate, are taken over.
    ///
    /// # Errors
    /// If a path cannot be served, or the test card cannot be made.
    pub fn new(config: Config, previous: &Catalog, card: Option<TestCard>) -> Result<Self> {
        if !config.mounts.is_empty() {
            let catalog = previous.scan_again(&config.mounts)?;
            return Ok(Self { config, catalog, card });
        }
        let rate = config.defaults.framerate;
        let card = match card.filter(|card| card.framerate() == rate) {
            Some(card) => card,
            None => test_card::make(rate)?,
        };
        let catalog = previous.with_test_card(card.path(), &config.defaults);
        Ok(Self { config, catalog, card: Some(card) })
    }
}

impl Server {
    /// Reads the configuration again, in a thread, since a disk may be slow.
    pub(crate) fn start_reload(&mut self, events: Sender<Event>) {
        tracing::info!("reading the configuration again");
        service_manager::reloading();
        let (arguments, config) = (self.arguments.clone(), self.config.clone());
        let (catalog, card) = (self.catalog.get(), self.card.clone());
        let (fallback, thread) = (events.clone(), std::thread::Builder::new());
        let started = thread.name("reload".to_owned()).spawn(move || {
            let read = config.resolve_again(&arguments).map_err(anyhow::Error::from);
            let loaded = read.and_then(|config| Loaded::new(config, &catalog, card));
            let _ = events.send(Event::Reloaded(Box::new(loaded)));
        });
        if let Err(error) = started {
            let _ = fallback.send(Event::Reloaded(Box::new(Err(error.into()))));
        }
    }

    /// Applies a configuration that was read again, or goes on with the old one.
    pub(crate) fn finish_reload(&mut self, loaded: Result<Loaded>) {
        match loaded {
            Ok(loaded) => self.apply(loaded),
            Err(error) => {
                format!("{error:#}").lines().for_each(|line| tracing::error!("{line}"));
                tracing::error!("the configuration was not reloaded; the old one goes on");
            }
        }
        service_manager::ready();
    }

    fn apply(&mut self, Loaded { mut config, catalog, card }: Loaded) {
        for key in self.config.keys_for_next_start(&config) {
            tracing::warn!(
                key,
                "a change of this key takes effect when the server is started again"
            );
        }
        // What holds now, so that the next reload compares with that.
        let grace = config.server.grace;
        config.server.clone_from(&self.config.server);
        config.server.grace = grace;
        let mut limits = config.limits.clone();
        limits.max_connections = max_connections(limits.max_connections);
        self.limits.set(limits);
        let old = self.catalog.get();
        let (mounts, unchanged) = (catalog.mounts().len(), catalog.shared_with(&old));
        let removed: Vec<_> = old.missing_in(&catalog).cloned().collect();
        self.catalog.set(catalog);
        for mount in &removed {
            mount.remove();
        }
        if !removed.is_empty() {
            let (rtsp, lab) = (self.rtsp.clone(), self.lab.clone());
            self.spawn_blocking("end-removed", move || {
                rtsp.end_removed();
                lab.end_removed();
            });
        }
        (self.config, self.card) = (config, card);
        let removed = removed.len();
        tracing::info!(mounts, unchanged, removed, "configuration reloaded");
    }
}
