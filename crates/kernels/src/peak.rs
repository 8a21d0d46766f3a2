//! The roof over every kernel: how many multiply-adds a second this CPU's instructions can do at most, and how fast
//! memory is read. A kernel's distance from it says what is left to gain.

use std::arch::asm;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::cpu::Isa;
use crate::memory::Aligned;
use crate::threads::ThreadPool;

/// How long a repetition takes at least: far above the clock's resolution, mostly below a time slice.
const REPETITION: Duration = Duration::from_millis(1);
/// The best of so many counts: only interruptions and a clock that still rises make one slower.
const REPETITIONS: usize = 8;
/// Words of the memory that is read: 64 MiB, more than last caches hold.
const WORDS: usize = (64 << 20) / size_of::<u64>();

/// The kind of numbers that are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// Bytes, with sums of 32 bits.
    Int8,
    /// `f32`, by fused multiply-adds.
    Float32,
    /// Floats of 16 bits, by an instruction set that [adds their products](Isa::adds_half_products); `f32` by others.
    Half,
}

/// Multiply-adds a second of one thread that does nothing but the instructions with which the kernels of `isa`
/// multiply, on registers alone. Threads on cores of their own do so many each, unless the CPU lowers its clock.
///
/// Takes some milliseconds.
///
/// # Panics
/// When this CPU lacks the instruction set.
pub fn multiply_adds(isa: Isa, arithmetic: Arithmetic) -> f64 {
    assert!(isa.is_available(), "this CPU lacks {}", isa.name());
    let Rounds { multiply_adds, run } = rounds(isa, arithmetic);
    // SAFETY: the CPU has the instruction set.
    let time = |rounds: u64| time(|| unsafe { run(rounds) });
    let mut rounds = 1;
    while time(rounds) < REPETITION {
        rounds *= 2;
    }
    let shortest = (0..REPETITIONS).map(|_| time(rounds)).min().expect("some repetitions");
    (rounds * multiply_adds) as f64 / shortest.as_secs_f64()
}

/// Bytes a second that all threads of a pool together read from memory, one after the other.
pub fn read_bandwidth(pool: &ThreadPool) -> f64 {
    let mut words = Aligned::<u64>::zeroed(WORDS);
    // Pages that were never written would all be the same one.
    words.fill(1);
    let parts: Vec<&[u64]> = words.chunks(WORDS / 64).collect();
    let read = |part: usize, _| {
        black_box(parts[part].iter().fold(0, |sum: u64, word| sum.wrapping_add(*word)));
    };
    let shortest = (0..REPETITIONS).map(|_| time(|| pool.run(parts.len(), &read))).min().expect("some repetitions");
    size_of_val(&*words) as f64 / shortest.as_secs_f64()
}

fn time(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

/// A loop of multiply-adds.
struct Rounds {
    /// How many a round does.
    multiply_adds: u64,
    /// Does so many rounds. The CPU must have the instruction set.
    run: unsafe fn(u64),
}

fn rounds(isa: Isa, arithmetic: Arithmetic) -> Rounds {
    match (isa, arithmetic) {
        (Isa::Scalar, Arithmetic::Int8) => Rounds { multiply_adds: scalar::LEN as u64, run: scalar::int8 },
        (Isa::Scalar, Arithmetic::Float32 | Arithmetic::Half) => {
            Rounds { multiply_adds: scalar::LEN as u64, run: scalar::float32 }
        }
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16, Arithmetic::Int8) => {
            Rounds { multiply_adds: UNROLLED * 12 * 16, run: avx2_int8 }
        }
        #[cfg(target_arch = "x86_64")]
        (Isa::AvxVnni, Arithmetic::Int8) => Rounds { multiply_adds: UNROLLED * 12 * 32, run: avx_vnni_int8 },
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2 | Isa::AvxVnni, Arithmetic::Float32 | Arithmetic::Half) => {
            Rounds { multiply_adds: UNROLLED * 12 * 8, run: avx2_float32 }
        }
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512Vnni, Arithmetic::Int8) => Rounds { multiply_adds: UNROLLED * 12 * 64, run: avx512_int8 },
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512Bf16, Arithmetic::Half) => Rounds { multiply_adds: UNROLLED * 12 * 32, run: avx512_bf16_half },
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512 | Isa::Avx512Bf16 | Isa::Avx512Vnni, Arithmetic::Float32 | Arithmetic::Half) => {
            Rounds { multiply_adds: UNROLLED * 12 * 16, run: avx512_float32 }
        }
        #[cfg(target_arch = "aarch64")]
        (Isa::Neon | Isa::NeonFp16, Arithmetic::Int8) => Rounds { multiply_adds: UNROLLED * 12 * 32, run: neon_int8 },
        #[cfg(target_arch = "aarch64")]
        (Isa::NeonDot, Arithmetic::Int8) => Rounds { multiply_adds: UNROLLED * 12 * 16, run: neon_dot_int8 },
        #[cfg(target_arch = "aarch64")]
        (Isa::NeonFp16, Arithmetic::Half) => Rounds { multiply_adds: UNROLLED * 12 * 8, run: neon_fp16_half },
        #[cfg(target_arch = "aarch64")]
        (Isa::Neon | Isa::NeonFp16 | Isa::NeonDot, Arithmetic::Float32 | Arithmetic::Half) => {
            Rounds { multiply_adds: UNROLLED * 12 * 4, run: neon_float32 }
        }
        #[allow(unreachable_patterns)]
        _ => unreachable!("an instruction set of another architecture is not available"),
    }
}

