//! What a view's commands write to the log (see [`log`](crate::keyspace::log)).
//!
//! A command that has changed something is logged as it was sent, unless its handler states another form, which leads to
//! the same data wherever and whenever it is run: [`View::propagate`]. All that one command or transaction writes is
//! one unit, which is appended while its shards are locked.

use super::View;

impl View<'_> {
    /// Whether commands are logged: others need not state a form.
    #[inline]
    pub fn is_logged(&self) -> bool {
        self.news.interest().is_logged()
    }

    /// Whether there is anything to do when a command is done: it is logged, or somebody wants to know of keys.
    #[inline]
    pub fn has_interest(&self) -> bool {
        self.news.interest().is_any()
    }

    /// The command by which a key leaves whose time is over.
    pub fn removal(&self) -> &'static [u8] {
        self.keyspace.effects.log().removal()
    }

    /// States that the command is logged as this one, in the selected database. May be called more than once.
    #[inline]
    pub fn propagate(&self, args: &[&[u8]]) {
        if self.is_logged() {
            self.propagate_many(args.len(), args.iter().copied());
        }
    }

    /// As [`View::propagate`], for a command of `count` arguments.
    #[cold]
    pub fn propagate_many<'a>(&self, count: usize, args: impl Iterator<Item = &'a [u8]>) {
        if self.is_logged() {
            self.news.with_rare(|rare| {
                rare.unit.push(self.db, count, args);
                rare.is_stated = true;
            });
        }
    }

    /// States that the command is logged as what it has stated, if that is anything.
    pub fn propagate_no_more(&self) {
        if self.is_logged() {
            self.news.with_rare(|rare| rare.is_stated = true);
        }
    }

    /// A command is done that is part of a unit, and these are its arguments.
    pub fn record<'r>(&self, count: usize, args: impl Iterator<Item = &'r [u8]>) {
        let has_changed = self.tally.take_changed();
        if !has_changed && !self.news.has_rare() {
            return;
        }
        self.news.with_rare(|rare| {
            if !std::mem::take(&mut rare.is_stated) && has_changed {
                rare.unit.push(self.db, count, args);
            }
        });
    }

    /// A command is done that is a unit by itself: logs it. Returns whether anything was. `encoded` gives the request in the form of the wire, if it
    /// is there.
    #[inline]
    pub fn log_command<'r>(
        &self,
        encoded: impl FnOnce() -> Option<&'r [u8]>,
        count: usize,
        args: impl Iterator<Item = &'r [u8]>,
    ) -> bool {
        if self.news.has_rare() {
            self.record(count, args);
            return self.log_unit();
        }
        let has_changed = self.tally.take_changed();
        if has_changed {
            let log = self.keyspace.effects.log();
            match encoded() {
                Some(encoded) => log.append_encoded(self.db, encoded),
                None => log.append(self.db, count, args),
            }
        }
        has_changed
    }

    /// What has happened so far is complete: logs it as it was stated. Returns whether anything was.
    pub fn log_unit(&self) -> bool {
        self.tally.take_changed();
        if !self.is_logged() || !self.news.has_rare() {
            return false;
        }
        self.news.with_rare(|rare| {
            rare.is_stated = false;
            let is_any = !rare.unit.is_empty();
            if is_any {
                self.keyspace.effects.log().append_unit(&rare.unit);
                rare.unit.clear();
            }
            is_any
        })
    }
}
