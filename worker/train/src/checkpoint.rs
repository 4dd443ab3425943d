//! Checkpoint encoding: a safetensors file with named tensors and, as metadata, everything else as
//! JSON.
//!
//! The tensor `blake3` holds the digest of the rest, so that a damaged checkpoint is refused
//! wherever it was stored; a flipped bit in a weight would otherwise go unnoticed. Equal contents
//! give equal bytes.

mod error;

use std::collections::{BTreeMap, HashMap};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Kind, TchError, Tensor};

pub(crate) use error::Error;

/// Metadata key of the JSON.
const HEADER: &str = "rheobase";
/// Name of the tensor that holds the digest.
const DIGEST: &str = "blake3";

/// Tensors by name.
pub(crate) type Tensors = BTreeMap<String, Tensor>;

/// Encodes `header`, a JSON text, and `tensors`.
pub(crate) fn encode(header: String, tensors: &Tensors) -> Result<Vec<u8>, crate::Error> {
    let mut contents = stored(tensors)?;
    let digest = digest(&header, contents.iter().map(|(name, stored)| (*name, &stored.bytes[..])));
    contents.push((
        DIGEST,
        StoredTensor { dtype: Dtype::U8, shape: vec![digest.len()], bytes: digest.to_vec() },
    ));
    file(header, &contents)
}

/// Encodes `header` and `tensors` as a plain safetensors file, without a digest.
pub(crate) fn weights(header: String, tensors: &Tensors) -> Result<Vec<u8>, crate::Error> {
    file(header, &stored(tensors)?)
}

fn stored(tensors: &Tensors) -> Result<Vec<(&str, StoredTensor)>, crate::Error> {
    tensors.iter().map(|(name, tensor)| Ok((name.as_str(), StoredTensor::of(tensor)?))).collect()
}

fn file(header: String, contents: &[(&str, StoredTensor)]) -> Result<Vec<u8>, crate::Error> {
    let mut views = Vec::new();
    for (name, stored) in contents {
        let view = TensorView::new(stored.dtype, stored.shape.clone(), &stored.bytes);
        views.push((*name, view.map_err(Error::Format)?));
    }
    let metadata = HashMap::from([(HEADER.to_owned(), header)]);
    Ok(safetensors::serialize(views, Some(metadata)).map_err(Error::Format)?)
}

/// Decodes the header and the tensors in `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> Result<(String, Tensors), crate::Error> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(Error::Format)?;
    let header = metadata.metadata().as_ref().and_then(|metadata| metadata.get(HEADER));
    let header = header.ok_or(Error::Foreign(HEADER))?.clone();
    let file = SafeTensors::deserialize(bytes).map_err(Error::Format)?;
    let mut views: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
    let stored = views.remove(DIGEST).ok_or(Error::Foreign(DIGEST))?;
    let found = digest(&header, views.iter().map(|(name, view)| (name.as_str(), view.data())));
    if stored.data() != found {
        return Err(Error::Digest.into());
    }
    let mut tensors = Tensors::new();
    for (name, view) in views {
        let tensor = tensor(&view).ok_or_else(|| Error::Shape(name.clone()))??;
        tensors.insert(name, tensor);
    }
    Ok((header, tensors))
}

fn digest<'a>(header: &str, tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    // Lengths separate the parts unambiguously.
    let mut take = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    take(header.as_bytes());
    for (name, bytes) in tensors {
        take(name.as_bytes());
        take(bytes);
    }
    hasher.finalize().into()
}

/// A tensor in the layout of the file.
struct StoredTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl StoredTensor {
    fn of(tensor: &Tensor) -> Result<Self, TchError> {
        let kind = tensor.f_kind()?;
        let dtype = match kind {
            Kind::Float => Dtype::F32,
            Kind::Double => Dtype::F64,
            other => {
                return Err(TchError::Kind(format!("not stored in checkpoints: `{other:?}`")));
            }
        };
        let tensor = tensor.f_detach()?.f_contiguous()?;
        let shape = tensor.size().iter().filter_map(|&size| usize::try_from(size).ok()).collect();
        let mut bytes = vec![0; tensor.numel() * kind.elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        Ok(Self { dtype, shape, bytes })
    }
}

/// Returns the tensor of a view, if checkpoints support its type.
fn tensor(view: &TensorView<'_>) -> Option<Result<Tensor, TchError>> {
    let kind = match view.dtype() {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        _ => return None,
    };
    let shape: Option<Vec<i64>> =
        view.shape().iter().map(|&size| i64::try_from(size).ok()).collect();
    Some(Tensor::f_from_data_size(view.data(), &shape?, kind))
}

/// A field in which two configurations differ.
#[derive(Debug)]
pub(crate) struct ConfigDifference {
    /// Dotted path.
    pub(crate) path: String,
    /// Value in the stored configuration, as JSON.
    pub(crate) stored: String,
    /// Value in the expected configuration, as JSON.
    pub(crate) wanted: String,
}

impl ConfigDifference {
    /// Returns the same difference, seen from a configuration that contains this one as `name`.
    fn within(self, name: &str) -> Self {
        Self { path: join(name, &self.path), ..self }
    }
}

/// Returns the first field in which two configurations differ.
pub(crate) fn difference(
    stored: &serde_json::Value,
    wanted: &serde_json::Value,
) -> Option<ConfigDifference> {
    use serde_json::Value::{Array, Object};
    match (stored, wanted) {
        (Object(a), Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let null = serde_json::Value::Null;
            names.into_iter().find_map(|name| {
                let (a, b) = (a.get(name).unwrap_or(&null), b.get(name).unwrap_or(&null));
                difference(a, b).map(|found| found.within(name))
            })
        }
        (Array(a), Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(index, (a, b))| {
                difference(a, b).map(|found| found.within(&index.to_string()))
            })
        }
        (a, b) if a == b => None,
        (a, b) => Some(ConfigDifference {
            path: String::new(),
            stored: a.to_string(),
            wanted: b.to_string(),
        }),
    }
}

fn join(name: &str, rest: &str) -> String {
    if rest.is_empty() { name.to_owned() } else { format!("{name}.{rest}") }
}
