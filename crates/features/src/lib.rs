//! No code: the manifest names features of packages that tests need.
