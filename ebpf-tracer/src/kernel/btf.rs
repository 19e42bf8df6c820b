//! Where members of the kernel's structures are, by the description that the kernel carries: BTF
//! (<https://docs.kernel.org/bpf/btf.html>).

use std::collections::HashMap;
use std::{fs, io};

/// Where the kernel keeps it.
const PLACE: &str = "/sys/kernel/btf/vmlinux";
/// As deep as structures within structures are followed.
const DEPTH: u32 = 32;

/// The description cannot be had, or lacks what is needed.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// It is not there.
    #[error(
        "the kernel does not describe its structures ({PLACE}: {0}); it has to be built with CONFIG_DEBUG_INFO_BTF=y"
    )]
    Missing(#[source] io::Error),
    /// It is damaged, or of a kind that is not known.
    #[error("the description of the kernel's structures cannot be read: {what} at byte {at}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// There is no such structure or member.
    #[error("the kernel has no {0}; it may be newer than this program, or built without networking")]
    Unknown(String),
}

/// The description of a kernel's structures.
#[derive(Debug)]
pub struct KernelTypes {
    bytes: Vec<u8>,
    strings: usize,
    /// Where each type is described; type 0 is none.
    places: Vec<u32>,
    /// Structures and unions by name.
    named: HashMap<Vec<u8>, u32>,
    /// Functions, and types of the tracepoints' functions, by name.
    functions: HashMap<Vec<u8>, u32>,
}

/// The beginning of a type's description.
#[derive(Clone, Copy)]
struct Type {
    kind: u32,
    count: usize,
    /// Places of members are told with a width in bits.
    bits: bool,
    /// Of what is only another name or another use of a type: this type.
    inner: u32,
    /// Where its details begin.
    details: usize,
}

const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
const FUNCTION: u32 = 12;
/// What the name of the type of a tracepoint's function begins with.
const TRACEPOINT: &str = "btf_trace_";

impl KernelTypes {
    /// That of the running kernel.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn of_this_kernel() -> Result<Self, BtfError> {
        Self::parse(fs::read(PLACE).map_err(BtfError::Missing)?)
    }

    /// Reads a description.
    ///
    /// # Errors
    /// When it is damaged, or of a kind that is not known.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        const MAGIC: u32 = 0xeb9f;
        let header = |word: usize| word_at(&bytes, word * 4).ok_or(BtfError::Damaged { what: "no header", at: 0 });
        if header(0)? & 0xffff != MAGIC {
            return Err(BtfError::Damaged { what: "no BTF of this machine's byte order", at: 0 });
        }
        let length = header(1)? as usize;
        let begin = length.saturating_add(header(2)? as usize);
        let end = begin.saturating_add(header(3)? as usize);
        let strings = length.saturating_add(header(4)? as usize);
        if end > bytes.len() || strings > bytes.len() {
            return Err(BtfError::Damaged { what: "shorter than it says", at: bytes.len() });
        }
        let mut types = Self { bytes, strings, places: vec![0], named: HashMap::new(), functions: HashMap::new() };
        let mut at = begin;
        while at < end {
            let id = types.places.len() as u32;
            types.places.push(at as u32);
            let found = types.at(at)?;
            if matches!(found.kind, STRUCT | UNION | FUNCTION | TYPEDEF) {
                let name = types.name(word_at(&types.bytes, at).unwrap_or(0)).to_owned();
                match found.kind {
                    FUNCTION => _ = types.functions.entry(name).or_insert(id),
                    TYPEDEF if name.starts_with(TRACEPOINT.as_bytes()) => _ = types.functions.entry(name).or_insert(id),
                    STRUCT | UNION if !name.is_empty() => _ = types.named.entry(name).or_insert(id),
                    _ => {}
                }
            }
            at = found.details
                + details(found.kind, found.count).ok_or(BtfError::Damaged { what: "unknown kind", at })?;
        }
        Ok(types)
    }

    /// Number of a structure.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn structure(&self, name: &str) -> Result<u32, BtfError> {
        self.named.get(name.as_bytes()).copied().ok_or_else(|| BtfError::Unknown(name.to_owned()))
    }

    /// Number of a function, if there is one of this name.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<u32> {
        self.functions.get(name.as_bytes()).copied()
    }

    /// Whether there is a tracepoint of this name.
    #[must_use]
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.functions.contains_key(format!("{TRACEPOINT}{name}").as_bytes())
    }

    /// Offset in bytes of a member: structure, members within members, with dots between.
    ///
    /// # Errors
    /// When there is no such structure or member.
    pub fn offset(&self, path: &str) -> Result<u32, BtfError> {
        let unknown = || BtfError::Unknown(path.to_owned());
        let mut names = path.split('.');
        let first = names.next().unwrap_or_default();
        let mut id = *self.named.get(first.as_bytes()).ok_or_else(unknown)?;
        let mut offset = 0;
        for name in names {
            let (at, inner) = self.member(id, name.as_bytes(), DEPTH).ok_or_else(unknown)?;
            offset = at.checked_add(offset).ok_or_else(unknown)?;
            id = inner;
        }
        Ok(offset)
    }

    /// A member of a structure, or of one without a name within it: its offset and type.
    fn member(&self, id: u32, name: &[u8], depth: u32) -> Option<(u32, u32)> {
        let found = self.plain(id)?;
        if depth == 0 || (found.kind != STRUCT && found.kind != UNION) {
            return None;
        }
        (0..found.count).find_map(|number| {
            let at = found.details + number * 12;
            let [called, inner, place] = [0, 4, 8].map(|more| word_at(&self.bytes, at + more).unwrap_or(0));
            let bits = if found.bits { place & 0x00ff_ffff } else { place };
            match self.name(called) {
                b"" => self
                    .member(inner, name, depth - 1)
                    .and_then(|(more, inner)| Some(((bits / 8).checked_add(more)?, inner))),
                other if other == name => Some((bits / 8, inner)),
                _ => None,
            }
        })
    }

    /// A type without its other names and uses (`typedef`, `const`, …).
    fn plain(&self, id: u32) -> Option<Type> {
        let mut id = id;
        for _ in 0..DEPTH {
            let found = self.at(*self.places.get(id as usize)? as usize).ok()?;
            match found.kind {
                8..=11 | 18 => id = found.inner,
                _ => return Some(found),
            }
        }
        None
    }

    fn at(&self, at: usize) -> Result<Type, BtfError> {
        let word = |more| word_at(&self.bytes, at + more).ok_or(BtfError::Damaged { what: "cut short", at });
        let (info, inner) = (word(4)?, word(8)?);
        let (kind, count, bits) = (info >> 24 & 0x1f, (info & 0xffff) as usize, info >> 31 == 1);
        Ok(Type { kind, count, bits, inner, details: at + 12 })
    }

    fn name(&self, offset: u32) -> &[u8] {
        let text = self.bytes.get(self.strings + offset as usize..).unwrap_or_default();
        text.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

/// Bytes of a type's details.
fn details(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // Pointers, declarations, other names and uses, functions, floats.
        2 | 7..=12 | 16 | 18 => 0,
        // Integers, variables, declaration tags.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        // Structures, unions, sections, large enumerations.
        STRUCT | UNION | 15 | 19 => 12 * count,
        // Enumerations, prototypes.
        6 | 13 => 8 * count,
        _ => return None,
    })
}

fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A description with `struct outer { int a; union { int b; const inner c; }; }` and `struct inner { int d : 32 at bit 64 }`.
    /// `nameless` is the type of the member without a name: 3 is the union.
    fn outer(nameless: u32) -> Vec<u8> {
        let strings = b"\0int\0outer\0a\0b\0c\0inner\0d\0cast\0btf_trace_there\0";
        let name = |text: &str| {
            strings.windows(text.len() + 2).position(|at| at == [b"\0", text.as_bytes(), b"\0"].concat()).unwrap()
                as u32
                + 1
        };
        let info = |kind: u32, count: u32, bits: u32| kind << 24 | count | bits << 31;
        let types: Vec<u32> = [
            vec![name("int"), info(1, 0, 0), 4, 32],
            vec![name("outer"), info(STRUCT, 2, 0), 16, name("a"), 1, 0, 0, nameless, 32],
            vec![0, info(UNION, 2, 0), 12, name("b"), 1, 0, name("c"), 4, 0],
            vec![0, info(10, 0, 0), 5],
            vec![name("inner"), info(STRUCT, 1, 1), 12, name("d"), 1, 32 << 24 | 64],
            vec![name("cast"), info(FUNCTION, 0, 0), 1],
            vec![name("btf_trace_there"), info(TYPEDEF, 0, 0), 1],
        ]
        .concat();
        let length = 4 * types.len() as u32;
        let header = [0x1_eb9f, 24, 0, length, length, strings.len() as u32];
        header.iter().chain(&types).flat_map(|word| word.to_ne_bytes()).chain(*strings).collect()
    }

    #[test]
    fn members_within_members_without_names() {
        let types = KernelTypes::parse(outer(3)).unwrap();
        let offset = |path| types.offset(path).unwrap();
        assert_eq!([offset("outer.a"), offset("outer.b"), offset("outer.c"), offset("outer.c.d")], [0, 4, 4, 12]);
        assert_eq!(
            (types.structure("inner").unwrap(), types.function("cast"), types.function("inner")),
            (5, Some(6), None)
        );
    }

    #[test]
    fn a_tracepoint() {
        let types = KernelTypes::parse(outer(3)).unwrap();
        assert_eq!(
            ["there", "cast", "", "elsewhere"].map(|name| types.has_tracepoint(name)),
            [true, false, false, false]
        );
    }

    #[test]
    fn what_is_not_there_is_named() {
        let types = KernelTypes::parse(outer(3)).unwrap();
        for path in ["none", "outer.none", "outer.a.none", "outer.c.none", ""] {
            let error = types.offset(path).unwrap_err();
            assert!(matches!(&error, BtfError::Unknown(name) if name == path), "{error}");
        }
        assert!(types.offset("outer.none").unwrap_err().to_string().starts_with("the kernel has no outer.none"));
    }

    #[test]
    fn a_structure_that_contains_itself() {
        let types = KernelTypes::parse(outer(2)).unwrap();
        assert!(types.offset("outer.b").is_err());
        assert_eq!(types.offset("outer.a").unwrap(), 0);
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_description(at in 0..200usize, value: u8, length in 0..300usize) {
            let mut bytes = outer(3);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            bytes.truncate(length);
            if let Ok(types) = KernelTypes::parse(bytes) {
                for path in ["outer.a", "outer.c.d", "inner.d"] {
                    let _ = types.offset(path);
                }
            }
        }
    }
}
