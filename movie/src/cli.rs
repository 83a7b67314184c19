// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use crate::make::background::Colour;
use clap::{Args, Parser, Subcommand};
use gstmjpegfile::movie::FrameRate;
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  mjpeg-movie make holiday.mp4 movie.mjpeg             converts any video
  mjpeg-movie make --size 384x288 --framerate 20 v4l2:///dev/video0 movie.mjpeg
                                                       records a webcam until Ctrl-C
  mjpeg-movie make pictures/ movie.mjpeg               a folder of pictures, sorted by name
  ffmpeg -i x.mkv -f matroska - | mjpeg-movie make - movie.mjpeg
  mjpeg-movie info movie.mjpeg
  mjpeg-movie check movie.mjpeg && echo good
  mjpeg-movie repair broken.mjpeg good.mjpeg
  mjpeg-movie extract movie.mjpeg frames/ 10..20

A movie is a file of records: five ASCII digits, then one JPEG image of that many bytes. Files of JPEG
images without lengths and recorded multipart streams are read as well; repair converts them.

Exit codes: 0 success (check: no problem found); 1 failure (check: problems found; make and repair: a
picture was left out, although OUT is written); 2 wrong usage";

/// Makes, describes, checks and repairs length-prefixed MJPEG movies, and extracts their frames.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Make(Make),
    Info(Info),
    Check(Check),
    Repair(Repair),
    Extract(Extract),
}

/// Make a movie from anything that GStreamer can decode
///
/// Images are written with standard Huffman tables and 4:2:0 chroma subsampling, which RTP/JPEG
/// carries unchanged and every player of these movies can show. A picture that is too large for a
/// frame is encoded at a lower quality, then in a smaller size. OUT appears only when it is complete;
/// Ctrl-C ends a recording and keeps the frames recorded so far. If the end of the input is missing or
/// cannot be decoded, OUT has the pictures before it and the exit code is 1. Whether an input ends too
/// early is known only for files of formats that state their length: MP4, QuickTime, AVI, Matroska.
#[derive(Debug, Args)]
pub struct Make {
    /// A file, a URI, a folder of pictures, or - for standard input
    #[arg(value_name = "INPUT")]
    pub input: OsString,

    /// The movie to write, or - for standard output
    #[arg(value_name = "OUT")]
    pub out: PathBuf,

    /// Frames per second, as a number or a fraction; frames are repeated or dropped to reach it.
    /// A movie does not store its frame rate: players assume 20
    #[arg(long, value_name = "RATE", default_value = "20")]
    pub framerate: FrameRate,

    /// Width and height in pixels [default: those of the input]
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub size: Option<(u16, u16)>,

    /// JPEG quality, 1 to 100
    #[arg(long, value_name = "Q", default_value_t = 85, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quality: u8,

    /// Largest frame; a larger image is encoded again. 20468 suits the lab's clients, 65495 is the most that one RTP packet over UDP holds, 99999 the limit of the format
    #[arg(long, value_name = "BYTES", default_value_t = 65_495, value_parser = clap::value_parser!(u32).range(1000..=99_999))]
    pub max_frame_bytes: u32,

    /// Colour behind transparent parts of pictures: black, white, grey, or RRGGBB in hexadecimal
    #[arg(long, value_name = "COLOUR", default_value = "black")]
    pub background: Colour,

    /// Leave out pictures of a folder that cannot be read; the exit code is then 1
    #[arg(long)]
    pub skip_bad: bool,

    /// Replace OUT if it exists
    #[arg(long)]
    pub force: bool,
}

/// Describe a movie: frames, duration, picture size, frame sizes
#[derive(Debug, Args)]
pub struct Info {
    /// The movie
    #[arg(value_name = "MOVIE")]
    pub movie: PathBuf,

    /// Frames per second, to compute the duration
    #[arg(long, value_name = "RATE", default_value = "20")]
    pub framerate: FrameRate,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// List every problem in a movie, with frame number and byte offset
///
/// That a movie has no lengths before its images is a problem too: other programs cannot read it.
#[derive(Debug, Args)]
pub struct Check {
    /// The movie
    #[arg(value_name = "MOVIE")]
    pub movie: PathBuf,

    /// List nothing; only the exit code reports problems
    #[arg(long, short)]
    pub quiet: bool,
}

/// Salvage the good frames of a broken movie into another file
///
/// Searches for JPEG images and ignores the stored lengths, so it also finds images after a wrong
/// length, several images under one length, and images stored without lengths. Truncated and damaged
/// images are left out, and the exit code is then 1; a missing end marker (FF D9) is added. OUT appears
/// only when it is complete.
#[derive(Debug, Args)]
pub struct Repair {
    /// The broken movie, or a file of JPEG images one after another
    #[arg(value_name = "IN")]
    pub input: PathBuf,

    /// The movie to write, or - for standard output; not the same file as IN
    #[arg(value_name = "OUT")]
    pub out: PathBuf,

    /// Replace OUT if it exists
    #[arg(long)]
    pub force: bool,
}

/// Write frames to JPEG files, unchanged
#[derive(Debug, Args)]
pub struct Extract {
    /// The movie
    #[arg(value_name = "MOVIE")]
    pub movie: PathBuf,

    /// Folder for frame-000001.jpg and so on; created if it does not exist
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// Which frames, numbered from 1: N, N..M (both included), N.. or ..M
    #[arg(value_name = "FRAMES", default_value = "..", value_parser = range)]
    pub frames: (u64, u64),
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let parsed =
        text.split_once(['x', 'X']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    parsed
        .filter(|(width, height)| (1..=65_500).contains(width) && (1..=65_500).contains(height))
        .ok_or_else(|| "not WIDTHxHEIGHT in pixels (1 to 65500 each), such as 384x288".to_owned())
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let error =
        || "not a frame number or a range of them (N, N..M, N.. or ..M, counted from 1)".to_owned();
    let parse = |text: &str, default: u64| match text {
        "" => Ok(default),
        number => number.parse().map_err(|_| error()),
    };
    let (first, last) = match text.split_once("..") {
        Some((first, last)) => (parse(first, 1)?, parse(last, u64::MAX)?),
        None => (parse(text, 0)?, parse(text, 0)?),
    };
    (first >= 1 && last >= first).then_some((first, last)).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed() {
        assert_eq!(size("384x288"), Ok((384, 288)));
        for text in ["384", "0x1", "1x70000", "x"] {
            let error = "not WIDTHxHEIGHT in pixels (1 to 65500 each), such as 384x288";
            assert_eq!(size(text), Err(error.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn frame_ranges_are_parsed() {
        let rows = [
            ("..", (1, u64::MAX)),
            ("5", (5, 5)),
            ("5..7", (5, 7)),
            ("5..", (5, u64::MAX)),
            ("..7", (1, 7)),
        ];
        for (text, want) in rows {
            assert_eq!(range(text), Ok(want), "{text}");
        }
        for text in ["0", "7..5", "x", "0..3", ""] {
            let error =
                "not a frame number or a range of them (N, N..M, N.. or ..M, counted from 1)";
            assert_eq!(range(text), Err(error.to_owned()), "{text:?}");
        }
    }
}
