// SPDX-License-Identifier: MIT OR Apache-2.0
//! Adds, changes and removes the users in a configuration file. Everything else in the file stays as it
//! is: comments, order and layout.

use super::users::User;
use crate::config::Config;
use anyhow::{Context, Result, ensure};
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// The permissions of a new file: the hashes in it are as secret as the passwords.
const NEW_FILE: u32 = 0o600;

/// The header of a user's table.
const HEADER: &str = "[[user]]";

/// A configuration file whose users are changed.
pub(super) struct UserFile {
    path: PathBuf,
    text: String,
    config: Config,
}

/// Where a user's table is in the text, in bytes. Lines include their ends.
struct TableSpan {
    /// From the line of the header to that of the last value.
    lines: Range<usize>,
    /// The name, the line and the value of each key, in the order of the file.
    keys: Vec<(String, Range<usize>, Range<usize>)>,
}

impl UserFile {
    /// Opens the file that is named, or the one that the server would read. It need not exist if it is
    /// named.
    ///
    /// # Errors
    /// If it cannot be read or is not valid.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => Config::default_file().context(
                "there is no configuration file: name one with --config FILE, which need not exist",
            )?,
        };
        // A link stays a link.
        let path = match std::fs::canonicalize(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => path,
            path => path?,
        };
        let bytes = match path.symlink_metadata() {
            Ok(_) => Config::read_file(&path)?,
            Err(_) => Vec::new(),
        };
        let config = Config::parse_file(&path, &bytes)?;
        // What is valid is UTF-8.
        let text = String::from_utf8(bytes)?;
        Ok(Self { path, text, config })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The user with a name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.config.users.iter().find(|user| user.name == name)
    }

    /// Appends a user.
    ///
    /// # Errors
    /// If the file would not be valid.
    pub fn add(&mut self, user: &User) -> Result<()> {
        let mut text = self.text.clone();
        if !text.is_empty() {
            text += if text.ends_with('\n') { "\n" } else { "\n\n" };
        }
        text += &Config::user_to_toml(user);
        let mut users = self.config.users.clone();
        users.push(user.clone());
        self.replace_text(text, &users).context("the new user would make the file invalid")
    }

    /// Removes a user: its table, the comments in it, and an empty line before or after it.
    ///
    /// # Errors
    /// If the file would not be valid, or the user is not in a table of its own.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        let mut lines = self.table(name)?.lines;
        let (before, after) = (&self.text[..lines.start], &self.text[lines.end..]);
        if let Some(empty) = ["\n", "\r\n"].into_iter().find(|empty| after.starts_with(empty)) {
            lines.end += empty.len();
        } else if after.is_empty() {
            // The last table: the line before it would be left over.
            lines.start = before.trim_end_matches(['\n', '\r']).len();
            lines.start += usize::from(before[lines.start..].starts_with('\r'));
            lines.start += usize::from(before[lines.start..].starts_with('\n'));
        }
        let mut text = self.text.clone();
        text.replace_range(lines, "");
        let users = self.config.users.iter().filter(|user| user.name != name).cloned();
        let users: Vec<User> = users.collect();
        self.replace_text(text, &users).with_context(|| {
            format!("the file would not be valid without {name:?}: change these lines first")
        })
    }

    /// Replaces the hashes of a user, whose name and role stay.
    ///
    /// # Errors
    /// If the user is not in a table of its own.
    pub fn set_hashes(&mut self, user: &User) -> Result<()> {
        let table = self.table(&user.name)?;
        let written = Config::user_to_toml(user);
        let new: Vec<(&str, &str)> =
            written.lines().filter_map(|line| line.split_once(" = ")).collect();
        let mut text = self.text.clone();
        // From the end of the file, so that the positions before stay valid.
        let keys = table.keys.iter().rev();
        let is_missing = |name: &str| {
            !matches!(name, "name" | "role") && !table.keys.iter().any(|key| key.0 == name)
        };
        let missing = new.iter().filter(|(name, _)| is_missing(name));
        let missing =
            missing.fold(String::new(), |lines, (name, value)| lines + name + " = " + value + "\n");
        let end = table.lines.end;
        let line_end = if text[..end].ends_with('\n') { "" } else { "\n" };
        text.insert_str(end, &format!("{line_end}{missing}"));
        for (name, line, value) in keys {
            if matches!(name.as_str(), "name" | "role") {
                continue;
            }
            match new.iter().find(|(new, _)| new == name) {
                Some((_, new)) => text.replace_range(value.clone(), new),
                None => text.replace_range(line.clone(), ""),
            }
        }
        let users =
            self.config.users.iter().map(|present| {
                if present.name == user.name { user.clone() } else { present.clone() }
            });
        let users: Vec<User> = users.collect();
        self.replace_text(text, &users)
    }

    /// The position of a user's table.
    fn table(&self, name: &str) -> Result<TableSpan> {
        let by_hand = || {
            format!("{}: {name:?} has no {HEADER} of its own: edit the file", self.path.display())
        };
        let skipped = self.start();
        let document = DeTable::parse(&self.text[skipped..])?;
        let users = document.get_ref().get("user").and_then(|users| users.get_ref().as_array());
        let mut tables = users.into_iter().flatten().filter_map(|user| user.get_ref().as_table());
        let table = tables.find(|table| {
            table.get("name").is_some_and(|value| value.get_ref().as_str() == Some(name))
        });
        let shift = |span: Range<usize>| span.start + skipped..span.end + skipped;
        let mut keys: Vec<_> = table
            .with_context(by_hand)?
            .iter()
            .map(|(key, value)| {
                let (key_at, value_at) = (shift(key.span()), shift(value.span()));
                let line = self.line_start(key_at.start)..self.line_end(value_at.end);
                (key.get_ref().to_string(), line, value_at)
            })
            .collect();
        keys.sort_by_key(|(_, line, _)| line.start);
        let (first, last) = (keys.first().with_context(by_hand)?, keys.last());
        let header = self.header_before(first.1.start).with_context(by_hand)?;
        let lines = header..last.map_or(header, |(_, line, _)| line.end);
        Ok(TableSpan { lines, keys })
    }

    /// The start of the line of the header before a line; between them are only comments and empty lines.
    fn header_before(&self, line: usize) -> Option<usize> {
        let mut end = line;
        loop {
            let start = self.line_start(end.checked_sub(1)?);
            let text = self.text[start..end].trim();
            let is_header = |text: &str| {
                let inner = text.strip_prefix("[[").and_then(|it| it.split_once("]]"));
                inner.is_some_and(|(name, _)| name.trim() == "user")
            };
            match text {
                text if is_header(text) => return Some(start),
                text if text.is_empty() || text.starts_with('#') => end = start,
                _ => return None,
            }
        }
    }

    /// The start of the TOML: a byte order mark is not part of it.
    fn start(&self) -> usize {
        self.text.len() - self.text.trim_start_matches('\u{feff}').len()
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(self.start(), |end| end + 1)
    }

    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |end| at + end + 1)
    }

    /// Replaces the text if it is valid, has these users, and means the same otherwise.
    fn replace_text(&mut self, text: String, users: &[User]) -> Result<()> {
        let config = Config::parse_file(&self.path, text.as_bytes())?;
        let mut want = Config { users: users.to_vec(), ..self.config.clone() };
        for (want, mount) in want.mounts.iter_mut().zip(&config.mounts) {
            want.position.clone_from(&mount.position);
        }
        ensure!(
            config == want,
            "{}: its layout is too unusual to be changed by a program: edit the file",
            self.path.display()
        );
        (self.text, self.config) = (text, config);
        Ok(())
    }

    /// Replaces the file as a whole: every reader sees the old or the new one. Owner and permissions
    /// stay.
    ///
    /// # Errors
    /// If it cannot be written. It is not changed then.
    pub fn save(self) -> Result<PathBuf> {
        replace(&self.path, self.text.as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(self.path)
    }
}

