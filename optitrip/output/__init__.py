"""Output: words, tables, files and pictures; helpers that know no method."""
