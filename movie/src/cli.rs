// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use clap::{Args, Parser, Subcommand};
use gstmjpegfile::movie::FrameRate;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  mjpeg-movie make holiday.mp4 movie.mjpeg             any video becomes a movie
  mjpeg-movie make --size 384x288 --framerate 20 v4l2:///dev/video0 movie.mjpeg
                                                       a webcam, until Ctrl-C
  mjpeg-movie make pictures/ movie.mjpeg               a folder of pictures, by their names
  ffmpeg -i x.mkv -f matroska - | mjpeg-movie make - movie.mjpeg
  mjpeg-movie info movie.mjpeg
  mjpeg-movie check movie.mjpeg && echo good
  mjpeg-movie repair broken.mjpeg good.mjpeg
  mjpeg-movie extract movie.mjpeg frames/ 10..20

A movie is a file of records: five ASCII digits, then one JPEG image of that many bytes.

Exit codes: 0 done (check: nothing is wrong); 1 failed (check: something is wrong); 2 wrong usage";

/// Makes, describes, checks, repairs and takes apart length-prefixed MJPEG movies.
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

/// Make a movie of anything that GStreamer decodes
///
/// Images are written with standard Huffman tables and 4:2:0, so that RTP carries them exactly,
/// and players of movies show them. OUT appears when it is complete; Ctrl-C ends a recording and
/// keeps what has come.
#[derive(Debug, Args)]
pub struct Make {
    /// A file, a URI, a folder of pictures, or - for standard input
    #[arg(value_name = "INPUT")]
    pub input: String,

    /// The movie
    #[arg(value_name = "OUT")]
    pub out: PathBuf,

    /// Frames a second, as a number or a fraction; frames are repeated or left out to reach it.
    /// The movie does not hold it: players assume 20
    #[arg(long, value_name = "RATE", default_value = "20")]
    pub framerate: FrameRate,

    /// Width and height in pixels; the input's, if it is not stated
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub size: Option<(u16, u16)>,

    /// JPEG quality, 1 to 100
    #[arg(long, value_name = "Q", default_value_t = 85, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quality: u8,

    /// An image over this is encoded again at lower quality. 20468 suits the lab's clients, 65495
    /// is a UDP datagram, 99999 the most that a movie holds
    #[arg(long, value_name = "BYTES", default_value_t = 65_495, value_parser = clap::value_parser!(u32).range(1000..=99_999))]
    pub max_frame_bytes: u32,

    /// Replace OUT, if it is there
    #[arg(long)]
    pub force: bool,
}

/// Tell about a movie: frames, picture, duration, sizes
#[derive(Debug, Args)]
pub struct Info {
    /// The movie
    #[arg(value_name = "MOVIE")]
    pub movie: PathBuf,

    /// Frames a second, for the duration
    #[arg(long, value_name = "RATE", default_value = "20")]
    pub framerate: FrameRate,

    /// As one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Tell everything that is wrong with a movie, with frame number and byte offset
#[derive(Debug, Args)]
pub struct Check {
    /// The movie
    #[arg(value_name = "MOVIE")]
    pub movie: PathBuf,

    /// Say nothing; the exit code tells
    #[arg(long, short)]
    pub quiet: bool,
}

/// Write what can be saved of a broken movie to another file
///
/// Images are found wherever they begin and end: behind wrong lengths, several under one length, or
/// one after another without lengths. What is cut or damaged is left out; a missing end of image
/// is added. OUT appears when it is complete.
#[derive(Debug, Args)]
pub struct Repair {
    /// The broken movie, or JPEG images one after another
    #[arg(value_name = "IN")]
    pub input: PathBuf,

    /// The movie that is written; another file than IN
    #[arg(value_name = "OUT")]
    pub out: PathBuf,

    /// Replace OUT, if it is there
    #[arg(long)]
    pub force: bool,
}

/// Write frames as JPEG files, as they are in the movie
#[derive(Debug, Args)]
pub struct Extract {
    /// The movie
    #[arg(value_name = "MOVIE")]
    pub movie: PathBuf,

    /// Where frame-000001.jpg and so on are written; made if it is missing
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// Which frames, from 1: N, N..M with both ends, N.. or ..M; all, if it is not stated
    #[arg(value_name = "FRAMES", default_value = "..", value_parser = range)]
    pub frames: (u64, u64),
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let sides =
        text.split_once(['x', 'X']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let good = sides
        .filter(|(width, height)| (1..=65_500).contains(width) && (1..=65_500).contains(height));
    good.ok_or_else(|| "not WIDTHxHEIGHT in pixels, such as 384x288".to_owned())
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let wrong = || "not N, N..M, N.. or ..M, from 1".to_owned();
    let side = |text: &str, open: u64| match text {
        "" => Ok(open),
        number => number.parse().map_err(|_| wrong()),
    };
    let (first, last) = match text.split_once("..") {
        Some((first, last)) => (side(first, 1)?, side(last, u64::MAX)?),
        None => (side(text, 0)?, side(text, 0)?),
    };
    (first >= 1 && last >= first).then_some((first, last)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        assert_eq!(size("384x288"), Ok((384, 288)));
        assert!(["384", "0x1", "1x70000", "x"].iter().all(|text| size(text).is_err()));
        let rows = [
            ("..", Ok((1, u64::MAX))),
            ("5", Ok((5, 5))),
            ("5..7", Ok((5, 7))),
            ("5..", Ok((5, u64::MAX))),
            ("..7", Ok((1, 7))),
        ];
        for (text, want) in rows {
            assert_eq!(range(text), want, "{text}");
        }
        assert!(["0", "7..5", "x", "0..3", ""].iter().all(|text| range(text).is_err()));
    }
}