/// Plain Rust has no registers to name: what the compiler makes of the scalar kernels' loop, over numbers that stay in
/// the nearest cache.
mod scalar {
    use std::hint::black_box;

    use crate::Activation;

    pub const LEN: usize = 1024;

    pub fn int8(rounds: u64) {
        let (input, weights) = black_box(([1 as Activation; LEN], [1i16; LEN]));
        for _ in 0..rounds {
            let products = black_box(&input).iter().zip(&weights).map(|(&a, &w)| i32::from(a) * i32::from(w));
            black_box(products.fold(0, i32::wrapping_add));
        }
    }

    /// Sixteen sums, as a row of a float tile has.
    pub fn float32(rounds: u64) {
        let (input, weights) = black_box(([1f32; LEN / 16], [[1f32; 16]; LEN / 16]));
        for _ in 0..rounds {
            let mut sums = [0f32; 16];
            for (value, weights) in black_box(&input).iter().zip(&weights) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = value.mul_add(*weight, *sum);
                }
            }
            black_box(sums);
        }
    }
}

/// How often a round repeats its twelve sums' instructions: what the loop itself takes then hardly counts.
const UNROLLED: u64 = 16;

/// The names of twelve registers, and of three more.
macro_rules! registers {
    (sums, $a:literal, $z:literal) => {
        concat!(
            $a, "0", $z, ", ", $a, "1", $z, ", ", $a, "2", $z, ", ", $a, "3", $z, ", ", $a, "4", $z, ", ", $a, "5", $z,
            ", ", $a, "6", $z, ", ", $a, "7", $z, ", ", $a, "8", $z, ", ", $a, "9", $z, ", ", $a, "10", $z, ", ", $a,
            "11", $z
        )
    };
    (others, $a:literal, $z:literal) => {
        concat!($a, "12", $z, ", ", $a, "13", $z, ", ", $a, "14", $z)
    };
}

