//! Searching around a place: GEOSEARCH, GEOSEARCHSTORE, and the older GEORADIUS and its siblings.

use super::options::{Options, Order, Style};
use super::{UNIT, reply_distance, reply_point};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::sorted_set::range::borrowed;
use crate::command::sorted_set::value::{self, SortedSetRef};
use crate::command::sorted_set::{READ_KEY, find, reply_name};
use crate::command::spec::{Arg, Begin, Command, Find, Flags, Group, KeyFlags, KeySpec};
use crate::resp::reply::Reply;
use crate::resp::scan::Request;
use crate::types::geo::Point;
use crate::types::packed::Item;
use std::cmp::Ordering;

const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const STORES: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);

const LONGITUDE: Arg = Arg::double("longitude");
const LATITUDE: Arg = Arg::double("latitude");
const FROM: Arg = Arg::one_of(
    "from",
    &[
        Arg::string("member").token("FROMMEMBER"),
        Arg::block("fromlonlat", &[LONGITUDE, LATITUDE]).token("FROMLONLAT"),
    ],
);
const BY: Arg = Arg::one_of(
    "by",
    &[
        Arg::block("circle", &[Arg::double("radius").token("BYRADIUS"), UNIT]),
        Arg::block("box", &[Arg::double("width").token("BYBOX"), Arg::double("height"), UNIT]),
    ],
);
const ORDER: Arg = Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional();
const ANY: Arg = Arg::word("any", "ANY").optional();
const COUNT: Arg = Arg::block("count-block", &[Arg::integer("count").token("COUNT"), ANY]).optional();
const WITHCOORD: Arg = Arg::word("withcoord", "WITHCOORD").optional();
const WITHDIST: Arg = Arg::word("withdist", "WITHDIST").optional();
const WITHHASH: Arg = Arg::word("withhash", "WITHHASH").optional();

const RESULTS: &str = "array of members; with WITHDIST, WITHHASH or WITHCOORD an array for each, of the member, \
                       its distance, its geohash, and an array of longitude and latitude";
const COMPLEXITY: &str =
    "O(N+log(M)) where N is the number of members near the area, and M that of all members.";

pub const GEOSEARCH: Command = Command {
    name: "geosearch",
    summary: "Finds the members within a circle or a rectangle.",
    since: "6.2.0",
    group: Group::Geo,
    complexity: COMPLEXITY,
    arity: -7,
    flags: Flags::READONLY,
    keys: READ_KEY,
    args: &[Arg::key("key", 0), FROM, BY, ORDER, COUNT, WITHCOORD, WITHDIST, WITHHASH],
    reply: RESULTS,
    handler: Some(|call| search(call, Style::Search)),
    ..Command::NEW
};

pub const GEOSEARCHSTORE: Command = Command {
    name: "geosearchstore",
    summary: "Finds the members within a circle or a rectangle, and stores them.",
    since: "6.2.0",
    group: Group::Geo,
    complexity: COMPLEXITY,
    arity: -8,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, STORES), KeySpec::one(2, READS)],
    args: &[
        Arg::key("destination", 0),
        Arg::key("source", 1),
        FROM,
        BY,
        ORDER,
        COUNT,
        Arg::word("storedist", "STOREDIST").optional(),
    ],
    reply: "the number of members stored",
    handler: Some(|call| search(call, Style::SearchStore)),
    ..Command::NEW
};

/// The key behind a word among the options.
const fn store_key(word: &'static str, from: i16) -> KeySpec {
    KeySpec {
        flags: STORES,
        begin: Begin::Keyword { word, from },
        find: Find::Range { last: 0, step: 1, limit: 0 },
        notes: "",
    }
}

const STORE: Arg = Arg::one_of(
    "store",
    &[
        Arg::key("storekey", 1).token("STORE").display("key"),
        Arg::key("storedistkey", 2).token("STOREDIST").display("key"),
    ],
)
.optional();

