//! Names of traces and spans, and which task is traced.
//!
//! A task's trace and the spans of its attempts have names that are made of the task's id and the attempt's epoch. So whoever has these knows
//! the names: nothing has to be stored for a retry to name the attempt before it, and a task's trace is found by its id.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::task::{Epoch, TaskId};
use crate::trace::TraceContext;

/// A trace: 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// A span within a trace: 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// A span of a trace that is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanContext {
    /// Its trace.
    pub trace: TraceId,
    /// Itself.
    pub span: SpanId,
}

impl TraceId {
    /// The trace of a task that no other trace was named for: the task's id. `None` for the one id that cannot be a trace's.
    #[must_use]
    pub fn of(task: TaskId) -> Option<Self> {
        (!task.0.is_nil()).then(|| Self(task.0.into_bytes()))
    }

    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random::<u128>().max(1).to_be_bytes())
    }

    /// As it travels in protocols.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl SpanId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random::<u64>().max(1).to_be_bytes())
    }

    /// The span of an attempt: that of the task's owner of this epoch.
    #[must_use]
    pub fn of(task: TaskId, epoch: Epoch) -> Self {
        let digest =
            Sha256::new().chain_update(task.0.as_bytes()).chain_update(epoch.0.to_be_bytes()).finalize();
        let first = digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Self(first.max(1).to_be_bytes())
    }

    /// As it travels in protocols.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl SpanContext {
    /// A new span at the root of a new trace.
    #[must_use]
    pub fn root() -> Self {
        Self { trace: TraceId::random(), span: SpanId::random() }
    }

    /// A new span of a trace.
    #[must_use]
    pub fn within(trace: TraceId) -> Self {
        Self { trace, span: SpanId::random() }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn another(self) -> Self {
        Self::within(self.trace)
    }

    /// The span that a context names, where its trace is recorded.
    #[must_use]
    pub fn of(context: &TraceContext) -> Option<Self> {
        // Of a well-formed context, each part has its length.
        let mut parts = context.parent().split('-').skip(1);
        let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        let (trace, span) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
        sampled.then(|| Self { trace: TraceId(trace.to_be_bytes()), span: SpanId(span.to_be_bytes()) })
    }
}

/// The share of tasks that are traced although no trace was named for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The largest mixed id that is traced; `None` for no task at all.
    highest: Option<u64>,
}

impl Share {
    /// A share from 0 to 1.
    ///
    /// # Errors
    /// It is none of these.
    pub fn new(share: f64) -> Result<Self, &'static str> {
        if !(0.0..=1.0).contains(&share) {
            return Err("use a share from 0 to 1");
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is not negative, and what is too large becomes the largest"
        )]
        let highest = (share * 2.0_f64.powi(64)) as u64;
        Ok(Self { highest: (highest > 0).then_some(highest) })
    }

    /// Whether a task is traced. Every process comes to the same answer, and to the same for each attempt.
    #[must_use]
    pub fn holds(self, task: TaskId) -> bool {
        self.highest.is_some_and(|highest| mixed(task) <= highest)
    }
}

/// Publishers choose ids as they like, so that none of their bits is by chance: the finaliser of `SplitMix64` spreads them.
fn mixed(task: TaskId) -> u64 {
    let (high, low) = task.0.as_u64_pair();
    let mut mixed = high ^ low.rotate_left(32);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// As the header `traceparent`.
impl fmt::Display for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", self.trace, self.span)
    }
}

impl fmt::Debug for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn context(parent: &str) -> TraceContext {
        TraceContext::read(Some(parent), None).unwrap()
    }

    #[test]
    fn a_context_becomes_the_same_context_again_and_one_that_is_not_sampled_is_none() {
        assert_eq!(SpanContext::of(&context(PARENT)).unwrap().to_string(), PARENT);
        assert_eq!(SpanContext::of(&context(&PARENT.replace("-01", "-00"))), None);
        // A further flag, that the trace's id is random.
        assert!(SpanContext::of(&context(&PARENT.replace("-01", "-03"))).is_some());
        assert_eq!(SpanContext::of(&context(&PARENT.replace("-01", "-02"))), None);
    }

    #[test]
    fn a_share_of_tasks_is_traced_whatever_their_ids_have_in_common() {
        const TASKS: u32 = 100_000;
        let sequential: Vec<Uuid> = (1..=TASKS).map(|n| Uuid::from_u64_pair(0, n.into())).collect();
        let by_time: Vec<Uuid> = (0..TASKS).map(|_| Uuid::now_v7()).collect();
        for (way, ids) in [("sequential", sequential), ("by time", by_time)] {
            for share in [0.01, 0.5] {
                let chosen = Share::new(share).unwrap();
                let traced = ids.iter().filter(|id| chosen.holds(TaskId(**id))).count() as f64;
                let expected = share * f64::from(TASKS);
                assert!((traced - expected).abs() < 6.0 * expected.sqrt(), "{way}: {traced} of {expected}");
            }
        }
    }

    #[test]
    fn all_or_none_are_traced_at_the_ends_of_the_scale() {
        let (none, all) = (Share::new(0.0).unwrap(), Share::new(1.0).unwrap());
        for task in (0..1000).map(|_| TaskId::generate()) {
            assert!(all.holds(task) && !none.holds(task));
        }
        for wrong in [-0.1, 1.1, f64::NAN] {
            assert!(Share::new(wrong).is_err());
        }
    }

    #[test]
    fn attempts_have_names_of_their_own_that_stay_the_same() {
        let (task, other) = (TaskId(Uuid::from_u128(1)), TaskId(Uuid::from_u128(2)));
        assert_eq!(SpanId::of(task, Epoch(1)), SpanId::of(task, Epoch(1)));
        assert_ne!(SpanId::of(task, Epoch(1)), SpanId::of(task, Epoch(2)));
        assert_ne!(SpanId::of(task, Epoch(1)), SpanId::of(other, Epoch(1)));
        assert_eq!(TraceId::of(task).unwrap().to_string(), task.to_string().replace('-', ""));
        assert_eq!(TraceId::of(TaskId(Uuid::nil())), None);
    }
}
