// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes files: snapshots, recordings, texts.

use super::App;
use std::fmt::Display;
use std::path::{Path, PathBuf};

impl App {
    pub(super) fn save_text(&mut self, path: &Path, text: &str) {
        self.notify_saved(path, std::fs::write(path, text));
    }

    fn notify_saved(&mut self, path: &Path, result: Result<(), impl Display>) {
        let path = path.display();
        self.notify(&match result {
            Ok(()) => format!("Saved {path}"),
            Err(error) => format!("Cannot write {path}: {error}"),
        });
    }

    pub(super) fn save_snapshot(&mut self) {
        let Some(picture) = &self.picture else {
            self.notify_briefly("There is no picture to save");
            return;
        };
        let frame = self.model.frame().map_or(String::new(), |frame| format!("-{frame}"));
        let path = free_path("png", &format!("{}{frame}", movie_name(&self.model.status.source)));
        let result = picture.save(&path);
        self.notify_saved(&path, result);
    }

    pub(super) fn toggle_recording(&mut self) {
        if self.model.status.recording.is_some() {
            self.engine.stop_recording();
        } else if self.model.is_open() {
            let name = format!("{}-recorded", movie_name(&self.model.status.source));
            self.engine.record(&free_path("mjpeg", &name));
        } else {
            self.notify_briefly("There is nothing to record: open a movie first");
        }
    }
}

/// The name of the movie without its extension, for the names of new files.
pub(super) fn movie_name(source: &str) -> String {
    let path = source.split('?').next().unwrap_or_default().trim_end_matches('/');
    let name = path.rsplit('/').next().unwrap_or_default();
    let name = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let safe = name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' });
    let safe: String = safe.collect();
    if safe.is_empty() { "movie".to_owned() } else { safe }
}

/// A path of no existing file, in the user's folder for files with this extension.
pub(super) fn free_path(extension: &str, name: &str) -> PathBuf {
    let folders = directories::UserDirs::new();
    let folder = folders.as_ref().and_then(|it| match extension {
        "png" => it.picture_dir(),
        "mjpeg" => it.video_dir(),
        _ => it.document_dir(),
    });
    let home = folders.as_ref().map(directories::UserDirs::home_dir);
    let folder = folder.filter(|it| it.is_dir()).or(home).map(PathBuf::from).unwrap_or_default();
    (0..10_000)
        .map(|number| match number {
            0 => folder.join(format!("{name}.{extension}")),
            _ => folder.join(format!("{name}-{number}.{extension}")),
        })
        .find(|path| !path.exists())
        .unwrap_or_else(|| folder.join(format!("{name}.{extension}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_the_movie() {
        let rows = [
            ("rtsp://h:8554/movie.Mjpeg", "movie"),
            ("labrtsp://h:1025/a%20b.mjpeg?rtp-port=25000", "a_20b"),
            ("/tmp/x/cam-1.mjpeg", "cam-1"),
            ("rtsp://h/", "h"),
            ("", "movie"),
        ];
        for (source, want) in rows {
            assert_eq!(movie_name(source), want, "{source}");
        }
    }
}
