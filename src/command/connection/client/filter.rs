//! Which connections CLIENT KILL and CLIENT LIST mean.

use crate::command::args::Args;
use crate::command::errors::Error;
use crate::state::Client;
use crate::state::clients::ClientClass;
use crate::types::number;

/// The types of connections that there are names for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientType {
    Normal,
    Replica,
    Pubsub,
    Master,
}

impl ClientType {
    /// Reads a type's name, old or new, in any case.
    pub fn parse(name: &[u8]) -> Result<ClientType, Error> {
        const NAMES: &[(&str, ClientType)] = &[
            ("normal", ClientType::Normal),
            ("slave", ClientType::Replica),
            ("replica", ClientType::Replica),
            ("pubsub", ClientType::Pubsub),
            ("master", ClientType::Master),
            ("primary", ClientType::Master),
        ];
        let found = NAMES.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
        found
            .map(|(_, client_type)| *client_type)
            .ok_or_else(|| Error::echoing("Unknown client type '", name, "'"))
    }

    /// Whether `client` is of this type.
    pub fn fits(self, client: &Client) -> bool {
        self == match client.class() {
            ClientClass::Normal => ClientType::Normal,
            ClientClass::Replica => ClientType::Replica,
            ClientClass::Pubsub => ClientType::Pubsub,
        }
    }
}

/// The options of CLIENT KILL. Each that is set must fit.
#[derive(Default, Debug)]
pub struct Filter<'a> {
    pub id: Option<u64>,
    pub client_type: Option<ClientType>,
    pub user: Option<&'a [u8]>,
    pub addr: Option<&'a [u8]>,
    pub laddr: Option<&'a [u8]>,
    /// Seconds.
    pub min_age_secs: Option<i64>,
    pub skip_me: bool,
}

impl<'a> Filter<'a> {
    /// Reads pairs of option and value up to the end.
    pub fn parse(args: &mut Args<'a>) -> Result<Filter<'a>, Error> {
        let mut filter = Filter { skip_me: true, ..Filter::default() };
        while !args.is_done() {
            let option = args.take()?.to_ascii_lowercase();
            let value = args.take()?;
            match option.as_slice() {
                b"id" => {
                    let id = number::parse_i64(value).filter(|id| *id > 0);
                    filter.id = Some(id.ok_or(Error::line("ERR client-id should be greater than 0"))? as u64);
                }
                b"type" => filter.client_type = Some(ClientType::parse(value)?),
                b"user" => filter.user = Some(known_user(value)?),
                b"addr" => filter.addr = Some(value),
                b"laddr" => filter.laddr = Some(value),
                b"maxage" => filter.min_age_secs = Some(age(value)?),
                b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.skip_me = true,
                b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.skip_me = false,
                _ => return Err(Error::Syntax),
            }
        }
        Ok(filter)
    }

    /// Whether `client` is meant; `me` is the number of the connection that asks.
    pub fn fits(&self, client: &Client, me: u64, now_ms: i64) -> bool {
        self.id.is_none_or(|id| id == client.id)
            && self.client_type.is_none_or(|client_type| client_type.fits(client))
            && self.addr.is_none_or(|addr| addr == client.addr.as_bytes())
            && self.laddr.is_none_or(|laddr| laddr == client.laddr.as_bytes())
            && self.min_age_secs.is_none_or(|age| client.age_secs(now_ms) >= age)
            && !(self.skip_me && client.id == me)
            && self.user.is_none_or(|user| user == client.names.lock().user)
    }
}

fn age(value: &[u8]) -> Result<i64, Error> {
    let age = number::parse_i64(value).ok_or(Error::line("ERR maxage is not an integer or out of range"))?;
    if age > 0 { Ok(age) } else { Err(Error::line("ERR maxage should be greater than 0")) }
}

fn known_user(name: &[u8]) -> Result<&[u8], Error> {
    if name == b"default" {
        return Ok(name);
    }
    Err(Error::echoing("No such user '", name, "'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::scan::{Request, Span};
    use crate::state::clients::Transport;

    fn with_args<R>(words: &[&str], f: impl FnOnce(&mut Args<'_>) -> R) -> R {
        let mut buf = Vec::new();
        let mut spans = Vec::new();
        for word in words {
            spans.push(Span::Buffered { start: buf.len() as u32, len: word.len() as u32 });
            buf.extend_from_slice(word.as_bytes());
        }
        f(&mut Args::new(Request::new(&buf, &[], &spans), 0))
    }

    #[test]
    fn every_option_narrows_the_choice() {
        let client = Client::new(7, Transport::Tcp, "1.2.3.4:5".into(), "0.0.0.0:6".into(), 3, 0);
        let now_ms = client.created_ms + 10_000;
        let fits = |words: &[&str], me: u64| {
            with_args(words, |args| Filter::parse(args).map(|f| f.fits(&client, me, now_ms)))
        };
        let all = ["ID", "7", "type", "normal", "USER", "default", "addr", "1.2.3.4:5", "laddr", "0.0.0.0:6"];
        assert_eq!(fits(&all, 1), Ok(true));
        assert_eq!(fits(&[], 1), Ok(true));
        assert_eq!(fits(&[], 7), Ok(false));
        assert_eq!(fits(&["skipme", "no"], 7), Ok(true));
        assert_eq!(fits(&["maxage", "10"], 1), Ok(true));
        for other in
            [["id", "8"], ["type", "replica"], ["addr", "1.2.3.4:6"], ["laddr", "x"], ["maxage", "11"]]
        {
            assert_eq!(fits(&other, 1), Ok(false), "{other:?}");
        }
    }

    #[test]
    fn bad_options_are_refused_in_redis_words() {
        let error = |words: &[&str]| {
            with_args(words, |args| String::from_utf8(Filter::parse(args).unwrap_err().reply()).unwrap())
        };
        assert_eq!(error(&["id", "0"]), "ERR client-id should be greater than 0");
        assert_eq!(error(&["id", "1", "x"]), "ERR syntax error");
        assert_eq!(error(&["skipme", "maybe"]), "ERR syntax error");
        assert_eq!(error(&["type", "odd"]), "ERR Unknown client type 'odd'");
        assert_eq!(error(&["user", "bob"]), "ERR No such user 'bob'");
        assert_eq!(error(&["maxage", "x"]), "ERR maxage is not an integer or out of range");
        assert_eq!(error(&["maxage", "-1"]), "ERR maxage should be greater than 0");
    }
}
