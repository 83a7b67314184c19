// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the window remembers, under the XDG directories (XDG Base Directory Specification).

use crate::player::{Transport, password_blanked};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::PathBuf;

/// As many addresses are remembered.
const HISTORY: usize = 20;

/// The side panel's page.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Panel {
    /// None: the panel is closed.
    None,
    /// What is said and answered.
    #[default]
    Protocol,
    /// What is received and lost.
    Statistics,
}

/// Dark or light.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Theme {
    /// As the system says.
    #[default]
    System,
    /// Light text on dark.
    Dark,
    /// Dark text on light.
    Light,
}

/// The lab's form: what its client takes on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LabForm {
    /// The server's host.
    pub host: String,
    /// The server's port.
    pub port: String,
    /// The UDP port that RTP comes to.
    pub rtp_port: String,
    /// The movie.
    pub file: String,
}

impl Default for LabForm {
    fn default() -> Self {
        let [host, port, rtp_port, file] =
            ["127.0.0.1", "8554", "25000", "movie.Mjpeg"].map(ToOwned::to_owned);
        Self { host, port, rtp_port, file }
    }
}

/// All of it. What a file lacks has its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The window's width and height in points.
    pub size: [f32; 2],
    /// Addresses, the last one first; without passwords.
    pub history: Vec<String>,
    /// How RTP is carried.
    pub transport: Transport,
    /// Dark or light.
    pub theme: Theme,
    /// The side panel.
    pub panel: Panel,
    /// Three buttons instead of the lab's four.
    pub simple: bool,
    /// A source that is opened is set up and played at once.
    pub play_on_open: bool,
    /// The lab's form.
    pub lab: LabForm,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            size: [1100.0, 700.0],
            history: Vec::new(),
            transport: Transport::default(),
            theme: Theme::default(),
            panel: Panel::default(),
            simple: false,
            play_on_open: true,
            lab: LabForm::default(),
        }
    }
}

/// Why settings were not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The file cannot be written.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// They cannot be put into words.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// `$XDG_CONFIG_HOME/mjpeg-rtsp/window.json`.
fn path() -> Option<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "mjpeg-rtsp")?;
    Some(folders.config_dir().join("window.json"))
}

impl Settings {
    /// As they were kept; the defaults where they were not, or cannot be read.
    pub fn load() -> Self {
        let Some(path) = path() else { return Self::default() };
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                tracing::warn!("{}: {error}; the defaults are taken", path.display());
                return Self::default();
            }
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!("{}: {error}; the defaults are taken", path.display());
            Self::default()
        })
    }

    /// Keeps them, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn keep(&self) -> Result<(), KeepError> {
        let Some(path) = path() else { return Ok(()) };
        let Some(folder) = path.parent() else { return Ok(()) };
        std::fs::create_dir_all(folder)?;
        let next = path.with_extension("json.new");
        let mut file = std::fs::File::create(&next)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&next, &path)?;
        Ok(())
    }

    /// Remembers an address.
    pub fn remember(&mut self, address: &str) {
        let address = password_blanked(address);
        self.history.retain(|it| *it != address);
        self.history.insert(0, address);
        self.history.truncate(HISTORY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_is_the_first_without_its_password() {
        let mut settings = Settings::default();
        for number in 0..HISTORY + 5 {
            settings.remember(&format!("rtsp://h/{number}"));
        }
        settings.remember("rtsp://u:secret@h/10");
        settings.remember("rtsp://h/20");
        assert_eq!(settings.history.len(), HISTORY);
        assert_eq!(settings.history[..2], ["rtsp://h/20", "rtsp://u:***@h/10"]);
        assert_eq!(settings.history.iter().filter(|it| *it == "rtsp://h/20").count(), 1);
    }

    #[test]
    fn what_is_kept_is_read_again_and_what_is_missing_has_its_default() {
        let mut settings =
            Settings { panel: Panel::Statistics, simple: true, ..Settings::default() };
        settings.remember("rtsp://h/m");
        let text = serde_json::to_string(&settings).expect("plain data");
        assert_eq!(serde_json::from_str::<Settings>(&text).expect("it was written so"), settings);
        let part: Settings =
            serde_json::from_str(r#"{"simple": true}"#).expect("the rest is default");
        assert_eq!(part, Settings { simple: true, ..Settings::default() });
    }
}
