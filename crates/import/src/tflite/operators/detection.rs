//! The custom operator that SSD models end in.

use kinglet_graph::ops::{DetectionPostprocess, Reshape, Slice};
use kinglet_graph::{DType, Op, TensorType, ValueId};

use super::{Operator, Problem, invalid, unsupported};
use crate::tflite::builder::Builder;
use crate::tflite::flexbuffer::Map;

/// Its name.
pub const POST_PROCESS: &str = "TFLite_Detection_PostProcess";

/// The most objects that are told: models ask for tens.
const MOST: f64 = 10_000.0;

/// TFLite_Detection_PostProcess. Inputs: boxes, scores, anchors. Outputs: boxes, classes, scores, count.
pub fn post_process(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<(), Problem> {
    op.arity(3..=3, 4)?;
    let Some(options) = Map::root(op.custom_options) else { return invalid("its options are no map") };
    let Some(post_process) = read(&options) else { return invalid("its options are incomplete or make no sense") };
    if options.number("max_classes_per_detection").unwrap_or(1.0) > 1.0 && !post_process.per_class {
        return unsupported("with more than one class for a box");
    }
    let most = post_process.most;
    let inputs = (0..3).map(|index| real(b, op, index)).collect::<Result<Vec<_>, Problem>>()?;
    let all = TensorType::new(DType::F32, [1, most + 1, 6]);
    let all = op.emit_between(b, "all", Op::DetectionPostprocess(post_process), inputs, all)?;
    // Which rows and columns each output is: boxes, classes, scores, and the count in the last row.
    let parts = [(0, 0, most, 4), (0, 4, most, 1), (0, 5, most, 1), (most, 0, 1, 1)];
    for (index, (row, column, rows, columns)) in parts.into_iter().enumerate() {
        let slice = Op::Slice(Slice { begin: vec![0, row, column], step: vec![1; 3], size: vec![1, rows, columns] });
        if index == 0 {
            op.emit_as(b, index, vec![1, rows, 4], slice, vec![Some(all)])?;
            continue;
        }
        let part = TensorType::new(DType::F32, [1, rows, columns]);
        let part = op.emit_between(b, &format!("part {index}"), slice, vec![Some(all)], part)?;
        let shape = if index == 3 { vec![1] } else { vec![1, rows] };
        op.emit_as(b, index, shape.clone(), Op::Reshape(Reshape { shape }), vec![Some(part)])?;
    }
    Ok(())
}

fn read(options: &Map<'_>) -> Option<DetectionPostprocess> {
    let count = |name| options.number(name).filter(|count| (1.0..=MOST).contains(count)).map(|count| count as usize);
    let scale = |name| options.number(name).map(|scale| scale as f32);
    Some(DetectionPostprocess {
        most: count("max_detections")?,
        classes: count("num_classes")?,
        per_class: options.number("use_regular_nms").is_some_and(|number| number != 0.0),
        // TensorFlow Lite's default.
        most_per_class: count("detections_per_class").unwrap_or(100),
        score_threshold: options.number("nms_score_threshold")? as f32,
        iou_threshold: options.number("nms_iou_threshold")? as f32,
        scale: [scale("y_scale")?, scale("x_scale")?, scale("h_scale")?, scale("w_scale")?],
    })
}

/// An input as real numbers.
fn real(b: &mut Builder<'_>, op: &Operator<'_>, index: usize) -> Result<Option<ValueId>, Problem> {
    let value = op.value(b, index)?;
    let ty = b.value_type(value);
    if ty.dtype == DType::F32 {
        return Ok(Some(value));
    }
    let real = TensorType::new(DType::F32, ty.shape.clone());
    op.emit_between(b, &format!("input {index}"), Op::Dequantize, vec![Some(value)], real).map(Some)
}

impl Operator<'_> {
    /// Adds the node that makes an output, in a shape that files often leave open.
    fn emit_as(
        &self,
        b: &mut Builder<'_>,
        index: usize,
        shape: Vec<usize>,
        op: Op,
        inputs: Vec<Option<ValueId>>,
    ) -> Result<(), Problem> {
        let tensor = self.output(index)?;
        let output = b.write_as(tensor, TensorType::new(DType::F32, shape))?;
        let name = super::node_name(b, tensor);
        Ok(b.add_node(name, op, inputs, vec![output])?)
    }
}
