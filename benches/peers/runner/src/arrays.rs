//! Arrays of `.npy` files, each read once.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ndarray::ArrayD;
use ndarray_npy::{ReadableElement, read_npy};

#[derive(Default)]
pub struct Arrays {
    floats: HashMap<PathBuf, Rc<ArrayD<f32>>>,
    numbers: HashMap<PathBuf, Rc<ArrayD<u32>>>,
}

impl Arrays {
    pub fn floats(&mut self, path: &Path) -> Result<Rc<ArrayD<f32>>, Box<dyn Error>> {
        load(&mut self.floats, path)
    }

    pub fn numbers(&mut self, path: &Path) -> Result<Rc<ArrayD<u32>>, Box<dyn Error>> {
        load(&mut self.numbers, path)
    }
}

fn load<T: ReadableElement>(
    cache: &mut HashMap<PathBuf, Rc<ArrayD<T>>>,
    path: &Path,
) -> Result<Rc<ArrayD<T>>, Box<dyn Error>> {
    if let Some(array) = cache.get(path) {
        return Ok(array.clone());
    }
    let array = Rc::new(read_npy(path).map_err(|error| format!("{}: {error}", path.display()))?);
    cache.insert(path.to_owned(), Rc::clone(&array));
    Ok(array)
}
