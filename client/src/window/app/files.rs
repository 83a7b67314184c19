// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is written: snapshots, recordings, texts.

use super::App;
use std::path::{Path, PathBuf};

impl App {
    pub(super) fn write(&mut self, path: &Path, text: &str) {
        match std::fs::write(path, text) {
            Ok(()) => self.tell(&format!("Saved {}", path.display())),
            Err(error) => self.tell(&format!("Cannot write {}: {error}", path.display())),
        }
    }

    pub(super) fn snapshot(&mut self) {
        let Some(picture) = &self.picture else {
            self.pass_on("There is no picture to save");
            return;
        };
        let frame = self.model.frame().map_or(String::new(), |frame| format!("-{frame}"));
        let path = free_path("png", &format!("{}{frame}", movie_name(&self.model.status.source)));
        let text = match picture.save(&path) {
            Ok(()) => format!("Saved {}", path.display()),
            Err(error) => format!("Cannot write {}: {error}", path.display()),
        };
        self.tell(&text);
    }

    pub(super) fn record(&mut self) {
        if self.model.status.recording.is_some() {
            self.engine.stop_recording();
        } else if self.model.is_open() {
            let name = format!("{}-recorded", movie_name(&self.model.status.source));
            self.engine.record(&free_path("mjpeg", &name));
        } else {
            self.pass_on("There is nothing to record: open a movie first");
        }
    }
}

/// The movie's name without its ending, for files that are made of it.
pub(super) fn movie_name(source: &str) -> String {
    let path = source.split('?').next().unwrap_or_default().trim_end_matches('/');
    let name = path.rsplit('/').next().unwrap_or_default();
    let name = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let plain =
        name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' });
    let plain: String = plain.collect();
    if plain.is_empty() { "movie".to_owned() } else { plain }
}

/// A path in the person's folder for pictures or videos that no file has yet.
pub(super) fn free_path(kind: &str, name: &str) -> PathBuf {
    let folders = directories::UserDirs::new();
    let folder = folders.as_ref().and_then(|it| match kind {
        "png" => it.picture_dir(),
        "mjpeg" => it.video_dir(),
        _ => it.document_dir(),
    });
    let home = folders.as_ref().map(directories::UserDirs::home_dir);
    let folder = folder.filter(|it| it.is_dir()).or(home).map(PathBuf::from).unwrap_or_default();
    (0..10_000)
        .map(|number| match number {
            0 => folder.join(format!("{name}.{kind}")),
            _ => folder.join(format!("{name}-{number}.{kind}")),
        })
        .find(|path| !path.exists())
        .unwrap_or_else(|| folder.join(format!("{name}.{kind}")))
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
