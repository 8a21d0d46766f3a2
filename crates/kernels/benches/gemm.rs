//! Every row of `gemm`, in `f32` and in half precision, and of `winograd` where a session takes it, on the convolutions
//! of MobileNetV2 1.0, ResNet-18 and ResNet-50 at 224, one thread. An "item" is one multiply-add of the convolution's
//! definition.
//!
//! `cargo bench -p kinglet-kernels --bench gemm [FILTER]`

use std::fmt;

use divan::Bencher;
use divan::counter::ItemsCount;
use kinglet_kernels::cpu::Isa;
use kinglet_kernels::gemm::{self, HALF_TABLE, Half, TABLE};
use kinglet_kernels::geometry::Geometry;
use kinglet_kernels::memory::{Aligned, AlignedBytes};
use kinglet_kernels::table::Choice;
use kinglet_kernels::threads::ThreadPool;
use kinglet_kernels::winograd;

fn main() {
    divan::main();
}

/// The convolutions of a network: height and width of the output, window, stride, input channels, output channels,
/// whether a residual is added, and how many such layers there are.
type Layers = &'static [(usize, usize, usize, usize, usize, bool, usize)];

const MOBILENET_V2: Layers = &[
    (112, 3, 2, 3, 32, false, 1),
    (112, 1, 1, 32, 16, false, 1),
    (112, 1, 1, 16, 96, false, 1),
    (56, 1, 1, 96, 24, false, 1),
    (56, 1, 1, 24, 144, false, 2),
    (56, 1, 1, 144, 24, true, 1),
    (28, 1, 1, 144, 32, false, 1),
    (28, 1, 1, 32, 192, false, 3),
    (28, 1, 1, 192, 32, true, 2),
    (14, 1, 1, 192, 64, false, 1),
    (14, 1, 1, 64, 384, false, 4),
    (14, 1, 1, 384, 64, true, 3),
    (14, 1, 1, 384, 96, false, 1),
    (14, 1, 1, 96, 576, false, 3),
    (14, 1, 1, 576, 96, true, 2),
    (7, 1, 1, 576, 160, false, 1),
    (7, 1, 1, 160, 960, false, 3),
    (7, 1, 1, 960, 160, true, 2),
    (7, 1, 1, 960, 320, false, 1),
    (7, 1, 1, 320, 1280, false, 1),
    (1, 1, 1, 1280, 1000, false, 1),
];

const RESNET_18: Layers = &[
    (112, 7, 2, 3, 64, false, 1),
    (56, 3, 1, 64, 64, false, 2),
    (56, 3, 1, 64, 64, true, 2),
    (28, 3, 2, 64, 128, false, 1),
    (28, 1, 2, 64, 128, false, 1),
    (28, 3, 1, 128, 128, false, 1),
    (28, 3, 1, 128, 128, true, 2),
    (14, 3, 2, 128, 256, false, 1),
    (14, 1, 2, 128, 256, false, 1),
    (14, 3, 1, 256, 256, false, 1),
    (14, 3, 1, 256, 256, true, 2),
    (7, 3, 2, 256, 512, false, 1),
    (7, 1, 2, 256, 512, false, 1),
    (7, 3, 1, 512, 512, false, 1),
    (7, 3, 1, 512, 512, true, 2),
    (1, 1, 1, 512, 1000, false, 1),
];

const RESNET_50: Layers = &[
    (112, 7, 2, 3, 64, false, 1),
    (56, 1, 1, 64, 64, false, 1),
    (56, 3, 1, 64, 64, false, 3),
    (56, 1, 1, 64, 256, false, 1),
    (56, 1, 1, 64, 256, true, 3),
    (56, 1, 1, 256, 64, false, 2),
    (56, 1, 1, 256, 128, false, 1),
    (28, 3, 2, 128, 128, false, 1),
    (28, 1, 2, 256, 512, false, 1),
    (28, 1, 1, 128, 512, true, 4),
    (28, 1, 1, 512, 128, false, 3),
    (28, 3, 1, 128, 128, false, 3),
    (28, 1, 1, 512, 256, false, 1),
    (14, 3, 2, 256, 256, false, 1),
    (14, 1, 2, 512, 1024, false, 1),
    (14, 1, 1, 256, 1024, true, 6),
    (14, 1, 1, 1024, 256, false, 5),
    (14, 3, 1, 256, 256, false, 5),
    (14, 1, 1, 1024, 512, false, 1),
    (7, 3, 2, 512, 512, false, 1),
    (7, 1, 2, 1024, 2048, false, 1),
    (7, 1, 1, 512, 2048, true, 3),
    (7, 1, 1, 2048, 512, false, 2),
    (7, 3, 1, 512, 512, false, 2),
    (1, 1, 1, 2048, 1000, false, 1),
];

#[derive(Clone, Copy)]
struct Layer {
    geometry: Geometry,
    residual: bool,
    count: usize,
}

impl Layer {
    fn all(layers: Layers) -> impl Iterator<Item = Layer> {
        layers.iter().map(|&(size, kernel, stride, depth, channels, residual, count)| {
            let input = [size * stride, size * stride, depth];
            let padding = [kernel / 2; 2];
            let (output, kernel, stride) = ([size, size, channels], [kernel; 2], [stride; 2]);
            let geometry = Geometry { input, output, kernel, stride, padding, ..Geometry::matrix(1, 1, 1) };
            Layer { geometry, residual, count }
        })
    }

    fn multiply_adds(&self) -> usize {
        let Geometry { kernel, input, .. } = self.geometry;
        self.geometry.output_len() * kernel[0] * kernel[1] * input[2]
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Geometry {
            input: [.., depth], output: [size, _, channels], kernel: [kernel, _], stride: [stride, _], ..
        } = self.geometry;
        let (residual, count) = (if self.residual { " +" } else { "" }, self.count);
        write!(f, "{kernel}x{kernel}/{stride} {size}x{size} {depth}->{channels}{residual} ({count}x)")
    }
}

