// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds, reads and checks profiles.

use super::keys::{client_keys, lab_keys, point_keys, profile_keys, time_keys};
use super::settings::Profile;
use mjpeg_program::toml_file::{
    self, FileError, FileProblem, Key, Problems, ReadError, TableKeys, parse, quoted,
};
use std::path::Path;

/// The shipped profiles: name and text.
pub const SHIPPED: [(&str, &str); 4] = [
    ("textbook", include_str!("../../profiles/textbook.toml")),
    ("seed", include_str!("../../profiles/seed.toml")),
    ("java", include_str!("../../profiles/java.toml")),
    ("hd", include_str!("../../profiles/hd.toml")),
];

/// The longest chain of profiles that inherit from each other.
const MAX_CHAIN: usize = 8;

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Something in the file is not valid. One line for each problem.
    #[error("{}", lines(.0))]
    File(Vec<FileError>),
    /// There is neither a shipped profile of this name nor such a file.
    #[error("no profile {}: the shipped ones are {}; any other is the path of a file", quoted(.0), names())]
    Unknown(String),
}

fn lines(errors: &[FileError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn names() -> String {
    SHIPPED.map(|(name, _)| name).join(", ")
}

/// Loads a profile: the name of a shipped one, or the path of a file.
///
/// # Errors
/// See [`ProfileError`].
pub fn load(name: &str) -> Result<Profile, ProfileError> {
    let mut profile = load_from(name, None, MAX_CHAIN)?;
    name.clone_into(&mut profile.name);
    Ok(profile)
}

/// Loads a profile. `folder` is that of the file that inherits from it.
fn load_from(name: &str, folder: Option<&Path>, chain: usize) -> Result<Profile, ProfileError> {
    if let Some((name, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
        return read(Path::new(&format!("{name}.toml")), text.as_bytes(), chain);
    }
    let path = folder.unwrap_or(Path::new("")).join(name);
    if !name.contains(['/', '.']) && !path.exists() {
        return Err(ProfileError::Unknown(name.to_owned()));
    }
    read(&path, &toml_file::read(&path, "the profile")?, chain)
}

fn read(path: &Path, bytes: &[u8], chain: usize) -> Result<Profile, ProfileError> {
    let mut inherited = Ok(Profile::default());
    parse(path, bytes, |problems, root| {
        if let Some(value) = root.get("inherits") {
            match value.get_ref().as_str() {
                None => problems.report_value("inherits", value, "the name of a profile"),
                Some(_) if chain == 0 => problems.report(
                    value.span().start,
                    FileProblem::Other(format!(
                        "inherits: over {MAX_CHAIN} profiles inherit from each other; allowed is a chain that ends"
                    )),
                ),
                Some(name) => inherited = load_from(name, path.parent(), chain - 1),
            }
        }
        let Ok(profile) = &mut inherited else { return };
        read_tables(problems, root, profile);
        let lab = &profile.lab;
        if lab.session_min > lab.session_max {
            let problem = format!(
                "session-min: found {}, which is above session-max, {}",
                lab.session_min, lab.session_max
            );
            problems.report(0, FileProblem::Other(problem));
        }
    })
    .map_err(ProfileError::File)?;
    inherited
}

fn read_tables(problems: &mut Problems, root: &toml_file::DeTable, profile: &mut Profile) {
    let (profile_keys, lab, time) = (profile_keys(), lab_keys(), time_keys());
    let (points, client) = (point_keys(), client_keys());
    let elsewhere = |name: &str| {
        fn has<T>(keys: &[Key<T>], name: &str) -> bool {
            keys.iter().any(|key| key.name == name)
        }
        match name {
            _ if has(&profile_keys, name) || name == "inherits" => Some("before the first table"),
            _ if has(&lab, name) => Some("in [lab]"),
            _ if has(&time, name) => Some("in [time]"),
            _ if has(&client, name) => Some("in [client]"),
            _ if has(&points, name) => Some("in [points]"),
            _ => None,
        }
    };
    let elsewhere = &elsewhere;
    let last = &["inherits", "lab", "time", "client", "points"];
    let place = "before the first table";
    let keys = TableKeys { place, keys: &profile_keys, first: &[], last, elsewhere };
    problems.read_table(root, &keys, profile);
    if let Some(table) = problems.table(root, "lab") {
        let keys = TableKeys { place: "in [lab]", keys: &lab, first: &[], last: &[], elsewhere };
        problems.read_table(table, &keys, &mut profile.lab);
    }
    if let Some(table) = problems.table(root, "time") {
        let keys = TableKeys { place: "in [time]", keys: &time, first: &[], last: &[], elsewhere };
        problems.read_table(table, &keys, &mut profile.time);
    }
    if let Some(table) = problems.table(root, "client") {
        let keys =
            TableKeys { place: "in [client]", keys: &client, first: &[], last: &[], elsewhere };
        problems.read_table(table, &keys, &mut profile.client);
    }
    if let Some(table) = problems.table(root, "points") {
        let keys =
            TableKeys { place: "in [points]", keys: &points, first: &[], last: &[], elsewhere };
        problems.read_table(table, &keys, &mut profile.points);
    }
}

/// A file of a test, which is not read.
#[cfg(test)]
fn parsed(text: &str) -> Result<Profile, String> {
    read(Path::new("my.toml"), text.as_bytes(), MAX_CHAIN).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{ClientLab, Form, Fragments, Lab, Times};

    #[test]
    fn the_shipped_profiles_are_what_they_say() {
        let profiles: Vec<Profile> = SHIPPED.iter().map(|(name, _)| load(name).unwrap()).collect();
        let forms: Vec<Form> = profiles.iter().map(|profile| profile.lab.form).collect();
        assert_eq!(forms, [Form::Textbook, Form::Seed, Form::Java, Form::Textbook]);
        assert_eq!(profiles[3].lab.fragments, Fragments::SameSeq);
        // The file of the textbook states every key, and all have the default value.
        let text = SHIPPED[0].1;
        let textbook = &profiles[0];
        assert_eq!((&textbook.lab, &textbook.time), (&Lab::default(), &Times::default()));
        assert_eq!(textbook.client, ClientLab::default());
        for key in lab_keys() {
            let line = format!("\n{} = {}\n", key.name, (key.write)(&textbook.lab));
            assert!(text.contains(&line), "{line}");
        }
        for key in time_keys() {
            let line = format!("\n{} = {}\n", key.name, (key.write)(&textbook.time));
            assert!(text.contains(&line), "{line}");
        }
        for key in client_keys() {
            let line = format!("\n{} = {}\n", key.name, (key.write)(&textbook.client));
            assert!(text.contains(&line), "{line}");
        }
        assert_eq!(textbook.points, crate::profile::default_points());
        for key in point_keys() {
            let line = format!("\n{} = {}\n", key.name, (key.write)(&textbook.points));
            assert!(text.contains(&line), "{line}");
        }
    }

    #[test]
    fn a_profile_states_only_what_differs() {
        let text = "inherits = \"seed\"\ntitle = \"Week 3\"\n[lab]\nframe-rate = 25\n\
                    [time]\nreply = \"500ms\"\n[points]\nframe-rate = 5\nmovie-missing = 2\n";
        let profile = parsed(text).unwrap();
        let mut want = load("seed").unwrap();
        want.title = "Week 3".to_owned();
        want.lab.frame_rate = 25;
        want.time.reply = std::time::Duration::from_millis(500);
        want.points.extend([("frame-rate", 5), ("movie-missing", 2)]);
        want.name.clone_from(&profile.name);
        assert_eq!(profile, want);
    }

    #[test]
    fn errors_state_position_what_is_allowed_and_what_was_meant() {
        let rows = [
            (
                "[lab]\nframerate = 25",
                "my.toml:2:1: found the key \"framerate\" in [lab]; allowed are form, frame-rate, \
                 frame-rate-tolerance, session-min, session-max, first-sequence-number, marker, \
                 timestamp, fragments, max-payload, extensions; perhaps \"frame-rate\" is meant",
            ),
            (
                "reply = \"2s\"",
                "my.toml:1:1: found the key \"reply\" before the first table; allowed are title, \
                 inherits, lab, time, client, points; the key belongs in [time]",
            ),
            (
                "[lab]\nmarker = \"always\"",
                "my.toml:2:10: marker: found \"always\"; allowed is \"same\" or \"frame-end\"",
            ),
            (
                "[lab]\nextensions = [\"seek\", \"jump\"]",
                "my.toml:2:14: extensions: found a list; allowed is a list of \"statistics\", \
                 \"describe\", \"list\", \"switch\" or \"seek\"",
            ),
            (
                "[points]\nframe-rate = -1",
                "my.toml:2:14: frame-rate: found the number -1; allowed is a whole number from 0 to 10000",
            ),
            (
                "[lab]\nsession-min = 9\nsession-max = 8",
                "my.toml:1:1: session-min: found 9, which is above session-max, 8",
            ),
            (
                "[client]\nprints-lost = \"lost: \"",
                "my.toml:2:15: prints-lost: found \"lost: \"; allowed is a regular expression with a group \
                 for the number, or an empty text",
            ),
            (
                "[client]\npositions = [[12, 82], [36]]",
                "my.toml:2:13: positions: found a list; allowed is a list of four positions [x, y] in \
                 percent of the window, or an empty list",
            ),
            (
                "inherits = 5",
                "my.toml:1:12: inherits: found the number 5; allowed is the name of a profile",
            ),
            (
                "inherits = \"textbok\"",
                "no profile \"textbok\": the shipped ones are textbook, seed, java, hd; any other is \
                 the path of a file",
            ),
        ];
        for (text, want) in rows {
            assert_eq!(parsed(text).unwrap_err(), want, "{text}");
        }
        let unknown = parsed("[points]\npause-stop = 1").unwrap_err();
        assert!(unknown.ends_with("; perhaps \"pause-stops\" is meant"), "{unknown}");
    }

    #[test]
    fn profiles_that_inherit_from_each_other_end() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
        std::fs::write(&a, "inherits = \"b.toml\"").unwrap();
        std::fs::write(&b, "inherits = \"a.toml\"").unwrap();
        let error = load(a.to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains("over 8 profiles inherit from each other"), "{error}");
        std::fs::write(&b, "inherits = \"hd\"").unwrap();
        assert_eq!(load(a.to_str().unwrap()).unwrap().lab.fragments, Fragments::SameSeq);
    }
}
