//! Places on earth as numbers that sort well: 52-bit geohashes, as the scores of a sorted set.
//!
//! A *geohash* (Niemeyer, 2008) halves the ranges of longitude and latitude in turn and notes in one bit each which
//! half a place is in. Places with the same first bits are in the same cell of a grid, so a cell is a range of
//! scores. A cell of `n` *steps* has `n` bits of each coordinate; 26 steps make 52 bits, which a double holds
//! exactly and which tell places apart that are 60 cm from each other.
//!
//! A search takes the cell around the centre whose size suits the radius and its eight neighbours, leaves out those
//! that cannot hold anything, and measures each member that is found there. That is what Redis does, and the
//! order of unsorted results, and which of them come first under a limit, follow from it; so the formulas here
//! are Redis's, operation by operation: results agree to the last bit.
//!
//! The earth is a sphere (great-circle distances are off by up to 0.5%), and its poles are cut off where the Mercator
//! projection of EPSG:3857 ends.

use smallvec::SmallVec;
use std::ops::Range;

/// The steps of the geohash of a member: 52 bits.
const MEMBER_STEPS: u32 = 26;

pub const MAX_LONGITUDE: f64 = 180.0;
/// Where the square map of EPSG:3857 ends.
pub const MAX_LATITUDE: f64 = 85.05112878;
/// Of the standard geohash, which includes the poles.
const MAX_STANDARD_LATITUDE: f64 = 90.0;

/// The quadratic mean of the radii of WGS 84.
const EARTH_RADIUS_M: f64 = 6_372_797.560856;
/// Half of the map's width.
const MERCATOR_MAX_M: f64 = 20_037_726.37;
const RADIANS_PER_DEGREE: f64 = std::f64::consts::PI / 180.0;

/// A place, in degrees.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Point {
    pub longitude: f64,
    pub latitude: f64,
}

/// Every second bit is a bit of the argument, from the lowest on.
fn spread(half: u32) -> u64 {
    [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, LATITUDE_BITS),
    ]
    .into_iter()
    .fold(u64::from(half), |bits, (shift, mask)| (bits | bits << shift) & mask)
}

/// The inverse of [`spread`]; the bits between are ignored.
fn gather(bits: u64) -> u32 {
    [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ]
    .into_iter()
    .fold(bits & LATITUDE_BITS, |bits: u64, (shift, mask)| (bits | bits >> shift) & mask) as u32
}

/// The even bits of a hash are those of the latitude, the odd ones those of the longitude.
const LATITUDE_BITS: u64 = 0x5555_5555_5555_5555;
const LONGITUDE_BITS: u64 = LATITUDE_BITS << 1;

/// The hash of a point that lies within the limits, in the grid of this many steps.
fn hash(point: Point, steps: u32, max_latitude: f64) -> u64 {
    let cells = (1_u64 << steps) as f64;
    let index = |degrees: f64, limit: f64| ((degrees - -limit) / (limit - -limit) * cells) as u32;
    spread(index(point.latitude, max_latitude)) | spread(index(point.longitude, MAX_LONGITUDE)) << 1
}

impl Point {
    /// A point that has a score; `None` beyond the edges of the map.
    pub fn new(longitude: f64, latitude: f64) -> Option<Point> {
        let is_on_map = (-MAX_LONGITUDE..=MAX_LONGITUDE).contains(&longitude)
            && (-MAX_LATITUDE..=MAX_LATITUDE).contains(&latitude);
        is_on_map.then_some(Point { longitude, latitude })
    }

    /// The geohash of 52 bits that stands for the point in a sorted set.
    pub fn score(self) -> u64 {
        hash(self, MEMBER_STEPS, MAX_LATITUDE)
    }

    /// The middle of the cell that a score stands for. Scores need not be geohashes: what is beyond the map is moved
    /// to its edge.
    pub fn of_score(score: f64) -> Point {
        let (longitude, latitude) = Cell { bits: c_integer(score), steps: MEMBER_STEPS }.sides();
        let middle = |side: Range<f64>, limit: f64| ((side.start + side.end) / 2.0).clamp(-limit, limit);
        Point { longitude: middle(longitude, MAX_LONGITUDE), latitude: middle(latitude, MAX_LATITUDE) }
    }

    /// The standard geohash of the point: 11 characters, the last of which is always `0`, since 52 bits do not
    /// reach it.
    pub fn geohash(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = hash(self, MEMBER_STEPS, MAX_STANDARD_LATITUDE);
        std::array::from_fn(|at| match at {
            10 => ALPHABET[0],
            _ => ALPHABET[(bits >> (47 - 5 * at)) as usize % ALPHABET.len()],
        })
    }

