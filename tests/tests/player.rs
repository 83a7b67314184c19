// SPDX-License-Identifier: MIT OR Apache-2.0
//! The player's states, as the lab defines them.

use anyhow::Result;
use mjpeg_rtsp_client::player::{Player, State, Transport};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::programs::Server;
use mjpeg_rtsp_tests::wait_until;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// Runs the main loop until `ready`.
fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let context = glib::MainContext::default();
    wait_until(what, LIMIT, || {
        while context.iteration(false) {}
        ready()
    });
}

#[test]
fn the_states_are_the_labs_and_a_movie_plays_twice() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(20, "I420")?)?)?;
    let mut server = Server::start([movie], 1)?;
    for transport in [Transport::Tcp, Transport::Udp] {
        let player = Player::new(&server.urls[0], transport, 0)?;
        let sink = gst::ElementFactory::make("fakesink").property("sync", true).build()?;
        player.set_video_sink(&sink);
        let refused = Rc::new(RefCell::new(Vec::new()));
        let slot = refused.clone();
        player.connect_refused(move |text| slot.borrow_mut().push(text.to_owned()));
        let error = Rc::new(RefCell::new(None));
        let slot = error.clone();
        player.connect_error(move |text| {
            slot.replace(Some(text.to_owned()));
        });
        let ends = Rc::new(Cell::new(0));
        let count = ends.clone();
        player.connect_end_of_movie(move || count.set(count.get() + 1));
        let in_state = |state: State| {
            until(state.name(), || {
                assert_eq!(*error.borrow(), None, "{transport:?}");
                player.state() == state
            });
        };

        player.command("teardown");
        for command in ["play", "pause"] {
            player.command(command);
        }
        assert_eq!(refused.borrow().len(), 2, "{:?}", refused.borrow());
        player.command("setup");
        assert_eq!(player.state(), State::Init, "not before the server's answer");
        in_state(State::Ready);
        player.command("setup");
        player.command("pause");
        assert_eq!(refused.borrow().len(), 4, "{:?}", refused.borrow());
        player.command("play");
        in_state(State::Playing);
        until("frames", || player.statistics().frames >= 5);
        player.command("pause");
        in_state(State::Ready);
        let paused = player.statistics().frames;
        assert!(paused < 20);
        player.command("play");
        in_state(State::Playing);
        until("the end", || ends.get() == 1);
        assert_eq!(player.state(), State::Ready);
        let first = player.statistics().frames;
        assert!(first >= 20, "{first} frames");

        player.command("play");
        until("the second end", || {
            assert_eq!(*error.borrow(), None, "{transport:?}");
            ends.get() == 2
        });
        let second = player.statistics().frames - first;
        assert!(second >= 20, "{transport:?}: {second} frames of 20 the second time");
        player.command("teardown");
        assert_eq!(player.state(), State::Init);
        player.command("setup");
        in_state(State::Ready);
        player.command("teardown");
    }
    server.is_well()
}
