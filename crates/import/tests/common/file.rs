//! Writes small TensorFlow Lite files, right ones and wrong ones: tables and fields are numbered as the format's schema
//! does.

use flatbuffers::{FlatBufferBuilder, ForwardsUOffset, Push, TableFinishedWIPOffset, Vector, WIPOffset};

pub const FLOAT32: i8 = 0;
pub const FLOAT16: i8 = 1;
pub const INT32: i8 = 2;
pub const UINT8: i8 = 3;
pub const INT64: i8 = 4;
pub const INT16: i8 = 7;
pub const INT8: i8 = 9;
pub const INT4: i8 = 17;

pub const ADD: i32 = 0;
pub const AVERAGE_POOL_2D: i32 = 1;
pub const CONCATENATION: i32 = 2;
pub const CONV_2D: i32 = 3;
pub const DEPTHWISE_CONV_2D: i32 = 4;
pub const DEQUANTIZE: i32 = 6;
pub const FULLY_CONNECTED: i32 = 9;
pub const MAX_POOL_2D: i32 = 17;
pub const RELU: i32 = 19;
pub const RESHAPE: i32 = 22;
pub const CUSTOM: i32 = 32;
pub const PAD: i32 = 34;
pub const GATHER: i32 = 36;
pub const TRANSPOSE: i32 = 39;
pub const MEAN: i32 = 40;
pub const SQUEEZE: i32 = 43;
pub const STRIDED_SLICE: i32 = 45;
pub const SPLIT: i32 = 49;
pub const CAST: i32 = 53;
pub const ARG_MAX: i32 = 56;
pub const PADV2: i32 = 60;
pub const SLICE: i32 = 65;
pub const EXPAND_DIMS: i32 = 70;
pub const SHAPE: i32 = 77;
pub const PACK: i32 = 83;
pub const UNPACK: i32 = 88;
pub const RESIZE_NEAREST_NEIGHBOR: i32 = 97;
pub const SPLIT_V: i32 = 102;
pub const QUANTIZE: i32 = 114;
pub const CUMSUM: i32 = 128;

/// The value of an option.
#[derive(Clone, Debug)]
pub enum Value {
    Bool(bool),
    Byte(i8),
    Int(i32),
    Float(f32),
    Ints(Vec<i32>),
}

/// A tensor to write.
#[derive(Clone, Debug, Default)]
pub struct TensorSpec {
    pub name: String,
    pub code: i8,
    pub shape: Vec<i32>,
    pub data: Option<Vec<u8>>,
    pub scales: Vec<f32>,
    pub zero_points: Vec<i64>,
    pub axis: i32,
    pub variable: bool,
    pub sparse: bool,
    /// Its elements lie after the FlatBuffer, as in files beyond 2 GiB.
    pub in_tail: bool,
}

impl TensorSpec {
    /// Gives it one scale and zero point.
    pub fn quantized(&mut self, scale: f32, zero_point: i64) {
        (self.scales, self.zero_points) = (vec![scale], vec![zero_point]);
    }
}

/// An operator to write.
#[derive(Clone, Debug)]
pub struct OperatorSpec {
    pub code: i32,
    pub custom: Option<String>,
    pub version: i32,
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
    pub options: Vec<(u16, Value)>,
}

/// A file to write.
#[derive(Clone, Debug, Default)]
pub struct File {
    pub tensors: Vec<TensorSpec>,
    pub operators: Vec<OperatorSpec>,
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
}

impl File {
    /// Adds a tensor that is given or made, and gives its number.
    pub fn tensor(&mut self, name: &str, code: i8, shape: &[i32]) -> i32 {
        self.tensors.push(TensorSpec { name: name.to_owned(), code, shape: shape.to_vec(), ..TensorSpec::default() });
        self.tensors.len() as i32 - 1
    }

    /// Adds a tensor and makes it an input.
    pub fn input(&mut self, name: &str, code: i8, shape: &[i32]) -> i32 {
        let tensor = self.tensor(name, code, shape);
        self.inputs.push(tensor);
        tensor
    }

    /// Adds a tensor and makes it an output.
    pub fn output(&mut self, name: &str, code: i8, shape: &[i32]) -> i32 {
        let tensor = self.tensor(name, code, shape);
        self.outputs.push(tensor);
        tensor
    }

    /// Adds a constant.
    pub fn constant(&mut self, name: &str, code: i8, shape: &[i32], data: Vec<u8>) -> i32 {
        let tensor = self.tensor(name, code, shape);
        self.tensors[tensor as usize].data = Some(data);
        tensor
    }

