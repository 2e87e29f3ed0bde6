//! HELLO: chooses the protocol, may authenticate and name the connection on the way, and says who answers.

use super::auth::authenticate;
use super::client::names;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, Scope};
use crate::resp::reply::Proto;
use crate::resp::scan::Request;
use crate::types::number;

pub const HELLO: Command = Command {
    name: "hello",
    summary: "Chooses the protocol version; may authenticate and name the connection. Describes the server.",
    since: "6.0.0",
    group: Group::Connection,
    arity: -1,
    flags: Flags::NOSCRIPT
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::FAST)
        .union(Flags::NO_AUTH)
        .union(Flags::ALLOW_BUSY),
    args: &[Arg::block(
        "arguments",
        &[
            Arg::integer("protover"),
            Arg::block("auth", &[Arg::string("username"), Arg::string("password")]).token("AUTH").optional(),
            Arg::string("clientname").token("SETNAME").optional(),
        ],
    )
    .optional()],
    history: &[("6.2.0", "Without a version, describes the server and keeps the protocol.")],
    reply: "map of the server's properties",
    is_secret: Some(is_secret),
    scope: Scope::Nothing,
    handler: Some(hello),
    ..Command::NEW
};

fn hello(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let proto = match call.args.peek() {
        None => None,
        Some(_) => Some(protocol(call.args.take()?)?),
    };
    let (mut credentials, mut name) = (None, None);
    while let Some(option) = call.args.peek() {
        if call.args.left() >= 3 && call.args.skip_word("AUTH") {
            credentials = Some((call.args.take()?, call.args.take()?));
        } else if call.args.left() >= 2 && call.args.skip_word("SETNAME") {
            let wanted = call.args.take()?;
            names::check_name(wanted)?;
            name = Some(wanted);
        } else {
            return Err(Error::echoing("Syntax error in HELLO option '", option, "'"));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(call.server, call.session, user, password)?;
    }
    if !call.session.authenticated && call.server.needs_password() {
        return Err(Error::HelloNoAuth);
    }
    if let Some(name) = name {
        call.session.client.names.lock().name = name.to_vec();
    }
    if let Some(proto) = proto {
        call.session.set_proto(proto);
        call.out.set_proto(proto);
    }
    describe(call);
    Ok(())
}

/// The two arguments behind AUTH.
fn is_secret(request: Request<'_>, index: usize) -> bool {
    let after_auth = |distance| {
        index
            .checked_sub(distance)
            .filter(|at| *at > 1)
            .is_some_and(|at| request.get(at).eq_ignore_ascii_case(b"AUTH"))
    };
    after_auth(1) || after_auth(2)
}

fn protocol(version: &[u8]) -> Result<Proto, Error> {
    match number::parse_i64(version) {
        Some(2) => Ok(Proto::Resp2),
        Some(3) => Ok(Proto::Resp3),
        Some(_) => Err(Error::NoProto),
        None => Err(Error::line("ERR Protocol version is not an integer or out of range")),
    }
}

fn describe(call: &mut Call<'_, '_>) {
    let out = &mut *call.out;
    out.map(7);
    // Clients look for this name to know which protocol's server they talk to.
    out.text("server");
    out.text("redis");
    out.text("version");
    out.text(crate::REDIS_VERSION);
    out.text("proto");
    out.integer(call.session.proto.number().into());
    out.text("id");
    out.integer(call.session.client.id as i64);
    out.text("mode");
    out.text("standalone");
    out.text("role");
    out.text("master");
    out.text("modules");
    out.array(0);
}
