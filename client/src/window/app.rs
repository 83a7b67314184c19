// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the model of the engine's state, and carries out what the widgets ask for.

mod files;
mod playing;

use super::advice::{self, Advice};
use super::dialogs::{Answer, Dialogs, Purpose};
use super::model::{Action, Banner, Local, Model, Movies, Shown};
use super::screenshot::Screenshot;
use super::settings::{Panel, Settings};
use super::{style, view};
use crate::cli::Arguments;
use crate::player::engine::{Engine, Event, Status};
use crate::player::{
    Command, History, Options, Picture, Protocol, ProtocolLog, State, Transport, movies,
};
use anyhow::Result;
use eframe::egui::{self, Color32, ColorImage, TextureHandle, TextureOptions, ViewportCommand};
use files::{free_path, movie_name};
use gstmjpegfile::labrtspsrc::Location;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a message that needs no answer stays.
const PASSING: Duration = Duration::from_secs(5);

/// The window's application.
pub struct App {
    engine: Engine,
    model: Model,
    local: Local,
    dialogs: Dialogs,
    /// As the command line says; transport by the settings.
    options: Options,
    texture: Option<TextureHandle>,
    /// The memory of the next upload.
    image: Arc<ColorImage>,
    /// The how manieth picture is on show.
    shown: u64,
    /// The picture on show, for a snapshot.
    picture: Option<Arc<Picture>>,
    banner_until: Option<Instant>,
    /// Where a seek goes whose picture has not come.
    target: Option<Duration>,
    movies: Option<mpsc::Receiver<Vec<String>>>,
    screenshot: Option<Screenshot>,
    title: String,
}

impl App {
    pub fn new(
        ctx: &egui::Context,
        engine: Engine,
        settings: Settings,
        arguments: &Arguments,
        failed: Arc<AtomicBool>,
    ) -> Result<Self> {
        let source = arguments.source()?;
        let local = Local {
            address: source.clone().unwrap_or_default(),
            lab: settings.lab.clone(),
            focus_address: source.is_none() && arguments.screenshot.is_none(),
            ..Local::default()
        };
        let screenshot = arguments.screenshot.clone().map(|path| {
            let patience = Duration::from_secs_f64(arguments.timeout);
            Screenshot::new(path, arguments.after, patience, failed)
        });
        let mut options = arguments.options();
        if options.transport == Transport::Auto {
            options.transport = settings.transport;
        }
        let mut app = Self {
            engine,
            model: Model { settings, ..Model::default() },
            local,
            dialogs: Dialogs::new(ctx),
            options,
            texture: None,
            image: Arc::default(),
            shown: 0,
            picture: None,
            banner_until: None,
            target: None,
            movies: None,
            screenshot,
            title: String::new(),
        };
        if let Some(source) = source {
            app.model.settings.remember(&source);
        }
        Ok(app)
    }

    /// The window's size in points.
    pub fn size(&self) -> [f32; 2] {
        self.model.settings.size
    }

    /// Takes in what the engine, dialogs and threads have to tell.
    fn look(&mut self, ctx: &egui::Context) {
        let now = ctx.input(|input| input.time);
        let status = self.engine.status();
        if status.state != self.model.status.state {
            self.model.changed = Some((self.model.status.state, now));
            if self.banner_until.is_some() || status.state == State::Playing {
                self.dismiss();
            }
        }
        if status.silent && self.model.banner.is_none() {
            self.model.banner = Some(advice::on_silence(&status));
        } else if !status.silent && self.model.status.silent {
            self.dismiss();
        }
        self.model.status = status;
        let events: Vec<Event> = self.engine.events().collect();
        for event in events {
            self.happened(event);
        }
        self.look_at_dialogs();
        if let Some(list) = self.movies.as_ref().and_then(|movies| movies.try_recv().ok()) {
            self.model.movies = Movies::Known(list);
            self.movies = None;
        }
        match self.banner_until {
            Some(until) if until <= Instant::now() => self.dismiss(),
            Some(until) => ctx.request_repaint_after(until - Instant::now()),
            None => {}
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Failed(failure) => {
                let status = &self.model.status;
                let protocol = Protocol::of(&status.source);
                self.model.failure = Some(Advice::on(&failure, &status.source, protocol));
                self.dismiss();
            }
            Event::Refused(why) => self.pass_on(&why),
            Event::EndOfMovie => {
                self.model.banner = Some(Banner {
                    text: "The movie is over.".to_owned(),
                    offers: vec![("Play again", Action::Play)],
                });
            }
            Event::Recorded(recording) => {
                let path = recording.path.display();
                // Writing to a string does not fail.
                let mut text = format!("Recorded {} frames into {path}", recording.frames);
                if recording.left_out > 0 {
                    let _ = write!(text, "; {} were too large for a movie", recording.left_out);
                }
                if let Some(error) = recording.error {
                    let _ = write!(text, "; it ended early: {error}");
                }
                self.tell(&text);
            }
            Event::Note(text) => self.tell(&text),
        }
    }

