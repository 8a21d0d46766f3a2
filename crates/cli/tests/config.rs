//! The configuration file: where it is found, what goes before it, what is wrong in it.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{error_line, kinglet, stdout};

/// The command with this file as the user's.
fn with(home: &Path, file: &str) -> Command {
    fs::create_dir_all(home.join("kinglet")).unwrap();
    fs::write(home.join("kinglet/config.toml"), file).unwrap();
    kinglet(home)
}

const FILE: &str = r#"
threads = 1

[live]
model = "mobilenet_v1_0.25_128"
source = "photographs"
fps = 7.5
no-web = true
mean = "0.5,0.5,0.5"
std = "0.5,0.5,0.5"
dim = ["batch=1", "n=2"]
password = "open sesame"

[bench]
seconds = 0.5
"#;

#[test]
fn what_holds_is_shown_with_where_it_comes_from() {
    let home = tempfile::tempdir().unwrap();
    let text = stdout(with(home.path(), FILE).args(["config", "--print"]).env("KINGLET_LOG", "debug"));
    let file = home.path().join("kinglet/config.toml").display().to_string();
    for line in [
        format!("threads = 1  # {file}"),
        "log = \"debug\"  # environment".to_owned(),
        "[live]".to_owned(),
        format!("model = \"mobilenet_v1_0.25_128\"  # {file}"),
        format!("fps = 7.5  # {file}"),
        format!("no-web = true  # {file}"),
        format!("dim = [\"batch=1\", \"n=2\"]  # {file}"),
        format!("# password is set  # {file}"),
        "top = 10  # default".to_owned(),
        "# frames is not set".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("sesame"), "a password is not shown");
    // What is printed is a file that sets the same.
    let again = home.path().join("again.toml");
    fs::write(&again, &text).unwrap();
    let printed = stdout(kinglet(home.path()).args(["config", "--config"]).arg(&again));
    let settings = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| Some(line.split_once("  # ")?.0.to_owned()))
            .filter(|line| !line.starts_with('#'))
            .collect()
    };
    assert_eq!(settings(&printed), settings(&text));
    let bench = stdout(with(home.path(), FILE).args(["config", "--print", "bench"]));
    assert!(bench.contains(&format!("seconds = 0.5  # {file}")), "{bench}");
}

#[test]
fn the_command_line_goes_before_the_file() {
    let home = tempfile::tempdir().unwrap();
    let empty = home.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let Some(data) = support::data() else { return };
    let model = support::small_model(&data).display().to_string();
    let file = format!("[live]\nmodel = {model:?}\nsource = \"wobble\"\nno-web = true\n");
    assert!(error_line(with(home.path(), &file).arg("live")).contains("wobble"));
    assert!(error_line(&mut with(home.path(), &file)).contains("wobble"), "without a command, live is meant");
    let line = error_line(with(home.path(), &file).args(["live", "--source"]).arg(&empty));
    assert!(line.contains("no images"), "{line}");
}

#[test]
fn what_is_wrong_in_a_file_is_named() {
    let home = tempfile::tempdir().unwrap();
    for (file, words) in [
        ("[live]\nfps = ", "line 2"),
        ("[live]\nfps = \"fast\"", "--fps"),
        ("[live]\nspeed = 3", "no setting 'speed'"),
        ("[life]\nfps = 3", "no setting 'life'"),
        ("live = 3", "[live] is a table"),
        ("[live]\nno-web = 3", "give true or false"),
        ("[live]\nfps = 1979-05-27", "give a text, a number"),
        ("config = \"x\"", "[config] is a table"),
    ] {
        let line = error_line(with(home.path(), file).args(["live", "--no-web"]));
        assert!(line.contains("config.toml") && line.contains(words), "{file:?}: {line}");
    }
    let line = error_line(kinglet(home.path()).args(["models", "--config", "/nonexistent.toml"]));
    assert!(line.contains("/nonexistent.toml"), "{line}");
}
