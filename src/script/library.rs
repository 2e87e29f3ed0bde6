//! Libraries of functions, as all workers know them.
//!
//! The set of all libraries is a value that never changes: whoever loads or deletes one puts another set in its
//! place. A worker loads the code of a library into its own interpreter when it first calls one of its functions.

use super::flags;
pub use super::flags::FunctionFlags;
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The name of the only engine.
pub const ENGINE: &str = "LUA";

/// Why a name of a library or function is refused.
pub const INVALID_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and must be at \
                                least one character long";

/// Whether a library or function may be called so.
pub fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// A function that a library has registered in one interpreter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    pub name: Vec<u8>,
    pub description: Option<Vec<u8>>,
    pub flags: FunctionFlags,
    /// The number of the Lua function in its interpreter.
    pub callback: c_int,
}

/// What everybody knows of a function.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: Vec<u8>,
    pub description: Option<Vec<u8>>,
    pub flags: FunctionFlags,
}

/// A loaded library.
#[derive(Debug)]
pub struct Library {
    /// No other library, also none of the same name, has it.
    pub id: u64,
    pub name: Vec<u8>,
    /// All of it, with its first line.
    pub text: Bytes,
    pub code_at: usize,
    pub functions: Vec<Function>,
    /// One of its functions was found to touch keys that were not declared, or to write.
    pub wanders: AtomicBool,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Library {
    /// A library without functions, which are known when its code has run.
    ///
    /// # Errors
    /// What is wrong with its first line.
    pub fn parse(text: &[u8]) -> Result<Library, Vec<u8>> {
        let (engine, name, code_at) = flags::of_library(text)?;
        if !is_valid_name(&name) {
            return Err(INVALID_NAME.into());
        }
        if !engine.eq_ignore_ascii_case(ENGINE.as_bytes()) {
            return Err([b"Engine '", engine.as_slice(), b"' not found"].concat());
        }
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Library {
            id,
            name,
            text: Bytes::copy_from_slice(text),
            code_at,
            functions: Vec::new(),
            wanders: AtomicBool::new(false),
        })
    }

    pub fn code(&self) -> &[u8] {
        &self.text[self.code_at..]
    }
}

/// A set of libraries.
#[derive(Clone, Default, Debug)]
pub struct Libraries {
    by_name: BTreeMap<Vec<u8>, Arc<Library>>,
    /// By name in lower case: library, and number in it.
    functions: HashMap<Vec<u8>, (Arc<Library>, usize)>,
}

impl Libraries {
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Library>> {
        self.by_name.values()
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub fn functions(&self) -> usize {
        self.functions.len()
    }

    pub fn get(&self, name: &[u8]) -> Option<&Arc<Library>> {
        self.by_name.get(name)
    }

    /// The function of this name, in any case.
    pub fn function(&self, name: &[u8]) -> Option<(&Arc<Library>, &Function)> {
        let (library, number) = self.functions.get(&name.to_ascii_lowercase())?;
        Some((library, &library.functions[*number]))
    }

    /// Adds a library; one of the same name gives way if it may be replaced.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn add(&mut self, library: Arc<Library>, replace: bool) -> Result<(), Vec<u8>> {
        if self.by_name.contains_key(&library.name) && !replace {
            return Err([b"Library '", library.name.as_slice(), b"' already exists"].concat());
        }
        for function in &library.functions {
            if let Some((other, _)) = self.function(&function.name)
                && other.name != library.name
            {
                return Err([b"Function ", function.name.as_slice(), b" already exists"].concat());
            }
        }
        self.remove(&library.name);
        for (number, function) in library.functions.iter().enumerate() {
            self.functions.insert(function.name.to_ascii_lowercase(), (library.clone(), number));
        }
        self.by_name.insert(library.name.clone(), library);
        Ok(())
    }

    /// Removes a library; false if there is none of this name.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(library) = self.by_name.remove(name) else { return false };
        for function in &library.functions {
            self.functions.remove(&function.name.to_ascii_lowercase());
        }
        true
    }

    /// Adds all of another set.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn join(&mut self, others: &Libraries, replace: bool) -> Result<(), Vec<u8>> {
        let mut joined = self.clone();
        if let Some(library) = others.iter().find(|library| self.get(&library.name).is_some())
            && !replace
        {
            return Err([b"Library ", library.name.as_slice(), b" already exists"].concat());
        }
        others.iter().for_each(|library| {
            joined.remove(&library.name);
        });
        for library in others.iter() {
            joined.add(library.clone(), false)?;
        }
        *self = joined;
        Ok(())
    }

    /// Memory of the texts, bytes.
    pub fn bytes(&self) -> usize {
        self.iter().map(|library| library.text.len() + library.name.len()).sum()
    }
}

/// The libraries of the server.
#[derive(Default)]
pub struct Functions {
    current: RwLock<Arc<Libraries>>,
    generation: AtomicU64,
}

impl Functions {
    /// Changes with every change of the set.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn current(&self) -> Arc<Libraries> {
        self.current.read().clone()
    }

    /// Changes the set, unless that fails.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn change<T, E>(&self, change: impl FnOnce(&mut Libraries) -> Result<T, E>) -> Result<T, E> {
        let mut current = self.current.write();
        let mut next = Libraries::clone(&current);
        let result = change(&mut next)?;
        *current = Arc::new(next);
        self.generation.fetch_add(1, Ordering::Release);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &str, functions: &[&str]) -> Arc<Library> {
        let mut library = Library::parse(format!("#!lua name={name}\n").as_bytes()).unwrap();
        let function = |name: &&str| Function {
            name: name.as_bytes().to_vec(),
            description: None,
            flags: FunctionFlags::empty(),
        };
        library.functions = functions.iter().map(function).collect();
        Arc::new(library)
    }

    #[test]
    fn sets_of_libraries() {
        let mut set = Libraries::default();
        set.add(library("a", &["f", "g"]), false).unwrap();
        assert_eq!(set.add(library("a", &["h"]), false), Err(b"Library 'a' already exists".to_vec()));
        assert_eq!(set.add(library("b", &["F"]), false), Err(b"Function F already exists".to_vec()));
        set.add(library("a", &["g", "h"]), true).unwrap();
        assert!(set.function(b"f").is_none() && set.function(b"H").is_some());
        let mut others = Libraries::default();
        others.add(library("b", &["x"]), false).unwrap();
        others.add(library("a", &["y"]), false).unwrap();
        assert_eq!(set.join(&others, false), Err(b"Library a already exists".to_vec()));
        assert_eq!((set.len(), set.functions()), (1, 2));
        set.join(&others, true).unwrap();
        assert_eq!((set.len(), set.functions()), (2, 2));
        let mut collides = Libraries::default();
        collides.add(library("c", &["x"]), false).unwrap();
        assert_eq!(set.join(&collides, true), Err(b"Function x already exists".to_vec()));
        assert!(set.remove(b"a") && !set.remove(b"a"));
        assert_eq!((set.len(), set.functions()), (1, 1));
    }

    #[test]
    fn what_a_library_is_called() {
        assert_eq!(Library::parse(b"#!lua name=a-b\n").unwrap_err(), INVALID_NAME.as_bytes());
        assert_eq!(Library::parse(b"#!js name=a\n").unwrap_err(), b"Engine 'js' not found");
        assert_eq!(Library::parse(b"#!LUA name=a\nx").unwrap().code(), b"\nx");
    }
}
