//! The commands that can be measured, each as a request template and the template that fills the keys it reads.
//!
//! Keys are 16 bytes, `key:` and twelve digits, as `redis-benchmark -r` makes them, so that both find the same keys.
//! Counters have a prefix of their own, since INCR fails on the other values.

/// The request that is measured, and the one that `--preload` sends before.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Templates {
    pub request: String,
    pub fill: String,
}

impl Templates {
    /// Whether a request holds an instant.
    pub fn uses_spread(&self) -> bool {
        [&self.request, &self.fill].iter().any(|template| template.contains("__spread__"))
    }
}

const FILL_STRINGS: &str = "SET key:__seq__ __value__";
const FILL_COUNTERS: &str = "SET ctr:__seq__ 1000000";

/// Keys of one MSET or MGET.
const KEYS_OF_MULTI: usize = 10;

/// Commands of one transaction.
const SETS_OF_MULTI: usize = 5;

/// The templates of a command; `custom` is the user's template. The error is a sentence for the user.
pub fn find(command: &str, custom: Option<&str>) -> Result<Templates, String> {
    let (request, fill) = match command {
        "set" => ("SET key:__rand__ __value__".to_owned(), FILL_STRINGS),
        "get" => ("GET key:__rand__".to_owned(), FILL_STRINGS),
        "setex" => ("SETEX key:__rand__ 3600 __value__".to_owned(), FILL_STRINGS),
        "incr" => ("INCR ctr:__rand__".to_owned(), FILL_COUNTERS),
        "mset10" => (format!("MSET{}", " key:__rand__ __value__".repeat(KEYS_OF_MULTI)), FILL_STRINGS),
        "mget10" => (format!("MGET{}", " key:__rand__".repeat(KEYS_OF_MULTI)), FILL_STRINGS),
        "hotset" => ("SET key:000000000000 __value__".to_owned(), FILL_STRINGS),
        "hotget" => ("GET key:000000000000".to_owned(), FILL_STRINGS),
        "hotincr" => ("INCR ctr:000000000000".to_owned(), FILL_COUNTERS),
        "multi5" => {
            (format!("MULTI ;{} EXEC", " SET key:__rand__ __value__ ;".repeat(SETS_OF_MULTI)), FILL_STRINGS)
        }
        "ping" => ("PING".to_owned(), FILL_STRINGS),
        "custom" => {
            let template = custom.ok_or("--command custom needs a --template")?;
            if template.split_whitespace().next().is_none() {
                return Err("--template is empty".into());
            }
            (template.to_owned(), template)
        }
        _ => return Err(format!("unknown command {command} (see --help)")),
    };
    if custom.is_some() && command != "custom" {
        return Err("--template goes with --command custom".into());
    }
    Ok(Templates { request, fill: fill.to_owned() })
}
