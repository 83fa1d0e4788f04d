//! The rules by which something is wrong.

use crate::name::text_enum;

text_enum! {
    /// A rule.
    Rule {
        /// The last backup of a job failed.
        BackupFailed = "backup_failed",
        /// The last backups of a job failed, several in a row.
        BackupsFailing = "backups_failing",
        /// The last backup of a job left out what it could not read.
        BackupWarnings = "backup_warnings",
        /// The newest complete restore point of a job is older than its `rpo`.
        NoRecentBackup = "no_recent_backup",
        /// Too few of a job's backups in the last 30 days succeeded.
        SuccessRate = "success_rate",
        /// A job does not keep one of the five rules.
        VerdictFailing = "verdict_failing",
        /// Whether a job keeps one of the five rules was never observed.
        VerdictUnknown = "verdict_unknown",
        /// What shows that a job keeps one of the five rules expires soon.
        VerdictExpiring = "verdict_expiring",
        /// A copy of a job's data was not verified within the window of a level.
        VerificationOverdue = "verification_overdue",
        /// The last good backup of a job took unusually long, or short.
        DurationUnusual = "duration_unusual",
        /// The last good backup of a job is unusually large or small.
        SizeUnusual = "size_unusual",
        /// A task runs without progress, or waits for nothing and is not taken.
        TaskStuck = "task_stuck",
        /// What waits for a pool takes too long to begin.
        Backlog = "backlog",
        /// A worker was not heard of and had not said that it stops.
        WorkerLost = "worker_lost",
        /// No producer was heard of.
        ProducerLost = "producer_lost",
        /// Tasks are dead and nobody has decided about them.
        DeadTasks = "dead_tasks",
        /// Whatever is done with a target fails, or it cannot be reached.
        TargetFailing = "target_failing",
        /// A transaction of the database is open for too long.
        DatabaseOldTransaction = "database_old_transaction",
        /// Sessions of the database wait for locks of others.
        DatabaseBlocked = "database_blocked",
        /// Rows of the history found no partition of their month.
        DefaultPartition = "default_partition",
    }
}

impl Rule {
    /// Whether it is about a single job, so that a job may have its own opinion on it.
    #[must_use]
    pub const fn is_of_jobs(self) -> bool {
        match self {
            Self::BackupFailed
            | Self::BackupsFailing
            | Self::BackupWarnings
            | Self::NoRecentBackup
            | Self::SuccessRate
            | Self::VerdictFailing
            | Self::VerdictUnknown
            | Self::VerdictExpiring
            | Self::VerificationOverdue
            | Self::DurationUnusual
            | Self::SizeUnusual => true,
            Self::TaskStuck
            | Self::Backlog
            | Self::WorkerLost
            | Self::ProducerLost
            | Self::DeadTasks
            | Self::TargetFailing
            | Self::DatabaseOldTransaction
            | Self::DatabaseBlocked
            | Self::DefaultPartition => false,
        }
    }
}
