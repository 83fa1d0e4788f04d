use super::super::load::{Arrival, steady};
use super::*;

fn world(arrivals: Arrivals, seconds: u32) -> World<'static> {
    World {
        arrivals,
        seconds,
        slots: 8,
        most: 1000,
        by: By::Signal,
        grace: 30,
        disaster: None,
        capacity: &|_| 1e6,
    }
}

#[test]
fn every_task_ends_whatever_becomes_of_its_workers() {
    let arrivals = steady(20.0, 7200);
    let tasks = arrivals.len();
    let outcome = run(&World { disaster: Some(3600), ..world(arrivals, 12_000) });
    assert_eq!(outcome.done, tasks);
    assert!(outcome.lost > 100, "{}", outcome.lost);
    assert_eq!(outcome.waits.len(), tasks + outcome.lost + outcome.handed_back);
}

#[test]
fn under_a_steady_load_the_fleet_converges_and_stays() {
    // 20 a second for 30 s each are 600 slots: 75 workers.
    let outcome = run(&world(steady(20.0, 14_400), 14_400));
    let sizes: Vec<usize> = outcome.minutes.iter().map(|minute| minute.workers).collect();
    // What had come before the first workers were there takes more for a while.
    let (before, after) = sizes.split_at(15);
    assert!(before.iter().max() < Some(&200), "{before:?}");
    assert!((70..=90).contains(&after[0]), "{after:?}");
    assert!(after.iter().all(|size| *size == after[0]), "{after:?}");
    assert_eq!(outcome.reversals, 1);
}

#[test]
fn without_anything_to_do_one_worker_stays() {
    let outcome = run(&world(Vec::new(), 3600));
    assert!(outcome.minutes.iter().all(|minute| minute.workers == 1), "{:?}", outcome.minutes);
    assert_eq!(outcome.changes, 0);
}

#[test]
fn a_worker_that_stops_gives_back_what_is_not_done_after_its_grace() {
    // Many short tasks have workers started; the long ones that come last are on all of them when those are not needed any more.
    let short = (0..900).flat_map(|at| (0..20).map(move |_| Arrival { at, lasts: 20 }));
    let long = (900..910).flat_map(|at| (0..4).map(move |_| Arrival { at, lasts: 3000 }));
    let arrivals: Arrivals = short.chain(long).collect();
    let tasks = arrivals.len();
    let outcome = run(&world(arrivals, 20_000));
    assert_eq!(outcome.done, tasks);
    assert_eq!(outcome.waits.len(), tasks + outcome.handed_back);
    assert!(outcome.handed_back > 5 && outcome.wasted > 1000.0, "{} {}", outcome.handed_back, outcome.wasted);
}

#[test]
fn tasks_of_hours_have_no_more_workers_started_than_there_are_tasks_for() {
    let arrivals = (0..400).map(|at| Arrival { at: at * 10, lasts: 7200 }).collect();
    let outcome = run(&World { grace: 7200, ..world(arrivals, 20_000) });
    let most = outcome.minutes.iter().map(|minute| minute.workers).max();
    // 400 tasks fill 50 workers.
    assert!(most <= Some(56), "{most:?}");
    assert_eq!((outcome.done, outcome.handed_back), (400, 0));
}

#[test]
fn the_database_bounds_how_many_begin_in_a_second() {
    let arrivals = (0..1000).map(|_| Arrival { at: 0, lasts: 1 }).collect();
    let narrow = World { capacity: &|_| 2.0, ..world(arrivals, 600) };
    let outcome = run(&narrow);
    assert_eq!(outcome.done, 1000);
    assert!(outcome.waits.iter().max() >= Some(&490), "{:?}", outcome.waits.iter().max());
}
