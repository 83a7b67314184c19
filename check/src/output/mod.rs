// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes reports. All that comes from the graded program is escaped here or before.
