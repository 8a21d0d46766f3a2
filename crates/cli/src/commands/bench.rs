//! `kinglet bench`: how long an inference takes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use kinglet::graph::{DType, View, ViewMut};
use kinglet::kernels::cpu::Isa;
use kinglet::kernels::gemm::HALF_TABLE;
use kinglet::kernels::peak;
use kinglet::kernels::table::Choice;
use kinglet::kernels::threads::ThreadPool;
use kinglet::runtime::StepInfo;
use kinglet::{Arithmetic, Session, SessionOptions};
use serde::Serialize;

use crate::arguments::{Common, LoadArgs};
use crate::table::{Table, left, right};
use crate::{milliseconds, output};

/// Runs before the clock starts: caches fill, the CPU's clock rises, memory is mapped.
const WARM_UP: Duration = Duration::from_millis(200);
/// Columns of the profile's table in a pipe. Nodes have long names, and JSON has them whole.
const WIDTH: usize = 120;

/// Measure how fast a model runs
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kinglet bench mobilenet_v2
  kinglet bench mobilenet_v2 --profile --threads 1
  kinglet bench mobilenet_v2 --kernels scalar
  kinglet bench mobilenet_v2.onnx --arithmetic half

\"of peak\" compares an operator's multiply-adds a second with what the multiply instructions of the best instruction \
set in use reach on this machine without any memory, one thread's measured and taken times the threads: 100 % cannot \
be had, and an operator with little work for each byte is bound by memory long before.

With --arithmetic half the results are compared with those in f32, on the inputs that are measured.

With --json: model, threads, kernels, arithmetic, \
runs, median_ms, p99_ms, min_ms, arena_bytes (activations), weights_bytes; \
with --arithmetic half also difference (largest: of an output's element, as a part of the largest element; same_first: \
whether the largest element of each output is the same one); \
with --profile also peak_gmacs (of the arithmetic that the model does most), memory_gb_s (what all threads together \
read from memory a second), and profile (node, op, kernel, ms, multiply_adds, bytes: input, packed weights and output, \
gmacs: billions of multiply-adds a second, peak_share: percent of the peak, null without multiply-adds, share: percent \
of the time).")]
pub struct Bench {
    /// A model file, or a name that `kinglet models` lists
    model: String,

    #[command(flatten)]
    load: LoadArgs,

    /// How long to measure
    #[arg(long, default_value_t = 2.0, value_name = "S", value_parser = seconds)]
    seconds: f64,

    /// Show where the time goes, and how far each operator is from this machine's peak
    #[arg(long)]
    profile: bool,

    /// Use no kernels above this instruction set: scalar, avx2, … (see `kinglet kernels`) [default: the CPU's best]
    #[arg(long, value_name = "NAME", value_parser = kernels_argument)]
    kernels: Option<Choice>,
}

/// What was measured.
#[derive(Serialize)]
struct Report {
    model: String,
    threads: usize,
    kernels: &'static str,
    arithmetic: &'static str,
    runs: usize,
    median_ms: f64,
    p99_ms: f64,
    min_ms: f64,
    arena_bytes: usize,
    weights_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Difference>,
    #[serde(flatten)]
    profile: Option<Profile>,
}

/// How far results are from those in `f32`.
#[derive(Serialize)]
struct Difference {
    /// The largest one of an output's elements, as a part of the largest of them.
    largest: f64,
    /// Whether the largest element of each output is the same one.
    same_first: bool,
}

/// Where the time goes.
#[derive(Serialize)]
struct Profile {
    peak_gmacs: f64,
    memory_gb_s: f64,
    #[serde(rename = "profile")]
    rows: Vec<Row>,
}

/// An operator's part of it.
#[derive(Serialize)]
struct Row {
    node: String,
    op: String,
    kernel: &'static str,
    multiply_adds: u64,
    bytes: u64,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Serialize)]
struct Figures {
    ms: f64,
    gmacs: f64,
    peak_share: Option<f64>,
    share: f64,
}

