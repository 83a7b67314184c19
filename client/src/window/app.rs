// SPDX-License-Identifier: MIT OR Apache-2.0
//! The application: makes the model from the engine's state, and carries out the widgets' actions.

mod files;
mod movie_list;
mod playing;
mod previews;

use super::Startup;
use super::advice::{self, Advice};
use super::dialogs::{DialogResult, Dialogs, Purpose};
use super::forms::Login;
use super::model::{Action, Banner, DisplayedPicture, Model, MovieList, WidgetState};
use super::preview::Preview;
use super::screenshot::Screenshot;
use super::settings::{Panel, Settings};
use super::zoom::Zoom;
use super::{style, view};
use crate::player::engine::{Engine, Event, Status};
use crate::player::{
    Command, History, Options, PacketFormat, Picture, Protocol, ProtocolLog, State, blank_password,
    movies,
};
use eframe::egui::{
    self, Color32, ColorImage, TextureFilter, TextureHandle, TextureOptions, ViewportCommand,
};
use files::{free_path, movie_name};
use gstmjpegfile::labrtspsrc::Location;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a brief message stays.
const BRIEF_MESSAGE: Duration = Duration::from_secs(5);

/// The window's application.
pub struct App {
    engine: Engine,
    model: Model,
    widgets: WidgetState,
    dialogs: Dialogs,
    /// From the command line; the transport from the settings, if the command line states none.
    options: Options,
    texture: Option<TextureHandle>,
    /// Pixels for the next upload; the memory is reused.
    image: Arc<ColorImage>,
    /// Sequence number of the picture on screen.
    picture_number: u64,
    /// Its pixels are shown as squares.
    shown_pixels: bool,
    /// The picture on screen, for a snapshot.
    picture: Option<Arc<Picture>>,
    /// When the banner disappears; `None` if it stays.
    banner_until: Option<Instant>,
    /// Target of a seek whose picture has not arrived.
    seek_target: Option<Duration>,
    /// Receives the movies of a server or folder that has been asked.
    requested_movies: Option<mpsc::Receiver<Vec<String>>>,
    /// Which of the requested movies is opened: this many after the current one.
    awaited_neighbour: Option<i8>,
    /// The movies that were dropped together, or that a list names.
    list: Vec<String>,
    preview: Preview,
    /// The user that the form for a user and a password is filled with.
    user: String,
    screenshot: Option<Screenshot>,
    title: String,
}

impl App {
    pub fn new(
        ctx: &egui::Context,
        engine: Engine,
        settings: Settings,
        startup: &Startup,
        options: Options,
        failed: Arc<AtomicBool>,
    ) -> Self {
        let source = &startup.source;
        let widgets = WidgetState {
            address: source.as_deref().map(blank_password).unwrap_or_default(),
            lab: settings.lab.clone(),
            focus_address: source.is_none() && startup.screenshot.is_none(),
            ..WidgetState::default()
        };
        let screenshot = startup.screenshot.clone();
        let screenshot = screenshot
            .map(|(path, after)| Screenshot::new(path, after, startup.options.timeout, failed));
        Self {
            engine,
            model: Model { settings, ..Model::default() },
            widgets,
            dialogs: Dialogs::new(ctx),
            options,
            texture: None,
            image: Arc::default(),
            picture_number: 0,
            shown_pixels: false,
            picture: None,
            banner_until: None,
            seek_target: None,
            requested_movies: None,
            awaited_neighbour: None,
            list: Vec::new(),
            preview: Preview::default(),
            user: startup.user.clone().unwrap_or_default(),
            screenshot,
            title: String::new(),
        }
    }

    /// The window's size in points.
    pub fn size(&self) -> [f32; 2] {
        self.model.settings.size
    }

