//! Resize and Upsample: every mode is a weighted sum along one axis after another.
//!
//! The formulas are those of ONNX's specification (<https://onnx.ai/onnx/operators/onnx__Resize.html>); antialiasing
//! stretches the filter by the factor that the image shrinks by, as Pillow does.

use kinglet_graph::ops::{Activation, BinaryKind, CoordinateMode, FullyConnected, Gather, Resize, ResizeKind};
use kinglet_graph::{Op, ValueId};

use super::{Problem, axis, invalid, unsupported};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// The largest size that an axis may get.
const MAX: f64 = (1 << 20) as f64;

/// Where a place of the output lies in the input.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfHalfPixelForNearest,
    TfCropAndResize,
}

/// What is made of the elements around that place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Filter {
    Nearest(Nearest),
    Linear,
    Cubic { a: f64 },
}

/// Which of two neighbours is the nearest.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Nearest {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

/// How an operator resizes.
struct Mode {
    coordinates: Coordinates,
    filter: Filter,
    antialias: bool,
    exclude_outside: bool,
}

/// How one axis is resized.
#[derive(Clone, Copy, Debug)]
struct Axis {
    axis: usize,
    from: usize,
    to: usize,
    scale: f64,
    /// The part of the input that TensorFlow's crop takes.
    crop: [f64; 2],
}

/// A row of a matrix: the elements of the input with their weights; `None` outside of a crop.
type Row = Option<Vec<(usize, f64)>>;

/// Resize. Inputs: x and scales before version 11, then x, a region, scales or sizes.
pub fn resize(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let shape = b.shape(x);
    if op.version < 11 {
        let scales = op.numbers(b, 1, "its scales")?;
        return upsampled(b, op, x, &scales);
    }
    let mode = mode(op)?;
    let chosen: Vec<usize> = match op.ints("axes") {
        Some(numbers) => numbers.iter().map(|&number| axis(number, shape.len())).collect::<Result<_, _>>()?,
        None => (0..shape.len()).collect(),
    };
    let scales = match op.optional(b, 2)? {
        Some(_) => Some(op.numbers(b, 2, "its scales")?).filter(|scales| !scales.is_empty()),
        None => None,
    };
    let sizes = op.optional_integers(b, 3, "its sizes")?;
    let targets = match (scales, sizes) {
        (Some(scales), None) if scales.len() == chosen.len() => scaled_targets(&scales, &chosen, &shape)?,
        (None, Some(sizes)) if sizes.len() == chosen.len() => sized_targets(op, &sizes, &chosen, &shape)?,
        _ => return invalid(format!("it has neither scales nor sizes for {} axes", chosen.len())),
    };
    let crops = crops(b, op, mode.coordinates, chosen.len())?;
    let mut axes = Vec::new();
    for (place, (&axis, (to, scale))) in chosen.iter().zip(targets).enumerate() {
        axes.push(Axis {
            axis,
            from: shape[axis],
            to,
            scale,
            crop: crops.as_ref().map_or([0.0, 1.0], |all| all[place]),
        });
    }
    let extrapolation = op.float_or("extrapolation_value", 0.0)?;
    Ok(vec![resized(b, x, &axes, &mode, extrapolation)?])
}

/// Upsample. The scales are an attribute before version 9, then an input.
pub fn upsample(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let x = op.input(b, 0)?;
    let scales = match op.floats("scales") {
        Some(scales) => scales.to_vec(),
        None => op.numbers(b, 1, "its scales")?,
    };
    upsampled(b, op, x, &scales)
}

/// What Upsample and the first version of Resize do.
fn upsampled(b: &mut Builder<'_>, op: &Operator<'_>, x: ValueId, scales: &[f32]) -> Result<Vec<ValueId>, Problem> {
    let shape = b.shape(x);
    let filter = match op.text_or("mode", "nearest")? {
        "nearest" => Filter::Nearest(Nearest::Floor),
        "linear" | "bilinear" => Filter::Linear,
        other => return invalid(format!("its mode is {other:?}")),
    };
    if scales.len() != shape.len() {
        return invalid(format!("it has {} scales for {} axes", scales.len(), shape.len()));
    }
    let coordinates = Coordinates::Asymmetric;
    let mode = Mode { coordinates, filter, antialias: false, exclude_outside: false };
    let chosen: Vec<usize> = (0..shape.len()).collect();
    let targets = scaled_targets(scales, &chosen, &shape)?;
    let axis = |(axis, (to, scale))| Axis { axis, from: shape[axis], to, scale, crop: [0.0, 1.0] };
    let axes: Vec<Axis> = targets.into_iter().enumerate().map(axis).collect();
    Ok(vec![resized(b, x, &axes, &mode, 0.0)?])
}

