//! CLIENT TRACKING and what goes with it: the server's part of client-side caching.

use super::BASE;
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::{Error, echo};
use crate::command::spec::{Arg, Command};
use crate::state::tracking::Modes;
use std::sync::atomic::Ordering::Relaxed;

pub const TRACKING: Command = Command {
    name: "tracking",
    summary: "Chooses whether the connection is told of changes to keys that it has read.",
    since: "6.0.0",
    complexity: "O(1). Some options may introduce additional complexity.",
    arity: -3,
    args: &[
        Arg::one_of("status", &[Arg::word("on", "ON"), Arg::word("off", "OFF")]),
        Arg::integer("client-id").token("REDIRECT").optional(),
        Arg::string("prefix").token("PREFIX").optional().multiple_token(),
        Arg::word("bcast", "BCAST").optional(),
        Arg::word("optin", "OPTIN").optional(),
        Arg::word("optout", "OPTOUT").optional(),
        Arg::word("noloop", "NOLOOP").optional(),
    ],
    handler: Some(tracking),
    ..BASE
};

pub const CACHING: Command = Command {
    name: "caching",
    summary: "Says whether the keys of the next command are tracked.",
    since: "6.0.0",
    arity: 3,
    args: &[Arg::one_of("mode", &[Arg::word("yes", "YES"), Arg::word("no", "NO")])],
    handler: Some(caching),
    ..BASE
};

pub const GETREDIR: Command = Command {
    name: "getredir",
    summary: "Returns the connection that is told of changes instead of this one.",
    since: "6.0.0",
    reply: "the connection's number, 0 if there is none, -1 if this one is not tracked",
    handler: Some(|call| {
        call.out.integer(call.session.client.redirect.load(Relaxed));
        Ok(())
    }),
    ..BASE
};

pub const TRACKINGINFO: Command = Command {
    name: "trackinginfo",
    summary: "Says how the connection is tracked.",
    since: "6.2.0",
    reply: "map of flags, redirect, and prefixes",
    handler: Some(trackinginfo),
    ..BASE
};

const ANOTHER_MODE: &str =
    "before disabling tracking for this client, and then re-enabling it with a different mode.";

/// The options of CLIENT TRACKING.
#[derive(Default)]
struct Options<'a> {
    modes: Modes,
    redirect: u64,
    prefixes: Vec<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(call: &mut Call<'a, '_>) -> Result<Options<'a>, Error> {
        const WORDS: [(&str, Modes); 4] = [
            ("BCAST", Modes::BCAST),
            ("OPTIN", Modes::OPTIN),
            ("OPTOUT", Modes::OPTOUT),
            ("NOLOOP", Modes::NOLOOP),
        ];
        let mut options = Options::default();
        let args = &mut call.args;
        while !args.is_done() {
            if let Some((_, mode)) = WORDS.iter().find(|(word, _)| args.skip_word(word)) {
                options.modes |= *mode;
            } else if args.left() >= 2 && args.skip_word("REDIRECT") {
                if options.redirect != 0 {
                    return Err(Error::line("ERR A client can only redirect to a single other client"));
                }
                options.redirect = next_client(args, &call.server.clients)?;
            } else if args.left() >= 2 && args.skip_word("PREFIX") {
                options.prefixes.push(args.take()?);
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }

    /// Whether the options fit together, and to how the client is tracked already.
    fn check(&self, call: &Call<'_, '_>) -> Result<(), Error> {
        let (old, new) = (call.session.tracking, self.modes);
        if !new.contains(Modes::BCAST) && !self.prefixes.is_empty() {
            return Err(Error::line("ERR PREFIX option requires BCAST mode to be enabled"));
        }
        if old.contains(Modes::ON) && old.contains(Modes::BCAST) != new.contains(Modes::BCAST) {
            return Err(Error::err(format_args!("You can't switch BCAST mode on/off {ANOTHER_MODE}")));
        }
        if new.contains(Modes::BCAST) && new.intersects(Modes::OPTIN | Modes::OPTOUT) {
            return Err(Error::line("ERR OPTIN and OPTOUT are not compatible with BCAST"));
        }
        if new.contains(Modes::OPTIN | Modes::OPTOUT) {
            return Err(Error::line("ERR You can't specify both OPTIN mode and OPTOUT mode"));
        }
        let switches = |from, to| old.contains(from) && new.contains(to);
        if switches(Modes::OPTIN, Modes::OPTOUT) || switches(Modes::OPTOUT, Modes::OPTIN) {
            return Err(Error::err(format_args!("You can't switch OPTIN/OPTOUT mode {ANOTHER_MODE}")));
        }
        let before = call.server.tracking.of(call.session.client.id);
        let before = before.as_ref().map_or(&[][..], |tracker| &tracker.prefixes);
        for (at, prefix) in self.prefixes.iter().enumerate() {
            if let Some(other) = before.iter().find(|other| overlap(prefix, other)) {
                return Err(overlapping(prefix, "an existing", other));
            }
            if let Some(other) = self.prefixes[at + 1..].iter().find(|other| overlap(prefix, other)) {
                return Err(overlapping(prefix, "another provided", other));
            }
        }
        Ok(())
    }
}

