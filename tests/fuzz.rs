//! Fuzzing of all that reads bytes from strangers but snapshots and dumps, which have a program of their own; see
//! `common/fuzzing.rs`.

#[path = "common/fuzzing.rs"]
mod fuzzing;
#[path = "common/receiver.rs"]
mod receiver;

use fuzzing::{MAX_INPUT_BYTES, allocated_bytes, fuzz};
use nuthatch::config::cli::{Invocation, parse_with};
use nuthatch::config::parse::{MAX_LINE_BYTES, split_args};
use nuthatch::resp::inline;
use nuthatch::resp::scan::Limits;
use nuthatch::types::long_double::LongDouble;
use nuthatch::types::{glob, lcs, number};
use rand::Rng;
use rand::seq::IndexedRandom;
use receiver::{scan_cut, scan_whole};
use std::collections::HashSet;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

#[test]
fn the_scanner_reads_anything_in_any_pieces() {
    let large = [b"*2\r\n$3\r\nSET\r\n$40000\r\n".as_slice(), &[b'v'; 100]].concat();
    let examples: &[&[u8]] = &[
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"*0\r\n*-1\r\n*1\r\n$0\r\n\r\n",
        b"PING\r\nset key \"a \\x41\\n\" 'b c'\nGET k\r\n",
        b"*1000000\r\n$500000000\r\n",
        &large,
    ];
    let dictionary: &[&[u8]] = &[
        b"\r\n",
        b"*",
        b"$",
        b"*1\r\n",
        b"$1\r\n",
        b"$-1\r\n",
        b"$536870912\r\n",
        b"*2147483647\r\n",
        b"9223372036854775807",
        b"$32768\r\n",
        b"\"",
        b"'",
        b"\\x",
        b"\0",
    ];
    fuzz(examples, dictionary, |input, rng| {
        let limits = Limits {
            max_bulk_bytes: *[10, 1000, 512 << 20].choose(rng).unwrap(),
            authenticated: rng.random(),
        };
        let whole = scan_whole(input, limits);
        let mut cuts: Vec<usize> =
            (0..rng.random_range(0..6)).map(|_| rng.random_range(0..=input.len())).collect();
        cuts.sort_unstable();
        assert_eq!(scan_cut(input, &cuts, limits), whole);
        let bytes = allocated_bytes(|| drop(scan_whole(input, limits)));
        // Each request, argument and byte of one has its vectors here, several times as they grow.
        assert!(bytes < 4096 + 200 * input.len() as u64, "{bytes} bytes for {}", input.len());
        let sizes: Vec<usize> = whole.0.iter().map(|args| args.len().min(4)).take(4).collect();
        (sizes, format!("{:?}", whole.1))
    });
}

#[test]
fn inline_requests_and_configuration_lines_are_split_alike() {
    let examples: &[&[u8]] = &[b"set key value", b"\"a\\x41\\n\" 'it\\'s' plain", b"a\"b\" c\x0b\td"];
    let dictionary: &[&[u8]] =
        &[b"\"", b"'", b"\\", b"\\x4", b"\\xfg", b" ", b"\x0b", b"\x0c", b"\0", b"\r\n"];
    fuzz(examples, dictionary, |line, _| {
        let words = inline::split(line);
        assert_eq!(words, split_args(line).ok());
        let bytes: usize = words.iter().flatten().map(Vec::len).sum();
        assert!(bytes <= line.len());
        words.map(|words| words.iter().map(|word| word.len().min(3)).take(4).collect::<Vec<_>>())
    });
}

const CONFIG_DICTIONARY: &[&[u8]] = &[
    b"\n",
    b" ",
    b"\"",
    b"'",
    b"#",
    b"yes",
    b"no",
    b"\"\"",
    b"${PORT}",
    b"${",
    b"-1",
    b"0",
    b"1",
    b"9223372036854775808",
    b"4gb",
    b"50%",
    b"port ",
    b"save ",
    b"save \"\"",
    b"bind ",
    b"maxmemory ",
    b"maxmemory-policy ",
    b"client-output-buffer-limit ",
    b"notify-keyspace-events ",
    b"rename-command ",
    b"oom-score-adj-values ",
    b"unixsocketperm ",
    b"replicaof ",
    b"user ",
    b"include ",
    b"databases ",
    b"io-threads ",
    b"latency-tracking-info-percentiles ",
    b"enable-debug-command ",
    b"\xff",
    b"\0",
];