    /// Updates the model from the engine, the dialogs and the movie list.
    fn update_model(&mut self, ctx: &egui::Context) {
        let now = ctx.input(|input| input.time);
        // The status is read after the events, whose effects it includes.
        let events: Vec<Event> = self.engine.events().collect();
        let status = self.engine.status();
        if status.state != self.model.status.state {
            self.model.state_change = Some((self.model.status.state, now));
            if self.banner_until.is_some() || status.state == State::Playing {
                self.dismiss_banner();
            }
            // An address that has been set up is one to open again.
            if self.model.status.state == State::Init && !status.source.is_empty() {
                self.model.settings.add_to_history(&status.source);
                self.save_settings();
            }
        }
        if status.silent && self.model.banner.is_none() {
            self.model.banner = Some(advice::silence_banner(&status));
        } else if !status.silent && self.model.status.silent {
            self.dismiss_banner();
        }
        self.model.status = status;
        self.model.capture = self.engine.capture();
        for event in events {
            self.handle_event(event);
        }
        self.handle_dialog_results();
        let movies = self.requested_movies.as_ref().and_then(|receiver| receiver.try_recv().ok());
        if let Some(movies) = movies {
            self.requested_movies = None;
            self.movies_arrived(movies);
        }
        match self.banner_until {
            Some(until) if until <= Instant::now() => self.dismiss_banner(),
            Some(until) => ctx.request_repaint_after(until - Instant::now()),
            None => {}
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Failed(failure) => {
                let status = &self.model.status;
                let protocol = Protocol::from_uri(&status.source);
                self.model.failure = Some(Advice::for_failure(&failure, &status.source, protocol));
                self.dismiss_banner();
            }
            Event::Refused(reason) => self.notify_briefly(&reason),
            Event::EndOfMovie => {
                self.model.banner = Some(Banner {
                    text: "The movie has ended.".to_owned(),
                    offers: vec![("Play again", Action::Play)],
                });
            }
            Event::Recorded(recording) => {
                let path = recording.path.display();
                // Writing to a string does not fail.
                let mut text = match recording.frames {
                    0 => "No frame arrived while recording, so no file was kept".to_owned(),
                    frames => format!("Recorded {frames} frames into {path}"),
                };
                if recording.skipped > 0 {
                    let _ = write!(
                        text,
                        "; skipped {} frames (over 99999 bytes, or not JPEG)",
                        recording.skipped
                    );
                }
                if let Some(error) = recording.error {
                    let _ = write!(text, "; stopped early: {error}");
                }
                self.notify(&text);
            }
            Event::Note(text) => self.notify(&text),
        }
    }

    fn handle_dialog_results(&mut self) {
        let results: Vec<DialogResult> = self.dialogs.results().collect();
        for result in results {
            match result {
                DialogResult::Chosen(Purpose::Open, path) => self.open_files(&[path]),
                DialogResult::Chosen(Purpose::Save(text), path) => self.save_text(&path, &text),
                DialogResult::Chosen(Purpose::SavePackets(packets, _), path) => {
                    self.dialogs.save_packets(packets, &path);
                }
                DialogResult::NoDialog(Purpose::SavePackets(packets, name)) => {
                    let ending = name.rsplit('.').next().unwrap_or_default();
                    self.dialogs.save_packets(packets, &free_path(ending, "packets"));
                }
                DialogResult::Saved(path, Ok(())) => {
                    self.notify(&format!("Saved {}", path.display()));
                }
                DialogResult::Saved(path, Err(error)) => {
                    self.notify(&format!("Cannot save {}: {error}", path.display()));
                }
                DialogResult::NoDialog(Purpose::Open) => {
                    self.notify("No file dialog is available: type the path into the address field, or drop the file here");
                    self.widgets.focus_address = true;
                }
                DialogResult::NoDialog(Purpose::Save(text)) => {
                    let kind = if text.starts_with("seconds,") { "csv" } else { "txt" };
                    let path = free_path(kind, "exchange");
                    self.save_text(&path, &text);
                }
            }
        }
    }

    /// Shows a message that stays until it is closed.
    fn notify(&mut self, text: &str) {
        self.banner_until = None;
        self.model.banner = Some(Banner { text: text.to_owned(), offers: Vec::new() });
    }

    /// Shows a message that disappears by itself.
    fn notify_briefly(&mut self, text: &str) {
        self.notify(text);
        self.banner_until = Some(Instant::now() + BRIEF_MESSAGE);
    }

    fn dismiss_banner(&mut self) {
        self.banner_until = None;
        self.model.banner = None;
    }

