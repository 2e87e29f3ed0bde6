//! Shows of some scripts, by their text, that they touch no keys but those that they declare.
//!
//! Such a script can run with just its own keys locked, beside others. For any other it would have to be undone what
//! it has written when it asks for a key that is not locked, so it runs in a way that lets it lock more.
//!
//! What is shown is simple: every call of a command is written out with the command's name, and what stands in the
//! places of its keys is an item of KEYS, or a local variable that never holds anything else. Names through which a
//! script could get at keys or commands in another way must not occur. Most scripts of rate limiters, locks and
//! queues are of this kind. The answer "no" says nothing.

use super::token::{Token, tokens};
use std::collections::HashMap;

/// Where keys of a command are among its arguments, the name counting as 0: from `first` to `last` (counted from the
/// end if negative: -1 is the last) in steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyRange {
    pub first: usize,
    pub last: i64,
    pub step: usize,
}

/// Finds the places of a command's keys by its name and, if that is known, its first argument. `None` if they
/// depend on other arguments or the command does not exist.
pub type FindPlaces<'a> = &'a dyn Fn(&[u8], Option<&[u8]>) -> Option<Vec<KeyRange>>;

/// Functions that may be given the table KEYS as first argument.
const READERS: [&[u8]; 3] = [b"ipairs", b"pairs", b"unpack"];

/// Names with which a script could do what its text does not show.
const FORBIDDEN: [&[u8]; 5] = [b"_G", b"load", b"loadstring", b"getfenv", b"setfenv"];

/// Words behind which an expression stands.
const EXPRESSION_WORDS: [&[u8]; 9] =
    [b"return", b"and", b"or", b"not", b"in", b"if", b"while", b"until", b"elseif"];

/// Whether the script is shown to touch no keys but those it declares.
pub fn keeps_to_declared(code: &[u8], places: FindPlaces<'_>) -> bool {
    let tokens = tokens(code);
    Proof { tokens: &tokens, places }.holds().is_some()
}

struct Proof<'a> {
    tokens: &'a [Token<'a>],
    places: FindPlaces<'a>,
}

/// Whether a local variable holds nothing but items of KEYS.
type Locals<'a> = HashMap<&'a [u8], bool>;

