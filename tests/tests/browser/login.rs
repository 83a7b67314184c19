// SPDX-License-Identifier: MIT OR Apache-2.0
//! Users and passwords in the browser. Its dialog is answered over the debugging pipe.

use super::{FRAMES, Site};
use crate::http_access::add_user;
use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::browser::Browser;
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::Server;
use serde_json::json;
use std::time::Instant;

/// The passwords of ana, a viewer, and of olga, an operator.
const ANA: &str = "plain-1729";
const OLGA: &str = "Zaubersäge-87539319";

/// A server of a movie for users, which has one more for all.
fn site() -> Result<Site> {
    let folder = Folder::new()?;
    folder.file("movie.mjpeg", &movies::movie(&movies::coloured(FRAMES)?)?)?;
    let config = folder.path().join("server.toml");
    add_user(&config, ["ana", "viewer", ANA], "digest")?;
    add_user(&config, ["olga", "operator", OLGA], "digest")?;
    let users = std::fs::read_to_string(&config)?;
    let text = format!(
        "http = '127.0.0.1:0'\n{users}\n[defaults]\nframerate = 10\nloop = true\n\
         [[mount]]\npath = 'movie.mjpeg'\nname = 'closed.mjpeg'\nusers = ['ana', 'olga']\n\
         [[mount]]\npath = 'movie.mjpeg'\nname = 'open.mjpeg'\n"
    );
    folder.file("server.toml", text.as_bytes())?;
    let server = Server::start(["--config".as_ref(), config.as_os_str()], 2)?;
    let address = server.http_address()?;
    Ok(Site { browser: Browser::start()?, server, address, folder })
}

const USER: &str =
    "document.querySelector('#user').hidden ? null : document.querySelector('#user').textContent";

impl Site {
    /// Logs in by the link on the page, with the answers to the browser's questions.
    fn log_in(&mut self, answers: &[Option<(&str, &str)>]) -> Result<()> {
        self.browser.answer_logins(answers)?;
        self.open("/")?;
        self.browser.wait_for("!document.querySelector('#login').hidden")?;
        self.browser.click("#login")
    }

    /// Checks that the browser has reported refusals only.
    fn is_well_but_for_refusals(&mut self) -> Result<()> {
        // Chromium looks for an icon of texts too.
        let is_refusal = |it: &String| {
            [" 401 (Unauthorized)", " 403 (Forbidden)", "/favicon.ico"]
                .iter()
                .any(|part| it.contains(part))
        };
        let problems: Vec<String> =
            self.browser.problems().into_iter().filter(|it| !is_refusal(it)).collect();
        ensure!(problems.is_empty(), "{problems:#?}");
        self.server.is_well()
    }
}

#[test]
fn a_wrong_password_is_refused_and_the_right_one_shows_the_movies() -> Result<()> {
    let mut site = site()?;
    // Without a login, the page shows the movies that need none.
    site.open_wall("/", 1)?;
    assert_eq!(
        site.browser.text("document.querySelector('#grid .name').textContent")?,
        "open.mjpeg"
    );
    // A wrong password, an unknown name, then Cancel. The browser sends a wrong password with the requests of
    // other pages too, and asks again, so there is no other page.
    site.browser.open("about:blank")?;
    site.browser.answer_logins(&[Some(("ana", "wrong")), Some(("eve", ANA)), None])?;
    site.open("/login")?;
    site.browser
        .wait_for("document.body.innerText.includes('A user and a password are needed.')")?;
    let login = site.url("/login");
    let asked = site.browser.asked_logins();
    assert_eq!(asked.len(), 3, "{asked:?}");
    for [scheme, realm, url] in &asked {
        assert_eq!((scheme.as_str(), url), ("digest", &login));
        ensure!(!realm.is_empty(), "no realm");
    }
    site.open_wall("/", 1)?;
    assert_eq!(site.browser.value(USER)?, json!(null));
    // The right one, which the browser is asked for once.
    site.log_in(&[Some(("ana", ANA))])?;
    site.browser.wait_for(&format!("({USER}) === 'ana'"))?;
    site.open_wall("/", 2)?;
    site.browser.wait_for(&format!("({USER}) === 'ana'"))?;
    ensure!(site.browser.value("document.querySelector('#login').hidden")? == true, "still asks");
    site.browser.click("#grid a[href$='closed.mjpeg']")?;
    site.wait_until_it_plays()?;
    let frame = "document.querySelector('.frame').textContent";
    let first = site.browser.text(frame)?;
    site.browser.wait_for(&format!("{frame} !== {}", json!(first)))?;
    assert_eq!(site.browser.value(USER)?, "ana");
    // Plain images, as other pages have them, play too.
    site.browser.value(
        "(() => { const image = new Image(); image.id = 'plain'; \
         image.src = '/mounts/closed.mjpeg/stream.mjpeg'; document.body.append(image); })()",
    )?;
    site.browser.wait_for("document.querySelector('#plain').naturalWidth === 192")?;
    assert_eq!(site.browser.asked_logins().len(), 4);
    let log = site.server.log()?;
    ensure!(log.contains("wrong name or password") && !log.contains(ANA), "{log}");
    site.is_well_but_for_refusals()
}

#[test]
fn only_an_operator_may_close_a_session() -> Result<()> {
    let mut site = site()?;
    let url = site.server.urls.iter().find(|url| url.ends_with("open.mjpeg")).context("no URL")?;
    let url = url.clone();
    let mut player = RtspClient::connect(site.server.address()?)?;
    player.play(&url, "tcp")?;
    player.receive_packets(3)?;
    let close = "fetch('/api/v1/sessions/1/close', { method: 'POST' }).then(it => it.status)";
    let heading = "document.querySelector('#viewers .empty:not([hidden]) h2')?.textContent";
    // Nobody, and a viewer: 401 and 403.
    site.browser.answer_logins(&[])?;
    site.open("/#viewers")?;
    site.browser.wait_for(&format!("{heading} === 'You may not see who is watching'"))?;
    assert_eq!(site.browser.value(close)?, 401);
    site.log_in(&[Some(("ana", ANA))])?;
    site.browser.wait_for(&format!("({USER}) === 'ana'"))?;
    site.open("/#viewers")?;
    site.browser.wait_for(&format!("{heading} === 'You may not see who is watching'"))?;
    assert_eq!(site.browser.value(close)?, 403);
    player.receive_packets(20)?;
    // An operator, in a browser that knows nobody yet.
    site.browser = Browser::start()?;
    site.log_in(&[Some(("olga", OLGA))])?;
    site.browser.wait_for(&format!("({USER}) === 'olga'"))?;
    site.open("/#viewers")?;
    site.browser.wait_for("document.querySelector('#viewers .session .last button') !== null")?;
    site.browser.click("#viewers .session .last button")?;
    site.browser.wait_for("document.querySelector('dialog') !== null")?;
    site.browser.click("dialog .accent")?;
    site.browser.wait_for(&format!("{heading} === 'Nobody is watching'"))?;
    player.receive_until_bye(Instant::now() + mjpeg_rtsp_tests::peer::browser::LIMIT)?;
    let log = site.server.log()?;
    ensure!(log.contains("session ended: closed by an operator"), "{log}");
    site.is_well_but_for_refusals()
}
