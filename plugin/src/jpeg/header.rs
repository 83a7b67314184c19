// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads and checks everything before the entropy-coded data.

use super::segments::{Segments, marker};
use std::fmt;

/// The largest picture that is accepted, in pixels: 64 megapixels. Nothing here allocates memory
/// for the size that a header states; the limit keeps decoders that follow from doing so.
pub const MAX_PIXELS: u32 = 64_000_000;

/// How an image is damaged: a decoder or payloader that trusts it would crash or show garbage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Damage {
    /// The image does not start with FF D8.
    #[error("the image does not start with SOI (ff d8)")]
    NoSoi,
    /// There is another byte where a marker must be.
    #[error("expected a marker at byte {offset}, found {found:02x}")]
    NotAMarker {
        /// In bytes from the start of the image.
        offset: usize,
        /// The byte at that offset.
        found: u8,
    },
    /// The image ends inside a segment.
    #[error("segment ff{marker:02x} at byte {offset} extends past the end of the image")]
    SegmentCut {
        /// The byte after FF.
        marker: u8,
        /// In bytes from the start of the image.
        offset: usize,
    },
    /// The stated length is too short for what the segment must contain.
    #[error("segment ff{marker:02x} at byte {offset} is too short")]
    SegmentTooShort {
        /// The byte after FF.
        marker: u8,
        /// In bytes from the start of the image.
        offset: usize,
    },
    /// A field of a segment has a value that T.81 does not allow.
    #[error("segment ff{marker:02x} at byte {offset} contains an invalid value")]
    BadValue {
        /// The byte after FF.
        marker: u8,
        /// In bytes from the start of the image.
        offset: usize,
    },
    /// There is no frame header before the scan.
    #[error("no frame header (SOF)")]
    NoFrameHeader,
    /// There are two frame headers.
    #[error("two frame headers (SOF)")]
    TwoFrameHeaders,
    /// Width or height is 0.
    #[error("the picture size is {width}x{height}; neither side may be 0")]
    NoSize {
        /// In pixels.
        width: u16,
        /// In pixels.
        height: u16,
    },
    /// More pixels than [`MAX_PIXELS`].
    #[error("the picture size {width}x{height} exceeds the limit of {MAX_PIXELS} pixels")]
    TooLarge {
        /// In pixels.
        width: u16,
        /// In pixels.
        height: u16,
    },
    /// A component's quantization table is missing.
    #[error("quantization table {table} is missing")]
    NoQuantizationTable {
        /// The table's destination, 0 to 3.
        table: u8,
    },
    /// The image ends before a scan.
    #[error("no scan (SOS)")]
    NoScan,
    /// No entropy-coded data follows the scan header.
    #[error("the image ends after the scan header")]
    EmptyScan,
    /// The scan contains a marker other than RSTn.
    #[error("marker ff{marker:02x} inside the scan at byte {offset}")]
    MarkerInScan {
        /// The byte after FF.
        marker: u8,
        /// In bytes from the start of the image.
        offset: usize,
    },
    /// EOI and some blocks of the picture are missing.
    #[error("the image is truncated: the end of its scan is missing")]
    ScanCut,
    /// No end was found within the bytes that an image may have.
    #[error("the image does not end within {length} bytes")]
    TooLong {
        /// Number of bytes that were searched.
        length: usize,
    },
}

impl Damage {
    /// Name of this kind of damage in statistics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoSoi => "no-soi",
            Self::NotAMarker { .. } => "not-a-marker",
            Self::SegmentCut { .. } => "segment-cut",
            Self::SegmentTooShort { .. } => "segment-too-short",
            Self::BadValue { .. } => "bad-value",
            Self::NoFrameHeader => "no-frame-header",
            Self::TwoFrameHeaders => "two-frame-headers",
            Self::NoSize { .. } => "no-size",
            Self::TooLarge { .. } => "too-large",
            Self::NoQuantizationTable { .. } => "no-quantization-table",
            Self::NoScan => "no-scan",
            Self::EmptyScan => "empty-scan",
            Self::MarkerInScan { .. } => "marker-in-scan",
            Self::ScanCut => "scan-cut",
            Self::TooLong { .. } => "too-long",
        }
    }
}

/// The coding process, as given by the frame header's marker (T.81 table B.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Process {
    /// SOF0: baseline DCT, Huffman coding.
    Baseline,
    /// SOF1: extended sequential DCT, Huffman coding.
    ExtendedSequential,
    /// SOF2: progressive DCT, Huffman coding.
    Progressive,
    /// Any other marker: lossless, hierarchical or arithmetic coding.
    Other(u8),
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline => f.write_str("baseline"),
            Self::ExtendedSequential => f.write_str("extended sequential"),
            Self::Progressive => f.write_str("progressive"),
            Self::Other(marker) => {
                write!(f, "lossless, hierarchical or arithmetic (marker ff{marker:02x})")
            }
        }
    }
}

