use shared::task::WorkerId;

use super::super::effects::What;
use super::*;

/// A task that was rescued once and then succeeded, and nothing wrong with it.
fn clean() -> (Evidence, TaskId) {
    let task = TaskId::generate();
    let evidence = Evidence {
        published: vec![task],
        executions: vec![execution(task, 1, Outcome::Lost), execution(task, 3, Outcome::Success)],
        effects: vec![
            effect(10, task, 1, What::Started),
            effect(20, task, 1, What::Tick),
            effect(30, task, 3, What::Started),
            effect(40, task, 3, What::Done),
        ],
        queued: vec![("holdfast.backup.normal".to_owned(), 0)],
        ..Evidence::default()
    };
    (evidence, task)
}

fn execution(task: TaskId, epoch: i64, outcome: Outcome) -> Execution {
    Execution { task, epoch, outcome, simulated: true }
}

fn effect(at_ns: u64, task: TaskId, epoch: i64, what: What) -> Effect {
    Effect { at_ns, worker: WorkerId::generate(), task, epoch, what }
}

/// How many there are of each: lost, doubled, stale.
fn counts(evidence: &Evidence) -> [usize; 3] {
    let verdict = Verdict::of(evidence);
    [verdict.lost.len(), verdict.doubled.len(), verdict.stale_commits.len()]
}

#[test]
fn a_task_that_was_rescued_and_done_is_clean() {
    assert!(Verdict::of(&clean().0).is_clean());
}

#[test]
fn a_confirmed_id_without_an_end_is_lost() {
    let (mut evidence, _) = clean();
    let gone = TaskId::generate();
    evidence.published.push(gone);
    assert_eq!(counts(&evidence), [1, 0, 0]);
    evidence.executions.push(execution(gone, 1, Outcome::Lost));
    assert_eq!(counts(&evidence), [1, 0, 0], "an attempt that failed or was lost is no end");
    evidence.dead_letters.insert(gone);
    assert_eq!(counts(&evidence), [0, 0, 0]);
    evidence.dead_letters.clear();
    evidence.dead.insert(gone);
    assert_eq!(counts(&evidence), [0, 0, 0]);
}

#[test]
fn what_is_left_in_a_queue_or_table_is_lost() {
    let (mut evidence, _) = clean();
    evidence.queued[0].1 = 2;
    evidence.waiting.insert(TaskId::generate());
    evidence.running.insert(TaskId::generate());
    assert_eq!(counts(&evidence), [3, 0, 0]);
}

#[test]
fn two_results_of_a_task_are_doubled() {
    let (mut evidence, task) = clean();
    evidence.executions.push(execution(task, 3, Outcome::Warning));
    assert_eq!(counts(&evidence), [0, 1, 0]);
}

#[test]
fn an_effect_of_an_owner_after_the_next_one_began_is_doubled() {
    let (mut evidence, task) = clean();
    evidence.effects.push(effect(31, task, 1, What::Tick));
    assert_eq!(counts(&evidence), [0, 1, 0]);
}

#[test]
fn a_result_of_an_owner_that_was_not_the_newest_is_stale() {
    let (mut evidence, task) = clean();
    evidence.effects.push(effect(50, task, 4, What::Started));
    assert_eq!(counts(&evidence), [0, 0, 1]);
}

#[test]
fn a_result_without_effects_of_its_own_is_stale() {
    let (mut evidence, task) = clean();
    evidence.effects.retain(|effect| effect.what != What::Done);
    assert_eq!(counts(&evidence), [0, 0, 1]);
    let other = TaskId::generate();
    evidence.executions.push(execution(other, 1, Outcome::Success));
    assert_eq!(counts(&evidence), [0, 0, 2]);
    // Real work writes nothing down.
    for execution in &mut evidence.executions {
        execution.simulated &= execution.task == task;
    }
    assert_eq!(counts(&evidence), [0, 0, 1]);
}

#[test]
fn a_task_that_left_its_end_is_stale() {
    for outcome in [Outcome::Success, Outcome::Cancelled] {
        let (mut evidence, task) = clean();
        evidence.executions[1].outcome = outcome;
        evidence.waiting.insert(task);
        assert_eq!(counts(&evidence), [0, 0, 1], "{outcome}");
    }
    let (mut evidence, _) = clean();
    let dead = TaskId::generate();
    evidence.dead.insert(dead);
    evidence.running.insert(dead);
    assert_eq!(counts(&evidence), [1, 0, 1]);
}
