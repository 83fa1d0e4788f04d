use super::*;

fn header() -> Header {
    Header {
        version: VERSION,
        seed: "task".to_owned(),
        roots: vec!["/srv/docs".to_owned()],
        exclude: Vec::new(),
    }
}

fn file(path: &str, size: u64, hash: Option<Hash>) -> Entry {
    Entry {
        path: path.to_owned(),
        kind: EntryKind::File,
        size,
        mtime: Some((-1, 999_999_999)),
        mode: Some(0o644),
        target: None,
        link: None,
        hash,
    }
}

#[test]
fn an_entry_keeps_its_form() {
    let hash = Hash { bytes: 3, sha256: "ab".to_owned() };
    let line = serde_json::to_string(&Line::Entry(file("/srv/docs/a", 3, Some(hash)))).unwrap();
    assert_eq!(
        line,
        r#"{"entry":{"path":"/srv/docs/a","type":"file","size":3,"mtime":[-1,999999999],"mode":420,"hash":{"bytes":3,"sha256":"ab"}}}"#
    );
}

#[test]
fn a_written_manifest_reads_back_and_knows_its_own_hash() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m");
    let entries = [
        file("/srv/docs/a", 3, Some(Hash { bytes: 3, sha256: "ab".to_owned() })),
        file("/srv/docs/b", 4, None),
    ];
    let mut writer = Writer::create(&path, header()).unwrap();
    for entry in entries.clone() {
        writer.entry(entry).unwrap();
    }
    let summary = writer.finish().unwrap();
    assert_eq!((summary.entries, summary.files, summary.bytes), (2, 2, 7));
    assert_eq!((summary.hashed_files, summary.hashed_bytes), (1, 3));
    let stored = std::fs::read(&path).unwrap();
    assert_eq!(summary.size, stored.len() as u64);
    assert_eq!(summary.sha256, hex::encode(Sha256::digest(&stored)));

    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(reader.header, header());
    let mut read = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        read.push(entry);
    }
    assert_eq!(read, entries);
    assert!(reader.next_entry().unwrap().is_none());
}

#[test]
fn a_manifest_without_its_end_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m");
    let mut line = serde_json::to_vec(&Line::Header(header())).unwrap();
    line.push(b'\n');
    std::fs::write(&path, zstd::encode_all(&line[..], 0).unwrap()).unwrap();
    let error = Reader::open(&path).unwrap().next_entry().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
