// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the movies in the given paths, and the movie that a request asks for.

use crate::arrivals::Arrivals;
use crate::config::{FilePosition, MountConfig, MountSettings};
use crate::mount::Mount;
use crate::shared::Shared;
use gstmjpegfile::movie_file::{Lookup, MovieFile, OpenError};
use percent_encoding::percent_decode;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use walkdir::{DirEntry, WalkDir};

/// The maximum time of the search for the first frame of a file that is given as an argument.
const CHECK_LIMIT: Duration = Duration::from_millis(100);

/// Why the given paths cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The path does not exist or cannot be read.
    #[error("cannot read {} (check the path and its permissions)", path.display())]
    Path {
        /// The path that was given, or was found in a folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file has bytes, but no frame.
    #[error("{} is not a movie: {advice}", path.display())]
    NotAMovie {
        /// The path that was given.
        path: PathBuf,
        /// What the file probably is, and how to convert it.
        advice: String,
    },
    /// The path is a FIFO, socket or device.
    #[error("{} is neither a regular file nor a folder", path.display())]
    NotRegular {
        /// The path that was given.
        path: PathBuf,
    },
    /// The name cannot be part of a URL.
    #[error("the name of {} is not UTF-8: rename it", path.display())]
    Name {
        /// The path that was given, or was found in a folder.
        path: PathBuf,
    },
    /// Two movies would have the same URL.
    #[error("{} and {} would both be served at {point}: rename one", first.display(), second.display())]
    SameMountPoint {
        /// The mount point.
        point: String,
        /// The movie found first.
        first: PathBuf,
        /// The movie found second.
        second: PathBuf,
    },
    /// An error of a mount in the configuration file.
    #[error("{position}")]
    InFile {
        /// The position of the mount.
        position: FilePosition,
        /// The error.
        source: Box<CatalogError>,
    },
}

impl CatalogError {
    /// The error with the position of its mount in the configuration file, if it is from there.
    fn at(self, position: Option<&FilePosition>) -> Self {
        match position.cloned() {
            Some(position) => Self::InFile { position, source: Box::new(self) },
            None => self,
        }
    }
}

/// The present catalog, shared by all that look movies up.
pub type SharedCatalog = Shared<Catalog>;

/// The movie that an alias refers to.
#[derive(Debug, Clone)]
enum Alias {
    Unique(Arc<Mount>),
    /// Several movies have the alias, so it refers to none of them.
    Ambiguous,
}

/// Other names of movies, such as those in lower case.
#[derive(Debug, Clone, Default)]
struct Aliases(HashMap<String, Alias>);

impl Aliases {
    fn add(&mut self, name: &str, mount: &Arc<Mount>) {
        let new = || Alias::Unique(mount.clone());
        let alias = self.0.entry(name.to_owned()).or_insert_with(new);
        if !matches!(alias, Alias::Unique(first) if Arc::ptr_eq(first, mount)) {
            *alias = Alias::Ambiguous;
        }
    }

    fn get(&self, name: &str) -> Option<&Arc<Mount>> {
        match self.0.get(name)? {
            Alias::Unique(mount) => Some(mount),
            Alias::Ambiguous => None,
        }
    }
}

/// All movies by their mount points. The time to find one does not grow with their number.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    mounts: BTreeMap<String, Arc<Mount>>,
    /// While the movies are searched for, the mounts of the catalog before.
    previous: BTreeMap<String, Arc<Mount>>,
    /// While the movies are searched for again, the files that are not complete yet.
    arrivals: Option<Arrivals>,
    /// While the movies of another configuration are searched for, the files that are left out.
    incomplete: BTreeSet<PathBuf>,
    /// Mount points in lower case, with and without the extension.
    lowercase: Aliases,
    /// The first movie with each file name, for lab clients, which know no folders.
    file_names: HashMap<String, Arc<Mount>>,
    /// File names in lower case.
    lowercase_file_names: Aliases,
}