fn mode(op: &Operator<'_>) -> Result<Mode, Problem> {
    let coordinates = match op.text_or("coordinate_transformation_mode", "half_pixel")? {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNearest,
        "tf_crop_and_resize" => Coordinates::TfCropAndResize,
        other => return invalid(format!("its coordinate_transformation_mode is {other:?}")),
    };
    let filter = match op.text_or("mode", "nearest")? {
        "nearest" => Filter::Nearest(match op.text_or("nearest_mode", "round_prefer_floor")? {
            "round_prefer_floor" => Nearest::PreferFloor,
            "round_prefer_ceil" => Nearest::PreferCeil,
            "floor" => Nearest::Floor,
            "ceil" => Nearest::Ceil,
            other => return invalid(format!("its nearest_mode is {other:?}")),
        }),
        "linear" => Filter::Linear,
        "cubic" => Filter::Cubic { a: op.float_or("cubic_coeff_a", -0.75)?.into() },
        other => return invalid(format!("its mode is {other:?}")),
    };
    let (antialias, exclude_outside) = (op.flag("antialias")?, op.flag("exclude_outside")?);
    Ok(Mode { coordinates, filter, antialias, exclude_outside })
}

/// The new size and the scale of each chosen axis, from scales.
fn scaled_targets(scales: &[f32], chosen: &[usize], shape: &[usize]) -> Result<Vec<(usize, f64)>, Problem> {
    let target = |(&scale, &axis): (&f32, &usize)| {
        let scale = f64::from(scale);
        let size = (shape[axis] as f64 * scale).floor();
        (scale > 0.0 && size <= MAX).then_some((size as usize, scale))
    };
    match scales.iter().zip(chosen).map(target).collect() {
        Some(targets) => Ok(targets),
        None => invalid(format!("its scales are {scales:?}")),
    }
}

/// The same from sizes, which the image's proportions may change.
fn sized_targets(
    op: &Operator<'_>,
    sizes: &[i64],
    chosen: &[usize],
    shape: &[usize],
) -> Result<Vec<(usize, f64)>, Problem> {
    if sizes.iter().any(|size| !(0..=MAX as i64).contains(size)) || chosen.iter().any(|axis| shape[*axis] == 0) {
        return invalid(format!("it resizes {shape:?} to {sizes:?}"));
    }
    let scales: Vec<f64> = sizes.iter().zip(chosen).map(|(&size, &axis)| size as f64 / shape[axis] as f64).collect();
    let common = match op.text_or("keep_aspect_ratio_policy", "stretch")? {
        "stretch" => return Ok(sizes.iter().zip(scales).map(|(&size, scale)| (size as usize, scale)).collect()),
        "not_larger" => scales.iter().copied().fold(f64::INFINITY, f64::min),
        "not_smaller" => scales.iter().copied().fold(0.0, f64::max),
        other => return invalid(format!("its keep_aspect_ratio_policy is {other:?}")),
    };
    let size = |axis: &usize| (common * shape[*axis] as f64 + 0.5).floor();
    match chosen.iter().map(|axis| (size(axis) <= MAX).then_some((size(axis) as usize, common))).collect() {
        Some(targets) => Ok(targets),
        None => invalid(format!("it resizes {shape:?} to {sizes:?}")),
    }
}

/// For TensorFlow's crop, begin and end along each chosen axis, as parts of the image.
fn crops(
    b: &mut Builder<'_>,
    op: &Operator<'_>,
    coordinates: Coordinates,
    axes: usize,
) -> Result<Option<Vec<[f64; 2]>>, Problem> {
    if coordinates != Coordinates::TfCropAndResize {
        return Ok(None);
    }
    let region = op.numbers(b, 1, "its region")?;
    if region.len() != 2 * axes {
        return invalid(format!("its region {region:?} is not one of {axes} axes"));
    }
    Ok(Some((0..axes).map(|axis| [region[axis].into(), region[axes + axis].into()]).collect()))
}

