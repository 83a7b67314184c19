// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the widgets, by their accessibility names.

use super::advice::{Advice, silence_banner};
use super::model::{Action, Banner, DisplayedPicture, Model, MovieList, WidgetState};
use super::settings::{Panel, Settings};
use super::{style, view};
use crate::player::engine::{Reconnection, Status};
use crate::player::{
    Command, Exchange, Failure, FailureKind, History, Packet, Protocol, ProtocolEntry, ProtocolLog,
    State, Transport,
};
use eframe::egui::{Key, Modifiers, Role, TextureId};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use gstmjpegfile::lab::{explain_reply, explain_request};
use gstmjpegfile::rtp::{RtpHeader, Timestamp};
use std::time::Duration;

pub(super) struct WindowState {
    pub model: Model,
    pub widgets: WidgetState,
    pub log: ProtocolLog,
    pub history: History,
    pub actions: Vec<Action>,
}

const SOURCE: &str = "labrtsp://127.0.0.1:1025/movie.Mjpeg";

pub(super) fn model(state: State) -> Model {
    let status = Status {
        source: SOURCE.to_owned(),
        protocol: Protocol::Lab,
        state,
        duration: Some(Duration::from_secs(25)),
        seekable: Some(true),
        rate: 1.0,
        ..Status::default()
    };
    let displayed = DisplayedPicture { texture: TextureId::default(), size: [384.0, 288.0] };
    let picture = (state != State::Init).then_some(displayed);
    let position = picture.map(|_| Duration::from_millis(12_450));
    let settings = Settings { panel: Panel::None, ..Settings::default() };
    Model { status, settings, picture, position, frame_rate: Some(20.0), ..Model::default() }
}

pub(super) fn harness(model: Model, size: [f32; 2]) -> Harness<'static, WindowState> {
    let state = WindowState {
        model,
        widgets: WidgetState::default(),
        log: ProtocolLog::default(),
        history: History::default(),
        actions: Vec::new(),
    };
    let mut harness =
        Harness::builder().with_size(size).with_context_setup(style::install).build_ui_state(
            |ui, state: &mut WindowState| {
                let WindowState { model, widgets, log, history, actions } = state;
                view::show(ui, model, log, history, widgets, actions);
            },
            state,
        );
    harness.run_steps(4);
    harness
}

pub(super) const WIDE: [f32; 2] = [1280.0, 800.0];

pub(super) fn take_actions(harness: &mut Harness<'_, WindowState>) -> Vec<Action> {
    harness.run_steps(2);
    std::mem::take(&mut harness.state_mut().actions)
}

#[test]
fn each_state_enables_its_buttons() {
    let rows = [
        (State::Init, [true, false, false, false], "State: INIT"),
        (State::Ready, [false, true, false, true], "State: READY"),
        (State::Playing, [false, false, true, true], "State: PLAYING"),
    ];
    for (state, enabled, label) in rows {
        let mut harness = harness(model(state), WIDE);
        harness.get_by_label(label);
        let buttons = [
            ("Setup", Action::Setup),
            ("Play", Action::Play),
            ("Pause", Action::Pause),
            ("Teardown", Action::Teardown),
        ];
        for ((name, action), enabled) in buttons.into_iter().zip(enabled) {
            let button = harness.get_by_label(name);
            assert_eq!(!button.accesskit_node().is_disabled(), enabled, "{state:?}: {name}");
            button.click();
            let want = if enabled { vec![action] } else { Vec::new() };
            assert_eq!(take_actions(&mut harness), want, "{state:?}: {name}");
        }
    }
}

#[test]
fn simple_mode_has_three_buttons() {
    let rows = [
        (State::Init, [true, false, false]),
        (State::Ready, [true, false, true]),
        (State::Playing, [false, true, true]),
    ];
    for (state, enabled) in rows {
        let mut model = model(state);
        model.settings.simple = true;
        let harness = harness(model, WIDE);
        for (name, enabled) in ["Play", "Pause", "Stop"].into_iter().zip(enabled) {
            let button = harness.get_by_label(name);
            assert_eq!(!button.accesskit_node().is_disabled(), enabled, "{state:?}: {name}");
        }
        assert!(harness.query_by_label("Setup").is_none());
        assert!(harness.query_by_label("Teardown").is_none());
    }
}

