//! The graph's inputs: sizes that the file leaves open are bound here.

use std::collections::BTreeMap;

use kinglet_graph::TensorType;

use super::builder::Builder;
use super::options::Options;
use super::schema::{Dimension, TensorTypeProto, ValueInfoProto};
use super::tensors;
use crate::ImportError;

/// Adds the inputs that the graph will be given, and those that the caller makes constants.
pub fn add(builder: &mut Builder<'_>, inputs: &[ValueInfoProto], options: &Options<'_>) -> Result<(), ImportError> {
    require_known_names(inputs, options)?;
    require_open_sizes(inputs, options)?;
    let mut sizes = options.sizes.clone();
    for input in inputs {
        let name = &input.name;
        if let Some(value) = options.values.get(name) {
            builder.charge(value.ty().bytes())?;
            builder.add_bound(name, value.clone())?;
            continue;
        }
        let wrong = |problem| ImportError::Tensor { tensor: name.clone(), problem };
        let ty = tensor_type(input).map_err(wrong)?;
        let dtype = tensors::element_type(ty.elem_type.into()).map_err(wrong)?;
        let shape = match options.shapes.get(name) {
            Some(shape) => given_shape(shape, ty).map_err(wrong)?,
            None => shape(name, ty, &mut sizes).map_err(wrong)?,
        };
        builder.add_input(name, TensorType::new(dtype, shape))?;
    }
    Ok(())
}

/// Demands that the caller speaks of inputs that there are.
fn require_known_names(inputs: &[ValueInfoProto], options: &Options<'_>) -> Result<(), ImportError> {
    let mut given = options.shapes.keys().chain(options.values.keys());
    match given.find(|name| inputs.iter().all(|input| input.name != **name)) {
        None => Ok(()),
        Some(unknown) => {
            let known: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            let problem = format!("is no input of the model, which has {}", known.join(", "));
            Err(ImportError::Tensor { tensor: unknown.clone(), problem })
        }
    }
}

/// Demands that each size that the caller gives is one that the file leaves open, or says itself.
fn require_open_sizes(inputs: &[ValueInfoProto], options: &Options<'_>) -> Result<(), ImportError> {
    let mut sizes = options.sizes.clone();
    let mut open = Vec::new();
    for input in inputs {
        let dims = tensor_type(input).ok().and_then(|ty| ty.shape.as_ref()).map_or(&[][..], |shape| &shape.dim);
        for (axis, dim) in dims.iter().enumerate() {
            let place = format!("{}:{axis}", input.name);
            match fixed(dim) {
                Some(size) if sizes.get(&place).is_some_and(|given| i64::try_from(*given) != Ok(size)) => {
                    let problem = format!("axis {axis} has the size {size}, and no other one can be given");
                    return Err(ImportError::Tensor { tensor: input.name.clone(), problem });
                }
                Some(_) => {}
                None => {
                    let symbol = symbol(dim);
                    symbol.and_then(|symbol| sizes.remove(symbol));
                    let name = symbol.unwrap_or(&place);
                    if !open.iter().any(|open| open == name) {
                        open.push(name.to_owned());
                    }
                }
            }
            sizes.remove(&place);
        }
    }
    match sizes.keys().next() {
        None => Ok(()),
        Some(name) if open.is_empty() => {
            Err(ImportError::Version(format!("the size of {name:?} cannot be given: the file leaves none open")))
        }
        Some(name) => Err(ImportError::Version(format!("no axis is called {name:?}; open are {}", open.join(", ")))),
    }
}

/// The size of an axis, where the file gives it.
fn fixed(dim: &Dimension) -> Option<i64> {
    dim.dim_value.filter(|value| *value >= 0)
}

/// The name of an axis, where it has one.
fn symbol(dim: &Dimension) -> Option<&str> {
    dim.dim_param.as_deref().filter(|symbol| !symbol.is_empty())
}

fn tensor_type(input: &ValueInfoProto) -> Result<&TensorTypeProto, String> {
    let ty = input.r#type.as_ref().ok_or("it has no type")?;
    if ty.sequence_type.is_some() {
        return Err("it is a sequence, which is not supported; only tensors are".to_owned());
    }
    if ty.optional_type.is_some() {
        return Err("it is optional, which is not supported; only tensors are".to_owned());
    }
    ty.tensor_type.as_ref().ok_or_else(|| "it is no tensor; nothing else is supported".to_owned())
}

/// The shape that the caller gives, where the file allows it.
fn given_shape(given: &[usize], ty: &TensorTypeProto) -> Result<Vec<usize>, String> {
    let dims = ty.shape.as_ref().map(|shape| shape.dim.as_slice());
    let fits =
        |(size, dim): (&usize, &Dimension)| dim.dim_value.is_none_or(|value| usize::try_from(value) == Ok(*size));
    match dims {
        Some(dims) if dims.len() != given.len() || !given.iter().zip(dims).all(fits) => {
            let dims: Vec<String> = dims.iter().map(describe).collect();
            Err(format!("it cannot have the shape {given:?}, as it has [{}]", dims.join(", ")))
        }
        _ => Ok(given.to_vec()),
    }
}

fn describe(dim: &Dimension) -> String {
    match (dim.dim_value, &dim.dim_param) {
        (Some(value), _) => value.to_string(),
        (None, Some(name)) if !name.is_empty() => name.clone(),
        _ => "?".to_owned(),
    }
}

/// The shape that the file gives, with open sizes bound. A name has one size throughout the model.
fn shape(name: &str, ty: &TensorTypeProto, sizes: &mut BTreeMap<String, usize>) -> Result<Vec<usize>, String> {
    let dims = ty.shape.as_ref().map(|shape| shape.dim.as_slice());
    let dims = dims.ok_or("the file leaves its number of axes open; give its shape (--shape INPUT=1x3x224x224)")?;
    let mut shape = Vec::new();
    for (axis, dim) in dims.iter().enumerate() {
        let place = format!("{name}:{axis}");
        let symbol = symbol(dim);
        let bound = sizes.get(&place).or_else(|| symbol.and_then(|symbol| sizes.get(symbol))).copied();
        let size = match (fixed(dim), bound) {
            (Some(size), _) => size,
            (None, Some(bound)) => i64::try_from(bound).unwrap_or(i64::MAX),
            (None, None) if axis == 0 => 1,
            (None, None) => {
                let key = symbol.unwrap_or(&place);
                return Err(format!("the file leaves the size of axis {axis} open; give it (--dim {key}=SIZE)"));
            }
        };
        if let Some(symbol) = symbol
            && bound.is_none()
        {
            sizes.insert(symbol.to_owned(), usize::try_from(size).unwrap_or(usize::MAX));
        }
        shape.push(size);
    }
    tensors::shape(&shape)
}
