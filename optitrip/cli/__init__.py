"""The command line: thin commands, and the exit statuses."""
