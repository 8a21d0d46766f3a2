//! Activation functions written with several operators become one.

use kinglet_graph::ops::*;
use kinglet_graph::passes::fuse_functions;
use kinglet_graph::{Op, Tensor, ValueId};

use super::builder::{self, Builder};
use super::network::{binary, float};
use super::{answers, assert_close};

fn number(b: &mut Builder, value: f32) -> ValueId {
    b.graph.add_constant("number", Tensor::new([], vec![value]).unwrap())
}

/// Checks that what `write` makes of an input becomes one operator of this name, or nothing does.
fn check(write: impl Fn(&mut Builder, ValueId) -> ValueId, expected: Option<&str>) {
    let mut b = Builder::default();
    let x = b.input("x", float([1, 4, 4, 2]));
    let y = write(&mut b, x);
    b.output(y);
    let before = answers(&b.graph);
    assert_eq!(fuse_functions(&mut b.graph), Ok(usize::from(expected.is_some())), "{}", b.graph);
    assert_close(&answers(&b.graph), &before);
    if let Some(name) = expected {
        let last = b.graph.nodes.last().unwrap();
        assert_eq!((last.op.name(), &last.inputs[..]), (name, &[Some(x)][..]));
    }
}

fn shifted_relu6(b: &mut Builder, x: ValueId) -> ValueId {
    let three = number(b, 3.0);
    let sum = b.same("sum", builder::add(), &[x, three]);
    b.same("relu6", Op::Unary(Unary::Relu6), &[sum])
}

#[test]
fn silu_is_recognized() {
    for turned in [false, true] {
        let silu = |b: &mut Builder, x| {
            let gate = b.same("gate", Op::Unary(Unary::Logistic), &[x]);
            let operands = if turned { [gate, x] } else { [x, gate] };
            b.same("silu", binary(BinaryKind::Multiply), &operands)
        };
        check(silu, Some("Silu"));
    }
    let another = |b: &mut Builder, x| {
        let gate = b.same("gate", Op::Unary(Unary::Logistic), &[x]);
        let other = b.same("other", Op::Unary(Unary::Tanh), &[x]);
        b.same("gated", binary(BinaryKind::Multiply), &[other, gate])
    };
    check(another, None);
    let read_twice = |b: &mut Builder, x| {
        let gate = b.same("gate", Op::Unary(Unary::Logistic), &[x]);
        let silu = b.same("silu", binary(BinaryKind::Multiply), &[x, gate]);
        b.same("sum", builder::add(), &[silu, gate])
    };
    check(read_twice, None);
}

#[test]
fn hard_swish_is_recognized_in_each_order() {
    let multiply = || binary(BinaryKind::Multiply);
    let product_first = |b: &mut Builder, x| {
        let gate = shifted_relu6(b, x);
        let product = b.same("product", multiply(), &[x, gate]);
        let six = number(b, 6.0);
        b.same("y", binary(BinaryKind::Divide), &[product, six])
    };
    check(product_first, Some("HardSwish"));
    let gate_first = |b: &mut Builder, x| {
        let gate = shifted_relu6(b, x);
        let sixth = number(b, 1.0 / 6.0);
        let gate = b.same("gate", multiply(), &[gate, sixth]);
        b.same("y", multiply(), &[gate, x])
    };
    check(gate_first, Some("HardSwish"));
    let number_first = |b: &mut Builder, x| {
        let gate = shifted_relu6(b, x);
        let sixth = number(b, 1.0 / 6.0);
        let scaled = b.same("scaled", multiply(), &[x, sixth]);
        b.same("y", multiply(), &[gate, scaled])
    };
    check(number_first, Some("HardSwish"));
    let by_five = |b: &mut Builder, x| {
        let gate = shifted_relu6(b, x);
        let product = b.same("product", multiply(), &[x, gate]);
        let five = number(b, 5.0);
        b.same("y", binary(BinaryKind::Divide), &[product, five])
    };
    check(by_five, None);
}
