//! Python's pickles, read as data.
//!
//! A pickle is a program for a stack machine that may name any Python function and call it. This machine knows no
//! function: a name stays a name ([`Object::Global`]), and a call becomes the record of a call ([`Object::Instance`])
//! whose reader decides what it means. Protocols 2 to 5, but for the opcodes that no file of PyTorch has. Source: the
//! comments of CPython's `pickletools.py`, which define the opcodes.

use std::collections::HashMap;

use super::reader::{Reader, size};
use crate::ImportError;

/// Opcodes that one pickle may have; each makes at most one object, one entry of the stack and one of the memo. A
/// checkpoint has about twenty for each tensor.
const MAX_OPCODES: usize = 1 << 21;

/// The place of an object in a [`Pickle`]. Objects refer to each other by these, so that cycles and deep nesting, which
/// a hostile file may have, cost nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(u32);

/// A Python object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Object<'a> {
    /// `None`, and bytes, sets, and integers beyond 128 bits, which nothing here reads.
    Other,
    /// A truth value or an integer.
    Integer(i128),
    Float(f64),
    Text(&'a str),
    /// A tuple or a list.
    Sequence(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// The name of a class or a function.
    Global(Name<'a>),
    /// What a call would have made.
    Instance(Box<Instance<'a>>),
    /// An object that is kept outside the pickle, by its identifier.
    Persistent(Id),
}

/// Module and name of a class or a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) module: &'a str,
    pub(super) name: &'a str,
}

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// The record of a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Instance<'a> {
    /// What is called.
    pub(super) callee: Name<'a>,
    /// What it is called with: a sequence.
    pub(super) arguments: Id,
    /// What was put into the result afterwards, if that is a dictionary.
    pub(super) items: Vec<(Id, Id)>,
}

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads one pickle, up to and with its STOP.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Pickle<'a>, ImportError> {
        let mut machine = Machine::default();
        for _ in 0..MAX_OPCODES {
            let opcode = reader.u8()?;
            if opcode == b'.' {
                let root = machine.pop()?;
                return Ok(Pickle { objects: machine.objects, root });
            }
            machine.step(opcode, reader)?;
        }
        Err(ImportError::TooLarge(format!("one of its pickles has more than {MAX_OPCODES} opcodes")))
    }

    /// The object that was pickled.
    pub(super) fn root(&self) -> Id {
        self.root
    }

    /// Every object of the pickle.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Object<'a>> {
        self.objects.iter()
    }

    pub(super) fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id.0 as usize]
    }

    /// The elements of a tuple or a list.
    pub(super) fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Object::Sequence(elements) => Some(elements),
            _ => None,
        }
    }

    pub(super) fn text(&self, id: Id) -> Option<&'a str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn integer<T: TryFrom<i128>>(&self, id: Id) -> Option<T> {
        match self.get(id) {
            Object::Integer(number) => T::try_from(*number).ok(),
            _ => None,
        }
    }
}

