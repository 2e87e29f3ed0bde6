//! The latency monitor: what kinds of work have made clients wait, and when.
//!
//! Whoever does something that may take long times it and, if it took at least the configured threshold, adds a
//! sample under a name (`command`, `expire-cycle`, …). Per name, the worst latency of each second is kept for the
//! last 160 seconds that had any. Times are handed in, in seconds since 1970, so nothing here reads a clock.

use std::collections::BTreeMap;
use std::fmt::Write;

use parking_lot::Mutex;

use super::sparkline;

/// Samples kept per event.
const HISTORY_LEN: usize = 160;

/// The worst latency of one event within one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub unix_s: i64,
    pub latency_ms: u64,
}

/// What is known of one event at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    pub event: String,
    pub last: Sample,
    /// The worst since the last reset, also if its sample is gone.
    pub max_ms: u64,
}

/// What the advice of [`LatencyMonitor::doctor`] depends on beside the events.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Latencies from here are recorded; 0 means none are.
    pub threshold_ms: u64,
    /// Commands slower than this go to the slow log; negative means none do.
    pub slowlog_slower_than_us: i64,
    pub slowlog_max_len: usize,
}

#[derive(Default)]
struct Series {
    /// A ring once it is full; `next` is then its oldest sample.
    samples: Vec<Sample>,
    next: usize,
    max_ms: u64,
}

impl Series {
    fn add(&mut self, sample: Sample) {
        self.max_ms = self.max_ms.max(sample.latency_ms);
        if let Some(last) = self.last_mut().filter(|last| last.unix_s == sample.unix_s) {
            last.latency_ms = last.latency_ms.max(sample.latency_ms);
        } else if self.samples.len() < HISTORY_LEN {
            self.samples.push(sample);
        } else {
            self.samples[self.next] = sample;
            self.next = (self.next + 1) % HISTORY_LEN;
        }
    }

    fn last_mut(&mut self) -> Option<&mut Sample> {
        let at = (self.next + self.samples.len()).checked_sub(1)? % self.samples.len().max(1);
        self.samples.get_mut(at)
    }

    /// Oldest first.
    fn iter(&self) -> impl Iterator<Item = Sample> + '_ {
        let (newer, older) = self.samples.split_at(self.next);
        older.iter().chain(newer).copied()
    }

    fn summary(&self, now_unix_s: i64) -> Summary {
        let count = self.samples.len().max(1) as u64;
        let mean_ms = self.iter().map(|s| s.latency_ms).sum::<u64>() / count;
        let deviation_ms = self.iter().map(|s| s.latency_ms.abs_diff(mean_ms)).sum::<u64>() / count;
        let oldest = self.iter().map(|s| s.unix_s).min().unwrap_or(now_unix_s);
        let period_s = (now_unix_s - oldest).max(1) as f64 / count as f64;
        Summary { mean_ms, deviation_ms, period_s }
    }
}

struct Summary {
    mean_ms: u64,
    /// Mean absolute deviation from the mean.
    deviation_ms: u64,
    /// Seconds from one sample to the next, on average.
    period_s: f64,
}

/// The monitor; see the [module](self).
#[derive(Default)]
pub struct LatencyMonitor {
    // A plain lock: it is only taken when something was slow. Ordered, so that replies are.
    events: Mutex<BTreeMap<String, Series>>,
}

impl LatencyMonitor {
    pub fn new() -> LatencyMonitor {
        LatencyMonitor::default()
    }

    /// Adds a sample. Whether it reaches the threshold is for the caller to check, before it takes a lock.
    pub fn add(&self, event: &str, unix_s: i64, latency_ms: u64) {
        let mut events = self.events.lock();
        let sample = Sample { unix_s, latency_ms };
        match events.get_mut(event) {
            Some(series) => series.add(sample),
            None => events.entry(event.to_owned()).or_default().add(sample),
        }
    }

    /// All samples of an event, oldest first; none if it is unknown.
    pub fn history(&self, event: &str) -> Vec<Sample> {
        self.events.lock().get(event).map_or_else(Vec::new, |series| series.iter().collect())
    }

    /// The latest sample of each event, by name.
    pub fn latest(&self) -> Vec<Latest> {
        let mut events = self.events.lock();
        let latest = |(event, series): (&String, &mut Series)| {
            let max_ms = series.max_ms;
            series.last_mut().map(|&mut last| Latest { event: event.clone(), last, max_ms })
        };
        events.iter_mut().filter_map(latest).collect()
    }

    /// Forgets everything; returns how many events there were.
    pub fn reset_all(&self) -> usize {
        std::mem::take(&mut *self.events.lock()).len()
    }

