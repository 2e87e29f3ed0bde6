//! AUTH, and the check of a user's password that HELLO shares.
//!
//! There is one user so far, `default`, whose password is `requirepass`.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, Scope};
use crate::state::{Server, Session};
use subtle::ConstantTimeEq;

/// The only user.
const DEFAULT_USER: &[u8] = b"default";

pub const AUTH: Command = Command {
    name: "auth",
    summary: "Authenticates the connection with a password, or with a user's name and password.",
    group: Group::Connection,
    complexity: "O(N) where N is the number of passwords of the user",
    arity: -2,
    flags: Flags::NOSCRIPT
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::FAST)
        .union(Flags::NO_AUTH)
        .union(Flags::ALLOW_BUSY),
    args: &[Arg::string("username").optional().since("6.0.0"), Arg::string("password")],
    history: &[("6.0.0", "Takes a user's name before the password.")],
    reply: "OK",
    is_secret: Some(|_, index| index > 0),
    scope: Scope::Nothing,
    handler: Some(auth),
    ..Command::NEW
};

fn auth(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (user, password) = match call.args.left() {
        1 => {
            if !call.server.needs_password() {
                return Err(Error::NoPasswordSet);
            }
            (DEFAULT_USER, call.args.take()?)
        }
        2 => (call.args.take()?, call.args.take()?),
        _ => return Err(Error::Syntax),
    };
    authenticate(call.server, call.session, user, password)?;
    call.out.ok();
    Ok(())
}

/// Makes the session that of `user`, if the password is right. A wrong one leaves the session as it was.
///
/// The comparison takes the same time for every password of the right length.
pub fn authenticate(
    server: &Server,
    session: &mut Session,
    user: &[u8],
    password: &[u8],
) -> Result<(), Error> {
    let right = server.config.requirepass();
    let accepted = user == DEFAULT_USER && (right.is_empty() || bool::from(right.as_ref().ct_eq(password)));
    if !accepted {
        server.counters.worker(session.client.worker).totals.acl_denied_auth.add(1);
        return Err(Error::WrongPass);
    }
    session.set_authenticated(true);
    Ok(())
}
