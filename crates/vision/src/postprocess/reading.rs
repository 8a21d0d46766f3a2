//! How a given model's outputs are read: which form they have, and which output is what.

use kinglet_runtime::graph::{DType, Graph, Op};

use super::boxes::{BoxList, Corners, ScoredBoxes};
use super::class_map::{Cells, ClassMap};
use super::pose::{Bodies, Heatmaps};
use super::prototypes::Prototypes;
use super::yolo::{Row, Yolo, cell_counts};
use super::{Form, Task};
use crate::classifier::gives_probabilities;
use crate::error::{Result, VisionError};
use crate::preprocess::{Input, Layout};

/// A form with all that is needed to read it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reader {
    /// So many scores.
    Scores(usize),
    BoxList(BoxList),
    ScoredBoxes(ScoredBoxes),
    Yolo(Yolo, Option<Prototypes>),
    Bodies(Bodies),
    Heatmaps(Heatmaps),
    ClassMap(ClassMap),
}

/// A reader and the places of the outputs that it reads, in its order; the others are of no use to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) form: Form,
    pub(crate) reader: Reader,
    pub(crate) outputs: Vec<usize>,
    /// How many classes there are, where that follows from shapes.
    pub(crate) classes: Option<usize>,
}

impl Reading {
    /// How the outputs of this graph are read: in the form that is asked for, or in the one that they have.
    pub(crate) fn of(graph: &Graph, input: &Input, form: Option<Form>) -> Result<Reading> {
        let ports = Ports::of(graph, input);
        let forms = match &form {
            Some(form) => std::slice::from_ref(form),
            None => ORDER,
        };
        forms.iter().find_map(|&candidate| ports.read(candidate, form.is_some())).ok_or_else(|| ports.unknown(form))
    }

    /// The same, of a model for this task.
    pub(crate) fn for_task(graph: &Graph, input: &Input, form: Option<Form>, task: Task) -> Result<Reading> {
        let reading = Reading::of(graph, input, form)?;
        match reading.form.task() {
            found if found == task => Ok(reading),
            found => Err(VisionError::OtherTask { found, wanted: task }),
        }
    }
}

/// The order in which forms are tried: the more particular shapes first.
const ORDER: &[Form] = &[
    Form::BoxList,
    Form::ScoredBoxes,
    Form::MoveNet,
    Form::YoloV5,
    Form::YoloX,
    Form::YoloV8Pose,
    Form::YoloV8,
    Form::YoloFinal,
    Form::Heatmaps,
    Form::Scores,
    Form::ClassMap,
];

/// Keypoints of a body after COCO.
const COCO_POINTS: usize = 17;
/// Numbers a box of MoveNet for several bodies.
const MULTIPOSE_COLUMNS: usize = 56;
/// More objects than this no model lists; [1, N, 6] with a larger N is something else.
const MOST_FINAL: usize = 1000;

/// The graph's outputs and input, as far as forms are told apart by them.
struct Ports<'a> {
    graph: &'a Graph,
    shapes: Vec<&'a [usize]>,
    layout: Layout,
    /// Width and height of the input in pixels.
    size: (usize, usize),
}

