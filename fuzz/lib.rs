//! Fuzz targets of the libraries.
