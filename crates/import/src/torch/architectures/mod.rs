//! The networks that a checkpoint's parameters may belong to, and how one is recognized by names and shapes.
//!
//! A new architecture is a file here, whose function says in [`Layers`] what the network computes, and a row in
//! [`ARCHITECTURES`]. One that is nobody else's business need not be here: [`Options`](crate::Options) takes any
//! [`Architecture`].
//!
//! ```no_run
//! use kinglet_import::torch::architectures::{Architecture, Conv, Function};
//! use kinglet_import::{ImportError, Options, import_with};
//!
//! /// Reads the state dict of this model:
//! ///
//! ///     self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16)
//! ///     self.conv2 = nn.Conv2d(16, 16, 3, padding=1, groups=16)
//! ///     self.head = nn.Linear(16, 7)
//! ///
//! ///     x = F.relu(self.bn1(self.conv1(x)))
//! ///     return self.head((x + F.silu(self.conv2(x))).mean((2, 3)))
//! fn read(bytes: &[u8]) -> Result<kinglet_import::Model, ImportError> {
//!     let architecture = Architecture {
//!         name: "my_network",
//!         side: 96,
//!         unused: &[],
//!         builders: &[|net, image| {
//!             let x = net.conv_bn(["conv1", "bn1"], image, Conv::new(16, 3).stride(2), Function::Relu)?;
//!             let y = net.conv("conv2", x, Conv::new(16, 3).groups(16).biased())?;
//!             let y = net.function(Function::Silu, y)?;
//!             let x = net.add(x, y)?;
//!             let x = net.global_average(x)?;
//!             net.classifier("head", x)
//!         }],
//!     };
//!     import_with(bytes, "my_network.pth", &Options { architecture: Some(architecture), ..Options::default() })
//! }
//! ```

mod efficientnet;
mod googlenet;
mod inception_v3;
mod inverted_residual;
mod layers;
mod mobilenet_v2;
mod mobilenet_v3;
mod resnet;
mod resnet_cifar;
mod shufflenet_v2;
mod squeezenet;

use std::collections::BTreeSet;

use kinglet_graph::{Graph, GraphError, ValueId};

use super::state_dict::StateDict;
use crate::ImportError;
use crate::budget::Budget;
use efficientnet::efficientnet_b0;
use googlenet::googlenet;
use inception_v3::inception_v3;
use inverted_residual::Names;
pub use layers::{Conv, Function, Layers, Made, Parameter, Rounding};
use mobilenet_v2::mobilenet_v2;
use mobilenet_v3::{mobilenet_v3_large, mobilenet_v3_small};
use resnet::{Block, resnet};
use resnet_cifar::resnet_cifar;
use shufflenet_v2::shufflenet_v2;
use squeezenet::{squeezenet1_0, squeezenet1_1};

/// Makes a network that takes this image, [1, rows, columns, 3], and gives a score for each class, [1, classes].
pub type Builder = fn(&mut Layers<'_>, ValueId) -> Made;

/// A network whose parameters a checkpoint may have.
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// What it is called; torchvision's name where that has it.
    pub name: &'static str,
    /// Rows and columns of the images that it was made for.
    pub side: usize,
    /// How the names of parameters begin that only training needs.
    pub unused: &'static [&'static str],
    /// What it computes: one builder for each way in which its parameters are named.
    pub builders: &'static [Builder],
}

/// Endings of what checkpoints have beside parameters: a count of batches, and a profiler's (`thop`) counts.
const COUNTERS: [&str; 3] = ["num_batches_tracked", "total_ops", "total_params"];

/// Names that an error lists of each kind.
const LISTED: usize = 4;

const BOTTLENECK: Block = Block::Bottleneck { groups: 1, width: 64 };

/// The classifiers in the middle of a network that help to train it.
const GOOGLENET_UNUSED: &[&str] = &["aux1.", "aux2."];
const INCEPTION_UNUSED: &[&str] = &["AuxLogits."];

