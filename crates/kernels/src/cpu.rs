//! What this CPU has, found at run time: one binary serves every machine of its architecture.

/// An instruction set for which kernels are written, from the plainest to the best of each architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust; runs everywhere.
    Scalar,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX2 and AVX-VNNI, the 8-bit dot products without AVX-512.
    AvxVnni,
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    Avx512,
    /// x86-64 with AVX-512 F, BW, DQ, VL and the products of bfloat16.
    Avx512Bf16,
    /// x86-64 with AVX-512 F, BW, DQ, VL and the 8-bit dot products of VNNI.
    Avx512Vnni,
    /// AArch64 Advanced SIMD, which every armv8-a CPU has (the Pi 4's Cortex-A72).
    Neon,
    /// NEON with arithmetic on halves, FEAT_FP16 (the Pi 5's Cortex-A76).
    NeonFp16,
    /// NEON with the 8-bit dot products `sdot`/`udot` (the Pi 5's Cortex-A76).
    NeonDot,
}

impl Isa {
    /// Every instruction set, of every architecture.
    pub const ALL: [Isa; 9] = [
        Isa::Scalar,
        Isa::Avx2,
        Isa::AvxVnni,
        Isa::Avx512,
        Isa::Avx512Bf16,
        Isa::Avx512Vnni,
        Isa::Neon,
        Isa::NeonFp16,
        Isa::NeonDot,
    ];

    /// The name used by `--kernels`, by `REQUIRE_KERNELS` and as the end of a kernel's name.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::AvxVnni => "avx_vnni",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512_bf16",
            Isa::Avx512Vnni => "avx512_vnni",
            Isa::Neon => "neon",
            Isa::NeonFp16 => "neon_fp16",
            Isa::NeonDot => "neon_dot",
        }
    }

    /// The instruction set of this name.
    pub fn from_name(name: &str) -> Option<Isa> {
        Isa::ALL.into_iter().find(|isa| isa.name() == name)
    }

    /// Whether it adds nothing to a plainer one but products of bytes or of halves, so that families without such have
    /// no row for it.
    pub fn adds_narrow_products_only(self) -> bool {
        self.adds_half_products() || matches!(self, Isa::AvxVnni | Isa::Avx512Vnni | Isa::NeonDot)
    }

    /// Whether it multiplies bytes no better than a plainer one, so that families of such products have no row for it.
    pub fn adds_no_byte_products(self) -> bool {
        self == Isa::Avx512 || self.adds_half_products()
    }

    /// Whether it adds products of floats of 16 bits, and nothing else, to a plainer one.
    pub fn adds_half_products(self) -> bool {
        matches!(self, Isa::Avx512Bf16 | Isa::NeonFp16)
    }

    /// Whether this CPU can execute it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => Isa::Avx2.is_available() && std::arch::is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => Isa::Avx512.is_available() && std::arch::is_x86_feature_detected!("avx512bf16"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => Isa::Avx512.is_available() && std::arch::is_x86_feature_detected!("avx512vnni"),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "aarch64")]
            Isa::NeonFp16 => std::arch::is_aarch64_feature_detected!("fp16"),
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot => std::arch::is_aarch64_feature_detected!("dotprod"),
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }
}
