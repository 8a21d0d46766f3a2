"""One engine in a process of its own, timed whenever measure.py asks for it.

    engines.py ENGINE MODEL THREADS SECONDS

For each line on standard input, runs the model for so many seconds after a warm-up and prints the median in
milliseconds. A process of its own, because an engine's idle threads and settings of OpenMP would reach into another's
time.
"""

import os
import statistics
import sys
import time

WARM_UP_SECONDS = 0.2


def onnxruntime(model, threads):
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    types = {"tensor(uint8)": numpy.uint8, "tensor(int8)": numpy.int8, "tensor(float)": numpy.float32}
    shape = [size if isinstance(size, int) else 1 for size in port.shape]
    inputs = {port.name: values(shape, types[port.type])}
    return lambda: session.run(None, inputs)


def openvino(model, threads, **more):
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, **more}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    port = compiled.input(0)
    shape = [size.get_length() if size.is_static else 1 for size in port.partial_shape]
    request, inputs = compiled.create_infer_request(), {0: values(shape, port.element_type.to_dtype())}
    return lambda: request.infer(inputs)


def openvino_f32(model, threads):
    """By default it computes float models in bfloat16 on CPUs that have it."""
    return openvino(model, threads, INFERENCE_PRECISION_HINT="f32")


def litert(model, threads):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model, num_threads=threads)
    interpreter.allocate_tensors()
    port = interpreter.get_input_details()[0]
    interpreter.set_tensor(port["index"], values(port["shape"], port["dtype"]))
    return interpreter.invoke


def values(shape, dtype):
    """No special case: bytes of all kinds, real numbers in [-1, 1]."""
    import numpy

    random = numpy.random.default_rng(7)
    if numpy.issubdtype(dtype, numpy.integer):
        limits = numpy.iinfo(dtype)
        return random.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return random.uniform(-1, 1, shape).astype(dtype)


def median_ms(run, seconds):
    until = time.perf_counter() + WARM_UP_SECONDS
    while time.perf_counter() < until:
        run()
    times = []
    until = time.perf_counter() + seconds
    while not times or time.perf_counter() < until:
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def main():
    engine, model, threads, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    os.environ["OMP_NUM_THREADS"] = str(threads)
    engines = {"onnxruntime": onnxruntime, "openvino": openvino, "openvino-f32": openvino_f32, "litert": litert}
    run = engines[engine](model, threads)
    for _ in sys.stdin:
        print("median", median_ms(run, seconds), flush=True)


if __name__ == "__main__":
    main()
