// SPDX-License-Identifier: MIT OR Apache-2.0
//! The widgets, driven by what a screen reader is told of them.

use super::advice::{Advice, on_silence};
use super::model::{Action, Banner, Local, Model, Movies, Shown};
use super::settings::{Panel, Settings};
use super::{style, view};
use crate::player::engine::Status;
use crate::player::{
    Command, Exchange, Failure, FailureKind, History, Packet, Protocol, ProtocolLog, State,
    Transport,
};
use eframe::egui::{Key, Modifiers, Role, TextureId};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use gstmjpegfile::rtp::{RtpHeader, Timestamp};
use std::time::Duration;

struct World {
    model: Model,
    local: Local,
    log: ProtocolLog,
    history: History,
    actions: Vec<Action>,
}

const SOURCE: &str = "labrtsp://127.0.0.1:1025/movie.Mjpeg";

fn model(state: State) -> Model {
    let status = Status {
        source: SOURCE.to_owned(),
        protocol: Protocol::Lab,
        state,
        duration: Some(Duration::from_secs(25)),
        seekable: Some(true),
        rate: 1.0,
        ..Status::default()
    };
    let shown = Shown { texture: TextureId::default(), size: [384.0, 288.0] };
    let picture = (state != State::Init).then_some(shown);
    let position = picture.map(|_| Duration::from_millis(12_450));
    let settings = Settings { panel: Panel::None, ..Settings::default() };
    Model { status, settings, picture, position, frame_rate: Some(20.0), ..Model::default() }
}

fn harness(model: Model, size: [f32; 2]) -> Harness<'static, World> {
    let world = World {
        model,
        local: Local::default(),
        log: ProtocolLog::default(),
        history: History::default(),
        actions: Vec::new(),
    };
    let mut harness =
        Harness::builder().with_size(size).with_context_setup(style::install).build_ui_state(
            |ui, world: &mut World| {
                let World { model, local, log, history, actions } = world;
                view::show(ui, model, log, history, local, actions);
            },
            world,
        );
    harness.run_steps(4);
    harness
}

const WIDE: [f32; 2] = [1280.0, 800.0];

fn taken(harness: &mut Harness<'_, World>) -> Vec<Action> {
    harness.run_steps(2);
    std::mem::take(&mut harness.state_mut().actions)
}

#[test]
fn each_state_has_its_buttons() {
    let rows = [
        (State::Init, [true, false, false, false], "State: INIT"),
        (State::Ready, [false, true, false, true], "State: READY"),
        (State::Playing, [false, false, true, true], "State: PLAYING"),
    ];
    for (state, enabled, told) in rows {
        let mut harness = harness(model(state), WIDE);
        harness.get_by_label(told);
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
            assert_eq!(taken(&mut harness), want, "{state:?}: {name}");
        }
    }
}

#[test]
fn three_buttons_set_up_by_themselves() {
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
fn every_key_does_what_the_list_says() {
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
        (Key::Plus, plain, Action::Faster),
        (Key::Minus, plain, Action::Slower),
        (Key::F, plain, Action::FullScreen),
        (Key::Q, plain, Action::Quit),
        (Key::S, Modifiers::COMMAND, Action::Snapshot),
        (Key::R, Modifiers::COMMAND, Action::Record),
        (Key::O, Modifiers::COMMAND, Action::OpenFile),
        (Key::L, Modifiers::COMMAND, Action::FocusAddress),
        (Key::Questionmark, plain, Action::Help),
    ];
    let mut harness = harness(model(State::Playing), WIDE);
    for (key, modifiers, action) in rows {
        harness.key_press_modifiers(modifiers, key);
        assert_eq!(taken(&mut harness), [action], "{key:?}");
    }
}

#[test]
fn what_is_typed_into_the_address_is_no_command() {
    let mut harness = harness(model(State::Playing), WIDE);
    harness.get_by_label("Address").focus();
    harness.run_steps(2);
    for key in [Key::S, Key::T, Key::Space, Key::ArrowLeft] {
        harness.key_press(key);
    }
    harness.get_by_label("Address").type_text("rtsp://h/m");
    assert_eq!(taken(&mut harness), []);
    harness.key_press(Key::Enter);
    assert_eq!(taken(&mut harness), [Action::Open("rtsp://h/m".to_owned())]);
}

#[test]
fn the_bar_seeks_where_one_can_and_says_why_not() {
    let mut there = harness(model(State::Playing), WIDE);
    there.get_by_label("0:12.5");
    there.get_by_label("-0:12.6");
    there.get_by_label("Position").set_value_accesskit(20.0);
    assert_eq!(taken(&mut there), [Action::Seek(Duration::from_secs(20))]);

    let mut basic = model(State::Playing);
    basic.status.seekable = Some(false);
    let basic = harness(basic, WIDE);
    assert!(basic.query_by_label("Position").is_none());
    basic.get_by_label_contains("the basic lab has no seeking");
}

#[test]
fn a_failure_offers_its_next_step() {
    let kind = FailureKind::PortTaken { free: Some(25002) };
    let failure = Failure { kind, text: "cannot take RTP port 25000".to_owned() };
    let mut model = model(State::Init);
    model.failure = Some(Advice::on(&failure, SOURCE, Protocol::Lab));
    let mut harness = harness(model, WIDE);
    harness.get_by_label("The RTP port is taken");
    harness.get_by_label("cannot take RTP port 25000");
    harness.get_by_label("Use port 25002").click();
    assert_eq!(taken(&mut harness), [Action::AgainOnPort(25002)]);
}

