//! Tests of files that the journal does not name.
use rheo_core::name::TableName;

use super::*;

#[test]
fn a_file_with_unknown_rows_is_set_aside_not_removed() {
    let foreign = [
        "README",
        "_rheobase",
        "epochs/sweep=Not A Name/part-000000000001.parquet",
        "figures/part-000000000001-000000000002.parquet",
        "trials/sweep=demo/best.parquet",
        "trials/sweep=demo/figures/part-000000000001.parquet",
        "trials/sweep=demo/notes.txt",
    ];
    everywhere(|world| {
        let journal = four_parts(&world.dataset());
        for path in foreign {
            world.put(path, b"of somebody else");
        }
        let stray = Part { first: 8, last: 9, ..journal.parts[0].clone() };
        let other = Part { table: TableName::of("epochs"), ..stray.clone() };
        let staged = format!("{STAGING}/trials-demo-{}.tmp", stray.name());
        for path in [world.file(&stray), world.file(&other), staged.clone()] {
            world.put(&path, b"of a crash, or of somebody else");
        }
        let known = known(&journal.parts, &[(8, 1), (9, 1)]);
        let mut unknown = [world.file(&stray), world.file(&other)];
        unknown.sort();
        let mut found = world.dataset().unknown_files(&known).unwrap();
        found.sort();
        assert_eq!(found, unknown);
        let recovered = world.dataset().recover(&known, ASIDE).unwrap();
        assert_eq!(recovered.removed, [staged]);
        let mut moved = recovered.set_aside;
        moved.sort();
        assert_eq!(moved, unknown);
        let place = recovered.aside.unwrap();
        assert!(place.ends_with(ASIDE), "{place}");
        let mut kept = world.names(&journal.parts);
        kept.extend(unknown.iter().map(|path| aside(&world, path)));
        kept.extend(foreign.map(|path| Path::from(path).to_string()));
        kept.sort();
        let found = world.files().into_keys().map(|path| Path::from(path).to_string());
        assert_eq!(found.collect::<Vec<_>>(), kept);
    });
}
