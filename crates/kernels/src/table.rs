//! The table of a kernel family: the single list that selection, tests, benchmarks and `kinglet kernels` walk.

use crate::cpu::Isa;

/// One kernel of a family.
#[derive(Debug)]
pub struct Row<K: 'static> {
    /// Family, types, tile and instruction set: `qgemm_u8s8s32_4x16_avx2`.
    pub name: &'static str,
    /// What the CPU must have to run it.
    pub isa: Isa,
    /// The kernel itself: what the family's door calls.
    pub kernel: K,
}

/// All kernels of a family, the best first. The last row is scalar, so that one always runs.
#[derive(Debug)]
pub struct Table<K: 'static> {
    /// The family's name, also the name of its folder.
    pub family: &'static str,
    /// The rows, best first.
    pub rows: &'static [Row<K>],
}

/// Which rows may be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Choice {
    /// The first row that this CPU supports.
    #[default]
    Best,
    /// The first row that this CPU supports and whose instruction set is not above this one.
    UpTo(Isa),
}

impl<K> Table<K> {
    /// The row that runs here under `choice`.
    pub fn pick(&self, choice: Choice) -> &'static Row<K> {
        self.allowed(choice).next().expect("the last row of every table is scalar")
    }

    /// The rows that `choice` allows here, best first; the last one is scalar.
    pub fn allowed(&self, choice: Choice) -> impl Iterator<Item = &'static Row<K>> + use<K> {
        self.available().filter(move |row| match choice {
            Choice::Best => true,
            Choice::UpTo(limit) => row.isa <= limit,
        })
    }

    /// The rows that this CPU can run, best first.
    pub fn available(&self) -> impl Iterator<Item = &'static Row<K>> + use<K> {
        self.rows.iter().filter(|row| row.isa.is_available())
    }
}

/// The instruction sets that `REQUIRE_KERNELS` names (`avx2,avx512_vnni`): tests fail if this CPU could not run them,
/// so that a silent skip is no pass.
///
/// # Panics
/// When a name is unknown or this CPU lacks the instruction set.
pub fn required() -> Vec<Isa> {
    let names = std::env::var("REQUIRE_KERNELS").unwrap_or_default();
    names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| {
            let isa =
                Isa::from_name(name).unwrap_or_else(|| panic!("REQUIRE_KERNELS names {name:?}, which is unknown"));
            assert!(isa.is_available(), "REQUIRE_KERNELS names {name}, which this CPU lacks");
            isa
        })
        .collect()
}