impl Catalog {
    /// Finds the movies in the files and folders of a configuration, with their subfolders.
    ///
    /// # Errors
    /// If a path cannot be served. A folder without movies only logs a warning.
    pub fn scan(mounts: &[MountConfig]) -> Result<Self, CatalogError> {
        Self::default().scan_again(mounts, &Arrivals::default())
    }

    /// Finds the movies of another configuration. The mounts of this catalog of which nothing has changed
    /// are taken over, so that their viewers notice nothing. New files that are not complete yet are left
    /// out.
    ///
    /// # Errors
    /// If a path cannot be served.
    pub fn scan_again(
        &self,
        mounts: &[MountConfig],
        arrivals: &Arrivals,
    ) -> Result<Self, CatalogError> {
        let (previous, incomplete) = (self.mounts.clone(), arrivals.files().cloned().collect());
        let mut catalog = Self { previous, incomplete, ..Self::default() };
        for mount in mounts {
            catalog.scan_mount(mount).map_err(|error| error.at(mount.position.as_ref()))?;
        }
        catalog.incomplete.clear();
        catalog.previous.clear();
        Ok(catalog)
    }

    /// Finds the movies of the same configuration again, after something has changed in its folders. New
    /// files are served once they are complete. What cannot be served is skipped with a warning.
    #[must_use]
    pub fn rescan(&self, mounts: &[MountConfig], arrivals: &mut Arrivals) -> Self {
        let taken = Some(std::mem::take(arrivals));
        let previous = self.mounts.clone();
        let mut catalog = Self { previous, arrivals: taken, ..Self::default() };
        for mount in mounts {
            if let Err(error) = catalog.scan_mount(mount) {
                catalog.skip(&error);
            }
        }
        catalog.previous.clear();
        *arrivals = catalog.arrivals.take().unwrap_or_default();
        arrivals.forget_unseen();
        catalog
    }

    /// Logs, once, that something cannot be served.
    fn skip(&mut self, error: &CatalogError) {
        let source = std::error::Error::source(error);
        let source = source.map_or_else(String::new, |source| format!(": {source}"));
        self.warn(format!("{error}{source}"));
    }

    /// Logs why something is not served: when the folders are searched again, once.
    fn warn(&mut self, problem: String) {
        match &mut self.arrivals {
            Some(arrivals) => arrivals.warn_once(problem),
            None => tracing::warn!("skipped: {problem}"),
        }
    }

    /// The mounts whose mount points another catalog does not have.
    pub fn missing_in<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Arc<Mount>> {
        self.mounts().filter(|mount| !other.mounts.contains_key(&mount.point))
    }

    /// The number of mounts that this catalog shares with another one.
    pub fn shared_with(&self, other: &Self) -> usize {
        let is_shared = |mount: &&Arc<Mount>| {
            other.mounts.get(&mount.point).is_some_and(|it| Arc::ptr_eq(it, mount))
        };
        self.mounts().filter(is_shared).count()
    }

    fn scan_mount(&mut self, mount: &MountConfig) -> Result<(), CatalogError> {
        let path = &mount.path;
        if self.arrivals.is_some() && self.take_over_file(mount) {
            return Ok(());
        }
        let unreadable = |source| CatalogError::Path { path: path.clone(), source };
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if metadata.is_dir() {
            return self.scan_folder(mount);
        }
        if !metadata.is_file() {
            return Err(CatalogError::NotRegular { path: path.clone() });
        }
        if metadata.len() > 0 {
            refuse_other_formats(path)?;
        }
        let full = path.canonicalize().map_err(unreadable)?;
        let name = match &mount.name {
            Some(name) => Path::new(name),
            None => path.file_name().or(full.file_name()).map_or(path.as_path(), Path::new),
        };
        self.add(name, path.clone(), &mount.settings)
    }

    /// A catalog of the test card only, at `/test`. If this catalog has it already, it is taken over.
    #[must_use]
    pub fn with_test_card(&self, file: &Path, settings: &MountSettings) -> Self {
        let mut catalog = Self { previous: self.mounts.clone(), ..Self::default() };
        catalog.insert(Mount::new("/test".to_owned(), file.to_owned(), settings.clone()));
        catalog.previous.clear();
        catalog
    }