/// A component of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Component {
    /// Ci, the component identifier.
    pub id: u8,
    /// Hi, the horizontal sampling factor, 1 to 4.
    pub horizontal: u8,
    /// Vi, the vertical sampling factor, 1 to 4.
    pub vertical: u8,
    /// Tqi, the quantization table's destination, 0 to 3.
    pub quantization: u8,
}

/// A quantization table, borrowed from the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuantizationTable<'a> {
    /// Whether the 64 values have 16 bits each, not 8.
    pub wide: bool,
    /// The values in zigzag order: 64 or 128 bytes.
    pub values: &'a [u8],
}

/// A Huffman table, borrowed from the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HuffmanTable<'a> {
    /// Li: the number of codes of each length from 1 to 16.
    pub counts: &'a [u8],
    /// Vi,j: the values in the order of their codes, shortest code first.
    pub values: &'a [u8],
}

/// A component of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScanComponent {
    /// Csj, the component identifier.
    pub id: u8,
    /// Tdj, the DC table's destination, 0 to 3.
    pub dc: u8,
    /// Taj, the AC table's destination, 0 to 3.
    pub ac: u8,
}

/// A scan header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scan {
    components: [ScanComponent; 4],
    count: usize,
    /// Ss, the first coefficient.
    pub spectral_start: u8,
    /// Se, the last coefficient.
    pub spectral_end: u8,
    /// Ah (upper four bits) and Al (lower four bits), the successive approximation bit positions.
    pub approximation: u8,
}

impl Scan {
    /// Whether the scan has exactly these components in this order, with all coefficients.
    pub fn is_of_all<const N: usize>(&self, ids: [u8; N]) -> bool {
        self.components().iter().map(|component| component.id).eq(ids)
            && (self.spectral_start, self.spectral_end, self.approximation) == (0, 63, 0)
    }

    /// The components in order.
    pub fn components(&self) -> &[ScanComponent] {
        self.components.get(..self.count).unwrap_or_default()
    }
}

