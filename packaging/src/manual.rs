// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual pages, made from the definitions of the command lines.

use anyhow::Result;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// The programs of the package, with what whatis(1) says.
const PROGRAMS: [&str; 4] =
    ["mjpeg-rtsp-server", "mjpeg-rtsp-client", "mjpeg-movie", "mjpeg-lab-check"];

/// Files that a program reads, and what they are.
const FILES: &[(&str, &str, &str)] = &[
    (
        "mjpeg-rtsp-server",
        "/etc/mjpeg-rtsp/server.toml",
        "The configuration of the service. It explains each key.",
    ),
    (
        "mjpeg-rtsp-server",
        "/var/lib/mjpeg-rtsp/movies",
        "The folder of movies that the service serves, unless its configuration states another one.",
    ),
    (
        "mjpeg-rtsp-server",
        "$XDG_CONFIG_HOME/mjpeg-rtsp/server.toml",
        "The configuration of a server that a user starts.",
    ),
];

/// The file names and texts of the manual pages of a program and its subcommands.
pub fn pages(program: Command) -> Result<Vec<(String, Vec<u8>)>> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    let mut commands = vec![&program];
    while let Some(command) = commands.pop() {
        pages.push(page(command)?);
        commands.extend(command.get_subcommands());
    }
    Ok(pages)
}

fn page(command: &Command) -> Result<(String, Vec<u8>)> {
    let man = Man::new(command.clone())
        .source(concat!("mjpeg-rtsp ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut sections = Vec::new();
    man.render_title(&mut sections)?;
    man.render_name_section(&mut sections)?;
    man.render_synopsis_section(&mut sections)?;
    man.render_description_section(&mut sections)?;
    man.render_options_section(&mut sections)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut sections)?;
    }
    let mut rest = Roff::new();
    let after_help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    after_help.split("\n\n").filter(|it| !it.is_empty()).for_each(|it| add_block(&mut rest, it));
    add_files(&mut rest, command.get_name());
    add_see_also(&mut rest, command.get_bin_name().unwrap_or_default());
    rest.to_writer(&mut sections)?;
    Ok((man.get_filename(), sections))
}

/// Adds a block of the text that `--help` prints last, as the section that it is by its first word.
fn add_block(page: &mut Roff, block: &str) {
    if let Some(examples) = block.strip_prefix("Examples:\n") {
        page.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in examples.lines() {
            page.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        page.control("fi", []);
    } else if let Some(codes) = block.strip_prefix("Exit codes: ") {
        page.control("SH", ["EXIT STATUS"]).text([roman(codes)]);
    } else {
        page.control("SH", ["NOTES"]).text([roman(block)]);
    }
}

fn add_files(page: &mut Roff, program: &str) {
    let files: Vec<_> = FILES.iter().filter(|(reader, ..)| *reader == program).collect();
    if !files.is_empty() {
        page.control("SH", ["FILES"]);
    }
    for (_, path, what) in files {
        page.control("TP", []).text([bold(*path)]).text([roman(*what)]);
    }
}

/// Adds references to the other programs, or from a subcommand to all programs.
fn add_see_also(page: &mut Roff, program: &str) {
    page.control("SH", ["SEE ALSO"]);
    let others: Vec<_> = PROGRAMS.iter().filter(|other| **other != program).collect();
    for (index, other) in others.iter().enumerate() {
        let end = if index + 1 < others.len() { "(1)," } else { "(1)" };
        page.text([bold(**other), roman(end)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_text_of_help_becomes_sections() {
        let after = "Examples:\n  p .a  does\n      more\n\nWatch it.\n\nExit codes: 0 good";
        let command = Command::new("p").about("Does").after_help(after);
        let (name, page) = page(&command).unwrap();
        let page = String::from_utf8(page).unwrap();
        let (_, sections) = page.split_once(".SH EXAMPLES\n").unwrap();
        let want = "\
.nf
p .a  does
    more
.fi
.SH NOTES
Watch it.
.SH \"EXIT STATUS\"
0 good
.SH \"SEE ALSO\"
\\fBmjpeg\\-rtsp\\-server\\fR(1),
\\fBmjpeg\\-rtsp\\-client\\fR(1),
\\fBmjpeg\\-movie\\fR(1),
\\fBmjpeg\\-lab\\-check\\fR(1)
";
        assert_eq!((name.as_str(), sections), ("p.1", want));
    }
}
