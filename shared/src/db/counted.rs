//! How many statements a piece of work makes.

use std::cell::Cell;

tokio::task_local! {
    static STATEMENTS: Cell<u64>;
}

/// Does a piece of work, and says how many statements it made ready to run. What others did for it at the same time is not among them.
pub async fn counted<T>(work: impl Future<Output = T>) -> (T, u64) {
    let all = async {
        let done = work.await;
        (done, STATEMENTS.with(Cell::get))
    };
    STATEMENTS.scope(Cell::new(0), all).await
}

/// Counts one, where somebody wants to know.
pub(super) fn note() {
    STATEMENTS.try_with(|statements| statements.set(statements.get() + 1)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn statements_are_counted_for_whoever_asks_and_for_nobody_else() {
        note();
        let (inner, all) = counted(async {
            note();
            note();
            counted(async { note() }).await.1
        })
        .await;
        assert_eq!((inner, all), (1, 2));
    }
}
