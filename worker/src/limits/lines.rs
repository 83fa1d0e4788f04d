//! The lines of waiting tasks that this worker knows of, and what it may call from them.
//!
//! What is known here is a hint: the database decides at each call. A line that another worker opened is known within a
//! second, one that this worker opened or made room in at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::db::cap::Counts;
use shared::limit::Key;
use shared::task::TaskKind;
use tokio::sync::watch;

use super::{Book, Gate, Permit};
use crate::admit::Refused;
use crate::claim::Answer;

/// How long a line is left alone that another key's rate blocks, where it is not known for how long.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Tasks that are called at once: the claim of more would take too long for those that wait for it.
const MOST: usize = 200;

/// The lines of all kinds.
#[derive(Debug, Default)]
pub struct Lines {
    known: Mutex<BTreeMap<(TaskKind, Key), Line>>,
    /// How many there are, to be read without a lock.
    count: AtomicUsize,
    changed: watch::Sender<()>,
    /// The kinds of which so many tasks wait for their pool that no more are to be taken from its queues.
    long: watch::Sender<BTreeSet<TaskKind>>,
}

/// What is known of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// How many of its tasks may start as far as its key's cap is concerned.
    room: usize,
    /// Another key whose cap is full for all that come next.
    blocked_by: Option<Key>,
    /// It is of no use to call it earlier.
    not_before: Option<Instant>,
    /// A call is under way.
    is_called: bool,
    /// When it was called last, among all calls: the others come first.
    turn: u64,
}

/// What can be called.
#[derive(Debug)]
pub struct Callable {
    /// From which line.
    pub key: Key,
    /// How many.
    pub most: usize,
    /// The first one's permit, where the key's rate is limited.
    pub permit: Option<Permit>,
}

impl Line {
    const fn new(room: usize) -> Self {
        Self { room, blocked_by: None, not_before: None, is_called: false, turn: 0 }
    }
}

impl Lines {
    /// Whether nobody waits, as nearly always.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Whether tasks of a kind wait for a key.
    #[must_use]
    pub fn stands(&self, kind: TaskKind, key: &Key) -> bool {
        self.lock().contains_key(&(kind, key.clone()))
    }

    /// The keys that tasks of a kind wait for.
    #[must_use]
    pub fn waited_for(&self, kind: TaskKind) -> Vec<Key> {
        self.lock().keys().filter(|(of, _)| *of == kind).map(|(_, key)| key.clone()).collect()
    }

    /// Is told each time something may have become callable.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The kinds whose queues are to be left alone for a while.
    pub fn long(&self) -> watch::Receiver<BTreeSet<TaskKind>> {
        self.long.subscribe()
    }

    /// Says that something may have become callable.
    pub fn wake(&self) {
        self.changed.send_replace(());
    }

    /// A line that can be called now, the one that was called longest ago; or how soon there may be one.
    pub fn choose(&self, kind: TaskKind, book: &Book) -> Result<Callable, Option<Duration>> {
        let mut soonest: Option<Duration> = None;
        let mut known = self.lock();
        let last = known.values().map(|line| line.turn).max().unwrap_or(0);
        let mut lines: Vec<_> = known
            .iter_mut()
            .filter(|((of, _), line)| *of == kind && !line.is_called && line.room > 0)
            .collect();
        lines.sort_by_key(|(_, line)| line.turn);
        let now = Instant::now();
        for ((_, key), line) in lines {
            if let Some(at) = line.not_before.filter(|at| *at > now) {
                soonest = [soonest, Some(at - now)].into_iter().flatten().min();
                continue;
            }
            let permit = match book.limit(key).and_then(|limited| limited.gate.as_ref()).map(Gate::take) {
                None => None,
                Some(Ok(permit)) => Some(permit),
                Some(Err(wait)) => {
                    soonest = [soonest, wait].into_iter().flatten().min();
                    continue;
                }
            };
            (line.is_called, line.turn) = (true, last + 1);
            return Ok(Callable { key: key.clone(), most: line.room.min(MOST), permit });
        }
        Err(soonest)
    }

