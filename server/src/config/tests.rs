// SPDX-License-Identifier: MIT OR Apache-2.0

use super::keys::{MOUNT_ONLY, limit_keys, mount_keys, server_keys};
use super::*;
use clap::Parser;
use mjpeg_program::toml_file::Key;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use toml::de::DeTable;

/// The configuration that is shipped.
const SHIPPED: &str = include_str!("../../mjpeg-rtsp-server.toml");

/// The path of the configuration of a test, which is not read.
pub(super) const FILE: &str = "/etc/mjpeg-rtsp/server.toml";

fn arguments(flags: &[&str]) -> Arguments {
    let program = ["mjpeg-rtsp-server"];
    Arguments::try_parse_from(program.iter().chain(flags)).unwrap()
}

/// The configuration of a file's bytes and flags.
pub(super) fn parse(bytes: &[u8], flags: &[&str]) -> Result<Config, ConfigError> {
    let mut config = Config { file: Some(FILE.into()), ..Config::default() };
    file::parse(Path::new(FILE), bytes, &arguments(flags), &mut config)?;
    Ok(config)
}

#[test]
fn the_listen_address_is_a_port_or_an_address_and_a_port() {
    let valid = [
        ("8554", "0.0.0.0:8554"),
        ("0", "0.0.0.0:0"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]:8554", "[::1]:8554"),
    ];
    for (text, want) in valid {
        assert_eq!(parse_listen(text), want.parse().ok(), "{text}");
    }
    for text in ["65536", "localhost", ""] {
        assert_eq!((parse_listen(text), parse_http(text)), (None, None), "{text}");
    }
    // Without an address, HTTP is for this machine only.
    for (text, want) in [("8080", "127.0.0.1:8080"), ("0.0.0.0:80", "0.0.0.0:80")] {
        assert_eq!(parse_http(text), want.parse().ok(), "{text}");
    }
}

/// Compares the keys of a table of the shipped file with the defaults: each key is there, after a
/// comment, and has the default value.
fn has_defaults<T: Default>(table: &DeTable, keys: &[Key<T>]) {
    for key in keys {
        let value = table.get(key.name);
        let (name, value) = (key.name, value.unwrap_or_else(|| panic!("{} is missing", key.name)));
        let mut settings = T::default();
        assert!((key.read)(&mut settings, value.get_ref()), "{name}");
        assert_eq!((key.write)(&settings), (key.write)(&T::default()), "{name}");
        let line = SHIPPED[..value.span().start].lines().count() - 1;
        let before = SHIPPED.lines().nth(line - 1).unwrap();
        assert!(before.starts_with("# "), "{name} has no comment");
    }
}

#[test]
fn the_shipped_file_has_each_key_with_its_default() {
    let document = DeTable::parse(SHIPPED).unwrap();
    let root = document.get_ref();
    let table = |name| root.get(name).unwrap().get_ref().as_table().unwrap();
    has_defaults(root, &server_keys());
    has_defaults(table("limits"), &limit_keys());
    has_defaults(table("defaults"), &mount_keys());
    // No key of the file is unknown, and no value is another one than the default.
    let want = Config { file: Some(FILE.into()), ..Config::default() };
    assert_eq!(parse(SHIPPED.as_bytes(), &[]).unwrap(), want);
}

#[test]
fn the_example_of_a_mount_in_the_shipped_file_has_each_key_with_its_default() {
    let start = SHIPPED.find("# [[mount]]\n").unwrap();
    let lines = SHIPPED[start..].lines().map(|line| line.strip_prefix("# ").unwrap());
    let example: String = lines.fold(String::new(), |text, line| text + line + "\n");
    let document = DeTable::parse(&example).unwrap();
    let mounts = document.get_ref().get("mount").unwrap().get_ref().as_array().unwrap();
    let mount = mounts.first().unwrap().get_ref().as_table().unwrap();
    for key in mount_keys().iter().map(|key| key.name).chain(MOUNT_ONLY) {
        assert!(mount.get(key).is_some(), "{key}");
    }
    let config = parse(example.as_bytes(), &[]).unwrap();
    let want = MountConfig {
        path: "/etc/mjpeg-rtsp/lectures".into(),
        name: Some("networking/lectures".to_owned()),
        settings: MountSettings::default(),
        position: Some(FilePosition { file: FILE.into(), line: 1, column: 1 }),
    };
    assert_eq!(config.mounts, [want]);
}