#[test]
fn each_key_returns_its_action() {
    let plain = Modifiers::NONE;
    let rows = [
        (Key::S, plain, Action::Setup),
        (Key::P, plain, Action::Play),
        (Key::Space, plain, Action::PlayOrPause),
        (Key::T, plain, Action::Teardown),
        (Key::ArrowLeft, plain, Action::Skip(-5)),
        (Key::ArrowRight, plain, Action::Skip(5)),
        (Key::Comma, plain, Action::Step(-1)),
        (Key::Period, plain, Action::Step(1)),
        (Key::G, plain, Action::ShowGoTo),
        (Key::L, plain, Action::ToggleRepeat),
        (Key::A, plain, Action::MarkSection),
        (Key::PageUp, plain, Action::OpenNeighbour(-1)),
        (Key::PageDown, plain, Action::OpenNeighbour(1)),
        (Key::Z, plain, Action::Enlarge),
        (Key::Num0, plain, Action::ShowWholePicture),
        (Key::Plus, plain, Action::Faster),
        (Key::Minus, plain, Action::Slower),
        (Key::F, plain, Action::ToggleFullScreen),
        (Key::Q, plain, Action::Quit),
        (Key::S, Modifiers::COMMAND, Action::Snapshot),
        (Key::R, Modifiers::COMMAND, Action::ToggleRecording),
        (Key::O, Modifiers::COMMAND, Action::OpenFile),
        (Key::L, Modifiers::COMMAND, Action::FocusAddress),
        (Key::Questionmark, plain, Action::ToggleKeyList),
        (Key::W, plain, Action::ToggleWide),
        (Key::Num3, Modifiers::COMMAND, Action::TogglePanel(Panel::Packets)),
        (Key::Plus, Modifiers::COMMAND, Action::ChangeTextSize(1)),
        (Key::Equals, Modifiers::COMMAND, Action::ChangeTextSize(1)),
        (Key::Minus, Modifiers::COMMAND, Action::ChangeTextSize(-1)),
        (Key::Num0, Modifiers::COMMAND, Action::ChangeTextSize(0)),
    ];
    let mut harness = harness(model(State::Playing), WIDE);
    for (key, modifiers, action) in rows {
        harness.key_press_modifiers(modifiers, key);
        assert_eq!(take_actions(&mut harness), [action], "{key:?}");
    }
}

#[test]
fn keys_typed_into_the_address_are_not_shortcuts() {
    let mut harness = harness(model(State::Playing), WIDE);
    harness.get_by_label("Address").focus();
    harness.run_steps(2);
    for key in [Key::S, Key::T, Key::Space, Key::ArrowLeft] {
        harness.key_press(key);
    }
    harness.get_by_label("Address").type_text("rtsp://h/m");
    assert_eq!(take_actions(&mut harness), []);
    harness.key_press(Key::Enter);
    assert_eq!(take_actions(&mut harness), [Action::Open("rtsp://h/m".to_owned())]);
}

#[test]
fn an_address_can_be_typed_without_a_click_where_one_is_expected() {
    let failure = Failure { kind: FailureKind::Lost, text: "lost".to_owned() };
    let mut failed = model(State::Init);
    failed.failure = Some(Advice::for_failure(&failure, SOURCE, Protocol::Lab));
    let welcome = Model { settings: failed.settings.clone(), ..Model::default() };
    for model in [welcome, failed] {
        let mut harness = harness(model, WIDE);
        harness.state_mut().widgets.address = String::new();
        for key in [Key::R, Key::T, Key::S, Key::P] {
            harness.key_press(key);
            let text = format!("{key:?}").to_lowercase();
            harness.event(eframe::egui::Event::Text(text));
            harness.run_steps(2);
        }
        assert_eq!(take_actions(&mut harness), []);
        assert_eq!(harness.state().widgets.address, "rtsp");
        harness.key_press(Key::Enter);
        assert_eq!(take_actions(&mut harness), [Action::Open("rtsp".to_owned())]);
    }
}

#[test]
fn an_address_that_is_pasted_is_opened_where_no_text_field_takes_it() {
    let paste = |text: &str| eframe::egui::Event::Paste(text.to_owned());
    for state in [State::Init, State::Playing] {
        let mut harness = harness(model(state), WIDE);
        harness.event(paste(" rtsp://h/m\n"));
        assert_eq!(take_actions(&mut harness), [Action::Open("rtsp://h/m".to_owned())]);
        // Any other text is there to be corrected.
        harness.event(paste("h/m\nx"));
        assert_eq!(take_actions(&mut harness), []);
        assert_eq!(harness.state().widgets.address, "h/m");
        // The field has the focus now.
        harness.run_steps(2);
        harness.event(paste("rtsp://h/n"));
        assert_eq!(take_actions(&mut harness), []);
        assert_eq!(harness.state().widgets.address, "h/mrtsp://h/n");
    }
}