fn replace(path: &Path, text: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut mode = NEW_FILE;
    if let Ok(before) = path.metadata() {
        mode = before.mode() & 0o7777;
        let new = file.as_file().metadata()?;
        if (new.uid(), new.gid()) != (before.uid(), before.gid()) {
            fchown(file.as_file(), Some(before.uid()), Some(before.gid()))
                .context("cannot keep the owner of the file")?;
        }
        if mode & 0o004 != 0 {
            tracing::warn!(
                "{} can be read by all users of this machine, who could log in with what it contains: \
                 chmod o-r",
                path.display()
            );
        }
    }
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The new name is on the disk too.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::hashes::DigestHash;

    const MD5: &str = "00112233445566778899aabbccddeeff";

    /// A file with this text, which is not on a disk.
    fn file(text: &str) -> UserFile {
        let path = PathBuf::from("/server.toml");
        let config = Config::parse_file(&path, text.as_bytes()).unwrap();
        UserFile { path, text: text.to_owned(), config }
    }

    fn hash(name: &str) -> String {
        format!("[[user]]\nname = \"{name}\"\ndigest-md5 = \"{MD5}\"\n")
    }

    #[test]
    fn a_user_is_removed_and_everything_else_stays() {
        let (ana, bob) = (hash("ana"), hash("bob"));
        let commented = format!(
            "# Ours.\n [[ user ]] # one\n# Her name.\n\nname = 'ana' # Ana\ndigest-md5 = \"\"\"\n{MD5}\"\"\" # \
             today\n# Others.\n"
        );
        let rows = [
            (ana.clone(), String::new()),
            (format!("lab = 'on'\n\n{ana}"), "lab = 'on'\n".to_owned()),
            (format!("lab = 'on'\n\n\n{ana}"), "lab = 'on'\n".to_owned()),
            (
                format!("{bob}\n{ana}\n{bob}").replacen("bob", "eve", 1),
                format!("{bob}\n{bob}").replacen("bob", "eve", 1),
            ),
            (format!("{ana}{bob}"), bob.clone()),
            (format!("{bob}\r\n{ana}\r\n# x\r\n"), format!("{bob}\r\n# x\r\n")),
            (commented, "# Ours.\n# Others.\n".to_owned()),
            (
                format!("\u{feff}{ana}\n[limits]\nmax-sessions = 7 # few\n"),
                "\u{feff}[limits]\nmax-sessions = 7 # few\n".to_owned(),
            ),
            (ana.trim_end().to_owned(), String::new()),
        ];
        for (text, want) in rows {
            let mut file = file(&text);
            file.remove("ana").unwrap();
            assert_eq!(file.text, want, "{text}");
        }
    }

    #[test]
    fn the_hashes_of_a_user_are_replaced_in_their_place() {
        let new = "ffeeddccbbaa99887766554433221100";
        let sha = "0".repeat(64);
        let user = User {
            name: "ana".to_owned(),
            digest_md5: DigestHash::parse(new),
            digest_sha256: DigestHash::parse(&sha),
            ..User::default()
        };
        let both = format!("digest-md5 = \"{new}\"\ndigest-sha256 = \"{sha}\"\n");
        let argon2 = "argon2 = '$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'";
        let rows = [
            (hash("ana"), format!("[[user]]\nname = \"ana\"\n{both}")),
            (
                format!(
                    "[[user]] # x\n  digest-md5 = '{MD5}' # y\n\n# z\nname='ana'\n\n{}",
                    hash("bob")
                ),
                format!(
                    "[[user]] # x\n  digest-md5 = \"{new}\" # y\n\n# z\nname='ana'\ndigest-sha256 = \
                     \"{sha}\"\n\n{}",
                    hash("bob")
                ),
            ),
            (
                format!("[[user]]\n{argon2} # old\nname = 'ana'\nrole = 'viewer'"),
                format!("[[user]]\nname = 'ana'\nrole = 'viewer'\n{both}"),
            ),
        ];
        for (text, want) in rows {
            let mut file = file(&text);
            file.set_hashes(&user).unwrap();
            assert_eq!(file.text, want, "{text}");
        }
    }

    #[test]
    fn what_would_make_the_file_invalid_is_refused() {
        let listed = format!("{}[defaults]\nusers = ['ana']\n", hash("ana"));
        let inline = format!("user = [{{ name = 'ana', digest-md5 = '{MD5}' }}]\n");
        let rows = [
            (
                listed,
                "the file would not be valid without \"ana\": change these lines first: \
                 /server.toml:2:10: users: found \"ana\", but there is no such [[user]]; `user add` adds one",
            ),
            (inline, "/server.toml: \"ana\" has no [[user]] of its own: edit the file"),
        ];
        for (text, want) in rows {
            let mut file = file(&text);
            assert_eq!(format!("{:#}", file.remove("ana").unwrap_err()), want);
            assert_eq!(file.text, text);
        }
    }
}