/// Resizes one axis after another, or height and width at once where the graph has an operator for that.
fn resized(
    b: &mut Builder<'_>,
    x: ValueId,
    axes: &[Axis],
    mode: &Mode,
    extrapolation: f32,
) -> Result<ValueId, Problem> {
    let changed = |axis: &&Axis| axis.from != axis.to || axis.scale != 1.0 || axis.crop != [0.0, 1.0];
    let axes: Vec<Axis> = axes.iter().filter(changed).copied().collect();
    if let Some(resize) = planar(b, x, &axes, mode) {
        let x = b.channels_last(x)?;
        let y = b.emit(Op::Resize(resize), &[x])?;
        return b.channels_first(y);
    }
    let mut y = x;
    for axis in &axes {
        if axis.from == 0 || axis.to == 0 {
            return unsupported(format!("of {} elements to {}", axis.from, axis.to));
        }
        // As many rows as the axis will have, each of them of a few elements.
        b.charge(axis.to * (size_of::<Row>() + 16))?;
        let rows: Vec<Row> = (0..axis.to).map(|at| axis.row(at, mode)).collect();
        y = along(b, y, *axis, &rows, extrapolation)?;
    }
    Ok(y)
}

/// The graph's own operator, where this is what it does: height and width of an image.
fn planar(b: &Builder<'_>, x: ValueId, axes: &[Axis], mode: &Mode) -> Option<Resize> {
    let [height, width] = axes else { return None };
    if b.ty(x).shape.len() != 4 || (height.axis, width.axis) != (2, 3) || mode.antialias || mode.exclude_outside {
        return None;
    }
    let size = [height.to, width.to];
    let exact = axes.iter().all(|axis| axis.from > 0 && (axis.from as f64 * axis.scale - axis.to as f64).abs() < 1e-6);
    match mode.filter {
        Filter::Linear if exact => {
            let mode = match mode.coordinates {
                Coordinates::HalfPixel | Coordinates::HalfPixelSymmetric => CoordinateMode::HalfPixel,
                Coordinates::PytorchHalfPixel if !size.contains(&1) => CoordinateMode::HalfPixel,
                Coordinates::AlignCorners => CoordinateMode::AlignCorners,
                Coordinates::Asymmetric => CoordinateMode::Asymmetric,
                _ => return None,
            };
            Some(Resize { kind: ResizeKind::Bilinear, mode, size })
        }
        Filter::Nearest(_) => {
            // Each element some times over: by half pixels no rounding can put a place on the wrong side.
            let repeats = |axis: &Axis| {
                let times = axis.to / axis.from.max(1);
                let same = |at: usize| axis.row(at, mode).is_some_and(|row| row == [(at / times, 1.0)]);
                axis.from > 0 && axis.to == times * axis.from && times > 0 && (0..axis.to).all(same)
            };
            let mode = CoordinateMode::HalfPixel;
            axes.iter().all(repeats).then_some(Resize { kind: ResizeKind::Nearest, mode, size })
        }
        _ => None,
    }
}

impl Axis {
    /// Where element `at` of the output lies in the input.
    fn place(&self, at: usize, coordinates: Coordinates) -> f64 {
        let (at, from, scale) = (at as f64, self.from as f64, self.scale);
        let to = scale * from;
        match coordinates {
            Coordinates::HalfPixel => (at + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = self.to as f64 / to;
                from / 2.0 * (1.0 - adjustment) + (at + 0.5) / scale - 0.5
            }
            Coordinates::PytorchHalfPixel if to == 1.0 => -0.5,
            Coordinates::PytorchHalfPixel => (at + 0.5) / scale - 0.5,
            Coordinates::AlignCorners if to == 1.0 => 0.0,
            Coordinates::AlignCorners => at * (from - 1.0) / (to - 1.0),
            Coordinates::Asymmetric => at / scale,
            Coordinates::TfHalfPixelForNearest => (at + 0.5) / scale,
            Coordinates::TfCropAndResize => {
                let [begin, end] = self.crop;
                let inside = if to == 1.0 { 0.5 } else { at / (to - 1.0) };
                (begin + inside * (end - begin)) * (from - 1.0)
            }
        }
    }

