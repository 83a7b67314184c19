// SPDX-License-Identifier: MIT OR Apache-2.0
//! The picture at the pointer's position on the seek bar, of a file or of a movie of our own server. A
//! second player reads it, which is paused: it has a session of its own, so that the first one is not
//! disturbed.

use super::model::DisplayedPicture;
use crate::player::engine::{Engine, Event};
use crate::player::{Options, Picture, Protocol, State, Transport, blank_password, movies};
use eframe::egui::{self, Color32, ColorImage, TextureHandle, TextureOptions};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The largest width of a preview in pixels.
const MAX_WIDTH: u32 = 240;

/// The second player ends when no picture has been asked for during this time.
const KEPT: Duration = Duration::from_secs(10);

/// The shortest time between two seeks in a file, in which the pointer moves on.
const FILE_INTERVAL: Duration = Duration::from_millis(80);

/// The same for a server, which answers two requests for each picture.
const SERVER_INTERVAL: Duration = Duration::from_millis(150);

/// How long to wait after a second player has failed before another one is started. The server may have
/// reached its limit of viewers.
const FAILED: Duration = Duration::from_secs(10);

/// The most positions that are remembered until their pictures arrive.
const MAX_ASKED: usize = 16;

/// The time of a frame in seconds, if the source does not state it.
const DEFAULT_FRAME: f64 = 0.1;

/// The second player, and its last picture.
#[derive(Default)]
pub struct Preview {
    reader: Option<Reader>,
    /// The source whose second player has failed, and when.
    failed: Option<(String, Instant)>,
}

struct Reader {
    engine: Engine,
    source: String,
    interval: Duration,
    texture: Option<TextureHandle>,
    /// Sequence number of the picture in the texture.
    number: u64,
    /// The positions that have been asked for and have had no picture yet, and the last one.
    asked: VecDeque<Duration>,
    asked_at: Instant,
    used_at: Instant,
}

impl Preview {
    /// Asks for the picture at `position`, and returns the last one that has been read.
    pub fn at(
        &mut self,
        ctx: &egui::Context,
        source: &str,
        options: &Options,
        position: Duration,
    ) -> Option<DisplayedPicture> {
        self.close_failed();
        if self.reader.as_ref().is_none_or(|reader| reader.source != source) {
            self.close();
            let failed = self.failed.as_ref().filter(|(failed, _)| failed == source);
            if failed.is_some_and(|(_, at)| at.elapsed() < FAILED) {
                return None;
            }
            self.reader = Reader::open(ctx, source, options);
        }
        let reader = self.reader.as_mut()?;
        reader.used_at = Instant::now();
        reader.ask(ctx, position);
        reader.upload(ctx);
        let texture = reader.texture.as_ref()?;
        let [width, height] = texture.size();
        // At most `MAX_WIDTH` pixels.
        #[allow(clippy::cast_precision_loss)]
        let size = [width as f32, height as f32];
        Some(DisplayedPicture { texture: texture.id(), size })
    }

    /// Ends the second player if it has not been used for a while, or if the source is another one.
    pub fn close_unused(&mut self, ctx: &egui::Context, source: &str) {
        let Some(reader) = &self.reader else { return };
        let unused = reader.used_at.elapsed();
        if unused >= KEPT || reader.source != source {
            self.close();
        } else {
            ctx.request_repaint_after(KEPT.saturating_sub(unused));
        }
    }

    /// Ends the second player if it has failed, for instance because the server accepts no more viewers.
    /// The first failure of a source is logged.
    fn close_failed(&mut self) {
        let Some(reader) = &self.reader else { return };
        let failure = reader.engine.events().find_map(|event| match event {
            Event::Failed(failure) => Some(failure),
            _ => None,
        });
        let Some(failure) = failure else { return };
        let source = reader.source.clone();
        if self.failed.as_ref().is_none_or(|(failed, _)| *failed != source) {
            tracing::debug!("no previews of {}: {failure}", blank_password(&source));
        }
        self.failed = Some((source, Instant::now()));
        self.close();
    }

    /// Ends the second player.
    pub fn close(&mut self) {
        if let Some(reader) = self.reader.take() {
            // The end of a session may take a moment, and the window must not wait.
            let close = std::thread::Builder::new().name("preview-close".to_owned());
            let _ = close.spawn(move || drop(reader));
        }
    }
}

impl Reader {
    fn open(ctx: &egui::Context, source: &str, options: &Options) -> Option<Self> {
        let wake = ctx.clone();
        let engine = Engine::start(move || wake.request_repaint()).ok()?;
        // Over TCP no packet gets lost, and without a jitter buffer the picture comes at once.
        let transport = match options.transport {
            Transport::Http => Transport::Http,
            _ => Transport::Tcp,
        };
        let options =
            Options { transport, latency: 0, reconnect: false, repeat: false, ..options.clone() };
        engine.set_up_unrecorded(&movies::split_transport(source).0, options);
        let now = Instant::now();
        let is_file = Protocol::from_uri(source) == Protocol::None;
        Some(Self {
            engine,
            source: source.to_owned(),
            interval: if is_file { FILE_INTERVAL } else { SERVER_INTERVAL },
            texture: None,
            number: 0,
            asked: VecDeque::new(),
            asked_at: now,
            used_at: now,
        })
    }

    fn ask(&mut self, ctx: &egui::Context, position: Duration) {
        if self.asked.back() == Some(&position) || self.engine.status().state == State::Init {
            return;
        }
        let since = self.asked_at.elapsed();
        if since < self.interval {
            ctx.request_repaint_after(self.interval.saturating_sub(since));
            return;
        }
        self.asked.push_back(position);
        if self.asked.len() > MAX_ASKED {
            self.asked.pop_front();
        }
        self.asked_at = Instant::now();
        self.engine.seek(position);
    }

    fn upload(&mut self, ctx: &egui::Context) {
        let Some((number, picture)) = self.engine.picture().get() else { return };
        if number == self.number {
            return;
        }
        self.number = number;
        // The first picture is that of the movie's start, which was not asked for.
        let found = self.asked.iter().position(|asked| shows(&picture, *asked));
        let Some(found) = found else { return };
        self.asked.drain(..found);
        let image = reduced(&picture);
        let options = TextureOptions::LINEAR;
        match &mut self.texture {
            Some(texture) => texture.set(image, options),
            None => self.texture = Some(ctx.load_texture("preview", image, options)),
        }
    }
}

/// Whether the picture is that of a position.
fn shows(picture: &Picture, position: Duration) -> bool {
    let frame = picture.frame_rate.map_or(DEFAULT_FRAME, |rate| 1.0 / rate);
    let off = picture.position.map(|it| Duration::from(it).abs_diff(position));
    off.is_none_or(|off| off.as_secs_f64() < 1.5 * frame)
}

/// The picture with at most `MAX_WIDTH` columns: of each square of pixels the first one.
fn reduced(picture: &Picture) -> ColorImage {
    let (width, _) = picture.size();
    let step = width.div_ceil(MAX_WIDTH).max(1) as usize;
    let mut pixels = Vec::new();
    let mut height = 0;
    for row in picture.rows().step_by(step) {
        height += 1;
        let colours = row.as_chunks::<4>().0.iter().step_by(step);
        pixels.extend(colours.map(|[red, green, blue, _]| Color32::from_rgb(*red, *green, *blue)));
    }
    ColorImage::new([(width as usize).div_ceil(step), height], pixels)
}
