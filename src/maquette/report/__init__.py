"""One page about runs: tables, curves, films and views to turn, in a file that needs no network."""
