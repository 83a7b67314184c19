// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must not hold up a pacer is done here: waiting for a disk, and encoding.

use crate::pacer::Paced;
use mjpeg_program::border::guarded;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Frames encoded at a time, however many sessions have them.
const ENCODERS: usize = 2;

/// Frames waited for at a time: what a disk sorts among.
const READERS: usize = 8;

/// Threads for all of it; they come when they are needed, and go.
pub(crate) const THREADS: usize = ENCODERS + READERS;

/// Does what takes long, so many at a time.
#[derive(Debug, Clone)]
pub(crate) struct Workers {
    runtime: Handle,
    encoders: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

impl Workers {
    /// On a runtime with [`THREADS`] for what blocks.
    pub fn new(runtime: Handle) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { runtime, encoders: places(ENCODERS), readers: places(READERS) }
    }

    /// Does what encodes, for a stream that fails if this does.
    pub fn encode(&self, stream: Arc<dyn Paced>, work: impl FnOnce() + Send + 'static) {
        self.run(&self.encoders, stream, work);
    }

    /// Does what waits for a disk, for a stream that fails if this does.
    pub fn read(&self, stream: Arc<dyn Paced>, work: impl FnOnce() + Send + 'static) {
        self.run(&self.readers, stream, work);
    }

    fn run(
        &self,
        places: &Arc<Semaphore>,
        stream: Arc<dyn Paced>,
        work: impl FnOnce() + Send + 'static,
    ) {
        let places = places.clone();
        self.runtime.spawn(async move {
            // It is never closed.
            let place = places.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let _place = place;
                if guarded("worker", work).is_err() {
                    // What it was to make never comes.
                    let _ = guarded("worker-end", || stream.fail());
                }
            });
        });
    }
}
