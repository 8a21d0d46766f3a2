//! The command line itself: help, completions, exit statuses, and what needs no model.

mod support;

use std::path::Path;
use std::process::Stdio;

use support::{assert_fields, error_line, json, kinglet, stdout};

const NOWHERE: &str = "/nonexistent";
const COMMANDS: [&str; 14] = [
    "live",
    "classify",
    "detect",
    "segment",
    "eval",
    "run",
    "bench",
    "inspect",
    "models",
    "pull",
    "kernels",
    "doctor",
    "config",
    "completions",
];

#[test]
fn every_command_explains_itself_with_examples() {
    let home = Path::new(NOWHERE);
    let all = stdout(kinglet(home).arg("--help"));
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{command} is listed in:\n{all}");
        let help = stdout(kinglet(home).args([command, "--help"]));
        assert!(help.contains("Usage: kinglet ") && help.contains("--json"), "{help}");
        if !["models", "kernels", "doctor"].contains(&command) {
            assert!(help.contains(&format!("kinglet {command} ")), "{command} has an example:\n{help}");
        }
        let widest = help.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 120, "{command}: a line of {widest} columns");
    }
    assert!(stdout(kinglet(home).arg("--version")).starts_with("kinglet 0."));
}

#[test]
fn wrong_usage_has_status_2() {
    for arguments in [
        &["dance"][..],
        &["classify"],
        &["classify", "model"],
        &["classify", "model", "a.jpg", "--top", "0"],
        &["classify", "model", "a.jpg", "--mean", "0.5"],
        &["classify", "model", "a.jpg", "--mean", "0.5,0.5", "--std", "1"],
        &["detect", "model"],
        &["detect", "model", "a.jpg", "--threshold", "2"],
        &["segment", "model", "a.jpg", "--crop", "3"],
        &["eval", "model"],
        &["run", "model"],
        &["bench", "model", "--seconds", "0"],
        &["bench", "model", "--kernels", "mmx"],
        &["bench", "model", "--threads", "0"],
        &["live", "--size", "640"],
        &["live", "--fps", "fast"],
        &["live", "--listen", "8080"],
        &["live", "--frames", "0"],
        &["completions", "cmd"],
        &["models", "--frames", "1"],
    ] {
        let output = kinglet(Path::new(NOWHERE)).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn completions_are_scripts() {
    for (shell, part) in [("bash", "_kinglet()"), ("zsh", "#compdef kinglet"), ("fish", "complete -c kinglet")] {
        let script = stdout(kinglet(Path::new(NOWHERE)).args(["completions", shell]));
        assert!(script.contains(part) && script.contains("mean"), "{shell}: {script}");
    }
}

#[test]
fn kernels_say_what_runs() {
    let report = &json(kinglet(Path::new(NOWHERE)).arg("kernels"))[0];
    assert_fields(report, &["architecture", "cores", "instruction_sets", "families"]);
    let available = |set: &serde_json::Value| set["available"] == true;
    let sets: Vec<_> = report["instruction_sets"].as_array().unwrap().iter().filter(|set| available(set)).collect();
    assert!(sets.iter().any(|set| set["name"] == "scalar"));
    let families = report["families"].as_array().unwrap();
    for family in families {
        let kernels = family["kernels"].as_array().unwrap();
        assert_eq!(kernels.iter().filter(|kernel| kernel["runs"] == true).count(), 1, "{family}");
        assert!(kernels.iter().all(|kernel| kernel["runs"] == false || available(kernel)), "{family}");
    }
    let names: Vec<_> = families.iter().map(|family| family["family"].as_str().unwrap()).collect();
    assert!(names.contains(&"qgemm"), "{names:?}");
    let text = stdout(kinglet(Path::new(NOWHERE)).arg("kernels"));
    assert!(text.contains("qgemm") && !text.contains('\x1b'), "{text}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child =
        kinglet(Path::new(NOWHERE)).arg("kernels").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr)), (Some(0), "".into()));
}

#[test]
fn an_unknown_model_names_the_known_ones() {
    for command in [&["pull", "mobilenet_v9"][..], &["inspect", "mobilenet_v9"], &["bench", "mobilenet_v9"]] {
        let line = error_line(kinglet(Path::new(NOWHERE)).args(command));
        assert!(line.starts_with("mobilenet_v9: ") && line.contains("mobilenet_v2_uint8"), "{line}");
    }
}
