// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes the SDP of a movie, which DESCRIBE returns (RFC 2326 appendix C, RFC 4566).

use super::multicast::Destination;
use gstmjpegfile::movie::FrameRate;
use std::net::IpAddr;

/// The last segment of the URL of a movie's only stream.
pub const CONTROL: &str = "stream=0";

/// What the SDP of a movie contains.
#[derive(Debug, Clone, Copy)]
pub struct Description<'a> {
    /// The name of the movie, for people.
    pub name: &'a str,
    /// The session id of RFC 4566 section 5.2.
    pub id: u32,
    /// The address of the server to which the client is connected.
    pub server: IpAddr,
    /// Frames per second.
    pub framerate: FrameRate,
    /// The duration in nanoseconds; `None` if it is not known or the movie loops.
    pub duration: Option<u64>,
    /// Whether the movie is live.
    pub live: bool,
    /// Width and height of the picture in pixels, if they are known. RTP/JPEG rounds them up to
    /// multiples of 8.
    pub size: Option<(u16, u16)>,
    /// The multicast group, if the movie is sent in no other way. Where there is a choice, the SDP states no
    /// group: players that read one (rtspsrc, live555) ask for nothing but multicast then.
    pub group: Option<Destination>,
}

impl Description<'_> {
    /// Writes the SDP.
    pub fn to_sdp(self) -> String {
        let (family, any) = match self.server {
            IpAddr::V4(_) => ("IP4", "0.0.0.0"),
            IpAddr::V6(_) => ("IP6", "::"),
        };
        let port = self.group.map_or(0, |group| group.port);
        let connection = self.group.map_or_else(|| any.to_owned(), Destination::connection_address);
        let (id, server) = (self.id, self.server);
        // A file name may contain line ends, but a line of an SDP must not.
        let name: String = self.name.chars().filter(|c| !c.is_control()).collect();
        let rate = self.framerate.frames_per_second();
        let range = match (self.live, self.duration) {
            (true, _) => "now-".to_owned(),
            (false, None) => "0-".to_owned(),
            (false, Some(duration)) => format!("0-{}", seconds(duration)),
        };
        let mut lines = vec![
            "v=0".to_owned(),
            format!("o=- {id} 1 IN {family} {server}"),
            format!("s={}", if name.is_empty() { " " } else { &name }),
            format!("c=IN {family} {connection}"),
            "t=0 0".to_owned(),
            concat!("a=tool:mjpeg-rtsp-server/", env!("CARGO_PKG_VERSION")).to_owned(),
            "a=type:broadcast".to_owned(),
            "a=control:*".to_owned(),
            format!("a=range:npt={range}"),
            format!("m=video {port} RTP/AVP 26"),
            "a=rtpmap:26 JPEG/90000".to_owned(),
            format!("a=framerate:{rate}"),
        ];
        if let Some((width, height)) = self.size {
            // The first is of RFC 2435 receivers for large pictures, the second of 3GPP TS 26.234.
            lines.push(format!("a=x-dimensions:{width},{height}"));
            lines.push(format!("a=framesize:26 {width}-{height}"));
        }
        lines.extend([format!("a=control:{CONTROL}"), String::new()]);
        lines.join("\r\n")
    }
}

/// Writes nanoseconds as seconds of normal play time, without trailing zeros.
pub fn seconds(nanoseconds: u64) -> String {
    let (whole, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let text = format!("{whole}.{rest:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn the_sdp_has_these_lines() {
        let movie = Description {
            name: "movie.mjpeg",
            id: 7,
            server: Ipv4Addr::LOCALHOST.into(),
            framerate: FrameRate::DEFAULT,
            duration: Some(150_000_000),
            live: false,
            size: None,
            group: None,
        };
        let want = "v=0\r\no=- 7 1 IN IP4 127.0.0.1\r\ns=movie.mjpeg\r\nc=IN IP4 0.0.0.0\r\n\
                    t=0 0\r\na=tool:mjpeg-rtsp-server/0.1.0\r\na=type:broadcast\r\na=control:*\r\n\
                    a=range:npt=0-0.15\r\nm=video 0 RTP/AVP 26\r\na=rtpmap:26 JPEG/90000\r\n\
                    a=framerate:20\r\na=control:stream=0\r\n";
        assert_eq!(movie.to_sdp(), want);
        let looping = Description { duration: None, ..movie };
        assert_eq!(looping.to_sdp(), want.replace("npt=0-0.15", "npt=0-"));
        let sized = Description { size: Some((426, 240)), ..movie };
        let lines = "a=x-dimensions:426,240\r\na=framesize:26 426-240\r\na=control";
        assert_eq!(sized.to_sdp(), want.replace("a=control:stream", &format!("{lines}:stream")));
        let live = Description { live: true, ..movie };
        assert_eq!(live.to_sdp(), want.replace("npt=0-0.15", "npt=now-"));
        let group = Destination { ip: [239, 1, 2, 3].into(), port: 5004, ttl: 16 };
        let multicast = Description { group: Some(group), ..movie };
        let replaced = want.replace("0.0.0.0", "239.1.2.3/16").replace("video 0", "video 5004");
        assert_eq!(multicast.to_sdp(), replaced);
        let v6 = Description { server: Ipv6Addr::LOCALHOST.into(), ..movie };
        let want = want.replace("IP4 127.0.0.1", "IP6 ::1").replace("IP4 0.0.0.0", "IP6 ::");
        assert_eq!(v6.to_sdp(), want);
        let with_line_end = Description { name: "\r\na=b\0", ..v6 };
        assert_eq!(with_line_end.to_sdp(), want.replace("s=movie.mjpeg", "s=a=b"));
    }

    #[test]
    fn seconds_have_no_trailing_zeros() {
        let rows = [(0, "0"), (1, "0.000000001"), (150_000_000, "0.15"), (70_000_000_000, "70")];
        for (nanoseconds, want) in rows {
            assert_eq!(seconds(nanoseconds), want);
        }
    }
}
