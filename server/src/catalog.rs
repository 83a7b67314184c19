// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which movie is served at which mount point, and which of them a request means.

use crate::mount::Mount;
use percent_encoding::percent_decode;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walkdir::WalkDir;

/// Why the given paths cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// It is not there or cannot be read.
    #[error("{}: {source}; check the path and its permissions", path.display())]
    Path {
        /// As given or found.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A FIFO, socket or device.
    #[error("{} is neither a regular file nor a folder", path.display())]
    NotRegular {
        /// As given.
        path: PathBuf,
    },
    /// A URL could not say its name.
    #[error("{} has a name that is not UTF-8; rename it", path.display())]
    Name {
        /// As found.
        path: PathBuf,
    },
    /// Two movies would have the same URL.
    #[error("{} and {} would both be served at {point}; rename one", first.display(), second.display())]
    Twice {
        /// The mount point.
        point: String,
        /// The movie found first.
        first: PathBuf,
        /// The movie found second.
        second: PathBuf,
    },
}

/// A name that is not exact: it means a movie if no other movie has it.
#[derive(Debug, Clone)]
enum Alias {
    Of(Arc<Mount>),
    Several,
}

/// Inexact names.
#[derive(Debug, Clone, Default)]
struct Aliases(HashMap<String, Alias>);

impl Aliases {
    fn add(&mut self, name: &str, mount: &Arc<Mount>) {
        let new = || Alias::Of(mount.clone());
        let alias = self.0.entry(name.to_owned()).or_insert_with(new);
        if !matches!(alias, Alias::Of(first) if Arc::ptr_eq(first, mount)) {
            *alias = Alias::Several;
        }
    }

    fn get(&self, name: &str) -> Option<&Arc<Mount>> {
        match self.0.get(name)? {
            Alias::Of(mount) => Some(mount),
            Alias::Several => None,
        }
    }
}

/// All movies by their mount points. Looking one up takes the same time however many there are.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    mounts: BTreeMap<String, Arc<Mount>>,
    /// In lower case, with and without the extension.
    folded: Aliases,
    /// The first of each base name, for lab clients, which know no folders.
    base_names: HashMap<String, Arc<Mount>>,
    /// In lower case.
    folded_base_names: Aliases,
}