    /// Uploads the latest picture to the texture.
    fn upload_picture(&mut self, ctx: &egui::Context) {
        let set_up = self.model.status.state != State::Init;
        let latest = self.engine.picture().get().filter(|_| set_up);
        let Some((number, picture)) = latest else {
            self.picture = None;
            self.model.picture = None;
            self.model.position = None;
            self.seek_target = None;
            self.widgets.dragged_to = None;
            return;
        };
        let shown_pixels = self.widgets.zoom.shows_pixels();
        let is_shown = number == self.picture_number && shown_pixels == self.shown_pixels;
        if is_shown && self.model.picture.is_some() {
            return;
        }
        self.picture_number = number;
        self.seek_target = None;
        self.shown_pixels = shown_pixels;
        let (width, height) = picture.size();
        let size = [width as usize, height as usize];
        copy_pixels(Arc::make_mut(&mut self.image), &picture, size);
        let mut options = TextureOptions::LINEAR;
        if shown_pixels {
            options.magnification = TextureFilter::Nearest;
        }
        match &mut self.texture {
            Some(texture) if texture.size() == size => {
                texture.set_partial([0, 0], self.image.clone(), options);
            }
            texture => *texture = Some(ctx.load_texture("picture", self.image.clone(), options)),
        }
        // Pictures have far fewer than 2^24 pixels a side.
        #[allow(clippy::cast_precision_loss)]
        let size = [width as f32, height as f32];
        self.model.picture =
            self.texture.as_ref().map(|it| DisplayedPicture { texture: it.id(), size });
        self.model.position = picture.position.map(Duration::from);
        let status = &self.model.status;
        let length = status.frames.zip(status.duration).filter(|(_, it)| !it.is_zero());
        // Counts of frames are far below 2^52.
        #[allow(clippy::cast_precision_loss)]
        let average = length.map(|(frames, duration)| frames as f64 / duration.as_secs_f64());
        self.model.frame_rate = picture.frame_rate.or(average);
        self.picture = Some(picture);
        let pressed = ctx.input(|input| input.pointer.any_down());
        if !pressed {
            self.widgets.dragged_to = None;
        }
    }

    fn open(&mut self, address: &str) {
        let play = self.model.settings.play_on_open;
        self.open_with(address, self.options.clone(), play);
    }

    fn open_with(&mut self, address: &str, options: Options, play: bool) {
        address.clone_into(&mut self.widgets.address);
        if address.contains(":***@") {
            self.notify_briefly("Replace *** in the address by the password");
            self.widgets.focus_address = true;
            return;
        }
        let same_server =
            movies::server_of(address) == movies::server_of(&self.model.status.source);
        if !same_server {
            self.model.movies = MovieList::Unknown;
        }
        self.model.failure = None;
        self.dismiss_banner();
        self.model.section_start = None;
        self.widgets.zoom = Zoom::default();
        self.widgets.unfolded.clear();
        self.widgets.row_heights.clear();
        self.widgets.sample_age = None;
        let (reconnect, repeat) = (self.model.settings.reconnect, self.model.settings.repeat);
        self.engine.open(address, Options { reconnect, repeat, ..options }, play);
        self.model.status = Status { source: address.to_owned(), rate: 1.0, ..Status::default() };
        self.save_settings();
    }

    fn save_settings(&self) {
        // A screenshot, for documentation or a test, must not change the settings.
        if self.screenshot.is_none()
            && let Err(error) = self.model.settings.save()
        {
            tracing::warn!("cannot save the settings: {error}");
        }
    }

