// SPDX-License-Identifier: MIT OR Apache-2.0
//! The window's settings, saved under the XDG directories (XDG Base Directory Specification).

use crate::player::{Transport, blank_password};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::PathBuf;

/// Number of addresses that are saved.
const MAX_HISTORY: usize = 20;

/// Sizes of the panel's text.
const TEXT_SIZES: [f32; 9] = [0.8, 0.9, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5];

/// Page of the side panel.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Panel {
    /// The panel is closed.
    None,
    /// Requests and replies.
    #[default]
    Protocol,
    /// What was received and lost.
    Statistics,
    /// Each packet.
    Packets,
}

/// The window's colours.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Theme {
    /// Same as the system.
    #[default]
    System,
    /// Light text on dark.
    Dark,
    /// Dark text on light.
    Light,
}

/// Texts of the lab form, which are the arguments of the lab's client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LabForm {
    /// The server's host.
    pub host: String,
    /// The server's port.
    pub port: String,
    /// The UDP port on which to receive RTP.
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

/// The settings. Those that are missing in the file have their default values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools, reason = "independent settings")]
pub struct Settings {
    /// The window's width and height in points.
    pub size: [f32; 2],
    /// The last addresses, without passwords; the most recent comes first.
    pub history: Vec<String>,
    /// Transport of RTP.
    pub transport: Transport,
    /// The window's colours.
    pub theme: Theme,
    /// Page of the side panel.
    pub panel: Panel,
    /// The panel takes the whole window.
    pub wide: bool,
    /// The protocol page shows a ladder.
    pub ladder: bool,
    /// Size of the panel's text; 1 is normal.
    pub text_size: f32,
    /// Three buttons instead of the lab's four.
    pub simple: bool,
    /// Set up and play each source when it is opened.
    pub play_on_open: bool,
    /// Texts of the lab form.
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
            wide: false,
            ladder: false,
            text_size: 1.0,
            simple: false,
            play_on_open: true,
            lab: LabForm::default(),
        }
    }
}

/// Why the settings were not saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be written or read.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// The settings cannot be converted to or from JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The path `$XDG_CONFIG_HOME/mjpeg-rtsp/window.json`.
fn settings_path() -> Option<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "mjpeg-rtsp")?;
    Some(folders.config_dir().join("window.json"))
}

impl Settings {
    /// The size of the panel's text, also if the file has another.
    pub fn text_size(&self) -> f32 {
        let size = if self.text_size.is_finite() { self.text_size } else { 1.0 };
        size.clamp(TEXT_SIZES[0], TEXT_SIZES[TEXT_SIZES.len() - 1])
    }

    /// Makes the panel's text larger, or smaller if `step` is negative; normal if it is 0.
    pub fn change_text_size(&mut self, step: i8) {
        let now = self.text_size();
        self.text_size = match step {
            0 => 1.0,
            1.. => TEXT_SIZES.into_iter().find(|it| *it > now + 0.01).unwrap_or(now),
            _ => TEXT_SIZES.into_iter().rev().find(|it| *it < now - 0.01).unwrap_or(now),
        };
    }

    /// Loads the settings; the defaults if there is no file, or it cannot be read.
    pub fn load() -> Self {
        let Some(path) = settings_path() else { return Self::default() };
        let loaded: Result<Self, SettingsError> = match std::fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json).map_err(SettingsError::from),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(error) => Err(error.into()),
        };
        loaded.unwrap_or_else(|error| {
            tracing::warn!("cannot load {}: {error}; using the default settings", path.display());
            Self::default()
        })
    }

    /// Saves the settings. After an error the previous file is still complete.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self) -> Result<(), SettingsError> {
        let Some(path) = settings_path() else { return Ok(()) };
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

    /// Adds an address to the history, without its password.
    pub fn add_to_history(&mut self, address: &str) {
        let address = blank_password(address);
        self.history.retain(|it| *it != address);
        self.history.insert(0, address);
        self.history.truncate(MAX_HISTORY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_starts_with_the_last_address_without_its_password() {
        let mut settings = Settings::default();
        for number in 0..MAX_HISTORY + 5 {
            settings.add_to_history(&format!("rtsp://h/{number}"));
        }
        settings.add_to_history("rtsp://u:secret@h/10");
        settings.add_to_history("rtsp://h/20");
        assert_eq!(settings.history.len(), MAX_HISTORY);
        assert_eq!(settings.history[..2], ["rtsp://h/20", "rtsp://u:***@h/10"]);
        assert_eq!(settings.history.iter().filter(|it| *it == "rtsp://h/20").count(), 1);
    }

    #[test]
    fn text_sizes_are_limited() {
        let mut settings = Settings::default();
        for (steps, step, want) in
            [(3, 1, 1.5), (9, 1, 2.5), (2, -1, 1.75), (1, 0, 1.0), (9, -1, 0.8)]
        {
            for _ in 0..steps {
                settings.change_text_size(step);
            }
            assert!((settings.text_size() - want).abs() < 0.01, "{want}");
        }
        for (wrong, want) in [(f32::NAN, 1.0), (1000.0, 2.5), (-1.0, 0.8)] {
            settings.text_size = wrong;
            assert!((settings.text_size() - want).abs() < 0.01, "{wrong}");
        }
    }

    #[test]
    fn saved_settings_are_loaded_and_missing_ones_have_their_defaults() {
        let mut settings =
            Settings { panel: Panel::Statistics, simple: true, ..Settings::default() };
        settings.add_to_history("rtsp://h/m");
        let text = serde_json::to_string(&settings).expect("plain data");
        assert_eq!(serde_json::from_str::<Settings>(&text).expect("it was just written"), settings);
        let part: Settings =
            serde_json::from_str(r#"{"simple": true}"#).expect("the rest is default");
        assert_eq!(part, Settings { simple: true, ..Settings::default() });
    }
}
