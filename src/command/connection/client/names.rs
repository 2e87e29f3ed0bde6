//! CLIENT ID, GETNAME, SETNAME and SETINFO: who the client is, by our count and by its own account.

use super::{BASE, ON_ALL_NODES};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command};

pub const ID: Command = Command {
    name: "id",
    summary: "Returns the number of the connection.",
    since: "5.0.0",
    reply: "integer",
    handler: Some(|call| {
        call.out.integer(call.session.client.id as i64);
        Ok(())
    }),
    ..BASE
};

pub const GETNAME: Command = Command {
    name: "getname",
    summary: "Returns the name of the connection.",
    since: "2.6.9",
    reply: "the name, or null",
    handler: Some(getname),
    ..BASE
};

pub const SETNAME: Command = Command {
    name: "setname",
    summary: "Names the connection.",
    since: "2.6.9",
    arity: 3,
    tips: ON_ALL_NODES,
    args: &[Arg::string("connection-name")],
    handler: Some(setname),
    ..BASE
};

pub const SETINFO: Command = Command {
    name: "setinfo",
    summary: "States name or version of the client library.",
    since: "7.2.0",
    arity: 4,
    tips: ON_ALL_NODES,
    args: &[Arg::one_of(
        "attr",
        &[Arg::string("libname").token("LIB-NAME"), Arg::string("libver").token("LIB-VER")],
    )],
    handler: Some(setinfo),
    ..BASE
};

fn getname(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let names = call.session.client.names.lock();
    if names.name.is_empty() {
        call.out.null()
    } else {
        call.out.bulk(&names.name)
    }
    Ok(())
}

fn setname(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let name = call.args.take()?;
    check_name(name)?;
    call.session.client.names.lock().name = name.to_vec();
    call.out.ok();
    Ok(())
}

fn setinfo(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (option, value) = (call.args.take()?, call.args.take()?);
    let is_name = option.eq_ignore_ascii_case(b"lib-name");
    if !is_name && !option.eq_ignore_ascii_case(b"lib-ver") {
        return Err(Error::echoing("Unrecognized option '", option, "'"));
    }
    if !is_plain(value) {
        let text = " cannot contain spaces, newlines or special characters.";
        return Err(Error::echoing("", option, text));
    }
    let mut names = call.session.client.names.lock();
    let place = if is_name { &mut names.lib_name } else { &mut names.lib_ver };
    *place = value.to_vec();
    call.out.ok();
    Ok(())
}

/// Whether a text can stand in a line of CLIENT LIST, whose fields are separated by spaces.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

/// Refuses names that CLIENT LIST could not show. The empty name is no name, and allowed.
pub fn check_name(name: &[u8]) -> Result<(), Error> {
    if is_plain(name) {
        return Ok(());
    }
    Err(Error::line("ERR Client names cannot contain spaces, newlines or special characters."))
}
