//! How operators are translated: options and their defaults, axes counted from the end, padding, shapes, and types.

mod common;

use common::file::*;
use kinglet_graph::ops::*;
use kinglet_graph::reference::Reference;
use kinglet_graph::{DType, Data, Execute, Graph, Op, Tensor};

fn import(file: &File) -> Graph {
    kinglet_import::import(&file.bytes(), "test").unwrap_or_else(|error| panic!("{error}")).graph
}

/// A file with one operator from an input `x` to an output `y`, of floats.
fn one(code: i32, from: &[i32], to: &[i32], constants: &[&[i32]], options: &[(u16, Value)]) -> File {
    let mut file = File::default();
    let mut inputs = vec![file.input("x", FLOAT32, from)];
    inputs.extend(constants.iter().enumerate().map(|(index, values)| file.integers(&format!("c{index}"), values)));
    let y = file.output("y", FLOAT32, to);
    file.operator(code, &inputs, &[y], options);
    file
}

/// The operators of [`one`]'s graph.
fn ops(code: i32, from: &[i32], to: &[i32], constants: &[&[i32]], options: &[(u16, Value)]) -> Vec<Op> {
    import(&one(code, from, to, constants, options)).nodes.into_iter().map(|node| node.op).collect()
}

/// What the graph gives for the numbers 0, 1, 2 ….
fn counted(file: &File) -> Vec<f32> {
    let graph = import(file);
    let ty = graph.value(graph.inputs[0]).ty.clone();
    let count: Vec<f32> = (0..ty.len()).map(|index| index as f32).collect();
    let outputs = Reference::new(&graph).unwrap().execute(&[Tensor::with_type(ty, count).unwrap()]).unwrap();
    match outputs[0].data() {
        Data::F32(values) => values.clone(),
        other => panic!("an output of {}", other.dtype()),
    }
}

fn convolution(code: i32, image: [i32; 4], filter: [i32; 4], out: [i32; 4], options: &[(u16, Value)]) -> File {
    let mut file = File::default();
    let x = file.input("x", FLOAT32, &image);
    let w = file.floats("w", &filter, &vec![0.5; filter.iter().product::<i32>() as usize]);
    let y = file.output("y", FLOAT32, &out);
    file.operator(code, &[x, w, -1], &[y], options);
    file
}

#[test]
fn same_padding_is_larger_after_the_image() {
    let options = [(1, Value::Int(2)), (2, Value::Int(2)), (3, Value::Byte(3))];
    let graph = import(&convolution(CONV_2D, [1, 6, 5, 3], [4, 3, 3, 3], [1, 3, 3, 4], &options));
    let expected = Window { stride: [2, 2], dilation: [1, 1], padding_before: [0, 1], padding_after: [1, 1] };
    assert_eq!(graph.nodes[0].op, Op::Conv2d(Conv2d { window: expected, groups: 1, activation: Activation::Relu6 }));
    assert_eq!(graph.nodes[0].inputs[2], None);
}

#[test]
fn dilation_and_strides_keep_their_directions() {
    let options = [(0, Value::Byte(1)), (1, Value::Int(3)), (2, Value::Int(1)), (4, Value::Int(2)), (5, Value::Int(4))];
    let graph = import(&convolution(CONV_2D, [1, 12, 12, 2], [4, 3, 2, 1], [1, 4, 4, 4], &options));
    let window = Window { stride: [1, 3], dilation: [4, 2], padding_before: [0, 0], padding_after: [0, 0] };
    assert_eq!(graph.nodes[0].op, Op::Conv2d(Conv2d { window, groups: 2, activation: Activation::None }));
}

#[test]
fn the_depth_multiplier_follows_from_the_shapes() {
    // The option says 1, the filter 3.
    let options = [(1, Value::Int(1)), (2, Value::Int(1)), (3, Value::Int(1)), (4, Value::Byte(1))];
    let graph = import(&convolution(DEPTHWISE_CONV_2D, [1, 4, 4, 2], [1, 2, 2, 6], [1, 4, 4, 6], &options));
    let window = Window { stride: [1, 1], dilation: [1, 1], padding_before: [0, 0], padding_after: [1, 1] };
    let expected = DepthwiseConv2d { window, multiplier: 3, activation: Activation::Relu };
    assert_eq!(graph.nodes[0].op, Op::DepthwiseConv2d(expected));
}