/// A loop over twelve sums, which are enough to hide how long an instruction takes on every CPU so far. In assembly,
/// because a compiler would do a multiplication whose factors never change once.
macro_rules! rounds {
    ($name:ident, $features:literal, [$a:literal, $z:literal], $clear:literal, [$($instruction:literal),+],
        $counter:tt, [$($again:literal),+]) => {
        #[target_feature(enable = $features)]
        fn $name(rounds: u64) {
            // SAFETY: the instructions touch nothing but the counter and vector registers, all declared overwritten.
            unsafe {
                asm!(
                    // Factors and sums are zeros: what else a register held might be a float that is slow to add.
                    concat!(".irp any, ", registers!(sums, $a, $z), ", ", registers!(others, $a, $z)),
                    $clear,
                    ".endr",
                    "2:",
                    ".rept 16",
                    concat!(".irp sum, ", registers!(sums, $a, $z)),
                    $($instruction,)+
                    ".endr",
                    ".endr",
                    $($again,)+
                    inout($counter) rounds => _,
                    clobber_abi("C"),
                    options(nomem, nostack),
                );
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
macro_rules! x86_rounds {
    ($name:ident, $features:literal, $register:literal, $instructions:tt) => {
        rounds!(
            $name,
            $features,
            [$register, ""],
            "vxorps \\any, \\any, \\any",
            $instructions,
            // Upper halves that are not cleared would slow down what uses only the lower ones.
            "rcx",
            ["dec rcx", "jnz 2b", "vzeroupper"]
        );
    };
}

#[cfg(target_arch = "x86_64")]
x86_rounds!(avx2_int8, "avx2", "ymm", ["vpmaddwd ymm12, ymm13, ymm14", "vpaddd \\sum, \\sum, ymm12"]);
#[cfg(target_arch = "x86_64")]
x86_rounds!(avx2_float32, "avx2,fma", "ymm", ["vfmadd231ps \\sum, ymm13, ymm14"]);
#[cfg(target_arch = "x86_64")]
x86_rounds!(avx_vnni_int8, "avx2,avxvnni", "ymm", ["{{vex}} vpdpbusd \\sum, ymm13, ymm14"]);
#[cfg(target_arch = "x86_64")]
x86_rounds!(avx512_int8, "avx512f,avx512dq,avx512vnni", "zmm", ["vpdpbusd \\sum, zmm13, zmm14"]);
#[cfg(target_arch = "x86_64")]
x86_rounds!(avx512_float32, "avx512f,avx512dq", "zmm", ["vfmadd231ps \\sum, zmm13, zmm14"]);
#[cfg(target_arch = "x86_64")]
x86_rounds!(avx512_bf16_half, "avx512f,avx512dq,avx512bf16", "zmm", ["vdpbf16ps \\sum, zmm13, zmm14"]);

#[cfg(target_arch = "aarch64")]
macro_rules! arm_rounds {
    ($name:ident, $features:literal, $instructions:tt) => {
        rounds!($name, $features, ["v", ".4s"], "movi \\any, #0", $instructions, "x8", ["subs x8, x8, #1", "b.ne 2b"]);
    };
}

#[cfg(target_arch = "aarch64")]
arm_rounds!(
    // As many products as kernels add in 16 bits at most.
    neon_int8,
    "neon",
    [
        "smull v12.8h, v13.8b, v14.8b",
        "smlal v12.8h, v13.8b, v14.8b",
        "smlal v12.8h, v13.8b, v14.8b",
        "smlal v12.8h, v13.8b, v14.8b",
        "sadalp \\sum, v12.8h"
    ]
);
#[cfg(target_arch = "aarch64")]
arm_rounds!(neon_dot_int8, "neon,dotprod", ["sdot \\sum, v13.16b, v14.4b[0]"]);
#[cfg(target_arch = "aarch64")]
arm_rounds!(neon_float32, "neon", ["fmla \\sum, v13.4s, v14.4s"]);
#[cfg(target_arch = "aarch64")]
rounds!(
    neon_fp16_half,
    "neon,fp16",
    ["v", ".8h"],
    "movi \\any, #0",
    ["fmla \\sum, v13.8h, v14.8h"],
    "x8",
    ["subs x8, x8, #1", "b.ne 2b"]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri runs no assembly")]
    fn every_instruction_set_has_a_peak() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for arithmetic in [Arithmetic::Int8, Arithmetic::Float32, Arithmetic::Half] {
                let peak = multiply_adds(isa, arithmetic);
                eprintln!("{} {arithmetic:?}: {:.2} billion multiply-adds a second", isa.name(), peak / 1e9);
                assert!(peak.is_finite() && peak > 1e6, "{}: {peak}", isa.name());
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri would take minutes")]
    fn memory_has_a_bandwidth() {
        for threads in [1, 2] {
            let bytes = read_bandwidth(&ThreadPool::new(threads));
            eprintln!("{threads} threads: {:.2} GB/s", bytes / 1e9);
            assert!(bytes.is_finite() && bytes > 1e6, "{bytes}");
        }
    }
}