    /// A line that was chosen is not called after all.
    pub fn put_back(&self, kind: TaskKind, key: &Key) {
        if let Some(line) = self.lock().get_mut(&(kind, key.clone())) {
            line.is_called = false;
        }
    }

    /// Tasks of a kind have begun to wait for a key; `full` says that its cap is what they wait for.
    pub fn entered(&self, kind: TaskKind, key: &Key, full: bool) {
        let mut known = self.lock();
        let room = if full { 0 } else { usize::MAX };
        known.entry((kind, key.clone())).or_insert(Line::new(room));
        self.count.store(known.len(), Ordering::Relaxed);
        drop(known);
        self.wake();
    }

    /// Tasks that were counted under caps have ended.
    pub fn freed(&self, freed: &Counts) {
        if self.is_empty() || freed.is_empty() {
            return;
        }
        for ((_, key), line) in self.lock().iter_mut() {
            let blocked_by = line.blocked_by.take_if(|key| freed.contains_key(&key.to_string()));
            for key in [Some(key.clone()), blocked_by].into_iter().flatten() {
                let tasks = freed.get(&key.to_string()).copied().unwrap_or(0);
                line.room = line.room.saturating_add(usize::try_from(tasks).unwrap_or(0));
            }
        }
        self.wake();
    }

    /// A call has been answered.
    pub(crate) fn answered(&self, kind: TaskKind, key: &Key, answer: &Answer) {
        let mut known = self.lock();
        if answer.ended {
            known.remove(&(kind, key.clone()));
        } else if let Some(line) = known.get_mut(&(kind, key.clone())) {
            line.is_called = false;
            line.room = match line.room {
                _ if answer.full => 0,
                usize::MAX => usize::MAX,
                room => room.saturating_sub(answer.tasks.len()),
            };
            match &answer.blocked {
                Some(Refused { key, full: true, .. }) => {
                    (line.room, line.blocked_by) = (0, Some(key.clone()));
                }
                Some(Refused { wait, .. }) => {
                    line.not_before = Some(Instant::now() + wait.unwrap_or(LONGEST_WAIT));
                }
                None => {}
            }
        }
        self.count.store(known.len(), Ordering::Relaxed);
        drop(known);
        self.wake();
    }