const RADIUS: Arg = Arg::double("radius");
/// As of GEORADIUS, whose other options are older.
const COUNT_OF_RADIUS: Arg =
    Arg::block("count-block", &[Arg::integer("count").token("COUNT"), ANY.since("6.2.0")]).optional();
const HISTORY: &[(&str, &str)] = &[("6.2.0", "The option ANY of COUNT."), ("7.0.0", "Units in any case.")];

pub const GEORADIUS: Command = Command {
    name: "georadius",
    summary: "Finds the members within a circle, and may store them.",
    since: "3.2.0",
    group: Group::Geo,
    complexity: COMPLEXITY,
    arity: -6,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, READS), store_key("STORE", 6), store_key("STOREDIST", 6)],
    find_keys: Some(radius_keys),
    args: &[
        Arg::key("key", 0),
        LONGITUDE,
        LATITUDE,
        RADIUS,
        UNIT,
        WITHCOORD,
        WITHDIST,
        WITHHASH,
        COUNT_OF_RADIUS,
        ORDER,
        STORE,
    ],
    history: HISTORY,
    deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")),
    reply: RESULTS,
    handler: Some(|call| search(call, Style::Radius)),
    ..Command::NEW
};

pub const GEORADIUSBYMEMBER: Command = Command {
    name: "georadiusbymember",
    summary: "Finds the members within a circle around a member, and may store them.",
    arity: -5,
    keys: &[KeySpec::one(1, READS), store_key("STORE", 5), store_key("STOREDIST", 5)],
    args: &[
        Arg::key("key", 0),
        Arg::string("member"),
        RADIUS,
        UNIT,
        WITHCOORD,
        WITHDIST,
        WITHHASH,
        COUNT,
        ORDER,
        STORE,
    ],
    deprecated: Some((
        "6.2.0",
        "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
    )),
    handler: Some(|call| search(call, Style::RadiusByMember)),
    ..GEORADIUS
};

pub const GEORADIUS_RO: Command = Command {
    name: "georadius_ro",
    summary: "Finds the members within a circle.",
    since: "3.2.10",
    flags: Flags::READONLY,
    keys: READ_KEY,
    find_keys: None,
    args: &[
        Arg::key("key", 0),
        LONGITUDE,
        LATITUDE,
        RADIUS,
        UNIT,
        WITHCOORD,
        WITHDIST,
        WITHHASH,
        COUNT_OF_RADIUS,
        ORDER,
    ],
    deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
    handler: Some(|call| search(call, Style::RadiusReadOnly)),
    ..GEORADIUS
};

pub const GEORADIUSBYMEMBER_RO: Command = Command {
    name: "georadiusbymember_ro",
    summary: "Finds the members within a circle around a member.",
    since: "3.2.10",
    flags: Flags::READONLY,
    keys: READ_KEY,
    find_keys: None,
    args: &[
        Arg::key("key", 0),
        Arg::string("member"),
        RADIUS,
        UNIT,
        WITHCOORD,
        WITHDIST,
        WITHHASH,
        COUNT,
        ORDER,
    ],
    deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")),
    handler: Some(|call| search(call, Style::RadiusByMemberReadOnly)),
    ..GEORADIUSBYMEMBER
};

/// The key that is searched, and every one that follows STORE or STOREDIST: the last one counts.
fn radius_keys(request: Request<'_>, visit: &mut dyn FnMut(usize, KeyFlags)) {
    /// Where the options of the shorter of the two commands begin.
    const OPTIONS: usize = 5;
    if request.len() > 1 {
        visit(1, READS);
    }
    let mut args = Args::new(request, OPTIONS.min(request.len()));
    while args.left() > 1 {
        if args.skip_word("STORE") || args.skip_word("STOREDIST") {
            visit(args.position(), STORES);
        }
        args.seek(args.position() + 1);
    }
}

/// A member of the area.
struct Found<'a> {
    member: Item<'a>,
    score: f64,
    place: Point,
    /// To the centre, in metres.
    distance: f64,
}

