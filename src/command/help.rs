//! The HELP subcommand that every container command has, in Redis's form.

use super::call::Call;
use super::errors::Error;
use super::spec::{Command, Flags, Group};
use crate::resp::reply::Reply;

/// The record of a container's HELP subcommand, which shows the lines in the container's record.
pub const fn record(group: Group, since: &'static str) -> Command {
    Command {
        name: "help",
        summary: "Lists the subcommands with a line on each.",
        since,
        group,
        arity: 2,
        flags: Flags::LOADING.union(Flags::STALE),
        reply: "array of lines",
        handler: Some(|call| reply(call, call.entry.parent.map_or(&[], |container| container.help))),
        ..Command::NEW
    }
}

/// Answers a HELP subcommand: for each subcommand its form (`GET <pattern>`), then indented lines on what it
/// does. The lines about the container and about HELP itself are added here.
pub fn reply(call: &mut Call<'_, '_>, lines: &[&str]) -> Result<(), Error> {
    let container = call.entry.parent.unwrap_or(call.entry.spec);
    write(call.out, container.name, lines);
    Ok(())
}

/// The error of a subcommand whose number of arguments fits the record but not the form that they chose.
pub fn syntax_error(call: &Call<'_, '_>) -> Error {
    let container = call.entry.parent.unwrap_or(call.entry.spec).name.to_ascii_uppercase();
    Error::SubcommandSyntax { container, sub: call.args.get(1).to_vec() }
}

fn write(out: &mut Reply, container: &str, lines: &[&str]) {
    out.array(lines.len() + 3);
    let name = container.to_ascii_uppercase();
    out.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for line in lines {
        out.simple(line);
    }
    out.simple("HELP");
    out.simple("    Print this help.");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::reply::Proto;

    #[test]
    fn header_lines_and_footer() {
        let mut out = Reply::new(Proto::Resp2);
        write(&mut out, "config", &["GET <pattern>", "    Values."]);
        let expected = "*5\r\n+CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n\
                        +GET <pattern>\r\n+    Values.\r\n+HELP\r\n+    Print this help.\r\n";
        assert_eq!(out.plain(), Some(expected.as_bytes()));
    }
}
