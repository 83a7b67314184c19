// SPDX-License-Identifier: MIT OR Apache-2.0
//! The dashboard for Grafana and the documentation name metrics and labels that exist.

use super::super::sessions::Dialect;
use super::super::{Instant, Observatory};
use super::{block, prometheus, send, session_with_movie};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

const DASHBOARD: &str = include_str!("../../../../packaging/grafana/mjpeg-rtsp-server.json");

/// Each metric, and the names of its labels.
fn known() -> HashMap<String, HashSet<String>> {
    let observatory = Observatory::new();
    let (session, counts) = session_with_movie(&observatory, "m");
    session.play_starts(Instant::now());
    send(&counts, 0);
    counts.add_report(block(1));
    observatory.metrics.add_reply(Dialect::Rtsp, 404);
    observatory.metrics.add_dropped("a problem");
    let mut known: HashMap<String, HashSet<String>> = HashMap::new();
    for sample in prometheus::parse(&observatory.exposition()).unwrap() {
        let labels = sample.labels.into_iter().map(|(name, _)| name);
        known.entry(sample.name).or_default().extend(labels);
    }
    // Those of a whole server.
    for (name, labels) in [
        ("mjpeg_rtsp_connections", &[][..]),
        ("mjpeg_rtsp_mounts", &[]),
        ("mjpeg_rtsp_errors_total", &["kind"]),
    ] {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        known.insert(name.to_owned(), labels);
    }
    known
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The metrics in a text, and the names of the labels in the braces after each.
fn selectors(text: &str) -> Vec<(&str, Vec<&str>)> {
    let starts = text.match_indices("mjpeg_rtsp_").map(|(at, _)| &text[at..]);
    starts
        .map(|text| {
            let (name, rest) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
            let labels = rest.strip_prefix('{').and_then(|it| Some(it.split_once('}')?.0));
            let labels = labels.unwrap_or_default().split(',').filter(|it| !it.is_empty());
            (name, labels.map(|it| it.split(['=', '!']).next().unwrap_or_default()).collect())
        })
        .collect()
}

#[test]
fn every_metric_of_the_dashboard_and_the_documentation_exists() {
    let known = known();
    let mut all: HashSet<&str> = known.keys().map(String::as_str).collect();
    // The documentation names histograms without the ends of their samples.
    all.extend(known.keys().filter_map(|name| name.strip_suffix("_bucket")));
    for (name, text) in
        [("dashboard", DASHBOARD), ("docs", include_str!("../../../../docs/metrics.md"))]
    {
        let named: HashSet<&str> = selectors(text).into_iter().map(|(metric, _)| metric).collect();
        assert!(named.len() > 10, "{name}: {named:?}");
        let unknown: Vec<_> = named.difference(&all).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
    }
}

#[test]
fn the_dashboard_uses_labels_that_exist() {
    let known = known();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut expressions = 0;
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            expressions += 1;
            let text = target["expr"].as_str().unwrap();
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            let shown: Vec<&str> =
                legend.split("{{").skip(1).filter_map(|it| Some(it.split_once("}}")?.0)).collect();
            let grouped = text.split("by (").nth(1).and_then(|it| Some(it.split_once(')')?.0));
            for (metric, mut labels) in selectors(text) {
                let have = known.get(metric).unwrap_or_else(|| panic!("{metric}: {text}"));
                // Prometheus adds these two, by which the dashboard chooses a server.
                for added in ["job", "instance"] {
                    let at = labels.iter().position(|it| *it == added);
                    labels.swap_remove(at.unwrap_or_else(|| panic!("no {added}: {text}")));
                }
                labels.extend(&shown);
                labels.extend(grouped);
                for label in labels {
                    assert!(have.contains(label), "{metric} has no label {label:?}: {text}");
                }
            }
        }
    }
    assert!(expressions > 20, "{expressions}");
}
