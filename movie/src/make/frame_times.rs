// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides how many frames of the movie show each picture of the input.

use gstmjpegfile::movie::FrameRate;

/// In nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// The times of pictures, turned into numbers of frames.
///
/// A picture is shown from the frame that is nearest to its time up to the next picture. A picture
/// may get no frame.
#[derive(Debug)]
pub struct FrameTimes {
    rate: FrameRate,
    /// Time of the first picture.
    first: Option<u64>,
    /// Time of the newest picture, from the first one.
    newest: u64,
    /// From the picture before the newest one to the newest one.
    interval: u64,
    /// Frames of all pictures before the newest one.
    frames: u64,
}

impl FrameTimes {
    pub fn new(rate: FrameRate) -> Self {
        Self { rate, first: None, newest: 0, interval: 0, frames: 0 }
    }

    /// A picture is shown from `time` on, in nanoseconds; if that is not known, one frame after the
    /// picture before it. Returns how many frames show the picture before it.
    pub fn next_picture(&mut self, time: Option<u64>) -> u64 {
        let Some(first) = self.first else {
            self.first = Some(time.unwrap_or_default());
            return 0;
        };
        let time = match time {
            Some(time) => time.saturating_sub(first).max(self.newest),
            None => self.newest.saturating_add(self.rate.start_of(1).get()),
        };
        self.interval = time - self.newest;
        self.newest = time;
        self.frames_until(time)
    }

    /// There are no more pictures. Returns how many frames show the last picture, which is shown for
    /// `duration` or, if that is not known, as long as the one before it. The only picture gets a
    /// frame at least.
    pub fn end(&mut self, duration: Option<u64>) -> u64 {
        if self.first.is_none() {
            return 0;
        }
        let duration = duration.filter(|it| *it > 0).unwrap_or(self.interval);
        let frames = self.frames_until(self.newest.saturating_add(duration));
        if self.frames == 0 { 1 } else { frames }
    }

    /// Frames that start from the last counted one up to `time`.
    fn frames_until(&mut self, time: u64) -> u64 {
        let (numerator, denominator) = (self.rate.numerator(), self.rate.denominator());
        let unit = SECOND * u128::from(denominator);
        let nearest = (u128::from(time) * u128::from(numerator) + unit / 2) / unit;
        let total = u64::try_from(nearest).unwrap_or(u64::MAX).max(self.frames);
        let frames = total - self.frames;
        self.frames = total;
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of frames of pictures at `times` in milliseconds, the last of which lasts `duration`.
    fn counts(rate: &str, times: &[u64], duration: Option<u64>) -> Vec<u64> {
        let mut frame_times = FrameTimes::new(rate.parse().unwrap());
        let mut counts: Vec<u64> =
            times.iter().map(|time| frame_times.next_picture(Some(time * 1_000_000))).collect();
        counts.push(frame_times.end(duration.map(|it| it * 1_000_000)));
        counts.split_off(1)
    }

    #[test]
    fn pictures_get_the_frames_of_their_time() {
        type Row = (&'static str, &'static str, &'static [u64], Option<u64>, &'static [u64]);
        let rows: [Row; 8] = [
            ("10 to 20", "20", &[0, 100, 200], Some(100), &[2, 2, 2]),
            ("an unknown last duration", "20", &[0, 100, 200], None, &[2, 2, 2]),
            ("30 to 20", "20", &[0, 33, 67, 100], Some(33), &[1, 0, 1, 1]),
            ("a late start", "20", &[5000, 5050], Some(50), &[1, 1]),
            ("inaccurate times", "20", &[0, 49, 102, 149], Some(50), &[1, 1, 1, 1]),
            ("times that go back", "20", &[100, 200, 150, 300], None, &[2, 0, 2, 2]),
            ("one picture", "20", &[0], None, &[1]),
            ("one short picture", "1", &[0], Some(10), &[1]),
        ];
        for (name, rate, times, duration, want) in rows {
            assert_eq!(counts(rate, times, duration), want, "{name}");
        }
        assert_eq!(FrameTimes::new(FrameRate::DEFAULT).end(None), 0);
        let mut unknown = FrameTimes::new(FrameRate::DEFAULT);
        let counts = [None; 3].map(|time| unknown.next_picture(time));
        assert_eq!((counts, unknown.end(None)), ([0, 1, 1], 1), "no times");
    }
}
