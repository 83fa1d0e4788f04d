//! Everything that can happen.

use super::clock::{LATER, Millis, PARK};
use super::database::TaskNo;
use super::operation::Jitter;
use super::state::Confirm;
use super::words::words;
use super::{TASKS, WORKERS};

words! {
    /// The kinds of events.
    Kind {
        /// Another system publishes a task, perhaps not for the first time.
        Publish,
        /// A process of ours enqueues a task.
        Enqueue,
        /// The relay takes what is due.
        RelayTakes,
        /// The relay publishes one row.
        RelayPublishes,
        /// The relay marks what was confirmed.
        RelayMarks,
        /// The relay has what was not confirmed taken again.
        RelayPublishesAgain,
        /// The relay dies.
        RelayCrashes,
        /// The broker delivers a copy.
        Deliver,
        /// A worker's connection to the broker breaks.
        ConnectionLost,
        /// The broker loses all that it had.
        BrokerWiped,
        /// A worker asks for a claim.
        ClaimBegins,
        /// The claim is committed.
        ClaimLands,
        /// The worker hears of it.
        ClaimHeard,
        /// The worker's connection breaks first; it asks anew.
        ClaimUnheard,
        /// The broker takes in a worker's acknowledgements.
        Ack,
        /// A worker asks for longer leases.
        HeartbeatBegins,
        /// The leases are extended.
        HeartbeatLands,
        /// The worker hears of it.
        HeartbeatHeard,
        /// The worker gives up waiting.
        HeartbeatFails,
        /// What a worker gave up lands all the same.
        StrayHeartbeatLands,
        /// A worker asks whose end was asked for.
        Control,
        /// An operation does something to the world.
        Effect,
        /// An attempt ends.
        Ends,
        /// An attempt ends because of its lease.
        FencesItself,
        /// A worker records ends.
        Record,
        /// A worker dies of kill -9.
        Crash,
        /// It is started anew.
        Restart,
        /// A worker is stopped by SIGSTOP.
        Stop,
        /// It goes on.
        Continue,
        /// The reaper sweeps.
        Reap,
        /// A person takes a waiting task out.
        CancelWaiting,
        /// A person asks for the end of a running task.
        CancelRunning,
        /// A target is taken away.
        Detach,
        /// It comes back.
        Attach,
        /// Time passes.
        Pass,
        /// Somebody sets the database's clock.
        ClockSteps,
    }
}

impl Kind {
    /// Whether it moves tasks along, and is not in their way.
    pub(super) const fn helps(self) -> bool {
        matches!(
            self,
            Self::RelayTakes
                | Self::RelayPublishes
                | Self::RelayMarks
                | Self::RelayPublishesAgain
                | Self::Deliver
                | Self::ClaimBegins
                | Self::ClaimLands
                | Self::ClaimHeard
                | Self::Ack
                | Self::HeartbeatBegins
                | Self::HeartbeatLands
                | Self::HeartbeatHeard
                | Self::Effect
                | Self::Ends
                | Self::Record
                | Self::Restart
                | Self::Continue
                | Self::Reap
        )
    }

    /// How often it is chosen beside others.
    pub(super) const fn weight(self) -> usize {
        match self {
            Self::CancelWaiting
            | Self::CancelRunning
            | Self::Enqueue
            | Self::Publish
            | Self::BrokerWiped
            | Self::RelayCrashes
            | Self::Crash
            | Self::Stop
            | Self::Detach => 1,
            Self::ConnectionLost | Self::ClockSteps | Self::ClaimUnheard => 2,
            Self::Pass | Self::HeartbeatBegins | Self::HeartbeatFails | Self::Ends | Self::Attach => 4,
            _ => 16,
        }
    }
}

/// How many of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// The oldest.
    One,
    /// All.
    All,
}

