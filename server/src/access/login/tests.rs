// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
use crate::access::users::Users;
use crate::config::BasicAuth;
use std::time::Duration;

const URI: &str = "rtsp://h/m";

/// The rules with ana, who has digest hashes, and bob, who has one of argon2 if `argon2` is set.
fn access(basic: BasicAuth, argon2: bool) -> Access {
    let ana = User {
        name: "ana".into(),
        digest_md5: Some(md5_hash("ana", b"secret")),
        digest_sha256: Some(sha256_hash("ana", b"secret")),
        ..User::default()
    };
    let hash = argon2.then(|| Argon2Hash::new(b"secret", &[1; 16]).unwrap());
    let bob = User { name: "bob".into(), argon2: hash, ..User::default() };
    Access { users: Users::new(vec![ana, bob]), basic, generation: 1, ..Access::default() }
}

/// The header that a player writes by digest.
pub(crate) fn digest_header<D: sha2::Digest>(
    (name, password): (&str, &str),
    (method, uri): (&str, &str),
    nonce: &str,
    nc: Option<u32>,
    algorithm: Algorithm,
) -> String {
    let ha1 = hex(&hash::<D>(&[name.as_bytes(), REALM.as_bytes(), password.as_bytes()]));
    let ha2 = hex(&hash::<D>(&[method.as_bytes(), uri.as_bytes()]));
    let (qop, response) = match nc {
        Some(nc) => {
            let nc = format!("{nc:08x}");
            let parts = [&ha1, nonce, &nc, "cn", "auth", &ha2].map(str::as_bytes);
            (format!(", qop=auth, nc={nc}, cnonce=\"cn\""), hash::<D>(&parts))
        }
        None => (String::new(), hash::<D>(&[&ha1, nonce, &ha2].map(str::as_bytes))),
    };
    let (response, algorithm) = (hex(&response), algorithm.name());
    format!(
        "Digest username=\"{name}\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         algorithm={algorithm}, response=\"{response}\"{qop}"
    )
}

fn check(login: &mut Login, access: &Access, header: &str, now: Instant) -> Verdict {
    let is_same_uri = |uri: &str| uri == URI;
    let is_same_uri: &dyn Fn(&str) -> bool = &is_same_uri;
    let proof = Proof { method: "DESCRIBE", header, is_same_uri, encrypted: false };
    match login.check(access, &proof, now) {
        FirstStep::Done(verdict) => verdict,
        FirstStep::Slow(step) => {
            let right = step.run();
            login.finish(step, right)
        }
    }
}

fn name_of(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Right(user) => &user.name,
        Verdict::Stale => "stale",
        Verdict::Wrong => "wrong",
        Verdict::Malformed => "malformed",
    }
}

