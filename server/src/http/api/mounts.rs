// SPDX-License-Identifier: MIT OR Apache-2.0
//! The movies.

use super::super::client::Context;
use super::super::parameters::ListParameters;
use super::super::reply::Refusal;
use super::super::{Asking, Service, Shared, target};
use super::json;
use crate::catalog::Catalog;
use crate::config::LabMode;
use crate::mount::Mount;
use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use gstmjpegfile::jpeg::Header;
use gstmjpegfile::movie_file::{Lookup, MovieFile, OpenError};
use hyper::Uri;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long a request waits until the first frame of a movie is found.
const FIRST_FRAME_LIMIT: Duration = Duration::from_millis(100);

/// The part of a frame that is read for its size in pixels.
const HEADER_BYTES: usize = 64 * 1024;

/// A movie as the API describes it.
#[derive(Debug, Serialize)]
struct MountInfo {
    name: String,
    title: String,
    folder: String,
    kind: &'static str,
    framerate: f64,
    frames: Option<u64>,
    duration_seconds: Option<f64>,
    width: Option<u16>,
    height: Option<u16>,
    size_bytes: Option<u64>,
    viewers: usize,
    looping: bool,
    lab: bool,
    error: Option<String>,
    urls: Urls,
}

/// The addresses of a movie.
#[derive(Debug, Serialize)]
struct Urls {
    stream: String,
    snapshot: String,
    frames: String,
    movie: String,
    rtsp: Option<String>,
    rtsps: Option<String>,
    lab: Option<String>,
}

/// Some of the movies.
#[derive(Debug, Serialize)]
struct MountList {
    total: usize,
    offset: usize,
    folders: Vec<String>,
    mounts: Vec<MountInfo>,
}

/// What the file of a movie is.
#[derive(Debug, Default)]
struct FileInfo {
    frames: Option<u64>,
    size: Option<(u16, u16)>,
    size_bytes: Option<u64>,
    error: Option<String>,
}

/// The name of a mount: its point without the leading slash.
fn name_of(mount: &Mount) -> &str {
    mount.point.trim_start_matches('/')
}

/// Answers a request for the list of movies.
///
/// # Errors
/// If the query is not valid.
pub(super) async fn list(
    State(service): Shared,
    Extension(context): Asking,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let parameters = ListParameters::parse(&query.unwrap_or_default())?;
    let (access, ip) = (service.access.get(), context.client.peer.ip());
    let user = context.user().map(ToOwned::to_owned);
    let list = {
        let service = service.clone();
        move || {
            let may_watch = |mount: &Mount| access.may_watch(mount, user.as_deref(), ip);
            let catalog = service.catalog.get();
            let (folders, chosen) = choose(&catalog, &parameters, may_watch);
            let (total, ListParameters { offset, limit, .. }) = (chosen.len(), parameters);
            let mounts = chosen.into_iter().skip(offset).take(limit);
            let mounts = mounts.map(|mount| service.describe(&mount, &context)).collect();
            Ok(MountList { total, offset, folders, mounts })
        }
    };
    Ok(json(&service.run("http-mounts", list).await?))
}

/// The folders and movies that a list has.
fn choose(
    catalog: &Catalog,
    parameters: &ListParameters,
    may_watch: impl Fn(&Mount) -> bool,
) -> (Vec<String>, Vec<Arc<Mount>>) {
    let ListParameters { search, folder, .. } = parameters;
    let parent = folder.as_deref().unwrap_or_default();
    let prefix = if parent.is_empty() { String::new() } else { format!("{parent}/") };
    let (mut folders, mut chosen) = (BTreeSet::new(), Vec::new());
    for mount in catalog.mounts().filter(|mount| may_watch(mount)) {
        let name = name_of(mount);
        let Some(within) = name.strip_prefix(&prefix) else { continue };
        if search.as_ref().is_some_and(|search| !name.to_lowercase().contains(search)) {
            continue;
        }
        let subfolder = within.split_once('/').map(|(first, _)| format!("{prefix}{first}"));
        // A search finds movies in all folders, and so does a list that is of no folder.
        if subfolder.is_none() || search.is_some() || folder.is_none() {
            chosen.push(mount.clone());
        }
        folders.extend(subfolder.filter(|_| search.is_none()));
    }
    (folders.into_iter().collect(), chosen)
}

/// Answers a request for one movie.
///
/// # Errors
/// If there is no such movie for the client.
pub(super) async fn mount(
    State(service): Shared,
    Extension(context): Asking,
    uri: Uri,
) -> Result<Response, Refusal> {
    let path = uri.path().strip_prefix("/api/v1/mounts/").unwrap_or_default();
    let mount = service.find(&context, &target::decode(path).unwrap_or_default())?;
    let describe = {
        let service = service.clone();
        move || Ok(service.describe(&mount, &context))
    };
    Ok(json(&service.run("http-mount", describe).await?))
}