    fn look_at_dialogs(&mut self) {
        let answers: Vec<Answer> = self.dialogs.answers().collect();
        for answer in answers {
            match answer {
                Answer::Chosen(Purpose::Open, path) => self.open(&path.to_string_lossy()),
                Answer::Chosen(Purpose::Save(text), path) => self.write(&path, &text),
                Answer::NoDialog(Purpose::Open) => {
                    self.tell("The system shows no file dialog: write the path into the address, or drop the file here");
                    self.local.focus_address = true;
                }
                Answer::NoDialog(Purpose::Save(text)) => {
                    let kind = if text.starts_with("seconds,") { "csv" } else { "txt" };
                    let path = free_path(kind, "exchange");
                    self.write(&path, &text);
                }
            }
        }
    }

    /// A message that stays until it is closed.
    fn tell(&mut self, text: &str) {
        self.banner_until = None;
        self.model.banner = Some(Banner { text: text.to_owned(), offers: Vec::new() });
    }

    /// A message that goes by itself.
    fn pass_on(&mut self, text: &str) {
        self.tell(text);
        self.banner_until = Some(Instant::now() + PASSING);
    }

    fn dismiss(&mut self) {
        self.banner_until = None;
        self.model.banner = None;
    }

    /// Puts the newest picture into the one texture.
    fn upload(&mut self, ctx: &egui::Context) {
        let set_up = self.model.status.state != State::Init;
        let newest = self.engine.pictures().newest().filter(|_| set_up);
        let Some((number, picture)) = newest else {
            self.picture = None;
            self.model.picture = None;
            self.model.position = None;
            self.target = None;
            self.local.dragged = None;
            return;
        };
        if number == self.shown && self.model.picture.is_some() {
            return;
        }
        self.shown = number;
        self.target = None;
        let (width, height) = picture.size();
        let size = [width as usize, height as usize];
        fill(Arc::make_mut(&mut self.image), &picture, size);
        let options = TextureOptions::LINEAR;
        match &mut self.texture {
            Some(texture) if texture.size() == size => {
                texture.set_partial([0, 0], self.image.clone(), options);
            }
            texture => *texture = Some(ctx.load_texture("picture", self.image.clone(), options)),
        }
        // Pictures have far fewer than 2^24 pixels a side.
        #[allow(clippy::cast_precision_loss)]
        let size = [width as f32, height as f32];
        self.model.picture = self.texture.as_ref().map(|it| Shown { texture: it.id(), size });
        self.model.position = picture.position.map(Duration::from);
        let status = &self.model.status;
        let counted = status.frames.zip(status.duration).filter(|(_, it)| !it.is_zero());
        // Counts of frames are far below 2^52.
        #[allow(clippy::cast_precision_loss)]
        let counted = counted.map(|(frames, whole)| frames as f64 / whole.as_secs_f64());
        self.model.frame_rate = picture.frame_rate.or(counted);
        self.picture = Some(picture);
        let pressed = ctx.input(|input| input.pointer.any_down());
        if !pressed {
            self.local.dragged = None;
        }
    }

    fn open(&mut self, address: &str) {
        let play = self.model.settings.play_on_open;
        self.open_as(address, self.options, play);
    }