#[test]
fn responses_are_those_of_the_rfcs() {
    // RFC 7616 section 3.9.1.
    let row = |algorithm, response: &str| Digest {
        name: "Mufasa".into(),
        realm: "http-auth@example.org".into(),
        nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v".into(),
        uri: "/dir/index.html".into(),
        response: response.into(),
        algorithm,
        qop: Some(crate::access::authorization::Qop {
            nc: "00000001".into(),
            count: 1,
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ".into(),
        }),
    };
    let parts: [&[u8]; 3] = [b"Mufasa", b"http-auth@example.org", b"Circle of Life"];
    let md5 = row(Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec");
    assert!(matches_response::<Md5>(&hex(&hash::<Md5>(&parts)), "GET", &md5));
    assert!(!matches_response::<Md5>(&hex(&hash::<Md5>(&parts)), "PUT", &md5));
    let sha256 =
        row(Algorithm::Sha256, "753927FA0E85D155564E2E272A28D1802CA10DAF4496794697CF8DB5856CB6C1");
    assert!(matches_response::<Sha256>(&hex(&hash::<Sha256>(&parts)), "GET", &sha256));
}

#[test]
fn digest_needs_the_password_the_uri_and_a_nonce_of_the_connection() {
    let access = access(BasicAuth::Off, false);
    let now = Instant::now();
    let mut login = Login::default();
    let challenges = login.challenges(&access, false, false);
    let nonce = login.nonce.issue(now);
    let want = ["SHA-256", "MD5"].map(|name| {
        format!("Digest realm=\"mjpeg-rtsp\", nonce=\"{nonce}\", algorithm={name}, qop=\"auth\"")
    });
    assert_eq!(challenges, want);
    let md5 =
        |who, what, nonce: &str, nc| digest_header::<Md5>(who, what, nonce, nc, Algorithm::Md5);
    let sha = |who, what, nonce: &str, nc| {
        digest_header::<Sha256>(who, what, nonce, nc, Algorithm::Sha256)
    };
    let (ana, request) = (("ana", "secret"), ("DESCRIBE", URI));
    let rows = [
        (md5(ana, request, &nonce, Some(1)), "ana"),
        (sha(ana, request, &nonce, Some(2)), "ana"),
        (md5(ana, request, &nonce, None), "ana"),
        (md5(("ana", "Secret"), request, &nonce, Some(3)), "wrong"),
        (md5(("eve", "secret"), request, &nonce, Some(3)), "wrong"),
        (sha(("eve", "secret"), request, &nonce, Some(3)), "wrong"),
        // Bob has no hash.
        (md5(("bob", "secret"), request, &nonce, Some(3)), "wrong"),
        (md5(ana, ("PLAY", URI), &nonce, Some(3)), "wrong"),
        (md5(ana, ("DESCRIBE", "rtsp://h/other"), &nonce, Some(3)), "malformed"),
        (md5(("ana", "no"), ("DESCRIBE", "rtsp://h/other"), &nonce, Some(3)), "wrong"),
        (md5(ana, request, &nonce, Some(3)).replace("mjpeg-rtsp", "other"), "wrong"),
        (md5(ana, request, &nonce, Some(3)).replace("Digest", "Other"), "wrong"),
        (md5(ana, request, &nonce, Some(3)).replace(", uri", ", urn"), "malformed"),
        ("Basic YW5hOnNlY3JldA==".to_owned(), "wrong"),
        (md5(ana, request, &nonce, Some(3)), "ana"),
        // Replayed, then with a nonce that has been replaced.
        (md5(ana, request, &nonce, Some(3)), "stale"),
        (md5(ana, request, &nonce, Some(4)), "stale"),
    ];
    for (number, (header, want)) in rows.iter().enumerate() {
        assert_eq!(name_of(&check(&mut login, &access, header, now)), *want, "{number}: {header}");
    }
    let challenge = login.challenges(&access, true, false).pop().unwrap();
    let new = login.nonce.issue(now);
    assert_eq!(
        challenge,
        format!(
            "Digest realm=\"mjpeg-rtsp\", nonce=\"{new}\", stale=true, algorithm=MD5, qop=\"auth\""
        )
    );
    let header = md5(ana, request, &new, Some(1));
    assert_eq!(name_of(&check(&mut login, &access, &header, now)), "ana");
    let later = now + Duration::from_mins(6);
    let header = md5(ana, request, &new, Some(2));
    assert_eq!(name_of(&check(&mut login, &access, &header, later)), "stale");
}

#[test]
fn basic_is_accepted_where_the_configuration_allows_it() {
    let basic = |name: &str, password: &str| {
        use base64::Engine;
        let text = format!("{name}:{password}");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
    };
    let now = Instant::now();
    // Whether Basic is allowed and there is a hash of argon2; name, password, and the verdict.
    let rows = [
        (BasicAuth::On, true, "ana", "secret", "ana"),
        (BasicAuth::On, true, "bob", "secret", "bob"),
        (BasicAuth::On, true, "bob", "Secret", "wrong"),
        (BasicAuth::On, true, "eve", "secret", "wrong"),
        (BasicAuth::On, false, "ana", "secret", "ana"),
        (BasicAuth::On, false, "bob", "secret", "wrong"),
        (BasicAuth::On, false, "bob", "", "wrong"),
        (BasicAuth::On, false, "eve", "", "wrong"),
        (BasicAuth::Tls, true, "ana", "secret", "wrong"),
        (BasicAuth::Off, true, "ana", "secret", "wrong"),
    ];
    for (allowed, argon2, name, password, want) in rows {
        let access = access(allowed, argon2);
        let (mut login, header) = (Login::default(), basic(name, password));
        let verdict = check(&mut login, &access, &header, now);
        assert_eq!(name_of(&verdict), want, "{allowed:?} {argon2} {name} {password}");
        // The same header is known from then on, under the same rules.
        let known = login.known(&access, &header).map(|user| user.name.clone());
        assert_eq!(known.as_deref(), (want == name).then_some(name), "{name} {password}");
        assert_eq!(login.known(&Access { generation: 2, ..access }, &header), None);
        assert_eq!(login.basic.is_some(), want == name);
    }
    let access = access(BasicAuth::Tls, true);
    let schemes = |encrypted| {
        let challenges = Login::default().challenges(&access, false, encrypted);
        challenges.iter().map(|it| it.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    let (open, encrypted): (Vec<_>, Vec<_>) = (schemes(false), schemes(true));
    assert_eq!(open, ["Digest", "Digest"]);
    assert_eq!(encrypted, ["Digest", "Digest", "Basic"]);
}

#[test]
fn the_fifth_wrong_password_closes_the_connection() {
    let mut login = Login::default();
    let closed: Vec<_> = (0..6).map(|_| login.count_wrong()).collect();
    assert_eq!(closed, [false, false, false, false, true, true]);
}

#[test]
fn a_check_takes_the_same_time_for_names_that_do_not_exist() {
    let access = access(BasicAuth::On, false);
    let (mut login, request) = (Login::default(), ("DESCRIBE", URI));
    let now = Instant::now();
    let nonce = login.nonce.issue(now);
    let basic = |name: &str| {
        use base64::Engine;
        let text = format!("{name}:wrong");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
    };
    let digest = |name: &str| {
        digest_header::<Md5>((name, "wrong"), request, &nonce, Some(1), Algorithm::Md5)
    };
    for headers in [["ana", "eve"].map(digest), ["ana", "eve"].map(basic)] {
        let mut times = [Vec::new(), Vec::new()];
        // In turn, so that a busy machine slows both down.
        for _ in 0..3000 {
            for (header, times) in headers.iter().zip(&mut times) {
                let start = Instant::now();
                assert_eq!(check(&mut login, &access, header, now), Verdict::Wrong);
                times.push(start.elapsed().as_secs_f64());
            }
        }
        let [known, unknown] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        });
        let ratio = known / unknown;
        assert!((0.8..1.25).contains(&ratio), "{ratio} of {unknown} s");
    }
}
