// SPDX-License-Identifier: MIT OR Apache-2.0
//! A good movie of what can be saved of a broken one.

use crate::cli::Repair;
use crate::salvage::{Found, next_image};
use crate::say;
use crate::walk::{Source, bar};
use anyhow::{Context, Result, bail};
use gstmjpegfile::jpeg::encode_within;
use gstmjpegfile::movie::{EOI, FrameWriter, MAX_FRAME_LEN};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use tempfile::NamedTempFile;

/// Bytes that are looked through at once.
const PART: usize = 8 * 1024 * 1024;

/// An image that is not complete in this is none.
const LARGEST: usize = 64 * 1024 * 1024;

/// Said one by one; what comes after them is counted.
const LISTED: u64 = 100;

/// A file that appears when it is complete, or not at all.
pub struct Output {
    file: NamedTempFile,
}

impl Output {
    /// For `path`, which must not be there, unless it may be replaced; never `input`.
    pub fn new(path: &Path, input: Option<&Path>, force: bool) -> Result<Self> {
        if let Some(input) = input
            && let (Ok(input), Ok(out)) = (input.canonicalize(), path.canonicalize())
            && input == out
        {
            bail!("{} is the input: it is never overwritten, name another file", path.display());
        }
        if path.exists() && !force {
            bail!("{} is there already: name another file, or add --force", path.display());
        }
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let file = NamedTempFile::new_in(folder)
            .with_context(|| format!("cannot write in {}", folder.display()))?;
        Ok(Self { file })
    }

    pub fn writer(&self) -> Result<FrameWriter<BufWriter<std::fs::File>>> {
        Ok(FrameWriter::new(BufWriter::with_capacity(1 << 20, self.file.reopen()?)))
    }

    /// Lets it appear.
    pub fn keep(self, writer: FrameWriter<BufWriter<std::fs::File>>, path: &Path) -> Result<()> {
        writer.into_inner().flush().with_context(|| path.display().to_string())?;
        // Temporary files are for their owner alone; a movie is as other files are.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        self.file.as_file().set_permissions(mode)?;
        self.file.persist(path).with_context(|| path.display().to_string())?;
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Counts {
    written: u64,
    left_out: u64,
    ended: u64,
    shrunk: u64,
    told: u64,
}

impl Counts {
    fn tell(&mut self, text: &str) {
        self.told += 1;
        if self.told <= LISTED {
            say(text);
        }
    }
}

pub fn run(arguments: &Repair) -> Result<ExitCode> {
    let source = Source::open(&arguments.input)?;
    let output = Output::new(&arguments.out, Some(&arguments.input), arguments.force)?;
    let mut writer = output.writer()?;
    let mut counts = Counts::default();
    let bar = bar(source.length(), "{bytes}/{total_bytes} {bytes_per_sec}");
    let (mut offset, mut part) = (0, PART);
    while offset < source.length() {
        let bytes = source.bytes(offset, part)?.to_vec();
        let last = offset + bytes.len() as u64 >= source.length();
        let used = images_of(&bytes, last, part, offset, &mut writer, &mut counts)?;
        if used == 0 {
            if last {
                break;
            }
            // An image goes on behind this part.
            part *= 2;
            continue;
        }
        offset += used as u64;
        part = PART;
        bar.set_position(offset);
    }
    bar.finish_and_clear();
    if counts.written == 0 {
        bail!("no image in {}: nothing is written", arguments.input.display());
    }
    output.keep(writer, &arguments.out)?;
    if counts.told > LISTED {
        say(&format!("and {} more", counts.told - LISTED));
    }
    say(&format!(
        "{}: {} frames; {} images were damaged and left out, {} got their missing end, {} were encoded \
         again to fit 99999 bytes",
        arguments.out.display(),
        counts.written,
        counts.left_out,
        counts.ended,
        counts.shrunk
    ));
    Ok(ExitCode::SUCCESS)
}

/// Writes the images that are whole in `bytes`; gives how many bytes are done with.
fn images_of<W: Write>(
    bytes: &[u8],
    last: bool,
    part: usize,
    offset: u64,
    writer: &mut FrameWriter<W>,
    counts: &mut Counts,
) -> Result<usize> {
    let mut from = 0;
    loop {
        match next_image(bytes, from) {
            // It may go on behind what is at hand.
            Found::Image { begin, end, .. } if end == bytes.len() && !last && part < LARGEST => {
                return Ok(begin);
            }
            Found::Damaged { begin, .. }
                if !last && part < LARGEST && bytes.len() - begin < PART =>
            {
                return Ok(begin);
            }
            Found::Image { begin, end, lacks_eoi } => {
                let mut image = bytes.get(begin..end).unwrap_or_default().to_vec();
                if lacks_eoi {
                    image.extend(EOI);
                    counts.ended += 1;
                }
                write(&image, offset + begin as u64, writer, counts)?;
                from = end;
            }
            Found::Damaged { begin, damage } => {
                counts.left_out += 1;
                let at = offset + begin as u64;
                counts.tell(&format!("byte {at}: left out: {damage}"));
                from = begin + 2;
            }
            Found::Nothing if last => return Ok(bytes.len()),
            // Half a begin of an image may be the last byte.
            Found::Nothing => return Ok(bytes.len().saturating_sub(1).max(from)),
        }
    }
}

fn write<W: Write>(
    image: &[u8],
    at: u64,
    writer: &mut FrameWriter<W>,
    counts: &mut Counts,
) -> Result<()> {
    if image.len() <= MAX_FRAME_LEN {
        writer.write_frame(image)?;
    } else if let Some(smaller) = encode_within(image, MAX_FRAME_LEN) {
        counts.shrunk += 1;
        counts.tell(&format!("byte {at}: an image of {} bytes is encoded again", image.len()));
        writer.write_frame(&smaller)?;
    } else {
        counts.left_out += 1;
        counts.tell(&format!("byte {at}: left out: an image of {} bytes", image.len()));
        return Ok(());
    }
    counts.written += 1;
    Ok(())
}