/// Consumes the number of a client that there is.
fn next_client(args: &mut Args<'_>, clients: &crate::state::Clients) -> Result<u64, Error> {
    let id = u64::try_from(args.next_i64()?).ok();
    id.filter(|id| clients.get(*id).is_some())
        .ok_or(Error::line("ERR The client ID you want redirect to does not exist"))
}

/// Whether one is a prefix of the other.
fn overlap(a: &[u8], b: &[u8]) -> bool {
    let shorter = a.len().min(b.len());
    a[..shorter] == b[..shorter]
}

fn overlapping(prefix: &[u8], which: &str, other: &[u8]) -> Error {
    let text = [
        b"Prefix '".as_slice(),
        echo(prefix, usize::MAX),
        b"' overlaps with ",
        which.as_bytes(),
        b" prefix '",
        echo(other, usize::MAX),
        b"'. Prefixes for a single client must not overlap.",
    ];
    Error::Echo([b"ERR ".as_slice(), &text.concat()].concat())
}

fn tracking(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let status = call.args.take()?;
    let options = Options::parse(call)?;
    if status.eq_ignore_ascii_case(b"off") {
        call.server.end_tracking(call.session);
    } else if status.eq_ignore_ascii_case(b"on") {
        options.check(call)?;
        let Options { modes, redirect, prefixes } = options;
        let (server, session) = (call.server, &mut *call.session);
        // What CLIENT CACHING said of the next command stays said.
        session.tracking = modes | Modes::ON | session.tracking & Modes::CACHING;
        let effects = server.keyspace.effects();
        server.tracking.enable(effects, &session.client, modes | Modes::ON, redirect, &prefixes);
    } else {
        return Err(Error::Syntax);
    }
    call.out.ok();
    Ok(())
}

fn caching(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let modes = call.session.tracking;
    if !modes.contains(Modes::ON) {
        return Err(Error::line(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    }
    if call.args.skip_word("YES") {
        if !modes.contains(Modes::OPTIN) {
            return Err(Error::line(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
    } else if call.args.skip_word("NO") {
        if !modes.contains(Modes::OPTOUT) {
            return Err(Error::line(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
    } else {
        return Err(Error::Syntax);
    }
    call.session.tracking.insert(Modes::CACHING);
    call.out.ok();
    Ok(())
}

fn trackinginfo(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let client = &call.session.client;
    let modes = call.session.tracking;
    let is_broken = Modes::from_bits_truncate(client.tracking.load(Relaxed)).contains(Modes::BROKEN);
    let has = |mode| modes.contains(mode);
    let flags = [
        (!has(Modes::ON), "off"),
        (has(Modes::ON), "on"),
        (has(Modes::BCAST), "bcast"),
        (has(Modes::OPTIN), "optin"),
        (has(Modes::OPTIN | Modes::CACHING), "caching-yes"),
        (has(Modes::OPTOUT), "optout"),
        (has(Modes::OPTOUT | Modes::CACHING), "caching-no"),
        (has(Modes::NOLOOP), "noloop"),
        (is_broken, "broken_redirect"),
    ];
    let tracker = call.server.tracking.of(client.id);
    let out = &mut *call.out;
    out.map(3);
    out.text("flags");
    out.set(flags.iter().filter(|(set, _)| *set).count());
    flags.iter().filter(|(set, _)| *set).for_each(|(_, name)| out.text(name));
    out.text("redirect");
    out.integer(client.redirect.load(Relaxed));
    out.text("prefixes");
    let prefixes = tracker.as_ref().map_or(&[][..], |tracker| &tracker.prefixes);
    out.array(prefixes.len());
    prefixes.iter().for_each(|prefix| out.bulk(prefix));
    Ok(())
}
