// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plugin's description alone: the macro's public functions cannot carry documentation.
#![allow(missing_docs)]

fn plugin_init(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    crate::mjpegfilesrc::register(Some(plugin))?;
    crate::rtpjpegprep::register(Some(plugin))?;
    crate::rtplabpay::register(Some(plugin))?;
    crate::rtplabdepay::register(Some(plugin))?;
    crate::labrtspsrc::register(Some(plugin))?;
    crate::typefind::register(Some(plugin))?;
    crate::mjpegfileparse::register(Some(plugin))?;
    crate::mjpegfilemux::register(Some(plugin))
}

gst::plugin_define!(
    mjpegfile,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY"),
    env!("BUILD_REL_DATE")
);
