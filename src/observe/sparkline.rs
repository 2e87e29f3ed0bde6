//! Graphs made of characters, for `LATENCY GRAPH`: one column a sample, labels written downwards below.
//!
//! The look is that of Redis's sparklines, which operators know and tools parse.

/// Columns before the graph goes on below.
pub const COLUMNS: usize = 80;
/// Lines of the graph proper.
const ROWS: u64 = 4;
/// Each line shows so many steps: what fills a third of it, two thirds, all of it.
const STEPS: [char; 3] = ['_', 'o', '#'];
/// What is below the top of a column.
const STEM: char = '|';

/// Draws `samples`, each a value and its label.
pub fn render(out: &mut String, samples: &[(u64, String)]) {
    let min = samples.iter().map(|sample| sample.0).min().unwrap_or(0);
    let max = samples.iter().map(|sample| sample.0).max().unwrap_or(0);
    // All equal: a range of one draws them at the bottom.
    let range = (max - min).max(1);
    for (i, part) in samples.chunks(COLUMNS).enumerate() {
        if i > 0 {
            out.push('\n');
        }
        render_part(out, part, min, range);
    }
}

fn render_part(out: &mut String, samples: &[(u64, String)], min: u64, range: u64) {
    let per_row = STEPS.len() as u64;
    let steps = ROWS * per_row;
    for row in (0..ROWS).rev() {
        out.extend(samples.iter().map(|(value, _)| {
            let step = ((value - min) * steps / range).min(steps - 1);
            match step.checked_sub(row * per_row) {
                Some(above) => STEPS.get(above as usize).copied().unwrap_or(STEM),
                None => ' ',
            }
        }));
        out.push('\n');
    }
    out.extend(std::iter::repeat_n(' ', samples.len()));
    out.push('\n');
    let tallest = samples.iter().map(|(_, label)| label.len()).max().unwrap_or(0);
    for line in 0..tallest {
        out.extend(samples.iter().map(|(_, label)| label.as_bytes().get(line).map_or(' ', |&b| b as char)));
        out.push('\n');
    }
}
