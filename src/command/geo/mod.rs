//! Commands on places: sorted sets whose scores are geohashes (see [`types::geo`](crate::types::geo)).

mod options;
mod search;

use super::args::Args;
use super::call::Call;
use super::errors::Error;
use super::sorted_set::add::{self, Options};
use super::sorted_set::{READ_KEY, find};
use super::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::resp::reply::Reply;
use crate::types::geo::Point;
use smallvec::SmallVec;

pub const COMMANDS: &[Command] = &[
    GEOADD,
    GEODIST,
    GEOHASH,
    GEOPOS,
    search::GEORADIUS,
    search::GEORADIUSBYMEMBER,
    search::GEORADIUSBYMEMBER_RO,
    search::GEORADIUS_RO,
    search::GEOSEARCH,
    search::GEOSEARCHSTORE,
];

const UNIT: Arg = Arg::one_of(
    "unit",
    &[Arg::word("m", "M"), Arg::word("km", "KM"), Arg::word("ft", "FT"), Arg::word("mi", "MI")],
);

/// Consumes a unit of length: so many metres.
fn next_unit(args: &mut Args<'_>) -> Result<f64, Error> {
    const UNITS: [(&str, f64); 4] = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let found = UNITS.iter().find(|(name, _)| args.skip_word(name));
    let unit = found.map(|(_, metres)| *metres);
    unit.ok_or(Error::line("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

/// Consumes longitude and latitude of a place on the map.
fn next_point(args: &mut Args<'_>) -> Result<Point, Error> {
    let (longitude, latitude) = (args.next_f64()?, args.next_f64()?);
    Point::new(longitude, latitude).ok_or_else(|| {
        Error::err(format_args!("invalid longitude,latitude pair {longitude:.6},{latitude:.6}"))
    })
}

/// Replies with longitude and latitude, with up to 17 digits behind the point.
fn reply_point(out: &mut Reply, point: Point) {
    out.array(2);
    for degrees in [point.longitude, point.latitude] {
        let text = format!("{degrees:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        out.double_text(if text == "-0" { b"0" } else { text.as_bytes() });
    }
}

/// Replies with a distance, to four digits behind the point.
fn reply_distance(out: &mut Reply, distance: f64) {
    // The product is what is rounded, as in Redis.
    const SCALE: f64 = 10_000.0;
    out.text(&format!("{:.4}", (distance * SCALE).round_ties_even() / SCALE));
}

pub const GEOADD: Command = Command {
    name: "geoadd",
    summary: "Adds places to a sorted set, or moves them. Creates the key if there is none.",
    since: "3.2.0",
    group: Group::Geo,
    complexity: "O(log(N)) for each place, where N is the number of members of the sorted set.",
    arity: -5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    args: &[
        Arg::key("key", 0),
        Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")]).optional().since("6.2.0"),
        Arg::word("change", "CH").optional().since("6.2.0"),
        Arg::block("data", &[Arg::double("longitude"), Arg::double("latitude"), Arg::string("member")])
            .multiple(),
    ],
    history: &[("6.2.0", "The options CH, NX and XX.")],
    reply: "the number of places added; with CH: added or moved",
    handler: Some(geoadd),
    ..Command::NEW
};

fn geoadd(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let mut options = Options::default();
    loop {
        let option = if call.args.skip_word("NX") {
            &mut options.nx
        } else if call.args.skip_word("XX") {
            &mut options.xx
        } else if call.args.skip_word("CH") {
            &mut options.ch
        } else {
            break;
        };
        *option = true;
    }
    if options.nx && options.xx || call.args.is_done() || !call.args.left().is_multiple_of(3) {
        return Err(Error::Syntax);
    }
    let mut pairs: SmallVec<[(f64, &[u8]); 4]> = SmallVec::with_capacity(call.args.left() / 3);
    while !call.args.is_done() {
        let score = next_point(&mut call.args)?.score() as f64;
        pairs.push((score, call.args.take()?));
    }
    add::apply(call, key, options, &pairs)
}

const MEMBERS: &[Arg] = &[Arg::key("key", 0), Arg::string("member").multiple().optional()];

pub const GEOPOS: Command = Command {
    name: "geopos",
    summary: "Returns longitude and latitude of members.",
    since: "3.2.0",
    group: Group::Geo,
    complexity: "O(1) for each member.",
    arity: -2,
    flags: Flags::READONLY,
    keys: READ_KEY,
    args: MEMBERS,
    reply: "array with an array of two doubles for each member, or null if it is none",
    handler: Some(|call| {
        each_member(call, |out, point| match point {
            Some(point) => reply_point(out, point),
            None => out.null_array(),
        })
    }),
    ..Command::NEW
};

pub const GEOHASH: Command = Command {
    name: "geohash",
    summary: "Returns the standard geohashes of members.",
    reply: "array with a bulk string of 11 characters for each member, or null if it is none",
    handler: Some(|call| {
        each_member(call, |out, point| match point {
            Some(point) => out.bulk(&point.geohash()),
            None => out.null(),
        })
    }),
    ..GEOPOS
};

/// Replies with one element for each of the members that are asked for.
fn each_member(call: &mut Call<'_, '_>, reply: impl Fn(&mut Reply, Option<Point>)) -> Result<(), Error> {
    let key = call.args.take()?;
    let set = find(call.keys, key)?;
    call.out.array(call.args.left());
    for member in call.args.rest() {
        let score = set.and_then(|set| set.score(member));
        reply(call.out, score.map(Point::of_score));
    }
    Ok(())
}

pub const GEODIST: Command = Command {
    name: "geodist",
    summary: "Returns the distance between two members.",
    since: "3.2.0",
    group: Group::Geo,
    complexity: "O(1)",
    arity: -4,
    flags: Flags::READONLY,
    keys: READ_KEY,
    args: &[Arg::key("key", 0), Arg::string("member1"), Arg::string("member2"), UNIT.optional()],
    reply: "bulk string: the distance, or null if one of them is no member",
    handler: Some(geodist),
    ..Command::NEW
};

fn geodist(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let members = [call.args.take()?, call.args.take()?];
    let unit_m = match call.args.left() {
        0 => 1.0,
        1 => next_unit(&mut call.args)?,
        _ => return Err(Error::Syntax),
    };
    let set = find(call.keys, key)?;
    match members.map(|member| set.and_then(|set| set.score(member)).map(Point::of_score)) {
        [Some(from), Some(to)] => reply_distance(call.out, from.distance(to) / unit_m),
        _ => call.out.null(),
    }
    Ok(())
}
