//! The numbers in the text format of Prometheus (`prometheus.io/docs/instrumenting/exposition_formats`, version 0.0.4).

use std::fmt::Write;

use super::hub::About;
use crate::stats::{LiveReport, Percentiles};

/// The format's media type.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A scrape's answer. What the board does not tell is left out.
pub(super) fn text(report: &LiveReport, about: &About, viewers: usize, live: bool) -> String {
    let mut out = Text(String::with_capacity(2048));
    let name =
        [("model", about.model.as_str()), ("type", about.dtype.as_str()), ("version", env!("CARGO_PKG_VERSION"))];
    out.metric("kinglet_info", "gauge", "What runs.", &[(&name, 1.0)]);
    out.gauge("kinglet_live", "1 while frames of the present are answered, else 0.", u8::from(live));
    out.counter("kinglet_frames_captured_total", "Frames that the source delivered.", report.captured);
    out.counter("kinglet_frames_inferred_total", "Frames that were answered.", report.inferred);
    out.counter("kinglet_frames_dropped_total", "Frames that were overwritten by newer ones.", report.dropped);
    out.gauge("kinglet_frames_per_second", "Frames answered a second, over the last second.", report.fps);
    let inferred = report.inferred;
    out.summary("kinglet_inference_seconds", "Time the model took.", report.inference_ms, inferred);
    out.summary("kinglet_latency_seconds", "Time from a frame's capture to its answer.", report.latency_ms, inferred);
    out.gauge("kinglet_viewers", "Viewers of the picture.", viewers as f64);
    let board = &report.board;
    if let Some(celsius) = board.temperature_c {
        out.gauge("kinglet_temperature_celsius", "The CPU's temperature.", celsius);
    }
    if let Some(throttled) = board.throttled {
        out.gauge("kinglet_throttled", "1 while the firmware keeps the clock down, else 0.", u8::from(throttled));
    }
    if let Some(under_voltage) = board.under_voltage {
        out.gauge("kinglet_under_voltage", "1 while the power supply is too weak, else 0.", u8::from(under_voltage));
    }
    out.0
}

/// Labels of a sample and its value.
type Sample<'a> = (&'a [(&'a str, &'a str)], f64);

struct Text(String);

impl Text {
    fn metric(&mut self, name: &str, kind: &str, help: &str, samples: &[Sample<'_>]) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        samples.iter().for_each(|sample| self.sample(name, sample));
    }

    fn sample(&mut self, name: &str, (labels, value): &Sample<'_>) {
        let label = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
        let labels: Vec<String> = labels.iter().map(label).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Into<f64>) {
        self.metric(name, "gauge", help, &[(&[], value.into())]);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.metric(name, "counter", help, &[(&[], value as f64)]);
    }

    fn summary(&mut self, name: &str, help: &str, Percentiles { p50, p99 }: Percentiles, count: u64) {
        let quantiles: [Sample<'_>; 2] = [(&[("quantile", "0.5")], p50 / 1e3), (&[("quantile", "0.99")], p99 / 1e3)];
        self.metric(name, "summary", help, &quantiles);
        self.sample(&format!("{name}_count"), &(&[], count as f64));
    }
}

/// A label's value between quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::BoardState;

    #[test]
    fn a_scrape_is_in_the_documented_format() {
        let board = BoardState { temperature_c: Some(61.5), throttled: Some(true), ..BoardState::default() };
        let report = LiveReport {
            fps: 29.97,
            inference_ms: Percentiles { p50: 8.0, p99: 12.5 },
            captured: 12_345_678,
            inferred: 12_345_670,
            dropped: 8,
            board,
            ..LiveReport::default()
        };
        let about = About { model: "a \"b\"\\\n".into(), dtype: "int8".into(), ..About::default() };
        let text = text(&report, &about, 2, true);
        for line in [
            "# TYPE kinglet_frames_captured_total counter",
            "kinglet_frames_captured_total 12345678",
            "kinglet_frames_per_second 29.97",
            "kinglet_inference_seconds{quantile=\"0.99\"} 0.0125",
            "kinglet_inference_seconds_count 12345670",
            "kinglet_temperature_celsius 61.5",
            "kinglet_throttled 1",
            "kinglet_viewers 2",
            "kinglet_live 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.contains(r#"kinglet_info{model="a \"b\"\\\n",type="int8",version=""#), "{text}");
        assert!(!text.contains("under_voltage"), "what is not told is not shown");
        assert!(
            text.ends_with('\n') && text.lines().all(|line| line.starts_with("# ") || line.starts_with("kinglet_"))
        );
    }
}