    /// Takes over the mount of a file that is a mount itself, and not in a folder. Whether it can be
    /// opened is found out when a client asks for it.
    fn take_over_file(&mut self, mount: &MountConfig) -> bool {
        let file_name = mount.path.file_name().and_then(|name| name.to_str());
        let Some(name) = mount.name.as_deref().or(file_name) else { return false };
        let before = self.previous.get(&format!("/{name}")).cloned();
        let before = before.filter(|before| before.file == mount.path && !mount.path.is_dir());
        before.map(|mount| self.insert_shared(mount)).is_some()
    }

    fn scan_folder(&mut self, mount: &MountConfig) -> Result<(), CatalogError> {
        let folder = &mount.path;
        let mounts_before = self.mounts.len();
        let unreadable = |source| CatalogError::Path { path: folder.clone(), source };
        let full = folder.canonicalize().map_err(unreadable)?;
        let may_follow = mount.settings.follow_links;
        let refused = RefCell::new(Vec::new());
        let is_inside = |entry: &DirEntry| {
            let inside = !entry.path_is_symlink()
                || may_follow
                || entry.path().canonicalize().is_ok_and(|path| path.starts_with(&full));
            if !inside {
                refused.borrow_mut().push(entry.path().display().to_string());
            }
            inside
        };
        // A link in a circle is an error of its entry.
        let entries = WalkDir::new(folder).follow_links(true).sort_by_file_name();
        for entry in entries.into_iter().filter_entry(|it| it.depth() == 0 || is_inside(it)) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.depth() > 0 => {
                    self.warn(error.to_string());
                    continue;
                }
                Err(error) => {
                    let path = error.path().unwrap_or(folder).to_owned();
                    // Without walkdir's text, which repeats the path.
                    let source = error.into_io_error().unwrap_or(ErrorKind::Other.into());
                    return Err(CatalogError::Path { path, source });
                }
            };
            let name = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            if entry.file_type().is_file() && is_movie_name(name) {
                let prefix = mount.name.as_deref().map_or(Path::new(""), Path::new);
                let added = self.add(&prefix.join(name), entry.path().to_owned(), &mount.settings);
                match added {
                    Err(error) if self.arrivals.is_some() => self.skip(&error),
                    added => added?,
                }
            }
        }
        for link in refused.take() {
            self.warn(format!("{link} is a link out of the folder, and follow-links is false"));
        }
        if self.mounts.len() == mounts_before && self.arrivals.is_none() {
            let folder = folder.display();
            tracing::warn!(%folder, "no movies (.mjpeg, .mjpg) in this folder yet; each is served once it is copied there");
        }
        Ok(())
    }

    fn add(
        &mut self,
        name: &Path,
        file: PathBuf,
        settings: &MountSettings,
    ) -> Result<(), CatalogError> {
        let Some(name) = name.to_str() else {
            return Err(CatalogError::Name { path: file });
        };
        let point = format!("/{name}");
        if let Some(first) = self.mounts.get(&point) {
            let first = first.file.clone();
            return Err(CatalogError::SameMountPoint { point, first, second: file });
        }
        let known = self.previous.get(&point).is_some_and(|mount| mount.file == file);
        if self.incomplete.contains(&file) {
            return Ok(());
        }
        if let Some(arrivals) = &mut self.arrivals
            && !known
            && !arrivals.is_complete(&file)
        {
            return Ok(());
        }
        self.insert(Mount::new(point, file, settings.clone()));
        Ok(())
    }

    fn insert(&mut self, mount: Mount) {
        let is_same =
            |before: &&Arc<Mount>| before.file == mount.file && before.settings == mount.settings;
        let before = self.previous.get(&mount.point).filter(is_same).cloned();
        self.insert_shared(before.unwrap_or_else(|| Arc::new(mount)));
    }

    fn insert_shared(&mut self, mount: Arc<Mount>) {
        let point = &mount.point;
        let lowercase = point.to_lowercase();
        self.lowercase.add(&lowercase, &mount);
        if is_movie_name(Path::new(&lowercase)) {
            self.lowercase.add(without_extension(&lowercase), &mount);
        }
        let file_name = point.rsplit('/').next().unwrap_or_default();
        self.lowercase_file_names.add(&file_name.to_ascii_lowercase(), &mount);
        self.file_names.entry(file_name.to_owned()).or_insert_with(|| mount.clone());
        self.mounts.insert(point.clone(), mount);
    }

    /// All mounts, in the order of their mount points.
    pub fn mounts(&self) -> impl ExactSizeIterator<Item = &Arc<Mount>> {
        self.mounts.values()
    }

    /// The mount at a mount point.
    pub fn at(&self, point: &str) -> Option<&Arc<Mount>> {
        self.mounts.get(point)
    }

    /// The mount at a decoded URL path. The path may lack the extension, or differ in upper and lower
    /// case, if it fits only one movie.
    pub fn find(&self, path: &str) -> Option<&Arc<Mount>> {
        self.mounts.get(path).or_else(|| self.lowercase.get(&path.to_lowercase()))
    }

    /// The mount that a URL refers to, for all methods (RFC 2326 section 3.2). The path is
    /// percent-decoded once, a query is ignored, and a segment such as `/stream=0` may follow the
    /// mount point. `None` also for bytes that are not a URL, and for names that are not UTF-8.
    pub fn find_url(&self, url: &[u8]) -> Option<&Arc<Mount>> {
        let path = decoded_path(url)?;
        // Some players send the URL of Content-Base, which ends with a slash.
        self.find(&path).or_else(|| self.find(path.rsplit_once('/')?.0))
    }

    /// The mount of a movie with a file name, which lab clients ask for. The name may differ in upper
    /// and lower case, if it fits only one movie.
    pub fn find_file_name(&self, name: &str) -> Option<&Arc<Mount>> {
        let exact = self.file_names.get(name);
        exact.or_else(|| self.lowercase_file_names.get(&name.to_ascii_lowercase()))
    }
}

