//! What a run found, as lines for a reader or as one JSON object for a program.

use std::fmt::Write as _;

/// Named values in the order in which they were found.
#[derive(Debug, Default)]
pub struct Report {
    fields: Vec<(&'static str, String)>,
}

impl Report {
    /// Adds a text; it must need no escaping in JSON, as names of commands and modes do.
    pub fn text(&mut self, name: &'static str, value: &str) {
        self.fields.push((name, format!("\"{value}\"")));
    }

    pub fn integer(&mut self, name: &'static str, value: u64) {
        self.fields.push((name, value.to_string()));
    }

    /// Adds a number with fractions, to six significant places behind the point at most.
    pub fn number(&mut self, name: &'static str, value: f64) {
        self.fields.push((name, format!("{:.6}", if value.is_finite() { value } else { 0.0 })));
    }

    pub fn print(&self, json: bool) {
        let mut text = String::new();
        if json {
            let fields: Vec<String> =
                self.fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            let _ = writeln!(text, "{{{}}}", fields.join(", "));
        } else {
            for (name, value) in &self.fields {
                let _ = writeln!(text, "{:>32}  {}", name.replace('_', " "), value.trim_matches('"'));
            }
        }
        print!("{text}");
    }
}