impl<'a> Ports<'a> {
    fn of(graph: &'a Graph, input: &Input) -> Ports<'a> {
        let shapes = graph.outputs.iter().map(|id| &graph.value(*id).ty.shape[..]).collect();
        Ports { graph, shapes, layout: input.layout, size: (input.width as usize, input.height as usize) }
    }

    /// How the outputs are read in this form, if they can be; `asked` where nobody has to guess.
    fn read(&self, form: Form, asked: bool) -> Option<Reading> {
        let one = |reader: Reader, classes: Option<usize>| Reading { form, reader, outputs: vec![0], classes };
        match form {
            Form::Scores => match self.shapes[..] {
                [[ones @ .., classes]] if *classes > 0 && ones.iter().all(|&size| size == 1) => {
                    Some(one(Reader::Scores(*classes), Some(*classes)))
                }
                _ => None,
            },
            Form::BoxList => self.box_list(),
            Form::ScoredBoxes => self.scored_boxes(),
            Form::YoloV5 | Form::YoloV8 | Form::YoloV8Pose | Form::YoloX | Form::YoloFinal => self.yolo(form, asked),
            Form::MoveNet => {
                let bodies =
                    |rows, columns| Some(one(Reader::Bodies(Bodies { rows, columns, input: self.size }), Some(1)));
                match self.shapes[..] {
                    [[1, 1, COCO_POINTS, 3]] => bodies(1, 3 * COCO_POINTS),
                    [[1, rows, MULTIPOSE_COLUMNS]] if asked || *rows < MULTIPOSE_COLUMNS => {
                        bodies(*rows, MULTIPOSE_COLUMNS)
                    }
                    _ => None,
                }
            }
            Form::Heatmaps => self.heatmaps(),
            Form::ClassMap => self.class_map(),
        }
    }

    fn box_list(&self) -> Option<Reading> {
        let (boxes, scores, classes, count, corners, known) = match self.parts_of_detection() {
            Some(([boxes, classes, scores, count], known)) => {
                (boxes, scores, classes, Some(count), Corners::Yx, Some(known))
            }
            None => {
                let (boxes, lists, count) = self.boxes_and_lists()?;
                let (classes, scores) = self.classes_and_scores(lists[0], lists[1]);
                // TensorFlow gives boxes, classes, scores and the count, in this order.
                let order = [boxes, classes, scores, count.unwrap_or(0)];
                (boxes, scores, classes, count, if order == [0, 1, 2, 3] { Corners::Yx } else { Corners::Xy }, None)
            }
        };
        let rows = self.shapes[boxes].iter().rev().nth(1).copied()?;
        let outputs = [Some(boxes), Some(scores), Some(classes), count].into_iter().flatten().collect();
        let reader = Reader::BoxList(BoxList { corners, rows, input: self.size });
        Some(Reading { form: Form::BoxList, reader, outputs, classes: known })
    }

    /// An output of boxes, two of one number a box, and perhaps one of their count.
    fn boxes_and_lists(&self) -> Option<(usize, [usize; 2], Option<usize>)> {
        let boxes = self.shapes.iter().position(|shape| matches!(shape, [1, _, 4] | [_, 4]))?;
        let (leading, rows) = match *self.shapes[boxes] {
            [_, rows, _] => (&[1][..], rows),
            [rows, _] => (&[][..], rows),
            _ => return None,
        };
        let is_list = |shape: &[usize]| shape.strip_prefix(leading) == Some(&[rows]);
        let others = || (0..self.shapes.len()).filter(|&output| output != boxes);
        let lists: Vec<usize> = others().filter(|&output| is_list(self.shapes[output])).collect();
        let rest: Vec<usize> = others().filter(|&output| !is_list(self.shapes[output])).collect();
        match (&lists[..], &rest[..]) {
            (&[first, second], []) => Some((boxes, [first, second], None)),
            (&[first, second], &[count]) if self.shapes[count].iter().product::<usize>() == 1 => {
                Some((boxes, [first, second], Some(count)))
            }
            _ => None,
        }
    }

    /// The outputs that are parts of the operator which ends TensorFlow Lite's SSD models, if these are all of them, in
    /// whatever order: boxes, classes, scores, count. And how many classes it tells apart.
    fn parts_of_detection(&self) -> Option<([usize; 4], usize)> {
        let producers = self.graph.producers();
        let mut places = [None; 4];
        let mut known = None;
        for (output, id) in self.graph.outputs.iter().enumerate() {
            let (mut value, mut begin) = (*id, None);
            let op = loop {
                let node = &self.graph.nodes[producers[value.0]?.0];
                match &node.op {
                    Op::DetectionPostprocess(op) => break op,
                    Op::Slice(slice) => begin = Some(&slice.begin[..]),
                    Op::Reshape(_) => {}
                    _ => return None,
                }
                value = node.inputs.first().copied().flatten()?;
            };
            let part = match begin? {
                [0, 0, 0] => 0,
                [0, 0, 4] => 1,
                [0, 0, 5] => 2,
                [0, row, 0] if *row == op.most => 3,
                _ => return None,
            };
            places[part] = Some(output);
            known = Some(op.classes);
        }
        let [boxes, classes, scores, count] = places;
        Some(([boxes?, classes?, scores?, count?], known?))
    }

    /// Which of two lists holds classes: by name, or by its type, or else the first.
    fn classes_and_scores(&self, first: usize, second: usize) -> (usize, usize) {
        let value = |output: usize| self.graph.value(self.graph.outputs[output]);
        let named = |output: usize, words: &[&str]| {
            let name = value(output).name.to_ascii_lowercase();
            words.iter().any(|word| name.contains(word))
        };
        let is_score = |output: usize| named(output, &["score", "conf"]) || named(output, &["prob"]);
        let is_class = |output: usize| {
            named(output, &["class", "label"]) || matches!(value(output).ty.dtype, DType::I32 | DType::I64)
        };
        let swapped = (is_score(first) && !is_score(second)) || (is_class(second) && !is_class(first));
        if swapped { (second, first) } else { (first, second) }
    }

    fn scored_boxes(&self) -> Option<Reading> {
        let &[a, b] = &self.shapes[..] else { return None };
        // Two classes and four are told from four sides by the order: boxes come first.
        let (boxes, scores, rows, classes) = match (a, b) {
            ([1, n, 4], [1, m, classes]) if n == m => (0, 1, *n, *classes),
            ([1, m, classes], [1, n, 4]) if n == m => (1, 0, *n, *classes),
            _ => return None,
        };
        let reader = Reader::ScoredBoxes(ScoredBoxes { rows, classes, input: self.size });
        let outputs = vec![boxes, scores];
        (classes > 0).then_some(Reading { form: Form::ScoredBoxes, reader, outputs, classes: Some(classes) })
    }

    fn yolo(&self, form: Form, asked: bool) -> Option<Reading> {
        // Some exports give the heads' own outputs after the decoded one; prototypes are an output of four axes.
        let output = self.shapes.iter().position(|shape| shape.len() == 3)?;
        if self.shapes.len() > 1 && self.shapes.iter().filter(|shape| shape.len() == 3).count() != 1 {
            return None;
        }
        let &[1, a, b] = self.shapes[output] else { return None };
        let cells = cell_counts(self.size);
        let places =
            |rows: usize, boxes: usize| asked || cells.iter().any(|cells| cells.checked_mul(boxes) == Some(rows));
        let prototypes = self.prototypes();
        let coefficients = prototypes.as_ref().map_or(0, |(_, prototypes)| prototypes.count);
        // A hostile shape may be short of columns.
        let left = |columns: usize, taken: usize| columns.checked_sub(taken + coefficients);
        let (row, rows, columns, transposed, classes, keypoints) = match form {
            Form::YoloV5 if places(a, 3) => (Row::Objectness, a, b, false, left(b, 5)?, 0),
            Form::YoloX if cells.contains(&a) => (Row::Cells, a, b, false, left(b, 5)?, 0),
            Form::YoloV8 if places(b, 1) => (Row::Plain, b, a, true, left(a, 4)?, 0),
            Form::YoloV8Pose if places(b, 1) && (asked || a == 5 + 3 * COCO_POINTS) => {
                (Row::Plain, b, a, true, 1, points(a.checked_sub(5)?)?)
            }
            // What follows the six numbers of an object are keypoints or coefficients.
            Form::YoloFinal if asked || a <= MOST_FINAL => (
                Row::Final,
                a,
                b,
                false,
                0,
                points(left(b, 6)?).filter(|points| asked || [0, COCO_POINTS].contains(points))?,
            ),
            _ => return None,
        };
        if rows == 0 || (row != Row::Final && classes == 0) {
            return None;
        }
        let yolo = Yolo { row, rows, columns, transposed, classes, keypoints, coefficients, input: self.size };
        let (outputs, prototypes) = match prototypes {
            Some((place, prototypes)) => (vec![output, place], Some(prototypes)),
            None if self.shapes.iter().all(|shape| shape.len() == 3) => (vec![output], None),
            None => return None,
        };
        let classes = (row != Row::Final).then_some(classes).or((keypoints > 0).then_some(1));
        Some(Reading { form, reader: Reader::Yolo(yolo, prototypes), outputs, classes })
    }

    /// The output of prototypes beside one of rows.
    fn prototypes(&self) -> Option<(usize, Prototypes)> {
        let [_, _] = self.shapes[..] else { return None };
        let place = self.shapes.iter().position(|shape| shape.len() == 4)?;
        let (channels_last, count, height, width) = self.image(self.shapes[place])?;
        Some((place, Prototypes { count, height, width, channels_last, input: self.size }))
    }

    fn heatmaps(&self) -> Option<Reading> {
        let is_map = |shape: &&&[usize]| self.image(shape).is_some_and(|(_, points, ..)| points == COCO_POINTS);
        let maps = self.shapes.iter().position(|shape| is_map(&shape))?;
        let (channels_last, points, height, width) = self.image(self.shapes[maps])?;
        // Maps are coarse; 17 classes of pixels are not.
        if height < 2 || 4 * height > self.size.1 || 4 * width > self.size.0 {
            return None;
        }
        let is_offset = |shape: &&[usize]| **shape == [1, height, width, 2 * points];
        let offsets = self.shapes.iter().position(is_offset);
        if self.shapes.len() > 1 && offsets.is_none() {
            return None;
        }
        let offset = offsets.is_some();
        let heatmaps = Heatmaps { points, height, width, channels_last, offsets: offset, input: self.size };
        let outputs = [Some(maps), offsets].into_iter().flatten().collect();
        Some(Reading { form: Form::Heatmaps, reader: Reader::Heatmaps(heatmaps), outputs, classes: Some(1) })
    }

    fn class_map(&self) -> Option<Reading> {
        // A second output of the same shape is that of the auxiliary head that training has.
        let shape = *self.shapes.first()?;
        if self.shapes.len() > 2 || self.shapes.iter().any(|other| *other != shape) {
            return None;
        }
        let ty = &self.graph.value(self.graph.outputs[0]).ty;
        let integers = matches!(ty.dtype, DType::I32 | DType::I64)
            || (matches!(ty.dtype, DType::U8 | DType::I8) && ty.quantization.is_none());
        let (cells, classes, height, width) = match *shape {
            [1, height, width] | [1, height, width, 1] | [1, 1, height, width] if integers => {
                (Cells::Indices, self.searched_classes(), height, width)
            }
            [1, height, width, 1] | [1, 1, height, width] => {
                let above = if gives_probabilities(self.graph, 0) { 0.5 } else { 0.0 };
                (Cells::Foreground { above }, Some(2), height, width)
            }
            [_, _, _, _] => {
                let (channels_last, classes, height, width) = self.image(shape)?;
                (Cells::Scores { channels_last }, Some(classes), height, width)
            }
            _ => return None,
        };
        let map = ClassMap { cells, classes: classes.unwrap_or(0), height, width, input: self.size };
        let sound =
            height > 0 && width > 0 && classes.is_none_or(|classes| (2..=usize::from(u16::MAX)).contains(&classes));
        let reader = Reader::ClassMap(map);
        sound.then_some(Reading { form: Form::ClassMap, reader, outputs: vec![0], classes })
    }

    /// How many classes the first output's indices are of, where the model searches the largest of so many scores.
    fn searched_classes(&self) -> Option<usize> {
        let producers = self.graph.producers();
        let mut value = *self.graph.outputs.first()?;
        loop {
            let node = &self.graph.nodes[producers[value.0]?.0];
            let input = node.inputs.first().copied().flatten()?;
            match &node.op {
                Op::Arg(op) => return self.graph.value(input).ty.shape.get(op.axis).copied(),
                Op::Cast(_) | Op::Reshape(_) => value = input,
                _ => return None,
            }
        }
    }

    /// Whether the channels of a shape of four axes are last, and its channels, height and width. The grid has the
    /// input's proportions; where both readings have them, the channels lie as in the input.
    fn image(&self, shape: &[usize]) -> Option<(bool, usize, usize, usize)> {
        let &[1, a, b, c] = shape else { return None };
        if a == 0 || b == 0 || c == 0 {
            return None;
        }
        let first = (false, a, b, c);
        let last = (true, c, a, b);
        // The cells of a grid are as wide as high, but for rounding.
        let fits = |&(_, _, height, width): &(bool, usize, usize, usize)| {
            let across = self.size.0 as f64 / width as f64;
            let down = self.size.1 as f64 / height as f64;
            (across / down - 1.0).abs() < 0.15
        };
        match (fits(&first), fits(&last)) {
            (true, false) => Some(first),
            (false, true) => Some(last),
            _ if self.layout == Layout::Nchw => Some(first),
            _ => Some(last),
        }
    }

    /// The error that says what was found, and what would be known.
    fn unknown(&self, asked: Option<Form>) -> VisionError {
        let output = |id| {
            let value = self.graph.value(id);
            format!("{} {} {:?}", value.name, value.ty.dtype, value.ty.shape)
        };
        let found = self.graph.outputs.iter().map(|id| output(*id)).collect::<Vec<_>>().join(", ");
        match asked {
            Some(form) => VisionError::OtherOutputs { found, form, shapes: form.shapes() },
            None => VisionError::UnknownOutputs { found },
        }
    }
}

/// How many keypoints of three numbers these are.
fn points(numbers: usize) -> Option<usize> {
    numbers.is_multiple_of(3).then_some(numbers / 3)
}
