//! `kinglet kernels`: what this CPU can do, and which kernels run because of it.

use anyhow::Result;
use clap::Args;
use kinglet::kernels::cpu::Isa;
use kinglet::kernels::gemm::Half;
use kinglet::kernels::table::{self, Choice};
use kinglet::kernels::{dwconv, eltwise, gemm, pooling, qdwconv, qgemm, qwinograd, winograd};
use serde::Serialize;

use crate::arguments::Common;
use crate::output;
use crate::table::{Table, left};

/// Show what this CPU has and which kernels run on it
#[derive(Args, Debug)]
#[command(
    after_help = "For each family of kernels the first one that the CPU supports runs; every one gives the same \
bytes; those of gemm_half run only with --arithmetic half. \
To measure or check a plainer one: kinglet bench MODEL --kernels NAME, with a name of the first table."
)]
pub struct Kernels {}

#[derive(Serialize)]
struct Report {
    architecture: &'static str,
    cores: usize,
    instruction_sets: Vec<InstructionSet>,
    families: Vec<Family>,
}

#[derive(Serialize)]
struct InstructionSet {
    name: &'static str,
    available: bool,
}

#[derive(Serialize)]
struct Family {
    family: &'static str,
    kernels: Vec<Kernel>,
}

#[derive(Serialize)]
struct Kernel {
    name: &'static str,
    instruction_set: &'static str,
    available: bool,
    runs: bool,
}

impl Kernels {
    pub fn run(self, common: &Common) -> Result<()> {
        let set = |isa: Isa| InstructionSet { name: isa.name(), available: isa.is_available() };
        let report = Report {
            architecture: std::env::consts::ARCH,
            cores: kinglet::physical_cores(),
            instruction_sets: Isa::ALL.into_iter().map(set).collect(),
            families: vec![
                family(&qgemm::TABLE),
                family(&qwinograd::TABLE),
                family(&qdwconv::TABLE),
                family(&gemm::TABLE),
                half_family(),
                family(&winograd::TABLE),
                family(&dwconv::TABLE),
                family(&pooling::TABLE),
                family(&eltwise::TABLE),
            ],
        };
        if common.json { output::json(&report) } else { print(&report) }
    }
}

fn family<K>(table: &'static table::Table<K>) -> Family {
    let picked = table.pick(Choice::Best).name;
    let kernel = |row: &table::Row<K>| Kernel {
        name: row.name,
        instruction_set: row.isa.name(),
        available: row.isa.is_available(),
        runs: row.name == picked,
    };
    Family { family: table.family, kernels: table.rows.iter().map(kernel).collect() }
}

/// The kernels in half precision, of which the plain one only defines what the others give.
fn half_family() -> Family {
    let mut family = family(&gemm::HALF_TABLE);
    family.kernels.iter_mut().for_each(|kernel| kernel.runs &= Half::is_supported(Choice::Best));
    family
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn print(report: &Report) -> Result<()> {
    let plural = if report.cores == 1 { "" } else { "s" };
    output::line(format!("{}, {} physical core{plural} to use\n", report.architecture, report.cores))?;
    let mut sets = Table::new(&[left("instruction set"), left("here")]);
    for set in &report.instruction_sets {
        sets.row([set.name.to_owned(), yes(set.available)]);
    }
    output::line(format!("{sets}\n"))?;
    let mut kernels = Table::new(&[left("family"), left("kernel"), left("needs"), left("runs")]);
    for family in &report.families {
        for kernel in &family.kernels {
            let cells = [family.family, kernel.name, kernel.instruction_set].map(str::to_owned);
            let [family, name, needs] = cells;
            kernels.row([family, name, needs, yes(kernel.runs)]);
        }
    }
    output::line(kernels)
}
