// SPDX-License-Identifier: MIT OR Apache-2.0
//! The submissions of a class: folders and zip files. Each is copied, within limits, before it is run.

use super::archive::unpack;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The most files and folders of a submission.
pub const MAX_FILES: usize = 5000;

/// The most bytes of a submission.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The maximum depth of folders.
pub const MAX_DEPTH: usize = 32;

/// How many folders that contain nothing but one folder are entered.
const MAX_WRAPPERS: usize = 8;

/// Why a submission cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// The operating system reports an error.
    #[error("cannot read {path}")]
    Read {
        /// The file, relative to the submission.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// There is no space for the copy.
    #[error("cannot write the copy of {path}")]
    Write {
        /// The file, relative to the submission.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is not a zip file, or a damaged one.
    #[error("not a zip file that can be read")]
    Zip(#[from] zip::result::ZipError),
    /// A file of the archive is encrypted.
    #[error("{0} is encrypted: submit it without a password")]
    Encrypted(String),
    /// A name in the archive leaves the folder, or is not a name.
    #[error("the zip file has the name {0}, which is outside of its folder")]
    Outside(String),
    /// It has too many files.
    #[error("over {MAX_FILES} files and folders")]
    TooManyFiles,
    /// It is too large.
    #[error("over {} MiB", MAX_BYTES / 1024 / 1024)]
    TooLarge,
    /// It has too many levels of folders.
    #[error("over {MAX_DEPTH} folders within each other")]
    TooDeep,
    /// It has no file.
    #[error("no file in it")]
    Empty,
}

/// A folder or zip file that a student has submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Its name, which is also that of its folder of results. No two of a class are the same.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is a zip file.
    pub is_zip: bool,
}

/// A copy of a submission, which is run.
#[derive(Debug)]
pub struct SubmissionCopy {
    /// The folder of the program.
    pub folder: PathBuf,
    /// The bytes of its files.
    pub bytes: u64,
    /// The hash of its names and files.
    pub hash: String,
    /// What was left out.
    pub notes: Vec<String>,
}

/// The submissions in a folder in the order of their names, and the names of entries that are not submissions.
///
/// # Errors
/// If the folder cannot be read.
pub fn find(folder: &Path) -> io::Result<(Vec<Submission>, Vec<String>)> {
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file_name = entry.file_name().to_string_lossy().into_owned();
        if is_by_product(&file_name) {
            continue;
        }
        let kind = entry.file_type()?;
        let (stem, extension) = file_name.rsplit_once('.').unwrap_or((&file_name, ""));
        let is_zip = kind.is_file() && extension.eq_ignore_ascii_case("zip") && !stem.is_empty();
        if kind.is_dir() || is_zip {
            let name = if is_zip { stem.to_owned() } else { file_name.clone() };
            found.push((
                name,
                file_name,
                Submission { name: String::new(), path: entry.path(), is_zip },
            ));
        } else {
            others.push(file_name);
        }
    }
    // By the file names, so that the names below do not depend on the file system.
    found.sort_by(|a, b| a.1.cmp(&b.1));
    others.sort();
    let mut taken = BTreeSet::new();
    let count = found.len();
    let mut submissions = Vec::new();
    for (stem, file_name, submission) in found {
        let name = [file_of(&stem), file_of(&file_name)]
            .into_iter()
            .chain((2..=count + 2).map(|number| format!("{}-{number}", file_of(&file_name))))
            .find(|name| !taken.contains(&name.to_lowercase()))
            .unwrap_or_default();
        taken.insert(name.to_lowercase());
        submissions.push(Submission { name, ..submission });
    }
    submissions.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((submissions, others))
}

/// The longest name in bytes: file systems have 255, and a number may follow.
const MAX_NAME: usize = 200;

/// A name that is safe as that of a folder, in a page's links, and on a terminal.
fn file_of(name: &str) -> String {
    let mut safe = String::new();
    for char in mjpeg_program::log::printable(name).trim_start_matches('.').trim().chars() {
        let is_special = "/\\:%#?\"'<>|*&\n\t".contains(char);
        if safe.len() + char.len_utf8() > MAX_NAME {
            break;
        }
        safe.push(if is_special { '_' } else { char });
    }
    // The files of the summary are in the same folder.
    if safe.is_empty() || safe.to_lowercase().starts_with("summary.") {
        safe.insert(0, '_');
    }
    safe
}

