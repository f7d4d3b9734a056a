//! An ONNX graph under construction: nodes, constants, and names that are given once.

use std::collections::HashMap;

use super::proto::{Attribute, Dimension, Extent, Graph, Node, Shape, Tensor, TensorType, Type, ValueInfo};
use super::proto::{attribute_type, data_type};

/// The extent of all inputs and outputs that is left open.
const BATCH: &str = "batch";

/// An ONNX graph under construction.
#[derive(Default)]
pub(super) struct Builder {
    graph: Graph,
    /// How often each name was asked for.
    names: HashMap<String, usize>,
}

impl Builder {
    /// Adds an operator. Its result is called `wanted` (after the operator, where that is empty), or the same with a number
    /// where there is one of that name; returns the name.
    pub fn node(&mut self, operator: &str, wanted: &str, inputs: &[&str], attributes: &[Attribute]) -> String {
        let name = self.unique(if wanted.is_empty() { operator } else { wanted });
        self.push(operator, inputs, vec![name.clone()], attributes);
        name
    }

    /// Adds an operator of so many results; returns their names.
    pub fn nodes(
        &mut self,
        operator: &str,
        wanted: &str,
        inputs: &[&str],
        attributes: &[Attribute],
        count: usize,
    ) -> Vec<String> {
        let names: Vec<String> = (0..count).map(|_| self.unique(wanted)).collect();
        self.push(operator, inputs, names.clone(), attributes);
        names
    }

    fn push(&mut self, operator: &str, inputs: &[&str], output: Vec<String>, attributes: &[Attribute]) {
        self.graph.node.push(Node {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            name: output[0].clone(),
            output,
            op_type: operator.to_owned(),
            attribute: attributes.to_vec(),
        });
    }

    /// Calls the value `old` `new`, which no other is called.
    pub fn rename(&mut self, old: &str, new: &str) {
        self.names.insert(new.to_owned(), 1);
        let names = self.graph.node.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
        names.filter(|name| *name == old).for_each(|name| *name = new.to_owned());
    }

    /// Adds a constant tensor of floats; returns its name, as [`Builder::node`] gives it.
    pub fn floats(&mut self, wanted: &str, extents: &[usize], numbers: &[f64]) -> String {
        let name = self.unique(wanted);
        let raw_data = numbers.iter().flat_map(|&number| (number as f32).to_le_bytes()).collect();
        let tensor = Tensor { dims: integers(extents), data_type: data_type::FLOAT, name: name.clone(), raw_data };
        self.graph.initializer.push(tensor);
        name
    }

    /// A single float; returns its name, the same for the same number.
    pub fn float(&mut self, number: f64) -> String {
        let name = format!("float:{number}");
        if self.names.contains_key(&name) { name } else { self.floats(&name, &[], &[number]) }
    }

    /// A list of integers, such as operators take for shapes and axes; returns its name, the same for the same list.
    pub fn list(&mut self, numbers: &[usize]) -> String {
        let text: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        self.integers(format!("list:{}", text.join(",")), vec![numbers.len() as i64], numbers)
    }

    /// A single integer; returns its name, the same for the same number.
    pub fn integer(&mut self, number: usize) -> String {
        self.integers(format!("integer:{number}"), Vec::new(), &[number])
    }

    fn integers(&mut self, name: String, dims: Vec<i64>, numbers: &[usize]) -> String {
        if self.names.insert(name.clone(), 1).is_none() {
            let raw_data = integers(numbers).into_iter().flat_map(i64::to_le_bytes).collect();
            let tensor = Tensor { dims, data_type: data_type::INT64, name: name.clone(), raw_data };
            self.graph.initializer.push(tensor);
        }
        name
    }

    /// Adds the input `name` of floats, `[batch, extents]`.
    pub fn input(&mut self, name: &str, extents: &[usize]) {
        self.names.insert(name.to_owned(), 1);
        self.graph.input.push(value_info(name, extents));
    }

    /// Says that the value `name` of floats, `[batch, extents]`, is an output.
    pub fn output(&mut self, name: &str, extents: &[usize]) {
        self.graph.output.push(value_info(name, extents));
    }

    /// The graph.
    pub fn finish(self, name: &str) -> Graph {
        Graph { name: name.to_owned(), ..self.graph }
    }

    /// `wanted`, or where that is taken, the same with a number behind.
    fn unique(&mut self, wanted: &str) -> String {
        let times = self.names.entry(wanted.to_owned()).or_default();
        *times += 1;
        match *times {
            1 => wanted.to_owned(),
            times => {
                let numbered = format!("{wanted}_{times}");
                self.unique(&numbered)
            }
        }
    }
}

fn value_info(name: &str, extents: &[usize]) -> ValueInfo {
    let fixed = integers(extents).into_iter().map(Extent::Fixed);
    let extents = std::iter::once(Extent::Named(BATCH.to_owned())).chain(fixed);
    let dim = extents.map(|extent| Dimension { value: Some(extent) }).collect();
    let tensor_type = TensorType { elem_type: data_type::FLOAT, shape: Some(Shape { dim }) };
    ValueInfo { name: name.to_owned(), r#type: Some(Type { tensor_type: Some(tensor_type) }) }
}

/// Numbers as ONNX counts.
fn integers(numbers: &[usize]) -> Vec<i64> {
    numbers.iter().map(|&number| number as i64).collect()
}

/// An attribute that is an integer.
pub(super) fn int(name: &str, value: usize) -> Attribute {
    Attribute { name: name.into(), i: Some(value as i64), r#type: attribute_type::INT, ..Attribute::default() }
}

/// An attribute that is a list of integers.
pub(super) fn ints(name: &str, values: &[usize]) -> Attribute {
    Attribute { name: name.into(), ints: integers(values), r#type: attribute_type::INTS, ..Attribute::default() }
}

/// An attribute that is a text.
pub(super) fn text(name: &str, value: &str) -> Attribute {
    Attribute { name: name.into(), s: Some(value.into()), r#type: attribute_type::STRING, ..Attribute::default() }
}
