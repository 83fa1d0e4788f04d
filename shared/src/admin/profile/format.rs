//! The file of `pprof`: a part of <https://github.com/google/pprof/blob/main/proto/profile.proto>.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;

use super::{Frame, Stack};
use crate::trace::Moment;

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

/// Both are places in the table of strings.
#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    /// The innermost first.
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// What is named once, and then by its number.
#[derive(Debug)]
struct Table<T> {
    places: HashMap<T, usize>,
    all: Vec<T>,
}

impl<T: Clone + Eq + std::hash::Hash> Table<T> {
    fn new() -> Self {
        Self { places: HashMap::new(), all: Vec::new() }
    }

    fn place(&mut self, item: &T) -> usize {
        if let Some(place) = self.places.get(item) {
            return *place;
        }
        let place = self.all.len();
        self.places.insert(item.clone(), place);
        self.all.push(item.clone());
        place
    }
}

/// The stacks as a file, not compressed.
pub(super) fn encode(took: Duration, frequency: u32, stacks: &[Stack]) -> Vec<u8> {
    let mut strings: Table<String> = Table::new();
    let mut string = |text: &str| signed(strings.place(&text.to_owned()));
    // The first one has to be empty.
    string("");
    let cpu = ValueType { kind: string("cpu"), unit: string("nanoseconds") };
    let counted = ValueType { kind: string("samples"), unit: string("count") };
    let period = 1_000_000_000 / i64::from(frequency.max(1));

    let (mut functions, mut locations) = (Table::new(), Table::<Frame>::new());
    let sample = |stack: &Stack| Sample {
        location_id: stack.frames.iter().rev().map(|frame| 1 + locations.place(frame) as u64).collect(),
        value: vec![signed(stack.times), signed(stack.times).saturating_mul(period)],
    };
    let samples = stacks.iter().map(sample).collect();
    let location = |(place, frame): (usize, &Frame)| {
        let function = functions.place(&(frame.function.clone(), frame.file.clone()));
        let line = Line { function_id: 1 + function as u64, line: frame.line.into() };
        Location { id: 1 + place as u64, line: vec![line] }
    };
    let location = locations.all.iter().enumerate().map(location).collect();
    let function = |(place, (name, file)): (usize, &(String, String))| Function {
        id: 1 + place as u64,
        name: string(name),
        filename: string(file),
    };
    let function = functions.all.iter().enumerate().map(function).collect();
    let duration_nanos = i64::try_from(took.as_nanos()).unwrap_or(i64::MAX);
    let time_nanos = i64::try_from(Moment::now().as_nanos()).unwrap_or(i64::MAX) - duration_nanos;
    let profile = Profile {
        sample_type: vec![counted, cpu.clone()],
        sample: samples,
        location,
        function,
        time_nanos,
        duration_nanos,
        period_type: Some(cpu),
        period,
        string_table: strings.all,
    };
    profile.encode_to_vec()
}

fn signed<N: TryInto<i64>>(number: N) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_each_function_once_and_counts_each_stack() {
        let frame = |name: &str, line| Frame { function: name.to_owned(), file: "src/a.rs".to_owned(), line };
        let stacks = [
            Stack { frames: vec![frame("main", 1), frame("read", 7)], times: 3 },
            Stack { frames: vec![frame("main", 1), frame("read", 9)], times: 1 },
        ];
        let file = Profile::decode(encode(Duration::from_secs(2), 100, &stacks).as_slice()).unwrap();
        assert_eq!(file.string_table[0], "");
        assert_eq!((file.sample.len(), file.location.len(), file.function.len()), (2, 3, 2));
        let innermost = &file.location[usize::try_from(file.sample[0].location_id[0]).unwrap() - 1];
        let function = &file.function[usize::try_from(innermost.line[0].function_id).unwrap() - 1];
        assert_eq!(file.string_table[usize::try_from(function.name).unwrap()], "read");
        assert_eq!(file.sample[0].value, [3, 30_000_000]);
        assert_eq!((file.duration_nanos, file.period), (2_000_000_000, 10_000_000));
    }
}