    fn handle_action(&mut self, ctx: &egui::Context, action: Action) {
        let source = self.model.status.source.clone();
        match action {
            Action::Open(address) => self.open(&address),
            Action::Retry if !source.is_empty() => {
                self.open_with(&source, self.options.clone(), true);
            }
            Action::RetryWithTransport(transport) => {
                let (source, _) = movies::split_transport(&source);
                self.open_with(&source, Options { transport, ..self.options.clone() }, true);
            }
            Action::RetryOnPort(port) => match Location::parse(&source) {
                Ok(location) => {
                    let address = Location { rtp_port: Some(port), ..location }.to_string();
                    self.open_with(&address, self.options.clone(), true);
                }
                Err(error) => self.notify(&error.to_string()),
            },
            Action::OpenFile => self.dialogs.show(Purpose::Open, ""),
            Action::ShowLabForm => self.widgets.lab_dialog = true,
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
            Action::PlayOrPause => self.handle_action(ctx, Action::Play),
            Action::Seek(position) => self.seek(position),
            Action::Skip(seconds) => self.skip(seconds),
            Action::Step(frames) => self.step(frames),
            Action::Faster => self.change_speed(1),
            Action::Slower => self.change_speed(-1),
            Action::SetSpeed(speed) => self.set_speed(speed),
            Action::ShowGoTo if self.check_seekable() => {
                self.widgets.go_to = Some(String::new());
            }
            Action::GoTo(text) => self.go_to(&text),
            Action::MarkSection => self.mark_section(),
            Action::OpenNeighbour(steps) => self.open_neighbour(ctx, steps),
            Action::Enlarge => self.widgets.zoom.enlarge_by_key(),
            Action::ShowWholePicture => self.widgets.zoom = Zoom::default(),
            Action::ShowLogin => {
                let user = self.user.clone();
                self.widgets.login = Some(Login { user, ..Login::default() });
            }
            Action::LogIn(user, password) => self.log_in(&source, &user, &password),
            Action::Snapshot => self.save_snapshot(),
            Action::ToggleRecording => self.toggle_recording(),
            Action::ToggleFullScreen => self.set_full_screen(ctx, !self.model.full_screen),
            Action::Escape => self.close_topmost(ctx),
            Action::ToggleKeyList => self.widgets.key_list = !self.widgets.key_list,
            Action::TogglePanel(page) => self.toggle_panel(ctx, page),
            Action::ListMovies => self.list_movies(ctx, &source),
            Action::FocusAddress => self.widgets.focus_address = true,
            Action::CopyProtocol => ctx.copy_text(self.engine.with_log(ProtocolLog::text)),
            Action::SaveProtocol => {
                let text = self.engine.with_log(ProtocolLog::text);
                self.dialogs.show(Purpose::Save(text), "exchange.txt");
            }
            Action::CopyStatistics => {
                let all = self.model.status.statistics;
                let protocol = self.model.status.protocol;
                let text =
                    self.engine.with_history(|it| super::statistics::text(it, &all, protocol));
                ctx.copy_text(text);
            }
            Action::SaveStatistics => {
                let text = self.engine.with_history(History::csv);
                self.dialogs.show(Purpose::Save(text), "statistics.csv");
            }
            Action::SavePackets(format) => {
                let name = match format {
                    PacketFormat::Text => "packets.txt",
                    PacketFormat::Csv => "packets.csv",
                    PacketFormat::Pcapng => "packets.pcapng",
                };
                let packets = Arc::new(self.model.capture.snapshot());
                self.dialogs.show(Purpose::SavePackets(packets, name), name);
            }
            Action::DismissBanner => self.dismiss_banner(),
            Action::Quit => ctx.send_viewport_cmd(ViewportCommand::Close),
            setting => self.change_setting(ctx, &setting),
        }
    }

    /// Carries out an action that only changes a setting.
    fn change_setting(&mut self, ctx: &egui::Context, action: &Action) {
        let settings = &mut self.model.settings;
        match action {
            Action::SetTransport(transport) => {
                settings.transport = *transport;
                self.options.transport = *transport;
            }
            Action::SetTheme(theme) => {
                settings.theme = *theme;
                style::set_theme(ctx, *theme);
            }
            Action::SetLatency(latency) => {
                settings.latency = *latency;
                self.options.latency = *latency;
                self.notify_briefly("The latency holds for what is opened next");
            }
            Action::SetReconnect(reconnect) => {
                settings.reconnect = *reconnect;
                self.engine.set_reconnect(*reconnect);
            }
            Action::ToggleRepeat => {
                settings.repeat = !settings.repeat;
                self.engine.set_repeat(settings.repeat);
                let how = if settings.repeat { "again and again" } else { "once" };
                self.notify_briefly(&format!("Movies are played {how}"));
            }
            Action::ToggleWide => {
                settings.wide = !settings.wide;
                if settings.wide && settings.panel == Panel::None {
                    settings.panel = Panel::default();
                }
            }
            Action::ChangeTextSize(step) => settings.change_text_size(*step),
            Action::SetLadder(ladder) => settings.ladder = *ladder,
            Action::SetSimple(simple) => settings.simple = *simple,
            Action::SetPlayOnOpen(play) => settings.play_on_open = *play,
            _ => return,
        }
        self.save_settings();
    }

    fn set_full_screen(&mut self, ctx: &egui::Context, on: bool) {
        if self.model.full_screen != on {
            self.model.full_screen = on;
            ctx.send_viewport_cmd(ViewportCommand::Fullscreen(on));
        }
    }