/// The way in which a session computes a layer.
enum Convolution {
    Direct(gemm::Conv2d),
    Half(gemm::Conv2d<Half>),
    Winograd(winograd::Conv2d),
}

/// A layer with all that it needs to run.
struct Job {
    layer: Layer,
    convolution: Convolution,
    scratch: AlignedBytes,
}

/// Input, residual and output, for all layers of a network: as in a session, whose tensors take the places of earlier
/// ones.
struct Tensors([Aligned<f32>; 3]);

impl Tensors {
    fn new(layers: Layers) -> Tensors {
        let of = |geometry: Geometry| geometry.input_len().max(geometry.output_len());
        let len = Layer::all(layers).map(|layer| of(layer.geometry)).max().unwrap_or(0);
        Tensors([floats(len), floats(len), floats(len)])
    }
}

fn floats(len: usize) -> Aligned<f32> {
    let values: Vec<f32> = (0..len).map(|i| (i * 89 % 255) as f32 / 128.0 - 1.0).collect();
    Aligned::from(&values[..])
}

impl Job {
    fn new(layer: Layer, isa: Isa) -> Job {
        let Geometry { kernel, input: [.., depth], output: [.., channels], .. } = layer.geometry;
        let weights = floats(kernel[0] * kernel[1] * depth * channels);
        let choice = Choice::UpTo(isa);
        let (geometry, bounds) = (&layer.geometry, [0.0, f32::INFINITY]);
        let convolution = if isa.adds_half_products() {
            Convolution::Half(gemm::Conv2d::new(choice, geometry, &weights, None, bounds, 1))
        } else if let Some(filter) = winograd::Filter::of(geometry) {
            Convolution::Winograd(winograd::Conv2d::new(choice, geometry, filter, &weights, None, bounds, 1))
        } else {
            Convolution::Direct(gemm::Conv2d::new(choice, geometry, &weights, None, bounds, 1))
        };
        Job {
            scratch: AlignedBytes::zeroed(match &convolution {
                Convolution::Direct(convolution) => convolution.scratch_bytes(),
                Convolution::Half(convolution) => convolution.scratch_bytes(),
                Convolution::Winograd(convolution) => convolution.scratch_bytes(),
            }),
            layer,
            convolution,
        }
    }

    fn run(&mut self, pool: &ThreadPool, Tensors([input, residual, output]): &mut Tensors) {
        let Layer { geometry, residual: adds, .. } = self.layer;
        let output = &mut output[..geometry.output_len()];
        let residual = adds.then(|| &residual[..output.len()]);
        let (input, scratch) = (&input[..geometry.input_len()], &mut self.scratch);
        match &self.convolution {
            Convolution::Direct(convolution) => convolution.run(pool, input, residual, output, scratch),
            Convolution::Half(convolution) => convolution.run(pool, input, residual, output, scratch),
            Convolution::Winograd(convolution) => convolution.run(pool, input, residual, output, scratch),
        }
    }
}

fn rows() -> Vec<&'static str> {
    let half = HALF_TABLE.available().map(|row| row.isa).filter(|isa| isa.adds_half_products());
    half.chain(TABLE.available().map(|row| row.isa)).map(Isa::name).collect()
}

fn isa(name: &str) -> Isa {
    Isa::from_name(name).expect("names come from the table")
}

/// All layers one after the other, as often as the network has them.
fn network(bencher: Bencher, name: &str, layers: Layers) {
    let pool = ThreadPool::new(1);
    // Each layer of the network has weights of its own, which other layers' displace from the caches.
    let each = Layer::all(layers).flat_map(|layer| std::iter::repeat_n(layer, layer.count));
    let mut jobs: Vec<Job> = each.map(|layer| Job::new(layer, isa(name))).collect();
    let mut tensors = Tensors::new(layers);
    let total: usize = jobs.iter().map(|job| job.layer.multiply_adds()).sum();
    bencher.counter(ItemsCount::new(total)).bench_local(|| {
        for job in &mut jobs {
            job.run(&pool, &mut tensors);
            tensors.0.rotate_right(1);
        }
    });
}

#[divan::bench(args = rows())]
fn mobilenet_v2(bencher: Bencher, name: &str) {
    network(bencher, name, MOBILENET_V2);
}

#[divan::bench(args = rows())]
fn resnet_18(bencher: Bencher, name: &str) {
    network(bencher, name, RESNET_18);
}

#[divan::bench(args = rows())]
fn resnet_50(bencher: Bencher, name: &str) {
    network(bencher, name, RESNET_50);
}

/// Each layer by itself.
#[divan::bench(args = Case::all())]
fn layer(bencher: Bencher, Case { name, layers, layer, .. }: &Case) {
    let pool = ThreadPool::new(1);
    let (mut job, mut tensors) = (Job::new(*layer, isa(name)), Tensors::new(layers));
    bencher.counter(ItemsCount::new(layer.multiply_adds())).bench_local(|| job.run(&pool, &mut tensors));
}

struct Case {
    name: &'static str,
    network: &'static str,
    layers: Layers,
    layer: Layer,
}

impl Case {
    fn all() -> Vec<Case> {
        let networks = [("mobilenet_v2", MOBILENET_V2), ("resnet_18", RESNET_18), ("resnet_50", RESNET_50)];
        let cases = |name| {
            networks.into_iter().flat_map(move |(network, layers)| {
                Layer::all(layers).map(move |layer| Case { name, network, layers, layer })
            })
        };
        rows().into_iter().flat_map(cases).collect()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.network, self.layer)
    }
}
