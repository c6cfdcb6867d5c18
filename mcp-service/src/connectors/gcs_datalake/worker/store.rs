//! The only files that the query engine can reach: those of the request, below its folder.
//!
//! Every read opens the path anew from the folder's own handle, one component at a time and never through a symbolic
//! link, so that a folder changed behind our back cannot lead outside either.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use datafusion::common::DataFusionError;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use rustix::fs::{Mode, OFlags};
use url::Url;

use super::super::lake::Table;

/// The address of the data lake inside the query engine.
pub(super) const ADDRESS: &str = "lake://lake/";

/// A read-only store over a fixed set of files.
#[derive(Debug)]
pub(super) struct LakeStore {
    root: Arc<OwnedFd>,
    sizes: BTreeMap<Path, u64>,
}

impl LakeStore {
    /// Opens the folder and remembers the files of the tables.
    ///
    /// # Errors
    /// When the folder cannot be opened, or a path is not one that discovery lets through.
    pub(super) fn open(root: &std::path::Path, tables: &[Table]) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty()).map_err(|error| generic(error.into()))?;
        let mut sizes = BTreeMap::new();
        for file in tables.iter().flat_map(|table| &table.files) {
            sizes.insert(Path::parse(&file.path)?, file.bytes);
        }
        Ok(Self { root: Arc::new(root), sizes })
    }

    fn meta(location: &Path, size: u64) -> ObjectMeta {
        // Nothing lives longer than this process, so no cache ever asks how old a file is.
        let last_modified = SystemTime::UNIX_EPOCH.into();
        ObjectMeta { location: location.clone(), last_modified, size, e_tag: None, version: None }
    }

    fn below(&self, prefix: Option<&Path>) -> Vec<ObjectMeta> {
        let inside = |location: &Path| prefix.is_none_or(|prefix| location.prefix_matches(prefix));
        self.sizes.iter().filter(|(path, _)| inside(path)).map(|(path, size)| Self::meta(path, *size)).collect()
    }

    fn refuse<T>(&self, operation: &str) -> Result<T> {
        Err(Error::NotImplemented { operation: operation.to_owned(), implementer: self.to_string() })
    }
}

/// Opens `location` below `root` without following any link.
fn open_below(root: &OwnedFd, location: &Path) -> std::io::Result<File> {
    let parts: Vec<_> = location.parts().collect();
    let common = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder: Option<OwnedFd> = None;
    for (position, part) in parts.iter().enumerate() {
        let last = position + 1 == parts.len();
        // NONBLOCK: a named pipe in place of a file must not hold the query up.
        let flags = common | if last { OFlags::NONBLOCK } else { OFlags::DIRECTORY };
        folder = Some(rustix::fs::openat(folder.as_ref().unwrap_or(root), part.as_ref(), flags, Mode::empty())?);
    }
    let file = File::from(folder.ok_or(std::io::ErrorKind::NotFound)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::ErrorKind::InvalidInput.into()) }
}

fn generic(source: std::io::Error) -> Error {
    Error::Generic { store: "data lake", source: source.into() }
}

#[async_trait::async_trait]
impl ObjectStore for LakeStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if !self.sizes.contains_key(location) {
            let source = "no file of the data lake".into();
            return Err(Error::NotFound { path: location.to_string(), source });
        }
        let (root, path) = (Arc::clone(&self.root), location.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let file = open_below(&root, &path)?;
            let size = file.metadata()?.len();
            Ok::<_, std::io::Error>((file, size))
        });
        let (file, size) = opened.await?.map_err(generic)?;
        let meta = Self::meta(location, size);
        options.check_preconditions(&meta)?;
        let range = match options.range {
            Some(range) => {
                range.as_range(size).map_err(|error| Error::Generic { store: "data lake", source: Box::new(error) })?
            }
            None => 0..size,
        };
        // The path is for messages only; bytes are read from the open file.
        let payload = GetResultPayload::File(file, PathBuf::from(location.as_ref()));
        Ok(GetResult { payload, meta, range, attributes: Attributes::default() })
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter(self.below(prefix).into_iter().map(Ok)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let depth = prefix.map_or(0, |prefix| prefix.parts().count());
        let (mut objects, mut common_prefixes) = (Vec::new(), Vec::new());
        for meta in self.below(prefix) {
            if meta.location.parts().count() == depth + 1 {
                objects.push(meta);
                continue;
            }
            let folder: Path = meta.location.parts().take(depth + 1).collect();
            if common_prefixes.last() != Some(&folder) {
                common_prefixes.push(folder);
            }
        }
        Ok(ListResult { common_prefixes, objects })
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        self.refuse("put")
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.refuse("put_multipart")
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::iter([self.refuse("delete")]).boxed()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        self.refuse("copy")
    }
}

