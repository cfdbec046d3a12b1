"""What leaves optitrip: words, tables, files and pictures; helpers that know no method."""
