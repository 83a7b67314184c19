// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the package installs, without installing it. scripts/package --test does that.

use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Server, program, run, target_folder};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(1);

const PROGRAMS: [&str; 4] =
    ["mjpeg-rtsp-server", "mjpeg-rtsp-client", "mjpeg-movie", "mjpeg-lab-check"];

/// The programs and their subcommands.
const COMMANDS: [&[&str]; 17] = [
    &["mjpeg-rtsp-server"],
    &["mjpeg-rtsp-server", "user"],
    &["mjpeg-rtsp-server", "user", "add"],
    &["mjpeg-rtsp-server", "user", "passwd"],
    &["mjpeg-rtsp-server", "user", "remove"],
    &["mjpeg-rtsp-server", "certificate"],
    &["mjpeg-lab-check"],
    &["mjpeg-lab-check", "server"],
    &["mjpeg-lab-check", "class"],
    &["mjpeg-lab-check", "client"],
    &["mjpeg-rtsp-client"],
    &["mjpeg-movie"],
    &["mjpeg-movie", "make"],
    &["mjpeg-movie", "info"],
    &["mjpeg-movie", "check"],
    &["mjpeg-movie", "repair"],
    &["mjpeg-movie", "extract"],
];

/// The folder of the package's sources.
fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging")
}

/// A text in that folder.
fn source(name: &str) -> Result<String> {
    let path = packaging().join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The files that are made from the programs.
fn generated() -> Result<Folder> {
    let folder = Folder::new()?;
    output(program("mjpeg-rtsp-packaging")?.arg(folder.path()))?;
    Ok(folder)
}

/// Standard output of a command that must succeed and print nothing on standard error.
fn output(command: &mut Command) -> Result<String> {
    let done = run(command, LIMIT)?;
    let (out, err) = (String::from_utf8(done.stdout)?, String::from_utf8_lossy(&done.stderr));
    ensure!(done.status.success() && err.is_empty(), "{command:?}: {}: {out}{err}", done.status);
    Ok(out)
}

/// The paths of all files in a folder, relative to it.
fn files(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).with_context(|| path.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                found.insert(entry.path().strip_prefix(folder)?.to_owned());
            }
        }
    }
    Ok(found)
}

/// What cargo-deb reads from packaging/Cargo.toml.
fn metadata() -> Result<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--quiet", "--format-version=1", "--no-deps", "--offline"]);
    cargo.arg("--manifest-path");
    let all: Value = serde_json::from_str(&output(cargo.arg(packaging().join("Cargo.toml")))?)?;
    let packages = all["packages"].as_array().context("no packages")?;
    let package = packages.iter().find(|package| package["name"] == "mjpeg-rtsp-packaging");
    Ok(package.context("no package")?["metadata"]["deb"].clone())
}

/// Source and target of each file in the package.
fn assets() -> Result<Vec<(String, String)>> {
    let metadata = metadata()?;
    let text =
        |value: &Value| Ok::<_, anyhow::Error>(value.as_str().context("no text")?.to_owned());
    let assets = metadata["assets"].as_array().context("no assets")?;
    assets.iter().map(|asset| Ok((text(&asset[0])?, text(&asset[1])?))).collect()
}

