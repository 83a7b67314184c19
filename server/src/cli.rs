// SPDX-License-Identifier: MIT OR Apache-2.0
//! The arguments of the command line, not checked yet.

use crate::access::users::DEFAULT_ROLE;
use crate::config::{Fragments, LabMode, LogFormat, LogLevel, Oversize, Switch, UdpOffload};
use clap::{Parser, Subcommand, ValueEnum};
use gstmjpegfile::movie::FrameRate;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  mjpeg-rtsp-server                        a test card at rtsp://127.0.0.1:8554/test
  mjpeg-rtsp-server movie.mjpeg            rtsp://127.0.0.1:8554/movie.mjpeg
  mjpeg-rtsp-server --listen 127.0.0.1:0 --loop movies/
                                           all movies in a folder, on a free port
  mjpeg-rtsp-server --live movies/         the same movies as live streams
  mjpeg-rtsp-server --explain movie.Mjpeg  explains what a student's client sends
  mjpeg-rtsp-server --http 8080 movies/    and a page with all movies at http://127.0.0.1:8080/
  mjpeg-rtsp-server --config server.toml   what the configuration file states

Watch with: ffplay URL, vlc URL, gst-play-1.0 URL, mjpeg-rtsp-client URL

Exit codes: 0 ended by SIGINT or SIGTERM; 1 cannot serve; 2 wrong usage or configuration";

/// Serves length-prefixed MJPEG movies over RTSP.
///
/// Prints the URL of each movie on standard output, one per line, once connections are accepted.
/// Everything else is printed on standard error.
#[derive(Debug, Clone, Default, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What is done instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Movies, or folders of movies (*.mjpeg and *.mjpg in any case, also in subfolders). Without a
    /// path, a test card is served at /test
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// The configuration file. Without this flag it is $XDG_CONFIG_HOME/mjpeg-rtsp/server.toml, if that
    /// exists, otherwise /etc/mjpeg-rtsp/server.toml; /dev/null stands for no file. Flags win over the
    /// file, and paths replace its mounts. SIGHUP makes the server read the file again; without a file,
    /// it ends the server
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check the configuration, print it with all flags and defaults on standard output, and exit
    #[arg(long)]
    pub check_config: bool,

    /// Ask the server that runs on this machine with the same configuration and flags whether it answers
    /// (OPTIONS), and exit: with 0 if it does within 3 seconds, otherwise with 1
    #[arg(long, conflicts_with = "check_config")]
    pub health_check: bool,

    /// Address and port to listen on; port 0 chooses a free one [default: 0.0.0.0:8554]
    #[arg(long, value_name = "[ADDR:]PORT")]
    pub listen: Option<String>,

    /// Frames per second, as a number or a fraction such as 30000/1001; movies do not contain it
    /// [default: 20]
    #[arg(long, value_name = "RATE")]
    pub framerate: Option<FrameRate>,

    /// Start each movie again at its end
    #[arg(long = "loop")]
    pub looping: bool,

    /// Play each movie as a live stream that starts with the server and never ends: all viewers see
    /// the same frame at the same time, and cannot seek or change the speed. A lab client gets a
    /// stream of its own that starts at the live position at each PLAY; the reply to its seek and
    /// speed requests is 455
    #[arg(long)]
    pub live: bool,

    /// Let the kernel split frames into datagrams (UDP segmentation offload), which needs about a
    /// quarter of the CPU time. Switch it off for measurements, and for networks that lose such
    /// packets [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub udp_offload: Option<UdpOffload>,

    /// Size in MB of the cache of frames that are prepared for RTP, which all viewers share; 0 for no
    /// cache [default: 64]
    #[arg(long, value_name = "MB")]
    pub prepare_cache: Option<u32>,

    /// Serve the clients of the networking course's lab, on the same port [default: on]
    #[arg(long, value_name = "WHETHER")]
    pub lab: Option<LabMode>,

    /// How to send frames over 65495 bytes, which are larger than a UDP datagram can be, to lab
    /// clients [default: shrink]
    #[arg(long, value_name = "HOW")]
    pub lab_oversize: Option<Oversize>,

    /// Split frames into fragments, for lab clients that need it [default: off]
    #[arg(long, value_name = "HOW")]
    pub lab_fragment: Option<Fragments>,

    /// Maximum number of open connections; at most half of the number of files that the process may
    /// open. At the limit, the connection that has been idle longest is closed for a new one
    /// [default: 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: Option<u32>,

    /// Maximum number of open connections from one address, and of RTSP sessions (IPv6: from one /64
    /// network) [default: 2048]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_address: Option<u32>,

    /// Serve RTSP through HTTP too, for players behind proxies [default: on]
    #[arg(long, value_name = "WHETHER")]
    pub http_tunnel: Option<Switch>,

    /// Serve a page, streams, images, metrics and an API over HTTP on this port, for browsers and programs
    /// (docs/http.md). With a port only, clients on this machine are served. Not served by default
    #[arg(long, value_name = "[ADDR:]PORT")]
    pub http: Option<String>,

    /// Explain each request and reply of lab clients, and the first RTP header, line by line, on
    /// standard error
    #[arg(long)]
    pub explain: bool,

    /// The least important messages that are logged on standard error [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<LogLevel>,

    /// The format of the log [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// What is done instead of serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// The users who may log in; a movie that is named "user" is served as ./user
    #[command(subcommand)]
    User(UserCommand),
    /// Make a certificate for TLS that is signed by its own key
    Certificate(MakeCertificate),
}