/// Refuses a file without a frame. An empty file is not refused: a movie may be recorded into it.
fn refuse_other_formats(path: &Path) -> Result<(), CatalogError> {
    let movie = MovieFile::open(path).map_err(|error| match error {
        OpenError::Io { path, source } => CatalogError::Path { path, source },
        OpenError::NotRegular { path } => CatalogError::NotRegular { path },
    })?;
    let not_cancelled = AtomicBool::new(false);
    if movie.frame(0, &not_cancelled, Some(CHECK_LIMIT)) != Lookup::End(0) {
        return Ok(());
    }
    Err(CatalogError::NotAMovie { path: path.to_owned(), advice: movie.why_not_a_movie() })
}

/// The decoded path of an absolute URL; `None` if a segment contains an encoded slash.
fn decoded_path(url: &[u8]) -> Option<String> {
    let separator = url.windows(3).position(|three| three == b"://")?;
    let (scheme, url) = (url.get(..separator)?, url.get(separator + 3..)?);
    if ![&b"rtsp"[..], b"rtsps"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let url = url.split(|byte| matches!(byte, b'?' | b'#')).next()?;
    let path = url.get(url.iter().position(|byte| *byte == b'/')?..)?;
    let decoded = |segment: &[u8]| {
        let text = String::from_utf8(percent_decode(segment).collect()).ok()?;
        (!text.contains(['/', '\0']) && text != "..").then_some(text)
    };
    let segments: Option<Vec<String>> = path.split(|byte| *byte == b'/').map(decoded).collect();
    Some(segments?.join("/"))
}

fn is_movie_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|e| e.eq_ignore_ascii_case("mjpeg") || e.eq_ignore_ascii_case("mjpg"))
}

fn without_extension(point: &str) -> &str {
    point.rsplit_once('.').map_or(point, |(rest, _)| rest)
}

#[cfg(test)]
mod tests;
