// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads for work that would delay the frames of other streams: waiting for a disk, and encoding.

use super::pacer::Paced;
use mjpeg_program::border::guarded;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Frames that are encoded at a time.
const ENCODERS: usize = 2;

/// Frames that are read at a time: the disk can order this many reads.
const READERS: usize = 8;

/// The maximum number of threads of the workers. They start when they are needed, and end when idle.
pub(crate) const THREADS: usize = ENCODERS + READERS;

/// Runs a limited number of reads and encodings at a time; further ones wait for their turn.
#[derive(Debug, Clone)]
pub(crate) struct Workers {
    runtime: Handle,
    encoder_permits: Arc<Semaphore>,
    reader_permits: Arc<Semaphore>,
}

impl Workers {
    /// Workers on a runtime that has [`THREADS`] for blocking work.
    pub fn new(runtime: Handle) -> Self {
        let permits = |count| Arc::new(Semaphore::new(count));
        Self { runtime, encoder_permits: permits(ENCODERS), reader_permits: permits(READERS) }
    }

    /// Runs work that encodes. If it panics, the stream fails.
    pub fn encode(&self, stream: Arc<dyn Paced>, work: impl FnOnce() + Send + 'static) {
        self.run(&self.encoder_permits, stream, work);
    }

    /// Runs work that waits for a disk. If it panics, the stream fails.
    pub fn read(&self, stream: Arc<dyn Paced>, work: impl FnOnce() + Send + 'static) {
        self.run(&self.reader_permits, stream, work);
    }

    fn run(
        &self,
        permits: &Arc<Semaphore>,
        stream: Arc<dyn Paced>,
        work: impl FnOnce() + Send + 'static,
    ) {
        let permits = permits.clone();
        self.runtime.spawn(async move {
            // The semaphore is never closed.
            let permit = permits.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let _permit = permit;
                if guarded("worker", work).is_err() {
                    // The stream would wait for its frame for ever.
                    let _ = guarded("worker-end", || stream.fail());
                }
            });
        });
    }
}
