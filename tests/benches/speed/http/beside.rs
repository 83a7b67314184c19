// SPDX-License-Identifier: MIT OR Apache-2.0
//! The gaps between frames of RTSP viewers, alone and beside a thousand open pages or streams.

use super::readers::{Readers, open};
use super::servers::{frames, serve};
use super::{Movie, RATE, ROUNDS, VIEWERS, median};
use anyhow::{Context, Result};
use mjpeg_rtsp_load::{Load, Outcome, Transport};
use std::time::{Duration, Instant};

/// The pages or streams at two pictures a second.
const PAGES: usize = 1000;

/// RTSP viewers.
const PLAYERS: usize = 10;

/// The time of each measurement.
const TIME: Duration = Duration::from_secs(4);

/// What is open beside the RTSP viewers.
#[derive(Debug, Clone, Copy)]
enum Beside {
    Nothing,
    /// Pages that ask for two pictures a second each.
    Pages,
    /// Streams, with their parameters and frames a second.
    Streams(usize, &'static str, f64),
}

/// The result of a round.
struct Gaps {
    outcome: Outcome,
    /// Pictures or frames over HTTP a second.
    pictures: f64,
}

impl Beside {
    fn name(self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Pages => format!("{PAGES} pages, two pictures/s each"),
            Self::Streams(count, _, rate) => format!("{count} streams at {rate} frames/s"),
        }
    }

    /// The pictures a second that are due.
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn due(self) -> f64 {
        match self {
            Self::Nothing => 0.0,
            Self::Pages => 2.0 * PAGES as f64,
            Self::Streams(count, _, rate) => count as f64 * rate,
        }
    }

    fn measure(self, movie: &Movie) -> Result<Gaps> {
        let (mut server, address) = serve(movie, false)?;
        let readers = match self {
            Self::Nothing => Readers::of_streams()?,
            Self::Pages => Readers::of_pages(&address, PAGES)?,
            Self::Streams(count, query, _) => open(&address, &Movie::stream(query), count)?,
        };
        let load = Load {
            server: server.address()?.parse()?,
            movie: Movie::NAME.to_owned(),
            transport: Transport::Udp,
            sessions: PLAYERS,
            newcomers: 0,
            time: TIME,
            period: Duration::from_secs(1) / RATE,
            gro: true,
        };
        let (before, start) = (readers.counted(), Instant::now());
        let outcome = load.run(Some(server.process().id()))?;
        let (counted, time) = (readers.counted() - before, start.elapsed().as_secs_f64());
        readers.finish()?;
        server.is_well()?;
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let pictures = match self {
            Self::Pages => counted as f64,
            Self::Nothing | Self::Streams(..) => frames(counted),
        };
        Ok(Gaps { outcome, pictures: pictures / time })
    }
}

/// Prints the table.
pub(super) fn run(movie: &Movie) -> Result<()> {
    let all = [
        Beside::Nothing,
        Beside::Pages,
        Beside::Streams(PAGES, "?framerate=2", 2.0),
        Beside::Streams(VIEWERS, "", f64::from(RATE)),
    ];
    let mut rounds: Vec<Vec<Gaps>> = all.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (beside, gaps) in all.into_iter().zip(&mut rounds) {
            gaps.push(beside.measure(movie).with_context(|| beside.name())?);
        }
    }
    println!(
        "\nFrames of {PLAYERS} viewers of RTSP over UDP; {ROUNDS} rounds of {} s, in turn\n\n\
         | beside | gap off {} ms, 99th percentile: median (of each round) | largest | lost | pictures/s, of those due \
         | CPU of one core | memory | threads |\n|---|---|---|---|---|---|---|---|",
        TIME.as_secs(),
        1000 / RATE
    );
    for (beside, gaps) in all.into_iter().zip(rounds) {
        let of = |figure: fn(&Gaps) -> f64| -> Vec<f64> { gaps.iter().map(figure).collect() };
        let errors = of(|gaps| gaps.outcome.received.gap_error_ms);
        let each: Vec<String> = errors.iter().map(|it| format!("{it:.2}")).collect();
        let largest = of(|gaps| gaps.outcome.received.largest_gap_error_ms);
        let lost: u64 = gaps.iter().map(|gaps| gaps.outcome.received.lost).sum();
        let last = gaps.last().and_then(|gaps| gaps.outcome.usage).context("no usage")?;
        let cpu = of(|gaps| gaps.outcome.usage.map_or(0.0, |usage| usage.cpu));
        println!(
            "| {} | {:.2} ms ({}) | {:.1} ms | {lost} | {:.0} of {:.0} | {:.0} % | {} KiB | {} |",
            beside.name(),
            median(&errors)?,
            each.join(", "),
            largest.iter().copied().fold(0.0, f64::max),
            median(&of(|gaps| gaps.pictures))?,
            beside.due(),
            100.0 * median(&cpu)? / TIME.as_secs_f64(),
            last.memory,
            last.threads
        );
    }
    Ok(())
}