/// The stack machine.
#[derive(Default)]
struct Machine<'a> {
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at its marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8, reader: &mut Reader<'a>) -> Result<(), ImportError> {
        match opcode {
            // PROTO and FRAME say what the opcodes say as well.
            0x80 => drop(reader.u8()?),
            0x95 => drop(reader.u64()?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Object::Other),
            0x88 => self.push(Object::Integer(1)),
            0x89 => self.push(Object::Integer(0)),
            b'J' => {
                let number = i32::from_le_bytes(reader.array()?);
                self.push(Object::Integer(number.into()));
            }
            b'K' => {
                let number = reader.u8()?;
                self.push(Object::Integer(number.into()));
            }
            b'M' => {
                let number = reader.u16()?;
                self.push(Object::Integer(number.into()));
            }
            0x8a => {
                let length = reader.u8()?.into();
                self.push_long(reader.take(length)?);
            }
            0x8b => {
                let length = size(reader.u32()?.into())?;
                self.push_long(reader.take(length)?);
            }
            b'G' => {
                let number = f64::from_be_bytes(reader.array()?);
                self.push(Object::Float(number));
            }
            // Text, and the byte strings of Python 2, which were texts as well. BINBYTES and BYTEARRAY8 hold no text.
            b'U' | 0x8c | b'T' | b'X' | 0x8d | b'C' | b'B' | 0x8e | 0x96 => {
                let length = match opcode {
                    b'U' | b'C' | 0x8c => reader.u8()?.into(),
                    b'T' | b'X' | b'B' => reader.u32()?.into(),
                    _ => reader.u64()?,
                };
                let bytes = reader.take(size(length)?)?;
                let is_text = matches!(opcode, b'U' | 0x8c | b'T' | b'X' | 0x8d);
                let text = std::str::from_utf8(bytes).ok().filter(|_| is_text);
                self.push(text.map_or(Object::Other, Object::Text));
            }
            b'h' | b'j' => {
                let index = if opcode == b'h' { reader.u8()?.into() } else { reader.u32()? };
                let id = self.memo.get(&index).ok_or_else(|| damaged("it reads an object that it has not kept"))?;
                self.stack.push(*id);
            }
            b'q' | b'r' => {
                let index = if opcode == b'q' { reader.u8()?.into() } else { reader.u32()? };
                self.memo.insert(index, self.top()?);
            }
            0x94 => drop(self.memo.insert(self.memo.len() as u32, self.top()?)),
            b'c' => {
                let (module, name) = (text(reader.line()?)?, text(reader.line()?)?);
                self.push(Object::Global(Name { module, name }));
            }
            _ => return self.build(opcode),
        }
        Ok(())
    }

    /// The opcodes that make objects of those on the stack.
    fn build(&mut self, opcode: u8) -> Result<(), ImportError> {
        match opcode {
            b')' | b']' => self.push(Object::Sequence(Vec::new())),
            b't' | b'l' => {
                let elements = self.pop_to_mark()?;
                self.push(Object::Sequence(elements));
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let start = self.stack.len().checked_sub(count).filter(|start| *start >= self.floor());
                let elements = self.stack.split_off(start.ok_or_else(underflow)?);
                self.push(Object::Sequence(elements));
            }
            b'a' => {
                let element = self.pop()?;
                self.extend_sequence(vec![element])?;
            }
            b'e' => {
                let elements = self.pop_to_mark()?;
                self.extend_sequence(elements)?;
            }
            b'}' => self.push(Object::Dict(Vec::new())),
            b'd' => {
                let items = pairs(&self.pop_to_mark()?)?;
                self.push(Object::Dict(items));
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend_dict(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.extend_dict(&items)?;
            }
            // Sets, whose elements nothing reads: EMPTY_SET, ADDITEMS, FROZENSET.
            0x8f => self.push(Object::Other),
            0x90 => drop(self.pop_to_mark()?),
            0x91 => {
                self.pop_to_mark()?;
                self.push(Object::Other);
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.push(Object::Global(Name { module, name }));
            }
            // REDUCE and NEWOBJ call with a sequence; NEWOBJ_EX with named arguments as well, which nothing reads.
            b'R' | 0x81 | 0x92 => {
                if opcode == 0x92 {
                    self.pop()?;
                }
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let Object::Global(callee) = *self.object(callee) else {
                    return Err(damaged("it calls what is no function"));
                };
                self.push(Object::Instance(Box::new(Instance { callee, arguments, items: Vec::new() })));
            }
            // BUILD: attributes of the object below, such as the versions of a state dict's modules.
            b'b' => drop(self.pop()?),
            b'Q' => {
                let id = self.pop()?;
                self.push(Object::Persistent(id));
            }
            other => return Err(ImportError::Checkpoint(format!("its pickle has the unknown opcode 0x{other:02x}"))),
        }
        Ok(())
    }

    fn push(&mut self, object: Object<'a>) {
        // MAX_OPCODES keeps this far below the limit of 32 bits.
        self.stack.push(Id(self.objects.len() as u32));
        self.objects.push(object);
    }

    /// Two's complement, little-endian, of any length.
    fn push_long(&mut self, bytes: &[u8]) {
        let fill = if bytes.last().is_some_and(|last| *last >= 0x80) { 0xff } else { 0 };
        let mut number = [fill; 16];
        self.push(match number.get_mut(..bytes.len()) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Object::Integer(i128::from_le_bytes(number))
            }
            None => Object::Other,
        });
    }

    fn object(&mut self, id: Id) -> &mut Object<'a> {
        &mut self.objects[id.0 as usize]
    }

    /// The height below which the last mark forbids to reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, ImportError> {
        self.stack[self.floor().min(self.stack.len())..].last().copied().ok_or_else(underflow)
    }

    fn pop(&mut self) -> Result<Id, ImportError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_text(&mut self) -> Result<&'a str, ImportError> {
        let id = self.pop()?;
        match self.object(id) {
            Object::Text(text) => Ok(text),
            _ => Err(damaged("it names a function by what is no text")),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, ImportError> {
        let mark = self.marks.pop().ok_or_else(|| damaged("it asks for a mark that was not set"))?;
        Ok(self.stack.split_off(mark))
    }

    /// Appends to the sequence on top of the stack. What a call made may be anything: it is not looked into.
    fn extend_sequence(&mut self, new: Vec<Id>) -> Result<(), ImportError> {
        let top = self.top()?;
        match self.object(top) {
            Object::Sequence(elements) => elements.extend(new),
            Object::Instance(_) => (),
            _ => return Err(damaged("it appends to what is no list")),
        }
        Ok(())
    }

    /// Puts keys and values, which alternate, into the dictionary on top of the stack.
    fn extend_dict(&mut self, new: &[Id]) -> Result<(), ImportError> {
        let (top, new) = (self.top()?, pairs(new)?);
        match self.object(top) {
            Object::Dict(items) => items.extend(new),
            Object::Instance(instance) => instance.items.extend(new),
            _ => return Err(damaged("it puts items into what is no dictionary")),
        }
        Ok(())
    }
}

