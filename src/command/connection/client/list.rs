//! CLIENT LIST and CLIENT INFO: a line per connection.

use super::filter::ClientType;
use super::{ADMIN, BASE};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command};
use crate::command::table::table;
use crate::state::Client;
use crate::state::clients::Transport;
use crate::state::pubsub::Kind;
use crate::state::tracking::Modes;
use crate::types::number;
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;

const CHANGES_FROM_CALL_TO_CALL: &[&str] = &["nondeterministic_output"];

pub const INFO: Command = Command {
    name: "info",
    summary: "Describes the connection.",
    since: "6.2.0",
    tips: CHANGES_FROM_CALL_TO_CALL,
    reply: "one line of CLIENT LIST",
    handler: Some(info),
    ..BASE
};

pub const LIST: Command = Command {
    name: "list",
    summary: "Describes all connections.",
    since: "2.4.0",
    complexity: "O(N) where N is the number of connections",
    arity: -2,
    tips: CHANGES_FROM_CALL_TO_CALL,
    args: &[
        Arg::one_of(
            "client-type",
            &[
                Arg::word("normal", "NORMAL"),
                Arg::word("master", "MASTER"),
                Arg::word("replica", "REPLICA"),
                Arg::word("pubsub", "PUBSUB"),
            ],
        )
        .token("TYPE")
        .optional()
        .since("5.0.0"),
        Arg::integer("client-id").token("ID").optional().multiple().since("6.2.0"),
    ],
    history: &[
        ("2.8.12", "Shows `id`."),
        ("5.0.0", "Takes `TYPE`."),
        ("6.0.0", "Shows `user`."),
        ("6.2.0", "Shows `argv-mem`, `tot-mem`, `laddr` and `redir`; takes `ID`."),
        ("7.0.0", "Shows `resp`, `multi-mem`, `rbs` and `rbp`."),
        ("7.0.3", "Shows `ssub`."),
        ("7.2.0", "Shows `lib-name` and `lib-ver`."),
        ("8.0.0", "Shows `watch`, `io-thread`, `tot-net-in`, `tot-net-out` and `tot-cmds`."),
    ],
    reply: "a line of fields for each connection",
    handler: Some(list),
    ..ADMIN
};

fn info(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let mut text = Vec::new();
    let args_bytes = call.args.request().iter().map(<[u8]>::len).sum();
    write_line(&mut text, &call.session.client, args_bytes, call.keys.now_ms);
    call.out.verbatim("txt", &text);
    Ok(())
}

fn list(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let clients = &call.server.clients;
    let chosen = match call.args.left() {
        0 => clients.all(),
        2 if call.args.skip_word("TYPE") => {
            let wanted = ClientType::parse(call.args.take()?)?;
            let mut all = clients.all();
            all.retain(|client| wanted.fits(client));
            all
        }
        2.. if call.args.skip_word("ID") => {
            let id = |arg| number::parse_i64(arg).ok_or(Error::line("ERR Invalid client ID"));
            let ids = call.args.rest().map(id).collect::<Result<Vec<_>, _>>()?;
            ids.into_iter().filter_map(|id| clients.get(u64::try_from(id).ok()?)).collect()
        }
        _ => return Err(Error::Syntax),
    };
    let mut text = Vec::new();
    for client in chosen {
        let args_bytes = if client.id == call.session.client.id {
            call.args.request().iter().map(<[u8]>::len).sum()
        } else {
            client.args_bytes.load(Relaxed)
        };
        write_line(&mut text, &client, args_bytes, call.keys.now_ms);
    }
    call.out.verbatim("txt", &text);
    Ok(())
}