    /// Forgets one event, whose name is taken without regard to case; returns how many that were.
    pub fn reset(&self, event: &str) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|name, _| !name.eq_ignore_ascii_case(event));
        before - events.len()
    }

    /// A graph of an event's samples, labelled with how long ago each was; `None` if the event is unknown.
    pub fn graph(&self, event: &str, now_unix_s: i64) -> Option<String> {
        let events = self.events.lock();
        let series = events.get(event)?;
        let samples: Vec<_> = series.iter().map(|s| (s.latency_ms, age(now_unix_s - s.unix_s))).collect();
        let high = samples.iter().map(|sample| sample.0).max()?;
        let low = samples.iter().map(|sample| sample.0).min()?;
        let mut out = format!(
            "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
            series.max_ms,
            "-".repeat(sparkline::COLUMNS)
        );
        sparkline::render(&mut out, &samples);
        Some(out)
    }

    /// A report for people: what was seen, and what can be done about it.
    pub fn doctor(&self, now_unix_s: i64, settings: Settings) -> String {
        let events = self.events.lock();
        if events.is_empty() {
            return if settings.threshold_ms == 0 {
                "Latency monitoring is switched off. CONFIG SET latency-monitor-threshold <milliseconds> starts it; \
                 this report then has something to go by.\n"
                    .into()
            } else {
                format!(
                    "No latency of {} ms or more has been seen since the last reset.\n",
                    settings.threshold_ms
                )
            };
        }
        let mut report = String::from("Latency spikes have been seen.\n\n");
        let mut advice: Vec<Advice> = Vec::new();
        for (number, (event, series)) in events.iter().enumerate() {
            let Summary { mean_ms, deviation_ms, period_s } = series.summary(now_unix_s);
            // Writing to a string does not fail.
            let _ = writeln!(
                report,
                "{}. {event}: {} latency spikes (average {mean_ms}ms, mean deviation {deviation_ms}ms, period \
                 {period_s:.2} sec). Worst all time event {}ms.",
                number + 1,
                series.samples.len(),
                series.max_ms
            );
            for &item in advice_for(event) {
                if item.applies(settings) && !advice.contains(&item) {
                    advice.push(item);
                }
            }
        }
        if !advice.is_empty() {
            report.push_str("\nWhat may help:\n\n");
            for item in advice {
                let _ = writeln!(report, "- {}", item.text(settings));
            }
        }
        report
    }
}

/// How long ago, in the largest unit that fits.
fn age(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Advice {
    EnableSlowlog,
    LowerSlowlog,
    ReadSlowlog,
    BigValues,
    Scheduling,
    LocalDisk,
    SharedDisk,
    RelaxFsync,
    Eviction,
}

/// What to suggest when an event has occurred; nothing if it is not one we know a remedy for.
fn advice_for(event: &str) -> &'static [Advice] {
    use Advice::*;
    match event {
        "command" => &[EnableSlowlog, LowerSlowlog, ReadSlowlog, BigValues],
        "fast-command" => &[Scheduling],
        "expire-cycle" | "expire-del" | "eviction-del" => &[BigValues],
        "eviction-cycle" => &[Eviction],
        "aof-fsync-always" => &[RelaxFsync, LocalDisk],
        "rdb-unlink-temp-file" => &[SharedDisk, LocalDisk],
        event if event.starts_with("aof-") => &[LocalDisk, SharedDisk],
        _ => &[],
    }
}

impl Advice {
    fn applies(self, settings: Settings) -> bool {
        let slowlog_on = settings.slowlog_slower_than_us >= 0 && settings.slowlog_max_len > 0;
        let misses_some = slowlog_on
            && u64::try_from(settings.slowlog_slower_than_us / 1000)
                .is_ok_and(|ms| ms > settings.threshold_ms);
        match self {
            Advice::EnableSlowlog => !slowlog_on,
            Advice::LowerSlowlog => misses_some,
            _ => true,
        }
    }

