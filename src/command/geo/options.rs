//! What a search is given: its centre, its area, and how the results are wanted.

use super::{next_point, next_unit};
use crate::command::args::Args;
use crate::command::errors::Error;
use crate::command::sorted_set::value::SortedSetRef;
use crate::types::geo::{Area, Form, Point};
use crate::types::number;

/// In which way a command asks for a search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// GEOSEARCH: everything is an option.
    Search,
    /// GEOSEARCHSTORE.
    SearchStore,
    /// GEORADIUS: a place and a radius, and options, among them STORE.
    Radius,
    /// GEORADIUSBYMEMBER.
    RadiusByMember,
    /// GEORADIUS_RO.
    RadiusReadOnly,
    /// GEORADIUSBYMEMBER_RO.
    RadiusByMemberReadOnly,
}

impl Style {
    fn is_search(self) -> bool {
        matches!(self, Style::Search | Style::SearchStore)
    }

    fn may_store(self) -> bool {
        matches!(self, Style::Radius | Style::RadiusByMember)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    Nearest,
    Farthest,
}

/// Where the centre of a search comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Nowhere,
    Member,
    Place,
}

pub struct Options<'a> {
    center: Point,
    form: Option<Form>,
    pub unit_m: f64,
    pub with_distance: bool,
    pub with_hash: bool,
    pub with_place: bool,
    pub order: Option<Order>,
    /// How many results are wanted at most.
    pub count: Option<usize>,
    /// Any are as good as the nearest.
    pub any: bool,
    /// The key to store the results in.
    pub store: Option<&'a [u8]>,
    /// Store distances, not geohashes.
    pub store_distance: bool,
}

/// The place of a member. There is one if there is no sorted set, too: the arguments are looked at nevertheless.
fn place_of(set: Option<SortedSetRef<'_>>, member: &[u8]) -> Result<Point, Error> {
    let score = set.map_or(Some(0.0), |set| set.score(member));
    score.map(Point::of_score).ok_or(Error::line("ERR could not decode requested zset member"))
}

fn next_length(args: &mut Args<'_>, error: Error) -> Result<f64, Error> {
    number::parse_f64(args.take()?).ok_or(error)
}

/// Consumes the radius and the unit.
fn next_circle(args: &mut Args<'_>) -> Result<(Form, f64), Error> {
    let radius = next_length(args, Error::line("ERR need numeric radius"))?;
    if radius < 0.0 {
        return Err(Error::line("ERR radius cannot be negative"));
    }
    Ok((Form::Circle { radius }, next_unit(args)?))
}

/// Consumes width, height and the unit.
fn next_rectangle(args: &mut Args<'_>) -> Result<(Form, f64), Error> {
    let width = next_length(args, Error::line("ERR need numeric width"))?;
    let height = next_length(args, Error::line("ERR need numeric height"))?;
    if width < 0.0 || height < 0.0 {
        return Err(Error::line("ERR height or width cannot be negative"));
    }
    Ok((Form::Rectangle { width, height }, next_unit(args)?))
}