#[test]
fn pools() {
    let window = Window { stride: [2, 2], dilation: [1, 1], padding_before: [0, 1], padding_after: [1, 1] };
    let options = [(1, Value::Int(2)), (2, Value::Int(2)), (3, Value::Int(3)), (4, Value::Int(3)), (5, Value::Byte(2))];
    for (code, kind) in [(AVERAGE_POOL_2D, PoolKind::Average), (MAX_POOL_2D, PoolKind::Max)] {
        let pool = Pool2d { kind, kernel: [3, 3], window, activation: Activation::ReluN1To1 };
        assert_eq!(ops(code, &[1, 6, 5, 2], &[1, 3, 3, 2], &[], &options), [Op::Pool2d(pool)]);
    }
}

#[test]
fn float_activations_meet_narrow_weights() {
    let mut file = File::default();
    let x = file.input("x", FLOAT32, &[1, 4]);
    let w = file.constant("w", INT8, &[2, 4], vec![1, 2, 3, 4, 255, 254, 253, 252]);
    file.tensors[w as usize].scales = vec![0.5, 2.0];
    file.tensors[w as usize].zero_points = vec![0, 0];
    let y = file.output("y", FLOAT32, &[1, 2]);
    file.operator(FULLY_CONNECTED, &[x, w], &[y], &[]);
    // x = 0 1 2 3
    assert_eq!(counted(&file), [0.5 * (2.0 + 6.0 + 12.0), -2.0 * (2.0 + 6.0 + 12.0)]);
}

#[test]
fn four_bit_weights_are_unpacked() {
    let mut file = File::default();
    let x = file.input("x", FLOAT32, &[1, 3]);
    // 7, −8, 1: the lower half of a byte comes first.
    let w = file.constant("w", INT4, &[1, 3], vec![0x87, 0x01]);
    file.quantize(w, 1.0, 0);
    let y = file.output("y", FLOAT32, &[1, 1]);
    file.operator(FULLY_CONNECTED, &[x, w], &[y], &[]);
    assert_eq!(counted(&file), [-8.0 + 2.0]);
}

#[test]
fn fully_connected_flattens_as_the_format_does() {
    let connected = |from: &[i32], to: &[i32]| {
        let mut file = File::default();
        let x = file.input("x", FLOAT32, from);
        let w = file.floats("w", &[5, 4], &[1.0; 20]);
        let y = file.output("y", FLOAT32, to);
        file.operator(FULLY_CONNECTED, &[x, w, -1], &[y], &[(0, Value::Byte(1))]);
        import(&file).nodes.iter().map(|node| node.op.name()).collect::<Vec<_>>()
    };
    assert_eq!(connected(&[3, 4], &[3, 5]), ["FullyConnected"]);
    assert_eq!(connected(&[2, 3, 4], &[2, 3, 5]), ["FullyConnected"]);
    assert_eq!(connected(&[2, 3, 4], &[6, 5]), ["Reshape", "FullyConnected"]);
    assert_eq!(connected(&[1, 2, 2, 2], &[2, 5]), ["Reshape", "FullyConnected"]);
    assert_eq!(connected(&[8], &[1, 2, 5]), ["Reshape", "FullyConnected", "Reshape"]);
}

#[test]
fn shapes_are_resolved() {
    let reshape = |shape: &[usize]| vec![Op::Reshape(Reshape { shape: shape.to_vec() })];
    assert_eq!(ops(RESHAPE, &[2, 6], &[3, 4], &[&[3, -1]], &[]), reshape(&[3, 4]));
    assert_eq!(ops(RESHAPE, &[2, 6], &[3, 4], &[], &[(0, Value::Ints(vec![-1, 4]))]), reshape(&[3, 4]));
    assert_eq!(ops(RESHAPE, &[2, 6], &[12], &[], &[]), reshape(&[12]));
    assert_eq!(ops(RESHAPE, &[1, 1], &[], &[], &[(0, Value::Ints(vec![0]))]), reshape(&[]));
    assert_eq!(ops(SQUEEZE, &[1, 3, 1, 2], &[3, 2], &[], &[]), reshape(&[3, 2]));
    assert_eq!(ops(SQUEEZE, &[1, 3, 1, 2], &[1, 3, 2], &[], &[(0, Value::Ints(vec![-2]))]), reshape(&[1, 3, 2]));
    assert_eq!(ops(EXPAND_DIMS, &[3, 2], &[3, 2, 1], &[&[-1]], &[]), reshape(&[3, 2, 1]));
    assert_eq!(ops(EXPAND_DIMS, &[3, 2], &[1, 3, 2], &[&[0]], &[]), reshape(&[1, 3, 2]));
}

