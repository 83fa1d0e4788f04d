//! How many messages of each queue are delivered ahead. The broker counts messages, and one message may be a small task or
//! hundreds of them: the number follows what the messages that come hold.

use shared::message::MAX_BYTES;
use shared::task::Priority;

/// Messages that are delivered ahead while nothing is known of them; fewer are no sample.
const FIRST: u16 = 32;
/// The most bytes of bodies that are to be delivered ahead: 8 MiB, what the first messages have at most.
const BYTES: usize = FIRST as usize * MAX_BYTES;
/// Not fewer messages, however many tasks they hold: the next one is there before the one before it is worked off.
const FEWEST: u16 = 4;
/// The most samples in a row that have to speak for more messages.
const LONGEST_PATIENCE: u32 = 256;

/// The windows of a kind's two queues, whose messages need not be alike.
#[derive(Debug)]
pub(crate) struct Windows {
    high: Window,
    normal: Window,
}

impl Windows {
    /// Windows of so many tasks each.
    pub(crate) fn new(tasks: u16) -> Self {
        Self { high: Window::new(tasks), normal: Window::new(tasks) }
    }

    /// How many messages of a queue are to be delivered ahead.
    pub(crate) const fn prefetch(&self, priority: Priority) -> u16 {
        match priority {
            Priority::High => self.high.prefetch,
            Priority::Normal => self.normal.prefetch,
        }
    }

    /// Takes into account what a message held; says whether that changes the prefetch.
    pub(crate) fn saw(&mut self, priority: Priority, message: Held) -> bool {
        match priority {
            Priority::High => self.high.saw(message),
            Priority::Normal => self.normal.saw(message),
        }
    }
}

/// What a message held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// Its tasks, good and bad.
    pub tasks: usize,
    /// The size of its body.
    pub bytes: usize,
}

/// The window of one queue.
///
/// The first sample replaces a guess. From then on a change, which takes new consumers, must be worth it and must not be undone
/// soon: only a prefetch that is wrong by more than a factor of two is changed. It shrinks at once, since memory is at stake,
/// and grows after samples in a row that all speak for it: one at first, and twice as many each time it has shrunk, so that a
/// mixed stream settles.
#[derive(Debug)]
struct Window {
    /// Tasks that are to be delivered ahead, and the most messages.
    tasks: u16,
    /// Messages that are.
    prefetch: u16,
    sample: Sample,
    /// Samples in a row that want more, and the least that one of them wants.
    growing: u32,
    least: u16,
    /// How many of them it takes; none before the first sample.
    patience: u32,
}

/// Messages, and what they held.
#[derive(Debug, Default)]
struct Sample {
    messages: usize,
    tasks: usize,
    bytes: usize,
}

impl Window {
    fn new(tasks: u16) -> Self {
        let prefetch = FIRST.min(tasks);
        Self { tasks, prefetch, sample: Sample::default(), growing: 0, least: tasks, patience: 0 }
    }

    fn saw(&mut self, message: Held) -> bool {
        self.sample.messages += 1;
        self.sample.tasks += message.tasks;
        self.sample.bytes += message.bytes;
        // Messages that hold much are judged before as many of them have come as are delivered ahead.
        let Sample { messages, tasks, bytes } = self.sample;
        let enough =
            messages >= usize::from(self.prefetch) || tasks >= usize::from(self.tasks) || bytes >= BYTES;
        enough && messages >= usize::from(FIRST) && self.judge()
    }

    fn judge(&mut self) -> bool {
        let sample = std::mem::take(&mut self.sample);
        let wanted = self.wanted(&sample);
        if self.patience == 0 || more_than_double(self.prefetch, wanted) {
            self.patience = (self.patience * 2).clamp(1, LONGEST_PATIENCE);
            return self.change(wanted);
        }
        if more_than_double(wanted, self.prefetch) {
            self.growing += 1;
            self.least = self.least.min(wanted);
            return self.growing >= self.patience && self.change(self.least);
        }
        self.change(self.prefetch)
    }

    /// As many messages as hold what is to be ahead, were all like the sample.
    fn wanted(&self, sample: &Sample) -> u16 {
        let by_tasks = sample.messages * usize::from(self.tasks) / sample.tasks.max(1);
        let by_bytes = sample.messages * BYTES / sample.bytes.max(1);
        let wanted = u16::try_from(by_tasks.min(by_bytes)).unwrap_or(self.tasks);
        wanted.min(self.tasks).max(FEWEST.min(self.tasks))
    }

    /// Says whether it is another prefetch than before.
    fn change(&mut self, prefetch: u16) -> bool {
        (self.growing, self.least) = (0, self.tasks);
        std::mem::replace(&mut self.prefetch, prefetch) != prefetch
    }
}

