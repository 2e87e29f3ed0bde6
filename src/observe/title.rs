//! The process's title, as `ps` shows it.
//!
//! Linux shows the bytes that it laid the arguments down in, and if those do not end with a zero any more, the
//! bytes of the environment, which follow them. So a title is set by writing there, once whatever else may
//! refer to these bytes has been copied elsewhere.
//!
//! # Invariants of the `unsafe` code
//! [`claim`] runs before there is a second thread, so nobody reads the environment while it is replaced. The
//! claimed bytes are the kernel's arguments and environment of this process: mapped and writable as long as it
//! lives. After the claim nobody reads them: the environment has moved, and the arguments were read before,
//! which the caller of [`claim`] vouches for. They are only written under the lock.

use parking_lot::Mutex;

/// Positions of `arg_start`, `arg_end`, `env_start` and `env_end` behind the name in `/proc/self/stat`, whose
/// first field there is the third of all (proc(5)).
const ARGS_FIELD: usize = 48 - 3;

struct Area {
    start: usize,
    len: usize,
}

static AREA: Mutex<Option<Area>> = Mutex::new(None);

/// Takes the place where the title is kept. Without it, as on systems without `/proc`, titles are not set.
///
/// # Safety
/// There is no other thread yet, and nobody will ask for the process's arguments again.
pub unsafe fn claim() {
    let Some(area) = find() else { return };
    for (name, value) in std::env::vars_os() {
        // SAFETY: the only thread is this one. Setting a variable copies it, also if its value stays the same.
        unsafe { std::env::set_var(name, value) };
    }
    *AREA.lock() = Some(area);
}

/// Where the kernel has put arguments and environment.
fn find() -> Option<Area> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(ARGS_FIELD).map(str::parse::<usize>);
    let mut next = || fields.next()?.ok().filter(|address| *address != 0);
    let (args, args_end, env, env_end) = (next()?, next()?, next()?, next()?);
    let end = if env == args_end { env_end } else { args_end };
    (args < end).then(|| Area { start: args, len: end - args })
}

/// Sets the title, cut to the room that there is.
pub fn set(title: &str) {
    let area = AREA.lock();
    let Some(Area { start, len }) = *area else { return };
    let shown = &title.as_bytes()[..title.len().min(len - 1)];
    let place = std::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: the area is ours, as the head of this module says, and the title and the zeros behind it fit.
    unsafe {
        place.copy_from_nonoverlapping(shown.as_ptr(), shown.len());
        place.add(shown.len()).write_bytes(0, len - shown.len());
    }
}

/// Fills in a template: `{name}` stands for what `value` says of the name, `{{` for a brace. The template has
/// been checked before.
pub fn expand(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut title = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        title.push_str(before);
        if let Some(after) = after.strip_prefix('{') {
            title.push('{');
            rest = after;
        } else if let Some((name, after)) = after.split_once('}') {
            title.push_str(&value(name));
            rest = after;
        } else {
            rest = "";
        }
    }
    title.push_str(rest);
    title.trim_matches(' ').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_in() {
        let value = |name: &str| match name {
            "title" => "nuthatch".to_owned(),
            "port" => "6379".to_owned(),
            _ => String::new(),
        };
        assert_eq!(expand("{title} *:{port} {server-mode}", value), "nuthatch *:6379");
        assert_eq!(expand("{{x} {title}", value), "{x} nuthatch");
        assert_eq!(expand("plain", value), "plain");
    }

    #[test]
    fn the_kernel_says_where_the_arguments_are() {
        let area = find().expect("this process's arguments");
        let args: usize = std::env::args_os().map(|arg| arg.len() + 1).sum();
        assert!(area.len >= args);
    }
}