#[test]
fn escape_closes_a_menu_first() {
    let mut harness = harness(model(State::Playing), WIDE);
    for (button, entry) in
        [("Menu", "Three buttons: Play, Pause, Stop"), ("Addresses and movies", "Recent addresses")]
    {
        harness.get_by_label(button).click();
        harness.run_steps(3);
        harness.get_by_label(entry);
        harness.key_press(Key::Escape);
        assert_eq!(take_actions(&mut harness), [], "{button}");
        assert!(harness.query_by_label(entry).is_none(), "{button}");
    }
    harness.key_press(Key::Escape);
    assert_eq!(take_actions(&mut harness), [Action::Escape]);
}

#[test]
fn every_entry_of_the_menu_can_be_reached_in_the_smallest_window() {
    let mut harness = harness(model(State::Playing), [480.0, 360.0]);
    harness.get_by_label("Menu").click();
    harness.run_steps(3);
    let quit = harness.get_by_label_contains("Quit");
    quit.scroll_to_me();
    harness.run_steps(20);
    let bottom = harness.get_by_label_contains("Quit").rect().bottom();
    assert!(bottom <= 360.0, "{bottom}");
    harness.get_by_label_contains("Quit").click();
    assert_eq!(take_actions(&mut harness), [Action::Quit]);
}

#[test]
fn full_screen_has_controls_while_the_pointer_moves() {
    let mut model = model(State::Playing);
    model.full_screen = true;
    let mut harness = harness(model, WIDE);
    let shown = |harness: &Harness<'_, WindowState>| harness.query_by_label("Position").is_some();
    harness.event(eframe::egui::Event::PointerMoved(eframe::egui::pos2(100.0, 100.0)));
    harness.run_steps(3);
    assert!(shown(&harness));
    harness.get_by_label("Pause").click();
    assert_eq!(take_actions(&mut harness), [Action::Pause]);
    harness.event(eframe::egui::Event::PointerMoved(eframe::egui::pos2(100.0, 100.0)));
    // Steps of a sixtieth of a second.
    harness.run_steps(60 * 3);
    assert!(!shown(&harness));
    harness.event(eframe::egui::Event::PointerMoved(eframe::egui::pos2(300.0, 100.0)));
    harness.run_steps(3);
    assert!(shown(&harness));
}

#[test]
fn frames_speed_and_recording_are_always_there() {
    let mut harness = harness(model(State::Playing), [1100.0, 700.0]);
    harness.state_mut().model.settings.panel = Panel::Protocol;
    harness.state_mut().model.status.protocol = Protocol::Rtsp;
    harness.run_steps(2);
    harness.get_by_label("frame    249  20.0 fps");
    harness.get_by_label("One frame back").click();
    assert_eq!(take_actions(&mut harness), [Action::Step(-1)]);
    harness.get_by_label("One frame forward").click();
    assert_eq!(take_actions(&mut harness), [Action::Step(1)]);
    harness.get_by_label("Record").click();
    assert_eq!(take_actions(&mut harness), [Action::ToggleRecording]);
    harness.get_by_label("Speed: 1\u{d7}").click();
    harness.run_steps(3);
    harness.get_by_label("4\u{d7}").click();
    assert_eq!(take_actions(&mut harness), [Action::SetSpeed(4.0)]);
}

#[test]
fn the_seek_bar_seeks_or_shows_why_it_cannot() {
    let mut seekable = harness(model(State::Playing), WIDE);
    seekable.get_by_label("0:12.5");
    seekable.get_by_label("-0:12.6");
    seekable.get_by_label("Position").set_value_accesskit(20.0);
    assert_eq!(take_actions(&mut seekable), [Action::Seek(Duration::from_secs(20))]);

    let mut basic = model(State::Playing);
    basic.status.seekable = Some(false);
    let basic = harness(basic, WIDE);
    assert!(basic.query_by_label("Position").is_none());
    basic.get_by_label("not seekable: the basic lab has no seeking");
}

