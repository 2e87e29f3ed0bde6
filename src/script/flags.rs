//! What a script says of itself: the line that it begins with, and the flags in it.

use crate::resp::inline;
use bitflags::bitflags;

bitflags! {
    /// Flags of scripts and functions.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct FunctionFlags: u8 {
        const NO_WRITES = 1;
        const ALLOW_OOM = 1 << 1;
        const ALLOW_STALE = 1 << 2;
        const NO_CLUSTER = 1 << 3;
        const ALLOW_CROSS_SLOT_KEYS = 1 << 4;
    }
}

/// In the order in which FUNCTION LIST shows them.
const NAMES: [(&str, FunctionFlags); 5] = [
    ("no-writes", FunctionFlags::NO_WRITES),
    ("allow-oom", FunctionFlags::ALLOW_OOM),
    ("allow-stale", FunctionFlags::ALLOW_STALE),
    ("no-cluster", FunctionFlags::NO_CLUSTER),
    ("allow-cross-slot-keys", FunctionFlags::ALLOW_CROSS_SLOT_KEYS),
];

impl FunctionFlags {
    /// The flag of this name, in any case.
    pub fn named(name: &[u8]) -> Option<FunctionFlags> {
        let found = NAMES.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
        found.map(|(_, flag)| *flag)
    }

    /// Names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(_, flag)| self.contains(*flag)).map(|(name, _)| *name)
    }
}

/// Whether it begins with `#!`, without which a script has no flags.
pub fn has_shebang(code: &[u8]) -> bool {
    code.starts_with(b"#!")
}

/// The words of the first line, `#!` included, and where the line ends.
fn shebang(code: &[u8]) -> Option<(Option<Vec<Vec<u8>>>, usize)> {
    let end = memchr::memchr(b'\n', code)?;
    Some((inline::split(&code[..end]).map(|words| words.into_iter().collect()), end))
}

/// The flags of a script, if it begins with them, and where its code begins: at the end of the first line, so
/// that lines keep their numbers.
///
/// # Errors
/// What is wrong with the first line.
pub fn of_script(code: &[u8]) -> Result<(Option<FunctionFlags>, usize), Vec<u8>> {
    if !has_shebang(code) {
        return Ok((None, 0));
    }
    let Some((words, end)) = shebang(code) else { return Err(b"Invalid script shebang".into()) };
    let words = words.unwrap_or_default();
    let Some((engine, options)) = words.split_first() else {
        return Err(b"Invalid engine in script shebang".into());
    };
    if engine != b"#!lua" {
        return Err([b"Unexpected engine in script shebang: ", engine.as_slice()].concat());
    }
    let mut flags = FunctionFlags::empty();
    for option in options {
        let Some(list) = option.strip_prefix(b"flags=") else {
            return Err([b"Unknown lua shebang option: ", option.as_slice()].concat());
        };
        // A list without anything in it is no list of one empty name.
        for name in list.split(|byte| *byte == b',').filter(|_| !list.is_empty()) {
            let known = NAMES.iter().find(|(known, _)| known.as_bytes() == name);
            let Some((_, flag)) = known else {
                return Err([b"Unexpected flag in script shebang: ", name].concat());
            };
            flags |= *flag;
        }
    }
    Ok((Some(flags), end))
}

/// Engine and name of a library, and where its code begins.
///
/// # Errors
/// What is wrong with the first line.
pub fn of_library(code: &[u8]) -> Result<(Vec<u8>, Vec<u8>, usize), Vec<u8>> {
    if !has_shebang(code) {
        return Err(b"Missing library metadata".into());
    }
    let Some((Some(words), end)) = shebang(code) else { return Err(b"Invalid library metadata".into()) };
    let Some((engine, options)) = words.split_first() else {
        return Err(b"Invalid library metadata".into());
    };
    let engine = engine[2..].to_vec();
    let mut name = None;
    for option in options {
        let is_name = option.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"name="));
        if !is_name {
            return Err([b"Invalid metadata value given: ", option.as_slice()].concat());
        }
        if name.is_some() {
            return Err(b"Invalid metadata value, name argument was given multiple times".into());
        }
        name = Some(option[5..].to_vec());
    }
    let name = name.ok_or("Library name was not given")?;
    Ok((engine, name, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_of_scripts() {
        assert_eq!(of_script(b"return 1"), Ok((None, 0)));
        assert_eq!(of_script(b"#!lua\nreturn 1"), Ok((Some(FunctionFlags::empty()), 5)));
        let (flags, _) = of_script(b"#!lua flags=no-writes,allow-oom\n").unwrap();
        assert_eq!(flags, Some(FunctionFlags::NO_WRITES | FunctionFlags::ALLOW_OOM));
        assert_eq!(of_script(b"#!lua"), Err(b"Invalid script shebang".to_vec()));
        assert_eq!(of_script(b"#!js\n"), Err(b"Unexpected engine in script shebang: #!js".to_vec()));
        assert_eq!(of_script(b"#!lua x=1\n"), Err(b"Unknown lua shebang option: x=1".to_vec()));
        assert_eq!(of_script(b"#!lua flags=x\n"), Err(b"Unexpected flag in script shebang: x".to_vec()));
    }

    #[test]
    fn first_lines_of_libraries() {
        assert_eq!(of_library(b"#!lua name=a\n1"), Ok((b"lua".to_vec(), b"a".to_vec(), 12)));
        assert_eq!(of_library(b"#!lua\n"), Err(b"Library name was not given".to_vec()));
        assert_eq!(of_library(b"x"), Err(b"Missing library metadata".to_vec()));
        assert!(of_library(b"#!lua name=a name=b\n").is_err());
    }
}
