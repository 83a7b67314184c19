// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds out why a program cannot be started: the file that the command names is not in its folder.

use crate::process::CommandLine;
use mjpeg_program::log::printable;
use std::fs;
use std::path::Path;

/// The most files that are named.
const MAX_NAMED: usize = 3;

/// The maximum depth of folders that is searched.
const MAX_DEPTH: usize = 8;

/// A note if the command names a file of Python or Java that is not in the folder, with where it is instead.
pub fn note(command: &str, folder: &Path) -> Option<String> {
    let is_file =
        |word: &&str| Path::new(word).extension().is_some_and(|it| it == "py" || it == "jar");
    let values = ["host", "port", "rtp_port", "movie"].map(|name| (name, "0"));
    let command = CommandLine::parse(command, &values).ok()?;
    let named = command.words().iter().map(String::as_str).find(is_file)?;
    if Path::new(named).is_absolute() || folder.join(named).is_file() {
        return None;
    }
    let name = named.rsplit('/').next().unwrap_or(named);
    let mut found = Vec::new();
    search(folder, name, "", 0, &mut found);
    found.sort();
    let more = if found.len() > MAX_NAMED { ", …" } else { "" };
    found.truncate(MAX_NAMED);
    let instead = match found.as_slice() {
        [] => String::new(),
        found => format!("; the submission has {}{more}", found.join(", ")),
    };
    Some(printable(&format!("no file {named} in the folder of the program{instead}")))
}

/// Collects the files whose names differ from a name at most in upper case and blanks.
fn search(folder: &Path, name: &str, prefix: &str, depth: usize, found: &mut Vec<String>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let file = entry.file_name().to_string_lossy().into_owned();
        let shown = format!("{prefix}{file}");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth < MAX_DEPTH => {
                search(&entry.path(), name, &format!("{shown}/"), depth + 1, found);
            }
            Ok(kind) if kind.is_file() && file.trim().eq_ignore_ascii_case(name) => {
                found.push(shown);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_named_with_where_it_is() {
        const RUN: &str = "python3 Server.py {port}";
        let rows: [(&str, &[&str], Option<&str>); 8] = [
            (RUN, &["Server.py"], None),
            ("java Server {port}", &[], None),
            ("python3 /opt/run.py", &[], None),
            ("python3 'src/Server.py' {port}", &["src/Server.py"], None),
            ("python3 'My Server.py' {port}", &["My Server.py"], None),
            (RUN, &["README.txt"], Some("no file Server.py in the folder of the program")),
            (
                RUN,
                &["b/Server.py", "a/server.PY", "c.py"],
                Some(
                    "no file Server.py in the folder of the program; the submission has a/server.PY, \
                     b/Server.py",
                ),
            ),
            (
                RUN,
                &["Server.py\r"],
                Some(
                    "no file Server.py in the folder of the program; the submission has Server.py\\u{d}",
                ),
            ),
        ];
        for (command, files, want) in rows {
            let folder = tempfile::tempdir().unwrap();
            for file in files {
                let path = folder.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            assert_eq!(note(command, folder.path()).as_deref(), want, "{command} {files:?}");
        }
    }
}
