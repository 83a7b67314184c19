// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which movie is served at which mount point.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// What a path segment may hold unencoded (RFC 3986 section 2.3), and the slash between them.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// A movie and its mount point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The decoded path of its URL, with the leading slash.
    pub point: String,
    /// The movie's file.
    pub file: PathBuf,
}

impl Mount {
    /// The path of its URL, percent-encoded.
    pub fn encoded(&self) -> String {
        utf8_percent_encode(&self.point, PATH).to_string()
    }
}

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

/// All movies by their mount points.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    mounts: BTreeMap<String, Mount>,
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
        let mount = Mount { point: "/test".to_owned(), file: file.to_owned() };
        Self { mounts: BTreeMap::from([(mount.point.clone(), mount)]) }
    }

    fn scan_folder(&mut self, folder: &Path) -> Result<(), CatalogError> {
        let before = self.mounts.len();
        // Links are not followed: none leads out of the folder, or round in it.
        for entry in WalkDir::new(folder).sort_by_file_name() {
            let entry = entry.map_err(|error| CatalogError::Path {
                path: error.path().unwrap_or(folder).to_owned(),
                source: error.into(),
            })?;
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
        self.mounts.insert(point.clone(), Mount { point, file });
        Ok(())
    }

    /// All mounts, by name.
    pub fn mounts(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.values()
    }

    /// The mount that a decoded URL path means: exactly; or without extension or in another
    /// case, where only one movie fits.
    pub fn find(&self, path: &str) -> Option<&Mount> {
        if let Some(mount) = self.mounts.get(path) {
            return Some(mount);
        }
        let wanted = path.to_lowercase();
        let fits = |mount: &&Mount| {
            let point = mount.point.to_lowercase();
            point == wanted || (is_movie_name(Path::new(&point)) && stem(&point) == wanted)
        };
        let mut found = self.mounts.values().filter(fits);
        found.next().filter(|_| found.next().is_none())
    }

    /// The mount that a path with a control part behind it means, such as `/movie/stream=0`,
    /// and that part with its slash.
    pub fn find_with_control<'a>(&self, path: &'a str) -> Option<(&Mount, &'a str)> {
        if let Some(mount) = self.find(path) {
            return Some((mount, ""));
        }
        // A trailing slash is what some players make of Content-Base.
        let (head, _) = path.rsplit_once('/')?;
        self.find(head).map(|mount| (mount, &path[head.len()..]))
    }
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
        let (mount, control) = catalog.find_with_control("/movie/stream=0").unwrap();
        assert_eq!((&mount.point[..], control), ("/movie.Mjpeg", "/stream=0"));
        assert!(catalog.find_with_control("/movie/x/stream=0").is_none());
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
        let urls: Vec<_> = catalog.mounts().map(Mount::encoded).collect();
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
