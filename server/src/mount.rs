// SPDX-License-Identifier: MIT OR Apache-2.0
//! A movie at its mount point, opened once for all its viewers.

use crate::config::MountSettings;
use crate::movie_check::{self, NotPlayable, Playable};
use crate::send::{PlaybackMode, movie_log};
use gstmjpegfile::jpeg::{Conversion, ConversionReason, UnsupportedByRtp};
use gstmjpegfile::movie_file::{MovieFile, OpenError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The characters that are percent-encoded in the path of a URL: all but the slash and the unreserved
/// ones (RFC 3986 section 2.3).
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// The file of a movie that is not used any more is closed after this time.
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// A movie that cannot be played is not checked again for this time.
const RECHECK_INTERVAL: Duration = Duration::from_secs(2);

/// A movie that has been opened.
#[derive(Debug)]
struct Opened {
    movie: Arc<MovieFile>,
    /// The picture size in which the movie is sent, from a check that has found that it can be played.
    size: Option<(u16, u16)>,
    /// The size of the movie's first frame in pixels, once it has been read.
    first_size: Option<(u16, u16)>,
    last_used: Instant,
}

/// A movie and its mount point.
#[derive(Debug)]
pub struct Mount {
    /// The mount point: the decoded path of the URL, with the leading slash.
    pub point: String,
    /// The path of the movie's file.
    pub file: PathBuf,
    /// How the movie is played.
    pub settings: MountSettings,
    /// Unique among all mounts of the process.
    pub id: u64,
    /// The movie is not served any more.
    removed: AtomicBool,
    mode: PlaybackMode,
    opened: Mutex<Option<Opened>>,
    /// When the movie was last found not to be playable, and why.
    not_playable: Mutex<Option<(Instant, Arc<NotPlayable>)>>,
    /// It has been logged how the frames of the movie are sent.
    logged: OnceLock<()>,
    /// It has been logged that other programs cannot read the form of the movie.
    form_logged: OnceLock<()>,
}

impl Mount {
    /// A mount of a file, which is not opened yet. A live movie starts now.
    pub fn new(point: String, file: PathBuf, settings: MountSettings) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (id, removed) = (NEXT.fetch_add(1, Ordering::Relaxed), AtomicBool::new(false));
        let mode = PlaybackMode::new(&settings);
        let (opened, not_playable) = (Mutex::default(), Mutex::default());
        let (logged, form_logged) = (OnceLock::new(), OnceLock::new());
        Self { point, file, settings, id, removed, mode, opened, not_playable, logged, form_logged }
    }

    /// The percent-encoded path of the URL.
    pub fn encoded(&self) -> String {
        utf8_percent_encode(&self.point, PATH).to_string()
    }

    /// Notes that the movie is not served any more.
    pub(crate) fn remove(&self) {
        self.removed.store(true, Ordering::Relaxed);
    }

    /// Whether the movie is not served any more.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }

    /// How the movie is played.
    pub(crate) fn mode(&self) -> &PlaybackMode {
        &self.mode
    }

    fn opened(&self) -> MutexGuard<'_, Option<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the movie, unless it is open and its file has not changed.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(&self) -> Result<Arc<MovieFile>, OpenError> {
        if let Some(opened) = &mut *self.opened()
            && opened.movie.is_current()
        {
            opened.last_used = Instant::now();
            return Ok(opened.movie.clone());
        }
        let movie = MovieFile::open(&self.file)?;
        if let Some(advice) = movie.form().advice(&self.file) {
            self.form_logged.get_or_init(|| tracing::warn!(mount = %self.point, "{advice}"));
        }
        let opened = Opened {
            movie: movie.clone(),
            size: None,
            first_size: None,
            last_used: Instant::now(),
        };
        *self.opened() = Some(opened);
        Ok(movie)
    }

    /// Opens the movie, and checks that it can be played over RTP. Logs once how its frames are sent,
    /// and after each check why it cannot be played.
    ///
    /// # Errors
    /// If the movie cannot be played. The check takes about 100 ms at most, and is not repeated for
    /// 2 s, so that repeated requests need little time.
    pub fn open_playable(&self) -> Result<Arc<MovieFile>, Arc<NotPlayable>> {
        let not_playable = || self.not_playable.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, reason)) = &*not_playable()
            && since.elapsed() < RECHECK_INTERVAL
        {
            return Err(reason.clone());
        }
        self.open_and_check().map_err(|reason| {
            tracing::warn!("movie cannot be played: {reason}");
            let reason = Arc::new(reason);
            *not_playable() = Some((Instant::now(), reason.clone()));
            reason
        })
    }

    fn open_and_check(&self) -> Result<Arc<MovieFile>, NotPlayable> {
        let movie = self.open()?;
        if self.size_of(&movie).is_some() {
            return Ok(movie);
        }
        let playable = movie_check::check(&movie)?;
        let is_same = |opened: &&mut Opened| Arc::ptr_eq(&opened.movie, &movie);
        if let Some(opened) = self.opened().as_mut().filter(is_same) {
            opened.size = Some(playable.size);
        }
        self.logged.get_or_init(|| self.log(&movie, &playable));
        Ok(movie)
    }

    /// The picture size in which a movie of this mount is sent, in pixels, if it has been checked.
    pub fn size_of(&self, movie: &Arc<MovieFile>) -> Option<(u16, u16)> {
        let opened = self.opened();
        opened.as_ref().filter(|opened| Arc::ptr_eq(&opened.movie, movie))?.size
    }

    /// The size of the first frame of a movie of this mount in pixels; `read` reads it, once.
    pub(crate) fn first_size(
        &self,
        movie: &Arc<MovieFile>,
        read: impl FnOnce() -> Option<(u16, u16)>,
    ) -> Option<(u16, u16)> {
        let is_same = |opened: &&mut Opened| Arc::ptr_eq(&opened.movie, movie);
        let known = self.opened().as_mut().filter(is_same).and_then(|opened| opened.first_size);
        if known.is_some() {
            return known;
        }
        let size = read();
        if let Some(opened) = self.opened().as_mut().filter(is_same) {
            opened.first_size = size;
        }
        size
    }

    /// Logs how the frames of the movie are sent.
    fn log(&self, movie: &MovieFile, playable: &Playable) {
        let (mount, conversion) = (&self.point, playable.conversion.describe());
        let (width, height) = playable.size;
        match &playable.reason {
            Some((frame, ConversionReason::UnsupportedByRtp(reason))) => {
                let frame = frame + 1;
                let scaled = matches!(reason, UnsupportedByRtp::Size { .. });
                let to = if scaled { format!("; sent as {width}x{height}") } else { String::new() };
                tracing::info!(%mount, frame, "{conversion}: {reason}{to}");
            }
            // The frames before it are sent as they are.
            Some((frame, reason @ ConversionReason::OtherSize { .. })) => {
                tracing::info!(%mount, "{}", Conversion::AsIs.describe());
                movie_log::other_size(movie, *frame, reason);
            }
            None => tracing::info!(%mount, "{conversion}"),
        }
        let padded = (width.next_multiple_of(8), height.next_multiple_of(8));
        if padded != playable.size {
            tracing::info!(
                %mount,
                "mjpeg-rtsp-client shows {width}x{height} pixels, most other players {}x{}: RTP/JPEG \
                 counts in blocks of 8 pixels",
                padded.0, padded.1
            );
        }
    }

    /// Closes the file of the movie if it has not been used lately. Its index is kept.
    pub fn close_if_idle(&self) {
        self.close_if_unused(IDLE_LIMIT);
    }

    /// Closes the file of the movie if nobody reads it, and it has not been used for a time.
    pub(crate) fn close_if_unused(&self, time: Duration) {
        // One reference is that of this mount.
        if let Some(Opened { movie, last_used, .. }) = &*self.opened()
            && Arc::strong_count(movie) == 1
            && last_used.elapsed() >= time
        {
            movie.close();
        }
    }
}