/// Whether a file was not made by the student: hidden ones, and those that archivers add.
fn is_by_product(name: &str) -> bool {
    name.starts_with('.') || matches!(name, "__MACOSX" | "Thumbs.db" | "desktop.ini")
}

/// Counts what is copied.
#[derive(Debug, Default)]
pub(super) struct Budget {
    files: usize,
    bytes: u64,
    pub(super) notes: Vec<String>,
}

/// The most notes.
const MAX_NOTES: usize = 20;

impl Budget {
    /// Counts a file or folder.
    pub(super) fn add(&mut self, depth: usize) -> Result<(), SubmissionError> {
        self.files += 1;
        if depth > MAX_DEPTH {
            return Err(SubmissionError::TooDeep);
        }
        if self.files > MAX_FILES { Err(SubmissionError::TooManyFiles) } else { Ok(()) }
    }

    /// Notes what is left out.
    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        }
    }

    /// Copies the bytes of a file, however many its header announces.
    pub(super) fn copy(
        &mut self,
        name: &str,
        from: &mut impl Read,
        to: &Path,
    ) -> Result<(), SubmissionError> {
        let write = |source| SubmissionError::Write { path: name.to_owned(), source };
        let mut file = File::create(to).map_err(write)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let have = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(have) => have,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(SubmissionError::Read { path: name.to_owned(), source });
                }
            };
            self.bytes += have as u64;
            if self.bytes > MAX_BYTES {
                return Err(SubmissionError::TooLarge);
            }
            file.write_all(buffer.get(..have).unwrap_or_default()).map_err(write)?;
        }
    }
}

impl Submission {
    /// Copies the submission into an empty folder.
    ///
    /// # Errors
    /// See [`SubmissionError`].
    pub fn copy(&self, to: &Path) -> Result<SubmissionCopy, SubmissionError> {
        let mut budget = Budget::default();
        if self.is_zip {
            unpack(&self.path, to, &mut budget)?;
        } else {
            copy_folder(&self.path, to, "", 0, &mut budget)?;
        }
        let mut folder = program_folder(to)?;
        // Learning platforms put each student's file into a folder.
        if let Some(zip) = only_zip(&folder).filter(|_| !self.is_zip) {
            let unpacked = to.with_file_name("unpacked");
            let write = |source| SubmissionError::Write { path: "the zip file".to_owned(), source };
            fs::create_dir(&unpacked).map_err(write)?;
            unpack(&zip, &unpacked, &mut budget)?;
            folder = program_folder(&unpacked)?;
        }
        let hash = hash(&folder)?;
        Ok(SubmissionCopy { folder, bytes: budget.bytes, hash, notes: budget.notes })
    }
}

/// Copies the regular files and folders of a folder.
fn copy_folder(
    from: &Path,
    to: &Path,
    shown: &str,
    depth: usize,
    budget: &mut Budget,
) -> Result<(), SubmissionError> {
    let read = |path: &str| {
        let path = if path.is_empty() { "the folder".to_owned() } else { path.to_owned() };
        move |source| SubmissionError::Read { path, source }
    };
    for entry in fs::read_dir(from).map_err(read(shown))? {
        let entry = entry.map_err(read(shown))?;
        let name = entry.file_name();
        let shown = format!("{shown}{}", name.to_string_lossy());
        let target = to.join(&name);
        budget.add(depth)?;
        let kind = entry.file_type().map_err(read(&shown))?;
        if kind.is_dir() {
            let write = |source| SubmissionError::Write { path: shown.clone(), source };
            fs::create_dir(&target).map_err(write)?;
            copy_folder(&entry.path(), &target, &format!("{shown}/"), depth + 1, budget)?;
        } else if kind.is_file() {
            let mut file = File::open(entry.path()).map_err(read(&shown))?;
            budget.copy(&shown, &mut file, &target)?;
        } else {
            let what = if kind.is_symlink() { "a symbolic link" } else { "not a regular file" };
            budget.note(format!("left out: {shown} is {what}"));
        }
    }
    Ok(())
}

