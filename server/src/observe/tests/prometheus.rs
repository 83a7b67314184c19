// SPDX-License-Identifier: MIT OR Apache-2.0
//! A strict parser of the text format of Prometheus, version 0.0.4. It is written from the description of
//! the format, and knows nothing of the code that writes it.

use std::collections::HashSet;

/// A sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// The family whose samples are being read.
struct Family {
    name: String,
    kind: String,
    /// The count in the last bucket, and its bound.
    last_bucket: Option<(f64, f64)>,
    has_sum: bool,
    has_count: bool,
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Reads the samples of a text.
pub fn parse(text: &str) -> Result<Vec<Sample>, String> {
    if !text.ends_with('\n') {
        return Err("the last line has no line end".to_owned());
    }
    let mut samples: Vec<Sample> = Vec::new();
    let mut families = HashSet::new();
    let mut help: Option<String> = None;
    let mut family: Option<Family> = None;
    for line in text.lines() {
        let at = |problem: &str| format!("{problem}: {line}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            close(family.take())?;
            let (name, sentence) = rest.split_once(' ').ok_or_else(|| at("no help"))?;
            if !is_name(name) || sentence.is_empty() || !sentence.ends_with('.') {
                return Err(at("the help is not a sentence"));
            }
            if !families.insert(name.to_owned()) {
                return Err(at("described twice"));
            }
            help = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| at("no type"))?;
            if help.take().as_deref() != Some(name) {
                return Err(at("the type does not follow the help"));
            }
            check_name(name, kind).map_err(|problem| at(&problem))?;
            family = Some(Family {
                name: name.to_owned(),
                kind: kind.to_owned(),
                last_bucket: None,
                has_sum: false,
                has_count: false,
            });
        } else {
            let sample = read_sample(line).map_err(|problem| at(&problem))?;
            let family = family.as_mut().ok_or_else(|| at("a sample without type"))?;
            family.accept(&sample).map_err(|problem| at(&problem))?;
            if samples
                .iter()
                .rev()
                .take(2000)
                .any(|it| it.name == sample.name && it.labels == sample.labels)
            {
                return Err(at("twice"));
            }
            samples.push(sample);
        }
    }
    close(family)?;
    Ok(samples)
}

/// Checks a name by the conventions of Prometheus.
fn check_name(name: &str, kind: &str) -> Result<(), String> {
    let is_total = name.ends_with("_total");
    match kind {
        "counter" if is_total => Ok(()),
        "gauge" if !is_total => Ok(()),
        "histogram" if name.ends_with("_seconds") => Ok(()),
        _ => Err(format!("a {kind} has another name")),
    }
}

fn close(family: Option<Family>) -> Result<(), String> {
    match family {
        Some(family) if family.kind == "histogram" => {
            let is_complete = family.last_bucket.is_some_and(|(bound, _)| bound.is_infinite());
            if is_complete && family.has_sum && family.has_count {
                Ok(())
            } else {
                Err(format!("{} is not complete", family.name))
            }
        }
        _ => Ok(()),
    }
}

impl Family {
    fn accept(&mut self, sample: &Sample) -> Result<(), String> {
        if self.kind != "histogram" {
            let is_valid = sample.value >= 0.0 && sample.value.is_finite();
            return (sample.name == self.name && is_valid)
                .then_some(())
                .ok_or("not a sample of its family".to_owned());
        }
        match sample.name.strip_prefix(&self.name) {
            Some("_bucket") => {
                let bound = match sample.labels.as_slice() {
                    [(le, bound)] if le == "le" && bound == "+Inf" => f64::INFINITY,
                    [(le, bound)] if le == "le" => bound.parse().map_err(|_| "bound")?,
                    _ => return Err("a bucket has the label le".to_owned()),
                };
                if let Some((last, count)) = self.last_bucket
                    && (bound <= last || sample.value < count)
                {
                    return Err("buckets do not grow".to_owned());
                }
                self.last_bucket = Some((bound, sample.value));
            }
            Some("_sum") => self.has_sum = true,
            Some("_count") => {
                self.has_count =
                    self.last_bucket.is_some_and(|(_, count)| (count - sample.value).abs() < 0.5);
            }
            _ => return Err("not a sample of its histogram".to_owned()),
        }
        Ok(())
    }
}

fn read_sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name) {
        return Err("not a name".to_owned());
    }
    let mut labels: Vec<(String, String)> = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("no label")?;
            if !is_name(label) || labels.iter().any(|(known, _)| known == label) {
                return Err("not a label".to_owned());
            }
            let (value, after) = read_quoted(after)?;
            labels.push((label.to_owned(), value));
            match after.split_at_checked(1) {
                Some((",", after)) => rest = after,
                Some(("}", after)) => {
                    rest = after;
                    break;
                }
                _ => return Err("labels do not end".to_owned()),
            }
        }
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    if value.contains(' ') {
        return Err("more than a value".to_owned());
    }
    let value = value.parse().map_err(|_| "not a number")?;
    Ok(Sample { name: name.to_owned(), labels, value })
}

/// Reads up to the closing quote. Returns the text, and what follows it.
fn read_quoted(text: &str) -> Result<(String, &str), String> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, c @ ('\\' | '"'))) => out.push(c),
                _ => return Err("not an escape".to_owned()),
            },
            c => out.push(c),
        }
    }
    Err("no closing quote".to_owned())
}

#[test]
fn the_parser_refuses_what_is_not_in_the_format() {
    let rows = [
        "a_total 1\n",
        "# HELP a_total x.\na_total 1\n",
        "# HELP a_total x.\n# TYPE a_total counter\na_total 1",
        "# HELP a_total x.\n# TYPE a_total counter\na_total -1\n",
        "# HELP a_total x.\n# TYPE a_total counter\na_total 1\na_total 1\n",
        "# HELP a_total x.\n# TYPE a_total counter\na_total{b=\"\\x\"} 1\n",
        "# HELP a_total x.\n# TYPE a_total counter\na_total{b=\"c} 1\n",
        "# HELP a_total x.\n# TYPE a_total counter\nb_total 1\n",
        "# HELP a x.\n# TYPE a counter\na 1\n",
        "# HELP a_seconds x.\n# TYPE a_seconds histogram\na_seconds_bucket{le=\"+Inf\"} 1\n",
    ];
    for text in rows {
        assert!(parse(text).is_err(), "{text}");
    }
}
