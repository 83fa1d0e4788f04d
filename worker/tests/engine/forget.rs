//! Removing snapshots and what nothing needs any more: never anything else.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    thread,
};

use rustic_backend::BackendOptions;
use rustic_core::{ConfigOptions, Credentials, Repository as Rustic, RepositoryOptions};
use rustix::process::Signal;
use worker::engine::{
    parent::EngineError,
    protocol::{
        BackupResult, Forget, ForgetResult, Level, Operation, OperationResult, PruneResult, Repository,
        Speeds,
    },
};

use crate::{
    exec::{Exec, in_a_while},
    fixture::{Place, files_below, permanent, until},
};

/// Bytes that do not compress; other ones for each seed.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = std::iter::from_fn(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(state.to_le_bytes()[3])
    });
    next.take(bytes).collect()
}

impl Place {
    async fn forget(
        &self,
        repository: &Repository,
        snapshots: &[&BackupResult],
    ) -> Result<ForgetResult, EngineError> {
        let snapshots = snapshots.iter().map(|saved| saved.snapshot.clone()).collect();
        let forget = Forget { repository: repository.clone(), job: "docs".to_owned(), snapshots };
        match self.run(Operation::Forget(forget)).await?.result {
            OperationResult::Forget(result) => Ok(result),
            other => panic!("{other:?}"),
        }
    }

    async fn prune(&self, repository: &Repository) -> Result<PruneResult, EngineError> {
        match self.run(Operation::Prune { repository: repository.clone() }).await?.result {
            OperationResult::Prune(result) => Ok(result),
            other => panic!("{other:?}"),
        }
    }

    /// Saves a source whose large file is another one for each seed, as a job.
    async fn save(&self, repository: &Repository, job: &str, seed: u64) -> BackupResult {
        self.write("source/noise", &noise(seed, 400_000));
        let mut request = self.backup_request(repository);
        request.job = job.to_owned();
        self.backup(request).await.unwrap()
    }

    async fn assert_readable(&self, repository: &Repository, snapshots: &[&BackupResult]) {
        for saved in snapshots {
            let verified = self.verify(repository, &saved.snapshot, Level::Read).await.unwrap();
            assert!(verified.passed, "{verified:?}");
        }
    }

    fn bytes_of_packs(&self) -> u64 {
        self.packs("repository").iter().map(|pack| fs::metadata(pack).unwrap().len()).sum()
    }
}

#[tokio::test]
async fn snapshots_that_are_named_go_and_what_only_they_needed_is_marked() {
    let (place, repository) = Place::ready().await;
    let (first, second) =
        (place.save(&repository, "docs", 1).await, place.save(&repository, "docs", 2).await);
    let (third, others) =
        (place.save(&repository, "docs", 3).await, place.save(&repository, "mail", 4).await);
    let before = place.bytes_of_packs();

    let removed = place.forget(&repository, &[&first, &second, &first]).await.unwrap().removed;
    assert_eq!(removed, 2);
    assert_eq!(
        place.forget(&repository, &[&first, &second]).await.unwrap().removed,
        0,
        "they are gone already"
    );
    assert_eq!(place.snapshots("repository"), 2);
    assert_eq!(place.bytes_of_packs(), before, "their data stays until a prune");

    let pruned = place.prune(&repository).await.unwrap();
    assert_eq!(pruned.bytes_removed, 0, "nothing was marked for long enough: {pruned:?}");
    assert!(pruned.bytes_marked >= 800_000, "{pruned:?}");
    assert!((800_000..1_000_000).contains(&pruned.bytes_kept), "{pruned:?}");
    assert_eq!(place.bytes_of_packs(), pruned.bytes_marked + pruned.bytes_kept);
    place.assert_readable(&repository, &[&third, &others]).await;

    let again = place.prune(&repository).await.unwrap();
    assert_eq!(again.bytes_removed, 0, "{again:?}");
    place.assert_readable(&repository, &[&third, &others]).await;
    place.restore(&repository, &third.snapshot, "restored").await.unwrap();
    assert_eq!(fs::read(place.path("restored/noise")).unwrap(), noise(3, 400_000));
}

#[tokio::test]
async fn what_was_marked_and_is_needed_again_is_taken_back() {
    let (place, repository) = Place::ready().await;
    let first = place.save(&repository, "docs", 1).await;
    place.save(&repository, "docs", 2).await;
    place.forget(&repository, &[&first]).await.unwrap();
    place.prune(&repository).await.unwrap();
    // The same content as the one that was forgotten.
    let third = place.save(&repository, "docs", 1).await;
    place.assert_readable(&repository, &[&third]).await;
    place.prune(&repository).await.unwrap();
    place.assert_readable(&repository, &[&third]).await;
}

#[tokio::test]
async fn a_snapshot_of_another_job_is_never_removed() {
    let (place, repository) = Place::ready().await;
    let (own, others) = (place.save(&repository, "docs", 1).await, place.save(&repository, "mail", 2).await);
    let message = permanent(place.forget(&repository, &[&own, &others]).await);
    assert!(message.contains(&others.snapshot) && message.contains("none of the job docs"), "{message}");
    assert_eq!(place.snapshots("repository"), 2);
}