const fn more_than_double(large: u16, small: u16) -> bool {
    large.div_ceil(2) > small
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Held = Held { tasks: 1, bytes: 250 };
    const PACKED: Held = Held { tasks: 100, bytes: 15_000 };

    /// How many messages it takes until the prefetch changes.
    fn messages_until_change(window: &mut Window, message: Held) -> usize {
        1 + (0..1_000_000).take_while(|_| !window.saw(message)).count()
    }

    /// A window of 4,000 tasks that has grown on messages of one task.
    fn grown() -> Window {
        let mut window = Window::new(4000);
        messages_until_change(&mut window, SMALL);
        assert_eq!(window.prefetch, 4000);
        window
    }

    /// The number of changes of a window over so many messages.
    fn changes(window: &mut Window, messages: impl Iterator<Item = Held>) -> usize {
        messages.filter(|message| window.saw(*message)).count()
    }

    #[test]
    fn messages_of_one_task_get_the_whole_window_after_the_first_sample_and_keep_it() {
        let mut window = Window::new(4000);
        assert_eq!(window.prefetch, FIRST);
        assert_eq!(messages_until_change(&mut window, SMALL), usize::from(FIRST));
        assert_eq!(window.prefetch, 4000);
        assert_eq!(changes(&mut window, std::iter::repeat_n(SMALL, 100_000)), 0);
    }

    #[test]
    fn what_a_window_begins_with_is_corrected_however_little_it_is_wrong() {
        for (tasks, message, prefetch) in [(50, SMALL, 50), (4000, PACKED, 40)] {
            let mut window = Window::new(tasks);
            assert_eq!(messages_until_change(&mut window, message), usize::from(FIRST));
            assert_eq!(window.prefetch, prefetch);
        }
    }

    #[test]
    fn messages_of_many_tasks_get_as_many_messages_as_hold_the_window() {
        let mut window = grown();
        // It does not take as many messages as were delivered ahead to notice.
        assert_eq!(messages_until_change(&mut window, PACKED), 40);
        assert_eq!(window.prefetch, 40);
        let full = Held { tasks: 500, bytes: 75_000 };
        messages_until_change(&mut window, full);
        assert_eq!(window.prefetch, 8);
        assert_eq!(changes(&mut window, std::iter::repeat_n(full, 10_000)), 0);
    }

    #[test]
    fn large_messages_are_bounded_by_their_bytes() {
        let mut window = grown();
        let large = Held { tasks: 1, bytes: 16 * 1024 };
        assert_eq!(messages_until_change(&mut window, large), 512);
        assert_eq!(window.prefetch, 512);
        let largest = Held { tasks: 1, bytes: MAX_BYTES };
        messages_until_change(&mut window, largest);
        assert_eq!(usize::from(window.prefetch) * MAX_BYTES, BYTES);
    }

    #[test]
    fn a_few_messages_are_delivered_ahead_however_much_they_hold() {
        let mut window = Window::new(20);
        messages_until_change(&mut window, PACKED);
        assert_eq!(window.prefetch, FEWEST);
    }

    #[test]
    fn a_pool_of_few_slots_never_gets_more_messages_than_its_tasks() {
        let mut window = Window::new(2);
        for message in [SMALL, PACKED] {
            assert_eq!(changes(&mut window, std::iter::repeat_n(message, 1000)), 0);
            assert_eq!(window.prefetch, 2);
        }
    }

    #[test]
    fn a_backlog_of_packed_messages_is_forgotten_soon_after_it() {
        let mut window = grown();
        messages_until_change(&mut window, PACKED);
        changes(&mut window, std::iter::repeat_n(PACKED, 100_000));
        assert_eq!(messages_until_change(&mut window, SMALL), 2 * 40);
        assert_eq!(window.prefetch, 4000);
    }

    /// Random in its order, the same in every run.
    fn mixed(one_in: u64, tasks: usize) -> impl Iterator<Item = Held> {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if state.is_multiple_of(one_in) { Held { tasks, bytes: 150 * tasks } } else { SMALL }
        })
    }

    #[test]
    fn a_mixed_stream_settles() {
        for tasks in [4, 20, 100, 500, 4000, 60_000] {
            for one_in in [2, 5, 20, 100, 1000] {
                for packed in [5, 20, 100, 500] {
                    let (mut window, mut stream) = (Window::new(tasks), mixed(one_in, packed));
                    let early = changes(&mut window, stream.by_ref().take(20_000));
                    let late = changes(&mut window, stream.take(80_000));
                    assert!(early <= 20 && late <= 10, "{tasks}, {one_in}, {packed}: {early}, {late}");
                }
            }
        }
    }

    #[test]
    fn blocks_of_single_and_packed_messages_in_turn_settle() {
        for tasks in [20, 100, 4000] {
            for block in [10, 50, 100, 130, 200, 1000] {
                let stream = (0..200_000).map(|number| if number / block % 2 == 0 { SMALL } else { PACKED });
                let changes = changes(&mut Window::new(tasks), stream);
                assert!(changes <= 15, "{tasks}, {block}: {changes}");
            }
        }
    }

    #[test]
    fn the_queues_of_a_kind_have_windows_of_their_own() {
        let mut windows = Windows::new(4000);
        for _ in 0..100 {
            windows.saw(Priority::High, SMALL);
            windows.saw(Priority::Normal, Held { tasks: 500, bytes: 75_000 });
        }
        assert_eq!([Priority::High, Priority::Normal].map(|priority| windows.prefetch(priority)), [4000, 8]);
    }
}