fn pairs(ids: &[Id]) -> Result<Vec<(Id, Id)>, ImportError> {
    let (pairs, rest) = ids.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(damaged("a dictionary has a key without a value"));
    }
    Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
}

fn text(bytes: &[u8]) -> Result<&str, ImportError> {
    std::str::from_utf8(bytes).map_err(|_| damaged("a name in it is not UTF-8"))
}

fn underflow() -> ImportError {
    damaged("it takes more from its stack than there is")
}

fn damaged(problem: &str) -> ImportError {
    ImportError::Damaged(format!("its pickle is wrong: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Pickle<'_>, ImportError> {
        Pickle::read(&mut Reader::new(bytes))
    }

    #[test]
    fn objects_are_read() {
        // pickle.dumps({"a": [1, -2, 3.5], "b": (True, None)}, 2) of CPython 3.13.
        let bytes =
            b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffG@\x0c\x00\x00\x00\x00\x00\x00eX\
            \x01\x00\x00\x00bq\x03\x88N\x86q\x04u.";
        let pickle = read(bytes).unwrap();
        let Object::Dict(items) = pickle.get(pickle.root()) else { panic!() };
        assert_eq!(pickle.text(items[0].0), Some("a"));
        let numbers = pickle.sequence(items[0].1).unwrap();
        assert_eq!((pickle.integer(numbers[0]), pickle.integer(numbers[1])), (Some(1i64), Some(-2i64)));
        assert_eq!(pickle.integer::<usize>(numbers[1]), None);
        assert_eq!(pickle.get(numbers[2]), &Object::Float(3.5));
        assert_eq!(pickle.sequence(items[1].1).unwrap().len(), 2);
    }

    #[test]
    fn a_call_is_a_record_and_nothing_more() {
        // What pickle.dumps makes of an object whose __reduce__ gives (os.system, ("true",)).
        let pickle = read(b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.").unwrap();
        let Object::Instance(instance) = pickle.get(pickle.root()) else { panic!() };
        assert_eq!(instance.callee.to_string(), "posix.system");
        // The same by STACK_GLOBAL, protocol 4.
        let pickle =
            read(b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.").unwrap();
        assert!(matches!(pickle.get(pickle.root()), Object::Instance(call) if call.callee.name == "system"));
    }

    #[test]
    fn long_integers_have_their_sign() {
        let magic = read(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.").unwrap();
        assert_eq!(magic.integer(magic.root()), Some(0x1950_a86a_20f9_469c_fc6c_i128));
        let negative = read(b"\x8a\x02\x00\xff.").unwrap();
        assert_eq!(negative.integer(negative.root()), Some(-256i32));
        let zero = read(b"\x8a\x00.").unwrap();
        assert_eq!(zero.integer(zero.root()), Some(0u8));
    }

    #[test]
    fn wrong_pickles_are_refused() {
        for (bytes, problem) in [
            (&b"\x80\x02"[..], "ends before"),
            (b".", "more from its stack"),
            (b"K\x01(.", "more from its stack"),
            (b"K\x01K\x02(\x86.", "more from its stack"),
            (b"t.", "a mark"),
            (b"h\x07.", "has not kept"),
            (b"(K\x01d.", "without a value"),
            (b"NK\x01a.", "no list"),
            (b"NNNs.", "no dictionary"),
            (b"N)R.", "no function"),
            (b"X\xff\xff\xff\xffabc.", "ends before"),
            (b"c\xff\n\xff\n.", "not UTF-8"),
            (b"iposix\nsystem\n.", "opcode 0x69"),
        ] {
            let message = read(bytes).unwrap_err().to_string();
            assert!(message.contains(problem), "{bytes:?}: {message}");
        }
        let endless = vec![b'N'; MAX_OPCODES + 1];
        assert!(matches!(read(&endless), Err(ImportError::TooLarge(_))));
    }

    #[test]
    fn cycles_and_depth_cost_nothing() {
        // A list in itself; a tuple in a tuple in a tuple …
        assert!(read(b"]q\x00h\x00a.").is_ok());
        let mut deep = vec![b')'];
        deep.extend(vec![0x85; 1_000_000]);
        deep.push(b'.');
        assert!(read(&deep).is_ok());
    }
}
