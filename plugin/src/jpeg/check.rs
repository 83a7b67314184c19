// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks whether RTP/JPEG (RFC 2435) can carry an image so that the receiver shows the same
//! pixels.
//!
//! RTP/JPEG sends neither headers nor Huffman tables: the receiver rebuilds them from a type, the
//! size and the quantization tables. An image whose headers differ from these arrives as garbage.

use super::image_end::scan_end;
use super::recode::restarts::stray_bytes_in_scan;
use super::tables::{STANDARD_AC, STANDARD_DC, given_or_standard};
use super::{Component, Damage, Header, HuffmanTable, ImageEnd, Process, scan_is_complete};

/// The largest width and height, in pixels, that the 8-bit fields of RFC 2435 section 3.1.5 can
/// hold.
pub const MAX_SIDE: u16 = 2040;

/// What RTP/JPEG sends in place of an image's headers (RFC 2435 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpParameters {
    /// The type without the flag for restart markers: 0 is 4:2:2, 1 is 4:2:0 (section 4.1).
    pub type_: u8,
    /// In pixels, at most [`MAX_SIDE`].
    pub width: u16,
    /// In pixels, at most [`MAX_SIDE`].
    pub height: u16,
    /// MCUs between restart markers; 0 if there are none.
    pub restart_interval: u16,
    /// The quantization tables of luma and of chroma, in zigzag order.
    pub quantization: [[u8; 64]; 2],
    /// The offset of the scan's entropy-coded data in the image, in bytes.
    pub scan_data: usize,
}

/// An image that RTP/JPEG carries exactly, with what its headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedJpeg<'a> {
    /// From SOI to EOI, or to the end of the scan.
    bytes: &'a [u8],
    lacks_eoi: bool,
    parameters: RtpParameters,
}

impl<'a> CheckedJpeg<'a> {
    /// An image from SOI to EOI that was written with these parameters.
    pub(super) fn written(bytes: &'a [u8], parameters: RtpParameters) -> Self {
        Self { bytes, lacks_eoi: false, parameters }
    }

    /// The bytes of the image, without those that follow it.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether EOI is missing although every block is there: it must be appended to
    /// [`bytes`](Self::bytes).
    pub fn lacks_eoi(&self) -> bool {
        self.lacks_eoi
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u16, u16) {
        (self.parameters.width, self.parameters.height)
    }

    /// What RTP/JPEG sends in place of the headers.
    pub fn parameters(&self) -> &RtpParameters {
        &self.parameters
    }

    /// The entropy-coded data of the scan, with EOI if the image has it.
    pub fn scan(&self) -> &'a [u8] {
        self.bytes.get(self.parameters.scan_data..).unwrap_or_default()
    }
}

/// Why RTP/JPEG does not carry an image as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The image is damaged and must not reach a payloader or decoder.
    #[error("damaged: {0}")]
    Damaged(#[from] Damage),
    /// The image is intact, but RTP/JPEG cannot represent it.
    #[error("RTP/JPEG cannot carry the image: {0}")]
    UnsupportedByRtp(UnsupportedByRtp),
}

/// A property of an image that RTP/JPEG (RFC 2435) cannot represent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UnsupportedByRtp {
    /// A coding process other than baseline.
    #[error("the coding process is {0} instead of baseline")]
    Process(Process),
    /// A number of bits per sample other than 8.
    #[error("{0} bits per sample instead of 8")]
    Precision(u8),
    /// A number of components other than 3.
    #[error("{0} components instead of 3")]
    Components(usize),
    /// Bytes that belong to no segment. Decoders skip them, receivers of RTP/JPEG need not: the image
    /// is repaired.
    #[error("stray bytes at byte {offset} (repaired)")]
    StrayBytes {
        /// In bytes from the start of the image.
        offset: usize,
    },
    /// A legal form of segments that stock payloaders do not read.
    #[error("fill bytes, or a segment that RTP payloaders do not read, at byte {offset}")]
    Segments {
        /// In bytes from the start of the image.
        offset: usize,
    },
    /// RGB components.
    #[error("RGB instead of YCbCr")]
    Rgb,
    /// Sampling factors other than 2x1,1x1,1x1 and 2x2,1x1,1x1.
    #[error("sampling factors {0:?} (horizontal, vertical) instead of 4:2:2 or 4:2:0")]
    SamplingFactors([(u8, u8); 3]),
    /// Anything but one scan of all components, in the frame's order, with all coefficients.
    #[error("several scans, or a scan with its components in another order")]
    Scan,
    /// Huffman tables other than those of Annex K.
    #[error("the Huffman tables are not the standard ones of T.81 Annex K")]
    HuffmanTables,
    /// A quantization table of 16-bit values.
    #[error("a quantization table has 16-bit values")]
    WideQuantizationTable,
    /// Different quantization tables for the two chroma components.
    #[error("Cb and Cr have different quantization tables")]
    ChromaQuantizationTables,
    /// A side longer than [`MAX_SIDE`].
    #[error("the picture size {width}x{height} exceeds {MAX_SIDE} pixels per side")]
    Size {
        /// In pixels.
        width: u16,
        /// In pixels.
        height: u16,
    },
}

impl UnsupportedByRtp {
    /// Name of this property in statistics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Process(_) => "process",
            Self::Precision(_) => "precision",
            Self::Components(_) => "components",
            Self::StrayBytes { .. } => "repaired",
            Self::Segments { .. } => "segments",
            Self::Rgb => "rgb",
            Self::SamplingFactors(_) => "sampling-factors",
            Self::Scan => "scan-order",
            Self::HuffmanTables => "huffman-tables",
            Self::WideQuantizationTable => "wide-quantization-table",
            Self::ChromaQuantizationTables => "chroma-quantization-tables",
            Self::Size { .. } => "size",
        }
    }
}

