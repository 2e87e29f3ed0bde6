//! LOLWUT: something pleasant. A nuthatch runs down a tree trunk, head first, as they do.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, Scope};
use rand::Rng;
use rand::seq::IndexedRandom;

pub const LOLWUT: Command = Command {
    name: "lolwut",
    summary: "Draws a picture, and shows the server's version.",
    since: "5.0.0",
    group: Group::Server,
    complexity: "O(1)",
    arity: -1,
    flags: Flags::READONLY.union(Flags::FAST),
    args: &[Arg::integer("version").token("VERSION").optional()],
    reply: "text",
    scope: Scope::Nothing,
    handler: Some(lolwut),
    ..Command::NEW
};

/// Left of the trunk, tail up, eye and bill below.
const BIRD: [&str; 5] = ["        //", "     _.//", "   /'  /", "  | . /", "   \\o/--"];
const BIRD_COLUMNS: usize = 10;
const TRUNK_COLUMNS: usize = 12;
const ROWS: usize = 14;
const BARK: [char; 6] = [' ', ' ', '\'', '.', '|', ':'];

fn lolwut(call: &mut Call<'_, '_>) -> Result<(), Error> {
    // Every version has drawn another picture; this server has one. What else is given is passed over.
    if call.args.skip_word("VERSION") && !call.args.is_done() {
        call.args.next_i64()?;
    }
    let mut picture = draw(&mut rand::rng());
    picture.push_str(&format!("\nNuthatch ver. {} (Redis ver. {})\n", crate::VERSION, crate::REDIS_VERSION));
    call.out.verbatim("txt", picture.as_bytes());
    Ok(())
}

/// The tree with its own bark, the bird somewhere along it.
fn draw(rng: &mut impl Rng) -> String {
    let top = rng.random_range(1..=ROWS - BIRD.len() - 1);
    let mut picture = String::new();
    for row in 0..ROWS {
        let bird = row.checked_sub(top).and_then(|line| BIRD.get(line)).copied().unwrap_or_default();
        let bark: String = (0..TRUNK_COLUMNS).map(|_| BARK.choose(rng).copied().unwrap_or(' ')).collect();
        picture.push_str(&format!("{bird:BIRD_COLUMNS$}|{bark}|\n"));
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_whole_bird() {
        for _ in 0..100 {
            let picture = draw(&mut rand::rng());
            assert_eq!(picture.lines().count(), ROWS);
            assert!(picture.lines().all(|line| line.len() == BIRD_COLUMNS + TRUNK_COLUMNS + 2));
            assert!(BIRD.iter().all(|part| picture.contains(part)), "{picture}");
        }
    }
}
