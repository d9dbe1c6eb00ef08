"""Import of historical files described by a mapping: mapping and its checks, file readers, cell expressions, row shaping."""