    /// Learns which lines there are, and how much room the caps of their keys have, where there are caps. A call that is under way goes on.
    pub fn learn(&self, lines: Vec<(TaskKind, Key)>, rooms: &HashMap<Key, usize>, long: BTreeSet<TaskKind>) {
        self.long.send_if_modified(|before| std::mem::replace(before, long) != *before);
        let mut known = self.lock();
        let mut learned = BTreeMap::new();
        for (kind, key) in lines {
            let room = rooms.get(&key).copied().unwrap_or(usize::MAX);
            let line = known.get(&(kind, key.clone())).cloned().unwrap_or(Line::new(room));
            let line = if line.is_called { line } else { Line { room, blocked_by: None, ..line } };
            learned.insert((kind, key), line);
        }
        // A line that was opened here since they were read must not be forgotten while it is called.
        learned.extend(
            known.iter().filter(|(_, line)| line.is_called).map(|(at, line)| (at.clone(), line.clone())),
        );
        *known = learned;
        self.count.store(known.len(), Ordering::Relaxed);
        drop(known);
        self.wake();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(TaskKind, Key), Line>> {
        // Nothing panics between a lock and its release; a map is never half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use shared::task::TaskId;

    use super::*;

    const KIND: TaskKind = TaskKind::Backup;

    fn key(owner: &str) -> Key {
        Key::Owner(owner.parse().unwrap())
    }

    fn known(owners: &[&str]) -> Lines {
        let lines = Lines::default();
        lines.learn(
            owners.iter().map(|owner| (KIND, key(owner))).collect(),
            &HashMap::new(),
            BTreeSet::new(),
        );
        lines
    }

    fn choose(lines: &Lines) -> Option<Key> {
        lines.choose(KIND, &Book::default()).ok().map(|callable| callable.key)
    }

    fn started(tasks: usize) -> Answer {
        Answer { tasks: (0..tasks).map(|_| TaskId::generate()).collect(), ..Answer::default() }
    }

    #[test]
    fn the_line_that_was_called_longest_ago_is_next_and_none_is_called_twice_at_once() {
        let lines = known(&["a", "b"]);
        let (first, second) = (choose(&lines).unwrap(), choose(&lines).unwrap());
        assert_ne!(first, second);
        assert_eq!(choose(&lines), None);
        lines.answered(KIND, &second, &started(1));
        lines.answered(KIND, &first, &started(1));
        assert_eq!(choose(&lines), Some(first));
        assert_eq!(choose(&lines), Some(second));
    }

    #[test]
    fn a_line_whose_cap_is_full_is_called_when_a_task_of_its_key_has_ended() {
        let lines = known(&["a"]);
        let a = choose(&lines).unwrap();
        lines.answered(KIND, &a, &Answer { full: true, ..Answer::default() });
        assert_eq!(choose(&lines), None);
        lines.freed(&Counts::from([("owner:other".to_owned(), 1)]));
        assert_eq!(choose(&lines), None);
        lines.freed(&Counts::from([(a.to_string(), 2)]));
        let callable = lines.choose(KIND, &Book::default()).unwrap();
        assert_eq!((callable.key, callable.most), (a, 2));
    }

    #[test]
    fn a_line_that_another_keys_cap_blocks_is_called_when_that_key_is_free() {
        let lines = known(&["a"]);
        let a = choose(&lines).unwrap();
        let blocked = Some(Refused { key: key("b"), full: true, wait: None });
        lines.answered(KIND, &a, &Answer { blocked, ..Answer::default() });
        assert_eq!(choose(&lines), None);
        lines.freed(&Counts::from([("owner:b".to_owned(), 1)]));
        assert_eq!(choose(&lines), Some(a));
    }

    #[test]
    fn a_line_that_a_rate_blocks_is_left_alone_for_as_long_as_that_takes() {
        let lines = known(&["a", "b"]);
        let a = choose(&lines).unwrap();
        let blocked = Some(Refused { key: key("c"), full: false, wait: Some(Duration::from_hours(1)) });
        lines.answered(KIND, &a, &Answer { blocked, ..Answer::default() });
        let b = choose(&lines).unwrap();
        assert_ne!(a, b);
        lines.answered(KIND, &b, &Answer { ended: true, ..Answer::default() });
        let wait = lines.choose(KIND, &Book::default()).unwrap_err().unwrap();
        assert!(wait > Duration::from_mins(59), "{wait:?}");
    }

    #[test]
    fn a_line_that_is_called_is_not_forgotten_when_lines_are_looked_at() {
        let lines = known(&["a", "b"]);
        let called = choose(&lines).unwrap();
        lines.learn(Vec::new(), &HashMap::new(), BTreeSet::new());
        assert!(lines.stands(KIND, &called));
        assert!(!lines.is_empty());
        lines.answered(KIND, &called, &Answer { ended: true, ..Answer::default() });
        assert!(lines.is_empty());
    }

    #[test]
    fn whoever_enters_a_line_wakes_those_who_call() {
        let lines = Lines::default();
        let mut changes = lines.changes();
        lines.entered(KIND, &key("a"), true);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        // It waits for a place, not for a call.
        assert_eq!(choose(&lines), None);
        assert_eq!(lines.choose(TaskKind::Verify, &Book::default()).unwrap_err(), None);
        lines.freed(&Counts::from([("owner:a".to_owned(), 1)]));
        assert!(changes.has_changed().unwrap());
        assert_eq!(choose(&lines), Some(key("a")));
    }
}
