//! Einsum: sums of products over axes that have names, as NumPy's `einsum` writes them.

use kinglet_graph::ops::{Gather, Reduce, ReduceKind};
use kinglet_graph::{Op, ValueId};

use super::{Problem, invalid, matrix};
use crate::onnx::builder::Builder;
use crate::onnx::operator::Operator;

/// The name of an axis: a letter, or one of those that an ellipsis stands for, counted from the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Ellipsis(std::cmp::Reverse<usize>),
    Letter(char),
}

/// A tensor whose axes have names.
struct Term {
    value: ValueId,
    labels: Vec<Label>,
}

/// Einsum. The operands are multiplied one after another; an axis is summed over as soon as no other operand and not
/// the result has it.
pub fn einsum(b: &mut Builder<'_>, op: &Operator<'_>) -> Result<Vec<ValueId>, Problem> {
    let equation: String = op.text_or("equation", "")?.chars().filter(|c| !c.is_whitespace()).collect();
    let inputs = op.inputs(b)?;
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    let subscripts: Vec<&str> = left.split(',').collect();
    if subscripts.len() != inputs.len() {
        return invalid(format!("its equation {equation:?} is not one of {} operands", inputs.len()));
    }
    let mut terms = Vec::new();
    for (value, text) in inputs.into_iter().zip(subscripts) {
        let labels = labels(text, Some(b.ty(value).shape.len()))?;
        terms.push(Term { value, labels });
    }
    let output = match right {
        Some(right) => {
            let ellipsis = terms.iter().map(|term| ellipsis_axes(&term.labels)).max().unwrap_or(0);
            let letters = right.replace("...", "").chars().count();
            let axes = letters + if right.contains("...") { ellipsis } else { 0 };
            labels(right, Some(axes))?
        }
        None => implicit_output(&terms),
    };
    drop_broadcast_axes(b, &mut terms)?;
    for term in &mut terms {
        take_diagonals(b, term)?;
    }
    let mut terms = terms.into_iter();
    let Some(mut product) = terms.next() else { return invalid("it has no operands") };
    while let Some(next) = terms.next() {
        let needed =
            |label: &Label| output.contains(label) || terms.as_slice().iter().any(|t| t.labels.contains(label));
        product = contract(b, product, next, needed)?;
    }
    sum_over(b, &mut product, |label| !output.contains(label))?;
    let permutation: Option<Vec<usize>> = output.iter().map(|label| place(&product.labels, label)).collect();
    match permutation {
        Some(permutation) => Ok(vec![b.transpose(product.value, &permutation)?]),
        None => invalid(format!("its equation {equation:?} gives an axis that no operand has")),
    }
}

fn place(labels: &[Label], label: &Label) -> Option<usize> {
    labels.iter().position(|other| other == label)
}

fn ellipsis_axes(labels: &[Label]) -> usize {
    labels.iter().filter(|label| matches!(label, Label::Ellipsis(_))).count()
}

/// The labels of a tensor's axes; an ellipsis stands for as many as letters leave of `rank`.
fn labels(text: &str, rank: Option<usize>) -> Result<Vec<Label>, Problem> {
    let letters = |text: &str| text.chars().map(Label::Letter).collect::<Vec<Label>>();
    if text.replace("...", "").chars().any(|c| !c.is_ascii_alphabetic()) || text.matches("...").count() > 1 {
        return invalid(format!("its equation has the part {text:?}"));
    }
    let labels = match text.split_once("...") {
        None => letters(text),
        Some((before, after)) => {
            let (before, after) = (letters(before), letters(after));
            let axes = rank.and_then(|rank| rank.checked_sub(before.len() + after.len())).unwrap_or(0);
            let ellipsis = (0..axes).rev().map(|place| Label::Ellipsis(std::cmp::Reverse(place)));
            before.into_iter().chain(ellipsis).chain(after).collect()
        }
    };
    match rank {
        Some(rank) if rank != labels.len() => invalid(format!("its part {text:?} is not that of {rank} axes")),
        _ => Ok(labels),
    }
}

/// The result's labels where the equation leaves them out: those of the ellipsis, then letters that occur once, in
/// alphabetical order.
fn implicit_output(terms: &[Term]) -> Vec<Label> {
    let all: Vec<Label> = terms.iter().flat_map(|term| term.labels.iter().copied()).collect();
    let once = |label: &Label| all.iter().filter(|other| *other == label).count() == 1;
    let mut output: Vec<Label> =
        all.iter().filter(|label| matches!(label, Label::Ellipsis(_)) || once(label)).copied().collect();
    output.sort_unstable();
    output.dedup();
    output
}