/// Everything before the first scan's data.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// The coding process.
    pub process: Process,
    /// Bits per sample.
    pub precision: u8,
    /// In pixels, not 0.
    pub width: u16,
    /// In pixels, not 0.
    pub height: u16,
    components: [Component; 4],
    count: usize,
    /// Quantization tables, indexed by destination.
    pub quantization: [Option<QuantizationTable<'a>>; 4],
    /// DC tables, indexed by destination; `None` means the standard table.
    pub dc: [Option<HuffmanTable<'a>>; 4],
    /// AC tables, indexed by destination; `None` means the standard table.
    pub ac: [Option<HuffmanTable<'a>>; 4],
    /// MCUs between restart markers; 0 if there are none.
    pub restart_interval: u16,
    /// Whether there is a JFIF APP0 segment.
    pub jfif: bool,
    /// The transform flag of an Adobe APP14 segment: 0 is RGB or CMYK, 1 is `YCbCr`, 2 is YCCK.
    pub adobe_transform: Option<u8>,
    /// Offset of the first of the bytes between segments that belong to none, if there are any.
    /// Decoders skip such bytes.
    pub stray: Option<usize>,
    /// Offset of the first segment that stock payloaders miss or misread although decoders do not,
    /// if there is one: `rtpjpegpay` 1.22 skips neither fill bytes nor segments that it does not
    /// know, and a restart interval of 0 does not revoke an earlier one.
    pub missed_by_payloaders: Option<usize>,
    /// The first scan's header.
    pub scan: Scan,
    /// Offset of that scan's entropy-coded data, in bytes from the start of the image.
    pub scan_data: usize,
}

impl<'a> Header<'a> {
    /// The frame's components in order; one to four.
    pub fn components(&self) -> &[Component] {
        self.components.get(..self.count).unwrap_or_default()
    }

    /// Reads and checks everything before the first scan's data.
    ///
    /// # Errors
    /// The first damage found. What T.81 allows is not damage, even if few decoders can show it.
    pub fn parse(jpeg: &'a [u8]) -> Result<Self, Damage> {
        let mut header = Self {
            process: Process::Baseline,
            precision: 0,
            width: 0,
            height: 0,
            components: [Component::default(); 4],
            count: 0,
            quantization: [None; 4],
            dc: [None; 4],
            ac: [None; 4],
            restart_interval: 0,
            jfif: false,
            adobe_transform: None,
            stray: None,
            missed_by_payloaders: None,
            scan: Scan::default(),
            scan_data: 0,
        };
        header.read(Segments::new(jpeg))?;
        header.validated(jpeg)
    }

    /// Continues at `offset`, after a scan's data, and reads up to the next scan. For images that
    /// have several scans.
    ///
    /// # Errors
    /// The first damage found; [`Damage::NoScan`] if there are no more scans.
    pub fn next_scan(&mut self, jpeg: &'a [u8], offset: usize) -> Result<(), Damage> {
        self.read(Segments::after_scan(jpeg, offset))?;
        *self = self.validated(jpeg)?;
        Ok(())
    }

    fn read(&mut self, segments: Segments<'a>) -> Result<(), Damage> {
        for segment in segments {
            let segment = segment?;
            let (marker, offset) = (segment.marker, segment.offset);
            let body = SegmentReader { rest: segment.body, marker, offset };
            self.stray = self.stray.or(segment.stray);
            let earlier_interval = self.restart_interval;
            match marker {
                marker::DQT => self.quantization_tables(body)?,
                marker::DHT => self.huffman_tables(body)?,
                marker::DRI => self.restart_interval = body.only_u16()?,
                // libjpeg accepts no shorter one (`examine_app0` in `jdmarker.c`).
                marker::APP0 => {
                    self.jfif |= segment.body.len() >= 14 && segment.body.starts_with(b"JFIF\0");
                }
                marker::APP14 => {
                    if let Some(&[.., transform]) = segment.body.get(..12)
                        && segment.body.starts_with(b"Adobe")
                    {
                        self.adobe_transform = Some(transform);
                    }
                }
                marker::SOS => {
                    self.scan_header(body)?;
                    self.scan_data = segment.end;
                }
                code if marker::is_sof(code) => self.frame_header(body)?,
                _ => {}
            }
            let revokes = earlier_interval > 0 && self.restart_interval == 0;
            if segment.filled || revokes || !marker::is_known_to_payloaders(marker) {
                self.missed_by_payloaders.get_or_insert(offset);
            }
        }
        Ok(())
    }

    /// Whether the components are red, green and blue. As in libjpeg (`default_decompress_parms` in
    /// `jdapimin.c`), a JFIF segment decides before an Adobe segment, and that before the components'
    /// identifiers.
    pub fn is_rgb(&self) -> bool {
        match (self.jfif, self.adobe_transform) {
            (true, _) => false,
            (false, Some(transform)) => transform == 0,
            (false, None) => self.components().iter().map(|component| component.id).eq(*b"RGB"),
        }
    }

    /// Whether the first scan has all components and all coefficients, so that no other follows.
    pub fn has_one_scan(&self) -> bool {
        matches!(self.process, Process::Baseline | Process::ExtendedSequential)
            && self.scan.components().len() == self.components().len()
    }

    fn validated(self, jpeg: &[u8]) -> Result<Self, Damage> {
        if self.count == 0 {
            return Err(Damage::NoFrameHeader);
        }
        let lossless = matches!(self.process, Process::Other(_));
        for component in self.components() {
            let table = component.quantization;
            let present = self.quantization.get(usize::from(table)).is_some_and(Option::is_some);
            if !present && !lossless {
                return Err(Damage::NoQuantizationTable { table });
            }
        }
        let known = |scan: &ScanComponent| self.components().iter().any(|c| c.id == scan.id);
        if !self.scan.components().iter().all(known) {
            return Err(Damage::BadValue { marker: marker::SOS, offset: self.scan_data });
        }
        // The two bytes of EOI are not scan data.
        if jpeg.get(self.scan_data..).is_none_or(|data| data.is_empty() || data == [0xff, 0xd9]) {
            return Err(Damage::EmptyScan);
        }
        Ok(self)
    }

    fn frame_header(&mut self, body: SegmentReader<'a>) -> Result<(), Damage> {
        if self.count != 0 {
            return Err(Damage::TwoFrameHeaders);
        }
        let start = body;
        self.process = match body.marker {
            marker::SOF0 => Process::Baseline,
            0xc1 => Process::ExtendedSequential,
            0xc2 => Process::Progressive,
            other => Process::Other(other),
        };
        let (precision, body) = body.u8()?;
        let (height, body) = body.u16()?;
        let (width, body) = body.u16()?;
        let (count, mut body) = body.u8()?;
        if width == 0 || height == 0 {
            return Err(Damage::NoSize { width, height });
        }
        if u32::from(width) * u32::from(height) > MAX_PIXELS {
            return Err(Damage::TooLarge { width, height });
        }
        // T.81 table B.2: the count determines the length.
        let length = 6 + 3 * usize::from(count);
        if !(1..=4).contains(&count) || start.rest.len() > length {
            return Err(start.bad_value());
        }
        for component in self.components.iter_mut().take(usize::from(count)) {
            let (id, sampling, quantization);
            (id, body) = body.u8()?;
            (sampling, body) = body.u8()?;
            (quantization, body) = body.u8()?;
            let (horizontal, vertical) = (sampling >> 4, sampling & 15);
            if !(1..=4).contains(&horizontal) || !(1..=4).contains(&vertical) || quantization > 3 {
                return Err(start.bad_value());
            }
            *component = Component { id, horizontal, vertical, quantization };
        }
        (self.precision, self.width, self.height) = (precision, width, height);
        self.count = usize::from(count);
        Ok(())
    }

    fn quantization_tables(&mut self, body: SegmentReader<'a>) -> Result<(), Damage> {
        let mut body = body.not_empty()?;
        while !body.rest.is_empty() {
            let (kind, values);
            (kind, body) = body.u8()?;
            let wide = match kind >> 4 {
                0 => false,
                1 => true,
                _ => return Err(body.bad_value()),
            };
            (values, body) = body.bytes(if wide { 128 } else { 64 })?;
            let table = self.quantization.get_mut(usize::from(kind & 15));
            *table.ok_or(body.bad_value())? = Some(QuantizationTable { wide, values });
        }
        Ok(())
    }

    fn huffman_tables(&mut self, body: SegmentReader<'a>) -> Result<(), Damage> {
        let mut body = body.not_empty()?;
        while !body.rest.is_empty() {
            let (kind, counts, values);
            (kind, body) = body.u8()?;
            (counts, body) = body.bytes(16)?;
            // The codes of each length must leave codes for longer ones (T.81 C.2).
            let mut free_codes = 1_i32;
            for count in counts {
                free_codes = free_codes * 2 - i32::from(*count);
                if free_codes < 0 {
                    return Err(body.bad_value());
                }
            }
            let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
            if total > 256 {
                return Err(body.bad_value());
            }
            (values, body) = body.bytes(total)?;
            let class = match kind >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(body.bad_value()),
            };
            let table = class.get_mut(usize::from(kind & 15));
            *table.ok_or(body.bad_value())? = Some(HuffmanTable { counts, values });
        }
        Ok(())
    }

    fn scan_header(&mut self, body: SegmentReader<'a>) -> Result<(), Damage> {
        let start = body;
        let (count, mut body) = body.u8()?;
        // T.81 table B.3: the count determines the length.
        if !(1..=4).contains(&count) || start.rest.len() != 4 + 2 * usize::from(count) {
            return Err(start.bad_value());
        }
        for component in self.scan.components.iter_mut().take(usize::from(count)) {
            let (id, tables);
            (id, body) = body.u8()?;
            (tables, body) = body.u8()?;
            let (dc, ac) = (tables >> 4, tables & 15);
            if dc > 3 || ac > 3 {
                return Err(start.bad_value());
            }
            *component = ScanComponent { id, dc, ac };
        }
        self.scan.count = usize::from(count);
        let (spectral_start, body) = body.u8()?;
        let (spectral_end, body) = body.u8()?;
        let (approximation, _) = body.u8()?;
        self.scan.spectral_start = spectral_start;
        self.scan.spectral_end = spectral_end;
        self.scan.approximation = approximation;
        Ok(())
    }
}

/// Reads a segment's body from front to back; errors name the segment.
#[derive(Clone, Copy)]
struct SegmentReader<'a> {
    rest: &'a [u8],
    marker: u8,
    offset: usize,
}

impl<'a> SegmentReader<'a> {
    fn too_short(self) -> Damage {
        Damage::SegmentTooShort { marker: self.marker, offset: self.offset }
    }

    fn bad_value(self) -> Damage {
        Damage::BadValue { marker: self.marker, offset: self.offset }
    }

    fn not_empty(self) -> Result<Self, Damage> {
        if self.rest.is_empty() { Err(self.too_short()) } else { Ok(self) }
    }

    fn bytes(self, count: usize) -> Result<(&'a [u8], Self), Damage> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(self.too_short())?;
        Ok((taken, Self { rest, ..self }))
    }

    fn u8(self) -> Result<(u8, Self), Damage> {
        let (value, rest) = self.rest.split_first().ok_or(self.too_short())?;
        Ok((*value, Self { rest, ..self }))
    }

    fn u16(self) -> Result<(u16, Self), Damage> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(self.too_short())?;
        Ok((u16::from_be_bytes(*bytes), Self { rest, ..self }))
    }

    /// The number that is all of the body.
    fn only_u16(self) -> Result<u16, Damage> {
        let (value, after) = self.u16()?;
        if after.rest.is_empty() { Ok(value) } else { Err(self.bad_value()) }
    }
}