impl Catalog {
    /// The movies that the paths name: files, or folders with all that they hold.
    ///
    /// # Errors
    /// See [`CatalogError`]. A folder without movies is a warning only.
    pub fn scan(paths: &[PathBuf]) -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        for path in paths {
            let refused = |source| CatalogError::Path { path: path.clone(), source };
            let metadata = std::fs::metadata(path).map_err(refused)?;
            if metadata.is_dir() {
                catalog.scan_folder(path)?;
            } else if metadata.is_file() {
                let full = path.canonicalize().map_err(refused)?;
                let name = path.file_name().or(full.file_name()).map_or(path.as_path(), Path::new);
                catalog.add(name, path.clone())?;
            } else {
                return Err(CatalogError::NotRegular { path: path.clone() });
            }
        }
        Ok(catalog)
    }

    /// The test card alone, at `/test`.
    pub fn of_test_card(file: &Path) -> Self {
        let mut catalog = Self::default();
        catalog.insert(Mount::new("/test".to_owned(), file.to_owned()));
        catalog
    }

    fn scan_folder(&mut self, folder: &Path) -> Result<(), CatalogError> {
        let before = self.mounts.len();
        // Links are not followed: none leads out of the folder, or round in it.
        for entry in WalkDir::new(folder).sort_by_file_name() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.depth() > 0 => {
                    tracing::warn!("passed over: {error}");
                    continue;
                }
                Err(error) => {
                    let path = error.path().unwrap_or(folder).to_owned();
                    return Err(CatalogError::Path { path, source: error.into() });
                }
            };
            let name = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            if entry.file_type().is_file() && is_movie_name(name) {
                self.add(name, entry.path().to_owned())?;
            }
        }
        if self.mounts.len() == before {
            tracing::warn!(folder = %folder.display(), "no movies (.mjpeg, .mjpg) in this folder");
        }
        Ok(())
    }

    fn add(&mut self, name: &Path, file: PathBuf) -> Result<(), CatalogError> {
        let Some(name) = name.to_str() else {
            return Err(CatalogError::Name { path: file });
        };
        let point = format!("/{name}");
        if let Some(first) = self.mounts.get(&point) {
            let first = first.file.clone();
            return Err(CatalogError::Twice { point, first, second: file });
        }
        self.insert(Mount::new(point, file));
        Ok(())
    }

    fn insert(&mut self, mount: Mount) {
        let mount = Arc::new(mount);
        let point = &mount.point;
        let folded = point.to_lowercase();
        self.folded.add(&folded, &mount);
        if is_movie_name(Path::new(&folded)) {
            self.folded.add(stem(&folded), &mount);
        }
        let base = point.rsplit('/').next().unwrap_or_default();
        self.folded_base_names.add(&base.to_ascii_lowercase(), &mount);
        self.base_names.entry(base.to_owned()).or_insert_with(|| mount.clone());
        self.mounts.insert(point.clone(), mount);
    }

    /// All mounts, by name.
    pub fn mounts(&self) -> impl ExactSizeIterator<Item = &Arc<Mount>> {
        self.mounts.values()
    }

    /// The mount that a decoded URL path means: exactly; or without extension or in another
    /// case, where only one movie fits.
    pub fn find(&self, path: &str) -> Option<&Arc<Mount>> {
        self.mounts.get(path).or_else(|| self.folded.get(&path.to_lowercase()))
    }

    /// The mount that a URL means, whatever the method (RFC 2326 section 3.2): its path is
    /// percent-decoded once; a query is passed over; a control part, such as `/stream=0`, may follow
    /// the mount point. `None` also for what is no URL, and for names that are not UTF-8.
    pub fn find_url(&self, url: &[u8]) -> Option<&Arc<Mount>> {
        let path = decoded_path(url)?;
        // A trailing slash is what some players make of Content-Base.
        self.find(&path).or_else(|| self.find(path.rsplit_once('/')?.0))
    }

    /// The mount of a base name, as lab clients ask for it: exactly, else the only one that has it
    /// in another case.
    pub fn find_base_name(&self, name: &str) -> Option<&Arc<Mount>> {
        let exact = self.base_names.get(name);
        exact.or_else(|| self.folded_base_names.get(&name.to_ascii_lowercase()))
    }
}

