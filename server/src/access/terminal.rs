// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads a password from the terminal without showing it.

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, Read, Write};

/// The keys Ctrl-C, Ctrl-D, Ctrl-U, Backspace and Delete.
const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;
const BACKSPACE: [u8; 2] = [0x08, 0x7f];

/// The terminal of the process. Dropping it restores its mode.
pub(super) struct Terminal {
    file: File,
    before: Termios,
}

impl Terminal {
    /// Opens the terminal, and stops it from showing what is typed.
    ///
    /// # Errors
    /// If the process has no terminal.
    pub fn open() -> io::Result<Self> {
        let file = File::options().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&file)?;
        let mut mode = before.clone();
        // Ctrl-C is read as a key, so that the mode is restored.
        mode.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        tcsetattr(&file, SetArg::TCSAFLUSH, &mode)?;
        Ok(Self { file, before })
    }

    /// Asks for a line of at most `limit` bytes; `None` if the user presses Ctrl-C or Ctrl-D.
    ///
    /// # Errors
    /// If the terminal fails.
    pub fn ask(&mut self, question: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        self.file.write_all(question.as_bytes())?;
        let mut line = Vec::new();
        let typed = loop {
            let mut byte = [0];
            if self.file.read(&mut byte)? == 0 {
                break None;
            }
            match byte[0] {
                b'\r' | b'\n' => break Some(line),
                CTRL_C | CTRL_D => break None,
                CTRL_U => line.clear(),
                key if BACKSPACE.contains(&key) => remove_last_char(&mut line),
                byte if line.len() < limit => line.push(byte),
                _ => {}
            }
        };
        self.file.write_all(b"\n")?;
        Ok(typed)
    }
}

fn remove_last_char(line: &mut Vec<u8>) {
    // The other bytes of a character of UTF-8.
    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.file, SetArg::TCSAFLUSH, &self.before);
    }
}