#[test]
fn silence_is_a_banner_that_helps() {
    let mut model = model(State::Playing);
    model.status.protocol = Protocol::Rtsp;
    model.banner = Some(on_silence(&model.status));
    let mut harness = harness(model, WIDE);
    harness.get_by_label_contains("No packets for 3 s");
    harness.get_by_label("Try TCP").click();
    assert_eq!(taken(&mut harness), [Action::AgainBy(Transport::Tcp)]);
    harness.get_by_label("Close").click();
    assert_eq!(taken(&mut harness), [Action::Dismiss]);
}

#[test]
fn before_the_first_movie_there_are_ways_to_open_one() {
    let mut settings = Settings { panel: Panel::None, ..Settings::default() };
    settings.history = (0..7).map(|number| format!("rtsp://h/{number}")).collect();
    let mut harness = harness(Model { settings, ..Model::default() }, [480.0, 360.0]);
    harness.get_by_label("Address");
    harness.get_by_label("rtsp://h/4");
    assert!(harness.query_by_label("rtsp://h/5").is_none(), "the last five");
    harness.get_by_label("rtsp://h/0").click();
    assert_eq!(taken(&mut harness), [Action::Open("rtsp://h/0".to_owned())]);
    harness.get_by_label("Lab server").click();
    harness.run_steps(3);
    for field in ["Host", "Port", "RTP port", "Movie"] {
        harness.get_by_role_and_label(Role::TextInput, field);
    }
    let form = harness.get_by_label("Open the lab server");
    form.scroll_to_me();
    harness.run_steps(4);
    harness.get_by_label("Open the lab server").click();
    assert_eq!(taken(&mut harness), [Action::OpenLab]);
}

#[test]
fn the_servers_movies_are_listed() {
    let mut model = model(State::Playing);
    let movie = "labrtsp://127.0.0.1:1025/other.Mjpeg".to_owned();
    model.movies = Movies::Known(vec![movie.clone()]);
    let mut harness = harness(model, WIDE);
    harness.get_by_label("Addresses and movies").click();
    harness.run_steps(3);
    harness.get_by_label("Movies of 127.0.0.1:1025");
    harness.get_by_label(&movie).click();
    assert_eq!(taken(&mut harness), [Action::Open(movie)]);
}

#[test]
fn the_exchange_unfolds_line_by_line() {
    let mut model = model(State::Ready);
    model.settings.panel = Panel::Protocol;
    let header = RtpHeader::jpeg(1207, Timestamp::from_ticks(5_427_000), 0x1c2f_03aa, true);
    model.status.last_packet = Some(Packet { header, payload: 6014 });
    let mut harness = harness(model, WIDE);
    let request = "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000";
    let log = &mut harness.state_mut().log;
    log.take(7, &Exchange::Request(request.to_owned()));
    let text = "RTSP/1.0 200 OK\nCSeq: 2\nSession: 539239\n".to_owned();
    let asked = Some((gstmjpegfile::lab::Method::Setup, 1));
    log.take(9, &Exchange::Reply { text, asked });
    harness.run_steps(3);
    harness.get_by_label_contains("sent after 0.007 s: SETUP movie.Mjpeg").click();
    harness.run_steps(3);
    harness.get_by_label_contains("received after 0.009 s: RTSP/1.0 200 OK").click();
    harness.run_steps(3);
    harness.get_by_label_contains("port 25000 of the client");
    harness.get_by_label_contains("session 539239: the client repeats it");
    harness.get_by_label_contains("CSeq repeats that of the request, 1, but received 2");
    harness.get_by_label_contains("sequence number 1207, timestamp 5427000, SSRC 1c2f03aa");
    harness.get_by_label("Copy").click();
    assert_eq!(taken(&mut harness), [Action::CopyProtocol]);
}

#[test]
fn statistics_are_told_with_their_units() {
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
        harness.state_mut().history.take(at, counts, Duration::from_millis(51));
    }
    harness.run_steps(3);
    for told in [
        "Data rate: 8.00 Mbit/s",
        "Frames: 20.0 frames/s",
        "Packet loss, last second: 10.00 %",
        "Jitter: 1.50 ms",
        "Time between frames: 51.0 ms",
    ] {
        harness.get_by_label(told);
    }
    harness.get_by_label("Save\u{2026}").click();
    assert_eq!(taken(&mut harness), [Action::SaveStatistics]);
}

#[test]
fn no_control_is_clipped_down_to_the_smallest_window() {
    for size in [[480.0, 360.0], [640.0, 480.0], [799.0, 600.0], [800.0, 600.0], WIDE] {
        for panel in [Panel::Protocol, Panel::Statistics] {
            let mut model = model(State::Playing);
            model.settings.panel = panel;
            let banner = Banner { text: "The movie is over.".to_owned(), offers: Vec::new() };
            model.banner = Some(banner);
            let harness = harness(model, size);
            let names = [
                "Setup",
                "Play",
                "Pause",
                "Teardown",
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
            // None covers another.
            for (at, (name, area)) in names.iter().zip(&areas).enumerate() {
                for (other, covered) in names.iter().zip(&areas).skip(at + 1) {
                    let cut = area.intersect(*covered);
                    assert!(!cut.is_positive(), "{name} and {other} at {size:?}: {cut}");
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
fn the_words_are_the_labs() {
    let words: Vec<&str> = Command::ALL.into_iter().map(super::model::word).collect();
    assert_eq!(words, ["Setup", "Play", "Pause", "Teardown"]);
}
