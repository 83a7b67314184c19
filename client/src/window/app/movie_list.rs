// SPDX-License-Identifier: MIT OR Apache-2.0
//! The movies next to the current one: of its server, its folder, or a list.

use super::App;
use crate::player::{Protocol, movies};
use crate::window::model::MovieList;
use eframe::egui;
use std::path::PathBuf;
use std::sync::mpsc;

impl App {
    pub(super) fn list_movies(&mut self, ctx: &egui::Context, source: &str) {
        if movies::server_of(source).is_none() {
            self.notify_briefly(
                "There is no server to ask for its movies: open one of its addresses first",
            );
        } else if self.request_movies(ctx, source) {
            self.model.movies = MovieList::Loading;
            self.widgets.open_choices = true;
        }
    }

    /// Asks for the movies next to `source`; returns false if a request is under way.
    fn request_movies(&mut self, ctx: &egui::Context, source: &str) -> bool {
        if self.requested_movies.is_some() {
            return false;
        }
        let (sender, receiver) = mpsc::channel();
        let ctx = ctx.clone();
        let started = movies::find_in_background(source, move |addresses| {
            let _ = sender.send(addresses);
            ctx.request_repaint();
        });
        if started.is_ok() {
            self.requested_movies = Some(receiver);
        }
        started.is_ok()
    }

    /// Opens the movie that is `steps` after the current one.
    pub(super) fn open_neighbour(&mut self, ctx: &egui::Context, steps: i8) {
        let source = self.model.status.source.clone();
        if self.list.contains(&source) {
            let movies = self.list.clone();
            self.open_beside(&movies, steps);
        } else if let MovieList::Known(movies) = &self.model.movies {
            let movies = movies.clone();
            self.open_beside(&movies, steps);
        } else if source.is_empty() {
            self.notify_briefly("There is no next movie: open one first");
        } else if self.request_movies(ctx, &source) {
            self.awaited_neighbour = Some(steps);
        }
    }

    /// Takes the movies that have been asked for.
    pub(super) fn movies_arrived(&mut self, movies: Vec<String>) {
        if let Some(steps) = self.awaited_neighbour.take() {
            self.open_beside(&movies, steps);
        }
        if self.model.status.protocol != Protocol::None {
            self.model.movies = MovieList::Known(movies);
        }
    }

    fn open_beside(&mut self, movies: &[String], steps: i8) {
        match neighbour(movies, &self.model.status.source, steps) {
            Ok(movie) => self.open(&movie),
            Err(reason) => self.notify_briefly(reason),
        }
    }

    /// Opens files that were dropped: one movie, several movies, or a list of movies.
    pub(super) fn open_files(&mut self, paths: &[PathBuf]) {
        let [path, others @ ..] = paths else { return };
        let mut movies = match movies::read_list(path) {
            Some(Ok(movies)) => movies,
            Some(Err(error)) => {
                self.notify(&format!("Cannot read {}: {error}", path.display()));
                return;
            }
            None => vec![movies::address_of(path)],
        };
        movies.extend(others.iter().map(|path| movies::address_of(path)));
        match movies.first().cloned() {
            Some(first) => {
                self.list = movies;
                self.open(&first);
            }
            None => self.notify_briefly("The list names no movie"),
        }
    }
}

/// The movie that is `steps` after `current`.
fn neighbour(movies: &[String], current: &str, steps: i8) -> Result<String, &'static str> {
    let at =
        movies.iter().position(|movie| movies::is_same(movie, current)).ok_or(match movies {
            [] => "There is no list of the movies beside this one",
            _ => "This movie is not in the list of its server",
        })?;
    let next = at.checked_add_signed(isize::from(steps)).and_then(|at| movies.get(at));
    next.cloned().ok_or(if steps < 0 {
        "This is the first movie"
    } else {
        "This is the last movie"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_neighbours_of_a_movie() {
        let movies = ["rtsp://h/a", "rtsp://h/b%20c", "rtsp://h/d"].map(str::to_owned);
        let rows = [
            ("rtsp://h/a", 1, Ok("rtsp://h/b%20c")),
            ("rtsp://u:p@h/b c", -1, Ok("rtsp://h/a")),
            ("rtsp://h/a", -1, Err("This is the first movie")),
            ("rtsp://h/d", 1, Err("This is the last movie")),
            ("rtsp://h/x", 1, Err("This movie is not in the list of its server")),
        ];
        for (current, steps, want) in rows {
            let got = neighbour(&movies, current, steps);
            assert_eq!(got.as_deref().map_err(|error| *error), want, "{current} {steps}");
        }
        let none = Err("There is no list of the movies beside this one");
        assert_eq!(neighbour(&[], "rtsp://h/a", 1).map(drop), none);
    }
}