impl<'a> Options<'a> {
    /// Reads the arguments behind the keys. `set` is what is searched, if there is anything.
    pub fn parse(
        style: Style,
        args: &mut Args<'a>,
        set: Option<SortedSetRef<'_>>,
    ) -> Result<Options<'a>, Error> {
        let mut options = Options {
            center: Point::of_score(0.0),
            form: None,
            unit_m: 1.0,
            with_distance: false,
            with_hash: false,
            with_place: false,
            order: None,
            count: None,
            any: false,
            store: None,
            store_distance: false,
        };
        match style {
            Style::Search | Style::SearchStore => {}
            Style::Radius | Style::RadiusReadOnly => {
                options.center = next_point(args)?;
                options.set_form(next_circle(args)?);
            }
            // Without a sorted set these three arguments are not even looked at.
            Style::RadiusByMember | Style::RadiusByMemberReadOnly if set.is_none() => {
                args.seek(args.position() + 3);
            }
            Style::RadiusByMember | Style::RadiusByMemberReadOnly => {
                options.center = place_of(set, args.take()?)?;
                options.set_form(next_circle(args)?);
            }
        }
        let mut from = From::Nowhere;
        while !args.is_done() {
            options.parse_one(style, args, set, &mut from)?;
        }
        options.check(style, from, args)?;
        Ok(options)
    }

    fn set_form(&mut self, (form, unit_m): (Form, f64)) {
        (self.form, self.unit_m) = (Some(form), unit_m);
    }

    fn parse_one(
        &mut self,
        style: Style,
        args: &mut Args<'a>,
        set: Option<SortedSetRef<'_>>,
        from: &mut From,
    ) -> Result<(), Error> {
        let is_search = style.is_search();
        let is_circle = matches!(self.form, Some(Form::Circle { .. }));
        let is_rectangle = matches!(self.form, Some(Form::Rectangle { .. }));
        let operands = args.left() - 1;
        if args.skip_word("WITHDIST") {
            self.with_distance = true;
        } else if args.skip_word("WITHHASH") {
            self.with_hash = true;
        } else if args.skip_word("WITHCOORD") {
            self.with_place = true;
        } else if args.skip_word("ANY") {
            self.any = true;
        } else if args.skip_word("ASC") {
            self.order = Some(Order::Nearest);
        } else if args.skip_word("DESC") {
            self.order = Some(Order::Farthest);
        } else if operands >= 1 && args.skip_word("COUNT") {
            let count = args.next_i64_in(1..=i64::MAX, Error::line("ERR COUNT must be > 0"))?;
            self.count = Some(count as usize);
        } else if operands >= 1 && style.may_store() && args.skip_word("STORE") {
            (self.store, self.store_distance) = (Some(args.take()?), false);
        } else if operands >= 1 && style.may_store() && args.skip_word("STOREDIST") {
            (self.store, self.store_distance) = (Some(args.take()?), true);
        } else if style == Style::SearchStore && args.skip_word("STOREDIST") {
            self.store_distance = true;
        } else if operands >= 1 && is_search && *from != From::Place && args.skip_word("FROMMEMBER") {
            self.center = place_of(set, args.take()?)?;
            *from = From::Member;
        } else if operands >= 2 && is_search && *from != From::Member && args.skip_word("FROMLONLAT") {
            self.center = next_point(args)?;
            *from = From::Place;
        } else if operands >= 2 && is_search && !is_rectangle && args.skip_word("BYRADIUS") {
            self.set_form(next_circle(args)?);
        } else if operands >= 3 && is_search && !is_circle && args.skip_word("BYBOX") {
            self.set_form(next_rectangle(args)?);
        } else {
            return Err(Error::Syntax);
        }
        Ok(())
    }

    /// What does not go together, or is missing.
    fn check(&self, style: Style, from: From, args: &Args<'_>) -> Result<(), Error> {
        let stores = self.store.is_some() || style == Style::SearchStore;
        if stores && (self.with_distance || self.with_hash || self.with_place) {
            return Err(Error::err(format_args!(
                "{} is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
                if style == Style::SearchStore { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" },
            )));
        }
        if style.is_search() && from == From::Nowhere {
            let before = "exactly one of FROMMEMBER or FROMLONLAT can be specified for ";
            return Err(Error::echoing(before, args.get(0), ""));
        }
        if style.is_search() && self.form.is_none() {
            let before = "exactly one of BYRADIUS and BYBOX can be specified for ";
            return Err(Error::echoing(before, args.get(0), ""));
        }
        if self.any && self.count.is_none() {
            return Err(Error::line("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// The area of the search, of which there is one if there is a sorted set.
    pub fn area(&self) -> Area {
        let form = self.form.unwrap_or(Form::Circle { radius: 0.0 });
        Area { center: self.center, form, unit_m: self.unit_m }
    }
}