    /// Adds a constant vector of integers.
    pub fn integers(&mut self, name: &str, values: &[i32]) -> i32 {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, INT32, &[values.len() as i32], data)
    }

    /// Adds a constant of floats.
    pub fn floats(&mut self, name: &str, shape: &[i32], values: &[f32]) -> i32 {
        self.constant(name, FLOAT32, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Quantizes a tensor with one scale and zero point.
    pub fn quantize(&mut self, tensor: i32, scale: f32, zero_point: i64) -> i32 {
        self.tensors[tensor as usize].quantized(scale, zero_point);
        tensor
    }

    /// Adds an operator.
    pub fn operator(
        &mut self,
        code: i32,
        inputs: &[i32],
        outputs: &[i32],
        options: &[(u16, Value)],
    ) -> &mut OperatorSpec {
        self.operators.push(OperatorSpec {
            code,
            custom: None,
            version: 1,
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
            options: options.to_vec(),
        });
        self.operators.last_mut().expect("it was added")
    }

    /// The file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        // Where the tail begins depends on the length of what is before it, which does not depend on where the tail
        // begins.
        let length = self.write(0, false).len();
        let mut bytes = self.write(length, false);
        for tensor in self.tensors.iter().filter(|tensor| tensor.in_tail) {
            bytes.extend(tensor.data.iter().flatten());
        }
        bytes
    }

    /// The file's bytes, each tensor's buffer being the first constant's.
    pub fn bytes_with_one_buffer(&self) -> Vec<u8> {
        self.write(0, true)
    }

    fn write(&self, tail: usize, one_buffer: bool) -> Vec<u8> {
        let mut b = FlatBufferBuilder::new();
        let mut end = tail as u64;
        let mut buffers = vec![Table::default().finish(&mut b)];
        let mut tensors = Vec::new();
        for tensor in &self.tensors {
            let buffer = if tensor.data.is_some() { buffers.len() as u32 } else { 0 };
            if let Some(data) = &tensor.data {
                let mut table = Table::default();
                if tensor.in_tail {
                    table = table.number(1, end).number(2, data.len() as u64);
                    end += data.len() as u64;
                } else {
                    let data = b.create_vector(data);
                    table = table.offset(0, data.value());
                }
                buffers.push(table.finish(&mut b));
            }
            tensors.push(tensor.write(&mut b, if one_buffer { 1 } else { buffer }));
        }
        let codes: Vec<_> = self.operators.iter().map(|operator| operator.write_code(&mut b)).collect();
        let operators = self.operators.iter().enumerate().map(|(index, operator)| operator.write(&mut b, index as u32));
        let operators: Vec<_> = operators.collect();
        let subgraph = {
            let tensors = tables(&mut b, &tensors);
            let (inputs, outputs) = (b.create_vector(&self.inputs).value(), b.create_vector(&self.outputs).value());
            let operators = tables(&mut b, &operators);
            Table::default().offset(0, tensors).offset(1, inputs).offset(2, outputs).offset(3, operators).finish(&mut b)
        };
        let (codes, subgraphs) = (tables(&mut b, &codes), tables(&mut b, &[subgraph]));
        let (description, buffers) = (b.create_string("made by a test").value(), tables(&mut b, &buffers));
        let model = Table::default().number(0, 3u32).offset(1, codes).offset(2, subgraphs).offset(3, description);
        let root = model.offset(4, buffers).finish(&mut b);
        b.finish(root, Some("TFL3"));
        b.finished_data().to_vec()
    }
}

impl TensorSpec {
    fn write(&self, b: &mut FlatBufferBuilder<'_>, buffer: u32) -> WIPOffset<TableFinishedWIPOffset> {
        let (shape, name) = (b.create_vector(&self.shape).value(), b.create_string(&self.name).value());
        let mut table = Table::default().offset(0, shape).number(1, self.code).number(2, buffer).offset(3, name);
        if !self.scales.is_empty() {
            let (scales, zero_points) =
                (b.create_vector(&self.scales).value(), b.create_vector(&self.zero_points).value());
            let quantization = Table::default().offset(2, scales).offset(3, zero_points).number(6, self.axis);
            table = table.offset(4, quantization.finish(b).value());
        }
        if self.sparse {
            table = table.offset(6, Table::default().finish(b).value());
        }
        table.number(5, self.variable).finish(b)
    }
}

impl OperatorSpec {
    fn write_code(&self, b: &mut FlatBufferBuilder<'_>) -> WIPOffset<TableFinishedWIPOffset> {
        let mut table =
            Table::default().number(0, self.code.min(127) as i8).number(2, self.version).number(3, self.code);
        if let Some(custom) = &self.custom {
            table = table.offset(1, b.create_string(custom).value());
        }
        table.finish(b)
    }

    fn write(&self, b: &mut FlatBufferBuilder<'_>, code: u32) -> WIPOffset<TableFinishedWIPOffset> {
        let mut options = Table::default();
        for (id, value) in &self.options {
            options = match value {
                Value::Bool(value) => options.number(*id, *value),
                Value::Byte(value) => options.number(*id, *value),
                Value::Int(value) => options.number(*id, *value),
                Value::Float(value) => options.number(*id, *value),
                Value::Ints(values) => options.offset(*id, b.create_vector(values).value()),
            };
        }
        let options = options.finish(b).value();
        let (inputs, outputs) = (b.create_vector(&self.inputs).value(), b.create_vector(&self.outputs).value());
        Table::default().number(0, code).offset(1, inputs).offset(2, outputs).offset(4, options).finish(b)
    }
}

fn tables(b: &mut FlatBufferBuilder<'_>, tables: &[WIPOffset<TableFinishedWIPOffset>]) -> u32 {
    let vector: WIPOffset<Vector<'_, ForwardsUOffset<TableFinishedWIPOffset>>> = b.create_vector(tables);
    vector.value()
}

/// Writes a field of the table that is begun.
type Field = Box<dyn Fn(&mut FlatBufferBuilder<'_>)>;

/// The fields of a table that is about to be written.
#[derive(Default)]
struct Table {
    fields: Vec<Field>,
}

impl Table {
    fn number<T: Push + Copy + 'static>(mut self, id: u16, value: T) -> Table {
        self.fields.push(Box::new(move |b| b.push_slot_always(4 + 2 * id, value)));
        self
    }

    /// A field that holds what was written at this place: a string, a vector or a table.
    fn offset(self, id: u16, place: u32) -> Table {
        self.number(id, WIPOffset::<TableFinishedWIPOffset>::new(place))
    }

    fn finish(self, b: &mut FlatBufferBuilder<'_>) -> WIPOffset<TableFinishedWIPOffset> {
        let start = b.start_table();
        for field in self.fields {
            field(b);
        }
        b.end_table(start)
    }
}
