//! Which crate may use which: the table of ARCHITECTURE.md, held against what cargo says; and where unsafe code may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each crate of the workspace, and the others that it may import.
const LAYERS: [(&str, &[&str]); 7] = [
    ("kinglet-kernels", &[]),
    ("kinglet-graph", &[]),
    ("kinglet-import", &["kinglet-graph"]),
    ("kinglet-runtime", &["kinglet-graph", "kinglet-kernels"]),
    ("kinglet-vision", &["kinglet-runtime"]),
    ("kinglet", &["kinglet-graph", "kinglet-import", "kinglet-kernels", "kinglet-runtime", "kinglet-vision"]),
    ("kinglet-cli", &["kinglet"]),
];

/// A crate of the workspace.
struct Member {
    /// The workspace's crates that it depends on, tests aside.
    imports: BTreeSet<String>,
    folder: PathBuf,
}

fn workspace() -> BTreeMap<String, Member> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<String> = packages.iter().map(|package| text(&package["name"])).collect();
    let member = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().unwrap();
        let built_with = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
        let imports = built_with.map(|dependency| text(&dependency["name"])).filter(|name| names.contains(name));
        let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned();
        (text(&package["name"]), Member { imports: imports.collect(), folder })
    };
    packages.iter().map(member).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|ending| ending == "rs") => found.push(path),
            false => {}
        }
    }
}

#[test]
fn crates_import_only_what_lies_below_them() {
    let workspace = workspace();
    let listed: BTreeSet<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = workspace.keys().map(String::as_str).collect();
    assert_eq!(found, listed, "a crate came or went: say in LAYERS and in ARCHITECTURE.md what it may import");
    for (name, allowed) in LAYERS {
        for import in &workspace[name].imports {
            assert!(allowed.contains(&import.as_str()), "{name} may not import {import}");
        }
    }
}

#[test]
fn unsafe_code_is_only_in_the_kernels_and_around_the_camera() {
    let mut exceptions = Vec::new();
    for (name, member) in workspace() {
        let mut files = Vec::new();
        sources(&member.folder.join("src"), &mut files);
        let root = ["lib.rs", "main.rs"].map(|root| member.folder.join("src").join(root));
        let root = root.iter().find(|root| root.exists()).unwrap();
        let expected = match name.as_str() {
            "kinglet-kernels" => continue,
            "kinglet-vision" => "#![deny(unsafe_code)]",
            _ => "#![forbid(unsafe_code)]",
        };
        let root = fs::read_to_string(root).unwrap();
        assert!(root.lines().any(|line| line == expected), "{name}: the root says {expected}");
        let allows = |file: &PathBuf| fs::read_to_string(file).unwrap().contains("allow(unsafe_code)");
        exceptions.extend(files.into_iter().filter(allows).map(|file| (name.clone(), file)));
    }
    assert!(exceptions.len() <= 1, "only the module that talks to the camera may be excepted: {exceptions:?}");
    assert!(exceptions.iter().all(|(name, _)| name == "kinglet-vision"), "{exceptions:?}");
}