    /// Metres to another point, by the haversine formula.
    pub fn distance(self, other: Point) -> f64 {
        let half_sine = |from: f64, to: f64| ((to - from) / 2.0).sin();
        let v = half_sine(radians(self.longitude), radians(other.longitude));
        if v == 0.0 {
            return self.latitude_distance(other);
        }
        let (from, to) = (radians(self.latitude), radians(other.latitude));
        let u = half_sine(from, to);
        let a = u * u + from.cos() * to.cos() * v * v;
        2.0 * EARTH_RADIUS_M * a.sqrt().asin()
    }

    /// Metres to the other point's circle of latitude.
    fn latitude_distance(self, other: Point) -> f64 {
        EARTH_RADIUS_M * (radians(other.latitude) - radians(self.latitude)).abs()
    }
}

fn radians(degrees: f64) -> f64 {
    degrees * RADIANS_PER_DEGREE
}

fn degrees(radians: f64) -> f64 {
    radians / RADIANS_PER_DEGREE
}

/// What C makes of a double that becomes an unsigned integer, on x86-64: negative numbers wrap.
fn c_integer(value: f64) -> u64 {
    const HALF: f64 = (1_u64 << 63) as f64;
    let signed = |value: f64| if (-HALF..HALF).contains(&value) { value as i64 } else { i64::MIN };
    if value < HALF { signed(value) as u64 } else { signed(value - HALF) as u64 ^ 1 << 63 }
}

/// A cell of the grid of some number of steps, from 1 to 26.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cell {
    bits: u64,
    steps: u32,
}

/// One cell on or back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Move {
    Back,
    Stay,
    On,
}

impl Cell {
    fn around(point: Point, steps: u32) -> Cell {
        Cell { bits: hash(point, steps, MAX_LATITUDE), steps }
    }

    /// The ranges of longitude and latitude.
    fn sides(self) -> (Range<f64>, Range<f64>) {
        let cells = (1_u64 << self.steps) as f64;
        let side = |index: u32, limit: f64| {
            let edge = |index: u32| -limit + f64::from(index) / cells * (limit - -limit);
            // Only scores that are no geohashes have so high an index.
            edge(index)..edge(index.wrapping_add(1))
        };
        (side(gather(self.bits >> 1), MAX_LONGITUDE), side(gather(self.bits), MAX_LATITUDE))
    }

    /// A neighbour. The grid is a torus: behind its edge it goes on at the opposite one.
    fn neighbour(self, longitude: Move, latitude: Move) -> Cell {
        let unused = 64 - 2 * self.steps;
        let moved = |own: u64, others: u64, by: Move| {
            // Carries run through the bits of the other coordinate, which are all set or all clear.
            let (own_bits, fill) = (self.bits & own, others >> unused);
            let bits = match by {
                Move::Stay => return own_bits,
                Move::On => own_bits.wrapping_add(fill + 1),
                Move::Back => (own_bits | fill).wrapping_sub(fill + 1),
            };
            bits & own >> unused
        };
        let bits =
            moved(LONGITUDE_BITS, LATITUDE_BITS, longitude) | moved(LATITUDE_BITS, LONGITUDE_BITS, latitude);
        Cell { bits, ..self }
    }

    /// The scores of the members that are in the cell.
    fn scores(self) -> Range<u64> {
        let shift = 2 * (MEMBER_STEPS - self.steps);
        self.bits << shift..(self.bits + 1) << shift
    }
}

/// The form of a search, in its unit of length.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Form {
    Circle {
        radius: f64,
    },
    /// Upright; its sides are bent as the meridians are.
    Rectangle {
        width: f64,
        height: f64,
    },
}

/// The area of a search.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Area {
    pub center: Point,
    pub form: Form,
    /// The unit of length of the form, in metres.
    pub unit_m: f64,
}

impl Area {
    /// Metres to the centre, if the point is in the area.
    pub fn distance_within(&self, point: Point) -> Option<f64> {
        // Between antipodes rounding can make a distance that is no number, which no comparison keeps out.
        match self.form {
            Form::Circle { radius } => {
                let distance = self.center.distance(point);
                if distance > radius * self.unit_m { None } else { Some(distance) }
            }
            Form::Rectangle { width, height } => {
                let beside = Point { longitude: self.center.longitude, ..point };
                let is_outside = point.latitude_distance(self.center) > height * self.unit_m / 2.0
                    || point.distance(beside) > width * self.unit_m / 2.0;
                if is_outside { None } else { Some(self.center.distance(point)) }
            }
        }
    }