/// Checks whether RTP/JPEG can carry an image.
///
/// # Errors
/// [`CheckError::Damaged`] takes precedence over [`CheckError::UnsupportedByRtp`], so that damaged
/// images are dropped and not converted.
pub fn check(jpeg: &[u8]) -> Result<CheckedJpeg<'_>, CheckError> {
    check_parsed(jpeg, &Header::parse(jpeg)?)
}

/// Checks one image whose header has been read.
///
/// # Errors
/// See [`check`].
pub fn check_parsed<'a>(jpeg: &'a [u8], header: &Header) -> Result<CheckedJpeg<'a>, CheckError> {
    // Other processes have several scans, with tables and scan headers between them.
    let (after_scan, end) = if header.has_one_scan() {
        scan_end(jpeg, header.scan_data)?
    } else {
        (None, ImageEnd::Eoi(jpeg.len()))
    };
    // After a marker inside a damaged scan blocks are missing.
    let is_cut = || !scan_is_complete(jpeg, header);
    let (length, lacks_eoi) = match end {
        ImageEnd::Eoi(_) if after_scan.is_some() && is_cut() => return Err(Damage::ScanCut.into()),
        ImageEnd::Eoi(length) => (length, false),
        ImageEnd::Missing if is_cut() => return Err(Damage::ScanCut.into()),
        ImageEnd::Missing => (jpeg.len(), true),
    };
    let parameters = rtp_parameters(header).map_err(CheckError::UnsupportedByRtp)?;
    if let Some(offset) = header.missed_by_payloaders.or(after_scan) {
        return Err(CheckError::UnsupportedByRtp(UnsupportedByRtp::Segments { offset }));
    }
    if let Some(offset) = stray_bytes_in_scan(jpeg, header, parameters.type_ + 1) {
        return Err(CheckError::UnsupportedByRtp(UnsupportedByRtp::StrayBytes { offset }));
    }
    let bytes = jpeg.get(..length).unwrap_or(jpeg);
    Ok(CheckedJpeg { bytes, lacks_eoi, parameters })
}

fn rtp_parameters(header: &Header) -> Result<RtpParameters, UnsupportedByRtp> {
    // What no decoder supports comes first, so that the reported reason is the decisive one.
    if matches!(header.process, Process::Other(_)) {
        return Err(UnsupportedByRtp::Process(header.process));
    }
    if header.precision != 8 {
        return Err(UnsupportedByRtp::Precision(header.precision));
    }
    if let Some(offset) = header.stray {
        return Err(UnsupportedByRtp::StrayBytes { offset });
    }
    if header.components().len() == 4 {
        return Err(UnsupportedByRtp::Components(4));
    }
    if header.process != Process::Baseline {
        return Err(UnsupportedByRtp::Process(header.process));
    }
    let &[y, cb, cr] = header.components() else {
        return Err(UnsupportedByRtp::Components(header.components().len()));
    };
    if header.is_rgb() {
        return Err(UnsupportedByRtp::Rgb);
    }
    let (width, height) = (header.width, header.height);
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(UnsupportedByRtp::Size { width, height });
    }
    // RFC 2435 section 4.1: type 0 is 2x1,1x1,1x1 and type 1 is 2x2,1x1,1x1, with exactly these
    // factors: the same ratio with other factors orders the blocks differently.
    let factors = [y, cb, cr].map(|component| (component.horizontal, component.vertical));
    if !matches!(factors, [(2, 1 | 2), (1, 1), (1, 1)]) {
        return Err(UnsupportedByRtp::SamplingFactors(factors));
    }
    if !header.scan.is_of_all([y.id, cb.id, cr.id]) {
        return Err(UnsupportedByRtp::Scan);
    }
    if !has_standard_tables(header) {
        return Err(UnsupportedByRtp::HuffmanTables);
    }
    // Header::parse has found the tables, so that one without 64 bytes is one of 16-bit values.
    let table = |component: Component| -> Result<[u8; 64], UnsupportedByRtp> {
        let table = header.quantization.get(usize::from(component.quantization));
        let values = table.copied().flatten().and_then(|table| table.values.try_into().ok());
        values.ok_or(UnsupportedByRtp::WideQuantizationTable)
    };
    let (luma, chroma) = (table(y)?, table(cb)?);
    if chroma != table(cr)? {
        return Err(UnsupportedByRtp::ChromaQuantizationTables);
    }
    Ok(RtpParameters {
        type_: u8::from(y.vertical == 2),
        width,
        height,
        restart_interval: header.restart_interval,
        quantization: [luma, chroma],
        scan_data: header.scan_data,
    })
}

/// Whether luma is coded with Annex K's luminance tables and chroma with its chrominance tables.
fn has_standard_tables(header: &Header) -> bool {
    let matches = |given: &[Option<HuffmanTable>; 4],
                   standard: &[HuffmanTable; 2],
                   destination,
                   want: usize| {
        let table = given_or_standard(given, standard, destination);
        table.is_some() && table == standard.get(want).copied()
    };
    header.scan.components().iter().enumerate().all(|(position, component)| {
        let want = usize::from(position > 0);
        matches(&header.dc, &STANDARD_DC, component.dc, want)
            && matches(&header.ac, &STANDARD_AC, component.ac, want)
    })
}
