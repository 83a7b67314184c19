// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
use gstmjpegfile::movie::why_not_a_movie;

fn catalog(names: &[&str]) -> Catalog {
    let mut catalog = Catalog::default();
    for name in names {
        catalog.add(Path::new(name), name.into(), &MountSettings::default()).unwrap();
    }
    catalog
}

fn mounts<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Vec<MountConfig> {
    let mount = |path: P| MountConfig {
        path: path.as_ref().to_owned(),
        name: None,
        settings: MountSettings::default(),
        position: None,
    };
    paths.into_iter().map(mount).collect()
}

#[test]
fn a_path_finds_one_movie_or_none() {
    let catalog = catalog(&["movie.Mjpeg", "a/b c.mjpg", "two.mjpeg", "two.mjpg", "card"]);
    let rows: [(&str, &[&str]); 4] = [
        ("/movie.Mjpeg", &["/movie.Mjpeg", "/MOVIE.MJPEG", "/movie"]),
        ("/a/b c.mjpg", &["/a/b c"]),
        ("/two.mjpg", &["/two.mjpg"]),
        ("/card", &["/card"]),
    ];
    for (want, paths) in rows {
        for path in paths {
            assert_eq!(catalog.find(path).map(|mount| &mount.point[..]), Some(want), "{path}");
        }
    }
    for path in ["/two", "/b c.mjpg", "/../movie.Mjpeg", "", "/"] {
        assert!(catalog.find(path).is_none(), "{path}");
    }
}

#[test]
fn a_url_finds_the_movie_at_its_decoded_path() {
    let catalog = catalog(&["movie.Mjpeg", "a/p%20c?.mjpg", "\u{fc} 1.mjpeg"]);
    let movie: [&[u8]; 6] = [
        b"rtsp://h/movie.Mjpeg",
        b"rtsp://h:8554/MOVIE",
        b"rtsps://user:p@h/movie/",
        b"rtsp://h/movie/stream=0",
        b"rtsp://h/m%6fvie.Mjpeg?x=1",
        b"rtsp://h/movie.Mjpeg?x=1/stream=0",
    ];
    let rows: [(&str, &[&[u8]]); 3] = [
        ("/movie.Mjpeg", &movie),
        ("/a/p%20c?.mjpg", &[b"rtsp://h/a/p%2520c%3f.mjpg/stream=0"]),
        ("/\u{fc} 1.mjpeg", &[b"rtsp://h/%c3%bc%201", b"rtsp://h/\xc3\xbc%201"]),
    ];
    let find = |url: &[u8]| catalog.find_url(url).map(|mount| mount.point.clone());
    for (want, urls) in rows {
        for url in urls {
            assert_eq!(find(url).as_deref(), Some(want), "{}", url.escape_ascii());
        }
    }
    // Other segments, then paths that cannot be decoded, then bytes that are not a URL.
    let none: [&[&[u8]]; 3] = [
        &[b"rtsp://h/movie/x/stream=0", b"rtsp://h/x%2fmovie.Mjpeg", b"rtsp://h/../movie.Mjpeg"],
        &[b"rtsp://h/movie.Mjpeg%00", b"rtsp://h/%ff", b"rtsp://h/\xff"],
        &[b"rtsp://h", b"http://h/movie.Mjpeg", b"*", b""],
    ];
    for url in none.concat() {
        assert_eq!(find(url), None, "{}", url.escape_ascii());
    }
}

#[test]
fn a_lab_client_finds_a_movie_by_its_file_name() {
    let catalog = catalog(&["a/movie.Mjpeg", "b/movie.Mjpeg", "b/x.mjpeg", "c/X.mjpeg"]);
    let find = |name| catalog.find_file_name(name).map(|mount| mount.point.clone());
    for (name, want) in [("movie.Mjpeg", "/a/movie.Mjpeg"), ("x.mjpeg", "/b/x.mjpeg")] {
        assert_eq!(find(name).as_deref(), Some(want), "{name}");
    }
    for name in ["movie.mjpeg", "X.MJPEG", "none"] {
        assert_eq!(find(name), None, "{name}");
    }
}

