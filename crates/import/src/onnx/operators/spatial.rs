//! Windows over the spatial axes of an image: what convolutions and poolings share.

use kinglet_graph::ops::Window;

use super::{Problem, invalid, unsupported};
use crate::onnx::operator::Operator;

/// The largest stride, dilation, padding or kernel.
const MAX: i64 = 1 << 20;

/// How windows lie over an image, one number for each spatial axis.
#[derive(Clone, Debug)]
pub struct Spatial {
    /// Sizes of a window.
    pub kernel: Vec<usize>,
    /// Steps between windows.
    pub stride: Vec<usize>,
    /// Steps between taps.
    pub dilation: Vec<usize>,
    /// Elements before the image.
    pub before: Vec<usize>,
    /// Elements after it.
    pub after: Vec<usize>,
}

/// What `auto_pad` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoPad {
    /// The attribute `pads` says.
    NotSet,
    /// No padding.
    Valid,
    /// As many windows as strides; the odd element after the image.
    SameUpper,
    /// The same; the odd element before the image.
    SameLower,
}

impl AutoPad {
    /// The attribute of an operator.
    pub fn of(op: &Operator<'_>) -> Result<AutoPad, Problem> {
        match op.text_or("auto_pad", "NOTSET")? {
            "NOTSET" => Ok(AutoPad::NotSet),
            "VALID" => Ok(AutoPad::Valid),
            "SAME_UPPER" => Ok(AutoPad::SameUpper),
            "SAME_LOWER" => Ok(AutoPad::SameLower),
            other => invalid(format!("its auto_pad is {other:?}")),
        }
    }

    /// Splits the padding of an axis into what comes before and after the image.
    pub fn split(self, total: usize) -> (usize, usize) {
        let less = total / 2;
        if self == AutoPad::SameLower { (total - less, less) } else { (less, total - less) }
    }
}

/// Positive numbers for each spatial axis, 1 where the attribute is left out.
fn steps(op: &Operator<'_>, name: &str, axes: usize) -> Result<Vec<usize>, Problem> {
    match op.ints(name) {
        None => Ok(vec![1; axes]),
        Some(steps) if steps.len() == axes && steps.iter().all(|step| (1..=MAX).contains(step)) => {
            Ok(steps.iter().map(|&step| step as usize).collect())
        }
        Some(steps) => invalid(format!("its {name} are {steps:?} for {axes} spatial axes")),
    }
}

/// The attribute `pads`: what comes before each axis, then what comes after.
pub fn pads(op: &Operator<'_>, axes: usize) -> Result<(Vec<usize>, Vec<usize>), Problem> {
    match op.ints("pads") {
        None => Ok((vec![0; axes], vec![0; axes])),
        Some(pads) if pads.len() == 2 * axes && pads.iter().all(|pad| (0..=MAX).contains(pad)) => {
            let pads: Vec<usize> = pads.iter().map(|&pad| pad as usize).collect();
            Ok((pads[..axes].to_vec(), pads[axes..].to_vec()))
        }
        Some(pads) if pads.len() == 2 * axes && pads.iter().all(|pad| *pad <= MAX) => {
            unsupported(format!("with the negative padding {pads:?}"))
        }
        Some(pads) => invalid(format!("its pads are {pads:?} for {axes} spatial axes")),
    }
}

impl Spatial {
    /// Kernel size, strides and dilations of an operator over an image with this many spatial axes, as yet without
    /// padding. `kernel` is the size that its weights have.
    pub fn of(op: &Operator<'_>, axes: usize, kernel: Option<&[usize]>) -> Result<Spatial, Problem> {
        let kernel = match (op.ints("kernel_shape"), kernel) {
            (None, Some(kernel)) => kernel.to_vec(),
            (None, None) => return invalid("it has no kernel_shape"),
            (Some(_), weights) => {
                let given = steps(op, "kernel_shape", axes)?;
                if weights.is_some_and(|weights| weights != given) {
                    return invalid(format!("its kernel_shape is {given:?}, but its weights have {weights:?}"));
                }
                given
            }
        };
        let (stride, dilation) = (steps(op, "strides", axes)?, steps(op, "dilations", axes)?);
        Ok(Spatial { kernel, stride, dilation, before: vec![0; axes], after: vec![0; axes] })
    }

    /// The same with the padding that the operator's attributes say, for an image of these sizes.
    pub fn padded(mut self, op: &Operator<'_>, image: &[usize]) -> Result<Spatial, Problem> {
        match AutoPad::of(op)? {
            AutoPad::NotSet => (self.before, self.after) = pads(op, image.len())?,
            AutoPad::Valid => {}
            same => {
                for (axis, &size) in image.iter().enumerate() {
                    let last = size.div_ceil(self.stride[axis]).saturating_sub(1).saturating_mul(self.stride[axis]);
                    let total = last.saturating_add(self.extent(axis)).saturating_sub(size);
                    (self.before[axis], self.after[axis]) = same.split(total);
                }
            }
        }
        Ok(self)
    }

    /// How far a window reaches along an axis.
    pub fn extent(&self, axis: usize) -> usize {
        self.kernel[axis].saturating_sub(1).saturating_mul(self.dilation[axis]).saturating_add(1)
    }

    /// The windows along the last two axes. Along one axis only, they are of one row.
    pub fn window(&self) -> ([usize; 2], Window) {
        let pair = |numbers: &[usize], missing: usize| match *numbers {
            [.., first, last] => [first, last],
            [last] => [missing, last],
            [] => [missing; 2],
        };
        let window = Window {
            stride: pair(&self.stride, 1),
            dilation: pair(&self.dilation, 1),
            padding_before: pair(&self.before, 0),
            padding_after: pair(&self.after, 0),
        };
        (pair(&self.kernel, 1), window)
    }
}