/// The folder that has the program: folders that contain nothing but one folder are entered.
fn program_folder(copy: &Path) -> Result<PathBuf, SubmissionError> {
    let mut folder = copy.to_owned();
    for level in 0..MAX_WRAPPERS {
        let read = |source| SubmissionError::Read { path: "the copy".to_owned(), source };
        let mut entries = Vec::new();
        for entry in fs::read_dir(&folder).map_err(read)? {
            let entry = entry.map_err(read)?;
            if !is_by_product(&entry.file_name().to_string_lossy()) {
                entries.push(entry);
            }
        }
        match entries.as_slice() {
            [] if level == 0 => return Err(SubmissionError::Empty),
            [only] if only.file_type().map_err(read)?.is_dir() => folder = only.path(),
            _ => break,
        }
    }
    Ok(folder)
}

/// The zip file in a folder that has nothing else.
fn only_zip(folder: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let only = entries.next().filter(|_| entries.next().is_none())?;
    let is_zip = only.extension().is_some_and(|it| it.eq_ignore_ascii_case("zip"));
    (is_zip && only.is_file()).then_some(only)
}

/// The hash of all names and files of a folder.
fn hash(folder: &Path) -> Result<String, SubmissionError> {
    let mut hasher = Sha256::new();
    hash_folder(folder, b"", &mut hasher)?;
    Ok(hex(&hasher.finalize()))
}

fn hash_folder(folder: &Path, prefix: &[u8], hasher: &mut Sha256) -> Result<(), SubmissionError> {
    let failed = |source| SubmissionError::Read { path: "the copy".to_owned(), source };
    let mut entries =
        fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        // By its bytes: names need not be UTF-8.
        let name = [prefix, entry.file_name().as_bytes()].concat();
        hasher.update((name.len() as u64).to_be_bytes());
        hasher.update(&name);
        if entry.file_type().map_err(failed)?.is_dir() {
            hasher.update([1]);
            hash_folder(&entry.path(), &[&name[..], b"/"].concat(), hasher)?;
        } else {
            let bytes = fs::read(entry.path()).map_err(failed)?;
            hasher.update([0]);
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(&bytes);
        }
    }
    Ok(())
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_submission_has_a_name_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["ann", "Ben", "a b<c>", "summary.csv", "..hidden", "__MACOSX"] {
            fs::create_dir(path(name)).unwrap();
        }
        for name in ["ann.zip", "ben.ZIP", "notes.txt", "x.rar", ".zip"] {
            File::create(path(name)).unwrap();
        }
        std::os::unix::fs::symlink("/etc", path("link")).unwrap();
        let (found, others) = find(folder.path()).unwrap();
        let names: Vec<(String, String)> = found
            .iter()
            .map(|it| (it.name.clone(), it.path.file_name().unwrap().to_str().unwrap().to_owned()))
            .collect();
        let want = [
            ("Ben", "Ben"),
            ("_summary.csv", "summary.csv"),
            ("a b_c_", "a b<c>"),
            ("ann", "ann"),
            ("ann.zip", "ann.zip"),
            ("ben.ZIP", "ben.ZIP"),
        ];
        let want = want.map(|(name, file)| (name.to_owned(), file.to_owned()));
        assert_eq!(names, want);
        assert_eq!(others, ["link", "notes.txt", "x.rar"]);
    }

    #[test]
    fn a_folder_is_copied_without_links() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("lab/src")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("lab/Server.py"), "print()").unwrap();
        fs::write(from.join("lab/src/more.py"), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("lab/passwd")).unwrap();
        let submission = Submission { name: "a".to_owned(), path: from.clone(), is_zip: false };
        let copied = submission.copy(&to).unwrap();
        assert_eq!(copied.folder, to.join("lab"));
        assert_eq!(
            (copied.bytes, copied.notes),
            (7, vec!["left out: lab/passwd is a symbolic link".to_owned()])
        );
        assert!(copied.folder.join("src/more.py").is_file());
        assert!(!copied.folder.join("passwd").exists());
        // The hash is of names and contents.
        let again = |edit: &dyn Fn()| {
            edit();
            fs::remove_dir_all(&to).unwrap();
            fs::create_dir(&to).unwrap();
            submission.copy(&to).unwrap().hash
        };
        assert_eq!(again(&|| ()), copied.hash);
        let renamed = again(&|| fs::rename(from.join("lab/src"), from.join("lab/srd")).unwrap());
        assert_ne!(renamed, copied.hash);
        let changed = again(&|| fs::write(from.join("lab/Server.py"), "PRINT()").unwrap());
        assert_ne!(changed, renamed);
    }
}
