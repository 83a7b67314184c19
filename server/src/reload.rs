// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the configuration again while the server runs, and applies it.

use crate::access::Access;
use crate::arrivals::{Arrivals, SETTLE_TIME};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::connection::tls;
use crate::mount::Mount;
use crate::server::{Event, Server, max_connections};
use crate::service_manager;
use crate::test_card::{self, TestCard};
use crate::watch::Watch;
use anyhow::Result;
use mjpeg_program::border::guarded;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// A configuration whose movies have been found.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Its movies.
    pub catalog: Catalog,
    /// The test card, if there are no movies.
    pub card: Option<TestCard>,
    /// The certificate and the key for TLS.
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
}

impl Loaded {
    /// Finds the movies of a configuration. Mounts of the previous catalog of which nothing has changed,
    /// and a test card of the same frame rate, are taken over. New movies that are not complete yet are
    /// left out.
    ///
    /// # Errors
    /// If a path cannot be served, or the test card cannot be made.
    pub fn new(
        config: Config,
        previous: &Catalog,
        arrivals: &Arrivals,
        card: Option<TestCard>,
    ) -> Result<Self> {
        let tls = tls::load(&config.server)?;
        config.log_warnings();
        if !config.mounts.is_empty() {
            let catalog = previous.scan_again(&config.mounts, arrivals)?;
            return Ok(Self { config, catalog, card, tls });
        }
        let rate = config.defaults.framerate;
        let card = match card.filter(|card| card.framerate() == rate) {
            Some(card) => card,
            None => test_card::make(rate)?,
        };
        let catalog = previous.with_test_card(card.path(), &config.defaults);
        Ok(Self { config, catalog, card: Some(card), tls })
    }
}

/// The folders of movies after a search.
#[derive(Debug)]
pub struct Rescanned {
    catalog: Catalog,
    arrivals: Arrivals,
}

/// The pause before the folders are searched after a change: more changes often follow at once.
const RESCAN_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Searches the folders of movies again, in a thread.
    pub(crate) fn start_rescan(&mut self, events: Sender<Event>) {
        let (catalog, mut arrivals) = (self.catalog.get(), self.arrivals.clone());
        let (mounts, changes) = (self.config.mounts.clone(), self.changes.clone());
        let fallback = events.clone();
        let search = move || {
            std::thread::sleep(RESCAN_PAUSE);
            // Changes from now on may be missed by this search.
            changes.clear();
            let found = guarded("rescan", || {
                let catalog = catalog.rescan(&mounts, &mut arrivals);
                Rescanned { catalog, arrivals }
            });
            let found = found.ok();
            let again = found.as_ref().is_some_and(|found| found.arrivals.must_look_again());
            let _ = events.send(Event::Rescanned(Box::new(found)));
            if again {
                std::thread::sleep(SETTLE_TIME);
                changes.report();
            }
        };
        let started = std::thread::Builder::new().name("rescan".to_owned()).spawn(search);
        if let Err(error) = started {
            tracing::error!("cannot start a thread: {error}");
            self.changes.clear();
            let _ = fallback.send(Event::Rescanned(Box::new(None)));
        }
    }

    /// Applies what was found in the folders of movies.
    pub(crate) fn finish_rescan(&mut self, rescanned: Option<Rescanned>) {
        let Some(Rescanned { catalog, arrivals }) = rescanned else { return };
        self.arrivals = arrivals;
        let old = self.catalog.get();
        let (before, after) = (old.mounts().len(), catalog.mounts().len());
        if before == after && catalog.shared_with(&old) == after {
            return;
        }
        let added: Vec<_> = catalog.missing_in(&old).cloned().collect();
        let removed = self.replace_catalog(catalog);
        // Only now: who reads this may ask for the movie at once.
        for mount in added {
            tracing::info!(mount = %mount.point, "new movie is served");
        }
        for mount in removed {
            tracing::info!(mount = %mount.point, "movie has gone");
        }
    }

    /// Replaces the catalog. The sessions of movies that it does not have end. Returns these movies.
    fn replace_catalog(&mut self, catalog: Catalog) -> Vec<Arc<Mount>> {
        let old = self.catalog.get();
        let removed: Vec<_> = old.missing_in(&catalog).cloned().collect();
        self.catalog.set(catalog);
        for mount in &removed {
            mount.remove();
        }
        if !removed.is_empty() {
            self.end_removed();
        }
        removed
    }

    /// Ends the sessions that may not continue, on a thread that may wait.
    fn end_removed(&self) {
        let (rtsp, lab, http) = (self.rtsp.clone(), self.lab.clone(), self.http.clone());
        self.spawn_blocking("end-removed", move || {
            rtsp.end_removed();
            lab.end_removed();
            if let Some(http) = http {
                http.end_removed();
            }
        });
    }

    /// Reads the configuration again, in a thread, since a disk may be slow.
    pub(crate) fn start_reload(&mut self, events: Sender<Event>) {
        tracing::info!("reading the configuration again");
        service_manager::reloading();
        let (arguments, config) = (self.arguments.clone(), self.config.clone());
        let (catalog, card) = (self.catalog.get(), self.card.clone());
        let arrivals = self.arrivals.clone();
        let (fallback, thread) = (events.clone(), std::thread::Builder::new());
        let started = thread.name("reload".to_owned()).spawn(move || {
            let loaded = guarded("reload", || {
                let config = config.resolve_again(&arguments)?;
                Loaded::new(config, &catalog, &arrivals, card)
            });
            let loaded = loaded.unwrap_or_else(|panicked| Err(panicked.into()));
            let _ = events.send(Event::Reloaded(Box::new(loaded)));
        });
        if let Err(error) = started {
            let _ = fallback.send(Event::Reloaded(Box::new(Err(error.into()))));
        }
    }

    /// Applies a configuration that was read again, or keeps the old one.
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

    fn apply(&mut self, Loaded { mut config, catalog, card, tls }: Loaded) {
        for key in self.config.keys_for_next_start(&config) {
            tracing::warn!(
                key,
                "a change of this key takes effect when the server is started again"
            );
        }
        // The present configuration, with which the next reload compares.
        config.server = self.config.server.with_reloaded(config.server);
        self.tls.set(tls);
        self.access.set(Access::new(&config));
        let mut limits = config.limits.clone();
        limits.max_connections = max_connections(limits.max_connections);
        self.limits.set(limits);
        let old = self.catalog.get();
        let (mounts, unchanged) = (catalog.mounts().len(), catalog.shared_with(&old));
        let removed = self.replace_catalog(catalog).len();
        // Those whose viewers may not watch them any more.
        self.end_removed();
        let folders = config.folders();
        if folders != self.config.folders() {
            self.watch = Watch::start(&folders, &self.changes);
            // Something may have changed before they were watched.
            self.changes.report();
        }
        (self.config, self.card) = (config, card);
        tracing::info!(mounts, unchanged, removed, "configuration reloaded");
    }
}
