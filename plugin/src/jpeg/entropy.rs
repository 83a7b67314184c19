// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether all blocks of an image are there.

use super::Header;
use super::recode::decode::decode;

/// Whether every block of `header`'s image is in `jpeg`. For images without EOI, which are rare:
/// all of it is decoded.
pub fn scan_is_complete(jpeg: &[u8], header: &Header) -> bool {
    decode(jpeg, header).is_ok()
}