#[test]
fn a_frame_or_a_time_is_asked_for() {
    let mut model = model(State::Playing);
    model.status.frames = Some(500);
    let mut harness = harness(model, WIDE);
    harness.state_mut().widgets.go_to = Some(String::new());
    harness.run_steps(3);
    harness.get_by_label("A frame (0 to 499), or a time as 1:23.4");
    harness.get_by_label("Frame or time").type_text("249");
    harness.run_steps(2);
    // Keys of the window do nothing meanwhile.
    harness.key_press(Key::S);
    harness.key_press(Key::Enter);
    assert_eq!(take_actions(&mut harness), [Action::GoTo("249".to_owned())]);
    assert_eq!(harness.state().widgets.go_to, None);
    harness.state_mut().widgets.go_to = Some("1".to_owned());
    harness.run_steps(3);
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    assert_eq!(harness.state().widgets.go_to, None);
}

#[test]
fn a_user_and_a_password_are_asked_for() {
    let failure = Failure { kind: FailureKind::NotAuthorized, text: "401".to_owned() };
    let mut model = model(State::Init);
    model.failure = Some(Advice::for_failure(&failure, "rtsp://h/m", Protocol::Rtsp));
    let mut harness = harness(model, WIDE);
    harness.get_by_label("Log in").click();
    assert_eq!(take_actions(&mut harness), [Action::ShowLogin]);
    harness.state_mut().widgets.login = Some(super::forms::Login::default());
    harness.run_steps(3);
    harness.get_by_role_and_label(Role::TextInput, "User").type_text("ann");
    harness.get_by_role_and_label(Role::PasswordInput, "Password").focus();
    harness.run_steps(2);
    harness.get_by_role_and_label(Role::PasswordInput, "Password").type_text("s:/");
    harness.run_steps(2);
    harness.key_press(Key::Enter);
    let want = Action::LogIn("ann".to_owned(), "s:/".to_owned());
    assert_eq!(take_actions(&mut harness), [want]);
    assert!(harness.state().widgets.login.is_none());
}

#[test]
fn a_lost_session_says_when_it_is_opened_again() {
    let mut model = model(State::Init);
    let failure = Failure { kind: FailureKind::Lost, text: "the connection was cut".to_owned() };
    let due = std::time::Instant::now() + Duration::from_hours(1);
    model.status.reconnection = Some(Reconnection { failure, attempt: 3, due });
    let mut harness = harness(model, WIDE);
    harness.get_by_label("The connection was lost");
    harness.get_by_label("the connection was cut");
    harness.get_by_label("Connecting again in 3600 s (attempt 3)");
    harness.get_by_label("Connect now").click();
    assert_eq!(take_actions(&mut harness), [Action::Retry]);
    harness.get_by_label("Give up").click();
    assert_eq!(take_actions(&mut harness), [Action::Teardown]);
}

#[test]
fn the_picture_is_enlarged_by_the_wheel_and_moved_by_dragging() {
    use eframe::egui::{Event, MouseWheelSource, MouseWheelUnit, TouchPhase, pos2, vec2};
    let mut harness = harness(model(State::Playing), WIDE);
    harness.event(Event::PointerMoved(pos2(300.0, 300.0)));
    harness.event(Event::MouseWheel {
        source: MouseWheelSource::Wheel,
        unit: MouseWheelUnit::Point,
        delta: vec2(0.0, 240.0),
        phase: TouchPhase::Move,
        modifiers: Modifiers::NONE,
    });
    harness.run_steps(30);
    let factor = harness.state().widgets.zoom.factor();
    assert!((2.0..4.0).contains(&factor), "{factor}");
    let before = harness.state().widgets.zoom;
    harness.drag_at(pos2(300.0, 300.0));
    harness.run_steps(1);
    harness.event(Event::PointerMoved(pos2(330.0, 310.0)));
    harness.run_steps(2);
    harness.drop_at(pos2(330.0, 310.0));
    assert_ne!(harness.state().widgets.zoom, before);
    assert_eq!(take_actions(&mut harness), []);
}

#[test]
fn a_failure_offers_a_solution() {
    let kind = FailureKind::PortTaken { free: Some(25002) };
    let failure = Failure { kind, text: "cannot take RTP port 25000".to_owned() };
    let mut model = model(State::Init);
    model.failure = Some(Advice::for_failure(&failure, SOURCE, Protocol::Lab));
    let mut harness = harness(model, WIDE);
    harness.get_by_label("The RTP port is in use");
    harness.get_by_label("cannot take RTP port 25000");
    harness.get_by_label("Use port 25002").click();
    assert_eq!(take_actions(&mut harness), [Action::RetryOnPort(25002)]);
}