/// Every architecture; of two that a checkpoint fits, the first is taken.
pub const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "mobilenet_v2",
        side: 224,
        unused: &[],
        builders: &[|net, x| mobilenet_v2(net, x, Names::Torchvision), |net, x| mobilenet_v2(net, x, Names::Timm)],
    },
    Architecture {
        name: "mobilenet_v3_small",
        side: 224,
        unused: &[],
        builders: &[
            |net, x| mobilenet_v3_small(net, x, Names::Torchvision),
            |net, x| mobilenet_v3_small(net, x, Names::Timm),
        ],
    },
    Architecture {
        name: "mobilenet_v3_large",
        side: 224,
        unused: &[],
        builders: &[
            |net, x| mobilenet_v3_large(net, x, Names::Torchvision),
            |net, x| mobilenet_v3_large(net, x, Names::Timm),
        ],
    },
    one("resnet18", 224, &[|net, x| resnet(net, x, [2, 2, 2, 2], Block::Basic)]),
    one("resnet34", 224, &[|net, x| resnet(net, x, [3, 4, 6, 3], Block::Basic)]),
    one("resnet50", 224, &[|net, x| resnet(net, x, [3, 4, 6, 3], BOTTLENECK)]),
    one("resnet101", 224, &[|net, x| resnet(net, x, [3, 4, 23, 3], BOTTLENECK)]),
    one("resnet152", 224, &[|net, x| resnet(net, x, [3, 8, 36, 3], BOTTLENECK)]),
    one("resnext50_32x4d", 224, &[|net, x| resnet(net, x, [3, 4, 6, 3], Block::Bottleneck { groups: 32, width: 4 })]),
    one("resnext101_32x8d", 224, &[|net, x| resnet(net, x, [3, 4, 23, 3], Block::Bottleneck { groups: 32, width: 8 })]),
    one("shufflenet_v2_x0_5", 224, &[|net, x| shufflenet_v2(net, x, [48, 96, 192], 1024)]),
    one("shufflenet_v2_x1_0", 224, &[|net, x| shufflenet_v2(net, x, [116, 232, 464], 1024)]),
    one("shufflenet_v2_x1_5", 224, &[|net, x| shufflenet_v2(net, x, [176, 352, 704], 1024)]),
    one("shufflenet_v2_x2_0", 224, &[|net, x| shufflenet_v2(net, x, [244, 488, 976], 2048)]),
    one("squeezenet1_0", 224, &[squeezenet1_0]),
    one("squeezenet1_1", 224, &[squeezenet1_1]),
    Architecture {
        name: "googlenet",
        side: 224,
        unused: GOOGLENET_UNUSED,
        builders: &[|net, x| transformed(net, x).and_then(|x| googlenet(net, x))],
    },
    Architecture { name: "googlenet_plain", side: 224, unused: GOOGLENET_UNUSED, builders: &[googlenet] },
    Architecture {
        name: "inception_v3",
        side: 299,
        unused: INCEPTION_UNUSED,
        builders: &[|net, x| transformed(net, x).and_then(|x| inception_v3(net, x))],
    },
    Architecture { name: "inception_v3_plain", side: 299, unused: INCEPTION_UNUSED, builders: &[inception_v3] },
    Architecture {
        name: "efficientnet_b0",
        side: 224,
        unused: &[],
        builders: &[
            |net, x| efficientnet_b0(net, x, Names::Torchvision),
            |net, x| efficientnet_b0(net, x, Names::Timm),
        ],
    },
    one("resnet20", 32, &[|net, x| resnet_cifar(net, x, 3)]),
    one("resnet32", 32, &[|net, x| resnet_cifar(net, x, 5)]),
    one("resnet44", 32, &[|net, x| resnet_cifar(net, x, 7)]),
    one("resnet56", 32, &[|net, x| resnet_cifar(net, x, 9)]),
    one("resnet110", 32, &[|net, x| resnet_cifar(net, x, 18)]),
];

/// An architecture that needs all of its parameters.
const fn one(name: &'static str, side: usize, builders: &'static [Builder]) -> Architecture {
    Architecture { name, side, unused: &[], builders }
}

/// torchvision's `transform_input`: its weights of GoogLeNet and Inception v3 were trained on pixels in [−1, 1], and it
/// takes those that ImageNet's mean and standard deviation have normalized, as for its other networks.
fn transformed(net: &mut Layers<'_>, image: ValueId) -> Made {
    let scaled = net.scale(image, vec![0.229 / 0.5, 0.224 / 0.5, 0.225 / 0.5])?;
    net.shift(scaled, vec![(0.485 - 0.5) / 0.5, (0.456 - 0.5) / 0.5, (0.406 - 0.5) / 0.5])
}

/// The architecture of this name.
///
/// # Errors
/// [`ImportError::NoArchitecture`], which lists the names.
pub fn find(name: &str) -> Result<Architecture, ImportError> {
    let found = ARCHITECTURES.iter().find(|architecture| architecture.name == name);
    found.copied().ok_or_else(|| ImportError::NoArchitecture { name: name.to_owned(), known: known() })
}

