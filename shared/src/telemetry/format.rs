//! Lines that say which span they belong to.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::trace::current;

/// Adds the trace and the span to the lines of another format, where something is traced.
pub(super) enum Traced<F> {
    /// At the end of the line: ` trace_id=.. span_id=..`.
    Text(F),
    /// As the first two fields of the object, where log stores look for them.
    Json(F),
}

impl<S, N, F> FormatEvent<S, N> for Traced<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (Self::Text(format) | Self::Json(format)) = self;
        let Some(span) = current::get() else { return format.format_event(context, writer, event) };
        let (trace, span) = (span.trace, span.span);
        let mut line = String::new();
        format.format_event(context, Writer::new(&mut line), event)?;
        match self {
            Self::Text(_) => writeln!(writer, "{} trace_id={trace} span_id={span}", line.trim_end()),
            Self::Json(_) => {
                let fields = line.strip_prefix('{').unwrap_or(&line);
                write!(writer, r#"{{"trace_id":"{trace}","span_id":"{span}",{fields}"#)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::trace::SpanContext;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
        }
    }

    /// Says one thing of a span, and another of none.
    fn say(subscriber: impl Subscriber + Send + Sync + 'static, span: SpanContext) {
        tracing::subscriber::with_default(subscriber, || {
            current::at(Some(span), || tracing::info!(task = 7, "done"));
            tracing::info!("later");
        });
    }

    #[test]
    fn lines_of_what_is_traced_say_the_trace_and_others_do_not() {
        let (json, text) = (Lines::default(), Lines::default());
        let span = SpanContext::root();
        let layer = tracing_subscriber::fmt::layer().with_writer(json.clone()).json();
        say(tracing_subscriber::registry().with(layer.map_event_format(Traced::Json)), span);
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(text.clone());
        say(tracing_subscriber::registry().with(layer.map_event_format(Traced::Text)), span);

        let lines: Vec<serde_json::Value> =
            json.take().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["trace_id"], span.trace.to_string());
        assert_eq!(lines[0]["span_id"], span.span.to_string());
        assert_eq!((&lines[0]["fields"]["message"], &lines[0]["level"]), (&"done".into(), &"INFO".into()));
        assert_eq!(lines[1].get("trace_id"), None);
        let text = text.take();
        let (first, second) = text.split_once('\n').unwrap();
        let end = format!("done task=7 trace_id={} span_id={}", span.trace, span.span);
        assert!(first.ends_with(&end), "{first}");
        assert!(second.ends_with("later\n") && !second.contains("trace_id"), "{second}");
    }
}