/// How an attempt ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The work is done.
    Done,
    /// The work failed and may be tried again.
    FailedForNow,
    /// The work failed for good.
    FailedForGood,
    /// It took too long.
    TimedOut,
    /// Somebody else holds the repository.
    Busy,
    /// The target is away.
    Detached,
    /// The worker was told to stop.
    Interrupted,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is described with its kind; `slot` counts from the oldest and wraps around"
)]
pub enum Event {
    Publish { task: TaskNo },
    Enqueue { task: TaskNo, wait: Millis },
    RelayTakes,
    RelayPublishes { slot: usize, confirm: Confirm },
    RelayMarks,
    RelayPublishesAgain,
    RelayCrashes,
    Deliver { worker: usize, task: TaskNo },
    ConnectionLost { worker: usize },
    BrokerWiped,
    ClaimBegins { worker: usize, batch: Batch, park: Option<Millis> },
    ClaimLands { worker: usize },
    ClaimHeard { worker: usize },
    ClaimUnheard { worker: usize },
    Ack { worker: usize },
    HeartbeatBegins { worker: usize },
    HeartbeatLands { worker: usize },
    HeartbeatHeard { worker: usize },
    HeartbeatFails { worker: usize },
    StrayHeartbeatLands,
    Control { worker: usize },
    Effect { worker: usize, slot: usize },
    Ends { worker: usize, slot: usize, how: How },
    FencesItself { worker: usize, slot: usize },
    Record { worker: usize, batch: Batch, heard: bool, jitter: Jitter },
    Crash { worker: usize },
    Restart { worker: usize },
    Stop { worker: usize },
    Continue { worker: usize },
    Reap,
    CancelWaiting { task: TaskNo },
    CancelRunning { task: TaskNo },
    Detach,
    Attach,
    Pass { millis: Millis },
    ClockSteps { forward: bool },
}