#[tokio::test]
async fn an_append_only_repository_is_refused_with_that_reason_and_stays_as_it_is() {
    let (place, repository) = Place::ready().await;
    let saved = place.save(&repository, "docs", 1).await;
    let backends = BackendOptions::default().repository(repository.location.clone()).to_backends().unwrap();
    let rustic = Rustic::new(&RepositoryOptions::default().no_cache(true), &backends).unwrap();
    let mut rustic = rustic.open(&Credentials::password("correct horse")).unwrap();
    rustic.apply_config(&ConfigOptions::default().set_append_only(true)).unwrap();
    for message in
        [permanent(place.forget(&repository, &[&saved]).await), permanent(place.prune(&repository).await)]
    {
        assert!(message.ends_with("is append-only: it cannot forget anything"), "{message}");
    }
    assert_eq!(place.snapshots("repository"), 1);
}

/// Serves repositories below a directory as an append-only REST server does; returns its address.
fn serve_append_only(directory: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, directory) = (stream.unwrap(), directory.clone());
            thread::spawn(move || answer(stream, &directory));
        }
    });
    address
}

fn answer(mut stream: TcpStream, directory: &Path) {
    let lines: Vec<String> =
        BufReader::new(&stream).lines().map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
    let (method, path) = lines[0].split_once(' ').unwrap();
    let path = directory.join(path.split(' ').next().unwrap().trim_start_matches('/'));
    let (status, mut content) = match (method, fs::read(&path)) {
        ("DELETE", _) => ("403 Forbidden", Vec::new()),
        (_, Ok(content)) => ("200 OK", content),
        (_, Err(_)) if path.is_dir() => {
            let entry = |file: &PathBuf| {
                let size = fs::metadata(file).unwrap().len();
                format!(r#"{{"name":"{}","size":{size}}}"#, file.file_name().unwrap().display())
            };
            let entries: Vec<String> = files_below(&path).iter().map(entry).collect();
            ("200 OK", format!("[{}]", entries.join(",")).into_bytes())
        }
        _ => ("404 Not Found", Vec::new()),
    };
    let range =
        lines.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    if let Some((from, to)) = range.as_deref().and_then(|range| range.split_once('-')) {
        content = content[from.parse().unwrap()..=to.parse().unwrap()].to_vec();
    }
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
    // Whoever asked may be gone.
    _ = stream.write_all(head.as_bytes());
    _ = stream.write_all(if method == "HEAD" { &[] } else { &content });
}

#[tokio::test]
async fn a_server_that_forbids_deletion_is_named_as_what_keeps_everything() {
    let (place, repository) = Place::ready().await;
    let saved = place.save(&repository, "docs", 1).await;
    let address = serve_append_only(place.path(""));
    let remote = Repository { location: format!("rest:http://{address}/repository"), ..repository };
    assert_eq!(place.list(&remote).await.unwrap().snapshots.len(), 1);
    let message = permanent(place.forget(&remote, &[&saved]).await);
    assert!(message.contains("the server forbids it, as an append-only one does"), "{message}");
    assert_eq!(place.snapshots("repository"), 1);
}

#[tokio::test]
async fn nothing_is_removed_where_a_snapshot_cannot_be_read_and_nothing_pruned_where_data_is_missing() {
    let (place, repository) = Place::ready().await;
    let (first, second) =
        (place.save(&repository, "docs", 1).await, place.save(&repository, "docs", 2).await);
    let file = place.path("repository/snapshots").join(&second.snapshot);
    let healthy = fs::read(&file).unwrap();
    fs::write(&file, &healthy[..40]).unwrap();
    let message = permanent(place.forget(&repository, &[&first]).await);
    assert!(message.contains("cannot read all snapshots"), "{message}");
    permanent(place.prune(&repository).await);
    assert_eq!(place.snapshots("repository"), 2);

    fs::write(&file, healthy).unwrap();
    let packs: Vec<PathBuf> = place.packs("repository");
    fs::remove_file(&packs[0]).unwrap();
    let index = files_below(&place.path("repository/index"));
    let message = permanent(place.prune(&repository).await);
    assert!(message.contains("cannot prune"), "{message}");
    assert_eq!(place.packs("repository").len(), packs.len() - 1);
    assert_eq!(files_below(&place.path("repository/index")), index);
}

#[tokio::test]
async fn a_prune_that_is_killed_leaves_a_repository_that_holds_and_can_be_pruned() {
    let (place, repository) = Place::ready().await;
    let mut saved = Vec::new();
    for seed in 1..=6 {
        saved.push(place.save(&repository, "docs", seed).await);
    }
    let (leave, kept) = saved.split_at(4);
    let picture = || ["index", "data"].map(|kind| files_below(&place.path("repository").join(kind)).len());
    let mut killed = 0;
    for (step, gone) in leave.iter().enumerate() {
        place.forget(&repository, &[gone]).await.unwrap();
        let prune = Operation::Prune { repository: repository.clone() };
        let slow = Speeds::from([(repository.location.clone(), 20_000)]);
        let mut exec = Exec::start_at(prune, in_a_while(), slow);
        // The first step kills before anything is written, each later one after another change.
        let (mut changes, mut last) = (0, picture());
        until("the prune has come so far, or to its end", || {
            let now = picture();
            if now != last {
                (changes, last) = (changes + 1, now);
            }
            changes >= step || exec.has_ended()
        })
        .await;
        if !exec.has_ended() {
            exec.signal(Signal::KILL);
            killed += 1;
            exec.ended().await;
        }
        place.assert_readable(&repository, &kept.iter().collect::<Vec<_>>()).await;
    }
    assert!(killed >= 2, "only {killed} prunes were killed before their end");
    let pruned = place.prune(&repository).await.unwrap();
    assert!(pruned.bytes_marked >= 1_600_000, "{pruned:?}");
    place.assert_readable(&repository, &kept.iter().collect::<Vec<_>>()).await;
}
