// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures the figures of docs/performance.md, each together with its peer's in the same run.
//!
//! `scripts/bench [source|huge|first-frame|recode|viewers|lab|many|observe|strangers|access|http|page|reload|repair|window|window-soak]...`
//! builds everything and runs this.
#![allow(clippy::print_stdout, reason = "the tables are the product")]

mod access;
mod first_frame;
mod http;
mod huge;
mod lab;
mod many;
mod observe;
mod page;
mod recode;
mod reload;
mod repair;
mod source;
mod strangers;
mod viewers;
mod window;

use anyhow::{Result, bail};
use std::path::Path;
use std::time::Duration;

fn main() -> Result<()> {
    mjpeg_rtsp_tests::init();
    // Cargo adds options of its own.
    let named: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    if let Some(movie) = named.first().and_then(|name| name.strip_prefix(huge::ALONE)) {
        return huge::run_alone(Path::new(movie));
    }
    let all = [
        "source",
        "huge",
        "first-frame",
        "recode",
        "viewers",
        "lab",
        "many",
        "observe",
        "strangers",
        "access",
        "http",
        "page",
        "reload",
        "repair",
        "window",
    ];
    let all = all.map(ToOwned::to_owned).to_vec();
    for name in if named.is_empty() { all } else { named } {
        match name.as_str() {
            "source" => source::run()?,
            "huge" => huge::run()?,
            "first-frame" => first_frame::run()?,
            "recode" => recode::run()?,
            "viewers" => viewers::run()?,
            "lab" => lab::run()?,
            "many" => many::run()?,
            "observe" => observe::run()?,
            "strangers" => strangers::run()?,
            "access" => access::run()?,
            "http" => http::run()?,
            "page" => page::run()?,
            "reload" => reload::run()?,
            "repair" => repair::run()?,
            "window" => window::run()?,
            // It takes eleven minutes, so it runs only if it is named.
            "window-soak" => window::soak()?,
            other => bail!(
                "no bench {other}; there are source, huge, first-frame, recode, viewers, lab, many, \
                 observe, strangers, access, http, page, reload, repair, window, window-soak"
            ),
        }
    }
    Ok(())
}

/// The median, the least and the most; `None` if there are no values.
fn spread<T: Copy + Ord>(values: &mut [T]) -> Option<(T, T, T)> {
    values.sort_unstable();
    Some((*values.get(values.len() / 2)?, *values.first()?, *values.last()?))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Waits up to two minutes until the machine is idle; prints a warning if it is not.
fn quiet() {
    const BUSY: f64 = 0.5;
    let load = || {
        let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
    };
    for _ in 0..24 {
        if load() <= BUSY {
            return;
        }
        std::thread::sleep(Duration::from_secs(5));
    }
    println!("\nThe machine is not quiet: load average {}. Figures are worse for it.", load());
}