#[test]
fn flags_win_over_mounts_and_mounts_over_defaults() {
    let text = "
        listen = 80
        [defaults]
        framerate = 12.5
        kind = 'live'
        [limits]
        max-connections = 0x10
        [[mount]]
        path = 'a.mjpeg'
        [[mount]]
        path = '/b'
        name = 'folder'
        framerate = '30000/1001'
        loop = true
        kind = 'on-demand'
        lab-fragment = 'next-seq'
    ";
    // Flags; the address; kind, frame rate, loop and fragments of each mount.
    let rows: [(&[&str], &str, [&str; 2]); 4] = [
        (&[], "0.0.0.0:80", ["Live 25/2 false Off", "OnDemand 30000/1001 true NextSeq"]),
        (
            &["--listen", "127.0.0.1:1", "--framerate", "9"],
            "127.0.0.1:1",
            ["Live 9 false Off", "OnDemand 9 true NextSeq"],
        ),
        (&["--live"], "0.0.0.0:80", ["Live 25/2 false Off", "Live 30000/1001 true NextSeq"]),
        (
            &["--loop", "--lab-fragment", "same-seq"],
            "0.0.0.0:80",
            ["Live 25/2 true SameSeq", "OnDemand 30000/1001 true SameSeq"],
        ),
    ];
    for (flags, listen, want) in rows {
        let config = parse(text.as_bytes(), flags).unwrap();
        assert_eq!(config.server.listen.to_string(), listen, "{flags:?}");
        assert_eq!(config.limits.max_connections, 16);
        let mounts = config.mounts.iter().map(|mount| {
            let MountSettings { kind, framerate, looping, lab_fragment, .. } = &mount.settings;
            format!("{kind:?} {framerate} {looping} {lab_fragment:?}")
        });
        assert_eq!(mounts.collect::<Vec<_>>(), want, "{flags:?}");
        let paths: Vec<_> = config.mounts.iter().map(|mount| mount.path.clone()).collect();
        assert_eq!(paths, [Path::new("/etc/mjpeg-rtsp/a.mjpeg"), Path::new("/b")]);
    }
}

