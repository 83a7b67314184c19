// SPDX-License-Identifier: MIT OR Apache-2.0
//! A movie at its mount point, opened once for all of its viewers in either language.

use crate::carriage::{self, NotShown};
use gstmjpegfile::movie_file::{MovieFile, OpenError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What a path segment may hold unencoded (RFC 3986 section 2.3), and the slash between them.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// The file of a movie that nobody has asked for lately is closed after this time.
const IDLE: Duration = Duration::from_secs(10);

/// A movie that cannot be shown is not looked at again for this time.
const REFUSED: Duration = Duration::from_secs(2);

/// A movie that has been opened, and what is known of it.
#[derive(Debug)]
struct Opened {
    movie: Arc<MovieFile>,
    /// It can be shown.
    shown: bool,
    asked: Instant,
}

/// A movie and its mount point.
#[derive(Debug)]
pub struct Mount {
    /// The decoded path of its URL, with the leading slash.
    pub point: String,
    /// The movie's file.
    pub file: PathBuf,
    opened: Mutex<Option<Opened>>,
    /// Why it cannot be shown, and when that was found out.
    refused: Mutex<Option<(Instant, Arc<NotShown>)>>,
    /// The log has said how the movie gets onto RTP.
    reported: OnceLock<()>,
}

impl Mount {
    /// A mount of a file, which is not looked at.
    pub fn new(point: String, file: PathBuf) -> Self {
        let (opened, refused, reported) = (Mutex::default(), Mutex::default(), OnceLock::new());
        Self { point, file, opened, refused, reported }
    }

    /// The path of its URL, percent-encoded.
    pub fn encoded(&self) -> String {
        utf8_percent_encode(&self.point, PATH).to_string()
    }

    fn opened(&self) -> MutexGuard<'_, Option<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The movie as it is now; opened if it is not open, or has been replaced.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(&self) -> Result<Arc<MovieFile>, OpenError> {
        if let Some(opened) = &mut *self.opened()
            && opened.movie.is_current()
        {
            opened.asked = Instant::now();
            return Ok(opened.movie.clone());
        }
        let movie = MovieFile::open(&self.file)?;
        let opened = Opened { movie: movie.clone(), shown: false, asked: Instant::now() };
        *self.opened() = Some(opened);
        Ok(movie)
    }

    /// The movie, if it can be shown over RTP. The log says once how; of one that cannot be, it says
    /// why each time that it has been looked at.
    ///
    /// # Errors
    /// See [`NotShown`]; within about 100 ms. The answer holds for 2 s, so that asking again and
    /// again costs little.
    pub fn open_shown(&self) -> Result<Arc<MovieFile>, Arc<NotShown>> {
        let refused = || self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, reason)) = &*refused()
            && since.elapsed() < REFUSED
        {
            return Err(reason.clone());
        }
        self.look_at().map_err(|reason| {
            tracing::warn!("cannot be shown: {reason}");
            let reason = Arc::new(reason);
            *refused() = Some((Instant::now(), reason.clone()));
            reason
        })
    }

    fn look_at(&self) -> Result<Arc<MovieFile>, NotShown> {
        let movie = self.open()?;
        let of_movie = |opened: &&mut Opened| Arc::ptr_eq(&opened.movie, &movie);
        if self.opened().as_mut().filter(of_movie).is_some_and(|opened| opened.shown) {
            return Ok(movie);
        }
        let shown = carriage::choose(&movie)?;
        if let Some(opened) = self.opened().as_mut().filter(of_movie) {
            opened.shown = true;
        }
        self.reported.get_or_init(|| {
            let (mount, way) = (&self.point, shown.way.describe());
            match &shown.reason {
                Some((frame, reason)) => {
                    tracing::info!(%mount, frame = frame + 1, "{way}: {reason}");
                }
                None => tracing::info!(%mount, "{way}"),
            }
        });
        Ok(movie)
    }

    /// Closes the movie's file if nobody reads it and nobody has asked for it lately. Its index is
    /// kept.
    pub fn close_if_idle(&self) {
        // This mount holds one reference.
        if let Some(Opened { movie, asked, .. }) = &*self.opened()
            && Arc::strong_count(movie) == 1
            && asked.elapsed() >= IDLE
        {
            movie.close();
        }
    }
}