/// Whether an input would touch files of the machine it runs on.
fn touches_files(input: &[u8]) -> bool {
    let lower = input.to_ascii_lowercase();
    [b"logfile".as_slice(), b"/"].iter().any(|word| lower.windows(word.len()).any(|part| part == *word))
}

/// A configuration as CONFIG GET shows it, or what is wrong with it.
type Configured = Result<Vec<(Vec<u8>, Vec<u8>)>, String>;

/// Reads a configuration as at the start of the server; shows it if it is good.
fn configured(args: &[&[u8]], stdin: &[u8]) -> Configured {
    let args = args.iter().map(|arg| OsString::from_vec(arg.to_vec()));
    let port = |name: &str| (name == "PORT").then(|| b"7777".to_vec());
    match parse_with(args, &mut &*stdin, &port) {
        Ok(Invocation::Run { config, warnings, .. }) => {
            assert!(warnings.iter().all(|warning| warning.len() < 2 * MAX_INPUT_BYTES + 200));
            Ok(config.get(&[b"*"]))
        }
        Ok(Invocation::Version | Invocation::Help) => Err("no configuration".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// The last line of an error says what is wrong; what it quotes is not part of the kind.
fn kind_of(result: &Configured) -> Result<u64, String> {
    match result {
        Ok(shown) => {
            let mut hasher = DefaultHasher::new();
            shown.iter().for_each(|(name, value)| (name, value.len().min(20)).hash(&mut hasher));
            Ok(hasher.finish())
        }
        Err(error) => {
            Err(error.lines().last().unwrap_or_default().split('\'').next().unwrap_or_default().into())
        }
    }
}

#[test]
fn any_configuration_is_read_or_refused() {
    let examples: &[&[u8]] = &[
        b"port 6379\nbind 127.0.0.1 -::1\nmaxclients 100\n# comment\nsave 900 1 300 10\n",
        b"client-output-buffer-limit normal 0 0 0 replica 256mb 64mb 60\nmaxmemory 2gb\nmaxmemory-policy allkeys-lru",
        b"requirepass \"a b\"\nnotify-keyspace-events KEA\nport ${PORT}\nrename-command CONFIG \"\"\n",
        b"oom-score-adj-values 0 200 800\nunixsocketperm 700\nhz 10\nappendonly no\ntimeout 0\ndatabases 16",
        b"latency-tracking-info-percentiles 50 99 99.9\ninclude nothing-*.conf\nproto-max-bulk-len 512mb\n",
    ];
    fuzz(examples, CONFIG_DICTIONARY, |input, _| {
        if touches_files(input) {
            return Err("would touch files".into());
        }
        let result = configured(&[b"-"], input);
        kind_of(&result)
    });
}

#[test]
fn any_command_line_is_read_or_refused() {
    let examples: &[&[u8]] = &[
        b"--port\n7000\n--bind\n127.0.0.1\n::1",
        b"--save\n--maxmemory 1gb\n--loglevel\nverbose\n-",
        b"-\n--requirepass\n--x\n--databases\n4",
        b"--client-output-buffer-limit\nnormal 0 0 0",
    ];
    let dictionary = [CONFIG_DICTIONARY, &[b"--", b"\n--", b"\n-\n", b"-h", b"--version"]].concat();
    fuzz(examples, &dictionary, |input, _| {
        let args: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
        // The name of a file comes first.
        if touches_files(input) || !args[0].starts_with(b"-") {
            return Err("would touch files".into());
        }
        kind_of(&configured(&args, b"maxclients 50\n"))
    });
}

#[test]
fn a_line_of_any_length_is_refused_in_time() {
    let long = [b"user ".as_slice(), &vec![b'x'; MAX_LINE_BYTES]].concat();
    assert!(configured(&[b"-"], &long).is_err_and(|error| error.contains("longer than")));
    assert!(configured(&[b"-"], &b"save 1 1\n".repeat(10_000)).is_ok());
}

/// The obvious matcher: every token is tried, and what was tried before is known.
struct SlowGlob<'a> {
    pattern: &'a [u8],
    text: &'a [u8],
    nocase: bool,
    failed: HashSet<(usize, usize)>,
}

impl SlowGlob<'_> {
    fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
        // Redis loops while there is text, so that no star has a look at an empty one.
        if text.is_empty() {
            return pattern.is_empty();
        }
        SlowGlob { pattern, text, nocase, failed: HashSet::new() }.at(0, 0)
    }

    fn at(&mut self, p: usize, t: usize) -> bool {
        if self.failed.contains(&(p, t)) {
            return false;
        }
        let matches = match self.pattern.get(p) {
            None => t == self.text.len(),
            Some(b'*') => self.at(p + 1, t) || (t < self.text.len() && self.at(p, t + 1)),
            Some(_) if t == self.text.len() => false,
            Some(b'?') => self.at(p + 1, t + 1),
            Some(b'[') => {
                let (found, next) = self.class(p + 1, self.text[t]);
                found && self.at(next, t + 1)
            }
            Some(b'\\') if p + 1 < self.pattern.len() => {
                self.same(self.pattern[p + 1], self.text[t]) && self.at(p + 2, t + 1)
            }
            Some(&literal) => self.same(literal, self.text[t]) && self.at(p + 1, t + 1),
        };
        if !matches {
            self.failed.insert((p, t));
        }
        matches
    }

    fn same(&self, a: u8, b: u8) -> bool {
        if self.nocase { a.eq_ignore_ascii_case(&b) } else { a == b }
    }

    /// Whether `byte` is in the class whose content starts at `p`, and where the class ends.
    fn class(&self, mut p: usize, byte: u8) -> (bool, usize) {
        let at = |p: usize| self.pattern.get(p).copied();
        let negated = at(p) == Some(b'^');
        p += negated as usize;
        let mut found = false;
        while let Some(first) = at(p) {
            match (first, at(p + 1), at(p + 2)) {
                (b'\\', Some(escaped), _) => {
                    found |= escaped == byte;
                    p += 2;
                }
                (b']', ..) => {
                    p += 1;
                    break;
                }
                (_, Some(b'-'), Some(last)) => {
                    // A range of one byte is as good as any here: the bounds have their own tests.
                    found |= self.in_range(first, last, byte);
                    p += 3;
                }
                _ => {
                    found |= self.same(first, byte);
                    p += 1;
                }
            }
        }
        (found != negated, p)
    }

    /// For bytes of ASCII, to which the fuzzer keeps ranges.
    fn in_range(&self, first: u8, last: u8, byte: u8) -> bool {
        let fold = |byte: u8| if self.nocase { byte.to_ascii_lowercase() } else { byte };
        (fold(first.min(last))..=fold(first.max(last))).contains(&fold(byte))
    }
}

