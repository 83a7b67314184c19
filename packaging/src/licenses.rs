// SPDX-License-Identifier: MIT OR Apache-2.0
//! The licences of the crates that are part of the programs: most demand that their text comes with each
//! copy.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates of which the package has programs and libraries.
const PACKAGED: [&str; 4] =
    ["mjpeg-rtsp-server", "mjpeg-rtsp-client", "mjpeg-movie", "gst-plugin-mjpegfile"];

/// Starts of the names of files with licences, in upper case.
const NAMES: [&str; 7] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "OFL", "UFL"];

/// Folders of a crate, besides its own, that have such files.
const FOLDERS: [&str; 4] = ["", "LICENSES", "licenses", "fonts"];

/// A list of the crates with their licences, then each text with the crates that have it.
pub fn text() -> Result<String> {
    let metadata = metadata()?;
    let mut list = String::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in linked(&metadata)? {
        let field = |name: &str| package[name].as_str().unwrap_or_default();
        let name = format!("{} {}", field("name"), field("version"));
        writeln!(list, "{name}: {}", field("license"))?;
        let folder = Path::new(field("manifest_path")).parent().context("no folder")?;
        for text in license_texts(folder)? {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    let mut all = format!("The programs contain these crates. Their licences:\n\n{list}");
    // The most frequent texts first.
    let mut texts: Vec<_> = texts.into_iter().collect();
    texts.sort_by_key(|(_, crates)| std::cmp::Reverse(crates.len()));
    for (text, crates) in texts {
        write!(all, "\n{}\n{}:\n\n{text}\n", "-".repeat(80), crates.join(", "))?;
    }
    Ok(all)
}

/// What cargo knows of the workspace and the crates that it needs on this platform.
fn metadata() -> Result<Value> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let version = String::from_utf8_lossy(&version).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--format-version=1", "--locked", "--filter-platform"]);
    cargo.arg(host.context("rustc -vV states no host")?);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    Ok(serde_json::from_slice(&output(&mut cargo)?)?)
}

fn output(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().display().to_string();
    let done = command.output().with_context(|| format!("cannot start {name}"))?;
    let error = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{name}: {}: {error}", done.status);
    Ok(done.stdout)
}

/// The crates from elsewhere that are linked into what the package has, sorted by name.
fn linked(metadata: &Value) -> Result<Vec<&Value>> {
    let list = |value: &'_ Value, name: &str| {
        value[name].as_array().cloned().with_context(|| format!("cargo metadata has no {name}"))
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in list(&metadata["resolve"], "nodes")? {
        let dependencies = list(&node, "deps")?;
        // The kind of a normal dependency is null.
        let normal = dependencies.iter().filter(|dependency| {
            let kinds = dependency["dep_kinds"].as_array();
            kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
        });
        needs.insert(text(&node["id"]), normal.map(|it| text(&it["pkg"])).collect());
    }
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let is_packaged = |package: &&Value| PACKAGED.contains(&text(&package["name"]).as_str());
    let mut open: Vec<String> =
        packages.iter().filter(is_packaged).map(|it| text(&it["id"])).collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if seen.insert(id.clone()) {
            open.extend(needs.get(&id).into_iter().flatten().cloned());
        }
    }
    let is_foreign = |package: &&Value| !package["source"].is_null();
    let is_linked = |package: &&Value| seen.contains(&text(&package["id"]));
    let mut linked: Vec<_> = packages.iter().filter(is_foreign).filter(is_linked).collect();
    linked.sort_by_key(|package| (text(&package["name"]), text(&package["version"])));
    Ok(linked)
}

/// The texts of the files with licences in the folder of a crate.
fn license_texts(folder: &Path) -> Result<BTreeSet<String>> {
    let is_license = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        path.is_file() && NAMES.iter().any(|start| name.starts_with(start))
    };
    let mut texts = BTreeSet::new();
    for name in FOLDERS {
        // Most crates have none of these folders.
        let Ok(entries) = std::fs::read_dir(folder.join(name)) else { continue };
        let paths: Vec<PathBuf> =
            entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        for path in paths.iter().filter(|path| is_license(path)) {
            let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
            let text = String::from_utf8_lossy(&bytes).replace('\r', "");
            texts.insert(text.trim().to_owned());
        }
    }
    Ok(texts)
}
