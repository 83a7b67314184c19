// SPDX-License-Identifier: MIT OR Apache-2.0
//! The length field: five digits before each JPEG.

use super::{MAX_FRAME_LEN, PREFIX_LEN};

/// A record's length field: the size of the JPEG that follows, from 1 to 99 999 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LengthPrefix(u32);

/// Why five bytes are not a length field, or a length cannot be written as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// One of the five bytes is not a digit `0` to `9`.
    #[error("length prefix \"{}\" is not five ASCII digits", found.escape_ascii())]
    NotDigits {
        /// The five bytes that were found.
        found: [u8; PREFIX_LEN],
    },
    /// The length is `00000`: the record contains no frame.
    #[error("length prefix is 00000")]
    Zero,
    /// Five digits cannot hold the length.
    #[error("a frame of {length} bytes exceeds the format's limit of {MAX_FRAME_LEN} bytes")]
    TooLong {
        /// Length of the frame in bytes.
        length: usize,
    },
}

impl LengthPrefix {
    /// Reads a length field: exactly five bytes `0` to `9`. Signs, blanks and digits of other scripts
    /// are refused.
    ///
    /// # Errors
    /// [`PrefixError::NotDigits`] and [`PrefixError::Zero`].
    pub fn parse(bytes: [u8; PREFIX_LEN]) -> Result<Self, PrefixError> {
        // `str::parse` would accept "+0616".
        if !bytes.iter().all(u8::is_ascii_digit) {
            return Err(PrefixError::NotDigits { found: bytes });
        }
        let length = bytes.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        if length == 0 {
            return Err(PrefixError::Zero);
        }
        Ok(Self(length))
    }

    /// The length field for a JPEG of `length` bytes.
    ///
    /// # Errors
    /// [`PrefixError::Zero`] and [`PrefixError::TooLong`].
    pub fn new(length: usize) -> Result<Self, PrefixError> {
        match u32::try_from(length) {
            Ok(0) => Err(PrefixError::Zero),
            Ok(small) if length <= MAX_FRAME_LEN => Ok(Self(small)),
            _ => Err(PrefixError::TooLong { length }),
        }
    }

    /// Size of the JPEG in bytes.
    pub fn length(self) -> u32 {
        self.0
    }

    /// The five digits.
    pub fn to_bytes(self) -> [u8; PREFIX_LEN] {
        let mut rest = self.0;
        let mut digits = [b'0'; PREFIX_LEN];
        for digit in digits.iter_mut().rev() {
            // The remainder of a division by 10 always fits a byte.
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_five_digits_are_a_length() {
        let accepted: &[(&[u8; 5], u32)] = &[(b"00001", 1), (b"06014", 6014), (b"99999", 99_999)];
        for (bytes, length) in accepted {
            let prefix = LengthPrefix::parse(**bytes).unwrap();
            assert_eq!(prefix.length(), *length);
            assert_eq!(prefix.to_bytes(), **bytes);
        }
        let rejected: &[(&str, [u8; 5])] = &[
            ("sign", *b"+0616"),
            ("minus", *b"-0616"),
            ("blank", *b" 0616"),
            ("hexadecimal", *b"0x616"),
            ("NUL", *b"616\0\0"),
            ("line end", *b"616\r\n"),
            ("byte order mark", [0xef, 0xbb, 0xbf, b'0', b'6']),
            ("Arabic digits", [0xd9, 0xa6, 0xd9, 0xa1, b'6']),
        ];
        for (name, bytes) in rejected {
            let want = PrefixError::NotDigits { found: *bytes };
            assert_eq!(LengthPrefix::parse(*bytes), Err(want), "{name}");
        }
        assert_eq!(LengthPrefix::parse(*b"00000"), Err(PrefixError::Zero));
    }

    #[test]
    fn a_length_is_never_six_digits() {
        let rows = [
            (0, Err(PrefixError::Zero)),
            (1, Ok(*b"00001")),
            (99_999, Ok(*b"99999")),
            (100_000, Err(PrefixError::TooLong { length: 100_000 })),
            (1 << 40, Err(PrefixError::TooLong { length: 1 << 40 })),
        ];
        for (length, want) in rows {
            let got = LengthPrefix::new(length).map(LengthPrefix::to_bytes);
            assert_eq!(got, want, "{length}");
        }
    }
}
