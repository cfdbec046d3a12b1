"""The command line: thin commands and their exit statuses."""