#[test]
fn a_folder_is_scanned_and_its_names_encoded() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    for name in ["A.MJPG", "sub/ü 1.mjpeg", "notes.txt"] {
        std::fs::write(folder.path().join(name), b"").unwrap();
    }
    std::os::unix::fs::symlink("/etc", folder.path().join("out.mjpeg")).unwrap();
    std::os::unix::fs::symlink("none", folder.path().join("broken.mjpeg")).unwrap();
    std::os::unix::fs::symlink(".", folder.path().join("sub/circle")).unwrap();
    let catalog = Catalog::scan(&mounts([folder.path()])).unwrap();
    let urls: Vec<_> = catalog.mounts().map(|mount| mount.encoded()).collect();
    assert_eq!(urls, ["/A.MJPG", "/sub/%C3%BC%201.mjpeg"]);
}

#[test]
fn a_file_of_another_format_is_refused_and_an_empty_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let rows = [("text", &b"hello"[..]), ("clip.mp4", b"\0\0\0\x20ftypisom")];
    for (name, bytes) in rows {
        let (path, advice) = (file(name, bytes), why_not_a_movie(bytes));
        let error = Catalog::scan(&mounts([&path])).unwrap_err().to_string();
        assert_eq!(error, format!("{} is not a movie: {advice}", path.display()));
    }
    let catalog = Catalog::scan(&mounts([file("new.mjpeg", b"")])).unwrap();
    assert_eq!(catalog.mounts().len(), 1);
}

#[test]
fn errors_state_each_fact_once() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("movie.mjpeg");
    let error = anyhow::Error::from(Catalog::scan(&mounts([&missing])).unwrap_err());
    let want = format!(
        "cannot read {} (check the path and its permissions): \
         No such file or directory (os error 2)",
        missing.display()
    );
    assert_eq!(format!("{error:#}"), want);
    let error = anyhow::Error::from(Catalog::scan(&mounts(["/dev/null"])).unwrap_err());
    assert_eq!(format!("{error:#}"), "/dev/null is neither a regular file nor a folder");
}

#[test]
fn two_movies_at_one_mount_point_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = ["a", "b"]
        .iter()
        .map(|sub| {
            let path = folder.path().join(sub).join("movie.mjpeg");
            std::fs::create_dir(path.parent().unwrap()).unwrap();
            std::fs::write(&path, b"").unwrap();
            path
        })
        .collect();
    let error = Catalog::scan(&mounts(&paths)).unwrap_err().to_string();
    let [first, second] = [0, 1].map(|index| paths[index].display().to_string());
    let want = format!("{first} and {second} would both be served at /movie.mjpeg: rename one");
    assert_eq!(error, want);
}

#[test]
fn mounts_of_which_nothing_has_changed_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, b"").unwrap();
        path
    };
    let before =
        Catalog::scan(&mounts([path("a.mjpeg"), path("b.mjpeg"), path("c.mjpeg")])).unwrap();
    let mut new = mounts([path("a.mjpeg"), path("b.mjpeg"), path("d.mjpeg")]);
    new[1].settings.looping = true;
    let after = before.scan_again(&new, &Arrivals::default()).unwrap();
    let is_shared = |point: &str| {
        let [before, after] = [&before, &after].map(|it| it.find(point).unwrap());
        Arc::ptr_eq(before, after)
    };
    assert!(is_shared("/a.mjpeg") && !is_shared("/b.mjpeg"));
    assert_eq!(after.shared_with(&before), 1);
    let missing: Vec<_> = before.missing_in(&after).map(|mount| &mount.point[..]).collect();
    assert_eq!(missing, ["/c.mjpeg"]);
    assert!(after.find("/a").is_some_and(|mount| mount.settings == MountSettings::default()));
    assert!(after.find_file_name("D.MJPEG").is_some() && after.find("/c").is_none());
    assert!(after.previous.is_empty());
}