#[test]
fn the_package_has_every_file_and_every_file_exists() -> Result<()> {
    let generated = generated()?;
    let mut sources = BTreeSet::new();
    for (source, _) in assets()? {
        let path = match source.split_once('/') {
            Some(("target", name)) => {
                target_folder()?.join(name.strip_prefix("release/").context("not release")?)
            }
            Some(("generated", name)) => generated.path().join(name),
            _ => packaging().join(&source),
        };
        assert!(path.is_file(), "{source}: {}", path.display());
        sources.insert(source);
    }
    let mut want = BTreeSet::from(PROGRAMS.map(|name| format!("target/release/{name}")));
    want.insert("target/release/libgstmjpegfile.so".to_owned());
    for file in files(generated.path())? {
        want.insert(format!("generated/{}", file.display()));
    }
    for folder in ["debian", "desktop", "grafana", "systemd"] {
        for file in files(&packaging().join(folder))? {
            want.insert(format!("{folder}/{}", file.display()));
        }
    }
    // cargo-deb puts these in itself.
    for name in ["debian/copyright", "debian/changelog"] {
        assert!(want.remove(name), "{name}");
    }
    let documents = |source: &String| source.starts_with("../");
    sources.retain(|source| !documents(source));
    assert_eq!(sources, want);
    let version = env!("CARGO_PKG_VERSION");
    let changelog = source("debian/changelog")?;
    assert!(changelog.starts_with(&format!("mjpeg-rtsp ({version}-1) ")), "{changelog}");
    let metainfo = source("desktop/example.mjpeg_rtsp.client.metainfo.xml")?;
    assert!(metainfo.contains(&format!("<release version=\"{version}\" ")), "{metainfo}");
    Ok(())
}

/// The long options in lines that start with an option.
fn options(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split([' ', ',', '=', '[']));
    words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
}

/// The long options that `--help` of a command lists.
fn options_of_help(command: &[&str]) -> Result<BTreeSet<String>> {
    let help = output(program(command[0])?.args(&command[1..]).arg("--help"))?;
    let (_, options_part) = help.split_once("\nOptions:\n").context("no options")?;
    // The next heading starts in the first column.
    let lines = options_part.lines().take_while(|line| line.is_empty() || line.starts_with(' '));
    let found = options(&lines.collect::<Vec<_>>().join("\n"));
    ensure!(found.contains("--help"), "{help}");
    Ok(found)
}

#[test]
fn manual_pages_and_completions_have_all_options() -> Result<()> {
    let generated = generated()?;
    for command in COMMANDS {
        let want = options_of_help(command)?;
        let page = generated.path().join(format!("man/{}.1", command.join("-")));
        let mut man = Command::new("man");
        man.args(["--warnings", "--encoding=UTF-8", "--local-file"]).arg(&page);
        let text = output(man.env("MANWIDTH", "100").env("LC_ALL", "C.UTF-8"))?;
        let (_, rest) = text.split_once("\nOPTIONS\n").context("no OPTIONS")?;
        // The next heading starts in the first column.
        let section = rest.split("\n\n").take_while(|part| part.starts_with(' '));
        let headings = section.filter(|part| part.starts_with("       -"));
        let found: BTreeSet<String> =
            headings.flat_map(|part| options(part.lines().next().unwrap_or_default())).collect();
        assert_eq!(found, want, "{text}");

        // What bash offers after "--".
        let script = "source \"$1\"; shift; COMP_WORDS=(\"$@\" --); COMP_CWORD=$#; \
                      function=$(complete -p \"$1\"); function=${function#*-F }; \
                      ${function%% *} \"$1\" -- \"${*: -1}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
        let file = generated.path().join("bash").join(command[0]);
        let mut bash = Command::new("bash");
        bash.args(["-c", script, "bash"]).arg(file).args(command);
        assert_eq!(options(&output(&mut bash)?), want, "{command:?}");

        let zsh = generated.path().join(format!("zsh/_{}", command[0]));
        let fish = generated.path().join(format!("fish/{}.fish", command[0]));
        let (zsh, fish) = (std::fs::read_to_string(zsh)?, std::fs::read_to_string(fish)?);
        for option in want {
            let ends = ["=[", "["].map(|end| format!("{option}{end}"));
            assert!(ends.iter().any(|text| zsh.contains(text)), "{option}: {zsh}");
            let name = option.trim_start_matches('-');
            let ends = [' ', '\n'].map(|end| format!(" -l {name}{end}"));
            assert!(ends.iter().any(|text| fish.contains(text)), "{option}: {fish}");
        }
    }
    Ok(())
}

/// The values of a key of the unit.
fn unit_values(key: &str) -> Result<Vec<String>> {
    let unit = source("systemd/mjpeg-rtsp-server.service")?;
    let start = format!("{key}=");
    Ok(unit.lines().filter_map(|line| Some(line.strip_prefix(&start)?.to_owned())).collect())
}