#[test]
fn a_configuration_that_is_printed_means_the_same() {
    let text = "
        listen = '[::1]:1'
        lab = 'only'
        http-tunnel = 'off'
        tls-certificate = '/c \"\u{e9}'
        tls-key = '/k'
        tls-listen = 322
        tls-udp = 'on'
        http = 8080
        http-hosts = ['cam.example.org', 'CAM']
        proxy-from = ['127.0.0.1', '::1']
        allow = ['10.0.0.0/8', '::1']
        deny = ['10.1.2.3']
        basic-auth = 'on'
        prepare-cache = 0
        explain = true
        log = 'trace'
        log-format = 'json'
        grace = '0s'
        [limits]
        max-connections = 1
        max-connections-per-address = 4294967295
        max-sessions = 3
        max-viewers = 5
        max-viewers-per-address = 7
        max-request-bytes = 1024
        request-time = '1500ms'
        idle-time = '90s'
        stall-time = '1h'
        max-queued-bytes = 1_000_000
        [defaults]
        kind = 'live'
        framerate = '1/7'
        loop = true
        follow-links = true
        max-viewers = 9
        allow = ['fd00::/8']
        deny = ['fd00::1']
        users = ['ana', '@st\u{e9}ff', '*']
        multicast = ['239.192.1.1', 'ff15::1']
        multicast-ports = '6000-6001'
        multicast-ttl = 16
        multicast-interface = 'eth0'
        multicast-only = true
        udp-offload = 'off'
        lab-oversize = 'drop'
        lab-fragment = 'same-seq'
        [[user]]
        name = 'ana'
        digest-md5 = '00112233445566778899aabbccddeeff'
        [[user]]
        name = '\u{e9}'
        role = 'st\u{e9}ff'
        digest-sha256 = '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff'
        argon2 = '$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
        [[mount]]
        path = '/a \"b\"\\\u{e9}'
        name = 'c/\u{e9}\"'
        kind = 'on-demand'
        [[mount]]
        path = '/d'
    ";
    let config = parse(text.as_bytes(), &[]).unwrap();
    // Each key is printed, and none has its default value here.
    assert_ne!(config.server, ServerSettings::default());
    let mut printed = parse(config.to_toml().as_bytes(), &[]).unwrap();
    for (printed, mount) in printed.mounts.iter_mut().zip(&config.mounts) {
        printed.position.clone_from(&mount.position);
    }
    assert_eq!(printed, config);
    let differs = |printed: String, default: String, name| assert_ne!(printed, default, "{name}");
    for key in server_keys() {
        differs((key.write)(&config.server), (key.write)(&ServerSettings::default()), key.name);
    }
    for key in limit_keys() {
        differs((key.write)(&config.limits), (key.write)(&Limits::default()), key.name);
    }
    for key in mount_keys() {
        differs((key.write)(&config.defaults), (key.write)(&MountSettings::default()), key.name);
    }
}

#[test]
fn a_path_that_is_not_utf8_is_a_comment_in_the_printed_configuration() {
    let path = OsStr::from_bytes(b"/a\xff\x1b.mjpeg").into();
    let mount =
        MountConfig { path, name: None, settings: MountSettings::default(), position: None };
    let mut config = Config { mounts: vec![mount], ..Config::default() };
    config.server.tls_certificate = Some(OsStr::from_bytes(b"/\xff/c").into());
    config.server.tls_key = Some(OsStr::from_bytes(b"/\xff/k").into());
    let printed = config.to_toml();
    let comments = [
        "# The path /a\\xff\\x1b.mjpeg is not UTF-8: it can be served from the command line only.",
        "# tls-certificate: the path /\\xff/c is not UTF-8.",
        "# tls-key: the path /\\xff/k is not UTF-8.",
    ];
    for comment in comments {
        assert_eq!(printed.lines().filter(|line| *line == comment).count(), 1, "{printed}");
    }
    let read = parse(printed.as_bytes(), &[]).unwrap();
    assert_eq!(read.mounts, []);
    assert_eq!((read.server.tls_certificate, read.server.tls_key), (None, None));
}