#[test]
fn axes_are_counted_from_either_end() {
    let mean =
        |axes: &[usize], keep_dims| vec![Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: axes.to_vec(), keep_dims })];
    assert_eq!(ops(MEAN, &[2, 3, 4], &[3], &[&[-1, 0, 2]], &[]), mean(&[0, 2], false));
    assert_eq!(ops(MEAN, &[2, 3, 4], &[2, 1, 4], &[&[1]], &[(0, Value::Bool(true))]), mean(&[1], true));
    let transpose = vec![Op::Transpose(Transpose { permutation: vec![2, 0, 1] })];
    assert_eq!(ops(TRANSPOSE, &[2, 3, 4], &[4, 2, 3], &[&[-1, 0, 1]], &[]), transpose);
    let mut file = File::default();
    let x = file.input("x", FLOAT32, &[2, 3]);
    let y = file.output("y", FLOAT32, &[2, 6]);
    file.operator(CONCATENATION, &[x, x], &[y], &[(0, Value::Int(-1)), (1, Value::Byte(1))]);
    assert_eq!(import(&file).nodes[0].op, Op::Concat(Concat { axis: 1, activation: Activation::Relu }));
}

#[test]
fn padding() {
    let pad = Pad { before: vec![0, 2], after: vec![1, 3], mode: PadMode::Constant(0.0) };
    let mut file = File::default();
    let x = file.input("x", FLOAT32, &[2, 3]);
    let paddings = file.integers("p", &[0, 1, 2, 3]);
    file.tensors[paddings as usize].shape = vec![2, 2];
    let y = file.output("y", FLOAT32, &[3, 8]);
    file.operator(PAD, &[x, paddings], &[y], &[]);
    assert_eq!(import(&file).nodes[0].op, Op::Pad(pad.clone()));
    // A quantized value means what its own scale says: (138 − 128) · 0.25, in uint8.
    let mut file = File::default();
    let x = file.input("x", UINT8, &[2, 3]);
    let y = file.output("y", UINT8, &[3, 8]);
    let paddings = file.integers("p", &[0, 1, 2, 3]);
    let value = file.constant("v", UINT8, &[], vec![138]);
    for tensor in [x, y, value] {
        file.quantize(tensor, 0.25, 128);
    }
    file.operator(PADV2, &[x, paddings, value], &[y], &[]);
    let padded = import(&file).nodes.into_iter().find(|node| matches!(node.op, Op::Pad(_))).unwrap();
    assert_eq!(padded.op, Op::Pad(Pad { mode: PadMode::Constant(2.5), ..pad }));
}

#[test]
fn slices() {
    let slice = |begin: &[usize], step: &[isize], size: &[usize]| {
        vec![Op::Slice(Slice { begin: begin.to_vec(), step: step.to_vec(), size: size.to_vec() })]
    };
    let expected = slice(&[1, 0, 2], &[1, 1, 1], &[2, 5, 1]);
    assert_eq!(ops(SLICE, &[4, 5, 3], &[2, 5, 1], &[&[1, 0, 2], &[2, -1, 1]], &[]), expected);
    // x[1:3, ::-2]: the end of the second axis is masked, its begin lies beyond the end.
    let expected = slice(&[1, 4], &[1, -2], &[2, 3]);
    let ranges: &[&[i32]] = &[&[1, 9], &[3, 0], &[1, -2]];
    assert_eq!(ops(STRIDED_SLICE, &[4, 5], &[2, 3], ranges, &[(1, Value::Int(2))]), expected);
    // As offsets: x[1:1+2, 3:3-2:-1]
    let expected = slice(&[1, 3], &[1, -1], &[2, 2]);
    let ranges: &[&[i32]] = &[&[1, 3], &[2, -2], &[1, -1]];
    assert_eq!(ops(STRIDED_SLICE, &[4, 5], &[2, 2], ranges, &[(5, Value::Bool(true))]), expected);
}