    /// The least and the greatest longitude and latitude of the area.
    fn bounds(&self) -> (Range<f64>, Range<f64>) {
        let (width, height) = match self.form {
            Form::Circle { radius } => (radius, radius),
            Form::Rectangle { width, height } => (width / 2.0, height / 2.0),
        };
        let (width, height) = (self.unit_m * width, self.unit_m * height);
        let Point { longitude, latitude } = self.center;
        let by_latitude = degrees(height / EARTH_RADIUS_M);
        // The sides are furthest from each other where they are nearest to a pole, in degrees.
        let widest = if latitude < 0.0 { latitude - by_latitude } else { latitude + by_latitude };
        let by_longitude = degrees(width / EARTH_RADIUS_M / radians(widest).cos());
        (longitude - by_longitude..longitude + by_longitude, latitude - by_latitude..latitude + by_latitude)
    }

    /// The steps of cells of which nine should cover the area.
    fn steps(&self) -> u32 {
        let mut radius = self.unit_m
            * match self.form {
                Form::Circle { radius } => radius,
                Form::Rectangle { width, height } => {
                    ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
                }
            };
        if radius == 0.0 {
            return MEMBER_STEPS;
        }
        // Two less than the number of halvings, so that the cells are larger than the radius.
        let mut steps: i32 = -1;
        while radius < MERCATOR_MAX_M {
            radius *= 2.0;
            steps += 1;
        }
        // Cells are narrower near the poles.
        let latitude = self.center.latitude.abs();
        steps -= i32::from(latitude > 66.0) + i32::from(latitude > 80.0);
        steps.clamp(1, MEMBER_STEPS as i32) as u32
    }