impl Bench {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = self.load.open(&self.model)?;
        let choice = self.kernels.unwrap_or_default();
        let options = self.load.session(common, choice);
        let mut session = model.session(&options)?;
        fill_inputs(&mut session);
        let difference = match options.arithmetic {
            Arithmetic::F32 => None,
            Arithmetic::Half => {
                let exact = SessionOptions { arithmetic: Arithmetic::F32, ..options.clone() };
                Some(difference(&mut session, &mut model.session(&exact)?)?)
            }
        };
        let times = measure(&mut session, Duration::from_secs_f64(self.seconds))?;
        let report = Report {
            model: model.name().to_owned(),
            threads: session.threads(),
            kernels: best_of(choice).name(),
            arithmetic: match options.arithmetic {
                Arithmetic::F32 => "f32",
                Arithmetic::Half => "half",
            },
            runs: times.len(),
            median_ms: milliseconds(nearest_rank(&times, 50)),
            p99_ms: milliseconds(nearest_rank(&times, 99)),
            min_ms: milliseconds(times[0]),
            arena_bytes: session.arena_bytes(),
            weights_bytes: session.weights_bytes(),
            difference,
            profile: if self.profile { Some(profile(&mut session, choice, times.len())?) } else { None },
        };
        if common.json { output::json(&report) } else { print(&report) }
    }
}

/// `--kernels NAME`
pub fn kernels_argument(name: &str) -> Result<Choice, String> {
    let available: Vec<&str> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(Isa::name).collect();
    match Isa::from_name(name) {
        Some(isa) if isa.is_available() => Ok(Choice::UpTo(isa)),
        Some(_) => Err(format!("this CPU lacks it; it has {}", available.join(", "))),
        None => Err(format!("it can be {}", available.join(", "))),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.001..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "give a number of seconds from 0.001 to 86400".to_owned())
}

/// The best instruction set that may be used.
fn best_of(choice: Choice) -> Isa {
    let allowed = |isa: &Isa| match choice {
        Choice::Best => true,
        Choice::UpTo(limit) => *isa <= limit,
    };
    Isa::ALL.into_iter().filter(|isa| isa.is_available() && allowed(isa)).max().unwrap_or(Isa::Scalar)
}

/// Gives the inputs values that are no special case: bytes of all kinds, real numbers in [−1, 1]. Indices stay 0.
fn fill_inputs(session: &mut Session) {
    // Numerical Recipes' linear congruential generator; its high bits are random enough for this.
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    for index in 0..session.inputs().len() {
        match session.input_mut(index) {
            ViewMut::U8(values) => values.fill_with(&mut next),
            ViewMut::I8(values) => values.fill_with(|| next() as i8),
            ViewMut::F32(values) => values.fill_with(|| f32::from(next()) / 127.5 - 1.0),
            _ => {}
        }
    }
}

/// How far the results of a session are from those of one in `f32`, on the same inputs.
fn difference(session: &mut Session, exact: &mut Session) -> Result<Difference> {
    fill_inputs(exact);
    exact.execute()?;
    session.execute()?;
    let mut difference = Difference { largest: 0.0, same_first: true };
    for index in 0..session.outputs().len() {
        if let (View::F32(found), View::F32(expected)) = (session.output(index), exact.output(index)) {
            let largest =
                |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, |a: f32, b| if b <= a { a } else { b });
            let apart = largest(&mut found.iter().zip(expected).map(|(a, b)| (a - b).abs()));
            let scale = largest(&mut expected.iter().map(|value| value.abs()));
            let part = f64::from(apart) / f64::from(scale.max(f32::MIN_POSITIVE));
            difference.largest = if part <= difference.largest { difference.largest } else { part };
            difference.same_first &= first(found) == first(expected);
        }
    }
    Ok(difference)
}

/// The place of the largest element, the first one of several.
fn first(values: &[f32]) -> Option<usize> {
    (0..values.len()).rev().max_by(|&a, &b| values[a].total_cmp(&values[b]))
}