impl fmt::Display for LakeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the read-only data lake")
    }
}

/// Knows the data lake and nothing else: no `file://`, no way to add a store.
#[derive(Debug)]
pub(super) struct OnlyTheLake(pub(super) Arc<LakeStore>);

impl ObjectStoreRegistry for OnlyTheLake {
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        if url.as_str().starts_with(ADDRESS) {
            return Ok(Arc::clone(&self.0) as Arc<dyn ObjectStore>);
        }
        Err(DataFusionError::Plan(format!("only tables of the data lake can be read, not {}", url.scheme())))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::super::lake::discover;
    use super::*;

    async fn read(store: &LakeStore, path: &str) -> Result<Vec<u8>> {
        let result = store.get_opts(&Path::parse(path).unwrap(), GetOptions::default()).await?;
        Ok(result.bytes().await?.to_vec())
    }

    #[tokio::test]
    async fn only_files_of_the_tables_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("t/k=1")).unwrap();
        std::fs::write(folder.path().join("t/k=1/a.csv"), "a\n1\n").unwrap();
        std::fs::write(folder.path().join("secret.txt"), "no").unwrap();
        let lake = discover(folder.path()).unwrap();
        let store = LakeStore::open(&lake.root, &lake.tables).unwrap();
        assert_eq!(read(&store, "t/k=1/a.csv").await.unwrap(), b"a\n1\n");
        for other in ["secret.txt", "t", "t/k=1/b.csv", "etc/passwd"] {
            assert!(matches!(read(&store, other).await, Err(Error::NotFound { .. })), "{other}");
        }
        let listed = store.list_with_delimiter(Some(&Path::from("t"))).await.unwrap();
        assert_eq!(listed.common_prefixes, [Path::from("t/k=1")]);
        let all: Vec<_> = store.list(Some(&Path::from("t"))).collect().await;
        assert_eq!(all.len(), 1);
        assert!(store.put_opts(&Path::from("x"), "y".into(), PutOptions::default()).await.is_err());
    }

    #[tokio::test]
    async fn a_link_put_in_place_after_discovery_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("t")).unwrap();
        std::fs::write(folder.path().join("t/a.csv"), "a\n1\n").unwrap();
        std::fs::write(folder.path().join("b.csv"), "a\n1\n").unwrap();
        let lake = discover(folder.path()).unwrap();
        let store = LakeStore::open(&lake.root, &lake.tables).unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("a.csv"), "secret\n").unwrap();
        std::fs::remove_dir_all(folder.path().join("t")).unwrap();
        symlink(outside.path(), folder.path().join("t")).unwrap();
        std::fs::remove_file(folder.path().join("b.csv")).unwrap();
        symlink(outside.path().join("a.csv"), folder.path().join("b.csv")).unwrap();
        assert!(read(&store, "t/a.csv").await.is_err());
        assert!(read(&store, "b.csv").await.is_err());
    }

    #[test]
    fn no_other_store_can_be_reached_or_added() {
        let folder = tempfile::tempdir().unwrap();
        let registry = OnlyTheLake(Arc::new(LakeStore::open(folder.path(), &[]).unwrap()));
        assert!(registry.get_store(&Url::parse(ADDRESS).unwrap()).is_ok());
        for other in ["file:///", "lake://other/", "http://example.com/"] {
            assert!(registry.get_store(&Url::parse(other).unwrap()).is_err(), "{other}");
        }
    }
}