/// Appends the line of one connection. `args_bytes` is the length of the arguments that it is sending or
/// executing.
fn write_line(text: &mut Vec<u8>, client: &Client, args_bytes: usize, now_ms: i64) {
    let names = client.names.lock().clone();
    let output_bytes = client.waiting_bytes();
    let reply_buffer_bytes = client.reply_buffer_bytes.load(Relaxed);
    let beyond_bytes = client.output_beyond_buffer(output_bytes);
    let chunks = if beyond_bytes == 0 { 0 } else { client.output_chunks.load(Relaxed) };
    let command =
        table().all.get(client.last_command.load(Relaxed) as usize).map_or("NULL", |c| &c.full_name);
    let idle_secs = (now_ms - client.last_active_ms.load(Relaxed)).max(0) / 1000;
    // Writing to a vector cannot fail.
    let _ =
        write!(text, "id={} addr={} laddr={} fd={} name=", client.id, client.addr, client.laddr, client.fd);
    text.extend_from_slice(&names.name);
    let _ = write!(
        text,
        " age={} idle={idle_secs} flags={} db={} sub={} psub={} ssub={} multi={} watch={} qbuf={} \
         qbuf-free={} argv-mem={args_bytes} multi-mem={} rbs={reply_buffer_bytes} rbp={} obl={} oll={chunks} omem={beyond_bytes} \
         tot-mem={} events={} cmd={command} user=",
        client.age_secs(now_ms),
        flags(client),
        client.db.load(Relaxed),
        client.subscriptions[Kind::Channel as usize].load(Relaxed),
        client.subscriptions[Kind::Pattern as usize].load(Relaxed),
        client.subscriptions[Kind::Shard as usize].load(Relaxed),
        client.multi.load(Relaxed),
        client.watch.keys(),
        client.query_bytes.load(Relaxed),
        client.query_free_bytes.load(Relaxed),
        client.multi_bytes.load(Relaxed),
        client.reply_peak_bytes.load(Relaxed).min(reply_buffer_bytes),
        output_bytes - beyond_bytes,
        client.total_memory_bytes(),
        if output_bytes == 0 { "r" } else { "rw" },
    );
    text.extend_from_slice(&names.user);
    let _ =
        write!(text, " redir={} resp={} lib-name=", client.redirect.load(Relaxed), client.resp.load(Relaxed));
    text.extend_from_slice(&names.lib_name);
    text.extend_from_slice(b" lib-ver=");
    text.extend_from_slice(&names.lib_ver);
    let _ = writeln!(
        text,
        " io-thread={} tot-net-in={} tot-net-out={} tot-cmds={}",
        client.worker,
        client.total_in_bytes.load(Relaxed),
        client.total_out_bytes.load(Relaxed),
        client.total_commands.load(Relaxed),
    );
}

/// The letters of CLIENT LIST's `flags`.
fn flags(client: &Client) -> String {
    let modes = Modes::from_bits_truncate(client.tracking.load(Relaxed));
    let letters = [
        (client.is_monitor.load(Relaxed), 'O'),
        (client.is_subscriber.load(Relaxed), 'P'),
        (client.multi.load(Relaxed) >= 0, 'x'),
        (client.is_blocked(), 'b'),
        (client.watch.is_dirty(), 'd'),
        (client.transport == Transport::Unix, 'U'),
        (modes.contains(Modes::ON), 't'),
        (modes.contains(Modes::BROKEN), 'R'),
        (modes.contains(Modes::BCAST), 'B'),
        (client.no_evict.load(Relaxed), 'e'),
        (client.no_touch.load(Relaxed), 'T'),
    ];
    let flags: String = letters.into_iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect();
    if flags.is_empty() { "N".to_owned() } else { flags }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_redis_fields_in_redis_order() {
        let client = Client::new(7, Transport::Tcp, "1.2.3.4:5".into(), "0.0.0.0:6".into(), 3, 1);
        client.names.lock().name = b"me".to_vec();
        client.no_touch.store(true, Relaxed);
        client.reply_peak_bytes.store(100, Relaxed);
        client.output_bytes.store(20_000, Relaxed);
        client.output_chunks.store(2, Relaxed);
        let mut text = Vec::new();
        write_line(&mut text, &client, 10, client.created_ms + 2500);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "id=7 addr=1.2.3.4:5 laddr=0.0.0.0:6 fd=3 name=me age=2 idle=2 flags=T db=0 sub=0 psub=0 ssub=0 \
             multi=-1 watch=0 qbuf=0 qbuf-free=0 argv-mem=10 multi-mem=0 rbs=16384 rbp=100 obl=16384 oll=2 \
             omem=3616 tot-mem=0 events=rw cmd=NULL user=default redir=-1 resp=2 lib-name= lib-ver= io-thread=1 \
             tot-net-in=0 tot-net-out=0 tot-cmds=0\n"
        );
    }
}
