//! SHUTDOWN: the orderly end.

use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, Scope};
use crate::state::session::Next;
use crate::state::shutdown::Request;

pub const SHUTDOWN: Command = Command {
    name: "shutdown",
    summary: "Saves the data if that is configured, and stops the server.",
    group: Group::Server,
    complexity: "O(N) when saving, where N is the number of keys in all databases, otherwise O(1)",
    arity: -1,
    flags: Flags::ADMIN
        .union(Flags::NOSCRIPT)
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::NO_MULTI)
        .union(Flags::ALLOW_BUSY),
    args: &[Arg::one_of(
        "abort-selector",
        &[
            Arg::block(
                "save-selector-block",
                &[
                    Arg::one_of("save-selector", &[Arg::word("nosave", "NOSAVE"), Arg::word("save", "SAVE")])
                        .optional(),
                    Arg::word("now", "NOW").optional().since("7.0.0"),
                    Arg::word("force", "FORCE").optional().since("7.0.0"),
                ],
            ),
            Arg::word("abort", "ABORT").since("7.0.0"),
        ],
    )
    .optional()],
    history: &[("7.0.0", "Takes `NOW`, `FORCE` and `ABORT`.")],
    reply: "nothing if the server stops; OK to ABORT",
    scope: Scope::Nothing,
    handler: Some(shutdown),
    ..Command::NEW
};

enum Wish {
    Stop(Request),
    Abort,
}

fn shutdown(call: &mut Call<'_, '_>) -> Result<(), Error> {
    match parse(&mut call.args)? {
        Wish::Abort => {
            if !call.server.shutdown.abort() {
                return Err(Error::line("ERR No shutdown in progress."));
            }
            tracing::warn!("Shutdown manually aborted.");
            call.out.ok();
        }
        Wish::Stop(request) => {
            call.server.shutdown.request(request);
            call.session.next = Next::AwaitShutdown;
        }
    }
    Ok(())
}

fn parse(args: &mut Args<'_>) -> Result<Wish, Error> {
    let mut request = Request::default();
    let mut abort = false;
    let words = args.left();
    while !args.is_done() {
        if args.skip_word("NOSAVE") && request.save != Some(true) {
            request.save = Some(false);
        } else if args.skip_word("SAVE") && request.save != Some(false) {
            request.save = Some(true);
        } else if args.skip_word("NOW") {
            request.now = true;
        } else if args.skip_word("FORCE") {
            request.force = true;
        } else if args.skip_word("ABORT") {
            abort = true;
        } else {
            return Err(Error::Syntax);
        }
    }
    match (abort, words) {
        (true, 1) => Ok(Wish::Abort),
        (true, _) => Err(Error::Syntax),
        (false, _) => Ok(Wish::Stop(request)),
    }
}