    /// Menus and lists close by themselves.
    fn close_topmost(&mut self, ctx: &egui::Context) {
        let narrow = ctx.content_rect().width() < view::NARROW;
        if self.widgets.key_list || self.widgets.lab_dialog {
            self.widgets.key_list = false;
            self.widgets.lab_dialog = false;
        } else if self.widgets.go_to.is_some() || self.widgets.login.is_some() {
            self.widgets.go_to = None;
            self.widgets.login = None;
        } else if self.model.banner.is_some() {
            self.dismiss_banner();
        } else if self.model.full_screen {
            self.set_full_screen(ctx, false);
        } else if self.model.shows_wide_panel() {
            self.model.settings.wide = false;
            self.save_settings();
        } else if narrow && self.widgets.panel_over_picture {
            self.widgets.panel_over_picture = false;
        }
    }

    fn toggle_panel(&mut self, ctx: &egui::Context, page: Panel) {
        let narrow = ctx.content_rect().width() < view::NARROW;
        let visible = self.model.settings.panel == page
            && page != Panel::None
            && (!narrow || self.widgets.panel_over_picture || self.model.settings.wide);
        self.model.settings.panel = if visible { Panel::None } else { page };
        self.widgets.panel_over_picture = !visible;
        self.save_settings();
    }

    fn open_lab(&mut self) {
        let form = self.widgets.lab.clone();
        let numbers = (form.port.trim().parse(), form.rtp_port.trim().parse::<u16>());
        let (Ok(port), Ok(rtp_port)) = numbers else {
            self.notify_briefly(
                "Port and RTP port must be numbers up to 65535; RTP port 0 takes a free port",
            );
            return;
        };
        match Location::new(form.host.trim(), port, form.file.trim()) {
            Ok(location) => {
                let address = Location { rtp_port: Some(rtp_port), ..location }.to_string();
                self.model.settings.lab = form;
                self.widgets.lab_dialog = false;
                self.open(&address);
            }
            Err(error) => self.notify_briefly(&error.to_string()),
        }
    }

    fn drop_files(&mut self, ctx: &egui::Context) {
        let (file_hovering, dropped) = ctx.input(|input| {
            let file_hovering = !input.raw.hovered_files.is_empty();
            let dropped = input.raw.dropped_files.iter().map(|it| it.path().to_owned());
            (file_hovering, dropped.collect::<Vec<_>>())
        });
        self.model.file_hovering = file_hovering;
        self.open_files(&dropped);
    }

    /// Opens the source again, with a user and a password.
    fn log_in(&mut self, source: &str, user: &str, password: &str) {
        let Some(address) = movies::with_credentials(source, user, password) else { return };
        self.open_with(&address, self.options.clone(), true);
        self.widgets.address = blank_password(&address);
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
        self.update_model(ctx);
        self.set_title(ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        self.drop_files(&ctx);
        self.upload_picture(&ctx);
        self.update_preview(&ctx);
        let mut actions = Vec::new();
        let (model, widgets) = (&self.model, &mut self.widgets);
        self.engine.with_log(|log| {
            self.engine.with_history(|history| {
                view::show(ui, model, log, history, widgets, &mut actions);
            });
        });
        for action in actions {
            self.handle_action(&ctx, action);
        }
        if !self.model.full_screen {
            let size = ctx.content_rect().size();
            self.model.settings.size = [size.x, size.y];
        }
        if let Some(screenshot) = &mut self.screenshot {
            screenshot.after_pass(&ctx, self.picture_number, self.model.failure.is_some());
        }
    }

    /// Black around the picture. It is not drawn as a filled rectangle below the picture, which would
    /// cost as much as the picture with software GL.
    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        let colour = if self.model.shows_picture() { Color32::BLACK } else { visuals.panel_fill };
        colour.to_normalized_gamma_f32()
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        self.save_settings();
    }
}

/// Copies the picture's pixels into `image`, and reuses its memory.
fn copy_pixels(image: &mut ColorImage, picture: &Picture, size: [usize; 2]) {
    if image.size != size {
        *image = ColorImage::filled(size, Color32::BLACK);
    }
    for (to, from) in image.pixels.chunks_exact_mut(size[0].max(1)).zip(picture.rows()) {
        for (to, [red, green, blue, _]) in to.iter_mut().zip(from.as_chunks::<4>().0) {
            *to = Color32::from_rgb(*red, *green, *blue);
        }
    }
}