    /// The elements that element `at` of the output is made of.
    fn row(&self, at: usize, mode: &Mode) -> Row {
        let place = self.place(at, mode.coordinates);
        let last = (self.from - 1) as f64;
        if mode.coordinates == Coordinates::TfCropAndResize && !(0.0..=last).contains(&place) {
            return None;
        }
        let clamped = |index: f64| index.clamp(0.0, last) as usize;
        let stretch = if mode.antialias { 1.0 / self.scale.min(1.0) } else { 1.0 };
        let (radius, weight): (f64, Box<dyn Fn(f64) -> f64>) = match mode.filter {
            Filter::Nearest(nearest) => return Some(vec![(clamped(nearest.pick(place)), 1.0)]),
            Filter::Linear => (1.0, Box::new(|x: f64| 1.0 - x)),
            Filter::Cubic { a } => (2.0, Box::new(move |x| cubic(x, a))),
        };
        let reach = (radius * stretch).min(MAX);
        let mut row: Vec<(usize, f64)> = Vec::new();
        let mut sum = 0.0;
        let mut index = (place - reach).floor().max(-reach - 1.0);
        while index <= (place + reach).min(last + reach + 1.0) {
            let distance = (index - place).abs() / stretch;
            let outside = !(0.0..=last).contains(&index);
            if distance < radius && !(mode.exclude_outside && outside) {
                let (element, weight) = (clamped(index), weight(distance));
                sum += weight;
                match row.last_mut() {
                    Some((previous, sum)) if *previous == element => *sum += weight,
                    _ => row.push((element, weight)),
                }
            }
            index += 1.0;
        }
        if mode.antialias || mode.exclude_outside {
            row.iter_mut().for_each(|(_, weight)| *weight /= sum);
        }
        Some(row)
    }
}

impl Nearest {
    fn pick(self, place: f64) -> f64 {
        match self {
            Nearest::PreferFloor => (place - 0.5).ceil(),
            Nearest::PreferCeil => (place + 0.5).floor(),
            Nearest::Floor => place.floor(),
            Nearest::Ceil => place.ceil(),
        }
    }
}

/// Keys' cubic convolution kernel ("Cubic convolution interpolation for digital image processing", 1981) at this
/// distance.
fn cubic(x: f64, a: f64) -> f64 {
    if x <= 1.0 { ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0 } else { ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a }
}

/// Applies rows along an axis: picks elements where each row has one, and multiplies by the matrix of all rows
/// otherwise.
fn along(b: &mut Builder<'_>, x: ValueId, axis: Axis, rows: &[Row], extrapolation: f32) -> Result<ValueId, Problem> {
    let picked: Option<Vec<i64>> = rows
        .iter()
        .map(|row| match row.as_deref() {
            Some(&[(index, 1.0)]) => Some(index as i64),
            _ => None,
        })
        .collect();
    if let Some(picked) = picked {
        let indices = b.constant_of(&[picked.len()], picked)?;
        return b.emit(Op::Gather(Gather { axis: axis.axis, batch_dims: 0 }), &[x, indices]);
    }
    // Before the matrix is made, its size is held against what the file justifies.
    b.charge(axis.to.saturating_mul(axis.from).saturating_mul(size_of::<f32>()))?;
    let mut matrix = vec![0f32; axis.to * axis.from];
    for (row, elements) in matrix.chunks_exact_mut(axis.from).zip(rows) {
        for (index, weight) in elements.iter().flatten() {
            row[*index] = *weight as f32;
        }
    }
    let matrix = b.constant_of(&[axis.to, axis.from], matrix)?;
    let rank = b.ty(x).shape.len();
    let mut permutation: Vec<usize> = (0..rank).collect();
    permutation.swap(axis.axis, rank - 1);
    let x = b.transpose(x, &permutation)?;
    let mut y = b.emit(Op::FullyConnected(FullyConnected { activation: Activation::None }), &[x, matrix])?;
    if rows.iter().any(Option::is_none) {
        let outside: Vec<f32> = rows.iter().map(|row| if row.is_none() { extrapolation } else { 0.0 }).collect();
        let outside = b.constant_of(&[outside.len()], outside)?;
        y = b.binary(BinaryKind::Add, y, outside)?;
    }
    b.transpose(y, &permutation)
}