/// Runs the model for so long, once at least; gives the times in ascending order.
fn measure(session: &mut Session, how_long: Duration) -> Result<Vec<Duration>> {
    let start = Instant::now();
    while start.elapsed() < WARM_UP.min(how_long) {
        session.execute()?;
    }
    let mut times = Vec::new();
    let start = Instant::now();
    while times.is_empty() || start.elapsed() < how_long {
        let before = Instant::now();
        session.execute()?;
        times.push(before.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

/// The smallest time that at least `percent` of all do not exceed.
fn nearest_rank(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

/// Multiply-adds a second that all threads together could do.
struct Peaks {
    int8: f64,
    float32: f64,
    half: f64,
}

impl Peaks {
    fn measure(choice: Choice, threads: usize) -> Peaks {
        let of = |isa, arithmetic| threads as f64 * peak::multiply_adds(isa, arithmetic);
        Peaks {
            int8: of(best_of(choice), peak::Arithmetic::Int8),
            float32: of(best_of(choice), peak::Arithmetic::Float32),
            half: of(HALF_TABLE.pick(choice).isa, peak::Arithmetic::Half),
        }
    }

    /// The one that holds for a step.
    fn of(&self, step: &StepInfo) -> f64 {
        if HALF_TABLE.rows.iter().any(|row| row.name == step.kernel) {
            self.half
        } else if step.output.dtype == DType::F32 {
            self.float32
        } else {
            self.int8
        }
    }
}

fn profile(session: &mut Session, choice: Choice, runs: usize) -> Result<Profile> {
    let mut times = vec![Duration::ZERO; session.steps().len()];
    for _ in 0..runs {
        session.execute_profiled(&mut times)?;
    }
    let peaks = Peaks::measure(choice, session.threads());
    let memory = peak::read_bandwidth(&ThreadPool::new(session.threads()));
    let total: Duration = times.iter().sum();
    let row = |(step, time): (&StepInfo, &Duration)| {
        let speed = step.multiply_adds as f64 * runs as f64 / time.as_secs_f64().max(1e-9);
        Row {
            node: step.node.clone(),
            op: step.op.clone(),
            kernel: step.kernel,
            multiply_adds: step.multiply_adds,
            bytes: step.bytes,
            figures: Figures {
                ms: milliseconds(*time / runs as u32),
                gmacs: rounded(speed / 1e9),
                peak_share: (step.multiply_adds > 0).then(|| rounded(100.0 * speed / peaks.of(step))),
                share: rounded(100.0 * time.as_secs_f64() / total.as_secs_f64().max(1e-9)),
            },
        }
    };
    let most = session.steps().max_by_key(|step| step.multiply_adds);
    Ok(Profile {
        peak_gmacs: rounded(most.map_or(peaks.int8, |step| peaks.of(step)) / 1e9),
        memory_gb_s: rounded(memory / 1e9),
        rows: session.steps().zip(&times).map(row).collect(),
    })
}

fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn print(report: &Report) -> Result<()> {
    if let Some(profile) = &report.profile {
        output::line(format!("{}\n\n{}\n", by_operator(&profile.rows), by_kernel(&profile.rows)))?;
    }
    let Report { model, threads, kernels, runs, median_ms, p99_ms, min_ms, .. } = report;
    let plural = if *threads == 1 { "" } else { "s" };
    output::line(format!("{model}, {threads} thread{plural}, kernels up to {kernels}, {runs} runs"))?;
    output::line(format!("  median {median_ms:.3} ms, p99 {p99_ms:.3} ms, min {min_ms:.3} ms"))?;
    if let Some(Difference { largest, same_first }) = &report.difference {
        let first = if *same_first { "the same first answer" } else { "another first answer" };
        output::line(format!(
            "  half precision: {:.2} % of the largest result away from f32, {first}",
            100.0 * largest
        ))?;
    }
    let (arena, weights) = (output::bytes(report.arena_bytes as u64), output::bytes(report.weights_bytes as u64));
    output::line(format!("  activations {arena}, weights {weights}"))?;
    if let Some(Profile { peak_gmacs, memory_gb_s, .. }) = &report.profile {
        output::line(format!("  this machine's peak {peak_gmacs:.1} GMAC/s, memory {memory_gb_s:.1} GB/s"))?;
    }
    Ok(())
}

fn by_operator(rows: &[Row]) -> Table {
    let titles = [right("ms"), right("share"), right("GMAC/s"), right("of peak")];
    let mut table = Table::new(&[&titles[..], &[left("operator"), left("kernel"), left("node")]].concat());
    for row in rows {
        let [ms, share, speed, peak] = row.figures.cells();
        table.row([ms, share, speed, peak, row.op.clone(), row.kernel.to_owned(), row.node.clone()]);
    }
    table.width_in_pipe(WIDTH)
}

/// The same for all operators of a kernel, the longest first.
fn by_kernel(rows: &[Row]) -> Table {
    let mut kernels: BTreeMap<&str, Vec<&Figures>> = BTreeMap::new();
    rows.iter().for_each(|row| kernels.entry(row.kernel).or_default().push(&row.figures));
    let mut kernels: Vec<_> =
        kernels.into_iter().map(|(kernel, all)| (kernel, all.len(), Figures::sum(&all))).collect();
    kernels.sort_by(|(_, _, a), (_, _, b)| b.ms.total_cmp(&a.ms));
    let titles = [right("ms"), right("share"), right("GMAC/s"), right("of peak")];
    let mut table = Table::new(&[&titles[..], &[right("operators"), left("kernel")]].concat());
    for (kernel, operators, figures) in kernels {
        let [ms, share, speed, peak] = figures.cells();
        table.row([ms, share, speed, peak, operators.to_string(), kernel.to_owned()]);
    }
    table
}

impl Figures {
    /// Of several operators; their speed is the mean over time.
    fn sum(all: &[&Figures]) -> Figures {
        let share: f64 = all.iter().map(|one| one.share).sum();
        let mean = |of: fn(&Figures) -> f64| all.iter().map(|one| of(one) * one.share).sum::<f64>() / share.max(1e-9);
        let works = all.iter().any(|one| one.peak_share.is_some());
        Figures {
            ms: all.iter().map(|one| one.ms).sum(),
            gmacs: mean(|one| one.gmacs),
            peak_share: works.then(|| mean(|one| one.peak_share.unwrap_or(0.0))),
            share,
        }
    }

    fn cells(&self) -> [String; 4] {
        let (speed, peak) = match self.peak_share {
            Some(share) => (format!("{:.1}", self.gmacs), format!("{share:.1} %")),
            None => ("–".to_owned(), "–".to_owned()),
        };
        [format!("{:.3}", self.ms), format!("{:.1} %", self.share), speed, peak]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let times: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        for (percent, ms) in [(0, 1), (1, 1), (50, 50), (99, 99), (100, 100)] {
            assert_eq!(nearest_rank(&times, percent), Duration::from_millis(ms));
        }
        assert_eq!(nearest_rank(&times[..1], 99), Duration::from_millis(1));
    }

    #[test]
    fn figures_of_several_operators_are_means_over_time() {
        let figures = |ms, gmacs, peak_share, share| Figures { ms, gmacs, peak_share, share };
        let sum = Figures::sum(&[&figures(3.0, 10.0, Some(20.0), 75.0), &figures(1.0, 0.0, None, 25.0)]);
        assert_eq!(sum.cells(), ["4.000", "100.0 %", "7.5", "15.0 %"]);
        assert_eq!(Figures::sum(&[&figures(1.0, 0.0, None, 25.0)]).cells()[2..], ["–", "–"]);
    }

    #[test]
    fn kernels_are_named_as_instruction_sets() {
        assert_eq!(kernels_argument("scalar"), Ok(Choice::UpTo(Isa::Scalar)));
        assert!(kernels_argument("altivec").unwrap_err().contains("scalar"));
        let foreign = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
        assert!(kernels_argument(foreign).unwrap_err().contains("lacks"));
        assert_eq!(best_of(Choice::UpTo(Isa::Scalar)), Isa::Scalar);
    }

    #[test]
    fn times_to_measure_have_bounds() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for text in ["0", "-1", "nan", "inf", "1e9", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
