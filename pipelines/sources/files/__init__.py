"""History in files, described by a mapping: mapping, readers, cells, shape."""