impl Service {
    /// Describes a movie for the client of a request. May wait for a disk.
    fn describe(&self, mount: &Arc<Mount>, context: &Context) -> MountInfo {
        let (name, mode) = (name_of(mount).to_owned(), mount.mode());
        let (folder, title) = name.rsplit_once('/').unwrap_or(("", &name));
        let FileInfo { frames, size, size_bytes, error } = read_file(mount);
        let is_live = mode.live_since.is_some();
        let duration = frames.filter(|_| !is_live).map(|frames| mode.framerate.start_of(frames));
        let may_watch_in_lab = self.access.get().may_watch_in_lab(mount, context.client.peer.ip());
        let lab = self.lab != LabMode::Off && may_watch_in_lab;
        // Below 2^52 nanoseconds for 52 days; after that, the error is a few nanoseconds.
        #[allow(clippy::cast_precision_loss)]
        let duration_seconds = duration.map(|duration| duration.get() as f64 / 1e9);
        MountInfo {
            title: title.to_owned(),
            folder: folder.to_owned(),
            kind: if is_live { "live" } else { "on-demand" },
            framerate: mode.framerate.frames_per_second(),
            frames,
            duration_seconds,
            width: size.map(|(width, _)| width),
            height: size.map(|(_, height)| height),
            size_bytes,
            viewers: self.context.viewers.of_mount(&mount.point),
            looping: mode.looping,
            lab,
            error,
            urls: self.urls(mount, context, lab.then(|| name.clone())),
            name,
        }
    }

    fn urls(&self, mount: &Mount, context: &Context, lab: Option<String>) -> Urls {
        let encoded = mount.encoded();
        let of_movie = |resource: &str| format!("/mounts{encoded}/{resource}");
        let local = || match context.client.local.ip() {
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
            ip @ std::net::IpAddr::V4(_) => ip.to_string(),
        };
        let host = context.host.as_ref().map_or_else(local, |host| host.host().to_owned());
        let rtsp_is_served = self.lab != LabMode::Only;
        let addresses = self.addresses.get().filter(|_| rtsp_is_served);
        let has_tls = self.tls.get().is_some();
        let rtsp = addresses.map(|it| format!("rtsp://{host}:{}{encoded}", it.rtsp.port()));
        let rtsps = addresses.filter(|_| has_tls).map(|it| {
            let port = it.tls.unwrap_or(it.rtsp).port();
            format!("rtsps://{host}:{port}{encoded}")
        });
        Urls {
            stream: of_movie("stream.mjpeg"),
            snapshot: of_movie("snapshot.jpg"),
            frames: of_movie("frames/{number}.jpg"),
            movie: of_movie("movie.mjpeg"),
            rtsp,
            rtsps,
            lab,
        }
    }
}

/// Finds out what the file of a mount is. Closes the file afterwards, unless others read it.
fn read_file(mount: &Arc<Mount>) -> FileInfo {
    let movie = match mount.open() {
        Ok(movie) => movie,
        // Without the path, which others must not see.
        Err(error) => {
            let error = match error {
                OpenError::Io { source, .. } => format!("The file cannot be opened: {source}."),
                OpenError::NotRegular { .. } => "The file is not a regular one.".to_owned(),
            };
            return FileInfo { error: Some(error), ..FileInfo::default() };
        }
    };
    let mut error = None;
    let size = mount.first_size(&movie, || match first_size(&movie) {
        Ok(size) => size,
        Err(text) => {
            error = Some(text);
            None
        }
    });
    let info =
        FileInfo { frames: movie.total_frames(), size, size_bytes: Some(movie.length()), error };
    drop(movie);
    mount.close_if_unused(Duration::ZERO);
    info
}

/// Reads the size of a movie's first frame in pixels; `None` if it is not a JPEG image that can be read.
///
/// # Errors
/// If the movie has no frame.
fn first_size(movie: &MovieFile) -> Result<Option<(u16, u16)>, String> {
    let found = movie.frame(0, &AtomicBool::new(false), Some(FIRST_FRAME_LIMIT));
    let Lookup::Frame(location) = found else {
        return Err(format!("This is not a movie: {}.", movie.why_not_a_movie()));
    };
    let mut jpeg = vec![0; HEADER_BYTES.min(location.length as usize)];
    let read = movie.read_span(location.offset, &mut jpeg).is_ok();
    let header = Header::parse(&jpeg).ok().filter(|_| read);
    Ok(header.map(|header| (header.width, header.height)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MountConfig, MountSettings};

    #[test]
    fn a_list_is_of_a_folder_or_a_search_or_everything() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a.mjpeg", "cam/Door.mjpeg", "cam/north/b.mjpeg", "camera.mjpeg", "z/a.mjpeg"];
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let path = folder.path().to_owned();
        let settings = MountSettings::default();
        let mount = MountConfig { path, name: None, settings, position: None };
        let catalog = Catalog::scan(&[mount]).unwrap();
        // Query, folders, movies.
        let rows: [(&str, &[&str], &[&str]); 7] = [
            ("", &["cam", "z"], &names),
            ("folder=", &["cam", "z"], &["a.mjpeg", "camera.mjpeg"]),
            ("folder=cam", &["cam/north"], &["cam/Door.mjpeg"]),
            ("folder=cam/north", &[], &["cam/north/b.mjpeg"]),
            ("folder=x", &[], &[]),
            ("search=door", &[], &["cam/Door.mjpeg"]),
            ("search=A.&folder=z", &[], &["z/a.mjpeg"]),
        ];
        for (query, folders, movies) in rows {
            let parameters = ListParameters::parse(query).unwrap();
            let (got, chosen) = choose(&catalog, &parameters, |_| true);
            let chosen: Vec<_> = chosen.iter().map(|mount| name_of(mount)).collect();
            assert_eq!(
                (got, &chosen[..]),
                (folders.iter().map(|&it| it.into()).collect(), movies),
                "{query}"
            );
        }
        let all = ListParameters::parse("").unwrap();
        let (folders, chosen) = choose(&catalog, &all, |mount| mount.point == "/a.mjpeg");
        assert_eq!((folders.len(), chosen.len()), (0, 1));
    }
}
