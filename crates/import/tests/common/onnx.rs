//! Writes small ONNX files: messages and fields are numbered as `onnx.proto` does.

/// A field of a protocol buffer that has a length.
pub fn field(number: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    [varint(usize::from(number) << 3 | 2), varint(content.len()), content.to_vec()].concat()
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field that is a small number.
pub fn number(number: u8, value: u8) -> Vec<u8> {
    assert!(value < 0x80);
    vec![number << 3, value]
}

/// A float tensor's name and type; a size is a number or a name.
pub fn value(name: &str, sizes: &[&str]) -> Vec<u8> {
    let dimension = |size: &&str| match size.parse::<u8>() {
        Ok(size) => field(1, number(1, size)),
        Err(_) => field(1, field(2, size)),
    };
    let shape: Vec<u8> = sizes.iter().flat_map(dimension).collect();
    let tensor = [number(1, 1), field(2, shape)].concat();
    [field(1, name), field(2, field(1, tensor))].concat()
}

pub fn node(operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|name| field(1, name)).collect();
    [inputs, field(2, output), field(4, operator)].concat()
}

/// A model of these nodes, which reads `x` and the other inputs and gives `y`.
pub fn model(version: u8, nodes: &[Vec<u8>], inputs: &[Vec<u8>], constants: &[Vec<u8>]) -> Vec<u8> {
    let mut graph: Vec<u8> = nodes.iter().flat_map(|node| field(1, node)).collect();
    graph.extend(constants.iter().flat_map(|tensor| field(5, tensor)));
    graph.extend(inputs.iter().flat_map(|input| field(11, input)));
    graph.extend(field(12, field(1, "y")));
    [number(1, 8), field(7, graph), field(8, number(2, version))].concat()
}
