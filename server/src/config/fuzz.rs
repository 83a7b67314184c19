// SPDX-License-Identifier: MIT OR Apache-2.0
//! For any bytes of a configuration file: problems have positions and no control characters, and what is
//! accepted means the same after it has been printed.

use super::tests::{FILE, parse};
use crate::fuzz_words::expand;
use bolero::check;

/// Words of a configuration file.
const WORDS: [&[u8]; 58] = [
    b"listen = ",
    b"lab = ",
    b"http-tunnel = ",
    b"prepare-cache = ",
    b"explain = ",
    b"log = ",
    b"grace = ",
    b"[limits]\n",
    b"[defaults]\n",
    b"[[mount]]\npath = 'm'\n",
    b"[[user]]\nname = 'a'\ndigest-md5 = '00112233445566778899aabbccddeeff'\n",
    b"users = ['a']\n",
    b"users = ",
    b"role = ",
    b"['*', '@viewer']\n",
    b"basic-auth = ",
    b"proxy-from = ",
    b"tls-certificate = 'c'\ntls-key = 'k'\n",
    b"tls-key = ",
    b"tls-listen = ",
    b"allow = ",
    b"deny = ",
    b"['10.0.0.0/8', '::1']\n",
    b"multicast = ",
    b"multicast-ports = ",
    b"multicast-interface = ",
    b"['239.192.1.1', 'ff15::1']\n",
    b"'5004-5005'\n",
    b"path = ",
    b"name = ",
    b"kind = ",
    b"framerate = ",
    b"loop = ",
    b"max-viewers = ",
    b"max-connections = ",
    b"request-time = ",
    b"max-request-bytes = ",
    b"'on'\n",
    b"'live'\n",
    b"true\n",
    b"10\n",
    b"12.5\n",
    b"'30000/1001'\n",
    b"'10s'\n",
    b"'a/b'\n",
    b"\"\\u001b[2J\"\n",
    b"[1, 2]\n",
    b"{ x = 1 }\n",
    b"2020-01-01\n",
    b"0x10\n",
    b"1e9\n",
    b"nan\n",
    b"\n",
    b"# ",
    b"'''",
    b"\xc3\xa9",
    b"x = ",
    b".",
];

#[test]
fn config_file() {
    check!().with_type().for_each(|input: &Vec<u8>| {
        for bytes in [expand(input, &WORDS), input.clone()] {
            match parse(&bytes, &[]) {
                Ok(config) => {
                    let mut printed = parse(config.to_toml().as_bytes(), &[]).unwrap();
                    for (printed, mount) in printed.mounts.iter_mut().zip(&config.mounts) {
                        printed.position.clone_from(&mount.position);
                    }
                    assert_eq!(printed, config);
                }
                Err(error) => check_error(&error.to_string()),
            }
        }
    });
}

fn check_error(error: &str) {
    let lines: Vec<&str> = error.lines().collect();
    assert!((1..=20).contains(&lines.len()), "{error}");
    for line in lines {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        let position = line.strip_prefix(FILE).and_then(|rest| rest.strip_prefix(':'));
        let mut numbers = position.unwrap_or_default().splitn(3, ':');
        for _ in 0..2 {
            let number = numbers.next().and_then(|number| number.parse::<usize>().ok());
            assert!(number.is_some_and(|number| number > 0), "{line:?}");
        }
    }
}
