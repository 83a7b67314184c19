// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frees a thread that a PLAY request has blocked.
//!
//! gst-rtsp-server 1.22 can wait for ever: its sender of interleaved packets waits for a sample
//! while it holds the lock that PLAY needs, and a flush has just taken the sample away. Stopping
//! the sink that is waited on ends that wait, and with it the other one; the viewer is lost, but
//! the thread and everybody else on it are not.

use gst::prelude::*;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPClient, RTSPMedia};
use gstmjpegfile::movie_file::MovieFile;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long a PLAY may take, when it does not wait for the index. A healthy one takes
/// milliseconds.
const LIMIT: Duration = Duration::from_secs(5);

/// The PLAY request that a connection is in.
#[derive(Debug)]
pub(super) struct PlayWatch {
    client: glib::WeakRef<RTSPClient>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    begin: Instant,
    media: glib::WeakRef<RTSPMedia>,
    movie: Option<Arc<MovieFile>>,
}

impl PlayWatch {
    /// A PLAY begins.
    pub fn begin(&self, media: &RTSPMedia, movie: Option<Arc<MovieFile>>) {
        let media = media.downgrade();
        *self.running() = Some(Running { begin: Instant::now(), media, movie });
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the PLAY if it has taken too long.
    fn look(&self, now: Instant) {
        let late = self.running().take_if(|running| {
            // A seek may wait for the index of a large movie on a slow disk.
            if running.movie.as_ref().is_some_and(|movie| movie.total_frames().is_none()) {
                running.begin = now;
            }
            now.duration_since(running.begin) > LIMIT
        });
        let Some(Running { media, .. }) = late else { return };
        tracing::error!("a PLAY request is blocked: its connection is closed");
        let client = self.client.clone();
        // Should stopping the sinks block too, only this thread is lost.
        std::thread::spawn(move || {
            if let Some(media) = media.upgrade() {
                stop_sinks(&media);
            }
            if let Some(client) = client.upgrade() {
                client.close();
            }
        });
    }
}

/// All connections' watches.
#[derive(Debug, Clone, Default)]
pub(super) struct Watchdog {
    watches: Arc<Mutex<Vec<Weak<PlayWatch>>>>,
}

impl Watchdog {
    /// Watches a new connection. Any message sent to it ends the request that it is in.
    pub fn watch(&self, client: &RTSPClient) -> Arc<PlayWatch> {
        let watch = Arc::new(PlayWatch { client: client.downgrade(), running: Mutex::default() });
        let sent = watch.clone();
        // The bindings leave this signal out for its arguments, which are not looked at here.
        client.connect("send-message", false, move |_| {
            *sent.running() = None;
            None
        });
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|watch| watch.strong_count() > 0);
        watches.push(Arc::downgrade(&watch));
        watch
    }

    /// Looks at all connections; called each second.
    pub fn look(&self) {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let now = Instant::now();
        watches.iter().filter_map(Weak::upgrade).for_each(|watch| watch.look(now));
    }
}

/// Stops the sinks that the library pulls packets from.
fn stop_sinks(media: &RTSPMedia) {
    // The media's pipeline is our bin's parent.
    let Some(pipeline) = media.element().parent().and_downcast::<gst::Bin>() else { return };
    for element in pipeline.iterate_recurse().into_iter().flatten() {
        if element.factory().is_some_and(|factory| factory.name() == "appsink") {
            let _ = element.set_state(gst::State::Null);
        }
    }
}
