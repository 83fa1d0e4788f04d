//! A flame graph: the width of a box is the share of the time that its function and all that it called took.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::Stack;

/// The picture's width, in pixels.
const WIDTH: f64 = 1200.0;
/// The height of a box with the gap to the next.
const ROW: f64 = 17.0;
/// Above and below the boxes.
const MARGIN: f64 = 30.0;
/// What is narrower is left out: it could not be seen.
const NARROWEST: f64 = 0.3;
/// The width of a letter.
const LETTER: f64 = 6.6;

/// A function below another one.
#[derive(Debug, Default)]
struct Node<'a> {
    times: u64,
    called: BTreeMap<&'a str, Node<'a>>,
}

impl<'a> Node<'a> {
    fn of(stacks: &'a [Stack]) -> Self {
        let mut root = Self::default();
        for stack in stacks {
            let mut node = &mut root;
            node.times += stack.times;
            for frame in &stack.frames {
                node = node.called.entry(&frame.function).or_default();
                node.times += stack.times;
            }
        }
        root
    }

    /// How many rows of boxes wide enough to be seen there are below it.
    fn depth(&self, width: f64) -> u32 {
        let below = self.called.values().map(|node| (node, self.part(node, width)));
        below
            .filter(|(_, width)| *width >= NARROWEST)
            .map(|(node, width)| 1 + node.depth(width))
            .max()
            .unwrap_or(0)
    }

    fn part(&self, called: &Self, width: f64) -> f64 {
        width * called.times as f64 / self.times.max(1) as f64
    }
}

/// The graph as SVG, without script: what does not fit into a box is shown when the pointer rests on it.
pub(super) fn graph(program: &str, seconds: Duration, stacks: &[Stack]) -> String {
    let root = Node::of(stacks);
    let height = f64::from(root.depth(WIDTH)) * ROW + 2.0 * MARGIN;
    let title = format!("{program}: {} stacks in {} s of running", root.times, seconds.as_secs());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"monospace\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"8\" y=\"18\">{}</text>\n",
        escaped(&title)
    );
    draw(&mut svg, &root, (0.0, height - MARGIN), WIDTH, root.times.max(1));
    svg.push_str("</svg>\n");
    svg
}

/// Draws what a function called, upwards from `bottom`.
fn draw(svg: &mut String, node: &Node<'_>, (left, bottom): (f64, f64), width: f64, all: u64) {
    let mut x = left;
    for (name, called) in &node.called {
        let wide = node.part(called, width);
        if wide >= NARROWEST {
            let y = bottom - ROW;
            let share = 100.0 * called.times as f64 / all as f64;
            let name_shown = shown(name, wide);
            // Writing into a text cannot fail.
            _ = writeln!(
                svg,
                "<g><title>{full} ({times} stacks, {share:.2} %)</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" \
                 height=\"{tall}\" fill=\"{colour}\" stroke=\"#fff\" stroke-width=\"0.5\"/>\
                 <text x=\"{text:.1}\" y=\"{base:.1}\">{name_shown}</text></g>",
                full = escaped(name),
                times = called.times,
                tall = ROW - 1.0,
                colour = colour(name),
                text = x + 3.0,
                base = y + 12.0,
                name_shown = escaped(&name_shown),
            );
            draw(svg, called, (x, y), wide, all);
        }
        x += wide;
    }
}

/// As much of a name as fits.
fn shown(name: &str, wide: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a picture has some thousand pixels, and what is negative becomes zero"
    )]
    let letters = ((wide - 6.0) / LETTER) as usize;
    match name.chars().count() {
        _ if letters < 3 => String::new(),
        all if all <= letters => name.to_owned(),
        _ => name.chars().take(letters - 2).chain("..".chars()).collect(),
    }
}

/// Warm, and always the same for a name.
fn colour(name: &str) -> String {
    let mix = name.bytes().fold(7_u32, |mix, byte| mix.wrapping_mul(31).wrapping_add(byte.into()));
    format!("rgb({},{},{})", 205 + mix % 50, 90 + (mix >> 8) % 120, 40 + (mix >> 16) % 40)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::Frame;
    use super::*;

    fn stack(functions: &[&str], times: u64) -> Stack {
        let frame = |name: &&str| Frame { function: (*name).to_owned(), file: String::new(), line: 0 };
        Stack { frames: functions.iter().map(frame).collect(), times }
    }

    #[test]
    fn boxes_are_as_wide_as_their_share_and_names_are_escaped() {
        let stacks = [stack(&["main", "run<T>", "read"], 3), stack(&["main", "run<T>", "write"], 1)];
        let svg = graph("worker", Duration::from_secs(2), &stacks);
        assert!(svg.contains("worker: 4 stacks in 2 s"), "{svg}");
        assert!(svg.contains("run&lt;T&gt; (4 stacks, 100.00 %)"), "{svg}");
        let read = svg.lines().find(|line| line.contains("<title>read")).unwrap();
        let write = svg.lines().find(|line| line.contains("<title>write")).unwrap();
        assert!(read.contains("width=\"900.0\"") && write.contains("width=\"300.0\""), "{svg}");
        assert!(write.contains("x=\"900.0\""), "{write}");
    }

    #[test]
    fn what_could_not_be_seen_is_left_out_and_a_profile_of_nothing_is_a_picture() {
        let stacks = [stack(&["busy"], 1_000_000), stack(&["rare"], 1)];
        assert!(!graph("worker", Duration::from_secs(1), &stacks).contains("rare"));
        let empty = graph("worker", Duration::from_secs(1), &[]);
        assert!(empty.starts_with("<svg") && empty.ends_with("</svg>\n"), "{empty}");
    }
}