#[test]
fn the_units_command_line_serves_an_empty_folder_and_then_its_movies() -> Result<()> {
    let generated = generated()?;
    // The paths of the package, in a folder of the test.
    let text = std::fs::read_to_string(generated.path().join("server.toml"))?;
    let movies_folder = generated.path().join("movies");
    std::fs::create_dir(&movies_folder)?;
    let installed = "path = \"/var/lib/mjpeg-rtsp/movies\"";
    assert_eq!(text.matches(installed).count(), 1, "{text}");
    let here = format!("path = \"{}\"", movies_folder.display());
    let config = generated.file("here.toml", text.replace(installed, &here).as_bytes())?;
    assert!(assets()?.contains(&(
        "debian/movies.txt".to_owned(),
        "var/lib/mjpeg-rtsp/movies/README".to_owned()
    )));

    let lines = unit_values("ExecStart")?;
    let [line] = &lines[..] else { anyhow::bail!("{lines:?}") };
    let line = line.replace("/etc/mjpeg-rtsp/server.toml", &config.to_string_lossy());
    let mut words = line.split(' ');
    let path = words.next().context("no program")?;
    let name = path.strip_prefix("/usr/bin/").with_context(|| path.to_owned())?;
    let arguments: Vec<&str> = words.collect();
    let done = run(program(name)?.args(&arguments).arg("--check-config"), LIMIT)?;
    let (out, err) = (String::from_utf8(done.stdout)?, String::from_utf8(done.stderr)?);
    assert!(done.status.success(), "{err}");
    assert!(out.contains(&here), "{out}");
    let warning =
        "no movies (.mjpeg, .mjpg) in this folder yet; each is served once it is copied there";
    assert!(err.contains(warning) && err.lines().count() == 1, "{err}");

    let mut command = program(name)?;
    let mut server = Server::spawn(command.args(&arguments).args(["--listen", "127.0.0.1:0"]), 0)?;
    server.wait_for_log("serving", LIMIT);
    generated.file("movies/movie.mjpeg", &movies::movie(&movies::images(20, "I420")?)?)?;
    server.wait_for_log("new movie is served", LIMIT);
    let log = server.log()?;
    let address = log.split("address=").nth(1).and_then(|it| it.split(' ').next());
    let address = address.with_context(|| log.clone())?;
    let url = format!("rtsp://{address}/movie.mjpeg");
    assert_eq!(RtspClient::connect(address)?.described_range(&url)?, "npt=0-1");
    server.is_well()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() -> Result<()> {
    let root = Folder::new()?;
    for (name, target) in
        [("mjpeg-rtsp-server.service", "service"), ("mjpeg-rtsp.socket", "socket")]
    {
        let text = source(&format!("systemd/{name}"))?;
        assert!(text.contains("[Install]\nWantedBy="), "{target}");
        // The program that the tests have built, since this machine need not have the package.
        let built = target_folder()?.join("mjpeg-rtsp-server").to_string_lossy().into_owned();
        root.file(name, text.replace("/usr/bin/mjpeg-rtsp-server", &built).as_bytes())?;
    }
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "./mjpeg-rtsp-server.service", "./mjpeg-rtsp.socket"]);
    output(verify.current_dir(root.path()))?;
    // At most 1.5 of 10 is exposed.
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--no-pager", "--threshold=15"]);
    output(security.arg("./mjpeg-rtsp-server.service").current_dir(root.path()))?;
    let mut sysusers = Command::new("systemd-sysusers");
    sysusers.arg("--dry-run").arg(packaging().join("systemd/mjpeg-rtsp.conf"));
    let done = run(&mut sysusers, LIMIT)?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(unit_values("User")?, ["mjpeg-rtsp"]);
    Ok(())
}

