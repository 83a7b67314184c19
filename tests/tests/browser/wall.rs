// SPDX-License-Identifier: MIT OR Apache-2.0
//! The wall of previews.

use super::Site;
use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder, frame_of};
use mjpeg_rtsp_tests::pace;
use mjpeg_rtsp_tests::peer::browser::{Appearance, LIMIT};
use mjpeg_rtsp_tests::peer::display::Screen;
use std::time::{Duration, Instant};

/// Where the pictures of the tiles are.
fn pictures(site: &mut Site) -> Result<Vec<[usize; 4]>> {
    let boxes = site.browser.value(
        "[...document.querySelectorAll('#grid .picture')].map(it => it.getBoundingClientRect()) \
         .map(it => [it.left, it.top, it.right, it.bottom].map(Math.round))",
    )?;
    Ok(serde_json::from_value(boxes)?)
}

fn middle([left, top, right, bottom]: [usize; 4]) -> (usize, usize) {
    (left.midpoint(right), top.midpoint(bottom))
}

/// The frames that the tiles show.
fn frames(screen: &Screen, pictures: &[[usize; 4]]) -> Vec<Option<usize>> {
    pictures.iter().map(|it| frame_of(screen.at(middle(*it).0, middle(*it).1))).collect()
}

/// Checks that two screenshots are the same outside of the pictures.
fn same_around(one: &Screen, other: &Screen, pictures: &[[usize; 4]]) -> Result<()> {
    // The shadow of a picture, and half a pixel at its edge.
    const MARGIN: usize = 2;
    for y in 0..Appearance::LAPTOP.height {
        for x in 0..Appearance::LAPTOP.width {
            let is_inside = pictures.iter().any(|[left, top, right, bottom]| {
                x + MARGIN >= *left
                    && x <= *right + MARGIN
                    && y + MARGIN >= *top
                    && y <= *bottom + MARGIN
            });
            ensure!(is_inside || one.at(x, y) == other.at(x, y), "the pixel at {x}, {y} differs");
        }
    }
    Ok(())
}

#[test]
fn the_wall_moves() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg", "b.mjpeg", "c.mjpeg"], &[])?;
    site.open_wall("/", 3)?;
    // The link of this view gets its colour by a transition.
    site.browser.wait_for("document.getAnimations().length === 0")?;
    let pictures = pictures(&mut site)?;
    let before = site.browser.screenshot()?;
    let first = frames(&before, &pictures);
    ensure!(first.iter().all(Option::is_some), "{first:?}");
    let end = Instant::now() + LIMIT;
    let after = loop {
        let screen = site.browser.screenshot()?;
        let shown = frames(&screen, &pictures);
        let all_moved = shown.iter().zip(&first).all(|(now, then)| now.is_some() && now != then);
        if all_moved {
            break screen;
        }
        ensure!(Instant::now() < end, "{first:?} and then {shown:?}");
    };
    same_around(&before, &after, &pictures)?;

    // By the button they stand still.
    site.browser.click("#moving")?;
    site.browser.wait_for("document.querySelector('#moving').ariaPressed === 'false'")?;
    site.browser.point((5.0, 790.0))?;
    // A picture that was being loaded may still come.
    pace(Duration::from_secs(1));
    let before = frames(&site.browser.screenshot()?, &pictures);
    pace(Duration::from_millis(1200));
    assert_eq!(before, frames(&site.browser.screenshot()?, &pictures));
    site.is_well()
}

#[test]
fn a_click_counts_while_its_picture_or_its_reason_changes() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg"], &[])?;
    // The picture under the pointer changes while the button is down, as it does twice a second.
    site.open_wall("/", 1)?;
    let middle = site.browser.middle_of("#grid .picture")?;
    site.browser.value("window.pressed = document.querySelector('#grid img')")?;
    site.browser.press(middle)?;
    site.browser.wait_for("window.pressed !== document.querySelector('#grid img')")?;
    site.browser.release(middle)?;
    site.browser.wait_for("location.pathname === '/play/a.mjpeg'")?;
    // The list that cannot be loaded is asked for again every few seconds.
    site.browser.run_first(
        "window.asked = 0; \
         window.fetch = async () => { window.asked += 1; throw new TypeError('no network'); }; \
         addEventListener('click', (event) => { window.clicked = event.target.textContent; });",
    )?;
    site.open("/")?;
    site.browser.wait_for("document.querySelector('#wall-empty button') !== null")?;
    let middle = site.browser.middle_of("#wall-empty button")?;
    site.browser.press(middle)?;
    site.browser.value("window.before = window.asked")?;
    site.browser.wait_for("window.asked > window.before + 1")?;
    site.browser.release(middle)?;
    site.browser.wait_for("window.clicked === 'Try again'")?;
    assert_eq!(site.browser.text("document.activeElement.textContent")?, "Try again");
    site.is_well()
}

