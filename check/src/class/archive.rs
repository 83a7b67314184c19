// SPDX-License-Identifier: MIT OR Apache-2.0
//! Unpacks zip files that are not trusted: no name leaves the folder, no link is made, and the bytes that
//! are unpacked are counted, not those that headers announce.

use super::submissions::{Budget, SubmissionError};
use mjpeg_program::log::printable;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// The bits of a Unix mode that state the kind of a file.
const KIND: u32 = 0o170_000;
/// A symbolic link.
const LINK: u32 = 0o120_000;
/// A regular file.
const REGULAR: u32 = 0o100_000;
/// A folder.
const FOLDER: u32 = 0o040_000;

/// The longest name of a file or folder in bytes, as file systems have it.
const MAX_NAME: usize = 255;

/// Unpacks a zip file into an empty folder.
pub(super) fn unpack(path: &Path, to: &Path, budget: &mut Budget) -> Result<(), SubmissionError> {
    let file = File::open(path)
        .map_err(|source| SubmissionError::Read { path: "the zip file".to_owned(), source })?;
    let mut archive = zip::ZipArchive::new(BufReader::new(file))?;
    for number in 0..archive.len() {
        // The name of an encrypted file can be read without its password.
        let raw = archive.by_index_raw(number)?;
        // Of a name in an unknown encoding, the part that is text is kept.
        let full = raw.name().map_or_else(
            |_| String::from_utf8_lossy(raw.name_raw()).into_owned(),
            std::borrow::Cow::into_owned,
        );
        let name = printable(&full);
        let (is_folder, is_encrypted) = (raw.is_dir() || full.ends_with('\\'), raw.encrypted());
        let kind = raw.unix_mode().map_or(0, |mode| mode & KIND);
        let parts = parts(&full).ok_or_else(|| SubmissionError::Outside(name.clone()))?;
        drop(raw);
        budget.add(parts.len())?;
        if !matches!(kind, 0 | REGULAR | FOLDER) {
            let what = if kind == LINK { "a symbolic link" } else { "not a regular file" };
            budget.note(format!("left out: {name} is {what}"));
            continue;
        }
        if is_encrypted {
            return Err(SubmissionError::Encrypted(name));
        }
        let write = |source| SubmissionError::Write { path: name.clone(), source };
        let target: PathBuf = [to].into_iter().chain(parts.iter().map(Path::new)).collect();
        if is_folder {
            fs::create_dir_all(&target).map_err(write)?;
            continue;
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(write)?;
        }
        budget.copy(&name, &mut archive.by_index(number)?, &target)?;
    }
    Ok(())
}

