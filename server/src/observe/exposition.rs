// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes metrics in the text format of Prometheus, version 0.0.4.

use super::histogram::Snapshot;
use std::fmt::{Display, Write};

/// The value of `Content-Type`.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The kind of a metric.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that grows and shrinks.
    Gauge,
}

/// Names and values of the labels of a sample.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

/// The text of metrics.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
}

// Writing to a String does not fail.
impl Exposition {
    /// Starts a counter or gauge. Its samples follow.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.describe(name, kind, help);
        Family { text: &mut self.text, name }
    }

    /// Writes a histogram of seconds.
    pub fn histogram(&mut self, name: &'static str, help: &str, snapshot: &Snapshot) {
        self.describe(name, "histogram", help);
        let text = &mut self.text;
        for (bound, count) in &snapshot.buckets {
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let Snapshot { count, sum, .. } = snapshot;
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "{name}_sum {sum}\n{name}_count {count}");
    }

    fn describe(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.text
    }
}

/// A counter or gauge whose samples are being written.
pub(crate) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    /// Writes a sample.
    pub fn sample(&mut self, labels: Labels, value: impl Display) -> &mut Self {
        let text = &mut *self.text;
        text.push_str(self.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            let _ = write!(text, "{}{name}=\"", if at == 0 { '{' } else { ',' });
            for c in value.chars() {
                match c {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    c => text.push(c),
                }
            }
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_written_as_prometheus_reads_them() {
        let mut out = Exposition::default();
        out.family("a_total", Kind::Counter, "back\\slash\nline")
            .sample(&[], 3)
            .sample(&[("x", "q\"b\\n\nl"), ("y", "ü")], 0.5);
        out.family("b", Kind::Gauge, "none");
        let buckets = vec![(0.001, 1), (0.5, 1)];
        out.histogram("c_seconds", "times", &Snapshot { buckets, count: 2, sum: 1.25 });
        let want = "# HELP a_total back\\\\slash\\nline\n# TYPE a_total counter\na_total 3\n\
                    a_total{x=\"q\\\"b\\\\n\\nl\",y=\"ü\"} 0.5\n# HELP b none\n# TYPE b gauge\n\
                    # HELP c_seconds times\n# TYPE c_seconds histogram\n\
                    c_seconds_bucket{le=\"0.001\"} 1\nc_seconds_bucket{le=\"0.5\"} 1\n\
                    c_seconds_bucket{le=\"+Inf\"} 2\nc_seconds_sum 1.25\nc_seconds_count 2\n";
        assert_eq!(out.finish(), want);
    }
}
