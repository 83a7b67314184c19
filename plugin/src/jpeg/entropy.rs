// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks whether all blocks of an image are present.

use super::Header;
use super::recode::decode::decode;

/// Whether `jpeg`, whose header is `header`, contains every block. Decodes the whole scan, which
/// only images without EOI need; these are rare.
pub fn scan_is_complete(jpeg: &[u8], header: &Header) -> bool {
    decode(jpeg, header).is_ok()
}
