//! `kinglet doctor` on whatever machine runs the tests.

mod support;

use std::path::Path;

use support::{assert_fields, json, kinglet, stdout};

#[test]
fn every_check_is_one_line_with_a_level() {
    let home = tempfile::tempdir().unwrap();
    let report = json(kinglet(home.path()).arg("doctor")).remove(0);
    assert_fields(&report, &["worst", "checks"]);
    let checks = report["checks"].as_array().unwrap();
    for check in checks {
        assert_fields(check, &["check", "level", "found", "advice"]);
        assert!(["green", "yellow", "red"].contains(&check["level"].as_str().unwrap()));
    }
    let names: Vec<&str> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    for name in [
        "cpu",
        "kernels",
        "clock",
        "temperature",
        "power",
        "memory",
        "swap",
        "camera",
        "rpicam-vid",
        "page size",
        "disk",
        "network",
    ] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    let disk = checks.iter().find(|check| check["check"] == "disk").unwrap();
    assert!(disk["found"].as_str().unwrap().contains(home.path().to_str().unwrap()), "{disk}");
}

#[test]
fn people_get_text() {
    let text = stdout(kinglet(Path::new("/nonexistent")).arg("doctor"));
    assert!(text.contains("kernels") && text.contains("page size") && !text.contains('\x1b'), "{text}");
}
