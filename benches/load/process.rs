//! CPU time of processes: the server's from `/proc`, our own from `getrusage`.

use std::fs;
use std::io;
use std::time::Duration;

/// User and system time of a process with all its threads, to the kernel's tick of usually 10 ms.
pub fn cpu_of(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may itself hold spaces and parentheses. Behind it, utime and stime (fields 14 and 15
    // of proc_pid_stat(5)) are the twelfth and thirteenth.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: Vec<u64> =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    let [user, system] = ticks[..] else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat cannot be read")));
    };
    // SAFETY: takes no pointers and cannot fail for this name on Linux.
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
    Ok(Duration::from_secs_f64((user + system) as f64 / ticks_per_second))
}

/// User and system time of this process.
pub fn cpu_of_self() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel fills the struct; all-zero bytes are a valid value of it should the call fail.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let duration = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    duration(usage.ru_utime) + duration(usage.ru_stime)
}
