//! Work on files, which no runtime can interrupt.

use anyhow::Context as _;
use tokio::sync::oneshot;

/// Does it on a thread of its own. The runtime's threads would hold up the program's end after Ctrl-C.
pub(super) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || sender.send(work()).ok());
    receiver.await.context("a thread of this program panicked")?
}
