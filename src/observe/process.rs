//! What the operating system knows of this process and its machine.
//!
//! # Invariants of the `unsafe` code
//! Each call hands the system a plain structure of its own type, zeroed, and reads it only if the call
//! succeeded.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// Processor time.
#[derive(Clone, Copy, Default, Debug)]
pub struct CpuTime {
    pub system: Duration,
    pub user: Duration,
}

/// Processor time of this process, all threads together.
pub fn cpu() -> CpuTime {
    usage(libc::RUSAGE_SELF)
}

/// Processor time of children that have ended.
pub fn children_cpu() -> CpuTime {
    usage(libc::RUSAGE_CHILDREN)
}

fn usage(who: libc::c_int) -> CpuTime {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is valid for a write of this type, which all zeroes are a value of.
    let usage = unsafe {
        if libc::getrusage(who, usage.as_mut_ptr()) != 0 {
            return CpuTime::default();
        }
        usage.assume_init()
    };
    CpuTime { system: duration(usage.ru_stime), user: duration(usage.ru_utime) }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec.max(0) as u64, time.tv_usec.max(0) as u32 * 1000)
}

/// Name, release and machine of the operating system, as `uname -srm` prints them.
pub fn operating_system() -> String {
    let mut name = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the pointer is valid for a write of this type; the fields end with a zero byte.
    unsafe {
        if libc::uname(name.as_mut_ptr()) != 0 {
            return std::env::consts::OS.to_owned();
        }
        let name = name.assume_init();
        let text = |field: &[libc::c_char]| CStr::from_ptr(field.as_ptr()).to_string_lossy().into_owned();
        format!("{} {} {}", text(&name.sysname), text(&name.release), text(&name.machine))
    }
}

/// Memory of the machine in bytes.
pub fn system_memory_bytes() -> u64 {
    // SAFETY: sysconf has no preconditions.
    let (pages, page_bytes) =
        unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    pages.max(0) as u64 * page_bytes.max(0) as u64
}

/// Sees to it that the process may have `wanted` files open, as far as the system lets it. Returns how many it
/// may have: never fewer than before.
pub fn raise_open_files(wanted: u64) -> u64 {
    let mut limit = MaybeUninit::<libc::rlimit>::zeroed();
    // SAFETY: the pointers are valid for a write and for a read of this type.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) != 0 {
            return wanted;
        }
        let mut limit = limit.assume_init();
        if limit.rlim_cur >= wanted {
            return limit.rlim_cur;
        }
        let before = limit.rlim_cur;
        // A privileged process may raise the hard limit, too.
        let hard = limit.rlim_max;
        for (soft, max) in [(wanted, hard.max(wanted)), (hard.min(wanted), hard)] {
            (limit.rlim_cur, limit.rlim_max) = (soft, max);
            if libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0 {
                return soft;
            }
        }
        before
    }
}

/// Has a write fail that would make a file larger than the process may have: by default the process would end.
pub fn survive_file_size_limit() {
    // SAFETY: to ignore a signal runs nothing.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// What went wrong, in the system's words alone.
pub fn error_text(error: &io::Error) -> String {
    // Without Rust's "(os error N)", as strerror prints it.
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_answers() {
        assert!(cpu().user + cpu().system > Duration::ZERO);
        assert!(operating_system().split(' ').count() >= 3);
        assert!(system_memory_bytes() > 1 << 20);
        assert!(raise_open_files(1) >= 1);
        let missing = std::fs::read("/no/such/file").unwrap_err();
        assert_eq!(error_text(&missing), "No such file or directory");
    }
}