impl<'a> Proof<'a> {
    fn token(&self, at: usize) -> Option<Token<'a>> {
        self.tokens.get(at).copied()
    }

    fn before(&self, at: usize) -> Option<Token<'a>> {
        self.token(at.checked_sub(1)?)
    }

    fn is_sign(&self, at: usize, sign: &str) -> bool {
        self.token(at) == Some(Token::Sign(sign.as_bytes()))
    }

    fn is_name(&self, at: usize, name: &str) -> bool {
        self.token(at) == Some(Token::Name(name.as_bytes()))
    }

    /// Whether the name at this place is a field of something.
    fn is_field(&self, at: usize) -> bool {
        matches!(self.before(at), Some(Token::Sign(b"." | b":")))
    }

    /// The place of the bracket that closes the one at `open`.
    fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (at, token) in self.tokens.iter().enumerate().skip(open) {
            match token {
                Token::Sign(b"(" | b"[" | b"{") => depth += 1,
                Token::Sign(b")" | b"]" | b"}") => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn holds(&self) -> Option<()> {
        let locals = self.locals()?;
        for (at, token) in self.tokens.iter().enumerate() {
            let Token::Name(name) = *token else { continue };
            if self.is_field(at) {
                continue;
            }
            match name {
                b"redis" | b"server" => self.check_command(at, &locals)?,
                b"KEYS" => self.check_keys(at)?,
                name if FORBIDDEN.contains(&name) => return None,
                // Nobody else may have these names.
                name if READERS.contains(&name) => {
                    let is_defined = matches!(self.before(at), Some(Token::Name(b"function" | b"local")));
                    if is_defined || !self.is_sign(at + 1, "(") {
                        return None;
                    }
                }
                _ => {}
            }
        }
        Some(())
    }

    /// KEYS is only read: an item, the number of items, or all of them in turn.
    fn check_keys(&self, at: usize) -> Option<()> {
        if matches!(self.before(at), Some(Token::Sign(b"#"))) {
            return Some(());
        }
        if self.is_sign(at + 1, "[") {
            let close = self.closing(at + 1)?;
            let is_read = match self.before(at)? {
                Token::Sign(b")" | b"]" | b"}" | b";") => false,
                Token::Sign(_) => true,
                Token::Name(word) => EXPRESSION_WORDS.contains(&word),
                _ => false,
            };
            return (is_read && !self.is_assigned(close)).then_some(());
        }
        let is_argument = self.is_sign(at.checked_sub(1)?, "(")
            && matches!(self.token(at.checked_sub(2)?), Some(Token::Name(name)) if READERS.contains(&name))
            && !self.is_field(at - 2);
        is_argument.then_some(())
    }

    /// Whether what ends at this place is given a value, alone or in a list.
    fn is_assigned(&self, end: usize) -> bool {
        let mut at = end + 1;
        loop {
            match self.token(at) {
                Some(Token::Sign(b"=")) => return true,
                Some(Token::Sign(b",")) => at += 1,
                _ => return false,
            }
            // The next of the list: a name, with fields or items.
            let Some(Token::Name(_)) = self.token(at) else { return false };
            at += 1;
            loop {
                match self.token(at) {
                    Some(Token::Sign(b".")) => at += 2,
                    Some(Token::Sign(b"[")) => match self.closing(at) {
                        Some(close) => at = close + 1,
                        None => return true,
                    },
                    _ => break,
                }
            }
        }
    }

    /// Finds all local variables, and which of them always hold an item of KEYS.
    fn locals(&self) -> Option<Locals<'a>> {
        let mut locals = Locals::new();
        let mut note = |name: &'a [u8], is_key: bool| {
            locals.entry(name).and_modify(|known| *known &= is_key).or_insert(is_key);
        };
        for (at, token) in self.tokens.iter().enumerate() {
            match token {
                Token::Name(b"local") if self.is_name(at + 1, "function") => {
                    if let Some(Token::Name(name)) = self.token(at + 2) {
                        note(name, false);
                    }
                }
                Token::Name(b"local") => {
                    let (names, end) = self.names(at + 1);
                    let values = if self.is_sign(end, "=") { self.key_values(end + 1) } else { 0 };
                    let is_all = values >= names.len();
                    names.into_iter().for_each(|name| note(name, is_all));
                }
                Token::Name(b"for") => {
                    let (names, end) = self.names(at + 1);
                    let walks_keys = self.is_name(end, "in")
                        && matches!(self.token(end + 1), Some(Token::Name(b"ipairs" | b"pairs")))
                        && self.is_sign(end + 2, "(")
                        && self.is_name(end + 3, "KEYS")
                        && self.is_sign(end + 4, ")")
                        && self.is_name(end + 5, "do");
                    for (number, name) in names.into_iter().enumerate() {
                        note(name, walks_keys && number == 1);
                    }
                }
                Token::Name(b"function") => {
                    let open = (at + 1..self.tokens.len()).find(|at| self.is_sign(*at, "("))?;
                    self.names(open + 1).0.into_iter().for_each(|name| note(name, false));
                }
                _ => {}
            }
        }
        // A variable that is given a value later is none of these.
        for (at, token) in self.tokens.iter().enumerate() {
            if let Token::Name(name) = token
                && locals.contains_key(name)
                && !self.is_field(at)
                && !self.is_declared(at)
                && self.is_assigned(at)
            {
                locals.insert(*name, false);
            }
        }
        Some(locals)
    }

    /// Whether the name at this place stands in the list behind `local` or `for`.
    fn is_declared(&self, at: usize) -> bool {
        let mut at = at;
        loop {
            match self.before(at) {
                Some(Token::Name(b"local" | b"for")) => return true,
                Some(Token::Sign(b",")) if at >= 2 && matches!(self.token(at - 2), Some(Token::Name(_))) => {
                    at -= 2
                }
                _ => return false,
            }
        }
    }

    /// The names of a list that begins at this place, and where it ends.
    fn names(&self, at: usize) -> (Vec<&'a [u8]>, usize) {
        let (mut names, mut at) = (Vec::new(), at);
        while let Some(Token::Name(name)) = self.token(at) {
            names.push(name);
            at += 1;
            if !self.is_sign(at, ",") {
                break;
            }
            at += 1;
        }
        (names, at)
    }

    /// How many items of KEYS stand in the list of values at this place, if it holds nothing else.
    fn key_values(&self, at: usize) -> usize {
        let (mut at, mut count) = (at, 0);
        loop {
            if !self.is_name(at, "KEYS") || !self.is_sign(at + 1, "[") {
                return 0;
            }
            let Some(close) = self.closing(at + 1) else { return 0 };
            count += 1;
            match self.token(close + 1) {
                Some(Token::Sign(b",")) => at = close + 2,
                None | Some(Token::Sign(b";")) => return count,
                Some(Token::Name(word)) => {
                    // Any other word begins a statement, or ends the block.
                    return if matches!(word, b"and" | b"or") { 0 } else { count };
                }
                _ => return 0,
            }
        }
    }

    /// What is done with the table `redis` at this place.
    fn check_command(&self, at: usize, locals: &Locals<'a>) -> Option<()> {
        if !self.is_sign(at + 1, ".") {
            return None;
        }
        let Some(Token::Name(function)) = self.token(at + 2) else { return None };
        if !matches!(function, b"call" | b"pcall") {
            return Some(());
        }
        if !self.is_sign(at + 3, "(") {
            return None;
        }
        let args = self.arguments(at + 3)?;
        let (name, rest) = args.split_first()?;
        let [Token::Text(name)] = name else { return None };
        let first = match rest.first() {
            Some([Token::Text(text)]) => Some(*text),
            _ => None,
        };
        let ranges = (self.places)(name, first)?;
        ranges.iter().all(|range| self.are_keys(&args, *range, locals)).then_some(())
    }

    /// Whether all arguments in these places are keys.
    fn are_keys(&self, args: &[&[Token<'a>]], range: KeyRange, locals: &Locals<'a>) -> bool {
        let KeyRange { first, last, step } = range;
        // The last argument may be several.
        let is_open = matches!(args.last().and_then(|arg| arg.last()), Some(Token::Sign(b")" | b"...")));
        let is_key = |arg: &&[Token<'a>]| self.is_key(arg, locals);
        if is_open && (last < 0 || args.len() <= first.max(last.max(0) as usize)) {
            // The open one may reach into these places from before them.
            let first = first.min(args.len() - 1);
            return args[first..].iter().all(is_key);
        }
        let last = if last < 0 { args.len() as i64 + last } else { last };
        let places = (first as i64..=last).step_by(step.max(1));
        places.filter_map(|place| args.get(place as usize)).all(is_key)
    }

    /// The arguments between the bracket at `open` and the one that closes it.
    fn arguments(&self, open: usize) -> Option<Vec<&'a [Token<'a>]>> {
        let close = self.closing(open)?;
        let mut args = Vec::new();
        let (mut start, mut at) = (open + 1, open + 1);
        while at < close {
            match self.tokens[at] {
                Token::Sign(b"(" | b"[" | b"{") => at = self.closing(at)?,
                // A function has commas of its own; none is an argument of a command.
                Token::Name(b"function") => return None,
                Token::Sign(b",") => {
                    args.push(&self.tokens[start..at]);
                    start = at + 1;
                }
                _ => {}
            }
            at += 1;
        }
        args.push(&self.tokens[start..close]);
        Some(args)
    }

    /// Whether an argument is nothing but an item of KEYS, or all of them.
    fn is_key(&self, arg: &[Token<'a>], locals: &Locals<'a>) -> bool {
        match arg {
            [Token::Name(name)] => locals.get(name).copied().unwrap_or(false),
            [Token::Name(b"KEYS"), Token::Sign(b"["), inner @ .., Token::Sign(b"]")] => {
                // One pair of brackets, not two beside each other.
                let mut depth = 0_i32;
                inner.iter().all(|token| {
                    match token {
                        Token::Sign(b"[" | b"(" | b"{") => depth += 1,
                        Token::Sign(b"]" | b")" | b"}") => depth -= 1,
                        _ => {}
                    }
                    depth >= 0
                })
            }
            [Token::Name(b"unpack"), Token::Sign(b"("), Token::Name(b"KEYS"), Token::Sign(b")")] => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(name: &[u8], first: Option<&[u8]>) -> Option<Vec<KeyRange>> {
        let range = |first, last, step| Some(vec![KeyRange { first, last, step }]);
        match name.to_ascii_lowercase().as_slice() {
            b"get" | b"set" | b"incr" | b"expire" | b"zadd" => range(1, 1, 1),
            b"rename" => range(1, 2, 1),
            b"del" => range(1, -1, 1),
            b"mset" => range(1, -1, 2),
            b"object" => first.and(range(2, 2, 1)),
            b"time" => Some(Vec::new()),
            _ => None,
        }
    }

    fn holds(code: &str) -> bool {
        keeps_to_declared(code.as_bytes(), &places)
    }

    #[test]
    fn shown_to_keep_to_declared_keys() {
        for code in [
            "return 1",
            "return redis.call('GET', KEYS[1])",
            "local n = redis.call('incr', KEYS[1]) if n == 1 then redis.call('expire', KEYS[1], ARGV[1]) end return n",
            "local key, other = KEYS[1], KEYS[2]\nlocal now = redis.call('TIME')\nreturn redis.call('rename', key, other)",
            "for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[i]) end",
            "for _, key in ipairs(KEYS) do redis.call('del', key) end",
            "return redis.call('del', unpack(KEYS))",
            "return redis.pcall('zadd', KEYS[1], unpack(ARGV))",
            "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end",
            "return {redis.call('object', 'encoding', KEYS[1]), redis.error_reply('x')}",
            "return redis.call('mset', KEYS[1], ARGV[1], KEYS[#KEYS], 2)",
            "-- KEYS = {}\nreturn 'redis.call(x)'",
            "local t = {} t.KEYS = 1 return t.redis",
        ] {
            assert!(holds(code), "{code}");
        }
    }

    #[test]
    fn not_shown_to() {
        for code in [
            "return redis.call('GET', ARGV[1])",
            "return redis.call('GET', 'x')",
            "return redis.call('GET', KEYS[1] .. ':x')",
            "local k = KEYS[1] .. ':x' return redis.call('GET', k)",
            "local k = KEYS[1] or 'x' return redis.call('GET', k)",
            "local k = KEYS[1] k = 'x' return redis.call('GET', k)",
            "local k = KEYS[1] local a a, k = 1, 'x' return redis.call('GET', k)",
            "local k = KEYS[1] local a k, a = 'x', 1 return redis.call('GET', k)",
            "local k = KEYS[1] local k = 'x' return redis.call('GET', k)",
            "local k = KEYS[1] return (function(k) return redis.call('GET', k) end)('x')",
            "local function f(k) return redis.call('GET', k) end return f('x')",
            "local k = KEYS[1] for k in pairs({x=1}) do redis.call('GET', k) end",
            "for k, _ in pairs(KEYS) do redis.call('GET', k) end",
            "local call = redis.call return call('GET', 'x')",
            "return pcall(redis.call, 'GET', 'x')",
            "local r = redis return r.call('GET', 'x')",
            "return redis['call']('GET', 'x')",
            "return server.call('GET', 'x')",
            "return redis.call(ARGV[1], KEYS[1])",
            "return redis.call(unpack(ARGV))",
            "KEYS[1] = 'x' return redis.call('GET', KEYS[1])",
            "local a a, KEYS[1] = 1, 'x' return redis.call('GET', KEYS[1])",
            "local a KEYS[1], a = 'x', 1 return redis.call('GET', KEYS[1])",
            "table.insert(KEYS, 'x') return redis.call('GET', KEYS[1])",
            "setmetatable(KEYS, {__index = function() return 'x' end}) return redis.call('GET', KEYS[9])",
            "local KEYS = {'x'} return redis.call('GET', KEYS[1])",
            "return (function(KEYS) return redis.call('GET', KEYS[1]) end)({'x'})",
            "local function ipairs() return next, {'x'} end for _, k in ipairs(KEYS) do redis.call('get', k) end",
            "local unpack = function() return 'x' end return redis.call('del', unpack(KEYS))",
            "return loadstring('return redis.call(\"GET\", \"x\")')()",
            "return _G.redis.call('GET', 'x')",
            "return redis.call('del', KEYS[1], ARGV[1])",
            "return redis.call('del', KEYS[1], unpack(ARGV))",
            "return redis.call('get', unpack(ARGV))",
            "return redis.call('object', ARGV[1], KEYS[1])",
            "return redis.call('eval', KEYS[1])",
            "return redis.call('GET', KEYS[1]..KEYS[2])",
            "return redis.call('GET', KEYS[1] and ARGV[KEYS[1]])",
            "return redis.call 'GET'",
            "return redis.call('GET', k",
        ] {
            assert!(!holds(code), "{code}");
        }
    }
}