#[test]
fn the_desktop_file_metainfo_and_icon_are_valid() -> Result<()> {
    let desktop = packaging().join("desktop");
    output(Command::new("desktop-file-validate").arg(desktop.join("mjpeg-rtsp-client.desktop")))?;
    let mut appstream = Command::new("appstreamcli");
    appstream.args(["validate", "--no-net", "--no-color"]);
    appstream.arg(desktop.join("example.mjpeg_rtsp.client.metainfo.xml"));
    output(&mut appstream)?;
    // The window's name, by which a desktop finds the icon.
    let entry = source("desktop/mjpeg-rtsp-client.desktop")?;
    for line in
        ["Exec=mjpeg-rtsp-client %u", "Icon=mjpeg-rtsp-client", "StartupWMClass=mjpeg-rtsp-client"]
    {
        assert!(entry.lines().any(|it| it == line), "{line}: {entry}");
    }
    Ok(())
}

#[test]
fn movies_have_a_type_of_their_own_and_pictures_keep_theirs() -> Result<()> {
    let data = Folder::new()?;
    let types = source("desktop/mjpeg-rtsp.xml")?;
    data.file("mime/packages/mjpeg-rtsp.xml", types.as_bytes())?;
    let standard = std::fs::read("/usr/share/mime/packages/freedesktop.org.xml")?;
    data.file("mime/packages/freedesktop.org.xml", &standard)?;
    let mut update = Command::new("update-mime-database");
    output(update.arg(data.path().join("mime")).env("XDG_DATA_HOME", data.path()))?;
    let images = movies::images(2, "I420")?;
    let records = movies::movie(&images)?;
    let rows: [(&str, &[u8], &str); 7] = [
        ("movie.mjpeg", &records, "video/x-mjpegfile"),
        ("movie.Mjpeg", &records, "video/x-mjpegfile"),
        ("movie.mjpg", &records, "video/x-mjpegfile"),
        ("movie", &records, "video/x-mjpegfile"),
        ("images.mjpeg", &images.concat(), "video/x-mjpeg"),
        ("picture.jpg", &images[0], "image/jpeg"),
        ("numbers.txt", b"00005 and more", "text/plain"),
    ];
    for (name, bytes, want) in rows {
        let file = data.file(name, bytes)?;
        let mut gio = Command::new("gio");
        gio.args(["info", "--attributes=standard::content-type"]).arg(&file);
        gio.env("XDG_DATA_HOME", data.path()).env("XDG_DATA_DIRS", data.path());
        let found = output(&mut gio)?;
        let line = format!("standard::content-type: {want}");
        assert!(found.lines().any(|it| it.trim() == line), "{name}: {found}");
    }
    Ok(())
}

#[test]
fn the_container_is_not_root_and_its_health_check_is_a_flag_of_the_server() -> Result<()> {
    let text = source("Containerfile")?;
    let value = |start: &str| text.lines().filter_map(|line| line.strip_prefix(start)).next_back();
    assert_eq!(value("USER "), unit_values("User")?.first().map(String::as_str));
    assert_eq!(value("ENTRYPOINT "), Some("[\"/usr/bin/mjpeg-rtsp-server\"]"));
    let (_, command) = text.split_once("HEALTHCHECK ").context("no HEALTHCHECK")?;
    let (_, command) = command.split_once(" CMD ").context("no CMD")?;
    let words: Vec<String> = serde_json::from_str(command.lines().next().unwrap_or_default())?;
    let [program, flag] = &words[..] else { anyhow::bail!("{words:?}") };
    assert_eq!(program, "mjpeg-rtsp-server");
    assert!(options_of_help(&[program])?.contains(flag), "{flag}");
    Ok(())
}

#[test]
fn the_script_explains_itself() -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/package");
    let help = output(Command::new(&script).arg("--help"))?;
    for word in ["  deb ", "  container ", "  --test ", "  --help "] {
        assert!(help.contains(&format!("\n{word}")), "{word}: {help}");
    }
    let done = run(Command::new(&script).arg("--tset"), LIMIT)?;
    let err = String::from_utf8(done.stderr)?;
    assert_eq!(done.status.code(), Some(2), "{err}");
    assert!(err.starts_with("==> unknown argument --tset\nscripts/package [deb]"), "{err}");
    Ok(())
}