#[test]
fn silence_shows_a_banner_with_offers() {
    let mut model = model(State::Playing);
    model.status.protocol = Protocol::Rtsp;
    model.banner = Some(silence_banner(&model.status));
    let mut harness = harness(model, WIDE);
    harness.get_by_label(
        "No packets for 3 s, although PLAY was answered with 200. A firewall may block them, or the \
         RTP port may be wrong.",
    );
    harness.get_by_label("Try TCP").click();
    assert_eq!(take_actions(&mut harness), [Action::RetryWithTransport(Transport::Tcp)]);
    harness.get_by_label("Close").click();
    assert_eq!(take_actions(&mut harness), [Action::DismissBanner]);
}

#[test]
fn the_welcome_page_opens_addresses_and_lab_servers() {
    let mut settings = Settings { panel: Panel::None, ..Settings::default() };
    settings.history = (0..7).map(|number| format!("rtsp://h/{number}")).collect();
    let mut harness = harness(Model { settings, ..Model::default() }, [480.0, 360.0]);
    harness.get_by_label("Address");
    harness.get_by_label("rtsp://h/4");
    assert!(harness.query_by_label("rtsp://h/5").is_none(), "only five recent addresses are shown");
    harness.get_by_label("rtsp://h/0").click();
    assert_eq!(take_actions(&mut harness), [Action::Open("rtsp://h/0".to_owned())]);
    harness.get_by_label("Lab server").click();
    harness.run_steps(3);
    for field in ["Host", "Port", "RTP port", "Movie"] {
        harness.get_by_role_and_label(Role::TextInput, field);
    }
    let form = harness.get_by_label("Open the lab server");
    form.scroll_to_me();
    harness.run_steps(4);
    harness.get_by_label("Open the lab server").click();
    assert_eq!(take_actions(&mut harness), [Action::OpenLab]);
}

#[test]
fn the_movies_of_the_server_are_listed() {
    let mut model = model(State::Playing);
    let movie = "labrtsp://127.0.0.1:1025/other.Mjpeg".to_owned();
    model.movies = MovieList::Known(vec![movie.clone()]);
    let mut harness = harness(model, WIDE);
    harness.get_by_label("Addresses and movies").click();
    harness.run_steps(3);
    harness.get_by_label("Movies of 127.0.0.1:1025");
    harness.get_by_label(&movie).click();
    assert_eq!(take_actions(&mut harness), [Action::Open(movie)]);
}

#[test]
fn entries_of_the_exchange_unfold_into_explained_lines() {
    let mut model = model(State::Ready);
    model.settings.panel = Panel::Protocol;
    let header = RtpHeader::jpeg(1207, Timestamp::from_ticks(5_427_000), 0x1c2f_03aa, true);
    model.status.last_packet = Some(Packet { header, payload_len: 6014 });
    let mut harness = harness(model, WIDE);
    let request = "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000";
    let sent = Exchange::Request(request.to_owned());
    let text = "RTSP/1.0 200 OK\nCSeq: 2\nSession: 539239\n".to_owned();
    let asked = Some((gstmjpegfile::lab::Method::Setup, 1));
    let received = Exchange::Reply { text: text.clone(), request: asked };
    let log = &mut harness.state_mut().log;
    log.push(Duration::from_millis(7), &sent);
    log.push(Duration::from_millis(9), &received);
    harness.run_steps(3);
    let summary = |exchange| ProtocolEntry { at: Duration::ZERO, exchange }.summary();
    let row = format!("sent after 0.007 s: SETUP movie.Mjpeg RTSP/1.0 {}", summary(sent));
    harness.get_by_label(&row).click();
    harness.run_steps(3);
    let row = format!("received after 0.009 s: RTSP/1.0 200 OK {}", summary(received));
    harness.get_by_label(&row).click();
    harness.run_steps(3);
    for explanation in [explain_request(request), explain_reply(&text, asked)] {
        for (line, sentence) in &explanation.lines {
            for label in [line, sentence] {
                assert!(harness.query_all_by_label(label).next().is_some(), "{label}");
            }
        }
    }
    for remark in explain_reply(&text, asked).remarks {
        harness.get_by_label(&remark);
    }
    harness.get_by_label(
        "Last RTP header: V 2, P 0, X 0, CC 0, M 1, PT 26, sequence number 1207, timestamp 5427000, \
         SSRC 1c2f03aa",
    );
    harness.get_by_label("Copy").click();
    assert_eq!(take_actions(&mut harness), [Action::CopyProtocol]);
}

