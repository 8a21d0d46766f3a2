#!/usr/bin/env python3
"""Writes the node tests of the `onnx` package, one folder a test, as older versions of the package carried them.

Each folder gets `model.onnx`, `test_data_set_N/input_M.pb` and `output_M.pb`, and `tolerance` with the relative and the
absolute tolerance that the package allows; `version` says whose tests they are.

    make_onnx_node_tests.py FOLDER
"""

import os
import sys
import warnings

import numpy
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases


def serialized(value, info):
    """The bytes of an input or output, whatever kind it is."""
    if hasattr(value, "SerializeToString"):
        return value.SerializeToString()
    kind = info.type.WhichOneof("value")
    if kind == "sequence_type":
        return numpy_helper.from_list(value, info.name).SerializeToString()
    if kind == "optional_type":
        return numpy_helper.from_optional(value, info.name).SerializeToString()
    if kind == "map_type":
        return numpy_helper.from_dict(value, info.name).SerializeToString()
    return numpy_helper.from_array(numpy.asarray(value), info.name).SerializeToString()


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def main(folder):
    warnings.simplefilter("ignore")  # The tests themselves overflow on purpose.
    cases = collect_testcases("")
    for case in cases:
        place = os.path.join(folder, case.name)
        os.makedirs(place, exist_ok=True)
        write(os.path.join(place, "model.onnx"), case.model.SerializeToString())
        write(os.path.join(place, "tolerance"), f"{case.rtol} {case.atol}\n".encode())
        for number, (inputs, outputs) in enumerate(case.data_sets):
            data_set = os.path.join(place, f"test_data_set_{number}")
            os.makedirs(data_set, exist_ok=True)
            ports = [("input", inputs, case.model.graph.input), ("output", outputs, case.model.graph.output)]
            for name, values, infos in ports:
                for index, (value, info) in enumerate(zip(values, infos)):
                    write(os.path.join(data_set, f"{name}_{index}.pb"), serialized(value, info))
    write(os.path.join(folder, "version"), f"onnx {onnx.__version__}\n".encode())
    print(f"{len(cases)} tests of onnx {onnx.__version__}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
