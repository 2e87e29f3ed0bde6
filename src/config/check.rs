//! Checks of texts beyond their form. Knows nothing of directives but what their error texts say.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Host names are shorter than this, as in Redis, so that a cluster's messages have room for them.
const HOST_NAME_LIMIT_BYTES: usize = 256;

fn is_base_name(name: &[u8]) -> bool {
    !name.iter().any(|b| matches!(b, b'/' | b'\\'))
}

/// The variables that a process title may be made of.
const TITLE_VARIABLES: [&str; 7] =
    ["title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"];

pub(super) fn snapshot_file(name: &[u8]) -> Result<(), &'static str> {
    match name {
        b"" => Err("dbfilename can't be empty"),
        _ if is_base_name(name) => Ok(()),
        _ => Err("dbfilename can't be a path, just a filename"),
    }
}

pub(super) fn log_file(name: &[u8]) -> Result<(), &'static str> {
    match name {
        b"" => Err("appendfilename can't be empty"),
        _ if is_base_name(name) => Ok(()),
        _ => Err("appendfilename can't be a path, just a filename"),
    }
}

pub(super) fn log_directory(name: &[u8]) -> Result<(), &'static str> {
    match name {
        b"" => Err("appenddirname can't be empty"),
        _ if is_base_name(name) => Ok(()),
        _ => Err("appenddirname can't be a path, just a dirname"),
    }
}

pub(super) fn cluster_file(name: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() { Err("cluster-config-file can't be empty") } else { Ok(()) }
}

pub(super) fn ipv4(address: &[u8]) -> Result<(), &'static str> {
    parses::<Ipv4Addr>(address, "Invalid IPv4 address")
}

pub(super) fn ipv6(address: &[u8]) -> Result<(), &'static str> {
    parses::<Ipv6Addr>(address, "Invalid IPv6 address")
}

fn parses<A: std::str::FromStr>(address: &[u8], complaint: &'static str) -> Result<(), &'static str> {
    let fine = address.is_empty() || std::str::from_utf8(address).is_ok_and(|text| text.parse::<A>().is_ok());
    if fine { Ok(()) } else { Err(complaint) }
}

pub(super) fn host_name(name: &[u8]) -> Result<(), &'static str> {
    if name.len() >= HOST_NAME_LIMIT_BYTES {
        return Err("Hostnames must be less than 256 characters");
    }
    let fine = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    if name.iter().all(fine) {
        Ok(())
    } else {
        Err("Hostnames may only contain alphanumeric characters, hyphens or dots")
    }
}

pub(super) fn node_name(name: &[u8]) -> Result<(), &'static str> {
    // What separates the fields of a cluster's configuration file cannot be part of a name.
    let fine = |b: &u8| (b'!'..=b'~').contains(b) && !matches!(b, b'=' | b',' | b'"' | b'\'');
    if name.iter().all(fine) { Ok(()) } else { Err("Announced human node name contained invalid character") }
}

pub(super) fn title_template(template: &[u8]) -> Result<(), &'static str> {
    let complaint = "template format is invalid or contains unknown variables";
    // `{{` stands for a brace.
    let template = std::str::from_utf8(template).map_err(|_| complaint)?.replace("{{", "");
    let mut rest = template.as_str();
    if rest.trim().is_empty() {
        return Err(complaint);
    }
    while let Some((_, after)) = rest.split_once('{') {
        let (variable, after) = after.split_once('}').ok_or(complaint)?;
        if !TITLE_VARIABLES.contains(&variable) {
            return Err(complaint);
        }
        rest = after;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names() {
        assert!(snapshot_file(b"dump.rdb").is_ok());
        assert!(snapshot_file(b"").is_err());
        assert!(snapshot_file(b"a/b").is_err());
        assert!(log_file(b"").is_err() && log_file(b"a.aof").is_ok());
        assert!(log_directory(b"a\\b").is_err());
        assert!(cluster_file(b"a/b").is_ok());
    }

    #[test]
    fn names_and_addresses() {
        assert!(ipv4(b"127.0.0.1").is_ok() && ipv4(b"").is_ok() && ipv4(b"::1").is_err());
        assert!(ipv6(b"::1").is_ok() && ipv6(b"1.2.3.4").is_err());
        assert!(host_name(b"a-1.example").is_ok() && host_name(b"a_b").is_err());
        assert!(host_name(&[b'a'; 256]).is_err());
        assert!(node_name(b"node-1").is_ok() && node_name(b"a b").is_err());
    }

    #[test]
    fn title_templates() {
        assert!(title_template(b"{title} {port}").is_ok());
        for template in [&b""[..], b" ", b"{", b"{title", b"{nope}", b"\xff"] {
            assert!(title_template(template).is_err());
        }
    }
}
