//! What happens when a bug makes a thread panic: a report, and the end of the process.
//!
//! A command that was interrupted in the middle may have left data half changed, and a worker without its
//! thread would leave its connections without an answer. Whoever supervises the process starts it anew.

use std::backtrace::Backtrace;
use std::thread;

/// Makes every panic end the process, after a report in the log.
pub fn end_process_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let stack = Backtrace::force_capture();
        tracing::error!("=== NUTHATCH BUG REPORT: a panic in thread '{name}': {panic}");
        for line in stack.to_string().lines() {
            tracing::error!("{line}");
        }
        tracing::error!("=== END OF REPORT. This is a bug: data may be damaged, so the server ends here.");
        std::process::abort();
    }));
}