/// Checks the only problem of each text, after the path of the file.
fn check_problems(rows: &[(&str, String)]) {
    let mut failed = String::new();
    for (text, want) in rows {
        let error = parse(text.as_bytes(), &[]).map_err(|error| error.to_string());
        let want = format!("{FILE}:{want}");
        if error.as_ref().err() != Some(&want) {
            writeln!(failed, "{text:?}\n  found {error:?}\n  want  {want:?}").unwrap();
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn each_problem_of_multicast_states_what_is_allowed() {
    let groups = "a list of at most one IPv4 and one IPv6 multicast address, such as \
                  [\"239.192.1.1\", \"ff15::1\"]; 224.0.0.0 to 224.0.0.255 are reserved";
    let ports =
        "two ports from 1024 to 65535 such as \"5004-5099\", with an even one before an odd one";
    let rows: Vec<(&str, String)> = vec![
        ("[defaults]\nmulticast = '239.1.1.1'", format!("2:13: multicast: found \"239.1.1.1\"; allowed is {groups}")),
        ("[defaults]\nmulticast = ['239.1.1.1', '239.1.1.2']", format!("2:13: multicast: found a list; allowed is {groups}")),
        ("[defaults]\nmulticast = ['224.0.0.9']", format!("2:13: multicast: found a list; allowed is {groups}")),
        ("[defaults]\nmulticast-ports = '5005-5006'", format!("2:19: multicast-ports: found \"5005-5006\"; allowed is {ports}")),
        ("[defaults]\nmulticast-ports = 5004", format!("2:19: multicast-ports: found the number 5004; allowed is {ports}")),
        ("[defaults]\nmulticast-ttl = 256", "2:17: multicast-ttl: found the number 256; allowed is a whole number from 1 to 255".into()),
        ("[defaults]\nmulticast-interface = 'a/b'", "2:23: multicast-interface: found \"a/b\"; allowed is the name of a network interface such as \"eth0\", or \"\"".into()),
    ];
    check_problems(&rows);
}

#[test]
fn each_problem_states_its_position_what_was_found_and_what_is_allowed() {
    let server = "listen, lab, http-tunnel, tls-certificate, tls-key, tls-listen, tls-udp, http, http-hosts, proxy-from, allow, deny, basic-auth, prepare-cache, explain, log, log-format, grace, limits, defaults, user, mount";
    let limits = "max-connections, max-connections-per-address, max-sessions, max-viewers, \
                  max-viewers-per-address, max-request-bytes, request-time, idle-time, stall-time, \
                  max-queued-bytes";
    let mount = "kind, framerate, loop, follow-links, max-viewers, allow, deny, users, multicast, multicast-ports, multicast-ttl, multicast-interface, multicast-only, udp-offload, lab-oversize, lab-fragment";
    let rate = "frames per second above 0, such as 20, 12.5 or \"30000/1001\"";
    let time = "a time such as \"500ms\", \"10s\" or \"2m\", from \"1s\" to \"1h\"";
    let name =
        "1 to 64 bytes without : \" \\ and control characters, not * and not with @ at the start";
    let argon2 = "a hash of argon2id that starts with \"$argon2id$v=19$m=19456,t=2,p=1$\"";
    let users =
        "a list of names of users, of \"@ROLE\" for all with a role, or [\"*\"] for all users";
    let one = format!("[[user]]\nname = 'a'\ndigest-md5 = '{}'\n", "0".repeat(32));
    let twice = format!("{one}{one}");
    let networks =
        "a list of networks and addresses, such as [\"10.0.0.0/8\", \"192.168.1.7\", \"fd00::/8\"]";
    let long = "x".repeat(100);
    let (cut, with_long) = (format!("{}...", "x".repeat(60)), format!("lab = '{long}'"));
    let rows: Vec<(&str, String)> = vec![
        // Keys.
        ("lisen = 1", format!("1:1: found the key \"lisen\" before the first table; allowed are {server}; perhaps \"listen\" is meant")),
        ("\n  Prepare_Cache = 1", format!("2:3: found the key \"Prepare_Cache\" before the first table; allowed are {server}; perhaps \"prepare-cache\" is meant")),
        ("framerate = 1", format!("1:1: found the key \"framerate\" before the first table; allowed are {server}; the key belongs in [defaults] or [[mount]]")),
        ("name = 'x'", format!("1:1: found the key \"name\" before the first table; allowed are {server}; the key belongs in [[mount]]")),
        ("[limit]\n", format!("1:2: found the key \"limit\" before the first table; allowed are {server}; perhaps \"limits\" is meant")),
        ("[limits]\nmax-conections = 1", format!("2:1: found the key \"max-conections\" in [limits]; allowed are {limits}; perhaps \"max-connections\" is meant")),
        ("[limits]\nlisten = 1", format!("2:1: found the key \"listen\" in [limits]; allowed are {limits}; the key belongs before the first table")),
        ("[defaults]\nmax-connections = 1", format!("2:1: found the key \"max-connections\" in [defaults]; allowed are {mount}; the key belongs in [limits]")),
        ("[defaults]\npath = 'x'", format!("2:1: found the key \"path\" in [defaults]; allowed are {mount}; the key belongs in [[mount]]")),
        ("[[mount]]\npath = 'x'\nfps = 2", format!("3:1: found the key \"fps\" in [[mount]]; allowed are path, name, {mount}")),
        ("\"a\\u001b[2J\\u202e\" = 1", format!("1:1: found the key \"a\\u{{1b}}[2J\\u{{202e}}\" before the first table; allowed are {server}")),
        // Values.
        ("listen = 'localhost'", "1:10: listen: found \"localhost\"; allowed is a port, or an address and a port, such as 8554, \"127.0.0.1:8554\" or \"[::1]:8554\"".into()),
        ("listen = 65536", "1:10: listen: found the number 65536; allowed is a port, or an address and a port, such as 8554, \"127.0.0.1:8554\" or \"[::1]:8554\"".into()),
        ("lab = 'yes'", "1:7: lab: found \"yes\"; allowed is \"on\", \"off\" or \"only\"".into()),
        ("lab = true", "1:7: lab: found true; allowed is \"on\", \"off\" or \"only\"".into()),
        (&with_long, format!("1:7: lab: found \"{cut}\"; allowed is \"on\", \"off\" or \"only\"")),
        ("http-tunnel = [1]", "1:15: http-tunnel: found a list; allowed is \"on\" or \"off\"".into()),
        ("explain = 'on'", "1:11: explain: found \"on\"; allowed is true or false".into()),
        ("prepare-cache = -1", "1:17: prepare-cache: found the number -1; allowed is a whole number from 0 to 4294967295".into()),
        ("prepare-cache = 1.5", "1:17: prepare-cache: found the number 1.5; allowed is a whole number from 0 to 4294967295".into()),
        ("log = 2020-01-01", "1:7: log: found the date 2020-01-01; allowed is \"error\", \"warn\", \"info\", \"debug\" or \"trace\"".into()),
        ("[limits]\nmax-connections = 0", "2:19: max-connections: found the number 0; allowed is a whole number from 1 to 4294967295".into()),
        ("[limits]\nmax-connections = 99999999999999999999999", "2:19: max-connections: found the number 99999999999999999999999; allowed is a whole number from 1 to 4294967295".into()),
        ("[limits]\nrequest-time = 10", format!("2:16: request-time: found the number 10; allowed is {time}")),
        ("[limits]\nrequest-time = '10'", format!("2:16: request-time: found \"10\"; allowed is {time}")),
        ("[limits]\nidle-time = '999ms'", format!("2:13: idle-time: found \"999ms\"; allowed is {time}")),
        ("[limits]\nidle-time = '61m'", format!("2:13: idle-time: found \"61m\"; allowed is {time}")),
        ("[limits]\nstall-time = '99999999999999999999h'", format!("2:14: stall-time: found \"99999999999999999999h\"; allowed is {time}")),
        ("[limits]\nstall-time = '9999999999999999999h'", format!("2:14: stall-time: found \"9999999999999999999h\"; allowed is {time}")),
        ("[limits]\nmax-request-bytes = 1023", "2:21: max-request-bytes: found the number 1023; allowed is a whole number from 1024 to 1048576".into()),
        ("limits = 1", "1:10: limits: found the number 1; allowed is a table, [limits]".into()),
        ("[[defaults]]\nkind = 'live'", "1:1: defaults: found a list; allowed is a table, [defaults]".into()),
        ("[defaults]\nkind = 'vod'", "2:8: kind: found \"vod\"; allowed is \"on-demand\" or \"live\"".into()),
        ("[defaults]\nframerate = 0", format!("2:13: framerate: found the number 0; allowed is {rate}")),
        ("[defaults]\nframerate = '1/0'", format!("2:13: framerate: found \"1/0\"; allowed is {rate}")),
        ("[defaults]\nframerate = inf", format!("2:13: framerate: found the number inf; allowed is {rate}")),
        ("[defaults]\nloop = {}", "2:8: loop: found a table; allowed is true or false".into()),
        ("deny = ['10.0.0.0/33']", format!("1:8: deny: found a list; allowed is {networks}")),
        ("[defaults]\nallow = '::1'", format!("2:9: allow: found \"::1\"; allowed is {networks}")),
        ("tls-key = 'k'", "1:11: tls-key: found a value, but tls-certificate has none; one needs the other".into()),
        ("tls-certificate = 'c'\ntls-key = ''", "1:19: tls-certificate: found a value, but tls-key has none; one needs the other".into()),
        ("tls-listen = 1", "1:14: tls-listen: found a value, but tls-certificate has none; one needs the other".into()),
        ("tls-listen = 'x'", "1:14: tls-listen: found \"x\"; allowed is a port, an address and a port, or \"\"".into()),
        ("tls-key = 1", "1:11: tls-key: found the number 1; allowed is the path of a file in PEM format, or \"\"".into()),
        // Mounts.
        ("mount = 'x'", "1:9: mount: found \"x\"; allowed is tables, each of which starts with [[mount]]".into()),
        ("mount = [1]", "1:10: mount: found the number 1; allowed is tables, each of which starts with [[mount]]".into()),
        ("[mount]\npath = 'x'", "1:1: mount: found a table; allowed is tables, each of which starts with [[mount]]".into()),
        ("\n[[mount]]\nname = 'x'", "2:1: found a [[mount]] without a path; it must have one: path = \"FILE OR FOLDER\"".into()),
        ("[[mount]]\npath = ''", "2:8: path: found \"\"; allowed is the path of a movie or of a folder of movies".into()),
        ("[[mount]]\npath = 'x'\nname = '/x'", "3:8: name: found \"/x\"; allowed is a path without a slash at its ends, such as \"lecture\" or \"week1/lecture.mjpeg\"".into()),
        ("[[mount]]\npath = 'x'\nname = 'a/../b'", "3:8: name: found \"a/../b\"; allowed is a path without a slash at its ends, such as \"lecture\" or \"week1/lecture.mjpeg\"".into()),
        ("[[mount]]\npath = 'x'\nname = \"a\\nb\"", "3:8: name: found \"a\\nb\"; allowed is a path without a slash at its ends, such as \"lecture\" or \"week1/lecture.mjpeg\"".into()),
        ("[[mount]]\npath = 'x'\nname = 'n'\n\n[[mount]]\npath = 'y'\nname = 'n'", "7:8: name: found \"n\", which is the name of the [[mount]] in line 1 too; each must have a name of its own".into()),
        // Users.
        ("user = 1", "1:8: user: found the number 1; allowed is tables, each of which starts with [[user]]".into()),
        ("[[user]]\nrole = 'x'", "1:1: found a [[user]] without a name; it must have one: name = \"NAME\"".into()),
        ("[[user]]\nname = 'x'", "1:1: found a [[user]] without a password; `user add NAME` writes a [[user]] with one".into()),
        ("[[user]]\nname = 'a:b'\nargon2 = 'x'", format!("2:8: name: found \"a:b\"; allowed is {name}\n{FILE}:3:10: argon2: found another text; allowed is {argon2}")),
        ("[[user]]\nname = 'a'\ndigest-md5 = '0'", "3:14: digest-md5: found another text; allowed is 32 hexadecimal digits".into()),
        (&twice, "5:8: name: found \"a\", which is the name of the [[user]] in line 1 too".into()),
        ("[[user]]\nname = 'a'\npassword = 'x'\nargon2 = 0", format!("3:1: found the key \"password\" in [[user]]; allowed are name, role, digest-md5, digest-sha256, argon2\n{FILE}:4:10: argon2: found the number 0; allowed is {argon2}")),
        ("[defaults]\nusers = ['ana']", "2:10: users: found \"ana\", but there is no such [[user]]; `user add` adds one".into()),
        ("[[mount]]\npath = 'x'\nusers = ['*']", "3:10: users: found \"*\", but there is no such [[user]]; `user add` adds one".into()),
        ("[defaults]\nusers = 'ana'", format!("2:9: users: found \"ana\"; allowed is {users}")),
        ("[defaults]\nusers = [1]", format!("2:9: users: found a list; allowed is {users}")),
        // Not TOML.
        ("lab = 'on'\nlab = 'off'", "2:1: not valid TOML: duplicate key".into()),
        ("lab = on", "1:7: not valid TOML: string values must be quoted, expected literal string".into()),
        ("listen =\n", "1:9: not valid TOML: string values must be quoted, expected literal string".into()),
        ("[limits\n", "1:8: not valid TOML: unclosed table, expected `]`".into()),
    ];
    check_problems(&rows);
}

#[test]
fn all_problems_are_reported_in_the_order_of_the_file() {
    let text = "lab = 1\n[[mount]]\nkind = 2\n[limits]\nmax-connections = '\u{e9}'\nx = 1\n";
    let error = parse(text.as_bytes(), &[]).unwrap_err().to_string();
    let starts: Vec<_> = error.lines().map(|line| &line[FILE.len()..line.len().min(50)]).collect();
    let want = [
        ":1:7: lab: found the nu",
        ":2:1: found a [[mount]]",
        ":3:8: kind: found the n",
        ":5:19: max-connections:",
        ":6:1: found the key \"x\"",
    ];
    assert_eq!(starts, want);
    let many: String = (0..100).fold(String::new(), |text, key| format!("{text}x{key} = 1\n"));
    assert_eq!(parse(many.as_bytes(), &[]).unwrap_err().to_string().lines().count(), 20);
}

#[test]
fn bytes_that_are_no_text_are_refused_and_a_byte_order_mark_is_ignored() {
    let error = parse(b"lab = 'on'\nlog = '\xc3\xa9\xff'", &[]).unwrap_err().to_string();
    assert_eq!(error, format!("{FILE}:2:9: found the byte 0xff; allowed is text in UTF-8"));
    assert_eq!(parse(b"\xef\xbb\xbflab = 'off'", &[]).unwrap().server.lab, LabMode::Off);
    let error = parse(b"\xef\xbb\xbflab = 1", &[]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{FILE}:1:7: lab: ")), "{error}");
    // No bytes make the parser panic, and deep nesting does not exhaust the stack.
    let deep = format!("x = {}", "[".repeat(100_000));
    assert!(parse(deep.as_bytes(), &[]).is_err());
}

#[test]
fn only_a_regular_file_of_a_limited_length_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("long"), vec![b'#'; 10_000_000]).unwrap();
    std::fs::write(path("full"), vec![b'#'; 1_048_576]).unwrap();
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let rows = [
        (folder.path().to_owned(), "the configuration PATH is a folder; it must be a regular file"),
        (path("fifo"), "the configuration PATH is a FIFO; it must be a regular file"),
        ("/dev/zero".into(), "the configuration PATH is a device; it must be a regular file"),
        (path("long"), "the configuration PATH has over 1048576 bytes, which is the maximum"),
        (
            path("none"),
            "cannot read the configuration PATH: No such file or directory (os error 2)",
        ),
    ];
    for (path, want) in rows {
        let error = format!("{:#}", anyhow::Error::from(file::read(&path).unwrap_err()));
        assert_eq!(error, want.replace("PATH", &path.display().to_string()));
    }
    assert_eq!(file::read(&path("full")).unwrap().len(), 1_048_576);
    assert_eq!(Config::resolve(&arguments(&["--config", "/dev/null"])).unwrap(), Config::default());
}