#[test]
fn strided_slices_add_and_drop_axes() {
    // x[-1, new, ..., 1:3] of [2, 3, 4]
    let ranges: &[&[i32]] = &[&[-1, 0, 0, 1], &[0, 0, 0, 3], &[1, 1, 1, 1]];
    let masks = [(2, Value::Int(0b100)), (3, Value::Int(0b010)), (4, Value::Int(0b001))];
    let file = one(STRIDED_SLICE, &[2, 3, 4], &[1, 3, 2], ranges, &masks);
    assert_eq!(counted(&file), [13.0, 14.0, 17.0, 18.0, 21.0, 22.0]);
}

#[test]
fn splits() {
    let split = |code, inputs: &[&str], parts: &[&[i32]], axis: i32, sizes: &[i32]| {
        let mut file = File::default();
        let x = file.input("x", FLOAT32, &[2, 6]);
        let (axis, sizes) = (file.integers("axis", &[axis]), file.integers("sizes", sizes));
        let inputs: Vec<i32> = inputs
            .iter()
            .map(|&name| {
                if name == "x" {
                    x
                } else if name == "axis" {
                    axis
                } else {
                    sizes
                }
            })
            .collect();
        let outputs: Vec<i32> = parts.iter().map(|shape| file.output("part", FLOAT32, shape)).collect();
        file.operator(code, &inputs, &outputs, &[]);
        import(&file).nodes.into_iter().map(|node| node.op).collect::<Vec<_>>()
    };
    let part = |begin, size| Op::Slice(Slice { begin: vec![0, begin], step: vec![1, 1], size: vec![2, size] });
    let equal = split(SPLIT, &["axis", "x"], &[&[2, 2], &[2, 2], &[2, 2]], -1, &[]);
    assert_eq!(equal, [part(0, 2), part(2, 2), part(4, 2)]);
    let unequal = split(SPLIT_V, &["x", "sizes", "axis"], &[&[2, 1], &[2, 3], &[2, 2]], 1, &[1, -1, 2]);
    assert_eq!(unequal, [part(0, 1), part(1, 3), part(4, 2)]);
}