impl Event {
    /// Its kind.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Publish { .. } => Kind::Publish,
            Self::Enqueue { .. } => Kind::Enqueue,
            Self::RelayTakes => Kind::RelayTakes,
            Self::RelayPublishes { .. } => Kind::RelayPublishes,
            Self::RelayMarks => Kind::RelayMarks,
            Self::RelayPublishesAgain => Kind::RelayPublishesAgain,
            Self::RelayCrashes => Kind::RelayCrashes,
            Self::Deliver { .. } => Kind::Deliver,
            Self::ConnectionLost { .. } => Kind::ConnectionLost,
            Self::BrokerWiped => Kind::BrokerWiped,
            Self::ClaimBegins { .. } => Kind::ClaimBegins,
            Self::ClaimLands { .. } => Kind::ClaimLands,
            Self::ClaimHeard { .. } => Kind::ClaimHeard,
            Self::ClaimUnheard { .. } => Kind::ClaimUnheard,
            Self::Ack { .. } => Kind::Ack,
            Self::HeartbeatBegins { .. } => Kind::HeartbeatBegins,
            Self::HeartbeatLands { .. } => Kind::HeartbeatLands,
            Self::HeartbeatHeard { .. } => Kind::HeartbeatHeard,
            Self::HeartbeatFails { .. } => Kind::HeartbeatFails,
            Self::StrayHeartbeatLands => Kind::StrayHeartbeatLands,
            Self::Control { .. } => Kind::Control,
            Self::Effect { .. } => Kind::Effect,
            Self::Ends { .. } => Kind::Ends,
            Self::FencesItself { .. } => Kind::FencesItself,
            Self::Record { .. } => Kind::Record,
            Self::Crash { .. } => Kind::Crash,
            Self::Restart { .. } => Kind::Restart,
            Self::Stop { .. } => Kind::Stop,
            Self::Continue { .. } => Kind::Continue,
            Self::Reap => Kind::Reap,
            Self::CancelWaiting { .. } => Kind::CancelWaiting,
            Self::CancelRunning { .. } => Kind::CancelRunning,
            Self::Detach => Kind::Detach,
            Self::Attach => Kind::Attach,
            Self::Pass { .. } => Kind::Pass,
            Self::ClockSteps { .. } => Kind::ClockSteps,
        }
    }

    /// An event of some kind, with its details by dice: the lower, the plainer.
    #[must_use]
    pub fn of(kind: Kind, dice: [u8; 3]) -> Self {
        let [first, second, third] = dice.map(usize::from);
        let worker = first % WORKERS;
        let task = TaskNo(second % TASKS);
        let slot = second % 8;
        let batch = if second % 2 == 0 { Batch::All } else { Batch::One };
        match kind {
            Kind::Publish => Self::Publish { task },
            Kind::Enqueue => Self::Enqueue { task, wait: *pick(&[0, 0, LATER], third) },
            Kind::RelayTakes => Self::RelayTakes,
            Kind::RelayPublishes => {
                let confirms = [Confirm::Heard, Confirm::Heard, Confirm::Lost, Confirm::NeverArrived];
                Self::RelayPublishes { slot, confirm: *pick(&confirms, third) }
            }
            Kind::RelayMarks => Self::RelayMarks,
            Kind::RelayPublishesAgain => Self::RelayPublishesAgain,
            Kind::RelayCrashes => Self::RelayCrashes,
            Kind::Deliver => Self::Deliver { worker, task },
            Kind::ConnectionLost => Self::ConnectionLost { worker },
            Kind::BrokerWiped => Self::BrokerWiped,
            Kind::ClaimBegins => {
                let parks = [None, None, None, None, Some(PARK), Some(0)];
                Self::ClaimBegins { worker, batch, park: *pick(&parks, third) }
            }
            Kind::ClaimLands => Self::ClaimLands { worker },
            Kind::ClaimHeard => Self::ClaimHeard { worker },
            Kind::ClaimUnheard => Self::ClaimUnheard { worker },
            Kind::Ack => Self::Ack { worker },
            Kind::HeartbeatBegins => Self::HeartbeatBegins { worker },
            Kind::HeartbeatLands => Self::HeartbeatLands { worker },
            Kind::HeartbeatHeard => Self::HeartbeatHeard { worker },
            Kind::HeartbeatFails => Self::HeartbeatFails { worker },
            Kind::StrayHeartbeatLands => Self::StrayHeartbeatLands,
            Kind::Control => Self::Control { worker },
            Kind::Effect => Self::Effect { worker, slot },
            Kind::Ends => Self::Ends { worker, slot, how: *pick(&ENDS, third) },
            Kind::FencesItself => Self::FencesItself { worker, slot },
            Kind::Record => {
                let jitter = *pick(&[Jitter::None, Jitter::Half, Jitter::Full], third);
                Self::Record { worker, batch, heard: third % 4 < 3, jitter }
            }
            Kind::Crash => Self::Crash { worker },
            Kind::Restart => Self::Restart { worker },
            Kind::Stop => Self::Stop { worker },
            Kind::Continue => Self::Continue { worker },
            Kind::Reap => Self::Reap,
            Kind::CancelWaiting => Self::CancelWaiting { task },
            Kind::CancelRunning => Self::CancelRunning { task },
            Kind::Detach => Self::Detach,
            Kind::Attach => Self::Attach,
            Kind::Pass => Self::Pass { millis: *pick(&SPANS, first) },
            Kind::ClockSteps => Self::ClockSteps { forward: first % 2 == 0 },
        }
    }
}

/// Shorter and longer than a heartbeat, a lease, a confirm, and the wait for a republication; some exactly as long,
/// because the comparisons of the statements are strict or not for a reason.
const SPANS: [Millis; 8] = [100, 1_000, 4_000, 10_000, 15_000, 15_100, 31_000, 300_000];

const ENDS: [How; 10] = [
    How::Done,
    How::FailedForNow,
    How::Interrupted,
    How::FailedForNow,
    How::Busy,
    How::Detached,
    How::TimedOut,
    How::FailedForGood,
    How::Done,
    How::Busy,
];

fn pick<T>(from: &[T], dice: usize) -> &T {
    &from[dice % from.len()]
}