#[test]
fn the_pictures_stand_still_where_little_motion_is_preferred() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg"], &[])?;
    site.browser.set_appearance(Appearance { still: true, ..Appearance::LAPTOP })?;
    site.open_wall("/", 1)?;
    assert_eq!(site.browser.text("document.querySelector('#moving').ariaPressed")?, "false");
    site.is_well()
}

/// A folder of movies of one frame each.
fn many(number: usize) -> Result<Folder> {
    let folder = Folder::new()?;
    let movie = movies::movie(&movies::coloured(1)?)?;
    let first = folder.file("movie-0000.mjpeg", &movie)?;
    for at in 1..number {
        std::fs::hard_link(&first, folder.path().join(format!("movie-{at:04}.mjpeg")))?;
    }
    Ok(folder)
}

#[test]
fn of_thousands_of_movies_only_those_in_view_are_loaded() -> Result<()> {
    const MOVIES: usize = 3000;
    let mut site = Site::serve(many(MOVIES)?, &[])?;
    site.open_wall("/", 15)?;
    assert_eq!(
        site.browser.text("document.querySelector('#wall-count').textContent")?,
        "3,000 movies"
    );
    let tiles = site.browser.value("document.querySelectorAll('#grid li').length")?;
    let tiles = tiles.as_u64().context("no number")?;
    ensure!(tiles < 60, "{tiles} tiles exist");
    let asked = |site: &mut Site| -> Vec<String> {
        let urls = site.browser.requests().into_iter().filter(|url| url.contains("/snapshot.jpg"));
        urls.collect()
    };
    let before = asked(&mut site);
    ensure!(before.len() >= 15 && before.iter().all(|it| it.contains("/movie-00")), "{before:?}");

    // The last one, by the keyboard.
    site.browser.value("document.querySelector('#grid a').focus()")?;
    site.browser.key("End")?;
    site.browser.wait_for("document.activeElement.title === 'movie-2999.mjpeg'")?;
    let picture = "document.activeElement.querySelector('img')?.complete === true";
    site.browser.wait_for(picture)?;
    let last = asked(&mut site);
    ensure!(last.iter().any(|it| it.contains("movie-2999")), "{last:?}");
    ensure!(!last.iter().any(|it| it.contains("movie-15")), "what was passed was loaded: {last:?}");

    // Never more than three at once: a browser has six connections to a server for all its pages.
    let most = site.browser.value(
        "(() => { const all = performance.getEntriesByType('resource') \
         .filter(it => it.name.includes('snapshot')); \
         return Math.max(...all.map(one => all.filter(other => other.startTime <= one.startTime \
           && one.startTime < other.responseEnd).length)); })()",
    )?;
    ensure!(most.as_f64().is_some_and(|most| most <= 3.0), "{most} at once");
    site.is_well()
}

#[test]
fn folders_and_the_search_find_movies() -> Result<()> {
    let names = ["door.mjpeg", "cam/garden.mjpeg", "cam/north/gate.mjpeg", "cam/GARAGE.mjpeg"];
    let mut site = Site::start(&names, &[])?;
    let titles = "[...document.querySelectorAll('#grid .name')].map(it => it.textContent).join()";
    site.open_wall("/", 1)?;
    assert_eq!(site.browser.text(titles)?, "door.mjpeg");
    site.browser.click("#folders a")?;
    site.browser.wait_for(&format!("{titles} === 'GARAGE.mjpeg,garden.mjpeg'"))?;
    site.browser.click("#folders a")?;
    site.browser.wait_for(&format!("{titles} === 'gate.mjpeg'"))?;
    let crumbs = site.browser.text("document.querySelector('#crumbs').innerText")?;
    assert_eq!(crumbs.split_whitespace().collect::<Vec<_>>(), ["Movies", "/", "cam", "/", "north"]);
    // The page's own address leads to the same.
    assert_eq!(site.browser.text("location.search")?, "?folder=cam%2Fnorth");

    site.browser.click("#main h1")?;
    site.browser.key("/")?;
    site.browser.write("ga")?;
    site.browser.wait_for(&format!("{titles} === 'GARAGE.mjpeg,garden.mjpeg,gate.mjpeg'"))?;
    site.browser.write("zzz")?;
    site.browser.wait_for(
        "document.querySelector('#wall-empty h2')?.textContent === 'No movie has this name'",
    )?;
    site.browser.value("history.back()")?;
    site.browser.wait_for(&format!("{titles} === 'GARAGE.mjpeg,garden.mjpeg'"))?;
    site.is_well()
}

#[test]
fn a_movie_that_is_added_appears_and_an_empty_folder_says_so() -> Result<()> {
    let mut site = Site::serve(Folder::new()?, &[])?;
    site.open("/")?;
    let title = "document.querySelector('#wall-empty:not([hidden]) h2')?.textContent";
    site.browser.wait_for(&format!("{title} === 'There are no movies yet'"))?;
    site.folder.file("new.mjpeg", &movies::movie(&movies::coloured(3)?)?)?;
    site.browser.wait_for("document.querySelectorAll('#grid .picture img').length === 1")?;
    site.is_well()
}
