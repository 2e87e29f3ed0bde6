//! XTRIM, and the options of trimming that XADD has as well.

use super::{DELETES, REFERENCES, find_mut, id, next_references};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group};
use crate::state::Server;
use crate::types::events::Class;
use crate::types::stream::{Id, Keep, References, Stream, Trim};

const TWO_STRATEGIES: Error =
    Error::line("ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
const NEGATIVE_LENGTH: Error = Error::line("ERR The MAXLEN argument must be >= 0.");
const NEGATIVE_LIMIT: Error = Error::line("ERR The LIMIT argument must be >= 0.");
const LIMIT_ALONE: Error =
    Error::line("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
const LIMIT_OF_EXACT: Error =
    Error::line("ERR syntax error, LIMIT cannot be used without the special ~ option");
const NO_STRATEGY: Error = Error::line("ERR syntax error, XTRIM must be called with a trimming strategy");

/// Entries that an approximate trimming removes at most if it is not told: as many as this many full blocks
/// hold, within the bounds below (Redis's figures).
const DEFAULT_LIMIT_BLOCKS: u64 = 100;
/// For blocks of any number of entries.
const LIMIT_OF_UNLIMITED: u64 = 10_000;
const MAX_DEFAULT_LIMIT: u64 = 1_000_000;

const STRATEGY: Arg =
    Arg::one_of("strategy", &[Arg::word("maxlen", "MAXLEN"), Arg::word("minid", "MINID").since("6.2.0")]);
const OPERATOR: Arg =
    Arg::one_of("operator", &[Arg::word("equal", "="), Arg::word("approximately", "~")]).optional();
const THRESHOLD: Arg = Arg::string("threshold");
const LIMIT: Arg = Arg::integer("count").token("LIMIT").optional().since("6.2.0");

/// The options of trimming in XADD, where that on references stands apart.
pub(super) const TRIM: Arg = Arg::block("trim", &[STRATEGY, OPERATOR, THRESHOLD, LIMIT]).optional();

pub const XTRIM: Command = Command {
    name: "xtrim",
    summary: "Removes entries from the head of a stream.",
    since: "5.0.0",
    group: Group::Stream,
    complexity: "O(N) in the number of entries removed, with a tiny constant: entries go in blocks.",
    arity: -4,
    flags: Flags::WRITE,
    tips: &["nondeterministic_output"],
    keys: DELETES,
    args: &[Arg::key("key", 0), Arg::block("trim", &[STRATEGY, OPERATOR, THRESHOLD, LIMIT, REFERENCES])],
    history: &[("6.2.0", "MINID and LIMIT."), ("8.2.0", "KEEPREF, DELREF and ACKED.")],
    reply: "the number of entries that were removed",
    handler: Some(xtrim),
    ..Command::NEW
};

/// The options of trimming, as far as they were read.
#[derive(Default)]
pub(super) struct TrimOptions {
    keep: Option<Keep>,
    approximate: bool,
    limit: Option<u64>,
    references: Option<References>,
}

/// What to do after an XADD, or in an XTRIM.
#[derive(Clone, Copy)]
pub(super) struct Trimming {
    pub trim: Trim,
    pub references: References,
}

impl TrimOptions {
    /// Consumes one option; `false` if the next argument is none of these.
    pub fn next(&mut self, args: &mut Args<'_>) -> Result<bool, Error> {
        if self.references.is_none() {
            self.references = next_references(args);
            if self.references.is_some() {
                return Ok(true);
            }
        }
        if args.left() < 2 {
            return Ok(false);
        }
        if args.skip_word("MAXLEN") {
            self.operator(args)?;
            let length = u64::try_from(args.next_i64()?).map_err(|_| NEGATIVE_LENGTH)?;
            self.keep = Some(Keep::Length(length));
        } else if args.skip_word("MINID") {
            self.operator(args)?;
            self.keep = Some(Keep::From(id(args.take()?)?));
        } else if args.skip_word("LIMIT") {
            self.limit = Some(u64::try_from(args.next_i64()?).map_err(|_| NEGATIVE_LIMIT)?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Consumes `~` or `=`, if something follows it.
    fn operator(&mut self, args: &mut Args<'_>) -> Result<(), Error> {
        if self.keep.is_some() {
            return Err(TWO_STRATEGIES);
        }
        if args.left() >= 2 {
            self.approximate = args.skip_word("~");
            if !self.approximate {
                args.skip_word("=");
            }
        }
        Ok(())
    }

    /// What the options amount to; `None` if nothing is to be trimmed, which is an error if it has to be.
    pub fn finish(self, server: &Server, has_to_trim: bool) -> Result<Option<Trimming>, Error> {
        if self.keep.is_none() && self.limit.is_some_and(|limit| limit > 0) {
            return Err(LIMIT_ALONE);
        }
        if self.keep.is_none() && has_to_trim {
            return Err(NO_STRATEGY);
        }
        if self.limit.is_some() && !self.approximate {
            return Err(LIMIT_OF_EXACT);
        }
        let default_limit = || match server.config.stream_node_max_entries() {
            0 => LIMIT_OF_UNLIMITED,
            entries => entries.saturating_mul(DEFAULT_LIMIT_BLOCKS).min(MAX_DEFAULT_LIMIT),
        };
        let limit = match self.limit {
            Some(limit) => limit,
            None if self.approximate => default_limit(),
            None => 0,
        };
        Ok(self.keep.map(|keep| Trimming {
            trim: Trim { keep, approximate: self.approximate, limit },
            references: self.references.unwrap_or_default(),
        }))
    }
}

impl Trimming {
    /// What it has come to: `stream` was trimmed, and is to be trimmed to just there again.
    pub fn outcome(&self, stream: &Stream) -> Trimming {
        let keep = match self.trim.keep {
            keep if !self.trim.approximate => keep,
            Keep::Length(_) => Keep::Length(stream.entries.marks().length),
            Keep::From(from) => {
                let first = stream.entries.range(Id::MIN..=Id::MAX).next();
                Keep::From(first.map_or(from, |entry| entry.id))
            }
        };
        Trimming { trim: Trim { keep, approximate: false, limit: 0 }, references: self.references }
    }

    /// As options.
    pub fn options(&self) -> impl Iterator<Item = Vec<u8>> {
        let (strategy, threshold) = match self.trim.keep {
            Keep::Length(length) => ("MAXLEN", length.to_string().into_bytes()),
            Keep::From(from) => ("MINID", from.text().to_vec()),
        };
        let references = match self.references {
            References::Keep => None,
            References::Delete => Some("DELREF"),
            References::Acknowledged => Some("ACKED"),
        };
        [strategy.into(), b"=".to_vec(), threshold].into_iter().chain(references.map(Vec::from))
    }
}

fn xtrim(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let mut options = TrimOptions::default();
    while !call.args.is_done() {
        if !options.next(&mut call.args)? {
            return Err(Error::Syntax);
        }
    }
    let trimming = options.finish(call.server, true)?;
    let (mut removed, mut outcome) = (0, None);
    if let (Some(stream), Some(trimming)) = (find_mut(call.keys, key)?, trimming) {
        removed = stream.trim(&trimming.trim, trimming.references);
        outcome = trimming.trim.approximate.then(|| trimming.outcome(stream));
    }
    if removed > 0 {
        call.keys.notify(Class::STREAM, "xtrim", key);
    }
    call.keys.changed(removed);
    if let Some(outcome) = outcome.filter(|_| removed > 0 && call.keys.is_logged()) {
        let options: Vec<Vec<u8>> = outcome.options().collect();
        let args = [b"XTRIM".as_slice(), key].into_iter();
        call.keys.propagate_many(2 + options.len(), args.chain(options.iter().map(Vec::as_slice)));
    }
    call.out.integer(removed as i64);
    Ok(())
}