    fn open_as(&mut self, address: &str, options: Options, play: bool) {
        address.clone_into(&mut self.local.address);
        if address.contains(":***@") {
            self.pass_on("Write the password into the address, in place of ***");
            self.local.focus_address = true;
            return;
        }
        let same = movies::server_of(address) == movies::server_of(&self.model.status.source);
        if !same {
            self.model.movies = Movies::Unknown;
        }
        self.model.failure = None;
        self.dismiss();
        self.local.unfolded.clear();
        self.local.read_at = None;
        self.model.settings.remember(address);
        self.engine.open(address, options, play);
        self.model.status = Status { source: address.to_owned(), rate: 1.0, ..Status::default() };
        self.keep();
    }

    fn keep(&self) {
        // Documentation and tests leave no traces.
        if self.screenshot.is_none()
            && let Err(error) = self.model.settings.keep()
        {
            tracing::warn!("the settings are not kept: {error}");
        }
    }

    fn act(&mut self, ctx: &egui::Context, action: Action) {
        let source = self.model.status.source.clone();
        match action {
            Action::Open(address) => self.open(&address),
            Action::Again if !source.is_empty() => self.open_as(&source, self.options, true),
            Action::AgainBy(transport) => {
                self.open_as(&source, Options { transport, ..self.options }, true);
            }
            Action::AgainOnPort(port) => match Location::parse(&source) {
                Ok(location) => {
                    let address = Location { rtp_port: Some(port), ..location }.to_string();
                    self.open_as(&address, self.options, true);
                }
                Err(error) => self.tell(&error.to_string()),
            },
            Action::OpenFile => self.dialogs.ask(Purpose::Open, ""),
            Action::LabForm => self.local.lab_dialog = true,
            Action::OpenLab => self.open_lab(),
            Action::Setup => self.command(Command::Setup),
            Action::Play if self.model.settings.simple => {
                self.model.failure = None;
                self.engine.set_up_and_play();
            }
            Action::Play => self.command(Command::Play),
            Action::Pause => self.command(Command::Pause),
            Action::Teardown => self.command(Command::Teardown),
            Action::PlayOrPause if self.model.status.state == State::Playing => {
                self.command(Command::Pause);
            }
            Action::PlayOrPause => self.act(ctx, Action::Play),
            Action::Seek(position) => self.seek(position),
            Action::Skip(seconds) => self.skip(seconds),
            Action::Step(frames) => self.step(frames),
            Action::Faster => self.speed(1),
            Action::Slower => self.speed(-1),
            Action::Snapshot => self.snapshot(),
            Action::Record => self.record(),
            Action::FullScreen => self.full_screen(ctx, !self.model.full_screen),
            Action::Leave => {
                self.local.help = false;
                self.local.lab_dialog = false;
                self.full_screen(ctx, false);
            }
            Action::Help => self.local.help = !self.local.help,
            Action::TogglePanel(page) => self.toggle_panel(ctx, page),
            Action::ListMovies => self.list_movies(ctx, &source),
            Action::FocusAddress => self.local.focus_address = true,
            Action::CopyProtocol => ctx.copy_text(self.engine.with_log(ProtocolLog::text)),
            Action::SaveProtocol => {
                let text = self.engine.with_log(ProtocolLog::text);
                self.dialogs.ask(Purpose::Save(text), "exchange.txt");
            }
            Action::CopyStatistics => {
                let all = self.model.status.statistics;
                let text = self.engine.with_history(|it| super::statistics::text(it, &all));
                ctx.copy_text(text);
            }
            Action::SaveStatistics => {
                let text = self.engine.with_history(History::csv);
                self.dialogs.ask(Purpose::Save(text), "statistics.csv");
            }
            Action::Dismiss => self.dismiss(),
            Action::Quit => ctx.send_viewport_cmd(ViewportCommand::Close),
            setting => self.set(ctx, &setting),
        }
    }

    /// Carries out what changes a setting alone.
    fn set(&mut self, ctx: &egui::Context, action: &Action) {
        let settings = &mut self.model.settings;
        match action {
            Action::Transport(transport) => {
                settings.transport = *transport;
                self.options.transport = *transport;
            }
            Action::Theme(theme) => {
                settings.theme = *theme;
                style::choose(ctx, *theme);
            }
            Action::Simple(simple) => settings.simple = *simple,
            Action::PlayOnOpen(play) => settings.play_on_open = *play,
            _ => return,
        }
        self.keep();
    }