    fn text(self, settings: Settings) -> String {
        let threshold_us = settings.threshold_ms.saturating_mul(1000);
        match self {
            Advice::EnableSlowlog => format!(
                "The slow log is off, so it cannot tell which commands were slow: CONFIG SET slowlog-log-slower-than \
                 {threshold_us} (and a slowlog-max-len above 0) turns it on."
            ),
            Advice::LowerSlowlog => format!(
                "The slow log leaves out commands that are slow enough to count here: CONFIG SET \
                 slowlog-log-slower-than {threshold_us} makes it agree with latency-monitor-threshold."
            ),
            Advice::ReadSlowlog => "SLOWLOG GET names the commands that took long; those that walk over a whole \
                                    collection or keyspace are the usual ones."
                .into(),
            Advice::BigValues => "Freeing a collection of millions of elements takes time. Prefer UNLINK to DEL, keep \
                                  lazyfree-lazy-expire and lazyfree-lazy-eviction on, or split such values."
                .into(),
            Advice::Scheduling => "Commands that do next to no work were slow: the machine did not run the server. \
                                   Look for other busy processes, a CPU quota, swapping, or a crowded host, and give \
                                   the server fewer io-threads than there are idle cores."
                .into(),
            Advice::LocalDisk => "Writing to disk was slow. Keep the data directory on a local disk, best an SSD, \
                                  rather than on network storage."
                .into(),
            Advice::SharedDisk => "Let nothing else write much to the disk with the data directory; set \
                                   no-appendfsync-on-rewrite if losing some seconds of writes in a crash is bearable."
                .into(),
            Advice::RelaxFsync => "With 'appendfsync always' every write waits for the disk; 'everysec' waits for \
                                   none and risks one second."
                .into(),
            Advice::Eviction => "Making room took long: maxmemory was lowered by much, or large values arrived at \
                                 once. Lower it in steps, and leave room for the largest reply."
                .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn sample(unix_s: i64, latency_ms: u64) -> Sample {
        Sample { unix_s, latency_ms }
    }

    #[test]
    fn the_worst_of_each_second_is_kept() {
        let monitor = LatencyMonitor::new();
        for (at, ms) in [(NOW, 10), (NOW, 30), (NOW, 20), (NOW + 1, 5)] {
            monitor.add("command", at, ms);
        }
        assert_eq!(monitor.history("command"), [sample(NOW, 30), sample(NOW + 1, 5)]);
        assert_eq!(
            monitor.latest(),
            [Latest { event: "command".into(), last: sample(NOW + 1, 5), max_ms: 30 }]
        );
        assert_eq!(monitor.history("blabla"), []);
    }

    #[test]
    fn history_is_a_ring() {
        let monitor = LatencyMonitor::new();
        for i in 0..400 {
            monitor.add("command", NOW + i, 1000 - i as u64);
            monitor.add("command", NOW + i, 1);
        }
        let history = monitor.history("command");
        assert_eq!(history.len(), HISTORY_LEN);
        assert_eq!((history[0], history[159]), (sample(NOW + 240, 760), sample(NOW + 399, 601)));
        assert_eq!(monitor.latest()[0].max_ms, 1000);
    }

    #[test]
    fn resetting() {
        let monitor = LatencyMonitor::new();
        for event in ["a", "b", "c"] {
            monitor.add(event, NOW, 1);
        }
        assert_eq!(monitor.reset("B"), 1);
        assert_eq!(monitor.reset("blabla"), 0);
        assert_eq!(monitor.reset_all(), 2);
        assert_eq!(monitor.latest(), []);
    }

    #[test]
    fn a_graph() {
        let monitor = LatencyMonitor::new();
        for (ago, ms) in [(200_000, 100), (7300, 400), (130, 250), (59, 1300), (0, 101)] {
            monitor.add("command", NOW - ago, ms);
        }
        let graph = monitor.graph("command", NOW).unwrap();
        let lines: Vec<&str> = graph.lines().collect();
        assert_eq!(lines[0], "command - high 1300 ms, low 100 ms (all time high 1300 ms)");
        assert_eq!(lines[1], "-".repeat(80));
        assert_eq!(lines[2..7], ["   # ", "   | ", " _ | ", "_|o|_", "     "]);
        assert_eq!(lines[7..], ["22250", "dhm9s", "   s "]);
        assert_eq!(monitor.graph("blabla", NOW), None);
    }

    #[test]
    fn long_graphs_go_on_below() {
        let monitor = LatencyMonitor::new();
        (0..81).for_each(|i| monitor.add("e", NOW + i, 7));
        let graph = monitor.graph("e", NOW + 80).unwrap();
        let lines: Vec<&str> = graph.lines().collect();
        // All equal are drawn at the bottom.
        assert_eq!(lines[5], "_".repeat(80));
        let second = lines.iter().position(|line| line.is_empty()).unwrap();
        assert_eq!(lines[second + 1..], [" ", " ", " ", "_", " ", "0", "s"]);
    }

    #[test]
    fn the_doctor_reports() {
        let settings = Settings { threshold_ms: 0, slowlog_slower_than_us: 10_000, slowlog_max_len: 128 };
        let monitor = LatencyMonitor::new();
        assert!(monitor.doctor(NOW, settings).contains("latency-monitor-threshold"));
        let settings = Settings { threshold_ms: 5, ..settings };
        assert!(monitor.doctor(NOW, settings).contains("No latency of 5 ms"));
        monitor.add("command", NOW - 10, 100);
        monitor.add("command", NOW - 5, 200);
        let report = monitor.doctor(NOW, settings);
        assert!(report.contains(
            "1. command: 2 latency spikes (average 150ms, mean deviation 50ms, period 5.00 sec). Worst all time \
             event 200ms."
        ));
        assert!(report.contains("CONFIG SET slowlog-log-slower-than 5000 makes"), "{report}");
        let off = Settings { slowlog_slower_than_us: -1, ..settings };
        assert!(monitor.doctor(NOW, off).contains("The slow log is off"));
    }
}