/// An axis of size 1 that is longer in another operand is none of the operand's own.
fn drop_broadcast_axes(b: &mut Builder<'_>, terms: &mut [Term]) -> Result<(), Problem> {
    let sizes: Vec<(Label, usize)> =
        terms.iter().flat_map(|term| term.labels.iter().copied().zip(b.shape(term.value))).collect();
    for term in terms {
        let shape = b.shape(term.value);
        let longer = |label: &Label| sizes.iter().any(|(other, size)| other == label && *size > 1);
        let kept: Vec<(Label, usize)> =
            term.labels.iter().copied().zip(shape).filter(|(label, size)| *size != 1 || !longer(label)).collect();
        let (labels, shape): (Vec<Label>, Vec<usize>) = kept.into_iter().unzip();
        term.value = b.reshape(term.value, &shape)?;
        term.labels = labels;
    }
    Ok(())
}

/// An axis whose name an earlier one has is walked along with it.
fn take_diagonals(b: &mut Builder<'_>, term: &mut Term) -> Result<(), Problem> {
    while let Some(second) = (0..term.labels.len()).find(|axis| term.labels[..*axis].contains(&term.labels[*axis])) {
        let label = term.labels[second];
        let first = place(&term.labels, &label).unwrap_or(0);
        let rank = term.labels.len();
        let others: Vec<usize> = (0..rank).filter(|axis| *axis != first && *axis != second).collect();
        let shape = b.shape(term.value);
        let size = shape[first];
        if shape[second] != size {
            return invalid(format!("two axes of one name have the sizes {size} and {}", shape[second]));
        }
        let permutation: Vec<usize> = others.iter().copied().chain([first, second]).collect();
        let value = b.transpose(term.value, &permutation)?;
        let flat: Vec<usize> = others.iter().map(|axis| shape[*axis]).chain([size * size]).collect();
        let value = b.reshape(value, &flat)?;
        let diagonal: Vec<i64> = (0..size).map(|index| (index * (size + 1)) as i64).collect();
        let diagonal = b.constant_of(&[size], diagonal)?;
        term.value = b.emit(Op::Gather(Gather { axis: others.len(), batch_dims: 0 }), &[value, diagonal])?;
        term.labels = others.iter().map(|axis| term.labels[*axis]).chain([label]).collect();
    }
    Ok(())
}

/// Sums over the axes that are not wanted.
fn sum_over(b: &mut Builder<'_>, term: &mut Term, unwanted: impl Fn(&Label) -> bool) -> Result<(), Problem> {
    let axes: Vec<usize> = (0..term.labels.len()).filter(|axis| unwanted(&term.labels[*axis])).collect();
    if !axes.is_empty() {
        term.value = b.emit(Op::Reduce(Reduce { kind: ReduceKind::Sum, axes, keep_dims: false }), &[term.value])?;
        term.labels.retain(|label| !unwanted(label));
    }
    Ok(())
}

/// The product of two tensors, summed over the axes that both have and nothing needs any more: a product of matrices.
fn contract(
    b: &mut Builder<'_>,
    mut first: Term,
    mut second: Term,
    needed: impl Fn(&Label) -> bool,
) -> Result<Term, Problem> {
    let others = second.labels.clone();
    sum_over(b, &mut first, |label| !needed(label) && !others.contains(label))?;
    let others = first.labels.clone();
    sum_over(b, &mut second, |label| !needed(label) && !others.contains(label))?;
    let (shared, rows): (Vec<Label>, Vec<Label>) = first.labels.iter().partition(|label| second.labels.contains(label));
    let columns: Vec<Label> = second.labels.iter().filter(|label| !first.labels.contains(label)).copied().collect();
    let (batch, depth): (Vec<Label>, Vec<Label>) = shared.into_iter().partition(|label| needed(label));
    let (a, a_sizes) = matrices(b, &first, [&batch, &rows, &depth])?;
    let (c, c_sizes) = matrices(b, &second, [&batch, &depth, &columns])?;
    let product = if batch.is_empty() {
        let flat = |sizes: &[Vec<usize>]| [sizes[1].iter().product::<usize>(), sizes[2].iter().product()];
        let (a, c) = (b.reshape(a, &flat(&a_sizes))?, b.reshape(c, &flat(&c_sizes))?);
        matrix::product(b, a, c)?
    } else {
        b.emit(Op::MatMul, &[a, c])?
    };
    let shape = [&a_sizes[0][..], &a_sizes[1], &c_sizes[2]].concat();
    let value = b.reshape(product, &shape)?;
    Ok(Term { value, labels: [batch, rows, columns].concat() })
}

/// A tensor as matrices, each of whose three axes is made of the given ones, and the sizes of those.
fn matrices(b: &mut Builder<'_>, term: &Term, axes: [&[Label]; 3]) -> Result<(ValueId, [Vec<usize>; 3]), Problem> {
    let shape = b.shape(term.value);
    let places =
        |labels: &[Label]| labels.iter().filter_map(|label| place(&term.labels, label)).collect::<Vec<usize>>();
    let permutation: Vec<usize> = axes.iter().flat_map(|labels| places(labels)).collect();
    let sizes = axes.map(|labels| places(labels).into_iter().map(|axis| shape[axis]).collect::<Vec<usize>>());
    let value = b.transpose(term.value, &permutation)?;
    let flat: Vec<usize> = sizes.iter().map(|sizes| sizes.iter().product()).collect();
    Ok((b.reshape(value, &flat)?, sizes))
}