    fn full_screen(&mut self, ctx: &egui::Context, on: bool) {
        if self.model.full_screen != on {
            self.model.full_screen = on;
            ctx.send_viewport_cmd(ViewportCommand::Fullscreen(on));
        }
    }

    fn toggle_panel(&mut self, ctx: &egui::Context, page: Panel) {
        let narrow = ctx.content_rect().width() < view::NARROW;
        let on_show = self.model.settings.panel == page
            && page != Panel::None
            && (!narrow || self.local.panel_over_picture);
        self.model.settings.panel = if on_show { Panel::None } else { page };
        self.local.panel_over_picture = !on_show;
        self.keep();
    }

    fn open_lab(&mut self) {
        let form = self.local.lab.clone();
        let numbers = (form.port.trim().parse(), form.rtp_port.trim().parse::<u16>());
        let (Ok(port), Ok(rtp_port)) = numbers else {
            self.pass_on("Port and RTP port are numbers up to 65535; RTP port 0 takes a free one");
            return;
        };
        match Location::new(form.host.trim(), port, form.file.trim()) {
            Ok(location) => {
                let address = Location { rtp_port: Some(rtp_port), ..location }.to_string();
                self.model.settings.lab = form;
                self.local.lab_dialog = false;
                self.open(&address);
            }
            Err(error) => self.pass_on(&error.to_string()),
        }
    }

    fn list_movies(&mut self, ctx: &egui::Context, source: &str) {
        if self.movies.is_some() {
            return;
        }
        if movies::server_of(source).is_none() {
            self.pass_on("There is no server to ask: open an address of it first");
            return;
        }
        let (sender, receiver) = mpsc::channel();
        let ctx = ctx.clone();
        let asked = movies::find(source, move |addresses| {
            let _ = sender.send(addresses);
            ctx.request_repaint();
        });
        if asked.is_ok() {
            self.model.movies = Movies::Asking;
            self.movies = Some(receiver);
            self.local.open_choices = true;
        }
    }

    fn drop_files(&mut self, ctx: &egui::Context) {
        let (hovering, dropped) = ctx.input(|input| {
            let hovering = !input.raw.hovered_files.is_empty();
            (hovering, input.raw.dropped_files.first().map(|it| it.path().to_owned()))
        });
        self.model.hovering = hovering;
        if let Some(path) = dropped {
            self.open(&path.to_string_lossy());
        }
    }

    fn set_title(&mut self, ctx: &egui::Context) {
        let source = &self.model.status.source;
        let title = if source.is_empty() {
            "mjpeg-rtsp".to_owned()
        } else {
            format!("{} \u{2013} mjpeg-rtsp", movie_name(source))
        };
        if title != self.title {
            ctx.send_viewport_cmd(ViewportCommand::Title(title.clone()));
            self.title = title;
        }
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.look(ctx);
        self.set_title(ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        self.drop_files(&ctx);
        self.upload(&ctx);
        let mut actions = Vec::new();
        let (model, local) = (&self.model, &mut self.local);
        self.engine.with_log(|log| {
            self.engine.with_history(|history| {
                view::show(ui, model, log, history, local, &mut actions);
            });
        });
        for action in actions {
            self.act(&ctx, action);
        }
        if !self.model.full_screen {
            let size = ctx.content_rect().size();
            self.model.settings.size = [size.x, size.y];
        }
        if let Some(screenshot) = &mut self.screenshot {
            screenshot.pass(&ctx, self.shown, self.model.failure.is_some());
        }
    }

    /// Black beside the picture. Each pixel is drawn once: with software GL a fill below the
    /// picture costs as much as the picture.
    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        let colour = if self.model.shows_picture() { Color32::BLACK } else { visuals.panel_fill };
        colour.to_normalized_gamma_f32()
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        self.keep();
    }
}

/// Copies the picture's pixels into memory that is used again.
fn fill(image: &mut ColorImage, picture: &Picture, size: [usize; 2]) {
    if image.size != size {
        *image = ColorImage::filled(size, Color32::BLACK);
    }
    for (to, from) in image.pixels.chunks_exact_mut(size[0].max(1)).zip(picture.rows()) {
        for (to, [red, green, blue, _]) in to.iter_mut().zip(from.as_chunks::<4>().0) {
            *to = Color32::from_rgb(*red, *green, *blue);
        }
    }
}