#[test]
fn globs_match_as_the_obvious_matcher_does() {
    let examples: &[&[u8]] = &[
        b"h*llo\nhello",
        b"h[a-e^x]?*\nhallo you",
        b"[^a-]\\*[\\]]\nb*]",
        b"a*a*a*a*a*b\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        b"*[ab]*[^c]?d*\nabcdabcdabcd",
    ];
    let dictionary: &[&[u8]] =
        &[b"*", b"?", b"[", b"]", b"^", b"-", b"\\", b"[^", b"[a-z]", b"a*", b"a", b"A"];
    fuzz(examples, dictionary, |input, rng| {
        let input: Vec<u8> = input.iter().map(|byte| byte & 0x7f).take(300).collect();
        let mut parts = input.splitn(2, |byte| *byte == b'\n');
        let (pattern, text) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let nocase = rng.random();
        let matches = glob::matches(pattern, text, nocase);
        assert_eq!(matches, SlowGlob::matches(pattern, text, nocase));
        let specials: Vec<u8> =
            pattern.iter().copied().filter(|byte| b"*?[]\\".contains(byte)).take(6).collect();
        (matches, specials)
    });
}

/// No input makes matching take longer than pattern times text; backtracking over each star would take years.
#[test]
fn no_glob_takes_long() {
    let examples: &[&[u8]] = &[b"a*", b"*[a-z]", b"*?", b"*a?[^b]"];
    fuzz(examples, &[b"*", b"a", b"?", b"[a-z]"], |piece, _| {
        let pattern = [piece.repeat(2000 / piece.len().max(1)), b"b".to_vec()].concat();
        let started = Instant::now();
        glob::matches(&pattern, &[b'a'; 2000], true);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(1), "took {took:?}");
        piece.iter().take(4).copied().collect::<Vec<u8>>()
    });
}

