// SPDX-License-Identifier: MIT OR Apache-2.0
//! Gives the plugin macro its commit and release date.

fn main() {
    gst_plugin_version_helper::info();
}
