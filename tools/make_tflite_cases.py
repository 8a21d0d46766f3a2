"""Makes small TensorFlow Lite models of every operator that Kinglet reads, with what TensorFlow's own interpreter
answers.

    python -m venv venv && venv/bin/pip install tensorflow-cpu
    venv/bin/python tools/make_tflite_cases.py crates/import/tests/data [GROUP-TYPE ...]

Each group of functions of one input becomes a model with an output for each function, in several types: float32,
float16 weights, int8 weights under float activations ("dynamic"), and int8 throughout. For the model NAME.tflite,
NAME.in.npy holds an input and NAME.out.npy the elements of all outputs, one after another.
`crates/import/tests/cases.rs` compares.
"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

random = np.random.default_rng(7)


def normal(*shape, scale=0.5):
    return tf.constant(random.normal(0, scale, shape).astype(np.float32))


def conv(x, kernel, out, stride=1, padding="SAME", dilation=1, groups=1, bias=True):
    y = tf.nn.conv2d(x, normal(*kernel, x.shape[-1] // groups, out), stride, padding, dilations=dilation)
    return tf.nn.bias_add(y, normal(out)) if bias else y


def depthwise(x, kernel, multiplier=1, stride=1, padding="SAME", dilation=1):
    weights = normal(*kernel, x.shape[-1], multiplier)
    y = tf.nn.depthwise_conv2d(x, weights, [1, stride, stride, 1], padding, dilations=[dilation] * 2)
    return tf.nn.bias_add(y, normal(y.shape[-1]))


def resize(x, method, size, align_corners, half_pixel_centers):
    op = getattr(tf.raw_ops, "ResizeBilinear" if method == "bilinear" else "ResizeNearestNeighbor")
    return op(images=x, size=size, align_corners=align_corners, half_pixel_centers=half_pixel_centers)


def fully_connected(x, units):
    return tf.nn.bias_add(tf.matmul(x, normal(x.shape[-1], units)), normal(units))


SLOPES = tf.Variable(normal(1, 1, 3))


def prelu(x):
    """In the words that the converter knows PRELU by, which no other function may share a part of."""
    x = x + 0.25
    return tf.nn.relu(x) + -SLOPES * tf.nn.relu(-x)


# Name of a group: shape of its input, and functions of that.
GROUPS = {
    "convolution": (
        (1, 7, 9, 4),
        [
            lambda x: tf.nn.relu6(conv(x, (3, 3), 5)),
            lambda x: tf.nn.relu(conv(x, (3, 3), 5, stride=2)),
            lambda x: conv(x, (2, 4), 3, stride=[1, 2, 3, 1]),
            lambda x: conv(x, (3, 2), 3, stride=2, padding="VALID"),
            lambda x: conv(x, (3, 3), 3, dilation=2),
            lambda x: conv(x, (3, 3), 3, dilation=[1, 3, 2, 1], padding="VALID"),
            lambda x: tf.clip_by_value(conv(x, (1, 1), 6), -1.0, 1.0),
            lambda x: conv(x, (3, 3), 6, groups=2),
            lambda x: conv(x, (1, 1), 3, stride=2, bias=False),
        ],
    ),
    "depthwise": (
        (1, 7, 8, 3),
        [
            lambda x: tf.nn.relu6(depthwise(x, (3, 3))),
            lambda x: depthwise(x, (3, 3), stride=2),
            lambda x: depthwise(x, (2, 3), multiplier=2, stride=2),
            lambda x: depthwise(x, (3, 3), multiplier=3, padding="VALID"),
            lambda x: depthwise(x, (3, 3), dilation=2),
            lambda x: depthwise(x, (2, 2), stride=2, padding="VALID"),
        ],
    ),
    "fully_connected": (
        (2, 3, 8),
        [
            lambda x: fully_connected(x, 5),
            lambda x: tf.nn.relu(fully_connected(tf.reshape(x, [6, 8]), 7)),
            lambda x: fully_connected(tf.reshape(x, [2, -1]), 3),
            lambda x: tf.matmul(tf.reshape(x, [3, 16]), normal(16, 4)),
        ],
    ),
    "pool": (
        (1, 7, 8, 3),
        [
            lambda x: tf.nn.avg_pool2d(x, 3, 2, "SAME"),
            lambda x: tf.nn.avg_pool2d(x, (2, 3), 1, "VALID"),
            lambda x: tf.nn.avg_pool2d(x, (7, 8), 1, "VALID"),
            lambda x: tf.nn.max_pool2d(x, 3, 2, "SAME"),
            lambda x: tf.nn.max_pool2d(x, (2, 3), (1, 2), "VALID"),
            lambda x: tf.nn.relu6(tf.nn.max_pool2d(x, 2, 2, "SAME")),
            lambda x: tf.nn.relu(tf.nn.avg_pool2d(x, 2, 2, "SAME")),
        ],
    ),
    "resize": (
        (1, 5, 4, 3),
        [
            *(
                lambda x, s=size, a=align, h=half: resize(x, "bilinear", s, a, h)
                for size in [(10, 7), (3, 2)]
                for align, half in [(False, False), (True, False), (False, True)]
            ),
            *(
                lambda x, s=size, a=align, h=half: resize(x, "nearest", s, a, h)
                for size in [(10, 7), (3, 2)]
                for align, half in [(False, False), (True, False), (False, True)]
            ),
        ],
    ),
    "binary": (
        (1, 3, 4, 5),
        [
            lambda x: x + normal(5),
            lambda x: tf.nn.relu(x + tf.nn.tanh(x)),
            lambda x: x - normal(1, 3, 1, 1),
            lambda x: normal(4, 1) - x,
            lambda x: x * normal(3, 4, 5),
            lambda x: tf.nn.relu6(x * x),
            lambda x: tf.maximum(x, x * -0.5),
            lambda x: tf.minimum(x, 0.25),
            lambda x: x / (2.0 + tf.nn.tanh(x)),
        ],
    ),
    "unary": (
        (1, 4, 5, 3),
        [
            tf.nn.relu,
            tf.nn.relu6,
            lambda x: tf.clip_by_value(x, -1.0, 1.0),
            tf.nn.sigmoid,
            tf.nn.tanh,
            lambda x: tf.nn.leaky_relu(x, 0.3),
            prelu,
            lambda x: x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0),
            tf.nn.softmax,
            lambda x: tf.nn.softmax(tf.reshape(x, [6, 10])),
        ],
    ),
    "functions": (
        (1, 4, 5, 3),
        [
            tf.exp,
            lambda x: tf.sqrt(tf.nn.sigmoid(x)),
            lambda x: tf.math.rsqrt(0.5 + tf.nn.sigmoid(x)),
            lambda x: tf.cast(10.0 * x, tf.int32),
            lambda x: tf.cast(tf.cast(10.0 * x, tf.int64), tf.float32),
            lambda x: tf.argmax(x, 2),
            lambda x: tf.argmax(x, -1, output_type=tf.int32),
        ],
    ),
    "layout": (
        (1, 3, 4, 5),
        [
            lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 3], [0, 0]]),
            lambda x: tf.pad(x, [[0, 0], [0, 1], [2, 0], [1, 1]], constant_values=0.75),
            lambda x: tf.reshape(x, [-1, 6]),
            lambda x: tf.squeeze(x[:, :1]),
            lambda x: tf.squeeze(x[:, :1], [0]),
            lambda x: tf.expand_dims(x, -2),
            lambda x: tf.transpose(x, [0, 3, 1, 2]),
            lambda x: tf.concat([x, 2.0 * x, x], -1),
            lambda x: tf.concat([x, tf.nn.sigmoid(x)], 1),
            lambda x: tf.stack([x, tf.nn.tanh(x)], 0),
            lambda x: tf.stack([x, tf.nn.relu(x), x], -1),
        ],
    ),
    "slicing": (
        (2, 4, 6, 3),
        [
            lambda x: tf.slice(x, [0, 1, 2, 0], [-1, 2, 3, 2]),
            lambda x: x[:, 1:-1, ::2],
            lambda x: x[1],
            lambda x: x[..., -1],
            lambda x: x[:, ::-1, 4:1:-2],
            lambda x: x[:, tf.newaxis, 2, ..., 1:],
            lambda x: tf.split(x, 3, 2)[1],
            lambda x: tf.split(x, [1, 2, 3], 2)[2],
            lambda x: tf.unstack(x, axis=1)[3],
            lambda x: tf.unstack(x, axis=-1)[0],
            lambda x: tf.gather(x, [2, 0, 2], axis=1),
            lambda x: tf.gather(x, [[0, 5], [1, 1]], axis=2),
            lambda x: tf.gather(x, [[3, 0], [1, 1]], axis=1, batch_dims=1),
        ],
    ),
    "reduction": (
        (2, 3, 4, 5),
        [
            lambda x: tf.reduce_mean(x, [1, 2]),
            lambda x: tf.reduce_mean(x, [-1], keepdims=True),
            lambda x: tf.reduce_mean(x, [0, 3]),
            lambda x: tf.reduce_mean(x, 1, keepdims=True),
        ],
    ),
}


def network(x):
    """A little network as exporters write it: the batch is left open, so shapes are computed when it runs."""
    x = tf.nn.relu6(conv(x, (3, 3), 8, stride=2))
    y = tf.nn.relu6(depthwise(x, (3, 3)))
    y = conv(y, (1, 1), 8)
    x = x + y
    x = tf.reshape(x, [tf.shape(x)[0], x.shape[1] * x.shape[2] * x.shape[3]])
    return [tf.nn.softmax(fully_connected(x, 10))]


def converter_of(function, shape):
    signature = tf.TensorSpec(shape, tf.float32, name="x")
    concrete = tf.function(function, input_signature=[signature]).get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())


def samples(shape):
    for _ in range(32):
        yield [random.normal(0, 1, shape).clip(-3, 3).astype(np.float32)]


def convert(function, shape, kind):
    fixed = tuple(size or 1 for size in shape)
    converter = converter_of(function, shape)
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8":
        converter.representative_dataset = lambda: samples(fixed)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    if kind == "uint8":
        converter.representative_dataset = lambda: samples(fixed)
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    return converter.convert(), fixed


def answer(model, shape):
    interpreter = tf.lite.Interpreter(
        model_content=model,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    operators = sorted({operator["op_name"] for operator in interpreter._get_ops_details()})
    given = interpreter.get_input_details()[0]
    x = random.normal(0, 1, shape).clip(-3, 3).astype(np.float32)
    if given["dtype"] != np.float32:
        scale, zero_point = given["quantization"]
        bounds = np.iinfo(given["dtype"])
        x = (np.round(x / scale) + zero_point).clip(bounds.min, bounds.max).astype(given["dtype"])
    interpreter.set_tensor(given["index"], x)
    interpreter.invoke()
    return x, [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()], operators


def main():
    directory, *wanted = sys.argv[1:]
    os.makedirs(directory, exist_ok=True)
    cases = {
        name: ((lambda x, functions=functions: [function(x) for function in functions]), shape)
        for name, (shape, functions) in GROUPS.items()
    }
    cases["network"] = network, (None, 9, 9, 3)
    for group, (function, shape) in cases.items():
        for kind in ["float32", "float16", "dynamic", "int8", "uint8"]:
            name = f"{group}-{kind}"
            if wanted and name not in wanted:
                continue
            try:
                model, fixed = convert(function, shape, kind)
                x, outputs, operators = answer(model, fixed)
            except Exception as error:
                print(f"{name}: {str(error).splitlines()[0]}")
                continue
            path = os.path.join(directory, name)
            with open(f"{path}.tflite", "wb") as file:
                file.write(model)
            np.save(f"{path}.in.npy", x)
            np.save(f"{path}.out.npy", np.concatenate([output.astype(np.float32).ravel() for output in outputs]))
            print(f"{name}: {len(model)} bytes, {len(outputs)} outputs: {' '.join(operators)}")


main()
