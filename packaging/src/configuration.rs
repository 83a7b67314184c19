// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration that the package installs: the server's own file, and the folder that the service
//! serves.

/// The server's file, which has every key with its default.
const DEFAULTS: &str = include_str!("../../server/mjpeg-rtsp-server.toml");

/// What the service serves.
const MOUNT: &str = r#"
# The folder of the service mjpeg-rtsp-server, which the package has made. Movies that are copied into it
# are served about a second later, without a restart. To serve another folder, change the path, then run
# `systemctl reload mjpeg-rtsp-server`. The service cannot read /home, /root and /run/user
# (ProtectHome= of its unit).
[[mount]]
path = "/var/lib/mjpeg-rtsp/movies"
"#;

/// The text of `/etc/mjpeg-rtsp/server.toml`.
pub fn text() -> String {
    format!("{DEFAULTS}{MOUNT}")
}