/// The arguments of `certificate`.
#[derive(Debug, Clone, clap::Args)]
pub struct MakeCertificate {
    /// The folder to write certificate.pem and key.pem to. It is made if it does not exist; files are not
    /// replaced
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,

    /// The names and addresses by which clients reach the server, such as cam.example.org
    #[arg(value_name = "HOST", required = true)]
    pub hosts: Vec<String>,
}

/// What is done with users.
#[derive(Debug, Clone, Subcommand)]
pub enum UserCommand {
    /// Add a user to the configuration file, and ask for the password
    Add(AddUser),
    /// Change the password of a user in the configuration file
    Passwd(ChangePassword),
    /// Remove a user from the configuration file
    Remove(RemoveUser),
}

/// The arguments of `user passwd`.
#[derive(Debug, Clone, clap::Args)]
pub struct ChangePassword {
    /// The name of the user
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The configuration file [default: the one that the server reads]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Read the new password from standard input instead of the terminal: its first line
    #[arg(long)]
    pub password_stdin: bool,

    /// How the password is stored [default: as the old one]
    #[arg(long, value_name = "HOW")]
    pub hash: Option<PasswordHash>,
}

/// The arguments of `user remove`.
#[derive(Debug, Clone, clap::Args)]
pub struct RemoveUser {
    /// The name of the user
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The configuration file [default: the one that the server reads]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The arguments of `user add`.
#[derive(Debug, Clone, clap::Args)]
pub struct AddUser {
    /// The name that the user logs in with
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The group that the user belongs to, for `users = ["@ROLE"]` in the configuration file
    #[arg(long, value_name = "ROLE", default_value = DEFAULT_ROLE)]
    pub role: String,

    /// The configuration file, which is made if there is none [default: the one that the server reads]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Read the password from standard input instead of the terminal: its first line
    #[arg(long)]
    pub password_stdin: bool,

    /// How the password is stored
    #[arg(long, value_name = "HOW", default_value = "digest")]
    pub hash: PasswordHash,
}

/// How a password is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PasswordHash {
    /// As the hashes of digest authentication. All players can log in. Whoever reads them in the file can
    /// log in too
    Digest,
    /// As a hash of argon2. It is of no use to whoever reads it. The user can only log in by Basic
    /// (basic-auth in the configuration)
    Argon2,
}