    /// The ranges of scores that hold all members of the area, in the order in which they are to be searched. Two of
    /// them may be the same if the area covers much of the earth.
    pub fn score_ranges(&self) -> SmallVec<[Range<u64>; 9]> {
        use Move::{Back, On, Stay};
        let (longitudes, latitudes) = self.bounds();
        let mut steps = self.steps();
        let cell = Cell::around(self.center, steps);
        let (_, north) = cell.neighbour(Stay, On).sides();
        let (_, south) = cell.neighbour(Stay, Back).sides();
        let (east, _) = cell.neighbour(On, Stay).sides();
        let (west, _) = cell.neighbour(Back, Stay).sides();
        let is_too_small = north.end < latitudes.end
            || south.start > latitudes.start
            || east.end < longitudes.end
            || west.start > longitudes.start;
        if steps > 1 && is_too_small {
            steps -= 1;
        }
        let cell = Cell::around(self.center, steps);
        let (longitude, latitude) = cell.sides();
        // The neighbours that the area does not reach into; with the largest cells that cannot be told.
        let is_useless = |east: Move, north: Move| {
            steps >= 2
                && (north == Back && latitude.start < latitudes.start
                    || north == On && latitude.end > latitudes.end
                    || east == Back && longitude.start < longitudes.start
                    || east == On && longitude.end > longitudes.end)
        };
        let places = [
            (Stay, Stay),
            (Stay, On),
            (Stay, Back),
            (On, Stay),
            (Back, Stay),
            (On, On),
            (Back, On),
            (On, Back),
            (Back, Back),
        ];
        let mut cells: SmallVec<[Cell; 9]> = SmallVec::new();
        for (east, north) in places {
            let neighbour = cell.neighbour(east, north);
            // Redis only compares with the last one, and not with the centre.
            let is_repeated = cells.len() > 1 && cells.last() == Some(&neighbour);
            if !is_useless(east, north) && !is_repeated {
                cells.push(neighbour);
            }
        }
        cells.into_iter().map(Cell::scores).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(longitude: f64, latitude: f64) -> Point {
        Point::new(longitude, latitude).unwrap()
    }

    #[test]
    fn beyond_the_map() {
        assert!(Point::new(180.0, MAX_LATITUDE).is_some());
        assert!(Point::new(180.1, 0.0).is_none());
        assert!(Point::new(0.0, -85.06).is_none());
        assert!(Point::new(f64::NAN, 0.0).is_none());
    }

    /// Longitude, latitude, and what Redis 7.0 makes of them: score, geohash, the text of GEOPOS.
    const KNOWN: [(f64, f64, u64, &str, &str); 8] = [
        (13.361389, 38.115556, 3479099956230698, "sqc8b49rny0", "13.36138933897018433 38.11555639549629859"),
        (15.087269, 37.502669, 3479447370796909, "sqdtr74hyu0", "15.08726745843887329 37.50266842333162032"),
        (
            -122.27652,
            37.805186,
            1367952638197536,
            "9q9p1d0znt0",
            "-122.27652043104171753 37.80518485897756165",
        ),
        (0.0, 0.0, 3377699720527872, "s0000000000", "0.00000268220901489 0.00000126736058093"),
        (180.0, MAX_LATITUDE, 13510798882111488, "bp05b5048p0", "180.00000000000000000 85.05112877999999910"),
        (-180.0, -MAX_LATITUDE, 0, "00bh0hbj200", "-179.99999731779098511 -85.05112751263942528"),
        (151.2093, -33.8688, 3252046221964352, "r3gx2f77bj0", "151.20929986238479614 -33.86880091934155956"),
        (-0.1275, 51.507222, 2163557714840001, "gcpvj0e5m10", "-0.12749880552291870 51.50722081469902491"),
    ];

    #[test]
    fn scores_and_geohashes_are_those_of_redis() {
        for (longitude, latitude, score, geohash, text) in KNOWN {
            assert_eq!(point(longitude, latitude).score(), score);
            let kept = Point::of_score(score as f64);
            assert_eq!(std::str::from_utf8(&kept.geohash()).unwrap(), geohash);
            assert_eq!(format!("{:.17} {:.17}", kept.longitude, kept.latitude), text);
        }
        for (from, to, metres) in [
            (0, 1, "166274.1516"),
            (0, 2, "10431665.6681"),
            (3, 4, "10560811.4940"),
            (4, 5, "18919844.5891"),
            (6, 7, "16998719.8854"),
            (2, 7, "8609279.1475"),
            (3, 6, "15203738.5333"),
        ] {
            let [from, to] = [from, to].map(|at: usize| Point::of_score(KNOWN[at].2 as f64));
            assert_eq!(format!("{:.4}", from.distance(to)), metres);
        }
    }

    #[test]
    fn neighbours_wrap_around() {
        let corner = Cell { bits: 0, steps: 1 };
        assert_eq!(corner.neighbour(Move::Back, Move::Stay).bits, 0b10);
        assert_eq!(corner.neighbour(Move::Stay, Move::Back).bits, 0b01);
        assert_eq!(corner.neighbour(Move::On, Move::On).bits, 0b11);
        assert_eq!(Cell { bits: 0b11, steps: 1 }.neighbour(Move::On, Move::On).bits, 0);
    }

    #[test]
    fn scores_that_are_no_geohashes() {
        for score in [-1.0, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 0.5, 1e17, 4503599627370496.0] {
            let point = Point::of_score(score);
            assert!(Point::new(point.longitude, point.latitude).is_some(), "{score}: {point:?}");
        }
    }

    fn points() -> impl Strategy<Value = Point> {
        (-MAX_LONGITUDE..MAX_LONGITUDE, -MAX_LATITUDE..MAX_LATITUDE).prop_map(|(x, y)| point(x, y))
    }

    fn areas() -> impl Strategy<Value = Area> {
        let form = prop_oneof![
            (0.0..1000.0).prop_map(|radius| Form::Circle { radius }),
            (0.0..1000.0, 0.0..1000.0).prop_map(|(width, height)| Form::Rectangle { width, height }),
        ];
        // Not so near to the map's edges that the area reaches over them, where Redis finds less than there is.
        let center = (-120.0..120.0, -50.0..50.0).prop_map(|(x, y)| point(x, y));
        (center, form, prop_oneof![Just(1.0), Just(0.3048), Just(1000.0)])
            .prop_map(|(center, form, unit_m)| Area { center, form, unit_m })
    }

    proptest! {
        #[test]
        fn a_score_is_near_its_point(point in points()) {
            let score = point.score();
            prop_assert!(score < 1 << 52);
            let again = Point::of_score(score as f64);
            prop_assert!(point.distance(again) < 0.6);
            prop_assert_eq!(again.score(), score);
        }

        #[test]
        fn spreading_and_gathering(half: u32, other: u32) {
            let bits = spread(half) | spread(other) << 1;
            prop_assert_eq!((gather(bits), gather(bits >> 1)), (half, other));
        }

        #[test]
        fn what_is_in_an_area_is_in_its_ranges(area in areas(), x in -1.2..1.2_f64, y in -1.2..1.2_f64) {
            let (longitudes, latitudes) = area.bounds();
            let place = |range: Range<f64>, at: f64| (range.start + range.end) / 2.0 + (range.end - range.start) / 2.0 * at;
            let member = Point::new(place(longitudes, x), place(latitudes, y));
            prop_assume!(member.is_some());
            let score = member.unwrap().score();
            let ranges = area.score_ranges();
            prop_assert!((1..=9).contains(&ranges.len()));
            if area.distance_within(Point::of_score(score as f64)).is_some() {
                prop_assert!(ranges.iter().any(|range| range.contains(&score)));
            }
        }
    }
}