/// The path of an absolute URL. An encoded slash would make other segments of it.
fn decoded_path(url: &[u8]) -> Option<String> {
    let scheme = url.windows(3).position(|three| three == b"://")?;
    let (scheme, url) = (url.get(..scheme)?, url.get(scheme + 3..)?);
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

fn stem(point: &str) -> &str {
    point.rsplit_once('.').map_or(point, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(names: &[&str]) -> Catalog {
        let mut catalog = Catalog::default();
        for name in names {
            catalog.add(Path::new(name), PathBuf::from(name)).unwrap();
        }
        catalog
    }

    #[test]
    fn a_path_means_one_movie_or_none() {
        let catalog = catalog(&["movie.Mjpeg", "a/b c.mjpg", "two.mjpeg", "two.mjpg", "card"]);
        let rows = [
            ("/movie.Mjpeg", Some("/movie.Mjpeg")),
            ("/MOVIE.MJPEG", Some("/movie.Mjpeg")),
            ("/movie", Some("/movie.Mjpeg")),
            ("/a/b c", Some("/a/b c.mjpg")),
            ("/two", None),
            ("/two.mjpg", Some("/two.mjpg")),
            ("/card", Some("/card")),
            ("/b c.mjpg", None),
            ("/../movie.Mjpeg", None),
            ("", None),
            ("/", None),
        ];
        for (path, want) in rows {
            assert_eq!(catalog.find(path).map(|mount| &mount.point[..]), want, "{path}");
        }
    }

    #[test]
    fn a_url_means_the_same_movie_for_every_method() {
        let catalog = catalog(&["movie.Mjpeg", "a/p%20c?.mjpg", "\u{fc} 1.mjpeg"]);
        let rows: [(&[u8], Option<&str>); 19] = [
            (b"rtsp://h/movie.Mjpeg", Some("/movie.Mjpeg")),
            (b"rtsp://h:8554/MOVIE", Some("/movie.Mjpeg")),
            (b"rtsps://user:p@h/movie/", Some("/movie.Mjpeg")),
            (b"rtsp://h/movie/stream=0", Some("/movie.Mjpeg")),
            (b"rtsp://h/m%6fvie.Mjpeg?x=1", Some("/movie.Mjpeg")),
            (b"rtsp://h/movie.Mjpeg?x=1/stream=0", Some("/movie.Mjpeg")),
            (b"rtsp://h/a/p%2520c%3f.mjpg/stream=0", Some("/a/p%20c?.mjpg")),
            (b"rtsp://h/%c3%bc%201", Some("/\u{fc} 1.mjpeg")),
            (b"rtsp://h/\xc3\xbc%201", Some("/\u{fc} 1.mjpeg")),
            (b"rtsp://h/movie/x/stream=0", None),
            (b"rtsp://h/x%2fmovie.Mjpeg", None),
            (b"rtsp://h/../movie.Mjpeg", None),
            (b"rtsp://h/movie.Mjpeg%00", None),
            (b"rtsp://h/%ff", None),
            (b"rtsp://h/\xff", None),
            (b"rtsp://h", None),
            (b"http://h/movie.Mjpeg", None),
            (b"*", None),
            (b"", None),
        ];
        for (url, want) in rows {
            let found = catalog.find_url(url).map(|mount| &mount.point[..]);
            assert_eq!(found, want, "{}", url.escape_ascii());
        }
    }

    #[test]
    fn lab_clients_name_a_movie_without_its_folder() {
        let catalog = catalog(&["a/movie.Mjpeg", "b/movie.Mjpeg", "b/x.mjpeg", "c/X.mjpeg"]);
        let rows = [
            ("movie.Mjpeg", Some("/a/movie.Mjpeg")),
            ("movie.mjpeg", None),
            ("x.mjpeg", Some("/b/x.mjpeg")),
            ("X.MJPEG", None),
            ("none", None),
        ];
        for (name, want) in rows {
            assert_eq!(catalog.find_base_name(name).map(|mount| &mount.point[..]), want, "{name}");
        }
    }

    #[test]
    fn a_folder_is_scanned_and_its_names_encoded() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        for name in ["A.MJPG", "sub/ü 1.mjpeg", "notes.txt"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        std::os::unix::fs::symlink("/etc", folder.path().join("out.mjpeg")).unwrap();
        let catalog = Catalog::scan(&[folder.path().to_owned()]).unwrap();
        let urls: Vec<_> = catalog.mounts().map(|mount| mount.encoded()).collect();
        assert_eq!(urls, ["/A.MJPG", "/sub/%C3%BC%201.mjpeg"]);
    }

    #[test]
    fn two_movies_at_one_mount_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = ["a", "b"]
            .iter()
            .map(|sub| {
                let path = folder.path().join(sub).join("movie.mjpeg");
                std::fs::create_dir(path.parent().unwrap()).unwrap();
                std::fs::write(&path, b"").unwrap();
                path
            })
            .collect();
        let said = Catalog::scan(&paths).unwrap_err().to_string();
        for path in paths {
            assert!(said.contains(path.to_str().unwrap()), "{said}");
        }
    }
}