fn known() -> String {
    ARCHITECTURES.iter().map(|architecture| architecture.name).collect::<Vec<_>>().join(", ")
}

/// The network whose parameters these are, with them in it: `wanted`, or else the first that fits. The image has this
/// many rows and columns, or as many as the network was made for.
pub(super) fn assemble(
    checkpoint: &StateDict<'_>,
    wanted: Option<Architecture>,
    size: Option<[usize; 2]>,
    file: usize,
) -> Result<(Graph, Architecture), ImportError> {
    let candidates = wanted.as_ref().map_or(ARCHITECTURES, std::slice::from_ref);
    let builders = candidates.iter().flat_map(|one| one.builders.iter().map(move |builder| (one, builder)));
    let mut closest: Option<(&Architecture, Differences)> = None;
    for (architecture, builder) in builders {
        let build = |size| build(architecture, *builder, size, checkpoint);
        let usual = [architecture.side; 2];
        let net = match build(usual) {
            Ok((net, _)) => net,
            // What a checkpoint says of its widths may be nonsense for this network, and right for another.
            Err(error) if wanted.is_some() && architecture.builders.len() == 1 => return Err(error.into()),
            Err(_) => continue,
        };
        let differences = Differences::new(net.parameters(), checkpoint, architecture.unused);
        if differences.count() == 0 {
            // Tensors may overlap in a hostile file, and be far larger than it.
            let mut budget = Budget::of_file(file);
            let elements = net.parameters().iter().map(|one| one.shape.iter().product::<usize>());
            elements.map(|count| count.saturating_mul(size_of::<f32>())).try_for_each(|bytes| budget.charge(bytes))?;
            let (net, output) = build(size.unwrap_or(usual))?;
            return Ok((net.fill(output)?, *architecture));
        }
        if closest.as_ref().is_none_or(|(_, least)| differences.count() < least.count()) {
            closest = Some((architecture, differences));
        }
    }
    let problem = closest.as_ref().map_or_else(String::new, |(_, differences)| differences.to_string());
    let architecture = closest.map_or("any", |(architecture, _)| architecture.name).to_owned();
    Err(match wanted {
        Some(_) => ImportError::Parameters { architecture, problem },
        None => ImportError::UnknownArchitecture { closest: architecture, problem, known: known() },
    })
}

fn build<'a>(
    architecture: &Architecture,
    builder: Builder,
    size: [usize; 2],
    checkpoint: &'a StateDict<'a>,
) -> Result<(Layers<'a>, ValueId), GraphError> {
    let (mut net, image) = Layers::new(architecture.name, size, checkpoint)?;
    let output = builder(&mut net, image)?;
    Ok((net, output))
}

/// What keeps a checkpoint from being one of an architecture.
#[derive(Debug, Default)]
struct Differences {
    missing: Vec<String>,
    misshapen: Vec<String>,
    strange: Vec<String>,
}

impl Differences {
    fn new(parameters: &[Parameter], checkpoint: &StateDict<'_>, unused: &[&str]) -> Differences {
        let mut differences = Differences::default();
        for Parameter { name, shape } in parameters {
            match checkpoint.get(name) {
                None => differences.missing.push(name.clone()),
                Some(found) if found.shape() != shape => {
                    differences.misshapen.push(format!("{name} is {:?} instead of {shape:?}", found.shape()));
                }
                Some(_) => (),
            }
        }
        let known: BTreeSet<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        let is_strange = |name: &&String| {
            !known.contains(name.as_str())
                && !unused.iter().any(|prefix| name.starts_with(prefix))
                && !COUNTERS.iter().any(|ending| name.ends_with(ending))
        };
        differences.strange = checkpoint.keys().filter(is_strange).cloned().collect();
        differences
    }

    fn count(&self) -> usize {
        self.missing.len() + self.misshapen.len() + self.strange.len()
    }
}

impl std::fmt::Display for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds = [("missing: ", &self.missing), ("", &self.misshapen), ("not its own: ", &self.strange)];
        let lists = kinds.iter().filter(|(_, names)| !names.is_empty()).map(|(kind, names)| {
            let more = names.len().saturating_sub(LISTED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{kind}{}{more}", names[..names.len().min(LISTED)].join(", "))
        });
        f.write_str(&lists.collect::<Vec<_>>().join("; "))
    }
}