/// All members of the area, in the order in which cells of the grid are searched; with ANY not more than are wanted.
fn members<'a>(set: SortedSetRef<'a>, options: &Options<'_>) -> Vec<Found<'a>> {
    let area = options.area();
    let limit = if options.any { options.count.unwrap_or(usize::MAX) } else { usize::MAX };
    let mut found = Vec::new();
    for scores in area.score_ranges() {
        let first = set.position_by_score(|score| score < scores.start as f64);
        for (member, score) in set.range(first..usize::MAX, false) {
            let score = score.get();
            if found.len() >= limit || score >= scores.end as f64 {
                break;
            }
            let place = Point::of_score(score);
            if let Some(distance) = area.distance_within(place) {
                found.push(Found { member, score, place, distance });
            }
        }
    }
    found
}

/// The members that are wanted, in the order in which they are.
fn results<'a>(set: SortedSetRef<'a>, options: &Options<'_>) -> Vec<Found<'a>> {
    let mut found = members(set, options);
    let count = options.count.unwrap_or(usize::MAX);
    // The nearest are meant by a limit, unless any will do.
    let nearest = (options.count.is_some() && !options.any).then_some(Order::Nearest);
    if let Some(order) = options.order.or(nearest) {
        let compare = |a: &Found<'_>, b: &Found<'_>| -> Ordering {
            let ordering = a.distance.total_cmp(&b.distance);
            if order == Order::Nearest { ordering } else { ordering.reverse() }
        };
        if count < found.len() {
            found.select_nth_unstable_by(count, compare);
            found.truncate(count);
        }
        found.sort_by(compare);
    }
    found.truncate(count);
    found
}

fn search(call: &mut Call<'_, '_>, style: Style) -> Result<(), Error> {
    let destination = if style == Style::SearchStore { Some(call.args.take()?) } else { None };
    let key = call.args.take()?;
    let set = find(call.keys, key)?;
    let options = Options::parse(style, &mut call.args, set)?;
    if let Some(target) = destination.or(options.store) {
        let event = if destination.is_some() { "geosearchstore" } else { "georadiusstore" };
        return store(call, key, target, event, &options);
    }
    let found = set.map(|set| results(set, &options)).unwrap_or_default();
    call.out.array(found.len());
    found.iter().for_each(|found| reply_found(call.out, found, &options));
    Ok(())
}

fn reply_found(out: &mut Reply, found: &Found<'_>, options: &Options<'_>) {
    let parts = [options.with_distance, options.with_hash, options.with_place]
        .into_iter()
        .filter(|part| *part)
        .count();
    if parts > 0 {
        out.array(1 + parts);
    }
    reply_name(out, found.member);
    if options.with_distance {
        reply_distance(out, found.distance / options.unit_m);
    }
    if options.with_hash {
        out.integer(found.score as i64);
    }
    if options.with_place {
        reply_point(out, found.place);
    }
}

/// Stores the results in the place of whatever `destination` holds, and replies with their number.
fn store(
    call: &mut Call<'_, '_>,
    key: &[u8],
    destination: &[u8],
    event: &str,
    options: &Options<'_>,
) -> Result<(), Error> {
    let mut count = 0;
    value::store(call, destination, event, |view| {
        let found = find(view, key)?.map(|set| results(set, options)).unwrap_or_default();
        let mut sorted: value::Sorted<'_> = found
            .into_iter()
            .map(|found| {
                let distance = found.distance / options.unit_m;
                let score = if options.store_distance { distance } else { found.score };
                (borrowed(found.member), score)
            })
            .collect();
        sorted.sort_unstable_by(|(a, x), (b, y)| x.total_cmp(y).then_with(|| a.cmp(b)));
        count = sorted.len() as u64;
        Ok(sorted)
    })?;
    // Each of them counts as a change here, though one was counted already.
    call.keys.changed(count.saturating_sub(1));
    Ok(())
}