/// The parts of a name in an archive; `None` if it leaves the folder. Some archivers write backslashes.
fn parts(name: &str) -> Option<Vec<&str>> {
    let is_absolute = name.starts_with(['/', '\\']);
    let parts: Vec<&str> = name.split(['/', '\\']).filter(|it| !matches!(*it, "" | ".")).collect();
    let is_name =
        |part: &&str| *part != ".." && !part.contains(['\0', ':']) && part.len() <= MAX_NAME;
    (!is_absolute && !parts.is_empty() && parts.iter().all(is_name)).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::submissions::{MAX_BYTES, MAX_FILES, Submission};
    use std::io::Write;
    use zip::write::{SimpleFileOptions, ZipWriter};

    #[test]
    fn names_stay_in_the_folder() {
        let rows: [(&str, Option<&[&str]>); 10] = [
            ("Server.py", Some(&["Server.py"])),
            ("lab/./Server.py", Some(&["lab", "Server.py"])),
            ("lab\\src\\Server.py", Some(&["lab", "src", "Server.py"])),
            ("a..b/c", Some(&["a..b", "c"])),
            ("../Server.py", None),
            ("lab/../../Server.py", None),
            ("..\\Server.py", None),
            ("/etc/passwd", None),
            ("C:\\Server.py", None),
            ("", None),
        ];
        for (name, want) in rows {
            assert_eq!(parts(name).as_deref(), want, "{name}");
        }
    }

    /// Unpacks a zip file that is made for it. Returns the files, or the error.
    fn unpacked(
        make: impl FnOnce(&mut ZipWriter<File>),
    ) -> (Result<Vec<String>, String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        make(&mut writer);
        writer.finish().unwrap();
        copied(&path, folder.path())
    }

    fn copied(path: &Path, folder: &Path) -> (Result<Vec<String>, String>, Vec<String>) {
        let to = folder.join("copy");
        fs::create_dir(&to).unwrap();
        let submission = Submission { name: "a".to_owned(), path: path.to_owned(), is_zip: true };
        match submission.copy(&to) {
            Ok(copied) => {
                let mut names: Vec<String> = walk(&copied.folder)
                    .into_iter()
                    .map(|it| it.strip_prefix(&copied.folder).unwrap().display().to_string())
                    .collect();
                names.sort();
                (Ok(names), copied.notes)
            }
            Err(error) => (Err(error.to_string()), Vec::new()),
        }
    }

    fn walk(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
        }
        found
    }

    fn add(writer: &mut ZipWriter<File>, name: &str, bytes: &[u8]) {
        writer.start_file(name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }

    #[test]
    fn a_zip_file_is_unpacked_within_limits() {
        let none = Vec::<String>::new();
        let (files, notes) = unpacked(|zip| {
            add(zip, "__MACOSX/._Server.py", b"x");
            add(zip, "lab 1/Größe/Server.py", b"x");
            add(zip, "lab 1/.DS_Store", b"x");
        });
        assert_eq!((files.unwrap(), notes), (vec!["Server.py".to_owned()], none.clone()));
        let (files, notes) = unpacked(|zip| {
            add(zip, "Server.py", b"x");
            zip.add_symlink("passwd", "/etc/passwd", SimpleFileOptions::default()).unwrap();
        });
        assert_eq!(files.unwrap(), ["Server.py"]);
        assert_eq!(notes, ["left out: passwd is a symbolic link"]);
        let (error, _) = unpacked(|zip| add(zip, "../../Server.py", b"x"));
        assert_eq!(
            error.unwrap_err(),
            "the zip file has the name ../../Server.py, which is outside of its folder"
        );
        let (error, _) = unpacked(|zip| {
            let zeros = vec![0; 1024 * 1024];
            zip.start_file("bomb", SimpleFileOptions::default()).unwrap();
            for _ in 0..=MAX_BYTES / zeros.len() as u64 {
                zip.write_all(&zeros).unwrap();
            }
        });
        assert_eq!(error.unwrap_err(), "over 64 MiB");
        let (error, _) = unpacked(|zip| {
            for number in 0..=MAX_FILES {
                add(zip, &number.to_string(), b"");
            }
        });
        assert_eq!(error.unwrap_err(), "over 5000 files and folders");
        let (error, _) = unpacked(|zip| add(zip, &"a/".repeat(40), b""));
        assert_eq!(error.unwrap_err(), "over 32 folders within each other");
        let (error, _) = unpacked(|_| ());
        assert_eq!(error.unwrap_err(), "no file in it");
    }

    #[test]
    fn a_zip_file_alone_in_a_folder_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("Ann Example_123_file"), folder.path().join("copy"));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        let mut writer = ZipWriter::new(File::create(from.join("Lab.ZIP")).unwrap());
        add(&mut writer, "lab/Server.py", b"print()");
        writer.finish().unwrap();
        let submission = Submission { name: "a".to_owned(), path: from, is_zip: false };
        let copied = submission.copy(&to).unwrap();
        assert_eq!(fs::read(copied.folder.join("Server.py")).unwrap(), b"print()");
    }

    #[test]
    fn names_in_old_encodings_and_damaged_files_are_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        add(&mut writer, "Server-XX.py", b"print()");
        writer.finish().unwrap();
        let whole = fs::read(&path).unwrap();
        // A name in GBK, without the flag that says UTF-8.
        let old: Vec<u8> = whole.clone();
        let mut old = old;
        for at in 0..old.len() - 2 {
            if &old[at..at + 2] == b"XX" {
                old[at..at + 2].copy_from_slice(&[0xc4, 0xe3]);
            }
        }
        fs::write(&path, &old).unwrap();
        let (files, _) = copied(&path, folder.path());
        assert_eq!(files.unwrap().len(), 1);
        for length in 0..whole.len() {
            let folder = tempfile::tempdir().unwrap();
            fs::write(&path, &whole[..length]).unwrap();
            assert!(copied(&path, folder.path()).0.is_err(), "{length}");
        }
        for at in 0..whole.len() {
            let folder = tempfile::tempdir().unwrap();
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            fs::write(&path, &damaged).unwrap();
            // Any result will do, but no panic and no file outside.
            let _ = copied(&path, folder.path());
        }
    }

    #[test]
    fn an_encrypted_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        add(&mut writer, "Server.py", b"print()");
        writer.finish().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        // The lowest flag, in the local and in the central header.
        for (signature, flags) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
            let at = bytes.windows(4).position(|it| it == signature).unwrap();
            bytes[at + flags] |= 1;
        }
        fs::write(&path, &bytes).unwrap();
        let (error, _) = copied(&path, folder.path());
        assert_eq!(error.unwrap_err(), "Server.py is encrypted: submit it without a password");
    }
}
