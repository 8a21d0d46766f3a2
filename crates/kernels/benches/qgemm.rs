//! Every row of `qgemm` on the layers of MobileNetV2 1.0 at 224, one thread. An "item" is one multiply-add.
//!
//! `cargo bench -p kinglet-kernels --bench qgemm [FILTER]`

use std::fmt;

use divan::Bencher;
use divan::counter::ItemsCount;
use kinglet_kernels::Activation;
use kinglet_kernels::cpu::Isa;
use kinglet_kernels::geometry::Geometry;
use kinglet_kernels::qgemm::{QConv2d, TABLE};
use kinglet_kernels::quantized::{Addition, Output, Requantize, Weights};
use kinglet_kernels::table::Choice;
use kinglet_kernels::threads::ThreadPool;

fn main() {
    divan::main();
}

/// The pointwise layers: height and width, input channels, output channels, whether a residual is added, and how many
/// such layers there are.
const POINTWISE: [(usize, usize, usize, bool, usize); 19] = [
    (112, 32, 16, false, 1),
    (112, 16, 96, false, 1),
    (56, 96, 24, false, 1),
    (56, 24, 144, false, 2),
    (56, 144, 24, true, 1),
    (28, 144, 32, false, 1),
    (28, 32, 192, false, 3),
    (28, 192, 32, true, 2),
    (14, 192, 64, false, 1),
    (14, 64, 384, false, 4),
    (14, 384, 64, true, 3),
    (14, 384, 96, false, 1),
    (14, 96, 576, false, 3),
    (14, 576, 96, true, 2),
    (7, 576, 160, false, 1),
    (7, 160, 960, false, 3),
    (7, 960, 160, true, 2),
    (7, 960, 320, false, 1),
    (7, 320, 1280, false, 1),
];

#[derive(Clone, Copy)]
struct Layer {
    geometry: Geometry,
    residual: bool,
    count: usize,
}

impl Layer {
    fn all() -> Vec<Layer> {
        let first = Geometry {
            input: [224, 224, 3],
            output: [112, 112, 32],
            kernel: [3, 3],
            stride: [2, 2],
            ..Geometry::matrix(1, 1, 1)
        };
        let pointwise = POINTWISE.map(|(size, depth, channels, residual, count)| {
            let [input, output] = [depth, channels].map(|channels| [size, size, channels]);
            Layer { geometry: Geometry { input, output, ..Geometry::matrix(1, 1, 1) }, residual, count }
        });
        let alone = |geometry| Layer { geometry, residual: false, count: 1 };
        [alone(first)].into_iter().chain(pointwise).chain([alone(Geometry::matrix(1, 1280, 1001))]).collect()
    }

    fn multiply_adds(&self) -> usize {
        let Geometry { kernel, input, .. } = self.geometry;
        self.geometry.output_len() * kernel[0] * kernel[1] * input[2]
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Geometry { input: [_, _, depth], output: [height, width, channels], kernel: [kernel, _], .. } =
            self.geometry;
        write!(f, "{kernel}x{kernel} {height}x{width} {depth}->{channels}{}", if self.residual { " +" } else { "" })
    }
}

/// A layer with all that it needs to run.
struct Job {
    layer: Layer,
    convolution: QConv2d,
    input: Vec<Activation>,
    residual: Option<Vec<Activation>>,
    output: Vec<Activation>,
    scratch: Vec<u8>,
}

impl Job {
    fn new(layer: Layer, isa: Isa) -> Job {
        let Geometry { kernel, input: [_, _, depth], output: [_, _, channels], .. } = layer.geometry;
        let values: Vec<i8> = (0..kernel[0] * kernel[1] * depth * channels).map(|i| (i * 89 % 255) as i8).collect();
        let range = Output::new(4, Activation::MIN.into(), Activation::MAX.into());
        let add = Addition::new([3, 5], [700_000, 400_000], 20, range);
        let weights = Weights { values: &values, zero_points: &[0], bias: None };
        let requantize = Requantize {
            multipliers: &[1e-3],
            zero_point: 3,
            min: Activation::MIN.into(),
            max: Activation::MAX.into(),
        };
        let choice = Choice::UpTo(isa);
        let residual = layer.residual.then_some(add);
        let convolution = QConv2d::new(choice, layer.geometry, &weights, 7, &requantize, residual, 1);
        Job {
            input: (0..layer.geometry.input_len()).map(|i| (i * 31) as Activation).collect(),
            residual: layer.residual.then(|| vec![9; layer.geometry.output_len()]),
            output: vec![0; layer.geometry.output_len()],
            scratch: vec![0; convolution.scratch_bytes()],
            layer,
            convolution,
        }
    }

    fn run(&mut self, pool: &ThreadPool) {
        self.convolution.run(pool, &self.input, self.residual.as_deref(), &mut self.output, &mut self.scratch);
    }
}

fn rows() -> Vec<&'static str> {
    TABLE.available().map(|row| row.isa.name()).collect()
}

fn isa(name: &str) -> Isa {
    Isa::from_name(name).expect("names come from the table")
}

/// All layers one after the other, as often as the network has them.
#[divan::bench(args = rows())]
fn network(bencher: Bencher, name: &str) {
    let pool = ThreadPool::new(1);
    let mut jobs: Vec<Job> = Layer::all().into_iter().map(|layer| Job::new(layer, isa(name))).collect();
    let total: usize = jobs.iter().map(|job| job.layer.count * job.layer.multiply_adds()).sum();
    bencher.counter(ItemsCount::new(total)).bench_local(|| {
        jobs.iter_mut().for_each(|job| (0..job.layer.count).for_each(|_| job.run(&pool)));
    });
}

/// Each layer by itself.
#[divan::bench(args = rows().into_iter().flat_map(|name| Layer::all().into_iter().map(move |layer| Case { name, layer })))]
fn layer(bencher: Bencher, Case { name, layer }: &Case) {
    let pool = ThreadPool::new(1);
    let mut job = Job::new(*layer, isa(name));
    bencher.counter(ItemsCount::new(layer.multiply_adds())).bench_local(|| job.run(&pool));
}

struct Case {
    name: &'static str,
    layer: Layer,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.layer)
    }
}