#[test]
fn packs_and_unpacks() {
    let mut file = File::default();
    let x = file.input("x", FLOAT32, &[2, 3]);
    let parts: Vec<i32> = (0..3).map(|index| file.tensor(&format!("part{index}"), FLOAT32, &[2])).collect();
    let y = file.output("y", FLOAT32, &[3, 2]);
    file.operator(UNPACK, &[x], &parts, &[(0, Value::Int(3)), (1, Value::Int(-1))]);
    file.operator(PACK, &parts, &[y], &[(0, Value::Int(3))]);
    assert_eq!(counted(&file), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
}

#[test]
fn gathers() {
    let mut file = File::default();
    let x = file.input("x", FLOAT32, &[2, 3, 4]);
    let indices = file.integers("i", &[3, 0]);
    let y = file.output("y", FLOAT32, &[2, 3, 2]);
    file.operator(GATHER, &[x, indices], &[y], &[(0, Value::Int(-1))]);
    assert_eq!(import(&file).nodes[0].op, Op::Gather(Gather { axis: 2, batch_dims: 0 }));
    assert_eq!(counted(&file)[..4], [3.0, 0.0, 7.0, 4.0]);
}

#[test]
fn the_index_of_the_largest() {
    for (code, dtype) in [(INT32, DType::I32), (INT64, DType::I64)] {
        let mut file = File::default();
        let (x, axis) = (file.input("x", FLOAT32, &[2, 3]), file.integers("axis", &[-1]));
        let y = file.output("y", code, &[2]);
        file.operator(ARG_MAX, &[x, axis], &[y], &[]);
        let graph = import(&file);
        assert_eq!(graph.nodes[0].op, Op::Arg(Arg { kind: ArgKind::Max, last: false, axis: 1, keep_dims: false }));
        assert_eq!(graph.value(graph.outputs[0]).ty.dtype, dtype);
    }
}

#[test]
fn resizes() {
    let modes = [
        (vec![], CoordinateMode::Asymmetric),
        (vec![(0, Value::Bool(true))], CoordinateMode::AlignCorners),
        (vec![(1, Value::Bool(true))], CoordinateMode::HalfPixel),
    ];
    for (options, mode) in modes {
        let resize = Resize { kind: ResizeKind::Nearest, mode, size: [4, 6] };
        let found = ops(RESIZE_NEAREST_NEIGHBOR, &[1, 2, 3, 1], &[1, 4, 6, 1], &[&[4, 6]], &options);
        assert_eq!(found, [Op::Resize(resize)]);
    }
}

/// As exporters flatten where the batch is left open: the new shape is computed from the old one.
#[test]
fn arithmetic_on_shapes_is_done_at_import() {
    let mut file = File::default();
    let x = file.input("x", FLOAT32, &[-1, 2, 3]);
    let shape = file.tensor("shape", INT32, &[3]);
    file.operator(SHAPE, &[x], &[shape], &[]);
    let (zero, one, stride) = (file.integers("0", &[0]), file.integers("1", &[1]), file.integers("stride", &[1]));
    let batch = file.tensor("batch", INT32, &[]);
    file.operator(STRIDED_SLICE, &[shape, zero, one, stride], &[batch], &[(4, Value::Int(1))]);
    let rest = file.constant("rest", INT32, &[], vec![6, 0, 0, 0]);
    let target = file.tensor("target", INT32, &[2]);
    file.operator(PACK, &[batch, rest], &[target], &[(0, Value::Int(2))]);
    let y = file.output("y", FLOAT32, &[-1, 6]);
    file.operator(RESHAPE, &[x, target], &[y], &[]);
    let graph = import(&file);
    assert_eq!(
        graph.nodes.iter().map(|node| &node.op).collect::<Vec<_>>(),
        [&Op::Reshape(Reshape { shape: vec![1, 6] })]
    );
    assert_eq!(graph.value(graph.inputs[0]).ty.shape, [1, 2, 3]);
}

#[test]
fn uint8_is_int8_inside() {
    let mut file = File::default();
    let x = file.input("x", UINT8, &[1, 4]);
    let c = file.constant("c", UINT8, &[1, 4], vec![0, 127, 128, 255]);
    let y = file.output("y", UINT8, &[1, 4]);
    for (tensor, zero_point) in [(x, 3), (c, 130), (y, 255)] {
        file.quantize(tensor, 0.5, zero_point);
    }
    file.operator(ADD, &[x, c], &[y], &[]);
    let graph = import(&file);
    assert_eq!(graph.nodes.iter().map(|node| node.op.name()).collect::<Vec<_>>(), ["Quantize", "Add", "Quantize"]);
    let types: Vec<_> = graph
        .values
        .iter()
        .map(|value| (value.ty.dtype, value.ty.quantization.as_ref().unwrap().zero_point()))
        .collect();
    let add = &graph.nodes[1];
    let [a, b] = [add.inputs[0].unwrap(), add.inputs[1].unwrap()];
    assert_eq!([types[graph.inputs[0].0], types[a.0]], [(DType::U8, 3), (DType::I8, -125)]);
    assert_eq!(types[b.0], (DType::I8, 2));
    assert_eq!(graph.constant(b).unwrap().data(), &Data::I8(vec![-128, -1, 0, 127]));
    assert_eq!([types[add.outputs[0].0], types[graph.outputs[0].0]], [(DType::I8, 127), (DType::U8, 255)]);
    assert_eq!(graph.value(graph.outputs[0]).name, "y");
}

/// int8 models with uint8 ends convert on their own; nothing is added to that.
#[test]
fn conversions_of_the_file_take_uint8_as_it_is() {
    let mut file = File::default();
    let x = file.input("x", UINT8, &[4]);
    let inside = file.tensor("inside", INT8, &[4]);
    let real = file.tensor("real", FLOAT32, &[4]);
    let y = file.output("y", UINT8, &[4]);
    for (tensor, zero_point) in [(x, 128), (inside, 0), (y, 128)] {
        file.quantize(tensor, 0.5, zero_point);
    }
    file.operator(QUANTIZE, &[x], &[inside], &[]);
    file.operator(DEQUANTIZE, &[inside], &[real], &[]);
    file.operator(QUANTIZE, &[real], &[y], &[]);
    let graph = import(&file);
    assert_eq!(
        graph.nodes.iter().map(|node| node.op.name()).collect::<Vec<_>>(),
        ["Quantize", "Dequantize", "Quantize"]
    );
}
