//! CLIENT KILL: closes connections, others' and the own.

use super::ADMIN;
use super::filter::Filter;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command};
use crate::state::session::Next;

pub const KILL: Command = Command {
    name: "kill",
    summary: "Closes connections.",
    since: "2.4.0",
    complexity: "O(N) where N is the number of connections",
    arity: -3,
    args: &[Arg::one_of(
        "filter",
        &[
            Arg::string("old-format").display("ip:port").deprecated("2.8.12"),
            Arg::one_of(
                "new-format",
                &[
                    Arg::integer("client-id").token("ID").optional().since("2.8.12"),
                    Arg::one_of(
                        "client-type",
                        &[
                            Arg::word("normal", "NORMAL"),
                            Arg::word("master", "MASTER").since("3.2.0"),
                            Arg::word("slave", "SLAVE"),
                            Arg::word("replica", "REPLICA").since("5.0.0"),
                            Arg::word("pubsub", "PUBSUB"),
                        ],
                    )
                    .token("TYPE")
                    .optional()
                    .since("2.8.12"),
                    Arg::string("username").token("USER").optional(),
                    Arg::string("addr").token("ADDR").display("ip:port").optional(),
                    Arg::string("laddr").token("LADDR").display("ip:port").optional().since("6.2.0"),
                    Arg::one_of("skipme", &[Arg::word("yes", "YES"), Arg::word("no", "NO")])
                        .token("SKIPME")
                        .optional(),
                    Arg::integer("maxage").token("MAXAGE").optional().since("7.4.0"),
                ],
            )
            .multiple(),
        ],
    )],
    history: &[
        ("2.8.12", "Takes pairs of option and value; the first of them is `ID`."),
        ("3.2.0", "`TYPE` knows `master`."),
        ("5.0.0", "`TYPE` knows `replica` for `slave`."),
        ("6.2.0", "Takes `LADDR`."),
        ("7.4.0", "Takes `MAXAGE`."),
    ],
    reply: "number of closed connections; OK in the form with an address alone",
    handler: Some(kill),
    ..ADMIN
};

fn kill(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let by_address = call.args.left() == 1;
    let filter = if by_address {
        Filter { addr: Some(call.args.take()?), ..Filter::default() }
    } else {
        Filter::parse(&mut call.args)?
    };
    let me = call.session.client.id;
    let mut killed = 0;
    for client in call.server.clients.all() {
        if !filter.fits(&client, me, call.keys.now_ms) {
            continue;
        }
        if client.id == me {
            call.session.next = Next::CloseAfterReply;
        } else {
            call.server.clients.kill(&client);
        }
        killed += 1;
    }
    match (by_address, killed) {
        (true, 0) => return Err(Error::line("ERR No such client")),
        (true, _) => call.out.ok(),
        (false, _) => call.out.integer(killed),
    }
    Ok(())
}