#[test]
fn statistics_have_accessibility_names_with_units() {
    let mut model = model(State::Playing);
    model.settings.panel = Panel::Statistics;
    let mut harness = harness(model, WIDE);
    for quarter in 0..9_u32 {
        let counts = crate::player::Statistics {
            frames: u64::from(quarter) * 5,
            received: u64::from(quarter) * 45,
            lost: u64::from(quarter) * 5,
            bytes: u64::from(quarter) * 250_000,
            jitter: 1_500_000,
            ..crate::player::Statistics::default()
        };
        let at = f64::from(quarter) / 4.0;
        harness.state_mut().history.push(at, counts, Duration::from_millis(51));
    }
    harness.run_steps(3);
    for label in [
        "Data rate: 8.00 Mbit/s",
        "Frames: 20.0 frames/s",
        "Packet loss, last second: 10.00 %",
        "Jitter: 1.50 ms",
        "Time between frames: 51.0 ms",
    ] {
        harness.get_by_label(label);
    }
    harness.state_mut().model.status.protocol = Protocol::None;
    harness.run_steps(3);
    harness.get_by_label("Frames: 20.0 frames/s");
    for label in ["Data rate: 8.00 Mbit/s", "Jitter: 1.50 ms"] {
        assert!(harness.query_by_label(label).is_none(), "{label} of a file");
    }
    harness.get_by_label("Save\u{2026}").click();
    assert_eq!(take_actions(&mut harness), [Action::SaveStatistics]);
}

#[test]
fn no_control_is_clipped_down_to_the_smallest_window() {
    for size in [[480.0, 360.0], [640.0, 480.0], [799.0, 600.0], [800.0, 600.0], WIDE] {
        for panel in [Panel::Protocol, Panel::Statistics, Panel::Packets] {
            let mut model = model(State::Playing);
            model.settings.panel = panel;
            let banner = Banner { text: "The movie has ended.".to_owned(), offers: Vec::new() };
            model.banner = Some(banner);
            let harness = harness(model, size);
            let names = [
                "Setup",
                "Play",
                "Pause",
                "Teardown",
                "One frame back",
                "One frame forward",
                "Speed: 1\u{d7}",
                "Record",
                "frame    249  20.0 fps",
                "State: PLAYING",
                "Menu",
                "Open",
                "Position",
            ];
            let areas: Vec<_> = names.iter().map(|it| harness.get_by_label(it).rect()).collect();
            for (name, area) in names.iter().zip(&areas) {
                let inside = area.left() >= 0.0
                    && area.top() >= 0.0
                    && area.right() <= size[0]
                    && area.bottom() <= size[1];
                assert!(inside, "{name} at {size:?}: {area}");
            }
            // No control overlaps another.
            for (at, (name, area)) in names.iter().zip(&areas).enumerate() {
                for (other, covered) in names.iter().zip(&areas).skip(at + 1) {
                    let overlap = area.intersect(*covered);
                    assert!(!overlap.is_positive(), "{name} and {other} at {size:?}: {overlap}");
                }
            }
        }
    }
}

#[test]
fn every_control_can_be_reached_by_tab() {
    let mut harness = harness(model(State::Playing), WIDE);
    let mut reached = Vec::new();
    for _ in 0..12 {
        harness.key_press(Key::Tab);
        harness.run_steps(2);
        let focused = harness.root().children_recursive().find(egui_kittest::Node::is_focused);
        if let Some(name) = focused.and_then(|node| node.accesskit_node().label()) {
            reached.push(name);
        }
    }
    for name in ["Address", "Addresses and movies", "Open", "Menu", "Position", "Pause", "Teardown"]
    {
        assert!(reached.iter().any(|it| it == name), "{name}: {reached:?}");
    }
}

#[test]
fn the_labels_are_those_of_the_lab() {
    let labels: Vec<&str> = Command::ALL.into_iter().map(Command::label).collect();
    assert_eq!(labels, ["Setup", "Play", "Pause", "Teardown"]);
}
