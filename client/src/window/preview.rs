// SPDX-License-Identifier: MIT OR Apache-2.0
//! The picture of a file at the pointer's position on the seek bar, read by a second player.

use super::model::DisplayedPicture;
use crate::player::engine::Engine;
use crate::player::{Command, Options, Picture, State};
use eframe::egui::{self, Color32, ColorImage, TextureHandle, TextureOptions};
use std::time::{Duration, Instant};

/// The largest width of a preview in pixels.
const MAX_WIDTH: u32 = 240;

/// The second player ends when no picture has been asked for during this time.
const KEPT: Duration = Duration::from_secs(10);

/// The shortest time between two seeks, in which the pointer moves on.
const INTERVAL: Duration = Duration::from_millis(80);

/// The second player, and its last picture.
#[derive(Default)]
pub struct Preview {
    reader: Option<Reader>,
}

struct Reader {
    engine: Engine,
    source: String,
    texture: Option<TextureHandle>,
    /// Sequence number of the picture in the texture.
    number: u64,
    /// The position that was asked for last.
    position: Option<Duration>,
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
        if self.reader.as_ref().is_none_or(|reader| reader.source != source) {
            self.close();
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

    fn close(&mut self) {
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
        let options = Options { repeat: false, ..options.clone() };
        engine.open(source, options, false);
        engine.command(Command::Setup);
        let now = Instant::now();
        Some(Self {
            engine,
            source: source.to_owned(),
            texture: None,
            number: 0,
            position: None,
            asked_at: now,
            used_at: now,
        })
    }

    fn ask(&mut self, ctx: &egui::Context, position: Duration) {
        if self.position == Some(position) || self.engine.status().state == State::Init {
            return;
        }
        let since = self.asked_at.elapsed();
        if since < INTERVAL {
            ctx.request_repaint_after(INTERVAL.saturating_sub(since));
            return;
        }
        self.position = Some(position);
        self.asked_at = Instant::now();
        self.engine.seek(position);
    }

    fn upload(&mut self, ctx: &egui::Context) {
        let Some((number, picture)) = self.engine.picture().get() else { return };
        // The first picture is that of the movie's start.
        if number == self.number || self.position.is_none() {
            return;
        }
        self.number = number;
        let image = reduced(&picture);
        let options = TextureOptions::LINEAR;
        match &mut self.texture {
            Some(texture) => texture.set(image, options),
            None => self.texture = Some(ctx.load_texture("preview", image, options)),
        }
    }
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
