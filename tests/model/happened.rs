//! What steps meant: the turns that a walk has to have taken before its silence says anything.

use super::words::words;

words! {
    /// A turn that is worth counting.
    Happened {
        /// A lease expired, and its task waits again.
        Rescued,
        /// A task that lost too many workers was buried.
        DeadByRescueCap,
        /// A task whose last attempt failed was buried.
        DeadByFailure,
        /// An owner that had been fenced wanted to commit.
        FencedCommitDiscarded,
        /// A commit whose answer was lost came again.
        RepeatedCommitDiscarded,
        /// A delivery of a task that runs or has ended was refused, to be acknowledged.
        LateDuplicateRefused,
        /// A delivery of a task that must not run yet was refused, to be acknowledged.
        EarlyCopyRefused,
        /// A new task found no slot.
        Parked,
        /// A waiting task found no slot.
        PutOff,
        /// A confirmed message was lost with the broker, and its row was published again.
        RepublishedAfterWipe,
        /// The relay marked a publication that was over already.
        MarkWasLate,
        /// A connection broke before it had carried the acknowledgements.
        AckLost,
        /// A claim was committed, and its worker did not hear of it.
        ClaimUnheardOf,
        /// A claim was heard of when its lease could have expired.
        ClaimHeardTooLate,
        /// A heartbeat arrived that its worker had given up.
        StrayHeartbeatExtended,
        /// A heartbeat told an owner that its lease is lost.
        ToldFenced,
        /// An owner ended its work at its deadline or when told.
        FencedItself,
        /// An operation had an effect while its worker was stopped.
        EffectOfStoppedWorker,
        /// An operation had an effect after its task had been given to somebody else, because of a set clock.
        EffectOfEarlyExpired,
        /// An attempt that would have run again did not, because a person had asked for its end.
        RetryOverruledByPerson,
        /// A task whose end was asked for lost its worker.
        CancelledWithItsWorkerLost,
        /// The reaper woke what a returning target had missed.
        MissedWakeMadeUpFor,
    }
}