#[test]
fn numbers_are_read_as_they_print() {
    let examples: &[&[u8]] = &[
        b"0",
        b"-1",
        b"9223372036854775807",
        b"-9223372036854775808",
        b"3.14",
        b"1e308",
        b"0x1p-3",
        b"inf",
        b"123456789.123456789",
        b"-5e-324",
    ];
    let dictionary: &[&[u8]] = &[
        b"-",
        b"+",
        b"0",
        b"9",
        b".",
        b"e",
        b"E-",
        b"0x",
        b"p",
        b"nan",
        b"inf",
        b" ",
        b"99999999999999999999",
    ];
    fuzz(examples, dictionary, |text, _| {
        let utf8 = std::str::from_utf8(text).unwrap_or("none");
        let integer = number::parse_i64(text);
        assert_eq!(integer, utf8.parse().ok().filter(|n: &i64| n.to_string().as_bytes() == text));
        let double = number::parse_f64(text);
        let is_hexadecimal = text.contains(&b'x') || text.contains(&b'X');
        if let Some(double) = double {
            assert!(!double.is_nan());
            if !is_hexadecimal {
                assert_eq!(utf8.parse::<f64>().map(f64::to_bits), Ok(double.to_bits()));
            }
            let mut printed = Vec::new();
            number::write_f64(&mut printed, double);
            assert!(printed.len() <= number::MAX_F64_LEN);
            assert_eq!(number::parse_f64(&printed), Some(double));
        } else if let Ok(number) = utf8.parse::<f64>() {
            assert!(number.is_nan() || number.is_infinite() || number.abs() < f64::MIN_POSITIVE, "{number}");
        }
        let long = LongDouble::parse(text);
        if let Some(long) = long {
            let mut printed = Vec::new();
            long.write(&mut printed);
            let mut again = Vec::new();
            LongDouble::parse(&printed).expect("what was printed is a number").write(&mut again);
            assert_eq!(printed, again);
        }
        (
            integer.is_some(),
            double.map(|double| (double.log10().abs().min(400.0) / 20.0) as i32),
            long.is_some(),
        )
    });
}

#[test]
fn common_subsequences_take_the_memory_they_say() {
    let examples: &[&[u8]] = &[b"ohmytext\nmynewtext", b"\naaa", b"abcabcabc\ncbacbacba"];
    fuzz(examples, &[b"a", b"ab", b"\n", b"text"], |input, _| {
        let mut parts = input.splitn(2, |byte| *byte == b'\n');
        let cut =
            |part: Option<&[u8]>| part.unwrap_or_default().iter().take(300).copied().collect::<Vec<u8>>();
        let (a, b) = (cut(parts.next()), cut(parts.next()));
        let mut found = None;
        let bytes = allocated_bytes(|| found = lcs::find(&a, &b));
        let found = found.expect("there is memory for so little");
        let needed = lcs::needed_bytes(a.len(), b.len()) as u64;
        // Besides, the subsequence and its runs, and the allocator's rounding.
        assert!(bytes <= needed * 5 / 4 + 200 * a.len().min(b.len()) as u64 + 64, "{bytes} for {needed}");
        assert_eq!(found.bytes.len(), lcs::length(&a, &b));
        let spelt: usize = found.matches.iter().map(lcs::Match::len).sum();
        assert_eq!(spelt, found.bytes.len());
        for run in &found.matches {
            assert_eq!(a[run.a_start..=run.a_end], b[run.b_start..=run.b_end]);
        }
        (found.matches.len().min(20), found.bytes.len().min(20))
    });
}
