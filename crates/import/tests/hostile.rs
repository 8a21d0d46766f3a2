//! Files that were cut, flipped, spliced and overwritten: each is read or refused, never a panic, and what is read is
//! sound.
//!
//! A case is made from its number alone. `KINGLET_FUZZ_CASES` sets how many are tried.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use kinglet_graph::passes;
use kinglet_import::Options;

mod common;

/// Cases where nobody asks for more.
const CASES: u64 = 20_000;

/// Numbers that break arithmetic: the ends of types, and what lies about them.
const EXTREMES: [u32; 12] =
    [0, 1, 2, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff, 0x4000_0000];

/// Marsaglia's xorshift, seeded so that neighbouring seeds differ.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % bound.max(1) as u64) as usize
    }
}

fn mutate(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at.max(16)),
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = random.below(256) as u8,
            3 => overwrite(&mut bytes, at / 4 * 4, &EXTREMES[random.below(EXTREMES.len())].to_le_bytes()),
            // A distance or a length that is a little off.
            4 => overwrite(&mut bytes, at / 4 * 4, &(random.below(64) as u32).to_le_bytes()),
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len()) / 4 * 4;
                let length = random.below(64).min(other.len() - from);
                overwrite(&mut bytes, at / 4 * 4, &other[from..from + length]);
            }
        }
    }
    bytes
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (to, from) in bytes[at..].iter_mut().zip(with) {
        *to = *from;
    }
}

/// Reads a file, and counts it if it was taken.
fn read(bytes: &[u8], options: &Options<'_>) -> bool {
    let Ok(mut model) = kinglet_import::import_with(bytes, "hostile", options) else { return false };
    let constants: usize = model
        .graph
        .values
        .iter()
        .filter_map(|value| value.constant.as_ref())
        .map(|constant| constant.ty().bytes())
        .sum();
    assert!(constants <= 4 * bytes.len() + (16 << 20), "{} bytes became {constants}", bytes.len());
    // An optimized graph is sound, too, or its error is told.
    if passes::optimize(&mut model.graph).is_ok() {
        model.graph.validate().expect("an optimized graph is valid");
    }
    true
}

fn seeds(folder: &str, endings: &[&str]) -> Vec<Vec<u8>> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| endings.iter().any(|ending| extension == *ending)));
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn tflite_seeds() -> Vec<Vec<u8>> {
    seeds("", &["tflite"])
}

fn onnx_seeds() -> Vec<Vec<u8>> {
    seeds("", &["onnx"])
}

fn torch_seeds() -> Vec<Vec<u8>> {
    seeds("torch", &["pth", "safetensors"])
}

fn mutated_files_are_read_or_refused(seeds: &[Vec<u8>], options: &Options<'_>) {
    let cases = std::env::var("KINGLET_FUZZ_CASES").map_or(CASES, |cases| cases.parse().expect("a number of cases"));
    let mut taken = 0u64;
    let mut slowest = Duration::ZERO;
    for case in 0..cases {
        let bytes = mutate(seeds, &mut Random::new(case));
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| read(&bytes, options)));
        slowest = slowest.max(start.elapsed());
        taken += u64::from(result.unwrap_or_else(|_| panic!("case {case} panicked")));
    }
    println!("{cases} cases, {taken} of them still models; the slowest took {slowest:?}");
    assert!(taken > cases / 50, "only {taken} of {cases} were still models: the mutations are too rough to test much");
    assert!(slowest < Duration::from_secs(20), "a case took {slowest:?}");
}

#[test]
fn mutated_tflite_files_are_read_or_refused() {
    mutated_files_are_read_or_refused(&tflite_seeds(), &Options::default());
}

#[test]
fn mutated_onnx_files_are_read_or_refused() {
    mutated_files_are_read_or_refused(&onnx_seeds(), &Options::default());
}

#[test]
fn mutated_checkpoints_are_read_or_refused() {
    mutated_files_are_read_or_refused(&torch_seeds(), &common::torch::small());
}

#[test]
fn every_cut_of_a_file_is_refused_or_read() {
    let cut = |seed: &[u8], options: &Options<'_>| {
        for length in 0..seed.len() {
            read(&seed[..length], options);
        }
    };
    cut(tflite_seeds().iter().min_by_key(|seed| seed.len()).unwrap(), &Options::default());
    cut(onnx_seeds().iter().min_by_key(|seed| seed.len()).unwrap(), &Options::default());
    torch_seeds().iter().for_each(|seed| cut(seed, &common::torch::small()));
}
